"""Exercises of the lesson on speed: columns, tiles, registers, Winograd, threads, CUDA."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.exercises import exercise, predict
from minicnn.exercises._watching import Number, Run, Watched, disorder, value_of


def _images(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for kh, kw in ((3, 2), (2, 3), (1, 3), (3, 3), (2, 1)):
        c, h = int(rng.integers(2, 4)), int(rng.integers(12, 15))
        yield rng.normal(size=(c, h, h + int(rng.integers(1, 5)))), kh, kw


def _look(answer: Any, x: Any, kernel_height: int, kernel_width: int) -> Any:
    """Return the columns, and whether they were made of slices rather than pixel by pixel."""
    Watched.looks = 0
    found = answer(x.view(Watched), kernel_height, kernel_width)
    few = Watched.looks <= 3 * len(x) * kernel_height * kernel_width + 8
    return [np.asarray(found), few]


def _parts(x: Any, kh: int, kw: int) -> Any:
    """Return the windows as (C, KH, KW, OH, OW)."""
    oh, ow = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    return np.array(
        [[[plane[u : u + oh, v : v + ow] for v in range(kw)] for u in range(kh)] for plane in x]
    )


def _rearranged(*axes: int) -> Any:
    def mistake(x: Any, kh: int, kw: int) -> Any:
        parts = _parts(np.asarray(x), kh, kw)
        rows = int(np.prod([parts.shape[a] for a in axes[:-2]]))
        return parts.transpose(axes).reshape(rows, -1)

    return mistake


def _cut_short(x: Any, kh: int, kw: int) -> Any:
    parts = _parts(np.asarray(x)[:, :-1, :-1], kh, kw)
    return parts.reshape(len(x) * kh * kw, -1)


@exercise(
    cases=_images,
    mistakes={
        "the windows lie in rows; they are to be columns": lambda x, kh, kw: (
            _parts(np.asarray(x), kh, kw).reshape(len(x) * kh * kw, -1).T
        ),
        "the rows are in another order than the weights: channel first, then u, then v": (
            _rearranged(1, 2, 0, 3, 4)
        ),
        "the offsets are exchanged: v runs fastest, as in the weights": _rearranged(0, 2, 1, 3, 4),
        "the places are exchanged: j, across, runs fastest along a row of columns": _rearranged(
            0, 1, 2, 4, 3
        ),
        "the last row and column of windows are missing: there are height - kernel_height + 1": (
            _cut_short
        ),
    },
    symptoms={
        "right, but pixel by pixel; take one slice of the image for each offset (u, v)": (
            lambda got, expected, *_: np.allclose(got[0], expected[0]) and not got[1]
        ),
    },
    play=_look,
    without=("im2col",),
)
def columns(x: Any, kernel_height: int, kernel_width: int) -> Any:
    """Copy every window of an image (C, H, W) into a column: (C * KH * KW, OH * OW).

    ``columns[(c*KH + u)*KW + v, i*OW + j] = x[c, i+u, j+v]``. Loops may run over c, u and v, not
    over the pixels.
    """
    channels, height, width = x.shape
    oh, ow = height - kernel_height + 1, width - kernel_width + 1
    found = np.empty((channels, kernel_height, kernel_width, oh, ow), x.dtype)
    for u in range(kernel_height):
        for v in range(kernel_width):
            found[:, u, v] = x[:, u : u + oh, v : v + ow]
    return found.reshape(channels * kernel_height * kernel_width, oh * ow)


def _products(rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    for tile in (1, 2, 4, 8, 16):
        rows, columns = (tile * int(n) for n in rng.permutation(range(2, 8))[:2])
        yield rows, columns, int(rng.integers(5, 90)), tile


@exercise(
    cases=_products,
    mistakes={
        "that is without tiles: every product fetches both of its numbers anew": (
            lambda m, n, k, t: 2 * m * n * k
        ),
        "a tile needs rows of the left matrix and columns of the right one: count both": (
            lambda m, n, k, t: m * n * k // t
        ),
        "a number that is fetched serves a row (or a column) of the tile, not all of it": (
            lambda m, n, k, t: 2 * m * n * k // t**2
        ),
        "each tile fetches its part of both matrices anew; nothing stays from the one before": (
            lambda m, n, k, t: m * k + k * n
        ),
        "what is written is not asked for": lambda m, n, k, t: 2 * m * n * k // t + m * n,
        "that is for one tile; how many are there?": lambda m, n, k, t: 2 * t * k,
    },
)
def tile_traffic(rows: int, columns: int, depth: int, tile: int) -> int:
    """Count the numbers that a tiled matrix product fetches from memory.

    (rows x depth) times (depth x columns). For each tile of `tile` x `tile` results, all that it
    needs of both matrices is fetched once. `tile` divides rows and columns.
    """
    tiles = (rows // tile) * (columns // tile)
    return tiles * (tile * depth + depth * tile)


independent_sums = predict(
    "independent_sums",
    "Two units start one multiply-add a cycle each; a result can be used 4 cycles later. How many "
    "sums must grow at the same time so that no unit ever waits?",
    8,
    mistakes={
        "there are two units, and both are to be busy": 4,
        "that keeps both units busy for one cycle; what do they do until the results are there?": 2,
        "one sum waits for its own last result: one multiply-add in four cycles": 1,
        "units and cycles are multiplied, not added": 6,
        "that is enough, but fewer suffice": 16,
    },
)


def _layers(rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    for kernel in (1, 2, 3, 5, 7):
        n, c, o = (int(v) for v in rng.permutation([2, 3, 5, 7, 11])[:3])
        height = int(rng.integers(6, 12))
        yield n, c, o, height, height + int(rng.integers(1, 6)), kernel


def _ratio(double: int = 2, size: int = 4, **left_out: bool) -> Any:
    """Return the intensity with something left out, or counted otherwise."""

    def mistake(n: int, c: int, o: int, h: int, w: int, k: int) -> float:
        moved = 0 if left_out.get("input") else n * c * h * w
        moved += 0 if left_out.get("weights") else o * c * k * k
        moved += 0 if left_out.get("output") else n * o * h * w
        if left_out.get("columns"):
            moved += n * c * h * w * (k * k - 1)
        return double * n * o * h * w * c * k * k / (size * moved)

    return mistake


@exercise(
    cases=_layers,
    mistakes={
        "a multiply-add is two operations": _ratio(double=1),
        "a float32 has four bytes": _ratio(size=1),
        "a multiply-add is two operations, and a float32 has four bytes": _ratio(1, 1),
        "the weights are read, too": _ratio(weights=True),
        "the output is written, too": _ratio(output=True),
        "the image is read, too": _ratio(input=True),
        "each number of the image is moved once, not once for each window": _ratio(columns=True),
        "that is upside down: operations for each byte": (lambda *sizes: 1 / _ratio()(*sizes)),
    },
)
def intensity(batch: int, inputs: int, outputs: int, height: int, width: int, kernel: int) -> float:
    """Compute a convolution's arithmetic intensity: floating-point operations for each byte moved.

    `inputs` and `outputs` are channels; input and output have `height` x `width` pixels ("same"
    padding), the window `kernel` x `kernel`. Image, weights and output are float32, and each number
    of them is moved once. A multiply-add is two operations; there is no bias.
    """
    work = 2 * batch * outputs * height * width * inputs * kernel**2
    image, weights = batch * inputs * height * width, outputs * inputs * kernel**2
    return work / (4 * (image + weights + batch * outputs * height * width))


def _lines(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(5):
        yield rng.normal(size=4).tolist(), rng.normal(size=3).tolist()


def _multiply(answer: Any, d: list[float], g: list[float]) -> Any:
    """Return the outputs, and whether four products were enough."""
    Number.products = 0
    found = answer([Number(v) for v in d], [Number(v) for v in g])
    if found is None:
        return None
    return [[value_of(y) for y in found], Number.products <= 4]


def _four(d: Any, g: Any, half: float = 0.5, third: int = 1, fourth: int = 1) -> Any:
    m1, m4 = (d[0] - d[2]) * g[0], fourth * ((d[3] - d[1]) * g[2])
    m2 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) * half)
    m3 = (d[2] - d[1]) * ((g[0] - g[1] + g[2]) * half)
    return [m1 + m2 + third * m3, m2 - third * m3 + m4]


def _slide(d: Any, g: Any) -> Any:
    return [sum((d[i + k] * g[k] for k in range(3)), start=0.0) for i in range(2)]


@exercise(
    cases=_lines,
    mistakes={
        "right, but with more products than four; the definition has six": _slide,
        "the half is missing in what is made of the taps": lambda d, g: _four(d, g, half=1.0),
        "the sign of the third product is wrong": lambda d, g: _four(d, g, third=-1),
        "the sign of the fourth product is wrong: try an image that is 0 but for d[3]": (
            lambda d, g: _four(d, g, fourth=-1)
        ),
        "the taps run backwards: y0 begins with d[0] * g[0]": lambda d, g: _four(d, g[::-1]),
        "the two outputs are exchanged": lambda d, g: _four(d, g)[::-1],
    },
    symptoms={
        "y0 is right, y1 is not": lambda got, expected, *_: np.isclose(got[0][0], expected[0][0]),
        "y1 is right, y0 is not": lambda got, expected, *_: np.isclose(got[0][1], expected[0][1]),
    },
    play=_multiply,
)
def winograd(d: Any, g: Any) -> Any:
    """Slide 3 taps over 4 inputs: return both outputs, with four products of inputs and taps.

    ``y0 = d0 g0 + d1 g1 + d2 g2`` and ``y1 = d1 g0 + d2 g1 + d3 g2``. Sums, differences and halves
    are free.
    """
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * ((g[0] + g[1] + g[2]) / 2)
    m3 = (d[2] - d[1]) * ((g[0] - g[1] + g[2]) / 2)
    m4 = (d[3] - d[1]) * g[2]
    return [m1 + m2 + m3, m2 - m3 + m4]


def _sums(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(5):
        count = int(rng.integers(3000, 4000))
        yield ((10 ** rng.uniform(-3, 3, count)).astype(np.float32),)


def _on_threads(answer: Any, values: Any) -> Any:
    """Return the sum, whether it is the same for any order, and any threads, and was shared."""
    calls: list[int] = []

    def bits(threads: int, seed: int) -> bytes:
        found = answer(values.copy(), threads, disorder(seed, calls))
        return np.float64(found).tobytes()

    by_order = {bits(4, seed) for seed in range(5)}
    by_threads = {bits(threads, 0) for threads in (1, 2, 3, 7)}
    total = float(answer(values.copy(), 2, disorder(0, calls)))
    shared = max(calls, default=0) > 1
    return [[total], [len(by_order) == 1, len(by_threads) == 1, shared]]


def _cut(count: int, pieces: int) -> list[tuple[int, int]]:
    return [(p * count // pieces, (p + 1) * count // pieces) for p in range(pieces)]


def _added(fixed: bool, in_order: bool) -> Any:
    def mistake(values: Any, threads: int, run: Run) -> Any:
        pieces = _cut(len(values), 16 if fixed else threads)
        parts, total = np.zeros(len(pieces), np.float32), np.zeros(1, np.float32)

        def work(piece: int, start: int, stop: int) -> None:
            parts[piece] = values[start:stop].sum()
            total[0] += parts[piece]

        run(work, pieces)
        return parts.sum() if in_order else total[0]

    return mistake


def _flags(order: bool, threads: bool) -> Any:
    """Return a symptom: the sum is right, but not for any order, or any number of threads."""

    def symptom(got: Any, expected: Any, *_: Any) -> bool:
        return got[1] == [order, threads, True] and np.allclose(got[0], expected[0], 1e-3)

    return symptom


@exercise(
    cases=_sums,
    mistakes={
        "two things change its bits: pieces that follow from the number of threads, and adding up "
        "in the order in which threads finish": _added(False, False),
    },
    symptoms={
        "nobody shares the work: give pieces of it to run": (
            lambda got, expected, *_: got[1] == [True, True, False]
        ),
        "the pieces follow from the number of threads, so another number makes another sum": (
            _flags(True, False)
        ),
        "the parts are added up in the order in which threads finish: keep each in its own place": (
            lambda got, expected, *_: not got[1][0] and np.allclose(got[0], expected[0], 1e-3)
        ),
        "part of the numbers is not in the sum": lambda got, expected, *_: got[0] < expected[0],
    },
    play=_on_threads,
    tolerance=1e-4,
)
def add_up(values: Any, threads: int, run: Run) -> Any:
    """Repair: add up float32 numbers on several threads, to the same bits with any number of them.

    ``run(work, pieces)`` calls ``work(number, start, stop)`` for each (start, stop) of a list, on
    so many threads, which finish in an order that nobody knows.
    """
    pieces = [(p * len(values) // 16, (p + 1) * len(values) // 16) for p in range(16)]
    parts = np.zeros(16, np.float32)

    def work(number: int, start: int, stop: int) -> None:
        parts[number] = values[start:stop].sum()

    run(work, pieces)
    return parts.sum()


def _threads(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(8):
        shape = tuple(int(n) for n in rng.permutation([2, 3, 4, 5, 7])[:3])
        size = int(rng.choice([8, 16, 32]))
        number = int(rng.integers(0, np.prod(shape)))
        yield number // size, number % size, size, shape
    yield 3, 5, 32, (2, 5, 7)  # number 101 of 70
    yield 2, 6, 32, (2, 5, 7)  # number 70: the first too many


def _place(number: int, shape: tuple[int, int, int]) -> Any:
    _, height, width = shape
    return number // (height * width), number // width % height, number % width


def _in_order(*axes: int) -> Any:
    def mistake(block: int, thread: int, size: int, shape: tuple[int, int, int]) -> Any:
        number = block * size + thread
        if number >= np.prod(shape):
            return None
        found = np.unravel_index(number, [shape[a] for a in axes])
        return tuple(int(found[axes.index(a)]) for a in range(3))

    return mistake


@exercise(
    cases=_threads,
    mistakes={
        "the last block has threads too many: past the end return None": (
            lambda block, thread, size, shape: _place(block * size + thread, shape)
        ),
        "the last block has threads too many: the first of them has the number of pixels": (
            lambda block, thread, size, shape: (
                _place(block * size + thread, shape)
                if block * size + thread <= np.prod(shape)
                else None
            )
        ),
        "the first axis does not run fastest: neighbouring threads are neighbours across": (
            _in_order(2, 1, 0)
        ),
        "row and column are exchanged": _in_order(0, 2, 1),
        "a block begins at block * block_size": lambda block, thread, size, shape: (
            _place(block + thread, shape) if block + thread < np.prod(shape) else None
        ),
    },
)
def place(block: int, thread: int, block_size: int, shape: tuple[int, int, int]) -> Any:
    """Return which output (o, i, j) a CUDA thread computes, or None if there is none left for it.

    Blocks have `block_size` threads; the outputs, of the given shape (O, H, W), lie one after the
    other in memory, j fastest, and thread after thread takes one.
    """
    number = block * block_size + thread
    outputs, height, width = shape
    if number >= outputs * height * width:
        return None
    return number // (height * width), number // width % height, number % width


def _warps(rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    yield 0, 1
    yield int(rng.integers(1, 32)), 1
    for stride in (0, 2, 3, 8, 32, 33, 1024):
        yield int(rng.integers(0, 100)), stride


@exercise(
    cases=_warps,
    mistakes={
        "a float32 has four bytes: 32 of them fill a line": lambda first, stride: len(
            {(first + t * stride) // 128 for t in range(32)}
        ),
        "the first number need not lie at the beginning of a line": lambda first, stride: len(
            {t * stride // 32 for t in range(32)}
        ),
        "threads that read the same line share it": lambda first, stride: 32,
        "lines between the numbers that nobody reads are not fetched": lambda first, stride: (
            (first + 31 * stride) // 32 - first // 32 + 1
        ),
        "a warp has 32 threads, the last of them is number 31": lambda first, stride: len(
            {(first + t * stride) // 32 for t in range(33)}
        ),
    },
)
def lines_fetched(first: int, stride: int) -> int:
    """Count the lines of memory that a warp of 32 threads fetches.

    Thread t reads the float32 number ``first + t * stride``; a line is 128 bytes, and number 0 is
    the first of one.
    """
    return len({(first + t * stride) * 4 // 128 for t in range(32)})
