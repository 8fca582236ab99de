"""Padding, against a walk over the elements and their mirror images."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, grad, pad
from minicnn.errors import ConfigError, DTypeError, ShapeError
from tests.autograd.moving import MOVED, call, whole, x_of
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import seeds, shapes

NAN, INF = math.nan, math.inf
MODES = ("constant", "reflect", "edge", "wrap")


@st.composite
def pads(draw: st.DrawFn) -> Case:
    shape = draw(shapes(0, 3))
    mode = draw(st.sampled_from(MODES))
    widths = []
    for n in shape:
        before, after = draw(st.integers(-1, 3)), draw(st.integers(-1, 5))
        left = n + min(before, 0) + min(after, 0)
        if left < (mode != "constant"):
            before, after = max(before, 0), max(after, 0)
        widths.append((before, after))
    options: dict[str, Any] = {"widths": tuple(widths), "mode": mode}
    if draw(st.booleans()):
        options["value"] = draw(st.sampled_from([-1.3, 7.1]))
    return call(shape, draw(seeds), **options)


def source(i: int, first: int, last: int, mode: str) -> int | None:
    """The place from first to last that place i is a copy of."""
    while not first <= i <= last:
        if mode == "constant":
            return None
        if mode == "edge":
            i = first if i < first else last
        elif mode == "wrap":
            i += (last - first + 1) * (1 if i < first else -1)
        elif first == last:
            i = first
        else:
            i = 2 * (first if i < first else last) - i
    return i


def pad_definition(x, widths, mode="constant", value=0.0):
    y = np.empty([n + sum(both) for n, both in zip(x.shape, widths, strict=True)])
    for at in np.ndindex(y.shape):
        places = []
        for i, n, (before, after) in zip(at, x.shape, widths, strict=True):
            first, last = max(-before, 0), n - 1 - max(-after, 0)
            places.append(source(i - before, first, last, mode))
        y[at] = value if None in places else x[tuple(places)]
    return y


def in_mode(other: str):
    return lambda y, x, widths, **options: (
        pad_definition(x, widths, other) if options.get("mode") not in (other, None) else y
    )


def half_sample(y, x, widths, mode="constant", value=0.0):
    """A mirror between the outermost element and the padding, where it is on the element."""
    positive = [tuple(max(n, 0) for n in both) for both in widths]
    if mode != "reflect" or list(widths) != positive:
        return y
    return np.pad(x, positive, "symmetric") if positive else y


def assigned(pull, g, x, widths, mode="constant", value=0.0):
    """`=` for `+=`: an element gets the gradient of one copy alone."""
    places = np.arange(x.size, dtype=float).reshape(x.shape)
    came_from = pad_definition(places, widths, mode, -1.0)
    d = np.zeros(x.size)
    for at in np.ndindex(g.shape):
        if came_from[at] >= 0:
            d[int(came_from[at])] = g[at]
    return [d.reshape(x.shape)]


def inside_only(pull, g, x, widths, mode="constant", value=0.0):
    return pull(g, x, widths=widths, mode="constant")


def exchanged(pull, g, x, widths, **options):
    """dL/dy turned around along every axis, as if before were after."""
    flipped = (slice(None, None, -1),) * g.ndim
    turned = pull(g[flipped], x[flipped], widths=widths, **options)[0]
    return [turned[flipped]]


PAD = OpSpec(
    name="pad",
    op=pad,
    cases=pads(),
    oracle=pad_definition,
    integers=Case((whole(2, 3),), {"widths": ((1, 0), (0, 2)), "value": 9}),
    edges={
        "empty": call((0, 3), widths=((1, 1), (0, 0))),
        "empty, reflected": call((0, 3), widths=((0, 0), (2, 1)), mode="reflect"),
        "one number": call((), widths=()),
        "no width": call((2, 3), widths=((0, 0), (0, 0)), mode="wrap"),
        "reflected many times": call((2, 3), widths=((4, 5), (7, 9)), mode="reflect"),
        "wrapped many times": call((2, 3), widths=((4, 5), (7, 9)), mode="wrap"),
        "one element, reflected": call((1, 1), widths=((0, 2), (3, 0)), mode="reflect"),
        "cut here, added there": call((4, 5), widths=((-2, 3), (1, -3)), mode="reflect"),
        "cut to nothing": call((4, 2), widths=((-2, -2), (1, 0))),
    },
    special={
        "with -inf": Special(
            Case((np.array([NAN]),), {"widths": ((1, 1),), "value": -INF}), [-INF, NAN, -INF]
        ),
        "NaN is copied": Special(
            Case((np.array([NAN, 1.0, INF]),), {"widths": ((1, 1),), "mode": "reflect"}),
            [1, NAN, 1, INF, 1],
        ),
    },
    errors=(
        ErrorCase(
            lambda: pad(x_of(2, 3), [(1, 1)]),
            ShapeError,
            r"pad: widths \[\(1, 1\)\] must be one pair of ints \(before, after\) for each axis of "
            r"\(2, 3\)",
        ),
        ErrorCase(lambda: pad(x_of(2, 3), 1), ShapeError, "pad: widths 1 must be one pair of ints"),
        ErrorCase(lambda: pad(x_of(2), [(1.5, 1)]), ShapeError, "must be one pair of ints"),
        ErrorCase(
            lambda: pad(x_of(2), [(-2, -1)]),
            ShapeError,
            r"pad: widths \[\(-2, -1\)\] cut off more than x \(2,\) has",
        ),
        ErrorCase(
            lambda: pad(x_of(2, 0), [(0, 0), (1, 0)], "edge"),
            ShapeError,
            r"pad: mode 'edge' needs elements to copy, x \(2, 0\) has none along axis 1",
        ),
        ErrorCase(
            lambda: pad(x_of(2), [(1, 1)], "mirror"),
            ConfigError,
            "pad: mode must be one of constant, reflect, edge, wrap, got 'mirror'",
        ),
        ErrorCase(lambda: pad(x_of(2), [(1, 1)], 0.5), ConfigError, "pad: mode must be .* got 0.5"),
        ErrorCase(
            lambda: pad(x_of(2), [(1, 1)], value="0"),
            ConfigError,
            "pad: value must be a number, got '0'",
        ),
        ErrorCase(
            lambda: pad(Tensor([1, 2]), [(1, 1)], value=0.5),
            DTypeError,
            "pad: value 0.5 does not fit int64",
        ),
        ErrorCase(
            lambda: pad(Tensor(np.zeros(2, np.uint8)), [(1, 1)], value=256),
            DTypeError,
            "pad: value 256 does not fit uint8",
        ),
    ),
    forward_mutants={
        "with zeros": lambda y, x, widths, mode="constant", value=0.0: pad_definition(
            x, widths, mode, 0.0
        ),
        "before and after exchanged": lambda y, x, widths, **options: pad_definition(
            x, [both[::-1] for both in widths], **options
        ),
        "mirror beside the element": half_sample,
        **{f"{mode} whatever was asked for": in_mode(mode) for mode in ("edge", "wrap")},
    },
    backward_mutants={
        "= for += where an element was copied": assigned,
        "copies forgotten": inside_only,
        "before and after exchanged": exchanged,
        **MOVED,
    },
    summands=lambda case: 16,
)

SPECS = (PAD,)
TestPadding = proof_of(*SPECS)


@pytest.mark.parametrize("mode", MODES)
def test_adds_what_numpy_adds(mode):
    def check(case: Case) -> None:
        (x,), widths = case.arrays, [[max(n, 0) for n in both] for both in case.options["widths"]]
        if widths:
            expected = np.pad(x, widths, mode)
            np.testing.assert_array_equal(pad(Tensor(x), widths, mode).data, expected)

    for_all(pads(), check, 50)


def test_no_value_is_needed_where_elements_are_copied():
    x = Tensor(np.array([1, 2, 3], np.uint8))
    assert pad(x, [(2, 1)], "reflect").data.tolist() == [3, 2, 1, 2, 3, 2]
    assert pad(Tensor(np.array([True])), [(1, 0)], value=True).data.tolist() == [True, True]


def test_an_element_gets_the_gradient_of_all_its_copies():
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    y = pad(x, [(2, 2)], "edge")
    assert grad(y, x, np.arange(1.0, 8.0)).data.tolist() == [1 + 2 + 3, 4, 5 + 6 + 7]
