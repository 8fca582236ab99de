"""Pictures of any size brought to one size, their boxes with them, and found boxes back again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from minicnn.errors import ConfigError, ShapeError

__all__ = ["fit", "size_within", "unfit"]

_GREY = 128  # the margin: about the mean of photographs, so that its border is no strong edge


def fit(
    image: np.ndarray, boxes: npt.ArrayLike, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Enlarge or shrink a picture until it just fits; fill up with grey on the right and below.

    Its proportions stay, up to the rounding to whole pixels.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    boxes : array_like, shape (T, 4)
        (y0, x0, y1, x1) in pixels of the picture.
    size : (int, int)
        Height and width to fit into, in pixels.

    Returns
    -------
    image : ndarray of uint8, shape (*size, 3)
        The picture in the upper left corner; itself if it has that size.
    boxes : ndarray of float32, shape (T, 4)
        In pixels of the new picture.
    scale : (float, float)
        By how much heights and widths were multiplied; `unfit` takes it.

    Raises
    ------
    ShapeError
        If the picture is not uint8 (H, W, 3), or boxes are not (T, 4).
    ConfigError
        If the size is not positive.

    Examples
    --------
    >>> picture = np.zeros((480, 640, 3), np.uint8)
    >>> small, boxes, scale = fit(picture, [[0, 0, 480, 640]], (256, 256))
    >>> small.shape, boxes.tolist(), scale
    ((256, 256, 3), [[0.0, 0.0, 192.0, 256.0]], (0.4, 0.4))
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ShapeError(f"fit: needs a uint8 picture (H, W, 3), got {image.dtype} {image.shape}")
    boxes = _checked("fit", boxes)
    if min(size) < 1:
        raise ConfigError(f"fit: size {size} is empty; give a height and width of 1 or more")
    before, after = image.shape[:2], size_within(image.shape[:2], size)
    scale = after[0] / before[0], after[1] / before[1]
    if before != after:
        from PIL import Image

        # Pillow's filter widens with the step, so that what is shrunk is averaged, not sampled
        shrunk = Image.fromarray(image).resize(after[::-1], Image.Resampling.BILINEAR)
        image = np.asarray(shrunk)
    if after != tuple(size):
        whole = np.full((*size, 3), _GREY, np.uint8)
        whole[: after[0], : after[1]] = image
        image = whole
    return image, (boxes * np.array(scale * 2)).astype(np.float32), scale


def unfit(boxes: npt.ArrayLike, scale: tuple[float, float], size: tuple[int, int]) -> np.ndarray:
    """Bring boxes found in a fitted picture back to the picture as it was.

    Parameters
    ----------
    boxes : array_like, shape (D, 4)
        (y0, x0, y1, x1) in pixels of the fitted picture.
    scale : (float, float)
        What `fit` returned.
    size : (int, int)
        Height and width of the picture as it was; boxes are cut off at its border.

    Returns
    -------
    ndarray of float32, shape (D, 4)
        In pixels of the picture as it was; those found in the grey margin have no area.

    Raises
    ------
    ShapeError
        If boxes are not (D, 4).
    """
    back = _checked("unfit", boxes) / np.array(scale * 2)
    return np.clip(back, 0, np.array(size * 2)).astype(np.float32)


def _checked(name: str, boxes: npt.ArrayLike) -> np.ndarray:
    array = np.asarray(boxes, np.float64)
    if array.size == 0 and array.shape[:1] in ((), (0,)):
        return array.reshape(0, 4)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ShapeError(f"{name}: boxes have shape {array.shape}; give (T, 4): (y0, x0, y1, x1)")
    return array


def size_within(before: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int]:
    """Return the largest height and width of the same proportions, in whole pixels."""
    factor = min(size[0] / before[0], size[1] / before[1])
    height, width = (max(1, round(side * factor)) for side in before)
    return min(height, size[0]), min(width, size[1])
