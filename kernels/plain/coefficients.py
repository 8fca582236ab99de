"""The numbers of batch normalisation that every channel has one of, as array expressions.

They are few, and on a GPU an operation on few numbers costs as much as one on many: so each of
these is one call for all that is known at that point of a training step.
"""

import numpy as np

from ._windows import array_module


def normalize_coefficients(mean, var, gamma, beta, epsilon):
    """Return mean, rstd = 1 / sqrt(var + epsilon), scale = gamma * rstd, shift = beta: (I, C).

    mean, var (I, C), gamma and beta (C,) or None: 1 and 0. What is returned is float64.
    """
    xp = array_module(var)
    mean, var = (a.astype(np.float64, copy=False) for a in (mean, var))
    rstd = 1.0 / xp.sqrt(var + epsilon)
    scale = rstd if gamma is None else gamma * rstd
    return mean, rstd, scale, xp.zeros_like(rstd) + (0 if beta is None else beta)


def normalize_slopes(total, product, scale, rstd, count, dtype):
    """Return b and c (1, C) of dL/dy = a*g + b*(y - mean) + c, and dL/dgamma and dL/dbeta (C,).

    total = sum(g) and product = sum(g * (y - mean)) are over the `count` values of a channel, and
    a = scale = gamma * rstd; all are float64 (1, C), but dL/dgamma and dL/dbeta of `dtype`.
    """
    grad_gamma, share = product * rstd, scale / -count
    grads = (grad[0].astype(dtype) for grad in (grad_gamma, total))
    return share * rstd * grad_gamma, share * total, *grads


def move_averages(mean, var, updates, batch_mean, batch_var, decay, count):
    """Return mean, var (C,) and updates () after one more batch, as new arrays.

    moving = decay * moving + (1 - decay) * batch, where the batch's variance, which is the biased
    one of `count` values, is made the unbiased one.
    """
    unbiased = batch_var * (count / (count - 1))
    moved = (
        (decay * old + (1 - decay) * batch).astype(old.dtype, copy=False)
        for old, batch in ((mean, batch_mean), (var, unbiased))
    )
    return *moved, array_module(updates).asarray(updates + 1)
