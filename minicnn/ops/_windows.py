"""Sliding-window geometry shared by convolution and pooling (pure integers)."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, ShapeError

Ints = int | tuple[int, ...]  # one for all axes, or one for each
IntPair = int | tuple[int, int]
Padding = int | tuple[int, ...] | tuple[tuple[int, int], ...] | str


class Window(NamedTuple):
    """The measures of a sliding window, in pixels, one entry for each spatial axis."""

    size: tuple[int, ...]  # KH, KW
    stride: tuple[int, ...]  # SH, SW
    padding: tuple[tuple[int, int], ...]  # (before, after) of each axis
    dilation: tuple[int, ...]  # 1: neighbours; 2: every other pixel; ...

    @classmethod
    def of(
        cls,
        op: str,
        image: Sequence[int],
        size: Any,
        stride: Any,
        padding: Any,
        dilation: Any = 1,
    ) -> Window:
        """Return the window that these arguments of an op describe on such an image.

        Parameters
        ----------
        op : str
            Whose arguments they are, for messages.
        image : sequence of int
            The spatial lengths H, W, in pixels.
        size, stride, dilation : int or tuple of int
            In pixels, one for each axis or one for all.
        padding : int, tuple of int, tuple of (int, int), "valid" or "same"
            ``"valid"`` is 0; ``"same"`` makes the output ``ceil(image / stride)`` long, and
            where the padding is odd, the odd pixel goes after (TensorFlow's rule).

        Returns
        -------
        Window
            With every measure as a tuple.

        Raises
        ------
        ConfigError
            If an argument is not of that form.
        """
        # A net asks for the same few windows in every step. The key is a text, for 2 == 2.0 == True
        # and yet only one of them is a length.
        key = f"{op} {(*image,)} {size!r} {stride!r} {padding!r} {dilation!r}"
        known = _windows.get(key)
        if known is None:
            known = cls._checked(op, image, size, stride, padding, dilation)
            if len(_windows) >= _MOST_WINDOWS:
                _windows.clear()
            _windows[key] = known
        return known

    @classmethod
    def _checked(
        cls, op: str, image: Sequence[int], size: Any, stride: Any, padding: Any, dilation: Any
    ) -> Window:
        rank = len(image)
        sizes = per_axis(op, "size", size, rank, at_least=1)
        strides = per_axis(op, "stride", stride, rank, at_least=1)
        dilations = per_axis(op, "dilation", dilation, rank, at_least=1)
        padding = _plain(padding)
        if padding == "same":
            pads = tuple(
                _same(n, d * (k - 1) + 1, s)
                for n, k, s, d in zip(image, sizes, strides, dilations, strict=True)
            )
        else:
            pads = _pads(op, padding, rank)
        return cls(sizes, strides, pads, dilations)

    @property
    def extent(self) -> tuple[int, ...]:
        """The pixels from a window's first to its last, holes included."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.size, self.dilation, strict=True))

    def output_size(
        self, op: str, image: Sequence[int], ceil_mode: bool = False
    ) -> tuple[int, ...]:
        """Return how many windows fit along each axis of an image: OH, OW.

        With `ceil_mode` there is one more where pixels or padding remain after the last window
        that fits, and none that starts after the image (in the padding behind it).

        Raises
        ------
        ShapeError
            If not even one fits.
        """
        out = _output_size(self, tuple(image), ceil_mode)
        if min(out) < 1:
            holes = f" dilated by {self.dilation}" if max(self.dilation) > 1 else ""
            raise ShapeError(
                f"{op}: window {self.size}{holes} does not fit in image {tuple(image)} padded by "
                f"{self.padding}; use a smaller window or more padding"
            )
        return out

    def image_size(self, op: str, out: Sequence[int], more: Sequence[int]) -> tuple[int, ...]:
        """Return how long an image is on which `out` windows fit, with `more` pixels left over.

        Raises
        ------
        ShapeError
            If all of it would be padding.
        """
        image = tuple(
            (n - 1) * s + e - before - after + m
            for n, s, e, (before, after), m in zip(
                out, self.stride, self.extent, self.padding, more, strict=True
            )
        )
        if min(image) < 1:
            raise ShapeError(
                f"{op}: windows {self.size} painted at {tuple(out)} places and cut off by "
                f"{self.padding} leave an image {image}; use less padding"
            )
        return image


_windows: dict[str, Window] = {}
_MOST_WINDOWS = 10_000


@functools.lru_cache(_MOST_WINDOWS)
def _output_size(window: Window, image: tuple[int, ...], ceil_mode: bool) -> tuple[int, ...]:
    """Return how many windows fit along each axis, perhaps less than one."""
    axes = zip(image, window.padding, window.extent, window.stride, strict=True)
    if ceil_mode:
        return tuple(
            min(-((e - n - before - after) // s) + 1, -(-(n + before) // s))
            for n, (before, after), e, s in axes
        )
    return tuple((n + before + after - e) // s + 1 for n, (before, after), e, s in axes)


def per_axis(op: str, name: str, value: Any, rank: int, at_least: int) -> tuple[int, ...]:
    """Return an int, or one int for each spatial axis, as a tuple of `rank` ints.

    Raises
    ------
    ConfigError
        If `value` is something else or too small.
    """
    value = _plain(value)
    try:
        numbers = (
            tuple(map(operator.index, value))
            if isinstance(value, tuple | list)
            else (operator.index(value),) * rank
        )
    except TypeError:
        numbers = ()
    if len(numbers) != rank or min(numbers) < at_least:
        forms = f"an int or {rank} ints, each" if rank > 1 else "an int"
        raise ConfigError(f"{op}: {name} must be {forms} >= {at_least}, got {value!r}")
    return numbers


def _plain(value: Any) -> Any:
    """Return an array as a number or a list, and the rest as it is."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def _same(n: int, extent: int, stride: int) -> tuple[int, int]:
    """Return the padding that makes the output ceil(n / stride) long."""
    total = max((-(-n // stride) - 1) * stride + extent - n, 0)
    return total // 2, total - total // 2


def _pads(op: str, padding: Any, rank: int) -> tuple[tuple[int, int], ...]:
    """Return (before, after) of each axis from an int, ints, pairs or "valid"."""
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):
        raise ConfigError(f"{op}: padding {padding!r} is unknown; use 'same', 'valid' or numbers")
    if isinstance(padding, tuple | list) and any(isinstance(p, tuple | list) for p in padding):
        try:
            pads = tuple((operator.index(before), operator.index(end)) for before, end in padding)
        except (TypeError, ValueError):
            pads = ()
        if len(pads) != rank or min(map(min, pads)) < 0:
            pairs = f"{rank} pairs" if rank > 1 else "1 pair"
            raise ConfigError(
                f"{op}: padding must be {pairs} (before, after), got {padding}; give ints >= 0"
            )
        return pads
    return tuple((p, p) for p in per_axis(op, "padding", padding, rank, at_least=0))
