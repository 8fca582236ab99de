"""The nets that are measured, as both sides build them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

CLASSES = 43
PIXEL_CLASSES = 8  # what each pixel may be, for the U-Net
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DROPOUT = 0.25


class Net(NamedTuple):
    """What to build: `kind` is "seednet", "resnet20" or "unet"."""

    kind: str
    channels: int  # of the first block; the next have twice and four times as many
    size: int  # of the images, in pixels
    batch: int = 128  # images a training step


NETS = {
    "seednet": Net("seednet", 8, 32),
    "seed48": Net("seednet", 8, 48),
    "wide": Net("seednet", 32, 32),
    "resnet20": Net("resnet20", 16, 32),
    "unet": Net("unet", 16, 64, 16),
}
USUAL = ("seednet", "seed48", "wide", "resnet20")  # the others are measured if asked for
BATCHES = {"train": 128, "inference": 128, "inference1": 1}  # by kind of work, of most nets
BLOCKS = 3  # residual blocks of each stage of resnet20
LEVELS = 3  # how often the U-Net halves the image


def example(net: Net, work: str) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, H, W, 3), which both sides see as (N, 3, H, W), and labels.

    There is a label for each image (N,), or, for a U-Net, for each pixel (N, H, W).
    """
    rng = np.random.default_rng(0)
    shape = (1 if work == "inference1" else net.batch, net.size, net.size, 3)
    images = rng.standard_normal(shape, dtype=np.float32)
    if net.kind == "unet":
        return images, rng.integers(0, PIXEL_CLASSES, shape[:3])
    return images, rng.integers(0, CLASSES, len(images))
