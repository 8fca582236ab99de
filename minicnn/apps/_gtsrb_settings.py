"""What a training run of the traffic-sign classifier depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.apps._gtsrb_transfer import parse_patterns, parse_rates, parse_stages
from minicnn.apps._networks import NETWORKS
from minicnn.apps._settings import check_limits
from minicnn.errors import ConfigError

MODELS = NETWORKS
LIMITS = {
    "size": (8, 1024),
    "channels": (1, 1024),
    "epochs": (1, 1_000_000),
    "batch_size": (2, 65_536),
    "seed": (-(2**63), 2**64 - 1),
    "per_class": (1, 1_000_000),
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
    per_class : int, optional
        How many images of each class of the training part are learned from, drawn at random; by
        default all. What is held out stays as it is.
    init_from : str, optional
        The folder of another run, whose newest weights this one begins with; by default with
        random ones.
    new_head : bool, default False
        Whether the last layer begins with random weights all the same.
    freeze : str, optional
        Patterns, with commas between, of what does not learn; see `minicnn.nn.freeze`.
    unfreeze : str, optional
        ``"PATTERN@EPOCH,..."``: which of it learns again after so many epochs.
    rates : str, optional
        ``"PATTERN=FACTOR,..."``: by what the learning rate of some layers is multiplied; see
        `minicnn.optim.rate_groups`.
    init_sha256 : str, optional
        The digest of those weights.
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
    per_class: int | None = None
    init_from: str | None = None
    new_head: bool = False
    freeze: str | None = None
    unfreeze: str | None = None
    rates: str | None = None
    init_sha256: str | None = None

    def __post_init__(self) -> None:
        check_limits(self, LIMITS)
        if self.split not in ("track", "random"):
            raise ConfigError(f"split must be 'track' or 'random', got {self.split!r}")
        if self.model not in MODELS:
            raise ConfigError(f"model must be one of {sorted(MODELS)}, got {self.model!r}")
        self._check_transfer()

    def _check_transfer(self) -> None:
        """Refuse what makes no sense without something else."""
        for name, needs in (("freeze", "init_from"), ("unfreeze", "freeze")):
            if getattr(self, name) is not None and getattr(self, needs) is None:
                flag = "--" + needs.replace("_", "-")
                raise ConfigError(f"{name}: {getattr(self, name)!r} needs {flag} as well")
        if self.new_head and self.init_from is None:
            raise ConfigError("new_head: all of the network is new without init_from")
        for read, text in (
            (parse_patterns, self.freeze), (parse_rates, self.rates), (parse_stages, self.unfreeze),
        ):  # fmt: skip
            if text is not None:
                read(text)
        for epoch in parse_stages(self.unfreeze) if self.unfreeze else ():
            if epoch >= self.epochs:
                raise ConfigError(
                    f"unfreeze: {self.unfreeze!r} comes after the last of {self.epochs} epochs"
                )

    def steps(self, examples: int) -> int:
        """Return how many steps the epochs take over so many training examples."""
        return math.ceil(self.epochs * examples / self.batch_size)

    def stages(self, examples: int) -> dict[int, list[str]]:
        """Return by step what is unfrozen then, with so many training examples."""
        found: dict[int, list[str]] = {}
        for epoch, patterns in parse_stages(self.unfreeze).items() if self.unfreeze else ():
            step = math.ceil(epoch * examples / self.batch_size)
            step = min(step, self.steps(examples) - 1)  # rounded up, 4.99 of 5 is never
            found.setdefault(step, []).extend(patterns)
        return found
