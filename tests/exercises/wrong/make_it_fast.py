"""Wrong answers to the exercises on speed."""

import itertools

import numpy as np

from minicnn.exercises import make_it_fast as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()


@wrong(exercise.columns, hint="they are to be columns")
def windows_in_rows(x, kernel_height, kernel_width):
    c, h, w = x.shape
    oh, ow = h - kernel_height + 1, w - kernel_width + 1
    found = np.empty((oh, ow, c, kernel_height, kernel_width))
    for u in range(kernel_height):
        for v in range(kernel_width):
            found[:, :, :, u, v] = np.moveaxis(x[:, u : u + oh, v : v + ow], 0, -1)
    return found.reshape(oh * ow, -1)


@wrong(exercise.columns, hint="pixel by pixel")
def one_window_at_a_time(x, kernel_height, kernel_width):
    _c, h, w = x.shape
    found = []
    for i in range(h - kernel_height + 1):
        for j in range(w - kernel_width + 1):
            found.append(x[:, i : i + kernel_height, j : j + kernel_width].reshape(-1))
    return np.stack(found, axis=1)


@wrong(exercise.columns, hint="channel first")
def offsets_before_channels(x, kernel_height, kernel_width):
    c, h, w = x.shape
    oh, ow = h - kernel_height + 1, w - kernel_width + 1
    rows = []
    for u in range(kernel_height):
        for v in range(kernel_width):
            rows.append(x[:, u : u + oh, v : v + ow].reshape(c, -1))
    return np.concatenate(rows)


@wrong(exercise.columns, hint="last row and column")
def range_too_short(x, kernel_height, kernel_width):
    _c, h, w = x.shape
    oh, ow = h - kernel_height, w - kernel_width
    rows = []
    for plane in x:
        for u in range(kernel_height):
            rows += [plane[u : u + oh, v : v + ow].ravel() for v in range(kernel_width)]
    return np.array(rows)


@wrong(exercise.columns, hint="offsets are exchanged")
def across_before_down(x, kernel_height, kernel_width):
    c, h, w = x.shape
    oh, ow = h - kernel_height + 1, w - kernel_width + 1
    rows = [
        x[k, u : u + oh, v : v + ow].ravel()
        for k in range(c)
        for v in range(kernel_width)
        for u in range(kernel_height)
    ]
    return np.array(rows)


@wrong(exercise.tile_traffic, hint="without tiles")
def no_reuse(rows, columns, depth, tile):
    return rows * columns * (depth + depth)


@wrong(exercise.tile_traffic, hint="count both")
def only_one_matrix(rows, columns, depth, tile):
    return rows // tile * (columns // tile) * tile * depth


@wrong(exercise.tile_traffic, hint="serves a row")
def reused_by_the_whole_tile(rows, columns, depth, tile):
    return 2 * depth * (rows * columns // tile**2)


@wrong(exercise.tile_traffic, hint="nothing stays")
def fetched_once_for_ever(rows, columns, depth, tile):
    return depth * (rows + columns)


wrong(exercise.independent_sums, hint="both are to be busy")(4)
wrong(exercise.independent_sums, hint="multiplied, not added")(2 + 4)
wrong(exercise.independent_sums, hint="fewer suffice")(16)


@wrong(exercise.intensity, hint="two operations")
def macs_for_flops(batch, inputs, outputs, height, width, kernel):
    pixels = batch * height * width
    moved = pixels * (inputs + outputs) + inputs * outputs * kernel * kernel
    return pixels * inputs * outputs * kernel * kernel / (4 * moved)


@wrong(exercise.intensity, hint="weights are read")
def forgot_the_weights(batch, inputs, outputs, height, width, kernel):
    return 2 * inputs * outputs * kernel**2 / (4 * (inputs + outputs))


@wrong(exercise.intensity, hint="four bytes")
def numbers_for_bytes(batch, inputs, outputs, height, width, kernel):
    pixels = batch * height * width
    moved = pixels * (inputs + outputs) + inputs * outputs * kernel * kernel
    return 2 * pixels * inputs * outputs * kernel * kernel / moved


@wrong(exercise.intensity, hint="moved once, not once for each window")
def every_window_anew(batch, inputs, outputs, height, width, kernel):
    pixels = batch * height * width
    moved = pixels * inputs * kernel**2 + outputs * inputs * kernel**2 + pixels * outputs
    return 2 * pixels * inputs * outputs * kernel**2 / (4 * moved)


@wrong(exercise.winograd, hint="more products than four")
def by_definition(d, g):
    return [d[0] * g[0] + d[1] * g[1] + d[2] * g[2], d[1] * g[0] + d[2] * g[1] + d[3] * g[2]]


@wrong(exercise.winograd, hint="half is missing")
def without_halves(d, g):
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * (g[0] + g[1] + g[2])
    m3 = (d[2] - d[1]) * (g[0] - g[1] + g[2])
    m4 = (d[1] - d[3]) * g[2]
    return m1 + m2 + m3, m2 - m3 - m4


@wrong(exercise.winograd, hint="sign of the fourth")
def d1_minus_d3(d, g):
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
    m3 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
    m4 = (d[1] - d[3]) * g[2]
    return m1 + m2 + m3, m2 - m3 + m4


@wrong(exercise.winograd, hint="backwards")
def a_true_convolution(d, g):
    g = g[::-1]
    m1 = (d[0] - d[2]) * g[0]
    m2 = (d[1] + d[2]) * (g[0] + g[1] + g[2]) / 2
    m3 = (d[2] - d[1]) * (g[0] - g[1] + g[2]) / 2
    return [m1 + m2 + m3, m2 - m3 - (d[1] - d[3]) * g[2]]


@wrong(exercise.winograd, hint="more products than four")
def some_shared(d, g):
    y0 = (d[0] - d[2]) * g[0] + d[1] * g[1] + d[2] * (g[0] + g[2])
    return [y0, d[1] * g[0] + d[2] * g[1] + d[3] * g[2]]


@wrong(exercise.add_up, hint="number of threads")
def a_piece_a_thread(values, threads, run):
    ends = np.linspace(0, len(values), threads + 1).astype(int)
    parts = [0.0] * threads

    def work(number, start, stop):
        parts[number] = values[start:stop].sum()

    run(work, list(itertools.pairwise(ends)))
    return np.float32(sum(parts))


@wrong(exercise.add_up, hint="each in its own place")
def into_one_total(values, threads, run):
    total = np.float32(0)

    def work(number, start, stop):
        nonlocal total
        total = total + values[start:stop].sum()

    run(work, [(i, i + 250) for i in range(0, len(values), 250)])
    return total


@wrong(exercise.add_up, hint="each in its own place")
def appended(values, threads, run):
    parts = []

    def work(number, start, stop):
        parts.append(values[start:stop].sum())

    run(work, [(p * len(values) // 8, (p + 1) * len(values) // 8) for p in range(8)])
    return np.array(parts).sum()


@wrong(exercise.add_up, hint="nobody shares")
def alone(values, threads, run):
    return values.sum()


@wrong(exercise.add_up, hint="part of the numbers")
def without_the_rest(values, threads, run):
    parts = np.zeros(64, np.float32)
    length = len(values) // 64

    def work(number, start, stop):
        parts[number] = values[start:stop].sum()

    run(work, [(p * length, p * length + length) for p in range(64)])
    return parts.sum()


@wrong(exercise.place, hint="threads too many")
def no_guard(block, thread, block_size, shape):
    number = block * block_size + thread
    number, j = divmod(number, shape[2])
    o, i = divmod(number, shape[1])
    return o, i, j


@wrong(exercise.place, hint="first of them")
def off_by_one(block, thread, block_size, shape):
    number = block_size * block + thread
    if number > shape[0] * shape[1] * shape[2]:
        return None
    rest, j = divmod(number, shape[2])
    return rest // shape[1], rest % shape[1], j


@wrong(exercise.place, hint="fastest")
def outputs_run_fastest(block, thread, block_size, shape):
    number = block * block_size + thread
    if number >= shape[0] * shape[1] * shape[2]:
        return None
    o, rest = number % shape[0], number // shape[0]
    return o, rest % shape[1], rest // shape[1]


@wrong(exercise.place, hint="a block begins")
def blocks_overlap(block, thread, block_size, shape):
    number = block + thread
    if number >= np.prod(shape):
        return None
    return tuple(int(n) for n in np.unravel_index(number, shape))


@wrong(exercise.lines_fetched, hint="four bytes")
def bytes_forgotten(first, stride):
    return len({(first + stride * t) // 128 for t in range(32)})


@wrong(exercise.lines_fetched, hint="beginning of a line")
def always_aligned(first, stride):
    return len({4 * stride * t // 128 for t in range(32)})


@wrong(exercise.lines_fetched, hint="share it")
def one_line_each(first, stride):
    return 32


@wrong(exercise.lines_fetched, hint="nobody reads")
def from_first_to_last(first, stride):
    low, high = 4 * first // 128, 4 * (first + 31 * stride) // 128
    return high - low + 1
