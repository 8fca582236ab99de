"""The generator: convolution and its weight gradient for one shape, as LLVM functions.

Both walk over images in channels-last memory.  The tile, the steps between pixels and the numbers
of channels are written into the code; groups, blocks of channels, rows of the kernel and of the
image are loops, so the code is a few hundred instructions long whatever the shape, and the
lengths of the image are arguments, so one piece of code serves images of many sizes.
"""

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
    together: int = 1  # images that share a vector, see `_copy`

    @property
    def pitch(self):
        """Floats from one pixel of the input to the next."""
        return self.channels_in * self.groups * self.together

    @property
    def lanes_out(self):
        """Numbers that belong to an output pixel: the channels of a group, of each image."""
        return self.channels_out * self.together

    @property
    def runs(self):
        """(how many, step) of the contiguous runs in a kernel row, and floats in each."""
        if self.groups == 1 and self.spread == 1:
            return (1, 0), self.kernel[2] * self.channels_in
        return (self.kernel[2], self.spread * self.pitch), self.channels_in

    @property
    def block_runs(self):
        """The blocks of output channels: all of V vectors, and a last one of what is left."""
        lanes = self.tile.lanes
        wide = lanes * self.tile.vectors
        count, left = divmod(self.lanes_out, wide)
        found = [BlockRun(0, count, self.tile.vectors, lanes)] if count else []
        if left:
            vectors = -(-left // lanes)
            found.append(BlockRun(count * wide, 1, vectors, left - (vectors - 1) * lanes))
        return found

    @property
    def taps(self):
        """Taps of one output: KD*KH*KW*C."""
        (count, _), run = self.runs
        return self.kernel[0] * self.kernel[1] * count * run

    @property
    def padded_out(self):
        """Output channels of a group, filled up to whole vectors."""
        return sum(run.blocks * run.vectors * self.tile.lanes for run in self.block_runs)

    @property
    def group_size(self):
        """Floats of a group's weights, filled up to whole vectors."""
        return self.taps * self.padded_out


class BlockRun(NamedTuple):
    """Blocks of output channels of one width, side by side."""

    first: int  # channel
    blocks: int
    vectors: int
    valid: int  # lanes of the last vector that are channels


def forward(name, shape):
    """Write ``name(x, frame, weights, bias, y, geometry, count)``."""
    f = Function(name, 6, 1)
    x, frame, weights, bias, y, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    whole = f.code.sub(g["out_width"], integer(shape.rest))
    with f.loop(count, shape.together) as n:
        ns = _images(f, shape, n, count)
        source = _input(f, shape, g, x, frame, ns)
        targets = [f.at(y, f.times(k, g["y_image"])) for k in ns]
        for group, run, block in _every_block(f, shape):
            w = _weights_of(f, shape, weights, group, run, block)
            b = f.at(bias, _channel(f, shape, group, run, block, shape.padded_out))
            channel = _channel(f, shape, group, run, block, shape.channels_out)
            with f.loop(g["out_depth"]) as d, f.loop(g["out_height"]) as h:
                x_row = f.at(
                    source, f.times(d, g["plane_step"]), f.times(h, g["row_step"]),
                    f.times(group, shape.channels_in),
                )  # fmt: skip
                along = f.times(d, g["y_plane"]), f.times(h, g["y_row"]), channel
                y_rows = [f.at(target, *along) for target in targets]
                with f.loop(whole, shape.tile.rows) as j:
                    _outputs(f, shape, g, run, (x_row, w, b, y_rows), j, shape.tile.rows)
                if shape.rest:
                    _outputs(f, shape, g, run, (x_row, w, b, y_rows), whole, shape.rest)
    f.code.ret_void()
    return f.module


def _outputs(f, shape, g, run, pointers, j, rows):
    """Write a tile of the output: `rows` pixels from j on, times the channels of a block."""
    vectors, valid = run.vectors, run.valid
    x_row, weights, bias, y_rows = pointers
    lanes, step_x = shape.tile.lanes, shape.step * shape.pitch
    step_y = shape.apart * shape.channels_out * shape.groups
    start = [f.load(f.at(bias, v * lanes), lanes) for v in range(vectors)] * rows
    body = _products(f, shape, [t * step_x for t in range(rows)], vectors)
    here = f.at(x_row, f.times(j, step_x))
    sums = f.sums(_taps(shape, g, vectors * lanes), [here, weights], start, body)
    if shape.together == 1:
        _store(f, sums, f.at(y_rows[0], f.times(j, step_y)), step_y, vectors, valid)
    else:
        parts = zip(*(f.apart(v, shape.together) for v in sums), strict=True)
        for y_row, part in zip(y_rows, parts, strict=True):
            _store(f, part, f.at(y_row, f.times(j, step_y)), step_y, 1, shape.channels_out)


def grad_weight(name, shape):
    """Write ``name(x, frame, grad_y, near, sums, geometry, count)``: adds to the gradient.

    `near` is room for the interleaved gradients of images that share a vector.
    """
    f = Function(name, 6, 1)
    x, frame, grad_y, near, sums, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    (runs, run_step), taps = shape.runs
    with f.loop(count, shape.together) as n:
        ns = _images(f, shape, n, count)
        alone = None if shape.together == 1 else f.code.icmp_signed("==", ns[-1], n)
        source = _input(f, shape, g, x, frame, ns, alone)
        grads = _gradients(f, shape, g, grad_y, near, ns, alone)
        for group, run, block in _every_block(f, shape):
            to = _weights_of(f, shape, sums, group, run, block)
            g_block = f.at(grads, _channel(f, shape, group, run, block, shape.channels_out))
            rows = shape.kernel[0], shape.kernel[1], runs
            with f.loop(rows[0]) as t, f.loop(rows[1]) as u, f.loop(rows[2]) as v:
                place = f.plus(f.times(f.plus(f.times(t, rows[1]), u), rows[2]), v)
                x_run = f.at(
                    source, f.times(t, g["kernel_plane"]), f.times(u, g["kernel_row"]),
                    f.times(v, run_step), f.times(group, shape.channels_in),
                )  # fmt: skip
                to_run = f.at(to, f.times(place, taps * run.vectors * shape.tile.lanes))
                with f.loop(taps - shape.rest, shape.tile.rows) as j:
                    _weights(f, shape, g, run, (x_run, g_block, to_run), j, shape.tile.rows)
                if shape.rest:
                    last = taps - shape.rest
                    _weights(f, shape, g, run, (x_run, g_block, to_run), last, shape.rest)
    f.code.ret_void()
    return f.module


def _weights(f, shape, g, run, pointers, j, rows):
    """Write a tile of the weights' gradient: `rows` taps from j on, times a block's channels."""
    vectors, valid = run.vectors, run.valid
    x_run, g_block, sums = pointers
    lanes, step_y = shape.tile.lanes, shape.lanes_out * shape.groups
    wide = vectors * lanes
    y_row, y_plane = g["y_row"], g["y_plane"]
    if shape.together > 1:  # they were copied without gaps
        y_row = f.times(g["out_width"], step_y)
        y_plane = f.times(g["out_height"], y_row)
    pixels = [
        (g["out_depth"], (g["plane_step"], y_plane), 1),
        (g["out_height"], (g["row_step"], y_row), 1),
        (g["out_width"], (shape.step * shape.pitch, step_y), 1),
    ]
    target = f.at(sums, f.times(j, wide))
    places = [t * wide + v * lanes for t in range(rows) for v in range(vectors)]
    start = [f.load(f.at(target, place), lanes) for place in places]
    body = _products(f, shape, [t * shape.together for t in range(rows)], vectors, valid)
    found = f.sums(pixels, [f.at(x_run, f.times(j, shape.together)), g_block], start, body)
    _store(f, found, target, wide, vectors, lanes)


def _images(f, shape, n, count):
    """Return the numbers of the images that share a vector; the last one may stand in for two."""
    last = f.code.sub(count, integer(1))
    following = [f.code.add(n, integer(k)) for k in range(1, shape.together)]
    return [n, *(f.code.select(f.code.icmp_signed("<", k, last), k, last) for k in following)]


def _input(f, shape, g, x, frame, ns, alone=None):
    """Return where the image to be convolved is: in its place, or copied into the frame."""
    images = [f.at(x, f.times(n, g["x_image"])) for n in ns]
    if not shape.padded:
        return images[0]
    inside = f.at(frame, g["p_start"])
    with f.loop(g["depth"]) as d, f.loop(g["height"]) as h:
        along = f.times(d, g["x_plane"]), f.times(h, g["x_row"])
        to = f.at(inside, f.times(d, g["p_plane"]), f.times(h, g["p_row"]))
        _copy(f, shape, to, [f.at(image, *along) for image in images], g["x_line"], alone)
    return frame


def _gradients(f, shape, g, grad_y, near, ns, alone):
    """Return where the gradients are: in their place, or interleaved."""
    images = [f.at(grad_y, f.times(n, g["y_image"])) for n in ns]
    if shape.together == 1:
        return images[0]
    line = f.times(g["out_width"], shape.channels_out * shape.groups)
    with f.loop(g["out_depth"]) as d, f.loop(g["out_height"]) as h:
        along = f.times(d, g["y_plane"]), f.times(h, g["y_row"])
        row = f.plus(f.times(d, g["out_height"]), h)
        to = f.at(near, f.times(f.times(row, line), shape.together))
        _copy(f, shape, to, [f.at(image, *along) for image in images], line, alone)
    return near


def _copy(f, shape, target, sources, floats, alone):
    """Copy a line of an image, or interleave two: a0 b0 a1 b1 ..., with zeros for b if `alone`.

    With 8 channels, half of a vector of 16 lanes would lie idle.  Instead two images share it:
    every number of the frame is a pair, every weight is there twice, and the sums of the two
    images never meet.  (Two pixels of one image could share it as well, with zeros among the
    weights; but zero times infinity is not a number, which would then appear beside infinities.)
    """
    if shape.together == 1:
        f.copy(target, sources[0], floats)
    else:
        f.interleave(target, *sources, floats, shape.tile.lanes, alone)


def _every_block(f, shape):
    """Write the loops over groups and over blocks; yield the group, the run and the block in it."""
    with f.loop(shape.groups) as group:
        for run in shape.block_runs:
            with f.loop(run.blocks) as block:
                yield group, run, block


def _weights_of(f, shape, weights, group, run, block):
    """Return where a block's weights begin."""
    channel = f.plus(f.times(block, run.vectors * shape.tile.lanes), run.first)
    return f.at(weights, f.times(group, shape.group_size), f.times(channel, shape.taps))


def _channel(f, shape, group, run, block, of_group):
    """Return the output channel that a block begins with, where a group has so many."""
    along = f.times(block, run.vectors * shape.tile.lanes)
    return f.plus(f.plus(f.times(group, of_group), along), run.first)


def _taps(shape, g, wide):
    """Return the loops over the taps of a window, for the pixel and for its weight."""
    (runs, run_step), run = shape.runs
    row = runs * run * wide
    return [
        (shape.kernel[0], (g["kernel_plane"], shape.kernel[1] * row), 1),
        (shape.kernel[1], (g["kernel_row"], row), 1),
        (runs, (run_step, run * wide), 1),
        (run, (shape.together, wide), shape.tile.unroll),
    ]


def _products(f, shape, x_steps, vectors, valid=None):
    """Return the body of the sums: T pixels times V vectors."""
    lanes = shape.tile.lanes

    def body(pointers, sums):
        x, w = pointers
        last = vectors - 1
        ws = [
            f.load(f.at(w, v * lanes), lanes, valid if v == last else None) for v in range(vectors)
        ]
        found = []
        for t, step in enumerate(x_steps):  # one pixel after the other needs one register for them
            pixel = f.broadcast(f.at(x, step), lanes, shape.together)
            found += [f.fma(pixel, w, sums[t * vectors + v]) for v, w in enumerate(ws)]
        return found

    return body


def _store(f, sums, target, step, vectors, valid):
    for i, found in enumerate(sums):
        t, v = divmod(i, vectors)
        lanes = found.type.count
        where = f.at(target, t * step + v * lanes)
        f.store(found, where, valid if v == vectors - 1 else lanes)
