"""AlexNet, VGG, GoogLeNet and ResNet of the functions of PyTorch, by torchvision's names.

Written down from the papers, for comparison: evaluation alone, weights from a state dict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as f

from tests.models.torchvision_tables import INCEPTION_PLANS, RESNET_PLANS, VGG_PLANS


class Layers:
    """Layers by their names."""

    def __init__(self, state: dict[str, np.ndarray]) -> None:
        self.state = {name: torch.from_numpy(value) for name, value in state.items()}

    def conv(self, name: str, x: Any, stride: int = 1) -> Any:
        """A convolution, padded by half its window."""
        weight, bias = self.state[f"{name}.weight"], self.state.get(f"{name}.bias")
        return f.conv2d(x, weight, bias, stride, weight.shape[-1] // 2)

    def norm(self, name: str, x: Any, epsilon: float = 1e-5) -> Any:
        leaves = ("running_mean", "running_var", "weight", "bias")
        return f.batch_norm(x, *(self.state[f"{name}.{n}"] for n in leaves), eps=epsilon)

    def dense(self, name: str, x: Any) -> Any:
        return f.linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])


def alexnet(state: dict[str, np.ndarray], x: Any) -> Any:
    net = Layers(state)
    first = (net.state["features.0.weight"], net.state["features.0.bias"])
    x = f.max_pool2d(f.relu(f.conv2d(x, *first, stride=4, padding=2)), 3, 2)
    x = f.max_pool2d(f.relu(net.conv("features.3", x)), 3, 2)
    for number in (6, 8, 10):
        x = f.relu(net.conv(f"features.{number}", x))
    x = f.adaptive_avg_pool2d(f.max_pool2d(x, 3, 2), 6).flatten(1)
    x = f.relu(net.dense("classifier.4", f.relu(net.dense("classifier.1", x))))
    return net.dense("classifier.6", x)


def vgg(state: dict[str, np.ndarray], x: Any, depth: int, batch_norm: bool) -> Any:
    net, number = Layers(state), 0
    for step in VGG_PLANS[depth].split():
        if step == "p":
            x, number = f.max_pool2d(x, 2), number + 1
            continue
        x = net.conv(f"features.{number}", x)
        if batch_norm:
            x = net.norm(f"features.{number + 1}", x)
        x, number = f.relu(x), number + (3 if batch_norm else 2)
    x = f.adaptive_avg_pool2d(x, 7).flatten(1)
    x = f.relu(net.dense("classifier.3", f.relu(net.dense("classifier.0", x))))
    return net.dense("classifier.6", x)


def googlenet(state: dict[str, np.ndarray], x: Any) -> Any:
    net = Layers(state)

    def layer(name: str, x: Any, stride: int = 1) -> Any:
        return f.relu(net.norm(f"{name}.bn", net.conv(f"{name}.conv", x, stride), 1e-3))

    x = f.max_pool2d(layer("conv1", x, 2), 3, 2, ceil_mode=True)
    x = f.max_pool2d(layer("conv3", layer("conv2", x)), 3, 2, ceil_mode=True)
    for place in INCEPTION_PLANS:
        if place in ("4a", "5a"):
            x = f.max_pool2d(x, 3 if place == "4a" else 2, 2, ceil_mode=True)
        name = f"inception{place}.branch"
        branches = [
            layer(f"{name}1", x),
            layer(f"{name}2.1", layer(f"{name}2.0", x)),
            layer(f"{name}3.1", layer(f"{name}3.0", x)),
            layer(f"{name}4.1", f.max_pool2d(x, 3, 1, 1)),
        ]
        x = torch.cat(branches, 1)
    return net.dense("fc", x.mean((2, 3)))


def resnet(state: dict[str, np.ndarray], x: Any, depth: int) -> Any:
    net, (expansion, blocks) = Layers(state), RESNET_PLANS[depth]

    def layer(name: str, number: int, x: Any, stride: int = 1) -> Any:
        return net.norm(f"{name}bn{number}", net.conv(f"{name}conv{number}", x, stride))

    x = f.max_pool2d(f.relu(layer("", 1, x, 2)), 3, 2, 1)
    for i, n in enumerate(blocks):
        for j in range(n):
            name, stride = f"layer{i + 1}.{j}.", 2 if i > 0 and j == 0 else 1
            if expansion == 1:
                y = layer(name, 2, f.relu(layer(name, 1, x, stride)))
            else:
                y = f.relu(layer(name, 2, f.relu(layer(name, 1, x)), stride))
                y = layer(name, 3, y)
            if f"{name}downsample.0.weight" in net.state:
                x = net.conv(f"{name}downsample.0", x, stride)
                x = net.norm(f"{name}downsample.1", x)
            x = f.relu(y + x)
    return net.dense("fc", x.mean((2, 3)))
