"""Instance and group normalisation against loops over the numbers that share their statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops import batch_norm, group_norm, instance_norm, layer_norm
from tests.ops import norm_loops as wrong
from tests.ops.driver import for_all, proof_of
from tests.ops.norm_loops import common_errors, ones, rescale, standardize
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, positive, seeds

NAN = math.nan


def instance_definition(x, *affine, epsilon=1e-5):
    return group_definition(x, *affine, groups=x.shape[1], epsilon=epsilon)


def group_definition(x, *affine, groups, epsilon=1e-5):
    size = max(x.shape[1] // groups, 1)
    z = standardize(x, lambda at: (at[0], at[1] // size), epsilon)
    return rescale(z, lambda at: at[1], affine)


def grouped(x: Tensor, *affine: Tensor, groups: int, epsilon: float = 1e-5) -> Tensor:
    return group_norm(x, groups, *affine, epsilon=epsilon)


EPSILONS = st.sampled_from([1e-5, 1e-3, 0.1])


@st.composite
def images(draw: st.DrawFn) -> Case:
    space = draw(st.tuples(*[st.integers(1, 3)] * draw(st.integers(1, 3))))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3)), *space[:-1], space[-1] + 2
    return _batch(shape, draw(seeds), draw(st.booleans()), epsilon=draw(EPSILONS))


@st.composite
def groups_of(draw: st.DrawFn) -> Case:
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    space = draw(st.tuples(*[st.integers(1, 3)] * draw(st.integers(0, 2))))
    if size * math.prod(space) < 3:  # two numbers are 1 and -1 whatever they are
        size += 2
    shape = draw(st.integers(1, 3)), groups * size, *space
    case = _batch(shape, draw(seeds), draw(st.booleans()), epsilon=draw(EPSILONS))
    return Case(case.arrays, {"groups": groups, **case.options})


def _batch(shape: tuple[int, ...], seed: int = 0, affine: bool = True, **options: Any) -> Case:
    c = shape[1]
    x = normal(seed, *shape) * positive(seed, c, *(1,) * (len(shape) - 2)) + seed % 3
    scale = (normal(seed + 1, c) + 2, normal(seed + 2, c)) if affine else ()
    return Case((x, *scale), options)


def _ungrouped(pull, g, x, *affine, groups, epsilon):
    """Every channel by itself in x's gradient."""
    other = 1 if groups > 1 else x.shape[1]
    if x.size // (len(x) * other) < 2:
        return pull(g, x, *affine, groups=groups, epsilon=epsilon)
    return [
        pull(g, x, *affine, groups=other, epsilon=epsilon)[0],
        *pull(g, x, *affine, groups=groups, epsilon=epsilon)[1:],
    ]


def _constant_statistics(groups_of_call):
    """Mean and variance taken for constants."""

    def mutant(pull, g, x, *affine, epsilon, **options):
        groups = groups_of_call(x, options)
        n, c = x.shape[:2]
        parts = x.reshape(n, groups, -1)
        rstd = 1 / np.sqrt(parts.var(2, keepdims=True) + epsilon)
        gamma = affine[0] if affine else np.ones(c)
        v = g * gamma.reshape(-1, *(1,) * (x.ndim - 2))
        direct = (v.reshape(parts.shape) * rstd).reshape(x.shape)
        return [direct, *pull(g, x, *affine, epsilon=epsilon, **options)[1:]]

    return mutant


def _centred_only(groups_of_call):
    """The variance taken for a constant."""
    whole = _constant_statistics(groups_of_call)

    def mutant(pull, g, x, *affine, **options):
        direct, *rest = whole(pull, g, x, *affine, **options)
        parts = direct.reshape(len(x), groups_of_call(x, options), -1)
        return [(parts - parts.mean(2, keepdims=True)).reshape(x.shape), *rest]

    return mutant


def _backward_mutants(groups_of_call):
    return {
        "mean and variance taken for constants": _constant_statistics(groups_of_call),
        "variance taken for a constant": _centred_only(groups_of_call),
        "= for += over the batch": wrong.only_first,
        "gamma's gradient of x, not of z": wrong.of_x_not_of_z,
        "gamma missing in x's gradient": wrong.without_gamma,
        "epsilon missing": wrong.epsilon_times(0.1),
    }


def _shape_errors(name: str, op: Any) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(ones(4, 6, 5), ones(5), 1e-5),
            ShapeError,
            rf"{name}: x \(4, 6, 5\) needs axes \(N, C, ...\), gamma \(5,\) one value for each",
        ),
        ErrorCase(
            lambda: op(ones(6), None, 1e-5),
            ShapeError,
            rf"{name}: x \(6,\) needs axes \(N, C, ...\);",
        ),
    )


INSTANCE_NORM = OpSpec(
    name="instance_norm",
    op=instance_norm,
    cases=images(),
    oracle=instance_definition,
    integers="instance_norm: x is int64, gamma int64, beta int64; they must be one float type",
    edges={
        "empty": _batch((0, 3, 2, 2), epsilon=1e-3),
        "signals": _batch((2, 3, 5), epsilon=1e-3),
        "volumes": _batch((2, 2, 2, 1, 3), epsilon=1e-3),
        "one image, one channel": _batch((1, 1, 2, 3), affine=False, epsilon=1e-3),
    },
    special={
        "a constant channel becomes beta": Special(
            Case((np.array([[[7.0, 7.0, 7.0]]]), np.array([5.0]), np.array([2.0]))),
            [[[2.0, 2.0, 2.0]]],
        ),
        "NaN shows in its own channel": Special(
            Case((np.array([[[NAN, 1.0], [0.0, 3.0]]]),), {"epsilon": 0.0}),
            [[[NAN, NAN], [-1, 1]]],
        ),
    },
    errors=(
        *common_errors("instance_norm", lambda x, gamma, e: instance_norm(x, gamma, epsilon=e)),
        *_shape_errors("instance_norm", lambda x, gamma, e: instance_norm(x, gamma, epsilon=e)),
        ErrorCase(
            lambda: instance_norm(ones(2, 3, 1, 1)),
            ShapeError,
            r"instance_norm: x \(2, 3, 1, 1\) must be \(N, C, ...\) with at least 2 pixels; one",
        ),
        ErrorCase(
            lambda: instance_norm(ones(2, 3)), ShapeError, r"x \(2, 3\) must be \(N, C, ...\)"
        ),
    ),
    forward_mutants={
        "of the whole batch": lambda y, x, *affine, epsilon: (
            rescale(standardize(x, lambda at: at[1], epsilon), lambda at: at[1], affine)
            if len(x) > 1
            else y
        ),
        "of all channels together": lambda y, x, *affine, epsilon: (
            group_definition(x, *affine, groups=1, epsilon=epsilon) if x.shape[1] > 1 else y
        ),
        "epsilon ignored": lambda y, x, *affine, epsilon: instance_definition(
            x, *affine, epsilon=0
        ),
    },
    backward_mutants=_backward_mutants(lambda x, options: x.shape[1]),
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)

GROUP_NORM = OpSpec(
    name="group_norm",
    op=grouped,
    cases=groups_of(),
    oracle=group_definition,
    integers="group_norm: x is int64, gamma int64, beta int64; they must be one float type",
    edges={
        "empty": Case(_batch((0, 4, 2, 2)).arrays, {"groups": 2, "epsilon": 1e-3}),
        "vectors": Case(_batch((3, 6)).arrays, {"groups": 2, "epsilon": 1e-3}),
        "one group": Case(_batch((2, 3, 2, 2)).arrays, {"groups": 1, "epsilon": 1e-3}),
        "volumes": Case(_batch((2, 4, 2, 1, 2)).arrays, {"groups": 2, "epsilon": 1e-3}),
    },
    special={
        "NaN shows in its own group": Special(
            Case((np.array([[NAN, 1.0, 0.0, 3.0]]),), {"groups": 2, "epsilon": 0.0}),
            [[NAN, NAN, -1, 1]],
        ),
        "a constant group becomes beta": Special(
            Case(
                (np.full((1, 2, 2), 7.0), np.array([5.0, 5.0]), np.array([2.0, 3.0])), {"groups": 1}
            ),
            [[[2, 2], [3, 3]]],
        ),
    },
    errors=(
        *common_errors("group_norm", lambda x, gamma, e: group_norm(x, 2, gamma, epsilon=e)),
        *_shape_errors("group_norm", lambda x, gamma, e: group_norm(x, 2, gamma, epsilon=e)),
        ErrorCase(
            lambda: group_norm(ones(2, 6, 2), 4),
            ConfigError,
            r"group_norm: groups must be an int that divides the 6 channels of x \(2, 6, 2\), got",
        ),
        ErrorCase(lambda: group_norm(ones(2, 6, 2), 0), ConfigError, "got 0"),
        ErrorCase(lambda: group_norm(ones(2, 6, 2), 2.0), ConfigError, "got 2.0"),
        ErrorCase(
            lambda: group_norm(ones(2, 6), 6),
            ShapeError,
            r"group_norm: x \(2, 6\) has fewer than 2 values in each of 6 groups; .* fewer groups",
        ),
    ),
    forward_mutants={
        "every other channel": lambda y, x, *affine, groups, epsilon: (
            rescale(
                standardize(x, lambda at: (at[0], at[1] % groups), epsilon),
                lambda at: at[1],
                affine,
            )
            if groups > 1
            else y
        ),
        "one group": lambda y, x, *affine, groups, epsilon: (
            group_definition(x, *affine, groups=1, epsilon=epsilon) if groups > 1 else y
        ),
        "mean of the variances of its channels": lambda y, x, *affine, groups, epsilon: rescale(
            _with_channel_variance(x, groups, epsilon), lambda at: at[1], affine
        ),
    },
    backward_mutants={
        "groups forgotten": _ungrouped,
        **_backward_mutants(lambda x, options: options["groups"]),
    },
    summands=lambda case: 10 * max(case.arrays[0].size, 1),
)


def _with_channel_variance(x, groups, epsilon):
    parts = x.reshape(len(x), groups, x.shape[1] // groups, -1)
    var = parts.var(3, keepdims=True).mean(2, keepdims=True)
    mean = parts.mean((2, 3), keepdims=True)
    return ((parts - mean) / np.sqrt(var + epsilon)).reshape(x.shape)


SPECS = (INSTANCE_NORM, GROUP_NORM)
TestNormalizationOfGroups = proof_of(*SPECS)


def test_as_many_groups_as_channels_are_instances_and_one_is_a_layer():
    def check(case: Case) -> None:
        x, *affine = map(Tensor, case.arrays)
        epsilon = case.options["epsilon"]
        single = group_norm(x, x.shape[1], *affine, epsilon=epsilon).data
        np.testing.assert_allclose(
            single, instance_norm(x, *affine, epsilon=epsilon).data, atol=1e-12
        )
        one = group_norm(x, 1, epsilon=epsilon).data
        axes = tuple(range(1, x.ndim))
        np.testing.assert_allclose(one, layer_norm(x, axes=axes, epsilon=epsilon).data, atol=1e-12)

    for_all(images(), check, 20)


def test_gamma_or_beta_alone():
    x, gamma, beta = (Tensor(a, requires_grad=True) for a in _batch((2, 4, 3)).arrays)
    none, one = Tensor(np.zeros(4)), Tensor(np.ones(4))
    for op in (instance_norm, lambda x, *a: group_norm(x, 2, *a)):
        np.testing.assert_array_equal(op(x, gamma).data, op(x, gamma, none).data)
        np.testing.assert_array_equal(op(x, None, beta).data, op(x, one, beta).data)
        y = op(x, None, beta)
        assert grad(y, beta, np.ones(y.shape)).data.tolist() == [6.0] * 4


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("shape", [(2, 3, 130, 128), (3, 300, 2, 2), (40, 8, 9, 9)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_large_batches(shape, channels_last, jit, monkeypatch):
    """Work in several pieces, and images that lie channel by channel or pixel by pixel."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    case = _batch(shape)
    x, gamma, beta = case.arrays
    if channels_last:
        x = np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)
    y = instance_norm(*map(Tensor, (x, gamma, beta)), epsilon=1e-3).data
    z = (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-3)
    np.testing.assert_allclose(y, z * gamma[:, None, None] + beta[:, None, None], atol=1e-11)
    check_gradients(lambda *a: instance_norm(*a, epsilon=1e-3), x, gamma, beta, atol=1e-5)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("op", [instance_norm, lambda x: group_norm(x, 2)])
def test_a_mean_that_is_large_beside_the_spread(op, jit, monkeypatch):
    """Where a one-pass variance in float32 loses every digit, and the gradient with it."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = (normal(0, 4, 6, 8, 8) + 1000).astype(np.float32)
    g = normal(1, *x.shape).astype(np.float32)
    leaf, wide = Tensor(x, requires_grad=True), Tensor(x.astype(np.float64), requires_grad=True)
    y, right = op(leaf), op(wide)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.data, right.data, rtol=0, atol=3e-6)
    np.testing.assert_allclose(grad(y, leaf, g).data, grad(right, wide, g).data, rtol=0, atol=3e-6)


def test_the_same_as_batch_norm_of_one_image():
    x, gamma, beta = map(Tensor, _batch((1, 3, 4, 5)).arrays)
    batch = batch_norm(x, gamma, beta)[0]
    np.testing.assert_allclose(instance_norm(x, gamma, beta).data, batch.data, atol=1e-13)
