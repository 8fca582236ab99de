"""Layers that compute the p-norm of each window, or of each channel."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.global_pooling import Global
from minicnn.nn.pooling import AXES, Pool
from minicnn.ops._windows import Ints, Padding
from minicnn.ops.lp_pooling import exponent

__all__ = [
    "GlobalLpPool1d",
    "GlobalLpPool2d",
    "GlobalLpPool3d",
    "LpPool1d",
    "LpPool2d",
    "LpPool3d",
]


class _LpPool(Pool):
    @configurable
    def __init__(
        self,
        size: Ints = 2,
        p: float = 2.0,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        self._set_window(size, stride, padding, dilation, ceil_mode)
        self.p = exponent(type(self).__name__, p)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C, *OUT)
            ``(sum |x|^p)^(1/p)`` of each window.
        """
        op = {1: ops.lp_pool1d, 2: ops.lp_pool2d, 3: ops.lp_pool3d}[self._rank]
        return self._pooled(op, x, p=self.p)


class _GlobalLpPool(Global):
    @configurable
    def __init__(self, p: float = 2.0) -> None:
        self.p = exponent(type(self).__name__, p)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C)
            ``(sum |x|^p)^(1/p)`` of each channel.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        op = {1: ops.global_lp_pool1d, 2: ops.global_lp_pool2d, 3: ops.global_lp_pool3d}
        return op[self._rank](x, self.p)


class LpPool1d(_LpPool):
    """Compute the p-norm of each window of a signal.

    Parameters
    ----------
    size : int, default 2
        Window length KL, in samples.
    p : float, default 2
        The exponent, >= 1.
    stride : int, optional
        Step, in samples; by default `size`.
    padding : int, a pair ((before, after),), "valid" or "same", default 0
        Zeros around the signal, in samples.
    dilation : int, default 1
        Distance between neighbouring samples of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where samples remain after the last that fits.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class LpPool2d(_LpPool):
    """Compute the p-norm of each window of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Window height and width KH, KW, in pixels.
    p : float, default 2
        The exponent, >= 1.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Zeros around the image, in pixels.
    dilation : int or (int, int), default 1
        Distance between neighbouring pixels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where pixels remain after the last that fits.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class LpPool3d(_LpPool):
    """Compute the p-norm of each window of a volume.

    Parameters
    ----------
    size : int or (int, int, int), default 2
        Window depth, height and width KD, KH, KW, in voxels.
    p : float, default 2
        The exponent, >= 1.
    stride : int or (int, int, int), optional
        Steps along D, H and W, in voxels; by default `size`.
    padding : int, three of them, pairs (before, after), "valid" or "same", default 0
        Zeros around the volume, in voxels.
    dilation : int or (int, int, int), default 1
        Distance between neighbouring voxels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where voxels remain after the last that fits.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3


class GlobalLpPool1d(_GlobalLpPool):
    """Compute the p-norm of each channel over the whole signal.

    Parameters
    ----------
    p : float, default 2
        The exponent, >= 1.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class GlobalLpPool2d(_GlobalLpPool):
    """Compute the p-norm of each channel over the whole image.

    Parameters
    ----------
    p : float, default 2
        The exponent, >= 1.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class GlobalLpPool3d(_GlobalLpPool):
    """Compute the p-norm of each channel over the whole volume.

    Parameters
    ----------
    p : float, default 2
        The exponent, >= 1.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3
