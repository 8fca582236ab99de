"""Exercises of the lesson on detection: windows, boxes, regions, anchors, background, precision."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.exercises import exercise, predict
from minicnn.exercises._detecting import (
    boxes_and_anchors,
    counted,
    crowds,
    encoding,
    findings,
    judged_places,
    judging,
    laid,
    maps,
    overlap,
    pairs,
    pooling,
    regions,
    slope_of,
    streets,
    suppressing,
)


@exercise(
    cases=streets,
    mistakes={
        "where the first window begins counts, too: so many steps, and one place more": (
            lambda h, w, sides: counted(h, w, sides, lambda s: s // 4, 0)
        ),
        "that is a window at every pixel; it moves by a quarter of its side": (
            lambda h, w, sides: counted(h, w, sides, lambda s: 1)
        ),
        "those are windows side by side; they overlap: the step is a quarter of the side": (
            lambda h, w, sides: counted(h, w, sides, lambda s: s)
        ),
        "the window has to fit: its last place begins a side before the border": (
            lambda h, w, sides: sum((h // (s // 4)) * (w // (s // 4)) for s in sides)
        ),
        "a window larger than the image has no place in it": lambda h, w, sides: sum(
            ((h - s) // (s // 4) + 1) * ((w - s) // (s // 4) + 1) for s in sides
        ),
        "that is one size of window; all sizes look": (
            lambda h, w, sides: counted(h, w, sides[:1], lambda s: s // 4)
        ),
    },
)
def windows(height: int, width: int, sides: list[int]) -> int:
    """Count the windows that look at an image of height x width pixels.

    Square windows of each of the `sides` move by a quarter of their side, ``side // 4`` pixels,
    down and across, and never reach out of the image.
    """
    total = 0
    for side in sides:
        if side <= min(height, width):
            step = side // 4
            total += ((height - side) // step + 1) * ((width - side) // step + 1)
    return total


@exercise(
    cases=pairs,
    mistakes={
        "boxes that are apart share nothing; two negative sides make a positive area": (
            lambda a, b: overlap(a, b, apart=False)
        ),
        "what both share is counted twice in the sum of the areas; the union has it once": (
            lambda a, b: overlap(a, b, kind="both")
        ),
        "divide by the union of both, not by the smaller box": (
            lambda a, b: overlap(a, b, kind="smaller")
        ),
        "divide by the union of both, not by one of them": (
            lambda a, b: overlap(a, b, kind="first")
        ),
        "boxes are half-open: a box from 2 to 5 is 3 pixels high, not 4": (
            lambda a, b: overlap(a, b, more=1.0)
        ),
        "that is the area they share; divide it by that of the union": lambda a, b: np.prod(
            np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
        ),
        "the last two numbers are where the box ends, not how large it is": lambda a, b: overlap(
            np.concatenate([a[:2], a[:2] + a[2:]]), np.concatenate([b[:2], b[:2] + b[2:]])
        ),
        "two boxes without area have a union of 0: say 0, not NaN": lambda a, b: (
            overlap(a, b) if np.prod(a[2:] - a[:2]) else math.nan
        ),
    },
    without=("iou_matrix", "giou_matrix", "intersection_matrix", "box_area"),
)
def iou(a: Any, b: Any) -> Any:
    """Compute how far two boxes overlap: intersection over union.

    A box is an array (y0, x0, y1, x1) in pixels, half-open. Boxes without area overlap nothing: 0.
    """
    height = min(a[2], b[2]) - max(a[0], b[0])
    width = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(height, 0) * max(width, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


@exercise(
    cases=crowds,
    mistakes={
        "a box that was dropped drives out no other: compare with those that stay": suppressing(
            "all"
        ),
        "go by the scores, the surest box first, not in the order in which they come": suppressing(
            "as given"
        ),
        "the least sure comes first there; argsort sorts upwards": suppressing("rising"),
        "each that stays drives out others, not the surest of all alone": suppressing("best"),
        "those are places in the sorted order; return indices of the boxes as they were given": (
            suppressing("places")
        ),
        "return the surest first, not by index": suppressing("sorted"),
        "those are all boxes, by score; drop what overlaps a surer one that stays": (
            lambda boxes, scores, threshold: np.argsort(-scores).tolist()
        ),
    },
    without=("nms", "batched_nms", "soft_nms"),
)
def nms(boxes: Any, scores: Any, threshold: float) -> list[int]:
    """Choose the boxes that stay: non-maximum suppression.

    The surest box stays; all that overlap it by more than the threshold go; of the rest the surest
    stays, and so on. Return the indices of the boxes (R, 4) that stay, the surest first.
    """
    share = ops.iou_matrix(boxes, boxes).numpy()
    kept: list[int] = []
    for i in np.argsort(-scores).tolist():
        if all(share[i, j] <= threshold for j in kept):
            kept.append(i)
    return kept


@exercise(
    cases=regions,
    mistakes={
        "the box is in pixels of the image; divide by the stride to find it on the map": pooling(
            unscaled=True
        ),
        "take the largest value of each cell, not the mean": pooling(means=True),
        "round to the nearest pixel, do not cut off": pooling(rounding=np.floor),
        "(y0, x0, y1, x1): rows come first": pooling(swapped=True),
        "the cells begin at the box's corner, not at the map's": pooling(corner=True),
        "cells of h // rows pixels leave some out: they run from floor(i h / rows) to "
        "ceil((i + 1) h / rows)": pooling(gaps=True),
    },
    without=("roi_pool", "max_pool_windows", "RoIPool", "roi_align"),
)
def roi_pool(features: Any, box: Any, stride: int, grid: tuple[int, int]) -> Any:
    """Pool a box of the image, of any size, from a map of features (C, H, W) to (C, rows, columns).

    Divide the box by the map's stride and round to whole pixels (np.rint). Of its h rows cell i
    takes ``floor(i h / rows)`` up to, and without, ``ceil((i + 1) h / rows)``, and likewise
    columns. Take the largest value of each channel in each cell.
    """
    rows, columns = grid
    y0, x0, y1, x1 = np.rint(box / stride).astype(int)
    window = features[:, y0:y1, x0:x1]
    h, w = y1 - y0, x1 - x0
    pooled = np.empty((len(features), rows, columns))
    for i in range(rows):
        top, bottom = math.floor(i * h / rows), math.ceil((i + 1) * h / rows)
        for j in range(columns):
            left, right = math.floor(j * w / columns), math.ceil((j + 1) * w / columns)
            pooled[:, i, j] = window[:, top:bottom, left:right].max(axis=(1, 2))
    return pooled


@exercise(
    cases=boxes_and_anchors,
    mistakes={
        "the move is measured in sizes of the anchor: the box's are not known yet": encoding(
            lambda moved, s, a: (moved / s, np.log(s / a))
        ),
        "the move is in pixels there; a step is a share of the anchor's size": encoding(
            lambda moved, s, a: (moved, np.log(s / a))
        ),
        "growth is a logarithm: a network that says 0 means 'as large as the anchor'": encoding(
            lambda moved, s, a: (moved / a, s / a)
        ),
        "growth is a logarithm of the ratio, not a difference": encoding(
            lambda moved, s, a: (moved / a, (s - a) / a)
        ),
        "from the anchor to the box: a larger box has positive steps": encoding(
            lambda moved, s, a: (moved / a, np.log(a / s))
        ),
        "the way goes from centre to centre, not from corner to corner": lambda box, anchor: (
            np.concatenate(
                [
                    (box[:2] - anchor[:2]) / (anchor[2:] - anchor[:2]),
                    np.log((box[2:] - box[:2]) / (anchor[2:] - anchor[:2])),
                ]
            )
        ),
        "the order is (y, x, height, width)": encoding(
            lambda moved, s, a: ((moved / a)[::-1], np.log(s / a)[::-1])
        ),
    },
    without=("encode_boxes",),
)
def encode(box: Any, anchor: Any) -> Any:
    """Tell a box as four steps (ty, tx, th, tw) from an anchor, both (y0, x0, y1, x1).

    The centre moves by ty heights and tx widths *of the anchor*; the height grows by a factor of
    ``exp(th)``, the width of ``exp(tw)``.
    """
    size, size_a = box[2:] - box[:2], anchor[2:] - anchor[:2]
    centre, centre_a = (box[:2] + box[2:]) / 2, (anchor[:2] + anchor[2:]) / 2
    return np.concatenate([(centre - centre_a) / size_a, np.log(size / size_a)])


@exercise(
    cases=maps,
    mistakes={
        "the middle of the first cell is half a stride from the border": (
            lambda m, stride, sizes: laid(m, stride, sizes, middle=0.0)
        ),
        "half of a size lies on each side of the centre": lambda m, stride, sizes: laid(
            m, stride, sizes, share=1.0
        ),
        "centres are in pixels of the image: a cell is a stride wide": lambda m, stride, sizes: (
            laid(m, 1, sizes)
        ),
        "(y0, x0, y1, x1): rows come first": lambda m, stride, sizes: laid(m, stride, sizes)[
            ..., [1, 0, 3, 2]
        ],
        "a row of the map is the first axis, a column the second": lambda m, stride, sizes: laid(
            m[::-1], stride, sizes
        ),
    },
    without=("anchor_boxes",),
)
def anchors(map_size: tuple[int, int], stride: int, sizes: list[float]) -> Any:
    """Lay square anchors of each of the sizes around the middle of each cell of a map.

    Return (rows, columns, sizes, 4): (y0, x0, y1, x1) in pixels of the image, of which a cell
    covers stride x stride. Those at the border reach out of the image.
    """
    rows, columns = map_size
    y = np.empty((rows, columns, len(sizes), 4))
    for i, j in np.ndindex(rows, columns):
        middle = np.array([(i + 0.5) * stride, (j + 0.5) * stride])
        for a, size in enumerate(sizes):
            y[i, j, a] = np.concatenate([middle - size / 2, middle + size / 2])
    return y


candidates = predict(
    "candidates",
    "How many anchors has an image of 600 x 800 pixels, 9 at each place of maps with strides of 8, "
    "16, 32, 64 and 128 pixels, their heights and widths rounded up?",
    90_360,
    mistakes={
        "those are the places; at each there are nine anchors": 10_040,
        "that is the finest map alone; there are four more": 67_500,
        "38 rows of 16 pixels are needed for 600, not 37: round up": 89_388,
        "one place stands for 8 x 8 pixels of the image, and coarser ones for more": 4_320_000,
    },
)


@exercise(
    cases=judged_places,
    mistakes={
        "the factor (1 - q)**gamma depends on x, too: product rule": slope_of("constant"),
        "that is the cross-entropy's slope, without the factor": slope_of("cross-entropy"),
        "that is one half of the product rule; log q has a slope, too": slope_of("first only"),
        "log q is negative already: both terms have the same sign": slope_of("added"),
        "the sign is wrong: a larger score of the right answer makes the loss smaller": slope_of(
            "upwards"
        ),
        "where there is no object, q = sigmoid(-x): its slope has the other sign": slope_of(
            "no sign"
        ),
        "q is the probability of the right answer: 1 - p where there is no object": slope_of(
            "one for both"
        ),
        "that is the slope by q; dq/dx = q (1 - q) is missing": slope_of("of the probability"),
    },
    without=("sigmoid_focal_loss", "backward", "grad"),
)
def focal_grad(x: Any, t: Any, gamma: float) -> Any:
    """Compute the slope of the focal loss by the scores x, an array of any shape.

    ``L = -(1 - q)**gamma * log(q)``, where q is the probability of what is right: sigmoid(x) where
    the target t is 1, 1 - sigmoid(x) where it is 0.
    """
    p = 1 / (1 + np.exp(-x))
    q, sign = np.where(t == 1, p, 1 - p), np.where(t == 1, 1.0, -1.0)
    return sign * (1 - q) ** gamma * (gamma * q * np.log(q) - (1 - q))


@exercise(
    cases=findings,
    mistakes={
        "two things are wrong: try two boxes on one object, and boxes in another order": judging(
            "given", taken="never"
        ),
        "an object can be found once: the second box on it is a false one": judging(taken="never"),
        "the surest box comes first, not the one that is first in the list": judging("given"),
        "the least sure comes first there; argsort sorts upwards": judging("rising"),
        "a box that overlaps too little finds nothing, and takes nothing away": judging(
            taken="always"
        ),
        "VOC's rule: a box looks at the object that it overlaps most, taken or not": judging(
            rule="next"
        ),
    },
)
def judged(boxes: Any, scores: Any, truths: Any, threshold: float) -> list[bool]:
    """Say which boxes (D, 4) find an object, the surest first: PASCAL VOC's rule. Repair it.

    Each box looks at the object that it overlaps most. It is right if the overlap reaches the
    threshold and no surer box has found that object.
    """
    share = ops.iou_matrix(boxes, truths).numpy()
    found: set[int] = set()
    right = []
    for i in np.argsort(-scores).tolist():
        best = int(share[i].argmax())
        right.append(bool(share[i, best] >= threshold) and best not in found)
        if right[-1]:
            found.add(best)
    return right


_CASE = "Five boxes, the surest first, are right, wrong, right, right, wrong; there are 4 objects."

all_points = predict(
    "all_points",
    f"{_CASE} What is the average precision, the area under the curve that only falls?",
    0.625,
    mistakes={
        "take the best precision at that recall or any larger one: the curve may only fall": (
            (1 + 2 / 3 + 3 / 4) / 4
        ),
        "an object that is never found counts, too: recall ends at 3/4, not at 1": (
            (1 + 3 / 4 + 3 / 4) / 3
        ),
        "that is the mean precision of the right ones; the missed object counts as 0": (
            (1 + 2 / 3 + 3 / 4) / 3
        ),
        "that is the precision of all five; average precision is an area": 3 / 5,
        "that is the recall in the end; average precision is an area": 3 / 4,
    },
    tolerance=2e-3,
)

eleven_points = predict(
    "eleven_points",
    f"{_CASE} What does VOC 2007 say, the mean of the heights at recalls 0, 0.1, ..., 1?",
    6.75 / 11,
    mistakes={
        "that is the area; here eleven heights are read off and averaged": 0.625,
        "recalls 0.8, 0.9 and 1 are never reached: their heights are 0, and they count": 6.75 / 8,
        "from 0 to 1 in steps of 0.1 there are eleven heights, 0 is one of them": 5.75 / 10,
        "divide the sum by eleven, the number of heights": 6.75 / 10,
        "recall 0.3 lies beyond 0.25: the height there is the best from 0.5 on": 7.0 / 11,
    },
    tolerance=2e-3,
)
