"""Wrong answers to the exercises on segmentation."""

from itertools import pairwise

import numpy as np

from minicnn.exercises import every_pixel_a_class as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()


@wrong(exercise.mean_iou, hint="pixel accuracy")
def share_of_right_pixels(matrix):
    right = sum(matrix[k, k] for k in range(len(matrix)))
    return right / np.sum(matrix)


@wrong(exercise.mean_iou, hint="counted twice")
def over_the_sum(matrix):
    scores = []
    for k in range(len(matrix)):
        both = matrix[k, :].sum() + matrix[:, k].sum()
        if both:
            scores.append(matrix[k, k] / both)
    return np.mean(scores)


@wrong(exercise.mean_iou, hint="wrongly taken for it")
def found_of_each_class(matrix):
    shares = [row[k] / row.sum() for k, row in enumerate(matrix) if row.sum()]
    return sum(shares) / len(shares)


@wrong(exercise.mean_iou, hint="it is no 0")
def absent_is_zero(matrix):
    total = 0.0
    for k in range(len(matrix)):
        union = matrix[k].sum() + matrix[:, k].sum() - matrix[k, k]
        total += matrix[k, k] / union if union else 0.0
    return total / len(matrix)


@wrong(exercise.mean_iou, hint="0 / 0")
def not_a_number(matrix):
    right = matrix.diagonal()
    union = matrix.sum(0) + matrix.sum(1) - right
    return (right / union).sum() / len(right)


@wrong(exercise.shrink, hint="count votes")
def interpolated(mask, factor):
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    y = np.zeros((rows, columns), mask.dtype)
    for i, j in np.ndindex(rows, columns):
        block = mask[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        y[i, j] = np.rint(block.mean())
    return y


def _by_blocks(mask, factor, choose):
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    return np.array(
        [
            [
                choose(mask[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor])
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )


@wrong(exercise.shrink, hint="has no vote")
def void_votes(mask, factor):
    return _by_blocks(mask, factor, lambda block: np.bincount(block.ravel()).argmax())


@wrong(exercise.shrink, hint="does not speak for its block")
def every_second(mask, factor):
    return np.array([row[::factor] for row in mask[::factor]])


@wrong(exercise.shrink, hint="not class 0")
def empty_is_sky(mask, factor):
    def choose(block):
        labels, counts = np.unique(block[block != 255], return_counts=True)
        return labels[counts.argmax()] if len(labels) else 0

    return _by_blocks(mask, factor, choose)


@wrong(exercise.shrink, hint="still no class")
def mean_of_the_rest(mask, factor):
    def choose(block):
        rest = block[block != 255]
        return round(float(rest.mean())) if rest.size else 255

    return _by_blocks(mask, factor, choose)


@wrong(exercise.transposed, hint="the last one wins")
def written_over(x, w, stride):
    y = np.zeros((len(x) - 1) * stride + len(w))
    for i, value in enumerate(x):
        y[i * stride : i * stride + len(w)] = value * w
    return y


@wrong(exercise.transposed, hint="not mirrored")
def as_a_sliding_window(x, w, stride):
    wide = np.zeros((len(x) - 1) * stride + 1)
    wide[::stride] = x
    wide = np.pad(wide, len(w) - 1)
    return np.array([wide[i : i + len(w)] @ w for i in range(len(wide) - len(w) + 1)])


@wrong(exercise.transposed, hint="reaches beyond")
def exactly_stride_times(x, w, stride):
    y = np.zeros(len(x) * stride)
    for i in range(len(x)):
        for k in range(len(w)):
            if i * stride + k < len(y):
                y[i * stride + k] += x[i] * w[k]
    return y


@wrong(exercise.transposed, hint="a stride apart, not one place")
def stride_forgotten(x, w, stride):
    y = np.zeros(len(x) + len(w) - 1)
    for i in range(len(x)):
        y[i : i + len(w)] += x[i] * w
    return y


@wrong(exercise.bilinear, hint="copies the nearest")
def blocks(x, factor):
    y = np.empty((x.shape[0] * factor, x.shape[1] * factor))
    for i, j in np.ndindex(*y.shape):
        y[i, j] = x[i // factor, j // factor]
    return y


def _between(x, rows, columns):
    y = np.empty((len(rows), len(columns)))
    for i, r in enumerate(rows):
        for j, c in enumerate(columns):
            up, left = int(np.floor(r)), int(np.floor(c))
            down, right = min(up + 1, x.shape[0] - 1), min(left + 1, x.shape[1] - 1)
            a, b = r - up, c - left
            y[i, j] = (1 - a) * ((1 - b) * x[up, left] + b * x[up, right])
            y[i, j] += a * ((1 - b) * x[down, left] + b * x[down, right])
    return y


@wrong(exercise.bilinear, hint="its middle")
def without_the_half(x, factor):
    rows, columns = (np.arange(n * factor) / factor for n in x.shape)
    return _between(x, rows, columns)


@wrong(exercise.bilinear, hint="corners lie on corners")
def corner_to_corner(x, factor):
    return _between(x, *(np.linspace(0, n - 1, n * factor) for n in x.shape))


@wrong(exercise.bilinear, hint="nothing changes any more")
def straight_on(x, factor):
    for axis in (0, 1):
        x = np.moveaxis(x, axis, 0)
        at = (np.arange(len(x) * factor) + 0.5) / factor - 0.5
        low = np.clip(np.floor(at).astype(int), 0, len(x) - 2)
        share = (at - low)[:, None]
        x = np.moveaxis(x[low] + share * (x[low + 1] - x[low]), 0, axis)
    return x


@wrong(exercise.unpool, hint="others of its window")
def spread(values, places, size):
    factor = size[0] // values.shape[1], size[1] // values.shape[2]
    return np.kron(values, np.ones(factor))


@wrong(exercise.unpool, hint="corner")
def upper_left(values, places, size):
    y = np.zeros((len(values), *size))
    y[:, :: size[0] // values.shape[1], :: size[1] // values.shape[2]] = values
    return y


@wrong(exercise.unpool, hint="winners of its own")
def one_for_all(values, places, size):
    y = np.zeros((len(values), size[0] * size[1]))
    for c in range(len(values)):
        for value, place in zip(values[c].ravel(), places[0].ravel(), strict=True):
            y[c, place] = value
    return y.reshape(-1, *size)


@wrong(exercise.unpool, hint="down columns")
def in_columns(values, places, size):
    y = np.zeros((len(values), size[1], size[0]))
    for c in range(len(values)):
        y[c].reshape(-1)[places[c].ravel()] = values[c].ravel()
    return y.transpose(0, 2, 1)


def _conv(before, after, size=3, bias=1):
    return size * size * before * after + bias * after


@wrong(exercise.unet_weights, hint="has a bias")
def weights_only(widths, classes):
    total, before = _conv(widths[0], classes, 1, 0), 3
    for w in widths:
        total, before = total + _conv(before, w, 3, 0) + _conv(w, w, 3, 0), w
    for w in reversed(widths[:-1]):
        total += _conv(before, w, 2, 0) + _conv(2 * w, w, 3, 0) + _conv(w, w, 3, 0)
        before = w
    return total


@wrong(exercise.unet_weights, hint="as many channels again")
def skips_forgotten(widths, classes):
    total, before = _conv(widths[0], classes, 1), 3
    for w in widths:
        total, before = total + _conv(before, w) + _conv(w, w), w
    for w in reversed(widths[:-1]):
        total, before = total + _conv(before, w, 2) + 2 * _conv(w, w), w
    return total


@wrong(exercise.unet_weights, hint="way up learns")
def enlarging_is_free(widths, classes):
    total, before = _conv(widths[0], classes, 1), 3
    for w in widths:
        total, before = total + _conv(before, w) + _conv(w, w), w
    return total + sum(_conv(2 * w, w) + _conv(w, w) for w in widths[:-1])


@wrong(exercise.unet_weights, hint="two convolutions")
def one_at_each_size(widths, classes):
    total, before = _conv(widths[0], classes, 1), 3
    for w in widths:
        total, before = total + _conv(before, w), w
    for w in reversed(widths[:-1]):
        total, before = total + _conv(before, w, 2) + _conv(2 * w, w), w
    return total


@wrong(exercise.unet_weights, hint="cut down")
def not_narrowed(widths, classes):
    total = sum(_conv(a, w) + _conv(w, w) for a, w in zip([3, *widths], widths, strict=False))
    for w, below in pairwise(widths):
        total += _conv(below, w, 2) + _conv(w + below, w) + _conv(w, w)
    return total + _conv(widths[0], classes, 1)


wrong(exercise.seen_by_three, hint="without dilation")(1 + 3 * 2)
wrong(exercise.seen_by_three, hint="last one alone")(2 * 4 + 1)
wrong(exercise.seen_by_three, hint="do not add up")(3 + 5 + 9)
wrong(exercise.seen_by_three, hint="in the middle")(2 * (1 + 2 + 4))


@wrong(exercise.frequency_weights, hint="not of all")
def of_all_pixels(masks, classes):
    counts = np.bincount(masks.ravel(), minlength=classes)
    there = counts > 0
    share = counts / masks.size
    return np.where(there, np.median(share[there]) / np.where(there, share, 1), 0)


def _shares(masks, classes):
    share = np.zeros(classes)
    for k in range(classes):
        images = [mask for mask in masks if k in mask]
        if images:
            share[k] = sum((mask == k).sum() for mask in images) / sum(m.size for m in images)
    return share


@wrong(exercise.frequency_weights, hint="not the mean")
def average_frequency(masks, classes):
    share = _shares(masks, classes)
    return np.array([share[share > 0].mean() / f if f else 0 for f in share])


@wrong(exercise.frequency_weights, hint="not infinity")
def divided_by_nothing(masks, classes):
    share = _shares(masks, classes)
    with np.errstate(divide="ignore"):
        return np.median(share[share > 0]) / share


@wrong(exercise.frequency_weights, hint="other way round")
def upside_down(masks, classes):
    share = _shares(masks, classes)
    return share / np.median(share[share > 0])


@wrong(exercise.frequency_weights, hint="leave it out of the median")
def median_with_zeros(masks, classes):
    share = _shares(masks, classes)
    return [np.median(share) / f if f > 0 else 0.0 for f in share]


@wrong(exercise.dice_grad, hint="quotient rule")
def divisor_held_fast(p, t):
    return -2 * t / (np.sum(p) + np.sum(t))


@wrong(exercise.dice_grad, hint="sign turns round")
def of_the_overlap(p, t):
    whole = p.sum() + t.sum()
    return 2 * t / whole - 2 * (p * t).sum() / whole**2


@wrong(exercise.dice_grad, hint="divides by the square")
def square_forgotten(p, t):
    whole = p.sum() + t.sum()
    return (2 * (p * t).sum() - 2 * t * whole) / whole


@wrong(exercise.dice_grad, hint="each by itself")
def pixel_by_pixel(p, t):
    s = p + t
    return 2 * p * t / s**2 - 2 * t / s


@wrong(exercise.dice_grad, hint="subtracts")
def added(p, t):
    whole, shared = (p + t).sum(), (p * t).sum()
    return -(2 * t / whole + 2 * shared / whole**2)
