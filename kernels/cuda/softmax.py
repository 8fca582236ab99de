"""Softmax, its logarithm and the cross-entropy after it: one read, one write (softmax.cu)."""

import cupy
import numpy as np

from .. import plain
from . import _launch, _reduce
from ._blocks import around


def softmax(x, axis):
    """y_k = e**x_k / sum_j e**x_j along an axis."""
    return _forward(x, axis, False) if _launch.covers(x) else plain.softmax(x, axis)


def log_softmax(x, axis):
    """y_k = x_k - log sum_j e**x_j along an axis."""
    return _forward(x, axis, True) if _launch.covers(x) else plain.log_softmax(x, axis)


def softmax_grad(grad_y, y, axis):
    """grad_x = y * (grad_y - sum_k y_k grad_y_k)."""
    if not _launch.covers(y, grad_y):
        return plain.softmax_grad(grad_y, y, axis)
    return _backward(grad_y, y, axis, False)


def log_softmax_grad(grad_y, y, axis):
    """grad_x = grad_y - e**y * sum_k grad_y_k."""
    if not _launch.covers(y, grad_y):
        return plain.log_softmax_grad(grad_y, y, axis)
    return _backward(grad_y, y, axis, True)


def softmax_cross_entropy(x, labels, weights, smoothing):
    """x (N, K, ...), labels, weights (N, ...) -> losses (N, ...) and log_p, log softmax(x).

    losses = weights * -sum_k t_k log_p_k, where t = 1 - smoothing at the label, plus smoothing / K
    everywhere; what has weight 0 counts 0.
    """
    if not _launch.covers(x, weights):
        return plain.softmax_cross_entropy(x, labels, weights, smoothing)
    blocks = around(x, (1,))
    wanted, shares = _cells(blocks, labels), blocks.cells(weights[:, None])
    log_p, losses = cupy.empty(x.size, x.dtype), cupy.empty(shares.shape, x.dtype)
    arrays = blocks.of(x), wanted, shares, losses, log_p
    _launch_rows("softmax_cross_entropy", blocks, x.dtype, arrays, *_shares(smoothing, blocks))
    return blocks.kept(losses)[:, 0], blocks.whole(log_p)


def cross_entropy_grad(factors, log_p, labels, smoothing):
    """grad_x = factors * (e**log_p - t), of the logits x; 0 where the factor (N, ...) is."""
    if not _launch.covers(log_p, factors):
        return plain.cross_entropy_grad(factors, log_p, labels, smoothing)
    blocks = around(log_p, (1,))
    grad_x = cupy.empty(log_p.size, log_p.dtype)
    arrays = blocks.cells(factors[:, None]), blocks.of(log_p), _cells(blocks, labels), grad_x
    _launch_rows("cross_entropy_grad", blocks, log_p.dtype, arrays, *_shares(smoothing, blocks))
    return blocks.whole(grad_x)


def _cells(blocks, labels):
    return blocks.cells(labels[:, None]).astype(np.int64, copy=False)


def _shares(smoothing, blocks):
    """Return the target at the label, and that of every class."""
    return float(1.0 - smoothing), float(smoothing / max(1, blocks.count))


def _forward(x, axis, logarithm):
    blocks = around(x, (axis,))
    y = cupy.empty(x.size, x.dtype)
    _launch_rows("softmax", blocks, x.dtype, (blocks.of(x), y), np.bool_(logarithm))
    return blocks.whole(y)


def _backward(grad_y, y, axis, logarithm):
    blocks = around(y, (axis,))
    grad_x = cupy.empty(y.size, y.dtype)
    arrays = blocks.of(grad_y), blocks.of(y), grad_x
    _launch_rows("softmax_grad", blocks, y.dtype, arrays, np.bool_(logarithm))
    return blocks.whole(grad_x)


def _launch_rows(name, blocks, dtype, arrays, *options):
    """Run a kernel (*arrays, rows, count, inner, team, *options), a team for each row."""
    rows, count, inner = blocks.outer * blocks.inner, blocks.count, blocks.inner
    if not rows * count:
        return
    threads = _reduce.team(rows, count, inner)
    _launch.launch(
        "softmax",
        f"{name}<{_launch.NAMES[dtype]}>",
        _reduce.team_grid(rows, threads),
        (_launch.THREADS,),
        *(*arrays, rows, count, inner, threads, *options),
    )
