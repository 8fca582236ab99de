"""Normalisation of channels over a batch, an image or a group: mean 0, variance 1, rescaled.

Batch, instance and group normalisation differ only in which values share their statistics
(Wu and He, "Group Normalization", ECCV 2018, figure 2); one op computes all three.
"""

from __future__ import annotations

import math
import operator
from typing import Any, NamedTuple

from minicnn.autograd import Lifted, Tensor, broadcast_to, composed, differentiable, reshape, sum_to
from minicnn.autograd.tensor import walk_number
from minicnn.backend import Array, kernels_for
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._standardize import Standardized, check_devices, check_epsilon, check_operands

__all__ = ["batch_norm", "batch_norm_inference", "group_norm", "instance_norm"]


@composed
def batch_norm(
    x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float = 1e-5
) -> tuple[Tensor, Array, Array]:
    """Normalise each channel by the batch's own mean and variance, as in training.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, with the mean and the (biased)
    variance of each channel taken over every axis but the channels'.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        A batch; at least two values a channel.
    gamma, beta : Tensor, shape (C,)
        Scale and shift.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    y : Tensor, of x's shape
        The normalised batch.
    mean, var : ndarray of float64, shape (C,)
        The batch's statistics, for moving averages.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a channel has a single value: its variance is 0.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    DeviceError
        If they are not all on one device.
    ConfigError
        If epsilon is negative.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    _check("batch_norm", x, gamma, beta)
    values = x.size // max(x.shape[1], 1)
    if values < 2:
        raise ShapeError(
            f"batch_norm: x {x.shape} has {values} value(s) a channel; training needs at least 2: "
            "use a larger batch (drop_remainder=True drops a last batch of one), or eval()"
        )
    sharing = _Sharing(x.shape[1], False, check_epsilon("batch_norm", epsilon))
    mean, var = sharing.moments(x.data)
    return _normalize(x, gamma, beta, sharing, mean, var), mean[0], var[0]


@composed
def instance_norm(
    x: Tensor,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise each channel of each image by its own mean and variance.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``, with the mean and the (biased)
    variance taken over the spatial axes: contrast and brightness of a picture are gone.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch of signals, images or volumes.
    gamma, beta : Tensor, shape (C,), optional
        Scale and shift; by default none.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised images.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or an image has fewer than two pixels: their variance is 0.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    DeviceError
        If they are not all on one device.
    ConfigError
        If epsilon is negative.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016, equation 2.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    _check("instance_norm", x, gamma, beta)
    pixels = math.prod(x.shape[2:])
    if x.ndim < 3 or pixels < 2:
        raise ShapeError(
            f"instance_norm: x {x.shape} must be (N, C, ...) with at least 2 pixels; one value has "
            "no spread: use group_norm or layer_norm"
        )
    sharing = _Sharing(x.shape[1], True, check_epsilon("instance_norm", epsilon))
    return _normalize(x, gamma, beta, sharing, *sharing.moments(x.data))


@composed
def group_norm(
    x: Tensor,
    groups: int,
    gamma: Tensor | None = None,
    beta: Tensor | None = None,
    epsilon: float = 1e-5,
) -> Tensor:
    """Normalise groups of channels of each image by their own mean and variance.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``; the channels are cut into `groups`
    equal parts, and the mean and the (biased) variance taken over a part's channels and pixels.
    Unlike `batch_norm` it does not depend on the rest of the batch. One group is layer
    normalisation of whole images, as many as channels are `instance_norm`.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        A batch of anything with channels.
    groups : int
        Into how many parts G the channels are cut; divides C.
    gamma, beta : Tensor, shape (C,), optional
        Scale and shift of each channel; by default none.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised batch.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a group has fewer than two values.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    DeviceError
        If they are not all on one device.
    ConfigError
        If `groups` does not divide the channels, or epsilon is negative.

    References
    ----------
    Wu and He, "Group Normalization", ECCV 2018, section 3.1.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    _check("group_norm", x, gamma, beta)
    channels = x.shape[1]
    if not hasattr(groups, "__index__") or groups < 1 or channels % operator.index(groups):
        raise ConfigError(
            f"group_norm: groups must be an int that divides the {channels} channels of x "
            f"{x.shape}, got {groups!r}"
        )
    if math.prod(x.shape[1:]) < 2 * groups:
        raise ShapeError(
            f"group_norm: x {x.shape} has fewer than 2 values in each of {groups} groups; one "
            "value has no spread: use fewer groups"
        )
    sharing = _Sharing(operator.index(groups), True, check_epsilon("group_norm", epsilon))
    return _normalize(x, gamma, beta, sharing, *sharing.moments(x.data))


class _Sharing(NamedTuple):
    """Which values share their statistics."""

    groups: int  # parts of the channels; a part has one mean and one variance
    per_image: bool  # in each image; or in all of them together
    epsilon: float

    def moments(self, x: Array) -> tuple[Array, Array]:
        """Return mean and variance, float64 (I, C): I is N, or 1 for all images."""
        mean, var = kernels_for(x).moments(x, self.per_image)
        if self.groups == x.shape[1]:
            return mean, var
        # The variance of a group is the mean of its channels' and the variance of their means.
        group_mean = self.average(mean)
        return group_mean, self.average(var) + self.average((mean - group_mean) ** 2)

    def average(self, cells: Array) -> Array:
        """Return for each channel of cells (I, C) the mean of its group, (I, C)."""
        if self.groups == cells.shape[1]:
            return cells
        size = cells.shape[1] // self.groups
        means = cells.reshape(-1, size).mean(axis=1).reshape(len(cells), self.groups)
        return means.repeat(size, axis=1)

    def fold(self, t: Tensor) -> Tensor:
        """Split the channels of t (N, C, ...): (N, G, C / G, ...)."""
        n, c, *space = t.shape
        return reshape(t, (n, self.groups, c // self.groups, *space))

    def row(self, values: Tensor, ndim: int) -> Tensor:
        """Turn values (C,) into (1, G, C / G, 1, ...), to be broadcast with what is folded."""
        return reshape(values, (1, self.groups, -1, *(1,) * (ndim - 2)))

    def standardized(self, x: Tensor) -> Standardized:
        axes = (*(() if self.per_image else (0,)), *range(2, x.ndim + 1))
        return Standardized(self.fold(x), axes, self.epsilon)


class _Saved(NamedTuple):
    """What the three gradients of a call have in common."""

    sharing: _Sharing
    gamma: Tensor | None
    mean: Array  # (I, C), float64, as the others
    rstd: Array
    scale: Array
    last: list[Any]  # which dL/dy in which walk, and what follows from it

    def of(self, grad_y: Tensor, x: Tensor) -> tuple[Array, ...]:
        """Return what `_found` does, which all three gradients need, and look for it once."""
        of = id(grad_y), walk_number()  # in one walk, ids last
        if not of[1] or not self.last or self.last[0] != of:
            self.last[:] = of, self._found(grad_y.data, x.data)
        return self.last[1]

    # With z = (x - mean) * rstd, x moves y directly and through the mean and the variance of its
    # group (Ioffe and Szegedy, section 3); M values share them, and v = gamma * dL/dy:
    #     dL/dx = rstd * (v - sum v / M - z * sum(v z) / M)
    # dL/dgamma = sum of dL/dy * z, and dL/dbeta = sum of dL/dy, over the images as well.
    def _found(self, grad_y: Array, x: Array) -> tuple[Array, ...]:
        """Return b, c of dL/dx = scale * dL/dy + b * (x - mean) + c; dL/dgamma and dL/dbeta."""
        k, sharing, rstd = kernels_for(x), self.sharing, self.rstd
        total, product = k.normalize_sums(grad_y, x, self.mean)
        size = x.size // max(total.size, 1)  # values of a channel
        if len(rstd) == 1 and sharing.groups == x.shape[1]:
            return k.normalize_slopes(total, product, self.scale, rstd, size, x.dtype)
        gamma = 1 if self.gamma is None else self.gamma.data
        a_v, a_vz = sharing.average(gamma * total), sharing.average(gamma * product)
        slopes = -(rstd**3) * a_vz / size, -rstd * a_v / size
        return *slopes, *(a.sum(axis=0).astype(x.dtype) for a in (product * rstd, total))


@differentiable
def _normalize(
    x: Tensor,
    gamma: Tensor | None,
    beta: Tensor | None,
    sharing: _Sharing,
    mean: Array,
    var: Array,
) -> Lifted:
    k, *known = kernels_for(x.data), *(None if t is None else t.data for t in (gamma, beta))
    _, rstd, scale, shift = k.normalize_coefficients(mean, var, *known, sharing.epsilon)
    y = k.normalize(x.data, mean, scale, shift)
    saved = _Saved(sharing, gamma, mean, rstd, scale, [])
    return y, (
        lambda grad_y: _grad_x(grad_y, x, gamma, saved),
        lambda grad_y: _grad_gamma(grad_y, x, saved),
        lambda grad_y: _grad_beta(grad_y, x, saved),
    )


@differentiable
def _grad_x(grad_y: Tensor, x: Tensor, gamma: Tensor | None, saved: _Saved) -> Lifted:
    sharing = saved.sharing
    b, c, *_ = saved.of(grad_y, x)
    y = kernels_for(x.data).normalize_grad_x(grad_y.data, x.data, saved.mean, saved.scale, b, c)

    def weighted(t: Tensor) -> Tensor:
        folded = sharing.fold(t)
        return folded if gamma is None else folded * sharing.row(gamma, x.ndim)

    # The second derivatives; u is dL/d(this gradient), and the slope J is symmetric.
    def slope(u: Tensor) -> Tensor:
        return reshape(sharing.standardized(x).slope(sharing.fold(u)), x.shape)

    def grad_grad_y(u: Tensor) -> Tensor:
        return reshape(weighted(slope(u)), x.shape)

    def grad_x(u: Tensor) -> Tensor:
        curved = sharing.standardized(x).curvature(sharing.fold(u), weighted(grad_y))
        return reshape(curved, x.shape)

    def grad_gamma(u: Tensor) -> Tensor:
        return _over_channels(grad_y * slope(u))

    return y, (grad_grad_y, grad_x, grad_gamma)


@differentiable
def _grad_gamma(grad_y: Tensor, x: Tensor, saved: _Saved) -> Lifted:
    sharing = saved.sharing
    y = saved.of(grad_y, x)[2]

    def grad_grad_y(u: Tensor) -> Tensor:
        return reshape(sharing.standardized(x).z * sharing.row(u, x.ndim), x.shape)

    def grad_x(u: Tensor) -> Tensor:
        v = sharing.fold(grad_y) * sharing.row(u, x.ndim)
        return reshape(sharing.standardized(x).slope(v), x.shape)

    return y, (grad_grad_y, grad_x)


@differentiable
def _grad_beta(grad_y: Tensor, x: Tensor, saved: _Saved) -> Lifted:
    row, shape = (-1, *(1,) * (x.ndim - 2)), x.shape
    y = saved.of(grad_y, x)[3]
    return y, (lambda u: broadcast_to(reshape(u, row), shape),)


def _over_channels(t: Tensor) -> Tensor:
    """Sum t (N, C, ...) over all axes but the channels', (C,)."""
    return reshape(sum_to(t, (1, t.shape[1], *(1,) * (t.ndim - 2))), (-1,))


@composed
def batch_norm_inference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, epsilon: float = 1e-5
) -> Tensor:
    """Normalise each channel by a given mean and variance, as after training.

    ``y = gamma * (x - mean) / sqrt(var + epsilon) + beta``; one affine map for each channel.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        A batch of any size.
    gamma, beta : Tensor, shape (C,)
        Scale and shift.
    mean, var : ndarray, shape (C,)
        Moving averages of training; constants here.
    epsilon : float, default 1e-5
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised batch.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    DTypeError
        If x, gamma and beta are of different types, or not floats.
    DeviceError
        If the arguments are not all on one device.
    ConfigError
        If epsilon is negative.
    """
    op = "batch_norm_inference"
    x = x if isinstance(x, Tensor) else Tensor(x)
    mean, var = (a.data if isinstance(a, Tensor) else a for a in (mean, var))
    _check(op, x, gamma, beta)
    for name, statistic in (("mean", mean), ("var", var)):
        if statistic.shape != x.shape[1:2]:
            raise ShapeError(
                f"{op}: {name} has shape {statistic.shape}, x {x.shape} needs {x.shape[1:2]}"
            )
    check_devices(op, x=x, mean=mean, var=var)
    return _batch_norm_inference(x, gamma, beta, mean, var, check_epsilon(op, epsilon))


@differentiable
def _batch_norm_inference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Array, var: Array, epsilon: float
) -> Lifted:
    k, given = kernels_for(x.data), (mean[None], var[None], gamma.data, beta.data)
    wide_mean, rstd, scale, shift = k.normalize_coefficients(*given, epsilon)
    y = k.normalize(x.data, wide_mean, scale, shift)
    row = (1, -1, *(1,) * (x.ndim - 2))

    def constant(values: Array) -> Tensor:
        return Tensor(values.astype(x.dtype).reshape(row))

    # One affine map: dL/dx = dL/dy * gamma * rstd
    def grad_x(grad_y: Tensor) -> Tensor:
        return grad_y * (gamma.reshape(row) * constant(rstd))

    # dL/dgamma = sum of dL/dy * (x - mean) * rstd
    def grad_gamma(grad_y: Tensor) -> Tensor:
        # The mean in two parts, so that rounding it to x's type loses nothing of x - mean.
        centre = wide_mean.astype(x.dtype)
        near, rest = constant(centre), constant(centre - wide_mean)
        return _over_channels(grad_y * ((x - near + rest) * constant(rstd)))

    return y, (grad_x, grad_gamma, _over_channels)


def _check(op: str, x: Tensor, gamma: Tensor | None, beta: Tensor | None) -> None:
    """Refuse operands that do not fit one another."""
    given = {"gamma": gamma, "beta": beta}
    shapes = {name: t.shape for name, t in given.items() if t is not None}
    if x.ndim < 2 or any(shape != x.shape[1:2] for shape in shapes.values()):
        found = " and ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ShapeError(
            f"{op}: x {x.shape} needs axes (N, C, ...)"
            + (f", {found} one value for each channel" if found else "")
        )
    check_operands(op, x=x, **given)
