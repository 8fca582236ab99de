"""PyTorch's side: the same nets, the same loss, the same optimiser.

Imports nothing but torch, so it may run in another environment than minicnn's.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

from benchmarks._measure import Times, time_calls
from benchmarks._nets import (
    BLOCKS,
    CLASSES,
    DROPOUT,
    LEARNING_RATE,
    LEVELS,
    MOMENTUM,
    NETS,
    PIXEL_CLASSES,
    Net,
    example,
)

try:
    import torch
    from torch import nn
    from torch.nn import functional
except ImportError:  # asv imports every file here, also where there is no PyTorch
    torch = nn = functional = None


def convolution(i: int, o: int, size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Return a convolution with its batch normalisation."""
    layer = nn.Conv2d(i, o, size, stride, padding=size // 2, bias=False)
    return [layer, nn.BatchNorm2d(o)]


class ResidualBlock(nn.Module if nn else object):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        first = [*convolution(i, o, 3, stride), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*first, *convolution(o, o))
        fits = stride == 1 and i == o
        self.shortcut = None if fits else nn.Sequential(*convolution(i, o, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, O, H / stride, W / stride)."""
        beside = x if self.shortcut is None else self.shortcut(x)
        return functional.relu(self.body(x) + beside, inplace=True)


class UNet(nn.Module if nn else object):
    """Down to small images of many channels, and up again; each level sees both ways."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        widths = [channels << level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(map(_double, [3, *widths[:-1]], widths))
        self.up = nn.ModuleList(_double(2 * o, o) for o in widths[:-1])
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(2 * o, o, 2, 2) for o in widths[:-1])
        self.pool = nn.MaxPool2d(2)
        self.scores = nn.Conv2d(channels, classes, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, K, H, W)."""
        seen = [self.down[0](x)]
        for block in self.down[1:]:
            seen.append(block(self.pool(seen[-1])))
        x = seen.pop()
        for level in reversed(range(LEVELS)):
            x = self.up[level](torch.cat([seen[level], self.enlarge[level](x)], 1))
        return self.scores(x)


def _double(i: int, o: int) -> nn.Module:
    relu = nn.ReLU(inplace=True)
    return nn.Sequential(*convolution(i, o), relu, *convolution(o, o), relu)


def build(net: Net) -> nn.Module:
    """Return a net."""
    torch.manual_seed(0)
    if net.kind == "unet":
        return UNet(net.channels, PIXEL_CLASSES)
    return _seednet(net.channels) if net.kind == "seednet" else _resnet20(net.channels)


def _seednet(c: int) -> nn.Module:
    def block(*widths: int) -> list[nn.Module]:
        pairs = itertools.pairwise(widths)
        return [m for i, o in pairs for m in (*convolution(i, o), nn.ReLU(inplace=True))]

    return nn.Sequential(
        *block(3, c, c, c),
        nn.MaxPool2d(2),
        *block(c, 2 * c, 2 * c, 2 * c),
        nn.MaxPool2d(2),
        *block(2 * c, 4 * c, 4 * c, 4 * c),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * c, 100),
        nn.ReLU(inplace=True),
        nn.Dropout(DROPOUT),
        nn.Linear(100, CLASSES),
    )


def _resnet20(c: int) -> nn.Module:
    layers, width = [*convolution(3, c), nn.ReLU(inplace=True)], c
    for stage in range(3):
        for block in range(BLOCKS):
            layers.append(ResidualBlock(width, c << stage, 2 if stage and not block else 1))
            width = c << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def prepare(net: Net, work: str, variant: str) -> tuple[nn.Module, Callable[[], object]]:
    """Return a net and what is to be timed."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    last = variant.endswith("channels_last")
    form = torch.channels_last if last else torch.contiguous_format
    module = build(net).to(memory_format=form)
    images, labels = example(net, work)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=form)
    y = torch.from_numpy(labels)
    compiled = variant.startswith("compile")
    make = _training if work == "train" else _inference
    return module, make(module, x, y, compiled)


def _training(
    module: nn.Module, x: torch.Tensor, y: torch.Tensor, compiled: bool
) -> Callable[[], object]:
    # `fused` is the fastest of its forms on a CPU, though not the default.
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, momentum=MOMENTUM, fused=True)

    def loss_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(module(x), y)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step() -> object:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(x, y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def _inference(
    module: nn.Module, x: torch.Tensor, y: torch.Tensor, compiled: bool
) -> Callable[[], object]:
    with torch.no_grad():
        module(torch.cat([x, x]))  # moving averages
    module.eval()
    called = torch.compile(module) if compiled else module

    def call() -> object:
        with torch.inference_mode():
            return called(x)

    return call


def measure(name: str, work: str, variant: str, seconds: float) -> tuple[Times, int]:
    """Return the milliseconds of each call, and how many parameters the net has."""
    module, call = prepare(NETS[name], work, variant)
    call()  # torch.compile works here, before the clock of the warm-up starts
    return time_calls(call, seconds), sum(p.numel() for p in module.parameters())


def run_steps(name: str, variant: str, steps: int) -> None:
    """Train for some steps, for the memory they take."""
    _, step = prepare(NETS[name], "train", variant)
    for _ in range(steps):
        step()
