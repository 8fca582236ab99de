"""Max pooling and unpooling, in one to three dimensions, against loops over each window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from tests.ops.driver import for_all, proof_of
from tests.ops.pooling_loops import (
    INF,
    NAN,
    across,
    axes_of,
    edges,
    ones,
    pooled,
    row,
    scattered,
    sliding,
    window_errors,
    windows,
    winners,
)
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import distinct, normal, seeds

RANKS = (1, 2, 3)
MAX = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}
UNPOOL = {1: ops.max_unpool1d, 2: ops.max_unpool2d, 3: ops.max_unpool3d}


def max_definition(x, **window):
    """The largest of the real pixels in each window."""
    return pooled(x, axes_of(x.shape[2:], **window), lambda values, _: max(values))


def unpool_definition(x, indices, image_shape):
    return scattered(x, indices, image_shape, add=True)


def _overlap_assigned(pull, g, x, **window):
    """`=` for `+=` where windows overlap: the last window wins."""
    return [scattered(g, winners(x, axes_of(x.shape[2:], **window)), x.shape, add=False)]


def _to_every_pixel(pull, g, x, **window):
    d = np.zeros(x.shape)
    for at, pixels, _ in windows(axes_of(x.shape[2:], **window)):
        for p in pixels:
            d[(slice(None), slice(None), *p)] += g[(slice(None), slice(None), *at)]
    return [d]


def _ties_counted_twice(pull, g, x, **window):
    """All of what is equal, to whole numbers, gets the gradient."""
    return pull(g, np.round(2 * x), **window)


def _without(name):
    """Ignore an option; outputs that are not there then are 0."""

    def mutant(y, x, **window):
        rest = {k: v for k, v in window.items() if k != name}
        other, wrong = max_definition(x, **rest), np.zeros_like(y)
        both = tuple(slice(min(a, b)) for a, b in zip(y.shape, other.shape, strict=True))
        wrong[both] = other[both]
        return wrong

    return mutant


def _padded_with_zero(y, x, **window):
    """A window with a place in the padding is not below 0."""
    size = math.prod(window["size"]) if isinstance(window["size"], tuple) else None
    axes = axes_of(x.shape[2:], **window)
    whole = (size or window["size"] ** (x.ndim - 2)) if x.size else 0
    return pooled(x, axes, lambda v, _: max(v) if len(v) == whole else max(*v, 0.0))


def _max_spec(rank: int) -> OpSpec:
    name = f"max_pool{rank}d"
    op = MAX[rank]
    steps = {"size": across(2, rank), "stride": 1}
    padded = {**steps, "padding": across((1, 1), rank, (0, 0))}
    return OpSpec(
        name=name,
        op=op,
        cases=sliding(rank),
        oracle=max_definition,
        integers=Case(
            (np.arange(-20, -20 + 2 * 4**rank).reshape(1, 2, *(4,) * rank),),
            {"size": 3, "padding": 1},
        ),
        edges=edges(rank),
        special={
            "padding never wins": Special(
                Case((row([-5, -6], rank),), padded), row([-5, -5, -6], rank)
            ),
            "NaN shows in its windows only": Special(
                Case((row([NAN, 1, 0, 5, NAN, NAN], rank),), steps),
                row([NAN, 1, 5, NAN, NAN], rank),
            ),
            "-inf everywhere": Special(
                Case((row([-INF, -INF], rank),), padded), row([-INF] * 3, rank)
            ),
            "infinity wins": Special(
                Case((row([INF, 1], rank),), {"size": across(2, rank)}), row([INF], rank)
            ),
        },
        errors=window_errors(op, name, rank),
        forward_mutants={
            "padded with 0": _padded_with_zero,
            "smallest": lambda y, x, **o: -max_definition(-x, **o),
            "of the absolute value": lambda y, x, **o: max_definition(abs(x), **o),
            "padding ignored": _without("padding"),
            "dilation ignored": _without("dilation"),
            "window of ceil_mode ignored": _without("ceil_mode"),
        },
        backward_mutants={
            "= for += where windows overlap": _overlap_assigned,
            "to every pixel": _to_every_pixel,
            "to the smallest": lambda pull, g, x, **o: pull(g, -x, **o),
            "one pixel to the right": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, -1)],
            "one pixel on, along the first axis": lambda pull, g, x, **o: [
                np.roll(pull(g, x, **o)[0], 1, 2)
            ],
            "the next channel's winner": lambda pull, g, x, **o: pull(g, np.roll(x, 1, 1), **o),
            "of rounded numbers": _ties_counted_twice,
        },
        summands=lambda case: 27,
    )


def _unpooling(case: Case, seed: int = 0) -> Case:
    (x,) = case.arrays
    places = winners(x, axes_of(x.shape[2:], **case.options))
    return Case((normal(seed, *places.shape),), {"indices": places, "image_shape": x.shape})


@st.composite
def winners_of(draw: st.DrawFn, rank: int) -> Case:
    return _unpooling(draw(sliding(rank)), draw(seeds))


def _unpool_errors(op: Any, name: str, rank: int) -> tuple[ErrorCase, ...]:
    image, small = (4,) * rank, (2,) * rank
    places = np.zeros((1, 1, *small), np.int32)
    return (
        ErrorCase(
            lambda: op(ones(1, 1, *small), places[..., :1], (1, 1, *image)),
            ShapeError,
            rf"{name}: x \(1, 1, 2.*\) and indices \(1, 1.* 1\) must have one shape, and "
            r"image_shape \(1, 1, 4.*\) be that of .* with as many images and channels",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *small), places, (2, 1, *image)), ShapeError, "image_shape"
        ),
        ErrorCase(lambda: op(ones(1, 1, *small), places, image), ShapeError, "image_shape"),
        ErrorCase(
            lambda: op(ones(1, 1, *small), places.astype(np.float32), (1, 1, *image)),
            DTypeError,
            rf"{name}: indices must be whole numbers, got float32; use .astype\(int\)",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *small), Tensor(places + 4**rank), (1, 1, *image)),
            ConfigError,
            rf"{name}: indices from {4**rank} to {4**rank} are not all places 0 ... "
            rf"{4**rank - 1} of an image \(1, 1, 4",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *small), on_gpu(1, 1, *small), (1, 1, *image)),
            DeviceError,
            rf"{name}: x is on cpu, indices are on cuda:0; move them with .to\(...\)",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *small), places - 1, (1, 1, *image)),
            ConfigError,
            "from -1 to -1",
        ),
    )


def _transposed(y, x, indices, image_shape):
    """The winners' rows and columns, counted from the wrong end."""
    pixels = math.prod(image_shape[2:])
    return scattered(x, pixels - 1 - indices, image_shape, add=True)


def _unpool_spec(rank: int) -> OpSpec:
    name, op = f"max_unpool{rank}d", UNPOOL[rank]
    pooled_image = distinct(0, 1, 1, *(4,) * rank)
    places = winners(pooled_image, axes_of(pooled_image.shape[2:], size=2))
    return OpSpec(
        name=name,
        op=op,
        cases=winners_of(rank),
        oracle=unpool_definition,
        integers=Case(
            (np.arange(2**rank).reshape(1, 1, *(2,) * rank),),
            {"indices": places, "image_shape": pooled_image.shape},
        ),
        edges={name: _unpooling(case) for name, case in edges(rank).items()},
        special={
            "NaN": Special(
                Case(
                    (row([NAN, 2], rank),),
                    {"indices": row([2, 0], rank).astype(int), "image_shape": (*(1,) * rank, 1, 3)},
                ),
                row([2, 0, NAN], rank),
            )
        },
        errors=_unpool_errors(op, name, rank),
        forward_mutants={
            "= for +=": lambda y, x, indices, image_shape: scattered(
                x, indices, image_shape, add=False
            ),
            "counted from the end": _transposed,
        },
        backward_mutants={
            "one pixel to the right": lambda pull, g, *a, **o: pull(np.roll(g, 1, -1), *a, **o),
            "of the next channel": lambda pull, g, *a, **o: pull(np.roll(g, 1, 1), *a, **o),
        },
        summands=lambda case: 27,
    )


SPECS = (*map(_max_spec, RANKS), *map(_unpool_spec, RANKS))
TestPooling = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("rank", RANKS)
def test_indices_are_the_places_of_the_first_winners(rank, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)

    def check(case: Case) -> None:
        (x,) = case.arrays
        for values in (x, np.round(x), np.where(x > 1, NAN, np.round(x)), np.full_like(x, -INF)):
            y, indices = MAX[rank](Tensor(values), **case.options, return_indices=True)
            assert indices.dtype == np.int64
            assert not indices.requires_grad
            expected = winners(values, axes_of(x.shape[2:], **case.options))
            np.testing.assert_array_equal(indices.data, expected)
            taken = values.reshape(*x.shape[:2], -1)
            taken = np.take_along_axis(taken, expected.reshape(*x.shape[:2], -1), 2)
            np.testing.assert_array_equal(y.data, taken.reshape(y.shape))

    for_all(sliding(rank), check, 25)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint8, np.bool_])
def test_other_types_of_numbers(dtype):
    x = (distinct(0, 2, 2, 4, 5) * 50).astype(dtype)
    y, indices = ops.max_pool2d(Tensor(x), 3, 2, 1, return_indices=True)
    assert y.dtype == dtype
    axes = axes_of((4, 5), 3, 2, 1)
    np.testing.assert_array_equal(indices.data, winners(x, axes))
    np.testing.assert_array_equal(y.data, pooled(x, axes, lambda v, _: max(v)).astype(dtype))


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("fill", [1.0, 0.0, -INF, INF, NAN])
def test_the_first_of_equal_pixels_gets_the_whole_gradient(fill, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.full((1, 1, 4, 4), fill), requires_grad=True)
    ops.max_pool2d(x, 2).backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(x.grad.data[0, 0], expected)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_padding_gets_no_gradient_even_of_equal_pixels(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.full((1, 1, 2, 2), -INF), requires_grad=True)
    ops.max_pool2d(x, 2, stride=1, padding=1).backward(np.ones((1, 1, 3, 3)))
    assert x.grad.data.sum() == 9


@pytest.mark.parametrize("jit", ["1", "0"])
def test_the_first_nan_of_a_window_gets_the_gradient(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.array([[[[1.0, NAN], [NAN, INF]]]]), requires_grad=True)
    ops.max_pool2d(x, 2).backward(np.ones((1, 1, 1, 1)))
    assert x.grad.data.tolist() == [[[[0, 1], [0, 0]]]]


@pytest.mark.parametrize(
    ("n", "size", "stride", "padding", "out"),
    [
        (6, 3, 2, 0, 3),  # 2.5 windows
        (5, 3, 2, 0, 2),  # all fit: none more
        (3, 2, 2, 1, 2),  # a third would start in the padding after the image
        (4, 2, 2, 1, 3),  # the third starts at the last pixel
        (4, 1, 3, 0, 2),  # 1 fits at pixel 3 already
        (2, 3, 2, 0, 1),  # not even one fits: a part of it
        (7, 2, 4, 0, 2),
    ],
)
def test_ceil_mode_by_hand(n, size, stride, padding, out):
    x = np.arange(n, dtype=np.float32).reshape(1, 1, n)
    y = ops.max_pool1d(Tensor(x), size, stride, padding, ceil_mode=True)
    assert y.shape == (1, 1, out)
    assert y.data.max() == n - 1 or stride > size


@pytest.mark.parametrize("rank", RANKS)
def test_unpooling_undoes_pooling_without_overlap(rank):
    x = Tensor(distinct(0, 2, 2, *(4,) * rank) + 3, requires_grad=True)
    y, indices = MAX[rank](x, 2, return_indices=True)
    back = UNPOOL[rank](y, indices, x.shape)
    np.testing.assert_array_equal(MAX[rank](back, 2).data, y.data)
    assert np.count_nonzero(back.data) == y.size
    g = np.asarray(normal(1, *x.shape))
    kept = np.where(back.data > 0, g, 0)
    np.testing.assert_array_equal(grad(back, x, g).data, kept)
