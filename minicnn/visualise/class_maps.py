"""Where in an image a net finds a class: Grad-CAM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import Module
from minicnn.ops import resize
from minicnn.visualise._looking import Look, Returned, check_net, class_of, image_of, look
from minicnn.visualise._panels import AMOUNTS, called, show_image, show_values, times
from minicnn.visualise.canvas import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["compute_grad_cam", "grad_cam"]


def grad_cam(
    net: Module,
    image: Any,
    class_index: int | None = None,
    layer: str | None = None,
    class_names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """Show where in an image a net finds what speaks for a class: Grad-CAM.

    Parameters
    ----------
    net : Module
        A classifier with feature maps; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.
    layer : str, optional
        The name of the module whose maps are weighed, such as ``"block3"``; by default the last
        that returns maps of more than one place.
    class_names : sequence of str, optional
        K names; by default numbers.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        The image, what `compute_grad_cam` returns as the layer has it, and the same over the
        image.

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class or layer, or the layer returns no maps.

    References
    ----------
    Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", ICCV 2017, equations 1 and 2.
    """
    seen, number, chosen = _chosen("grad_cam", net, image, class_index, layer)
    evidence = _evidence(seen, number, chosen)
    height, width = seen.images.shape[2:]
    name = called("grad_cam", class_names, seen.output.shape[1], number)
    score = float(seen.output.numpy()[0, number])
    figure = new_figure(10.0, 3.4)
    left, middle, right = figure.subplots(1, 3)
    pixels = seen.images.numpy()[0]
    show_image(left, pixels, f"{name}: score {score:.3g}")
    show_values(middle, evidence, "evidence for the class (score)")
    middle.set_title(f"in {chosen.name}, {times(evidence.shape)} units", fontsize=9)
    middle.set_xlabel("x (units of the layer)", fontsize=8)
    middle.set_ylabel("y (units of the layer)", fontsize=8)
    middle.tick_params(labelsize=7)
    show_image(right, pixels.mean(axis=0, keepdims=True), "over the image")
    over = resize(Tensor(evidence[None, None]), (height, width), mode="linear").numpy()[0, 0]
    right.imshow(over, cmap=AMOUNTS, vmin=0, vmax=evidence.max() or 1, alpha=0.55)
    figure.suptitle(title)
    return figure


def compute_grad_cam(
    net: Module, image: Any, class_index: int | None = None, layer: str | None = None
) -> np.ndarray:
    """Return how much each place of a layer's maps speaks for a class.

    Parameters
    ----------
    net : Module
        A classifier with feature maps; it is run in evaluation mode and not changed.
    image : ndarray or Tensor of floats, shape (C, H, W)
        As the net was trained with it.
    class_index : int, optional
        Of which of the K classes; by default of the one with the largest score.
    layer : str, optional
        The name of the module whose maps are weighed; by default the last that returns maps of
        more than one place.

    Returns
    -------
    ndarray, shape (OH, OW)
        ``max(0, sum_k a_k * A_k)``, where A_k is a map of the layer and a_k the mean over its
        places of the score's gradient (the score before the softmax).

    Raises
    ------
    ShapeError
        If it is not one image that the net takes, or the net returns no scores.
    ConfigError
        If there is no such class or layer, or the layer returns no maps.
    """
    return _evidence(*_chosen("compute_grad_cam", net, image, class_index, layer))


def _chosen(
    who: str, net: Module, image: Any, class_index: int | None, layer: str | None
) -> tuple[Look, int, Returned]:
    check_net(who, net)
    seen = look(who, net, image_of(who, image))
    number = class_of(who, seen.scores().numpy()[0], class_index)
    if layer is not None:
        chosen = seen.of(layer)
        if chosen.tensor.ndim != 4:
            raise ConfigError(
                f"{who}: {layer!r} returns {chosen.tensor.shape}, which has no places; name a "
                f"layer before it that returns maps (N, C, H, W){_suggested(seen)}"
            )
        return seen, number, chosen
    maps = seen.maps()
    if not maps:
        raise ConfigError(
            f"{who}: no layer of {type(net).__name__} returns maps (N, C, H, W) of more than one "
            "place, and without places there is no where; use saliency or occlusion"
        )
    return seen, number, maps[-1]


def _suggested(seen: Look) -> str:
    maps = seen.maps()
    return f", such as {maps[-1].name!r}" if maps else ""


def _evidence(seen: Look, number: int, chosen: Returned) -> np.ndarray:
    maps = chosen.tensor
    if not maps.requires_grad:
        raise ShapeError(f"{seen.who}: {chosen.name!r} does not depend on the image")
    slopes = grad(seen.scores()[0, number], maps).numpy()[0]
    weights = slopes.mean(axis=(1, 2))  # (C,): equation 1
    return np.maximum(np.einsum("c,chw->hw", weights, maps.numpy()[0]), 0)  # equation 2
