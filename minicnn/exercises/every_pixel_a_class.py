"""Exercises of the lesson on segmentation: overlap, masks, ways up, weights, a net's size."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.exercises import exercise, predict
from minicnn.exercises._segmenting import (
    IGNORED,
    confusions,
    counting,
    dice_slope,
    frequencies,
    half_pixel,
    interpolated,
    iou_with,
    large_masks,
    lines,
    mask_sets,
    most_votes,
    nets,
    pooled_maps,
    shrunk,
    small_maps,
    soft_masks,
    transposing,
    unpooling,
    weighing,
)


@exercise(
    cases=confusions,
    mistakes={
        "that is the pixel accuracy; a class has a score of its own, however few its pixels": (
            lambda m: np.trace(m) / m.sum()
        ),
        "those are the shares of each class that are found; what is wrongly taken for it counts, "
        "too": iou_with(lambda rows, columns, right: rows),
        "divide by all pixels of the class, or taken for it, not only by the latter": iou_with(
            lambda rows, columns, right: columns
        ),
        "in the sum of row and column the pixels that are right are counted twice": iou_with(
            lambda rows, columns, right: rows + columns
        ),
        "that is dice, twice the shared by the sum of both; here the union is asked for": iou_with(
            lambda rows, columns, right: rows + columns, hits=lambda m: 2 * np.diag(m)
        ),
        "a class that is neither there nor predicted is left out of the mean; it is no 0": iou_with(
            lambda rows, columns, right: rows + columns - right, gone=0.0
        ),
        "a class that is neither there nor predicted is left out of the mean; it is no 1": iou_with(
            lambda rows, columns, right: rows + columns - right, gone=1.0
        ),
        "0 / 0 is not a number; leave such classes out of the mean": lambda m: np.mean(
            np.diag(m) / (m.sum(axis=0) + m.sum(axis=1) - np.diag(m))
        ),
        "a class that is predicted but not there has an IoU of 0, and counts": lambda m: np.mean(
            [m[k, k] / (m[k].sum() + m[:, k].sum() - m[k, k]) for k in range(len(m)) if m[k].sum()]
        ),
        "all classes count alike, not by their pixels": lambda m: float(
            np.nansum(
                np.diag(m) / (m.sum(axis=0) + m.sum(axis=1) - np.diag(m)) * m.sum(axis=1) / m.sum()
            )
        ),
    },
    without=("Segmentation", "iou_matrix"),
)
def mean_iou(matrix: Any) -> Any:
    """Compute the mean intersection over union from a confusion matrix (K, K).

    Row i, column j holds the pixels of class i that were taken for class j. A class that is neither
    there nor predicted is left out of the mean.
    """
    scores = []
    for k in range(len(matrix)):
        right = matrix[k, k]
        union = matrix[k].sum() + matrix[:, k].sum() - right
        if union > 0:
            scores.append(right / union)
    return sum(scores) / len(scores)


@exercise(
    cases=large_masks,
    mistakes={
        "the mean of classes 0 and 6 is class 3, which was nowhere: count votes": (
            lambda mask, f: np.rint(
                mask.reshape(mask.shape[0] // f, f, mask.shape[1] // f, f).mean(axis=(1, 3))
            )
        ),
        "to leave out the ignored is right, but a mean of classes is still no class": (
            lambda mask, f: shrunk(
                mask,
                f,
                lambda b: np.rint(b[b < IGNORED].mean()) if (b < IGNORED).any() else IGNORED,
            )
        ),
        "the middle one of all labels is no majority: the numbers have no order": (
            lambda mask, f: shrunk(mask, f, lambda b: np.rint(np.median(b)))
        ),
        "a pixel that counts for nothing has no vote: leave out 255": lambda mask, f: shrunk(
            mask, f, lambda b: most_votes(b, lambda b: b >= 0)
        ),
        "one pixel does not speak for its block: count votes": lambda mask, f: mask[::f, ::f],
        "the largest label is no majority": lambda mask, f: shrunk(mask, f, max),
        "if two classes have as many votes, take the smaller": lambda mask, f: shrunk(
            mask, f, lambda b: most_votes(b, lambda b: b < IGNORED, "largest")
        ),
        "a block without any vote counts for nothing: 255, not class 0": lambda mask, f: shrunk(
            mask, f, lambda b: most_votes(b, lambda b: b < IGNORED) % IGNORED
        ),
    },
)
def shrink(mask: Any, factor: int) -> Any:
    """Make a mask smaller: each block of factor x factor pixels becomes one. Repair it.

    It takes the class that most pixels of the block have, the smaller one if two have as many.
    Pixels with the label 255 count for nothing: they have no vote, and a block of them is 255.
    """
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    y = np.full((rows, columns), 255, mask.dtype)
    for i, j in np.ndindex(rows, columns):
        block = mask[i * factor : (i + 1) * factor, j * factor : (j + 1) * factor]
        votes = np.bincount(block[block != 255], minlength=1)
        if votes.any():
            y[i, j] = votes.argmax()
    return y


@exercise(
    cases=lines,
    mistakes={
        "copies that meet are added; there the last one wins": transposing("overwritten"),
        "each copy is the kernel as it is, not mirrored": transposing("flipped"),
        "the last copy reaches beyond its place: (len(x) - 1) * stride + len(w) numbers": (
            transposing("stride")
        ),
        "the last copy ends earlier: (len(x) - 1) * stride + len(w) numbers": transposing("long"),
        "copies begin a stride apart, not one place": transposing("same"),
        "copies begin a stride apart, whatever the kernel's size": transposing("beside"),
        "copies that meet are added, not averaged": transposing("averaged"),
    },
    without=("conv_transpose1d", "conv_transpose2d", "convolve", "kron"),
)
def transposed(x: Any, w: Any, stride: int) -> Any:
    """Enlarge a line of numbers by a transposed convolution, without padding.

    Each number x[i] stamps a copy of the kernel w, x[i] times as high, from place i * stride on.
    Where copies meet they are added. Return an array.
    """
    y = np.zeros((len(x) - 1) * stride + len(w))
    for i in range(len(x)):
        for k in range(len(w)):
            y[i * stride + k] += x[i] * w[k]
    return y


@exercise(
    cases=small_maps,
    mistakes={
        "that copies the nearest pixel; go between the two neighbours": (
            lambda x, f: x.repeat(f, axis=0).repeat(f, axis=1)
        ),
        "a pixel's place is its middle: add a half, divide, subtract a half": (
            lambda x, f: interpolated(x, f, lambda i, f, n: i / f)
        ),
        "corners lie on corners there; here pixels are areas, and their middles half a pixel in": (
            lambda x, f: interpolated(x, f, lambda i, f, n: i * (n - 1) / (n * f - 1))
        ),
        "beyond the middle of the first and the last pixel nothing changes any more": (
            lambda x, f: interpolated(x, f, half_pixel, "beyond")
        ),
        "there are no zeros around the map: beyond the last middle the border's value goes on": (
            lambda x, f: interpolated(x, f, half_pixel, "zeros")
        ),
        "the half that is added is one of the large map, the one subtracted of the small": (
            lambda x, f: interpolated(x, f, lambda i, f, n: (i - 0.5) / f + 0.5)
        ),
    },
    without=("resize", "Upsample", "interp", "zoom"),
)
def bilinear(x: Any, factor: int) -> Any:
    """Enlarge a map (H, W) to (H * factor, W * factor) by linear interpolation along both axes.

    Pixels are areas: row i of the result lies at ``(i + 0.5) / factor - 0.5`` of the small map,
    but not before its row 0 nor behind its last. Likewise columns.
    """
    height, width = x.shape
    y = np.empty((height * factor, width * factor))
    for i, j in np.ndindex(*y.shape):
        row = min(max((i + 0.5) / factor - 0.5, 0), height - 1)
        column = min(max((j + 0.5) / factor - 0.5, 0), width - 1)
        up, left = min(math.floor(row), height - 2), min(math.floor(column), width - 2)
        a, b = row - up, column - left
        upper = (1 - b) * x[up, left] + b * x[up, left + 1]
        lower = (1 - b) * x[up + 1, left] + b * x[up + 1, left + 1]
        y[i, j] = (1 - a) * upper + a * lower
    return y


@exercise(
    cases=pooled_maps,
    mistakes={
        "a value goes to the one place that won; the others of its window stay 0": unpooling(
            "filled"
        ),
        "it goes to the place that won, not to the corner of its window": unpooling("corner"),
        "places count along rows: divide by the width of the large map": unpooling("height"),
        "places run along rows, not down columns": unpooling("columns"),
        "each channel has winners of its own": unpooling("first channel"),
    },
    without=("max_unpool2d", "MaxUnpool2d"),
)
def unpool(values: Any, places: Any, size: tuple[int, int]) -> Any:
    """Put pooled values back to where they were: (C, h, w) -> (C, H, W), zeros elsewhere.

    `places` (C, h, w) says of each value which pixel of its channel it was: row * W + column, in
    the large map. `size` is (H, W).
    """
    height, width = size
    y = np.zeros((len(values), height, width))
    for c, i, j in np.ndindex(*values.shape):
        row, column = divmod(int(places[c, i, j]), width)
        y[c, row, column] = values[c, i, j]
    return y


@exercise(
    cases=nets,
    mistakes={
        "each output channel has a bias, too": counting(bias=0),
        "a skip brings as many channels again: the first convolution up reads 2 * width": counting(
            joined=lambda below, width: width
        ),
        "what comes from below has been cut down to width channels; with the skip that is "
        "2 * width": counting(joined=lambda below, width: below + width),
        "the way up learns, too: four weights for each pair of channels": counting(up=0),
        "what doubles the size is 2x2, not 3x3": counting(up=9),
        "there are two convolutions at each size": counting(second=0),
        "the last convolution is 1x1": counting(last=9),
    },
    without=("count_parameters", "UNet"),
)
def unet_weights(widths: list[int], classes: int) -> int:
    """Count the weights and biases of a U-Net for RGB images, without batch normalisation.

    Down: at each of the widths two 3x3 convolutions, then a pooling (none after the last). Up: a
    2x2 transposed convolution to the width of the size above, the skip is joined, and two 3x3
    convolutions to that width. In the end a 1x1 convolution to the classes.
    """
    total, before = 0, 3
    for width in widths:
        total += (9 * before + 1) * width + (9 * width + 1) * width
        before = width
    for width in widths[-2::-1]:
        total += (4 * before + 1) * width
        total += (9 * 2 * width + 1) * width + (9 * width + 1) * width
        before = width
    return total + (widths[0] + 1) * classes


seen_by_three = predict(
    "seen_by_three",
    "Three 3x3 convolutions in a row have dilations 1, 2 and 4. How many pixels wide is what a "
    "unit of the last one sees?",
    15,
    mistakes={
        "that is without dilation: a dilation of r looks r pixels to each side": 7,
        "that is the last one alone; it looks at units that have seen something themselves": 9,
        "those are the pixels to one side; there is the other, and the middle": 8,
        "fields grow by what each adds, 2 r; sizes of 3, 5 and 9 do not add up": 17,
        "one pixel in the middle belongs to it, too: fields of odd layers are odd": 14,
    },
)


@exercise(
    cases=mask_sets,
    mistakes={
        "the share is taken of the images that show the class, not of all": weighing(
            lambda f: np.median(f) / f, "all"
        ),
        "the median, not the mean": weighing(lambda f: f.mean() / f),
        "rare classes count more: the other way round": weighing(lambda f: f / np.median(f)),
        "multiply by the median, so that the class in the middle counts 1": weighing(
            lambda f: 1 / f
        ),
        "a class that no image shows has the weight 0, not infinity": weighing(
            lambda f: np.median(f) / f, gone=np.inf
        ),
        "a class that no image shows has the weight 0; there is nothing to learn": weighing(
            lambda f: np.median(f) / f, gone=1.0
        ),
        "a class that no image shows has no frequency; leave it out of the median": (
            lambda masks, classes: np.where(
                np.isin(np.arange(classes), masks),
                np.median(np.nan_to_num(frequencies(masks, classes))) / frequencies(masks, classes),
                0.0,
            )
        ),
    },
    without=("median_frequency_weights",),
)
def frequency_weights(masks: Any, classes: int) -> Any:
    """Compute the weight of each class, (K,), from masks (N, H, W): median frequency.

    The frequency of a class is the share of its pixels in the images that show it. Its weight is
    the median of the frequencies, divided by its own; 0 for a class that no image shows.
    """
    frequency = np.zeros(classes)
    for k in range(classes):
        showing = [mask for mask in masks if (mask == k).any()]
        if showing:
            frequency[k] = np.mean([(mask == k).mean() for mask in showing])
    there = frequency > 0
    weights = np.zeros(classes)
    weights[there] = np.median(frequency[there]) / frequency[there]
    return weights


@exercise(
    cases=soft_masks,
    mistakes={
        "the divisor depends on p, too: quotient rule": dice_slope(
            lambda shared, whole, p, t: -2 * t / whole
        ),
        "the loss is 1 minus the overlap: the sign turns round": dice_slope(
            lambda shared, whole, p, t: 2 * (t * whole - shared) / whole**2
        ),
        "twice the shared, in both terms": dice_slope(
            lambda shared, whole, p, t: -(t * whole - shared) / whole**2
        ),
        "in the second term, too, the shared is doubled": dice_slope(
            lambda shared, whole, p, t: -(2 * t * whole - shared) / whole**2
        ),
        "the quotient rule divides by the square": dice_slope(
            lambda shared, whole, p, t: -2 * (t * whole - shared) / whole
        ),
        "the sums run over all pixels; this takes each by itself": lambda p, t: (
            -2 * (t * (p + t) - p * t) / (p + t) ** 2
        ),
        "the quotient rule subtracts: a larger divisor makes the overlap smaller": dice_slope(
            lambda shared, whole, p, t: -2 * (t * whole + shared) / whole**2
        ),
    },
    without=("dice_loss", "backward", "grad"),
)
def dice_grad(p: Any, t: Any) -> Any:
    """Compute the slope of the dice loss by the probabilities p (H, W), for a mask t of 0 and 1.

    ``L = 1 - 2 sum(p t) / (sum(p) + sum(t))``, the sums over all pixels.
    """
    shared, whole = (p * t).sum(), p.sum() + t.sum()
    return -2 * (t * whole - shared) / whole**2
