"""Batches that travel ahead: the right numbers, in the right order, and nothing else waits."""

from __future__ import annotations

import gc
import importlib

import numpy as np
import pytest

from minicnn import device_memory, release_device_memory
from minicnn.backend.transfer import Uploader
from minicnn.errors import DeviceError


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int64, np.bool_])
def test_arrays_arrive_as_they_were_when_they_left(device, dtype):
    uploader = Uploader(device)
    arrays = [(np.arange(24).reshape(2, 3, 4) + i).astype(dtype) for i in range(3)]
    arrays[1] = arrays[1].transpose(2, 0, 1)  # in any layout
    right = [a.copy() for a in arrays]
    uploads = [uploader.begin(a) for a in arrays]
    for a in arrays:
        a[...] = 0  # the host goes on at once
    for upload, r in zip(uploads, right, strict=True):
        there = upload.array()
        assert there.dtype == r.dtype
        np.testing.assert_array_equal(there.get(), r)


def test_empty_and_single_numbers_travel_too(device):
    uploader = Uploader(device)
    assert uploader.begin(np.empty((0, 3), np.float32)).array().shape == (0, 3)
    assert uploader.begin(np.array(7)).array().item() == 7


def test_pinned_memory_is_held_until_the_copy_is_done_and_then_let_go(device):
    uploader = Uploader(device)
    for _ in range(5):
        uploader.begin(np.ones(1000)).array().get()
    uploader.finish()
    assert not uploader._under_way
    uploader.begin(np.ones(3))  # and dropped
    gc.collect()
    uploader.finish()


def test_there_is_nothing_to_upload_to_the_cpu():
    with pytest.raises(DeviceError, match="Uploader: arrays are on the CPU already"):
        Uploader("cpu")


def test_memory_is_counted(device):
    release_device_memory(device)
    before = device_memory(device)
    x = importlib.import_module("cupy").zeros(1 << 20, np.float32)
    during = device_memory(device)
    assert during.used - before.used == x.nbytes
    assert during.held >= during.used
    assert 0 < during.free <= during.total
    del x
    assert device_memory(device).used == before.used
    release_device_memory(device)
    assert device_memory(device).held <= during.held
