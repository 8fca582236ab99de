"""Convolution by the generated code: which shape, how the weights lie, what is called in turn."""

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np

from .. import _buffers, _parallel
from . import depthwise, microkernel, objects, sharing, tiles, winograd
from .program import COUNT, Step, fixed, images_of, of_thread, once, pieces_of, run, sums_of_piece

_NOTHING = np.empty((1, 0), np.float32)
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


def conv(images, weight, bias, y, steps, groups):
    """images (N, D, H, W, C), weight (O, C/groups, KD, KH, KW) -> y (N, OD, OH, OW, O), filled."""
    run(conv_steps(images, weight, bias, y, steps, groups), len(images), len(images))


def conv_steps(images, weight, bias, y, steps, groups, apart=(1, 1, 1), of=images_of, packed=None):
    """Return the step that convolves an image, see `conv`.

    With `apart`, y is every other (third, ...) pixel of an array, in a view. `of` says where the
    images are: `images_of`, or `left_by` where an earlier step left them in a thread's memory.
    `packed` is a dict in which programs of the same weight find what the first of them packed.
    """
    if apart == (1, 1, 1) and (m := winograd.side(y.shape, weight.shape, steps, groups)):
        return winograd.conv_steps(images, weight, bias, y, steps, m, of, packed)
    if depthwise.fits(weight.shape, groups):
        return depthwise.conv_steps(images, weight, bias, y, steps, apart[2], of)
    together = _together(len(y), weight.shape, groups)
    strides = images.strides[:4], y.strides[:4]
    frame = _frame(images.shape[1:], y.shape[1:4], *strides, steps, together)
    shape = _shape(weight.shape, groups, steps, frame.padded, together, apart[2], y.shape[3])
    arguments = (
        of(images[:, *frame.cut]), of_thread(frame.memory()),
        once(packed, shape.tile, lambda: _blocks(weight, shape)), fixed(_bias(bias, shape)),
        images_of(y), fixed(frame.geometry), COUNT,
    )  # fmt: skip
    if sharing.suits(objects.machine(), shape):
        return [Step(objects.function("sharing", shape, sharing.forward), arguments)]
    return [Step(objects.function("forward", shape, microkernel.forward), arguments)]


def conv_grad_weight(grads, images, kernel_shape, steps, groups):
    """grads (N, OD, OH, OW, O), images (N, D, H, W, C) -> grad_weight (O, C/groups, *K)."""
    calls, finish = grad_weight_steps(grads, images, kernel_shape, steps, groups)
    run(calls, len(images), len(images))
    return finish()


def grad_weight_steps(grads, images, kernel_shape, steps, groups, of=images_of):
    """Return the step that adds up an image's gradients, and what gives their sum afterwards.

    `of` says where the grads are, as in `conv_steps`.
    """
    out_shape = (len(images), *grads.shape[1:])
    if m := winograd.side(out_shape, kernel_shape, steps, groups):
        return winograd.grad_weight_steps(grads, images, kernel_shape, steps, m, of)
    if depthwise.fits(kernel_shape, groups):
        return depthwise.grad_weight_steps(grads, images, kernel_shape, steps, of)
    together = _together(len(images), kernel_shape, groups)
    strides = images.strides[:4], grads.strides[:4]
    frame = _frame(images.shape[1:], grads.shape[1:4], *strides, steps, together)
    shape = _shape(kernel_shape, groups, steps, frame.padded, together)
    near = _NOTHING
    if together > 1:
        near = _buffers.empty((_parallel.threads(), together * grads[0].size), np.float32)
    partial = np.zeros((pieces_of(len(images)), groups * shape.group_size), np.float32)
    arguments = (
        images_of(images[:, *frame.cut]), of_thread(frame.memory()), of(grads), of_thread(near),
        sums_of_piece(partial), fixed(frame.geometry), COUNT,
    )  # fmt: skip
    calls = [Step(objects.function("grad_weight", shape, microkernel.grad_weight), arguments)]
    return calls, lambda: _from_blocks(partial.sum(axis=0), shape, kernel_shape)


def conv_grad_x(grads, weight, grad_x, steps, groups):
    """grads (N, OD, OH, OW, O), weight (O, C/groups, *K) -> grad_x (N, D, H, W, C), filled."""
    calls = grad_x_steps(grads, weight, grad_x, steps, groups)
    run(calls, len(grad_x), len(grad_x) if len(calls) == 1 else 1)


def grad_x_steps(grads, weight, grad_x, steps, groups, of=images_of, packed=None):
    """Return the steps that fill grad_x; see `conv_grad_x`.

    Pixel h meets tap u at output i where h + P = i*S + u*D.  Let a be the rest of h + P
    divided by S, and let D be 1 for now.  Pixels of one rest a see the taps u = a, a + S,
    a + 2*S, ..., and the outputs q, q - 1, q - 2, ... with q = (h + P - a) / S: that is a
    convolution of stride 1 with those taps turned around.  So there are SD*SH*SW small
    convolutions, one for each combination of rests; with stride 1, a single one.

    With D > 1, let F be the greatest common factor of S and D.  Pixels of rest a see the taps u
    with u*D = a modulo S.  If there is a first one u0, the others are S/F apart, and u0 + m*S/F
    meets the output q - (u0*D - a)/S - m*D/F: the small convolution has the dilation D/F.
    """
    turned = _turned(weight, groups)
    ones = (1, 1, 1)
    if steps.stride == ones:
        reach = zip(steps.size, steps.dilation, steps.before, strict=True)
        before = tuple(d * (k - 1) - p for k, d, p in reach)
        upside_down = turned[..., ::-1, ::-1, ::-1]
        backwards = steps._replace(before=before)
        return conv_steps(grads, upside_down, None, grad_x, backwards, groups, of=of, packed=packed)
    found = []
    geometry = zip(steps.size, steps.stride, steps.before, steps.dilation, strict=True)
    axes = [_rests(*axis) for axis in geometry]
    for k, rests in enumerate(itertools.product(*axes)):
        taps, pixels, before, dilation = zip(*rests, strict=True)
        target = grad_x[:, *pixels]
        if 0 in target.shape[1:]:
            continue
        part = turned[:, :, *taps][..., ::-1, ::-1, ::-1]
        if 0 in part.shape:
            target[...] = 0  # nobody sees these pixels: the stride is larger than the window, say
            continue
        small = Steps(part.shape[2:], ones, before, dilation)
        own = None if packed is None else packed.setdefault(k, {})
        found += conv_steps(grads, part, None, target, small, groups, steps.stride, of, own)
    return found


def _rests(size, stride, before, dilation):
    """Yield (taps, pixels, padding, dilation) of the pixels of each rest along an axis."""
    common = math.gcd(stride, dilation)
    for a in range(stride):
        first = -((a - before) // stride)  # the least q whose pixel is in the image
        seen = (u for u in range(size) if u * dilation % stride == a)
        start = next(seen, size)
        taps = len(range(start, size, stride // common))
        yield (
            slice(start, None, stride // common),
            slice(a - before + stride * first, None, stride),
            (taps - 1) * dilation // common + (start * dilation - a) // stride - first,
            dilation // common,
        )


class _Frame(NamedTuple):
    """The padded image: how large it is, where the image lies in it, and the steps in it."""

    cut: tuple  # slices of the image that are seen
    padded: bool
    shape: tuple
    inside: tuple  # slices of the frame where the image goes
    geometry: np.ndarray  # the integers of `microkernel.GEOMETRY`

    def memory(self):
        """Return a frame for each thread, whose border is 0 and stays so."""
        if not self.padded:
            return _NOTHING
        frames = _buffers.empty((_parallel.threads(), *self.shape), np.float32)
        for axis, part in enumerate(self.inside, start=1):
            before = (slice(None),) * axis
            frames[*before, : part.start] = 0
            frames[*before, part.stop :] = 0
        return frames


@functools.lru_cache(maxsize=1024)
def _frame(image_shape, out, x_strides, y_strides, steps, together):
    """Return the frame of images (D, H, W, C) for outputs (OD, OH, OW); strides are in bytes."""
    cut = tuple(slice(max(0, -b), None) for b in steps.before)
    before = [max(0, b) for b in steps.before]
    inside = [max(0, n + min(0, b)) for n, b in zip(image_shape, steps.before, strict=False)]
    reach = [
        (o - 1) * s + d * (k - 1) + 1
        for o, s, d, k in zip(out, steps.stride, steps.dilation, steps.size, strict=True)
    ]  # as far as the last window reaches
    ends = [b + n for b, n in zip(before, inside, strict=True)]
    padded = together > 1 or any(before) or any(r > e for r, e in zip(reach, ends, strict=True))
    shape = (*map(max, reach, ends), image_shape[3] * together)
    x_image, x_plane, x_row, _ = (s // 4 for s in x_strides)
    y_image, y_plane, y_row, _ = (s // 4 for s in y_strides)
    plane, row = x_plane, x_row
    if padded:
        row = shape[2] * shape[3]
        plane = shape[1] * row
    found = {
        "x_image": x_image, "x_row": x_row, "x_plane": x_plane,
        "depth": inside[0], "height": inside[1], "x_line": inside[2] * image_shape[3],
        "p_start": before[0] * plane + before[1] * row + before[2] * shape[3],
        "p_row": row, "p_plane": plane,
        "row_step": steps.stride[1] * row, "plane_step": steps.stride[0] * plane,
        "kernel_row": steps.dilation[1] * row, "kernel_plane": steps.dilation[0] * plane,
        "out_depth": out[0], "out_height": out[1], "out_width": out[2],
        "y_image": y_image, "y_row": y_row, "y_plane": y_plane,
    }  # fmt: skip
    geometry = np.array([found[name] for name in microkernel.GEOMETRY], np.int64)
    inside = tuple(slice(b, e) for b, e in zip(before, ends, strict=True))
    return _Frame(cut, padded, shape, inside, geometry)


def _together(images, kernel_shape, groups):
    """Return how many images share a vector: two where the channels leave half of it idle.

    And where a piece of work has that many, for an image without company is computed twice.
    """
    idle = groups == 1 and 2 * kernel_shape[0] <= objects.machine().lanes
    return 2 if idle and images >= 2 * pieces_of(images) else 1


def _shape(kernel_shape, groups, steps, padded, together, apart=1, length=None):
    """Return what is written into the code; the tile lies along `length` pixels, or the taps."""
    machine = objects.machine()
    return _shape_on(machine, kernel_shape, groups, steps, padded, together, apart, length)


@functools.lru_cache(maxsize=1024)
def _shape_on(machine, kernel_shape, groups, steps, padded, together, apart, length):
    outputs, channels, *kernel = kernel_shape
    shape = microkernel.Shape(
        channels, outputs // groups, groups, tuple(kernel), steps.stride[2], steps.dilation[2],
        apart, padded, 0, None, together,
    )  # fmt: skip
    _, run = shape.runs
    if length is None:
        length, tile = run, tiles.choose(machine, shape.lanes_out, run, run)
    elif sharing.suits(machine, shape):
        tallest = sharing.tallest(machine, shape.kernel)
        tile = tiles.choose(machine, shape.lanes_out, length, run, tallest)
    else:
        tile = tiles.choose(machine, shape.lanes_out, length, run)
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
    if shape.together > 1:
        split = split.repeat(shape.together, axis=3)
    if shape.padded_out == shape.tile.vectors * shape.tile.lanes == shape.lanes_out:
        return np.ascontiguousarray(split)  # one whole block
    found = np.zeros((shape.groups, shape.group_size), weight.dtype)
    for first, last, block in _places(shape, found):
        part = block.reshape(shape.groups, -1, c, block.shape[2])
        part[..., : last - first] = split[..., first:last]
    return found


def _from_blocks(flat, shape, kernel_shape):
    """Undo `_blocks`."""
    o, c = kernel_shape[:2]
    found = np.empty((shape.groups, o // shape.groups, c, shape.taps // c), flat.dtype)
    split = found.transpose(0, 3, 2, 1)
    for first, last, block in _places(shape, flat.reshape(shape.groups, -1)):
        part = block.reshape(shape.groups, -1, c, block.shape[2])[..., : last - first]
        if shape.together > 1:  # one block, with each channel there several times
            part = part.reshape(*part.shape[:3], -1, shape.together).sum(axis=4)
        split[..., first // shape.together : last // shape.together] = part
    return found.reshape(kernel_shape)


def _places(shape, flat):
    """Yield each block's first and last channel, and its view (groups, taps, channels) in flat."""
    at = 0
    for blocks in shape.block_runs:
        wide = blocks.vectors * shape.tile.lanes
        for k in range(blocks.blocks):
            first = blocks.first + k * wide
            block = flat[:, at : at + shape.taps * wide].reshape(len(flat), shape.taps, wide)
            at += shape.taps * wide
            yield first, min(first + wide, shape.lanes_out), block


def _bias(bias, shape):
    """Return the bias, each group's padded to whole vectors."""
    found = np.zeros((shape.groups, shape.padded_out), np.float32)
    if bias is not None:
        of_groups = bias.reshape(shape.groups, -1).repeat(shape.together, axis=1)
        found[:, : shape.lanes_out] = of_groups
    return found
