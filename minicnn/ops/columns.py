"""The windows of an image as the columns of a matrix, and back: im2col and col2im.

A convolution is then one matrix product: with the filters as rows, `weight.reshape(O, -1)`,
``conv2d(x, weight) == (weight_rows @ im2col(x, size)).reshape(N, O, OH, OW)``.
"""

from __future__ import annotations

import math

from minicnn.autograd import Lifted, Tensor, differentiable
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._windows import Ints, Padding, Window, per_axis

__all__ = ["col2im", "im2col"]


@differentiable
def im2col(
    x: Tensor, size: Ints, stride: Ints = 1, padding: Padding = 0, dilation: Ints = 1
) -> Lifted:
    """Copy every window of an image into a column.

    ``columns[n, (c*KH + u)*KW + v, i*OW + j] = x[n,c,h,w]`` with ``h = i*SH + u*DH - before`` and w
    likewise, and 0 where that is in the padding; with one or three spatial axes likewise.

    Parameters
    ----------
    x : Tensor, shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        A batch of signals, images or volumes.
    size : int or tuple of int
        The window's lengths K, in pixels, one for each spatial axis or one for all.
    stride : int or tuple of int, default 1
        Steps of the window, in pixels.
    padding : int, tuple of int, pairs (before, after), "valid" or "same", default 0
        Zeros around the image, in pixels, as `conv2d` takes them.
    dilation : int or tuple of int, default 1
        Distances between neighbouring pixels of a window.

    Returns
    -------
    Tensor, shape (N, C * prod(K), prod(OUT))
        One column for each window: its pixels channel by channel, row by row.

    Raises
    ------
    ShapeError
        If x has another number of axes, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form.

    References
    ----------
    Chellapilla, Puri and Simard, "High performance convolutional neural networks for document
    processing", 2006.
    """
    if not 3 <= x.ndim <= 5:
        raise ShapeError(
            f"im2col: needs x (N, C, L), (N, C, H, W) or (N, C, D, H, W), got shape {x.shape}"
        )
    image = x.shape[2:]
    window = Window.of("im2col", image, size, stride, padding, dilation)
    columns = kernels_for(x.data).im2col(x.data, window.output_size("im2col", image), window)

    # Each entry of the columns copies one pixel, so dL/dx[p] is the sum of dL/dcolumns over the
    # copies of pixel p (windows overlap): what col2im adds up.
    def grad_x(grad_columns: Tensor) -> Tensor:
        return col2im(grad_columns, image, *window)

    return columns, (grad_x,)


@differentiable
def col2im(
    columns: Tensor,
    image_size: tuple[int, ...],
    size: Ints,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
) -> Lifted:
    """Add every column back to where `im2col` takes it from: its transpose.

    ``y[n, c, h, w] = sum of columns[n, (c*KH + u)*KW + v, i*OW + j]`` over all u, v, i and j with
    ``h = i*SH + u*DH - before`` and w likewise: not the inverse of `im2col`, for a pixel that is
    in several windows is added up as many times.

    Parameters
    ----------
    columns : Tensor, shape (N, C * prod(K), prod(OUT))
        One column for each window.
    image_size : tuple of int
        The lengths (L,), (H, W) or (D, H, W) of the image, in pixels.
    size : int or tuple of int
        The window's lengths K, in pixels, one for each spatial axis or one for all.
    stride : int or tuple of int, default 1
        Steps of the window, in pixels.
    padding : int, tuple of int, pairs (before, after), "valid" or "same", default 0
        Zeros around the image, in pixels, as `conv2d` takes them; what falls there is dropped.
    dilation : int or tuple of int, default 1
        Distances between neighbouring pixels of a window.

    Returns
    -------
    Tensor, shape (N, C, *image_size)
        The sums.

    Raises
    ------
    ShapeError
        If the columns are not those of such windows on such an image.
    ConfigError
        If an option is not of its form.
    """
    rank = len(image_size) if isinstance(image_size, tuple | list) else 0
    if not 1 <= rank <= 3:
        raise ConfigError(
            f"col2im: image_size must be the lengths (L,), (H, W) or (D, H, W), got {image_size!r}"
        )
    image = per_axis("col2im", "image_size", image_size, rank, at_least=1)
    window = Window.of("col2im", image, size, stride, padding, dilation)
    out = window.output_size("col2im", image)
    pixels = math.prod(window.size)
    if columns.ndim != 3 or columns.shape[1] % pixels or columns.shape[2] != math.prod(out):
        raise ShapeError(
            f"col2im: columns have shape {columns.shape}, but windows {window.size} on an image "
            f"{image} take places {out}; give (N, C*{pixels}, {math.prod(out)})"
        )
    shape = (columns.shape[0], columns.shape[1] // pixels, *image)
    y = kernels_for(columns.data).col2im(columns.data, shape, out, window)

    # y[p] is a sum of entries, so each entry's gradient is that of the pixel it was added to:
    # dL/dcolumns is im2col of dL/dy.
    def grad_columns(grad_y: Tensor) -> Tensor:
        return im2col(grad_y, *window)

    return y, (grad_columns,)
