"""Layers that convolve."""

from __future__ import annotations

import math

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn._parts import Activation, Normalizer, Weighted, check_input, count, two
from minicnn.nn._receptive import Field
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, he_normal, zeros
from minicnn.ops._windows import IntPair, Padding, Window

__all__ = ["Conv2d"]


class Conv2d(Weighted):
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

    @configurable
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        size: IntPair = 3,
        stride: IntPair = 1,
        padding: Padding = "same",
        dilation: IntPair = 1,
        groups: int = 1,
        bias: bool | None = None,
        normalizer: Normalizer | None = None,
        activation: Activation | None = None,
        initializer: Initializer = he_normal,
        bias_initializer: Initializer = zeros,
    ) -> None:
        self.out_channels = count("Conv2d", "out_channels", out_channels)
        self.groups = count("Conv2d", "groups", groups)
        window = Window.of("Conv2d", (1, 1), size, stride, padding, dilation)  # checks them
        self.size, self.stride = two(window.size), two(window.stride)
        self.dilation = two(window.dilation)
        self.padding = padding
        if self.out_channels % self.groups:
            raise ConfigError(
                f"Conv2d: {out_channels} out_channels do not divide into {groups} groups"
            )
        self._prepare(
            self.out_channels, bias, normalizer, activation, initializer, bias_initializer
        )
        self.in_channels: int | None = None
        self._waits_for = "in_channels"
        if in_channels is not None:
            self._set_in_channels(count("Conv2d", "in_channels", in_channels), None)

    def _set_in_channels(self, in_channels: int, device: str | None) -> None:
        if in_channels % self.groups:
            raise ConfigError(
                f"Conv2d: {in_channels} in_channels do not divide into {self.groups} groups"
            )
        self._create((self.out_channels, in_channels // self.groups, *self.size), device)
        self.in_channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Convolve, normalise, activate.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, O, OH, OW)
            See `minicnn.ops.conv2d` for OH and OW.

        Raises
        ------
        ShapeError
            If x has other channels than the layer was made for.
        """
        check_input(self, x, "(N, C, H, W)", (4,), self.in_channels)
        if self.in_channels is None:
            self._set_in_channels(x.shape[1], x.device)
        y = ops.conv2d(
            x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups
        )
        return self._finish(y)

    def count_macs(self, x_shape: tuple[int, ...], y_shape: tuple[int, ...]) -> int:
        """Return ``N * O * OH * OW * (C / groups) * KH * KW``."""
        return math.prod(y_shape) * math.prod(self.weight.shape[1:])

    def receptive_field(self, field: Field, x_shape: tuple[int, ...]) -> Field:
        """Return what part of the image an output pixel depends on."""
        return through_window(
            field, x_shape[2:], self.size, self.stride, self.padding, self.dilation
        )


def through_window(
    field: Field,
    image: tuple[int, ...],
    size: IntPair,
    stride: IntPair,
    padding: Padding,
    dilation: IntPair = 1,
) -> Field:
    """Return the receptive fields behind a sliding window with these arguments."""
    window = Window.of("receptive_field", image, size, stride, padding, dilation)
    return field.through(window, window.output_size("receptive_field", image))
