"""Where along an axis each output of a resize looks, and with which weights (pure NumPy)."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_crop_and_resize",
)  # fmt: skip
MODES = {  # also by the names that they have for images and volumes
    "nearest": "nearest", "linear": "linear", "cubic": "cubic",
    "bilinear": "linear", "trilinear": "linear", "bicubic": "cubic",
}  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


class Taps(NamedTuple):
    """A linear map along one axis: output i is the sum of ``weight[i, t] * x[pixel[i, t]]``."""

    pixel: np.ndarray  # int64, (O, T)
    weight: np.ndarray  # float64, (O, T)
    length: int  # of the axis that is read
    outside: np.ndarray  # bool, (O,): which outputs lie beyond the axis, and have no weights

    @property
    def changes_nothing(self) -> bool:
        """Whether every output is the input in its place."""
        straight = np.arange(self.length)[:, None]
        return np.array_equal(self.pixel, straight) and bool((self.weight == 1).all())


def positions(
    coordinates: str, length: int, out: int, scale: float, width: float, box: tuple[float, float]
) -> np.ndarray:
    """Return the place on an axis of `length` pixels that each of `out` outputs looks at.

    Pixel i lies at i.  `width` is the length of the output before it was rounded down to `out`,
    and `box` the part of the axis, in shares of it, that is looked at.

    References
    ----------
    ONNX operator Resize, version 19, attribute coordinate_transformation_mode.
    """
    i = np.arange(out, dtype=np.float64)
    last = length - 1
    if coordinates == "align_corners":
        return i * last / (width - 1) if out > 1 else 0 * i
    if coordinates == "asymmetric":
        return i / scale
    if coordinates == "tf_crop_and_resize":
        start, end = box
        if out == 1:
            return i + 0.5 * (start + end) * last
        return start * last + i * (end - start) * last / (width - 1)
    if coordinates == "pytorch_half_pixel" and out == 1:
        return 0 * i
    if coordinates == "half_pixel_symmetric":  # the middle of the output is that of the input
        return length / 2 * (1 - out / width) + (i + 0.5) / scale - 0.5
    return (i + 0.5) / scale - 0.5


def nearest_taps(at: np.ndarray, rounding: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the one pixel nearest to each place."""
    # Places are sums of fractions: 2 may come out as 1.9999999999999998, and floor as 1.
    at = np.round(at, 9)
    below = np.floor(at)
    past = at - below  # 0 <= past < 1
    up = {
        "round_prefer_floor": past > 0.5,
        "round_prefer_ceil": past >= 0.5,
        "floor": np.zeros(len(at), bool),
        "ceil": past > 0,
    }[rounding]
    index = below.astype(np.int64) + up
    return index[:, None], np.ones((len(at), 1))


def weighted_taps(
    at: np.ndarray, mode: str, cubic_a: float, shrink: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels around each place and what they weigh.

    With `shrink` below 1, the filter is as much wider, so that no pixel is skipped: an
    antialiasing filter, whose weights are scaled to the sum 1.
    """
    reach = (1 if mode == "linear" else 2) / shrink
    half = math.ceil(reach)
    index = np.floor(at).astype(np.int64)[:, None] + np.arange(1 - half, half + 1)
    distance = np.abs(index - at[:, None]) * shrink
    weight = np.maximum(1 - distance, 0) if mode == "linear" else _cubic(distance, cubic_a)
    if shrink < 1:
        weight = weight / weight.sum(axis=1, keepdims=True)
    return index, weight


def _cubic(d: np.ndarray, a: float) -> np.ndarray:
    """Return the cubic convolution kernel at a distance (Keys, 1981, equation 4)."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = a * (((d - 5) * d + 8) * d - 4)
    return np.where(d <= 1, near, np.where(d < 2, far, 0.0))


def on_axis(index: np.ndarray, weight: np.ndarray, length: int, exclude_outside: bool) -> Taps:
    """Bring taps beyond the ends to the nearest pixel there is, or take their weight away."""
    if exclude_outside:
        weight = np.where((index < 0) | (index >= length), 0.0, weight)
        total = weight.sum(axis=1, keepdims=True)
        weight = weight / np.where(total == 0, 1.0, total)
    used = (weight != 0).any(axis=0)
    used[0] |= not used.any()
    index, weight = index[:, used], weight[:, used]
    return Taps(index.clip(0, length - 1), weight, length, np.zeros(len(index), bool))
