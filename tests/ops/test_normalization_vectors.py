"""Normalisation of vectors (layer, RMS, length) against loops over each vector."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import l2_normalize, layer_norm, rms_norm
from tests.ops import norm_loops as wrong
from tests.ops.driver import proof_of
from tests.ops.norm_loops import common_errors, ones, rescale, standardize
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, positive, seeds, shapes

NAN, INF = math.nan, math.inf


def ascending(axes, ndim):
    return sorted(a % ndim for a in ((axes,) if isinstance(axes, int) else axes))


def layer_definition(x, *affine, axes=(-1,), epsilon=1e-5, centred=True):
    along = ascending(axes, x.ndim)

    def vector(at):
        return tuple(i for a, i in enumerate(at) if a not in along)

    z = standardize(x, vector, epsilon, centred)
    return rescale(z, lambda at: tuple(at[a] for a in along), affine)


def rms_definition(x, *gamma, axes=(-1,), epsilon=1e-5):
    return layer_definition(x, *gamma, axes=axes, epsilon=epsilon, centred=False)


def length_definition(x, axis=1, epsilon=1e-12):
    along = ascending(axis, x.ndim)
    squares: dict[Any, float] = {}
    for at in np.ndindex(x.shape):
        vector = tuple(i for a, i in enumerate(at) if a not in along)
        squares[vector] = squares.get(vector, 0.0) + float(x[at]) ** 2
    y = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        vector = tuple(i for a, i in enumerate(at) if a not in along)
        y[at] = x[at] / max(math.sqrt(squares[vector]), epsilon)
    return y


@st.composite
def vectors(draw: st.DrawFn, most_affine: int = 2, least: int = 3) -> Case:
    shape = draw(shapes(1, 4, 3))
    axes = draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    last = max(axes)
    if math.prod(shape[a] for a in axes) < least:  # two numbers are 1 and -1 whatever they are
        shape = (*shape[:last], shape[last] + least, *shape[last + 1 :])
    order = draw(st.permutations(sorted(axes)))
    given = tuple(a - draw(st.sampled_from([0, len(shape)])) for a in order)
    affine = draw(st.sampled_from([0, most_affine]))
    case = _case(shape, tuple(sorted(axes)), draw(seeds), affine)
    epsilon = draw(st.sampled_from([1e-5, 1e-3, 0.1]))
    axes_given = given[0] if len(given) == 1 and draw(st.booleans()) else given
    return Case(case.arrays, {"axes": axes_given, "epsilon": epsilon})


def _case(shape: tuple[int, ...], axes: tuple[int, ...], seed: int = 0, affine: int = 2) -> Case:
    lengths = tuple(shape[a] for a in axes)
    x = normal(seed, *shape) * positive(seed, shape[-1]) + seed % 3
    scale = (normal(seed + 1, *lengths) + 2, normal(seed + 2, *lengths))[:affine]
    return Case((x, *scale), {"axes": axes, "epsilon": 1e-3})


def _constant_statistics(centred: bool):
    """The statistics taken for constants."""

    def mutant(pull, g, x, *affine, axes, epsilon):
        rstd, v = _parts(x, g, affine, axes, epsilon, centred)
        return [v * rstd, *pull(g, x, *affine, axes=axes, epsilon=epsilon)[1:]]

    return mutant


def _variance_constant(pull, g, x, *affine, axes, epsilon):
    rstd, v = _parts(x, g, affine, axes, epsilon, True)
    centred = v - v.mean(tuple(ascending(axes, x.ndim)), keepdims=True)
    return [centred * rstd, *pull(g, x, *affine, axes=axes, epsilon=epsilon)[1:]]


def _parts(x, g, affine, axes, epsilon, centred):
    along = tuple(ascending(axes, x.ndim))
    mean = x.mean(along, keepdims=True) if centred else 0
    rstd = 1 / np.sqrt(((x - mean) ** 2).mean(along, keepdims=True) + epsilon)
    gamma = affine[0] if affine else np.ones([x.shape[a] for a in along])
    return rstd, g * gamma.reshape([n if a in along else 1 for a, n in enumerate(x.shape)])


def _backward_mutants(centred: bool):
    mutants = {
        "statistics taken for constants": _constant_statistics(centred),
        "gamma's gradient of x, not of z": wrong.of_x_not_of_z if centred else _rms_of_x,
        "gamma missing in x's gradient": wrong.without_gamma,
        "epsilon missing": wrong.epsilon_times(0.1),
    }
    return {**mutants, "variance taken for a constant": _variance_constant} if centred else mutants


def _rms_of_x(pull, g, x, *gamma, axes, epsilon):
    right = pull(g, x, *gamma, axes=axes, epsilon=epsilon)
    if not gamma:
        return right
    others = tuple(a for a in range(x.ndim) if a not in ascending(axes, x.ndim))
    return [right[0], (g * x).sum(others)]


def _edges(affine: int) -> dict[str, Case]:
    return {
        "empty": _case((0, 3, 4), (2,), affine=affine),
        "one vector": _case((5,), (0,), affine=affine),
        "whole images": _case((2, 2, 2, 3), (1, 2, 3), affine=affine),
        "channels of a pixel": _case((2, 5, 2, 2), (1,), affine=affine),
        "axes with one between": _case((2, 3, 2, 3), (1, 3), affine=affine),
        "longer than the lanes of a kernel": _case((2, 67), (1,), affine=affine),
    }


def _axis_errors(name: str, op: Any) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(lambda: op(ones(2, 3), 2), ShapeError, rf"{name}: x \(2, 3\) has no axes 2"),
        ErrorCase(lambda: op(ones(2, 3), ()), ShapeError, rf"{name}: x \(2, 3\) has no axes \(\)"),
        ErrorCase(
            lambda: op(ones(2, 3), (1, -1)),
            ShapeError,
            rf"{name}: axes \(1, -1\) name an axis of x \(2, 3\) twice",
        ),
        ErrorCase(
            lambda: op(ones(2, 3), 1.0), ConfigError, rf"{name}: axes must be an int or ints, got"
        ),
        ErrorCase(lambda: op(ones(2, 3), ("a",)), ConfigError, r"axes must be .*, got \('a',\)"),
    )


def _shape_errors(name: str, op: Any) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(ones(2, 3, 4), ones(3), axes=(1, 2)),
            ShapeError,
            rf"{name}: gamma has shape \(3,\), x \(2, 3, 4\) normalised over axes \(1, 2\) needs "
            r"\(3, 4\)",
        ),
        ErrorCase(
            lambda: op(ones(2, 0)),
            ShapeError,
            rf"{name}: x \(2, 0\) has no values along axes \(1,\)",
        ),
    )


LAYER_NORM = OpSpec(
    name="layer_norm",
    op=layer_norm,
    cases=vectors(),
    oracle=layer_definition,
    integers="layer_norm: x is int64, gamma int64, beta int64; they must be one float type",
    edges=_edges(2),
    special={
        "a constant vector becomes beta": Special(
            Case((np.full((1, 3), 7.0), np.full(3, 5.0), np.array([2.0, 3.0, 4.0]))), [[2, 3, 4]]
        ),
        "NaN shows in its vector only": Special(
            Case((np.array([[NAN, 1.0], [0.0, 3.0]]),), {"epsilon": 0.0}), [[NAN, NAN], [-1, 1]]
        ),
        "infinity has no place": Special(Case((np.array([[INF, 1.0]]),)), [[NAN, NAN]]),
    },
    errors=(
        *common_errors("layer_norm", lambda x, gamma, e: layer_norm(x, gamma, axes=1, epsilon=e)),
        *_axis_errors("layer_norm", lambda x, axes: layer_norm(x, axes=axes)),
        *_shape_errors("layer_norm", layer_norm),
    ),
    forward_mutants={
        "not centred": lambda y, x, *affine, **o: layer_definition(x, *affine, **o, centred=False),
        "epsilon ignored": lambda y, x, *affine, axes, epsilon: layer_definition(
            x, *affine, axes=axes, epsilon=0.0
        ),
        "unbiased variance": lambda y, x, *affine, axes, epsilon: rescale(
            _unbiased(x, axes, epsilon),
            lambda at: tuple(at[a] for a in ascending(axes, x.ndim)),
            affine,
        ),
        "beta ignored": lambda y, x, *affine, **o: layer_definition(x, *affine[:1], **o),
    },
    backward_mutants=_backward_mutants(True),
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)


def _unbiased(x, axes, epsilon):
    along = tuple(ascending(axes, x.ndim))
    var = x.var(along, keepdims=True, ddof=1)
    return (x - x.mean(along, keepdims=True)) / np.sqrt(var + epsilon)


RMS_NORM = OpSpec(
    name="rms_norm",
    op=rms_norm,
    cases=vectors(most_affine=1),
    oracle=rms_definition,
    integers="rms_norm: x is int64, gamma int64; they must be one float type",
    edges=_edges(1),
    special={
        "zeros stay": Special(Case((np.zeros((1, 3)),)), [[0, 0, 0]]),
        "a constant vector becomes ones": Special(
            Case((np.full((1, 3), -7.0),), {"epsilon": 0.0}), [[-1, -1, -1]]
        ),
        "NaN shows in its vector only": Special(
            Case((np.array([[NAN, 1.0], [3.0, 3.0]]),), {"epsilon": 0.0}), [[NAN, NAN], [1, 1]]
        ),
    },
    errors=(
        *common_errors("rms_norm", lambda x, gamma, e: rms_norm(x, gamma, axes=1, epsilon=e)),
        *_axis_errors("rms_norm", lambda x, axes: rms_norm(x, axes=axes)),
        *_shape_errors("rms_norm", rms_norm),
    ),
    forward_mutants={
        "centred": lambda y, x, *gamma, **o: layer_definition(x, *gamma, **o),
        "divided by the mean square": lambda y, x, *gamma, **o: rms_definition(
            rms_definition(x, **o), *gamma, **o
        ),
        "gamma ignored": lambda y, x, *gamma, **o: rms_definition(x, **o),
    },
    backward_mutants=_backward_mutants(False),
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)


@st.composite
def lengths(draw: st.DrawFn) -> Case:
    case = draw(vectors(0, least=2))
    return Case(case.arrays, {"axis": case.options["axes"], "epsilon": 1e-9})


L2_NORMALIZE = OpSpec(
    name="l2_normalize",
    op=l2_normalize,
    cases=lengths(),
    oracle=length_definition,
    integers=r"l2_normalize: needs floats, got int64; use .astype\('float32'\)",
    edges={
        "empty": Case((np.zeros((0, 3, 2)),)),
        "one vector": Case((normal(0, 4),), {"axis": 0}),
        "matrices": Case((normal(0, 2, 3, 2),), {"axis": (1, 2)}),
        "below epsilon": Case((normal(0, 2, 3),), {"axis": 1, "epsilon": 50.0}),
    },
    special={
        "zeros stay": Special(Case((np.zeros((1, 3)),)), [[0, 0, 0]]),
        "NaN shows in its vector only": Special(
            Case((np.array([[NAN, 1.0], [3.0, 4.0]]),)), [[NAN, NAN], [0.6, 0.8]]
        ),
    },
    errors=(
        *_axis_errors("l2_normalize", l2_normalize),
        ErrorCase(
            lambda: l2_normalize(ones(2, 3, dtype=np.int32)),
            DTypeError,
            r"l2_normalize: needs floats, got int32; use .astype\('float32'\)",
        ),
        ErrorCase(
            lambda: l2_normalize(ones(2, 3), epsilon=-1),
            ConfigError,
            "l2_normalize: epsilon must be a number >= 0, got -1",
        ),
    ),
    forward_mutants={
        "sum of magnitudes": lambda y, x, axis=1, **o: (
            x / np.abs(x).sum(tuple(ascending(axis, x.ndim)), keepdims=True)
        ),
        "root mean square": lambda y, x, axis=1, **o: rms_definition(x, axes=axis, epsilon=0.0),
    },
    backward_mutants={
        "length taken for a constant": lambda pull, g, x, axis=1, epsilon=1e-12: [
            g
            / np.maximum(
                np.sqrt((x * x).sum(tuple(ascending(axis, x.ndim)), keepdims=True)), epsilon
            )
        ],
        "length doubled": lambda pull, g, x, **o: pull(g, 2 * x, **o),
    },
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)

SPECS = (LAYER_NORM, RMS_NORM, L2_NORMALIZE)
TestNormalizationOfVectors = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
def test_a_mean_that_is_large_beside_the_spread(jit, monkeypatch):
    """Where a one-pass variance in float32 loses every digit, and the gradient with it."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = (normal(0, 20, 300) + 1000).astype(np.float32)
    x[:, 0] = 0  # an outlier must not spoil the sums
    x[10:, 0] += 1000
    g = normal(1, *x.shape).astype(np.float32)
    leaf, wide = Tensor(x, requires_grad=True), Tensor(x.astype(np.float64), requires_grad=True)
    y, right = layer_norm(leaf), layer_norm(wide)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, right.data, rtol=0, atol=3e-6)
    z = (wide.data - wide.data.mean(1, keepdims=True)) / np.sqrt(
        wide.data.var(1, keepdims=True) + 1e-5
    )
    np.testing.assert_allclose(right.data, z, rtol=0, atol=1e-10)
    np.testing.assert_allclose(grad(y, leaf, g).data, grad(right, wide, g).data, rtol=0, atol=3e-6)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("op", [layer_norm, rms_norm])
def test_many_rows(op, jit, monkeypatch):
    """Rows in several pieces of work, and sums over them in one order."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x, gamma = normal(0, 203, 70), normal(1, 70)
    check_gradients(op, x, gamma, atol=1e-5)


def test_gamma_or_beta_alone():
    x, gamma, beta = (Tensor(a, requires_grad=True) for a in _case((2, 3, 4), (2,)).arrays)
    none, one = Tensor(np.zeros(4)), Tensor(np.ones(4))
    np.testing.assert_array_equal(layer_norm(x, gamma).data, layer_norm(x, gamma, none).data)
    y = layer_norm(x, None, beta)
    np.testing.assert_array_equal(y.data, layer_norm(x, one, beta).data)
    assert grad(y, beta, np.ones(y.shape)).data.tolist() == [6.0] * 4


def test_memory_order_stays():
    """Images that are channels-last are not turned around on the way."""
    x = np.moveaxis(normal(0, 2, 4, 5, 3), -1, 1)
    for axes in ((1,), (1, 2, 3)):
        y = layer_norm(Tensor(x), axes=axes).data
        assert np.moveaxis(y, 1, -1).flags.c_contiguous
        np.testing.assert_allclose(y, layer_definition(x, axes=axes), atol=1e-12)


@pytest.mark.parametrize("op", [l2_normalize, layer_norm, rms_norm])
def test_half_precision_does_not_overflow(op):
    x = np.full((2, 300), 400.0, np.float16)
    x[:, ::2] = -400
    y = op(Tensor(x)).data
    right = op(Tensor(x.astype(np.float64))).data
    np.testing.assert_allclose(y.astype(np.float64), right, rtol=1e-3)
