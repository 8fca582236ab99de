"""Layers that summarise an image in as many bins as are asked for."""

from __future__ import annotations

from typing import Any

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module
from minicnn.nn.pooling import AXES
from minicnn.ops.adaptive_pooling import Lengths, lengths

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
]


class _Adaptive(Module):
    """Bins that follow from the size of the output."""

    _rank: int

    def _set_size(self, output_size: Lengths) -> None:
        lengths(type(self).__name__, (1,) * self._rank, output_size)  # checks it
        self.output_size = output_size


class _AdaptiveAvgPool(_Adaptive):
    @configurable
    def __init__(self, output_size: Lengths) -> None:
        self._set_size(output_size)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C, *OUT)
            The means of the bins.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        op = {1: ops.adaptive_avg_pool1d, 2: ops.adaptive_avg_pool2d, 3: ops.adaptive_avg_pool3d}
        return op[self._rank](x, self.output_size)


class _AdaptiveMaxPool(_Adaptive):
    @configurable
    def __init__(self, output_size: Lengths, return_indices: bool = False) -> None:
        self._set_size(output_size)
        self.return_indices = bool(return_indices)

    def forward(self, x: Tensor) -> Any:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C, *OUT)
            The largest values; with `return_indices` a pair: they and their places.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        op = {1: ops.adaptive_max_pool1d, 2: ops.adaptive_max_pool2d, 3: ops.adaptive_max_pool3d}
        return op[self._rank](x, self.output_size, self.return_indices)


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Average a signal in as many bins as are asked for.

    Parameters
    ----------
    output_size : int or None
        The length OL; None keeps that of the signal.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Average an image in as many bins as are asked for.

    Parameters
    ----------
    output_size : int, None or (int or None, int or None)
        Height and width OH, OW, one number for both; None keeps that of the image.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Average a volume in as many bins as are asked for.

    Parameters
    ----------
    output_size : int, None or three of them
        OD, OH and OW, one number for all; None keeps that of the volume.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    """Take the largest values of a signal in as many bins as are asked for.

    Parameters
    ----------
    output_size : int or None
        The length OL; None keeps that of the signal.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    """Take the largest values of an image in as many bins as are asked for.

    Parameters
    ----------
    output_size : int, None or (int or None, int or None)
        Height and width OH, OW, one number for both; None keeps that of the image.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class AdaptiveMaxPool3d(_AdaptiveMaxPool):
    """Take the largest values of a volume in as many bins as are asked for.

    Parameters
    ----------
    output_size : int, None or three of them
        OD, OH and OW, one number for all; None keeps that of the volume.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3
