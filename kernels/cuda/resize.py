"""Linear maps along one axis on the GPU: each output gathers its inputs, in both directions."""

import math

import cupy
import numpy as np

from .. import plain
from . import _launch


def sample_axis(x, axis, index, weight):
    """y[..., i, ...] = sum over t of weight[i, t] * x[..., index[i, t], ...], along an axis of x.

    index int64 and weight float64 (O, T), in host memory.  What has weight 0 is not looked at, be
    it NaN.
    """
    if not _launch.covers(x):
        return plain.sample_axis(x, axis, index, weight)
    return _weighted(x, axis, _taps(index, weight, x.dtype), len(index))


def spread_axis(grad_y, axis, index, weight, length):
    """The transpose of `sample_axis`, to an axis of `length` elements."""
    if not _launch.covers(grad_y):
        return plain.spread_axis(grad_y, axis, index, weight, length)
    taps = _taps(index, weight, grad_y.dtype)
    return _weighted(grad_y, axis, _transposed(*taps), length)


def _weighted(x, axis, taps, length):
    """Lay x out as (outer, axis, inner), and give the axis another length."""
    order = list(range(x.ndim))
    if x.ndim > 2:
        order.append(order.pop(1))
    at = order.index(axis)
    memory = cupy.ascontiguousarray(x.transpose(order))
    shape = (*memory.shape[:at], length, *memory.shape[at + 1 :])
    inner, lanes = math.prod(shape[at + 1 :]), 16 // x.itemsize
    y = cupy.empty(shape, x.dtype)
    packed = inner % lanes == 0 and memory.data.ptr % 16 == 0
    count = y.size // lanes if packed else y.size
    arrays = memory, *(_launch.table(*column) for column in _columns(*taps, length)), y
    name = f"weighted_rows<{_launch.NAMES[x.dtype]}>"
    lengths = memory.shape[at], length, inner
    _launch.flat("resize", name, count, *arrays, count, *lengths, np.bool_(packed))
    return y.transpose(np.argsort(order).tolist())


def _taps(index, weight, dtype):
    """index, weight (O, T) -> output, input and weight (K,) of what is looked at, in order."""
    wide = np.float32 if dtype == np.float16 else dtype
    weight = np.asarray(weight).astype(wide)
    output, t = np.nonzero(weight)
    return output, np.asarray(index)[output, t], weight[output, t]


def _transposed(output, source, weight):
    """Return the taps by their inputs, those of each in order."""
    order = np.argsort(source, kind="stable")
    return source[order], output[order], weight[order]


def _columns(output, source, weight, length):
    """Taps -> the table of the kernel: where those of each output end, their inputs and weights."""
    ends = np.concatenate([[0], np.cumsum(np.bincount(output, minlength=length))])
    return (ends, np.int64), (source, np.int64), (weight, weight.dtype)
