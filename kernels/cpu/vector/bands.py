"""Large images, and few of them, are convolved in bands.

The pieces of work are whole images, as a rule.  Where these are fewer than the threads could be,
or so large that their padded copies leave the cache, they are cut along their first long axis,
mostly into bands of rows: some rows of the output, and what of the input these see, are a
convolution of their own, with less padding.  Bands that lie alike are one program, called with
other addresses; mostly there are three: the first, the last, and all others.

A weight gradient's bands do not overlap in the output, and each piece has its own sums.

How bands are cut follows from the shapes alone, so results do not depend on the threads.
"""

import math
from typing import NamedTuple

import numpy as np
from llvmlite import ir

from .. import _parallel
from . import direct, objects, team
from .emit import INT, NOTHING, Function
from .program import COUNT, Argument, Step, images_of, number, run

_FEW = 8  # images; more of them are pieces of work enough
_PIECES = 16
_NEAR = 1 << 19  # bytes of a band of the input
_LEAST = 1 << 19  # multiply-adds of a band
_LARGE = 1 << 18  # floats of weights that no cache of a core holds: they are read for each band
_PIXELS = (32, 256)  # of a band's output, at least; the second one for large weights
_SHORTEST = 8  # pixels of an axis that is cut
_TILES = 4  # rows: Winograd's tiles are so high
_SCALED = ("base", "thread")  # what of an argument is in a record
_FUNCTION = ir.FunctionType(NOTHING, [INT] * team.ARGUMENTS)
_WORDS = 1 + len(_SCALED) * team.ARGUMENTS  # of a record


class _Band(NamedTuple):
    """Some rows (planes, columns) of an image's output, and what they see of the input."""

    image: int
    outputs: slice
    inputs: slice
    before: int  # padding that is left

    @property
    def kind(self):
        """What is the same for bands that lie alike."""
        lengths = [part.stop - part.start for part in (self.outputs, self.inputs)]
        return *lengths, self.before


def conv(images, weight, bias, y, steps, groups):
    """Do the same as `direct.conv`."""
    axis, rows = _cut(len(y), y.shape[1:4], images, weight.shape)
    bands = _forward_bands(len(y), axis, rows, y.shape, images.shape, steps) if rows else []
    if not bands:
        direct.conv(images, weight, bias, y, steps, groups)
        return
    packed: dict = {}

    def make(inputs, outputs, own, of):
        given = inputs, weight, bias, outputs, own, groups
        return direct.conv_steps(*given, of=of, packed=packed), None

    _run(bands, axis, make, images, y, steps)


def conv_grad_x(grads, weight, grad_x, steps, groups):
    """Do the same as `direct.conv_grad_x`."""
    axis, rows = _cut(len(grads), grad_x.shape[1:4], grads, weight.shape, steps.stride)
    bands = _backward_bands(axis, rows, grads.shape, grad_x.shape, steps) if rows else []
    if not bands:
        direct.conv_grad_x(grads, weight, grad_x, steps, groups)
        return
    packed: dict = {}

    def make(inputs, outputs, own, of):
        given = inputs, weight, outputs, own, groups
        return direct.grad_x_steps(*given, of=of, packed=packed), None

    _run(bands, axis, make, grads, grad_x, steps)


def conv_grad_weight(grads, images, kernel_shape, steps, groups):
    """Do the same as `direct.conv_grad_weight`."""
    axis, rows = _cut(len(grads), grads.shape[1:4], images, kernel_shape)
    bands = _forward_bands(len(grads), axis, rows, grads.shape, images.shape, steps) if rows else []
    if not bands:
        return direct.conv_grad_weight(grads, images, kernel_shape, steps, groups)

    def make(inputs, outputs, own, of):
        return direct.grad_weight_steps(outputs, inputs, kernel_shape, own, groups, of)

    return sum(_run(bands, axis, make, images, grads, steps))


def _cut(images, out, inputs, kernel_shape, stride=(1, 1, 1)):
    """Return the axis along which images are cut, and the output's rows of each band, or 0."""
    axis = next((a for a, n in enumerate(out) if n >= _SHORTEST), None)
    if axis is None or not images:
        return 0, 0
    weights = math.prod(kernel_shape)
    pixels = math.prod(out) // out[axis]  # of a row
    many = -(-_PIECES // images) if images < _FEW else 1
    many = max(many, inputs[0].nbytes // _NEAR)
    least = max(_LEAST // weights, _PIXELS[weights > _LARGE]) // pixels
    rows = max(-(-out[axis] // many), least, 1)
    even = stride[axis] if stride[axis] > 1 else _TILES if rows >= 2 * _TILES else 1
    rows = -(-rows // even) * even
    return axis, rows if rows < out[axis] else 0


def _forward_bands(images, axis, rows, out, image, steps):
    """Return the bands of a convolution, none if one of them would see only padding."""
    length, height = out[1 + axis], image[1 + axis]
    stride, before = steps.stride[axis], steps.before[axis]
    reach = steps.dilation[axis] * (steps.size[axis] - 1) + 1
    found = []
    for first in range(0, length, rows):
        last = min(first + rows, length)
        low = first * stride - before
        start, stop = max(0, low), min(height, (last - 1) * stride - before + reach)
        if start >= stop:
            return []
        found.append((slice(first, last), slice(start, stop), start - low))
    return [_Band(n, *band) for n in range(images) for band in found]


def _backward_bands(axis, rows, grads, grad_x, steps):
    """Return those of the gradient by the input: see `direct.grad_x_steps` for the formula."""
    length, height = grad_x[1 + axis], grads[1 + axis]
    stride, before = steps.stride[axis], steps.before[axis]
    reach = steps.dilation[axis] * (steps.size[axis] - 1)
    found = []
    for first in range(0, length, rows):
        last = min(first + rows, length)
        start = max(0, -((reach - first - before) // stride))
        stop = min(height, (last - 1 + before) // stride + 1)
        if start >= stop:
            return []
        found.append((slice(first, last), slice(start, stop), before + first - start * stride))
    return [_Band(n, *band) for n in range(grads[0]) for band in found]


class _Program(NamedTuple):
    """The steps of bands that lie alike, for the first of them."""

    steps: list
    finish: object  # what gives the weights' gradient
    starts: tuple  # addresses of its input and its output
    seen: list  # addresses that move with the input or output that `of` was asked for
    sums: object  # of each piece that such bands are in
    pieces: dict  # piece -> its row of the sums


def _run(bands, axis, make, inputs, outputs, steps):
    """Run ``make(input, output, steps, of) -> steps, finish`` for all bands; yield the finishes.

    The bands of `inputs` and `outputs` are given in this order, whatever of them is written to.
    """
    pieces = _parallel.chunks(len(bands))
    piece_of = [p for p, (start, stop) in enumerate(pieces) for _ in range(start, stop)]
    programs, records = {}, []
    for band, piece in zip(bands, piece_of, strict=True):
        views = _view(inputs, axis, band, band.inputs), _view(outputs, axis, band, band.outputs)
        if band.kind not in programs:
            own = list(steps.before)
            own[axis] = band.before
            alike = sorted({p for b, p in zip(bands, piece_of, strict=True) if b.kind == band.kind})
            programs[band.kind] = _program(make, views, steps._replace(before=tuple(own)), alike)
        records.append(_record(programs[band.kind], views, piece))
    table = np.array(records, np.int64)
    count = table.shape[1] // _WORDS
    call = Step(
        objects.function("bands", None, _call),
        (images_of(table), Argument(0, thread=1), number(count), COUNT),
    )
    run([call], len(bands))
    return [_finished(program) for program in programs.values() if program.finish]


def _view(array, axis, band, part):
    return array[(slice(band.image, band.image + 1), *(slice(None),) * axis, part)]


def _program(make, views, steps, pieces):
    seen = []

    def of(array):
        seen.append(array.ctypes.data)
        return images_of(array)

    calls, finish = make(*views, steps, of)
    sums = None
    for argument in (a for call in calls for a in call.arguments):
        if argument.piece:
            sums = np.zeros((len(pieces), *argument.memory.shape[1:]), argument.memory.dtype)
    starts = tuple(view.ctypes.data for view in views)
    return _Program(calls, finish, starts, seen, sums, {p: i for i, p in enumerate(pieces)})


def _record(program, views, piece):
    """Return the words of a band: for each step its function, and its arguments."""
    moved = [view.ctypes.data - start for view, start in zip(views, program.starts, strict=True)]
    if program.finish:  # `of` was asked for the output, which is the gradient given
        moved.reverse()
    words = []
    for step in program.steps:
        words.append(step.function)
        for a in step.arguments:
            base = a.base + a.group
            if a.piece:
                base = program.sums.ctypes.data + program.pieces[piece] * program.sums.strides[0]
            elif a.image:
                base += moved[a.base not in program.seen]
            words += [base, a.thread]
        words += [0] * (_WORDS - 1 - len(_SCALED) * len(step.arguments))
    return words


def _finished(program):
    """Return the sum over a program's bands."""
    partial = next(a.memory for s in program.steps for a in s.arguments if a.piece)
    partial[...] = program.sums.sum(axis=0)
    return program.finish()


def _call(name, _):
    """Write ``name(records, thread, count, bands)``: call the `count` functions of each band."""
    f = Function(name, 1, 3)
    records, thread, count, bands = f.args
    code = f.code
    with f.loop(code.mul(bands, count)) as k:
        record = code.gep(records, [f.times(k, _WORDS)], source_etype=INT)
        given = [
            code.add(f.word(record, i), code.mul(thread, f.word(record, i + 1)))
            for i in range(1, _WORDS, len(_SCALED))
        ]
        function = code.inttoptr(f.word(record, 0), _FUNCTION.as_pointer())
        code.call(function, given)
    code.ret_void()
    return f.module
