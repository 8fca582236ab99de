"""Images of another size: nearest, linear and cubic interpolation, with ONNX's conventions."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd import Lifted, Tensor, composed, differentiable, reshape, where
from minicnn.backend import array_module, kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._sampling import (
    COORDINATES,
    MODES,
    NEAREST,
    Taps,
    nearest_taps,
    on_axis,
    positions,
    weighted_taps,
)

__all__ = ["resize"]

Roi = Sequence[tuple[float, float]]


@composed
def resize(
    x: Tensor,
    size: int | Sequence[int] | None = None,
    scale: float | Sequence[float] | None = None,
    mode: str = "nearest",
    coordinates: str = "half_pixel",
    nearest: str = "round_prefer_floor",
    cubic_a: float = -0.75,
    exclude_outside: bool = False,
    antialias: bool = False,
    roi: Roi | None = None,
    extrapolation_value: float = 0.0,
    axes: int | Sequence[int] | None = None,
) -> Tensor:
    """Resize images: interpolate between their pixels along each axis.

    Output i of an axis looks at the place ``p(i)`` and is ``y[i] = sum_j K(j - p(i)) * x[j]``,
    one axis after the other, with K the filter of `mode`; beyond the ends the outermost pixel
    goes on. With n pixels, m outputs and the scale s (``m / n`` where the size was given):

    ====================  ==========================================================
    half_pixel            ``p(i) = (i + 0.5) / s - 0.5``
    pytorch_half_pixel    the same, but 0 if m is 1
    half_pixel_symmetric  ``n / 2 * (1 - m / (s*n)) + (i + 0.5) / s - 0.5``
    asymmetric            ``i / s``
    align_corners         ``i * (n - 1) / (s*n - 1)``, 0 if m is 1
    tf_crop_and_resize    ``a * (n - 1) + i * (b - a) * (n - 1) / (m - 1)`` with (a, b) of `roi`
    ====================  ==========================================================

    PyTorch's ``interpolate`` is half_pixel or align_corners with linear and cubic, and for
    "nearest" asymmetric with ``nearest="floor"``; its antialias excludes what is outside and has
    -0.5 for `cubic_a`.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...) or any with `axes`
        A batch of images.
    size : int or sequence of int, optional
        Pixels m of the output along each axis, or along all.
    scale : float or sequence of float, optional
        Factor s for each axis, or for all; without `size`, the output has ``floor(n * s)`` pixels
        (of the part in `roi` alone, with "tf_crop_and_resize").
    mode : {"nearest", "linear", "cubic"}, default "nearest"
        K: one pixel; ``max(1 - |d|, 0)``; the cubic of Keys on four pixels. "bilinear" and
        "trilinear" are other names of "linear", and "bicubic" of "cubic".
    coordinates : str, default "half_pixel"
        Where an output looks, by the table.
    nearest : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}
        How p(i) becomes a pixel in mode "nearest"; the default rounds halves down.
    cubic_a : float, default -0.75
        Slope of the cubic at distance 1: -0.75 in PyTorch and OpenCV, -0.5 in TensorFlow.
    exclude_outside : bool, default False
        Whether pixels beyond the ends weigh nothing, and the others more; of no effect on
        "nearest".
    antialias : bool, default False
        Whether to widen K by 1 / s where s is below 1, so that every pixel counts.
    roi : sequence of (float, float), optional
        The part (a, b) of each axis to look at, in shares of it, for "tf_crop_and_resize".
    extrapolation_value : float, default 0
        What lies beyond the ends, for "tf_crop_and_resize".
    axes : int or sequence of int, optional
        Which axes; by default all but the first two.

    Returns
    -------
    Tensor, shape (N, C, ...)
        The resized images. The gradient of a pixel is the sum over the outputs that look at it,
        with the same weights.

    Raises
    ------
    ShapeError
        If there is no such axis, or an axis has no pixels before or after.
    ConfigError
        If an option is not of its form, or neither size nor scale is given.
    DTypeError
        If whole numbers are to be averaged.

    References
    ----------
    ONNX operator Resize, version 19; Keys, "Cubic Convolution Interpolation for Digital Image
    Processing", IEEE Transactions on Acoustics, Speech, and Signal Processing, 1981.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    along = _axes(x, axes)
    _check_options(x, mode, coordinates, nearest, antialias)
    numeric = {"cubic_a": cubic_a, "extrapolation_value": extrapolation_value}
    for name, value in numeric.items():
        if not isinstance(value, int | float | np.number):
            raise ConfigError(f"resize: {name} must be a number, got {value!r}")
    how = _How(
        MODES[mode], coordinates, nearest, float(cubic_a), bool(exclude_outside), bool(antialias)
    )
    lines = [
        (axis, line.taps(how))
        for axis, line in zip(along, _lines(x, along, size, scale, how, roi), strict=True)
    ]
    y = reshape(x, x.shape)  # a result of its own, even if there is nothing to do
    # Where an axis shrinks first, the others have less to do.
    for axis, taps in sorted(lines, key=lambda both: len(both[1].pixel) / both[1].length):
        if not taps.changes_nothing:
            y = _sample(y, axis, taps)
    return _extrapolated(y, lines, extrapolation_value)


class _How(NamedTuple):
    """The options that all axes share."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool


class _Line(NamedTuple):
    """The measures of one axis."""

    length: int
    out: int
    scale: float
    width: float  # of the output, before it was rounded down
    box: tuple[float, float]

    def taps(self, how: _How) -> Taps:
        """Return where each output looks, and with which weights."""
        at = positions(how.coordinates, *self)
        if how.mode == "nearest":
            pixel, weight = nearest_taps(at, how.nearest)
        else:
            shrink = min(self.scale, 1.0) if how.antialias else 1.0
            pixel, weight = weighted_taps(at, how.mode, how.cubic_a, shrink)
        taps = on_axis(pixel, weight, self.length, how.exclude_outside and how.mode != "nearest")
        if how.coordinates != "tf_crop_and_resize":
            return taps
        outside = (at < 0) | (at > self.length - 1)
        return taps._replace(weight=taps.weight * ~outside[:, None], outside=outside)


# y[i] = sum_t weight[i, t] * x[pixel[i, t]] is linear, so its gradient is the transposed map,
#     dL/dx[j] = sum of weight[i, t] * dL/dy[i] over all i, t with pixel[i, t] = j,
# and the other way round: the two ops below are each other's gradient.
@differentiable
def _sample(x: Tensor, axis: int, taps: Taps) -> Lifted:
    y = kernels_for(x.data).sample_axis(x.data, axis, taps.pixel, taps.weight)
    return y, (lambda grad_y: _spread(grad_y, axis, taps),)


@differentiable
def _spread(x: Tensor, axis: int, taps: Taps) -> Lifted:
    y = kernels_for(x.data).spread_axis(x.data, axis, taps.pixel, taps.weight, taps.length)
    return y, (lambda grad_y: _sample(grad_y, axis, taps),)


def _extrapolated(y: Tensor, lines: list[tuple[int, Taps]], value: float) -> Tensor:
    """Put the value where an output lies beyond the ends of an axis."""
    beyond = np.zeros((1,) * y.ndim, bool)
    for axis, taps in lines:
        beyond = beyond | taps.outside.reshape(-1, *(1,) * (y.ndim - axis - 1))
    if not beyond.any():
        return y
    with np.errstate(all="ignore"):
        constant = np.asarray(value).astype(y.dtype)
    if y.dtype.kind != "f" and constant != value:
        raise DTypeError(f"resize: extrapolation_value {value} does not fit {y.dtype}")
    xp = array_module(y.data)
    return where(xp.asarray(beyond), xp.asarray(constant), y)


def _axes(x: Tensor, axes: Any) -> list[int]:
    """Return the axes to be resized, none negative."""
    if axes is None:
        if x.ndim < 3:
            raise ShapeError(f"resize: needs images (N, C, ...), got shape {x.shape}; or name axes")
        return list(range(2, x.ndim))
    try:
        given = [operator.index(a) for a in (list(axes) if np.ndim(axes) else [axes])]
    except TypeError:
        raise ConfigError(f"resize: axes must be an int or ints, got {axes!r}") from None
    along = [a % x.ndim for a in given if -x.ndim <= a < x.ndim]
    if not given or len(set(along)) < len(given):
        raise ShapeError(f"resize: x {x.shape} has no axes {axes}, or they name one twice")
    return along


def _check_options(x: Tensor, mode: str, coordinates: str, nearest: str, antialias: bool) -> None:
    """Refuse what is not on the menu."""
    for name, value, menu in (
        ("mode", mode, tuple(MODES)),
        ("coordinates", coordinates, COORDINATES),
        ("nearest", nearest, NEAREST),
    ):
        if value not in menu:
            raise ConfigError(f"resize: {name} must be one of {', '.join(menu)}, got {value!r}")
    if mode == "nearest":
        if antialias:
            raise ConfigError("resize: antialias averages pixels; set mode='linear' or 'cubic'")
    elif x.dtype.kind != "f":
        raise DTypeError(
            f"resize: mode {mode!r} needs floats, got {x.dtype}; use .astype('float32')"
        )


def _lines(
    x: Tensor, axes: list[int], size: Any, scale: Any, how: _How, roi: Roi | None
) -> list[_Line]:
    """Return the measures of each axis, or refuse them."""
    count = len(axes)
    if size is None and scale is None:
        raise ConfigError("resize: needs size or scale, got neither")
    sizes = [None] * count if size is None else _per_axis("size", size, count)
    scales = [None] * count if scale is None else _per_axis("scale", scale, count)
    boxes = _boxes(how, roi, count)
    lines = []
    for axis, m, s, (start, end) in zip(axes, sizes, scales, boxes, strict=True):
        n = x.shape[axis]
        factor = m / max(n, 1) if s is None else s
        width = n * factor * (end - start if m is None else 1)
        out = math.floor(width) if m is None else m
        if n < 1 or out < 1:
            raise ShapeError(
                f"resize: {n} pixels along axis {axis} of x {x.shape} cannot become {out}; both "
                "must be at least 1"
            )
        # A size divided by n and multiplied again may be off by a rounding.
        whole = s is None or math.isclose(width, out, rel_tol=1e-12)
        lines.append(_Line(n, out, factor, out if whole else width, (start, end)))
    return lines


def _per_axis(name: str, value: Any, count: int) -> list[Any]:
    """Return one positive number for each axis."""
    integers = (int, np.integer)
    kinds, what = (
        (integers, "int") if name == "size" else ((*integers, float, np.floating), "number")
    )
    given = list(value) if np.ndim(value) else [value] * count
    if len(given) != count or any(
        isinstance(v, bool) or not isinstance(v, kinds) or not 0 < v < math.inf for v in given
    ):
        raise ConfigError(
            f"resize: {name} must be a positive {what}, or one for each of {count} axes, got "
            f"{value!r}"
        )
    return [int(v) if name == "size" else float(v) for v in given]


def _boxes(how: _How, roi: Roi | None, count: int) -> list[tuple[float, float]]:
    """Return the part of each axis that is looked at."""
    if how.coordinates != "tf_crop_and_resize":
        return [(0.0, 1.0)] * count
    try:
        boxes = np.asarray(roi, np.float64)
    except (TypeError, ValueError):
        boxes = np.zeros(0)
    if boxes.shape != (count, 2) or not np.isfinite(boxes).all():
        raise ConfigError(
            f"resize: tf_crop_and_resize needs roi, a pair (start, end) for each of {count} axes, "
            f"got {roi!r}"
        )
    return [(float(start), float(end)) for start, end in boxes]
