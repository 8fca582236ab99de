"""What the tests of all losses share: reductions in plain loops, and wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from tests.ops.spec import Case, ErrorCase
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, seeds, shapes

INF, NAN = math.inf, math.nan
REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def reduced(losses: np.ndarray, weights: np.ndarray, reduction: str) -> np.ndarray:
    """Weigh losses (one weight each) and sum; the mean is divided by the sum of the weights."""
    weighted = np.zeros(losses.shape)
    for at in np.ndindex(losses.shape):
        weighted[at] = weights[at] * losses[at] if weights[at] else 0.0
    if reduction == "none":
        return weighted
    total = math.fsum(weighted.ravel())
    counted = math.fsum(np.asarray(weights, float).ravel())
    if reduction == "mean":
        total = total / counted if counted else 0.0
    return np.array(total)


def spread(weights: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Ones if there are no weights, else the weights of each element."""
    return np.array(np.broadcast_to(1.0 if weights is None else weights, shape), float)


def each(loss: Callable[..., float]) -> Callable[..., np.ndarray]:
    """Return the oracle that computes `loss` of every pair of Python floats, and reduces."""

    def oracle(x, targets, weights=None, reduction="mean", **options):
        losses = np.zeros(x.shape)
        counts = spread(weights, x.shape)
        for at in np.ndindex(x.shape):
            if counts[at]:
                losses[at] = loss(x[at].item(), float(targets[at]), at, **options)
        return reduced(losses, counts, reduction)

    return oracle


def without(definition: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A forward mutant that does not know an option."""

    def mutant(y, *arrays, **options):
        return definition(*arrays, **{k: v for k, v in options.items() if k != name})

    return mutant


def pull_without(name: str) -> Callable[..., Any]:
    """A backward mutant that does not know an option."""

    def mutant(pull, g, *arrays, **options):
        return pull(g, *arrays, **{k: v for k, v in options.items() if k != name})

    return mutant


def sum_for_mean(pull, g, *arrays, **options):
    """A backward mutant: the mean's divisor forgotten."""
    if options["reduction"] == "mean":
        options = {**options, "reduction": "sum"}
    return pull(g, *arrays, **options)


def mean_for_sum(pull, g, *arrays, **options):
    """A backward mutant: the sum divided."""
    if options["reduction"] == "sum":
        options = {**options, "reduction": "mean"}
    return pull(g, *arrays, **options)


def swapped(pull, g, *arrays, **options):
    """A backward mutant: the two arguments' gradients exchanged."""
    return pull(g, *arrays, **options)[::-1]


@st.composite
def some_weights(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray | None:
    """Weights of a shape that broadcasts to `shape`, some of them 0; or None."""
    kind = draw(st.sampled_from(["none", "none", "all", "last"]))
    if kind == "none":
        return None
    rng = np.random.default_rng(draw(seeds))
    w = np.asarray(rng.random(shape if kind == "all" else shape[-1:]) * 2)
    return np.where(rng.random(w.shape) < 0.25, 0.0, w)


@st.composite
def pairs(draw: st.DrawFn) -> Case:
    """Predictions and targets of one shape, weights, a reduction.

    No difference is within a thousandth of a number of two decimals, where a slope may jump.
    """
    shape = draw(shapes(0, 3, 3))
    x, error = (np.round(1.5 * normal(draw(seeds), *shape), 2) for _ in range(2))
    targets = np.asarray(x - error - 0.0037)
    options = {"reduction": draw(REDUCTIONS), "weights": draw(some_weights(shape))}
    given = {k: v for k, v in options.items() if v is not None}
    return Case((np.asarray(x), targets), given)


def label_errors(op: Callable[..., Tensor], name: str, scores: str) -> tuple[ErrorCase, ...]:
    """What a loss of labels says of wrong ones; its scores are called `scores`."""
    x = Tensor(np.zeros((3, 4)))
    labels = np.array([0, 1, 2])
    return (
        ErrorCase(
            lambda: op(x, np.array([0, 4, 1])),
            ConfigError,
            rf"{name}: label 4 at \(1,\) is outside 0 ... 3 \({scores} \(3, 4\)\); mend the "
            "labels, or pass ignore_label=4",
        ),
        ErrorCase(
            lambda: op(x, np.array([0, 1, -1])),
            ConfigError,
            rf"{name}: label -1 at \(2,\) is outside 0 ... 3 .* or pass ignore_label=-1",
        ),
        ErrorCase(
            lambda: op(x, np.zeros((3, 1), int)),
            ShapeError,
            rf"{name}: {scores} \(3, 4\) \(N, K, ...\) need labels \(N, ...\), got \(3, 1\)",
        ),
        ErrorCase(
            lambda: op(x, np.zeros(3)),
            DTypeError,
            f"{name}: needs float {scores} and whole-number labels, got float64, float64",
        ),
        ErrorCase(
            lambda: op(x, labels, reduction="avg"),
            ConfigError,
            f"{name}: reduction must be 'mean', 'sum' or 'none', got 'avg'",
        ),
        ErrorCase(
            lambda: op(x, labels, class_weights=np.ones(3)),
            ShapeError,
            rf"{name}: class_weights has shape \(3,\), {scores} \(3, 4\) need \(4,\)",
        ),
        ErrorCase(
            lambda: op(x, labels, class_weights=np.array([1, 1, np.nan, 1])),
            ConfigError,
            f"{name}: class_weights must not be negative or NaN, got",
        ),
        ErrorCase(
            lambda: op(x, on_gpu(3)),
            DeviceError,
            rf"{name}: got labels \(3,\) on cuda:0 beside arrays on cpu; move one with .to",
        ),
    )


def element_errors(
    op: Callable[..., Tensor], name: str, x: str, targets: str = "targets"
) -> tuple[ErrorCase, ...]:
    """What a loss of elements says of wrong ones; its arguments are called `x` and `targets`."""
    ones = Tensor(np.ones((3, 4)))
    return (
        ErrorCase(
            lambda: op(ones, np.ones((3, 1))),
            ShapeError,
            rf"{name}: {x} and {targets} must have the same shape, got \(3, 4\) and \(3, 1\); ",
        ),
        ErrorCase(
            lambda: op(Tensor(np.ones((3, 4), int)), np.ones((3, 4))),
            DTypeError,
            rf"{name}: needs float {x}, got int64 of shape \(3, 4\); use .astype\('float32'\)",
        ),
        ErrorCase(
            lambda: op(ones, np.ones((3, 4)), reduction="avg"),
            ConfigError,
            f"{name}: reduction must be 'mean', 'sum' or 'none', got 'avg'",
        ),
        ErrorCase(
            lambda: op(ones, on_gpu(3, 4)),
            DeviceError,
            rf"{name}: got {targets} \(3, 4\) on cuda:0 beside arrays on cpu; move one with .to",
        ),
    )


def weight_errors(op: Callable[..., Tensor], name: str) -> tuple[ErrorCase, ...]:
    """What a loss of elements says of wrong weights."""
    x = Tensor(np.ones((3, 4)))
    return (
        ErrorCase(
            lambda: op(x, np.ones((3, 4)), weights=np.ones(3)),
            ShapeError,
            rf"{name}: weights of shape \(3,\) does not broadcast to \(3, 4\); axes must be equal "
            "or 1",
        ),
        ErrorCase(
            lambda: op(x, np.ones((3, 4)), weights=np.array([1, 2, -1, 0])),
            ConfigError,
            f"{name}: weights must not be negative or NaN, the least is -1.0",
        ),
    )
