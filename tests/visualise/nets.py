"""Small nets in float64 that have seen something, so that nothing in them is 0 or 1."""

import numpy as np

from minicnn import models, nn


def seednet(classes=5, channels=4, seed=0):
    """Return the course's net as if trained: alive, with moving averages of its own."""
    with nn.seed(seed):
        net = models.SeedNet(classes=classes, channels=channels).astype(np.float64)
    return settled(net, seed)


def settled(net, seed=0):
    """Give the normalisers of a net averages as of a run, and shifts that keep ReLUs alive."""
    rng = np.random.default_rng(seed)
    for name, member in [*net.named_buffers(), *net.named_parameters()]:
        if name.endswith("moving_variance"):
            member.data = rng.uniform(1, 4, member.shape).astype(member.dtype)
        elif name.endswith(("moving_mean", "beta")):
            member.data = rng.uniform(0.1, 0.6, member.shape).astype(member.dtype)
        elif name.endswith("updates"):
            member.data = np.ones_like(member.data)
    return net
