"""im2col and col2im against loops over the windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import col2im, im2col
from tests.ops.convolving import places, sliding, windows
from tests.ops.driver import proof_of
from tests.ops.loops import geometry
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.test_convolution import t
from tests.ops.values import normal, seeds


def columns_of(x, size, stride=1, padding=0, dilation=1):
    """columns[n, c*K + k, q] = x[n,c,p] where window q has k on p, else 0."""
    n, c, *image = x.shape
    where, lengths = places(image, size, stride, padding, dilation)
    taps = math.prod(size)
    columns = np.zeros((n, c * taps, math.prod(lengths)))
    for b, channel in np.ndindex(n, c):
        pixels = x[b, channel].reshape(-1)
        for q, k, p in where:
            columns[b, channel * taps + k, q] = pixels[p]
    return columns


def added_up(columns, image_size, size, stride=1, padding=0, dilation=1):
    """Every column's numbers, added to the pixels that the window lies on."""
    where, _ = places(image_size, size, stride, padding, dilation)
    n, taps = len(columns), math.prod(size)
    c = columns.shape[1] // taps
    y = np.zeros((n, c, math.prod(image_size)))
    for b, channel in np.ndindex(n, c):
        for q, k, p in where:
            y[b, channel, p] += columns[b, channel * taps + k, q]
    return y.reshape(n, c, *image_size)


@st.composite
def images(draw: st.DrawFn) -> Case:
    image, size, options = draw(windows(draw(st.integers(1, 3))))
    x = normal(draw(seeds), draw(st.integers(1, 2)), draw(st.integers(1, 3)), *image)
    return Case((x,), {"size": size, **options})


def edge(*x_shape: int, size: Any, **options: Any) -> Case:
    return Case((normal(0, *x_shape),), {"size": size, **options})


EDGES = {
    "empty": edge(0, 2, 4, 3, size=(2, 2)),
    "empty, one axis": edge(0, 2, 4, size=(2,), padding=1),
    "no channels": edge(2, 0, 4, 3, size=(2, 2)),
    "one pixel": edge(2, 3, 1, 1, size=(1, 1)),
    "one pixel, same": edge(1, 2, 1, 1, 1, size=(3, 2, 2), padding="same"),
    "stride beyond the window": edge(1, 2, 7, 8, size=(2, 2), stride=(3, 4)),
    "window of the image's size": edge(2, 2, 3, 4, size=(3, 4)),
    "same, stride 2, even": edge(1, 2, 6, 6, size=(3, 3), stride=2, padding="same"),
    "padding beyond the window": edge(1, 1, 3, 3, size=(2, 2), padding=3),
    "holes": edge(1, 2, 9, size=(3,), dilation=4),
    "volume": edge(
        1, 2, 3, 4, 3, size=(2, 3, 1), stride=(1, 2, 1), padding=((0, 1), (1, 0), (0, 0))
    ),
}


def _as_columns(case: Case) -> Case:
    """Return the call of col2im that takes the columns of this one of im2col."""
    (x,), image = case.arrays, case.arrays[0].shape[2:]
    _, lengths = geometry(image, case.options["size"], **sliding(case.options))
    taps = math.prod(case.options["size"])
    columns = normal(x.size, len(x), x.shape[1] * taps, math.prod(lengths))
    return Case((columns,), {"image_size": image, **case.options})


def _swapped(options: Any, image: tuple[int, ...]) -> dict[str, Any]:
    pads, _ = geometry(image, options["size"], **sliding(options))
    return {**options, "padding": tuple((after, before) for before, after in pads)}


def _split(columns: np.ndarray, options: Any) -> np.ndarray:
    """(N, C*prod(K), OUT) -> (N, C, prod(K), OUT)."""
    taps = math.prod(options["size"])
    return columns.reshape(len(columns), -1, taps, columns.shape[2]) if columns.size else columns


def _windows_first(y, x, **options):
    """Rows ordered by window place, then channel."""
    if not y.size:
        return y
    return _split(y, options).swapaxes(1, 2).reshape(y.shape)


def _window_flipped(y, x, **options):
    return _split(y, options)[:, :, ::-1].reshape(y.shape) if y.size else y


def _window_by_columns(y, x, **options):
    """The window's pixels column by column."""
    if not y.size:
        return y
    split, size = _split(y, options), options["size"]
    axes = len(size)
    apart = split.reshape(*split.shape[:2], *size, -1)
    turned = apart.transpose(0, 1, *range(1 + axes, 1, -1), 2 + axes)
    return turned.reshape(y.shape)


def _undilated(y, x, **options):
    gaps = options.get("dilation", 1)
    if options.get("padding") != "same" or gaps == 1:
        return y
    return im2col(x, **{**options, "dilation": 1}).data


IM2COL = OpSpec(
    name="im2col",
    op=im2col,
    cases=images(),
    oracle=columns_of,
    integers=Case((np.arange(24).reshape(1, 2, 3, 4),), {"size": (2, 2), "padding": (0, 1)}),
    edges=EDGES,
    special={
        "NaN and infinity are copied, padding is 0": Special(
            Case((np.array([[[np.nan, np.inf]]]),), {"size": (2,), "padding": 1}),
            [[[0.0, np.nan, np.inf], [np.nan, np.inf, 0.0]]],
        ),
    },
    errors=(
        ErrorCase(
            lambda: im2col(t(3, 4), 2),
            ShapeError,
            r"im2col: needs x \(N, C, L\), \(N, C, H, W\) or \(N, C, D, H, W\), got shape \(3, 4\)",
        ),
        ErrorCase(
            lambda: im2col(t(1, 1, 2, 2, 2, 2), 2), ShapeError, r"got shape \(1, 1, 2, 2, 2,"
        ),
        ErrorCase(
            lambda: im2col(t(1, 1, 2, 2), 3),
            ShapeError,
            r"im2col: window \(3, 3\) does not fit in image \(2, 2\) padded by",
        ),
        ErrorCase(
            lambda: im2col(t(1, 1, 4), 2, stride=0), ConfigError, "im2col: stride must be an"
        ),
    ),
    forward_mutants={
        "padding before and after exchanged": lambda y, x, **o: (
            im2col(x, **_swapped(o, x.shape[2:])).data
        ),
        "windows first, then channels": _windows_first,
        "window flipped": _window_flipped,
        "window column by column": _window_by_columns,
        "dilation ignored": _undilated,
        "windows in another order": lambda y, *_, **__: y[:, :, ::-1],
        "padding is 1": lambda y, x, **o: y + 1 - columns_of(np.ones_like(x), **o),
    },
    backward_mutants={
        "= for += where windows overlap": lambda pull, g, x, **o: [
            pull(g, x, **o)[0] / np.maximum(pull(np.ones_like(g), x, **o)[0], 1)
        ],
        "padding off by one": lambda pull, g, x, **o: [np.roll(pull(g, x, **o)[0], 1, axis=2)],
        "last window missing": lambda pull, g, x, **o: pull(_without_last(g), x, **o),
        "window flipped": lambda pull, g, x, **o: pull(_window_flipped(g, x, **o), x, **o),
    },
    summands=lambda case: math.prod(case.options["size"]),
)


def _without_last(g: np.ndarray) -> np.ndarray:
    g = g.copy()
    g[:, :, -1:] = 0
    return g


COL2IM = OpSpec(
    name="col2im",
    op=col2im,
    cases=images().map(_as_columns),
    oracle=added_up,
    integers=Case((np.arange(24).reshape(1, 4, 6),), {"image_size": (3, 4), "size": (2, 2)}),
    edges={name: _as_columns(case) for name, case in EDGES.items()},
    special={
        "NaN and infinity reach their pixels": Special(
            Case(
                (np.array([[[1.0, np.nan, 2.0], [3.0, 4.0, np.inf]]]),),
                {"image_size": (4,), "size": (2,)},
            ),
            [[[1.0, np.nan, 6.0, np.inf]]],
        ),
        "what falls on the padding is dropped": Special(
            Case(
                (np.array([[[np.nan, 1.0], [2.0, np.inf]]]),),
                {"image_size": (1,), "size": (2,), "padding": 1},
            ),
            [[[3.0]]],
        ),
    },
    errors=(
        *(
            ErrorCase(
                lambda size=size: col2im(t(1, 4, 4), size, 2),
                ConfigError,
                r"col2im: image_size must be the lengths \(L,\), \(H, W\) or \(D, H, W\), got",
            )
            for size in (3, (), (1, 2, 3, 4), None)
        ),
        ErrorCase(
            lambda: col2im(t(1, 4, 4), (3, 0), 2),
            ConfigError,
            r"image_size must be an int or 2 ints, each >= 1, got \(3, 0\)",
        ),
        *(
            ErrorCase(
                lambda shape=shape: col2im(t(*shape), (3, 4), 2),
                ShapeError,
                rf"columns have shape \({shape[0]}, {shape[1]}.*\), but windows \(2, 2\) on an "
                r"image \(3, 4\) take places \(2, 3\); give \(N, C\*4, 6\)",
            )
            for shape in ((1, 8, 5), (1, 6, 6), (8, 6), (1, 8, 2, 3))
        ),
        ErrorCase(
            lambda: col2im(t(1, 9, 1), (2, 2), 3),
            ShapeError,
            r"col2im: window \(3, 3\) does not fit in image \(2, 2\)",
        ),
    ),
    forward_mutants={
        "= for += where windows overlap": lambda y, columns, image_size, **o: (
            y / np.maximum(added_up(np.ones_like(columns), image_size, **o), 1)
        ),
        "padding before and after exchanged": lambda y, columns, image_size, **o: (
            col2im(columns, image_size, **_swapped(o, image_size)).data
        ),
        "windows first, then channels": lambda y, columns, image_size, **o: (
            col2im(_exchanged(columns, o), image_size, **o).data
        ),
        "window flipped": lambda y, columns, image_size, **o: (
            col2im(_window_flipped(columns, columns, **o), image_size, **o).data
        ),
        "last window missing": lambda y, columns, image_size, **o: (
            col2im(_without_last(columns), image_size, **o).data
        ),
    },
    backward_mutants={
        "window flipped": lambda pull, g, columns, **o: [
            _window_flipped(pull(g, columns, **o)[0], columns, **o)
        ],
        "padding off by one": lambda pull, g, *a, **o: pull(np.roll(g, 1, axis=2), *a, **o),
        "last window missing": lambda pull, g, *a, **o: [_without_last(pull(g, *a, **o)[0])],
        "shared out among the windows": lambda pull, g, columns, image_size, **o: pull(
            g / np.maximum(added_up(np.ones_like(columns), image_size, **o), 1),
            columns,
            image_size=image_size,
            **o,
        ),
    },
    summands=lambda case: math.prod(case.options["size"]),
)


def _exchanged(columns: np.ndarray, options: Any) -> np.ndarray:
    """The same numbers with rows ordered by window place, then channel."""
    if not columns.size:
        return columns
    n, rows, out = columns.shape
    taps = math.prod(options["size"])
    return columns.reshape(n, taps, rows // taps, out).swapaxes(1, 2).reshape(columns.shape)


SPECS = (IM2COL, COL2IM)
TestColumns = proof_of(*SPECS)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_convolution_is_one_matrix_product(axes):
    x, weight = normal(0, 2, 3, *(4, 5, 6)[-axes:]), normal(1, 5, 3, *(2, 3, 2)[-axes:])
    options = {"stride": 2, "padding": 1, "dilation": 1}
    y = getattr(ops, f"conv{axes}d")(x, weight, **options).data
    columns = im2col(x, weight.shape[2:], **options).data
    np.testing.assert_allclose(
        (weight.reshape(5, -1) @ columns).reshape(y.shape), y, rtol=0, atol=1e-13
    )


def test_numbers_for_all_axes_and_for_each_are_the_same():
    x = normal(0, 1, 2, 5, 6)
    right = im2col(x, (2, 2), (2, 2), ((1, 1), (1, 1)), (1, 1)).data
    np.testing.assert_array_equal(im2col(x, 2, 2, 1).data, right)
    y = col2im(right, (5, 6), (2, 2), (2, 2), ((1, 1), (1, 1))).data
    np.testing.assert_array_equal(col2im(right, [5, 6], 2, 2, 1).data, y)
