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
    image: Ints,
    size: Ints,
    strides: Ints | None,
    dilations: Ints | None,
    auto_pad: str,
    pads: Ints | None,
) -> Layout:
    """Return the layout of windows of `size` on an image.

    With SAME the output is ``ceil(image / stride)`` long; where that takes an odd number of zeros,
    the odd one goes after (UPPER) or before (LOWER).
    """
    rank = len(image)
    stride, dilation = strides or (1,) * rank, dilations or (1,) * rank
    if auto_pad == "NOTSET":
        pairs = pairs_of(pads, rank)
        check_room("Pad", [n + sum(more) for n, more in zip(image, pairs, strict=True)])
        return Layout(stride, dilation, pairs)
    if auto_pad == "VALID":
        return Layout(stride, dilation, ((0, 0),) * rank)
    padding = []
    for n, k, s, d in zip(image, size, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        half = total // 2
        padding.append((half, total - half) if auto_pad == "SAME_UPPER" else (total - half, half))
    return Layout(stride, dilation, tuple(padding))
