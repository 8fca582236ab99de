"""Where the pixels of a tile are: tables of addresses, and what to fetch into the cache early.

Tiles are numbered row by row, image after image, through all images of a call, and they may stick
out of their image on all sides.  So each pixel of a tile has an address in a table, and that of a
pixel outside is a place where only zeros lie; for outputs, a place that nobody reads.  Padding,
odd sizes and cropping are one thing then, no image is copied, and no zero is ever multiplied.
"""

from llvmlite import ir

from .emit import INT, NOTHING, POINTER, integer

# The integers that a compiled function is given, in floats or counts, as one array.
GEOMETRY = (
    "x_image", "x_row", "height", "width", "top", "left",  # of the input; padding above, left
    "y_image", "y_row", "out_height", "out_width",  # of the output
    "tiles_across", "tiles",  # of an image
)  # fmt: skip
LINE = 16  # floats in a line of the cache
_ROW = 8  # addresses in a row of a table
_WORD = ir.IntType(32)
_BYTES = 4  # of a float


class Pixels:
    """The pixels of the tiles of an array of images.

    Parameters
    ----------
    f : Function
        What is being written.
    array : pointer
        The first image.
    steps : tuple
        Floats from image to image, row to row and pixel to pixel.
    size : tuple
        Height and width of an image.
    corner : tuple
        Row and column where the first tile begins, negative if outside.
    tile : tuple
        Pixels along a side of a tile, and from a tile to the next.
    tiles : tuple
        How many an image has, and how many a row of them.
    """

    floats = 2 * _ROW * _ROW  # that a table takes

    def __init__(self, f, array, steps, size, corner, tile, tiles):
        self._f, self._array, self._steps, self._size = f, array, steps, size
        self._corner, self._side, self._tiles = corner, tile, tiles

    def table(self, tile, nothing, memory):
        """Write down all addresses of a tile in memory; return the function of i, j that reads.

        Those outside of the image are `nothing`.
        """
        f, code = self._f, self._f.code
        base, row, column = self._place(tile)
        _, down, across = self._steps
        height, width = self._size
        columns = code.add(_splat(f, column), _vector(range(_ROW)))
        inside = code.icmp_unsigned("<", columns, _splat(f, width))  # negative ones are huge
        offsets = code.mul(columns, _vector([across * _BYTES] * _ROW))
        elsewhere = _splat(f, code.ptrtoint(nothing, INT))
        for i in range(self._side[0]):
            here = code.add(row, integer(i))
            start = code.ptrtoint(f.at(base, f.times(here, down)), INT)
            seen = code.select(inside, code.add(_splat(f, start), offsets), elsewhere)
            seen = code.select(code.icmp_unsigned("<", here, height), seen, elsewhere)
            code.store(seen, self._entry(memory, i, 0), align=8)
        return lambda i, j: code.inttoptr(code.load(self._entry(memory, i, j), typ=INT), POINTER)

    def fetch(self, tile, share, lines, channel=0, write=False):
        """Fetch what no earlier tile has seen: so many lines of each pixel, from a channel on.

        Of `parts` callers, number `part` of ``share = (part, parts)`` fetches some of the rows.
        """
        f, code = self._f, self._f.code
        side, step = self._side
        base, row, column = self._place(tile)
        _, down, across = self._steps
        part, parts = share
        rows = -(-step // parts)
        first = f.times(part, rows)
        seen = side - step
        start = f.at(
            base, f.times(code.add(row, value(f.plus(first, seen))), down),
            f.times(code.add(column, integer(seen)), across), channel,
        )  # fmt: skip
        with (
            code.if_then(code.icmp_signed("<", value(first), integer(step))),
            f.loop(rows) as i,
            f.loop(step) as j,
            f.loop(lines) as k,
        ):
            at = f.at(start, f.times(i, down), f.times(j, across), f.times(k, LINE))
            self._prefetch(at, write)

    def _place(self, tile):
        """Return the tile's image, and the row and column of its first pixel."""
        f, code = self._f, self._f.code
        tiles, in_a_row = self._tiles
        tile = value(tile)
        image = code.udiv(tile, tiles)
        tile = code.sub(tile, code.mul(image, tiles))
        down = code.udiv(tile, in_a_row)
        across = code.sub(tile, code.mul(down, in_a_row))
        row, column = (
            code.add(code.mul(n, integer(self._side[1])), value(first))
            for n, first in zip((down, across), self._corner, strict=True)
        )
        return f.at(self._array, f.times(image, self._steps[0])), row, column

    def _entry(self, memory, i, j):
        return self._f.code.gep(memory, [integer(i * _ROW + j)], source_etype=INT)

    def _prefetch(self, pointer, write):
        f, name = self._f, "llvm.prefetch.p0"
        kind = ir.FunctionType(NOTHING, [POINTER, _WORD, _WORD, _WORD])
        fetch = f.module.globals.get(name) or ir.Function(f.module, kind, name)
        second_cache, data = ir.Constant(_WORD, 2), ir.Constant(_WORD, 1)
        f.code.call(fetch, [pointer, ir.Constant(_WORD, int(write)), second_cache, data])


def pixels(f, shape, g, x, y):
    """Return the pixels of the inputs x and of the outputs y of all tiles."""
    tiles = g["tiles"], g["tiles_across"]
    before = [f.code.neg(g["top"]), f.code.neg(g["left"])]
    inputs = Pixels(
        f, x, (g["x_image"], g["x_row"], shape.channels_in), (g["height"], g["width"]),
        before, (shape.size, shape.m), tiles,
    )  # fmt: skip
    outputs = Pixels(
        f, y, (g["y_image"], g["y_row"], shape.channels_out), (g["out_height"], g["out_width"]),
        (0, 0), (shape.m, shape.m), tiles,
    )  # fmt: skip
    return inputs, outputs


def value(n):
    """Return a number, known or not, as LLVM's."""
    return integer(n) if isinstance(n, int) else n


def _vector(numbers):
    return ir.Constant(ir.VectorType(INT, _ROW), [int(n) for n in numbers])


def _splat(f, number):
    kind = ir.VectorType(INT, _ROW)
    one = f.code.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(_WORD, 0))
    zeros = ir.Constant(ir.VectorType(_WORD, _ROW), [0] * _ROW)
    return f.code.shuffle_vector(one, ir.Constant(kind, ir.Undefined), zeros)
