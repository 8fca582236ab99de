"""Forked children: they compute, predict and train, whatever the parent was doing."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numba
import numpy as np
import pytest
import small_runs
from forking import LIMIT, begin, fork, in_child, result
from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock
from small_runs import bits, estimator, training_data, validation_data

from minicnn import Tensor, ops
from minicnn.backend.device import get_device
from minicnn.data import Dataset
from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator import Hook
from minicnn.kernels.cpu import _buffers, _parallel
from minicnn.kernels.cpu.vector import objects, team
from minicnn.nn import _building

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
ROOT = Path(__file__).resolve().parents[2]


def predictions(run):
    return [row["probabilities"].tobytes() for row in run.predict(validation_data)]


@pytest.fixture(autouse=True)
def several_threads(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "3")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_child_goes_on_with_the_training_as_its_parent_does(workers):
    with estimator() as run:
        data = training_data(workers)
        run.train(lambda: data, steps=3)

        def go_on():
            before = predictions(run)
            return before, bits(run.train(lambda: data, steps=4))

        child = begin(go_on)
        parent = go_on()  # at the same time
        assert result(*child) == parent


def test_a_child_trains_another_model():
    with estimator(seed=1) as alone:
        expected = bits(alone.train(training_data, steps=2))
    with estimator() as run:
        run.train(lambda: training_data(2), steps=1)
        assert in_child(lambda: bits(estimator(seed=1).train(training_data, steps=2))) == expected


def slow(x):
    time.sleep(0.002)
    return x


@pytest.mark.parametrize(
    "stages",
    [
        lambda d: d.map(slow, workers=2),
        lambda d: d.prefetch(3),
        lambda d: d.map(slow, workers=2).shuffle(seed=1, buffer=4).prefetch(2),
        lambda d: d.interleave(lambda n: Dataset.from_slices([n, n + 100]), cycle=2).prefetch(1),
    ],
    ids=["map", "prefetch", "map, shuffle, prefetch", "interleave, prefetch"],
)
def test_a_child_reads_on_where_its_parents_iterator_stood(stages):
    iterator = iter(stages(Dataset.from_slices(np.arange(24))))
    for _ in range(5):
        next(iterator)
    rest = in_child(lambda: (iterator.state_dict(), [int(n) for n in iterator]))
    assert rest == (iterator.state_dict(), [int(n) for n in iterator])
    assert len(rest[1]) >= 19


def test_a_child_may_close_and_drop_its_parents_iterator():
    """Also while the prefetching thread holds the lock, which nobody lets go of in the child."""
    iterator = iter(Dataset.from_slices(np.arange(9)).map(slow, workers=1).prefetch(2))
    next(iterator)
    cursor = iterator._cursor

    def close():
        state = iterator.state_dict()
        iterator.close()
        return state

    held, leave = threading.Event(), threading.Event()

    def hold():
        with cursor._changed:
            held.set()
            leave.wait(LIMIT)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = begin(close)
    leave.set()
    thread.join()
    assert result(*child) == iterator.state_dict()
    iterator.close()


def test_a_child_goes_on_before_the_element_that_another_thread_waited_for():
    asked, answer = threading.Event(), threading.Event()

    def wait(x):
        if x == 3:
            asked.set()
            answer.wait(LIMIT)
        return x

    iterator = iter(Dataset.from_slices(np.arange(6)).map(wait, workers=1))
    got = []
    consumer = threading.Thread(target=lambda: got.extend(iterator))
    consumer.start()
    assert asked.wait(LIMIT)
    while len(got) < 3:
        time.sleep(0.001)
    child = begin(lambda: (answer.set(), list(iterator))[1])
    answer.set()
    consumer.join()
    assert result(*child) == got[3:] == [3, 4, 5]


def new_shape(size):
    """A product and a convolution of a size that no test has had: code must be compiled."""
    x = np.ones((2, 7, size, size), np.float32)
    y = ops.conv2d(Tensor(x), Tensor(np.ones((5, 7, 3, 3), np.float32)))
    return float(y.sum().item())


LOCKS = {
    "buffers": lambda: _buffers._lock,
    "pool": lambda: _parallel._lock,
    "team": lambda: team._busy,
    "layers": lambda: _building._lock,
    "Numba compiles": lambda: global_compiler_lock,
    "we compile": lambda: objects._lock,
    "LLVM compiles": lambda: binding.ffi.lib._lock,
}


@pytest.mark.parametrize("what", LOCKS)
def test_no_lock_of_another_thread_is_locked_in_a_child(what):
    lock, held, leave = LOCKS[what](), threading.Event(), threading.Event()

    def hold():
        with lock:
            held.set()
            waits = what == "pool" or "compile" in what  # these end soon, and the fork waits
            leave.wait(0.1 if waits else LIMIT)

    def work():
        size = 11 + 2 * list(LOCKS).index(what)
        small = estimator().train(training_data, steps=1)
        return new_shape(size), bits(small), numba.njit(lambda: 7)()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = begin(work)
    leave.set()
    thread.join()
    assert result(*child) == work()


def test_children_of_a_process_whose_threads_compute():
    """Forked at any moment: in the middle of kernels, of hand-outs of memory, of compilation."""
    stop, wrong = threading.Event(), []
    expected = float(new_shape(24))

    def compute():
        while not stop.is_set():
            if new_shape(24) != expected:
                wrong.append(True)

    threads = [threading.Thread(target=compute) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(8):
            assert in_child(new_shape, 24) == expected, i
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_child_has_kernel_threads_of_its_own():
    def work():
        new_shape(24)
        return {thread.name for thread in threading.enumerate()}

    work()
    assert "minicnn-vector-1" in in_child(work)


def test_memory_is_given_back_in_a_child_though_a_thread_was_at_it(monkeypatch):
    monkeypatch.setattr(_buffers, "_returning", True)  # as if, at this moment

    def work():
        _buffers.empty((1 << 20,), np.uint8)
        _buffers.release()
        return _buffers.unused_bytes()

    assert in_child(work) == 0


def test_a_fork_waits_for_products_and_products_for_a_fork():
    """The BLAS has locks of its own, which a child would find locked."""
    with _parallel.one_blas_thread():
        pass
    threads = [get for get, _ in _parallel._blas]
    before = [get() for get in threads]
    held, order = threading.Event(), []

    def multiply():
        with _parallel.one_blas_thread():
            held.set()
            time.sleep(0.1)
            with _parallel.one_blas_thread():  # who is inside goes on
                order.append("product")

    def multiply_later():
        while not _parallel._forks:
            time.sleep(0.001)
        with _parallel.one_blas_thread():
            order.append("later")

    both = [threading.Thread(target=f, daemon=True) for f in (multiply, multiply_later)]
    for thread in both:
        thread.start()
    held.wait()
    process, pipe = begin(lambda: (order, [get() for get in threads], new_shape(31)))
    for thread in both:
        thread.join(LIMIT)
    assert result(process, pipe) == (["product"], before, new_shape(31))
    assert order == ["product", "later"]
    assert [get() for get in threads] == before


class Forking(Hook):
    """Does something in a child that is forked in the middle of training."""

    def __init__(self, function, place="after_step"):
        self.function, self.found = function, None
        setattr(self, place, self._fork)

    def _fork(self, context):
        if self.found is None:
            self.found = in_child(self.function, context.estimator)


def test_a_child_of_a_hook_predicts_and_trains_but_does_not_write_into_the_run(tmp_path):
    with estimator() as alone:
        expected = bits(alone.train(training_data, steps=6))

    def work(run):
        found = predictions(run), bits(estimator(seed=1).train(training_data, steps=1))
        with pytest.raises(CheckpointError, match=f"in use by process {os.getppid()} on "):
            run.save()
        return found

    hook = Forking(work)
    with estimator(tmp_path) as run:
        run.train(lambda: training_data(2), steps=1, hooks=[hook])
        found = predictions(run), bits(estimator(seed=1).train(training_data, steps=1))
        assert hook.found == found
        assert bits(run.train(training_data, steps=5)) == expected


@pytest.mark.skipif(get_device() != "cpu", reason="a forked child has no use of its parent's GPU")
def test_a_child_of_a_training_process_ends_when_it_is_told():
    """The signal that lets its parent finish a step ends the child at once."""
    ends = []

    class Leave(Hook):
        def after_step(self, context):
            child = fork()
            if not child:
                time.sleep(LIMIT)
                os._exit(0)
            time.sleep(0.05)
            os.kill(child, signal.SIGTERM)
            ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    assert estimator().train(training_data, steps=2, hooks=[Leave()]).step == 2
    assert ends == [-signal.SIGTERM] * 2


def test_a_child_of_half_a_step_says_so():
    inside, leave = threading.Event(), threading.Event()

    class Wait(Hook):
        def before_update(self, context):
            inside.set()
            leave.wait(LIMIT)

    run = estimator()
    thread = threading.Thread(target=lambda: run.train(training_data, steps=1, hooks=[Wait()]))
    thread.start()
    assert inside.wait(LIMIT)

    def work():
        for use in (lambda: predictions(run), lambda: run.train(training_data, steps=1)):
            with pytest.raises(ConfigError, match="forked while another thread was in the middle"):
                use()
        return len(predictions(estimator().train(training_data, steps=1)))

    child = begin(work)
    leave.set()
    thread.join()
    assert result(*child) == 21


KILLED = """
import os, signal, sys, time
import small_runs
from minicnn.estimator import Hook

class Fork(Hook):
    def after_step(self, context):
        child = os.fork()
        if not child:
            time.sleep(30)
            os._exit(0)
        print(child, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

small_runs.estimator(sys.argv[1], save_every=1).train(small_runs.training_data, hooks=[Fork()])
"""


def test_a_child_does_not_keep_the_run_of_its_killed_parent(tmp_path):
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", KILLED, str(tmp_path)]
    paths = [str(ROOT), str(Path(small_runs.__file__).parent)]
    done = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        text=True,
    )
    with done:
        child = int(done.stdout.readline())
        try:
            assert done.wait(LIMIT) == -signal.SIGKILL
            os.kill(child, 0)  # it lives
            assert estimator(tmp_path).train(training_data, max_steps=3).step == 3
        finally:
            os.kill(child, signal.SIGKILL)


def train_two_steps(pipe):
    pipe.send(bits(estimator().train(training_data, steps=2)))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_every_kind_of_child_process_trains_to_the_same_bits(method, monkeypatch):
    expected = bits(estimator().train(training_data, steps=2))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(Path(__file__).parent)]))
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=train_two_steps, args=(theirs,))
    child.start()
    try:
        assert ours.poll(2 * LIMIT), "it hangs"
        assert ours.recv() == expected
        child.join(LIMIT)
        assert child.exitcode == 0
    finally:
        child.kill()


OPENMP = """
import os, signal, sys, warnings
import numba
import numpy as np
import small_runs
from minicnn.data import Dataset

numba.config.THREADING_LAYER = "omp"

@numba.njit(parallel=True)
def double(x):
    y = np.empty_like(x)
    for i in numba.prange(x.size):
        y[i] = 2 * x[i]
    return y

def train(step=lambda image, label: (image, label)):
    data = small_runs.training_data(2).map(step)
    with small_runs.estimator() as run:
        return small_runs.bits(run.train(lambda: data, steps=2))

def child(work):
    process = os.fork()
    if process == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

def train_as_parent():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        same = train() == expected
    print("same" if same else "other", *[w.message for w in caught], flush=True)

def train_on_doubles():
    warnings.simplefilter("ignore")
    train(lambda image, label: (double(image.ravel()).reshape(image.shape), label))

expected = train()
print("before", numba.np.ufunc.parallel._is_initialized, flush=True)  # nothing of ours needed it
try:
    double(np.ones(9))
except ValueError as error:
    print("no OpenMP here", error)
    sys.exit()
print(numba.threading_layer(), flush=True)
print(child(train_as_parent), flush=True)
print(child(train_on_doubles) == -signal.SIGTERM, flush=True)
"""


def test_openmp_of_the_programs_own_does_not_keep_a_child_from_training():
    """Where its own functions run on GNU's OpenMP, train says so; one of them ends the child."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", OPENMP]
    paths = [str(ROOT), str(Path(small_runs.__file__).parent)]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=2 * LIMIT,
        check=True,
    )
    before, layer, *rest = done.stdout.splitlines()
    assert before == "before False"
    if layer != "omp":
        pytest.skip(f"Numba ran on {layer} here, not on OpenMP")
    said, status, ended = rest
    assert said.startswith("same train: functions of your own that Numba compiled with parallel=")
    assert (status, ended) == ("0", "True")
