"""A linear support vector machine, and the search for the background that it gets wrong.

The machine says yes where ``s = x w + b`` is above 0, and is trained to make

    ``L(w, b) = 1/2 (|w|^2 + b^2 / B^2) + C sum_i c_i max(0, 1 - y_i s_i)^2``

least, with y of 1 or -1. Only examples within the margin, ``y s < 1``, the support vectors, have
any pull. With those given, L is quadratic, and its least point is one linear system away; then
the support vectors are found anew, until they stay the same: Newton's method in the primal.

References
----------
Chapelle, "Training a Support Vector Machine in the Primal", Neural Computation 2007.
Felzenszwalb, Girshick, McAllester and Ramanan, "Object Detection with Discriminatively Trained Part
Based Models", PAMI 2010, section 4.4 (mining of hard negatives).
"""

from __future__ import annotations

import numpy as np

from minicnn.detection._ridge import product, solve

__all__ = ["HardNegatives", "fit_svm"]

_BIAS = 10.0  # B: the bias is the weight of a feature of this size, and so is hardly kept small
_MOST_STEPS = 50
_HALVINGS = 20
_NEVER = -10.0  # the score of what was never seen
_HARD, _EASY = -1.0, -1.2  # scores: above the first, background is learned from; below, forgotten


def fit_svm(
    x: np.ndarray,
    yes: np.ndarray,
    cost: float,
    weights: np.ndarray | None = None,
    start: np.ndarray | None = None,
) -> np.ndarray:
    """Return the machine of the least loss.

    Parameters
    ----------
    x : ndarray, shape (R, F)
        Features.
    yes : ndarray of bool, shape (R,)
        What is to be said of each.
    cost : float
        C, above 0: how much a missing margin costs.
    weights : ndarray, shape (R,), optional
        c: how much each example counts; 1 by default.
    start : ndarray, shape (F + 1,), optional
        A machine to begin with.

    Returns
    -------
    ndarray of float64, shape (F + 1,)
        The weights, then the bias: ``s = x @ y[:-1] + y[-1]``.
    """
    x = np.concatenate([x.astype(np.float64), np.full((len(x), 1), _BIAS)], axis=1)
    sign = np.where(yes, 1.0, -1.0)
    costs = 2 * cost * (np.ones(len(x)) if weights is None else weights)
    w = np.zeros(x.shape[1]) if start is None else start.astype(np.float64)
    w[-1] /= _BIAS
    missing = 1 - sign * _of(x, w)
    for _ in range(_MOST_STEPS):
        # L' = w - sum over support vectors of costs * missing * sign * x,
        # L'' = I + sum over support vectors of costs * x x'
        inside = missing > 0
        support = x[inside] * np.sqrt(costs[inside])[:, None]
        slope = w - _of(x[inside].T, (costs * missing * sign)[inside])
        if np.abs(slope).max() <= 1e-7 * max(1.0, np.abs(w).max()):
            break
        curvature = product(support.T, support)
        curvature[np.diag_indices_from(curvature)] += 1.0
        step = solve(curvature, slope[:, None])[:, 0]
        w, missing = _shortened(w, step, slope, x, sign, costs)
    return np.append(w[:-1], w[-1] * _BIAS)


def _shortened(
    w: np.ndarray,
    step: np.ndarray,
    slope: np.ndarray,
    x: np.ndarray,
    sign: np.ndarray,
    costs: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Go a step, or half of it, a quarter ..., so far that the loss falls as its slope promises."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        missing = 1 - sign * _of(x, w)
        return 0.5 * float((w**2).sum() + (costs * np.maximum(missing, 0) ** 2).sum()), missing

    before, promised = loss(w)[0], float((step * slope).sum())
    share = 1.0
    for _ in range(_HALVINGS):
        after, missing = loss(w - share * step)
        if after <= before - 1e-4 * share * promised:
            break
        share /= 2
    return w - share * step, missing


def _of(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return product(x, w[:, None])[:, 0]


class HardNegatives:
    """Train the machine of one class on a stream of examples, of which most need not be kept.

    All objects are kept, and of the background what lies within the margin or nearly so. Each time
    enough has come in the machine is trained again, and what became easy is forgotten.

    Parameters
    ----------
    features : int
        F.
    cost : float
        C; see `fit_svm`.
    weight : float, default 2
        How much an object counts more than background.
    enough : int, default 2000
        New examples of background until the machine is trained again.

    Attributes
    ----------
    machine : ndarray of float64, shape (F + 1,)
        The weights, then the bias; before it was trained it says no, at -10.
    """

    def __init__(self, features: int, cost: float, weight: float = 2.0, enough: int = 2000) -> None:
        self.cost, self.weight, self.enough = cost, weight, enough
        self.machine = np.zeros(features + 1)
        self.machine[-1] = _NEVER
        self._trained = False
        self._yes: list[np.ndarray] = [np.empty((0, features))]
        self._no: list[np.ndarray] = [np.empty((0, features))]
        self._new = 0

    def add(self, yes: np.ndarray, no: np.ndarray) -> None:
        """See more examples.

        Parameters
        ----------
        yes, no : ndarray, shape (R, F)
            Features of objects and of background.
        """
        self._yes.append(yes)
        hard = self._scores(no) >= _HARD if self._trained else np.ones(len(no), bool)
        self._no.append(no[hard])
        self._new += int(hard.sum())
        if self._new >= self.enough:
            self.train()

    def train(self) -> None:
        """Train on all that is kept, and forget what is easy then."""
        yes, no = np.concatenate(self._yes), np.concatenate(self._no)
        self._new = 0
        if len(yes) and len(no):
            are = np.arange(len(yes) + len(no)) < len(yes)
            weights = np.where(are, self.weight, 1.0)
            x = np.concatenate([yes, no])
            self.machine = fit_svm(x, are, self.cost, weights, self.machine)
            self._trained = True
        kept = self._scores(no) >= _EASY if self._trained else slice(-self.enough, None)
        self._yes, self._no = [yes], [no[kept]]

    def _scores(self, x: np.ndarray) -> np.ndarray:
        return _of(x.astype(np.float64), self.machine[:-1]) + self.machine[-1]
