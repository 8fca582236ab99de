"""Layers that cut regions out of feature maps, all to one size."""

from __future__ import annotations

import math
from typing import Literal

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import Array
from minicnn.errors import ConfigError
from minicnn.nn._parts import check_input, two
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module
from minicnn.ops._windows import IntPair, per_axis

__all__ = ["RoIAlign", "RoIPool"]


class _Regions(Module):
    """A grid, and how many pixels of the picture a pixel of the features stands for."""

    def _set_grid(self, size: IntPair, scale: float) -> None:
        name = type(self).__name__
        self.size = two(per_axis(name, "size", size, 2, at_least=1))
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not scale > 0:
            raise ConfigError(f"{name}: scale must be a number greater than 0, got {scale!r}")
        if not scale < math.inf:
            raise ConfigError(f"{name}: scale must be finite, got {scale!r}")
        self.scale = float(scale)


class RoIPool(_Regions):
    """Take the largest value in each cell of a grid over each box.

    Parameters
    ----------
    size : int or (int, int), default 7
        Rows and columns of the grid, OH and OW.
    scale : float, default 1
        Pixels of the feature map for a pixel of the picture, such as 1/16.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Girshick, "Fast R-CNN", ICCV 2015, section 2.1.
    """

    @configurable
    def __init__(self, size: IntPair = 7, scale: float = 1.0) -> None:
        self._set_grid(size, scale)

    def forward(self, x: Tensor, boxes: Array | Tensor, images: Array | Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of feature maps.
        boxes : Tensor or ndarray, shape (R, 4)
            (y0, x0, y1, x1) in pixels of the picture, half-open.
        images : Tensor or ndarray of int, shape (R,)
            Of which of the N each box is.

        Returns
        -------
        Tensor, shape (R, C, OH, OW)
            The maxima.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.roi_pool(x, boxes, images, self.size, self.scale)


class RoIAlign(_Regions):
    """Average interpolated values in each cell of a grid over each box.

    Parameters
    ----------
    size : int or (int, int), default 7
        Rows and columns of the grid, OH and OW.
    scale : float, default 1
        Pixels of the feature map for a pixel of the picture, such as 1/16.
    sampling : int, default 0
        The points along each axis of a cell; 0: one for each of its pixels.
    aligned : bool, default True
        Whether a pixel's value is that of its centre; see `minicnn.ops.roi_align`.
    mode : {"avg", "max", "max_taps"}
        The mean of a cell's points, or the largest; see `minicnn.ops.roi_align`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    He et al., "Mask R-CNN", ICCV 2017, section 3.
    """

    @configurable
    def __init__(
        self,
        size: IntPair = 7,
        scale: float = 1.0,
        sampling: int = 0,
        aligned: bool = True,
        mode: Literal["avg", "max", "max_taps"] = "avg",
    ) -> None:
        self._set_grid(size, scale)
        (self.sampling,) = per_axis("RoIAlign", "sampling", sampling, 1, at_least=0)
        if mode not in ("avg", "max", "max_taps"):
            raise ConfigError(f"RoIAlign: mode must be 'avg', 'max' or 'max_taps', got {mode!r}")
        self.aligned, self.mode = bool(aligned), mode

    def forward(self, x: Tensor, boxes: Array | Tensor, images: Array | Tensor) -> Tensor:
        """Align.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of feature maps.
        boxes : Tensor or ndarray, shape (R, 4)
            (y0, x0, y1, x1) in pixels of the picture, half-open.
        images : Tensor or ndarray of int, shape (R,)
            Of which of the N each box is.

        Returns
        -------
        Tensor, shape (R, C, OH, OW)
            The averages.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.roi_align(
            x, boxes, images, self.size, self.scale, self.sampling, self.aligned, self.mode
        )
