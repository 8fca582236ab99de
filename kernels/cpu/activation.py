"""Rectification: one pass over memory, in whatever order it lies."""

from .. import plain
from . import _buffers, _parallel
from ._jit import njit
from ._layout import FAST, flat_like

_GRAIN = 1 << 15  # elements that are worth a thread


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    if x.dtype not in FAST:
        return plain.relu(x)
    (flat,), restore = flat_like(x)
    y = _buffers.empty(flat.shape, x.dtype)

    def work(_, start, stop):
        _relu(flat[start:stop], y[start:stop])

    _parallel.run(work, _pieces(flat.size))
    return restore(y)


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    if y.dtype != grad_y.dtype or y.dtype not in FAST:
        return plain.relu_grad(grad_y, y)
    (flat_y, flat_g), restore = flat_like(y, grad_y)
    grad_x = _buffers.empty(flat_y.shape, y.dtype)

    def work(_, start, stop):
        part = slice(start, stop)
        _relu_grad(flat_g[part], flat_y[part], grad_x[part])

    _parallel.run(work, _pieces(flat_y.size))
    return restore(grad_x)


def _pieces(size):
    return _parallel.chunks(size, min(16, max(1, size // _GRAIN)))


@njit
def _relu(x, y):
    zero = x.dtype.type(0)
    for i in range(len(x)):
        y[i] = zero if x[i] <= 0 else x[i]  # a NaN is not <= 0


@njit
def _relu_grad(grad_y, y, grad_x):
    zero = y.dtype.type(0)
    for i in range(len(y)):
        grad_x[i] = grad_y[i] if y[i] > 0 else zero
