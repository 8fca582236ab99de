"""One step of an optimiser: a single pass over a parameter, its gradient and its slots, in place.

The arrays are walked in the order in which the weight lies in memory.  Every
element is computed alike, so neither that order nor the threads change a bit.
"""

import numpy as np

from ..plain import optimizer as plain
from . import _parallel
from ._jit import njit

_GRAIN = 1 << 16  # elements that are worth a thread
_COMPILED = (np.float32, np.float64)


def sgd_update(weight, grad, velocity, *, learning_rate, momentum, nesterov, weight_decay):
    """All of one shape; writes weight and velocity. velocity None: no momentum."""
    slots = () if velocity is None else (velocity,)
    rule = (learning_rate, momentum, weight_decay)
    if not _compiled(weight, grad, *slots):
        names = ("learning_rate", "momentum", "weight_decay")
        settings = dict(zip(names, rule, strict=True), nesterov=nesterov)
        plain.sgd_update(weight, grad, velocity, **settings)
        return
    rule = tuple(weight.dtype.type(r) for r in rule)
    if velocity is None:
        _walk(_sgd, (weight,), grad, rule[::2])
    else:
        _walk(_sgd_momentum, (weight, velocity), grad, (*rule, nesterov))


def adam_update(
    weight,
    grad,
    mean,
    square,
    step,
    *,
    learning_rate,
    beta1,
    beta2,
    epsilon,
    weight_decay,
    decoupled,
):
    """All of one shape; writes weight, mean and square. step counts from 1."""
    if not _compiled(weight, grad, mean, square):
        settings = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2}
        settings |= {"epsilon": epsilon, "weight_decay": weight_decay, "decoupled": decoupled}
        plain.adam_update(weight, grad, mean, square, step, **settings)
        return
    shrink = learning_rate * weight_decay if decoupled else 0.0
    rule = (learning_rate / (1 - beta1**step), 1 / (1 - beta2**step), beta1, 1 - beta1)
    rule += (beta2, 1 - beta2, epsilon, 0.0 if decoupled else weight_decay, shrink)
    _walk(_adam, (weight, mean, square), grad, tuple(weight.dtype.type(r) for r in rule))


def sum_of_squares(x):
    """X of any shape -> the sum of its squares, a float, added up in float64 in one order."""
    if not _compiled(x):
        return plain.sum_of_squares(x)
    flat = _packed(x, _memory_order(x))
    flat = np.ascontiguousarray(x).reshape(-1) if flat is None else flat
    pieces = _pieces(flat.size)
    sums = [0.0] * len(pieces)

    def work(p, start, stop):
        sums[p] = _sum_of_squares(flat, start, stop)

    _parallel.run(work, pieces)
    return float(sum(sums))


def _compiled(*arrays):
    return arrays[0].dtype in _COMPILED and all(a.dtype == arrays[0].dtype for a in arrays)


def _walk(kernel, written, grad, rule):
    """Run `kernel` over all elements: the `written` arrays, `grad`, settings, start and stop."""
    lines = (*written, grad)
    if grad.size <= _GRAIN and all(a.flags.c_contiguous for a in lines):  # most parameters
        kernel(*[a.reshape(-1) for a in lines], *rule, 0, grad.size)
        return
    order = _memory_order(written[0])
    flats = [_packed(a, order) for a in written]
    apart = [i for i, flat in enumerate(flats) if flat is None]  # gaps, or another order
    for i in apart:
        flats[i] = np.array(written[i].transpose(order), order="C").reshape(-1)
    g = np.ascontiguousarray(grad.transpose(order)).reshape(-1)
    pieces = _pieces(g.size)
    _parallel.run(lambda _, start, stop: kernel(*flats, g, *rule, start, stop), pieces)
    for i in apart:
        view = written[i].transpose(order)
        view[...] = flats[i].reshape(view.shape)


def _pieces(size):
    return _parallel.chunks(size, max(1, min(16, size // _GRAIN)))


def _memory_order(x):
    """Return the axes of `x` from the longest stride to the shortest."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))


def _packed(x, order):
    """Return the elements of `x` as one line without copying, or None if that cannot be."""
    view = x.transpose(order)
    return view.reshape(-1) if view.flags.c_contiguous else None


@njit
def _sgd(weight, grad, learning_rate, weight_decay, start, stop):
    for i in range(start, stop):
        w = weight[i]
        weight[i] = w - learning_rate * (grad[i] + weight_decay * w)


@njit
def _sgd_momentum(
    weight, velocity, grad, learning_rate, momentum, weight_decay, nesterov, start, stop
):
    for i in range(start, stop):
        w = weight[i]
        g = grad[i] + weight_decay * w
        v = momentum * velocity[i] + g
        velocity[i] = v
        weight[i] = w - learning_rate * (g + momentum * v if nesterov else v)


@njit
def _adam(
    weight,
    mean,
    square,
    grad,
    rate,
    correction,
    beta1,
    rest1,
    beta2,
    rest2,
    epsilon,
    weight_decay,
    shrink,
    start,
    stop,
):
    for i in range(start, stop):
        w = weight[i]
        g = grad[i] + weight_decay * w
        m = beta1 * mean[i] + rest1 * g
        s = beta2 * square[i] + rest2 * (g * g)
        mean[i] = m
        square[i] = s
        weight[i] = w - shrink * w - rate * m / (np.sqrt(s * correction) + epsilon)


@njit
def _sum_of_squares(x, start, stop):
    a = b = c = d = 0.0  # four sums: an addition need not wait for the one before
    last = start + (stop - start) // 4 * 4
    for i in range(start, last, 4):
        a += np.float64(x[i]) * np.float64(x[i])
        b += np.float64(x[i + 1]) * np.float64(x[i + 1])
        c += np.float64(x[i + 2]) * np.float64(x[i + 2])
        d += np.float64(x[i + 3]) * np.float64(x[i + 3])
    for i in range(last, stop):
        a += np.float64(x[i]) * np.float64(x[i])
    return (a + b) + (c + d)
