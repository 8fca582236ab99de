"""What a net needs to see: an image with one part after the other covered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.nn import Module
from minicnn.visualise._looking import check_net, class_of, image_of, probabilities
from minicnn.visualise._panels import called, pixel_axes, show_image, show_values, times
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Occlusion", "compute_occlusion", "occlusion"]

AT_ONCE = 256  # covered copies of the image in memory


@dataclass(frozen=True, eq=False)
class Occlusion:
    """What covering parts of an image does to the probability of a class.

    Attributes
    ----------
    class_index : int
        Which class.
    classes : int
        How many there are.
    probability : float
        Its probability with nothing covered.
    covered : ndarray of float64, shape (R, S)
        Its probability with a square covered, for R rows of squares and S in each.
    guesses : ndarray of int64, shape (R, S)
        The class that is then the most probable.
    tops, lefts : ndarray of int64, shape (R,) and (S,)
        The first row and the first column of pixels that each square covers.
    size : (int, int)
        Height and width of the squares, in pixels.
    drop : ndarray of float64, shape (H, W)
        For each pixel, by how much the probability falls, on average over all squares that cover
        it; negative where it rises.
    """

    class_index: int
    classes: int
    probability: float
    covered: np.ndarray
    guesses: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray
    size: tuple[int, int]
    drop: np.ndarray


def occlusion(
    net: Module,
    image: Any,
    class_index: int | None = None,
    size: int = 8,
    stride: int = 2,
    fill: float | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show which parts of an image a net needs to see, by covering one after the other.

    Parameters
    ----------
    net : Module
        A classifier; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Whose probability is looked at; by default that of the most probable class.
    size : int, default 8
        Height and width of the square that covers, in pixels.
    stride : int, default 2
        From one place of the square to the next, in pixels.
    fill : float, optional
        What stands in place of covered pixels; by default the mean of each channel of the image.
    class_names : sequence of str, optional
        K names; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The image; by how much the probability falls, from `compute_occlusion`; and the image
        covered where it hurts most.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class, or the square is not of 1 to min(H, W) pixels.

    References
    ----------
    Zeiler and Fergus, "Visualizing and understanding convolutional networks", ECCV 2014, section
    4.2.
    """
    given = image_of("occlusion", image)
    found = _occluded("occlusion", net, given, class_index, size, stride, fill)
    row, column = np.unravel_index(found.covered.argmin(), found.covered.shape)
    name, taken_for = (
        called("occlusion", class_names, found.classes, i)
        for i in (found.class_index, int(found.guesses[row, column]))
    )
    worst = _covered(given[0], (found.tops[row], found.lefts[column]), size, fill)
    figure = new_figure(10.5, 3.6)
    left, middle, right = figure.subplots(1, 3)
    show_image(left, given[0], f"{name}: {found.probability:.1%}")
    show_values(middle, 100 * found.drop, "probability lost (percentage points)", signed=True)
    middle.set_title(f"where a square of {times((size, size))} pixels hurts", fontsize=9)
    pixel_axes(middle)
    taken = "" if taken_for == name else f",\ntaken for {taken_for}"
    show_image(right, worst, f"covered where it hurts most: {found.covered.min():.1%}{taken}")
    figure.suptitle(title)
    return figure


def compute_occlusion(
    net: Module,
    image: Any,
    class_index: int | None = None,
    size: int = 8,
    stride: int = 2,
    fill: float | None = None,
) -> Occlusion:
    """Cover one part of an image after the other, and return what becomes of a probability.

    Parameters
    ----------
    net : Module
        A classifier; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Whose probability is looked at; by default that of the most probable class.
    size : int, default 8
        Height and width of the square that covers, in pixels.
    stride : int, default 2
        From one place of the square to the next, in pixels; the last ones touch the border, so
        that every pixel is covered.
    fill : float, optional
        What stands in place of covered pixels; by default the mean of each channel of the image.

    Returns
    -------
    Occlusion
        The probabilities, and for each pixel how much it counts.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class, or the square is not of 1 to min(H, W) pixels.
    """
    given = image_of("compute_occlusion", image)
    return _occluded("compute_occlusion", net, given, class_index, size, stride, fill)


def _occluded(
    who: str,
    net: Module,
    given: np.ndarray,
    class_index: int | None,
    size: int,
    stride: int,
    fill: float | None,
) -> Occlusion:
    check_net(who, net)
    height, width = given.shape[2:]
    tops, lefts = (_starts(who, length, size, stride) for length in (height, width))
    before = probabilities(who, net, given)[0]
    number = class_of(who, before, class_index)
    places = [(y, x) for y in tops for x in lefts]
    shares = []
    for start in range(0, len(places), AT_ONCE):
        copies = [_covered(given[0], at, size, fill) for at in places[start : start + AT_ONCE]]
        shares.append(probabilities(who, net, np.stack(copies)))
    after = np.concatenate(shares)
    lost, times_covered = np.zeros((height, width)), np.zeros((height, width))
    for (y, x), share in zip(places, after[:, number], strict=True):
        lost[y : y + size, x : x + size] += before[number] - share
        times_covered[y : y + size, x : x + size] += 1
    grid = len(tops), len(lefts)
    return Occlusion(
        number,
        len(before),
        float(before[number]),
        after[:, number].reshape(grid),
        after.argmax(axis=1).reshape(grid),
        tops,
        lefts,
        (size, size),
        lost / times_covered,
    )


def _starts(who: str, length: int, size: Any, stride: Any) -> np.ndarray:
    """Return the first pixels of squares along an axis, the last one at the border."""
    for name, value, most in (("size", size, length), ("stride", stride, size)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not 1 <= value <= most:
            raise ConfigError(
                f"{who}: {name} is {value!r}; give 1 ... {most} pixels, so that the squares fit in "
                "the image and no pixel is left out"
            )
    starts = np.arange(0, length - size + 1, stride)
    return starts if starts[-1] == length - size else np.append(starts, length - size)


def _covered(
    image: np.ndarray, place: tuple[int, int], size: int, fill: float | None
) -> np.ndarray:
    """Return a copy of an image (C, H, W) with a square covered."""
    y, x = place
    copy = image.copy()
    copy[:, y : y + size, x : x + size] = (
        image.mean(axis=(1, 2), keepdims=True) if fill is None else fill
    )
    return copy
