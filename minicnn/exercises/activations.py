"""Exercises of the lesson on activations and initialisation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from minicnn.exercises._exercise import exercise, predict

__all__ = [
    "dead_channels",
    "prelu",
    "prelu_gradients",
    "sigmoid_share",
    "signals",
    "slope_from_output",
    "spread",
    "variance_factor",
]

Array = np.ndarray
Case = tuple[Any, ...]

sigmoid_share = predict(
    "sigmoid_share",
    "Ten sigmoids one after the other: which share of the gradient arrives at most?",
    0.25**10,
    mistakes={
        "1/2 is the sigmoid's value at 0; its slope there is y (1 - y)": 0.5**10,
        "slopes along a way are multiplied, not added": 2.5,
        "that is what one of them lets through": 0.25,
        "slopes along a way are multiplied: a power, not a quotient": 0.025,
        "there are ten of them": 0.25**9,
        "tanh has a slope of 1 at 0; the sigmoid is flatter": 1.0,
    },
    tolerance=0.01,
)

variance_factor = predict(
    "variance_factor",
    "100 inputs, weights of standard deviation 0.05: by how much is the mean square multiplied?",
    0.25,
    mistakes={
        "the weights' mean square is the square of their standard deviation": 5.0,
        "that is what one product adds; a sum of independent ones has the sum of theirs": 0.0025,
        "that is the factor of the standard deviation; asked for is the mean square": 0.5,
        "independent terms of either sign do not add up in full: mean squares add, not sums": 25.0,
        "that is the weights' standard deviation; square it, and count the terms": 0.05,
        "there is no ReLU behind it yet: nothing is halved": 0.125,
    },
    tolerance=1e-3,
)


def _outputs(rng: np.random.Generator) -> Iterator[Case]:
    """Yield (name, outputs) of each function."""
    for shape in ((7,), (3, 4), (2, 3, 5)):
        x = 2 * rng.normal(size=shape)
        yield "sigmoid", 1 / (1 + np.exp(-x))
        yield "tanh", np.tanh(x)
        yield "relu", np.maximum(x, 0)


def _slopes(kind: str, y: Array, sigmoid: Any = None, tanh: Any = None, relu: Any = None) -> Array:
    """Return the slopes, with other formulas where they are given."""
    other = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu}[kind]
    return slope_from_output.solution(kind, y) if other is None else other(y)


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@exercise(
    cases=_outputs,
    mistakes={
        "a ReLU's output is never below 0: of those at 0 the slope is 0, so ask for y > 0": (
            lambda kind, y: _slopes(kind, y, relu=lambda y: (y >= 0) * 1.0)
        ),
        "where the ReLU lets a number pass, its slope is 1, not the number": (
            lambda kind, y: _slopes(kind, y, relu=lambda y: y)
        ),
        "y is the output already; do not squash it once more": lambda kind, y: _slopes(
            kind, y, lambda y: _sigmoid(y) * (1 - _sigmoid(y)), lambda y: 1 - np.tanh(y) ** 2
        ),
        "y (1 - y) is the sigmoid's; tanh runs from -1 to 1": lambda kind, y: _slopes(
            kind, y, tanh=lambda y: y * (1 - y)
        ),
        "the slope of tanh has a square in it: it must be the same at y and at -y": (
            lambda kind, y: _slopes(kind, y, tanh=lambda y: 1 - y)
        ),
        "1 - y**2 is that of tanh; the sigmoid's is 0 at y = 0 and at y = 1": (
            lambda kind, y: _slopes(kind, y, sigmoid=lambda y: 1 - y**2)
        ),
    },
    symptoms={
        f"{name} is the one that is wrong": lambda got, right, kind, y, name=name: kind == name
        for name in ("sigmoid", "tanh", "relu")
    },
)
def slope_from_output(kind: str, y: Array) -> Array:
    """Return dy/dx for each number of y = f(x), where f is "sigmoid", "tanh" or "relu".

    You are given the outputs y, not the inputs x.
    """
    if kind == "sigmoid":
        return y * (1 - y)
    if kind == "tanh":
        return 1 - y**2
    return (y > 0).astype(y.dtype)


def _weight_shapes(rng: np.random.Generator) -> Iterator[Case]:
    """Yield (shape, mode, slope of the ReLU)."""
    for mode in ("fan_in", "fan_out", "fan_avg"):
        for shape in ((64, 128), (16, 8, 3, 5), (32, 12, 1, 3)):
            yield shape, mode, float(rng.uniform(0.1, 0.9))
        yield (24, 10), mode, 0.0


def _spread(
    shape: tuple[int, ...],
    mode: str,
    slope: float,
    window: bool = True,
    swapped: bool = False,
    halves: float = 2.0,
) -> float:
    """Return the standard deviation of first weights by He's rule, maybe spoilt."""
    places = int(np.prod(shape[2:])) if window else 1
    n_in, n_out = shape[1] * places, shape[0] * places
    if swapped:
        n_in, n_out = n_out, n_in
    n = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / halves}[mode]
    return float(np.sqrt(2 / ((1 + slope**2) * n)))


@exercise(
    cases=_weight_shapes,
    mistakes={
        "that is the variance; the standard deviation is its square root": (
            lambda shape, mode, slope: _spread(shape, mode, slope) ** 2
        ),
        "sqrt(2 / N) is the standard deviation already; it is not rooted twice": (
            lambda shape, mode, slope: np.sqrt(_spread(shape, mode, slope))
        ),
        "a convolution's neuron sums over the window, too: N has the factor KH * KW": (
            lambda shape, mode, slope: _spread(shape, mode, slope, window=False)
        ),
        "the shape is (outputs, inputs, ...): fan-in and fan-out are exchanged": (
            lambda shape, mode, slope: _spread(shape, mode, slope, swapped=True)
        ),
        "fan_avg is the average of the two, not their sum": (
            lambda shape, mode, slope: _spread(shape, mode, slope, halves=1.0)
        ),
        "the slope of the negative half does not enter; it keeps a part of the mean square": (
            lambda shape, mode, slope: _spread(shape, mode, 0.0)
        ),
        "a number that is scaled by the slope has its square scaled by the slope's square": (
            lambda shape, mode, slope: _spread(shape, mode, slope**0.5)
        ),
        "the half that is lost must be made up for: with slope 0 the variance is 2 / N": (
            lambda shape, mode, slope: _spread(shape, mode, slope) / np.sqrt(2)
        ),
    },
    symptoms={
        "only the average is wrong: average the two Ns, and then take the root": (
            lambda got, right, shape, mode, slope: mode == "fan_avg"
        ),
    },
)
def spread(shape: tuple[int, ...], mode: str, slope: float) -> float:
    """Return the standard deviation of the weights in front of a leaky ReLU, after He.

    ``shape`` is (O, I) of a dense layer or (O, C, KH, KW) of a convolution; ``mode`` says whether
    N is "fan_in", "fan_out" or "fan_avg", the average of both; ``slope`` is that of the negative
    half: 0 for ReLU, 1 for no activation at all.
    """
    places = int(np.prod(shape[2:]))
    n_in, n_out = shape[1] * places, shape[0] * places
    n = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}[mode]
    return float(np.sqrt(2 / ((1 + slope**2) * n)))


def _stacks(rng: np.random.Generator) -> Iterator[Case]:
    """Yield (inputs, weights of each layer, grad_y)."""
    for widths in ((4, 6, 5), (3, 8, 7, 6), (5, 5, 5, 5), (6, 4), (2, 9, 4, 8, 3)):
        weights = [rng.normal(0, 0.6, (o, i)) for i, o in itertools.pairwise(widths)]
        count = int(rng.integers(2, 6))
        yield rng.normal(size=(count, widths[0])), weights, rng.normal(size=(count, widths[-1]))


def _two_ways(
    x: Array,
    weights: Sequence[Array],
    grad_y: Array,
    gated: bool = True,
    late: bool = False,
    measure: Any = lambda t: (t**2).mean(),
) -> tuple[list[float], list[float]]:
    """Go forward and back; ungated, or measured one step later each way."""
    before = []
    for weight in weights:
        before.append(x @ weight.T)
        x = np.maximum(before[-1], 0)
    forward = [measure(np.maximum(z, 0) if late else z) for z in before]
    backward = []
    for weight, z in zip(weights[::-1], before[::-1], strict=True):
        passed = grad_y * (z > 0) if gated else grad_y
        backward.append(measure(grad_y if late else passed))
        grad_y = passed @ weight
    return forward, backward[::-1]


def _from_last_to_first(x: Array, weights: Sequence[Array], grad_y: Array) -> Any:
    forward, backward = _two_ways(x, weights, grad_y)
    return forward, backward[::-1]


def _half_is_right(half: int) -> Any:
    """Return a symptom: one of both results is right."""
    return lambda got, right, *_: len(got) == 2 and np.allclose(got[half], right[half])


@exercise(
    cases=_stacks,
    mistakes={
        "on the way back the ReLU is missing: it stops the gradient where z <= 0": (
            lambda x, weights, grad_y: _two_ways(x, weights, grad_y, gated=False)
        ),
        "the gradient's list runs from the last layer to the first; turn it round": (
            _from_last_to_first
        ),
        "measure z, before the ReLU, and dL/dz, behind it on the way back": (
            lambda x, weights, grad_y: _two_ways(x, weights, grad_y, late=True)
        ),
        "a mean square, not a variance: do not subtract the mean": (
            lambda x, weights, grad_y: _two_ways(x, weights, grad_y, measure=np.var)
        ),
        "a mean square, not its root": lambda x, weights, grad_y: _two_ways(
            x, weights, grad_y, measure=lambda t: np.sqrt((t**2).mean())
        ),
        "mean squares, not sums of squares: divide by how many there are": (
            lambda x, weights, grad_y: _two_ways(x, weights, grad_y, measure=lambda t: (t**2).sum())
        ),
    },
    symptoms={
        "the way forward is right, the way back is not; each layer has its own z and weights": (
            _half_is_right(0)
        ),
        "the way back is right, the way forward is not: measure z, before the ReLU": (
            _half_is_right(1)
        ),
    },
)
def signals(x: Array, weights: Sequence[Array], grad_y: Array) -> tuple[list[float], list[float]]:
    """Return the mean squares of z and of dL/dz in each layer, two lists from first to last.

    Each layer computes ``z = a @ weight.T`` and hands ``relu(z)`` on; the first a is x. grad_y is
    dL/d(the last ReLU's output).
    """
    before = []
    for weight in weights:
        before.append(x @ weight.T)
        x = np.maximum(before[-1], 0)
    backward = []
    for weight, z in zip(weights[::-1], before[::-1], strict=True):
        grad_z = grad_y * (z > 0)
        backward.append(float((grad_z**2).mean()))
        grad_y = grad_z @ weight
    return [float((z**2).mean()) for z in before], backward[::-1]


def _maps(rng: np.random.Generator) -> Iterator[Case]:
    """Yield outputs of a ReLU with channels dead, nearly dead and alive."""
    for n, c, h, w in ((4, 5, 3, 2), (3, 6, 4, 5), (2, 4, 1, 3), (5, 8, 2, 2), (3, 7, 2, 4)):
        y = np.maximum(rng.normal(size=(n, c, h, w)), 0)
        y[:, 0] = 0  # dead
        y[:, 2] = 0  # alive at a single place of a single image, not the first
        y[n - 1, 2, h - 1, w - 1] = 0.5
        y[0, 3] = 0  # dead in the first image alone
        y[1:, 3] += 0.1
        y[:, 1] += 0.1  # alive everywhere
        yield (y[:, rng.permutation(c)],)


@exercise(
    cases=_maps,
    mistakes={
        "a zero here and there is sparsity; dead is who is 0 everywhere": lambda y: (y == 0).any(
            axis=(0, 2, 3)
        ),
        "that is a share of zeros; dead or not is True or False": lambda y: (y == 0).mean(
            axis=(0, 2, 3)
        ),
        "the first image is not all: a channel may be awake in another": lambda y: (y[0] == 0).all(
            axis=(1, 2)
        ),
        "one image in which it sleeps does not make it dead: look at all": lambda y: (
            (y == 0).all(axis=(2, 3)).any(axis=0)
        ),
        "True should mean dead": lambda y: (y > 0).any(axis=(0, 2, 3)),
        "channels are axis 1 of (N, C, H, W)": lambda y: (y == 0).all(axis=(1, 2, 3)),
        "look at the whole map, not at its mean rounded": lambda y: y.mean(axis=(0, 2, 3)) < 0.05,
        "answer for each channel, not how many there are": lambda y: (
            (y == 0).all(axis=(0, 2, 3)).sum()
        ),
    },
    symptoms={
        "one answer for each channel: join the images' and places' axes": (
            lambda got, right, y: np.shape(got) != right.shape
        ),
    },
)
def dead_channels(y: Array) -> Array:
    """Tell for each channel of a ReLU's outputs, shape (N, C, H, W), whether it is dead.

    Dead is a channel that is 0 in every image of the batch at every place. Return C times True or
    False, without loops.
    """
    return (y == 0).all(axis=(0, 2, 3))


def _sloped(rng: np.random.Generator) -> Iterator[Case]:
    """Yield (x, slope of each channel)."""
    for n, c, h, w in ((2, 3, 4, 5), (3, 4, 2, 4), (2, 5, 3, 2), (4, 2, 1, 3), (2, 3, 4, 3)):
        # from below 0 to above 1: a learned slope may go anywhere
        slope = np.linspace(-0.5, 2.5, c) + rng.uniform(0, 0.3, c)
        yield rng.normal(size=(n, c, h, w)), slope


@exercise(
    cases=_sloped,
    without=("prelu", "PReLU", "leaky_relu"),
    mistakes={
        "slopes belong to channels, axis 1; NumPy lines them up with the last axis, the width": (
            lambda x, slope: np.maximum(x, slope * x)
        ),
        "the slopes lie along the last axis; they belong to channels, axis 1": (
            lambda x, slope: np.where(x > 0, x, slope * x)
        ),
        "the channels are right; but is the larger of x and slope * x the right one if slope is "
        "2?": lambda x, slope: np.maximum(x, slope[:, None, None] * x),
        "positive numbers pass unchanged; it is the negative ones that are scaled": (
            lambda x, slope: np.where(x > 0, slope[:, None, None] * x, x)
        ),
        "negative numbers are scaled, not set to 0 or to the slope": lambda x, slope: np.where(
            x > 0, x, slope[:, None, None]
        ),
    },
)
def prelu(x: Array, slope: Array) -> Array:
    """Return x where it is positive, else slope times x; x (N, C, H, W), slope (C,)."""
    return np.where(x > 0, x, slope[:, None, None] * x)


def _sloped_with_gradients(rng: np.random.Generator) -> Iterator[Case]:
    for x, slope in _sloped(rng):
        yield x, slope, rng.normal(size=x.shape)


def _pulled(x: Array, slope: Array, grad_y: Array, **wrong: Any) -> tuple[Array, Array]:
    """Return both gradients, or one of them otherwise than it should be."""
    right = prelu_gradients.solution(x, slope, grad_y)
    return wrong.get("grad_x", right[0]), wrong.get("grad_slope", right[1])


@exercise(
    cases=_sloped_with_gradients,
    without=("backward", "grad"),
    mistakes={
        "a slope is used at every place of every image: its gradient is the sum of theirs": (
            lambda x, slope, g: _pulled(x, slope, g, grad_slope=np.where(x > 0, 0, g * x))
        ),
        "the sum, not the average, of all places where the slope was used": lambda x, slope, g: (
            _pulled(x, slope, g, grad_slope=np.where(x > 0, 0, g * x).mean(axis=(0, 2, 3)))
        ),
        "where x is positive the slope is not used: nothing comes from there": lambda x, slope, g: (
            _pulled(x, slope, g, grad_slope=(g * x).sum(axis=(0, 2, 3)))
        ),
        "d(slope * x)/d(slope) is x": lambda x, slope, g: _pulled(
            x, slope, g, grad_slope=np.where(x > 0, 0, g).sum(axis=(0, 2, 3))
        ),
        "each channel has a slope of its own, and so a sum of its own": lambda x, slope, g: _pulled(
            x, slope, g, grad_slope=np.where(x > 0, 0, g * x).sum()
        ),
        "dL/dx is that of a ReLU: where x is negative, slope times dL/dy passes": (
            lambda x, slope, g: _pulled(x, slope, g, grad_x=g * (x > 0))
        ),
    },
    symptoms={
        "dL/dx is right, dL/d(slope) is not: one number for each channel, summed over the rest": (
            _half_is_right(0)
        ),
        "dL/d(slope) is right, dL/dx is not": _half_is_right(1),
    },
)
def prelu_gradients(x: Array, slope: Array, grad_y: Array) -> tuple[Array, Array]:
    """Return dL/dx (N, C, H, W) and dL/d(slope) (C,) of y = prelu(x, slope), given dL/dy."""
    grad_x = np.where(x > 0, grad_y, slope[:, None, None] * grad_y)
    return grad_x, np.where(x > 0, 0, grad_y * x).sum(axis=(0, 2, 3))
