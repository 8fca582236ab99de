"""Depthwise convolution by generated code: each filter sees one channel.

There is no product of matrices here, and nothing is broadcast: a vector of L channels of a pixel
meets the vector of the same channels of a tap.  A tile is T pixels side by side.  What makes it
fast is that neighbours share what they load: T windows of KW pixels lie on T + KW - 1 of them, and
the taps are the same for all, so 3x3 taps take one load for three FMAs.

Where channels are fewer than L, a vector takes as many pixels as fit: in memory they lie side by
side, and the taps are repeated.

There is so little to compute that copying counts: padding is added to a band of rows at a time,
in a frame that stays in the first two caches.

The input gradient is a convolution with the kernel turned around, as ever (`direct`).  The weight
gradient keeps a sum for each tap, of several kernel rows at a time, and walks over the pixels.
"""

import functools
from typing import NamedTuple

import numpy as np

from .. import _buffers, _parallel
from . import depthwise_code, objects
from .program import COUNT, Step, fixed, images_of, of_thread, pieces_of, remade, sums_of_piece

_WIDEST = 24  # taps in a row: each has a register for its sum
_NEAR = 3 << 15  # bytes of a band
_LEAST_ROWS = 4  # of a band: the rows between two bands are copied twice
_NOTHING = np.empty((1, 0), np.float32)


def fits(kernel_shape, groups):
    """Tell whether this is for filters (O, C/groups, KD, KH, KW): one for each channel."""
    outputs, channels, *kernel = kernel_shape
    return outputs == groups > 1 and channels == 1 and kernel[2] <= _WIDEST


def conv_steps(images, weight, bias, y, steps, apart, of):
    """Return the step of `direct.conv_steps`."""
    plan = _plan_of(images, y, weight.shape, steps, apart)
    known = np.zeros((1, len(weight)), np.float32) if bias is None else bias[None]
    taps = weight.reshape(len(weight), -1).T
    arguments = (
        of(images[:, *plan.cut]), of_thread(plan.memory()),
        remade(lambda: _packed(taps, plan.shape)), remade(lambda: _packed(known, plan.shape)),
        images_of(y), fixed(plan.geometry), COUNT,
    )  # fmt: skip
    return [Step(objects.function("depthwise", plan.shape, depthwise_code.forward), arguments)]


def grad_weight_steps(grads, images, kernel_shape, steps, of):
    """Return the step and the finish of `direct.grad_weight_steps`."""
    plan = _plan_of(images, grads, kernel_shape, steps, 1)
    shape = plan.shape
    partial = np.zeros((pieces_of(len(images)), shape.blocks, shape.taps, shape.lanes), np.float32)
    arguments = (
        images_of(images[:, *plan.cut]), of_thread(plan.memory()), of(grads),
        sums_of_piece(partial), fixed(plan.geometry), COUNT,
    )  # fmt: skip
    function = objects.function("depthwise_weight", shape, depthwise_code.grad_weight)
    return [Step(function, arguments)], lambda: _unpacked(partial.sum(axis=0), shape, kernel_shape)


class _Plan(NamedTuple):
    """What follows from the shapes alone."""

    cut: tuple  # slices of the image that are seen
    shape: depthwise_code.Shape
    geometry: np.ndarray  # the integers of `depthwise_code.GEOMETRY`
    frame: tuple  # its shape (planes, rows, columns, C)
    inside: tuple  # its planes and its columns where the image goes

    def memory(self):
        """Return a frame for each thread; what is beside the image is 0 in it and stays so."""
        if not self.shape.padded:
            return _NOTHING
        frames = _buffers.empty((_parallel.threads(), *self.frame), np.float32)
        planes, columns = self.inside
        for part in (slice(planes.start), slice(planes.stop, None)):
            frames[:, part] = 0
        for part in (slice(columns.start), slice(columns.stop, None)):
            frames[:, :, :, part] = 0
        return frames


def _plan_of(images, y, kernel_shape, steps, apart):
    strides = images.strides[:3], y.strides[:3]
    return _plan(
        objects.machine(), kernel_shape, images.shape[1:4], y.shape[1:4], strides, steps, apart
    )


@functools.lru_cache(maxsize=1024)
def _plan(machine, kernel_shape, image, out, strides, steps, apart):
    """Return the plan for images (D, H, W) and outputs (OD, OH, OW); strides are in bytes."""
    channels = kernel_shape[0]
    before = [max(0, b) for b in steps.before]
    inside = [max(0, n + min(0, b)) for n, b in zip(image, steps.before, strict=True)]
    reach = [d * (k - 1) + 1 for d, k in zip(steps.dilation, steps.size, strict=True)]
    ends = [b + n for b, n in zip(before, inside, strict=True)]
    seen = [(o - 1) * s + r for o, s, r in zip(out, steps.stride, reach, strict=True)]
    padded = any(before) or any(s > e for s, e in zip(seen, ends, strict=True))
    columns, planes = max(seen[2], ends[2]), max(seen[0], ends[0])
    band = _band(out[1], steps.stride[1], reach[1], 4 * planes * columns * channels)
    rows = (band - 1) * steps.stride[1] + reach[1]
    (x_image, x_plane, x_row), (y_image, y_plane, y_row) = ([n // 4 for n in s] for s in strides)
    row = columns * channels if padded else x_row
    plane = rows * row if padded else x_plane
    found = {
        "x_image": x_image, "x_plane": x_plane, "x_row": x_row,
        "depth": inside[0], "height": inside[1], "x_line": inside[2] * channels,
        "top": before[1], "p_start": before[0] * plane + before[2] * channels,
        "p_plane": plane, "p_row": row, "reach": reach[1],
        "plane_step": steps.stride[0] * plane, "row_step": steps.stride[1] * row,
        "rows_step": steps.stride[1],
        "kernel_plane": steps.dilation[0] * plane, "kernel_row": steps.dilation[1] * row,
        "out_depth": out[0], "out_height": out[1], "out_width": out[2],
        "y_image": y_image, "y_plane": y_plane, "y_row": y_row,
    }  # fmt: skip
    return _Plan(
        tuple(slice(max(0, -b), None) for b in steps.before),
        _shape(machine, kernel_shape, steps, apart, padded, out[2], band),
        np.array([found[name] for name in depthwise_code.GEOMETRY], np.int64),
        (planes, rows, columns, channels),
        (slice(before[0], ends[0]), slice(before[2], ends[2])),
    )


def _band(height, stride, reach, row):
    """Return how many rows of outputs are computed at once, a row of the frame taking `row` bytes.

    All bands are of about the same height.
    """
    most = max(_LEAST_ROWS, (_NEAR // row - reach) // stride + 1)
    return -(-height // -(-height // most))


def _shape(machine, kernel_shape, steps, apart, padded, width, band):
    """Return what is written into the code, for rows of `width` outputs."""
    channels, _, *kernel = kernel_shape
    lanes, pixels = machine.lanes, 1
    if steps.stride[2] == apart == 1:
        pixels = max(1, min(lanes // channels, width))
    while lanes > 4 and lanes // 2 >= channels * pixels:
        lanes //= 2
    length, most = width // pixels, machine.registers // 4
    heights = range(min(most // 2, length), min(most, length) + 1)
    rows = max(heights, key=lambda t: (length / (-(-length // t) * t), t))
    return depthwise_code.Shape(
        channels, tuple(kernel), steps.stride[2], steps.dilation[2], apart, padded,
        pixels, lanes, rows, length % rows, width % pixels, band,
    )  # fmt: skip


def _packed(taps, shape):
    """taps (KD*KH*KW, C) -> (blocks, KD*KH*KW, lanes): vectors of channels, repeated for pixels."""
    found = np.zeros((len(taps), shape.blocks * shape.lanes), np.float32)
    found[:, : shape.floats] = np.tile(taps, shape.pixels)
    return np.ascontiguousarray(found.reshape(len(taps), shape.blocks, -1).transpose(1, 0, 2))


def _unpacked(sums, shape, kernel_shape):
    """Undo `_packed`; what several pixels of a vector have is added up."""
    rows = sums.transpose(1, 0, 2).reshape(shape.taps, -1)[:, : shape.floats]
    rows = rows.reshape(shape.taps, shape.pixels, shape.channels).sum(axis=1)
    return np.ascontiguousarray(rows.T).reshape(kernel_shape)
