"""Ways to convolve, right ones and, by their options, wrong ones: mistakes of lesson 3."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


def same(
    n: int, k: int, s: int, d: int, *, up: bool = True, before: bool = False, floor: bool = True
) -> tuple[int, int]:
    """Return how much to pad before and after for "same", maybe rounded the wrong way."""
    count = -(-n // s) if up else n // s
    total = (count - 1) * s + d * (k - 1) + 1 - n
    total = max(total, 0) if floor else total
    less, more = total // 2, total - total // 2
    return (more, less) if before else (less, more)


def slid(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Compute a convolution by windows, (N, C, H, W) and (O, C, KH, KW) -> (N, O, OH, OW)."""
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], (2, 3))
    return np.einsum("nchwuv,ocuv->nohw", windows[:, :, ::stride, ::stride], weight)


def channels_apart(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolve the last channel only, as if it replaced those before."""
    return slid(x[:, -1:], weight[:, -1:], stride)


def last_product(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Compute what is left of the sum where each product replaces the one before."""
    only = np.zeros_like(weight)
    only[:, -1, -1, -1] = weight[:, -1, -1, -1]
    return slid(x, only, stride)


def painted(
    grad_y: np.ndarray,
    weight: np.ndarray,
    height: int,
    width: int,
    stride: int,
    *,
    add: bool = True,
    jump: int = 0,
) -> np.ndarray:
    """Send a gradient back to the pixels: each output paints its window."""
    n, _, out_height, out_width = grad_y.shape
    _, channels, rows, across = weight.shape
    grad = np.zeros((n, channels, height, width))
    step = jump or stride
    for i, j in np.ndindex(out_height, out_width):
        here = np.s_[:, :, i * step : i * step + rows, j * step : j * step + across]
        paint = np.einsum("no,ocuv->ncuv", grad_y[:, :, i, j], weight)
        grad[here] = grad[here] + paint if add else paint
    return grad


def unfolded(
    x: np.ndarray, rows: int, across: int, stride: int, *, order: str = "ncuvij"
) -> np.ndarray:
    """Return the windows as columns, their axes maybe in another order."""
    windows = np.lib.stride_tricks.sliding_window_view(x, (rows, across), (2, 3))
    windows = windows[:, :, ::stride, ::stride]
    return np.einsum(f"ncijuv->{order}", windows).reshape(len(x), x.shape[1] * rows * across, -1)


def coded(word: str, alphabet: str) -> np.ndarray:
    """Return the kernel that finds a word, (1, letters of the alphabet, length)."""
    weight = np.zeros((1, len(alphabet), len(word)))
    for place, letter in enumerate(word):
        weight[0, alphabet.index(letter), place] = 1
    return weight


def reach(
    layers: Sequence[tuple[int, int, int]],
    gain: Callable[[int, int], int] = lambda kernel, dilation: dilation * (kernel - 1),
    early: bool = False,
    strides: bool = True,
) -> int:
    """Return how many pixels layers, each (kernel, stride, dilation), see; maybe miscounted."""
    size, jump = 1, 1
    for kernel, stride, dilation in layers:
        next_jump = jump * stride if strides else 1
        size += gain(kernel, dilation) * (next_jump if early else jump)
        jump = next_jump
    return size
