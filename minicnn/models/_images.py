"""What networks check of the images they are given."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError

__all__ = ["check_depth", "check_size"]


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
