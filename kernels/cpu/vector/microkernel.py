"""The generator: convolution and its weight gradient for one shape, as LLVM functions.

Both walk over images in channels-last memory.  What depends on the shape of the kernel and on the
numbers of channels is written into the code; the lengths of the image are arguments, so that
one piece of code serves images of many sizes.
"""

import itertools
from typing import NamedTuple

from .emit import Function, integer
from .tiles import Tile

# The integers that a compiled function is given, in floats or counts, as one array.
GEOMETRY = (
    "x_image", "x_row", "x_plane", "depth", "height", "x_line",  # of the image as it comes
    "p_start", "p_row", "p_plane",  # where its first pixel goes in the padded one, and the next
    "row_step", "plane_step", "kernel_row", "kernel_plane",  # of what is convolved
    "out_depth", "out_height", "out_width", "y_image", "y_row", "y_plane",  # of the output
)  # fmt: skip


class Shape(NamedTuple):
    """What is written into the code of a convolution."""

    channels_in: int  # of one group
    channels_out: int  # of one group
    groups: int
    kernel: tuple  # KD, KH, KW
    step: int  # SW: pixels from window to window along a row
    spread: int  # DW: pixels from tap to tap
    apart: int  # pixels of the output from one that is computed to the next along a row
    padded: bool  # whether images are copied into a frame of zeros first
    rest: int  # pixels of a row (or taps of a run) that are left over by whole tiles
    tile: Tile

    @property
    def pitch(self):
        """Floats from one pixel of the input to the next."""
        return self.channels_in * self.groups

    @property
    def runs(self):
        """(how many, step) of the contiguous runs in a kernel row, and floats in each."""
        if self.groups == 1 and self.spread == 1:
            return (1, 0), self.kernel[2] * self.channels_in
        return (self.kernel[2], self.spread * self.pitch), self.channels_in

    @property
    def blocks(self):
        """(first channel, vectors, valid lanes of the last) of the blocks of output channels."""
        found, lanes = [], self.tile.lanes
        for first in range(0, self.channels_out, lanes * self.tile.vectors):
            left = self.channels_out - first
            vectors = min(self.tile.vectors, -(-left // lanes))
            found.append((first, vectors, min(lanes, left - (vectors - 1) * lanes)))
        return found

    @property
    def taps(self):
        """Taps of one output: KD*KH*KW*C."""
        (count, _), run = self.runs
        return self.kernel[0] * self.kernel[1] * count * run

    @property
    def block_sizes(self):
        """Floats of each block's weights, padded to whole vectors."""
        return [self.taps * vectors * self.tile.lanes for _, vectors, _ in self.blocks]


def forward(name, shape):
    """Write ``name(x, frame, weights, bias, y, geometry, count)``."""
    f = Function(name, 6, 1)
    x, frame, weights, bias, y, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    whole = f.code.sub(g["out_width"], integer(shape.rest))
    with f.loop(count) as n:
        source = _input(f, shape, g, x, frame, n)
        target = f.at(y, f.times(n, g["y_image"]))
        for group, block, at_weights in _every_block(shape):
            w = f.at(weights, at_weights)
            b = f.at(bias, _padded(shape, group) + block[0])
            with f.loop(g["out_depth"]) as d, f.loop(g["out_height"]) as h:
                channel = group * shape.channels_in
                x_row = f.at(
                    source, f.times(d, g["plane_step"]), f.times(h, g["row_step"]), channel
                )
                channel = group * shape.channels_out + block[0]
                y_row = f.at(target, f.times(d, g["y_plane"]), f.times(h, g["y_row"]), channel)
                with f.loop(whole, shape.tile.rows) as j:
                    _outputs(f, shape, g, block, (x_row, w, b, y_row), j, shape.tile.rows)
                if shape.rest:
                    _outputs(f, shape, g, block, (x_row, w, b, y_row), whole, shape.rest)
    f.code.ret_void()
    return f.module


def _outputs(f, shape, g, block, pointers, j, rows):
    """Write a tile of the output: `rows` pixels from j on, times the channels of a block."""
    _, vectors, valid = block
    x_row, weights, bias, y_row = pointers
    lanes, step_x = shape.tile.lanes, shape.step * shape.pitch
    step_y = shape.apart * shape.channels_out * shape.groups
    start = [f.load(f.at(bias, v * lanes), lanes) for v in range(vectors)] * rows
    body = _products(f, [t * step_x for t in range(rows)], vectors, lanes)
    here = f.at(x_row, f.times(j, step_x))
    sums = f.sums(_taps(shape, g, vectors * lanes), [here, weights], start, body)
    _store(f, sums, f.at(y_row, f.times(j, step_y)), step_y, vectors, valid)


def grad_weight(name, shape):
    """Write ``name(x, frame, grad_y, sums, geometry, count)``: adds to the weights' gradient."""
    f = Function(name, 5, 1)
    x, frame, grad_y, sums, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    (_, run_step), run = shape.runs
    with f.loop(count) as n:
        source = _input(f, shape, g, x, frame, n)
        grads = f.at(grad_y, f.times(n, g["y_image"]))
        for group, block, at_sums in _every_block(shape):
            g_block = f.at(grads, group * shape.channels_out + block[0])
            for place, (t, u, v) in enumerate(_run_places(shape)):
                channel = v * run_step + group * shape.channels_in
                x_run = f.at(
                    source, f.times(t, g["kernel_plane"]), f.times(u, g["kernel_row"]), channel
                )
                to = f.at(sums, at_sums + place * run * block[1] * shape.tile.lanes)
                with f.loop(run - shape.rest, shape.tile.rows) as j:
                    _weights(f, shape, g, block, (x_run, g_block, to), j, shape.tile.rows)
                if shape.rest:
                    last = run - shape.rest
                    _weights(f, shape, g, block, (x_run, g_block, to), last, shape.rest)
    f.code.ret_void()
    return f.module


def _weights(f, shape, g, block, pointers, j, rows):
    """Write a tile of the weights' gradient: `rows` taps from j on, times a block's channels."""
    _, vectors, valid = block
    x_run, g_block, sums = pointers
    lanes, step_y = shape.tile.lanes, shape.channels_out * shape.groups
    wide = vectors * lanes
    pixels = [
        (g["out_depth"], (g["plane_step"], g["y_plane"]), 1),
        (g["out_height"], (g["row_step"], g["y_row"]), 1),
        (g["out_width"], (shape.step * shape.pitch, step_y), 1),
    ]
    target = f.at(sums, f.times(j, wide))
    places = [t * wide + v * lanes for t in range(rows) for v in range(vectors)]
    start = [f.load(f.at(target, place), lanes) for place in places]
    body = _products(f, range(rows), vectors, lanes, valid)
    found = f.sums(pixels, [f.at(x_run, j), g_block], start, body)
    _store(f, found, target, wide, vectors, lanes)


def _run_places(shape):
    """Return (t, u, v) of every contiguous run of taps in a window."""
    (runs, _), _ = shape.runs
    return itertools.product(range(shape.kernel[0]), range(shape.kernel[1]), range(runs))


def _input(f, shape, g, x, frame, n):
    """Return where the image to be convolved is: in its place, or copied into the frame."""
    image = f.at(x, f.times(n, g["x_image"]))
    if not shape.padded:
        return image
    inside = f.at(frame, g["p_start"])
    with f.loop(g["depth"]) as d, f.loop(g["height"]) as h:
        f.copy(
            f.at(inside, f.times(d, g["p_plane"]), f.times(h, g["p_row"])),
            f.at(image, f.times(d, g["x_plane"]), f.times(h, g["x_row"])),
            g["x_line"],
        )
    return frame


def _every_block(shape):
    """Yield (group, block, where its weights begin)."""
    at = 0
    for group in range(shape.groups):
        for block, size in zip(shape.blocks, shape.block_sizes, strict=True):
            yield group, block, at
            at += size


def _padded(shape, group):
    """Return where a group's bias begins, padded to whole vectors."""
    last, vectors, _ = shape.blocks[-1]
    return group * (last + vectors * shape.tile.lanes)


def _taps(shape, g, wide):
    """Return the loops over the taps of a window, for the pixel and for its weight."""
    (runs, run_step), run = shape.runs
    row = runs * run * wide
    return [
        (shape.kernel[0], (g["kernel_plane"], shape.kernel[1] * row), 1),
        (shape.kernel[1], (g["kernel_row"], row), 1),
        (runs, (run_step, run * wide), 1),
        (run, (1, wide), shape.tile.unroll),
    ]


def _products(f, x_steps, vectors, lanes, valid=None):
    """Return the body of the sums: T pixels times V vectors."""

    def body(pointers, sums):
        x, w = pointers
        last = vectors - 1
        ws = [
            f.load(f.at(w, v * lanes), lanes, valid if v == last else None) for v in range(vectors)
        ]
        pixels = [f.broadcast(f.at(x, step), lanes) for step in x_steps]
        factors = [(pixel, w) for pixel in pixels for w in ws]
        return [f.fma(a, b, c) for (a, b), c in zip(factors, sums, strict=True)]

    return body


def _store(f, sums, target, step, vectors, valid):
    for i, found in enumerate(sums):
        t, v = divmod(i, vectors)
        lanes = found.type.count
        where = f.at(target, t * step + v * lanes)
        f.store(found, where, valid if v == vectors - 1 else lanes)
