"""Convolution: a weighted sum over a small patch, shifted across the image with shared weights.

The three functions here are one trilinear form seen from three sides, so each is
the gradient of the others and derivatives of every order come for free.
"""

from __future__ import annotations

from minicnn.autograd import Lifted, Tensor, differentiable
from minicnn.backend import kernels_for
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops._windows import IntPair, Padding, Window

__all__ = ["conv2d"]

Shape = tuple[int, ...]


@differentiable
def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntPair = 1,
    padding: Padding = 0,
    dilation: IntPair = 1,
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
        If x, weight and bias are of different types.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    _check("conv2d", x, weight, bias, groups)
    window = Window.of("conv2d", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    window.output_size("conv2d", x.shape[2:])
    y = kernels_for(x.data).conv2d(
        x.data, weight.data, None if bias is None else bias.data, window, groups
    )
    image_shape, kernel_shape = x.shape, weight.shape

    # x[h,w] meets weight[u,v] at output (i,j) with h = i*SH + u*DH - PH, w likewise:
    #     dL/dx[n,c,h,w] = sum of weight[o,c,u,v] * dL/dy[n,o,i,j] over all such (o,u,v,i,j)
    def grad_x(grad_y: Tensor) -> Tensor:
        return conv2d_grad_x(grad_y, weight, image_shape, window, groups)

    # dL/dweight[o,c,u,v] = sum_{n,i,j} dL/dy[n,o,i,j] * x[n, c, i*SH + u*DH, j*SW + v*DW]
    def grad_weight(grad_y: Tensor) -> Tensor:
        return conv2d_grad_weight(grad_y, x, kernel_shape, window, groups)

    # The bias is added to every pixel: dL/dbias[o] = sum_{n,i,j} dL/dy[n,o,i,j]
    def grad_bias(grad_y: Tensor) -> Tensor:
        return grad_y.sum(axis=(0, 2, 3))

    return y, (grad_x, grad_weight, grad_bias)


@differentiable
def conv2d_grad_x(
    grad_y: Tensor, weight: Tensor, image_shape: Shape, window: Window, groups: int
) -> Lifted:
    """Pull a gradient back from the output of `conv2d` to its images.

    Parameters
    ----------
    grad_y : Tensor, shape (N, O, OH, OW)
        dL/dy.
    weight : Tensor, shape (O, C / groups, KH, KW)
        The filters.
    image_shape : tuple
        (N, C, H, W).
    window : Window
        The geometry of that convolution.
    groups : int
        Its groups.

    Returns
    -------
    Tensor, shape (N, C, H, W)
        dL/dx; linear in both arguments, so its own gradients are convolutions again.
    """
    k = kernels_for(grad_y.data)
    grad = k.conv2d_grad_x(grad_y.data, weight.data, image_shape, window, groups)
    kernel_shape = weight.shape

    def grad_grad_y(g: Tensor) -> Tensor:
        return _conv2d_in(g, weight, window, groups)

    def grad_weight(g: Tensor) -> Tensor:
        return conv2d_grad_weight(grad_y, g, kernel_shape, window, groups)

    return grad, (grad_grad_y, grad_weight)


@differentiable
def conv2d_grad_weight(
    grad_y: Tensor, x: Tensor, kernel_shape: Shape, window: Window, groups: int
) -> Lifted:
    """Pull a gradient back from the output of `conv2d` to its filters.

    Parameters
    ----------
    grad_y : Tensor, shape (N, O, OH, OW)
        dL/dy.
    x : Tensor, shape (N, C, H, W)
        The images.
    kernel_shape : tuple
        (O, C / groups, KH, KW).
    window : Window
        The geometry of that convolution.
    groups : int
        Its groups.

    Returns
    -------
    Tensor, shape (O, C / groups, KH, KW)
        dL/dweight; linear in both arguments, so its own gradients are convolutions again.
    """
    k = kernels_for(x.data)
    grad = k.conv2d_grad_weight(grad_y.data, x.data, kernel_shape, window, groups)
    image_shape = x.shape

    def grad_grad_y(g: Tensor) -> Tensor:
        return _conv2d_in(x, g, window, groups)

    def grad_x(g: Tensor) -> Tensor:
        return conv2d_grad_x(grad_y, g, image_shape, window, groups)

    return grad, (grad_grad_y, grad_x)


def _conv2d_in(x: Tensor, weight: Tensor, window: Window, groups: int) -> Tensor:
    """Convolve in a geometry that is already known."""
    return conv2d(
        x,
        weight,
        stride=window.stride,
        padding=window.padding,
        dilation=window.dilation,
        groups=groups,
    )


def _check(op: str, x: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    """Refuse operands that do not fit one another."""
    shapes = f"x {x.shape}, weight {weight.shape}"
    if x.ndim != 4 or weight.ndim != 4:
        raise ShapeError(
            f"{op}: needs x (N, C, H, W) and weight (O, C/groups, KH, KW), got {shapes}"
        )
    if 0 in (x.shape[1], *weight.shape[:2]):
        raise ShapeError(f"{op}: needs at least one channel in and one out, got {shapes}")
    if not isinstance(groups, int) or groups < 1:
        raise ConfigError(f"{op}: groups must be an int >= 1, got {groups!r}")
    if x.shape[1] != weight.shape[1] * groups:
        times = f" x {groups} groups" if groups > 1 else ""
        raise ShapeError(
            f"{op}: x has {x.shape[1]} channels but weight expects {weight.shape[1]}{times} "
            f"({shapes}); set in_channels={x.shape[1]}"
        )
    if weight.shape[0] % groups:
        raise ShapeError(
            f"{op}: {weight.shape[0]} output channels do not divide into {groups} groups ({shapes})"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ShapeError(
            f"{op}: bias has shape {bias.shape} but weight {weight.shape} needs {weight.shape[:1]}"
        )
    operands = [t for t in (x, weight, bias) if t is not None]
    if len({t.dtype for t in operands}) > 1 or x.dtype.kind != "f":
        raise DTypeError(
            f"{op}: x is {x.dtype}, weight {weight.dtype}"
            + (f", bias {bias.dtype}" if bias is not None else "")
            + "; they must be one float type: use .astype"
        )
    if len({t.device for t in operands}) > 1:
        raise DeviceError(f"{op}: x is on {x.device}, weight on {weight.device}; use .to(...)")
