"""Max pooling, its undoing, and what all pooling shares: the check of windows at the door.

Averages are in average_pooling.py, p-norms in lp_pooling.py, bins that follow from the size of
the output in adaptive_pooling.py, and summaries of a whole image in global_pooling.py.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import Lifted, Tensor, composed, differentiable
from minicnn.backend import Array, kernels_for
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops._spans import Spans, window_spans
from minicnn.ops._windows import Ints, Padding, Window

__all__ = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
]

IMAGES = {1: "signals (N, C, L)", 2: "images (N, C, H, W)", 3: "volumes (N, C, D, H, W)"}


@composed
def max_pool1d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the largest value in each window of a signal.

    ``y[n,c,i] = max_u x[n, c, i*SL + u*DL]``, x being padded with -inf.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    size : int
        Window length KL, in samples.
    stride : int, optional
        Step SL, in samples; by default `size`.
    padding, dilation, ceil_mode, return_indices
        As in `max_pool2d`, for one axis; a pair of paddings is ``((before, after),)``.

    Returns
    -------
    Tensor, shape (N, C, OL)
        ``OL = (L + before + after - DL*(KL - 1) - 1) // SL + 1``. With `return_indices` a pair:
        this, and the places ``l`` of the samples that won.

    Raises
    ------
    ShapeError
        If x is not of signals with samples, or the window does not fit in the padded signal.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    """
    return _max_pool(1, x, size, stride, padding, dilation, ceil_mode, return_indices)


@composed
def max_pool2d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the largest value in each window of an image.

    ``y[n,c,i,j] = max_{u,v} x[n, c, i*SH + u*DH, j*SW + v*DW]``, x being padded with -inf.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    size : int or (int, int)
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across SH, SW, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of -inf around the image, in pixels. They never win: as much as leaves
        every window a pixel of the image.
    dilation : int or (int, int), default 1
        Distance DH, DW between neighbouring pixels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where pixels (or padding) remain after the last that
        fits, so that OH is rounded up; only a window that starts in the image, or in the padding
        before it, is.
    return_indices : bool, default False
        Whether to return the places of the winners too.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        ``OH = (H + before + after - DH*(KH - 1) - 1) // SH + 1``, and likewise OW. A NaN in the
        window shows; among equal values the first one, row by row, wins and gets the gradient.
        With `return_indices` a pair: this, and a Tensor of int64 of the same shape, the places
        ``h*W + w`` of the pixels that won.

    Raises
    ------
    ShapeError
        If x is not of images with pixels, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    """
    return _max_pool(2, x, size, stride, padding, dilation, ceil_mode, return_indices)


@composed
def max_pool3d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Take the largest value in each window of a volume.

    ``y[n,c,i,j,k] = max_{t,u,v} x[n, c, i*SD + t*DD, j*SH + u*DH, k*SW + v*DW]``, x being padded
    with -inf.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    size : int or (int, int, int)
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), optional
        Steps SD, SH, SW, in voxels; by default `size`.
    padding, dilation, ceil_mode, return_indices
        As in `max_pool2d`, for three axes.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        ``OD = (D + before + after - DD*(KD - 1) - 1) // SD + 1``, and likewise OH and OW. With
        `return_indices` a pair: this, and the places ``d*H*W + h*W + w`` of the winners.

    Raises
    ------
    ShapeError
        If x is not of volumes with voxels, or the window does not fit in the padded volume.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    """
    return _max_pool(3, x, size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(
    rank: int,
    x: Tensor,
    size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    op = f"max_pool{rank}d"
    x = images(op, rank, x)
    window, out = sliding(op, x, size, stride, padding, dilation, ceil_mode)
    return largest_of(x, window_spans(op, x.shape[2:], window, out), return_indices)


def largest_of(x: Tensor, spans: Spans, return_indices: bool) -> Any:
    """Return the largest value of each window, and where it stands if that is wanted."""
    y, winner = kernels_for(x.data).max_pool(x.data, spans)
    pooled = _won(x, y, winner, spans)
    return (pooled, Tensor(winner.astype(np.int64))) if return_indices else pooled


# Each output copies one pixel, y[o] = x[winner[o]], so by the chain rule
#     dL/dx[i] = sum of dL/dy[o] over the windows o that pixel i won.
# Windows overlap when stride < size, hence a sum and not an assignment.
@differentiable
def _won(x: Tensor, y: Array, winner: Array, spans: Spans) -> Lifted:
    image_shape = x.shape
    return y, (lambda grad_y: _max_unpool(grad_y, winner, image_shape, spans),)


@composed
def max_unpool1d(x: Tensor, indices: Any, image_shape: tuple[int, ...]) -> Tensor:
    """Put values back to the samples that won, zeros elsewhere: the transpose of max pooling.

    ``y[n,c,l] = sum of x[n,c,o] over the windows o with indices[n,c,o] = l``.

    Parameters
    ----------
    x : Tensor, shape (N, C, OL)
        One value for each window.
    indices : Tensor or ndarray of int, shape (N, C, OL)
        The place ``l`` of the sample that won the window, as `max_pool1d` returns it.
    image_shape : tuple
        (N, C, L).

    Returns
    -------
    Tensor, shape (N, C, L)
        A sample that won several windows gets the sum.

    Raises
    ------
    ShapeError
        If the three shapes do not fit.
    DeviceError
        If x and `indices` are on different devices.
    DTypeError
        If `indices` are no whole numbers.
    ConfigError
        If an index is outside the signal.
    """
    return _unpool(1, x, indices, image_shape)


@composed
def max_unpool2d(x: Tensor, indices: Any, image_shape: tuple[int, ...]) -> Tensor:
    """Put values back to the pixels that won, zeros elsewhere: the transpose of max pooling.

    ``y[n,c,h,w] = sum of x[n,c,o] over the windows o with indices[n,c,o] = h*W + w``.

    Parameters
    ----------
    x : Tensor, shape (N, C, OH, OW)
        One value for each window.
    indices : Tensor or ndarray of int, shape (N, C, OH, OW)
        The place ``h*W + w`` of the pixel that won the window, as `max_pool2d` returns it.
    image_shape : tuple
        (N, C, H, W).

    Returns
    -------
    Tensor, shape (N, C, H, W)
        A pixel that won several windows gets the sum.

    Raises
    ------
    ShapeError
        If the three shapes do not fit.
    DeviceError
        If x and `indices` are on different devices.
    DTypeError
        If `indices` are no whole numbers.
    ConfigError
        If an index is outside the image.
    """
    return _unpool(2, x, indices, image_shape)


@composed
def max_unpool3d(x: Tensor, indices: Any, image_shape: tuple[int, ...]) -> Tensor:
    """Put values back to the voxels that won, zeros elsewhere: the transpose of max pooling.

    ``y[n,c,d,h,w] = sum of x[n,c,o] over the windows o with indices[n,c,o] = d*H*W + h*W + w``.

    Parameters
    ----------
    x : Tensor, shape (N, C, OD, OH, OW)
        One value for each window.
    indices : Tensor or ndarray of int, shape (N, C, OD, OH, OW)
        The place ``d*H*W + h*W + w`` of the voxel that won the window, as `max_pool3d` returns it.
    image_shape : tuple
        (N, C, D, H, W).

    Returns
    -------
    Tensor, shape (N, C, D, H, W)
        A voxel that won several windows gets the sum.

    Raises
    ------
    ShapeError
        If the three shapes do not fit.
    DeviceError
        If x and `indices` are on different devices.
    DTypeError
        If `indices` are no whole numbers.
    ConfigError
        If an index is outside the volume.
    """
    return _unpool(3, x, indices, image_shape)


def _unpool(rank: int, x: Tensor, indices: Any, image_shape: tuple[int, ...]) -> Tensor:
    op = f"max_unpool{rank}d"
    x = x if isinstance(x, Tensor) else Tensor(x)
    places = indices if isinstance(indices, Tensor) else Tensor(indices)
    at = places.data
    shape = tuple(int(n) for n in image_shape)
    if at.shape != x.shape or {x.ndim, len(shape)} != {rank + 2} or shape[:2] != x.shape[:2]:
        raise ShapeError(
            f"{op}: x {x.shape} and indices {at.shape} must have one shape, and image_shape "
            f"{shape} be that of {IMAGES[rank]} with as many images and channels"
        )
    if places.device != x.device:
        raise DeviceError(
            f"{op}: x is on {x.device}, indices are on {places.device}; move them with .to(...)"
        )
    if at.dtype.kind not in "iu":
        raise DTypeError(f"{op}: indices must be whole numbers, got {at.dtype}; use .astype(int)")
    pixels = math.prod(shape[2:])
    if at.size and not 0 <= at.min() <= at.max() < pixels:
        raise ConfigError(
            f"{op}: indices from {at.min()} to {at.max()} are not all places 0 ... {pixels - 1} "
            f"of an image {shape}; give the shape of what was pooled"
        )
    return _max_unpool(x, at.astype(np.int32, copy=False), shape, None)


@differentiable
def _max_unpool(
    x: Tensor, winner: Array, image_shape: tuple[int, ...], spans: Spans | None
) -> Lifted:
    """Put values back to winners that are known to be right; within their windows, if known."""
    y = kernels_for(x.data).max_unpool(x.data, winner, image_shape, spans)
    # x[o] is a summand of y[winner[o]]: dL/dx[o] = dL/dy[winner[o]]
    return y, (lambda grad_y: _take_winners(grad_y, winner, spans),)


@differentiable
def _take_winners(x: Tensor, winner: Array, spans: Spans | None) -> Lifted:
    """Read the pixels that won: the transpose of `_max_unpool`."""
    image_shape = x.shape
    y = kernels_for(x.data).take_winners(x.data, winner)
    # y[o] = x[winner[o]]: dL/dx[i] = sum of dL/dy[o] over the windows o that pixel i won
    return y, (lambda grad_y: _max_unpool(grad_y, winner, image_shape, spans),)


def images(op: str, rank: int, x: Tensor) -> Tensor:
    """Return x as a Tensor (N, C, *IMAGE) with pixels in it."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim != rank + 2 or 0 in x.shape[2:]:
        raise ShapeError(f"{op}: needs {IMAGES[rank]} with pixels, got shape {x.shape}")
    return x


def floats(op: str, x: Tensor) -> Tensor:
    """Return x if its numbers can be averaged."""
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: needs floats, got {x.dtype}; use .astype('float32')")
    return x


def sliding(
    op: str,
    x: Tensor,
    size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
) -> tuple[Window, tuple[int, ...]]:
    """Check the window of a pooling op; return it and how many of it fit along each axis."""
    image = x.shape[2:]
    window = Window.of(op, image, size, size if stride is None else stride, padding, dilation)
    return window, window.output_size(op, image, bool(ceil_mode))
