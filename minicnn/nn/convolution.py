"""Layers that convolve."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.autograd.tensor import is_recording
from minicnn.autograd.watching import watcher
from minicnn.backend.precision import NARROW, is_mixed
from minicnn.errors import ConfigError
from minicnn.nn._building import creating
from minicnn.nn._calls import observer
from minicnn.nn._inference import infer
from minicnn.nn._parts import (
    Activation,
    Normalizer,
    Weighted,
    beside,
    check_input,
    count,
    narrowed,
)
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, he_normal, zeros
from minicnn.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minicnn.ops._windows import Ints, Padding, Window
from minicnn.ops.block import conv_block

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

IMAGES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
_NORMS = {1: BatchNorm1d, 2: BatchNorm2d, 3: BatchNorm3d}
_OPS = {1: ops.conv1d, 2: ops.conv2d, 3: ops.conv3d}


class Convolution(Weighted):
    """What all convolutions are, whatever the number of their spatial axes."""

    axes: ClassVar[int]
    in_channels: int | None
    out_channels: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Padding
    dilation: tuple[int, ...]
    groups: int

    @configurable
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        size: Ints = 3,
        stride: Ints = 1,
        padding: Padding = "same",
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool | None = None,
        normalizer: Normalizer | None = None,
        activation: Activation | None = None,
        initializer: Initializer = he_normal,
        bias_initializer: Initializer = zeros,
    ) -> None:
        self._slide(out_channels, groups, size, stride, padding, dilation)
        self._prepare(
            self.out_channels, bias, normalizer, activation, initializer, bias_initializer
        )
        self._connect(in_channels)

    def _slide(
        self,
        out_channels: int,
        groups: int,
        size: Ints,
        stride: Ints,
        padding: Padding,
        dilation: Ints,
    ) -> None:
        kind = type(self).__name__
        self.out_channels = count(kind, "out_channels", out_channels)
        self.groups = count(kind, "groups", groups)
        window = Window.of(kind, (1,) * self.axes, size, stride, padding, dilation)  # checks them
        self.size, self.stride, self.dilation = window.size, window.stride, window.dilation
        self.padding = padding
        if self.out_channels % self.groups:
            raise ConfigError(
                f"{kind}: {out_channels} out_channels do not divide into {groups} groups"
            )

    def _connect(self, in_channels: int | None) -> None:
        self.in_channels = None
        self._waits_for = "in_channels"
        if in_channels is not None:
            given = count(type(self).__name__, "in_channels", in_channels)
            self._set_in_channels(given, None)

    def _set_in_channels(self, in_channels: int, device: str | None) -> None:
        if in_channels % self.groups:
            raise ConfigError(
                f"{type(self).__name__}: {in_channels} in_channels do not divide into "
                f"{self.groups} groups"
            )
        self._create((self.out_channels, in_channels // self.groups, *self.size), device)
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, activate.

        Parameters
        ----------
        x : Tensor, shape (N, C, L), (N, C, H, W) or (N, C, D, H, W)
            A batch, with as many spatial axes as the layer's name says.

        Returns
        -------
        Tensor, shape (N, O, ...)
            See the op of the layer's name in `minicnn.ops` for the lengths.

        Raises
        ------
        ShapeError
            If x has other channels than the layer was made for.
        """
        check_input(self, x, IMAGES[self.axes], (self.axes + 2,), self.in_channels)
        if self.in_channels is None:
            with creating():
                if self.in_channels is None:
                    self._set_in_channels(x.shape[1], x.device)
        x = narrowed(x)
        block = self._block_for(x)
        return self._finish(self._convolve(x)) if block is None else block(x)

    def _block_for(self, x: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Return what does the whole layer in one op; None where somebody looks in between."""
        norm = self.normalizer
        normalizes = type(norm) is _NORMS[self.axes] and "forward" not in vars(norm)
        if (
            not (norm is None or (normalizes and not norm._forward_hooks))
            or not _has_block(x)
            or type(self)._convolve is not Convolution._convolve
            or watcher.get() is not None
            or observer.get() is not None
        ):
            return None
        if normalizes and norm.training:
            return self._learn if self.bias is None and len(x) > 1 else None
        if is_recording() and (x.requires_grad or any(p.requires_grad for p in self.parameters())):
            return None
        return self._infer if normalizes or self.activation is ops.relu else None

    def _learn(self, x: Tensor) -> Tensor:
        """Convolve, normalise by the batch's statistics and activate."""
        norm, geometry = self.normalizer, (self.stride, self.padding, self.dilation, self.groups)
        rectified = self.activation is ops.relu
        (weight,) = beside(x, self.weight)
        z, mean, variance = conv_block(
            x, weight, norm.gamma, norm.beta, norm.epsilon, *geometry, rectified
        )
        norm.note(mean, variance, z.size // z.shape[1])
        return z if rectified or self.activation is None else self.activation(z)

    def _infer(self, x: Tensor) -> Tensor:
        """Convolve, normalise by the moving averages and activate, without gradients."""
        rectified = self.activation is ops.relu
        z = infer(self, x, self.stride, self.padding, self.dilation, self.groups, rectified)
        return z if rectified or self.activation is None else self.activation(z)

    def _convolve(self, x: Tensor) -> Tensor:
        conv = _OPS[self.axes]
        weight, bias = beside(x, self.weight, self.bias)
        return conv(x, weight, bias, self.stride, self.padding, self.dilation, self.groups)


def _has_block(x: Tensor) -> bool:
    """Tell whether there are kernels that do the whole layer for such x: in float16 on GPUs alone.

    There the normaliser keeps its parameters in float32 beside it.
    """
    return x.dtype == np.float32 or (x.dtype == NARROW and is_mixed() and x.device != "cpu")


class Conv1d(Convolution):
    """Convolve signals with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Number O of filters, so channels of the output.
    size : int, default 3
        Window length K, in samples.
    stride : int, default 1
        Step of the window, in samples.
    padding : int, ((before, after),), "valid" or "same", default "same"
        Zeros around the signal, in samples. ``"same"`` makes the output ``ceil(L / stride)`` long.
    dilation : int, default 1
        Distance between the samples under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.
    bias : bool, optional
        Whether a number is added to each channel; by default unless a normaliser follows, whose
        own shift would make it useless.
    normalizer : class or callable, optional
        Called with `out_channels`, makes the layer that normalises.
    activation : callable, Module or class of Modules, optional
        Applied last: `minicnn.ops.relu`, or `PReLU`, of which each layer makes its own.
    initializer : callable, default he_normal
        ``(shape, stream, dtype) -> ndarray`` for the filters; see `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (O, C / groups, K)
        The filters.
    bias : Parameter, shape (O,), or None
        The numbers added.

    Raises
    ------
    ConfigError
        If an argument is not of its form, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn, ops
    >>> layer = nn.Conv1d(2, 8, size=5, stride=2, activation=ops.relu)
    >>> layer(Tensor(np.zeros((2, 2, 9), np.float32))).shape
    (2, 8, 5)
    """

    axes = 1


class Conv2d(Convolution):
    """Convolve images with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Number O of filters, so channels of the output.
    size : int or (int, int), default 3
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), default 1
        Step of the window down and across, in pixels.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default "same"
        Zeros around the image, in pixels. ``"same"`` makes the output ``ceil(H / stride)`` high.
    dilation : int or (int, int), default 1
        Distance between the pixels under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.
    bias : bool, optional
        Whether a number is added to each channel; by default unless a normaliser follows, whose
        own shift would make it useless.
    normalizer : class or callable, optional
        Called with `out_channels`, makes the layer that follows the convolution: `BatchNorm2d`.
    activation : callable, Module or class of Modules, optional
        Applied last: `minicnn.ops.relu`, or `PReLU`, of which each layer makes its own.
    initializer : callable, default he_normal
        ``(shape, stream, dtype) -> ndarray`` for the filters; see `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (O, C / groups, KH, KW)
        The filters.
    bias : Parameter, shape (O,), or None
        The numbers added.

    Raises
    ------
    ConfigError
        If an argument is not of its form, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn, ops
    >>> layer = nn.Conv2d(3, 8, stride=2, normalizer=nn.BatchNorm2d, activation=ops.relu)
    >>> layer(Tensor(np.zeros((2, 3, 9, 9), np.float32))).shape
    (2, 8, 5, 5)
    """

    axes = 2


class Conv3d(Convolution):
    """Convolve volumes with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Number O of filters, so channels of the output.
    size : int or (int, int, int), default 3
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), default 1
        Step of the window in depth, down and across, in voxels.
    padding : int, (int, int, int), pairs (before, after), "valid" or "same", default "same"
        Zeros around the volume, in voxels. ``"same"`` makes the output ``ceil(D / stride)`` deep.
    dilation : int or (int, int, int), default 1
        Distance between the voxels under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.
    bias : bool, optional
        Whether a number is added to each channel; by default unless a normaliser follows, whose
        own shift would make it useless.
    normalizer : class or callable, optional
        Called with `out_channels`, makes the layer that normalises.
    activation : callable, Module or class of Modules, optional
        Applied last: `minicnn.ops.relu`, or `PReLU`, of which each layer makes its own.
    initializer : callable, default he_normal
        ``(shape, stream, dtype) -> ndarray`` for the filters; see `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (O, C / groups, KD, KH, KW)
        The filters.
    bias : Parameter, shape (O,), or None
        The numbers added.

    Raises
    ------
    ConfigError
        If an argument is not of its form, or `groups` does not divide the channels.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn, ops
    >>> layer = nn.Conv3d(1, 4, size=(1, 3, 3), activation=ops.relu)
    >>> layer(Tensor(np.zeros((2, 1, 4, 6, 6), np.float32))).shape
    (2, 4, 4, 6, 6)
    """

    axes = 3
