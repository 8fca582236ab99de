"""Regions of alike pixels and their trees: work for the host, done there.

Every step of these algorithms depends on the one before, so that there is nothing for thousands of
threads to do side by side.  They are here because the kernels of all devices have the same names;
whoever has a choice brings the image to host memory once, as `minicnn.detection` does, and takes
the compiled kernels.  Unlike all others, these launchers wait for the device.
"""

import cupy

from .. import plain


def segment(colours, scales, least):
    """colours float32 (H, W, C), scales (S,) -> labels int32 (S, H, W), numbered in reading order.

    Two regions become one if the edge between them is no heavier than the heaviest edge that holds
    either together, plus scale / its pixels. Then those of fewer than `least` pixels join the
    neighbour across their lightest edge.
    """
    return cupy.asarray(plain.segment(cupy.asnumpy(colours), scales, least))


def region_histograms(labels, bins, count, size):
    """labels (H, W), bins uint8 (H, W, B) below size -> boxes (R, 4), histograms (R, B, size).

    Both int32, for the regions 0 ... count - 1: (y0, x0, y1, x1), and how many pixels of a region
    have each value.
    """
    given = cupy.asnumpy(labels), cupy.asnumpy(bins)
    return tuple(cupy.asarray(a) for a in plain.region_histograms(*given, count, size))


def merge_regions(boxes, sizes, colours, textures, pairs, pixels, wanted):
    """Merge the two most alike neighbours again and again -> boxes (R + M, 4), merged (M, 2).

    boxes (R, 4), sizes (R,) in pixels, histograms of colours (R, A) and textures (R, B), pairs
    (P, 2) of neighbours a < b, pixels of the image; wanted: which of the similarities of colour,
    texture, size and fill are added up (4,). All are int32. Of the most alike pairs the one with
    the lowest numbers is merged; region R + i is what the regions merged[i] became.
    """
    given = (cupy.asnumpy(a) for a in (boxes, sizes, colours, textures, pairs))
    return tuple(cupy.asarray(a) for a in plain.merge_regions(*given, pixels, wanted))
