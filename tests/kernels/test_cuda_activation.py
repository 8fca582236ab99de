"""CUDA activations are the array expressions, in every memory order, far out as near 0."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import ORDERS, close, last, shifted, there

FORWARD = {
    "relu": (), "leaky_relu": (0.2,), "sigmoid": (), "silu": (1.5,), "elu": (1.2, 0.8, 1.1),
    "softplus": (1.5,), "softsign": (), "mish": (), "hard_swish": (), "hard_tanh": (-0.5, 0.7),
    "gelu": (), "gelu_tanh": (), "erf": (),
}  # fmt: skip
BACKWARD = {
    "relu_grad": (), "leaky_relu_grad": (0.2,), "sigmoid_grad": (), "silu_grad": (1.5,),
    "elu_grad": (1.2, 0.8, 1.1), "softplus_grad": (1.5,), "mish_grad": (), "hard_swish_grad": (),
    "hard_tanh_grad": (-0.5, 0.7), "gelu_grad": (), "gelu_tanh_grad": (),
}  # fmt: skip
TYPES = (np.float16, np.float32, np.float64)
SHAPES = ((), (1,), (3, 0, 2), (2, 3), (7, 5), (2, 3, 5, 7), (1, 9, 2, 3, 4))
FAR = (np.inf, -np.inf, np.nan, 0.0, -0.0, 40.0, -40.0, 700.0, -700.0, 3e4, -3e4, 1e30, -1e30)


def numbers(shape, dtype, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype(dtype)


def apply(name, *args):
    with np.errstate(all="ignore"):
        return getattr(plain, name)(*args)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FORWARD)
def test_forward(name, dtype, cuda):
    for shape in SHAPES:
        x = numbers(shape, dtype)
        right = apply(name, x.astype(np.float64), *FORWARD[name])
        for order in ORDERS if shape else (there,):
            close(getattr(cuda, name)(order(x), *FORWARD[name]), right, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", BACKWARD)
def test_gradients(name, dtype, cuda):
    for shape in SHAPES:
        g, x = numbers(shape, dtype, 1), numbers(shape, dtype)
        right = apply(name, g.astype(np.float64), x.astype(np.float64), *BACKWARD[name])
        for order in ORDERS if shape else (there,):
            got = getattr(cuda, name)(there(g), order(x), *BACKWARD[name])
            close(got, right, dtype, 2)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", FORWARD | BACKWARD)
def test_far_out(name, dtype, cuda):
    """Infinities, NaN and what overflows: as the array expression, computed in float32 at least."""
    with np.errstate(over="ignore"):
        x = np.array(FAR).astype(dtype)
    wide = x.astype(np.promote_types(dtype, np.float32))
    if name in FORWARD:
        right = apply(name, wide, *FORWARD[name])
        got = getattr(cuda, name)(there(x), *FORWARD[name])
    else:
        right = apply(name, np.full_like(wide, 2), wide, *BACKWARD[name])
        got = getattr(cuda, name)(there(np.full_like(x, 2)), there(x), *BACKWARD[name])
    close(got, right, dtype)


@pytest.mark.parametrize("name", ["silu", "mish", "gelu", "gelu_tanh"])
def test_minus_infinity_is_nothing(name, cuda):
    """-inf times 0 would be NaN."""
    y = getattr(cuda, name)(there(np.array([-np.inf], np.float32)), *FORWARD[name])
    np.testing.assert_array_equal(y.get(), [0.0])


def test_channels_last_memory_stays_so(cuda):
    x = numbers((2, 3, 5, 7), np.float32)
    assert cuda.relu(last(x)).transpose(0, 2, 3, 1).flags.c_contiguous
    assert cuda.gelu_grad(there(x), last(x)).transpose(0, 2, 3, 1).flags.c_contiguous
    assert cuda.relu(there(x)).flags.c_contiguous


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5, 7), (2, 70, 3, 3), (1, 1, 9), (0, 3, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_prelu(shape, shared, dtype, cuda):
    x, g = numbers(shape, dtype), numbers(shape, dtype, 1)
    slope = numbers(1 if shared else shape[1], dtype, 2)
    wide = [a.astype(np.float64) for a in (g, x, slope)]
    grad_x, grad_slope = plain.prelu_grad(*wide)
    for order in ORDERS:
        close(cuda.prelu(order(x), there(slope)), plain.prelu(*wide[1:]), dtype)
        found_x, found_slope = cuda.prelu_grad(there(g), order(x), shifted(slope))
        close(found_x, grad_x, dtype)
        close(found_slope, grad_slope, dtype, 30)  # sums


@pytest.mark.parametrize("channels", [1, 3, 65])
def test_slopes_of_many_pixels_are_summed_in_parts(channels, cuda):
    x, g = (numbers((2, channels, 120, 151), np.float32, s) for s in (0, 1))
    slope = numbers(channels, np.float32, 2)
    grad_x, grad_slope = plain.prelu_grad(*(a.astype(np.float64) for a in (g, x, slope)))
    found_x, found_slope = cuda.prelu_grad(last(g), last(x), there(slope))
    close(found_x, grad_x, np.float32)
    np.testing.assert_allclose(found_slope.get(), grad_slope, rtol=1e-4, atol=2e-3)


def test_whole_numbers_are_left_to_cupy(cuda):
    x = np.arange(-3, 4)
    np.testing.assert_array_equal(cuda.relu(there(x)).get(), np.maximum(x, 0))
    np.testing.assert_allclose(cuda.erf(there(x)).get(), plain.erf(x))
