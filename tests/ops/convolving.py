"""What the proofs of the convolutions share: the definitions in plain loops, and random geometry.

All of it is for any number of spatial axes. Places are flat indices, row by row: q in the output
of a convolution, k in the window, p in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.ops.loops import each, geometry
from tests.ops.spec import Case
from tests.ops.values import normal, seeds

LONGEST = {1: 7, 2: 5, 3: 3}  # sides of the images, by the number of axes: oracles must be quick
Places = list[tuple[int, int, int]]


def convolution(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """y[n,o,q] = bias[o] + sum over c, k of weight[o,c,k] * x[n,c,p] where window q has k on p."""
    n, _, *image = x.shape
    outputs, per_group, *size = weight.shape
    where, lengths = places(image, size, stride, padding, dilation)
    y = np.empty((n, outputs, *lengths))
    for b, o in np.ndindex(n, outputs):
        first = o // (outputs // groups) * per_group  # the first channel of o's group
        sums = [0.0 if bias is None else float(bias[o])] * math.prod(lengths)
        for c in range(per_group):
            weights, pixels = flat(weight[o, c]), flat(x[b, first + c])
            for q, k, p in where:
                sums[q] += weights[k] * pixels[p]
        y[b, o] = np.reshape(sums, lengths)
    return y


def transposed(x, weight, bias=None, stride=1, padding=0, output_padding=0, dilation=1, groups=1):
    """y[n,o,p] = bias[o] + sum over c, k, q of weight[c,o,k] * x[n,c,q] if window q has k on p."""
    n, channels, *image = x.shape
    _, per_group, *size = weight.shape
    where, lengths = painted(image, size, stride, padding, output_padding, dilation)
    y = np.empty((n, per_group * groups, *lengths))
    for b, o in np.ndindex(n, per_group * groups):
        first = o // per_group * (channels // groups)  # the first channel of o's group
        sums = [0.0 if bias is None else float(bias[o])] * math.prod(lengths)
        for c in range(first, first + channels // groups):
            weights, pixels = flat(weight[c, o % per_group]), flat(x[b, c])
            for q, k, p in where:
                sums[p] += weights[k] * pixels[q]
        y[b, o] = np.reshape(sums, lengths)
    return y


def by_weight(grad_y, x, kernel_shape, window, groups):
    """Every product of the convolution's definition, added to the weight it came from."""
    outputs, per_group, *size = kernel_shape
    where, _ = places(x.shape[2:], size, window.stride, window.padding, window.dilation)
    grad = np.empty(kernel_shape)
    for o, c in np.ndindex(outputs, per_group):
        channel = o // (outputs // groups) * per_group + c
        sums = [0.0] * math.prod(size)
        for b in range(len(x)):
            outs, pixels = flat(grad_y[b, o]), flat(x[b, channel])
            for q, k, p in where:
                sums[k] += outs[q] * pixels[p]
        grad[o, c] = np.reshape(sums, size)
    return grad


def flat(a: np.ndarray) -> list[float]:
    return [float(v) for v in a.reshape(-1)]


def places(
    image: Sequence[int], size: Sequence[int], stride: Any, padding: Any, dilation: Any
) -> tuple[Places, list[int]]:
    """Return all (q, k, p) where the window at q has weight k on p, and the output's lengths."""
    axes = len(image)
    pads, lengths = geometry(image, size, stride, padding, dilation)
    steps, gaps = each(stride, axes), each(dilation, axes)
    lines = [
        [
            (q, k, q * s + k * d - before)
            for q in range(out)
            for k in range(length)
            if 0 <= q * s + k * d - before < n
        ]
        for n, length, s, d, (before, _), out in zip(
            image, size, steps, gaps, pads, lengths, strict=True
        )
    ]
    return _product(lines, lengths, size, image), lengths


def painted(
    image: Sequence[int],
    size: Sequence[int],
    stride: Any,
    padding: Any,
    output_padding: Any,
    dilation: Any,
) -> tuple[Places, list[int]]:
    """Return all (q, k, p) where pixel q paints p with weight k, and the lengths painted on."""
    axes = len(image)
    steps, gaps, more = each(stride, axes), each(dilation, axes), each(output_padding, axes)
    lines, lengths = [], []
    for axis, (n, length) in enumerate(zip(image, size, strict=True)):
        s, d = steps[axis], gaps[axis]
        spots = [(q, k, q * s + k * d) for q in range(n) for k in range(length)]
        if padding == "same":  # as the convolution is padded that maps n * s pixels to n
            ((before, _),), _ = geometry([n * s], [length], s, "same", d)
            out = n * s
        else:
            pads, _ = geometry(image, (1,) * axes, 1, padding)
            before, after = pads[axis]
            out = 1 + max(p for _, _, p in spots) - before - after + more[axis]
        lines.append([(q, k, p - before) for q, k, p in spots if 0 <= p - before < out])
        lengths.append(out)
    return _product(lines, image, size, lengths), lengths


def _product(lines: list[Places], *lengths: Sequence[int]) -> Places:
    """Join the places along each axis to places in the whole."""
    outs, sizes, images = lengths
    found = [(0, 0, 0)]
    for line, out, size, n in zip(lines, outs, sizes, images, strict=True):
        found = [(q * out + i, k * size + u, p * n + h) for q, k, p in found for i, u, h in line]
    return found


def ints(axes: int, least: int, most: int) -> st.SearchStrategy[Any]:
    """An int for all axes, or one for each."""
    one = st.integers(least, most)
    return st.one_of(one, st.tuples(*[one] * axes))


def paddings(axes: int) -> st.SearchStrategy[Any]:
    most = 1 if axes == 3 else 2
    pairs = st.tuples(
        *[st.tuples(st.integers(0, most), st.integers(0, 3 if axes < 3 else 2))] * axes
    )
    return st.one_of(st.sampled_from(["valid", "same"]), ints(axes, 0, most), pairs)


@st.composite
def channels(draw: st.DrawFn) -> tuple[int, int, int]:
    """Channels of the input and the output in each group, and the groups: 3 for depthwise."""
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return 1 if groups == 3 else draw(st.integers(1, 2)), draw(st.integers(1, 2)), groups


@st.composite
def windows(draw: st.DrawFn, axes: int) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """An image, the size of a window that fits in it, and how it slides."""
    image = draw(st.tuples(*[st.integers(1, LONGEST[axes])] * axes))
    options = {
        "stride": draw(ints(axes, 1, 3)),
        "padding": draw(paddings(axes)),
        "dilation": draw(ints(axes, 1, 3 if axes < 3 else 2)),
    }
    size = []
    for axis in range(axes):
        fits = [k for k in range(1, 4) if k == 1 or _fits(image, k, axis, options)]
        size.append(draw(st.sampled_from(fits)))
    return image, tuple(size), options


def _fits(image: Sequence[int], k: int, axis: int, options: dict[str, Any]) -> bool:
    size = tuple(k if a == axis else 1 for a in range(len(image)))
    return min(geometry(image, size, **options)[1]) >= 1


@st.composite
def convolutions(draw: st.DrawFn, axes: int) -> Case:
    ins, outs, groups = draw(channels())
    image, size, options = draw(windows(axes))
    seed, batch = draw(seeds), draw(st.integers(1, 2))
    arrays = [
        normal(seed, batch, ins * groups, *image),
        normal(seed + 1, outs * groups, ins, *size),
    ]
    if draw(st.booleans()):
        arrays.append(normal(seed + 2, outs * groups))
    return Case(tuple(arrays), {**options, "groups": groups})


@st.composite
def transposes(draw: st.DrawFn, axes: int) -> Case:
    ins, outs, groups = draw(channels())
    image = draw(st.tuples(*[st.integers(1, 4 if axes < 3 else 2)] * axes))
    size = draw(st.tuples(*[st.integers(1, 3 if axes < 3 else 2)] * axes))
    stride, dilation = draw(ints(axes, 1, 3)), draw(ints(axes, 1, 2))
    padding = draw(paddings(axes))
    options = {"stride": stride, "padding": padding, "dilation": dilation}
    if padding != "same" and draw(st.booleans()):
        larger = zip(each(stride, axes), each(dilation, axes), strict=True)
        options["output_padding"] = draw(st.tuples(*(st.integers(0, max(b) - 1) for b in larger)))
    if min(enlarged(image, size, options)) < 1:  # all cut off
        options["padding"] = 0
    seed, batch = draw(seeds), draw(st.integers(1, 2))
    arrays = [
        normal(seed, batch, ins * groups, *image),
        normal(seed + 1, ins * groups, outs, *size),
    ]
    if draw(st.booleans()):
        arrays.append(normal(seed + 2, outs * groups))
    return Case(tuple(arrays), {**options, "groups": groups})


def sliding(options: Any) -> dict[str, Any]:
    """Return how the window of a convolution slides, with what the call leaves out."""
    return {name: options.get(name, default) for name, default in _DEFAULTS.items()}


_DEFAULTS = {"stride": 1, "padding": 0, "dilation": 1}


def enlarged(image: Sequence[int], size: Sequence[int], options: Any) -> list[int]:
    """Return the lengths that a transposed convolution paints on."""
    more = options.get("output_padding", 0)
    return painted(image, size, output_padding=more, **sliding(options))[1]
