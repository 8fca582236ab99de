"""Regions of alike pixels, and the trees that grow when regions are merged, step by step.

Each step depends on the one before, so there are no array expressions for it: these are the
algorithms as they read, in whole numbers wherever a decision is taken, so that every
implementation takes the same.
"""

import numpy as np

from ._pixel_graph import STEPS, edges

ONE = 1 << 16  # a similarity of 1: similarities are whole numbers of 1/65536


def segment(colours, scales, least):
    """colours float32 (H, W, C), scales (S,) -> labels int32 (S, H, W), numbered in reading order.

    Two regions become one if the edge between them is no heavier than the heaviest edge that holds
    either together, plus scale / its pixels. Then those of fewer than `least` pixels join the
    neighbour across their lightest edge.
    """
    height, width, _ = colours.shape
    first, second, weight = (a.tolist() for a in edges(colours))
    labels = np.empty((len(scales), height, width), np.int32)
    for s, scale in enumerate(scales):
        parent, size = list(range(height * width)), [1] * (height * width)
        bound = [scale * STEPS] * (height * width)
        for a, b, w in zip(first, second, weight, strict=True):
            a, b = _root(parent, a), _root(parent, b)
            if a != b and w <= bound[a] and w <= bound[b]:
                root = _join(parent, size, a, b)
                bound[root] = w + scale * STEPS / size[root]
        for a, b in zip(first, second, strict=True):
            a, b = _root(parent, a), _root(parent, b)
            if a != b and (size[a] < least or size[b] < least):
                _join(parent, size, a, b)
        numbers = {}
        roots = (_root(parent, p) for p in range(height * width))
        labels[s].flat = [numbers.setdefault(root, len(numbers)) for root in roots]
    return labels


def region_histograms(labels, bins, count, size):
    """labels (H, W), bins uint8 (H, W, B) below size -> boxes (R, 4), histograms (R, B, size).

    Both int32, for the regions 0 ... count - 1: (y0, x0, y1, x1), and how many pixels of a region
    have each value.
    """
    height, width, channels = bins.shape
    boxes = np.empty((count, 4), np.int32)
    boxes[:, :2], boxes[:, 2:] = max(height, width), 0
    y, x = np.mgrid[:height, :width].astype(np.int32)
    for side, at in enumerate((y, x)):
        np.minimum.at(boxes[:, side], labels, at)
        np.maximum.at(boxes[:, side + 2], labels, at + 1)
    cells = (labels[..., None].astype(np.int64) * channels + np.arange(channels)) * size + bins
    counts = np.bincount(cells.ravel(), minlength=count * channels * size)
    return boxes, counts.reshape(count, channels, size).astype(np.int32)


def merge_regions(boxes, sizes, colours, textures, pairs, pixels, wanted):
    """Merge the two most alike neighbours again and again -> boxes (R + M, 4), merged (M, 2).

    boxes (R, 4), sizes (R,) in pixels, histograms of colours (R, A) and textures (R, B), pairs
    (P, 2) of neighbours a < b, pixels of the image; wanted: which of the similarities of colour,
    texture, size and fill are added up (4,). All are int32. Of the most alike pairs the one with
    the lowest numbers is merged; region R + i is what the regions merged[i] became.
    """
    boxes, sizes = [b.astype(np.int64) for b in boxes], sizes.tolist()
    counts = [[h.astype(np.int64) for h in rows] for rows in (colours, textures)]
    shares = [[_shares(h) for h in rows] for rows in counts]

    def alike(a, b):
        both = sizes[a] + sizes[b]
        low, high = np.minimum(boxes[a][:2], boxes[b][:2]), np.maximum(boxes[a][2:], boxes[b][2:])
        parts = (
            int(np.minimum(shares[0][a], shares[0][b]).sum()),
            int(np.minimum(shares[1][a], shares[1][b]).sum()),
            ONE - both * ONE // pixels,
            ONE - (int(np.prod(high - low)) - both) * ONE // pixels,
        )
        return sum(part for part, counted in zip(parts, wanted, strict=True) if counted)

    waiting = {(a, b): alike(a, b) for a, b in pairs.tolist()}
    merged = []
    while waiting:
        a, b = min(waiting, key=lambda pair: (-waiting[pair], pair))
        merged.append((a, b))
        new = len(boxes)
        low, high = np.minimum(boxes[a][:2], boxes[b][:2]), np.maximum(boxes[a][2:], boxes[b][2:])
        boxes.append(np.concatenate([low, high]))
        sizes.append(sizes[a] + sizes[b])
        for rows, parts in zip(counts, shares, strict=True):
            rows.append(rows[a] + rows[b])
            parts.append(_shares(rows[new]))
        beside = {n for pair in waiting if a in pair or b in pair for n in pair} - {a, b}
        waiting = {pair: s for pair, s in waiting.items() if a not in pair and b not in pair}
        waiting |= {(n, new): alike(n, new) for n in beside}
    return np.array(boxes, np.int32).reshape(-1, 4), np.array(merged, np.int32).reshape(-1, 2)


def _root(parent, p):
    while parent[p] != p:
        parent[p] = p = parent[parent[p]]
    return p


def _join(parent, size, a, b):
    """Let the larger of two regions take the other in; return the root of both."""
    if size[a] < size[b]:
        a, b = b, a
    parent[b] = a
    size[a] += size[b]
    return a


def _shares(histogram):
    """Return a histogram in 1/65536 of its total."""
    return histogram * ONE // max(int(histogram.sum()), 1)
