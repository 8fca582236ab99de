"""Ways to shift and to share, also wrong ones: the mistakes of lesson 1."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np


def moved_and_filled(
    images: np.ndarray, down: int, right: int, mode: Any = "constant"
) -> np.ndarray:
    """Move images by whole pixels; `mode`: what comes in, as `np.pad` has it."""
    height, width = images.shape[2:]
    edges = ((0, 0), (0, 0), (max(down, 0), max(-down, 0)), (max(right, 0), max(-right, 0)))
    padded = np.pad(images, edges, mode=mode)
    top, left = max(-down, 0), max(-right, 0)
    return padded[:, :, top : top + height, left : left + width]


def placed(kernel: np.ndarray, height: int, width: int, across: int | None = None) -> np.ndarray:
    """Build the matrix; rows of answers are counted as `across` long."""
    rows, columns = kernel.shape
    out_height, out_width = height - rows + 1, width - columns + 1
    matrix = np.zeros((out_height * out_width, height * width))
    for i, j in np.ndindex(out_height, out_width):
        for u, v in np.ndindex(rows, columns):
            matrix[i * (across or out_width) + j, (i + u) * width + j + v] = kernel[u, v]
    return matrix


def rolled(kernel: np.ndarray, height: int, width: int) -> np.ndarray:
    """Build the matrix as one does who moves its first row on by one each time."""
    first = placed(kernel, height, width)[0]
    count = (height - kernel.shape[0] + 1) * (width - kernel.shape[1] + 1)
    return np.stack([np.roll(first, n) for n in range(count)])


def tight(kernel: np.ndarray, height: int, width: int) -> np.ndarray:
    """Build the matrix as one does who counts pixels with the answers' width."""
    rows, columns = kernel.shape
    out_height, out_width = height - rows + 1, width - columns + 1
    matrix = np.zeros((out_height * out_width, height * width))
    for i, j in np.ndindex(out_height, out_width):
        for u, v in np.ndindex(rows, columns):
            matrix[i * out_width + j, (i + u) * out_width + j + v] = kernel[u, v]
    return matrix


def gradient_by(
    add: Callable[[Any, Any], Any],
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a kernel's gradient, its terms joined by ``add(total, term)``."""

    def gradient(image: np.ndarray, grad_answers: np.ndarray) -> np.ndarray:
        (height, width), (out_height, out_width) = image.shape, grad_answers.shape
        total = np.zeros((height - out_height + 1, width - out_width + 1))
        for i, j in np.ndindex(out_height, out_width):
            for u, v in np.ndindex(*total.shape):
                total[u, v] = add(total[u, v], grad_answers[i, j] * image[i + u, j + v])
        return total

    return gradient


def gap(
    layer: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    down: int,
    right: int,
    margin: int,
    *,
    move_answers: bool = True,
    axes: tuple[int, ...] = (2, 3),
    sign: int = 1,
) -> float:
    """Return the largest difference between moving first and moving last, maybe measured wrong."""
    first = layer(moved_and_filled(images, down, right))
    second = layer(images)
    if move_answers:
        second = moved_and_filled(second, sign * down, sign * right)
    for axis in axes:
        inside = range(margin, first.shape[axis] - margin)
        first, second = first.take(inside, axis), second.take(inside, axis)
    return float(np.abs(first - second).max())
