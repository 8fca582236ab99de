"""Test-time augmentation: an average of views, each brought back to where it was."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.segmentation import averaged_views


class Slope(nn.Module):
    """Sure of class 1 where it is bright, and ever surer to the right: not mirror-symmetric."""

    def __init__(self) -> None:
        self.gain = nn.Parameter(np.ones(1, np.float32))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(x.shape[2:])
        bright = x[:, :1] * self.gain
        right = Tensor(
            np.broadcast_to(np.arange(x.shape[3], dtype=np.float32), bright.shape).copy()
        )
        return ops.concatenate([Tensor(np.zeros(bright.shape, np.float32)), bright + right], axis=1)


def prepare(images):
    return np.moveaxis(images.astype(np.float32) / 255, -1, 1)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)


def plain(images):
    bright = images[..., 0].astype(np.float64) / 255
    scores = bright + np.arange(images.shape[2])
    return softmax(np.stack([np.zeros_like(scores), scores], axis=1))


def test_one_view_is_the_net_itself(images):
    found = averaged_views(Slope(), prepare, flip=False)(images)
    np.testing.assert_allclose(found, plain(images), rtol=1e-5)


def test_mirror_images_are_turned_back(images):
    found = averaged_views(Slope(), prepare)(images)
    mirrored = plain(images[:, :, ::-1])[:, :, :, ::-1]
    np.testing.assert_allclose(found, (plain(images) + mirrored) / 2, rtol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


def test_scaled_views_come_back_to_size(images):
    net = Slope()
    found = averaged_views(net, prepare, scales=(0.5, 1, 2))(images)
    assert found.shape == (2, 2, 4, 6)
    assert net.sizes == [(2, 3), (2, 3), (4, 6), (4, 6), (8, 12), (8, 12)]
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("scales", [(), (0,), (1, -2), (np.inf,)])
def test_scales_make_sense(scales):
    with pytest.raises(ConfigError, match=r"averaged_views: scales .* give one or more above 0"):
        averaged_views(Slope(), prepare, scales=scales)
