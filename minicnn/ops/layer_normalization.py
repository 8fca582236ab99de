"""Normalisation of vectors: each one by what it holds itself, whatever else is in the batch."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

from minicnn.autograd import (
    Lifted,
    Tensor,
    astype,
    broadcast_to,
    composed,
    differentiable,
    maximum,
    reshape,
    sqrt,
    sum,
    sum_to,
)
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._standardize import Standardized, check_epsilon, check_operands

__all__ = ["l2_normalize", "layer_norm", "rms_norm"]


@composed
def layer_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    axes: int | Sequence[int] = (-1,),
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each vector by its own mean and variance.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, with the mean and the (biased)
    variance taken over `axes`: the features of a token (-1), the channels of a pixel (1), or all
    of an image (1, 2, 3).

    Parameters
    ----------
    x : Tensor
        Any shape.
    gamma, beta : Tensor, optional
        Scale and shift of each feature, of the lengths of the normalised axes in the order of
        x's; by default none.
    axes : int or sequence of int, default (-1,)
        Over which axes a vector extends; negative ones count from the end.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised vectors.

    Raises
    ------
    ShapeError
        If there is no such axis, the shapes do not fit, or a vector has no values.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    DeviceError
        If they are not all on one device.
    ConfigError
        If epsilon is negative, or `axes` are not ints.

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", 2016, equation 4.
    """
    return _checked("layer_norm", x, gamma, beta, axes, epsilon, centred=True)


@composed
def rms_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    axes: int | Sequence[int] = (-1,),
    epsilon: float = 1e-5,
) -> Tensor:
    """Divide each vector by its root mean square.

    ``y = gamma * x / sqrt(mean(x**2) + epsilon)``: layer normalisation without the mean.

    Parameters
    ----------
    x : Tensor
        Any shape.
    gamma : Tensor, optional
        Scale of each feature, of the lengths of the normalised axes in the order of x's; by
        default none.
    axes : int or sequence of int, default (-1,)
        Over which axes a vector extends; negative ones count from the end.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised vectors.

    Raises
    ------
    ShapeError
        If there is no such axis, the shapes do not fit, or a vector has no values.
    DTypeError
        If x and gamma are of different types, or not floats.
    DeviceError
        If they are not on one device.
    ConfigError
        If epsilon is negative, or `axes` are not ints.

    References
    ----------
    Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019, equation 4.
    """
    return _checked("rms_norm", x, gamma, None, axes, epsilon, centred=False)


def _checked(
    op: str,
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    axes: int | Sequence[int],
    epsilon: float,
    centred: bool,
) -> Tensor:
    """Refuse operands that do not fit one another, then normalise."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    along = _axes(op, x, axes)
    lengths = tuple(x.shape[a] for a in along)
    if 0 in lengths:
        raise ShapeError(f"{op}: x {x.shape} has no values along axes {along}")
    for name, t in (("gamma", gamma), ("beta", beta)):
        if t is not None and t.shape != lengths:
            raise ShapeError(
                f"{op}: {name} has shape {t.shape}, x {x.shape} normalised over axes {along} needs "
                f"{lengths}"
            )
    check_operands(op, x=x, gamma=gamma, beta=beta)
    return _normalize(x, gamma, beta, _Vectors(along, check_epsilon(op, epsilon), centred))


def _axes(op: str, x: Tensor, axes: int | Sequence[int]) -> tuple[int, ...]:
    """Return the axes in ascending order, none negative."""
    try:
        given = (
            tuple(map(operator.index, axes))
            if isinstance(axes, tuple | list)
            else (operator.index(axes),)  # type: ignore[arg-type]
        )
    except TypeError:
        raise ConfigError(f"{op}: axes must be an int or ints, got {axes!r}") from None
    if not given or any(not -x.ndim <= a < x.ndim for a in given):
        raise ShapeError(f"{op}: x {x.shape} has no axes {axes}")
    along = tuple(sorted({a % x.ndim for a in given}))
    if len(along) < len(given):
        raise ShapeError(f"{op}: axes {axes} name an axis of x {x.shape} twice")
    return along


class _Vectors(NamedTuple):
    """Which axes of a tensor a vector extends over, and how it is normalised."""

    axes: tuple[int, ...]
    epsilon: float
    centred: bool

    def standardized(self, x: Tensor) -> Standardized:
        return Standardized(x, self.axes, self.epsilon, self.centred)

    def row(self, values: Tensor, x: Tensor) -> Tensor:
        """Give values, of the lengths of `axes`, axes of length 1 between, to broadcast with x."""
        lengths = tuple(n if a in self.axes else 1 for a, n in enumerate(x.shape))
        return reshape(values, lengths)

    def features(self, t: Tensor) -> Tensor:
        """Sum t, of x's shape, over all vectors: of the lengths of `axes`."""
        lengths = tuple(n if a in self.axes else 1 for a, n in enumerate(t.shape))
        return reshape(sum_to(t, lengths), tuple(t.shape[a] for a in self.axes))


class _Rows:
    """A call: its vectors as rows of memory, and what its three gradients have in common."""

    def __init__(self, x: Array, gamma: Array | None, vectors: _Vectors) -> None:
        # As the axes lie in memory, so that images that are channels-last are not turned around.
        by_stride = sorted(range(x.ndim), key=lambda a: -abs(x.strides[a]))
        self._inner = [a for a in by_stride if a in vectors.axes]
        self._order = [a for a in by_stride if a not in vectors.axes] + self._inner
        self._shape, self.vectors = x.shape, vectors
        self._length = math.prod(x.shape[a] for a in vectors.axes)
        self._x = self._flat(x)
        ones = array_module(x).ones(self._length, x.dtype)
        self._gamma = ones if gamma is None else self._features(gamma)
        self._last: list[Any] = []  # dL/dy and the gradients

    def forward(self, beta: Array | None) -> Array:
        """Return y, and keep what the gradients need."""
        x, gamma, (_, epsilon, centred) = self._x, self._gamma, self.vectors
        shift = array_module(x).zeros_like(gamma) if beta is None else self._features(beta)
        y, self._mean, self._rstd = kernels_for(x).normalize_rows(x, gamma, shift, epsilon, centred)
        return self._back(y, self._order)

    def gradients(self, grad_y: Tensor) -> tuple[Array, Array, Array]:
        """Return dL/dx, dL/dgamma and dL/dbeta, computed together."""
        if not self._last or self._last[0] is not grad_y:
            x, saved = self._x, (self._gamma, self._mean, self._rstd, self.vectors.centred)
            g = self._flat(grad_y.data)
            grad_x, *sums = kernels_for(x).normalize_rows_grad(g, x, *saved)
            features = (self._back(s.astype(x.dtype), self._inner) for s in sums)
            self._last[:] = grad_y, (self._back(grad_x, self._order), *features)
        return self._last[1]

    def _flat(self, t: Array) -> Array:
        """Lay t, of x's shape, out as (R, M), a vector to a row."""
        return t.transpose(self._order).reshape(t.size // self._length, self._length)

    def _features(self, t: Array) -> Array:
        """Lay t, of the lengths of a vector's axes, out as (M,), in the order of the rows."""
        return t.transpose([self.vectors.axes.index(a) for a in self._inner]).reshape(-1)

    def _back(self, rows: Array, order: list[int]) -> Array:
        """Undo `_flat` (order: all axes) or `_features` (the inner ones)."""
        y = rows.reshape([self._shape[a] for a in order])
        return y.transpose(sorted(range(len(order)), key=order.__getitem__))


@differentiable
def _normalize(x: Tensor, gamma: Tensor | None, beta: Tensor | None, vectors: _Vectors) -> Lifted:
    rows = _Rows(x.data, None if gamma is None else gamma.data, vectors)
    y = rows.forward(None if beta is None else beta.data)
    return y, (
        lambda grad_y: _grad_x(grad_y, x, gamma, rows),
        lambda grad_y: _grad_gamma(grad_y, x, rows),
        lambda grad_y: _grad_beta(grad_y, x, rows),
    )


# With z = (x - mean) * rstd, x moves y directly and through its vector's mean and variance; with
# E, the mean over the vector, and v = gamma * dL/dy:
#     dL/dx = rstd * (v - E[v] - z * E[v z])        (without E[v] if nothing is centred)
@differentiable
def _grad_x(grad_y: Tensor, x: Tensor, gamma: Tensor | None, rows: _Rows) -> Lifted:
    vectors = rows.vectors

    def weighted(t: Tensor) -> Tensor:
        return t if gamma is None else t * vectors.row(gamma, x)

    # The second derivatives; u is dL/d(this gradient), and the slope J is symmetric.
    def grad_grad_y(u: Tensor) -> Tensor:
        return weighted(vectors.standardized(x).slope(u))

    def grad_x(u: Tensor) -> Tensor:
        return vectors.standardized(x).curvature(u, weighted(grad_y))

    def grad_gamma(u: Tensor) -> Tensor:
        return vectors.features(grad_y * vectors.standardized(x).slope(u))

    return rows.gradients(grad_y)[0], (grad_grad_y, grad_x, grad_gamma)


# dL/dgamma = sum over all vectors of dL/dy * z
@differentiable
def _grad_gamma(grad_y: Tensor, x: Tensor, rows: _Rows) -> Lifted:
    vectors = rows.vectors

    def grad_grad_y(u: Tensor) -> Tensor:
        return vectors.standardized(x).z * vectors.row(u, x)

    def grad_x(u: Tensor) -> Tensor:
        return vectors.standardized(x).slope(grad_y * vectors.row(u, x))

    return rows.gradients(grad_y)[1], (grad_grad_y, grad_x)


# dL/dbeta = sum over all vectors of dL/dy
@differentiable
def _grad_beta(grad_y: Tensor, x: Tensor, rows: _Rows) -> Lifted:
    row = rows.vectors.row
    return rows.gradients(grad_y)[2], (lambda u: broadcast_to(row(u, x), x.shape),)


@composed
def l2_normalize(x: Tensor, axis: int | tuple[int, ...] = 1, epsilon: float = 1e-12) -> Tensor:
    """Divide each vector by its length: ``y = x / max(|x|, epsilon)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int or tuple of int, default 1
        Along which axes a vector extends; 1 is that of the channels.
    epsilon : float, default 1e-12
        The least length to divide by, so that the vector of zeros stays as it is.

    Returns
    -------
    Tensor, of x's shape
        Vectors of length 1 (where they were longer than epsilon).

    Raises
    ------
    ShapeError
        If there is no such axis.
    DTypeError
        If x is not of floats.
    ConfigError
        If epsilon is negative, or `axis` is not of ints.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"l2_normalize: needs floats, got {x.dtype}; use .astype('float32')")
    least = check_epsilon("l2_normalize", epsilon)
    along = _axes("l2_normalize", x, axis)
    if x.dtype == "float16":  # whose squares overflow from 256 on
        return astype(_divided(astype(x, "float32"), along, least), "float16")
    return _divided(x, along, least)


def _divided(x: Tensor, axes: tuple[int, ...], least: float) -> Tensor:
    # The limit is put on the square: the slope of a root is infinite at 0.
    return x / sqrt(maximum(sum(x * x, axes, keepdims=True), least * least))
