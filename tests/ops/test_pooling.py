"""Pooling against loops over the pixels of each window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import (
    avg_pool2d,
    global_avg_pool2d,
    global_max_pool2d,
    max_pool2d,
    max_unpool2d,
)
from tests.ops.driver import proof_of
from tests.ops.loops import geometry, pair, taps
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import distinct, normal, seeds

INF, NAN = math.inf, math.nan


def windows(x, size, stride, padding):
    """Return {(n, c, i, j): [(h, w), ...]}, the pixels in each window, row by row."""
    stride = size if stride is None else stride
    _, lengths = geometry(x.shape[2:], size, stride, padding)
    inside: dict[Any, list[Any]] = {at: [] for at in np.ndindex(*x.shape[:2], *lengths)}
    for i, j, _, _, h, w in taps(x.shape[2:], size, stride, padding):
        for n, c in np.ndindex(*x.shape[:2]):
            inside[n, c, i, j].append((h, w))
    return inside, (*x.shape[:2], *lengths)


def max_definition(x, size, stride=None, padding=0):
    """The largest of the real pixels in each window."""
    inside, shape = windows(x, size, stride, padding)
    y = np.empty(shape)
    for (n, c, i, j), pixels in inside.items():
        y[n, c, i, j] = max(x[n, c, h, w] for h, w in pixels)
    return y


def winners(x, size, stride=None, padding=0):
    """The place h * W + w of the largest pixel of each window; the first of equal ones."""
    inside, shape = windows(x, size, stride, padding)
    at = np.empty(shape, np.int32)
    for (n, c, i, j), pixels in inside.items():
        h, w = max(pixels, key=lambda p, n=n, c=c: x[n, c, p[0], p[1]])
        at[n, c, i, j] = h * x.shape[3] + w
    return at


def unpool_definition(x, winner, image_shape):
    y = np.zeros(image_shape)
    for n, c, i, j in np.ndindex(*x.shape):
        y[n, c, winner[n, c, i, j] // image_shape[3], winner[n, c, i, j] % image_shape[3]] += x[
            n, c, i, j
        ]
    return y


def avg_definition(x, size, stride=None, padding=0, count_include_pad=True):
    """The mean of each window: of all its places, or of its real pixels."""
    inside, shape = windows(x, size, stride, padding)
    y = np.empty(shape)
    for (n, c, i, j), pixels in inside.items():
        count = math.prod(pair(size)) if count_include_pad else len(pixels)
        y[n, c, i, j] = math.fsum(x[n, c, h, w] for h, w in pixels) / count
    return y


def global_definition(summary):
    def definition(x):
        y = np.empty(x.shape[:2])
        for n, c in np.ndindex(*y.shape):
            y[n, c] = summary([x[n, c, h, w] for h, w in np.ndindex(*x.shape[2:])])
        return y

    return definition


@st.composite
def windows_of(draw: st.DrawFn, x: Any = distinct, average: bool = False) -> Case:
    image = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    most = [min(n, 4) for n in image]
    size = draw(st.tuples(*(st.integers(1, k) for k in most)))
    if draw(st.booleans()) and min(most) >= size[0]:
        size = size[0]  # square
    sizes = pair(size)
    options: dict[str, Any] = {"size": size}
    strides = st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 4), st.integers(1, 4)))
    if draw(st.booleans()):
        options["stride"] = draw(strides)
    before_after = [st.tuples(*[st.integers(0, min(k - 1, 2))] * 2) for k in sizes]
    options["padding"] = draw(
        st.one_of(
            st.sampled_from(["valid", "same"]),
            st.integers(0, min(sizes) - 1),
            st.tuples(*(st.integers(0, k - 1) for k in sizes)),
            st.tuples(*before_after),
        )
    )
    if average:
        options["count_include_pad"] = draw(st.booleans())
    return Case(
        (x(draw(seeds), draw(st.integers(1, 2)), draw(st.integers(1, 3)), *image),), options
    )


@st.composite
def winners_of(draw: st.DrawFn) -> Case:
    return _unpooling(draw(windows_of()), draw(seeds))


def _unpooling(case: Case, seed: int = 0) -> Case:
    (x,) = case.arrays
    winner = winners(x, **case.options)
    return Case((normal(seed, *winner.shape),), {"winner": winner, "image_shape": x.shape})


@st.composite
def whole_images(draw: st.DrawFn) -> Case:
    shape = draw(st.tuples(*[st.integers(1, 4)] * 4))
    return Case((distinct(draw(seeds), *shape),))


def _edges(**more: Any) -> dict[str, Case]:
    calls: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "empty": ((0, 2, 4, 4), {"size": 2}),
        "1x1 map": ((2, 3, 1, 1), {"size": 1}),
        "1x1 map, 3x3 same": ((2, 3, 1, 1), {"size": 3, "padding": "same"}),
        "stride beyond the window": ((1, 2, 7, 8), {"size": 2, "stride": (3, 4)}),
        "overlapping": ((2, 2, 5, 6), {"size": 3, "stride": 1, "padding": 1}),
        "whole image": ((2, 2, 4, 5), {"size": (4, 5)}),
        "padded after only": ((1, 1, 3, 3), {"size": 2, "padding": ((0, 1), (0, 1))}),
        "same, stride 2, even": ((1, 2, 6, 6), {"size": 3, "stride": 2, "padding": "same"}),
        "more images than pieces of work": ((19, 1, 2, 2), {"size": 2}),
    }
    return {
        name: Case((distinct(len(name), *shape),), {**options, **more})
        for name, (shape, options) in calls.items()
    }


def _overlap_assigned(pull, g, x, size, stride=None, **options):
    """`=` for `+=` where windows overlap: the last window wins."""
    at = winners(x, size, stride, **options)
    d = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*at.shape):
        d[n, c, at[n, c, i, j] // x.shape[3], at[n, c, i, j] % x.shape[3]] = g[n, c, i, j]
    return [d]


def _everywhere(pull, g, x, size, stride=None, **options):
    """Every pixel of the window gets the gradient, not only the winner."""
    inside, _ = windows(x, size, stride, **options)
    d = np.zeros(x.shape)
    for (n, c, i, j), pixels in inside.items():
        for h, w in pixels:
            d[n, c, h, w] += g[n, c, i, j]
    return [d]


def _without_option(name):
    def mutant(y, x, **options):
        rest = {k: v for k, v in options.items() if k != name}
        other = max_pool2d(Tensor(x), **rest).data
        return other if other.shape == y.shape else y + 1

    return mutant


def _padded_with_zero(y, x, size, stride=None, padding=0):
    stride = size if stride is None else stride
    pads, _ = geometry(x.shape[2:], size, stride, padding)
    wide = np.pad(x, [(0, 0), (0, 0), *pads])
    return max_definition(wide, size, stride, 0)


def _shift(axis: int):
    return lambda pull, g, x, **o: [np.roll(d, 1, axis) for d in pull(g, x, **o)]


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def _errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(t(3, 4, 4), 2),
            ShapeError,
            rf"{name}: needs images \(N, C, H, W\) with pixels, got shape \(3, 4, 4\)",
        ),
        ErrorCase(
            lambda: op(t(1, 1, 0, 5), 2, 1, 1),
            ShapeError,
            rf"{name}: needs images .* with pixels, got shape \(1, 1, 0, 5\)",
        ),
        ErrorCase(
            lambda: op(t(1, 1, 2, 2), 3),
            ShapeError,
            rf"{name}: window \(3, 3\) does not fit in image \(2, 2\) padded by .*; use a smaller",
        ),
        ErrorCase(
            lambda: op(t(1, 1, 4, 4), 2, padding=2),
            ConfigError,
            rf"{name}: padding 2 must be less than size 2, or a window sees no pixel",
        ),
        ErrorCase(
            lambda: op(t(1, 1, 4, 4), (2, 0)),
            ConfigError,
            rf"{name}: size must be an int or 2 ints, each >= 1, got \(2, 0\)",
        ),
        ErrorCase(
            lambda: op(t(1, 1, 4, 4), 2, stride="2"), ConfigError, f"{name}: stride must be an int"
        ),
        ErrorCase(
            lambda: op(t(1, 1, 4, 4), 2, padding=(1, (0, 1))),
            ConfigError,
            rf"{name}: padding must be 2 pairs \(before, after\), got",
        ),
    )


MAX_POOL2D = OpSpec(
    name="max_pool2d",
    op=max_pool2d,
    cases=windows_of(),
    oracle=max_definition,
    integers=Case((np.arange(-20, 12).reshape(1, 2, 4, 4),), {"size": 3, "padding": 1}),
    edges=_edges(),
    special={
        "padding never wins": Special(
            Case((np.full((1, 1, 2, 2), -5.0),), {"size": 2, "stride": 1, "padding": 1}),
            np.full((1, 1, 3, 3), -5.0),
        ),
        "NaN shows": Special(
            Case((np.array([[[[1, NAN], [3, 2]]]]),), {"size": 2}), np.full((1, 1, 1, 1), NAN)
        ),
        "NaN shows in its windows only": Special(
            Case((np.array([[[[NAN, 1, 0, 5]]]]),), {"size": (1, 2), "stride": 1}),
            [[[[NAN, 1, 5]]]],
        ),
        "-inf everywhere": Special(
            Case((np.full((1, 1, 2, 2), -INF),), {"size": 2, "padding": 1, "stride": 1}),
            np.full((1, 1, 3, 3), -INF),
        ),
        "infinity wins": Special(Case((np.array([[[[INF, 1]]]]),), {"size": (1, 2)}), [[[[INF]]]]),
    },
    errors=_errors(max_pool2d, "max_pool2d"),
    forward_mutants={
        "padded with 0": _padded_with_zero,
        "smallest": lambda y, x, **o: -max_definition(-x, **o),
        "of the absolute value": lambda y, x, **o: max_definition(abs(x), **o),
        "padding ignored": _without_option("padding"),
    },
    backward_mutants={
        "= for += where windows overlap": _overlap_assigned,
        "to every pixel": _everywhere,
        "to the smallest": lambda pull, g, x, **o: pull(g, -x, **o),
        "one pixel to the right": _shift(3),
        "one pixel down": _shift(2),
        "the next channel's winner": lambda pull, g, x, **o: pull(g, np.roll(x, 1, 1), **o),
    },
    summands=lambda case: 16,
)

_POOLED = distinct(0, 1, 1, 4, 4)

MAX_UNPOOL2D = OpSpec(
    name="max_unpool2d",
    op=max_unpool2d,
    cases=winners_of(),
    oracle=unpool_definition,
    integers=Case(
        (np.arange(4).reshape(1, 1, 2, 2),),
        {"winner": winners(_POOLED, 2), "image_shape": (1, 1, 4, 4)},
    ),
    edges={name: _unpooling(case) for name, case in _edges().items()},
    errors=(
        ErrorCase(
            lambda: max_unpool2d(t(1, 1, 2, 2), np.zeros((1, 1, 2, 1), np.int32), (1, 1, 4, 4)),
            ShapeError,
            r"max_unpool2d: x \(1, 1, 2, 2\), winner \(1, 1, 2, 1\) and image_shape \(1, 1, 4, 4\)",
        ),
        ErrorCase(
            lambda: max_unpool2d(t(1, 1, 1, 1), np.full((1, 1, 1, 1), 16), (1, 1, 4, 4)),
            ConfigError,
            "winners from 16 to 16 are not all places 0 ... 15 of an image",
        ),
    ),
    forward_mutants={
        "= for +=": lambda y, x, winner, image_shape: _overwritten(x, winner, image_shape),
        "rows and columns exchanged": lambda y, x, **o: y.swapaxes(2, 3).reshape(y.shape),
    },
    backward_mutants={
        "one pixel to the right": lambda pull, g, *a, **o: pull(np.roll(g, 1, 3), *a, **o),
        "of the next channel": lambda pull, g, *a, **o: pull(np.roll(g, 1, 1), *a, **o),
    },
    summands=lambda case: 16,
    examples=100,
)


def _overwritten(x, winner, image_shape):
    y = np.zeros((*image_shape[:2], image_shape[2] * image_shape[3]))
    np.put_along_axis(
        y, winner.reshape(*image_shape[:2], -1).astype(int), x.reshape(*x.shape[:2], -1), 2
    )
    return y.reshape(image_shape)


def _divided_by_all(pull, g, x, **options):
    return pull(g, x, **{**options, "count_include_pad": True})


AVG_POOL2D = OpSpec(
    name="avg_pool2d",
    op=avg_pool2d,
    cases=windows_of(normal, average=True),
    oracle=avg_definition,
    integers="avg_pool2d: needs floats, got int64",
    edges={
        **_edges(),
        **{f"{name}, real pixels only": c for name, c in _edges(count_include_pad=False).items()},
    },
    special={
        "NaN stays in its window": Special(
            Case((np.array([[[[NAN, 1, 3, 5]]]]),), {"size": (1, 2)}), [[[[NAN, 4]]]]
        ),
        "infinities": Special(
            Case((np.array([[[[INF, 1, -INF, INF]]]]),), {"size": (1, 2)}), [[[[INF, NAN]]]]
        ),
        "padding counts": Special(
            Case((np.ones((1, 1, 1, 1)),), {"size": 2, "padding": 1, "stride": 1}),
            np.full((1, 1, 2, 2), 0.25),
        ),
        "padding does not count": Special(
            Case(
                (np.ones((1, 1, 1, 1)),),
                {"size": 2, "padding": 1, "stride": 1, "count_include_pad": False},
            ),
            np.ones((1, 1, 2, 2)),
        ),
    },
    errors=(
        *_errors(avg_pool2d, "avg_pool2d"),
        ErrorCase(
            lambda: avg_pool2d(t(1, 1, 4, 4, dtype=np.int32), 2),
            DTypeError,
            r"avg_pool2d: needs floats, got int32; use .astype\('float32'\)",
        ),
    ),
    forward_mutants={
        "sum": lambda y, x, size, **o: y * math.prod(pair(size)),
        "padding always counts": lambda y, x, **o: avg_definition(
            x, **{**o, "count_include_pad": True}
        ),
        "padding never counts": lambda y, x, **o: avg_definition(
            x, **{**o, "count_include_pad": False}
        ),
    },
    backward_mutants={
        "divided by the whole window": _divided_by_all,
        "divided by the real pixels": lambda pull, g, x, **o: pull(
            g, x, **{**o, "count_include_pad": False}
        ),
        "not divided": lambda pull, g, x, size, **o: [
            math.prod(pair(size)) * d for d in pull(g, x, size=size, **o)
        ],
        "one pixel to the right": _shift(3),
    },
    summands=lambda case: 16,
)

_IMAGE_EDGES = {
    "empty": Case((np.zeros((0, 2, 3, 4)),)),
    "1x1 map": Case((distinct(0, 2, 3, 1, 1),)),
    "one row": Case((distinct(0, 2, 3, 1, 5),)),
}


def _image_errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(t(2, 3)), ShapeError, rf"{name}: needs images \(N, C, H, W\) .* \(2, 3\)"
        ),
        ErrorCase(lambda: op(t(2, 3, 0, 2)), ShapeError, r"with pixels, got shape \(2, 3, 0, 2\)"),
    )


GLOBAL_AVG_POOL2D = OpSpec(
    name="global_avg_pool2d",
    op=global_avg_pool2d,
    cases=whole_images(),
    oracle=global_definition(lambda v: math.fsum(v) / len(v)),
    integers=Case((np.arange(24).reshape(2, 3, 2, 2),)),
    edges=_IMAGE_EDGES,
    special={"NaN shows": Special(Case((np.array([[[[NAN, 1]], [[1, 2]]]]),)), [[NAN, 1.5]])},
    errors=_image_errors(global_avg_pool2d, "global_avg_pool2d"),
    forward_mutants={
        "sum": lambda y, x: x.sum((2, 3)),
        "median": lambda y, x: np.median(x, (2, 3)),
    },
    backward_mutants={"not divided": lambda pull, g, x: [d * x[0, 0].size for d in pull(g, x)]},
    summands=lambda case: 16,
)

GLOBAL_MAX_POOL2D = OpSpec(
    name="global_max_pool2d",
    op=global_max_pool2d,
    cases=whole_images(),
    oracle=global_definition(max),
    integers=Case((np.arange(24).reshape(2, 3, 2, 2),)),
    edges=_IMAGE_EDGES,
    special={
        "NaN shows": Special(Case((np.array([[[[NAN, 1]], [[1, 2]]]]),)), [[NAN, 2]]),
        "-inf": Special(Case((np.full((1, 1, 2, 2), -INF),)), [[-INF]]),
    },
    errors=_image_errors(global_max_pool2d, "global_max_pool2d"),
    forward_mutants={
        "mean": lambda y, x: x.mean((2, 3)),
        "not below 0": lambda y, x: np.maximum(y, 0),
    },
    backward_mutants={
        "to the smallest": lambda pull, g, x: pull(g, -x),
        "to every pixel": lambda pull, g, x: [np.broadcast_to(g[:, :, None, None], x.shape).copy()],
    },
)

SPECS = (MAX_POOL2D, MAX_UNPOOL2D, AVG_POOL2D, GLOBAL_AVG_POOL2D, GLOBAL_MAX_POOL2D)
TestPooling = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("fill", [1.0, 0.0, -INF, INF, NAN])
def test_the_first_of_equal_pixels_gets_the_whole_gradient(fill, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.full((1, 1, 4, 4), fill), requires_grad=True)
    max_pool2d(x, 2).backward(np.array([[[[1.0, 2.0], [3.0, 4.0]]]]))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = [[1, 2], [3, 4]]
    np.testing.assert_array_equal(x.grad.data[0, 0], expected)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_padding_gets_no_gradient_even_of_equal_pixels(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.full((1, 1, 2, 2), -INF), requires_grad=True)
    max_pool2d(x, 2, stride=1, padding=1).backward(np.ones((1, 1, 3, 3)))
    assert x.grad.data.sum() == 9


@pytest.mark.parametrize("jit", ["1", "0"])
def test_the_first_nan_of_a_window_gets_the_gradient(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = Tensor(np.array([[[[1.0, NAN], [NAN, INF]]]]), requires_grad=True)
    max_pool2d(x, 2).backward(np.ones((1, 1, 1, 1)))
    assert x.grad.data.tolist() == [[[[0, 1], [0, 0]]]]


def test_global_max_shares_the_gradient_of_ties():
    x = Tensor(np.array([[[[3.0, 1.0], [3.0, 3.0]]]]), requires_grad=True)
    global_max_pool2d(x).backward(np.array([[6.0]]))
    assert x.grad.data.tolist() == [[[[2, 0], [2, 2]]]]


def test_unpooling_undoes_pooling_without_overlap():
    x = distinct(0, 1, 2, 4, 6)
    y = max_pool2d(Tensor(x), 2)
    back = max_unpool2d(y, winners(x, 2), x.shape)
    np.testing.assert_array_equal(max_pool2d(back, 2).data >= y.data, True)
    assert np.count_nonzero(back.data) == y.size
