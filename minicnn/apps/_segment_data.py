"""The images that a segmentation net is trained and judged on, fitted to one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from minicnn.apps._images import Parts, make_parts
from minicnn.apps._segment_settings import VOID, Settings
from minicnn.data.masks import MaskSet, fit_masks, load_masks, load_street_scenes
from minicnn.errors import ConfigError, DataError

__all__ = ["load_parts", "load_test", "unnamed"]

TEST_SCENES = 200


def load_parts(settings: Settings) -> Parts[MaskSet]:
    """Read or draw the images to learn from and those to be judged on while nothing else is known.

    Parameters
    ----------
    settings : Settings
        Where they are, and the size.

    Returns
    -------
    Parts
        All images fitted to the size. What the data call their training and validation part, or
        a fifth held out at random.

    Raises
    ------
    DataError
        If something is missing or broken.
    ConfigError
        If there are no images in one of the parts, too many classes, or nothing to tell apart.
    """

    def draw(count: int) -> MaskSet:
        return load_street_scenes(count, settings.size, seed=settings.seed)

    parts = make_parts(
        settings, draw, lambda: _read(settings), lambda images: _fitted(images, settings)
    )
    _check_learnable(parts.train)
    return parts


def load_test(settings: Settings, part: str | None = None, own: bool = True) -> tuple[MaskSet, str]:
    """Read or draw the images of a part to be judged on.

    Parameters
    ----------
    settings : Settings
        Where they are, the size, the classes, which the data must have.
    part : {"train", "validation", "test", "all"}, optional
        Which. By default what was held out, where the net has learned from these data; of others
        the test part, or what comes closest.
    own : bool, default True
        Whether the net has learned from these data.

    Returns
    -------
    images : MaskSet
        Fitted to the size.
    part : str
        What they are.

    Raises
    ------
    DataError
        If something is missing or broken, or the classes are others.
    """
    if settings.data is None and part == "test":
        drawn = load_street_scenes(TEST_SCENES, settings.size, part, settings.seed)
        return _fitted(drawn, settings), part
    if settings.data is None or (own and part in ("train", "validation", None)):
        if part == "all":
            raise ConfigError("--part all: of drawn streets there is no end; say test, or another")
        parts = load_parts(settings)
        images = parts.train if part == "train" else parts.held_out
        part = part or "validation"
    else:
        given = _read(settings) if own else _read_others(settings)
        order = ("test", "val", "all", "trainval", "train")
        part = "val" if part == "validation" else part
        part = part or next(name for name in order if name in given)
        if part not in given:
            raise DataError(f"{settings.data} has no {part} part; it has {', '.join(given)}")
        images, part = _fitted(given[part], settings), "validation" if part == "val" else part
    if settings.names and images.names != settings.names:
        raise DataError(
            f"{images.source}: has the classes {', '.join(images.names[:12])}, but the run has "
            f"learned {', '.join(settings.names[:12])}; give data of the same"
        )
    return images, part


def _check_learnable(images: MaskSet) -> None:
    """Refuse masks that any net has right at once: whatever counts is of one class."""
    if not len(images):
        return  # too few images are another fault, told by who trains
    shown = np.flatnonzero(images.counts())
    if len(shown) < 2:
        what = f"only the class {images.names[shown[0]]!r}" if len(shown) else "no class at all"
        raise ConfigError(
            f"{images.source}: the masks to learn from show {what} and the label "
            f"{images.ignore_label}, which counts for nothing, so there is nothing to learn; "
            f"number the classes 0, 1, 2 ... in the masks: 0 and 1, say, not 0 and {VOID}"
        )


def _read(settings: Settings) -> dict[str, MaskSet]:
    """Return the parts of real data."""
    assert settings.data is not None
    return load_masks(
        settings.data, settings.format, settings.names or None, skip_bad=settings.skip_bad
    )


def _read_others(settings: Settings) -> dict[str, MaskSet]:
    """Return the parts of data that the run has not learned from, whose classes may be others."""
    found = _read(replace(settings, names=()))
    names = next(iter(found.values())).names
    return _read(settings) if unnamed(names) and len(names) <= len(settings.names) else found


def unnamed(names: Sequence[str]) -> bool:
    """Tell whether classes have only their numbers for names."""
    return tuple(names) == tuple(map(str, range(len(names))))


def _fitted(images: MaskSet, settings: Settings) -> MaskSet:
    """Return the images brought to the size, with a label for what is to be ignored."""
    if settings.data is not None:
        images = fit_masks(images, settings.size, skip_bad=settings.skip_bad)
    if images.ignore_label is None:
        images = replace(images, ignore_label=VOID)
    if images.masks.itemsize > 1:
        raise ConfigError(
            f"{images.source}: has {len(images.names):,} classes; up to {VOID} can be learned"
        )
    return images
