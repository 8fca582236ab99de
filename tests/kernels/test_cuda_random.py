"""Random words, and dropout that makes its own, have the bits of the CPU."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.kernels import cpu, plain
from minicnn.ops import alpha_dropout, dropout, spatial_dropout

SHAPES = [(2, 5, 7, 3), (3, 33, 4), (2, 6, 2, 3, 2), (2000,), (), (0, 3, 2), (2, 3, 1, 1), (3, 5)]
RATES = [0.3, 0.9999]


def channels_last(x):
    if x.ndim < 3:
        return x
    return (
        x.transpose(0, *range(2, x.ndim), 1).copy().transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    )


LAYOUTS = {
    "rows": lambda x: x,
    "channels last": channels_last,
    "columns": lambda x: x.T.copy().T,
    "backwards": lambda x: x[::-1] if x.ndim else x,
}


@pytest.mark.parametrize("first", [0, 5, 2**32 - 3])
@pytest.mark.parametrize("blocks", [0, 1, 700])
def test_philox_has_the_bits_of_the_cpu(cuda, first, blocks):
    key, stream = 2**64 - 7, 2**63 + 11
    words = cuda.philox_words(key, stream, first, blocks)
    np.testing.assert_array_equal(words.get(), plain.philox_words(key, stream, first, blocks))


def numbers(shape, dtype):
    x = np.asarray(Stream(1, "drop").normal(shape)).astype(dtype)
    if x.size > 2:
        x.reshape(-1)[:2] = np.nan, np.inf
    return x


def assert_same(found, expected):
    """The same numbers, with the same sign of 0."""
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
    real = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(found)[real], np.signbit(expected)[real])


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # inf * 0
def test_drop_has_the_bits_of_the_cpu(cuda, dtype, shape, layout):
    import cupy

    x = numbers(shape, dtype)
    if layout == "backwards" and x.ndim:
        x = x[::-1].copy()
    there = LAYOUTS[layout](cupy.asarray(x))
    x = LAYOUTS[layout](x)
    stream = Stream(3, "drop")
    stream.position = 9
    counter = stream.take(0)
    for lead in {x.ndim, min(2, x.ndim)}:
        spread = max(1, math.prod(shape[lead:]))
        for rate in RATES:
            settings = counter, rate, 1 / (1 - rate), spread
            expected = plain.drop(x, *settings)
            assert_same(cuda.drop(there, *settings).get(), expected)
            assert_same(cpu.drop(x, *settings), expected)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.999999999])
def test_drop_follows_the_numbers_of_the_stream(rate):
    """The k-th element is dropped if the k-th number of the stream is below the rate."""
    x = numbers((41, 5), np.float32)
    stream = Stream(7)
    scale = 1 / (1 - rate)
    found = [k.drop(x, stream.child().take(0), rate, scale, 1) for k in (plain, cpu)]
    kept = stream.uniform(x.shape, dtype=np.float32) >= rate
    for y in found:
        assert_same(y, x * (kept * np.float32(scale)))


@pytest.mark.parametrize("op", [dropout, spatial_dropout, alpha_dropout])
@pytest.mark.parametrize("layout", ["rows", "channels last"])
def test_ops_have_the_bits_of_the_cpu(cuda, op, layout):
    import cupy

    image = np.asarray(Stream(0).normal((2, 5, 3, 3), dtype=np.float32))
    results = []
    for asarray in (np.asarray, cupy.asarray):
        x = Tensor(LAYOUTS[layout](asarray(image)), requires_grad=True)
        stream = Stream(5, "drop")
        y = op(op(x, 0.4, stream), 0.4, stream)
        (y * y).sum().backward()
        results.append((y.numpy(), x.grad.numpy(), stream.position))
    (y, grad, position), (y_there, grad_there, position_there) = results
    assert position == position_there
    assert_same(y_there, y)
    assert_same(grad_there, grad)
