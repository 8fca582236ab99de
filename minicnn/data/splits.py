"""Which images to use: parts held out, by physical sign or at random, and a few of each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from minicnn.backend.random import Stream
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError

__all__ = ["few_of_each", "split_by_track", "split_images", "split_random", "train_and_val"]


class _Rows(Protocol):
    """A set of images of which some can be chosen."""

    def __len__(self) -> int: ...

    def select(self, rows: npt.ArrayLike) -> Self: ...


Images = TypeVar("Images", bound=_Rows)


def split_by_track(
    table: SignTable, fraction: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out whole tracks, so that no physical sign is seen in both parts.

    The frames of a track are nearly the same picture. A split that tears tracks apart
    tests on pictures it has trained on and reports an accuracy nobody will see on
    the road; this one does not.

    Parameters
    ----------
    table : SignTable
        The images.
    fraction : float, default 0.2
        The share of each class's tracks that is held out. A class of two tracks or more
        has at least one in each part; the only track of a class stays in training.
    seed : int, default 0
        Which tracks: the same seed gives the same split.

    Returns
    -------
    train, held_out : ndarray of int64
        Row numbers in ascending order; every row is in exactly one of them.

    Raises
    ------
    ConfigError
        If `fraction` is not between 0 and 1, or no class has two tracks.
    """
    _check_fraction("split_by_track", fraction)
    held_out = np.zeros(len(table), bool)
    for label in np.unique(table.labels):
        rows = np.flatnonzero(table.labels == label)
        tracks = np.unique(table.tracks[rows])
        if len(tracks) < 2:
            continue
        count = min(max(round(fraction * len(tracks)), 1), len(tracks) - 1)
        order = Stream(seed, "split", "track", int(label)).permutation(len(tracks))
        held_out[rows] = np.isin(table.tracks[rows], tracks[order[:count]])
    if not held_out.any():
        raise ConfigError(
            f"split_by_track: no class of {table.source} has two tracks to part "
            f"({len(table)} images); split at random or give more data"
        )
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def split_random(
    table: SignTable, fraction: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out images at random, whatever sign they show (the course's split).

    Parameters
    ----------
    table : SignTable
        The images.
    fraction : float, default 0.2
        The share of the images that is held out; at least one, and not all.
    seed : int, default 0
        Which images: the same seed gives the same split.

    Returns
    -------
    train, held_out : ndarray of int64
        Row numbers in ascending order; every row is in exactly one of them.

    Raises
    ------
    ConfigError
        If `fraction` is not between 0 and 1, or there are fewer than two images.
    """
    _check_fraction("split_random", fraction)
    if len(table) < 2:
        raise ConfigError(f"split_random: {len(table)} images cannot be split; give two or more")
    count = min(max(round(fraction * len(table)), 1), len(table) - 1)
    order = Stream(seed, "split", "random").permutation(len(table))
    return np.sort(order[count:]), np.sort(order[:count])


def train_and_val(
    parts: Mapping[str, Images], fraction: float = 0.2, seed: int = 0
) -> tuple[Images, Images]:
    """Choose what to train with and what to hold out; the test part is never among them.

    Parameters
    ----------
    parts : dict of str to ObjectSet or MaskSet
        From `load_objects` or `load_masks`.
    fraction : float, default 0.2
        Where there are no parts "train" and "val": the share of images that is held out.
    seed : int, default 0
        Which images those are; see `split_images`.

    Returns
    -------
    train, val : ObjectSet or MaskSet
        The parts of these names; or "train", "trainval" or "all", split.

    Raises
    ------
    ConfigError
        If there is only a test part, or too few images to split.
    """
    if "train" in parts and "val" in parts:
        return parts["train"], parts["val"]
    for name in ("train", "trainval", "all"):
        if name in parts:
            rows = split_images(parts[name], fraction, seed)
            return parts[name].select(rows[0]), parts[name].select(rows[1])
    raise ConfigError(
        f"train_and_val: there are only the parts {', '.join(parts)}; give a set with images to "
        "train with"
    )


def split_images(
    images: _Rows, fraction: float = 0.2, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out images at random.

    Parameters
    ----------
    images : ObjectSet or MaskSet
        The images.
    fraction : float, default 0.2
        The share of the images that is held out; at least one, and not all.
    seed : int, default 0
        Which images: the same seed gives the same split.

    Returns
    -------
    train, held_out : ndarray of int64
        Row numbers in ascending order; every row is in exactly one of them.

    Raises
    ------
    ConfigError
        If `fraction` is not between 0 and 1, or there are fewer than two images.
    """
    _check_fraction("split_images", fraction)
    if len(images) < 2:
        raise ConfigError(f"split_images: {len(images)} images cannot be split; give 2 or more")
    count = min(max(round(fraction * len(images)), 1), len(images) - 1)
    order = Stream(seed, "split", "images").permutation(len(images))
    return np.sort(order[count:]), np.sort(order[:count])


def few_of_each(table: SignTable, count: int, seed: int = 0) -> np.ndarray:
    """Draw a number of images of each class at random.

    Parameters
    ----------
    table : SignTable
        The images.
    count : int
        How many of each class; of a class that has fewer, all.
    seed : int, default 0
        Which: the same seed gives the same images, and of a larger count those and more.

    Returns
    -------
    ndarray of int64
        Row numbers in ascending order.

    Raises
    ------
    ConfigError
        If `count` is not above 0.
    """
    if count < 1:
        raise ConfigError(f"few_of_each: {count} images of each class are none; give 1 or more")
    chosen = [np.empty(0, np.int64)]
    for label in np.unique(table.labels):
        rows = np.flatnonzero(table.labels == label)
        order = Stream(seed, "few", int(label)).permutation(len(rows))
        chosen.append(rows[order[:count]])
    return np.sort(np.concatenate(chosen))


def _check_fraction(name: str, fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ConfigError(f"{name}: fraction {fraction} is not between 0 and 1, say 0.2")
