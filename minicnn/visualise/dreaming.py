"""What a channel would like to see: an image that makes it as large as possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import Module
from minicnn.ops import leaky_relu
from minicnn.visualise._looking import Look, check_net, index_of, look
from minicnn.visualise._panels import evenly, names_of, shortened, viewable
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Maximised", "compute_feature_maximisation", "feature_maximisation"]

RATE = 0.1  # how far the image moves in a step, root mean square
DECAY = 0.01  # how much of the image is forgotten in a step
BLUR = 0.1  # how much of each pixel is taken from its neighbours in a step
SILENT = 0.1  # the slope where a ReLU is silent, so that there is a way out
START = 0.1  # standard deviation of the noise that it begins with


@dataclass(frozen=True, eq=False)
class Maximised:
    """Images that make channels large.

    Attributes
    ----------
    channels : tuple of int
        Which.
    images : ndarray, shape (len(channels), C, H, W)
        An image for each.
    values : ndarray of float64, shape (steps + 1, len(channels))
        The channel's mean over its places: of the noise, and after each step.
    """

    channels: tuple[int, ...]
    images: np.ndarray
    values: np.ndarray


def feature_maximisation(
    net: Module,
    layer: str,
    image_shape: tuple[int, int, int],
    channels: Sequence[int] | None = None,
    steps: int = 100,
    jitter: int = 2,
    limit: float = 2.5,
    seed: int = 0,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show images that make the channels of a layer as large as possible.

    They are not photographs, and nobody would draw them so: they show what a channel counts, not
    what it means.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    layer : str
        The name of a module, such as ``"block2.0"``, or ``"logits"`` for classes.
    image_shape : (int, int, int)
        The shape (C, H, W) of the images.
    channels : sequence of int, optional
        Which channels; by default 12 at most, evenly spread.
    steps : int, default 100
        How often the images move uphill.
    jitter : int, default 2
        By how many pixels, at most, they are moved to and fro between steps, so that nothing
        depends on one place.
    limit : float, default 2.5
        The largest absolute value of a pixel; 2.5 is of an image with mean 0 and deviation 1.
    seed : int, default 0
        Of the noise that they begin with, and of the jitter.
    names : sequence of str, optional
        The names of all channels of the layer, such as those of the classes.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        An image for each channel, with the value before and after.

    Raises
    ------
    ShapeError
        If the net does not take such images.
    ConfigError
        If there is no such layer or channel, or a number is out of its range.

    References
    ----------
    Erhan, Bengio, Courville and Vincent, "Visualizing higher-layer features of a deep network",
    2009. Mordvintsev, Olah and Tyka, "Inceptionism: going deeper into neural networks", 2015, for
    the jitter. Yosinski et al., "Understanding neural networks through deep visualization", 2015,
    for decay and blur.
    """
    found, count = _maximised(
        "feature_maximisation", net, layer, image_shape, channels, steps, jitter, limit, seed
    )
    labels = names_of("feature_maximisation", names, count)
    across = min(6, len(found.channels))
    down = math.ceil(len(found.channels) / across)
    figure = new_figure(1.75 * across + 0.2, 2.15 * down + 0.5)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    for panel in panels:
        panel.set_axis_off()
    for i, (panel, c) in enumerate(zip(panels, found.channels, strict=False)):
        panel.imshow(viewable(found.images[i]), interpolation="nearest", cmap="gray")
        what = f"channel {c}" if names is None else shortened(labels[c])
        values = f"{found.values[0, i]:.2g} \N{RIGHTWARDS ARROW} {found.values[-1, i]:.3g}"
        panel.set_title(f"{what}\n{values}", fontsize=8)
    figure.suptitle(title or f"what makes {layer} largest, {steps} steps from noise", fontsize=10)
    return figure


def compute_feature_maximisation(
    net: Module,
    layer: str,
    image_shape: tuple[int, int, int],
    channels: Sequence[int] | None = None,
    steps: int = 100,
    jitter: int = 2,
    limit: float = 2.5,
    seed: int = 0,
) -> Maximised:
    """Return images that make the channels of a layer as large as possible.

    Parameters
    ----------
    net : Module
        Any net; it is run in evaluation mode and not changed.
    layer : str
        The name of a module.
    image_shape : (int, int, int)
        The shape (C, H, W) of the images.
    channels : sequence of int, optional
        Which channels; by default 12 at most, evenly spread.
    steps : int, default 100
        How often the images move uphill.
    jitter : int, default 2
        By how many pixels, at most, they are moved to and fro between steps.
    limit : float, default 2.5
        The largest absolute value of a pixel.
    seed : int, default 0
        Of the noise that they begin with, and of the jitter.

    Returns
    -------
    Maximised
        The images, and how the values grew.

    Raises
    ------
    ShapeError
        If the net does not take such images.
    ConfigError
        If there is no such layer or channel, or a number is out of its range.
    """
    who = "compute_feature_maximisation"
    return _maximised(who, net, layer, image_shape, channels, steps, jitter, limit, seed)[0]


def _maximised(
    who: str,
    net: Module,
    layer: str,
    image_shape: Any,
    channels: Sequence[int] | None,
    steps: int,
    jitter: int,
    limit: float,
    seed: int,
) -> tuple[Maximised, int]:
    """Return the images, and how many channels the layer has."""
    check_net(who, net)
    if len(image_shape) != 3 or not all(isinstance(n, int) and n > 0 for n in image_shape):
        raise ShapeError(f"{who}: image_shape {image_shape!r} is not (C, H, W)")
    if steps < 1 or jitter < 0 or not limit > 0:
        raise ConfigError(
            f"{who}: steps is {steps}, jitter {jitter} and limit {limit}; give steps >= 1, jitter "
            ">= 0 and limit > 0"
        )
    noise = np.random.default_rng(seed).normal(0, START, image_shape)
    first = look(who, net, noise[None].astype(np.float32))
    count = first.of(layer).tensor.shape[1]
    chosen = tuple(
        index_of(who, f"channel of {layer!r}", c, count)
        for c in (evenly(range(count), 12) if channels is None else channels)
    )
    shifts = np.random.default_rng([seed, 1]).integers(-jitter, jitter + 1, (steps, 2))
    images = np.repeat(noise[None], len(chosen), axis=0)
    history = []
    for shift in shifts:
        slopes, values = _slopes(look(who, net, np.roll(images, shift, (2, 3))), layer, chosen)
        history.append(values)
        slopes = np.roll(slopes, -shift, (2, 3))
        size = np.sqrt((slopes**2).mean(axis=(1, 2, 3), keepdims=True))
        images = images + RATE * np.divide(slopes, size, out=np.zeros_like(slopes), where=size > 0)
        images = np.clip(_blurred(images * (1 - DECAY)), -limit, limit)
    history.append(_slopes(look(who, net, images), layer, chosen)[1])
    return Maximised(chosen, images, np.array(history)), count


def _slopes(seen: Look, layer: str, channels: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each image the way uphill for its channel, and the channel's mean, float64."""
    answer = seen.of(layer).tensor
    before = next((x for x, y in seen.rectified if y is answer), None)
    goal = _mine(answer if before is None else leaky_relu(before, SILENT), channels)
    slopes = grad(goal.sum(), seen.images).numpy().astype(np.float64)
    return slopes, _mine(answer, channels).numpy().astype(np.float64)


def _mine(maps: Tensor, channels: tuple[int, ...]) -> Tensor:
    """Return of image i the mean of channel channels[i], over all places."""
    means = maps if maps.ndim == 2 else maps.mean(axis=tuple(range(2, maps.ndim)))
    return means[np.arange(len(channels)), np.array(channels)]


def _blurred(images: np.ndarray) -> np.ndarray:
    """Take a part of each pixel from its four neighbours."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    around = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    around = around + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]
    return (1 - BLUR) * images + BLUR * around / 4
