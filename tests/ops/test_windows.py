"""Window geometry: how many windows, from where, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._windows import Window, per_axis
from tests.ops.driver import for_all
from tests.ops.loops import geometry
from tests.ops.spec import ErrorCase


@st.composite
def calls(draw: st.DrawFn):
    image = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    pair = st.one_of(st.integers(1, 7), st.tuples(st.integers(1, 7), st.integers(1, 7)))
    widths = st.tuples(st.integers(0, 5), st.integers(0, 5))
    padding = draw(
        st.one_of(
            st.sampled_from(["same", "valid"]), st.integers(0, 5), widths, st.tuples(widths, widths)
        )
    )
    return image, draw(pair), draw(pair), padding, draw(pair)


def test_agrees_with_counting():
    def check(call) -> None:
        image, size, stride, padding, dilation = call
        pads, lengths = geometry(image, size, stride, padding, dilation)
        window = Window.of("op", image, size, stride, padding, dilation)
        assert list(window.padding) == pads
        if min(lengths) >= 1:
            assert window.output_size("op", image) == tuple(lengths)
        else:
            with pytest.raises(ShapeError, match=r"op: window .* does not fit in image"):
                window.output_size("op", image)

    for_all(calls(), check, 500)


def test_same_gives_one_window_for_each_step_and_the_odd_pixel_goes_after():
    def check(call) -> None:
        image, size, stride, _, dilation = call
        window = Window.of("op", image, size, stride, "same", dilation)
        out = window.output_size("op", image)
        assert out == tuple(math.ceil(n / s) for n, s in zip(image, window.stride, strict=True))
        assert all(after - before in (0, 1) for before, after in window.padding)

    for_all(calls(), check, 200)


@pytest.mark.parametrize(
    ("image", "size", "stride", "padding"),
    [
        (5, 3, 1, (1, 1)),
        (6, 3, 2, (0, 1)),  # TensorFlow's documented asymmetry
        (5, 3, 2, (1, 1)),
        (224, 7, 2, (2, 3)),  # ResNet's first layer
        (4, 1, 2, (0, 0)),
        (5, 2, 1, (0, 1)),
        (2, 5, 1, (2, 2)),
        (7, 2, 3, (0, 1)),
        (8, 2, 5, (0, 0)),
    ],
)
def test_same_padding_by_hand(image, size, stride, padding):
    assert Window.of("op", (image,), size, stride, "same").padding == (padding,)


def test_forms_of_arguments():
    one = Window.of("op", (9, 9), 3, 2, 1, 2)
    for other in (
        Window.of("op", (9, 9), (3, 3), (2, 2), (1, 1), (2, 2)),
        Window.of("op", (9, 9), [3, 3], [2, 2], [[1, 1], [1, 1]], [2, 2]),
        Window.of("op", (9, 9), np.int64(3), np.int32(2), ((1, 1), (1, 1)), 2),
    ):
        assert other == one
    assert one.extent == (5, 5)
    assert Window.of("op", (9, 9), 3, 1, "valid").padding == ((0, 0), (0, 0))


def test_any_number_of_axes():
    window = Window.of("op", (9, 8, 7), (1, 2, 3), 2, ((0, 1), (1, 0), (2, 2)))
    assert window.output_size("op", (9, 8, 7)) == (5, 4, 5)


def window(**changes: object) -> None:
    Window.of(**{"op": "pool", "image": (4, 4), "size": 2, "stride": 1, "padding": 0, **changes})


ERRORS = (
    ErrorCase(
        lambda: per_axis("pool", "size", 0, 2, at_least=1),
        ConfigError,
        "pool: size must be an int or 2 ints, each >= 1, got 0",
    ),
    ErrorCase(lambda: window(size="3"), ConfigError, "size must be an int or 2 ints"),
    ErrorCase(lambda: window(padding=np.array([0.5, 1])), ConfigError, "padding must be an int"),
    ErrorCase(lambda: window(size=None), ConfigError, "got None"),
    ErrorCase(
        lambda: window(stride=2.0), ConfigError, "stride must be an int or 2 ints, .* got 2.0"
    ),
    ErrorCase(lambda: window(stride=(1,)), ConfigError, r"stride must be .* got \(1,\)"),
    ErrorCase(lambda: window(padding=(0, -1)), ConfigError, "padding must be .* each >= 0, got"),
    ErrorCase(
        lambda: window(padding=((0, 1), (0, -1))), ConfigError, "padding must be .* ints >= 0"
    ),
    ErrorCase(lambda: window(padding=((0, 1),)), ConfigError, r"padding must be 2 pairs \(before"),
    ErrorCase(lambda: window(padding="full"), ConfigError, "padding 'full' is unknown; use 'same'"),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def test_arrays_are_taken_like_tuples():
    as_arrays = window(
        size=np.array([3, 2]), stride=np.array(2), padding=np.array([[0, 1], [2, 0]])
    )
    assert as_arrays == window(size=(3, 2), stride=2, padding=((0, 1), (2, 0)))
    assert window(padding=np.array([1, 1])) == window(padding=(1, 1))
