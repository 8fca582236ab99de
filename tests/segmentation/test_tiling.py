"""Tiles: the same as the whole image, wherever the net has seen enough."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import models, nn
from minicnn.autograd import Tensor, no_grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.segmentation import segment_in_tiles, strips


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def scorer_of(net):
    def score(images):
        with no_grad(), nn.evaluating():
            x = Tensor(np.moveaxis(images.astype(np.float32) / 64 - 2, -1, 1))
            return net(x).numpy()

    return score


def joined(pieces):
    """Return all rows, and check that they come one after the other."""
    found = []
    for start, scores in pieces:
        assert start == sum(part.shape[1] for part in found)
        found.append(scores)
    return np.concatenate(found, axis=1)


@pytest.fixture(scope="module")
def unet():
    """A U-Net that has seen a batch, so that its moving averages are somewhere."""
    with nn.seed(3):
        net = models.UNet(4, widths=(4, 6, 8))
    net(Tensor(np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)))
    return net


@pytest.mark.parametrize(("height", "width"), [(150, 131), (64, 200), (97, 64), (30, 41)])
def test_tiles_of_a_unet_equal_the_whole_image(unet, height, width):
    """Ten convolutions and two poolings see 23 pixels to a side; tiles begin at multiples of 4."""
    image = picture(height, width)
    score = scorer_of(unet)
    whole = score(image[None])[0]
    tiled = joined(strips(score, image, tile=(108, 108), overlap=52, margin=24))
    assert tiled.shape == whole.shape
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_without_a_margin_the_seams_are_seen(unet):
    """What the test above would miss if margins did nothing."""
    image = picture(150, 131)
    score = scorer_of(unet)
    whole = score(image[None])[0]
    tiled = joined(strips(score, image, tile=(108, 108), overlap=52, margin=0))
    assert np.abs(tiled - whole).max() > 1e-3


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(0, 9), st.integers(0, 4), st.integers(0, 9)
)
def test_every_pixel_is_scored_once_whatever_the_size(height, width, overlap, margin, more):
    margin = min(margin, max(0, (overlap - 1) // 2))
    image = picture(height, width)
    tile = (2 * overlap + 1 + more, 2 * overlap + 3)

    def bright(images):
        return np.moveaxis(images[..., :2].astype(np.float32), -1, 1)

    scores = joined(strips(bright, image, tile, overlap, margin))
    np.testing.assert_allclose(scores, np.moveaxis(image[..., :2], -1, 0), rtol=1e-5)
    mask = segment_in_tiles(bright, image, tile, overlap, margin)
    np.testing.assert_array_equal(mask, (image[..., 1] > image[..., 0]).astype(np.uint8))


def test_one_tile_fades_into_the_next():
    """The first tile says 0 everywhere, the second 1: in between it rises in equal steps."""
    calls = iter(range(10))

    def number(images):
        return np.full((1, 1, *images.shape[1:3]), next(calls), np.float32)

    scores = joined(strips(number, picture(8, 28), tile=(16, 16), overlap=4, margin=0))[0]
    np.testing.assert_allclose(scores[0, :12], 0)
    np.testing.assert_allclose(scores[0, 12:16], [0.125, 0.375, 0.625, 0.875])
    np.testing.assert_allclose(scores[0, 16:], 1)


def test_a_file_is_read_and_written_tile_by_tile(tmp_path, unet):
    image = picture(120, 80)
    image.tofile(tmp_path / "image.raw")
    read = np.memmap(tmp_path / "image.raw", np.uint8, "r", shape=image.shape)
    out = np.memmap(tmp_path / "mask.raw", np.uint8, "w+", shape=image.shape[:2])
    sizes = []

    def score(images):
        sizes.append(images.shape[1:3])
        return scorer_of(unet)(images)

    assert segment_in_tiles(score, read, (48, 48), 16, 4, out) is out
    assert max(sizes) == (48, 48)
    expected = segment_in_tiles(scorer_of(unet), image, (48, 48), 16, 4)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"tile": (16, 40)}, ConfigError, r"tile \(16, 40\), overlap 9"),
        ({"margin": 5}, ConfigError, "margin 5 do not fit"),
        ({"margin": -1}, ConfigError, "margin -1"),
        ({"image": np.zeros((5, 5), np.uint8)}, ShapeError, r"\(H, W, 3\), got shape \(5, 5\)"),
        ({"image": np.zeros((0, 5, 3), np.uint8)}, ShapeError, "got shape"),
        ({"out": np.zeros((5, 4), np.uint8)}, ShapeError, r"out \(5, 4\) is no mask"),
        ({"scorer": lambda images: images}, ShapeError, r"the scorer made \(1, 5, 5, 3\)"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, says):
    fine = {
        "scorer": lambda images: images[..., :1].transpose(0, 3, 1, 2),
        "image": picture(5, 5),
        "tile": (20, 20),
        "overlap": 9,
        "margin": 2,
    }
    with pytest.raises(error, match=says):
        segment_in_tiles(**(fine | change))
