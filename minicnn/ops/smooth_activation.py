"""Smooth non-linearities: rectification without its kink, and what they are made of.

Each has three formulas: the value and the slope, computed by kernels in one pass
each, and the second derivative, written with ops here so that it can be
differentiated as often as one likes.
"""

from __future__ import annotations

import math

from minicnn.autograd import (
    Lifted,
    Tensor,
    absolute,
    clip,
    composed,
    differentiable,
    exp,
    minimum,
    reciprocal,
    tanh,
    where,
)
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError
from minicnn.ops._pointwise import floats, slope_at
from minicnn.ops.activation import sigmoid

__all__ = [
    "celu", "elu", "gelu", "log_sigmoid", "mish", "selu", "silu", "softplus", "softsign",
]  # fmt: skip


@differentiable
def silu(x: Tensor, beta: float = 1.0) -> Lifted:
    """Gate a number by itself: ``y = x * sigmoid(beta * x)``, also called swish.

    Parameters
    ----------
    x : Tensor
        Any shape.
    beta : float, default 1
        How sharply the gate opens: 0 makes y = x/2, infinity would make it `relu`.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Elfwing, Uchibe and Doya, "Sigmoid-weighted linear units for neural network function
    approximation in reinforcement learning", Neural Networks 107 (2018).
    Ramachandran, Zoph and Le, "Searching for activation functions", arXiv:1710.05941.
    """
    floats("silu", x)
    beta = float(beta)

    # With z = beta x and s = sigmoid z, ds/dx = beta s (1 - s):
    #     y' = s + z s (1 - s),   y'' = beta s (1 - s) (2 + z (1 - 2 s))
    def bend(x: Tensor) -> Tensor:
        z = beta * x
        s = sigmoid(z)
        return beta * s * (1.0 - s) * (2.0 + z * (1.0 - 2.0 * s))

    return kernels_for(x.data).silu(x.data, beta), (slope_at(x, "silu_grad", bend, beta),)


@differentiable
def gelu(x: Tensor, approximate: str = "none") -> Lifted:
    """Weigh a number by how likely a normal one is smaller: ``y = x * (1 + erf(x/sqrt 2)) / 2``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    approximate : str, default "none"
        ``"tanh"``: ``y = x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x**3))) / 2``, as the paper has
        it; off by less than 0.0005.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If `approximate` is neither "none" nor "tanh".

    References
    ----------
    Hendrycks and Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415.
    """
    floats("gelu", x)
    if approximate not in ("none", "tanh"):
        raise ConfigError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")
    k = kernels_for(x.data)
    if approximate == "tanh":
        return k.gelu_tanh(x.data), (slope_at(x, "gelu_tanh_grad", _bend_of_gelu_tanh),)
    return k.gelu(x.data), (slope_at(x, "gelu_grad", _bend_of_gelu),)


def _bend_of_gelu(x: Tensor) -> Tensor:
    # y = x P(x), where P' = p = e**(-x**2/2) / sqrt(2 pi) and p' = -x p:
    #     y' = P + x p,   y'' = p (2 - x**2)
    x = clip(x, -40.0, 40.0)  # further out p is 0, while x**2 may overflow
    return math.sqrt(0.5 / math.pi) * exp(-0.5 * x * x) * (2.0 - x * x)


def _bend_of_gelu_tanh(x: Tensor) -> Tensor:
    # y = x (1 + t) / 2, where t = tanh u, t' = (1 - t**2) u' and u = c (x + a x**3):
    #     y' = (1 + t + x t') / 2
    #     y'' = t' + x t''/2 = (1 - t**2) (u' + x (u''/2 - t u'**2))
    x = clip(x, -10.0, 10.0)  # further out 1 - t**2 is 0, while x**3 may overflow
    c, a = math.sqrt(2 / math.pi), 0.044715
    t = tanh(c * x * (1.0 + a * x * x))
    slope, half_bend = c * (1.0 + 3.0 * a * x * x), 3.0 * c * a * x
    return (1.0 - t * t) * (slope + x * (half_bend - t * slope * slope))


@differentiable
def elu(x: Tensor, alpha: float = 1.0) -> Lifted:
    """Rectify softly: ``y = x`` where x > 0, else ``alpha * (e**x - 1)``.

    Its mean is nearer to 0 than that of `relu`, and its slope for x < 0 is ``alpha * e**x``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    alpha : float, default 1
        Minus the limit of y for small x; 1 makes the slope continuous.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Clevert, Unterthiner and Hochreiter, "Fast and accurate deep network learning by exponential
    linear units (ELUs)", ICLR 2016, equation 4.
    """
    return _elu("elu", x, float(alpha), 1.0, 1.0)


@differentiable
def celu(x: Tensor, alpha: float = 1.0) -> Lifted:
    """Rectify softly, without a kink: ``y = x`` where x > 0, else ``alpha * (e**(x/alpha) - 1)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    alpha : float, default 1
        Minus the limit of y for small x; the slope is continuous whatever it is.

    Returns
    -------
    Tensor
        Of x's shape.

    Raises
    ------
    ConfigError
        If `alpha` is not positive.

    References
    ----------
    Barron, "Continuously differentiable exponential linear units", arXiv:1704.07483.
    """
    if not alpha > 0:
        raise ConfigError(f"celu: alpha must be positive, got {alpha}")
    return _elu("celu", x, float(alpha), 1.0 / float(alpha), 1.0)


@differentiable
def selu(x: Tensor, alpha: float = 1.6732632423543772, scale: float = 1.0507009873554805) -> Lifted:
    """Rectify so that means stay 0 and variances 1: ``scale * elu(x, alpha)``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    alpha, scale : float
        By default the numbers for which mean 0 and variance 1 are a stable fixed point, with
        weights drawn with variance 1 / inputs.

    Returns
    -------
    Tensor
        Of x's shape.

    References
    ----------
    Klambauer et al., "Self-normalizing neural networks", NIPS 2017, equations 2 and 14.
    """
    return _elu("selu", x, float(alpha), 1.0, float(scale))


def _elu(op: str, x: Tensor, alpha: float, rate: float, scale: float) -> Lifted:
    """Compute y = scale * (x where x > 0, else alpha (e**(rate x) - 1))."""
    floats(op, x)

    # Above 0, y' = scale and y'' = 0; below,
    #     y' = scale alpha rate e**(rate x),   y'' = scale alpha rate**2 e**(rate x)
    def bend(x: Tensor) -> Tensor:
        return where(x.data > 0, 0.0, scale * alpha * rate**2 * exp(rate * minimum(x, 0.0)))

    y = kernels_for(x.data).elu(x.data, alpha, rate, scale)
    return y, (slope_at(x, "elu_grad", bend, alpha, rate, scale),)


@differentiable
def softplus(x: Tensor, beta: float = 1.0) -> Lifted:
    """Rectify smoothly: ``y = log(1 + e**(beta * x)) / beta``, whose slope is the sigmoid.

    Computed as ``(max(z, 0) + log(1 + e**-|z|)) / beta`` with ``z = beta * x``, so that nothing
    overflows.

    Parameters
    ----------
    x : Tensor
        Any shape.
    beta : float, default 1
        How sharp the bend at 0 is; infinity would make it `relu`.

    Returns
    -------
    Tensor
        Of x's shape; positive.

    Raises
    ------
    ConfigError
        If `beta` is not positive.

    References
    ----------
    Dugas et al., "Incorporating second-order functional knowledge for better option pricing",
    NIPS 2000.
    """
    floats("softplus", x)
    if not beta > 0:
        raise ConfigError(f"softplus: beta must be positive, got {beta}")
    beta = float(beta)

    # y' = s with s = sigmoid(beta x),   y'' = beta s (1 - s)
    def bend(x: Tensor) -> Tensor:
        s = sigmoid(beta * x)
        return beta * s * (1.0 - s)

    y = kernels_for(x.data).softplus(x.data, beta)
    return y, (slope_at(x, "softplus_grad", bend, beta),)


@composed
def log_sigmoid(x: Tensor) -> Tensor:
    """Compute ``y = log(1 / (1 + e**-x))`` without rounding to log 0; ``dL/dx = dL/dy * s(-x)``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of x's shape; negative.
    """
    return -softplus(-floats("log_sigmoid", x))


@differentiable
def softsign(x: Tensor) -> Lifted:
    """Squash into (-1, 1), more slowly than tanh: ``y = x / (1 + |x|)``.

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
    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010, section 3.
    """
    floats("softsign", x)

    # y' = (1 + |x| - x sign x) / (1 + |x|)**2, so dL/dx = dL/dy / (1 + |x|)**2
    def grad_x(grad_y: Tensor) -> Tensor:
        nearness = reciprocal(1.0 + absolute(x))
        return grad_y * nearness * nearness

    return kernels_for(x.data).softsign(x.data), (grad_x,)


@differentiable
def mish(x: Tensor) -> Lifted:
    """Gate a number by its softplus: ``y = x * tanh(log(1 + e**x))``.

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
    Misra, "Mish: a self regularized non-monotonic activation function", BMVC 2020, equation 1.
    """
    floats("mish", x)

    # With s = sigmoid x and t = tanh(softplus x), whose slope is t' = (1 - t**2) s:
    #     y' = t + x t',   y'' = 2 t' + x t'',   t'' = t' (1 - s - 2 t s)
    def bend(x: Tensor) -> Tensor:
        s, t = sigmoid(x), tanh(softplus(x))
        slope = (1.0 - t * t) * s
        return slope * (2.0 + x * (1.0 - s - 2.0 * t * s))

    return kernels_for(x.data).mish(x.data), (slope_at(x, "mish_grad", bend),)
