"""minicnn's side: a training step is the Estimator's, inference the module under no_grad."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks._measure import FEWEST, MOST, WARM_UP, Budget, Times, time_calls
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
from minicnn import Tensor, models, nn, no_grad, ops, optim
from minicnn.data import Dataset
from minicnn.estimator import Estimator, Hook, RunContext


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which a 1x1 convolution fits where it must."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        with nn.arg_scope(nn.Conv2d, normalizer=nn.BatchNorm2d):
            self.first = nn.Conv2d(
                in_channels, channels, stride=stride, padding=1, activation=ops.relu
            )
            self.second = nn.Conv2d(channels, channels)
            fits = stride == 1 and in_channels == channels
            self.shortcut = None if fits else nn.Conv2d(in_channels, channels, 1, stride, 0)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, H / stride, W / stride)."""
        beside = x if self.shortcut is None else self.shortcut(x)
        return ops.relu(self.second(self.first(x)) + beside)


def build(net: Net) -> nn.Module:
    """Return a net with its first weights."""
    c = net.channels
    with nn.seed(0):
        if net.kind == "seednet":
            return models.SeedNet(CLASSES, c, DROPOUT)
        if net.kind == "unet":
            return models.UNet(PIXEL_CLASSES, [c << level for level in range(LEVELS + 1)])
        stem = nn.Conv2d(3, c, normalizer=nn.BatchNorm2d, activation=ops.relu)
        blocks, width = [], c
        for stage in range(3):
            for block in range(BLOCKS):
                stride = 2 if stage and not block else 1
                blocks.append(ResidualBlock(width, c << stage, stride))
                width = c << stage
        return nn.Sequential(stem, *blocks, nn.GlobalAvgPool2d(), nn.Dense(width, CLASSES))


class Stopwatch(Hook):
    """Times the steps, from the end of one to the end of the next, so nothing is left out."""

    def __init__(self, seconds: float, fewest: int = FEWEST, most: int = MOST) -> None:
        self.times: Times = []
        self._seconds, self._fewest, self._most = seconds, fewest, most
        self._warm = Budget(seconds / 4, WARM_UP, most)
        self._budget: Budget | None = None
        self._last = 0.0

    def after_step(self, context: RunContext) -> None:
        """Note the time of a step that is over."""
        now = time.perf_counter()
        if self._budget is None:
            self._warm.count += 1
            if not self._warm.left():
                self._budget = Budget(self._seconds, self._fewest, self._most)
        else:
            self.times.append((now - self._last) * 1e3)
            self._budget.count += 1
            if not self._budget.left():
                context.stop("measured enough")
        self._last = time.perf_counter()


def estimator_of(net: Net) -> Estimator:
    """Return an Estimator that trains a net, without files, progress or metrics."""
    return Estimator.from_module(
        build(net),
        loss=ops.sparse_softmax_cross_entropy,
        optimizer=lambda params: optim.SGD(params, LEARNING_RATE, momentum=MOMENTUM),
    )


def ready_batches(net: Net, work: str = "train") -> Dataset:
    """Return an endless dataset of one batch that lies in memory: its elements are views."""
    images, labels = example(net, work)
    return Dataset.from_slices((np.moveaxis(images, -1, 1)[None], labels[None])).repeat()


def train(estimator: Estimator, data: Dataset, seconds: float) -> Times:
    """Return the milliseconds of each step."""
    watch = Stopwatch(seconds)
    estimator.train(lambda: data, hooks=[watch])
    return watch.times


def measure(name: str, work: str, seconds: float) -> tuple[Times, int]:
    """Return the milliseconds of each call, and how many parameters the net has."""
    net = NETS[name]
    estimator = estimator_of(net)
    count = sum(p.size for p in estimator.module.parameters())
    if work == "train":
        return train(estimator, ready_batches(net), seconds), count
    return time_calls(inference(estimator, net, work), seconds), count


def inference(estimator: Estimator, net: Net, work: str) -> Callable[[], object]:
    """Return the call of a net, two steps old so that its moving averages mean something."""
    estimator.train(lambda: ready_batches(net), steps=2)
    module = estimator.module.eval()
    x = Tensor(np.moveaxis(example(net, work)[0], -1, 1))

    def call() -> object:
        with no_grad():
            return module(x)

    return call


def run_steps(name: str, steps: int) -> None:
    """Train for some steps, for the memory they take."""
    net = NETS[name]
    estimator_of(net).train(lambda: ready_batches(net), steps=steps)
