"""Which pixels a score depends on: its gradient, plain and guided."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor, grad, maximum, of_output
from minicnn.autograd.tensor import PullBack
from minicnn.autograd.walking import tape_of
from minicnn.errors import ConfigError
from minicnn.nn import Module
from minicnn.visualise._looking import Look, check_net, class_of, image_of, look
from minicnn.visualise._panels import called, show_image, show_values, viewable
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compute_guided_backprop", "compute_saliency", "guided_backprop", "saliency"]


def saliency(
    net: Module,
    image: Any,
    class_index: int | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show on which pixels the score of a class depends most: where its gradient is large.

    Parameters
    ----------
    net : Module
        A classifier; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.
    class_names : sequence of str, optional
        K names; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The image, and the largest absolute value over the channels of what `compute_saliency`
        returns.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class.

    References
    ----------
    Simonyan, Vedaldi and Zisserman, "Deep inside convolutional networks: visualising image
    classification models and saliency maps", ICLR workshop 2014, section 3.
    """
    seen, score, number = _scored("saliency", net, image, class_index)
    slopes = _gradient(seen, score)
    name = called("saliency", class_names, seen.output.shape[1], number)
    figure = new_figure(7.0, 3.4)
    left, right = figure.subplots(1, 2)
    show_image(left, seen.images.numpy()[0], f"{name}: score {score.item():.3g}")
    show_image(right, seen.images.numpy()[0], "how steeply the score depends on each pixel")
    right.images[0].remove()
    show_values(right, np.abs(slopes).max(axis=0), "|d score / d pixel|, largest channel")
    figure.suptitle(title)
    return figure


def compute_saliency(net: Module, image: Any, class_index: int | None = None) -> np.ndarray:
    """Return the gradient of a class's score with respect to the image.

    Parameters
    ----------
    net : Module
        A classifier; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.

    Returns
    -------
    ndarray, shape (C, H, W)
        By how much the score (before the softmax) grows for each unit that a pixel grows.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class.
    """
    seen, score, _ = _scored("compute_saliency", net, image, class_index)
    return _gradient(seen, score)


def guided_backprop(
    net: Module,
    image: Any,
    class_index: int | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show what in an image speaks for a class, along paths on which all gradients are positive.

    It is sharper than `saliency`, for what would make a neuron weaker is left out at every ReLU;
    it also depends less on the class that is asked for.

    Parameters
    ----------
    net : Module
        A classifier with ReLUs; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.
    class_names : sequence of str, optional
        K names; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The image; what `compute_guided_backprop` returns in colours, mid-grey where it is 0; and
        the sum over its channels.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class, or the net has no ReLU on the way to its score.

    References
    ----------
    Springenberg et al., "Striving for simplicity: the all convolutional net", ICLR workshop 2015,
    section 3.4.
    """
    seen, score, number = _scored("guided_backprop", net, image, class_index)
    _guide(seen, score)
    slopes = _gradient(seen, score)
    name = called("guided_backprop", class_names, seen.output.shape[1], number)
    figure = new_figure(10.0, 3.4)
    left, middle, right = figure.subplots(1, 3)
    show_image(left, seen.images.numpy()[0], f"{name}: score {score.item():.3g}")
    show_image(middle, slopes, "what speaks for it")
    largest = np.abs(slopes).max() or 1.0
    middle.images[0].set_data(viewable(slopes, -largest, largest))
    show_image(right, slopes, "sum of the channels")
    right.images[0].remove()
    show_values(right, slopes.sum(axis=0), "guided d score / d pixel", signed=True)
    figure.suptitle(title)
    return figure


def compute_guided_backprop(net: Module, image: Any, class_index: int | None = None) -> np.ndarray:
    """Return a class's score walked back to the image, past every ReLU only what is positive.

    Parameters
    ----------
    net : Module
        A classifier with ReLUs; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.

    Returns
    -------
    ndarray, shape (C, H, W)
        A gradient but for one rule: at a ReLU, ``dL/dx = max(dL/dy, 0)`` where x > 0, else 0.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class, or the net has no ReLU on the way to its score.
    """
    seen, score, _ = _scored("compute_guided_backprop", net, image, class_index)
    _guide(seen, score)
    return _gradient(seen, score)


def _scored(who: str, net: Module, image: Any, class_index: int | None) -> tuple[Look, Tensor, int]:
    """Return a look, the score of the class with its history, and which class it is."""
    check_net(who, net)
    seen = look(who, net, image_of(who, image))
    scores = seen.scores()
    number = class_of(who, scores.numpy()[0], class_index)
    return seen, scores[0, number], number


def _gradient(seen: Look, score: Tensor) -> np.ndarray:
    return grad(score, seen.images).numpy()[0]


def _guide(seen: Look, score: Tensor) -> None:
    """Let every ReLU on the tape of this computation, and of no other, pass only the positive."""
    ours = {id(y) for _, y in seen.rectified}
    bent = [t for t in tape_of(score) if id(t) in ours]
    if not bent:
        raise ConfigError(
            f"{seen.who}: there is no ReLU between the image and the score, and the rule is about "
            "ReLUs; use saliency"
        )
    for t in bent:
        t._parents = tuple((parent, _guided(pull_back)) for parent, pull_back in t._parents)


def _guided(pull_back: PullBack) -> Callable[..., Tensor]:
    """Return a pull-back that is given what is positive in a gradient."""

    @of_output
    def guided(grad_y: Tensor, y: Tensor) -> Tensor:
        positive = maximum(grad_y, 0.0)
        wants_y = getattr(pull_back, "of_output", False)
        return pull_back(positive, y) if wants_y else pull_back(positive)

    return guided
