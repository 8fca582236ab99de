"""Smoothing by a Gaussian, and how steep an image is in eight directions: its texture."""

from __future__ import annotations

import math

import numpy as np

__all__ = ["DIRECTIONS", "TEXTURE_BINS", "smoothed", "texture_bins"]

DIRECTIONS, TEXTURE_BINS = 8, 10
_SIGMA = 1.0  # of the Gaussian whose derivatives are taken, in pixels
_STEEPEST = 60.0  # grey levels a pixel; what is steeper goes into the last bin, too


def smoothed(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return an image (H, W, C) blurred by a Gaussian of so many pixels, cut off at 3 of them."""
    if sigma == 0:
        return image
    taps, _ = _gaussian(sigma)
    return _filtered(_filtered(image, taps, 0), taps, 1)


def texture_bins(colours: np.ndarray) -> np.ndarray:
    """Say how steep each colour (H, W, C) is in each direction: uint8 (H, W, 8*C), below 10."""
    taps, slope = _gaussian(_SIGMA)
    down = _filtered(_filtered(colours, slope, 0), taps, 1)
    right = _filtered(_filtered(colours, slope, 1), taps, 0)
    channels = colours.shape[2]
    bins = np.empty((*colours.shape[:2], DIRECTIONS * channels), np.uint8)
    to_bin = TEXTURE_BINS / _STEEPEST
    for k in range(DIRECTIONS // 2):
        # The derivative of a round Gaussian along any direction, from those along the axes.
        angle = 2 * math.pi * k / DIRECTIONS
        along = np.float32(to_bin * math.cos(angle)) * right
        along += np.float32(to_bin * math.sin(angle)) * down
        for opposite in (0, 1):
            at = (k + opposite * DIRECTIONS // 2) * channels
            bins[..., at : at + channels] = np.clip(along, 0, TEXTURE_BINS - 1)
            np.negative(along, out=along)
    return bins


def _gaussian(sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Return a Gaussian that adds up to 1, and its slope."""
    reach = max(1, math.ceil(3 * sigma))
    at = np.arange(-reach, reach + 1)
    taps = np.exp(-0.5 * (at / sigma) ** 2)
    taps /= taps.sum()
    return taps.astype(np.float32), (at / sigma**2 * taps).astype(np.float32)


def _filtered(image: np.ndarray, taps: np.ndarray, axis: int) -> np.ndarray:
    """Correlate along an axis of (H, W, C); beyond the border the last pixel goes on."""
    reach, length = len(taps) // 2, image.shape[axis]
    beyond = [(0, 0)] * 3
    beyond[axis] = (reach, reach)
    padded = np.moveaxis(np.pad(image, beyond, mode="edge"), axis, 0)
    total = padded[:length] * taps[0]
    for k in range(1, len(taps)):
        if taps[k] != 0:
            total += padded[k : k + length] * taps[k]
    return np.moveaxis(total, 0, axis)
