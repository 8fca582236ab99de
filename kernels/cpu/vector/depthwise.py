"""Depthwise convolution by generated code: each filter sees one channel, so channels are the vector.

There is no product of matrices here, and nothing is broadcast: a vector of L channels of a pixel
meets the same L channels of a tap.  A tile is T pixels side by side.  What makes it fast is that
neighbours share what they load: T windows of KW pixels lie on T + KW - 1 of them, and the taps
of all of them are the same, so for 3x3 there is one load for three FMAs.

Where channels are fewer than L, a vector takes as many pixels as fit: in memory they lie side by
side, and the taps are repeated.

The input gradient is a convolution with the kernel turned around, as ever (`direct`).  The weight
gradient keeps a sum for each tap, of several kernel rows at a time, and walks over all pixels.
"""

import functools

import numpy as np

from . import depthwise_code, objects
from .program import COUNT, Step, fixed, images_of, of_piece, of_thread, pieces_of

_WIDEST = 24  # taps in a row: each has a register for its sum


def fits(kernel_shape, groups):
    """Tell whether this is for filters (O, C/groups, KD, KH, KW): one for each channel."""
    outputs, channels, *kernel = kernel_shape
    return outputs == groups > 1 and channels == 1 and kernel[2] <= _WIDEST


def conv_steps(frame, images, weight, bias, y, steps, apart, of):
    """Return the step of `direct.conv_steps`; `frame` is that of the images."""
    shape = _shape(objects.machine(), weight.shape, steps, apart, frame.padded, y.shape[3])
    known = np.zeros((1, len(weight)), np.float32) if bias is None else bias[None]
    arguments = (
        of(images[:, *frame.cut]), of_thread(frame.memory()),
        fixed(_packed(weight.reshape(len(weight), -1).T, shape)), fixed(_packed(known, shape)),
        images_of(y), fixed(frame.geometry), COUNT,
    )  # fmt: skip
    return [Step(objects.function("depthwise", shape, depthwise_code.forward), arguments)]


def grad_weight_steps(frame, grads, images, kernel_shape, steps, of):
    """Return the step and the finish of `direct.grad_weight_steps`."""
    shape = _shape(objects.machine(), kernel_shape, steps, 1, frame.padded, grads.shape[3])
    partial = np.zeros((pieces_of(len(images)), shape.blocks, shape.taps, shape.lanes), np.float32)
    arguments = (
        images_of(images[:, *frame.cut]), of_thread(frame.memory()), of(grads),
        of_piece(partial), fixed(frame.geometry), COUNT,
    )  # fmt: skip
    function = objects.function("depthwise_weight", shape, depthwise_code.grad_weight)
    return [Step(function, arguments)], lambda: _unpacked(partial.sum(axis=0), shape, kernel_shape)


@functools.lru_cache(maxsize=1024)
def _shape(machine, kernel_shape, steps, apart, padded, width):
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
        pixels, lanes, rows, length % rows, width % pixels,
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
