"""The code of depthwise convolutions, as LLVM functions; `depthwise` says how it works."""

from typing import NamedTuple

from .emit import Function, integer

# The integers that a compiled function is given, in floats or counts, as one array.
GEOMETRY = (
    "x_image", "x_plane", "x_row", "depth", "height", "x_line",  # of the image as it comes
    "top", "p_start", "p_plane", "p_row", "reach",  # of the frame: see `_band`
    "plane_step", "row_step", "rows_step", "kernel_plane", "kernel_row",  # of what is convolved
    "out_depth", "out_height", "out_width", "y_image", "y_plane", "y_row",  # of the output
)  # fmt: skip
_SUMS = 25  # of taps that are held in registers at once, at most: all of a 5x5 kernel
_UNROLLED = 3  # kernel rows that are written one after the other: their taps stay in registers


class Shape(NamedTuple):
    """What is written into the code of a depthwise convolution."""

    channels: int
    kernel: tuple  # KD, KH, KW
    step: int  # SW: pixels from window to window along a row
    spread: int  # DW: pixels from tap to tap
    apart: int  # pixels of the output from one that is computed to the next along a row
    padded: bool  # whether images are copied into a frame of zeros first
    pixels: int  # that share a vector
    lanes: int
    rows: int  # vectors side by side in a tile
    rest: int  # vectors of a row that are left over by whole tiles
    left: int  # pixels of a row that are left over by whole vectors
    band: int  # rows of outputs that are computed at once, while their windows are near

    @property
    def floats(self):
        """Numbers that are side by side: the channels of the pixels that share a vector."""
        return self.channels * self.pixels

    @property
    def blocks(self):
        """Vectors that they take."""
        return -(-self.floats // self.lanes)

    @property
    def taps(self):
        """Taps of a filter."""
        return self.kernel[0] * self.kernel[1] * self.kernel[2]


def forward(name, shape):
    """Write ``name(x, frame, weights, bias, y, geometry, count)``."""
    f = Function(name, 6, 1)
    x, frame, weights, bias, y, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    for x_row, y_row in _every_row(f, shape, g, (x, frame, y), count):
        for block, valid in _every_block(f, shape):
            channel = f.times(block, shape.lanes)
            taps = f.at(weights, f.times(channel, shape.taps))
            given = f.at(x_row, channel), taps, f.at(bias, channel), f.at(y_row, channel)
            whole, after = _lengths(f, shape, g)
            with f.loop(whole, shape.rows) as j:
                _outputs(f, shape, g, given, j, shape.rows, valid)
            if shape.rest:
                _outputs(f, shape, g, given, whole, shape.rest, valid)
            if shape.left:
                _outputs(f, shape, g, given, after, 1, shape.left * shape.channels)
    f.code.ret_void()
    return f.module


def _outputs(f, shape, g, pointers, j, rows, valid):
    """Write a tile of the output: `rows` vectors from j on."""
    x, weights, bias, y = pointers
    lanes, (depth, height, width) = shape.lanes, shape.kernel
    step_x, step_y = _pixel_steps(shape)

    def body(moved, sums):
        pixels, taps = moved
        load = _loader(f, shape, pixels, valid)
        for v in range(width):
            tap = f.load(f.at(taps, v * lanes), lanes)
            at = v * shape.spread * shape.channels
            sums = [f.fma(load(t * step_x + at), tap, total) for t, total in enumerate(sums)]
        return sums

    loops = [
        (depth, (g["kernel_plane"], height * width * lanes), 1),
        (height, (g["kernel_row"], width * lanes), _UNROLLED),
    ]
    start = [f.load(bias, lanes)] * rows
    sums = f.sums(loops, [f.at(x, f.times(j, step_x)), weights], start, body)
    target = f.at(y, f.times(j, step_y))
    for t, total in enumerate(sums):
        f.store(total, f.at(target, t * step_y), valid)


def grad_weight(name, shape):
    """Write ``name(x, frame, grad_y, sums, geometry, count)``: adds to the weights' gradient."""
    f = Function(name, 5, 1)
    x, frame, grad_y, sums, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    depth, height, width = shape.kernel
    together = min(height, max(1, _SUMS // width))  # kernel rows that are summed at once
    done = height // together * together
    for source, grads, height_here in _every_band(f, shape, g, (x, frame, grad_y), count):
        for block, valid in _every_block(f, shape):
            channel = f.times(block, shape.lanes)
            given = f.at(source, channel), f.at(grads, channel)
            own = f.at(sums, f.times(channel, shape.taps))
            with f.loop(depth) as t:
                with f.loop(done, together) as u:
                    _weights(f, shape, g, given, own, (t, u), (together, height_here), valid)
                if height > done:
                    many = height - done, height_here
                    _weights(f, shape, g, given, own, (t, done), many, valid)
    f.code.ret_void()
    return f.module


def _weights(f, shape, g, pointers, sums, place, many, valid):
    """Add up so many kernel rows, from row `place` = (t, u) on, over the rows of a band."""
    x, grads = pointers
    (t, u), (many, rows) = place, many
    lanes, (_, height, width) = shape.lanes, shape.kernel
    x = f.at(x, f.times(t, g["kernel_plane"]), f.times(u, g["kernel_row"]))
    target = f.at(sums, f.times(f.plus(f.times(t, height), u), width * lanes))
    pixels = [
        (g["out_depth"], (g["plane_step"], g["y_plane"]), 1),
        (rows, (g["row_step"], g["y_row"]), 1),
    ]
    start = [f.load(f.at(target, k * lanes), lanes) for k in range(many * width)]
    found = f.sums(pixels, [x, grads], start, lambda p, s: _row(f, shape, g, p, s, many, valid))
    for k, total in enumerate(found):
        f.store(total, f.at(target, k * lanes))


def _row(f, shape, g, pointers, sums, many, valid):
    """Write the sums over a row of pixels."""
    x, grads = pointers
    step_x, step_y = _pixel_steps(shape)
    whole, after = _lengths(f, shape, g)

    def tile(moved, totals, rows, valid):
        pixels, given = moved
        load_grad = _loader(f, shape, given, valid)
        found = []
        for u in range(many):
            row = f.at(pixels, f.times(u, g["kernel_row"]))
            load, own = _loader(f, shape, row, valid), totals[u * shape.kernel[2] :]
            own = own[: shape.kernel[2]]
            for t in range(rows):
                own = [
                    f.fma(
                        load_grad(t * step_y),
                        load(t * step_x + v * shape.spread * shape.channels),
                        s,
                    )
                    for v, s in enumerate(own)
                ]
            found += own
        return found

    tiles = f.code.sdiv(whole, integer(shape.rows))
    steps = shape.rows * step_x, shape.rows * step_y
    sums = f.sums([(tiles, steps, 1)], pointers, sums, lambda p, s: tile(p, s, shape.rows, valid))
    for start, rows, some in (
        (whole, shape.rest, valid), (after, min(1, shape.left), shape.left * shape.channels)
    ):  # fmt: skip
        if rows:
            here = f.at(x, f.times(start, step_x)), f.at(grads, f.times(start, step_y))
            sums = tile(here, sums, rows, some)
    return sums


def _loader(f, shape, pointer, valid):
    """Return what loads the vector so many floats further on, each of them once."""
    known = {}

    def load(offset):
        if offset not in known:
            known[offset] = f.load(f.at(pointer, offset), shape.lanes, valid)
        return known[offset]

    return load


def _pixel_steps(shape):
    """Return floats from a vector of pixels to the next, of the input and of the output."""
    return shape.step * shape.floats, shape.apart * shape.floats


def _lengths(f, shape, g):
    """Return how many vectors of a row are in whole tiles, and how many there are."""
    pixels = f.code.sub(g["out_width"], integer(shape.left))
    after = f.code.sdiv(pixels, integer(shape.pixels))
    return f.code.sub(after, integer(shape.rest)), after


def _every_block(f, shape):
    """Write a loop over the vectors of channels; yield which, and how many lanes are channels."""
    whole, more = divmod(shape.floats, shape.lanes)
    if whole:
        with f.loop(whole) as block:
            yield block, shape.lanes
    if more:
        yield whole, more


def _every_row(f, shape, g, pointers, count):
    """Write the loops over images and rows of outputs; yield where their windows and they are."""
    for source, target, rows in _every_band(f, shape, g, pointers, count):
        with f.loop(g["out_depth"]) as d, f.loop(rows) as h:
            yield (
                f.at(source, f.times(d, g["plane_step"]), f.times(h, g["row_step"])),
                f.at(target, f.times(d, g["y_plane"]), f.times(h, g["y_row"])),
            )


def _every_band(f, shape, g, pointers, count):
    """Write the loops over images and bands of them; yield the band, its outputs, their rows."""
    x, frame, y = pointers
    with f.loop(count) as n, f.pieces(g["out_height"], integer(shape.band)) as (_, first, rows):
        image = f.at(x, f.times(n, g["x_image"]))
        target = f.at(y, f.times(n, g["y_image"]), f.times(first, g["y_row"]))
        if shape.padded:
            yield _band(f, g, image, frame, first, rows), target, rows
        else:
            yield f.at(image, f.times(first, g["row_step"])), target, rows


def _band(f, g, image, frame, first, rows):
    """Copy the rows that some rows of outputs see into a frame; return it.

    What is beside the image is 0 in the frame and stays so; what is above and below is set here.
    """
    code = f.code
    top = code.sub(f.times(first, g["rows_step"]), g["top"])  # row of the image
    height = f.plus(f.times(code.sub(rows, integer(1)), g["rows_step"]), g["reach"])
    inside = f.at(frame, g["p_start"])
    with f.loop(g["depth"]) as d, f.loop(height) as r:
        to = f.at(inside, f.times(d, g["p_plane"]), f.times(r, g["p_row"]))
        h = code.add(top, r)
        with code.if_else(code.icmp_unsigned("<", h, g["height"])) as (there, beyond):
            with there:
                at = f.at(image, f.times(d, g["x_plane"]), f.times(h, g["x_row"]))
                f.copy(to, at, g["x_line"])
            with beyond:
                f.clear(to, g["x_line"])
    return frame
