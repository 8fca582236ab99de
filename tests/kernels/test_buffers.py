"""Reused memory: given back when the last array that sees it is gone, and not before."""

from __future__ import annotations

import gc
import inspect
import os
import threading
import time
import warnings
import weakref

import numpy as np
import pytest

from minicnn.kernels.cpu import _buffers

LARGE = (1 << 16,)  # of float64: 512 KiB


@pytest.fixture(autouse=True)
def fresh():
    gc.collect()
    _buffers.release()
    yield
    _buffers.release()


def address(a: np.ndarray) -> int:
    return a.__array_interface__["data"][0]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3, 4), (64, 33, 65), (7, 99_991)])
def test_arrays_are_as_ordered(shape, dtype):
    a = _buffers.empty(shape, dtype)
    assert a.shape == shape
    assert a.dtype == dtype
    assert a.flags.c_contiguous
    assert a.flags.writeable
    a[...] = 3
    assert (a == 3).all()


def test_large_arrays_start_at_a_vector():
    for _ in range(5):
        assert address(_buffers.empty(LARGE, np.float64)) % 64 == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_forked_child_writes_into_its_own_memory():
    a = _buffers.empty(LARGE, np.float64)
    a[...] = 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there may be threads
        child = os.fork()
    if not child:
        a[...] = 4
        os._exit(0)
    os.waitpid(child, 0)
    assert (a == 3).all()


def test_memory_returns_with_the_last_array_and_is_used_again():
    a = _buffers.empty(LARGE, np.float64)
    at = address(a)
    assert _buffers.unused_bytes() == 0
    del a
    assert _buffers.unused_bytes() >= 8 * LARGE[0]
    b = _buffers.empty(LARGE, np.float64)
    assert address(b) == at
    assert _buffers.unused_bytes() == 0


def test_another_shape_and_type_of_the_same_size_gets_it_too():
    a = _buffers.empty(LARGE, np.float64)
    at = address(a)
    del a
    b = _buffers.empty((2, LARGE[0]), np.float32)
    assert address(b) == at


VIEWS = {
    "a slice": lambda a: a[5:9],
    "a slice of a slice": lambda a: a[5:][2:][:3],
    "a reshape": lambda a: a.reshape(256, -1)[3],
    "a transpose": lambda a: a.reshape(256, -1).T,
    "another type": lambda a: a.view(np.uint8)[8:16],
    "a zero-stride view": lambda a: np.broadcast_to(a[:1], (4, 1)),
    "as_strided": lambda a: np.lib.stride_tricks.as_strided(a, (3,), (16,)),
    "a memoryview": lambda a: memoryview(a),
    "asarray of a memoryview": lambda a: np.asarray(memoryview(a)),
    "DLPack": lambda a: np.from_dlpack(a),
    "an iterator": lambda a: a.flat,
    "a subclass": lambda a: a.view(np.recarray),
    "a container": lambda a: {"k": [a[1:]]},
}


@pytest.mark.parametrize("name", VIEWS)
def test_memory_never_returns_while_something_looks_at_it(name):
    a = _buffers.empty(LARGE, np.float64)
    at = address(a)
    view = VIEWS[name](a)
    del a
    gc.collect()
    assert _buffers.unused_bytes() == 0
    other = _buffers.empty(LARGE, np.float64)
    assert address(other) != at
    del other
    before = _buffers.unused_bytes()
    del view
    gc.collect()
    assert _buffers.unused_bytes() > before


def test_what_a_view_sees_stays_as_it_was():
    a = _buffers.empty(LARGE, np.float64)
    a[...] = np.arange(a.size)
    view = a[10:20]
    del a
    for _ in range(5):
        _buffers.empty(LARGE, np.float64)[...] = -1
    assert view.tolist() == list(range(10, 20))


def test_small_arrays_are_left_to_malloc():
    a = _buffers.empty((100,), np.float64)
    del a
    assert _buffers.unused_bytes() == 0


def test_no_more_waits_than_was_in_use_at_once(monkeypatch):
    monkeypatch.setattr(_buffers, "_most_used", [0, 0])
    monkeypatch.setattr(_buffers, "_used_bytes", 0)  # what earlier tests still hold
    for size in range(8, 80):  # as if every batch had another size
        some = [_buffers.empty((size, 1 << 14), np.float64) for _ in range(4)]
        most = 1.25 * _buffers._SLACK * sum(a.nbytes for a in some)
        del some
        assert 0 < _buffers.unused_bytes() <= most


def test_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(_buffers, "_most_used", [0, 0])
    monkeypatch.setattr(_buffers, "_used_bytes", 0)  # what earlier tests still hold
    ends = {}
    for mebibytes in (1, 2, 4, 3):  # with the last, more than twice 4 would wait
        some = _buffers.empty((mebibytes, 1 << 20), np.uint8)
        ends[mebibytes] = address(some)
        del some
    _buffers.unused_bytes()
    assert [len(_buffers._unused[n << 20]) for n in ends] == [0, 0, 1, 1]
    assert address(_buffers.empty((4, 1 << 20), np.uint8)) == ends[4]


def test_what_waited_long_returns_with_the_next_array_or_collection(monkeypatch):
    for give in (gc.collect, lambda: _buffers.empty((1 << 14,), np.float64)):
        held = [_buffers.empty(LARGE, np.float64) for _ in range(3)]
        del held
        gc.collect()
        assert _buffers.unused_bytes() >= 3 * 8 * LARGE[0]
        monkeypatch.setattr(_buffers, "_AGE", 0.0)
        give()
        assert _buffers.unused_bytes() < 8 * LARGE[0]
        monkeypatch.undo()


def test_a_loop_takes_nothing_anew_after_its_first_round():
    for step in range(5):
        before = _buffers.taken_anew()
        a = _buffers.empty(LARGE, np.float64)
        b = [_buffers.empty((n, *LARGE), np.float32) for n in (1, 3, 7)]
        b.append(a)
        a = None
        assert (_buffers.taken_anew() > before) == (step == 0)
        del b


def test_release_gives_everything_back():
    a, b = _buffers.empty(LARGE, np.float64), _buffers.empty(LARGE, np.float64)
    del a
    assert _buffers.unused_bytes() > 0
    _buffers.release()
    assert _buffers.unused_bytes() == 0
    b[...] = 1
    del b
    assert _buffers.unused_bytes() > 0


def test_little_is_lost_to_rounding():
    for size in (70_000, 100_001, 1_000_003, 5_000_000):
        a = _buffers.empty((size,), np.uint8)
        del a
        assert size <= _buffers.unused_bytes() <= size * 1.125 + 4096
        _buffers.release()


def test_threads_never_get_the_same_memory():
    """Each thread fills its arrays with its own number and finds nothing else in them."""
    wrong: list[int] = []
    _buffers.unused_bytes()
    used = _buffers._used_bytes
    start = threading.Barrier(6)

    def work(k: int) -> None:
        start.wait()
        held: list[np.ndarray] = []
        for step in range(200):
            a = _buffers.empty(LARGE if step % 3 else (2, *LARGE), np.float64)
            a[...] = k
            held.append(a[..., ::7])
            if len(held) > 3:
                old = held.pop(step % 3)
                if not (old == k).all():
                    wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    gc.collect()
    _buffers.unused_bytes()
    total = sum(len(waiting) * room for room, waiting in _buffers._unused.items())
    assert total == _buffers.unused_bytes() <= 2 * max(_buffers._most_used)
    assert _buffers._used_bytes == used


def test_a_finaliser_may_run_while_the_lock_is_held():
    """The collector can strike inside `_take` or `_give`, in the same thread."""
    a = _buffers.empty(LARGE, np.float64)
    with _buffers._lock:
        del a
        _buffers.empty(LARGE, np.float64)


def test_no_python_runs_when_an_array_ends():
    """What Ctrl-C raises in such a place is lost."""
    a = _buffers.empty(LARGE, np.float64)
    (end,) = weakref.getweakrefs(a)
    assert inspect.isbuiltin(end.__callback__)


def test_ctrl_c_during_a_collection_is_not_lost(monkeypatch):
    def interrupted():
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(_buffers, "_collect", interrupted)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012
        gc.collect()
        for _ in range(1000):
            time.sleep(0.01)
