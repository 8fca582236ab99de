"""What a training run of the traffic-sign classifier depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.apps._networks import NETWORKS
from minicnn.errors import ConfigError

MODELS = NETWORKS
LIMITS = {
    "size": (8, 1024),
    "channels": (1, 1024),
    "epochs": (1, 1_000_000),
    "batch_size": (2, 65_536),
    "seed": (-(2**63), 2**64 - 1),
}


@dataclass(frozen=True)
class Settings:
    """Everything a training run depends on.

    Parameters
    ----------
    data : str, optional
        Folder or zip of real photographs; None for drawn signs.
    split : {"track", "random"}
        How a fifth of the images is held out for validation: whole tracks, so that no physical
        sign is in both parts, or single images, as in the course.
    size : int, default 32
        Height and width to which images are resized, in pixels.
    channels : int, default 8
        Channels of the network's first block.
    model : str, default "seed"
        Which network of `MODELS`.
    epochs : int, default 12
        Passes over the training part.
    batch_size : int, default 128
        Images a step.
    seed : int, default 0
        Of the split, the initial weights, the order, the augmentation and dropout.
    augment : bool, default True
        Whether every image is turned, scaled, shifted and relit at random in training.
    skip_bad : bool, default False
        Whether broken images are left out, counted and named, instead of ending the run.
    """

    data: str | None = None
    split: str = "track"
    size: int = 32
    channels: int = 8
    model: str = "seed"
    epochs: int = 12
    batch_size: int = 128
    seed: int = 0
    augment: bool = True
    skip_bad: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if value < least:
                raise ConfigError(f"{name} must be at least {least}, got {value}")
            if value > most:
                raise ConfigError(f"{name} must be at most {most:,}, got {value:,}")
        if self.split not in ("track", "random"):
            raise ConfigError(f"split must be 'track' or 'random', got {self.split!r}")
        if self.model not in MODELS:
            raise ConfigError(f"model must be one of {sorted(MODELS)}, got {self.model!r}")

    def steps(self, examples: int) -> int:
        """Return how many steps the epochs take over so many training examples."""
        return math.ceil(self.epochs * examples / self.batch_size)
