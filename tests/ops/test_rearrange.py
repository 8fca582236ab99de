"""Depth to space and back, against loops over the pixels of each block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import depth_to_space, space_to_depth
from tests.ops.driver import for_all, proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds

NAN = math.nan


def channel(c: int, u: int, v: int, channels: int, block: int, mode: str) -> int:
    """Where pixel (u, v) of a block of channel c is stacked."""
    return (u * block + v) * channels + c if mode == "dcr" else (c * block + u) * block + v


def deep_definition(x, block, mode="dcr"):
    n, c, height, width = x.shape
    y = np.empty((n, c * block**2, height // block, width // block))
    for i, k, h, w in np.ndindex(x.shape):
        deep = channel(k, h % block, w % block, c, block, mode)
        y[i, deep, h // block, w // block] = x[i, k, h, w]
    return y


def flat_definition(x, block, mode="dcr"):
    n, c, height, width = x.shape
    channels = c // block**2
    y = np.empty((n, channels, height * block, width * block))
    for i, k, h, w in np.ndindex(y.shape):
        deep = channel(k, h % block, w % block, channels, block, mode)
        y[i, k, h, w] = x[i, deep, h // block, w // block]
    return y


@st.composite
def blocks(draw: st.DrawFn, deep: bool) -> Case:
    n, c, h, w = draw(st.tuples(*[st.integers(1, 3)] * 4))
    block = draw(st.integers(1, 3))
    return _case((n, c, h, w), deep, draw(seeds), block, draw(st.sampled_from(["dcr", "crd"])))


def _case(shape: tuple[int, ...], deep: bool, seed: int = 0, block: int = 2, mode: Any = "dcr"):
    n, c, h, w = shape
    own = (n, c * block**2, h, w) if deep else (n, c, h * block, w * block)
    return Case((normal(seed, *own),), {"block": block, "mode": mode})


def _edges(deep: bool) -> dict[str, Case]:
    return {
        "empty": _case((0, 2, 2, 2), deep),
        "block of 1": _case((2, 3, 2, 2), deep, block=1),
        "one block": _case((1, 1, 1, 1), deep, block=3),
        "not square": _case((1, 2, 1, 3), deep, mode="crd"),
    }


def t(*shape: int) -> Tensor:
    return Tensor(np.ones(shape))


def _errors(op: Any, name: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(t(4, 2, 2), 2),
            ShapeError,
            rf"{name}: needs images \(N, C, H, W\), got shape \(4, 2, 2\)",
        ),
        ErrorCase(
            lambda: op(t(1, 4, 2, 2), 0), ConfigError, rf"{name}: block must be an int >= 1, got 0"
        ),
        ErrorCase(lambda: op(t(1, 4, 2, 2), (2, 2)), ConfigError, r"block must be .* \(2, 2\)"),
        ErrorCase(
            lambda: op(t(1, 4, 2, 2), 2, "DCR"),
            ConfigError,
            rf"{name}: mode must be 'dcr' or 'crd', got 'DCR'",
        ),
    )


def _other(definition):
    return lambda y, x, block, mode="dcr": definition(x, block, "crd" if mode == "dcr" else "dcr")


def _turned_blocks(definition):
    """Rows and columns of the blocks exchanged."""
    return lambda y, x, **o: definition(x.swapaxes(2, 3), **o).swapaxes(2, 3)


def _pulled_as(**changes: Any):
    return lambda pull, g, x, **o: pull(g, x, **{**o, **changes})


def _turned_gradient(pull, g, x, **o):
    return [pull(g.swapaxes(2, 3), x.swapaxes(2, 3), **o)[0].swapaxes(2, 3)]


MUTANTS = {
    "always dcr": _pulled_as(mode="dcr"),
    "always crd": _pulled_as(mode="crd"),
    "rows and columns exchanged": _turned_gradient,
}

DEPTH_TO_SPACE = OpSpec(
    name="depth_to_space",
    op=depth_to_space,
    cases=blocks(True),
    oracle=flat_definition,
    integers=Case((np.arange(32).reshape(1, 8, 2, 2),), {"block": 2}),
    edges=_edges(True),
    special={
        "NaN moves alone": Special(
            Case((np.array([NAN, 1.0, 2.0, 3.0]).reshape(1, 4, 1, 1),), {"block": 2}),
            [[[[NAN, 1], [2, 3]]]],
        )
    },
    errors=(
        *_errors(depth_to_space, "depth_to_space"),
        ErrorCase(
            lambda: depth_to_space(t(1, 6, 2, 2), 2),
            ShapeError,
            r"depth_to_space: x \(1, 6, 2, 2\) has 6 channels, block 2 needs a multiple of 4",
        ),
    ),
    forward_mutants={
        "the other mode": _other(flat_definition),
        "rows and columns exchanged": _turned_blocks(flat_definition),
    },
    backward_mutants=MUTANTS,
)

SPACE_TO_DEPTH = OpSpec(
    name="space_to_depth",
    op=space_to_depth,
    cases=blocks(False),
    oracle=deep_definition,
    integers=Case((np.arange(32).reshape(1, 2, 4, 4),), {"block": 2}),
    edges=_edges(False),
    special={
        "NaN moves alone": Special(
            Case((np.array([[[[NAN, 1.0], [2.0, 3.0]]]]),), {"block": 2}),
            np.array([NAN, 1.0, 2.0, 3.0]).reshape(1, 4, 1, 1),
        )
    },
    errors=(
        *_errors(space_to_depth, "space_to_depth"),
        ErrorCase(
            lambda: space_to_depth(t(1, 1, 4, 3), 2),
            ShapeError,
            r"space_to_depth: block 2 does not divide the 4 x 3 pixels of x \(1, 1, 4, 3\); pad or",
        ),
    ),
    forward_mutants={
        "the other mode": _other(deep_definition),
        "rows and columns exchanged": _turned_blocks(deep_definition),
    },
    backward_mutants=MUTANTS,
)

SPECS = (DEPTH_TO_SPACE, SPACE_TO_DEPTH)
TestRearrange = proof_of(*SPECS)


@pytest.mark.parametrize("mode", ["dcr", "crd"])
def test_each_undoes_the_other(mode):
    def check(case: Case) -> None:
        x, block = Tensor(case.arrays[0]), case.options["block"]
        there = space_to_depth(x, block, mode)
        np.testing.assert_array_equal(depth_to_space(there, block, mode).data, x.data)

    for_all(blocks(False), check, 30)
