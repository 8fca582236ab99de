"""What the proofs of normalisation share: the definition in loops, and ways to get it wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError
from tests.ops.spec import ErrorCase
from tests.ops.stand_in import on_gpu

Place = tuple[int, ...]


def standardize(
    x: np.ndarray, key: Callable[[Place], Any], epsilon: float, centred: bool = True
) -> np.ndarray:
    """Standardise every number by the mean and the variance of those that have the same key."""
    sharing: dict[Any, list[Place]] = {}
    for at in np.ndindex(x.shape):
        sharing.setdefault(key(at), []).append(at)
    z = np.empty(x.shape)
    for places in sharing.values():
        values = [float(x[at]) for at in places]
        mean = math.fsum(values) / len(values) if centred else 0.0
        var = math.fsum((v - mean) ** 2 for v in values) / len(values)
        for at, v in zip(places, values, strict=True):
            z[at] = (v - mean) / math.sqrt(var + epsilon)
    return z


def rescale(
    z: np.ndarray, feature: Callable[[Place], Any], affine: Sequence[np.ndarray]
) -> np.ndarray:
    """Multiply by gamma and add beta of each number's feature."""
    y = np.array(z)
    for at in np.ndindex(z.shape):
        for i, values in enumerate(affine):
            y[at] = y[at] * values[feature(at)] if i == 0 else y[at] + values[feature(at)]
    return y


def only_first(pull, g, x, *affine, **options):
    """`=` for `+=` over the vectors: gamma and beta get the gradient of the last one alone."""
    only = np.zeros_like(g)
    only[-1:] = g[-1:]
    right, wrong = pull(g, x, *affine, **options), pull(only, x, *affine, **options)
    return [right[0], *wrong[1:]]


def of_x_not_of_z(pull, g, x, *affine, **options):
    """gamma's gradient made of x where z is right: of a z that is not standardised."""
    right = pull(g, x, *affine, **options)
    if not affine:
        return right
    beta_like = pull(g * x, x, *affine, **options)[-1]  # sums of g * x
    return [right[0], beta_like.reshape(affine[0].shape), *right[2:]]


def without_gamma(pull, g, x, *affine, **options):
    """x's gradient as if gamma were 1."""
    right = pull(g, x, *affine, **options)
    plain = [np.ones_like(a) for a in affine]
    return [pull(g, x, *plain, **options)[0], *right[1:]]


def epsilon_times(factor: float):
    """Every gradient with another epsilon."""

    def mutant(pull, g, *arrays, epsilon, **options):
        return pull(g, *arrays, epsilon=factor * epsilon, **options)

    return mutant


def ones(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def common_errors(name: str, call: Callable[..., Any]) -> tuple[ErrorCase, ...]:
    """Wrong calls that all have in common; call(x, gamma, epsilon) with x (4, 6, 5), gamma (6,)."""
    return (
        ErrorCase(
            lambda: call(ones(4, 6, 5, dtype=np.float32), ones(6), 1e-5),
            DTypeError,
            rf"{name}: x is float32, gamma float64.*; they must be one float type: use .astype",
        ),
        ErrorCase(
            lambda: call(ones(4, 6, 5, dtype=np.int64), None, 1e-5),
            DTypeError,
            rf"{name}: x is int64; it must be of floats: use .astype",
        ),
        ErrorCase(
            lambda: call(on_gpu(4, 6, 5), ones(6), 1e-5),
            DeviceError,
            rf"{name}: x on cuda:0, gamma on cpu.*; move them to one device with .to",
        ),
        ErrorCase(
            lambda: call(ones(4, 6, 5), ones(6), -1e-5),
            ConfigError,
            rf"{name}: epsilon must be a number >= 0, got -1e-05",
        ),
        ErrorCase(
            lambda: call(ones(4, 6, 5), ones(6), "tiny"),
            ConfigError,
            rf"{name}: epsilon must be a number >= 0, got 'tiny'",
        ),
    )
