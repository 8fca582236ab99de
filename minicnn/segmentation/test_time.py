"""Test-time augmentation: look at an image in several ways, and average what is seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import to_device
from minicnn.errors import ConfigError

__all__ = ["averaged_views"]


def averaged_views(
    net: nn.Module,
    prepare: Callable[[np.ndarray], np.ndarray],
    flip: bool = True,
    scales: Sequence[float] = (1.0,),
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a scorer that averages the probabilities of mirrored and scaled views.

    Parameters
    ----------
    net : Module
        Takes images (N, 3, H, W) of any size, gives scores (N, K, H, W).
    prepare : callable
        Makes the net's (N, 3, H, W) of pictures uint8 (N, H, W, 3).
    flip : bool, default True
        Whether to look at the mirror image, too: for scenes that are as likely either way.
    scales : sequence of float, default (1,)
        By how much to enlarge, each in turn.

    Returns
    -------
    callable
        Takes pictures uint8 (N, H, W, 3), returns probabilities float32 (N, K, H, W).

    Raises
    ------
    ConfigError
        If there is no scale, or one is not above 0.
    """
    if not len(scales) or not all(0 < s < np.inf for s in scales):
        raise ConfigError(f"averaged_views: scales {scales!r}; give one or more above 0")

    def look(images: np.ndarray) -> np.ndarray:
        device = next(net.parameters()).device
        with no_grad(), nn.evaluating():
            x = Tensor(to_device(prepare(images), device))
            size = x.shape[2:]
            seen = []
            for scale in scales:
                scaled = tuple(max(1, round(n * scale)) for n in size)
                view = x if scaled == size else ops.resize(x, scaled, mode="bilinear")
                seen.append(_probabilities(net, view, size))
                if flip:
                    seen.append(_probabilities(net, view[:, :, :, ::-1], size)[:, :, :, ::-1])
            return (sum(seen[1:], start=seen[0]) / len(seen)).numpy()

    return look


def _probabilities(net: nn.Module, x: Tensor, size: tuple[int, ...]) -> Tensor:
    p = ops.softmax(net(x), axis=1)
    return p if p.shape[2:] == size else ops.resize(p, size, mode="bilinear")
