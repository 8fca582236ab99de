"""Layers that average each window."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn.arg_scope import configurable
from minicnn.nn.pooling import Pool
from minicnn.ops._windows import Ints, Padding

__all__ = ["AvgPool1d", "AvgPool2d", "AvgPool3d"]


class _AvgPool(Pool):
    @configurable
    def __init__(
        self,
        size: Ints = 2,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        self._set_window(size, stride, padding, dilation, ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *IMAGE)
            A batch.

        Returns
        -------
        Tensor, shape (N, C, *OUT)
            The means.
        """
        op = {1: ops.avg_pool1d, 2: ops.avg_pool2d, 3: ops.avg_pool3d}[self._rank]
        return self._pooled(op, x, count_include_pad=self.count_include_pad)


class AvgPool1d(_AvgPool):
    """Average each window of a signal.

    Parameters
    ----------
    size : int, default 2
        Window length KL, in samples.
    stride : int, optional
        Step, in samples; by default `size`.
    padding : int, a pair ((before, after),), "valid" or "same", default 0
        Zeros around the signal, in samples.
    dilation : int, default 1
        Distance between neighbouring samples of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where samples remain after the last that fits.
    count_include_pad : bool, default True
        Whether padding counts in the divisor.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class AvgPool2d(_AvgPool):
    """Average each window of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Zeros around the image, in pixels.
    dilation : int or (int, int), default 1
        Distance between neighbouring pixels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where pixels remain after the last that fits.
    count_include_pad : bool, default True
        Whether padding counts in the divisor.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class AvgPool3d(_AvgPool):
    """Average each window of a volume.

    Parameters
    ----------
    size : int or (int, int, int), default 2
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), optional
        Steps along D, H and W, in voxels; by default `size`.
    padding : int, three of them, pairs (before, after), "valid" or "same", default 0
        Zeros around the volume, in voxels.
    dilation : int or (int, int, int), default 1
        Distance between neighbouring voxels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where voxels remain after the last that fits.
    count_include_pad : bool, default True
        Whether padding counts in the divisor.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3
