"""Regions of alike pixels and their trees, compiled.

Every step depends on the one before, so these run on the calling thread alone: several images may
be worked on at once, by threads of the caller.  Decisions are taken in whole numbers, or in
float64 as written: the results are those of the plain kernels, to the bit.
"""

import numpy as np

from ..plain._pixel_graph import STEPS, edges
from ._jit import njit, njit_as_written

ONE = 1 << 16  # a similarity of 1: similarities are whole numbers of 1/65536


def segment(colours, scales, least):
    """colours float32 (H, W, C), scales (S,) -> labels int32 (S, H, W), numbered in reading order.

    Two regions become one if the edge between them is no heavier than the heaviest edge that holds
    either together, plus scale / its pixels. Then those of fewer than `least` pixels join the
    neighbour across their lightest edge.
    """
    height, width, _ = colours.shape
    graph = edges(colours)
    labels = np.empty((len(scales), height, width), np.int32)
    for scale, numbers in zip(scales, labels.reshape(len(scales), -1), strict=True):
        _segment(*graph, float(scale) * STEPS, int(least), numbers)
    return labels


def region_histograms(labels, bins, count, size):
    """labels (H, W), bins uint8 (H, W, B) below size -> boxes (R, 4), histograms (R, B, size).

    Both int32, for the regions 0 ... count - 1: (y0, x0, y1, x1), and how many pixels of a region
    have each value.
    """
    boxes = np.empty((count, 4), np.int32)
    histograms = np.zeros((count, bins.shape[2], size), np.int32)
    given = np.ascontiguousarray(labels), np.ascontiguousarray(bins)
    _region_histograms(*given, boxes, histograms)
    return boxes, histograms


def merge_regions(boxes, sizes, colours, textures, pairs, pixels, wanted):
    """Merge the two most alike neighbours again and again -> boxes (R + M, 4), merged (M, 2).

    boxes (R, 4), sizes (R,) in pixels, histograms of colours (R, A) and textures (R, B), pairs
    (P, 2) of neighbours a < b, pixels of the image; wanted: which of the similarities of colour,
    texture, size and fill are added up (4,). All are int32. Of the most alike pairs the one with
    the lowest numbers is merged; region R + i is what the regions merged[i] became.
    """
    count, most = len(boxes), max(2 * len(boxes) - 1, 0)
    every, area = np.empty((most, 4), np.int32), np.empty(most, np.int64)
    every[:count], area[:count] = boxes, sizes
    counts, shares = [], []
    for given in (colours, textures):
        counts.append(np.empty((most, given.shape[1]), np.int32))
        shares.append(np.empty((most, given.shape[1]), np.int32))
        counts[-1][:count] = given
    merged = np.empty((most - count if count else 0, 2), np.int32)
    wanted = tuple(bool(w) for w in wanted)
    ends = (pairs[:, side].astype(np.int32) for side in range(2))  # copies, to be written to
    steps = _merge_regions(count, every, area, *counts, *shares, *ends, int(pixels), wanted, merged)
    return every[: count + steps], merged[:steps]


@njit_as_written
def _segment(first, second, weight, scale, least, labels):
    count = len(labels)
    parent, size = np.empty(count, np.int32), np.ones(count, np.int32)
    bound = np.full(count, scale)
    for p in range(count):
        parent[p] = p
    for e in range(len(weight)):
        a, b = _root(parent, first[e]), _root(parent, second[e])
        if a != b and weight[e] <= bound[a] and weight[e] <= bound[b]:
            root = _join(parent, size, a, b)
            bound[root] = weight[e] + scale / size[root]
    for e in range(len(weight)):
        a, b = _root(parent, first[e]), _root(parent, second[e])
        if a != b and (size[a] < least or size[b] < least):
            _join(parent, size, a, b)
    number, regions = np.full(count, -1, np.int32), 0
    for p in range(count):
        root = _root(parent, p)
        if number[root] < 0:
            number[root] = regions
            regions += 1
        labels[p] = number[root]


@njit
def _root(parent, p):
    while parent[p] != p:
        parent[p] = parent[parent[p]]
        p = parent[p]
    return p


@njit
def _join(parent, size, a, b):
    """Let the larger of two regions take the other in; return the root of both."""
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    return a


@njit
def _region_histograms(labels, bins, boxes, histograms):
    height, width, channels = bins.shape
    for r in range(len(boxes)):
        boxes[r, 0] = boxes[r, 1] = max(height, width)
        boxes[r, 2] = boxes[r, 3] = 0
    for y in range(height):
        for x in range(width):
            box, counts, values = boxes[labels[y, x]], histograms[labels[y, x]], bins[y, x]
            box[0], box[1] = min(box[0], y), min(box[1], x)
            box[2], box[3] = max(box[2], y + 1), max(box[3], x + 1)
            for c in range(channels):
                counts[c, values[c]] += 1


@njit
def _merge_regions(
    count, boxes, sizes, colours, textures, colour_shares, texture_shares, low, high, pixels,
    wanted, merged,
):  # fmt: skip
    for r in range(count):
        _share(colours, colour_shares, r)
        _share(textures, texture_shares, r)
    waiting = len(low)  # pairs of neighbours, their numbers and how alike they are
    alike = np.empty(waiting, np.int64)
    for k in range(waiting):
        alike[k] = _alike(
            low[k], high[k], boxes, sizes, colour_shares, texture_shares, pixels, wanted
        )
    met = np.full(len(boxes), -1, np.int64)  # the newest region that a region is known to touch
    steps = 0
    while waiting:
        best = _most_alike(low, high, alike, waiting)
        a, b, new = low[best], high[best], count + steps
        merged[steps, 0], merged[steps, 1] = a, b
        steps += 1
        for side in range(2):
            boxes[new, side] = min(boxes[a, side], boxes[b, side])
            boxes[new, side + 2] = max(boxes[a, side + 2], boxes[b, side + 2])
        sizes[new] = sizes[a] + sizes[b]
        _add(colours, a, b, new)
        _add(textures, a, b, new)
        _share(colours, colour_shares, new)
        _share(textures, texture_shares, new)
        # The pairs of a and b become pairs of the new region; where that makes two of one, or none,
        # the last pair moves up. All others stay as they are.
        k = 0
        while k < waiting:
            p, q = low[k], high[k]
            if (p != a) & (p != b) & (q != a) & (q != b):
                k += 1
                continue
            other = q if p in (a, b) else p
            if other in (a, b) or met[other] == new:
                waiting -= 1
                low[k], high[k], alike[k] = low[waiting], high[waiting], alike[waiting]
                continue
            met[other] = new
            low[k], high[k] = other, new
            alike[k] = _alike(
                other, new, boxes, sizes, colour_shares, texture_shares, pixels, wanted
            )
            k += 1
    return steps


@njit
def _most_alike(low, high, alike, waiting):
    most = alike[0]
    for k in range(waiting):  # by itself: the vector unit finds a maximum
        most = max(most, alike[k])
    best = -1
    for k in range(waiting):
        if alike[k] == most and (
            best < 0 or low[k] < low[best] or (low[k] == low[best] and high[k] < high[best])
        ):
            best = k
    return best


@njit
def _alike(a, b, boxes, sizes, colours, textures, pixels, wanted):
    both, total = sizes[a] + sizes[b], 0
    if wanted[0]:
        total += _shared(colours, a, b)
    if wanted[1]:
        total += _shared(textures, a, b)
    if wanted[2]:
        total += ONE - both * ONE // pixels
    if wanted[3]:
        height = max(boxes[a, 2], boxes[b, 2]) - min(boxes[a, 0], boxes[b, 0])
        width = max(boxes[a, 3], boxes[b, 3]) - min(boxes[a, 1], boxes[b, 1])
        total += ONE - (height * width - both) * ONE // pixels
    return total


@njit
def _shared(shares, a, b):
    """Return what two histograms have in common."""
    total = np.int32(0)
    for k in range(shares.shape[1]):
        total += min(shares[a, k], shares[b, k])
    return total


@njit
def _add(histograms, a, b, new):
    for k in range(histograms.shape[1]):
        histograms[new, k] = histograms[a, k] + histograms[b, k]


@njit
def _share(histograms, shares, r):
    """Write a histogram in 1/65536 of its total."""
    total = np.int64(0)
    for k in range(histograms.shape[1]):
        total += histograms[r, k]
    total = max(total, 1)
    for k in range(histograms.shape[1]):
        shares[r, k] = np.int64(histograms[r, k]) * ONE // total
