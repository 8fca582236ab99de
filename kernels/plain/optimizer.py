"""One step of an optimiser, as its formula reads; written into the arrays it is given.

Each function takes lists, one entry for each parameter; the arrays of an entry are of one shape.
"""

import math

import numpy as np


def sgd_update(
    weights, grads, velocities, *, learning_rate, momentum, nesterov, weight_decay, factor
):
    """Write weights and velocities. velocities None: no momentum.

    g = grad + weight_decay w;  v = momentum v + g;  w -= learning_rate (g + momentum v  or  v)

    Gradients are multiplied by `factor` first, None: by 1; if it is not finite, nothing is written.
    """
    if not _usable(factor):
        return
    for i, weight in enumerate(weights):
        w, g = _precise(weight), _scaled(grads[i], factor)
        g = g + weight_decay * w
        if velocities is None:
            weight[...] = w - learning_rate * g
            continue
        velocity = velocities[i]
        velocity *= momentum
        velocity += g
        weight[...] = w - learning_rate * (g + momentum * velocity if nesterov else velocity)


def adam_update(
    weights,
    grads,
    means,
    squares,
    steps,
    *,
    learning_rate,
    beta1,
    beta2,
    epsilon,
    weight_decay,
    decoupled,
    factor,
):
    """Write weights, means and squares. steps: how many updates of each there were, from 1.

    m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
    w -= learning_rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon)

    weight_decay w is added to g, or, decoupled, learning_rate weight_decay w is taken off w.
    Gradients are multiplied by `factor` first, None: by 1; if it is not finite, nothing is written.
    """
    if not _usable(factor):
        return
    for weight, grad, mean, square, step in zip(weights, grads, means, squares, steps, strict=True):
        w, g = _precise(weight), _scaled(grad, factor)
        if decoupled:
            w = w - learning_rate * weight_decay * w
        else:
            g = g + weight_decay * w
        mean *= beta1
        mean += (1 - beta1) * g
        square *= beta2
        square += (1 - beta2) * (g * g)
        rate = learning_rate / (1 - beta1**step)
        weight[...] = w - rate * mean / ((square / (1 - beta2**step)) ** 0.5 + epsilon)


def sums_of_squares(arrays):
    """Arrays of any shapes -> the sum of the squares of each, added up in float64.

    They are floats; of arrays on a GPU one array there, for which nobody need wait.
    """
    return [_sum_of_squares(x) for x in arrays]


def _sum_of_squares(x):
    flat = x.ravel(order="K").astype(np.float64)
    with np.errstate(over="ignore"):  # infinity says it
        return float((flat * flat).sum())


def _usable(factor):
    return factor is None or math.isfinite(factor)


def _scaled(grad, factor):
    g = _precise(grad)
    return g if factor is None else g * g.dtype.type(float(factor))


def _precise(x):
    """Half-precision numbers are computed with in single precision."""
    return x.astype(np.float32) if x.dtype == np.float16 else x
