"""The networks that a classifier of small images may be trained with, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from minicnn.models import (
    MLP,
    VGG,
    AlexNet,
    CifarResNet,
    GoogLeNet,
    LeNet5,
    PlainNet,
    ResNet,
    SeedNet,
)
from minicnn.nn import Module

__all__ = ["NETWORKS", "Network"]


DROPOUT = 0.25  # of hidden layers, which are far narrower here than the papers'


class Network(NamedTuple):
    """How a network is built and how fast it learns.

    Parameters
    ----------
    build : callable
        ``(classes, channels, size) -> Module``: for so many classes, with so many channels in its
        first block, for images of that height and width.
    peak : float
        The learning rate at the peak of the one-cycle schedule, for a batch of 128.
    """

    build: Callable[[int, int, int], Module]
    peak: float = 0.15


def _residual(depth: int) -> Network:
    return Network(lambda classes, c, _: CifarResNet(depth, classes, c))


def _plain(depth: int) -> Network:
    return Network(lambda classes, c, _: PlainNet(depth, classes, c))


def _vgg(depth: int) -> Network:
    return Network(
        lambda classes, c, _: VGG(
            depth, classes, 3, c, 16 * c, DROPOUT, batch_norm=True, bias=False, small=True
        )
    )


# Nets without batch normalisation take smaller steps
NETWORKS: dict[str, Network] = {
    "seed": Network(lambda classes, c, _: SeedNet(classes, c)),
    "mlp": Network(lambda classes, c, size: MLP(classes, (32 * c, 16 * c), size=size), 0.06),
    "lenet5": Network(lambda classes, c, _: LeNet5(classes, c)),
    "alexnet": Network(
        lambda classes, c, _: AlexNet(classes, 3, c, 32 * c, DROPOUT, small=True), 0.06
    ),
    "vgg11": _vgg(11),
    "vgg16": _vgg(16),
    "googlenet": Network(lambda classes, c, _: GoogLeNet(classes, channels=c, small=True)),
    "resnet18": Network(lambda classes, c, _: ResNet(18, classes, channels=c, small=True)),
    "resnet50": Network(lambda classes, c, _: ResNet(50, classes, channels=c, small=True)),
    **{f"resnet{depth}": _residual(depth) for depth in (20, 56, 110)},
    **{f"plain{depth}": _plain(depth) for depth in (20, 56, 110)},
}
