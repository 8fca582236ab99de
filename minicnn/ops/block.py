"""Convolution, batch normalisation and ReLU as one op: the fast path of the layers `Conv2d`, ...

It computes what `conv2d`, `batch_norm` and `relu` compute one after the other, in fewer sweeps
over memory; see `kernels/cpu/block.py`. Layers use it by themselves (`minicnn.nn.Conv2d` with a
``normalizer``), and fall back to the three ops where somebody wants to look in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.autograd import Lifted, Tensor, differentiable, grad
from minicnn.autograd.tensor import is_recording, walk_number
from minicnn.backend import Array, kernels_for
from minicnn.backend.precision import NARROW
from minicnn.errors import ShapeError
from minicnn.ops._standardize import check_devices, check_epsilon, check_operands
from minicnn.ops._windows import Ints, Padding
from minicnn.ops.activation import relu
from minicnn.ops.convolution import conv1d, conv2d, conv3d, prepare
from minicnn.ops.normalization import batch_norm

__all__ = ["conv_act", "conv_block", "prepare_conv_act"]

_CONVOLUTIONS = {1: conv1d, 2: conv2d, 3: conv3d}


def conv_block(
    x: Tensor,
    weight: Tensor,
    gamma: Tensor,
    beta: Tensor,
    epsilon: float = 1e-5,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    rectified: bool = True,
) -> tuple[Tensor, Array, Array]:
    """Convolve, normalise each channel by the batch's own statistics, and rectify.

    ``z = max(0, gamma * (y - mean) / sqrt(var + epsilon) + beta)`` with y the convolution of x,
    and its mean and (biased) variance over everything but the channels.

    Parameters
    ----------
    x : Tensor, shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        A batch.
    weight : Tensor, shape (O, C / groups, K), (..., KH, KW) or (..., KD, KH, KW)
        The filters.
    gamma, beta : Tensor, shape (O,)
        Scale and shift of each output channel; beside x of float16 they may be wider.
    epsilon : float, default 1e-5
        Keeps the division defined.
    stride, padding, dilation, groups
        As in `minicnn.ops.conv2d`.
    rectified : bool, default True
        Whether ReLU follows.

    Returns
    -------
    z : Tensor, shape (N, O, ...)
        Equal to that of the three ops within float32 rounding: the order of some sums differs.
    mean, var : ndarray of float64, shape (O,)
        The batch's statistics, for moving averages.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or a channel has a single value: its variance is 0.
    ConfigError
        If an option is not of its form.
    DTypeError
        If the operands are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithm 1.
    """
    options = (check_epsilon("conv_block", epsilon), stride, padding, dilation, groups)
    saved = _Saved(options, rectified, x=x, weight=weight, gamma=gamma, beta=beta)
    z = _conv_block(x, weight, gamma, beta, saved)
    return z, saved.mean[0], saved.variance[0]


def conv_act(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    normal: tuple[Array, Array, Array] | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
    rectified: bool = True,
) -> Tensor:
    """Convolve, normalise by known statistics and rectify, for inference: it has no gradient.

    ``z = max(0, (y - mean) * scale + beta)`` with y the convolution of x: batch normalisation is
    folded into one affine map.

    Parameters
    ----------
    x : Tensor, shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        A batch.
    weight : Tensor, shape (O, C / groups, K), (..., KH, KW) or (..., KD, KH, KW)
        The filters.
    bias : Tensor, shape (O,), or None
        Added to every pixel of an output channel.
    normal : tuple of three ndarray of float64, shape (1, O), optional
        mean, scale = gamma / sqrt(variance + epsilon), and beta; by default y stays as it is.
    stride, padding, dilation, groups
        As in `minicnn.ops.conv2d`.
    rectified : bool, default True
        Whether ReLU follows.

    Returns
    -------
    Tensor, shape (N, O, ...)
        Equal to that of the separate ops within float32 rounding; a constant for autograd.

    Raises
    ------
    ShapeError
        If the shapes do not fit.
    ConfigError
        If an option is not of its form.
    DTypeError
        If the operands are not of one float type.
    DeviceError
        If they are not on one device.
    """
    window, out_size, groups = prepare(
        "conv_act", x.ndim - 2, x, weight, bias, stride, padding, dilation, groups
    )
    added = None if bias is None else bias.data
    z = kernels_for(x.data).conv_act(
        x.data, weight.data, added, normal, rectified, out_size, window, groups
    )
    return Tensor(z)


def prepare_conv_act(
    x: Tensor, weight: Tensor, bias: Tensor | None, normal: Any, *geometry: Any
) -> Callable[[Tensor], Tensor]:
    """Return a function that does `conv_act` for Tensors of the shape and memory layout of x.

    It takes the weights as they are now; whoever calls it sees to it that they stay so.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        An example of what it will be called with.
    weight, bias, normal, *geometry
        As in `conv_act`, by position.

    Returns
    -------
    callable
        Takes a Tensor, returns one.
    """
    stride, padding, dilation, groups, rectified = geometry
    window, out_size, groups = prepare(
        "conv_act", x.ndim - 2, x, weight, bias, stride, padding, dilation, groups
    )
    added = None if bias is None else bias.data
    call = kernels_for(x.data).prepare_conv_act(
        x.data, weight.data, added, normal, rectified, out_size, window, groups
    )
    return lambda x: Tensor(call(x.data))


class _Saved:
    """What a call remembers for its gradients, all of which come from one sweep."""

    mean: Array  # (1, O), float64, as the others
    variance: Array

    def __init__(self, options: tuple[Any, ...], rectified: bool, **operands: Tensor) -> None:
        self.options, self.rectified = options, rectified
        self.wanted = {name: t.requires_grad for name, t in operands.items()}
        self._of: tuple[int, int] | None = None  # of which gradient, in which walk
        self._found: dict[str, Array] = {}

    def take(self, name: str, grad_z: Tensor, compute: Any) -> Tensor:
        """Return dL/d(argument); the first one asked for computes all, and none is kept longer."""
        of = id(grad_z), walk_number()  # in one walk, ids last
        if not of[1] or self._of != of or name not in self._found:
            found = compute(grad_z.data)
            self._of, self._found = of, {n: a for n, a in found.items() if self.wanted[n]}
        value = self._found.pop(name)
        if not self._found:
            self._of = None
        return Tensor(value)

    def composed(self, *operands: Tensor) -> Tensor:
        """Return z by the three ops, for derivatives of the derivatives."""
        x, weight, gamma, beta = operands
        epsilon, *geometry = self.options
        y = _CONVOLUTIONS[x.ndim - 2](x, weight, None, *geometry)
        gamma, beta = (t if t.dtype == y.dtype else t.astype(y.dtype) for t in (gamma, beta))
        v, _, _ = batch_norm(y, gamma, beta, epsilon)
        return relu(v) if self.rectified else v


@differentiable
def _conv_block(x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, saved: _Saved) -> Lifted:
    epsilon, stride, padding, dilation, groups = saved.options
    op = "conv_block"
    window, out_size, groups = prepare(
        op, x.ndim - 2, x, weight, None, stride, padding, dilation, groups
    )
    _check(x, weight, gamma, beta, out_size)
    rectified = saved.rectified
    k = kernels_for(x.data)
    y, mean, var = k.conv_moments(x.data, weight.data, out_size, window, groups)
    saved.mean, saved.variance = mean, var
    _, rstd, scale, shift = k.normalize_coefficients(mean, var, gamma.data, beta.data, epsilon)
    normal = mean, scale, shift
    z = k.normalize_act(y, *normal, rectified)

    # With v = scale * (y - mean) + beta, g = dL/dv = dL/dz where v > 0, M values in a channel and
    # s = sum g, p = sum g * (y - mean), as in section 3 of Ioffe and Szegedy:
    #     dL/dbeta = s,   dL/dgamma = p * rstd,
    #     dL/dy = scale * (g - s / M - (y - mean) * rstd^2 * p / M)
    # and from dL/dy those of the convolution, see `convolve`.
    wanted = saved.wanted["x"], saved.wanted["weight"]

    def gradients(grad_z: Array) -> dict[str, Array]:
        s, p = k.normalize_act_sums(grad_z, y, *normal, rectified)
        count = y.size // max(y.shape[1], 1)
        b, c, grad_gamma, grad_beta = k.normalize_slopes(s, p, scale, rstd, count, gamma.dtype)
        slopes = scale, b, c
        grad_x, grad_weight = k.conv_block_grad(
            grad_z, y, x.data, weight.data, normal, slopes, rectified, window, groups, wanted
        )
        return {"x": grad_x, "weight": grad_weight, "gamma": grad_gamma, "beta": grad_beta}

    def pull_back(i: int, name: str) -> Any:
        def pulled(grad_z: Tensor) -> Tensor:
            if is_recording():
                operands = x, weight, gamma, beta
                return grad(saved.composed(*operands), [operands[i]], grad_z, create_graph=True)[0]
            return saved.take(name, grad_z, gradients)

        return pulled

    return z, tuple(pull_back(i, n) for i, n in enumerate(("x", "weight", "gamma", "beta")))


def _check(
    x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, out_size: tuple[int, ...]
) -> None:
    """Refuse operands that do not fit one another."""
    if gamma.shape != weight.shape[:1] or beta.shape != weight.shape[:1]:
        raise ShapeError(
            f"conv_block: gamma {gamma.shape} and beta {beta.shape} do not fit x {x.shape} and "
            f"weight {weight.shape}; give {weight.shape[0]} values, one for each output channel"
        )
    if x.dtype == NARROW:  # in mixed precision the normaliser keeps its own type
        check_operands("conv_block", x=x, weight=weight)
        check_operands("conv_block", gamma=gamma, beta=beta)
        check_devices("conv_block", x=x, weight=weight, gamma=gamma, beta=beta)
    else:
        check_operands("conv_block", x=x, weight=weight, gamma=gamma, beta=beta)
    values = len(x)
    for length in out_size:
        values *= length
    if values < 2:
        raise ShapeError(
            f"conv_block: x {x.shape} gives {values} value(s) a channel; training needs at least "
            "2: use a larger batch (drop_remainder=True drops a last batch of one), or eval()"
        )
