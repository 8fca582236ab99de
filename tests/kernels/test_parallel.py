"""The kernels' threads: every piece once, whatever happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from minicnn.kernels.cpu import _parallel

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["1", "2", "4", "16"])
def threads(request, monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", request.param)
    return int(request.param)


@pytest.mark.parametrize("count", [0, 1, 2, 15, 16, 17, 1000])
@pytest.mark.parametrize("most", [1, 3, 16])
def test_chunks_cover_the_range_evenly(count, most):
    pieces = _parallel.chunks(count, most)
    covered = [i for start, stop in pieces for i in range(start, stop)]
    assert covered == list(range(count))
    assert 1 <= len(pieces) <= most
    lengths = [stop - start for start, stop in pieces]
    assert max(lengths) - min(lengths) <= 1


def test_chunks_do_not_depend_on_the_threads(monkeypatch):
    found = set()
    for threads in ("1", "2", "7"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        found.add(str(_parallel.chunks(1000)))
    assert len(found) == 1


def test_every_piece_is_done_once(threads):
    pieces = _parallel.chunks(100)
    done: list[tuple[int, int, int]] = []
    _parallel.run(lambda p, start, stop: done.append((p, start, stop)), pieces)
    assert sorted(done) == [(p, *piece) for p, piece in enumerate(pieces)]


def test_several_threads_take_part(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "3")
    meeting = threading.Barrier(3, timeout=20)  # passes only if three are there at once
    _parallel.run(lambda *_: meeting.wait(), [(0, 1), (1, 2), (2, 3)])


def test_who_is_free_takes_the_next_piece(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "2")
    others, who = threading.Event(), {}

    def work(p: int, *_: int) -> None:
        who[p] = threading.get_ident()
        if p == 0:
            assert others.wait(20), "the other thread left pieces to this one"
        elif len(who) == 6:
            others.set()

    _parallel.run(work, _parallel.chunks(6))
    assert len(who) == 6
    assert who[0] not in [who[p] for p in range(1, 6)]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_kept_alive(threads, fails):
    class Thing:
        pass

    def call() -> Any:
        thing = Thing()

        def work(p: int, *_: int) -> None:
            assert thing is not None
            if fails and p == 3:
                raise ZeroDivisionError

        with contextlib.suppress(ZeroDivisionError):
            _parallel.run(work, _parallel.chunks(6))
        return weakref.ref(thing)

    assert call()() is None


@pytest.mark.parametrize("failing", [0, 1, 5])
def test_an_exception_is_raised_once_all_have_ended(threads, failing):
    ended: list[int] = []

    def work(p: int, start: int, stop: int) -> None:
        if p == failing:
            raise ZeroDivisionError(f"piece {p}")
        time.sleep(0.01)
        ended.append(p)

    with pytest.raises(ZeroDivisionError, match=f"piece {failing}"):
        _parallel.run(work, _parallel.chunks(6))
    after = list(ended)
    time.sleep(0.03)
    assert ended == after, "a piece was still at work when run() returned"
    done: list[int] = []
    _parallel.run(lambda p, *_: done.append(p), _parallel.chunks(6))
    assert sorted(done) == list(range(6)), "the pool works on"


def test_a_kernel_inside_a_kernel_uses_no_second_team(threads):
    done: list[tuple[int, int]] = []

    def outer(p: int, *_: int) -> None:
        _parallel.run(lambda q, *_: done.append((p, q)), _parallel.chunks(5))

    _parallel.run(outer, _parallel.chunks(6))
    assert sorted(done) == [(p, q) for p in range(6) for q in range(5)]


def test_many_callers_at_once(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "4")
    sums = [0] * 8

    def caller(k: int) -> None:
        for _ in range(50):
            parts = np.zeros(16)

            def work(p: int, start: int, stop: int, parts: np.ndarray = parts) -> None:
                parts[p] = sum(range(start, stop))

            _parallel.run(work, _parallel.chunks(1000))
            sums[k] += int(parts.sum())

    callers = [threading.Thread(target=caller, args=(k,)) for k in range(8)]
    for c in callers:
        c.start()
    for c in callers:
        c.join()
    assert sums == [50 * sum(range(1000))] * 8


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5", " 2"])
def test_a_wrong_number_of_threads(value, monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", value)
    with pytest.raises(
        ValueError, match=f"MINICNN_THREADS must be a whole number >= 1, got '{value}'"
    ):
        _parallel.threads()


def test_the_number_of_threads(monkeypatch):
    monkeypatch.setenv("MINICNN_THREADS", "3")
    assert _parallel.threads() == 3
    for nothing in ("", None):
        if nothing is None:
            monkeypatch.delenv("MINICNN_THREADS")
        else:
            monkeypatch.setenv("MINICNN_THREADS", nothing)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        assert _parallel.threads() == cores


@pytest.fixture
def blas():
    """Tell the threads of each BLAS library that the kernels know of."""
    with _parallel.one_blas_thread():
        pass  # the first time it looks for them
    return lambda: [get() for get, _ in _parallel._blas]


def test_the_blas_is_held_to_one_thread_and_let_go(blas):
    before = blas()
    with _parallel.one_blas_thread():
        assert set(blas()) == {1}
        with _parallel.one_blas_thread():
            assert set(blas()) == {1}
        assert set(blas()) == {1}, "the outer block goes on"
    assert blas() == before
    with pytest.raises(ZeroDivisionError), _parallel.one_blas_thread():
        raise ZeroDivisionError
    assert blas() == before


def test_blas_blocks_of_two_threads_may_overlap(blas):
    before = blas()
    inside, leave = threading.Event(), threading.Event()

    def other() -> None:
        with _parallel.one_blas_thread():
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=other)
    with _parallel.one_blas_thread():
        thread.start()
        assert inside.wait(20)
    assert set(blas()) == {1}, "the other block is still open"
    leave.set()
    thread.join()
    assert blas() == before


def test_the_blas_is_held_even_if_another_thread_set_it_before(blas):
    """threadpoolctl lets only the first thread that sets a number set it again."""
    before = blas()
    claimed, leave = threading.Event(), threading.Event()

    def claim() -> None:
        libraries = ThreadpoolController().select(user_api="blas").lib_controllers
        for library, number in zip(libraries, before, strict=True):
            library.set_num_threads(number)
        claimed.set()
        leave.wait(20)

    thread = threading.Thread(target=claim)
    thread.start()
    try:
        assert claimed.wait(20)
        with _parallel.one_blas_thread():
            assert set(blas()) == {1}
        assert blas() == before
    finally:
        leave.set()
        thread.join()


FORK = """
import os, sys, threading
import numpy as np
from minicnn.kernels.cpu import _buffers, _parallel, conv
from minicnn.ops._windows import Window

x, weight = np.ones((8, 3, 40, 40), np.float32), np.ones((4, 3, 3, 3), np.float32)
window = Window.of("conv2d", (40, 40), (3, 3), 1, 0)
def both():
    done = []
    _parallel.run(lambda p, *_: done.append(p), _parallel.chunks(6))
    y = conv(x, weight, None, (38, 38), window, 1)
    return sorted(done) == list(range(6)) and float(y.sum())
expected = both()  # the parent's pool has started
held, leave = threading.Event(), threading.Event()
def hold():
    with _buffers._lock, _parallel._lock:  # another thread is busy at the moment of the fork
        held.set()
        leave.wait(0.1)  # the fork waits for it
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if child == 0:
    ok = both() == expected
    os._exit(0 if ok else 1)
leave.set()
thread.join()
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or both() != expected)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_has_a_pool_of_its_own():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORK]
    subprocess.run(
        command, cwd=ROOT, env={**os.environ, "MINICNN_THREADS": "3"}, check=True, timeout=120
    )


INTERRUPTED_FORK = """
import faulthandler, os, signal, threading, time
from minicnn.kernels.cpu import _parallel

faulthandler.dump_traceback_later(20, exit=True)
inside = threading.Event()
def product():
    with _parallel.one_blas_thread():
        inside.set()
        while not _parallel._forks:
            time.sleep(0.001)
        time.sleep(0.05)  # the fork waits now
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.05)
thread = threading.Thread(target=product)
thread.start()
inside.wait()
child = os.fork()  # Python writes of the KeyboardInterrupt, and forks
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
thread.join()
with _parallel.one_blas_thread():
    done = []
    _parallel.run(lambda p, *_: done.append(p), _parallel.chunks(6))
print(sorted(done), _parallel._forks, _parallel._lock.locked())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_ctrl_c_while_a_fork_waits_leaves_nothing_locked():
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", INTERRUPTED_FORK]
    environment = {**os.environ, "MINICNN_THREADS": "3"}
    found = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr
    assert "KeyboardInterrupt" in found.stderr
    assert found.stdout.split("\n")[0] == f"{list(range(6))} 0 False"
