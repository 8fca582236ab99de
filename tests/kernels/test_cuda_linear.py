"""The matrix product on the GPU: by cuBLAS, by tensor cores, and the steps of the lesson."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from minicnn.backend.capture import capture
from minicnn.kernels import capturing, settings
from tests.kernels.device_arrays import ORDERS, close, there
from tests.kernels.test_cuda_tensor_cores import rounded
from tests.ops.values import normal

TYPES = (np.float16, np.float32, np.float64)
STEPS = ("threads", "tiles", "registers")
# rows, depth, columns: 16 and 64 are tiles of the lesson, 64 and 128 those of tensor cores
SIZES = [(1, 1, 1), (64, 16, 64), (70, 33, 65), (17, 40, 130), (16, 300, 20), (130, 64, 17)]
EMPTY = [
    ((0, 3), (3, 4)),
    ((3, 0), (0, 4)),
    ((3, 4), (4, 0)),
    ((0, 20, 20), (20, 20)),
    ((2, 3, 0), (0, 4)),
]


@pytest.fixture
def linear(cuda):
    return importlib.import_module("minicnn.kernels.cuda.linear")


@pytest.fixture
def steps(cuda):
    return importlib.import_module("minicnn.kernels.cuda._product_steps")


def turned(x):
    """A copy on the device that lies as the transposed matrix does."""
    return there(x.swapaxes(-1, -2)).swapaxes(-1, -2)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_the_steps_of_the_lesson_agree_to_the_bit(size, dtype, steps):
    rows, depth, columns = size
    a, b = (normal(i, *s).astype(dtype) for i, s in enumerate([(rows, depth), (depth, columns)]))
    found = [steps.product(there(a), turned(b), step) for step in STEPS]
    close(found[0], a.astype(np.float64) @ b.astype(np.float64), dtype, np.sqrt(depth))
    for other in found[1:]:
        np.testing.assert_array_equal(other.get(), found[0].get())


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("shapes", EMPTY[:3])
def test_the_steps_of_the_lesson_with_nothing_to_do(shapes, step, steps):
    a, b = map(np.ones, shapes)
    np.testing.assert_array_equal(steps.product(there(a), there(b), step).get(), a @ b)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
@pytest.mark.parametrize("dtype", TYPES)
def test_any_shape(dtype, precision, cuda, monkeypatch):
    """As NumPy's; the stand-in's cuBLAS does not round to TF32."""
    monkeypatch.setattr(settings, "matrix_precision", precision)
    pairs = [((20, 33), (33, 18)), ((2, 3, 20, 33), (33, 18)), ((3, 20, 33), (3, 33, 18)),
             ((33,), (33, 18)), ((20, 33), (33,)), ((33,), (33,)), ((20, 33), (3, 33, 18)),
             *EMPTY]  # fmt: skip
    for shapes in pairs:
        a, b = (normal(i, *shape).astype(dtype) for i, shape in enumerate(shapes))
        right = a.astype(np.float64) @ b.astype(np.float64)
        y = cuda.matmul(there(a), there(b))
        assert y.dtype == dtype
        assert y.shape == right.shape
        coarse = precision == "bfloat16" and dtype == np.float32
        tolerance = 0.2 if coarse or dtype == np.float16 else 1e-4
        np.testing.assert_allclose(y.get().astype(np.float64), right, atol=tolerance)


@pytest.mark.parametrize("left", [*ORDERS[::2], turned])
@pytest.mark.parametrize("right", [*ORDERS[::2], turned])
@pytest.mark.parametrize("size", SIZES[1:])
def test_bfloat16_rounds_the_factors_and_nothing_else(size, left, right, cuda, monkeypatch):
    monkeypatch.setattr(settings, "matrix_precision", "bfloat16")
    rows, depth, columns = size
    a, b = normal(1, rows, depth), normal(2, depth, columns)
    a, b = a.astype(np.float32), b.astype(np.float32)
    y = cuda.matmul(left(a), right(b)).get()
    exact = rounded(a, "bfloat16") @ rounded(b, "bfloat16")
    np.testing.assert_allclose(y, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_small_products_and_other_types_are_not_rounded(cuda, monkeypatch):
    monkeypatch.setattr(settings, "matrix_precision", "bfloat16")
    for dtype, rows in ((np.float32, 15), (np.float64, 40)):
        a, b = normal(1, rows, 40).astype(dtype), normal(2, 40, 40).astype(dtype)
        np.testing.assert_allclose(cuda.matmul(there(a), there(b)).get(), a @ b, atol=1e-5)
    numbers = np.arange(24)
    y = cuda.matmul(there(numbers.reshape(4, 6)), there(numbers.reshape(6, 4)))
    np.testing.assert_array_equal(y.get(), numbers.reshape(4, 6) @ numbers.reshape(6, 4))


class Cublas:
    """Plays what CuPy tells cuBLAS."""

    def __init__(self):
        self.now, self.told = 1, []

    def get_compute_type(self, dtype):
        return self.now

    def set_compute_type(self, dtype, kind):
        assert dtype == np.float32
        self.now = kind
        self.told.append(kind)


def test_cublas_is_told_when_the_setting_changes(linear, monkeypatch):
    core = Cublas()
    monkeypatch.setattr(linear.cupy, "_core", core, raising=False)
    a = there(np.ones((2, 2), np.float32))
    for precision in ("float32", "tf32", "tf32", "bfloat16", "tf32", "float32"):
        monkeypatch.setattr(settings, "matrix_precision", precision)
        linear.matmul(a, a)
        linear.matmul(a.astype(np.float64), a)  # not cuBLAS's float32
    assert core.told == [7, 1, 7, 1]
    monkeypatch.setattr(linear._tensor_cores._launch, "capability", lambda: 75)
    monkeypatch.setattr(settings, "matrix_precision", "tf32")
    linear.matmul(a, a)
    assert core.told == [7, 1, 7, 1]  # such a card has no TF32


def no_cublas(*_):
    raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


@pytest.mark.parametrize("precision", ["float32", "tf32"])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_captured_product_asks_no_cublas(dtype, precision, cuda, device, linear, monkeypatch):
    """CuPy refuses to call it in a capture; kernels of our own do any shape, with the same bits."""
    monkeypatch.setattr(settings, "matrix_precision", precision)
    monkeypatch.setattr(linear.cupy, "_core", Cublas(), raising=False)
    pairs = [((20, 33), (33, 18)), ((2, 3, 20, 33), (33, 18)), ((3, 20, 33), (3, 33, 18)),
             ((33,), (33, 18)), ((20, 33), (33,)), ((33,), (33,)), ((20, 33), (3, 33, 18)),
             ((2, 1, 5, 4), (3, 4, 6)), *EMPTY]  # fmt: skip
    monkeypatch.setattr(linear.cupy.ndarray, "__matmul__", no_cublas)
    for shapes in pairs:
        a, b = (normal(i, *shape).astype(dtype) for i, shape in enumerate(shapes))
        left, right = (turned(x) if x.ndim > 1 else there(x) for x in (a, b))
        with capturing.alike():
            before = cuda.matmul(left, right)
        with capture(device) as work:
            y = cuda.matmul(left, right)
        work.replay()
        exact = a.astype(np.float64) @ b.astype(np.float64)
        assert (y.shape, y.dtype) == (exact.shape, dtype)
        tolerance = 0.1 if dtype == np.float16 or precision == "tf32" else 1e-4
        np.testing.assert_allclose(y.get().astype(np.float64), exact, atol=tolerance)
        np.testing.assert_array_equal(y.get(), before.get())
