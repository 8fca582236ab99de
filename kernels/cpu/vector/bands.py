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
from .emit import INT, NOTHING, Function, integer
from .program import COUNT, Argument, Step, images_of, number, run

_FEW = 8  # images; more of them are pieces of work enough
_PIECES = 16
_NEAR = 1 << 19  # bytes of a band of the input
_LEAST = 1 << 23  # multiply-adds of a band: some 40 microseconds, as long as to prepare it
_LARGE = 1 << 18  # floats of weights that no cache of a core holds: they are read for each band
_PIXELS = (32, 256)  # of a band's output, at least; the second one for large weights
_SHORTEST = 8  # pixels of an axis that is cut
_TILES = 4  # rows: Winograd's tiles are so high
_GIVEN, _OTHER, _SUMS = 1, 2, 3  # where an address of a record points to
_SCALED = ("base", "thread")  # what of an argument is in a record
_FUNCTION = ir.FunctionType(NOTHING, [INT] * team.ARGUMENTS)
_WORDS = 1 + len(_SCALED) * team.ARGUMENTS  # of a step


class _Band(NamedTuple):
    """Some rows (planes, columns) of an image's output, and what they see of the input."""

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
    bands = _forward_bands(axis, rows, y.shape, images.shape, steps) if rows else []
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
    geometry = zip(steps.size, steps.stride, steps.dilation, strict=True)
    if any(len({u * d % s for u in range(k)}) < s for k, s, d in geometry):
        grad_x[...] = 0  # there are pixels that nobody sees

    def make(inputs, outputs, own, of):
        given = inputs, weight, outputs, own, groups
        return direct.grad_x_steps(*given, of=of, packed=packed), None

    _run(bands, axis, make, grads, grad_x, steps)


def conv_grad_weight(grads, images, kernel_shape, steps, groups):
    """Do the same as `direct.conv_grad_weight`."""
    axis, rows = _cut(len(grads), grads.shape[1:4], images, kernel_shape)
    bands = _forward_bands(axis, rows, grads.shape, images.shape, steps) if rows else []
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


def _forward_bands(axis, rows, out, image, steps):
    """Return an image's bands of a convolution, none if one of them would see only padding."""
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
        found.append(_Band(slice(first, last), slice(start, stop), start - low))
    return found


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
        own = before + first - start * stride
        found.append(_Band(slice(first, last), slice(start, stop), own))
    return found


def _run(bands, axis, make, inputs, outputs, steps):
    """Run ``make(input, output, steps, of) -> steps, finish`` for the bands of all images.

    Return what the finishes return. Inputs and outputs are cut as the bands say, whichever of them
    is written to.
    """
    images, kinds = len(inputs), dict.fromkeys(band.kind for band in bands)
    sizes = [stop - start for start, stop in _parallel.chunks(images * len(bands))]
    piece_of = np.repeat(np.arange(len(sizes)), sizes).reshape(images, -1)
    records, programs = [0] * len(bands), []
    for kind in kinds:
        alike = [k for k, band in enumerate(bands) if band.kind == kind]
        first = bands[alike[0]]
        before = (*steps.before[:axis], first.before, *steps.before[axis + 1 :])
        ends = (inputs, first.inputs), (outputs, first.outputs)
        views = [array[(slice(1), *(slice(None),) * axis, part)] for array, part in ends]
        program = _program(make, views, steps._replace(before=before), piece_of[:, alike])
        programs.append(program)
        for i, k in enumerate(alike):
            parts = bands[k].inputs, bands[k].outputs
            n = np.arange(images)[:, None]
            records[k] = program.words + program.sums_at[:, i, None] * program.moved_by_piece
            for (array, start), part, moving in zip(ends, parts, program.moved, strict=True):
                along = (part.start - start.start) * array.strides[1 + axis]
                records[k] += (n * array.strides[0] + along) * moving
    table = np.zeros((images, len(bands), max(r.shape[1] for r in records)), np.int64)
    for k, record in enumerate(records):
        table[:, k, : record.shape[1]] = record
    table = table.reshape(images * len(bands), -1)
    given = images_of(table), Argument(0, thread=1), number(table.shape[1]), COUNT
    run([Step(objects.function("bands", None, _call), given)], len(table))
    return [_finished(program) for program in programs if program.finish]


class _Program(NamedTuple):
    """The steps of bands that lie alike, as those of the first image's first one."""

    steps: list
    finish: object  # what gives the weights' gradient
    words: np.ndarray  # of the record: how many steps, and of each its function and arguments
    moved: tuple  # which words are addresses in the input, and which in the output: 1, others 0
    moved_by_piece: np.ndarray  # and which in the sums
    sums: object  # of each piece that such bands are in
    sums_at: np.ndarray  # of each band: how many bytes on its own are


def _program(make, views, steps, pieces):
    seen = []

    def of(array):
        seen.append(array.ctypes.data)
        return images_of(array)

    calls, finish = make(*views, steps, of)
    words, sums, sums_at = [(len(calls), 0)], None, np.zeros_like(pieces)
    for step in calls:
        words.append((step.function, 0))
        for a in step.arguments:
            base, place = a.base + a.group, 0  # the group is one image
            if a.piece:
                known, ranks = np.unique(pieces, return_inverse=True)
                sums = np.zeros((len(known), *a.memory.shape[1:]), a.memory.dtype)
                sums_at = ranks.reshape(pieces.shape) * sums.strides[0]
                base, place = sums.ctypes.data, _SUMS
            elif a.image:
                place = _GIVEN if (base in seen) == (finish is None) else _OTHER
            words += [(base, place), (a.thread, 0)]
        words += [(0, 0)] * (_WORDS - 1 - len(_SCALED) * len(step.arguments))
    words, places = np.array(words, np.int64).T
    given, other, own = ((places == place).astype(np.int64) for place in (_GIVEN, _OTHER, _SUMS))
    return _Program(calls, finish, words, (given, other), own, sums, sums_at)


def _finished(program):
    """Return the sum over a program's bands."""
    partial = next(a.memory for s in program.steps for a in s.arguments if a.piece)
    partial[...] = program.sums.sum(axis=0)
    return program.finish()


def _call(name, _):
    """Write ``name(records, thread, words, bands)``: call the functions of each band's record."""
    f = Function(name, 1, 3)
    records, thread, words, bands = f.args
    code = f.code
    with f.loop(bands) as k:
        record = code.gep(records, [f.times(k, words)], source_etype=INT)
        with f.loop(f.word(record, 0)) as s:
            at = f.plus(f.times(s, _WORDS), integer(1))
            step = code.gep(record, [at], source_etype=INT)
            given = [
                code.add(f.word(step, i), code.mul(thread, f.word(step, i + 1)))
                for i in range(1, _WORDS, len(_SCALED))
            ]
            function = code.inttoptr(f.word(step, 0), _FUNCTION.as_pointer())
            code.call(function, given)
    code.ret_void()
    return f.module
