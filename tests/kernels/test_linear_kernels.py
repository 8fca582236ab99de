"""The matrix product in strips: NumPy's value for tall, wide, empty and stacked matrices."""

from __future__ import annotations

import importlib
from types import ModuleType

import numpy as np
import pytest

SHAPES = [
    ((300, 400), (400, 200)), ((60, 900), (900, 1100)), ((1, 5000), (5000, 3000)),
    ((3000, 2000), (2000, 1)), ((0, 3), (3, 4)), ((3, 0), (0, 4)), ((70, 90, 80), (70, 80, 60)),
    ((2, 300, 300), (2, 300, 300)), ((0, 3, 2), (0, 2, 4)), ((5, 3, 2), (2, 4)), ((7,), (7, 3)),
]  # fmt: skip


@pytest.fixture(scope="module")
def cpu() -> ModuleType:
    return importlib.import_module("minicnn.kernels.cpu")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_value_and_bits(shapes, turned, cpu, monkeypatch):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(s).astype(np.float32) for s in shapes)
    if turned and b.ndim > 1:
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)  # as dense has its weight
    found = []
    for threads in ("1", "2", "4"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        y = cpu.matmul(a, b)
        expected = a.astype(np.float64) @ b.astype(np.float64)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, expected, rtol=0, atol=2e-6 * np.sqrt(a.shape[-1] + 1) * 4)
        found.append(y.tobytes())
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    "shapes", [((3, 4), (5, 6)), ((2, 3, 4), (2, 5, 6)), ((2, 3, 4), (3, 4, 5))]
)
def test_shapes_that_do_not_fit(shapes, cpu):
    with pytest.raises(ValueError, match=r"mismatch|broadcast"):
        cpu.matmul(*(np.ones(s, np.float32) for s in shapes))
