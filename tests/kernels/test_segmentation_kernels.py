"""Segmentation and merging: the definitions, set by set and pixel by pixel."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.backend.random import Stream
from minicnn.kernels import cpu, plain

KERNELS = pytest.mark.parametrize("kernels", [cpu, plain], ids=["cpu", "plain"])
DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))


def weighted_edges(image: np.ndarray) -> list[tuple[int, tuple[int, int], tuple[int, int]]]:
    """(weight, pixel, pixel) by weight; of equal ones by direction, then in reading order."""
    height, width = image.shape
    places = list(itertools.product(range(height), range(width)))
    pairs = (((y, x), (y + v, x + u)) for v, u in DIRECTIONS for y, x in places)
    inside = [(p, q) for p, q in pairs if q[0] < height and 0 <= q[1] < width]
    return sorted(((abs(int(image[p]) - int(image[q])), p, q) for p, q in inside), key=first_of)


def first_of(edge):
    return edge[0]


def segments(image: np.ndarray, scale: float, least: int) -> np.ndarray:
    """Felzenszwalb and Huttenlocher's algorithm with sets of pixels."""
    region = {p: frozenset([p]) for p in np.ndindex(image.shape)}
    inner = dict.fromkeys(region.values(), 0)

    def joined(a, b, weight):
        both = a | b
        inner[both] = weight
        region.update(dict.fromkeys(both, both))

    edges = weighted_edges(image)
    for weight, p, q in edges:
        a, b = region[p], region[q]
        if a != b and weight <= min(inner[r] + scale / len(r) for r in (a, b)):
            joined(a, b, weight)
    for weight, p, q in edges:
        a, b = region[p], region[q]
        if a != b and min(len(a), len(b)) < least:
            joined(a, b, weight)
    numbers: dict[frozenset, int] = {}
    flat = [numbers.setdefault(region[p], len(numbers)) for p in np.ndindex(image.shape)]
    return np.array(flat).reshape(image.shape)


def grey(seed: int, height: int, width: int, most: int = 40) -> np.ndarray:
    return np.asarray(Stream(seed, "grey").integers(0, most, (height, width)))


def segmented(kernels, image: np.ndarray, scales, least: int) -> np.ndarray:
    return kernels.segment(image[..., None].astype(np.float32), scales, least)


@KERNELS
@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))
def test_the_regions_are_those_of_the_definition(kernels, seed, height, width, least):
    image = grey(seed, height, width)
    scales = (0.0, 20.0, 90.0)
    for labels, scale in zip(segmented(kernels, image, scales, least), scales, strict=True):
        np.testing.assert_array_equal(labels, segments(image, scale, least))
        assert labels.dtype == np.int32


@pytest.mark.parametrize("seed", range(6))
def test_no_two_neighbours_lack_evidence_of_a_border(seed):
    """Theorem 1 of the paper, which no order of the edges enters: the cut is not too fine."""
    image, scale = grey(seed, 12, 13), 60.0
    labels = segmented(cpu, image, (scale,), 1)[0]
    edges = weighted_edges(image)
    inner = [heaviest_of_tree(edges, labels, r) for r in range(labels.max() + 1)]
    between: dict[tuple[int, int], int] = {}
    for weight, p, q in edges:
        a, b = sorted((int(labels[p]), int(labels[q])))
        if a != b:
            between.setdefault((a, b), weight)
    sizes = np.bincount(labels.ravel())
    assert len(between) > 5
    for (a, b), lightest in between.items():
        assert lightest > min(inner[r] + scale / sizes[r] for r in (a, b))


def heaviest_of_tree(edges, labels: np.ndarray, region: int) -> int:
    """The heaviest edge of the lightest tree that holds a region together."""
    tree = {tuple(p): {tuple(p)} for p in np.argwhere(labels == region)}
    heaviest = 0
    for weight, p, q in edges:
        if p in tree and q in tree and tree[p] is not tree[q]:
            both = tree[p] | tree[q]
            tree.update(dict.fromkeys(both, both))
            heaviest = weight
    assert len({id(part) for part in tree.values()}) == 1, "a region is connected"
    return heaviest


@KERNELS
def test_distances_are_of_colours_together(kernels):
    """(3, 4, 0) away is 5 away: with a scale of 5 two such pixels just become one."""
    pair = np.array([[[0, 0, 0], [3, 4, 0]]], np.float32)
    parts = kernels.segment(pair, (5.0, 4.98), 1)
    assert parts.tolist() == [[[0, 0]], [[0, 1]]]
    far = np.array([[[0, 0, 0], [9000, 9000, 9000]]], np.float32)
    assert kernels.segment(far, (400.0,), 1).tolist() == [[[0, 1]]]  # does not run over


@KERNELS
def test_histograms_and_boxes_by_hand(kernels):
    labels = np.array([[0, 0, 1], [2, 1, 1]], np.int32)
    bins = np.array([[[0, 2], [1, 2], [0, 0]], [[2, 1], [0, 0], [2, 0]]], np.uint8)
    boxes, counts = kernels.region_histograms(labels, bins, 4, 3)
    assert boxes[:3].tolist() == [[0, 0, 1, 2], [0, 1, 2, 3], [1, 0, 2, 1]]
    assert counts.tolist() == [
        [[1, 1, 0], [0, 0, 2]],
        [[2, 0, 1], [3, 0, 0]],
        [[0, 0, 1], [0, 1, 0]],
        [[0, 0, 0], [0, 0, 0]],
    ]
    assert boxes.dtype == counts.dtype == np.int32


def growing(labels, colours, textures, wanted):
    """The merging by its definition: all counted anew from the pixels of each pair, each time."""
    regions = {r: set(map(tuple, np.argwhere(labels == r))) for r in range(labels.max() + 1)}
    merged, boxes = [], [box_of(regions[r]) for r in regions]

    def shared(a, b, bins):
        parts = []
        for region in (a, b):
            counts = Counter((c, int(v)) for p in region for c, v in enumerate(bins[p]))
            total = sum(counts.values())
            parts.append({cell: n * 65536 // total for cell, n in counts.items()})
        return sum(min(share, parts[1].get(cell, 0)) for cell, share in parts[0].items())

    def alike(a, b):
        both = len(a) + len(b)
        y0, x0, y1, x1 = box_of(a | b)
        hole = (y1 - y0) * (x1 - x0) - both
        parts = [
            shared(a, b, colours),
            shared(a, b, textures),
            65536 - both * 65536 // labels.size,
            65536 - hole * 65536 // labels.size,
        ]
        return sum(part for part, counted in zip(parts, wanted, strict=True) if counted)

    while len(regions) > 1:
        pairs = [p for p in itertools.combinations(sorted(regions), 2) if touch(regions, *p)]
        a, b = max(pairs, key=lambda p: (alike(regions[p[0]], regions[p[1]]), -p[0], -p[1]))
        regions[len(boxes)] = regions.pop(a) | regions.pop(b)
        boxes.append(box_of(regions[len(boxes)]))
        merged.append((a, b))
    return boxes, merged


def box_of(region):
    ys, xs = zip(*region, strict=True)
    return [min(ys), min(xs), max(ys) + 1, max(xs) + 1]


def touch(regions, a, b):
    return any((y + v, x + u) in regions[b] for y, x in regions[a] for v, u in SIDES)


SIDES = ((0, 1), (1, 0), (0, -1), (-1, 0))


def case(seed: int, height: int, width: int, ties: bool = False):
    stream = Stream(seed, "merging")
    labels = segmented(plain, grey(seed, height, width), (8.0,), 2)[0]
    most = (1, 1) if ties else (5, 7)
    bins = [np.asarray(stream.integers(0, m, (height, width, 3))).astype(np.uint8) for m in most]
    return labels, *bins


def merged_by(kernels, labels, colours, textures, wanted):
    count = int(labels.max()) + 1
    boxes, of_colours = kernels.region_histograms(labels, colours, count, 5)
    _, of_textures = kernels.region_histograms(labels, textures, count, 7)
    pairs = {
        tuple(sorted((int(labels[p]), int(labels[q]))))
        for p in np.ndindex(labels.shape)
        for q in ((p[0] + 1, p[1]), (p[0], p[1] + 1))
        if q[0] < labels.shape[0] and q[1] < labels.shape[1] and labels[p] != labels[q]
    }
    return kernels.merge_regions(
        boxes,
        np.bincount(labels.ravel()).astype(np.int32),
        of_colours.reshape(count, -1),
        of_textures.reshape(count, -1),
        np.array(sorted(pairs), np.int32).reshape(-1, 2),
        labels.size,
        wanted,
    )


@KERNELS
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("wanted", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 1)])
def test_regions_are_merged_as_the_definition_says(kernels, wanted, ties):
    for seed in range(2):
        labels, *bins = case(seed, 9, 11, ties)
        boxes, merged = growing(labels, *bins, wanted)
        found, pairs = merged_by(kernels, labels, *bins, wanted)
        assert len(merged) > 8
        assert pairs.tolist() == [list(pair) for pair in merged]
        assert found.tolist() == boxes


@KERNELS
def test_one_region_is_left_alone(kernels):
    labels = np.zeros((2, 3), np.int32)
    bins = np.zeros((2, 3, 1), np.uint8)
    boxes, merged = merged_by(kernels, labels, bins, bins, (1, 1, 1, 1))
    assert boxes.tolist() == [[0, 0, 2, 3]]
    assert merged.shape == (0, 2)


def test_nothing_given_is_written_to():
    labels, *bins = case(0, 8, 8)
    colours = grey(3, 8, 8)[..., None].astype(np.float32)
    arrays = (colours, labels, *bins)
    before = [a.copy() for a in arrays]
    for kernels in (cpu, plain):
        kernels.segment(colours, (3.0,), 2)
        merged_by(kernels, labels, *bins, (1, 1, 1, 1))
    for array, was in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, was)


def test_any_memory_layout_gives_the_same():
    image = np.asarray(Stream(0, "layout").integers(0, 255, (14, 18, 3))).astype(np.float32)
    turned = np.asfortranarray(image)
    np.testing.assert_array_equal(cpu.segment(image, (99.0,), 3), cpu.segment(turned, (99.0,), 3))
    labels, *bins = case(1, 9, 8)
    other = [np.asfortranarray(a) for a in (labels, *bins)]
    for a, b in zip(
        merged_by(cpu, labels, *bins, (1, 1, 1, 1)), merged_by(cpu, *other, (1, 1, 1, 1)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(a, b)
