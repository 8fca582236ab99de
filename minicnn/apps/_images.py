"""What detection and segmentation do alike with images: parts, and batches to learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augment import Compose, Picture
from minicnn.data.masks import MaskSet
from minicnn.data.objects import ObjectSet
from minicnn.data.splits import train_and_val
from minicnn.errors import ConfigError

__all__ = ["Parts", "changed", "check_enough", "make_parts", "part_to_learn", "training_batches"]

HELD_OUT = 5  # one of so many images, where the data do not say which

Images = TypeVar("Images", ObjectSet, MaskSet)


class Parts(NamedTuple, Generic[Images]):
    """What to learn from, what was held out, and how that came about."""

    train: Images
    held_out: Images
    how: str

    @property
    def faults(self) -> tuple[tuple[str, str], ...]:
        """Place and fault of all that was left out, in either part."""
        return tuple(dict.fromkeys([*self.train.faults, *self.held_out.faults]))


def make_parts(
    settings: Any,
    draw: Callable[[int], Images],
    read: Callable[[], Mapping[str, Images]],
    fit: Callable[[Images], Images],
) -> Parts[Images]:
    """Draw so many images, or read the parts of real data; fit them; hold some of them out."""
    if settings.data is None:
        count, more = settings.scenes, -(-settings.scenes // HELD_OUT)
        drawn = fit(draw(count + more))
        rows = range(count), range(count, count + more)
        return Parts(drawn.select(rows[0]), drawn.select(rows[1]), "other streets")
    parts = read()
    train, held_out = _split(parts, settings)
    how = "as the data have it" if "train" in parts and "val" in parts else "at random"
    return Parts(fit(train), fit(held_out), how)


def _split(parts: Mapping[str, Images], settings: Any) -> tuple[Images, Images]:
    return train_and_val(parts, 1 / HELD_OUT, settings.seed)


def part_to_learn(settings: Any, images: Images) -> Images:
    """Return the images that a run learns from where these are all there are."""
    return _split({"all": images}, settings)[0]


def check_enough(parts: Parts[Images]) -> None:
    """Refuse parts of which one has no images."""
    if not len(parts.train) or not len(parts.held_out):
        raise ConfigError(
            f"{len(parts.train)} images to learn from and {len(parts.held_out)} held out are too "
            "few; give more --data"
        )


def training_batches(
    settings: Any, count: int, prepare: Callable[[np.ndarray, Stream], Any], workers: int
) -> Dataset:
    """Describe the endless stream of batches; `prepare` makes one of the rows of some images."""
    return (
        Dataset.from_slices(np.arange(count))
        .shuffle(seed=settings.seed)
        .repeat()
        .batch(settings.batch_size)
        .map(prepare, workers=workers, random=True, seed=settings.seed)
        .prefetch(2)
    )


def changed(pictures: Sequence[Picture], change: Compose | None, stream: Stream) -> list[Picture]:
    """Return pictures changed at random, each in its own way."""
    if change is None:
        return list(pictures)
    return [change(picture, stream.child(place)) for place, picture in enumerate(pictures)]
