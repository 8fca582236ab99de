"""Quantisation: numbers as small ints, with a scale and a zero point."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, DType, Ints, Table
from minicnn.interop.onnx._operators.convolution import conv_integer


def along(values: Array, x: Array, axis: int, block_size: int = 0) -> Array:
    """Return scales or zero points in a shape that broadcasts to x."""
    if block_size:
        repeated = values.repeat(block_size, axis)
        return repeated[(*(slice(None),) * (axis % x.ndim), slice(0, x.shape[axis]))]
    if values.size == 1:
        return values.reshape(())
    shape = [1] * x.ndim
    shape[axis] = -1
    return values.reshape(shape)


def saturated(x: Array, dtype: Any) -> Array:
    """Convert to ints, the ends of whose range take what is beyond them."""
    limits = np.iinfo(dtype)
    return array_module(x).clip(x, limits.min, limits.max).astype(dtype)


def quantize(
    x: Array,
    scale: Array,
    zero: Array = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
    precision: int = 0,
    saturate: int = 1,
) -> Any:
    """Compute ``saturate(round(x / scale) + zero)``, halves to even."""
    dtype = output_dtype or (np.dtype(np.uint8) if zero is None else zero.dtype)
    y = array_module(x).rint(x / along(scale, x, axis, block_size))
    offset = 0 if zero is None else along(zero, x, axis, block_size).astype("float64")
    return saturated(y + offset, dtype)


def dequantize(
    x: Array,
    scale: Array,
    zero: Array = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: DType | None = None,
) -> Any:
    """Compute ``(x - zero) * scale``."""
    wide = x.astype("float64")
    if zero is not None:
        wide = wide - along(zero, x, axis, block_size)
    return (wide * along(scale, x, axis, block_size)).astype(output_dtype or scale.dtype)


def dynamic_quantize(x: Array) -> Any:
    """Quantise to uint8 with a scale that just covers 0 and all of x."""
    low, high = min(x.min(), 0.0), max(x.max(), 0.0)
    scale = np.asarray((high - low) / 255, np.float32)
    zero = saturated(np.rint(np.asarray(-low / scale)), np.uint8)
    return saturated(np.rint(x / scale) + zero.astype("float64"), np.uint8), scale, zero


def matmul_integer(a: Array, b: Array, a_zero: Array = None, b_zero: Array = None) -> Any:
    """Multiply matrices of 8-bit ints; zero points are one for each row of a, column of b."""
    return (centred(a, a_zero, rows=True) @ centred(b, b_zero, rows=False)).astype(np.int32)


def centred(x: Array, zero: Array, rows: bool) -> Array:
    """Take off the zero points."""
    if zero is None:
        return x.astype(np.int64)
    if zero.ndim == 1 and rows and zero.size > 1:
        zero = zero[:, None]
    return x.astype(np.int64) - zero


def qlinear_matmul(
    a: Array, a_scale: Array, a_zero: Array, b: Array, b_scale: Array, b_zero: Array,
    y_scale: Array, y_zero: Array,
) -> Any:  # fmt: skip
    """Multiply quantised matrices."""
    product = centred(a, a_zero, rows=True) @ centred(b, b_zero, rows=False)
    a_scale = a_scale[:, None] if a_scale.ndim == 1 and a_scale.size > 1 else a_scale
    wide = product * (a_scale.astype("float64") * b_scale.astype("float64") / y_scale)
    return saturated(np.rint(wide) + y_zero, y_zero.dtype)


def qlinear_conv(
    x: Array, x_scale: Array, x_zero: Array, weight: Array, weight_scale: Array,
    weight_zero: Array, y_scale: Array, y_zero: Array, bias: Array = None, *,
    auto_pad: Literal["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"] = "NOTSET",
    dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Any:  # fmt: skip
    """Convolve quantised images."""
    sums = conv_integer(
        x, weight, x_zero, weight_zero, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    ).data.astype("float64")  # fmt: skip
    column = (-1, *(1,) * (x.ndim - 2))
    if bias is not None:
        sums = sums + bias.reshape(column)
    factor = (weight_scale.astype("float64") * x_scale / y_scale).reshape(column)
    return saturated(np.rint(sums * factor) + y_zero, y_zero.dtype)


OPERATORS: Table = {
    "DequantizeLinear": dequantize,
    "DynamicQuantizeLinear": dynamic_quantize,
    "MatMulInteger": matmul_integer,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize,
}
