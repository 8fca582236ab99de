"""Ridge regression: from features to numbers, linear, with weights that are kept small."""

from __future__ import annotations

import numpy as np

from minicnn import ops

__all__ = ["fit_ridge", "solve"]

_MOST_STEPS = 1000
_EXACT = 1e-10  # of the right-hand side: the remainder at which a solution is found


def fit_ridge(x: np.ndarray, targets: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the W and b that make ``|x W + b - targets|^2 + penalty |W|^2`` least.

    The bias is free: with means taken off of both, ``(x'x + penalty I) W = x' targets``.

    Parameters
    ----------
    x : ndarray, shape (R, P)
        Features.
    targets : ndarray, shape (R, T)
        What is wanted of each.
    penalty : float
        Above 0.

    Returns
    -------
    weight : ndarray of float64, shape (P, T)
        0 without examples.
    bias : ndarray of float64, shape (T,)
        Likewise.
    """
    if not len(x):
        return np.zeros((x.shape[1], targets.shape[1])), np.zeros(targets.shape[1])
    x, targets = x.astype(np.float64), targets.astype(np.float64)
    mean, middle = x.mean(axis=0), targets.mean(axis=0)
    centred = x - mean
    moments = product(centred.T, centred)
    moments[np.diag_indices_from(moments)] += penalty
    weight = solve(moments, product(centred.T, targets - middle))
    return weight, middle - product(mean[None], weight)[0]


def solve(matrix: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Solve ``matrix @ y = right`` by conjugate gradients, for each column of the right-hand side.

    Unlike a factorisation by the BLAS, the bits do not depend on the number of threads.

    Parameters
    ----------
    matrix : ndarray of float64, shape (P, P)
        Symmetric, positive definite.
    right : ndarray of float64, shape (P, T)
        The right-hand sides.

    Returns
    -------
    ndarray of float64, shape (P, T)
        The solutions.
    """
    scale = 1 / np.sqrt(np.diagonal(matrix))[:, None]  # as if all diagonal elements were 1
    y, rest = np.zeros_like(right), right * scale
    direction, left = rest.copy(), (rest**2).sum(axis=0)
    enough = _EXACT**2 * left
    for _ in range(_MOST_STEPS):
        if (left <= enough).all():
            break
        ahead = scale * product(matrix, scale * direction)
        curve = (direction * ahead).sum(axis=0)
        step = np.divide(left, curve, out=np.zeros_like(left), where=left > enough)
        y, rest = y + step * direction, rest - step * ahead
        before, left = left, (rest**2).sum(axis=0)
        turn = np.divide(left, before, out=np.zeros_like(left), where=before > enough)
        direction = rest + turn * direction
    return scale * y


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return ``a @ b``, the same bits on any number of threads."""
    return ops.matmul(a, b).numpy()
