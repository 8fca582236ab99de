"""The same training on the CPU and on the device: the curves agree; long_training.py is longer."""

from __future__ import annotations

from typing import Any

import numpy as np

import minicnn
from minicnn import Tensor, nn, ops, optim
from minicnn.backend.random import Stream


def curve(device: str, steps: int, dtype: str) -> np.ndarray:
    """The losses of a small SeedNet that learns with dropout, momentum and a schedule."""
    with minicnn.on_device(device), nn.seed(0):
        net = minicnn.models.SeedNet(classes=4, channels=4).astype(dtype)
    schedule = optim.WarmUp(optim.Cosine(0.05, steps), 3)
    optimizer = optim.SGD(net, schedule, momentum=0.9, nesterov=True, clip_norm=5.0)
    return np.array([step(net, optimizer, s, device, dtype) for s in range(steps)])


def step(net: Any, optimizer: Any, number: int, device: str, dtype: str) -> float:
    stream = Stream(1, "batch", number)
    labels = stream.integers(0, 4, 12)
    images = stream.normal((12, 3, 12, 12)) + 0.3 * labels[:, None, None, None]
    with nn.random_key(0, number):
        scores = net(Tensor(images.astype(dtype)).to(device))
    loss = ops.sparse_softmax_cross_entropy(scores, labels, label_smoothing=0.1)
    net.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def test_curves_agree_to_the_last_digits_in_double_precision(device):
    """Rounding is all that differs; nothing but a wrong gradient moves 12 steps by 1e-9."""
    here, there = (curve(d, 12, "float64") for d in ("cpu", device))
    np.testing.assert_allclose(there, here, rtol=1e-9)


def test_curves_in_single_precision_begin_together(device):
    here, there = (curve(d, 6, "float32") for d in ("cpu", device))
    np.testing.assert_allclose(there, here, rtol=1e-4)
