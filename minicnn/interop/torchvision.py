"""What torchvision calls the weights of the networks that minicnn has too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from minicnn.errors import ConfigError
from minicnn.interop.weights import PYTORCH_NAMES
from minicnn.models import VGG, AlexNet, GoogLeNet, ResNet
from minicnn.nn import Conv2d, Module

__all__ = ["torchvision_names"]

# The name of a layer here, what its weights are called there, and what its normaliser's are
Layer = tuple[str, str, str]
_INCEPTION = {
    "conv1": "branch1",
    "reduce3": "branch2.0",
    "conv3": "branch2.1",
    "reduce5": "branch3.0",
    "conv5": "branch3.1",
    "project": "branch4.1",
}


def torchvision_names(module: Module) -> dict[str, str]:
    """Return what each member of a net's state is, by the name that torchvision gives it.

    For `load_weights`, as ``rename``; ``rename=torchvision_names(net).get`` leaves out what the net
    has not, such as the auxiliary heads of a GoogLeNet without them.

    Parameters
    ----------
    module : Module
        An `AlexNet`, `VGG`, `GoogLeNet` or `ResNet`. Weights fit, and mean the same, if it has
        their depth, channels and classes and is neither `original` nor `small`; a VGG with batch
        normalisation has biases there.

    Returns
    -------
    dict of str to str
        Name there -> name here.

    Raises
    ------
    ConfigError
        If torchvision has no such net.

    Examples
    --------
    >>> from minicnn import interop, models
    >>> net = models.ResNet(18, channels=8)
    >>> names = interop.torchvision_names(net)
    >>> names["layer1.0.conv1.weight"], names["layer2.0.downsample.1.bias"]
    ('stages.0.0.branch.0.weight', 'stages.1.0.shortcut.normalizer.beta')
    """
    for kind, rule in _RULES.items():
        if isinstance(module, kind):
            layers = {here: (weights, norm) for here, weights, norm in rule(module)}
            break
    else:
        known = ", ".join(kind.__name__ for kind in _RULES)
        raise ConfigError(
            f"torchvision_names: torchvision has no {type(module).__name__}; it has {known}"
        )
    names = {}
    for name, _ in (*module.named_parameters(), *module.named_buffers()):
        layer, _, leaf = name.rpartition(".")
        if layer.endswith(".normalizer"):
            norm = layers[layer.removesuffix(".normalizer")][1]
            names[f"{norm}.{PYTORCH_NAMES[leaf]}"] = name
        else:
            names[f"{layers[layer][0]}.{leaf}"] = name
    return names


def _alexnet(_: Module) -> Iterator[Layer]:
    # There, ReLUs and poolings have numbers too
    places = ("block1.0", "block2.0", "block3.0", "block3.1", "block3.2")
    for here, number in zip(places, (0, 3, 6, 8, 10), strict=True):
        yield here, f"features.{number}", ""
    yield from _dense(1, 4, 6)


def _vgg(net: Any) -> Iterator[Layer]:
    number = 0
    for i, block in enumerate(net.blocks):
        for j, layer in enumerate(block):
            yield f"blocks.{i}.{j}", f"features.{number}", f"features.{number + 1}"
            # a pooling; a convolution and its ReLU; these and a normaliser between
            convolves = isinstance(layer, Conv2d)
            number += 1 if not convolves else 2 if layer.normalizer is None else 3
    yield from _dense(0, 3, 6)


def _googlenet(net: Any) -> Iterator[Layer]:
    layers = {"logits": "fc"}
    convolutions = (str(i) for i, layer in enumerate(net.stem) if isinstance(layer, Conv2d))
    layers |= {f"stem.{number}": f"conv{i}" for i, number in enumerate(convolutions, 1)}
    for number, blocks in ((3, "ab"), (4, "abcde"), (5, "ab")):
        for name in blocks:
            for here, there in _INCEPTION.items():
                layers[f"inception{number}.{name}.{here}"] = f"inception{number}{name}.{there}"
    for head in ("aux1", "aux2"):
        layers |= {f"{head}.conv": f"{head}.conv", f"{head}.hidden": f"{head}.fc1"}
        layers[f"{head}.logits"] = f"{head}.fc2"
    for here, there in layers.items():
        dense = here.endswith(("logits", "hidden"))
        yield here, there if dense else f"{there}.conv", f"{there}.bn"


def _resnet(net: Any) -> Iterator[Layer]:
    yield "stem.0", "conv1", "bn1"
    for i, stage in enumerate(net.stages):
        for j, block in enumerate(stage):
            here, there = f"stages.{i}.{j}", f"layer{i + 1}.{j}"
            for k in range(len(block.branch)):
                yield f"{here}.branch.{k}", f"{there}.conv{k + 1}", f"{there}.bn{k + 1}"
            yield f"{here}.shortcut", f"{there}.downsample.0", f"{there}.downsample.1"
    yield "logits", "fc", ""


def _dense(*numbers: int) -> Iterator[Layer]:
    for here, number in zip(("hidden1", "hidden2", "logits"), numbers, strict=True):
        yield here, f"classifier.{number}", ""


_RULES: dict[type[Module], Callable[..., Iterator[Layer]]] = {
    AlexNet: _alexnet,
    VGG: _vgg,
    GoogLeNet: _googlenet,
    ResNet: _resnet,
}
