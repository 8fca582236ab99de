"""Convolution by the generated code: which shape, how the weights lie, who does which images."""

import itertools
import math
import threading
from typing import NamedTuple

import numpy as np

from .. import _buffers, _parallel
from . import microkernel, objects, tiles

_NOTHING = np.empty(0, np.float32)
_LEAST = 1 << 16  # multiply-adds of a call below which compiling is not worth it


class Steps(NamedTuple):
    """The geometry of a window in a volume; `before` may be negative, which crops."""

    size: tuple  # KD, KH, KW
    stride: tuple
    before: tuple
    dilation: tuple


def pays(dtype, out_shape, kernel_shape):
    """Tell whether the generated code should compute a convolution (N, OD, OH, OW, O)."""
    work = math.prod(out_shape) * math.prod(kernel_shape[1:])
    return dtype == np.float32 and work >= _LEAST and objects.machine() is not None


def turns(steps):
    """Tell whether `conv_grad_x` knows this geometry: not strides and holes at once."""
    return max(steps.stride) == 1 or max(steps.dilation) == 1


def conv(images, weight, bias, y, steps, groups, apart=(1, 1, 1)):
    """images (N, D, H, W, C), weight (O, C/groups, KD, KH, KW) -> y (N, OD, OH, OW, O), filled.

    With `apart`, y is every other (third, ...) pixel of an array, in a view.
    """
    frame = _Frame(images, y.shape[1:4], steps)
    shape = _shape(weight.shape, groups, steps, frame, apart[2], length=y.shape[3])
    run = objects.function("forward", shape, microkernel.forward, 6)
    weights, offsets = _blocks(weight, shape), _bias(bias, shape)
    geometry = frame.geometry(y)

    def work(_, start, stop):
        memory = frame.mine()
        _call(
            run, stop - start, frame.images[start:], memory, weights, offsets, y[start:], geometry
        )

    _parallel.run(work, _parallel.chunks(len(images)))


def conv_grad_weight(grads, images, kernel_shape, steps, groups):
    """grads (N, OD, OH, OW, O), images (N, D, H, W, C) -> grad_weight (O, C/groups, *K)."""
    frame = _Frame(images, grads.shape[1:4], steps)
    shape = _shape(kernel_shape, groups, steps, frame)
    run = objects.function("grad_weight", shape, microkernel.grad_weight, 5)
    pieces = _parallel.chunks(len(images))
    partial = np.zeros((len(pieces), groups * shape.group_size), np.float32)
    geometry = frame.geometry(grads)

    def work(p, start, stop):
        memory = frame.mine()
        _call(run, stop - start, frame.images[start:], memory, grads[start:], partial[p], geometry)

    _parallel.run(work, pieces)
    return _from_blocks(partial.sum(axis=0), shape, kernel_shape)


def conv_grad_x(grads, weight, grad_x, steps, groups):
    """grads (N, OD, OH, OW, O), weight (O, C/groups, *K) -> grad_x (N, D, H, W, C), filled.

    Pixel h meets tap u at output i where h + P = i*S + u*D.  Let a be the rest of h + P
    divided by S.  Pixels of one rest a see the taps u = a, a + S, a + 2*S, ... (D being 1), and
    the outputs q, q - 1, q - 2, ... with q = (h + P - a) / S: that is a convolution of stride 1
    with those taps turned around.  So there are SD*SH*SW small convolutions, one for each
    combination of rests; with stride 1, a single one.
    """
    turned = _turned(weight, groups)
    if steps.stride == (1, 1, 1):
        reach = zip(steps.size, steps.dilation, steps.before, strict=True)
        before = tuple(d * (k - 1) - p for k, d, p in reach)
        conv(
            grads,
            turned[..., ::-1, ::-1, ::-1],
            None,
            grad_x,
            steps._replace(before=before),
            groups,
        )
        return
    axes = [_rests(*axis) for axis in zip(steps.size, steps.stride, steps.before, strict=True)]
    for rests in itertools.product(*axes):
        taps, pixels, before = zip(*rests, strict=True)
        target = grad_x[:, *pixels]
        if 0 in target.shape[1:]:
            continue
        part = turned[:, :, *taps][..., ::-1, ::-1, ::-1]
        if 0 in part.shape:
            target[...] = 0  # the stride is larger than the window: nobody sees these pixels
            continue
        ones = (1, 1, 1)
        conv(
            grads,
            part,
            None,
            target,
            Steps(part.shape[2:], ones, before, ones),
            groups,
            steps.stride,
        )


def _rests(size, stride, before):
    """Yield (taps, pixels, padding) of the pixels of each rest along an axis."""
    for a in range(stride):
        first = -((a - before) // stride)  # the least q whose pixel is in the image
        taps = len(range(a, size, stride))
        yield (
            slice(a, None, stride),
            slice(a - before + stride * first, None, stride),
            taps - 1 - first,
        )


class _Frame:
    """The padded image: how large it is, where the image lies in it, and the steps in it."""

    def __init__(self, images, out, steps):
        cut = tuple(slice(max(0, -b), None) for b in steps.before)
        self.images = images[:, *cut]
        self._before = [max(0, b) for b in steps.before]
        self._steps_of, self._out = steps, out
        inside = self.images.shape[1:4]
        reach = [
            (o - 1) * s + d * (k - 1) + 1
            for o, s, d, k in zip(out, steps.stride, steps.dilation, steps.size, strict=True)
        ]  # as far as the last window reaches
        ends = [b + n for b, n in zip(self._before, inside, strict=True)]
        self.padded = any(self._before) or any(r > e for r, e in zip(reach, ends, strict=True))
        self._shape = (*map(max, reach, ends), images.shape[4])
        self._of_thread = threading.local()

    def mine(self):
        """Return the calling thread's frame; images are copied into it one after the other."""
        if not self.padded:
            return _NOTHING
        if not hasattr(self._of_thread, "frame"):
            self._of_thread.frame = _buffers.empty(self._shape, np.float32)
            self._of_thread.frame[...] = 0  # the border stays so
        return self._of_thread.frame

    def geometry(self, y):
        """Return the integers of `microkernel.GEOMETRY`, for y (N, OD, OH, OW, O)."""
        x_image, x_plane, x_row = (s // 4 for s in self.images.strides[:3])
        depth, height, width, channels = self.images.shape[1:]
        plane, row = x_plane, x_row
        if self.padded:
            row = self._shape[2] * channels
            plane = self._shape[1] * row
        y_image, y_plane, y_row = (s // 4 for s in y.strides[:3])
        start = self._before[0] * plane + self._before[1] * row + self._before[2] * channels
        found = {
            "x_image": x_image, "x_row": x_row, "x_plane": x_plane,
            "depth": depth, "height": height, "x_line": width * channels,
            "p_start": start, "p_row": row, "p_plane": plane,
            "row_step": self._steps_of.stride[1] * row,
            "plane_step": self._steps_of.stride[0] * plane,
            "kernel_row": self._steps_of.dilation[1] * row,
            "kernel_plane": self._steps_of.dilation[0] * plane,
            "out_depth": self._out[0], "out_height": self._out[1], "out_width": self._out[2],
            "y_image": y_image, "y_row": y_row, "y_plane": y_plane,
        }  # fmt: skip
        return np.array([found[name] for name in microkernel.GEOMETRY], np.int64)


def _shape(kernel_shape, groups, steps, frame, apart=1, length=None):
    """Return what is written into the code; the tile lies along `length` pixels, or the taps."""
    outputs, channels, *kernel = kernel_shape
    shape = microkernel.Shape(
        channels, outputs // groups, groups, tuple(kernel), steps.stride[2], steps.dilation[2],
        apart, frame.padded, 0, None,
    )  # fmt: skip
    _, run = shape.runs
    length = run if length is None else length
    tile = tiles.choose(objects.machine(), outputs // groups, length, run)
    return shape._replace(tile=tile, rest=length % tile.rows)


def _turned(weight, groups):
    """weight (O, C/groups, *K) -> (C, O/groups, *K): outputs and inputs exchanged."""
    o, c, *kernel = weight.shape
    split = weight.reshape(groups, o // groups, c, *kernel)
    return np.moveaxis(split, 2, 1).reshape(groups * c, o // groups, *kernel)


def _blocks(weight, shape):
    """weight (O, C/groups, *K) -> group by group, block by block, tap by tap, whole vectors."""
    o, c = weight.shape[:2]
    split = weight.reshape(shape.groups, o // shape.groups, c, -1).transpose(0, 3, 2, 1)
    split = split.reshape(shape.groups, shape.taps, -1)
    found = np.zeros((shape.groups, shape.group_size), weight.dtype)
    for first, last, block in _places(shape, found):
        block[:, :, : last - first] = split[:, :, first:last]
    return found


def _from_blocks(flat, shape, kernel_shape):
    """Undo `_blocks`."""
    o, c = kernel_shape[:2]
    each = o // shape.groups
    found = np.empty((shape.groups, shape.taps, each), flat.dtype)
    for first, last, block in _places(shape, flat.reshape(shape.groups, -1)):
        found[:, :, first:last] = block[:, :, : last - first]
    found = found.reshape(shape.groups, -1, c, each).transpose(0, 3, 2, 1)
    return np.ascontiguousarray(found).reshape(kernel_shape)


def _places(shape, flat):
    """Yield each block's first and last channel, and its view (groups, taps, channels) in flat."""
    at = 0
    for run in shape.block_runs:
        wide = run.vectors * shape.tile.lanes
        for k in range(run.blocks):
            first = run.first + k * wide
            block = flat[:, at : at + shape.taps * wide].reshape(len(flat), shape.taps, wide)
            at += shape.taps * wide
            yield first, min(first + wide, shape.channels_out), block


def _bias(bias, shape):
    """Return the bias, each group's padded to whole vectors."""
    found = np.zeros((shape.groups, shape.padded_out), np.float32)
    if bias is not None:
        found[:, : shape.channels_out] = bias.reshape(shape.groups, -1)
    return found


def _call(function, count, *arrays):
    """Call compiled code with the addresses of arrays, which live until it returns."""
    function(*(a.ctypes.data for a in arrays), count)
