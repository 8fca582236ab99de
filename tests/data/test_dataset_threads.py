"""Threads work ahead, and end: after the last element, a break, an error, Ctrl-C."""

import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from pathlib import Path

import numpy as np
import pytest

from minicnn.data import Dataset

ROOT = Path(__file__).parents[2]
OURS = ("minicnn-map", "minicnn-prefetch")


def running():
    return [thread for thread in threading.enumerate() if thread.name.startswith(OURS)]


@pytest.fixture(autouse=True)
def _no_thread_is_left():
    assert not running()
    yield
    assert not running()


def count_to(n):
    return Dataset.from_slices(np.arange(n))


def slow(x):
    time.sleep(0.002)
    return x


THREADED = {
    "map": lambda d, f: d.map(f, workers=3),
    "map under prefetch": lambda d, f: d.map(f, workers=2).prefetch(2),
    "map over prefetch": lambda d, f: d.prefetch(2).map(f, workers=2),
    "prefetch": lambda d, f: d.map(f).prefetch(2),
    "two prefetches": lambda d, f: d.map(f).prefetch(2).map(lambda x: x).prefetch(1),
    "batch": lambda d, f: d.map(f, workers=2).batch(1).prefetch(2).map(lambda xs: xs[0]),
    "shuffle": lambda d, f: d.shuffle(buffer=3).map(f, workers=2).shuffle(buffer=3),
    "zip": lambda d, f: Dataset.zip(d.map(f, workers=2).prefetch(1), d).map(lambda a, b: a),
    "cache": lambda d, f: d.map(f, workers=2).cache(),
    "repeat": lambda d, f: d.map(f, workers=2).prefetch(2).repeat(),
    "interleave": lambda d, f: d.interleave(
        lambda x: Dataset.from_slices([x]).prefetch(1).map(f, workers=2), cycle=2
    ),
}


@pytest.fixture(params=THREADED)
def threaded(request):
    return THREADED[request.param]


# Ahead of time, in order, and not further than allowed.


def test_results_keep_their_order():
    def late_if_even(x):
        time.sleep(0.004 if x % 2 == 0 else 0)
        return x

    assert [int(x) for x in count_to(40).map(late_if_even, workers=4)] == list(range(40))


def test_workers_run_at_the_same_time():
    barrier = threading.Barrier(4, timeout=5)

    def meet(x):
        barrier.wait()
        return x

    for shuffled in (False, True):
        dataset = count_to(8).map(meet, workers=4)
        assert len(list(dataset.shuffle() if shuffled else dataset)) == 8


def test_map_without_workers_stays_on_the_callers_thread():
    assert set(count_to(4).map(lambda x: threading.get_ident())) == {threading.get_ident()}


def test_prefetch_works_while_the_consumer_is_busy():
    third = threading.Event()

    def note(x):
        if x == 2:
            third.set()
        return x

    with iter(count_to(10).map(note).prefetch(2)) as iterator:
        next(iterator)
        assert third.wait(timeout=5)


def test_reading_ahead_is_bounded():
    made = []

    def note(x):
        made.append(int(x))
        return x

    for dataset, most in (
        (count_to(1000).map(note, workers=2), 8),
        (count_to(1000).map(note).prefetch(3), 5),
    ):
        made.clear()
        with iter(dataset) as iterator:
            next(iterator)
            time.sleep(0.05)
            assert len(made) <= most


def test_workers_see_the_callers_settings():
    def divide(x):
        return np.float64(x) / 0

    with np.errstate(divide="ignore"):
        assert np.all(np.isinf(list(count_to(4).skip(1).map(divide, workers=2).prefetch(1))))


# The end.


def test_threads_end_with_the_last_element(threaded):
    iterator = iter(threaded(count_to(6), slow).take(6))
    assert sorted(int(x) for x in iterator) == list(range(6))
    assert not running()
    assert next(iterator, None) is None


def test_an_epoch_leaves_no_threads_to_the_next():
    with iter(count_to(2).map(slow, workers=2).repeat()) as iterator:
        for _ in range(20):
            next(iterator)
            assert len(running()) == 2


def test_nothing_starts_before_the_first_element(threaded):
    iterator = iter(threaded(count_to(6), slow))
    assert not running()
    next(iterator)
    assert running()


def test_break_ends_the_threads(threaded):
    for _ in threaded(count_to(100), slow):
        assert running()
        break
    assert not running()


def test_one_element_is_enough(threaded):
    next(iter(threaded(count_to(100), slow)))
    assert not running()


def test_close_ends_the_threads(threaded):
    iterator = iter(threaded(count_to(100), slow))
    next(iterator)
    iterator.close()
    iterator.close()
    assert not running()
    with threaded(count_to(100), slow).__iter__() as iterator:
        next(iterator)
    assert not running()


def test_garbage_collection_ends_the_threads(threaded):
    iterator = iter(threaded(count_to(100), slow))
    next(iterator)
    cycle = [iterator]
    cycle.append(cycle)
    del iterator, cycle
    gc.collect()
    assert not running()


def test_loading_a_state_ends_the_old_threads(threaded):
    iterator = iter(threaded(count_to(100), slow))
    next(iterator)
    before = running()
    iterator.load_state_dict(iterator.state_dict())
    assert not running()
    assert before
    next(iterator)
    iterator.close()


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("prefetch", [0, 1])
def test_close_does_not_wait_for_a_whole_batch(workers, prefetch):
    dataset = count_to(1000).map(lambda x: time.sleep(0.05) or x, workers=workers)
    iterator = iter(dataset.batch(500).prefetch(prefetch).prefetch(prefetch))
    ended = []
    thread = threading.Thread(target=lambda: ended.append(next(iterator, None)), daemon=True)
    thread.start()
    time.sleep(0.1)
    start = time.monotonic()
    iterator.close()
    assert time.monotonic() - start < 1
    thread.join(timeout=2)
    assert not thread.is_alive()
    assert ended == [None]


def test_stuck_function_does_not_hold_up_the_caller():
    release = threading.Event()
    iterator = iter(count_to(10).map(lambda x: release.wait(20) if x else x, workers=1))
    next(iterator)
    start = time.monotonic()
    iterator.close()
    assert time.monotonic() - start < 4
    release.set()  # the thread ends with the function
    for thread in running():
        thread.join(timeout=2)


# Generators.


@pytest.mark.parametrize("prefetch", [0, 2])
def test_generators_are_closed(prefetch):
    ended = []

    def generate():
        try:
            yield from range(100)
        finally:
            ended.append(threading.get_ident())

    for x in Dataset.from_generator(generate).batch(2).prefetch(prefetch):
        assert x.tolist() == [0, 1]
        break
    assert len(ended) == 1


@pytest.mark.parametrize("prefetch", [0, 2])
def test_error_in_a_generators_cleanup_is_shown(prefetch):
    def generate():
        try:
            yield from range(100)
        finally:
            raise KeyError("cleanup")

    iterator = iter(Dataset.from_generator(generate).prefetch(prefetch))
    next(iterator)
    with pytest.raises(KeyError, match="cleanup"):
        iterator.close()
    assert not running()


# Errors of the user's functions.


class OwnError(Exception):
    pass


def fail_at_seven(x):
    slow(x)
    if x == 7:
        raise OwnError("seven")
    return x


@pytest.mark.parametrize("name", [name for name in THREADED if name != "shuffle"])
def test_error_comes_in_order_with_its_traceback(name):
    iterator = iter(THREADED[name](count_to(100), fail_at_seven))
    assert [int(next(iterator)) for _ in range(7)] == list(range(7))
    with pytest.raises(OwnError, match="seven") as caught:
        next(iterator)
    assert not running()
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert frames[-1].name == "fail_at_seven"
    assert 'raise OwnError("seven")' in frames[-1].line
    assert next(iterator, None) is None
    iterator.load_state_dict(iterator.state_dict())  # its state is before the failed element
    with pytest.raises(OwnError):
        next(iterator)


def test_error_in_a_generator_waits_for_the_elements_before_it():
    def generate():
        yield from range(3)
        raise OwnError("third")

    iterator = iter(Dataset.from_generator(generate).map(slow, workers=4).prefetch(2))
    assert [next(iterator) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OwnError) as caught:
        next(iterator)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "generate"


@pytest.mark.parametrize("workers", [0, 2])
def test_stop_iteration_does_not_pass_for_the_end(workers):
    dataset = count_to(5).map(lambda x: next(iter(())), workers=workers)
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        list(dataset)


def test_interrupted_iterator_has_lost_nothing():
    armed = [True]

    def interrupt(x):
        if x == 5 and armed[0]:
            raise KeyboardInterrupt
        return x

    dataset = count_to(10).map(slow, workers=2).map(interrupt).batch(2)
    iterator = iter(dataset)
    assert [next(iterator).tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(KeyboardInterrupt):
        next(iterator)
    armed[0] = False
    iterator.load_state_dict(iterator.state_dict())
    assert [xs.tolist() for xs in iterator] == [[4, 5], [6, 7], [8, 9]]


# Whole programs.


def program(body):
    code = "import numpy as np, sys, time\nfrom minicnn.data import Dataset\n" + textwrap.dedent(
        body
    )
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("seconds", [0.01, 60])  # of the function: the second never returns
def test_ctrl_c_ends_the_program(seconds):
    process = program(f"""
        def work(x):
            if x >= 8:
                time.sleep({seconds})
            return x
        dataset = Dataset.from_slices(np.arange(10**6)).map(work, workers=2).batch(4).prefetch(2)
        for batch in dataset:
            print(batch, flush=True)
        """)
    assert process.stdout.readline().startswith("[0 1 2 3]")
    time.sleep(0.2)
    start = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert time.monotonic() - start < 5
    assert process.returncode == -signal.SIGINT
    assert errors.strip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    assert "Exception" not in errors


@pytest.mark.parametrize("ending", ["", "sys.exit(0)", "dataset = None"])
def test_program_may_end_with_a_live_iterator(ending):
    process = program(f"""
        dataset = Dataset.from_slices(np.arange(10**6)).map(lambda x: time.sleep(0.001), workers=4)
        iterator = iter(dataset.map(lambda x: 1).batch(2).prefetch(2))
        next(iterator)
        {ending}
        """)
    output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")


def test_many_iterators_in_turn_leave_nothing_behind():
    dataset = count_to(50).map(slow, workers=2).prefetch(1).repeat().batch(3)
    for _ in range(20):
        assert len(list(itertools.islice(dataset, 2))) == 2
    assert threading.active_count() < 20
