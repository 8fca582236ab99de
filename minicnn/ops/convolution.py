"""Convolution: a weighted sum over a small patch, shifted across the image with shared weights.

With 1, 2 or 3 spatial axes it is one trilinear form, seen from three sides: its value
(`convolve`), its transpose (`convolve_transposed`, which is also what `conv_transpose2d`
computes) and its gradient by the weights (`conv_grad_weight`). Each is the gradient of the
others, so derivatives of every order come for free.

In comments, p is a place in the image, q one in the output and k one in the window, each an index
for every spatial axis: weight k of the window at q lies on p = q*stride + k*dilation - before.
"""

from __future__ import annotations

import operator

from minicnn.autograd import Lifted, Tensor, differentiable
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops._windows import Ints, Padding, Window

__all__ = ["conv1d", "conv2d", "conv3d"]

Shape = tuple[int, ...]

IMAGES = {1: "(N, C, L)", 2: "(N, C, H, W)", 3: "(N, C, D, H, W)"}
WINDOWS = {1: "K", 2: "KH, KW", 3: "KD, KH, KW"}


@differentiable
def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Convolve signals with filters (cross-correlation, as every library calls it).

    ``y[n,o,i] = bias[o] + sum_{c,u} weight[o,c,u] * x[n, c, i*S + u*D]``,
    x being padded with zeros; with groups, c runs over the channels of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    weight : Tensor, shape (O, C / groups, K)
        The filters, one for each output channel.
    bias : Tensor, shape (O,), optional
        Added to every sample of an output channel.
    stride : int, default 1
        Step S of the window, in samples.
    padding : int, ((before, after),), "valid" or "same", default 0
        Zeros around the signal, in samples. ``"same"`` makes the output ``ceil(L / S)`` long;
        where that takes an odd number, the odd one goes after (TensorFlow's rule).
    dilation : int, default 1
        Distance D between the samples under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another; C for depthwise.

    Returns
    -------
    Tensor, shape (N, O, OL)
        ``OL = (L + before + after - D*(K-1) - 1) // S + 1``.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or the window does not fit in the padded signal.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    return _convolved("conv1d", 1, x, weight, bias, stride, padding, dilation, groups)


@differentiable
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Convolve images with filters (cross-correlation, as every library calls it).

    ``y[n,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] * x[n, c, i*SH + u*DH, j*SW + v*DW]``,
    x being padded with zeros; with groups, c runs over the channels of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    weight : Tensor, shape (O, C / groups, KH, KW)
        The filters, one for each output channel.
    bias : Tensor, shape (O,), optional
        Added to every pixel of an output channel.
    stride : int or (int, int), default 1
        Step of the window down and across SH, SW, in pixels.
    padding : int, (int, int), pairs (before, after), "valid" or "same", default 0
        Zeros around the image, in pixels. ``"same"`` makes the output ``ceil(H / SH)`` high;
        where that takes an odd number, the odd one goes after (TensorFlow's rule).
    dilation : int or (int, int), default 1
        Distance DH, DW between the pixels under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another; C for depthwise.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        ``OH = (H + before + after - DH*(KH-1) - 1) // SH + 1``, and likewise OW.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or the window does not fit in the padded image.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    return _convolved("conv2d", 2, x, weight, bias, stride, padding, dilation, groups)


@differentiable
def conv3d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Padding = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Lifted:
    """Convolve volumes with filters (cross-correlation, as every library calls it).

    ``y[n,o,i,j,k] = bias[o] + sum_{c,t,u,v} weight[o,c,t,u,v]
    * x[n, c, i*SD + t*DD, j*SH + u*DH, k*SW + v*DW]``,
    x being padded with zeros; with groups, c runs over the channels of o's own group.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes: computed tomographies, or videos with time for D.
    weight : Tensor, shape (O, C / groups, KD, KH, KW)
        The filters, one for each output channel.
    bias : Tensor, shape (O,), optional
        Added to every voxel of an output channel.
    stride : int or (int, int, int), default 1
        Step of the window in depth, down and across SD, SH, SW, in voxels.
    padding : int, (int, int, int), pairs (before, after), "valid" or "same", default 0
        Zeros around the volume, in voxels. ``"same"`` makes the output ``ceil(D / SD)`` deep;
        where that takes an odd number, the odd one goes after (TensorFlow's rule).
    dilation : int or (int, int, int), default 1
        Distance DD, DH, DW between the voxels under neighbouring weights.
    groups : int, default 1
        Into how many parts the channels are cut that do not see one another; C for depthwise.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)
        ``OD = (D + before + after - DD*(KD-1) - 1) // SD + 1``, and likewise OH and OW.

    Raises
    ------
    ShapeError
        If the channels do not fit or are none, or the window does not fit in the padded volume.
    ConfigError
        If an option is not of its form.
    DTypeError
        If x, weight and bias are not of one float type.
    DeviceError
        If they are not on one device.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    return _convolved("conv3d", 3, x, weight, bias, stride, padding, dilation, groups)


def _convolved(
    op: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Lifted:
    """Check the arguments of a convolution, then compute it."""
    window, out_size, groups = prepare(op, rank, x, weight, bias, stride, padding, dilation, groups)
    return convolve(x, weight, bias, out_size, window, groups)


def prepare(
    op: str,
    rank: int,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> tuple[Window, Shape, int]:
    """Check the arguments of a convolution; return its window, its output's size and groups."""
    groups = check_groups(op, groups)
    _check_channels(op, rank, x, weight, bias, groups)
    check_kinds(op, x, weight, bias)
    window = Window.of(op, x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return window, window.output_size(op, x.shape[2:]), groups


def convolve(
    x: Tensor, weight: Tensor, bias: Tensor | None, out_size: Shape, window: Window, groups: int
) -> Lifted:
    """Compute x (N, C, *IN), weight (O, C/groups, *K), bias (O,) -> y (N, O, *OUT).

    `out_size` is OUT: where a transposed convolution left pixels over, more windows would fit.
    """
    image_shape, kernel_shape = x.shape, weight.shape
    b = None if bias is None else bias.data
    y = kernels_for(x.data).conv(x.data, weight.data, b, out_size, window, groups)

    # y[n,o,q] = bias[o] + sum_{c,k} weight[o,c,k] * x[n,c,p(q,k)], so x[n,c,p] meets weight[o,c,k]
    # at every output q from which weight k lies on p:
    #     dL/dx[n,c,p] = sum of weight[o,c,k] * dL/dy[n,o,q] over all (o,k,q) with p(q,k) = p
    def grad_x(grad_y: Tensor) -> Tensor:
        return _conv_transposed(grad_y, weight, None, image_shape, window, groups)

    # dL/dweight[o,c,k] = sum_{n,q} dL/dy[n,o,q] * x[n,c,p(q,k)]
    def grad_weight(grad_y: Tensor) -> Tensor:
        return conv_grad_weight(grad_y, x, kernel_shape, window, groups)

    return y, (grad_x, grad_weight, _grad_bias)


def convolve_transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, image_shape: Shape, window: Window, groups: int
) -> Lifted:
    """Compute x (N, O, *OUT), weight (O, C/groups, *K), bias (C,) -> y (N, C, *IN).

    The letters are those of the convolution that this is the transpose of: it maps y to x.
    """
    out_size, kernel_shape = x.shape[2:], weight.shape
    y = kernels_for(x.data).conv_grad_x(x.data, weight.data, image_shape, window, groups)
    if bias is not None:
        y += bias.data.reshape(-1, *(1,) * len(out_size))  # y is fresh

    # y[n,c,p] = bias[c] + sum of weight[o,c,k] * x[n,o,q] over all (o,k,q) with p(q,k) = p.
    # So x[n,o,q] is in y[n,c,p(q,k)] for each c and k, times weight[o,c,k]:
    #     dL/dx[n,o,q] = sum_{c,k} weight[o,c,k] * dL/dy[n,c,p(q,k)], the convolution itself
    def grad_x(grad_y: Tensor) -> Tensor:
        return _conv(grad_y, weight, None, out_size, window, groups)

    # dL/dweight[o,c,k] = sum_{n,q} x[n,o,q] * dL/dy[n,c,p(q,k)]: as that of the convolution, with
    # x in the place of its gradient and dL/dy in that of its image
    def grad_weight(grad_y: Tensor) -> Tensor:
        return conv_grad_weight(x, grad_y, kernel_shape, window, groups)

    return y, (grad_x, grad_weight, _grad_bias)


_conv = differentiable(convolve)
_conv_transposed = differentiable(convolve_transposed)


@differentiable
def conv_grad_weight(
    grad_y: Tensor, x: Tensor, kernel_shape: Shape, window: Window, groups: int
) -> Lifted:
    """Compute grad_y (N, O, *OUT), x (N, C, *IN) -> dL/dweight (O, C/groups, *K)."""
    image_shape, out_size = x.shape, grad_y.shape[2:]
    k = kernels_for(x.data)
    grad = k.conv_grad_weight(grad_y.data, x.data, kernel_shape, window, groups)

    # grad[o,c,k] = sum_{n,q} grad_y[n,o,q] * x[n,c,p(q,k)]. With G = dL/dgrad:
    #     dL/dgrad_y[n,o,q] = sum_{c,k} G[o,c,k] * x[n,c,p(q,k)], x convolved with G
    def grad_grad_y(g: Tensor) -> Tensor:
        return _conv(x, g, None, out_size, window, groups)

    #     dL/dx[n,c,p] = sum of G[o,c,k] * grad_y[n,o,q] over all (o,k,q) with p(q,k) = p
    def grad_x(g: Tensor) -> Tensor:
        return _conv_transposed(grad_y, g, None, image_shape, window, groups)

    return grad, (grad_grad_y, grad_x)


# The bias is added to every pixel: dL/dbias[o] = sum_{n,q} dL/dy[n,o,q]
def _grad_bias(grad_y: Tensor) -> Tensor:
    return grad_y.sum(axis=(0, *range(2, grad_y.ndim)))


def check_groups(op: str, groups: int) -> int:
    """Return the number of groups as an int, or refuse it."""
    try:
        count = operator.index(groups)
    except TypeError:
        count = 0
    if count < 1:
        raise ConfigError(f"{op}: groups must be an int >= 1, got {groups!r}")
    return count


def check_kinds(op: str, x: Tensor, weight: Tensor, bias: Tensor | None) -> None:
    """Refuse operands that are not of one float type on one device."""
    b = x if bias is None else bias
    if not x.dtype == weight.dtype == b.dtype or x.dtype.kind != "f":
        kinds = _each("is", x=(x, x.dtype), weight=(weight, weight.dtype), bias=(bias, b.dtype))
        raise DTypeError(f"{op}: {kinds}; they must be of one float type: use .astype")
    if not x.device == weight.device == b.device:
        places = _each(
            "is on", x=(x, x.device), weight=(weight, weight.device), bias=(bias, b.device)
        )
        raise DeviceError(f"{op}: {places}; bring them together: use .to(...)")


def _each(verb: str, **operands: tuple[Tensor | None, object]) -> str:
    """Say of each operand that there is what it is, or where."""
    return ", ".join(
        f"{name} {t.shape} {verb} {what}" for name, (t, what) in operands.items() if t is not None
    )


def _check_channels(
    op: str, rank: int, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int
) -> None:
    """Refuse operands whose shapes do not fit one another."""
    image, kernel = x.shape, weight.shape
    if len(image) != rank + 2 or len(kernel) != rank + 2:
        raise ShapeError(
            f"{op}: needs x {IMAGES[rank]} and weight (O, C/groups, {WINDOWS[rank]}), "
            f"got x {image}, weight {kernel}"
        )
    if 0 in (image[1], *kernel[:2]):
        raise ShapeError(
            f"{op}: needs at least one channel in and one out, got x {image}, weight {kernel}"
        )
    if image[1] != kernel[1] * groups:
        times = f" x {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"{op}: x has {image[1]} channels but weight expects {kernel[1]}{times} "
            f"(x {image}, weight {kernel}); set in_channels={image[1]}"
        )
    if kernel[0] % groups:
        raise ShapeError(
            f"{op}: {kernel[0]} output channels do not divide into {groups} groups "
            f"(x {image}, weight {kernel})"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"{op}: bias has shape {bias.shape} but weight {weight.shape} needs {weight.shape[:1]}"
        )
