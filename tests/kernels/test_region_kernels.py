"""Regions: the same bits on any number of threads, and what the array expressions compute."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.backend.random import Stream
from minicnn.kernels import cpu, plain

COUNT, CHANNELS = 37, 70  # cut into several pieces, of regions and of channels


def regions() -> tuple[np.ndarray, np.ndarray]:
    stream = Stream(0, "regions")
    begin = stream.uniform((COUNT, 2), -3, 14)
    boxes = np.concatenate([begin, begin + stream.uniform((COUNT, 2), 0.5, 15)], axis=1)
    return boxes, stream.integers(0, 3, COUNT)


CALLS = {
    "roi_pool": lambda x, *given: ops.roi_pool(x, *given, 5),
    "roi_align": lambda x, *given: ops.roi_align(x, *given, (4, 5), sampling=2),
    "roi_align, a point a pixel": lambda x, *given: ops.roi_align(x, *given, 3),
    "roi_align, max": lambda x, *given: ops.roi_align(x, *given, 3, mode="max"),
}


def results(name: str, dtype: type = np.float32) -> list[np.ndarray]:
    """Return the value, the gradient, and the gradient's gradient."""
    x = Tensor(Stream(0, "x").normal((3, CHANNELS, 17, 19), dtype=dtype), requires_grad=True)
    y = CALLS[name](x, *regions())
    g = Tensor(Stream(0, "g").normal(y.shape, dtype=dtype), requires_grad=True)
    first = grad(y, x, g, create_graph=True)
    return [y.data, first.data, grad(first, g, x.data).data]


@pytest.mark.parametrize("name", CALLS)
def test_the_number_of_threads_changes_no_bit(name, monkeypatch):
    found = []
    for threads in ("1", "2", "3", "16"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        found.append(results(name))
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("name", CALLS)
def test_compiled_is_what_the_array_expressions_compute(name, monkeypatch):
    compiled = results(name, np.float64)
    monkeypatch.setenv("MINICNN_JIT", "0")
    for one, two in zip(compiled, results(name, np.float64), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kernels", [cpu, plain])
@pytest.mark.parametrize("limit", [0, 1, 2, 5])
def test_at_most_so_many_boxes_of_a_group_stay(kernels, limit):
    """The op cuts the result as well, so that only here it shows whether a kernel stops."""
    boxes = np.arange(8.0)[:, None] + [0, 0, 1, 1]  # apart from one another
    groups = np.array([3, 3, 3, 3, 4, 5, 5, 5])
    kept = kernels.nms(boxes, groups, 0.5, limit)
    assert [int(kept[groups == g].sum()) for g in (3, 4, 5)] == [min(n, limit) for n in (4, 1, 3)]
    assert all(kept[groups == g][:limit].all() for g in (3, 4, 5))


def test_overlaps_and_suppression_are_the_same_on_any_number_of_threads(monkeypatch):
    boxes, _ = regions()
    boxes, scores = np.tile(boxes, (9, 1)), Stream(0, "scores").uniform(9 * COUNT)
    boxes[COUNT:] += Stream(0, "moved").uniform((8 * COUNT, 4), -1, 1)
    found = []
    for threads, jit in (("1", "1"), ("2", "1"), ("16", "1"), ("1", "0")):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        monkeypatch.setenv("MINICNN_JIT", jit)
        found.append((ops.iou_matrix(boxes, boxes).data, ops.nms(boxes, scores).data))
    for overlaps, kept in found[1:3]:
        np.testing.assert_array_equal(overlaps, found[0][0])
        np.testing.assert_array_equal(kept, found[0][1])
    np.testing.assert_allclose(found[3][0], found[0][0], rtol=1e-13)
    np.testing.assert_array_equal(found[3][1], found[0][1])
