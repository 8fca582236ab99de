"""A network for the live page that need not be trained."""

import numpy as np

from minicnn import nn
from minicnn.models import SeedNet


def drawn_net() -> SeedNet:
    """Return a net whose every number matters: the moving averages are drawn, too."""
    rng = np.random.default_rng(7)
    with nn.seed(7):
        net = SeedNet()
    state = net.state_dict()
    for name, value in state.items():
        if name.endswith("moving_variance"):
            state[name] = rng.uniform(0.3, 3, value.shape).astype(np.float32)
        elif name.endswith(("moving_mean", "beta", "bias")):
            state[name] = rng.normal(0, 0.3, value.shape).astype(np.float32)
        elif name.endswith("gamma"):
            state[name] = rng.uniform(0.5, 2, value.shape).astype(np.float32)
        elif name.endswith("updates"):
            state[name] = np.ones_like(value)
    net.load_state_dict(state)
    return net.eval()
