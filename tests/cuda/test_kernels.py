"""Every CUDA kernel, called once: what the definition computes, the same bits each time."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.cuda_calls import CALLS, call

TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "float16": 4e-3}  # times sqrt of about 30 summands


def on_device(a: np.ndarray) -> Any:
    return importlib.import_module("cupy").asarray(a)


def channels_last_on_device(a: np.ndarray) -> Any:
    there = on_device(a)
    if a.ndim < 3:
        return there
    return on_device(np.moveaxis(a, 1, -1)).copy().transpose(0, a.ndim - 1, *range(1, a.ndim - 1))


def to_host(leaves: list[Any]) -> list[Any]:
    return [leaf.get() if hasattr(leaf, "get") else leaf for leaf in leaves]


def test_there_is_a_call_of_every_kernel():
    assert set(CALLS) == set(plain.__all__)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CALLS)
def test_a_kernel_computes_its_definition(name, dtype, cuda):
    narrow = np.dtype(dtype)

    def widened(a: np.ndarray) -> np.ndarray:
        return a.astype(np.float64) if a.dtype == narrow else a

    right = call(plain, name, narrow, widened)
    for move in (on_device, channels_last_on_device):
        got = to_host(call(cuda, name, narrow, move))
        assert len(got) == len(right)
        for g, r in zip(got, right, strict=True):
            g, r = np.asarray(g), np.asarray(r)
            # Some give float32 whatever they are given.
            close(name, g, r, max(TOLERANCE[dtype], TOLERANCE.get(r.dtype.name, 0)))


def close(name: str, got: np.ndarray, right: np.ndarray, tolerance: float) -> None:
    assert got.shape == right.shape, name
    if right.dtype.kind != "f":
        np.testing.assert_array_equal(got, right, err_msg=name)
        return
    allowed = 6 * tolerance * max(1.0, float(np.abs(right).max(initial=0)))
    np.testing.assert_allclose(got.astype(np.float64), right, rtol=0, atol=allowed, err_msg=name)


@pytest.mark.parametrize("name", CALLS)
def test_a_kernel_gives_the_same_bits_each_time(name, cuda):
    once, again = (to_host(call(cuda, name, np.float32, on_device)) for _ in range(2))
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))
