"""Non-linearities of straight lines: cheap, and exact in few bits."""

from __future__ import annotations

from minicnn.autograd import Lifted, Tensor, composed, differentiable, where
from minicnn.autograd._checks import axis_of
from minicnn.backend import array_module, kernels_for
from minicnn.errors import ConfigError
from minicnn.ops._pointwise import floats, slope_at

__all__ = [
    "hard_sigmoid", "hard_swish", "hard_tanh", "hardmax", "relu6", "shrink", "thresholded_relu",
]  # fmt: skip


@differentiable
def hard_tanh(x: Tensor, low: float = -1.0, high: float = 1.0) -> Lifted:
    """Limit to a range: ``y = min(max(x, low), high)``; slope 1 inside, 0 outside and at the ends.

    Parameters
    ----------
    x : Tensor
        Any shape.
    low, high : float, default -1 and 1
        The range.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If `low` is above `high`.

    References
    ----------
    Collobert, "Large scale machine learning", PhD thesis, Universite Paris VI (2004).
    """
    floats("hard_tanh", x)
    if not low <= high:
        raise ConfigError(f"hard_tanh: low {low} is above high {high}; swap them")
    low, high = float(low), float(high)
    y = kernels_for(x.data).hard_tanh(x.data, low, high)
    return y, (slope_at(x, "hard_tanh_grad", None, low, high),)


@composed
def relu6(x: Tensor) -> Tensor:
    """Rectify, and limit to 6: ``y = min(max(x, 0), 6)``; slope 1 between, else 0.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Krizhevsky, "Convolutional deep belief networks on CIFAR-10" (2010); used in Sandler et al.,
    "MobileNetV2", CVPR 2018.
    """
    return hard_tanh(floats("relu6", x), 0.0, 6.0)


@composed
def hard_sigmoid(x: Tensor, alpha: float = 1 / 6, beta: float = 0.5) -> Tensor:
    """Squash into 0 to 1 along a line: ``y = min(max(alpha * x + beta, 0), 1)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    alpha : float, default 1/6
        The slope where y is between 0 and 1; elsewhere it is 0.
    beta : float, default 0.5
        The value at 0.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Courbariaux, Bengio and David, "BinaryConnect", NIPS 2015, equation 3 (alpha 1/2); Howard et
    al., "Searching for MobileNetV3", ICCV 2019 (alpha 1/6).
    """
    return hard_tanh(floats("hard_sigmoid", x) * float(alpha) + float(beta), 0.0, 1.0)


@differentiable
def hard_swish(x: Tensor) -> Lifted:
    """Gate a number by its `hard_sigmoid`: ``y = x * min(max(x/6 + 1/2, 0), 1)``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Howard et al., "Searching for MobileNetV3", ICCV 2019, section 5.2.
    """
    floats("hard_swish", x)

    # y' = 0 below -3, x/3 + 1/2 between, 1 above 3, so y'' = 1/3 between, else 0
    def bend(x: Tensor) -> Tensor:
        return Tensor((abs(x.data) < 3).astype(x.dtype) / 3.0)

    return kernels_for(x.data).hard_swish(x.data), (slope_at(x, "hard_swish_grad", bend),)


@composed
def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """Pass what is above a threshold: ``y = x`` where x > alpha, else 0.

    Parameters
    ----------
    x : Tensor
        Any shape.
    alpha : float, default 1
        The threshold.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Konda, Memisevic and Krueger, "Zero-bias autoencoders and the benefits of co-adapting
    features", ICLR 2015.
    """
    x = floats("thresholded_relu", x)
    return where(x.data <= alpha, 0.0, x)  # a NaN is not <= alpha


@composed
def shrink(x: Tensor, lambd: float = 0.5, bias: float = 0.0) -> Tensor:
    """Silence small numbers: ``y = x - bias * sign(x)`` where |x| > lambd, else 0.

    With `bias` 0 it is called hard shrinkage, with `bias` = `lambd` soft shrinkage.

    Parameters
    ----------
    x : Tensor
        Any shape.
    lambd : float, default 0.5
        What counts as small; not negative.
    bias : float, default 0
        By how much the others move towards 0.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If `lambd` is negative.

    References
    ----------
    Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81 (1994).
    """
    x = floats("shrink", x)
    if not lambd >= 0:
        raise ConfigError(f"shrink: lambd must not be negative, got {lambd}")
    towards = Tensor(array_module(x.data).sign(x.data) * float(bias))
    return where(abs(x.data) <= lambd, 0.0, x - towards)


@differentiable
def hardmax(x: Tensor, axis: int = 1) -> Lifted:
    """Mark the largest score along an axis: ``y_k = 1`` where ``x_k = max_j x_j``, else 0.

    It is flat between its jumps: its gradient is 0, as that of `floor`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    axis : int, default 1
        The classes' axis.

    Returns
    -------
    Tensor
        Of x's shape; of equal scores the first wins, and NaN counts as the largest of all.
    """
    floats("hardmax", x)
    xp, at = array_module(x.data), axis_of("hardmax", axis, x.shape)
    y = x.data.copy()
    if x.size:
        classes = xp.arange(x.shape[at]).reshape(-1, *(1,) * (x.ndim - 1 - at))
        y = (classes == xp.expand_dims(x.data.argmax(axis=at), at)).astype(x.dtype)
    # y is flat between its jumps: dL/dx = 0
    return y, (lambda g: Tensor(array_module(g.data).zeros_like(g.data)),)
