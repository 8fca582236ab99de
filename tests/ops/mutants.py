"""Wrong ops, planted to see whether the proof catches them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, differentiable, grad, recording
from tests.ops.driver import for_all, prove_forward, prove_gradient
from tests.ops.spec import BackwardMutant, Case, ForwardMutant, OpSpec

CASES = 60  # random cases that a mutant may be caught on
_drawn: dict[str, list[Case]] = {}
_verdicts: dict[str, dict[str, Case | None]] = {}

FORWARD: dict[str, ForwardMutant] = {
    "computed in float32": lambda y, *_, **__: y.astype(np.float32).astype(np.float64),
    "one element off by a millionth": lambda y, *_, **__: _nudged(y),
}
BACKWARD: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zero": lambda d: 0 * d,
    "sign": lambda d: -d,
    "scaled by 1.001": lambda d: 1.001 * d,
    "largest element missing": lambda d: _largest_missing(d),
    "turned around": lambda d: d[(slice(None, None, -1),) * d.ndim],
}


def verdicts(spec: OpSpec) -> dict[str, Case | None]:
    """Try every mutant of an op: what it is -> the case that caught it, None if it lived."""
    if spec.name not in _verdicts:
        found: dict[str, Case | None] = {}
        for name, wrong in {**FORWARD, **spec.forward_mutants}.items():
            op = plant(spec, forward=wrong)
            found[f"forward: {name}"] = _caught(lambda c, op=op: prove_forward(spec, c, op), spec)
        for name, wrong in {**_general_backward(spec), **spec.backward_mutants}.items():
            op = plant(spec, backward=wrong)
            found[f"backward: {name}"] = _caught(
                lambda c, op=op: prove_gradient(spec, c, op, explain=False), spec
            )
        _verdicts[spec.name] = found
    return _verdicts[spec.name]


def counted() -> dict[str, tuple[int, int]]:
    """Return, for each op that was tried so far, how many mutants were planted and caught."""
    return {
        op: (len(found), sum(case is not None for case in found.values()))
        for op, found in _verdicts.items()
    }


def plant(
    spec: OpSpec, forward: ForwardMutant | None = None, backward: BackwardMutant | None = None
) -> Callable[..., Tensor]:
    """Return the spec's op with a fault in its value or in its gradients (or with none)."""

    def pull(g: np.ndarray, *arrays: np.ndarray, **options: Any) -> list[np.ndarray]:
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        with recording(True):  # a backward pass calls this, and records nothing itself
            y = spec.op(*leaves, **options)
        return [t.data for t in grad(y, leaves, g)]

    def planted(*tensors: Tensor, **options: Any) -> Tensor:
        arrays = [t.data for t in tensors]
        y = spec.op(*map(Tensor, arrays), **options).data
        if forward is not None:
            y = forward(y, *arrays, **options)
        gradients = functools.partial(backward, pull) if backward else pull

        def pull_back(i: int) -> Callable[[Tensor], Tensor]:
            return lambda g: Tensor(np.array(gradients(g.data, *arrays, **options)[i]))

        return differentiable(lambda *_: (y, tuple(map(pull_back, range(len(arrays))))))(*tensors)

    return planted


def cases_of(spec: OpSpec) -> list[Case]:
    """Return the cases on which this op's mutants are tried."""
    if spec.name not in _drawn:
        _drawn[spec.name] = []
        for_all(spec.cases, _drawn[spec.name].append, CASES)
    return [*_drawn[spec.name], *spec.edges.values()]


def _caught(prove: Callable[[Case], None], spec: OpSpec) -> Case | None:
    """Return the first case that the proof refuses; other errors than a refusal are passed on."""
    for case in cases_of(spec):
        try:
            prove(case)
        except AssertionError:
            return case
    return None


def _general_backward(spec: OpSpec) -> dict[str, BackwardMutant]:
    """Faults that any op may have in its gradients, one argument at a time."""
    mutants: dict[str, BackwardMutant] = {
        f"{name}, argument {i}": functools.partial(_one_wrong, i, fault)
        for i in range(max(len(case.arrays) for case in cases_of(spec)))
        for name, fault in BACKWARD.items()
    }
    mutants["as if dL/dy were ones"] = lambda pull, g, *a, **o: pull(np.ones_like(g), *a, **o)
    return mutants


def _one_wrong(
    i: int,
    fault: Callable[[np.ndarray], np.ndarray],
    pull: Callable[..., list[np.ndarray]],
    g: np.ndarray,
    *arrays: np.ndarray,
    **options: Any,
) -> list[np.ndarray]:
    gradients = pull(g, *arrays, **options)
    return [fault(d) if j == i else d for j, d in enumerate(gradients)]


def _nudged(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y.reshape(-1)[:1] += 1e-6
    return y


def _largest_missing(d: np.ndarray) -> np.ndarray:
    d = np.array(d)
    if d.size:
        d.reshape(-1)[np.abs(d).argmax()] = 0
    return d
