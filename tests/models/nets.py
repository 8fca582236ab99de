"""Every network, small: what the tests of all of them share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

import minicnn
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
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

CLASSES = 5

# For signs of 32 x 32: a way to build each, given the number of classes
NETS: dict[str, Callable[..., Module]] = {
    "seed": partial(SeedNet, channels=4),
    "mlp": partial(MLP, hidden=(16,)),
    "lenet5": LeNet5,
    "lenet5 original": partial(LeNet5, original=True),
    "alexnet": partial(AlexNet, channels=8, hidden=32, small=True),
    "alexnet original": partial(AlexNet, channels=12, hidden=16, original=True, small=True),
    "vgg11": partial(VGG, 11, channels=4, hidden=16, small=True),
    "vgg16_bn": partial(VGG, 16, channels=4, hidden=16, batch_norm=True, bias=False, small=True),
    "googlenet": partial(GoogLeNet, channels=8, small=True),
    "googlenet original": partial(GoogLeNet, channels=8, original=True, small=True),
    "resnet18": partial(ResNet, 18, channels=4, small=True),
    "resnet50": partial(ResNet, 50, channels=4, small=True, zero_gamma=True),
    "resnet20": partial(CifarResNet, 20, channels=4),
    "plain20": partial(PlainNet, 20, channels=4),
}

# As the papers have them, but narrow: the least height and width of their images
PAPERS: dict[str, tuple[Callable[..., Module], int]] = {
    "lenet5": (LeNet5, 32),
    "alexnet": (partial(AlexNet, channels=8, hidden=16), 63),
    "alexnet small": (NETS["alexnet"], 15),
    "alexnet original": (partial(AlexNet, channels=12, hidden=16, original=True), 63),
    "vgg11": (partial(VGG, 11, channels=4, hidden=16), 32),
    "vgg16 small": (NETS["vgg16_bn"], 32),
    "googlenet": (partial(GoogLeNet, channels=8), 15),
    "googlenet small": (NETS["googlenet"], 4),
    "googlenet original": (partial(GoogLeNet, channels=8, original=True), 31),
    "googlenet original small": (NETS["googlenet original"], 8),
}

# Those that take images of any size
ANY: dict[str, Callable[..., Module]] = {
    "resnet18": partial(ResNet, 18, channels=4),
    "resnet50 small": NETS["resnet50"],
    "resnet20": NETS["resnet20"],
    "plain20": NETS["plain20"],
}


def images(n: int, height: int = 32, width: int | None = None, channels: int = 3) -> Tensor:
    shape = (n, channels, height, width or height)
    x = Tensor(Stream(0, "images").normal(shape, dtype=np.float32))
    return x.to(minicnn.get_device())
