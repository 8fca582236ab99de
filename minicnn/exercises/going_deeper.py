"""Exercises of the lesson on going deeper: stacks, heads, batch normalisation, shortcuts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.exercises import exercise, predict

stacked = predict(
    "stacked",
    "How many weights for each pair of channels has the stack of 3x3 that sees 7x7 pixels?",
    27,
    mistakes={
        "two see only 5x5: each further layer adds one pixel on each side": 18,
        "one layer of 3x3 sees 3x3 pixels; how many of them see seven in a row?": 9,
        "that many layers see 9x9; the first one brings three pixels, each other two more": 36,
        "that is what the single 7x7 has; count those of the stack": 49,
        "that is the number of layers; each of them has weights": 3,
    },
)


def _heads(rng: np.random.Generator) -> Iterator[tuple[int, ...]]:
    """Yield (channels, side of the map, hidden, classes)."""
    for _ in range(6):
        channels, hidden, classes = (int(n) for n in rng.integers(5, 60, 3))
        yield channels, int(rng.integers(2, 8)), hidden, classes


def _head(channels: int, grid: int, hidden: int, classes: int) -> int:
    """Count the weights of a head of three Dense layers."""
    return channels * grid * grid * hidden + hidden * hidden + hidden * classes


@exercise(
    cases=_heads,
    mistakes={
        "each neuron has a bias, too": _head,
        "the map has grid x grid places: height times width": lambda c, g, h, k: (
            (c * g + 1) * h + (h + 1) * h + (h + 1) * k
        ),
        "the dense layer sees every place of the map, not one number a channel": (
            lambda c, g, h, k: (c + 1) * h + (h + 1) * h + (h + 1) * k
        ),
        "there are three dense layers: the second leads from hidden neurons to hidden neurons": (
            lambda c, g, h, k: (c * g * g + 1) * h + (h + 1) * k
        ),
        "the layer of the classes has parameters, too": lambda c, g, h, k: (
            (c * g * g + 1) * h + (h + 1) * h
        ),
        "biases belong to the neurons that a layer has, not to the inputs it is given": (
            lambda c, g, h, k: _head(c, g, h, k) + c * g * g + 2 * h
        ),
    },
)
def dense_head(channels: int, grid: int, hidden: int, classes: int) -> int:
    """Count the parameters, biases too, of VGG's three dense layers.

    The first sees all numbers of `grid` x `grid` pixels with `channels` channels; it and the
    second have `hidden` neurons each, the third one neuron for each of the `classes`.
    """
    inputs = channels * grid * grid
    return (inputs + 1) * hidden + (hidden + 1) * hidden + (hidden + 1) * classes


def _channelwise(v: np.ndarray) -> np.ndarray:
    return v.reshape(1, -1, 1, 1)


def _batches(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(5):
        n, c, h, w = (int(k) for k in rng.permutation([3, 4, 5, 6]))
        spread, middle = rng.uniform(0.3, 4, (1, c, 1, 1)), rng.normal(0, 3, (1, c, 1, 1))
        x = middle + spread * rng.normal(size=(n, c, h, w))
        gamma, beta = rng.uniform(0.5, 2, c) * rng.choice([-1, 1], c), rng.normal(size=c)
        yield x, gamma, beta, float(rng.uniform(0.2, 0.6))


def _normalized(axes: Any, ddof: int = 0) -> Any:
    """Return a batch normalisation that takes its statistics over other axes."""

    def mistake(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
        mean = x.mean(axis=axes, keepdims=True)
        var = x.var(axis=axes, ddof=ddof, keepdims=True)
        return _channelwise(gamma) * (x - mean) / np.sqrt(var + epsilon) + _channelwise(beta)

    return mistake


def _scaled_by(divisor: Any) -> Any:
    """Return a batch normalisation that divides by something else."""

    def mistake(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
        centred = x - x.mean(axis=(0, 2, 3), keepdims=True)
        var = (centred**2).mean(axis=(0, 2, 3), keepdims=True)
        return _channelwise(gamma) * centred / divisor(var, epsilon) + _channelwise(beta)

    return mistake


@exercise(
    cases=_batches,
    mistakes={
        "it divides by the variance; what has the unit of x is its root": _scaled_by(
            lambda var, epsilon: var + epsilon
        ),
        "epsilon belongs under the root, beside the variance": _scaled_by(
            lambda var, epsilon: np.sqrt(var) + epsilon
        ),
        "epsilon is missing": _scaled_by(lambda var, epsilon: np.sqrt(var)),
        "it does not divide by the spread": _scaled_by(lambda var, epsilon: 1.0),
        "each image has its own mean and variance there; they belong to the batch": _normalized(
            (2, 3)
        ),
        "each pixel has its own mean and variance there; all places of a channel share them": (
            _normalized(0)
        ),
        "all channels share one mean and variance there; each has its own": _normalized(None),
        "divide the sum of squares by the number of values M, not by M - 1": _normalized(
            (0, 2, 3), ddof=1
        ),
        "scale first, then shift: beta is not multiplied by gamma": (
            lambda x, gamma, beta, epsilon: _normalized((0, 2, 3))(x, gamma, gamma * beta, epsilon)
        ),
        "gamma and beta are missing": lambda x, gamma, beta, epsilon: _normalized((0, 2, 3))(
            x, np.ones_like(gamma), np.zeros_like(beta), epsilon
        ),
        "gamma has one number a channel, but meets another axis: reshape it to (1, C, 1, 1)": (
            lambda x, gamma, beta, epsilon: gamma * x + beta
        ),
    },
    without=("batch_norm", "BatchNorm2d"),
)
def batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> Any:
    """Normalise each channel of a batch (N, C, H, W), then scale and shift it.

    Mean and variance of a channel are taken over all its values in the batch; gamma and beta have
    the shape (C,).
    """
    axes = (0, 2, 3)
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    standard = (x - mean) / np.sqrt(variance + epsilon)
    return gamma.reshape(1, -1, 1, 1) * standard + beta.reshape(1, -1, 1, 1)


def _slopes(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (grad_y, x, gamma, epsilon)."""
    for x, gamma, _, epsilon in _batches(rng):
        yield rng.normal(size=x.shape) + 0.5 * x + 0.3, x, gamma, epsilon


def _through(mean: bool = True, variance: bool = True, **options: bool) -> Any:
    """Return the gradient without some of its ways, or with an option spoilt."""

    def mistake(grad_y: Any, x: Any, gamma: Any, epsilon: float) -> Any:
        axes = (2, 3) if options.get("per_image") else (0, 2, 3)
        centred = x - x.mean(axis=(0, 2, 3), keepdims=True)
        root = np.sqrt((centred**2).mean(axis=(0, 2, 3), keepdims=True) + epsilon)
        standard = centred / root
        found = grad_y.copy()
        if mean:
            found -= grad_y.mean(axis=axes, keepdims=True)
        if variance:
            by = x if options.get("not_standard") else standard
            found -= standard * (grad_y * by).mean(axis=axes, keepdims=True)
        if options.get("sums"):
            found = grad_y - (grad_y - found) * (x.size / x.shape[1])
        if options.get("plus"):
            found = 2 * grad_y - found
        if not options.get("no_gamma"):
            found = found * _channelwise(gamma)
        return found if options.get("no_root") else found / root

    return mistake


@exercise(
    cases=_slopes,
    mistakes={
        "mean and variance are no constants: they depend on x, too": _through(False, False),
        "x reaches y through the variance, too": _through(variance=False),
        "x reaches y through the mean, too": _through(mean=False),
        "gamma is missing: y is gamma times the standardised batch": _through(no_gamma=True),
        "divide by the root as well: a wide channel has a small gradient": _through(no_root=True),
        "the means over the batch have become sums; each value has 1/M of the mean": _through(
            sums=True
        ),
        "the two ways through mean and variance are subtracted, not added": _through(plus=True),
        "in the way through the variance the standardised x appears twice": _through(
            not_standard=True
        ),
        "the means run over the whole batch, not over one image": _through(per_image=True),
    },
    without=("batch_norm", "BatchNorm2d", "backward", "grad"),
)
def batch_norm_grad(grad_y: Any, x: Any, gamma: Any, epsilon: float) -> Any:
    """Compute dL/dx of batch normalisation from dL/dy, both (N, C, H, W)."""
    axes = (0, 2, 3)
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    root = np.sqrt(variance + epsilon)
    standard = (x - mean) / root
    through_mean = grad_y.mean(axis=axes, keepdims=True)
    through_variance = standard * (grad_y * standard).mean(axis=axes, keepdims=True)
    scale = gamma.reshape(1, -1, 1, 1) / root
    return scale * (grad_y - through_mean - through_variance)


def _runs(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Yield (decay, epsilon, batches to train on, images to judge)."""
    for _ in range(5):
        n, c = int(rng.integers(4, 8)), int(rng.integers(2, 4))
        batches = rng.normal(2, 3, (int(rng.integers(2, 5)), n, c))
        yield float(rng.uniform(0.6, 0.95)), 0.01, batches, rng.normal(2, 3, (5, c))


def _use(answer: Any, decay: float, epsilon: float, batches: Any, images: Any) -> Any:
    """Train a layer on all batches, then judge images together and one alone."""
    layer = answer(batches.shape[2], decay, epsilon)
    trained = [layer.train(batch) for batch in batches]
    together, alone = layer.evaluate(images), layer.evaluate(images[:1])
    return [*trained, together, alone, layer.mean, layer.variance]


class _MovingNorm:
    """Batch normalisation of vectors with switches for what can be wrong."""

    own_batch = swapped = never = moves = False

    def __init__(self, channels: int, decay: float = 0.9, epsilon: float = 1e-5) -> None:
        self.decay, self.epsilon = decay, epsilon
        self.mean, self.variance = np.zeros(channels), np.ones(channels)

    def _move(self, x: Any) -> None:
        kept = 1 - self.decay if self.swapped else self.decay
        if not self.never:
            self.mean = kept * self.mean + (1 - kept) * x.mean(axis=0)
            self.variance = kept * self.variance + (1 - kept) * x.var(axis=0)

    def train(self, x: Any) -> Any:
        self._move(x)
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + self.epsilon)

    def evaluate(self, x: Any) -> Any:
        if self.moves:
            self._move(x)
        if self.own_batch:
            return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + self.epsilon)
        return (x - self.mean) / np.sqrt(self.variance + self.epsilon)


def _faulty(**switches: bool) -> type:
    """Return a layer with faults that are switched on by name."""
    return type("Faulty", (_MovingNorm,), switches)


@exercise(
    cases=_runs,
    mistakes={
        "evaluate depends on who else is in the batch, and the averages move the wrong way: decay "
        "is the share that stays": _faulty(own_batch=True, swapped=True),
        "evaluate still depends on who else is in the batch: that is what the averages are for": (
            _faulty(own_batch=True)
        ),
        "the averages move the wrong way: decay is the share of the old one that stays": _faulty(
            swapped=True
        ),
        "the averages never move": _faulty(never=True),
        "evaluating must not move the averages": _faulty(moves=True),
    },
    symptoms={
        "train normalises by the averages; it should by the batch's own mean and variance": (
            lambda got, expected, *_: (
                np.allclose(got[-1], expected[-1]) and not np.allclose(got[0], expected[0])
            )
        ),
    },
    play=_use,
)
class MovingNorm:
    """Repair batch normalisation of vectors (N, C): two lines of it are wrong.

    `train` normalises by the batch and moves the averages, of which it keeps the share `decay`;
    `evaluate` normalises by the averages alone, so that a picture's answer is its own.
    """

    def __init__(self, channels: int, decay: float = 0.9, epsilon: float = 1e-5) -> None:
        self.decay, self.epsilon = decay, epsilon
        self.mean, self.variance = np.zeros(channels), np.ones(channels)

    def train(self, x: Any) -> Any:
        """Normalise by the batch, and move the averages."""
        mean, variance = x.mean(axis=0), x.var(axis=0)
        self.mean = self.decay * self.mean + (1 - self.decay) * mean
        self.variance = self.decay * self.variance + (1 - self.decay) * variance
        return (x - mean) / np.sqrt(variance + self.epsilon)

    def evaluate(self, x: Any) -> Any:
        """Normalise by the averages."""
        return (x - self.mean) / np.sqrt(self.variance + self.epsilon)


_KEPT = 0.5 - 1 / (2 * math.pi)

relu_variance = predict(
    "relu_variance",
    "z is normal with mean 0 and variance 1. What is the variance of relu(z)?",
    _KEPT,
    mistakes={
        "that is the mean of its square; a variance is that minus the square of the mean": 0.5,
        "half of the values become 0: the variance does not stay": 1.0,
        "that is the square of its mean; the variance is what is left of the mean square": (
            1 / (2 * math.pi)
        ),
        "that is the standard deviation; the variance is its square": math.sqrt(_KEPT),
        "that is its mean": 1 / math.sqrt(2 * math.pi),
    },
    tolerance=0.015,
)


def _blocks(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for _ in range(5):
        n, d, h = (int(k) for k in rng.permutation([3, 4, 5]))
        yield (
            rng.normal(size=(n, d)),
            rng.normal(size=(n, d)),
            rng.normal(size=(d, h)),
            rng.normal(size=(h, d)),
        )


def _block_grad(shortcut: bool = True, outer: bool = True, **options: bool) -> Any:
    """Return the gradient of a residual block with some of it spoilt."""

    def mistake(grad_y: Any, x: Any, weight1: Any, weight2: Any) -> Any:
        before = x @ weight1
        total = np.maximum(before, 0) @ weight2 + x
        grad_sum = grad_y * (total > 0) if outer else grad_y
        if options.get("untransposed"):
            return grad_sum + (grad_sum @ weight2 * (before > 0)) @ weight1
        grad_hidden = grad_sum @ weight2.T
        if not options.get("no_inner"):
            grad_hidden = grad_hidden * (before > 0)
        branch = grad_hidden @ weight1.T
        if options.get("times"):
            return grad_sum * branch
        if options.get("around"):
            return branch + grad_y
        if options.get("only_shortcut"):
            return grad_sum
        return branch + grad_sum if shortcut else branch

    return mistake


@exercise(
    cases=_blocks,
    mistakes={
        "the shortcut is missing: x reaches y without the branch, too": _block_grad(False),
        "the shortcut ends before the last ReLU, which is closed in places": _block_grad(
            around=True
        ),
        "the last ReLU is missing: where it is closed, no gradient passes": _block_grad(
            outer=False
        ),
        "the ReLU inside of the branch is missing": _block_grad(no_inner=True),
        "two ways from x to y: their gradients are added, not multiplied": _block_grad(times=True),
        "the branch is missing: only the shortcut is there": _block_grad(only_shortcut=True),
        "on the way back the matrices are transposed": _block_grad(untransposed=True),
    },
    without=("backward", "grad", "check_gradients"),
)
def residual_grad(grad_y: Any, x: Any, weight1: Any, weight2: Any) -> Any:
    """Compute dL/dx of a residual block ``y = relu(x + relu(x @ weight1) @ weight2)``."""
    hidden = x @ weight1
    total = x + np.maximum(hidden, 0) @ weight2
    grad_total = grad_y * (total > 0)
    grad_hidden = (grad_total @ weight2.T) * (hidden > 0)
    return grad_total + grad_hidden @ weight1.T
