"""What stands behind a sign: sky, leaves, walls and streets, made of smooth noise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicnn.backend.random import Stream

__all__ = ["BACKDROP_EDGE", "backdrop", "smooth_noise"]

BACKDROP_EDGE = 128
"""Pixels along the edge of a backdrop; signs are small pictures, and it is out of focus."""


def smooth_noise(stream: Stream, edge: int, cells: tuple[int, ...]) -> np.ndarray:
    """Add up noise of several grain sizes.

    Parameters
    ----------
    stream : Stream
        Where the numbers come from.
    edge : int
        Width and height of the result, in pixels.
    cells : tuple of int
        For each layer, into how many cells an edge is parted; every layer has half the
        weight of the one before.

    Returns
    -------
    ndarray of float32, shape (edge, edge)
        Between 0 and 1, around 1/2.
    """
    from PIL import Image

    total = np.zeros((edge, edge), np.float32)
    weight, weights = 1.0, 0.0
    for count in cells:
        grain = Image.fromarray(stream.uniform((count, count), dtype=np.float32))
        total += weight * np.asarray(grain.resize((edge, edge), Image.Resampling.BICUBIC))
        weights += weight
        weight /= 2
    return np.clip(total / np.float32(weights), 0, 1)


def backdrop(stream: Stream) -> np.ndarray:
    """Paint the surroundings of one sign.

    Parameters
    ----------
    stream : Stream
        Where the numbers come from.

    Returns
    -------
    ndarray of float32, shape (128, 128, 3)
        RGB from 0 to 1, under ordinary light.
    """
    kind = stream.uniform()
    painters: tuple[tuple[float, Callable[[Stream], np.ndarray]], ...] = (
        (0.34, _leaves),
        (0.52, _sky),
        (0.68, _branches),
        (0.84, _wall),
        (1.00, _street),
    )
    paint = next(p for limit, p in painters if kind < limit)
    return paint(stream)


def _mix(share: np.ndarray, low: tuple[float, ...], high: tuple[float, ...]) -> np.ndarray:
    """Blend from colour `low` to colour `high`; share (H, W) -> (H, W, 3)."""
    first, last = np.array(low, np.float32), np.array(high, np.float32)
    return first + share[:, :, None] * (last - first)


def _leaves(stream: Stream) -> np.ndarray:
    """Grow trees and bushes, green or autumn, with bright gaps."""
    dark, light = [
        ((0.05, 0.08, 0.05), (0.36, 0.42, 0.18)),
        ((0.04, 0.05, 0.05), (0.22, 0.24, 0.18)),
        ((0.12, 0.07, 0.03), (0.72, 0.46, 0.20)),
    ][stream.integers(0, 3)]
    noise = smooth_noise(stream, BACKDROP_EDGE, (7, 24, 72))
    share = np.clip((noise - 0.32) * 2.6, 0, 1)
    return _mix(share, dark, light)


def _sky(stream: Stream) -> np.ndarray:
    """Paint the sky, clear or cloudy, brighter towards the horizon."""
    height = np.linspace(0, 1, BACKDROP_EDGE, dtype=np.float32)[:, None]
    clouds = smooth_noise(stream, BACKDROP_EDGE, (3, 7, 12))
    share = np.clip(0.45 * height + float(stream.uniform(low=0.3, high=1.3)) * clouds, 0, 1)
    return _mix(share, (0.46, 0.64, 0.90), (0.97, 0.98, 1.0))


def _branches(stream: Stream) -> np.ndarray:
    """Draw twigs and treetops against the sky."""
    sky = _sky(stream)
    edge = np.linspace(-0.5, 0.5, BACKDROP_EDGE, dtype=np.float32)[:, None]
    noise = smooth_noise(stream, BACKDROP_EDGE, (5, 18, 64)) + edge * float(
        stream.uniform(low=-0.5)
    )
    share = np.clip((noise - 0.48) * 9, 0, 1)[:, :, None]
    tree = np.array((0.14, 0.13, 0.10), np.float32) * float(stream.uniform(low=0.4, high=1.6))
    return sky * (1 - share) + tree * share


def _wall(stream: Stream) -> np.ndarray:
    """Build a house front with rows of windows, or of bricks."""
    colour = [(0.72, 0.66, 0.56), (0.62, 0.34, 0.24), (0.80, 0.78, 0.74), (0.5, 0.5, 0.52)][
        stream.integers(0, 4)
    ]
    shade = 0.8 + 0.4 * smooth_noise(stream, BACKDROP_EDGE, (4, 48))
    wall = shade[:, :, None] * np.array(colour, np.float32)
    pitch_x, pitch_y = stream.integers(12, 50), stream.integers(6, 50)
    offset_x, offset_y = stream.integers(0, pitch_x), stream.integers(0, pitch_y)
    glass = float(stream.uniform(low=0.1, high=0.9))
    filled = float(stream.uniform(low=0.3, high=0.6))
    index = np.arange(BACKDROP_EDGE)
    columns = (index + offset_x) % pitch_x < filled * pitch_x
    rows = (index + offset_y) % pitch_y < filled * pitch_y
    wall[np.ix_(rows, columns)] *= glass
    return wall


def _street(stream: Stream) -> np.ndarray:
    """Put something above and something below a horizon: sky, trees or houses over a road."""
    above = (_sky, _leaves, _wall)[stream.integers(0, 3)](stream)
    noise = smooth_noise(stream, BACKDROP_EDGE, (5, 40))
    road = _mix(noise, (0.22, 0.22, 0.23), (0.5, 0.5, 0.48))
    horizon = int(float(stream.uniform(low=0.4, high=0.9)) * BACKDROP_EDGE)
    above[horizon:] = road[horizon:]
    return above
