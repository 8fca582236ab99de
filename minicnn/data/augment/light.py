"""What changes the light of a picture and not where things are: colour, grain, blur, a patch."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment.picture import Picture, Rules
from minicnn.data.augment.view import Transform, View, areas, check_width, kept, mean_colour
from minicnn.errors import ConfigError

__all__ = ["Blur", "Colour", "CutOut", "Noise"]

_LUMA = np.array([0.299, 0.587, 0.114])  # how bright red, green and blue look (ITU-R BT.601)
_TO_YIQ = np.array([_LUMA, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


@dataclass(frozen=True)
class Colour(Transform):
    """Change brightness, contrast, saturation and hue: all of them in one multiplication a pixel.

    Each is linear in the colours, so that they make one matrix (3, 4). The hue turns about the
    grey axis of the YIQ space, which keeps how bright things look; HSV, which many use, does not
    and is not linear.

    Each measure is the half-width of the range it is drawn evenly from.

    Parameters
    ----------
    brightness : float, default 0.15
        Added, as a share of white.
    contrast : float, default 0.4
        By how much the distance from the mean grey is multiplied, around 1; below 1.
    saturation : float, default 0.4
        By how much the distance from grey of each pixel is multiplied, around 1; at most 1.
    hue : float, default 0.1
        The angle that colours turn by, in radians; 2.1 turns red into green or blue.

    Raises
    ------
    ConfigError
        If a measure is negative, or too large.
    """

    brightness: float = 0.15
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            check_width("Colour", name, value)
        if self.contrast >= 1 or self.saturation > 1:
            raise ConfigError(
                f"Colour: contrast {self.contrast} must be below 1 and saturation "
                f"{self.saturation} at most 1, or pictures turn grey or into their negatives"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw how much, and multiply."""
        draws = stream.uniform(4, -1.0, 1.0)
        gain, vivid = 1 + self.contrast * draws[1], 1 + self.saturation * draws[2]
        sine, cosine = math.sin(self.hue * draws[3]), math.cos(self.hue * draws[3])
        turned = np.array([[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]])
        turned[1:] *= vivid
        colours = gain * (_FROM_YIQ @ turned @ _TO_YIQ)

        def change(picture: Picture) -> Picture:
            grey = float(_LUMA @ mean_colour(picture.image))
            added = 255 * self.brightness * draws[0] + (1 - gain) * grey
            return picture._replace(image=mixed(picture.image, colours, added))

        return view.repainted(change)


@dataclass(frozen=True)
class Noise(Transform):
    """Add grain: to each colour of each pixel a number from a normal distribution.

    Parameters
    ----------
    strength : float, default 8.0
        The greatest standard deviation, in steps of 255; the one of a picture is drawn evenly.

    Raises
    ------
    ConfigError
        If it is not from 0 to 255.
    """

    strength: float = 8.0

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 255:
            raise ConfigError(f"Noise: strength must be from 0 to 255, got {self.strength}")

    def apply(self, view: View, stream: Stream) -> View:
        """Draw how much, and add it."""
        deviation = stream.uniform(high=self.strength)
        grain = (deviation * _quantiles()).round().astype(np.int16)

        def change(picture: Picture) -> Picture:
            noisy = grain.take(stream.bytes(picture.image.shape))
            noisy += picture.image
            return picture._replace(image=np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))

        return view.repainted(change)


@dataclass(frozen=True)
class Blur(Transform):
    """Blur, as a lens out of focus does.

    Parameters
    ----------
    strength : float, default 1.5
        The greatest standard deviation of the Gaussian, in pixels; the one of a picture is drawn
        evenly.

    Raises
    ------
    ConfigError
        If it is negative or not finite.
    """

    strength: float = 1.5

    def __post_init__(self) -> None:
        check_width("Blur", "strength", self.strength)

    def apply(self, view: View, stream: Stream) -> View:
        """Draw how much, and blur."""
        deviation = float(stream.uniform(high=self.strength))

        def change(picture: Picture) -> Picture:
            from PIL import Image, ImageFilter

            blurred = Image.fromarray(picture.image).filter(ImageFilter.GaussianBlur(deviation))
            return picture._replace(image=np.asarray(blurred))

        return view.repainted(change)


@dataclass(frozen=True)
class CutOut(Transform):
    """Hide rectangles, so that no one part of a thing is all that is looked at.

    Objects of which less stays visible than the rules want are cut off as those at the border.

    Parameters
    ----------
    count : int, default 1
        How many.
    size : (float, float), default (0.1, 0.3)
        The range of their height and width, as shares of the picture's.

    Raises
    ------
    ConfigError
        If there are none, or the size is no range.

    References
    ----------
    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout",
    2017.
    """

    count: int = 1
    size: tuple[float, float] = (0.1, 0.3)

    def __post_init__(self) -> None:
        if self.count < 1 or not 0 < self.size[0] <= self.size[1] <= 1:
            raise ConfigError(
                f"CutOut: {self.count} of size {self.size}; give 1 or more, and a range above 0 up "
                "to 1"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw where, and hide it."""
        draws = stream.uniform((self.count, 4))
        low, high = self.size
        sides = (low + (high - low) * draws[:, :2]) * view.size
        middle = draws[:, 2:] * view.size
        limits = (*view.size, *view.size)
        hidden = np.concatenate([middle - sides / 2, middle + sides / 2], axis=1)
        hidden = np.clip(hidden.round(), 0, limits).astype(int)
        return view.repainted(lambda picture: _covered(picture, hidden, view.rules))


def _covered(picture: Picture, hidden: np.ndarray, rules: Rules) -> Picture:
    """Return a picture with some boxes (C, 4) hidden."""
    image, boxes, classes, mask, proposals, label = picture
    fill = rules.fill or mean_colour(image)
    image, mask = image.copy(), None if mask is None else mask.copy()
    for y0, x0, y1, x1 in hidden.tolist():
        image[y0:y1, x0:x1] = fill
        if mask is not None:
            mask[y0:y1, x0:x1] = rules.void
    if boxes is not None:
        boxes, classes = _still_seen(boxes, classes, hidden, rules)
    return Picture(image, boxes, classes, mask, proposals, label)


def _still_seen(
    boxes: np.ndarray, classes: np.ndarray | None, hidden: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the boxes of which enough is not hidden; what is hidden twice counts twice."""
    lost = np.zeros(len(boxes))
    for y0, x0, y1, x1 in hidden.tolist():
        lost += areas(np.clip(boxes, (y0, x0, y0, x0), (y1, x1, y1, x1)))
    whole = areas(boxes)
    whole[whole == 0] = 1  # a box without an area; rules decide of it elsewhere
    return kept(boxes, classes, 1 - lost / whole, rules)


def mixed(image: np.ndarray, colours: np.ndarray, added: float) -> np.ndarray:
    """Return an image whose colours are multiplied by a matrix (3, 3), and grey added."""
    from PIL import Image

    numbers = np.column_stack([colours, np.full(3, added)]).ravel().tolist()
    return np.asarray(Image.fromarray(image).convert("RGB", tuple(numbers)))


@functools.cache
def _quantiles() -> np.ndarray:
    """Return 256 values, as likely as one another, of the normal distribution.

    Looked up, they are ten times faster than a logarithm and a cosine for each number, and a
    picture has no finer steps.
    """
    at = (np.arange(256) + 0.5) / 256
    return np.array([NormalDist().inv_cdf(p) for p in at.tolist()])
