"""Random views of photographs: light and an affine motion, of one picture or of a batch at once.

A sign turned by ten degrees, nearer, in shade, is the same sign; mirrored it may be another one
(keep left, keep right), so nothing here mirrors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, overload

import numpy as np

from minicnn.backend import kernels_for
from minicnn.backend.random import Stream
from minicnn.data.augment.geometry import turned
from minicnn.data.augment.light import mixed
from minicnn.data.augment.motion import about_middle
from minicnn.data.augment.picture import Picture
from minicnn.data.augment.view import Transform, View, check_width
from minicnn.errors import ConfigError, ShapeError

__all__ = ["RandomView"]


class _Looks(NamedTuple):
    """How N pictures are looked at.

    Counted from the middle, a place p shows what was at ``linear @ p + aim``, its light times gain
    plus offset.
    """

    linear: np.ndarray  # (N, 2, 2)
    aim: np.ndarray  # (N, 2), in pixels
    gain: np.ndarray  # (N,)
    offset: np.ndarray  # (N,), as a share of white


@dataclass(frozen=True)
class RandomView(Transform):
    """Look at each picture anew: turned, scaled, sheared, shifted and relit at random.

    One picture, with all that is known of it, or a batch of small ones of one thing each. A batch
    goes through one kernel, forty times faster at 32 x 32 pixels; it mirrors a picture where it
    ends, keeps light beyond white, and skips pixels of what shrinks much.

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
            check_width("RandomView", name, value)
        if max(self.scale, self.stretch, self.gain) >= 1:
            raise ConfigError(
                f"RandomView: scale {self.scale}, stretch {self.stretch} and gain {self.gain} must "
                "be below 1, or an image may vanish"
            )

    @overload
    def __call__(self, picture: Picture, stream: Stream) -> Picture: ...
    @overload
    def __call__(self, picture: np.ndarray, stream: Stream) -> np.ndarray: ...
    def __call__(self, picture: Picture | np.ndarray, stream: Stream) -> Picture | np.ndarray:
        """Return a random view of a picture, or of each image of a batch.

        Parameters
        ----------
        picture : Picture, or ndarray of uint8, shape (N, H, W, 3)
            One, or a batch of photographs.
        stream : Stream
            Where the random numbers come from; it advances.

        Returns
        -------
        Picture, or ndarray of float32, shape (N, H, W, 3)
            A batch comes as shares of white, beyond 0 ... 1 where the light is extreme.

        Raises
        ------
        ShapeError
            If it is no such picture, or the images are not uint8 (N, H, W, 3).
        """
        if isinstance(picture, Picture):
            return super().__call__(picture, stream)
        _check(picture)
        n, height, width, _ = picture.shape
        linear, aim, gain, offset = self._drawn(n, (height, width), stream)
        matrices = np.empty((n, 2, 3), np.float32)
        matrices[:, :, :2], matrices[:, :, 2] = linear, aim
        light = gain.astype(np.float32), offset.astype(np.float32)
        return kernels_for(picture).warp_affine(picture, matrices, *light)

    def apply(self, view: View, stream: Stream) -> View:
        """Draw how far and how light, move and relight."""
        ((linear, aim, gain, offset),) = zip(*self._drawn(1, view.size, stream), strict=True)
        moved = view.moved(about_middle(view.size, linear, aim=aim))
        colours, added = gain * np.eye(3), 255 * float(offset)
        return moved.repainted(lambda p: p._replace(image=mixed(p.image, colours, added)))

    def _drawn(self, count: int, size: tuple[int, int], stream: Stream) -> _Looks:
        """Draw how to look at each of some pictures of a size."""
        draws = stream.uniform((8, count), -1.0, 1.0)
        down = 1.0 + self.scale * draws[1]
        across = down * (1.0 + self.stretch * draws[2])
        # From the new picture to the old one: stretched first, then turned, and rows pushed apart
        linear = turned(-self.rotation * draws[0])
        linear[..., 0] *= down[:, None]
        linear[..., 1] *= across[:, None]
        linear[:, 1, 0] += self.shear * draws[3]
        aim = self.shift * np.array(size)[:, None] * draws[4:6]
        return _Looks(linear, aim.T, 1.0 + self.gain * draws[6], self.offset * draws[7])


def _check(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ShapeError(
            f"RandomView: needs uint8 images (N, H, W, 3), got {images.dtype} {images.shape}"
        )
