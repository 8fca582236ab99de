"""The graph whose nodes are pixels: each is joined to its eight neighbours."""

import numpy as np

STEPS = 128  # of edge weights to a grey level; far finer than what an image of bytes holds
_LONGEST = 511.0  # more than the distance of black and white in three channels of 255


def edges(colours):
    """colours float32 (H, W, C), in grey levels -> from, to (E,) int32, weight (E,) uint16, sorted.

    The weight is the distance of two pixels' colours, in 1/128 of a grey level. Edges come by
    rising weight; of equal weights first those to the right, below, right below, left below, each
    in the order of its pixels.
    """
    height, width, _ = colours.shape
    place = np.arange(height * width, dtype=np.int32).reshape(height, width)
    first, second, weights = [], [], []
    for a, b in (
        (np.s_[:, :-1], np.s_[:, 1:]),
        (np.s_[:-1], np.s_[1:]),
        (np.s_[:-1, :-1], np.s_[1:, 1:]),
        (np.s_[:-1, 1:], np.s_[1:, :-1]),
    ):
        difference = colours[a] - colours[b]
        difference *= difference
        total = difference[..., 0]
        for c in range(1, colours.shape[2]):  # in this order: the same bits everywhere
            total = total + difference[..., c]
        distance = np.minimum(np.sqrt(total), np.float32(_LONGEST)) * np.float32(STEPS)
        weights.append(distance.astype(np.uint16).ravel())
        first.append(place[a].ravel())
        second.append(place[b].ravel())
    weight = np.concatenate(weights)
    order = np.argsort(weight, kind="stable")  # of 16 bits: NumPy counts, it does not compare
    return np.concatenate(first)[order], np.concatenate(second)[order], weight[order]
