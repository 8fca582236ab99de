"""What the easy background does to the loss of a one-stage detector, and what is done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise.canvas import COLORS, new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BackgroundShare",
    "background_share",
    "compute_background_curve",
    "compute_background_share",
]

_BACKGROUND, _NEITHER = -1, -2
_SAMPLED = 3  # places of the background for each that shows an object
_PARTS = "objects", "hard background", "easy background"
_GAMMAS = (0.0, 0.5, 1.0, 2.0, 5.0)


class BackgroundShare(NamedTuple):
    """Who makes up a sum over all places, as shares of it that add up to 1.

    Parameters
    ----------
    objects : float
        The places that show an object.
    hard : float
        Those of the background where some class has a probability of `easy` or more.
    easy : float
        The rest of the background.
    """

    objects: float
    hard: float
    easy: float


def background_share(scores: Any, labels: Any, easy: float = 0.1, title: str = "") -> Figure:
    """Draw what share of the loss, and of its gradient, the easy background has.

    A one-stage detector judges thousands of places, nearly all of which show nothing and are soon
    known to. Four ways to judge them are compared: the cross-entropy of all places; of a sample
    with three of the background, drawn at random, for each that shows an object, and with the
    three of the largest loss; and the focal loss of all.

    Parameters
    ----------
    scores : Tensor or ndarray of floats, shape (..., K)
        Logits of K classes at each place, before the sigmoid, each class judged by itself.
    labels : ndarray of int, shape (...)
        What is there: 0 to K - 1, -1 for background, -2 for neither, which is left out. A
        `minicnn.detection.DenseDetector` gives both: ``net(images)[0]`` and
        ``net.targets(images, truths).classes``.
    easy : float, default 0.1
        Background is easy where no class has a probability of so much.
    title : str, default ""
        What to write above.

    Returns
    -------
    Figure
        Bars of the shares of the loss and of the gradient; and, for the focal loss of several
        gamma, the share of the background's loss that its easiest places have.

    Raises
    ------
    ShapeError
        If the labels do not fit the scores.
    ConfigError
        If a label is out of range, `easy` is not between 0 and 1, or nothing is background or
        nothing shows an object.

    References
    ----------
    Lin et al., "Focal loss for dense object detection", ICCV 2017, section 5.1 and figure 4.
    """
    shares = compute_background_share(scores, labels, easy)
    figure = new_figure(12.5, 3.8)
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 0.9))
    for panel, what in zip(panels, ("loss", "gradient"), strict=False):
        _bars(panel, {name: by[what] for name, by in shares.items()}, f"share of the {what}")
    panels[1].set_yticklabels([])
    curves = compute_background_curve(scores, labels)
    for gamma, curve in curves.items():
        x = np.linspace(0, 1, len(curve))
        panels[2].plot(x, curve, label=f"gamma {gamma:g}" + (": cross-entropy" * (gamma == 0)))
    panels[2].set_xlabel("share of the background, the easiest first")
    panels[2].set_ylabel("share of its loss")
    panels[2].grid(alpha=0.3)
    panels[2].legend(fontsize=8)
    labels = np.asarray(labels)
    counts = f"{(labels >= 0).sum():,} places show an object, {(labels == -1).sum():,} background"
    figure.suptitle(f"{title}: {counts}" if title else counts, fontsize=10)
    handles, texts = panels[0].get_legend_handles_labels()
    figure.legend(handles, texts, loc="outside lower left", ncols=3, fontsize=8)
    return figure


def compute_background_share(
    scores: Any, labels: Any, easy: float = 0.1
) -> dict[str, dict[str, BackgroundShare]]:
    """Return what share of the loss, and of its gradient, objects and background have.

    Of a random sample it is the expectation.

    Parameters
    ----------
    scores, labels, easy
        As for `background_share`.

    Returns
    -------
    dict of str to dict of str to BackgroundShare
        By the way of judging, in the order of the bars; in each, that of the "loss" and that of
        the "gradient": of the sum of its absolute values over the scores.

    Raises
    ------
    ShapeError
        If the labels do not fit the scores.
    ConfigError
        If a label is out of range, `easy` is not between 0 and 1, or nothing is background or
        nothing shows an object.
    """
    if not 0 < easy < 1:
        raise ConfigError(f"background_share: easy {easy} is no probability; give one from 0 to 1")
    x, what = _places(scores, labels)
    part = np.where(what >= 0, 0, np.where((x < np.log(easy / (1 - easy))).all(axis=1), 2, 1))
    plain, focal = _losses(x, what, 0.0, None), _losses(x, what, 2.0, 0.25)
    objects, most = what >= 0, _SAMPLED * int((what >= 0).sum())
    drawn = np.where(objects, 1.0, min(most / (~objects).sum(), 1.0))
    hardest = objects.astype(float)
    order = np.argsort(np.where(objects, np.inf, -plain[0]), kind="stable")
    hardest[order[: min(most, int((~objects).sum()))]] = 1.0
    ways = {
        "cross-entropy": (plain, np.ones(len(x))),
        "a random sample, 1:3": (plain, drawn),
        "the hardest, 1:3": (plain, hardest),
        "focal loss": (focal, np.ones(len(x))),
    }
    return {
        name: {
            kind: _share(values * weights, part)
            for kind, values in zip(("loss", "gradient"), both, strict=True)
        }
        for name, (both, weights) in ways.items()
    }


def compute_background_curve(
    scores: Any, labels: Any, gammas: tuple[float, ...] = _GAMMAS
) -> dict[float, np.ndarray]:
    """Return what share of the background's focal loss its easiest places have together.

    Parameters
    ----------
    scores, labels
        As for `background_share`.
    gammas : tuple of float, default (0, 0.5, 1, 2, 5)
        How much the focal loss turns easy ones down; 0 is the cross-entropy.

    Returns
    -------
    dict of float to ndarray, shape (B + 1,)
        By gamma: the n-th of the values, from the 0-th on, is the share of the n easiest of B.

    Raises
    ------
    ShapeError
        If the labels do not fit the scores.
    ConfigError
        If a label is out of range, or nothing is background or nothing shows an object.
    """
    x, what = _places(scores, labels)
    curves = {}
    for gamma in gammas:
        rising = np.sort(_losses(x, what, gamma, None)[0][what == _BACKGROUND])
        sums = np.concatenate([[0.0], np.cumsum(rising)])
        curves[gamma] = sums / sums[-1]
    return curves


def _bars(panel: Axes, shares: dict[str, BackgroundShare], label: str) -> None:
    names = list(shares)
    begin = np.zeros(len(names))
    for i, (part, color) in enumerate(zip(_PARTS, (COLORS[2], COLORS[1], COLORS[0]), strict=True)):
        values = np.array([shares[name][i] for name in names])
        bars = panel.barh(names, values, left=begin, color=color, label=part)
        texts = [f"{100 * v:.0f} %" if v >= 0.07 else "" for v in values]
        panel.bar_label(bars, texts, label_type="center", color="white", fontsize=8)
        begin += values
    panel.invert_yaxis()
    panel.set_xlim(0, 1)
    panel.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    panel.set_xlabel(label)


def _places(scores: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores (P, K) in float64 and the labels (P,) of the places that count."""
    x = np.asarray(scores.numpy() if isinstance(scores, Tensor) else scores, np.float64)
    what = np.asarray(labels)
    if x.ndim < 2 or x.shape[:-1] != what.shape:
        raise ShapeError(
            f"background_share: scores {x.shape} and labels {what.shape} do not fit; give (..., K) "
            "and (...)"
        )
    if what.size and not _NEITHER <= what.min() <= what.max() < x.shape[-1]:
        raise ConfigError(
            f"background_share: labels go from {what.min()} to {what.max()}; give 0 ... "
            f"{x.shape[-1] - 1}, -1 for background or -2 for neither"
        )
    counted = what != _NEITHER
    x, what = x[counted], what[counted]
    if not (what >= 0).any() or not (what == _BACKGROUND).any():
        raise ConfigError(
            f"background_share: {(what >= 0).sum()} places show an object, "
            f"{(what == _BACKGROUND).sum()} background; give some of both"
        )
    return x, what


def _losses(
    scores: np.ndarray, labels: np.ndarray, gamma: float, alpha: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the loss (P,) of each place and the size (P,) of its gradient."""
    x = Tensor(scores, requires_grad=True)
    yes = (labels[:, None] == np.arange(scores.shape[1])).astype(np.float64)
    losses = ops.sigmoid_focal_loss(x, yes, gamma, alpha, reduction="none")
    slopes = grad(losses.sum(), x).numpy()
    return losses.numpy().sum(axis=1), np.abs(slopes).sum(axis=1)


def _share(values: np.ndarray, part: np.ndarray) -> BackgroundShare:
    sums = np.bincount(part, values, minlength=3)
    return BackgroundShare(*(sums / sums.sum()).tolist())
