"""What the proofs of all pooling share: windows found by stepping, cases, edges, errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DTypeError, ShapeError
from tests.ops.spec import Case, ErrorCase
from tests.ops.values import distinct, seeds

INF, NAN = math.inf, math.nan
KINDS = {1: "signals (N, C, L)", 2: "images (N, C, H, W)", 3: "volumes (N, C, D, H, W)"}
LONGEST = {1: 8, 2: 5, 3: 3}


def each(value: Any, rank: int) -> tuple[Any, ...]:
    """Return one value for each axis."""
    return tuple(value) if isinstance(value, tuple | list) else (value,) * rank


def along(
    n: int, size: int, stride: int, padding: Any, dilation: int, ceil_mode: bool
) -> list[tuple[list[int], int]]:
    """Return, for each window along an axis, the pixels it sees and its places that count."""
    reach = (size - 1) * dilation  # from a window's first place to its last
    if padding == "same":
        total = 0
        while (math.ceil(n / stride) - 1) * stride + reach >= n + total:
            total += 1
        padding = (total // 2, total - total // 2)
    before, after = each(0 if padding == "valid" else padding, 2)
    starts, start = [], -before
    while start + reach < n + after:
        starts.append(start)
        start += stride
    if ceil_mode:
        if start - stride + reach < n + after - 1:  # something remains after the last that fits
            starts.append(start)
        while starts and starts[-1] >= n:
            starts.pop()
    windows = []
    for start in starts:
        places = [start + u * dilation for u in range(size)]
        windows.append(([p for p in places if 0 <= p < n], sum(p < n + after for p in places)))
    return windows


def axes_of(
    image: tuple[int, ...],
    size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> list[list[tuple[list[int], int]]]:
    """Return `along` for every axis."""
    rank = len(image)
    stride = size if stride is None else stride
    options = (each(o, rank) for o in (size, stride, padding, dilation, ceil_mode))
    return [along(*axis) for axis in zip(image, *options, strict=True)]


def windows(
    axes: list[list[tuple[list[int], int]]],
) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]], int]]:
    """Yield the place of every output, the pixels in its window row by row, and its count."""
    for at in np.ndindex(*(len(a) for a in axes)):
        lines = [a[i][0] for a, i in zip(axes, at, strict=True)]
        pixels = [
            tuple(line[k] for line, k in zip(lines, offset, strict=True))
            for offset in np.ndindex(*map(len, lines))
        ]
        yield at, pixels, math.prod(a[i][1] for a, i in zip(axes, at, strict=True))


def pooled(x: np.ndarray, axes: Any, summary: Callable[[list[float], int], float]) -> np.ndarray:
    """Apply `summary(values, count)` to every window of every channel."""
    y = np.empty((*x.shape[:2], *(len(a) for a in axes)))
    for at, pixels, count in windows(axes):
        for n, c in np.ndindex(*x.shape[:2]):
            y[(n, c, *at)] = summary([float(x[(n, c, *p)]) for p in pixels], count)
    return y


def winners(x: np.ndarray, axes: Any) -> np.ndarray:
    """The flat place of the largest pixel of each window; the first of equal ones, or of NaN."""
    y = np.empty((*x.shape[:2], *(len(a) for a in axes)), np.int64)
    for at, pixels, _ in windows(axes):
        for n, c in np.ndindex(*x.shape[:2]):
            best = pixels[0]
            for p in pixels[1:]:
                v, b = x[(n, c, *p)], x[(n, c, *best)]
                if v > b or (math.isnan(v) and not math.isnan(b)):
                    best = p
            place = 0
            for length, index in zip(x.shape[2:], best, strict=True):
                place = place * length + index
            y[(n, c, *at)] = place
    return y


def scattered(g: np.ndarray, places: np.ndarray, shape: tuple[int, ...], add: bool) -> np.ndarray:
    """Put numbers at their places: sums, or the last one."""
    d = np.zeros((*shape[:2], math.prod(shape[2:])))
    for at in np.ndindex(*g.shape):
        place = (*at[:2], places[at])
        d[place] = g[at] + (d[place] if add else 0)
    return d.reshape(shape)


@st.composite
def sliding(
    draw: st.DrawFn, rank: int, x: Any = distinct, average: bool = False, p: Any = None
) -> Case:
    """Windows of every geometry, each of which sees a pixel."""
    image = tuple(draw(st.integers(1, LONGEST[rank])) for _ in range(rank))
    most = 4 - (rank == 3)

    def ints(low: int, high: int) -> st.SearchStrategy[Any]:
        return st.one_of(st.integers(low, high), st.tuples(*[st.integers(low, high)] * rank))

    options: dict[str, Any] = {"size": draw(ints(1, most))}
    if draw(st.booleans()):
        options["stride"] = draw(ints(1, 3))
    pads = st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * rank)
    padding = draw(st.one_of(st.sampled_from(["valid", "same"]), ints(0, 2), pads))
    options["padding"] = padding
    if draw(st.booleans()):
        options["dilation"] = draw(ints(1, 3))
    if draw(st.booleans()):
        options["ceil_mode"] = draw(st.booleans())
    simpler: list[dict[str, Any]] = [{}, {"dilation": 1}, {"padding": 0}, {"size": 1}]
    for change in simpler:  # until every window sees a pixel
        options.update(change)
        axes = axes_of(image, **options)
        if all(axis and all(seen for seen, _ in axis) for axis in axes):
            break
    if average:
        options["count_include_pad"] = draw(st.booleans())
    if p is not None:
        options["p"] = draw(p)
    batch = draw(st.integers(1, 2)), draw(st.integers(1, 3 - (rank == 3)))
    return Case((x(draw(seeds), *batch, *image),), options)


def edges(rank: int, x: Any = distinct, **more: Any) -> dict[str, Case]:
    """Geometries that must not be left to chance; "empty" is one of them."""

    def image(*lengths: int) -> tuple[int, ...]:
        return lengths[-rank:]

    def pads(*last: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        return last[-rank:]

    calls: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
        "empty": ((0, 2, *image(2, 4, 4)), {"size": 2}),
        "one pixel": ((2, 3, *image(1, 1, 1)), {"size": 1}),
        "one pixel, same": ((2, 3, *image(1, 1, 1)), {"size": 3, "padding": "same"}),
        "stride beyond the window": ((1, 2, *image(3, 7, 8)), {"size": 2, "stride": 3}),
        "overlapping": ((1, 2, *image(3, 4, 6)), {"size": 3, "stride": 1, "padding": 1}),
        "all of the image": ((2, 2, *image(2, 3, 5)), {"size": image(2, 3, 5)}),
        "padded after only": (
            (1, 1, *image(2, 3, 3)),
            {"size": 2, "padding": pads((0, 1), (0, 1), (0, 1))},
        ),
        "padded beyond the size": (  # as ONNX's asymmetric pads may be
            (1, 1, *image(3, 3, 4)),
            {"size": 2, "stride": 2, "dilation": 3, "padding": pads((0, 1), (1, 2), (3, 2))},
        ),
        "same, stride 2, even": (
            (1, 2, *image(2, 4, 6)),
            {"size": 3, "stride": 2, "padding": "same"},
        ),
        "ceil_mode, one more": (
            (1, 1, *image(2, 4, 6)),
            {"size": 3, "stride": 2, "ceil_mode": True},
        ),
        "ceil_mode, none in the padding": (
            (1, 1, *image(2, 3, 3)),
            {"size": 2, "stride": 2, "padding": 1, "ceil_mode": True},
        ),
        "more images than pieces of work": ((19, 1, *image(2, 2, 2)), {"size": 2}),
    }
    return {
        name: Case((x(len(name), *shape),), {**options, **more})
        for name, (shape, options) in calls.items()
    }


def row(values: list[float], rank: int) -> np.ndarray:
    """Return one channel that has several pixels along the last axis only."""
    return np.array(values, np.float64).reshape(*(1,) * (rank + 1), len(values))


def across(value: Any, rank: int, others: Any = 1) -> tuple[Any, ...]:
    """Return one value for the last axis and another for the axes before it."""
    return (*(others,) * (rank - 1), value)


def ones(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def image_errors(op: Any, name: str, rank: int, **options: Any) -> tuple[ErrorCase, ...]:
    """What is no image, in any pooling."""
    kind = KINDS[rank].replace("(", r"\(").replace(")", r"\)")
    flat = (3,) * (rank + 1)
    return (
        ErrorCase(
            lambda: op(ones(*flat), **options),
            ShapeError,
            rf"{name}: needs {kind} with pixels, got shape {_escaped(flat)}",
        ),
        ErrorCase(
            lambda: op(ones(1, 1, *(0,) * rank), **options),
            ShapeError,
            rf"{name}: needs .* with pixels, got shape \(1, 1, 0",
        ),
    )


def window_errors(op: Any, name: str, rank: int) -> tuple[ErrorCase, ...]:
    """What a wrong window says, in any pooling with one."""

    def call(*args: Any, **options: Any) -> Callable[[], Any]:
        return lambda: op(ones(1, 1, *(4,) * rank), *args, **options)

    def error(options: dict[str, Any], kind: type[Exception], match: str) -> ErrorCase:
        return ErrorCase(call(**options), kind, f"{name}: {match}")

    image = _escaped((4,) * rank)
    return (
        *image_errors(op, name, rank, size=2),
        error(
            {"size": 5},
            ShapeError,
            rf"window \(5.*\) does not fit in image {image} padded by .*; use a smaller",
        ),
        error(
            {"size": 2, "padding": 2},
            ConfigError,
            rf"window \(2.*\) dilated by \(1.*\) at step 0 of axis 2 sees no pixel of image "
            rf"{image} padded by \(\(2, 2\).*; use less padding",
        ),
        error({"size": 0}, ConfigError, "size must be an int .*>= 1, got 0"),
        error({"size": 2, "stride": "2"}, ConfigError, "stride must be an int"),
        error({"size": 2, "dilation": 0}, ConfigError, "dilation must be an int"),
        error({"size": 2, "padding": "full"}, ConfigError, "padding 'full' is unknown; use 'same'"),
        error(
            {"size": 2, "padding": ((0, 1),) * (rank + 1)},
            ConfigError,
            rf"padding must be {rank} pairs? \(before, after\), got",
        ),
    )


def float_error(op: Any, name: str, rank: int, **options: Any) -> ErrorCase:
    return ErrorCase(
        lambda: op(ones(1, 1, *(4,) * rank, dtype=np.int32), **options),
        DTypeError,
        rf"{name}: needs floats, got int32; use .astype\('float32'\)",
    )


def _escaped(shape: tuple[int, ...]) -> str:
    return str(shape).replace("(", r"\(").replace(")", r"\)")
