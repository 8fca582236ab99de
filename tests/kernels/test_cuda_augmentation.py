"""CUDA geometry and light of photographs beside their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import plain
from tests.kernels.device_arrays import there

SHAPES = [(0, 4, 4, 3), (3, 5, 7, 3), (2, 1, 1, 3), (2, 9, 1, 3), (1, 40, 40, 3)]


@pytest.mark.parametrize("shape", SHAPES)
def test_moved_and_relit(shape, cuda):
    random, n = np.random.default_rng(0), len(np.zeros(shape))
    images = random.integers(0, 256, shape).astype(np.uint8)
    matrices = (np.eye(2, 3) + random.normal(0, 0.4, (n, 2, 3))).astype(np.float32)
    matrices[:, :, 2] *= 8
    gains = random.uniform(1, 2, n).astype(np.float32)
    offsets = random.uniform(0, 1, n).astype(np.float32)
    right = plain.warp_affine(images, matrices, gains, offsets)
    given = matrices, gains, offsets
    for arrays in (given, [there(a) for a in given]):  # the numbers may be anywhere
        got = cuda.warp_affine(there(images), *arrays)
        np.testing.assert_allclose(got.get(), right, rtol=2e-5, atol=2e-5)


def test_a_picture_that_stays_as_it_is(cuda):
    images = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    same = np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))
    one, none = np.ones(2, np.float32), np.zeros(2, np.float32)
    got = cuda.warp_affine(there(images), same, one, none).get()
    np.testing.assert_allclose(got, images / 255, rtol=1e-6, atol=1e-7)


def test_no_pixel_outside_is_read_if_a_matrix_is_nan(cuda):
    images = np.full((1, 4, 4, 3), 255, np.uint8)
    nothing = np.full((1, 2, 3), np.nan, np.float32)
    one, none = np.ones(1, np.float32), np.zeros(1, np.float32)
    np.testing.assert_allclose(cuda.warp_affine(there(images), nothing, one, none).get(), 1)


@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (9, 1), (40, 40)])
def test_looked_up_elsewhere(shape, cuda):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*shape, 3)).astype(np.uint8)
    places = random.uniform(-0.3, 1.3, (2, 8, 6)) * np.array(shape)[:, None, None]
    places[:, 0, 0], places[0, 1, 1] = np.nan, np.inf
    places[:, 2, 0], places[:, 2, 1] = 0, shape  # on the borders: the first is in, the last out
    places = places.astype(np.float32)
    for where in (places, there(places)):
        got = cuda.remap(there(image), where, (1, 2, 3)).get().astype(int)
        assert abs(got - plain.remap(image, places, (1, 2, 3))).max() <= 1  # rounded
        nearest = cuda.remap_nearest(there(image[..., 0].copy()), where, 7).get()
        np.testing.assert_array_equal(nearest, plain.remap_nearest(image[..., 0], places, 7))


@pytest.mark.parametrize("shape", SHAPES)
def test_standardized(shape, cuda):
    images = (1000 + np.random.default_rng(0).random(shape)).astype(np.float32)  # far from 0
    right = plain.standardize(images, 0.02)
    got = cuda.standardize(there(images), 0.02)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got.get(), right, rtol=1e-6, atol=1e-6)
