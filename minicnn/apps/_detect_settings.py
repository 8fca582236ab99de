"""What a training run of a detector depends on."""

from __future__ import annotations

from dataclasses import dataclass

from minicnn.apps._detectors import DETECTORS
from minicnn.apps._settings import FLIPS, check_choices, check_limits, check_size
from minicnn.errors import ConfigError

__all__ = ["FORMATS", "LABELS", "SIGNS", "Settings"]

FORMATS = ("scenes", "voc", "coco", "yolo", "gtsdb")
SIGNS = ("scenes", "gtsdb")  # data of traffic signs: 43 classes; mirrored, one may be another
LABELS = ("all", "groups", "one")
LIMITS = {
    "channels": (1, 1024),
    "steps": (1, 100_000_000),
    "batch_size": (1, 65_536),
    "scenes": (1, 1_000_000),
    "least": (0, 1024),
    "seed": (-(2**63), 2**64 - 1),
}
SIDES = 32, 4096  # of images, in pixels


@dataclass(frozen=True)
class Settings:
    """Everything a training run depends on.

    Parameters
    ----------
    data : str, optional
        Folder or archive of real photographs; None for drawn scenes.
    format : {"scenes", "voc", "coco", "yolo", "gtsdb"}
        How boxes are written down there.
    detector : str, default "faster"
        Which rung of `DETECTORS`.
    labels : {"groups", "all", "one"}
        Whether signs are told apart by their four groups, objects by all their classes, or objects
        only from what is none.
    names : tuple of str
        Of the classes that follow from that; found in the data.
    size : (int, int), default (192, 256)
        Height and width that images are fitted into, in pixels.
    channels : int, default 16
        Of the first layer; those of later layers are multiples.
    steps : int
        How many steps to train.
    batch_size : int
        Images a step; for a detector that is trained on crops, images that they are cut from.
    scenes : int, default 1200
        How many scenes are drawn to learn from, where there are no data.
    least : int, default 8
        Objects whose smaller side has fewer pixels, when the image is fitted, are neither to be
        found nor background.
    seed : int, default 0
        Of the first weights, the order, the augmentation and all that is drawn in training.
    augment : bool, default True
        Whether every image is moved, scaled and relit at random in training.
    flips : {"none", "left-right", "all"}, default "none"
        Which mirror images are as good; "all": those that stand upside down, too.
    skip_bad : bool, default False
        Whether broken images and boxes are left out, counted and named, instead of ending the run.

    Raises
    ------
    ConfigError
        If one of them makes no sense.
    """

    data: str | None = None
    format: str = "scenes"
    detector: str = "faster"
    labels: str = "groups"
    names: tuple[str, ...] = ()
    size: tuple[int, int] = (192, 256)
    channels: int = 16
    steps: int = 1
    batch_size: int = 8
    scenes: int = 1200
    least: int = 8
    seed: int = 0
    augment: bool = True
    flips: str = "none"
    skip_bad: bool = False

    def __post_init__(self) -> None:
        check_limits(self, LIMITS)
        check_size(self.size, *SIDES)
        check_choices(self, format=FORMATS, detector=DETECTORS, labels=LABELS, flips=FLIPS)
        self._check_data()

    def _check_data(self) -> None:
        """Refuse what makes no sense with these data."""
        if (self.data is None) != (self.format == "scenes"):
            raise ConfigError(
                f"format {self.format} goes with data {self.data}; drawn scenes have no path, and "
                "what has a path is voc, coco, yolo or gtsdb"
            )
        if self.labels == "groups" and not self.signs:
            raise ConfigError(
                f"labels: only traffic signs have groups, and {self.format} data need not be "
                "signs; say --all-classes or --one-class"
            )

    @property
    def signs(self) -> bool:
        """Whether the data show traffic signs, of the 43 classes."""
        return self.format in SIGNS
