"""What the attributes of convolutions and pools say about where windows lie."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minicnn import ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.interop.onnx._operator import Ints
from minicnn.interop.onnx._room import check_room

Pairs = tuple[tuple[int, int], ...]


class Layout(NamedTuple):
    """Strides, dilations and padding of each spatial axis."""

    stride: Ints
    dilation: Ints
    padding: Pairs


def pairs_of(pads: Ints | None, rank: int) -> Pairs:
    """Return ONNX's (all beginnings, all ends) as one (before, after) for each axis."""
    if pads is None:
        return ((0, 0),) * rank
    if len(pads) != 2 * rank:
        raise ConfigError(f"pads {pads} must be {2 * rank} numbers, for {rank} axes")
    return tuple(zip(pads[:rank], pads[rank:], strict=True))


def spatial_rank(shape: Ints, op: str) -> int:
    """Return the number of spatial axes, 1 to 3."""
    if not 3 <= len(shape) <= 5:
        raise ShapeError(f"{op}: needs 1 to 3 spatial axes (N, C, ...), got shape {shape}")
    return len(shape) - 2


def of_rank(family: str, rank: int) -> Callable[..., Any]:
    """Return the op of a family for so many spatial axes: ``conv2d`` of ``conv``."""
    op: Callable[..., Any] = getattr(ops, f"{family}{rank}d")
    return op


def layout(
    shape: Ints,
    size: Ints,
    strides: Ints | None,
    dilations: Ints | None,
    auto_pad: str,
    pads: Ints | None,
) -> Layout:
    """Return the layout of windows of `size` on images of a shape (N, C, ...).

    With SAME the output is ``ceil(image / stride)`` long; where that takes an odd number of zeros,
    the odd one goes after (UPPER) or before (LOWER).
    """
    image = shape[2:]
    rank = len(image)
    stride, dilation = strides or (1,) * rank, dilations or (1,) * rank
    if auto_pad == "NOTSET":
        pairs = pairs_of(pads, rank)
        check_padded(shape, pairs)
        return Layout(stride, dilation, pairs)
    if auto_pad == "VALID":
        return Layout(stride, dilation, ((0, 0),) * rank)
    padding = []
    for n, k, s, d in zip(image, size, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        half = total // 2
        padding.append((half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half))
    check_padded(shape, tuple(padding))
    return Layout(stride, dilation, tuple(padding))


def check_padded(shape: Ints, pairs: Pairs) -> None:
    """Refuse images that are too large once they are padded."""
    padded = [n + sum(more) for n, more in zip(shape[2:], pairs, strict=True)]
    check_room("Pad", (*shape[:2], *padded))


def check_windows(op: str, shape: Ints, weight: Ints, at: Layout) -> None:
    """Refuse a convolution whose result is too large."""
    out = [
        (n + sum(more) - d * (k - 1) - 1) // max(s, 1) + 1
        for n, more, k, s, d in zip(
            shape[2:], at.padding, weight[2:], at.stride, at.dilation, strict=False
        )
    ]
    check_room(op, (shape[0], weight[0], *out))
