"""What changes shapes and moves elements: reshaping, joining, cutting, padding."""

from __future__ import annotations

import itertools
import math
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.errors import ShapeError
from minicnn.interop.onnx._operator import Array, Call, DType, Ints, Number, Table
from minicnn.interop.onnx._room import check_room


def identity(x: Tensor) -> Any:
    """Return what was given."""
    return x


def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> Any:
    """Return the lengths of the axes, or of some of them."""
    return np.array(x.shape[start:end], np.int64)


def size(x: Tensor) -> Any:
    """Return the number of elements."""
    return np.array(x.size, np.int64)


def reshape_by_attribute(x: Tensor, *, shape: Ints = ()) -> Any:
    """Reshape, in opsets 1 to 4."""
    return reshape(x, shape)


def reshape(x: Tensor, shape: Ints, *, allowzero: int = 0) -> Any:
    """Reshape; 0 keeps an axis, unless allowed to mean none."""
    if not allowzero:
        shape = tuple(x.shape[i] if n == 0 else n for i, n in enumerate(shape))
    return ops.reshape(x, shape)


def flatten(x: Tensor, *, axis: int = 1) -> Any:
    """Make a matrix: the axes before `axis`, and the others."""
    at = axis + x.ndim if axis < 0 else axis
    return ops.reshape(x, (math.prod(x.shape[:at]), math.prod(x.shape[at:])))


def squeeze_by_attribute(x: Tensor, *, axes: Ints | None = None) -> Any:
    """Drop axes of length 1, in opsets 1 to 12."""
    return ops.squeeze(x, axes)


def squeeze(x: Tensor, axes: Ints | None = None) -> Any:
    """Drop axes of length 1."""
    return ops.squeeze(x, axes)


def unsqueeze_by_attribute(x: Tensor, *, axes: Ints) -> Any:
    """Insert axes of length 1, in opsets 1 to 12."""
    return unsqueeze(x, axes)


def unsqueeze(x: Tensor, axes: Ints) -> Any:
    """Insert axes of length 1 at these places of the result."""
    rank = x.ndim + len(axes)
    new = {a % rank for a in axes}
    lengths = iter(x.shape)
    return ops.reshape(x, tuple(1 if i in new else next(lengths) for i in range(rank)))


def transpose(x: Tensor, *, perm: Ints | None = None) -> Any:
    """Reorder the axes; by default reverse them."""
    return ops.transpose(x, perm)


def expand(x: Tensor, shape: Ints) -> Any:
    """Repeat axes of length 1; either side may be the shorter one."""
    try:
        wide = np.broadcast_shapes(x.shape, shape)
    except ValueError:
        raise ShapeError(f"Expand: {x.shape} does not broadcast with {shape}") from None
    check_room("Expand", wide)
    return ops.broadcast_to(x, wide)


def tile_along(x: Tensor, times: Number, axis: Number) -> Any:
    """Repeat along one axis, in opsets 1 to 5."""
    check_room("Tile", (x.size, int(times)))
    return ops.concatenate([x] * int(times), int(axis))


def tile(x: Tensor, repeats: Ints) -> Any:
    """Repeat along each axis."""
    check_room("Tile", (x.size, *repeats))
    return ops.tile(x, repeats)


def concat_from_1(*tensors: Tensor, axis: int = 1) -> Any:
    """Join, in opsets 1 to 3."""
    return ops.concatenate(list(tensors), axis)


def concat(*tensors: Tensor, axis: int) -> Any:
    """Join."""
    return ops.concatenate(list(tensors), axis)


def split_1(
    x: Tensor, lengths: Ints | None = None, *, axis: int = 0, split: Ints | None = None, call: Call
) -> Any:
    """Cut, in opsets 1 to 12."""
    return cut(x, lengths or split, axis, call)


def split(
    x: Tensor,
    lengths: Ints | None = None,
    *,
    axis: int = 0,
    num_outputs: int | None = None,
    call: Call,
) -> Any:
    """Cut."""
    return cut(x, lengths, axis, call)


def cut(x: Tensor, lengths: Ints | None, axis: int, call: Call) -> Any:
    """Cut into parts of such lengths, or into equal ones, of which the last may be smaller."""
    if not lengths:
        n = x.shape[axis]
        part = -(-n // call.outputs)
        lengths = tuple(min(part, max(n - i * part, 0)) for i in range(call.outputs))
    if sum(lengths) != x.shape[axis]:
        raise ShapeError(f"Split: parts of {lengths} do not add up to axis {axis} of {x.shape}")
    ends = itertools.accumulate(lengths)
    before = (slice(None),) * (axis % x.ndim)
    return tuple(x[(*before, slice(e - n, e))] for n, e in zip(lengths, ends, strict=True))


def slice_by_attribute(x: Tensor, *, starts: Ints, ends: Ints, axes: Ints | None = None) -> Any:
    """Take a part of some axes, in opsets 1 to 9."""
    return slice_(x, starts, ends, axes)


def slice_(
    x: Tensor, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None
) -> Any:
    """Take a part of some axes, as Python's slices do."""
    index = [slice(None)] * x.ndim
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        n = x.shape[axis]
        low, high = (0, n) if step > 0 else (-1, n - 1)
        first = min(max(start + n if start < 0 else start, 0), high)
        last = min(max(end + n if end < 0 else end, low), high)
        index[axis] = slice(first, None if last < 0 else last, step)
    return x[tuple(index)]


def pad_1(
    x: Tensor, *, paddings: Ints, mode: Literal["constant", "reflect", "edge"] = "constant",
    value: float = 0.0,
) -> Any:  # fmt: skip
    """Pad, in opset 1."""
    return pad(x, paddings, value, mode=mode)


def pad_2(
    x: Tensor, *, pads: Ints, mode: Literal["constant", "reflect", "edge"] = "constant",
    value: float = 0.0,
) -> Any:  # fmt: skip
    """Pad, in opsets 2 to 10."""
    return pad(x, pads, value, mode=mode)


def pad(
    x: Tensor,
    pads: Ints,
    value: Number = None,
    axes: Ints | None = None,
    *,
    mode: Literal["constant", "reflect", "edge", "wrap"] = "constant",
) -> Any:
    """Pad; a negative number of elements cuts as many off."""
    axes = tuple(range(x.ndim)) if axes is None else axes
    widths = [(0, 0)] * x.ndim
    for i, axis in enumerate(axes):
        widths[axis] = (pads[i], pads[i + len(axes)])
    cuts = tuple(
        slice(max(-before, 0), n - max(-after, 0))
        for n, (before, after) in zip(x.shape, widths, strict=True)
    )
    if any(min(w) < 0 for w in widths):
        x = x[cuts]
    added = [(max(before, 0), max(after, 0)) for before, after in widths]
    check_room("Pad", [n + sum(more) for n, more in zip(x.shape, added, strict=True)])
    if mode == "constant":
        return ops.pad(x, added, value=0 if value is None else value)
    return ops.pad(x, added, mode=mode)


def constant_of_shape(shape: Ints, *, value: Array = None) -> Any:
    """Fill a shape with one number."""
    value = np.zeros(1, np.float32) if value is None else value
    check_room("ConstantOfShape", shape)
    return np.full(shape, value.item(), value.dtype)


def range_(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Any:
    """Count from start until limit in steps of delta; of float16, in float32."""
    dtype = start.dtype
    first, last, step = (
        (a.astype("float32") if dtype == np.float16 else a).item() for a in (start, limit, delta)
    )
    if not (step and math.isfinite((last - first) / step)):
        raise ShapeError(f"Range: there is no end of counting from {first} to {last} by {step}")
    count = max(math.ceil((last - first) / step), 0)
    check_room("Range", (count,))
    wide = np.float32 if dtype == np.float16 else dtype
    return (
        np.asarray(first, wide) + np.arange(count).astype(wide) * np.asarray(step, wide)
    ).astype(dtype)


def eye_like(x: Tensor, *, dtype: DType | None = None, k: int = 0) -> Any:
    """Return a matrix of x's shape with ones on a diagonal."""
    return array_module(x.data).eye(*x.shape, k=k, dtype=dtype or x.dtype)


def trilu(x: Tensor, k: Number = 0, *, upper: bool = True) -> Any:
    """Keep one side of a diagonal."""
    return (ops.triu if upper else ops.tril)(x, int(k or 0))


def depth_to_space(x: Tensor, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Any:
    """Move channels into blocks of pixels."""
    return ops.depth_to_space(x, blocksize, mode.lower())


def space_to_depth(x: Tensor, *, blocksize: int, mode: Literal["DCR", "CRD"] = "DCR") -> Any:
    """Move blocks of pixels into channels."""
    if mode == "DCR":
        return ops.space_to_depth(x, blocksize)
    n, c, h, w = x.shape
    blocks = x.reshape((n, c, h // blocksize, blocksize, w // blocksize, blocksize))
    rearranged = blocks.transpose((0, 1, 3, 5, 2, 4))
    return rearranged.reshape((n, c * blocksize**2, h // blocksize, w // blocksize))


def reverse_sequence(x: Tensor, lengths: Ints, *, batch_axis: int = 1, time_axis: int = 0) -> Any:
    """Reverse the beginning of each sequence of a batch."""
    times = np.arange(x.shape[time_axis])
    order = np.stack([np.where(times < n, n - 1 - times, times) for n in lengths])  # (batch, time)
    shape = [1] * x.ndim
    shape[batch_axis], shape[time_axis] = order.shape
    if batch_axis % x.ndim > time_axis % x.ndim:
        order = order.T
    indices = np.broadcast_to(order.reshape(shape), x.shape)
    return ops.take_along_axis(x, array_module(x.data).asarray(indices), time_axis)


OPERATORS: Table = {
    "Concat": {1: concat_from_1, 4: concat},
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "EyeLike": eye_like,
    "Flatten": flatten,
    "Identity": identity,
    "Pad": {1: pad_1, 2: pad_2, 11: pad},
    "Range": range_,
    "Reshape": {1: reshape_by_attribute, 5: reshape},
    "ReverseSequence": reverse_sequence,
    "Shape": shape,
    "Size": size,
    "Slice": {1: slice_by_attribute, 10: slice_},
    "SpaceToDepth": space_to_depth,
    "Split": {1: split_1, 13: split},
    "Squeeze": {1: squeeze_by_attribute, 13: squeeze},
    "Tile": {1: tile_along, 6: tile},
    "Transpose": transpose,
    "Trilu": trilu,
    "Unsqueeze": {1: unsqueeze_by_attribute, 13: unsqueeze},
}
