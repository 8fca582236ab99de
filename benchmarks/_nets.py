"""The nets that are measured, as both sides build them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = 43
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DROPOUT = 0.25


class Net(NamedTuple):
    """What to build: `kind` is "seednet" or "resnet20"."""

    kind: str
    channels: int  # of the first block; the next have twice and four times as many
    size: int  # of the images, in pixels


NETS = {
    "seednet": Net("seednet", 8, 32),
    "seed48": Net("seednet", 8, 48),
    "wide": Net("seednet", 32, 32),
    "resnet20": Net("resnet20", 16, 32),
}
BATCHES = {"train": 128, "inference": 128, "inference1": 1}  # by kind of work
BLOCKS = 3  # residual blocks of each stage of resnet20


def example(net: Net, work: str) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, H, W, 3), which both sides see as (N, 3, H, W), and labels (N,)."""
    rng = np.random.default_rng(0)
    shape = (BATCHES[work], net.size, net.size, 3)
    images = rng.standard_normal(shape, dtype=np.float32)
    return images, rng.integers(0, CLASSES, len(images))
