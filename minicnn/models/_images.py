"""What networks check of the images they are given."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from minicnn.autograd import Tensor, pad
from minicnn.errors import ConfigError, ShapeError

__all__ = ["check_depth", "check_images", "check_size", "padded_to_multiple"]


def check_images(net: Any, x: Tensor) -> None:
    """Refuse what is no batch of images, where a net looks at their size before any layer does."""
    if len(x.shape) != 4:
        raise ShapeError(
            f"{type(net).__name__}: needs images (N, C, H, W), got shape {tuple(x.shape)}; make a "
            "single image a batch of one, x[None]"
        )


def check_size(net: Any, x: Tensor, least: int, hint: str = "") -> None:
    """Refuse images of which the strides and poolings of a net would leave nothing."""
    if not isinstance(x, Tensor) or x.ndim != 4:
        return  # the first layer says what is wrong
    height, width = x.shape[2:]
    if min(height, width) < least:
        raise ShapeError(
            f"{type(net).__name__}: images of {height} x {width} pixels are too small, its strides "
            f"leave nothing of them (x {x.shape}); give at least {least} x {least}{hint}"
        )


def check_depth(net: Any, depth: int, known: Container[int], which: str) -> None:
    """Refuse a depth that the net does not come in."""
    if not isinstance(depth, int) or depth not in known:
        raise ConfigError(f"{type(net).__name__}: depth is {which}, got {depth!r}")


def padded_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Repeat the border at the bottom and on the right until strides divide the size.

    What a net makes of the result is cut back by ``y[:, :, :H, :W]``.
    """
    height, width = x.shape[2:]
    below, right = -height % multiple, -width % multiple
    if not below and not right:
        return x
    return pad(x, [(0, 0), (0, 0), (0, below), (0, right)], "edge")
