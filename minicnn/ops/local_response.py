"""Local response normalisation: channels beside one another hold one another down."""

from __future__ import annotations

import math
import numbers
import operator

from minicnn.autograd import Lifted, Tensor, astype, composed, differentiable, sqrt
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError

__all__ = ["local_response_norm"]


@composed
def local_response_norm(
    x: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """Divide each value by what the same pixel holds in the channels around it.

    ``y[c] = x[c] / (k + alpha / size * sum_j x[j]**2) ** beta``, where j runs over the `size`
    channels from ``c - (size - 1) // 2`` to ``c + size // 2``, as far as there are any. That is
    ONNX's LRN, and for odd sizes PyTorch's; of an even size PyTorch puts the odd channel before.
    The paper's alpha is not divided by the size: AlexNet is ``size=5, alpha=5e-4, k=2``.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch of anything with channels.
    size : int, default 5
        How many channels make a neighbourhood.
    alpha : float, default 1e-4
        Weight of their mean square.
    beta : float, default 0.75
        The exponent.
    k : float, default 1
        Keeps the division defined.

    Returns
    -------
    Tensor, of x's shape
        The normalised batch.

    Raises
    ------
    ShapeError
        If x has no channels.
    DTypeError
        If x is not of floats.
    ConfigError
        If `size` is not an int >= 1, or another option not a number.

    References
    ----------
    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NIPS 2012, section 3.3.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"local_response_norm: needs axes (N, C, ...), got shape {x.shape}")
    if x.dtype.kind != "f":
        raise DTypeError(
            f"local_response_norm: needs floats, got {x.dtype}; use .astype('float32')"
        )
    if isinstance(size, bool) or not hasattr(size, "__index__") or size < 1:
        raise ConfigError(f"local_response_norm: size must be an int >= 1, got {size!r}")
    for name, value in (("alpha", alpha), ("beta", beta), ("k", k)):
        if not isinstance(value, numbers.Real) or not math.isfinite(value):
            raise ConfigError(f"local_response_norm: {name} must be a number, got {value!r}")
    options = operator.index(size), float(alpha), float(beta), float(k)
    if x.dtype == "float16":  # whose squares overflow from 256 on
        return astype(_normalized(astype(x, "float32"), *options), "float16")
    return _normalized(x, *options)


# With d = k + alpha/size * sum_j x[j]^2, channel i moves y[i] directly and every y[c] in whose
# neighbourhood it is:
#     dL/dx[i] = dL/dy[i] * d[i]^-beta
#                - 2 alpha/size beta x[i] * sum over those c of dL/dy[c] x[c] d[c]^(-beta-1)
# The ops below have just this gradient, and a gradient of that: the sum over those c is the
# transpose of the sum over a neighbourhood, with before and after exchanged.
def _normalized(x: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    squares = _sum_channels(x * x, (size - 1) // 2, size // 2)
    d = k + alpha / size * squares
    if beta == 0.75:  # as in the paper: roots are several times faster than powers
        root = sqrt(d)
        return x / (root * sqrt(root))
    return x * d**-beta


@differentiable
def _sum_channels(x: Tensor, before: int, after: int) -> Lifted:
    y = kernels_for(x.data).sum_channels(x.data, before, after)
    return y, (lambda grad_y: _sum_channels(grad_y, after, before),)
