"""Lp pooling: the p-norm of each window, or of a whole image.

p = 1 adds up sizes, p = 2 is the root of the energy, and the larger p, the nearer it comes to
the largest size.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Lifted, Tensor, astype, composed, differentiable, of_output, reshape
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError
from minicnn.ops._spans import Spans, bins, window_spans
from minicnn.ops._windows import Ints, Padding
from minicnn.ops.pooling import floats, images, sliding

__all__ = [
    "global_lp_pool1d",
    "global_lp_pool2d",
    "global_lp_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
]


@composed
def lp_pool1d(
    x: Tensor,
    size: Ints,
    p: float = 2.0,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Compute the p-norm of each window of a signal.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    size : int
        Window length KL, in samples.
    p : float, default 2
        The exponent, >= 1.
    stride : int, optional
        Step SL, in samples; by default `size`.
    padding, dilation, ceil_mode
        As in `lp_pool2d`, for one axis; a pair of paddings is ``((before, after),)``.

    Returns
    -------
    Tensor, shape (N, C, OL)
        ``y = (sum |x|^p)^(1/p)``; a window of zeros has gradient 0.

    Raises
    ------
    ShapeError
        If x is not of signals with samples, or the window does not fit in the padded signal.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.
    """
    return _lp_pool(1, x, size, p, stride, padding, dilation, ceil_mode)


@composed
def lp_pool2d(
    x: Tensor,
    size: Ints,
    p: float = 2.0,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Compute the p-norm of each window of an image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images; halves are added up in single precision.
    size : int or (int, int)
        Window height and width KH, KW, in pixels.
    p : float, default 2
        The exponent, >= 1; for infinity take `max_pool2d` of `absolute`.
    stride : int or (int, int), optional
        Step down and across SH, SW, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of zeros around the image, in pixels: as much as leaves every window a
        pixel of the image.
    dilation : int or (int, int), default 1
        Distance DH, DW between neighbouring pixels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where pixels (or padding) remain after the last that
        fits, so that OH is rounded up; only a window that starts in the image, or in the padding
        before it, is.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        ``y = (sum |x|^p)^(1/p)`` over the pixels of each window (a sum, not a mean), where
        ``OH = (H + before + after - DH*(KH - 1) - 1) // SH + 1``, and likewise OW. The norm has
        a kink where all of a window is zero; its gradient there is 0.

    Raises
    ------
    ShapeError
        If x is not of images with pixels, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.

    References
    ----------
    Gulcehre et al., "Learned-Norm Pooling for Deep Feedforward and Recurrent Neural Networks",
    ECML 2014, section 2.
    """
    return _lp_pool(2, x, size, p, stride, padding, dilation, ceil_mode)


@composed
def lp_pool3d(
    x: Tensor,
    size: Ints,
    p: float = 2.0,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """Compute the p-norm of each window of a volume.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    size : int or (int, int, int)
        Window depth, height and width KD, KH, KW, in voxels.
    p : float, default 2
        The exponent, >= 1.
    stride : int or (int, int, int), optional
        Steps SD, SH, SW, in voxels; by default `size`.
    padding, dilation, ceil_mode
        As in `lp_pool2d`, for three axes.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        ``y = (sum |x|^p)^(1/p)``; a window of zeros has gradient 0.

    Raises
    ------
    ShapeError
        If x is not of volumes with voxels, or the window does not fit in the padded volume.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.
    """
    return _lp_pool(3, x, size, p, stride, padding, dilation, ceil_mode)


@composed
def global_lp_pool1d(x: Tensor, p: float = 2.0) -> Tensor:
    """Compute the p-norm of each channel over the whole signal.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    p : float, default 2
        The exponent, >= 1.

    Returns
    -------
    Tensor, shape (N, C)
        ``y = (sum |x|^p)^(1/p)``; where all is zero the gradient is 0.

    Raises
    ------
    ShapeError
        If x has another number of axes or no samples.
    ConfigError
        If p is less than 1.
    DTypeError
        If x is not of floats.
    """
    return _global_lp_pool(1, x, p)


@composed
def global_lp_pool2d(x: Tensor, p: float = 2.0) -> Tensor:
    """Compute the p-norm of each channel over the whole image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    p : float, default 2
        The exponent, >= 1.

    Returns
    -------
    Tensor, shape (N, C)
        ``y = (sum |x|^p)^(1/p)``; where all is zero the gradient is 0.

    Raises
    ------
    ShapeError
        If x has another number of axes or no pixels.
    ConfigError
        If p is less than 1.
    DTypeError
        If x is not of floats.
    """
    return _global_lp_pool(2, x, p)


@composed
def global_lp_pool3d(x: Tensor, p: float = 2.0) -> Tensor:
    """Compute the p-norm of each channel over the whole volume.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    p : float, default 2
        The exponent, >= 1.

    Returns
    -------
    Tensor, shape (N, C)
        ``y = (sum |x|^p)^(1/p)``; where all is zero the gradient is 0.

    Raises
    ------
    ShapeError
        If x has another number of axes or no voxels.
    ConfigError
        If p is less than 1.
    DTypeError
        If x is not of floats.
    """
    return _global_lp_pool(3, x, p)


def _lp_pool(
    rank: int,
    x: Tensor,
    size: Ints,
    p: float,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
) -> Tensor:
    op = f"lp_pool{rank}d"
    x = floats(op, images(op, rank, x))
    window, out = sliding(op, x, size, stride, padding, dilation, ceil_mode)
    return _norm_of(x, window_spans(op, x.shape[2:], window, out), exponent(op, p))


def _global_lp_pool(rank: int, x: Tensor, p: float) -> Tensor:
    op = f"global_lp_pool{rank}d"
    x = floats(op, images(op, rank, x))
    spans = tuple(bins(n, 1) for n in x.shape[2:])  # one window, all of the image
    return reshape(_norm_of(x, spans, exponent(op, p)), x.shape[:2])


def exponent(op: str, p: Any) -> float:
    """Return p as a float, or refuse it."""
    """Return p as a float, or refuse it."""
    if isinstance(p, bool) or not isinstance(p, int | float | np.number) or not 1 <= p < np.inf:
        raise ConfigError(
            f"{op}: p must be a number >= 1, got {p!r}; for infinity take max pooling of absolute"
        )
    return float(p)


def _norm_of(x: Tensor, spans: Spans, p: float) -> Tensor:
    if x.dtype == np.float16:  # whose squares overflow from 256 on
        return astype(_norm(astype(x, np.float32), spans, p), np.float16)
    return _norm(x, spans, p)


# y = (sum_i |x[i]|^p)^(1/p), so
#     dy/dx[i] = y^(1-p) * |x[i]|^(p-1) * sign(x[i]) = (|x[i]| / y)^(p-1) * sign(x[i]),
# a number between -1 and 1; where all of the window is 0, 0 is taken.
@differentiable
def _norm(x: Tensor, spans: Spans, p: float) -> Lifted:
    y = kernels_for(x.data).lp_pool(x.data, spans, p)
    return y, (of_output(lambda grad_y, y: _spread(grad_y, x, y, spans, p - 1.0, True)),)


# With w[i,o] = (|x[i]| / y[o])^q, times sign(x[i]) if odd, these two are each other's transpose:
#     spread[i] = sum_o g[o] * w[i,o]          gather[o] = sum_i v[i] * w[i,o]
# By x[i], w has the slope q * (|x[i]|/y[o])^(q-1) / y[o], odd where w was even (d|x|/dx is the
# sign), and by y[o] the slope -q * w[i,o] / y[o]. So their gradients are of their own kind.
@differentiable
def _spread(g: Tensor, x: Tensor, y: Tensor, spans: Spans, q: float, odd: bool) -> Lifted:
    def grad_g(v: Tensor) -> Tensor:
        return _gather(v, x, y, spans, q, odd)

    def grad_x(v: Tensor) -> Tensor:
        return v * q * _spread(_over(g, y), x, y, spans, q - 1.0, not odd)

    def grad_y(v: Tensor) -> Tensor:
        return _over(g, y) * -q * _gather(v, x, y, spans, q, odd)

    spread = kernels_for(x.data).lp_unpool(g.data, x.data, y.data, spans, q, odd)
    return spread, (grad_g, grad_x, grad_y) if q else (grad_g,)


@differentiable
def _gather(v: Tensor, x: Tensor, y: Tensor, spans: Spans, q: float, odd: bool) -> Lifted:
    def grad_v(g: Tensor) -> Tensor:
        return _spread(g, x, y, spans, q, odd)

    def grad_x(g: Tensor) -> Tensor:
        return v * q * _spread(_over(g, y), x, y, spans, q - 1.0, not odd)

    def grad_y(g: Tensor) -> Tensor:
        return _over(g, y) * -q * _gather(v, x, y, spans, q, odd)

    taken = kernels_for(x.data).lp_take(v.data, x.data, y.data, spans, q, odd)
    return taken, (grad_v, grad_x, grad_y) if q else (grad_v,)


def _over(g: Tensor, y: Tensor) -> Tensor:
    """Return g / y; where y is 0, which no window's share depends on, g."""
    return g / (y + Tensor((y.data == 0).astype(y.dtype)))
