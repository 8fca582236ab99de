"""CUDA boxes and regions beside their definitions; runs of boxes that cross words of 64."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from minicnn.ops._grids import averaging, cells, samples, single
from tests.kernels.device_arrays import ORDERS, close, last, shifted, there

TYPES = (np.float16, np.float32, np.float64)
HEIGHT, WIDTH = 9, 11


def boxes(count, dtype=np.float64, seed=0):
    """Boxes of whole pixels, whose overlaps are exact fractions; some end before they begin."""
    random = np.random.default_rng(seed)
    corner = random.integers(0, 20, (count, 2))
    return np.concatenate([corner, corner + random.integers(-2, 15, (count, 2))], 1).astype(dtype)


def both(tables):
    return tuple(there(t) for t in tables)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("a", "b"), [(37, 40), (0, 3), (3, 0)])
def test_overlaps(a, b, dtype, cuda):
    given = boxes(a + b, dtype)
    for box in range(min(a, b, 4)):  # each side of one box of both
        given[[5 * box, a + 7 * box], box] = np.nan
    right = plain.iou_matrix(given[:a].astype(np.float64), given[a:].astype(np.float64))
    close(cuda.iou_matrix(there(given[:a]), there(given[a:])), right, dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("limit", [0, 2, 1000])
@pytest.mark.parametrize("groups", [1, 3, 40])
@pytest.mark.parametrize("count", [0, 1, 64, 65, 200])
def test_suppression(count, groups, limit, dtype, cuda):
    given = abs(boxes(count, dtype))
    group = np.sort(np.random.default_rng(1).integers(0, groups, count))[::-1].copy()
    for threshold in (0.1, 0.5):
        right = plain.nms(given.astype(np.float64), group, threshold, limit)
        got = cuda.nms(there(given), there(group), threshold, limit)
        assert got.dtype == bool
        np.testing.assert_array_equal(got.get(), right)


def test_a_group_that_comes_again_is_another_run(cuda):
    given, group = np.tile(boxes(1) * 0 + [0, 0, 2, 2], (150, 1)), np.repeat([7, 5, 7], 50)
    np.testing.assert_array_equal(
        cuda.nms(there(given), there(group), 0.5, 9).get(), plain.nms(given, group, 0.5, 9)
    )
    assert plain.nms(given, group, 0.5, 9).sum() == 3


@pytest.fixture(params=[(2, 3, 5), (3, 8, 6), (1, 8, 0), (2, 1, 4)], ids=str)
def regions(request):
    """Images, which image each region is of, and exact boxes that reach over the border."""
    images, channels, count = request.param
    random = np.random.default_rng(0)
    x = random.normal(0, 1, (images, channels, HEIGHT, WIDTH))
    corner = random.uniform(-4, 9, (count, 2))
    exact = np.concatenate([corner, corner + random.uniform(0.5, 9, (count, 2))], 1)
    return x, random.integers(0, images, count), exact


@pytest.mark.parametrize("dtype", TYPES)
def test_max_of_cells(regions, dtype, cuda):
    x, images, exact = regions
    x, whole = x.astype(dtype), np.floor(exact).astype(np.int64)
    x[0, 0, 3:5, 4] = np.nan
    rows = cells(whole[:, 0], whole[:, 2], 4, HEIGHT)  # some are empty
    columns = cells(whole[:, 1], whole[:, 3], 3, WIDTH)
    y, winner = plain.roi_max_pool(x, images, rows, columns)
    g = np.random.default_rng(1).normal(0, 1, y.shape)
    grad = plain.roi_max_unpool(
        g.astype(dtype).astype(np.float64), winner, images, *[None] * 2, x.shape
    )
    grid = there(images), both(rows), both(columns)
    for order in ORDERS:
        got = cuda.roi_max_pool(order(x), *grid)
        np.testing.assert_array_equal(got[0].get(), y)
        np.testing.assert_array_equal(got[1].get(), winner)
        given = order(g.astype(dtype)), order(winner), *grid
        close(cuda.roi_max_unpool(*given, x.shape), grad, dtype, 4)
        taken = plain.roi_take_winners(x, winner, images)
        np.testing.assert_array_equal(
            cuda.roi_take_winners(order(x), order(winner), grid[0]).get(), taken
        )


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["avg", "max", "max_taps"])
def test_samples_of_cells_and_their_transpose(kind, regions, dtype, cuda):
    x, images, exact = regions
    points = [
        samples(exact[:, a], exact[:, a + 2] - exact[:, a], 3, 2 if kind == "max" else 0, pixels)
        for a, pixels in ((0, HEIGHT), (1, WIDTH))
    ]
    if kind == "avg":
        tables = [averaging(p) for p in points]
    else:
        tables = [single(p, kind == "max_taps")[0] for p in points]
    agree(x.astype(dtype), images, tables, cuda)


@pytest.mark.parametrize("dtype", TYPES)
def test_taps_beyond_the_border_are_at_the_border(regions, dtype, cuda):
    x, images, _ = regions
    random = np.random.default_rng(0)
    tables = [
        (
            random.integers(-2, pixels + 1, (len(images), n)),
            random.normal(0, 1, (len(images), n, k)),
        )
        for pixels, n, k in ((HEIGHT, 3, 3), (WIDTH, 2, 4))
    ]
    agree(x.astype(dtype), images, tables, cuda)


def agree(x, images, tables, cuda):
    """Compare roi_sample and roi_spread with their definitions."""
    wide, grid = x.astype(np.float64), (there(images), *(both(t) for t in tables))
    y = plain.roi_sample(wide, images, *tables)
    g = np.random.default_rng(1).normal(0, 1, y.shape).astype(x.dtype)
    grad = plain.roi_spread(g.astype(np.float64), images, *tables, x.shape)
    for order in (there, last, shifted):
        close(cuda.roi_sample(order(x), *grid), y, x.dtype, 20)
        close(cuda.roi_spread(order(g), *grid, x.shape), grad, x.dtype, 20)


def test_what_weighs_nothing_may_be_nan(cuda):
    x = np.full((1, 4, 3, 3), np.nan, np.float32)
    x[:, :, 1, 1] = 2
    table = both((np.zeros((1, 1), np.int64), np.array([[[0.0, 0.5, 0.0]]])))
    images = there(np.zeros(1, np.int64))
    assert (cuda.roi_sample(last(x), images, table, table).get() == 0.5).all()
    g = there(np.full((1, 4, 1, 1), np.nan, np.float32))
    back = cuda.roi_spread(g, images, table, table, x.shape).get()
    assert np.isnan(back[:, :, 1, 1]).all()
    assert np.count_nonzero(back) == 4


def test_whole_numbers_are_added_exactly(cuda):
    winner, images = np.array([[[[1, 0], [1, -1]]]], np.int32), np.zeros(1, np.int64)
    g, table = np.arange(4).reshape(1, 1, 2, 2), (np.zeros((1, 2), np.int64),) * 2
    given = there(g), there(winner), there(images), both(table), both(table), (1, 1, 1, 2)
    assert cuda.roi_max_unpool(*given).get().reshape(-1).tolist() == [1, 2]
