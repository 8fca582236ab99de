"""The exercises on pooling of the lesson on the classification head."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.exercises._exercise import exercise

__all__ = ["max_pool", "max_pool_grad", "pool_by_reshape"]


# ---- max pooling, by its definition


def _pooling_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for shape, size, stride, padding in (
        ((2, 3, 6, 8), (2, 2), 2, 0),
        ((3, 1, 5, 9), (3, 2), 2, 1),
        ((1, 2, 7, 5), (3, 3), 1, 1),
        ((2, 2, 8, 6), (2, 3), 1, 0),
        ((2, 1, 9, 7), (3, 2), 3, 0),
    ):
        yield rng.normal(-1.0, 1.0, shape), size, stride, padding


def _pooled(x: Any, size: Any, stride: int, padding: int, fill: float, reduce: Any) -> np.ndarray:
    """Pool by the definition, ``reduce`` for the maximum and `fill` around the image."""
    n, c, height, width = x.shape
    kh, kw = size
    rim = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x = np.pad(x, rim, constant_values=fill)
    out = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    y = np.empty((n, c, *out))
    for i, j in np.ndindex(out):
        top, left = i * stride, j * stride
        y[:, :, i, j] = reduce(x[:, :, top : top + kh, left : left + kw], axis=(2, 3))
    return y


def _steps_by_size(x: Any, size: Any, stride: int, padding: int) -> np.ndarray:
    """Pool with windows side by side, whatever the stride."""
    return _pooled(x, size, size[0], padding, -np.inf, np.max)


@exercise(
    cases=_pooling_cases,
    without=("max_pool2d", "MaxPool2d", "maximum_filter"),
    mistakes={
        "the padding must never win: zero is larger than every negative number; what number is "
        "smaller than all others?": lambda x, size, stride, padding: _pooled(
            x, size, stride, padding, 0.0, np.max
        ),
        "that is an average; take the largest number of each window": lambda x,
        size,
        stride,
        padding: _pooled(
            x, size, stride, padding, 0.0, np.mean
        ),
        "the window moves on by `stride`, which may differ from its size": _steps_by_size,
        "the windows ignore the padding: rows and columns around the image, on all four sides": (
            lambda x, size, stride, padding: _pooled(x, size, stride, 0, 0.0, np.max)
        ),
    },
    symptoms={
        "window height and width are exchanged: size is (KH, KW)": lambda got, expected, x, size,
        stride, padding: size[0] != size[1]
        and np.shape(got)
        == np.shape(_pooled(x, size[::-1], stride, padding, -np.inf, np.max)),
        "the largest number of each window and channel is wanted; channels and examples are not "
        "mixed": lambda got, expected, *_: np.ndim(got) < 4
        or np.allclose(got, np.max(expected, axis=(0, 1), keepdims=True) + 0 * got),
    },
)  # fmt: skip
def max_pool(x: Any, size: Any, stride: int, padding: int) -> Any:
    """Write max pooling with loops over the rows i and columns j of the result.

    x is an array (N, C, H, W), size is (KH, KW), stride and padding hold for both axes. The
    result is (N, C, OH, OW) with OH = (H + 2 * padding - KH) // stride + 1, and OW likewise.
    """
    n, c, height, width = x.shape
    kh, kw = size
    around = (padding, padding)
    x = np.pad(x, ((0, 0), (0, 0), around, around), constant_values=-np.inf)
    out_height = (height + 2 * padding - kh) // stride + 1
    out_width = (width + 2 * padding - kw) // stride + 1
    y = np.empty((n, c, out_height, out_width))
    for i in range(out_height):
        for j in range(out_width):
            top, left = i * stride, j * stride
            y[:, :, i, j] = x[:, :, top : top + kh, left : left + kw].max(axis=(2, 3))
    return y


# ---- its gradient


def _gradient_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for shape, size, stride in (
        ((2, 2, 6, 4), (2, 2), 2),
        ((1, 3, 5, 7), (3, 3), 1),
        ((2, 1, 7, 6), (3, 2), 2),
        ((3, 2, 4, 9), (2, 3), 1),
        ((2, 2, 8, 5), (2, 2), 2),
    ):
        x = np.maximum(rng.integers(-3, 4, shape), 0).astype(np.float64)  # as after a ReLU: ties
        out = ((shape[2] - size[0]) // stride + 1, (shape[3] - size[1]) // stride + 1)
        yield x, rng.normal(size=(*shape[:2], *out)), size, stride


def _spread(x: Any, grad_y: Any, size: Any, stride: int, mode: str) -> np.ndarray:
    """Send gradients back in a wrong way: see the hints."""
    grad_x = np.zeros(x.shape)
    kh, kw = size
    for n, c, i, j in np.ndindex(grad_y.shape):
        rows, columns = slice(i * stride, i * stride + kh), slice(j * stride, j * stride + kw)
        window, into = x[n, c, rows, columns], grad_x[n, c, rows, columns]
        won = window == window.max()
        first = np.zeros(won.shape, bool)
        first.reshape(-1)[np.argmax(won)] = True
        if mode == "assign":
            into[first] = grad_y[n, c, i, j]
        elif mode == "clear":
            into[...] = np.where(first, grad_y[n, c, i, j], 0)
        elif mode == "all":
            into += won * grad_y[n, c, i, j]
        elif mode == "share":
            into += won * grad_y[n, c, i, j] / won.sum()
        elif mode == "mean":
            into += grad_y[n, c, i, j] / (kh * kw)
        elif mode == "last":
            last = won.size - 1 - np.argmax(won.reshape(-1)[::-1])
            into[last // kw, last % kw] += grad_y[n, c, i, j]
        elif mode == "value":
            into += first * grad_y[n, c, i, j] * window
        elif mode == "ones":
            into += first
    return grad_x


def _spreading(mode: str) -> Any:
    """Return the gradient spread in a wrong way, as a function."""
    return lambda x, grad_y, size, stride: _spread(x, grad_y, size, stride, mode)


@exercise(
    cases=_gradient_cases,
    without=("max_unpool2d", "max_pool2d", "backward"),
    mistakes={
        "a pixel that wins two overlapping windows must get both their gradients, not the last "
        "one": _spreading("assign"),
        "each window wipes out what its neighbours left where they overlap; add to what is there": (
            _spreading("clear")
        ),
        "in a tie every winner gets the whole gradient: it is counted double; the window's output "
        "is one number, and moves once": _spreading("all"),
        "in a tie the gradient is shared; a fine rule, but here the first winner takes it, as in "
        "minicnn": _spreading("share"),
        "in a tie the first winner takes the gradient, here it is the last": _spreading("last"),
        "that is the gradient of average pooling; a pixel that did not win could change without "
        "changing the output": _spreading("mean"),
        "the winner's value must not enter: y = x[winner] has the slope 1": _spreading("value"),
        "the chain rule is missing: multiply by grad_y of the window": _spreading("ones"),
    },
    symptoms={
        "the gradient has the shape of x, with a number for each pixel": lambda got, expected, *_: (
            np.shape(got) != np.shape(expected)
        ),
    },
)  # fmt: skip
def max_pool_grad(x: Any, grad_y: Any, size: Any, stride: int) -> Any:
    """Send the gradient of max pooling back to the pixels.

    x is (N, C, H, W), grad_y is dL/dy (N, C, OH, OW), size is (KH, KW); there is no padding.
    Windows overlap if stride < size. Among equal pixels of a window the first, row by row, has
    won: what np.argmax finds. Return dL/dx.
    """
    grad_x = np.zeros(x.shape)
    kh, kw = size
    for n, c, i, j in np.ndindex(grad_y.shape):
        top, left = i * stride, j * stride
        window = x[n, c, top : top + kh, left : left + kw]
        u, v = divmod(int(np.argmax(window)), kw)
        grad_x[n, c, top + u, left + v] += grad_y[n, c, i, j]
    return grad_x


# ---- without loops: a bug to be found


def _even_images(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for shape in ((2, 3, 4, 8), (1, 2, 6, 4), (3, 1, 2, 10), (2, 2, 8, 6), (4, 3, 6, 2)):
        yield (rng.normal(-1.0, 1.0, shape),)


def _cut(x: Any, order: tuple[str, ...], axes: tuple[int, ...]) -> np.ndarray:
    """Reshape both spatial axes in an order of parts, and take the maximum over some."""
    n, c, h, w = x.shape
    sizes = {"h": h // 2, "w": w // 2, "2": 2}
    return x.reshape(n, c, *(sizes[letter] for letter in order)).max(axis=axes)


@exercise(
    cases=_even_images,
    without=("max_pool2d", "max_pool"),
    mistakes={
        "the reshape does not cut windows: pixels lie in memory row by row, so the last axis of "
        "the parts must run along a row; print np.arange(16) cut like that": lambda x: _cut(
            x, ("h", "w", "2", "2"), (4, 5)
        ),
        "the cut is right, but the maximum is taken over whole columns and rows of windows, not "
        "within a window: look again which axes have length 2": lambda x: _cut(
            x, ("h", "2", "w", "2"), (2, 4)
        ),
        "rows and columns have changed places: H belongs before W": lambda x: np.swapaxes(
            _cut(x, ("h", "2", "w", "2"), (3, 5)), 2, 3
        ),
        "that is every second pixel, not the largest of four": lambda x: x[:, :, ::2, ::2],
        "only the columns of each window are compared; two rows belong to it as well": lambda x: (
            np.maximum(x[:, :, ::2, ::2], x[:, :, ::2, 1::2])
        ),
    },
    symptoms={
        "that is the average of the window": lambda got, expected, x: np.allclose(
            got, x.reshape(*x.shape[:2], x.shape[2] // 2, 2, x.shape[3] // 2, 2).mean((3, 5))
        ),
    },
)
def pool_by_reshape(x: Any) -> Any:
    """Mend max pooling of 2 x 2 with stride 2, written as one reshape and one max.

    x is (N, C, H, W) with even H and W; the result is (N, C, H/2, W/2).
    """
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))
