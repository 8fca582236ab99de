"""The largest singular values of a matrix and their vectors, from scratch."""

from __future__ import annotations

import numpy as np

__all__ = ["largest_singular"]

DIRECT = 48  # columns up to which Jacobi's rotations find all singular values
MORE = 8  # directions followed beyond those asked for: the more, the fewer rounds
ROUNDS = 3000
TOLERANCE = 1e-12  # of what is left over, relative to the largest
SWEEPS = 60


def largest_singular(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest singular values of a matrix and their right singular vectors.

    A tall matrix with few columns is rotated, two columns at a time, until all are orthogonal
    (Hestenes' one-sided Jacobi method): their lengths are the singular values. Of a larger one a
    few directions are multiplied by ``A^T A`` again and again, which turns them towards the
    largest singular vectors, and in the space between them the small problem is solved
    (subspace iteration with the projection of Rayleigh and Ritz).

    Parameters
    ----------
    matrix : ndarray of float64, shape (N, D)
        Any.
    count : int
        How many; at most min(N, D).

    Returns
    -------
    ndarray, shape (count,)
        The values, falling.
    ndarray, shape (count, D)
        The vectors, of length 1; of a value 0 any that are orthogonal to the others.

    References
    ----------
    Hestenes, "Inversion of matrices by biorthogonalization and related results", 1958. Golub and
    Van Loan, "Matrix computations", 2013, sections 8.2.4 and 8.6.3.
    """
    columns = matrix.shape[1]
    if columns <= DIRECT:
        values, vectors = _jacobi(matrix)
        return values[:count], vectors[:, :count].T
    basis = _orthonormal(np.random.default_rng(0).normal(size=(columns, count + MORE)))
    for _ in range(ROUNDS):
        values, turn = _jacobi(matrix @ basis)
        basis = basis @ turn
        image = matrix.T @ (matrix @ basis)
        left = np.linalg.norm((image - basis * values**2)[:, :count], axis=0)
        if left.max(initial=0) <= TOLERANCE * max(values[0] ** 2, np.finfo(float).tiny):
            break
        basis = _orthonormal(image)
    return values[:count], basis[:, :count].T


def _jacobi(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return all singular values and right singular vectors (as columns), largest first."""
    a, v = matrix.copy(), np.eye(matrix.shape[1])
    columns = matrix.shape[1]
    nothing = (1e-15**2) * (matrix**2).sum()  # the square of a length that is only rounding
    for _ in range(SWEEPS):
        turned = False
        for p in range(columns - 1):
            for q in range(p + 1, columns):
                x, y = a[:, p], a[:, q]
                alpha, beta, gamma = x @ x, y @ y, x @ y
                if min(alpha, beta) <= nothing or abs(gamma) <= 1e-15 * np.sqrt(alpha * beta):
                    continue  # orthogonal already
                turned = True
                zeta = (beta - alpha) / (2 * gamma)
                t = (1 if zeta >= 0 else -1) / (abs(zeta) + np.hypot(1, zeta))
                c = 1 / np.hypot(1, t)
                turn = np.array([[c, c * t], [-c * t, c]])  # by the angle that makes x @ y 0
                a[:, [p, q]] = a[:, [p, q]] @ turn
                v[:, [p, q]] = v[:, [p, q]] @ turn
        if not turned:
            break
    values = np.sqrt((a**2).sum(axis=0))
    order = np.argsort(-values, kind="stable")
    return values[order], v[:, order]


def _orthonormal(vectors: np.ndarray) -> np.ndarray:
    """Return vectors (as columns) of length 1, orthogonal, that span the same (Gram-Schmidt)."""
    basis = np.zeros_like(vectors)
    spare = np.random.default_rng(1).normal(size=vectors.shape)
    for i in range(vectors.shape[1]):
        for candidate in (vectors[:, i], spare[:, i]):
            length = np.linalg.norm(candidate)
            for _ in range(2):  # twice is enough: rounding leaves a rest the first time
                candidate = candidate - basis @ (basis.T @ candidate)
            left = np.linalg.norm(candidate)
            if left > 1e-10 * length:  # else it was a sum of those before it
                basis[:, i] = candidate / left
                break
    return basis
