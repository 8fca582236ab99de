"""The proof of an op, the same for all: `proof_of` turns `OpSpec`s into tests.

Every function here takes the op to be tried beside the spec, so that the wrong
ops of tests/ops/mutants.py are judged by the very functions that judge the right one.
"""

from __future__ import annotations

import contextlib
import os
import unittest
from collections import Counter
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.backend.random import Stream
from minicnn.errors import DTypeError, GradientError
from tests.ops.spec import Case, OpSpec

Op = Callable[..., Tensor]
EXACT = 1e-12  # float64 sums of some hundred terms, in another order
DRAWS = 6  # the most cases drawn for one that is unlike those before
NARROW = 8.0  # roundings that an element may see, times the square root of its summands
LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": lambda a: a.copy(),
    "columns": lambda a: a.copy(order="F"),
    "channels last": lambda a: _channels_last(a) if a.ndim > 2 else a.copy(),
    "backwards": lambda a: _turned(_turned(a).copy()) if a.ndim else a.copy(),
    "gaps": lambda a: _with_gaps(a) if a.ndim else a.copy(),
    "read-only": lambda a: _read_only(a.copy()),
}


def for_all(cases: st.SearchStrategy[Any], check: Callable[[Any], None], examples: int) -> None:
    """Call `check` with many cases; when one fails, with ever simpler ones.

    The cases are the same each time, unless pytest runs with --hypothesis-profile=nightly: then
    they are drawn anew, and many more.
    """
    more = _more()

    @settings(
        max_examples=int(examples * more),
        derandomize=more == 1,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases)
    def attempt(case: Any) -> None:
        check(case)

    attempt()


def for_different(cases: st.SearchStrategy[Any], check: Callable[[Any], None], count: int) -> int:
    """Call `check` with `count` cases whose reprs differ; return how many there were.

    They are fewer if several times as many draws show no more.  The nightly profile tries as many
    times more, and each repr again with as many other numbers.
    """
    more = int(_more())
    passed: Counter[str] = Counter()
    failed: list[str] = []

    def check_if_new(case: Any) -> None:
        name = repr(case)
        if not failed and passed[name] >= more:
            return
        try:
            check(case)
        except BaseException:
            failed.append(name)  # from now on hypothesis looks for a simpler one, and repeats it
            raise
        passed[name] += 1
        if not failed and len(passed) >= count and passed.total() >= count * more:
            raise _Enough

    with contextlib.suppress(_Enough):
        for_all(cases, check_if_new, DRAWS * count)
    return len(passed)


class _Enough(unittest.SkipTest):
    """Ends a search at once: hypothesis lets through what skips a test."""


def _more() -> float:
    return settings().max_examples / 100  # 100 in the other profiles than nightly


def prove_forward(spec: OpSpec, case: Case, op: Op) -> None:
    """The value is the oracle's, and no argument was written to."""
    given_arrays = [_read_only(a.copy()) for a in case.arrays]
    options = {k: _read_only(v.copy()) if _is_array(v) else v for k, v in case.options.items()}
    y = op(*map(Tensor, given_arrays), **options)
    with np.errstate(all="ignore"):
        right = np.asarray(spec.oracle(*case.arrays, **case.options))
    assert y.dtype == np.float64, f"{spec.name}({case}): float64 gave {y.dtype}"
    compare(spec, case, "value", y.data, right, EXACT)


def prove_gradient(spec: OpSpec, case: Case, op: Op, order: int = 1, explain: bool = True) -> None:
    """Every pull-back is the transpose of the derivative, up to `order`."""

    def f(*tensors: Tensor) -> Tensor:
        return op(*tensors, **case.options)

    try:
        check_gradients(f, *case.arrays, order=order, directions=2 if order == 1 else 1)
    except AssertionError as error:
        where = _worst_element(f, case.arrays) if explain else ""
        raise AssertionError(f"{spec.name}({case}), order {order}: {error}{where}") from None


def prove_special(spec: OpSpec, name: str, dtype: Any) -> None:
    """NaN, infinities and ties: the value is exactly that of the spec."""
    special = spec.special[name]
    with np.errstate(all="ignore"):
        arrays = [Tensor(a.astype(dtype)) for a in special.case.arrays]
        y = spec.op(*arrays, **special.case.options)
    tolerance = EXACT if dtype == np.float64 else 1e-6
    compare(spec, special.case, f"value ({name})", y.data, np.asarray(special.value), tolerance)


def prove_narrow(spec: OpSpec, case: Case, dtype: Any) -> None:
    """float32 and float16 agree with float64 as far as rounding allows; the type stays."""
    narrow = [a.astype(dtype) for a in case.arrays]
    wide = [a.astype(np.float64) for a in narrow]
    tolerance = NARROW * float(np.finfo(dtype).eps) * max(1, spec.summands(case)) ** 0.5
    y, gradients = value_and_gradients(spec, narrow, case)
    right, right_gradients = value_and_gradients(spec, wide, case)
    largest = max((float(np.abs(a).max(initial=0)) for a in wide), default=0.0)
    assert y.dtype == dtype, f"{spec.name}({case}): {np.dtype(dtype)} gave {y.dtype}"
    compare(spec, case, f"{np.dtype(dtype)} value", y, right, tolerance, largest)
    for i, (g, right_g) in enumerate(zip(gradients, right_gradients, strict=True)):
        assert g.dtype == dtype, f"{spec.name}({case}): gradient {i} is {g.dtype}"
        compare(spec, case, f"{np.dtype(dtype)} gradient {i}", g, right_g, tolerance, largest)


def prove_layouts(spec: OpSpec, case: Case, layouts: tuple[str, ...]) -> None:
    """Neither strides nor the writeable flag change a value or a gradient."""
    arrays = [LAYOUTS[name](a) for name, a in zip(layouts, case.arrays, strict=False)]
    y, gradients = value_and_gradients(spec, arrays, case, LAYOUTS[layouts[-1]])
    right, right_gradients = value_and_gradients(spec, list(case.arrays), case)
    compare(spec, case, f"value of {layouts}", y, right, EXACT)
    for i, (g, right_g) in enumerate(zip(gradients, right_gradients, strict=True)):
        compare(spec, case, f"gradient {i} of {layouts}", g, right_g, EXACT)


def prove_plain(spec: OpSpec, case: Case, dtype: Any) -> None:
    """The compiled kernels compute what the array expressions (MINICNN_JIT=0) do."""
    arrays = [a.astype(dtype) for a in case.arrays]
    compiled, gradients = value_and_gradients(spec, arrays, case)
    with mock.patch.dict(os.environ, MINICNN_JIT="0"):
        plain, plain_gradients = value_and_gradients(spec, arrays, case)
    eps = float(np.finfo(dtype).eps)
    tolerance = NARROW * eps * max(1, spec.summands(case)) ** 0.5
    largest = max((float(np.abs(a).max(initial=0)) for a in arrays), default=0.0)
    compare(spec, case, "value, compiled or plain", compiled, plain, tolerance, largest)
    for i, (a, b) in enumerate(zip(gradients, plain_gradients, strict=True)):
        compare(spec, case, f"gradient {i}, compiled or plain", a, b, tolerance, largest)


def prove_integers(spec: OpSpec) -> None:
    """Whole numbers are computed (and have no gradient), or refused by name."""
    if isinstance(spec.integers, str):
        case = next(iter(spec.edges.values()))
        arrays = [a.astype(np.int64) for a in case.arrays]
        with pytest.raises(DTypeError, match=spec.integers):
            spec.op(*map(Tensor, arrays), **case.options)
        return
    case = spec.integers
    assert all(a.dtype.kind in "iu" for a in case.arrays)
    y = spec.op(*map(Tensor, case.arrays), **case.options)
    compare(spec, case, "value", y.data, spec.oracle(*case.arrays, **case.options), EXACT)
    assert not y.requires_grad


def value_and_gradients(
    spec: OpSpec,
    arrays: list[np.ndarray],
    case: Case,
    layout: Callable[[np.ndarray], np.ndarray] = LAYOUTS["rows"],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Run the op and pull back a random dL/dy (in some memory layout)."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    y = spec.op(*leaves, **case.options)
    g = np.asarray(Stream(1, "cotangent").normal(y.shape)).astype(y.dtype)
    return y.data, [t.data for t in grad(y, leaves, layout(g))]


def compare(
    spec: OpSpec,
    case: Case,
    what: str,
    got: np.ndarray,
    right: np.ndarray,
    tolerance: float,
    scale: float = 1.0,
) -> None:
    """Fail, and say where it is worst, if an element is off by more than tolerance * scale.

    The scale is the largest number in sight: 1, the right values, or `scale`.
    """
    call = f"{spec.name}({case})"
    right = np.asarray(right)
    assert got.shape == right.shape, f"{call}: {what} has shape {got.shape}, not {right.shape}"
    with np.errstate(invalid="ignore"):
        wide, right = got.astype(np.float64), right.astype(np.float64)
        off = np.where((wide == right) | (np.isnan(wide) & np.isnan(right)), 0.0, abs(wide - right))
    off = np.where(np.isnan(off), np.inf, off)
    finite = np.abs(right[np.isfinite(right)])
    allowed = tolerance * max(1.0, scale, float(finite.max(initial=0)))
    if off.size and off.max() > allowed:
        at = tuple(int(i) for i in np.unravel_index(off.argmax(), off.shape))
        raise AssertionError(
            f"{call}: {what} is {float(wide[at])!r} at {at} where {float(right[at])!r} is right; "
            f"off by {off[at]:.3g}, allowed {allowed:.3g}; {(off > allowed).sum()} of {off.size} "
            "elements are wrong"
        )


def _worst_element(f: Op, arrays: tuple[np.ndarray, ...]) -> str:
    """Find the element whose gradient is farthest from the difference quotient."""
    leaves = [Tensor(a, requires_grad=True) for a in arrays]
    y = f(*leaves)
    u = np.asarray(Stream(0, "check_gradients").normal(y.shape))
    worst, text = 0.0, ""
    for i, gradient in enumerate(grad(y, leaves, u)):
        for at in np.ndindex(arrays[i].shape):
            step = np.zeros(arrays[i].shape)
            step[at] = 1e-6
            above, below = (
                f(*(Tensor(a + s * step if j == i else a) for j, a in enumerate(arrays))).data
                for s in (1, -1)
            )
            numeric = float(np.sum(u * (above - below)) / 2e-6)
            analytic = float(gradient.data[at]) if gradient.shape == step.shape else np.nan
            if not abs(analytic - numeric) <= worst:
                worst = abs(analytic - numeric)
                text = (
                    f"\nworst: argument {i} at {at}: {analytic!r} by backward, {numeric!r} numeric"
                )
    return text


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _read_only(a: np.ndarray) -> np.ndarray:
    a.flags.writeable = False
    return a


def _channels_last(a: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.moveaxis(a, 1, -1).copy(), -1, 1)


def _turned(a: np.ndarray) -> np.ndarray:
    return a[(slice(None, None, -1),) * a.ndim]


def _with_gaps(a: np.ndarray) -> np.ndarray:
    """Return `a` as every other element of a larger array of NaN."""
    wide = np.full([2 * n + 1 for n in a.shape], np.nan, a.dtype)
    part = wide[tuple(slice(1, 2 * n + 1, 2) for n in a.shape)]
    part[...] = a
    return part


class Proof:
    """The tests of one op."""

    def test_value_is_the_definition(self, spec: OpSpec) -> None:
        some = spec.examples // 2
        for_all(spec.cases, lambda case: prove_forward(spec, case, spec.op), some)

    def test_gradient(self, spec: OpSpec) -> None:
        wanted = spec.examples
        proven = for_different(spec.cases, lambda c: prove_gradient(spec, c, spec.op), wanted)
        assert proven >= wanted, f"{spec.name}: {proven} geometries are proven, not {wanted}"

    def test_gradient_of_gradient(self, spec: OpSpec) -> None:
        if spec.order > 1:
            few = spec.examples // 8
            for_all(spec.cases, lambda case: prove_gradient(spec, case, spec.op, 2), few)
            return
        case = next(iter(spec.edges.values()))
        x = [Tensor(a, requires_grad=True) for a in case.arrays]
        first = grad(spec.op(*x, **case.options).sum(), x[0], create_graph=True)
        with pytest.raises(GradientError, match=f"{spec.name}.* cannot be differentiated again"):
            first.sum().backward()

    def test_edges(self, spec: OpSpec) -> None:
        for case in spec.edges.values():
            prove_forward(spec, case, spec.op)
            prove_gradient(spec, case, spec.op)
            prove_plain(spec, case, np.float64)

    @pytest.mark.parametrize("jit", ["1", "0"])
    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_special_values(self, spec: OpSpec, dtype: Any, jit: str) -> None:
        with mock.patch.dict(os.environ, MINICNN_JIT=jit):
            for name in spec.special:
                prove_special(spec, name, dtype)

    @pytest.mark.parametrize("dtype", [np.float32, np.float16])
    def test_narrow_floats(self, spec: OpSpec, dtype: Any) -> None:
        few = spec.examples // 8
        for_all(spec.cases, lambda case: prove_narrow(spec, case, dtype), few)

    def test_memory_layouts(self, spec: OpSpec) -> None:
        layouts = st.tuples(*[st.sampled_from(sorted(LAYOUTS))] * 6)
        few = spec.examples // 5
        for_all(st.tuples(spec.cases, layouts), lambda both: prove_layouts(spec, *both), few)

    @pytest.mark.parametrize("dtype", [np.float64, np.float32])
    def test_plain_kernels_agree(self, spec: OpSpec, dtype: Any) -> None:
        few = spec.examples // 8
        for_all(spec.cases, lambda case: prove_plain(spec, case, dtype), few)

    def test_whole_numbers(self, spec: OpSpec) -> None:
        prove_integers(spec)

    def test_wrong_versions_are_caught(self, spec: OpSpec) -> None:
        from tests.ops.mutants import verdicts  # it judges by this file's functions

        alive = [name for name, caught in verdicts(spec).items() if caught is None]
        assert not alive, f"{spec.name}: the proof accepts {alive}"

    def test_errors(self, spec: OpSpec) -> None:
        for case in spec.errors:
            with pytest.raises(case.error, match=case.match):
                case.call()


def proof_of(*specs: OpSpec) -> type:
    """Return the test class of a family: every test of `Proof` for every spec."""
    family = type("TestProof", (Proof,), {})
    return pytest.mark.parametrize("spec", specs, ids=lambda s: s.name)(family)
