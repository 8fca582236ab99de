"""Convolutions and their transposes, in 1 to 3 dimensions."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ShapeError
from minicnn.interop.onnx._operator import Array, Ints, Table
from minicnn.interop.onnx._operators.geometry import (
    check_windows,
    layout,
    of_rank,
    pairs_of,
    spatial_rank,
)
from minicnn.interop.onnx._room import check_room


def conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Convolve."""
    rank = spatial_rank(x.shape, "Conv")
    check_kernel("Conv", kernel_shape, weight)
    at = layout(x.shape, weight.shape[2:], strides, dilations, auto_pad, pads)
    check_windows("Conv", x.shape, weight.shape, at)
    return of_rank("conv", rank)(x, weight, bias, at.stride, at.padding, at.dilation, group)


def check_kernel(op: str, kernel_shape: Ints | None, weight: Any) -> None:
    """Refuse a kernel_shape that is not the weight's."""
    if kernel_shape is not None and tuple(kernel_shape) != tuple(weight.shape[2:]):
        raise ShapeError(f"{op}: kernel_shape is {kernel_shape}, but the weight {weight.shape}")


def conv_transpose(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    output_padding: Ints | None = None,
    output_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Convolve the other way round."""
    rank = spatial_rank(x.shape, "ConvTranspose")
    check_kernel("ConvTranspose", kernel_shape, weight)
    stride, dilation = strides or (1,) * rank, dilations or (1,) * rank
    extra = output_padding or (0,) * rank
    whole = [  # the output's lengths before padding is cut off
        s * (n - 1) + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(
            x.shape[2:], weight.shape[2:], stride, dilation, extra, strict=True
        )
    ]
    check_room("ConvTranspose", (x.shape[0], weight.shape[1] * group, *whole))
    check_room("ConvTranspose", output_shape or ())
    cut = pairs_of(pads, rank)
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        wanted = output_shape or tuple(n * s for n, s in zip(x.shape[2:], stride, strict=True))
        cut = cut_to(whole, wanted[-rank:], auto_pad)
    elif auto_pad == "VALID":
        cut = ((0, 0),) * rank
    op = of_rank("conv_transpose", rank)
    widths = [(max(-before, 0), max(-after, 0)) for before, after in cut]
    kept = tuple((max(before, 0), max(after, 0)) for before, after in cut)
    y = op(x, weight, None, stride, kept, extra, dilation, group)
    if any(map(any, widths)):  # the output is longer than the windows reach
        y = ops.pad(y, [(0, 0), (0, 0), *widths])
    return y if bias is None else y + bias.reshape((-1, *(1,) * rank))


def cut_to(whole: list[int], wanted: Ints, auto_pad: str) -> tuple[tuple[int, int], ...]:
    """Return how much to cut off before and after so that the output has the wanted lengths.

    The odd one goes after with SAME_UPPER, else before (as ONNX's text has it).
    """
    cut = []
    for n, m in zip(whole, wanted, strict=True):
        half = (n - m) // 2
        cut.append((half, n - m - half) if auto_pad == "SAME_UPPER" else (n - m - half, half))
    return tuple(cut)


def conv_integer(
    x: Array,
    weight: Array,
    x_zero: Array = None,
    weight_zero: Array = None,
    *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Convolve 8-bit whole numbers; in float64, which holds all such sums exactly."""
    wide = x.astype(np.float64) - (0 if x_zero is None else x_zero)
    kernel = weight.astype(np.float64)
    if weight_zero is not None:
        kernel = kernel - weight_zero.reshape((-1, *(1,) * (weight.ndim - 1)))
    y = conv(
        Tensor(wide), Tensor(kernel), auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    return y.astype(np.int32)


def col2im(
    x: Tensor,
    image_shape: Ints,
    block_shape: Ints,
    *,
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Any:
    """Add columns of patches back into images."""
    rank = len(image_shape)
    channels = x.shape[1] // max(math.prod(block_shape), 1)
    check_room("Col2Im", (x.shape[0], channels, *image_shape))
    return ops.col2im(
        x, image_shape, block_shape, strides or 1, pairs_of(pads, rank), dilations or 1
    )


OPERATORS: Table = {
    "Col2Im": col2im,
    "Conv": conv,
    "ConvInteger": conv_integer,
    "ConvTranspose": conv_transpose,
}
