"""Average pooling: the mean of each window."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from minicnn.autograd import Lifted, Tensor, astype, composed, differentiable
from minicnn.backend import array_module, kernels_for
from minicnn.ops._spans import Spans, padded_counts, window_spans
from minicnn.ops._windows import Ints, Padding
from minicnn.ops.pooling import floats, images, sliding

__all__ = ["avg_pool1d", "avg_pool2d", "avg_pool3d"]


@composed
def avg_pool1d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window of a signal.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    size : int
        Window length KL, in samples.
    stride : int, optional
        Step SL, in samples; by default `size`.
    padding, dilation, ceil_mode, count_include_pad
        As in `avg_pool2d`, for one axis; a pair of paddings is ``((before, after),)``.

    Returns
    -------
    Tensor, shape (N, C, OL)
        ``OL = (L + before + after - DL*(KL - 1) - 1) // SL + 1``.

    Raises
    ------
    ShapeError
        If x is not of signals with samples, or the window does not fit in the padded signal.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.
    """
    return _avg_pool(1, x, size, stride, padding, dilation, ceil_mode, count_include_pad)


@composed
def avg_pool2d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window of an image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images; halves are added up in single precision.
    size : int or (int, int)
        Window height and width KH, KW, in pixels.
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
        before it, is. What such a window has beyond the padding never counts in the divisor.
    count_include_pad : bool, default True
        Whether padding counts in the divisor; if not, a window at the border is divided by the
        number of real pixels in it.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        ``y[o] = sum of x[i] over the pixels i in window o / their number``, where
        ``OH = (H + before + after - DH*(KH - 1) - 1) // SH + 1``, and likewise OW.

    Raises
    ------
    ShapeError
        If x is not of images with pixels, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.
    """
    return _avg_pool(2, x, size, stride, padding, dilation, ceil_mode, count_include_pad)


@composed
def avg_pool3d(
    x: Tensor,
    size: Ints,
    stride: Ints | None = None,
    padding: Padding = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window of a volume.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    size : int or (int, int, int)
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), optional
        Steps SD, SH, SW, in voxels; by default `size`.
    padding, dilation, ceil_mode, count_include_pad
        As in `avg_pool2d`, for three axes.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        ``OD = (D + before + after - DD*(KD - 1) - 1) // SD + 1``, and likewise OH and OW.

    Raises
    ------
    ShapeError
        If x is not of volumes with voxels, or the window does not fit in the padded volume.
    ConfigError
        If an option is not of its form, or a window sees padding alone.
    DTypeError
        If x is not of floats.
    """
    return _avg_pool(3, x, size, stride, padding, dilation, ceil_mode, count_include_pad)


def _avg_pool(
    rank: int,
    x: Tensor,
    size: Ints,
    stride: Ints | None,
    padding: Padding,
    dilation: Ints,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Tensor:
    op = f"avg_pool{rank}d"
    x = floats(op, images(op, rank, x))
    window, out = sliding(op, x, size, stride, padding, dilation, ceil_mode)
    spans = window_spans(op, x.shape[2:], window, out)
    if count_include_pad:
        return mean_of(x, spans, padded_counts(x.shape[2:], window, out))
    return mean_of(x, spans, [span.counts for span in spans])


def mean_of(x: Tensor, spans: Spans, counts: Sequence[np.ndarray]) -> Tensor:
    """Return the sum of each window divided by its count, which is the product over the axes."""
    if x.dtype == np.float16:  # whose sums overflow at 65504
        return astype(mean_of(astype(x, np.float32), spans, counts), np.float16)
    if all(c.min() == c.max() for c in counts):
        return _sum_pool(x, spans, 1.0 / math.prod(int(c[0]) for c in counts))
    divisor = functools.reduce(np.multiply.outer, counts)
    return _sum_pool(x, spans, 1.0) / Tensor(array_module(x.data).asarray(divisor, x.dtype))


# Each pixel is in the sums of the windows that hold it, so with y[o] = s * (sum of x in o)
#     dL/dx[i] = s * (sum of dL/dy[o] over the windows o with i in them),
# and the other way round: the two ops below are each other's transpose.
@differentiable
def _sum_pool(x: Tensor, spans: Spans, scale: float) -> Lifted:
    image_shape = x.shape
    y = kernels_for(x.data).sum_pool(x.data, spans, scale)
    return y, (lambda grad_y: _sum_unpool(grad_y, image_shape, spans, scale),)


@differentiable
def _sum_unpool(x: Tensor, image_shape: tuple[int, ...], spans: Spans, scale: float) -> Lifted:
    y = kernels_for(x.data).sum_unpool(x.data, image_shape, spans, scale)
    return y, (lambda grad_y: _sum_pool(grad_y, spans, scale),)
