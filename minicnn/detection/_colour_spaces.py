"""The colours of an image in other coordinates, each from 0 to 255."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["COLOUR_SPACES"]

# From linear red, green and blue to X, Y and Z, each 1 for white: sRGB's matrix (IEC 61966-2-1),
# its rows divided by the white point D65.
_TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32
)
_TO_XYZ /= _TO_XYZ.sum(axis=1, keepdims=True)


def _rgb(pixels: np.ndarray) -> np.ndarray:
    return pixels


def _hsv(pixels: np.ndarray) -> np.ndarray:
    """Hue, saturation and value; a grey has hue and saturation 0."""
    high, low = pixels.max(axis=2), pixels.min(axis=2)
    spread = high - low
    safe = np.maximum(spread, np.float32(1e-6))
    red, green, blue = (pixels[..., c] for c in range(3))
    hue = np.where(
        high == red,
        (green - blue) / safe % 6,
        np.where(high == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = spread / np.maximum(high, np.float32(1e-6))
    return np.stack([hue * np.float32(255 / 6), saturation * np.float32(255), high], axis=2)


def _lab(pixels: np.ndarray) -> np.ndarray:
    """CIE 1976 L*a*b*: distances are about as large as they look; a and b around 128."""
    shares = pixels * np.float32(1 / 255)
    linear = np.where(
        shares <= 0.04045, shares / np.float32(12.92), ((shares + 0.055) / 1.055) ** np.float32(2.4)
    )
    red, green, blue = (linear[..., c].astype(np.float32) for c in range(3))
    # Not by the BLAS: how that rounds depends on the processor.
    xyz = np.stack([r * red + g * green + b * blue for r, g, b in _TO_XYZ], axis=2)
    low = xyz * np.float32(841 / 108) + np.float32(4 / 29)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), low)
    lightness = (116 * f[..., 1] - 16) * np.float32(255 / 100)
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    return np.stack([lightness, a + 128, b + 128], axis=2).astype(np.float32)


def _rgi(pixels: np.ndarray) -> np.ndarray:
    """Red's and green's share of the three, which shadows do not change, and the mean."""
    total = pixels.sum(axis=2, keepdims=True)
    shares = pixels[..., :2] / np.maximum(total, np.float32(1e-6)) * np.float32(255)
    return np.concatenate([shares, total * np.float32(1 / 3)], axis=2)


def _intensity(pixels: np.ndarray) -> np.ndarray:
    return pixels.mean(axis=2, keepdims=True)


COLOUR_SPACES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rgb": _rgb,
    "hsv": _hsv,
    "lab": _lab,
    "rgi": _rgi,
    "intensity": _intensity,
}
