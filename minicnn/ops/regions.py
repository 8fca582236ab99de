"""Detection regions: pooling what is inside boxes.

Boxes are (y0, x0, y1, x1) in pixels, half-open; see minicnn.ops.boxes. They are taken as
constants: gradients flow to the images, not to the boxes.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from minicnn.autograd import Lifted, Tensor, composed, differentiable, max, where
from minicnn.backend import Array, kernels_for
from minicnn.errors import ConfigError, DTypeError
from minicnn.ops._grids import (
    Table,
    averaging,
    cells,
    finite,
    regions,
    rounded,
    samples,
    scaled,
    single,
)
from minicnn.ops._losses import floats
from minicnn.ops._windows import IntPair, per_axis

__all__ = ["max_pool_windows", "roi_align", "roi_pool"]


@composed
def roi_pool(
    x: Tensor,
    boxes: Array | Tensor,
    images: Array | Tensor,
    size: IntPair,
    scale: float = 1.0,
) -> Tensor:
    """Take the largest value in each cell of a grid over each box: RoI pooling.

    A box is multiplied by `scale` and rounded to whole pixels (halves away from 0), to at least
    one pixel; then `max_pool_windows` does the rest. What rounding loses, `roi_align` keeps.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of feature maps.
    boxes : Tensor or ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels of the picture, half-open; finite. They get no gradient.
    images : Tensor or ndarray of int, shape (R,)
        Of which of the N each box is.
    size : int or (int, int)
        Rows and columns of the grid, OH and OW.
    scale : float, default 1
        Pixels of the feature map for a pixel of the picture, such as 1/16.

    Returns
    -------
    Tensor, shape (R, C, OH, OW)
        The maxima; 0 in cells outside the image. A NaN in a cell shows; among equal values the
        first one, row by row, gets the gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If `images` are not whole numbers.
    ConfigError
        If there is no such image, a box is not finite, or an option is not of its form.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, section 2.1. (There, boxes include their last pixel.)
    """
    x, given, n = regions("roi_pool", x, boxes, images, "boxes")
    grid = per_axis("roi_pool", "size", size, 2, at_least=1)
    windows = rounded(finite("roi_pool", given), _scale("roi_pool", scale))
    return _max_pool_cells(x, windows, n, grid)


@composed
def max_pool_windows(
    x: Tensor, windows: Array | Tensor, images: Array | Tensor, size: IntPair
) -> Tensor:
    """Take the largest value in each cell of a grid over windows of whole pixels.

    A window of h rows is cut into OH cells; cell i begins at row ``floor(i h / OH)`` of it and
    ends before ``ceil((i+1) h / OH)``, and likewise columns; then cells are cut off at the
    image's border. With its own rule of rounding, this is RoI pooling of any kind: Caffe and
    ONNX (MaxRoiPool), whose regions include their last pixel, have the windows
    ``(round(y0 s), round(x0 s), round(y1 s) + 1, round(x1 s) + 1)``.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of feature maps.
    windows : Tensor or ndarray of int, shape (R, 4)
        (y0, x0, y1, x1) in pixels of the feature map, half-open; they may reach over its border.
        One that ends before it begins is a single pixel wide.
    images : Tensor or ndarray of int, shape (R,)
        Of which of the N each window is.
    size : int or (int, int)
        Rows and columns of the grid, OH and OW.

    Returns
    -------
    Tensor, shape (R, C, OH, OW)
        The maxima; 0 in cells outside the image. A NaN in a cell shows; among equal values the
        first one, row by row, gets the gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If `windows` or `images` are not whole numbers.
    ConfigError
        If there is no such image, or the size is not of its form.
    """
    op = "max_pool_windows"
    x, given, n = regions(op, x, windows, images, "windows")
    if given.size and given.dtype.kind not in "iu":
        raise DTypeError(
            f"{op}: windows must be whole numbers, got {given.dtype} of shape {given.shape}; "
            "roi_pool rounds boxes"
        )
    grid = per_axis(op, "size", size, 2, at_least=1)
    return _max_pool_cells(x, given.astype(np.int64), n, grid)


@differentiable
def _max_pool_cells(x: Tensor, windows: Array, images: Array, grid: tuple[int, ...]) -> Lifted:
    """Pool windows (R, 4) that are known to be right."""
    image_shape = x.shape
    rows = cells(windows[:, 0], windows[:, 2], grid[0], x.shape[2])
    columns = cells(windows[:, 1], windows[:, 3], grid[1], x.shape[3])
    y, winner = kernels_for(x.data).roi_max_pool(x.data, images, rows, columns)

    # Each output copies one pixel, y[r,o] = x[image r, winner[r,o]], so by the chain rule
    #     dL/dx[n,i] = sum of dL/dy[r,o] over the cells o of image n's regions that pixel i won.
    def grad_x(grad_y: Tensor) -> Tensor:
        return _roi_max_unpool(grad_y, winner, images, (rows, columns), image_shape)

    return y, (grad_x,)


# The two are each other's transpose: one puts values to the winners' places, the other reads there.
@differentiable
def _roi_max_unpool(
    x: Tensor, winner: Array, images: Array, grid: tuple[Table, Table], image_shape: tuple[int, ...]
) -> Lifted:
    y = kernels_for(x.data).roi_max_unpool(x.data, winner, images, *grid, image_shape)
    return y, (lambda grad_y: _roi_take_winners(grad_y, winner, images, grid),)


@differentiable
def _roi_take_winners(x: Tensor, winner: Array, images: Array, grid: tuple[Table, Table]) -> Lifted:
    image_shape = x.shape
    y = kernels_for(x.data).roi_take_winners(x.data, winner, images)
    return y, (lambda grad_y: _roi_max_unpool(grad_y, winner, images, grid, image_shape),)


@composed
def roi_align(
    x: Tensor,
    boxes: Array | Tensor,
    images: Array | Tensor,
    size: IntPair,
    scale: float = 1.0,
    sampling: int = 0,
    aligned: bool = True,
    mode: Literal["avg", "max", "max_taps"] = "avg",
) -> Tensor:
    """Average interpolated values in each cell of a grid over each box: RoI align.

    Nothing is rounded: a cell of h rows is read at S rows (S columns likewise), the s-th at
    ``(s + 1/2) / S`` of its height, between the four pixels around each point (bilinearly).

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of feature maps.
    boxes : Tensor or ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels of the picture, half-open; finite. They get no gradient.
    images : Tensor or ndarray of int, shape (R,)
        Of which of the N each box is.
    size : int or (int, int)
        Rows and columns of the grid, OH and OW.
    scale : float, default 1
        Pixels of the feature map for a pixel of the picture, such as 1/16.
    sampling : int, default 0
        S, the points along each axis of a cell; 0: as many as it has pixels, ``ceil(h)``.
    aligned : bool, default True
        Whether a pixel's value is that of its centre, half a pixel from its edges (ONNX's
        "half_pixel"). If not, boxes are shifted by half a pixel, and are at least one pixel large
        ("output_half_pixel"), as the first implementations had it.
    mode : {"avg", "max", "max_taps"}
        The mean of a cell's points, or the largest of them; "max_taps" is the largest of all
        pixels' values times their weights, before they are summed to interpolated values: what
        ONNX calls max.

    Returns
    -------
    Tensor, shape (R, C, OH, OW)
        Points up to one pixel before the first pixel or after the last one are moved to it;
        others outside read 0. A box that ends before it begins gives 0.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If x is not of floats, or `images` are not whole numbers.
    ConfigError
        If there is no such image, a box is not finite, or an option is not of its form.

    References
    ----------
    He et al., "Mask R-CNN", ICCV 2017, section 3.
    """
    op = "roi_align"
    x, given, n = regions(op, floats(op, "x", x), boxes, images, "boxes")
    grid = per_axis(op, "size", size, 2, at_least=1)
    (per_cell,) = per_axis(op, "sampling", sampling, 1, at_least=0)
    if mode not in ("avg", "max", "max_taps"):
        raise ConfigError(f"{op}: mode must be 'avg', 'max' or 'max_taps', got {mode!r}")
    exact = scaled(finite(op, given), _scale(op, scale)) - (0.5 if aligned else 0.0)
    points = []
    for axis in (0, 1):
        start, pixels = exact[:, axis], x.shape[2 + axis]
        length = exact[:, axis + 2] - start
        length = length if aligned else length.clip(1)
        points.append(samples(start, length, grid[axis], per_cell, pixels))
    if mode == "avg":
        return _roi_sample(x, n, averaging(points[0]), averaging(points[1]))
    (rows, down), (columns, across) = (single(p, mode == "max_taps") for p in points)
    exist = down[:, :, None, :, None] & across[:, None, :, None, :]  # (R, OH, OW, S, S)
    values = _roi_sample(x, n, rows, columns)
    values = values.reshape(*values.shape[:2], grid[0], down.shape[2], grid[1], across.shape[2])
    values = where(exist[:, None], values.transpose(0, 1, 2, 4, 3, 5), -np.inf)
    some = exist.any(axis=(3, 4))[:, None]
    return where(some, max(values, axis=(4, 5)), 0.0)


# y[r,c,i,j] = sum_{k,l} rows[r,i,k] * columns[r,j,l] * x[image r, c, row i + k, column j + l]
# is linear in x, so dL/dx is the same sum read the other way: the two are each other's transpose.
@differentiable
def _roi_sample(x: Tensor, images: Array, rows: Table, columns: Table) -> Lifted:
    image_shape = x.shape
    y = kernels_for(x.data).roi_sample(x.data, images, rows, columns)
    return y, (lambda grad_y: _roi_spread(grad_y, images, rows, columns, image_shape),)


@differentiable
def _roi_spread(
    x: Tensor, images: Array, rows: Table, columns: Table, image_shape: tuple[int, ...]
) -> Lifted:
    y = kernels_for(x.data).roi_spread(x.data, images, rows, columns, image_shape)
    return y, (lambda grad_y: _roi_sample(grad_y, images, rows, columns),)


def _scale(op: str, scale: float) -> float:
    if not 0 < scale < math.inf:
        raise ConfigError(f"{op}: scale must be greater than 0 and finite, got {scale}")
    return float(scale)
