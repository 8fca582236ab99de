"""Layers that summarise each channel of a whole signal, image or volume in one number."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input
from minicnn.nn.module import Module
from minicnn.nn.pooling import AXES

__all__ = [
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "GlobalAvgPool3d",
    "GlobalMaxPool1d",
    "GlobalMaxPool2d",
    "GlobalMaxPool3d",
]


class Global(Module):
    """One number for each channel."""

    _rank: int


class _GlobalAvgPool(Global):
    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C)
            The means.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        op = {1: ops.global_avg_pool1d, 2: ops.global_avg_pool2d, 3: ops.global_avg_pool3d}
        return op[self._rank](x)


class _GlobalMaxPool(Global):
    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C)
            The maxima.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        op = {1: ops.global_max_pool1d, 2: ops.global_max_pool2d, 3: ops.global_max_pool3d}
        return op[self._rank](x)


class GlobalAvgPool1d(_GlobalAvgPool):
    """Average each channel over the whole signal."""

    _rank = 1


class GlobalAvgPool2d(_GlobalAvgPool):
    """Average each channel over the whole image."""

    _rank = 2


class GlobalAvgPool3d(_GlobalAvgPool):
    """Average each channel over the whole volume."""

    _rank = 3


class GlobalMaxPool1d(_GlobalMaxPool):
    """Take the largest value of each channel over the whole signal."""

    _rank = 1


class GlobalMaxPool2d(_GlobalMaxPool):
    """Take the largest value of each channel over the whole image."""

    _rank = 2


class GlobalMaxPool3d(_GlobalMaxPool):
    """Take the largest value of each channel over the whole volume."""

    _rank = 3
