"""The bug museum's exhibits: small ops with one bug each, and right ones beside them.

All of them work on plain NumPy arrays, so that nothing but the bug is in the way.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray
Op = Callable[..., Any]


# Max pooling: x (N, C, H, W), `size`, `stride` and `padding` in pixels -> (N, C, OH, OW)


def _padded(x: Array, padding: int, value: float) -> Array:
    sides = (padding, padding)
    return np.pad(x, ((0, 0), (0, 0), sides, sides), constant_values=value)


def _windows(x: Array, size: int, stride: int) -> Array:
    """Return (N, C, OH, OW, size, size): each window of an image."""
    every = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(2, 3))
    return every[:, :, ::stride, ::stride]


def right(x: Array, size: int, stride: int, padding: int) -> Array:
    """Pool by windows; nothing that is padded can win."""
    return _windows(_padded(x, padding, -np.inf), size, stride).max(axis=(4, 5))


def right_by_offsets(x: Array, size: int, stride: int, padding: int) -> Array:
    """Pool by comparing shifted images, one for each place in the window."""
    x = _padded(x, padding, -np.inf)
    height, width = ((n - size) // stride + 1 for n in x.shape[2:])
    y = np.full((*x.shape[:2], height, width), -np.inf, x.dtype)
    for u in range(size):
        for v in range(size):
            shifted = x[:, :, u : u + height * stride : stride, v : v + width * stride : stride]
            y = np.maximum(y, shifted[:, :, :height, :width])
    return y


def padded_with_zero(x: Array, size: int, stride: int, padding: int) -> Array:
    """Cut windows with the convolution's own function, which pads with 0."""
    return _windows(_padded(x, padding, 0.0), size, stride).max(axis=(4, 5))


def sides_exchanged(x: Array, size: int, stride: int, padding: int) -> Array:
    """Take the height for the width when the size of the result is computed."""
    height, width = ((n + 2 * padding - size) // stride + 1 for n in x.shape[2:])
    return right(x, size, stride, padding)[:, :, :width, :height]


def first_of_the_batch(x: Array, size: int, stride: int, padding: int) -> Array:
    """Pool the first image, and give its result to all."""
    y = right(x[:1], size, stride, padding)
    return np.repeat(y, len(x), axis=0)


def strides_by_size(x: Array, size: int, stride: int, padding: int) -> Array:
    """Ignore the stride: windows stand side by side."""
    return right(x, size, size, padding)


def rounds_up(x: Array, size: int, stride: int, padding: int) -> Array:
    """Add a part of a window where the image does not divide evenly."""
    x = _padded(x, padding, -np.inf)
    rest = [-(n - size) % stride for n in x.shape[2:]]
    x = np.pad(x, ((0, 0), (0, 0), (0, rest[0]), (0, rest[1])), constant_values=-np.inf)
    return right(x, size, stride, 0)


def pools() -> tuple[tuple[Op, ...], tuple[Op, ...]]:
    """Return what pools as it should, and what does not."""
    broken = padded_with_zero, sides_exchanged, first_of_the_batch, strides_by_size, rounds_up
    return (right, right_by_offsets), broken


# Functions of arrays (N, K), and what brings a gradient back through them:
# pull_back(x, grad_y), shaped like x


def softmax(x: Array) -> Array:
    """Return the softmax of each row."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_back(x: Array, grad_y: Array) -> Array:
    """Do it right: y * (grad_y - the mean of grad_y, weighed by y)."""
    y = softmax(x)
    return y * (grad_y - (y * grad_y).sum(axis=-1, keepdims=True))


def cube(x: Array) -> Array:
    """Return x**3."""
    return x**3


def cube_back(x: Array, grad_y: Array) -> Array:
    """Do it right."""
    return 3 * x**2 * grad_y


def steep(x: Array) -> Array:
    """Return what is large: a million sines."""
    return 1e6 * np.sin(x)


def steep_back(x: Array, grad_y: Array) -> Array:
    """Do it right."""
    return 1e6 * np.cos(x) * grad_y


def faint(x: Array) -> Array:
    """Return what is small: a hundred-thousandth of a sine."""
    return 1e-5 * np.sin(x)


def softmax_back_zero(x: Array, grad_y: Array) -> Array:
    """Bring nothing back, ever."""
    return np.zeros_like(x)


def cube_back_permille(x: Array, grad_y: Array) -> Array:
    """Bring back a thousandth too much."""
    return 1.001 * 3 * x**2 * grad_y


def cube_back_turned(x: Array, grad_y: Array) -> Array:
    """Bring back the right numbers, from the last to the first."""
    return cube_back(x, grad_y)[:, ::-1]


def cube_back_first(x: Array, grad_y: Array) -> Array:
    """Bring back the gradient of the first row alone."""
    grad_x = cube_back(x, grad_y)
    grad_x[1:] = 0
    return grad_x


def cube_back_deaf(x: Array, grad_y: Array) -> Array:
    """Leave out what comes back from behind, grad_y."""
    return 3 * x**2


def faint_back_twice(x: Array, grad_y: Array) -> Array:
    """Bring back twice what is right."""
    return 2e-5 * np.cos(x) * grad_y


def gradients() -> tuple[tuple[tuple[Op, Op], ...], tuple[tuple[Op, Op], ...]]:
    """Return functions with their gradients: right ones, and broken ones."""
    sound = (softmax, softmax_back), (cube, cube_back), (steep, steep_back)
    return sound, (
        (softmax, softmax_back_zero),
        (cube, cube_back_deaf),
        (cube, cube_back_permille),
        (cube, cube_back_turned),
        (cube, cube_back_first),
        (faint, faint_back_twice),
    )


# The gradient of max pooling: (x, grad_y, size, stride) -> grad_x, shaped like x


def _routed(x: Array, grad_y: Array, size: int, stride: int, share: Op) -> Array:
    """Add each window's grad_y to its pixels, in the shares that `share` gives a window."""
    grad_x = np.zeros_like(x)
    for n, c, i, j in np.ndindex(grad_y.shape):
        at = np.s_[n, c, i * stride : i * stride + size, j * stride : j * stride + size]
        grad_x[at] += share(x[at]) * grad_y[n, c, i, j]
    return grad_x


def _only(window: Array, place: int) -> Array:
    """Return zeros of a window's shape, but 1 in one place."""
    chosen = np.zeros(window.shape)
    chosen.reshape(-1)[place] = 1
    return chosen


def first_wins(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Give all to the first of the largest pixels."""
    return _routed(x, grad_y, size, stride, lambda w: _only(w, int(w.argmax())))


def last_wins(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Give all to the last of the largest pixels."""
    return _routed(
        x, grad_y, size, stride, lambda w: _only(w, w.size - 1 - int(w.reshape(-1)[::-1].argmax()))
    )


def ties_share(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Give each of the largest pixels an equal part."""
    return _routed(x, grad_y, size, stride, lambda w: (w == w.max()) / (w == w.max()).sum())


def each_tie_gets_all(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Give the whole gradient to each of the largest pixels."""
    return _routed(x, grad_y, size, stride, lambda w: (w == w.max()).astype(w.dtype))


def last_window_overwrites(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Write `=` where `+=` is needed: a pixel that won two windows has one gradient."""
    grad_x = np.zeros_like(x)
    for n, c, i, j in np.ndindex(grad_y.shape):
        window = x[n, c, i * stride : i * stride + size, j * stride : j * stride + size]
        u, v = divmod(int(window.argmax()), size)
        grad_x[n, c, i * stride + u, j * stride + v] = grad_y[n, c, i, j]
    return grad_x


def corner_gets_all(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Give all to the first pixel of each window, whoever won."""
    return _routed(x, grad_y, size, stride, lambda w: _only(w, 0))


def counts_windows(x: Array, grad_y: Array, size: int, stride: int) -> Array:
    """Leave out grad_y: count the windows that a pixel has won."""
    return first_wins(x, np.ones_like(grad_y), size, stride)


def routes() -> tuple[tuple[Op, ...], tuple[Op, ...]]:
    """Return gradients of max pooling: right ones, and broken ones."""
    broken = each_tie_gets_all, last_window_overwrites, corner_gets_all, counts_windows
    return (first_wins, last_wins, ties_share), broken


# Softmaxes of rows (N, K)


def naive(x: Array) -> Array:
    """Follow the formula to the letter."""
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def less_the_larger_of_0_and_max(x: Array) -> Array:
    """Subtract the largest logit, begun at 0."""
    e = np.exp(x - np.maximum(0, x.max(axis=-1, keepdims=True)))
    return e / e.sum(axis=-1, keepdims=True)


def less_the_max_of_all(x: Array) -> Array:
    """Subtract the largest logit of the whole batch."""
    e = np.exp(x - x.max())
    return e / e.sum(axis=-1, keepdims=True)


SOFTMAXES_BROKEN = naive, less_the_larger_of_0_and_max, less_the_max_of_all


# Writers of arrays, each array -> bytes, and their reader


def _file(x: Array, content: bytes) -> bytes:
    """Return what is written: a header that tells dtype and shape, and the content."""
    header = json.dumps({"dtype": x.dtype.str, "shape": x.shape}).encode()
    return len(header).to_bytes(8, "little") + header + content


def read(file: bytes) -> Array:
    """Return the array that a file holds."""
    begin = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:begin])
    return np.frombuffer(file[begin:], header["dtype"]).reshape(header["shape"]).copy()


def writes_rows(x: Array) -> bytes:
    """Write shape, type, and the numbers row by row."""
    return _file(x, x.tobytes(order="C"))


def writes_numpys(x: Array) -> bytes:
    """Write through NumPy's own format."""
    file = io.BytesIO()
    np.save(file, x)
    file.seek(0)
    return _file(x, np.load(file).tobytes())


def writes_as_it_lies(x: Array) -> bytes:
    """Write the memory from its begin to its end, as fast as can be."""
    from_begin = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    return _file(x, x.transpose(from_begin).tobytes())


def writes_float32(x: Array) -> bytes:
    """Write everything in single precision."""
    return writes_rows(x.astype(np.float32))


def writes_flat(x: Array) -> bytes:
    """Write the numbers, and of the shape only how many."""
    return writes_rows(x.reshape(-1))


def writes_contiguous(x: Array) -> bytes:
    """Lay the array out anew first: in NumPy that makes a single number an array of one."""
    return writes_rows(np.ascontiguousarray(x))


def writers() -> tuple[tuple[Op, ...], tuple[Op, ...]]:
    """Return what writes files that are right, and what does not."""
    broken = writes_as_it_lies, writes_float32, writes_flat, writes_contiguous
    return (writes_rows, writes_numpys), broken


ALL_TOLD = "accepts what is right and objects to what is not"


def accepts(check: Op, *arguments: Any) -> bool:
    """Tell whether a check finds nothing wrong: it may return a truth, or assert and return None.

    What else it raises is its own mistake if the op is right, and an objection if it is broken.
    """
    try:
        verdict = check(*arguments)
    except AssertionError:
        return False
    return verdict is None or bool(verdict)


def judged(
    check: Op, sound: list[tuple[Op, tuple[Any, ...]]], broken: list[tuple[Op, tuple[Any, ...]]]
) -> str:
    """Say what a check makes of ops that are right and of ops that are not: (op, arguments)."""
    refused = [op.__name__ for op, arguments in sound if not accepts(check, *arguments)]
    passed = []
    for op, arguments in broken:
        try:
            if accepts(check, *arguments):
                passed.append(op.__name__)
        except Exception:  # it breaks down on what is broken: that is an objection, too
            continue
    said = [f"refuses {' and '.join(refused)}"] if refused else []
    said += [f"lets {' and '.join(passed)} through"] if passed else []
    return ", ".join(said) or ALL_TOLD
