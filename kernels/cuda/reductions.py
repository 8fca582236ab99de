"""Sums and extremes along axes, in whatever order memory lies (reductions.cu)."""

import cupy
import numpy as np

from .. import plain
from . import _launch, _reduce
from ._blocks import around


def sum_over(x, axes):
    """x -> its sums over some axes, which stay with length 1; float16 is summed in float32."""
    if not _is_work(x, axes):
        return plain.sum_over(x, axes)
    return _joined("Sum", x, axes)


def extreme_over(x, axes, largest):
    """x -> its largest (or smallest) numbers along axes, which stay with length 1; NaN wins."""
    if not _is_work(x, axes):
        return plain.extreme_over(x, axes, largest)
    return _joined("Largest" if largest else "Smallest", x, axes)


def _is_work(x, axes):
    return _launch.covers(x) and x.size and any(x.shape[a] != 1 for a in axes)


def _joined(op, x, axes):
    """Join along axes that are neighbours in memory as along one; the innermost first."""
    dtype, left = x.dtype, [a for a in axes if x.shape[a] != 1]
    while left:
        order = around(x, ()).order
        places = sorted(order.index(a) for a in left)
        first = next(p for p in places if set(range(p, places[-1])) <= {*places})
        run = tuple(a for a in left if order.index(a) >= first)
        left = [a for a in left if a not in run]
        blocks = around(x, run)
        size = blocks.outer, blocks.count, blocks.inner
        between = _reduce.WIDE[dtype] if left else dtype
        given = blocks.of(x)
        x = blocks.kept(_reduce.joined(op, given, given, size, between))
    return x


def extreme_over_grad(grad_y, x, y):
    """Share each grad_y equally between the x that equal y; grad_y and y have axes of length 1."""
    axes = tuple(a for a, (n, m) in enumerate(zip(x.shape, y.shape, strict=True)) if n != m)
    blocks = around(x, axes)
    if not _launch.covers(grad_y, x, y) or not x.size or not blocks.adjacent:
        return plain.extreme_over_grad(grad_y, x, y)
    given, best, grads = blocks.of(x), blocks.cells(y), blocks.cells(grad_y)
    size = blocks.outer, blocks.count, blocks.inner
    ties = _reduce.joined("Ties", given, best, size, np.dtype(np.int64))
    grad_x = cupy.empty(given.shape, x.dtype)
    name = f"extreme_grad<{_launch.NAMES[x.dtype]}>"
    args = grads, given, best, ties, grad_x, x.size, blocks.count, blocks.inner
    _launch.flat("reductions", name, x.size, *args)
    return blocks.whole(grad_x)
