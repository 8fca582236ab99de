"""Layers that enlarge: transposed convolutions."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn._parameter import Parameter
from minicnn.nn._parts import Activation, Normalizer, beside
from minicnn.nn.arg_scope import configurable
from minicnn.nn.convolution import Convolution
from minicnn.nn.init import Initializer, he_normal, zeros
from minicnn.ops._windows import Ints, Padding, per_axis

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

_OPS = {1: ops.conv_transpose1d, 2: ops.conv_transpose2d, 3: ops.conv_transpose3d}


class _Transposed(Convolution):
    """A transposed convolution, whatever the number of its spatial axes."""

    output_padding: tuple[int, ...]

    @configurable
    def __init__(
        self,
        in_channels: int | None,
        out_channels: int,
        size: Ints = 3,
        stride: Ints = 1,
        padding: Padding = "same",
        output_padding: Ints = 0,
        dilation: Ints = 1,
        groups: int = 1,
        bias: bool | None = None,
        normalizer: Normalizer | None = None,
        activation: Activation | None = None,
        initializer: Initializer = he_normal,
        bias_initializer: Initializer = zeros,
    ) -> None:
        self._slide(out_channels, groups, size, stride, padding, dilation)
        kind = type(self).__name__
        self.output_padding = per_axis(kind, "output_padding", output_padding, self.axes, 0)
        if padding == "same" and any(self.output_padding):
            raise ConfigError(
                f"{kind}: padding='same' makes the output stride times as large; leave out "
                f"output_padding={output_padding}, or give the padding in numbers"
            )
        self._prepare(
            self.out_channels, bias, normalizer, activation, initializer, bias_initializer
        )
        self._connect(in_channels)

    def _set_in_channels(self, in_channels: int, device: str | None) -> None:
        """Create the weights of a convolution from C to O channels, then exchange C and O.

        For initialisers take axis 1 for the channels that are summed, which here is axis 0.
        """
        super()._set_in_channels(in_channels, device)
        o, c, *size = self.weight.shape
        groups = self.groups
        split = self.weight.data.reshape(groups, o // groups, c, *size).swapaxes(1, 2)
        self.weight = Parameter(split.reshape(groups * c, o // groups, *size).copy())

    def _convolve(self, x: Tensor) -> Tensor:
        transpose = _OPS[self.axes]
        weight, bias = beside(x, self.weight, self.bias)
        return transpose(
            x,
            weight,
            bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.dilation,
            self.groups,
        )


class ConvTranspose1d(_Transposed):
    """Enlarge signals with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Channels O of the output.
    size : int, default 3
        Window length K, in samples.
    stride : int, default 1
        Distance in the output between the windows of neighbouring samples: how many times larger
        the output is.
    padding : int, ((before, after),), "valid" or "same", default "same"
        How many samples are cut off the output at each end. ``"same"`` makes it
        ``L * stride`` long.
    output_padding : int, default 0
        How many samples longer the output is at its ends, less than stride or dilation; not with
        ``"same"``.
    dilation : int, default 1
        Distance in the output between the samples that neighbouring weights paint.
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
        ``(shape, stream, dtype) -> ndarray`` for the filters, called with the shape
        (O, C / groups, K) of a convolution from C to O channels; axes 0 and 1 are then
        exchanged. See `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (C, O / groups, K)
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
    >>> layer = nn.ConvTranspose1d(4, 2, stride=2, activation=ops.relu)
    >>> layer(Tensor(np.zeros((2, 4, 5), np.float32))).shape
    (2, 2, 10)
    """

    axes = 1


class ConvTranspose2d(_Transposed):
    """Enlarge images with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Channels O of the output.
    size : int or (int, int), default 3
        Window height and width KH, KW, in pixels.
    stride : int or (int, int), default 1
        Distance in the output between the windows of neighbouring pixels: how many times larger
        the output is.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default "same"
        How many pixels are cut off the output at each end. ``"same"`` makes it
        ``H * stride`` high.
    output_padding : int or (int, int), default 0
        How many pixels longer the output is at its ends, less than stride or dilation; not with
        ``"same"``.
    dilation : int or (int, int), default 1
        Distance in the output between the pixels that neighbouring weights paint.
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
        ``(shape, stream, dtype) -> ndarray`` for the filters, called with the shape
        (O, C / groups, KH, KW) of a convolution from C to O channels; axes 0 and 1 are then
        exchanged. See `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (C, O / groups, KH, KW)
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
    >>> layer = nn.ConvTranspose2d(8, 3, stride=2, activation=ops.relu)
    >>> layer(Tensor(np.zeros((2, 8, 5, 7), np.float32))).shape
    (2, 3, 10, 14)
    """

    axes = 2


class ConvTranspose3d(_Transposed):
    """Enlarge volumes with learned filters, then normalise, then apply a non-linearity.

    Parameters
    ----------
    in_channels : int or None
        Channels C of the input; None: found out at the first call.
    out_channels : int
        Channels O of the output.
    size : int or (int, int, int), default 3
        Window depth, height and width KD, KH, KW, in voxels.
    stride : int or (int, int, int), default 1
        Distance in the output between the windows of neighbouring voxels: how many times larger
        the output is.
    padding : int, (int, int, int), pairs (before, after), "valid" or "same", default "same"
        How many voxels are cut off the output at each end. ``"same"`` makes it
        ``D * stride`` deep.
    output_padding : int or (int, int, int), default 0
        How many voxels longer the output is at its ends, less than stride or dilation; not with
        ``"same"``.
    dilation : int or (int, int, int), default 1
        Distance in the output between the voxels that neighbouring weights paint.
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
        ``(shape, stream, dtype) -> ndarray`` for the filters, called with the shape
        (O, C / groups, KD, KH, KW) of a convolution from C to O channels; axes 0 and 1 are then
        exchanged. See `minicnn.nn.init`.
    bias_initializer : callable, default zeros
        The same for the bias.

    Attributes
    ----------
    weight : Parameter, shape (C, O / groups, KD, KH, KW)
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
    >>> layer = nn.ConvTranspose3d(4, 1, size=2, stride=(1, 2, 2))
    >>> layer(Tensor(np.zeros((2, 4, 3, 4, 4), np.float32))).shape
    (2, 1, 3, 8, 8)
    """

    axes = 3
