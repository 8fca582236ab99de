"""One step of an optimiser, as its formula reads; written into the arrays it is given."""

import numpy as np


def sgd_update(weight, grad, velocity, *, learning_rate, momentum, nesterov, weight_decay):
    """All of one shape; writes weight and velocity. velocity None: no momentum.

    g = grad + weight_decay w;  v = momentum v + g;  w -= learning_rate (g + momentum v  or  v)
    """
    w, g = _precise(weight), _precise(grad)
    g = g + weight_decay * w
    if velocity is None:
        weight[...] = w - learning_rate * g
        return
    velocity *= momentum
    velocity += g
    weight[...] = w - learning_rate * (g + momentum * velocity if nesterov else velocity)


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
    """All of one shape; writes weight, mean and square. step counts from 1.

    m = beta1 m + (1 - beta1) g;  s = beta2 s + (1 - beta2) g^2
    w -= learning_rate (m / (1 - beta1^t)) / (sqrt(s / (1 - beta2^t)) + epsilon)

    weight_decay w is added to g, or, decoupled, learning_rate weight_decay w is taken off w.
    """
    w, g = _precise(weight), _precise(grad)
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


def sum_of_squares(x):
    """X of any shape -> the sum of its squares, a float, added up in float64."""
    flat = x.ravel(order="K").astype(np.float64)
    with np.errstate(over="ignore"):  # infinity says it
        return float((flat * flat).sum())


def _precise(x):
    """Half-precision numbers are computed with in single precision."""
    return x.astype(np.float32) if x.dtype == np.float16 else x
