"""Transposed convolution: every pixel paints a weighted window into a larger image.

It is the gradient of a convolution by its image, used forward: where that convolution takes many
pixels to one, this takes one to many, and so learns to enlarge.
"""

from __future__ import annotations

from minicnn.autograd import Lifted, Tensor, differentiable
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._windows import Ints, Padding, Window, per_axis
from minicnn.ops.convolution import IMAGES, WINDOWS, check_groups, check_kinds, convolve_transposed

__all__ = ["conv_transpose1d", "conv_transpose2d", "conv_transpose3d"]


@differentiable
def conv_transpose1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Enlarge signals: the transpose of `conv1d` with the same weight and options.

    ``y[n,o,i*S + u*D - before] = bias[o] + sum of weight[c,o,u] * x[n,c,i]`` over all c, u and i
    that meet there; with groups, c runs over the channels of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    weight : Tensor, shape (C, O / groups, K)
        What each input channel paints into the output channels of its group; for the convolution
        of y to x it is the filters.
    bias : Tensor, shape (O,), optional
        Added to every sample of an output channel.
    stride : int, default 1
        Distance S in y between the windows of neighbouring samples.
    padding : int, ((before, after),), "valid" or "same", default 0
        How many samples are cut off y at each end. ``"same"`` makes y ``L * S`` long: the
        transpose of the "same" convolution of what is so long. That one pads by
        ``max(D*(K-1) + 1 - S, 0)`` in all, an odd one after.
    output_padding : int, default 0
        How many samples longer y is at its ends, less than stride or dilation: for a convolution
        with a stride takes several lengths to one, this says which of them is meant.
    dilation : int, default 1
        Distance in y between the samples that neighbouring weights paint.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.

    Returns
    -------
    Tensor, shape (N, O, OL)
        ``OL = (L - 1)*S + D*(K-1) + 1 - before - after + output_padding``.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or so much is cut off that nothing remains.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Zeiler et al., "Deconvolutional networks", CVPR 2010.
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285,
    section 4.
    """
    shape, window, groups = _enlarged(
        "conv_transpose1d", 1, x, weight, bias, stride, padding, output_padding, dilation, groups
    )
    return convolve_transposed(x, weight, bias, shape, window, groups)


@differentiable
def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Enlarge images: the transpose of `conv2d` with the same weight and options.

    ``y[n, o, i*SH + u*DH - before, j*SW + v*DW - before] = bias[o] + sum of weight[c,o,u,v]
    * x[n,c,i,j]`` over all c, u, v, i and j that meet there; with groups, c runs over the channels
    of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    weight : Tensor, shape (C, O / groups, KH, KW)
        What each input channel paints into the output channels of its group; for the convolution
        of y to x it is the filters.
    bias : Tensor, shape (O,), optional
        Added to every pixel of an output channel.
    stride : int or (int, int), default 1
        Distance SH, SW in y between the windows of neighbouring pixels.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        How many pixels are cut off y at each end. ``"same"`` makes y ``H * SH`` high: the
        transpose of the "same" convolution of what is so high. That one pads by
        ``max(DH*(KH-1) + 1 - SH, 0)`` in all, an odd one after.
    output_padding : int or (int, int), default 0
        How many pixels longer y is at its ends, less than stride or dilation: for a convolution
        with a stride takes several lengths to one, this says which of them is meant.
    dilation : int or (int, int), default 1
        Distance in y between the pixels that neighbouring weights paint.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        ``OH = (H - 1)*SH + DH*(KH-1) + 1 - before - after + output_padding``, and likewise OW.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or so much is cut off that nothing remains.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Zeiler et al., "Deconvolutional networks", CVPR 2010.
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285,
    section 4.
    """
    shape, window, groups = _enlarged(
        "conv_transpose2d", 2, x, weight, bias, stride, padding, output_padding, dilation, groups
    )
    return convolve_transposed(x, weight, bias, shape, window, groups)


@differentiable
def conv_transpose3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    output_padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Enlarge volumes: the transpose of `conv3d` with the same weight and options.

    ``y[n, o, i*SD + t*DD - before, j*SH + u*DH - before, k*SW + v*DW - before] = bias[o] + sum of
    weight[c,o,t,u,v] * x[n,c,i,j,k]`` over all c, t, u, v, i, j and k that meet there; with groups,
    c runs over the channels of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    weight : Tensor, shape (C, O / groups, KD, KH, KW)
        What each input channel paints into the output channels of its group; for the convolution
        of y to x it is the filters.
    bias : Tensor, shape (O,), optional
        Added to every voxel of an output channel.
    stride : int or (int, int, int), default 1
        Distance SD, SH, SW in y between the windows of neighbouring voxels.
    padding : int, (int, int, int), pairs (before, after), "valid" or "same", default 0
        How many voxels are cut off y at each end. ``"same"`` makes y ``D * SD`` deep: the
        transpose of the "same" convolution of what is so deep. That one pads by
        ``max(DD*(KD-1) + 1 - SD, 0)`` in all, an odd one after.
    output_padding : int or (int, int, int), default 0
        How many voxels longer y is at its ends, less than stride or dilation: for a convolution
        with a stride takes several lengths to one, this says which of them is meant.
    dilation : int or (int, int, int), default 1
        Distance in y between the voxels that neighbouring weights paint.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)
        ``OD = (D - 1)*SD + DD*(KD-1) + 1 - before - after + output_padding``, and likewise OH
        and OW.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or so much is cut off that nothing remains.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Zeiler et al., "Deconvolutional networks", CVPR 2010.
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285,
    section 4.
    """
    shape, window, groups = _enlarged(
        "conv_transpose3d", 3, x, weight, bias, stride, padding, output_padding, dilation, groups
    )
    return convolve_transposed(x, weight, bias, shape, window, groups)


def _enlarged(
    op: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Padding,
    output_padding: Ints,
    dilation: Ints,
    groups: int,
) -> tuple[tuple[int, ...], Window, int]:
    """Check the arguments of a transposed convolution; return y's shape, the window, the groups."""
    groups = check_groups(op, groups)
    _check_channels(op, rank, x, weight, bias, groups)
    check_kinds(op, x, weight, bias)
    channels, image, size = weight.shape[1] * groups, x.shape[2:], weight.shape[2:]
    strides = per_axis(op, "stride", stride, rank, at_least=1)
    more = per_axis(op, "output_padding", output_padding, rank, at_least=0)
    if padding == "same":
        whole = tuple(n * s for n, s in zip(image, strides, strict=True))
        if any(more):
            raise ConfigError(
                f"{op}: padding='same' makes the output {whole} of x {x.shape}; leave out "
                f"output_padding={output_padding}, or give the padding in numbers"
            )
        window = Window.of(op, whole, size, strides, padding, dilation)
        return (len(x), channels, *whole), window, groups
    window = Window.of(op, image, size, strides, padding, dilation)
    if any(m >= max(both) for m, *both in zip(more, strides, window.dilation, strict=True)):
        raise ConfigError(
            f"{op}: output_padding {more} must be less than stride {strides} or dilation "
            f"{window.dilation} (x {x.shape}, weight {weight.shape}); use less, and minicnn.pad "
            "for a margin"
        )
    return (len(x), channels, *window.image_size(op, image, more)), window, groups


def _check_channels(
    op: str, rank: int, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int
) -> None:
    """Refuse operands whose shapes do not fit one another."""
    shapes = f"x {x.shape}, weight {weight.shape}"
    layout = f"(C, O/groups, {WINDOWS[rank]})"
    if x.ndim != rank + 2 or weight.ndim != rank + 2:
        raise ShapeError(f"{op}: needs x {IMAGES[rank]} and weight {layout}, got {shapes}")
    if 0 in (*x.shape[1:], *weight.shape):
        raise ShapeError(f"{op}: needs channels, pixels and weights, got {shapes}")
    if x.shape[1] != weight.shape[0]:
        raise ShapeError(
            f"{op}: x has {x.shape[1]} channels but weight expects {weight.shape[0]} ({shapes}); "
            f"a transposed convolution's weight is {layout}: set in_channels={x.shape[1]}, or swap "
            "its first two axes"
        )
    if x.shape[1] % groups:
        raise ShapeError(
            f"{op}: {x.shape[1]} input channels do not divide into {groups} groups ({shapes})"
        )
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        times = f" in {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"{op}: bias has shape {bias.shape} but weight {weight.shape}{times} needs "
            f"{(weight.shape[1] * groups,)}"
        )
