"""Layers that change the size of images: interpolation, pixel shuffles, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn._calls import label
from minicnn.nn._parts import check_input, count
from minicnn.nn.arg_scope import configurable
from minicnn.nn.module import Module

__all__ = ["Pad", "PixelShuffle", "PixelUnshuffle", "Resize", "Upsample"]

_IMAGES = tuple(range(3, 33))


class Resize(Module):
    """Resize images: interpolate between their pixels along each axis.

    Parameters
    ----------
    size : int or sequence of int, optional
        Pixels of the output along each spatial axis, or along all.
    scale : float or sequence of float, optional
        Factor for each spatial axis, or for all: the output has ``floor(n * scale)`` pixels.
        Either `size` or `scale` is needed.
    mode : {"nearest", "linear", "cubic"}, default "nearest"
        How many pixels an output is made of, along each axis: 1, 2 or 4. "bilinear" and
        "trilinear" are other names of "linear", and "bicubic" of "cubic".
    coordinates : str, default "half_pixel"
        Where an output looks: "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel",
        "align_corners" or "asymmetric"; `minicnn.ops.resize` has the formulas.
    nearest : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
        How a place becomes a pixel in mode "nearest".
    antialias : bool, default False
        Whether every pixel counts where images become smaller.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale: float | Sequence[float] | None = None,
        mode: str = "nearest",
        coordinates: str = "half_pixel",
        nearest: str = "round_prefer_floor",
        antialias: bool = False,
    ) -> None:
        self._set(size, scale, mode, coordinates, nearest, antialias)

    def _set(self, size: Any, scale: Any, *options: Any) -> None:
        self.size, self.scale = size, scale
        self.mode, self.coordinates, self.nearest, self.antialias = options
        axes = max([len(v) for v in (size, scale) if isinstance(v, Sequence)], default=1)
        try:
            self._resized(Tensor(np.zeros((0, 1, *[1] * axes), np.float32)))
        except ConfigError as error:
            _, _, what = str(error).partition(": ")
            raise ConfigError(f"{type(self).__name__}: {what}") from None
        except ShapeError:
            pass  # one pixel is too few for this scale, which is no fault of the layer

    def _resized(self, x: Tensor) -> Tensor:
        options: dict[str, Any] = {"coordinates": self.coordinates, "nearest": self.nearest}
        return ops.resize(x, self.size, self.scale, self.mode, antialias=self.antialias, **options)

    def forward(self, x: Tensor) -> Tensor:
        """Resize.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch of signals, images or volumes.

        Returns
        -------
        Tensor, shape (N, C, ...)
            The resized batch.
        """
        check_input(self, x, "(N, C, ...)", _IMAGES)
        return self._resized(x)


class Upsample(Resize):
    """Enlarge images by a factor.

    Parameters
    ----------
    scale : float or sequence of float, default 2
        Factor for each spatial axis, or for all.
    mode : {"nearest", "linear", "cubic"}, default "nearest"
        How many pixels an output is made of, along each axis: 1, 2 or 4. "bilinear" and
        "trilinear" are other names of "linear", and "bicubic" of "cubic".
    coordinates : str, default "half_pixel"
        Where an output looks; see `Resize`.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self,
        scale: float | Sequence[float] = 2,
        mode: str = "nearest",
        coordinates: str = "half_pixel",
    ) -> None:
        self._set(None, scale, mode, coordinates, "round_prefer_floor", False)


class PixelShuffle(Module):
    """Lay groups of channels out as blocks of pixels: a learned enlargement behind a convolution.

    Parameters
    ----------
    block : int, default 2
        Height and width B of a block, in pixels.

    Raises
    ------
    ConfigError
        If the block is not an int >= 1.

    References
    ----------
    Shi et al., "Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel
    Convolutional Neural Network", CVPR 2016.
    """

    @configurable
    def __init__(self, block: int = 2) -> None:
        self.block = count("PixelShuffle", "block", block)

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange.

        Parameters
        ----------
        x : Tensor, shape (N, C*B*B, H, W)
            A batch of images.

        Returns
        -------
        Tensor, shape (N, C, H*B, W*B)
            The same numbers; channel ``c*B*B + u*B + v`` becomes pixel (u, v) of the blocks.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.depth_to_space(x, self.block, "crd")


class PixelUnshuffle(Module):
    """Stack the pixels of a block as channels: undoes `PixelShuffle`.

    Parameters
    ----------
    block : int, default 2
        Height and width B of a block, in pixels.

    Raises
    ------
    ConfigError
        If the block is not an int >= 1.
    """

    @configurable
    def __init__(self, block: int = 2) -> None:
        self.block = count("PixelUnshuffle", "block", block)

    def forward(self, x: Tensor) -> Tensor:
        """Rearrange.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch of images; B divides H and W.

        Returns
        -------
        Tensor, shape (N, C*B*B, H / B, W / B)
            The same numbers.
        """
        check_input(self, x, "(N, C, H, W)", (4,))
        return ops.space_to_depth(x, self.block, "crd")


class Pad(Module):
    """Surround images with a constant, or with copies of their own pixels.

    Parameters
    ----------
    widths : int, sequence of int, or of (int, int)
        Pixels to add on every side; before and after along each spatial axis; or (before, after)
        of each. Negative ones are cut off.
    mode : {"constant", "reflect", "edge", "wrap"}, default "constant"
        What to add; `minicnn.ops.pad` shows them.
    value : float, default 0
        The constant.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    @configurable
    def __init__(
        self,
        widths: int | Sequence[int] | Sequence[tuple[int, int]],
        mode: str = "constant",
        value: float = 0.0,
    ) -> None:
        self.widths, self.mode, self.value = widths, mode, value
        self.pairs = _pairs(widths)
        try:
            ops.pad(Tensor(np.zeros((1,), np.float32)), [(0, 0)], mode, value)
        except ConfigError as error:
            _, _, what = str(error).partition(": ")
            raise ConfigError(f"Pad: {what}") from None

    def forward(self, x: Tensor) -> Tensor:
        """Surround.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch of signals, images or volumes.

        Returns
        -------
        Tensor, shape (N, C, ...)
            Longer by ``before + after`` along each spatial axis.

        Raises
        ------
        ShapeError
            If x has another number of spatial axes than there are widths.
        """
        check_input(self, x, "(N, C, ...)", _IMAGES)
        pairs = self.pairs * (x.ndim - 2) if isinstance(self.widths, int) else self.pairs
        if len(pairs) != x.ndim - 2:
            raise ShapeError(
                f"{label(self)}: widths {self.widths} are for {len(pairs)} spatial axes, x "
                f"{x.shape} has {x.ndim - 2}"
            )
        return ops.pad(x, ((0, 0), (0, 0), *pairs), self.mode, self.value)


def _pairs(widths: Any) -> tuple[tuple[int, int], ...]:
    """Return (before, after) of each spatial axis; one pair for an int."""
    given = widths if isinstance(widths, Sequence) else (widths,)
    pairs = [tuple(w) if isinstance(w, Sequence) else (w, w) for w in given]
    if not pairs or any(
        len(pair) != 2 or any(isinstance(n, bool) or not isinstance(n, int) for n in pair)
        for pair in pairs
    ):
        raise ConfigError(
            f"Pad: widths must be an int, or an int or a pair of ints for each axis, got {widths!r}"
        )
    return tuple((before, after) for before, after in pairs)
