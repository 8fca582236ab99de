"""Layers that summarise windows of an image, or all of it."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.nn._parts import check_input, two
from minicnn.nn._receptive import Field
from minicnn.nn.arg_scope import configurable
from minicnn.nn.convolution import through_window
from minicnn.nn.module import Module
from minicnn.ops._windows import IntPair, Padding, Window

__all__ = ["AvgPool2d", "GlobalAvgPool2d", "GlobalMaxPool2d", "MaxPool2d"]


class _Pool2d(Module):
    """A window that slides."""

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: Padding

    def _set_window(self, size: IntPair, stride: IntPair | None, padding: Padding) -> None:
        window = Window.of(
            type(self).__name__, (1, 1), size, size if stride is None else stride, padding
        )
        self.size, self.stride, self.padding = two(window.size), two(window.stride), padding

    def receptive_field(self, field: Field, x_shape: tuple[int, ...]) -> Field:
        """Return what part of the image an output pixel depends on."""
        return through_window(field, x_shape[2:], self.size, self.stride, self.padding)


class MaxPool2d(_Pool2d):
    """Take the largest value in each window of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of -inf around the image, in pixels; less than `size`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self, size: IntPair = 2, stride: IntPair | None = None, padding: Padding = 0
    ) -> None:
        self._set_window(size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C, OH, OW)
            ``OH = (H + before + after - KH) // SH + 1``, and likewise OW.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.max_pool2d(x, self.size, self.stride, self.padding)


class AvgPool2d(_Pool2d):
    """Average each window of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Rows and columns of zeros around the image, in pixels; less than `size`.
    count_include_pad : bool, default True
        Whether padding counts in the divisor.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self,
        size: IntPair = 2,
        stride: IntPair | None = None,
        padding: Padding = 0,
        count_include_pad: bool = True,
    ) -> None:
        self._set_window(size, stride, padding)
        self.count_include_pad = bool(count_include_pad)

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C, OH, OW)
            ``OH = (H + before + after - KH) // SH + 1``, and likewise OW.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.avg_pool2d(x, self.size, self.stride, self.padding, self.count_include_pad)


class GlobalAvgPool2d(Module):
    """Average each channel over the whole image."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C)
            The means.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.global_avg_pool2d(x)

    def receptive_field(self, field: Field, x_shape: tuple[int, ...]) -> Field:
        """Return all that the pixels depend on together."""
        return field.whole()


class GlobalMaxPool2d(Module):
    """Take the largest value of each channel over the whole image."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C)
            The maxima.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.global_max_pool2d(x)

    def receptive_field(self, field: Field, x_shape: tuple[int, ...]) -> Field:
        """Return all that the pixels depend on together."""
        return field.whole()
