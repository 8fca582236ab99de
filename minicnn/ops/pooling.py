"""Pooling: a summary of each window of an image."""

from __future__ import annotations

from minicnn.autograd import Lifted, Tensor, differentiable
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._windows import IntPair, Padding, Window

__all__ = ["avg_pool2d", "global_avg_pool2d", "global_max_pool2d", "max_pool2d", "max_unpool2d"]


@differentiable
def max_pool2d(
    x: Tensor, size: IntPair, stride: IntPair | None = None, padding: Padding = 0
) -> Lifted:
    """Take the largest value in each window of an image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    size : int or (int, int)
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across SH, SW, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of -inf around the image, in pixels; less than `size`.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        ``OH = (H + before + after - KH) // SH + 1``, and likewise OW. A NaN in the window shows;
        among equal values the first one, row by row, gets the gradient.

    Raises
    ------
    ShapeError
        If x is not of images with pixels, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form, or the padding is not less than the size.
    """
    window, out_shape = _window("max_pool2d", x, size, stride, padding)
    image_shape = x.shape
    y, winner = kernels_for(x.data).max_pool2d(x.data, out_shape, window)  # winner: index h*W + w

    # Each output copies one pixel, y[o] = x[winner[o]], so by the chain rule
    #     dL/dx[i] = sum of dL/dy[o] over the windows o that pixel i won.
    # Windows overlap when stride < size, hence a sum and not an assignment.
    def grad_x(grad_y: Tensor) -> Tensor:
        return _max_unpool2d(grad_y, winner, image_shape)

    return y, (grad_x,)


def max_unpool2d(x: Tensor, winner: Array, image_shape: tuple[int, int, int, int]) -> Tensor:
    """Put values back to the pixels that won, zeros elsewhere: the transpose of max pooling.

    Parameters
    ----------
    x : Tensor, shape (N, C, OH, OW)
        One value for each window.
    winner : ndarray of int32, shape (N, C, OH, OW)
        The place ``h * W + w`` of the pixel that won the window.
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
    ConfigError
        If a winner is outside the image.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if winner.shape != x.shape or len(image_shape) != 4 or tuple(image_shape[:2]) != x.shape[:2]:
        raise ShapeError(
            f"max_unpool2d: x {x.shape}, winner {winner.shape} and image_shape {image_shape} must "
            "be (N, C, OH, OW) twice and (N, C, H, W)"
        )
    pixels = image_shape[2] * image_shape[3]
    if winner.size and not 0 <= winner.min() <= winner.max() < pixels:
        raise ConfigError(
            f"max_unpool2d: winners from {winner.min()} to {winner.max()} are not all places "
            f"0 ... {pixels - 1} of an image {image_shape}"
        )
    return _max_unpool2d(x, winner, image_shape)


@differentiable
def _max_unpool2d(x: Tensor, winner: Array, image_shape: tuple[int, ...]) -> Lifted:
    """Put values back to winners that are known to be right."""
    y = kernels_for(x.data).max_unpool2d(x.data, winner, image_shape)
    return y, (lambda grad_y: _take_winners2d(grad_y, winner),)


@differentiable
def _take_winners2d(x: Tensor, winner: Array) -> Lifted:
    """Read the pixels that won: the transpose of `max_unpool2d`."""
    image_shape = x.shape
    y = kernels_for(x.data).take_winners2d(x.data, winner)
    return y, (lambda grad_y: _max_unpool2d(grad_y, winner, image_shape),)


def avg_pool2d(
    x: Tensor,
    size: IntPair,
    stride: IntPair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = True,
) -> Tensor:
    """Average each window of an image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    size : int or (int, int)
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across SH, SW, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of zeros around the image, in pixels; less than `size`.
    count_include_pad : bool, default True
        Whether padding counts in the divisor; if not, a window at the border is divided by the
        number of real pixels in it.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        ``OH = (H + before + after - KH) // SH + 1``, and likewise OW.

    Raises
    ------
    ShapeError
        If x is not of images with pixels, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form, or the padding is not less than the size.
    DTypeError
        If x is not of floats.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"avg_pool2d: needs floats, got {x.dtype}; use .astype('float32')")
    window, out_shape = _window("avg_pool2d", x, size, stride, padding)
    sums = _sum_pool2d(x, out_shape, window)
    if count_include_pad:
        return sums * (1.0 / (window.size[0] * window.size[1]))
    xp = array_module(x.data)
    ones = xp.ones((1, 1, *x.shape[2:]), x.dtype)
    counts = kernels_for(ones).sum_pool2d(ones, (1, 1, *out_shape[2:]), window)
    return sums / Tensor(counts)


# Each pixel is in the sums of the windows that hold it, so
#     dL/dx[i] = sum of dL/dy[o] over the windows o with i in them,
# and the other way round: the two ops below are each other's transpose.
@differentiable
def _sum_pool2d(x: Tensor, out_shape: tuple[int, ...], window: Window) -> Lifted:
    image_shape = x.shape
    y = kernels_for(x.data).sum_pool2d(x.data, out_shape, window)
    return y, (lambda grad_y: _sum_unpool2d(grad_y, image_shape, window),)


@differentiable
def _sum_unpool2d(x: Tensor, image_shape: tuple[int, ...], window: Window) -> Lifted:
    out_shape = x.shape
    y = kernels_for(x.data).sum_unpool2d(x.data, image_shape, window)
    return y, (lambda grad_y: _sum_pool2d(grad_y, out_shape, window),)


def global_avg_pool2d(x: Tensor) -> Tensor:
    """Average each channel over the whole image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.

    Returns
    -------
    Tensor, shape (N, C)
        The means.

    Raises
    ------
    ShapeError
        If x has another number of axes or no pixels.
    """
    return _images("global_avg_pool2d", x).mean(axis=(2, 3))


def global_max_pool2d(x: Tensor) -> Tensor:
    """Take the largest value of each channel over the whole image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.

    Returns
    -------
    Tensor, shape (N, C)
        The maxima; pixels that tie share the gradient.

    Raises
    ------
    ShapeError
        If x has another number of axes or no pixels.
    """
    return _images("global_max_pool2d", x).max(axis=(2, 3))


def _images(op: str, x: Tensor) -> Tensor:
    """Return x as a Tensor (N, C, H, W) with pixels in it."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim != 4 or 0 in x.shape[2:]:
        raise ShapeError(f"{op}: needs images (N, C, H, W) with pixels, got shape {x.shape}")
    return x


def _window(
    op: str, x: Tensor, size: IntPair, stride: IntPair | None, padding: Padding
) -> tuple[Window, tuple[int, int, int, int]]:
    """Check the arguments of a pooling op; return its window and the output's shape."""
    _images(op, x)
    window = Window.of(op, x.shape[2:], size, size if stride is None else stride, padding)
    if any(max(p) >= k for p, k in zip(window.padding, window.size, strict=True)):
        raise ConfigError(
            f"{op}: padding {padding!r} must be less than size {size!r}, or a window sees no pixel"
        )
    out_h, out_w = window.output_size(op, x.shape[2:])
    return window, (x.shape[0], x.shape[1], out_h, out_w)
