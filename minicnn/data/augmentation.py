"""Random views of photographs, and the form in which a network gets them.

A sign turned by ten degrees, nearer, in shade, is the same sign; mirrored it may
be another one (keep left, keep right), so nothing here mirrors. This is for batches of small
pictures of one thing each; pictures with boxes or masks, and other changes: `minicnn.data.augment`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minicnn.backend import kernels_for
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError

__all__ = ["RandomView", "standardize"]

_SOFTENING = 0.02  # a share of white: keeps the noise of a black image from being blown up


@dataclass(frozen=True)
class RandomView:
    """Look at each image of a batch anew: turned, scaled, sheared, shifted and relit at random.

    Each measure is the half-width of the range it is drawn evenly from.

    Parameters
    ----------
    rotation : float, default 0.2
        In radians.
    scale : float, default 0.12
        As a share of the size; drawn for both axes together.
    stretch : float, default 0.08
        As a share of the width alone.
    shear : float, default 0.1
        Columns shifted by rows.
    shift : float, default 0.06
        As a share of the height and width.
    gain : float, default 0.4
        Contrast: pixels are multiplied by ``1 - gain ... 1 + gain``.
    offset : float, default 0.15
        Brightness, as a share of white.

    Raises
    ------
    ConfigError
        If a measure is negative, or a scale reaches 0.

    Examples
    --------
    >>> images = np.zeros((8, 32, 32, 3), np.uint8)
    >>> RandomView()(images, Stream(0, "example")).shape
    (8, 32, 32, 3)
    """

    rotation: float = 0.2
    scale: float = 0.12
    stretch: float = 0.08
    shear: float = 0.1
    shift: float = 0.06
    gain: float = 0.4
    offset: float = 0.15

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value < np.inf:
                raise ConfigError(f"RandomView: {name} must be 0 or more, got {value}")
        if max(self.scale, self.stretch, self.gain) >= 1:
            raise ConfigError(
                f"RandomView: scale {self.scale}, stretch {self.stretch} and gain {self.gain} must "
                "be below 1, or an image may vanish"
            )

    def __call__(self, images: np.ndarray, stream: Stream) -> np.ndarray:
        """Return a random view of each image.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3)
            Photographs.
        stream : Stream
            Where the random numbers come from; it advances.

        Returns
        -------
        ndarray of float32, shape (N, H, W, 3)
            As shares of white, beyond 0 ... 1 where the light is extreme.

        Raises
        ------
        ShapeError
            If the images are not uint8 (N, H, W, 3).
        """
        _check("RandomView", images)
        n, height, width, _ = images.shape
        draws = stream.uniform((8, n), -1.0, 1.0)
        turn = self.rotation * draws[0]
        both = 1.0 + self.scale * draws[1]
        across = both * (1.0 + self.stretch * draws[2])
        matrices = np.empty((n, 2, 3), np.float32)
        matrices[:, 0, 0] = both * np.cos(turn)
        matrices[:, 0, 1] = across * np.sin(turn)
        matrices[:, 1, 0] = -both * np.sin(turn) + self.shear * draws[3]
        matrices[:, 1, 1] = across * np.cos(turn)
        matrices[:, 0, 2] = self.shift * height * draws[4]
        matrices[:, 1, 2] = self.shift * width * draws[5]
        gains = (1.0 + self.gain * draws[6]).astype(np.float32)
        offsets = (self.offset * draws[7]).astype(np.float32)
        return kernels_for(images).warp_affine(images, matrices, gains, offsets)


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


def _check(who: str, images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(
            f"{who}: needs uint8 images (N, H, W, 3), got {images.dtype} {images.shape}"
        )
