"""What the specs of ops that move elements share."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn.autograd import (
    Tensor,
)
from tests.ops.spec import Case
from tests.ops.values import normal

NAN = math.nan


def x_of(*shape: int) -> Tensor:
    return Tensor(np.zeros(shape))


def in_order(x: np.ndarray) -> list[float]:
    """The elements in C order."""
    return [x[at].item() for at in np.ndindex(x.shape)]


def filled(shape: tuple[int, ...], elements: list[float]) -> np.ndarray:
    y = np.empty(shape)
    for at, element in zip(np.ndindex(y.shape), elements, strict=True):
        y[at] = element
    return y


def call(shape: tuple[int, ...], seed: int = 0, /, **options: Any) -> Case:
    return Case((normal(seed, *shape),), options)


def whole(*shape: int) -> np.ndarray:
    return np.arange(math.prod(shape)).reshape(shape)


# Fortran order and reversal: what a wrong reshape, transpose or pad would do to a gradient.
def fortran(pull, g, x, **options):
    return [np.asarray(pull(g, x, **options)[0].reshape(-1).reshape(x.shape, order="F"))]


def rolled(pull, g, x, **options):
    return [np.roll(pull(g, x, **options)[0].reshape(-1), 1).reshape(x.shape)]


MOVED = {"in column order": fortran, "one place off": rolled}
