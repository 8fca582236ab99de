"""Writing Winograd's convolution: transforms, the products between them, transforms back.

A *tile* is m x m pixels of the output and the (m+2) x (m+2) pixels of the input that it sees.
Tiles are done block by block, so that what lies between the steps stays in the second cache; and
while the products of a block are computed, the pixels of the next are fetched from memory.
"""

from typing import NamedTuple

from llvmlite import ir

from .emit import FLOAT, Function, integer
from .winograd_matrices import TAPS, matrices
from .winograd_tiles import GEOMETRY, LINE, Pixels, pixels, value
from .winograd_transforms import both_sides, zero

_FEW = 4  # rows of the products for what is left over by whole tiles of them


class Run(NamedTuple):
    """Blocks of output channels of one width, side by side."""

    first: int  # channel
    blocks: int
    vectors: int
    valid: int  # lanes of the last vector that are channels


class Shape(NamedTuple):
    """What is written into the code."""

    m: int  # pixels of the output along a side of a tile
    channels_in: int
    channels_out: int
    block: int  # tiles that are done together
    rows: int  # of a tile of products in registers
    lanes: int  # of a vector of output channels
    lanes_in: int  # and of input channels
    unroll: int

    @property
    def size(self):
        """Pixels of the input along a side of a tile."""
        return self.m + TAPS - 1

    @property
    def places(self):
        """Products of a tile, for each pair of channels."""
        return self.size**2

    @property
    def wide(self):
        """Output channels of a block of them."""
        return self.lanes * (2 if self.channels_out > self.lanes else 1)

    @property
    def padded_in(self):
        """Input channels, filled up to whole vectors."""
        return -(-self.channels_in // self.lanes_in) * self.lanes_in

    @property
    def padded_out(self):
        """Output channels, filled up to whole vectors."""
        return -(-self.channels_out // self.lanes) * self.lanes

    @property
    def runs(self):
        """The blocks of output channels: whole ones, and a last one of what is left."""
        count, left = divmod(self.channels_out, self.wide)
        vectors = -(-left // self.lanes)
        whole = Run(0, count, self.wide // self.lanes, self.lanes)
        last = Run(count * self.wide, 1, vectors, left - (vectors - 1) * self.lanes)
        return [run for run, there in ((whole, count), (last, left)) if there]

    def pitch(self, channels):
        """Floats from one place to the next; a power of two would fill few sets of the cache."""
        return self.block * channels + LINE

    @property
    def parts(self):
        """Floats of two tables, of zeros and of what nobody reads, of values, of products."""
        outside = max(self.padded_in, self.padded_out)
        values = self.places * self.pitch(self.padded_in)
        products = self.places * self.pitch(self.wide)
        return Pixels.floats, Pixels.floats, outside, outside, values, products


class Weights(NamedTuple):
    """What is written into the code of the weights' gradient."""

    forward: Shape
    rest: int  # input channels that are left over by whole tiles of products

    @property
    def parts(self):
        """Floats of two tables, zeros, nothing, values, gradients, and a tile's products."""
        s = self.forward
        gradients = s.places * s.pitch(s.padded_out)
        return *s.parts[:5], gradients, s.places * s.rows * s.wide


def forward(name, shape):
    """Write ``name(x, scratch, weights, bias, y, geometry, count)``."""
    f = Function(name, 6, 1)
    x, scratch, weights, bias, y, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    table, out_table, zeros, unread, values, products = _cut(f, scratch, shape.parts)
    inputs, outputs = pixels(f, shape, g, x, y)
    _clear(f, zeros, shape)
    for first, here, last in _blocks(f, shape, g, count):
        with f.loop(here) as t:
            places = inputs.table(f.plus(first, t), zeros, table)
            _transform_values(f, shape, places, f.at(values, f.times(t, shape.padded_in)))
        for run, part, channel in _channels(f, shape):

            def fetch(k, first=first, last=last, run=run, part=part, channel=channel):
                tile = f.plus(first, k)
                if run.first == 0:
                    soon = _least(f, f.plus(tile, shape.block), last)
                    inputs.fetch(soon, (part, run.blocks), -(-shape.channels_in // LINE))
                lines = -(-run.vectors * shape.lanes // LINE)
                outputs.fetch(_least(f, tile, last), (0, 1), lines, channel, write=True)

            own = f.at(weights, f.times(channel, shape.places * shape.channels_in))
            _products(f, shape, run, (values, own, products), here, fetch)
            with f.loop(here) as t:
                places = outputs.table(f.plus(first, t), unread, out_table)
                found = f.at(products, f.times(t, run.vectors * shape.lanes))
                _transform_back(f, shape, run, places, found, f.at(bias, channel), channel)
    f.code.ret_void()
    return f.module


def grad_weight(name, weights):
    """Write ``name(x, scratch, grad_y, sums, geometry, count)``: adds to sums (C, 3, 3, O)."""
    f, shape = Function(name, 5, 1), weights.forward
    x, scratch, grad_y, sums, geometry, count = f.args
    g = f.integers(geometry, GEOMETRY)
    table, out_table, zeros, _, values, grads, products = _cut(f, scratch, weights.parts)
    inputs, outputs = pixels(f, shape, g, x, grad_y)
    _clear(f, zeros, shape)
    for first, here, last in _blocks(f, shape, g, count):
        with f.loop(here) as t:
            places = inputs.table(f.plus(first, t), zeros, table)
            _transform_values(f, shape, places, f.at(values, f.times(t, shape.padded_in)))
            places = outputs.table(f.plus(first, t), zeros, out_table)
            _transform_grads(f, shape, places, f.at(grads, f.times(t, shape.padded_out)))
        for run, k, channel in _channels(f, shape):
            for c, part, rows in _rows(f, shape, weights.rest):

                def fetch(tile, first=first, last=last, part=part, run=run, k=k):
                    tile = _least(f, f.plus(f.plus(first, tile), shape.block), last)
                    share = part, max(1, shape.channels_in // shape.rows)
                    with f.code.if_then(f.code.icmp_signed("==", value(k), integer(0))):
                        inputs.fetch(tile, share, -(-shape.channels_in // LINE))
                        outputs.fetch(tile, share, -(-shape.channels_out // LINE))

                given = f.at(values, c), f.at(grads, channel), products
                ahead = fetch if run.first == 0 and part is not None else None
                _sums(f, shape, run, rows, given, here, ahead)
                to = f.at(sums, f.times(c, TAPS**2 * shape.padded_out), channel)
                _add_taps(f, shape, run, rows, products, to)
    f.code.ret_void()
    return f.module


def kernels(name, shape):
    """Write ``name(taps, weights, first, count)``: taps (C, 3, 3, O) -> G g G^T as `forward` wants.

    `taps` are those of channel number `first`, of `count` channels.  It is done in float64: what is
    rounded here would be seen by all images.
    """
    f = Function(name, 2, 2)
    taps, weights, first, count = f.args
    size, lanes = shape.size, shape.lanes
    exact = ir.VectorType(ir.DoubleType(), lanes)
    with f.loop(count) as c:
        for run, _, channel in _channels(f, shape):
            wide = run.vectors * lanes
            own = f.at(weights, f.times(channel, shape.places * shape.channels_in))
            own = f.at(own, f.times(f.plus(first, c), wide))
            seen = f.at(taps, f.times(c, TAPS**2 * shape.padded_out), channel)
            with f.loop(run.vectors) as v:
                at = f.times(v, lanes)
                kernel = [
                    [
                        f.code.fpext(
                            f.load(f.at(seen, (i * TAPS + j) * shape.padded_out, at), lanes), exact
                        )
                        for j in range(TAPS)
                    ]
                    for i in range(TAPS)
                ]
                for i, row in enumerate(both_sides(f, matrices(shape.m).taps, kernel)):
                    for j, found in enumerate(row):
                        rounded = f.code.fptrunc(found, ir.VectorType(FLOAT, lanes))
                        place = (i * size + j) * shape.channels_in * wide
                        f.store(rounded, f.at(own, place, at))
    f.code.ret_void()
    return f.module


def _blocks(f, shape, g, count):
    """Write a loop over blocks of tiles; yield the first, how many, and the last of all."""
    total = f.times(count, g["tiles"])
    with f.loop(total, shape.block) as first:
        here = _least(f, shape.block, f.code.sub(total, first))
        yield first, here, f.code.sub(total, integer(1))


def _channels(f, shape):
    """Write the loops over blocks of output channels; yield run, block and first channel."""
    for run in shape.runs:
        with f.loop(run.blocks) as k:
            yield run, k, f.plus(f.times(k, shape.wide), run.first)


def _rows(f, shape, rest):
    """Write the loops over input channels; yield the first, which tile of them, and how many.

    The last tile has no number if there are others.
    """
    whole = shape.channels_in - rest
    if whole:
        with f.loop(whole // shape.rows) as k:
            yield f.times(k, shape.rows), k, shape.rows
    if rest:
        yield whole, None if whole else 0, rest


def _vectors(f, channels, lanes):
    """Write the loops over channels; yield the first of a vector, and how many are there."""
    whole, left = divmod(channels, lanes)
    if whole:
        with f.loop(whole) as k:
            yield f.times(k, lanes), lanes
    if left:
        yield whole * lanes, left


def _transform_values(f, shape, places, target):
    """Store B^T d B of a tile of the input."""
    pitch = shape.pitch(shape.padded_in)
    for c, valid in _vectors(f, shape.channels_in, shape.lanes_in):
        seen = _square(shape.size, lambda i, j, c=c, n=valid: f.load(
            f.at(places(i, j), c), shape.lanes_in, n))  # fmt: skip
        _put(f, both_sides(f, matrices(shape.m).inside, seen), f.at(target, c), pitch)


def _transform_grads(f, shape, places, target):
    """Store A dy A^T of a tile of the output's gradient."""
    pitch = shape.pitch(shape.padded_out)
    for c, valid in _vectors(f, shape.channels_out, shape.lanes):
        seen = _square(shape.m, lambda i, j, c=c, n=valid: f.load(
            f.at(places(i, j), c), shape.lanes, n))  # fmt: skip
        _put(f, both_sides(f, matrices(shape.m).out.T, seen), f.at(target, c), pitch)


def _transform_back(f, shape, run, places, products, bias, channel):
    """Write A^T m A of a tile's products, and the bias, to the output."""
    size, pitch = shape.size, shape.pitch(run.vectors * shape.lanes)
    for v in range(run.vectors):
        at = v * shape.lanes
        valid = run.valid if v == run.vectors - 1 else shape.lanes
        seen = _square(size, lambda i, j, at=at: f.load(
            f.at(products, (i * size + j) * pitch + at), shape.lanes))  # fmt: skip
        offset = f.load(f.at(bias, at), shape.lanes)
        for i, row in enumerate(both_sides(f, matrices(shape.m).out, seen)):
            for j, found in enumerate(row):
                f.store(f.code.fadd(found, offset), f.at(places(i, j), channel, at), valid)


def _add_taps(f, shape, run, rows, products, sums):
    """Add G^T s G of sums of products to the weights' gradient."""
    size, pitch = shape.size, rows * run.vectors * shape.lanes
    with f.loop(rows) as r, f.loop(run.vectors) as v:
        at = f.plus(f.times(r, run.vectors * shape.lanes), f.times(v, shape.lanes))
        seen = _square(size, lambda i, j: f.load(
            f.at(products, (i * size + j) * pitch, at), shape.lanes))  # fmt: skip
        to = f.at(sums, f.times(r, TAPS**2 * shape.padded_out), f.times(v, shape.lanes))
        for i, row in enumerate(both_sides(f, matrices(shape.m).taps.T, seen)):
            for j, found in enumerate(row):
                tap = f.at(to, (i * TAPS + j) * shape.padded_out)
                f.store(f.code.fadd(f.load(tap, shape.lanes), found), tap)


def _products(f, shape, run, pointers, count, fetch):
    """Multiply, at each place, the values of all tiles with the weights."""
    values, weights, products = pointers
    wide = run.vectors * shape.lanes
    whole = f.times(f.code.udiv(count, integer(shape.rows)), shape.rows)
    with f.loop(shape.places) as k:
        v = f.at(values, f.times(k, shape.pitch(shape.padded_in)))
        w = f.at(weights, f.times(k, shape.channels_in * wide))
        p = f.at(products, f.times(k, shape.pitch(wide)))
        with f.code.if_then(f.code.icmp_signed("<", k, integer(shape.block))):
            fetch(k)
        with f.loop(whole, shape.rows) as t:
            _product(f, shape, run, (v, w, p), t, shape.rows)
        with f.loop(f.code.sub(count, whole), _FEW) as t:  # the last may see old numbers
            _product(f, shape, run, (v, w, p), f.plus(whole, t), _FEW)


def _product(f, shape, run, pointers, t, rows):
    """Multiply the values of some tiles, `rows` from t on, with a block of weights."""
    values, weights, products = pointers
    vectors, lanes, pitch = run.vectors, shape.lanes, shape.padded_in
    body = _outer(f, [r * pitch for r in range(rows)], vectors, lanes)
    loops = [(shape.channels_in, (1, vectors * lanes), shape.unroll)]
    here = f.at(values, f.times(t, pitch))
    sums = f.sums(loops, [here, weights], [zero(lanes)] * (rows * vectors), body)
    to = f.at(products, f.times(t, vectors * lanes))
    for i, found in enumerate(sums):
        f.store(found, f.at(to, i * lanes))


def _sums(f, shape, run, rows, pointers, count, fetch):
    """Sum, at each place, the products of values and gradients over all tiles."""
    values, grads, products = pointers
    vectors, lanes = run.vectors, shape.lanes
    body = _outer(f, range(rows), vectors, lanes)
    loops = [(count, (shape.padded_in, shape.padded_out), 1)]
    with f.loop(shape.places) as k:
        v = f.at(values, f.times(k, shape.pitch(shape.padded_in)))
        w = f.at(grads, f.times(k, shape.pitch(shape.padded_out)))
        if fetch is not None:
            with f.code.if_then(f.code.icmp_signed("<", k, integer(shape.block))):
                fetch(k)
        found = f.sums(loops, [v, w], [zero(lanes)] * (rows * vectors), body)
        to = f.at(products, f.times(k, rows * vectors * lanes))
        for i, vector in enumerate(found):
            f.store(vector, f.at(to, i * lanes))


def _outer(f, steps, vectors, lanes):
    """Return the body of the sums: numbers at these steps, times each of the vectors."""

    def body(pointers, sums):
        numbers, others = pointers
        factors = [f.load(f.at(others, v * lanes), lanes) for v in range(vectors)]
        found = iter(sums)
        return [
            f.fma(number, factor, next(found))
            for number in [f.broadcast(f.at(numbers, step), lanes) for step in steps]
            for factor in factors
        ]

    return body


def _square(size, load):
    return [[load(i, j) for j in range(size)] for i in range(size)]


def _put(f, rows, target, pitch):
    """Store a square of vectors, each at its place."""
    for k, vector in enumerate(vector for row in rows for vector in row):
        f.store(vector, f.at(target, k * pitch))


def _cut(f, pointer, parts):
    """Return where each part of the memory begins."""
    found = [pointer]
    for part in parts[:-1]:
        found.append(f.at(found[-1], part))
    return found


def _clear(f, zeros, shape):
    lanes = min(shape.lanes, shape.lanes_in)
    with f.loop(max(shape.padded_in, shape.padded_out) // lanes) as k:
        f.store(zero(lanes), f.at(zeros, f.times(k, lanes)))


def _least(f, a, b):
    a = value(a)
    return f.code.select(f.code.icmp_signed("<", a, b), a, b)
