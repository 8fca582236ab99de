"""Pooling: windows, whole images, and back."""

from __future__ import annotations

import math
from typing import Any, Literal

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.errors import ShapeError
from minicnn.interop.onnx._operator import Array, Call, Ints, Table
from minicnn.interop.onnx._operators.geometry import (
    Layout,
    layout,
    of_rank,
    pairs_of,
    spatial_rank,
)
from minicnn.interop.onnx._room import check_room


def max_pool(
    x: Tensor,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    storage_order: Literal[0, 1] = 0,
    strides: Ints | None = None,
    call: Call,
) -> Any:
    """Take the largest value of each window, and where in the whole tensor it is."""
    op = of_rank("max_pool", spatial_rank(x.shape, "MaxPool"))
    at = layout(x.shape, kernel_shape, strides, dilations, auto_pad, pads)
    given = (x, kernel_shape, at.stride, at.padding, at.dilation, ceil_mode)
    if not call.wants(1):
        return op(*given)
    y, places = op(*given, return_indices=True)
    xp, pixels = array_module(x.data), x.shape[2:]
    places = (places.data if isinstance(places, Tensor) else places).astype("int64")
    if storage_order:  # columns first
        where = xp.unravel_index(places, pixels)
        places = sum(i * math.prod(pixels[:axis]) for axis, i in enumerate(where))
    planes = xp.arange(math.prod(x.shape[:2]), dtype="int64").reshape(x.shape[:2])
    return y, places + (planes * math.prod(pixels)).reshape((*x.shape[:2], *(1,) * len(pixels)))


def max_unpool(
    x: Tensor,
    places: Array,
    output_shape: Ints | None = None,
    *,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Put values back to where `max_pool` found them.

    The places count within the size that the windows imply; a given shape adds zeros at the end.
    """
    rank = spatial_rank(x.shape, "MaxUnpool")
    strides = strides or (1,) * rank
    implied = tuple(
        (n - 1) * s + k - before - after
        for n, s, k, (before, after) in zip(
            x.shape[2:], strides, kernel_shape, pairs_of(pads, rank), strict=True
        )
    )
    check_room("MaxUnpool", (*x.shape[:2], *implied))
    check_room("MaxUnpool", output_shape or ())
    places = places % math.prod(implied)  # within the plane
    y = of_rank("max_unpool", rank)(x, places, (*x.shape[:2], *implied))
    if output_shape is None or tuple(output_shape) == y.shape:
        return y
    more = [(0, m - n) for m, n in zip(output_shape, y.shape, strict=True)]
    if min(after for _, after in more) < 0:
        raise ShapeError(f"MaxUnpool: output_shape {output_shape} is smaller than {y.shape}")
    return ops.pad(y, more)


def average_pool(
    x: Tensor,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Average each window."""
    op = of_rank("avg_pool", spatial_rank(x.shape, "AveragePool"))
    at = layout(x.shape, kernel_shape, strides, dilations, auto_pad, pads)
    return op(x, kernel_shape, at.stride, at.padding, at.dilation, ceil_mode, count_include_pad)


def lp_pool(
    x: Tensor,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    ceil_mode: bool = False,
    dilations: Ints | None = None,
    kernel_shape: Ints,
    p: float = 2,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Take the Lp norm of each window."""
    op = of_rank("lp_pool", spatial_rank(x.shape, "LpPool"))
    at = layout(x.shape, kernel_shape, strides, dilations, auto_pad, pads)
    return op(x, kernel_shape, p, *around(at), ceil_mode=ceil_mode)


def around(at: Layout) -> tuple[Any, ...]:
    """Return stride, padding, dilation: the order of the pools' parameters."""
    return at.stride, at.padding, at.dilation


def over_pixels(x: Tensor) -> tuple[int, ...]:
    """Return the spatial axes."""
    return tuple(range(2, x.ndim))


def global_average_pool(x: Tensor) -> Any:
    """Average whole images."""
    return ops.mean(x, over_pixels(x), keepdims=True)


def global_max_pool(x: Tensor) -> Any:
    """Take the largest value of whole images."""
    return ops.max(x, over_pixels(x), keepdims=True)


def global_lp_pool(x: Tensor, *, p: float = 2) -> Any:
    """Take the Lp norm of whole images."""
    return ops.norm(x, p, over_pixels(x), keepdims=True)


OPERATORS: Table = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
}
