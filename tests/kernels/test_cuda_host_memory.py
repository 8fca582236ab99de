"""The memory of the stand-in for CuPy: poison, layout, views, pools, copies."""

from __future__ import annotations

import copy
import ctypes
import pickle
import sys

import numpy as np
import pytest

from tests.kernels.test_cuda_host_arrays import numbers


def test_memory_that_nobody_has_written_is_poisoned(cupy):
    for made in (cupy.empty(4), cupy.ndarray((2, 2), "f2"), cupy.empty_like(cupy.ones(3, "f"))):
        assert np.isnan(made.get()).all()
    assert (cupy.empty(3, np.int32).get() == 0x5A5A5A5A).all()
    assert (cupy.empty(3, np.uint8).get() == 0x5A).all()
    assert cupy.empty(3, bool).all()
    assert np.isnan(sys.modules["cupyx"].empty_pinned((2, 2))).all()


def test_results_lie_by_rows_and_copies_as_they_were(cupy):
    x = cupy.asarray(numbers(2, 3, 4)).transpose(0, 2, 1)
    assert not x.flags.c_contiguous
    assert (x + 0).flags.c_contiguous
    assert cupy.exp(x).flags.c_contiguous
    assert x.copy().flags.c_contiguous, "order C"
    for kept in (x.copy(order="K"), x.astype("d"), cupy.zeros_like(x), cupy.empty_like(x)):
        assert np.argsort(kept.strides).tolist() == np.argsort(x.strides).tolist()
    host = numbers(2, 3, 4).transpose(0, 2, 1)
    assert cupy.asarray(host).flags.c_contiguous, "only by rows or by columns"
    assert cupy.asarray(numbers(2, 3).T).flags.f_contiguous


def test_views_and_copies(cupy):
    x = cupy.zeros((4, 6))
    for view in (x[1:], x.T, x.reshape(2, 12), x.ravel(), cupy.broadcast_to(x, (2, 4, 6)), x.real):
        assert view.base is x
        assert not view.flags.owndata
    for copied in (x + 0, x.T.reshape(-1), x[[0]], x.copy(), x.flatten(), cupy.array(x)):
        assert copied.base is None
    assert cupy.asarray(x) is x
    assert x.astype(float, copy=False) is x
    windows = cupy.lib.stride_tricks.as_strided(x, (3, 2), (48, 8))
    x[0, 0] = 7
    assert windows[0, 0] == 7
    assert windows.data.ptr == x.data.ptr


def test_addresses(cupy):
    x = cupy.zeros((3, 5), np.float32)
    assert x.data.ptr % 512 == 0
    assert x[1].data.ptr - x.data.ptr == 20
    assert x[1].data.mem is x.data.mem
    told = x.T.__cuda_array_interface__
    assert (told["shape"], told["strides"], told["version"]) == ((5, 3), (4, 20), 3)
    assert told["data"] == (x.data.ptr, False)
    lies_there = cupy.ndarray((5,), np.float32, x.data + 20)
    lies_there.fill(3)
    assert x[1].tolist() == [3.0] * 5
    assert x[2].tolist() == [0.0] * 5


def test_pools_count(cupy):
    pool = cupy.get_default_memory_pool()
    before = pool.used_bytes()
    x = cupy.zeros(1000, np.float32)
    assert pool.used_bytes() - before == 4096, "in steps of 512 bytes"
    y = x[:10]
    del x
    assert pool.used_bytes() - before == 4096, "a view keeps it"
    del y
    assert pool.used_bytes() == before
    assert pool.total_bytes() >= before + 4096, "kept for the next array"
    pool.free_all_blocks()
    assert pool.total_bytes() == before
    assert len(cupy.cuda.Device().mem_info) == 2


def test_pools_have_limits(cupy):
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=2048)
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.zeros(256)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match="Out of memory"):
            cupy.zeros(1)
    assert pool.used_bytes() == x.nbytes
    cupy.zeros(1)


def test_copies_of_copies(cupy):
    x = cupy.asarray(numbers(2, 3))
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert other.data.ptr != x.data.ptr
        np.testing.assert_array_equal(other.get(), x.get())
    assert copy.deepcopy([x])[0].dtype == np.float32


def test_from_the_host_and_to_it(cupy):
    x = cupy.empty((2, 3), np.float32)
    x.set(numbers(2, 3))
    out = np.zeros((2, 3), np.float32)
    assert cupy.asnumpy(x, out=out) is out
    assert cupy.asnumpy(out) is out
    assert x.get(order="F").flags.f_contiguous
    np.testing.assert_array_equal(out, numbers(2, 3))
    assert cupy.asarray([x, x]).shape == (2, 2, 3)
    with pytest.raises(TypeError, match="Implicit conversion"):
        cupy.asarray([x.sum(), 1.0])


def test_what_is_written_outside_of_an_array_is_noticed(cupy):
    x = cupy.zeros(5, np.float32)
    for place in (x.data.ptr + 20, x.data.ptr - 4):
        assert ctypes.c_float.from_address(place).value != 0, "NaN"
        ctypes.c_float.from_address(place).value = 1.0
        with pytest.raises(RuntimeError, match="wrote outside of an array of 20 bytes"):
            x.get()
        assert x.tolist() == [0] * 5, "told once"
