"""Random arrays for the cases: which numbers an op may be shown so that its slope is defined."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)
MOST = 48  # numbers in an array whose shape is drawn here: gradients and oracles must be quick


@st.composite
def shapes(
    draw: st.DrawFn, least_axes: int = 0, most_axes: int = 4, longest: int = 7
) -> tuple[int, ...]:
    """Shapes of a few axes, each a few long, of `MOST` numbers at most.

    Shapes of two axes and more are likelier, for there are more of them.
    """
    many = range(max(least_axes, 2), most_axes + 1)
    axes = draw(st.sampled_from([*range(least_axes, most_axes + 1), *many, *many]))
    result: tuple[int, ...] = ()
    for _ in range(axes):
        result += (draw(st.integers(1, min(longest, MOST // math.prod(result)))),)
    return result


def normal(seed: int, *shape: int) -> np.ndarray:
    """Numbers of about 1."""
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def away_from_zero(seed: int, *shape: int) -> np.ndarray:
    """Numbers of either sign, at least 0.1 from zero."""
    x = normal(seed, *shape)
    return np.asarray(x + np.where(x < 0, -0.1, 0.1))


def positive(seed: int, *shape: int) -> np.ndarray:
    """Numbers from 0.5 to 2.5."""
    return np.asarray(np.random.default_rng(seed).random(shape) * 2 + 0.5)


def distinct(seed: int, *shape: int) -> np.ndarray:
    """Numbers from -2 to 2, no two closer than 4 / size, none 0."""
    size = int(np.prod(shape))
    order = np.random.default_rng(seed).permutation(size)
    return np.asarray(((order + 1 / 3) / max(size, 1) * 4 - 2).reshape(shape))


def broadcastable(
    draw: st.DrawFn, count: int, most_axes: int = 4, longest: int = 5
) -> list[tuple[int, ...]]:
    """Draw shapes that broadcast with one another: axes are dropped from the left, or 1."""
    whole = draw(shapes(0, most_axes, longest))
    result = []
    for _ in range(count):
        dropped = draw(st.sampled_from([0, 0, *range(len(whole) + 1)]))
        tail = whole[dropped:]
        result.append(tuple(1 if draw(st.integers(0, 2)) == 0 else n for n in tail))
    return result
