"""Reading images between their pixels."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.errors import ShapeError
from minicnn.interop.onnx._operator import Array, Table

CUBIC_A = -0.75  # as in PyTorch


def grid_sample_16(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: Literal["bilinear", "nearest", "bicubic"] = "bilinear",
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros",
) -> Any:
    """Read an image at the places that a grid names, in opsets 16 to 19."""
    return sample(x, grid, mode.removeprefix("bi"), padding_mode, align_corners)


def grid_sample(
    x: Tensor,
    grid: Tensor,
    *,
    align_corners: bool = False,
    mode: Literal["linear", "nearest", "cubic"] = "linear",
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros",
) -> Any:
    """Read an image at the places that a grid names."""
    return sample(x, grid, mode, padding_mode, align_corners)


def sample(x: Tensor, grid: Tensor, mode: str, padding: str, align_corners: bool) -> Tensor:
    """Read x (N, C, *IMAGE) at grid (N, *OUT, axes), whose numbers are from -1 to 1 across x.

    The last axis of the grid names the image's last axis first. Every output is a sum of pixels
    around its place, weighted by products of one weight for each axis. With "cubic" and "border",
    on which ONNX's text is silent, this is what PyTorch and onnxruntime compute.
    """
    image, rank = x.shape[2:], x.ndim - 2
    if grid.ndim != x.ndim or grid.shape[-1] != rank or grid.shape[0] != x.shape[0]:
        raise ShapeError(f"GridSample: grid {grid.shape} does not fit x {x.shape}")
    out = grid.shape[1:-1]
    places = grid.reshape((x.shape[0], math.prod(out), rank))
    neighbours = [
        around(places[:, :, rank - 1 - axis], n, mode, padding, align_corners)
        for axis, n in enumerate(image)
    ]
    pixels = x.reshape((*x.shape[:2], math.prod(image)))
    parts = [
        weighed(pixels, image, corner, padding, align_corners)
        for corner in itertools.product(*neighbours)
    ]
    return functools.reduce(ops.add, parts).reshape((*x.shape[:2], *out))


def weighed(
    pixels: Tensor,
    image: tuple[int, ...],
    corner: tuple[tuple[Array, Tensor], ...],
    padding: str,
    align_corners: bool,
) -> Tensor:
    """Return the pixels at indices (one array for each axis), times their weights."""
    shape = corner[0][0].shape
    flat, inside = np.zeros(shape, np.int64), np.ones(shape, bool)
    for n, (index, _) in zip(image, corner, strict=True):
        at, there = put_inside(index, n, padding, align_corners)
        flat, inside = flat * n + at, inside & there
    wide = np.broadcast_to(flat[:, None], (*pixels.shape[:2], flat.shape[1]))
    weight = functools.reduce(ops.multiply, [w for _, w in corner])
    weight = weight * Tensor(inside.astype(pixels.dtype))
    return ops.take_along_axis(pixels, wide, 2) * weight.expand_dims(1)


def around(
    place: Tensor, n: int, mode: str, padding: str, align_corners: bool
) -> list[tuple[Array, Tensor]]:
    """Return the pixels near a place on an axis of n, as (index, weight)."""
    at = (place + 1.0) * ((n - 1) / 2) if align_corners else (place + 1.0) * (n / 2) - 0.5
    if mode == "nearest":
        at = Tensor(np.rint(at.data))
    if (mode, padding) != ("cubic", "border"):  # whose four pixels are moved one by one, below
        at = put_coordinate(at, n, padding, align_corners)
    if mode == "nearest":
        return [(np.rint(at.data).astype(np.int64), Tensor(np.ones_like(at.data)))]
    first = np.floor(at.data)
    t = at - Tensor(first)
    index = first.astype(np.int64)
    if mode == "linear":
        return [(index, 1.0 - t), (index + 1, t)]
    weights = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]
    return [(index + i - 1, w) for i, w in enumerate(weights)]


def near(t: Tensor) -> Tensor:
    """Return the cubic weight at a distance up to 1."""
    return ((CUBIC_A + 2) * t - (CUBIC_A + 3)) * t * t + 1.0


def far(t: Tensor) -> Tensor:
    """Return the cubic weight at a distance from 1 to 2."""
    return ((CUBIC_A * t - 5 * CUBIC_A) * t + 8 * CUBIC_A) * t - 4 * CUBIC_A


def put_coordinate(at: Tensor, n: int, padding: str, align_corners: bool) -> Tensor:
    """Move coordinates outside the image onto its border, or reflect them at it."""
    low, high = (0.0, n - 1.0) if align_corners else (-0.5, n - 0.5)
    outside = (at.data < low) | (at.data > high)
    if padding == "zeros" or not outside.any():
        return at
    if padding == "border":
        return ops.where(outside, ops.clip(at, 0.0, n - 1.0), at)
    xp, span = array_module(at.data), max(high - low, 1e-30)
    turns = xp.floor((at.data - low) / span)
    odd = turns % 2 != 0
    inside = at - Tensor((turns * span).astype(at.dtype))  # from low to high
    return ops.where(odd, (low + high) - inside, inside)


def put_inside(index: Array, n: int, padding: str, align_corners: bool) -> tuple[Array, Array]:
    """Return indices of pixels, and which of them there are."""
    if padding == "reflection" and n > 1:
        if align_corners:
            index = np.abs(index) % (2 * n - 2)
            index = np.where(index < n, index, 2 * n - 2 - index)
        else:
            index = index % (2 * n)
            index = np.where(index < n, index, 2 * n - 1 - index)
    inside = (index >= 0) & (index < n) if padding == "zeros" else np.ones(index.shape, bool)
    return index.clip(0, n - 1), inside


OPERATORS: Table = {
    "GridSample": {16: grid_sample_16, 20: grid_sample},
}
