"""Layers that take the largest value of each window, and that undo it; and what pooling shares."""

from __future__ import annotations

from typing import Any

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn._calls import label
from minicnn.nn._parts import check_input
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module
from minicnn.ops._windows import Ints, Padding, Window

__all__ = [
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
    "MaxUnpool3d",
]

AXES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}


class Pool(Module):
    """A window that slides along `_rank` axes."""

    _rank: int

    def _set_window(
        self,
        size: Ints,
        stride: Ints | None,
        padding: Padding,
        dilation: Ints = 1,
        ceil_mode: bool = False,
    ) -> None:
        step = size if stride is None else stride
        window = Window.of(
            type(self).__name__, (1,) * self._rank, size, step, padding, dilation
        )  # checks them
        self.size, self.stride, self.dilation = window.size, window.stride, window.dilation
        self.padding, self.ceil_mode = padding, bool(ceil_mode)

    def _pooled(self, op: Any, x: Tensor, **more: Any) -> Any:
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        return op(
            x,
            self.size,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            ceil_mode=self.ceil_mode,
            **more,
        )


class _MaxPool(Pool):
    @configurable
    def __init__(
        self,
        size: Ints = 2,
        stride: Ints | None = None,
        padding: Padding = 0,
        dilation: Ints = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> None:
        self._set_window(size, stride, padding, dilation, ceil_mode)
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
        op = {1: ops.max_pool1d, 2: ops.max_pool2d, 3: ops.max_pool3d}[self._rank]
        return self._pooled(op, x, return_indices=self.return_indices)


class _MaxUnpool(Pool):
    @configurable
    def __init__(self, size: Ints = 2, stride: Ints | None = None, padding: Padding = 0) -> None:
        self._set_window(size, stride, padding)

    def forward(
        self, x: Tensor, indices: Tensor | None = None, image_shape: tuple[int, ...] | None = None
    ) -> Tensor:
        """Unpool.

        Parameters
        ----------
        x : Tensor, shape (N, C, *OUT)
            One value for each window.
        indices : Tensor of int, shape (N, C, *OUT)
            The places of the winners, as the pooling returned them; needed.
        image_shape : tuple, optional
            (N, C, *IMAGE); by default that of the smallest image with so many windows, and with
            padding "same" OUT * stride. Where the pooling left pixels over, give it.

        Returns
        -------
        Tensor, shape (N, C, *IMAGE)
            Zero where nothing won.

        Raises
        ------
        ConfigError
            If there are no indices.
        """
        check_input(self, x, AXES[self._rank], (self._rank + 2,))
        if indices is None:
            raise ConfigError(
                f"{label(self)}: needs the indices that max pooling returned with "
                "return_indices=True"
            )
        shape = (*x.shape[:2], *self._image(x.shape[2:])) if image_shape is None else image_shape
        op = {1: ops.max_unpool1d, 2: ops.max_unpool2d, 3: ops.max_unpool3d}[self._rank]
        return op(x, indices, shape)

    def _image(self, out: tuple[int, ...]) -> tuple[int, ...]:
        if self.padding == "same":
            return tuple(o * s for o, s in zip(out, self.stride, strict=True))
        name = type(self).__name__
        window = Window.of(name, out, self.size, self.stride, self.padding)
        return window.image_size(name, out, (0,) * self._rank)


class MaxPool1d(_MaxPool):
    """Take the largest value in each window of a signal.

    Parameters
    ----------
    size : int, default 2
        Window length KL, in samples.
    stride : int, optional
        Step, in samples; by default `size`.
    padding : int, a pair ((before, after),), "valid" or "same", default 0
        -inf around the signal, in samples; it never wins.
    dilation : int, default 1
        Distance between neighbouring samples of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where samples remain after the last that fits.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners for `MaxUnpool1d`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class MaxPool2d(_MaxPool):
    """Take the largest value in each window of an image.

    Parameters
    ----------
    size : int or (int, int), default 2
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        -inf around the image, in pixels; it never wins.
    dilation : int or (int, int), default 1
        Distance between neighbouring pixels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where pixels remain after the last that fits.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners for `MaxUnpool2d`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class MaxPool3d(_MaxPool):
    """Take the largest value in each window of a volume.

    Parameters
    ----------
    size : int or (int, int, int), default 2
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), optional
        Steps along D, H and W, in voxels; by default `size`.
    padding : int, three of them, pairs (before, after), "valid" or "same", default 0
        -inf around the volume, in voxels; it never wins.
    dilation : int or (int, int, int), default 1
        Distance between neighbouring voxels of a window.
    ceil_mode : bool, default False
        Whether one more window is taken where voxels remain after the last that fits.
    return_indices : bool, default False
        Whether to return a pair: the values, and the places of the winners for `MaxUnpool3d`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3


class MaxUnpool1d(_MaxUnpool):
    """Put values back to where `MaxPool1d(..., return_indices=True)` found them.

    Parameters
    ----------
    size : int, default 2
        The window of that pooling; it serves to find out how large the signal was.
    stride : int, optional
        Step, in samples; by default `size`.
    padding : int, a pair ((before, after),), "valid" or "same", default 0
        That of the pooling.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 1


class MaxUnpool2d(_MaxUnpool):
    """Put values back to where `MaxPool2d(..., return_indices=True)` found them.

    Parameters
    ----------
    size : int or (int, int), default 2
        The window of that pooling; it serves to find out how large the image was.
    stride : int or (int, int), optional
        Step down and across, in pixels; by default `size`.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        That of the pooling.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 2


class MaxUnpool3d(_MaxUnpool):
    """Put values back to where `MaxPool3d(..., return_indices=True)` found them.

    Parameters
    ----------
    size : int or (int, int, int), default 2
        The window of that pooling; it serves to find out how large the volume was.
    stride : int or (int, int, int), optional
        Steps along D, H and W, in voxels; by default `size`.
    padding : int, three of them, pairs (before, after), "valid" or "same", default 0
        That of the pooling.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _rank = 3
