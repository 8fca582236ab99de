"""Programs on the native team: every piece once, whoever takes it, however many there are."""

from __future__ import annotations

import gc
import os
import threading

import numpy as np
import pytest

from minicnn.kernels.cpu.vector import objects, program, team
from minicnn.kernels.cpu.vector.emit import Function
from minicnn.kernels.cpu.vector.program import (
    COUNT,
    Argument,
    Prepared,
    Shelf,
    Step,
    fixed,
    images_of,
    of_piece,
    of_thread,
    pieces_of,
    remade,
    run,
    sums_of_piece,
)

if objects.machine() is None:
    pytest.skip("this CPU has neither AVX2 with FMA nor NEON", allow_module_level=True)


def _add(name, _):
    """``add(source, target, count)``: target[k] += source[k], of float pairs, one after another."""
    f = Function(name, 2, 1)
    source, target, count = f.args
    with f.loop(count) as n:
        at = f.at(target, f.times(n, 4))
        total = f.code.fadd(f.load(at, 4), f.load(f.at(source, f.times(n, 4)), 4))
        f.store(total, at)
    f.code.ret_void()
    return f.module


def add(source, target, count=COUNT):
    return Step(objects.function("test_add", None, _add), (source, target, count))


@pytest.mark.parametrize("threads", ["1", "2", "5", "40"])
@pytest.mark.parametrize("images", [0, 1, 3, 16, 17, 129])
@pytest.mark.parametrize("group", [1, 4])
def test_every_image_is_seen_once(monkeypatch, threads, images, group):
    monkeypatch.setenv("MINICNN_THREADS", threads)
    x = np.arange(images * 4, dtype=np.float32).reshape(images, 4)
    y = np.zeros_like(x)
    for times in range(1, 30):
        run([add(images_of(x), images_of(y))], images, group)
        np.testing.assert_array_equal(y, times * x)


def test_steps_follow_one_another_in_a_threads_own_memory(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "3")
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    room, y = np.zeros((3, 4), np.float32), np.zeros_like(x)
    minus = -x
    steps = [
        add(images_of(x), of_thread(room), Argument(1)),
        add(of_thread(room), images_of(y), Argument(1)),
        add(images_of(minus), of_thread(room), Argument(1)),  # exact: room is 0 again
    ]
    run(steps, 50)
    np.testing.assert_array_equal(y, x)


def test_sums_of_pieces_have_the_same_bits_on_any_number_of_threads(monkeypatch):
    x = np.random.default_rng(0).standard_normal((333, 4)).astype(np.float32)
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        sums = np.zeros((pieces_of(333), 4), np.float32)
        run([add(images_of(x), of_piece(sums), Argument(1))], 333)
        found.append(sums)
        np.testing.assert_allclose(sums.sum(axis=0), x.sum(axis=0), atol=1e-3)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_two_threads_of_python_may_run_programs_at_once(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "2")
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).standard_normal((64, 4)).astype(np.float32)
        for _ in range(300):
            y = np.zeros_like(x)
            run([add(images_of(x), images_of(y))], 64)
            if not np.array_equal(x, y):
                wrong.append(seed)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_who_slept_is_woken(monkeypatch):
    """Waiting longer than anybody's patience, then work again."""
    monkeypatch.setenv("MINICNN_THREADS", "2")
    x, one = np.ones((64, 4), np.float32), np.ones(4, np.float32)
    for times in range(1, 6):
        run([add(fixed(one), images_of(x), Argument(1))], 64)
        threading.Event().wait(0.01)
        assert (x == 1 + times).all()
    alarms = team._team()._alarms
    assert alarms
    assert all(alarm.empty() for alarm in alarms)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_team_of_its_own(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "2")
    x = np.ones((64, 4), np.float32)
    y = np.zeros_like(x)
    run([add(images_of(x), images_of(y))], 64)
    child = os.fork()
    if child == 0:  # os._exit: nothing of pytest must run twice
        try:
            run([add(images_of(x), images_of(y))], 64)
            os._exit(0 if (y == 2).all() else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_prepared_program_takes_other_arrays_and_remakes_what_may_have_changed():
    weight = np.full(4, 2, np.float32)
    x, y = np.ones((20, 4), np.float32), np.zeros((20, 4), np.float32)
    sums = np.zeros((pieces_of(20), 4), np.float32)
    steps = [
        add(remade(lambda: 3 * weight), images_of(y), Argument(1)),
        add(images_of(x), images_of(y), Argument(1)),
        add(images_of(x), sums_of_piece(sums), Argument(1)),
    ]
    program = Prepared(steps, 20, 1, x, y)
    program.run(x, y)
    assert (y == 7).all()
    other, found = 10 * x, np.zeros_like(y)
    weight += 1
    program.remake()
    program.run(other, found)
    assert (y == 7).all()
    assert (found == 19).all()
    assert sums.sum() == 10 * 80


def shelf_of(*sizes, most=800):
    """Return a shelf and, for each size, a function that makes a program with so much memory."""

    def make(size):
        x, memory = np.zeros((1, 4), np.float32), np.zeros(size, np.float32)
        return lambda: (Prepared([add(fixed(memory), images_of(x), Argument(1))], 1, 1, x), size)

    return Shelf(most), [make(size) for size in sizes]


def take(shelf, key, make):
    found, _ = shelf.take(key, make)
    found.free.release()
    return found


def test_a_shelf_gives_the_same_program_again_but_to_one_thread_at_a_time():
    shelf, (make,) = shelf_of(4)
    first, _ = shelf.take("a", make)
    second, _ = shelf.take("a", make)  # the first one is still in use
    assert second is not first
    first.free.release()
    second.free.release()
    assert take(shelf, "a", make) in (first, second)
    assert take(shelf, None, make) is not take(shelf, None, make)


def test_a_shelf_forgets_what_was_not_used_for_long_and_keeps_nothing_large():
    shelf, makes = shelf_of(20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 30)
    programs = [take(shelf, i, make) for i, make in enumerate(makes)]
    assert take(shelf, 10, makes[10]) is programs[10]
    assert take(shelf, 0, makes[0]) is not programs[0]
    assert take(shelf, 11, makes[11]) is not programs[11]  # an eighth of all is too much


def test_a_shelf_lets_go_of_what_nobody_has_used_for_long():
    shelf, (make, other) = shelf_of(4, 4)
    first = take(shelf, "a", make)
    gc.collect()
    assert take(shelf, "a", make) is first
    second = take(shelf, "b", other)
    first.used -= 2 * program._IDLE
    with shelf._lock:
        gc.collect()  # a collection does not wait, for the same thread may be at it
    assert shelf._bytes == 32
    gc.collect()
    assert shelf._bytes == 16
    assert take(shelf, "b", other) is second
    assert take(shelf, "a", make) is not first


def test_more_threads_than_before_need_other_memory(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "1")
    shelf, (make,) = shelf_of(4)
    alone = take(shelf, "a", make)
    assert take(shelf, "a", make) is alone
    monkeypatch.setenv("MINICNN_THREADS", "3")
    assert take(shelf, "a", make) is not alone
