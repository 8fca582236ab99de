"""What a training run of a segmentation net depends on."""

from __future__ import annotations

import math
from dataclasses import dataclass

from minicnn.apps._segment_networks import SEGMENTERS
from minicnn.apps._settings import FLIPS, check_choices, check_limits, check_size
from minicnn.data.masks import MASK_LAYOUTS
from minicnn.errors import ConfigError
from minicnn.segmentation import pixel_loss

__all__ = ["FORMATS", "WEIGHTS", "Settings"]

FORMATS = ("scenes", *MASK_LAYOUTS)
WEIGHTS = ("none", "median")
VOID = 255  # the label of what nothing is known of
LIMITS = {
    "channels": (1, 1024),
    "epochs": (1, 1_000_000),
    "batch_size": (1, 65_536),
    "scenes": (1, 1_000_000),
    "seed": (-(2**63), 2**64 - 1),
    "ignore_label": (0, VOID),
}
SIDES = 16, 4096  # of images, in pixels


@dataclass(frozen=True)
class Settings:
    """Everything a training run depends on.

    Parameters
    ----------
    data : str, optional
        Folder or archive of real photographs with masks; None for drawn streets.
    format : {"scenes", "camvid", "folders", "pairs"}
        How masks lie there.
    model : str, default "unet"
        Which of `SEGMENTERS`.
    names : tuple of str
        Of the classes; found in the data.
    ignore_label : int, default 255
        The label of pixels that count for nothing; found in the data, which need not have any: what
        augmentation brings in from outside of an image has it, too.
    size : (int, int), default (96, 128)
        Height and width that images are fitted into, in pixels.
    channels : int
        Of the first layer; those of later layers are multiples.
    epochs : int, default 30
        How often each image is seen.
    batch_size : int, default 8
        Images a step.
    scenes : int, default 400
        How many streets are drawn to learn from, where there are no data.
    loss : str, default "cross_entropy+dice"
        Which loss, or sum of several: "cross_entropy", "focal", "dice", "cross_entropy+dice".
    weights : {"none", "median"}, default "none"
        Whether pixels of rare classes count more, by `median_frequency_weights`.
    seed : int, default 0
        Of the first weights, the order, the augmentation and all that is drawn in training.
    augment : bool, default False
        Whether every image is moved, scaled and relit at random in training, its mask with it. Of
        photographs there are never enough; streets can be drawn until there are, and what is
        scaled is blurred, which thin poles suffer from.
    flips : {"none", "left-right", "all"}, default "left-right"
        Which mirror images are as good, and seen as often; "all": those that stand upside down,
        too.
    skip_bad : bool, default False
        Whether broken images and masks are left out, counted and named, instead of ending the run.

    Raises
    ------
    ConfigError
        If one of them makes no sense.
    """

    data: str | None = None
    format: str = "scenes"
    model: str = "unet"
    names: tuple[str, ...] = ()
    ignore_label: int = VOID
    size: tuple[int, int] = (96, 128)
    channels: int = 16
    epochs: int = 30
    batch_size: int = 8
    scenes: int = 400
    loss: str = "cross_entropy+dice"
    weights: str = "none"
    seed: int = 0
    augment: bool = False
    flips: str = "left-right"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        check_limits(self, LIMITS)
        check_size(self.size, *SIDES)
        check_choices(self, format=FORMATS, model=SEGMENTERS, weights=WEIGHTS, flips=FLIPS)
        if (self.data is None) != (self.format == "scenes"):
            raise ConfigError(
                f"format {self.format} goes with data {self.data}; drawn scenes have no path, and "
                f"what has a path is one of {', '.join(MASK_LAYOUTS)}"
            )
        pixel_loss(self.loss)  # refuses what is no loss

    def steps(self, examples: int) -> int:
        """Return how many steps the epochs take over so many training examples."""
        return math.ceil(self.epochs * examples / self.batch_size)
