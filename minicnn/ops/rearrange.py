"""Pixels for channels and channels for pixels: the same numbers in another place."""

from __future__ import annotations

import operator
from typing import Any

from minicnn.autograd import Tensor, composed, reshape, transpose
from minicnn.errors import ConfigError, ShapeError

__all__ = ["depth_to_space", "space_to_depth"]

# Axes of (N, ?, ?, ?, H, W), which are the parts of the channels, in the order
# N, C, H, rows of the block, W, columns of the block.
_ORDERS = {"dcr": (0, 3, 4, 1, 5, 2), "crd": (0, 1, 4, 2, 5, 3)}


@composed
def depth_to_space(x: Tensor, block: int, mode: str = "dcr") -> Tensor:
    """Lay groups of channels out as blocks of pixels.

    With B the block, output pixel ``(h*B + u, w*B + v)`` of channel c is input pixel (h, w) of
    channel ``(u*B + v) * C' + c`` in mode "dcr" (depth, column, row: TensorFlow, ONNX's default)
    and of channel ``c * B*B + u*B + v`` in mode "crd" (PyTorch's pixel shuffle), where the output
    has C' channels. The gradient is `space_to_depth`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images; B*B divides C.
    block : int
        Height and width B of a block, in pixels.
    mode : {"dcr", "crd"}, default "dcr"
        Which channels make a block.

    Returns
    -------
    Tensor, shape (N, C / (B*B), H*B, W*B)
        The same numbers.

    Raises
    ------
    ShapeError
        If x is not of images, or the block does not divide its channels.
    ConfigError
        If `block` is not an int >= 1, or there is no such mode.

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016, equation 4.
    """
    x, b, order = _checked("depth_to_space", x, block, mode)
    n, c, height, width = x.shape
    if c % (b * b):
        raise ShapeError(
            f"depth_to_space: x {x.shape} has {c} channels, block {b} needs a multiple of {b * b}"
        )
    out = c // (b * b)
    parts = (b, b, out) if mode == "dcr" else (out, b, b)
    blocks = transpose(reshape(x, (n, *parts, height, width)), order)
    return reshape(blocks, (n, out, height * b, width * b))


@composed
def space_to_depth(x: Tensor, block: int, mode: str = "dcr") -> Tensor:
    """Stack the pixels of a block as channels: the inverse of `depth_to_space`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images; the block B divides H and W.
    block : int
        Height and width B of a block, in pixels.
    mode : {"dcr", "crd"}, default "dcr"
        Where the channels go: pixel (u, v) of a block becomes channel ``(u*B + v) * C + c`` in
        mode "dcr" (TensorFlow, ONNX) and ``c * B*B + u*B + v`` in mode "crd" (PyTorch).

    Returns
    -------
    Tensor, shape (N, C*B*B, H / B, W / B)
        The same numbers.

    Raises
    ------
    ShapeError
        If x is not of images, or the block does not divide their height and width.
    ConfigError
        If `block` is not an int >= 1, or there is no such mode.
    """
    x, b, order = _checked("space_to_depth", x, block, mode)
    n, c, height, width = x.shape
    if height % b or width % b:
        raise ShapeError(
            f"space_to_depth: block {b} does not divide the {height} x {width} pixels of x "
            f"{x.shape}; pad or crop them to a multiple"
        )
    back = tuple(order.index(axis) for axis in range(6))
    blocks = reshape(x, (n, c, height // b, b, width // b, b))
    return reshape(transpose(blocks, back), (n, c * b * b, height // b, width // b))


def _checked(op: str, x: Tensor, block: Any, mode: str) -> tuple[Tensor, int, tuple[int, ...]]:
    """Return x as a Tensor, the block as an int and the order of axes."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.ndim != 4:
        raise ShapeError(f"{op}: needs images (N, C, H, W), got shape {x.shape}")
    if isinstance(block, bool) or not hasattr(block, "__index__") or block < 1:
        raise ConfigError(f"{op}: block must be an int >= 1, got {block!r}")
    if mode not in _ORDERS:
        raise ConfigError(f"{op}: mode must be 'dcr' or 'crd', got {mode!r}")
    return x, operator.index(block), _ORDERS[mode]
