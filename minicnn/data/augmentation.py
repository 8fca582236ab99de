"""The form in which a classifier gets photographs; random views of them: `minicnn.data.augment`."""

from __future__ import annotations

import numpy as np

from minicnn.backend import kernels_for
from minicnn.data.augment.random_view import RandomView
from minicnn.errors import ShapeError

__all__ = ["RandomView", "standardize"]

_SOFTENING = 0.02  # a share of white: keeps the noise of a black image from being blown up


def standardize(images: np.ndarray) -> np.ndarray:
    """Bring each image to mean 0 and a standard deviation near 1, as the network wants it.

    ``(image - mean) / (std + 0.02)``, over all pixels and colours of an image, in shares of
    white: a sign in shade and one in the sun then look much alike.

    Parameters
    ----------
    images : ndarray of uint8 or float32, shape (N, H, W, 3)
        uint8 counts 255 as white, float32 counts 1.

    Returns
    -------
    ndarray of float32, shape (N, 3, H, W)
        A view whose memory is channels-last.

    Raises
    ------
    ShapeError
        If the images are not (N, H, W, 3).
    """
    if images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(f"standardize: needs images (N, H, W, 3), got {images.shape}")
    softening = _SOFTENING * (255.0 if images.dtype == np.uint8 else 1.0)
    prepared = kernels_for(images).standardize(images.astype(np.float32, copy=False), softening)
    return np.moveaxis(prepared, -1, 1)
