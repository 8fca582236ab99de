"""The proof itself: what it must refuse, what it must cover, what it says."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from minicnn import autograd, ops
from minicnn.autograd import Tensor, watched_by
from tests.ops.driver import compare, prove_forward, prove_gradient, prove_layouts, prove_narrow
from tests.ops.mutants import cases_of, counted, plant, verdicts
from tests.ops.registry import all_specs, as_called
from tests.ops.spec import Case, OpSpec
from tests.ops.test_activation import RELU
from tests.ops.test_convolution import CONV2D
from tests.ops.test_dense import DENSE

SPECS_BY_NAME = {spec.name: spec for spec in all_specs()}
# What is proven elsewhere: in tests of their own, for they have no gradient to speak of
ELSEWHERE = {"argmax", "argmin", "argsort", "astype", "one_hot"}
ELSEWHERE |= {"anchor_boxes", "batched_nms", "match_boxes", "nms", "soft_nms"}
# What is no op
ENGINE = {"check_gradients", "differentiable", "grad", "no_grad", "of_output", "recording"}
ENGINE |= {"once_differentiable", "Tensor", "Lifted", "PullBack", "composed", "watched_by"}
ENGINE |= {"find_nan", "walk_back"}


def test_every_public_op_has_a_proof():
    names = (set(ops.__all__) | set(autograd.__all__)) - ENGINE
    assert names - ELSEWHERE - set(SPECS_BY_NAME) == set(), "write an OpSpec for these"
    assert ELSEWHERE & set(SPECS_BY_NAME) == set()
    assert len(SPECS_BY_NAME) == len(all_specs()), "two specs of one name"


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_the_proof_is_complete_and_catches_all_mutants(spec: OpSpec):
    assert "empty" in spec.edges or spec.name == "batch_norm", "an empty batch"
    assert spec.forward_mutants, "a wrong value of its own"
    assert spec.backward_mutants, "a wrong gradient of its own"
    found = verdicts(spec)
    kinds = {name.partition(",")[0] for name in found}
    assert sum(name.startswith("forward") for name in kinds) >= 2
    assert sum(name.startswith("backward") for name in kinds) >= 5
    assert len({repr(case) for case in cases_of(spec)}) >= 20, "hardly any two calls differ"
    assert [name for name, caught_by in found.items() if caught_by is None] == [], "they live"


def test_the_counts_are_of_what_was_tried():
    verdicts(RELU)
    assert counted()["relu"] == (len(verdicts(RELU)), len(verdicts(RELU)))
    assert len(verdicts(RELU)) >= 10


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_planting_nothing_is_not_caught(spec: OpSpec):
    """What catches a mutant is its fault, not the planting."""
    healthy = plant(spec)
    for case in cases_of(spec)[:10]:
        prove_forward(spec, case, healthy)
        prove_gradient(spec, case, healthy)


def test_a_failure_names_the_op_the_call_both_numbers_and_the_place():
    case = Case((np.ones((1, 2, 3, 3)), np.ones((1, 2, 2, 2))), {"stride": (1, 2)})

    def one_too_many(y, *_, **__):
        y = y.copy()
        y[0, 0, 1, 0] += 1
        return y

    with pytest.raises(
        AssertionError,
        match=r"conv2d\(\(1, 2, 3, 3\), \(1, 2, 2, 2\); stride=\(1, 2\)\): value is 9.0 at "
        r"\(0, 0, 1, 0\) where 8.0 is right; off by 1, allowed .*; 1 of 2 elements are wrong",
    ):
        prove_forward(CONV2D, case, plant(CONV2D, forward=one_too_many))


def test_a_failing_gradient_names_the_worst_element():
    def one_wrong(pull, g, x, weight, *bias):
        right = pull(g, x, weight, *bias)
        right[1][2, 0] += 0.5
        return right

    case = Case((np.ones((2, 3)), np.ones((4, 3)), np.ones(4)))
    with pytest.raises(
        AssertionError, match=r"dense\(\(2, 3\), \(4, 3\), \(4,\)\), order 1: .*"
    ) as e:
        prove_gradient(DENSE, case, plant(DENSE, backward=one_wrong))
    found = re.search(
        r"worst: argument 1 at \(2, 0\): (\S+) by backward, (\S+) numeric", str(e.value)
    )
    assert found is not None
    assert float(found[1]) - float(found[2]) == pytest.approx(0.5, abs=1e-6)


def relu_like(op, **changes) -> OpSpec:
    return dataclasses.replace(RELU, op=op, **changes)


def test_an_op_that_writes_into_its_input_is_refused():
    def in_place(x: Tensor) -> Tensor:
        np.maximum(x.data, 0, out=x.data)
        return Tensor(x.data)

    with pytest.raises(ValueError, match="read-only"):
        prove_forward(RELU, RELU.edges["images"], in_place)


def test_an_op_that_returns_another_type_is_refused():
    def narrow(x: Tensor) -> Tensor:
        return RELU.op(x).astype(np.float32)

    with pytest.raises(AssertionError, match="float64 gave float32"):
        prove_forward(RELU, RELU.edges["images"], narrow)

    def wide(x: Tensor) -> Tensor:
        return RELU.op(x).astype(np.float64)

    with pytest.raises(AssertionError, match="float32 gave float64"):
        prove_narrow(relu_like(wide), RELU.edges["images"], np.float32)


def test_an_op_that_looks_at_its_neighbours_in_memory_is_refused():
    def contiguous_only(x: Tensor) -> Tensor:
        step = x.data.itemsize
        flat = np.lib.stride_tricks.as_strided(x.data, (x.size,), (step,))
        return RELU.op(x) + 0.0 * Tensor(flat.reshape(x.shape).copy())

    case = Case((np.ones((3, 4)),))
    prove_layouts(relu_like(contiguous_only), case, ("rows",) * 6)
    with pytest.raises(AssertionError, match=r"value of .*gaps"):
        prove_layouts(relu_like(contiguous_only), case, ("gaps",) * 6)


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
def test_the_bound_on_narrow_floats_is_not_idle(spec: OpSpec):
    """Half precision inside an op must break the bound of single precision."""

    def rough(*tensors: Tensor, **options) -> Tensor:
        halves = [Tensor(t.data.astype(np.float16).astype(t.dtype), True) for t in tensors]
        y = spec.op(*halves, **options)
        if tensors[0].dtype == np.float64:
            return spec.op(*tensors, **options)
        return y

    def any_case() -> None:
        for case in cases_of(spec):
            prove_rough(spec, rough, case)

    with pytest.raises(AssertionError, match="float32"):
        any_case()


def prove_rough(spec: OpSpec, rough, case: Case) -> None:
    narrow = [a.astype(np.float32) for a in case.arrays]
    y = rough(*map(Tensor, narrow), **case.options).data
    right = spec.op(*(Tensor(a.astype(np.float64)) for a in narrow), **case.options).data
    bound = 8 * float(np.finfo(np.float32).eps) * max(1, spec.summands(case)) ** 0.5
    largest = max((float(np.abs(a).max(initial=0)) for a in narrow), default=0.0)
    compare(spec, case, "float32 value", y, right, bound, largest)


def test_strategies_reach_what_they_must():
    """The geometry that once was forgotten somewhere else is drawn here."""
    seen = cases_of(CONV2D)
    options = [case.options for case in seen]
    assert {o.get("groups", 1) for o in options} >= {1, 2, 3}
    assert any(o.get("padding") == "same" and o.get("stride") not in (1, None) for o in options)
    assert any(
        isinstance(o.get("padding"), tuple) and isinstance(o["padding"][0], tuple) for o in options
    )
    assert any(case.arrays[1].shape[2:] == (1, 1) for case in seen)
    assert any(len(case.arrays) == 3 for case in seen)
    assert any(len(case.arrays) == 2 for case in seen)
    assert any(np.max(o.get("dilation", 1)) > 1 for o in options)


@pytest.mark.parametrize("spec", as_called(), ids=lambda spec: spec.name)
def test_who_looks_on_sees_each_public_op_as_one(spec: OpSpec):
    """What traces, drawings and exports are made of: one call, under the op's own name."""
    seen: list[str] = []
    case = cases_of(spec)[0]
    with watched_by(lambda op, *_: seen.append(op.__name__)):
        spec.op(*map(Tensor, case.arrays), **case.options)
    assert seen == [spec.name]
