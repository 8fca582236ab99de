"""Every op on the device, by the proofs of tests/ops/driver.py: no file of tests is copied.

An op is tried as ``op(x.to(device), ...).to("cpu")``; the copies are ops with gradients themselves.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from minicnn.autograd import Tensor
from tests.ops.driver import for_all, prove_forward, prove_gradient, prove_narrow, prove_special
from tests.ops.registry import all_specs
from tests.ops.spec import OpSpec

FEW = 4  # random cases of each op: the kernels' own tests try their edges


def on_device(spec: OpSpec, device: str) -> OpSpec:
    """Return the spec of an op that computes on another device than its arguments are on."""

    def moved(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        if isinstance(value, np.ndarray):
            return Tensor(value).to(device).data
        return value

    def op(*tensors: Tensor, **options: Any) -> Tensor:
        options = {name: moved(value) for name, value in options.items()}
        y = spec.op(*(t.to(device) for t in tensors), **options)
        assert y.device == device, f"{spec.name} left the device"
        return y.to("cpu")

    return dataclasses.replace(spec, op=op)


@pytest.mark.parametrize("spec", all_specs(), ids=lambda spec: spec.name)
class TestOnDevice:
    def test_edges(self, spec: OpSpec, device: str) -> None:
        there = on_device(spec, device)
        for case in spec.edges.values():
            prove_forward(there, case, there.op)
            prove_gradient(there, case, there.op, explain=False)

    def test_random_cases(self, spec: OpSpec, device: str) -> None:
        there = on_device(spec, device)

        def prove(case: Any) -> None:
            prove_forward(there, case, there.op)
            prove_gradient(there, case, there.op, explain=False)

        for_all(spec.cases, prove, FEW)

    @pytest.mark.parametrize("dtype", [np.float32, np.float16])
    def test_narrow_floats(self, spec: OpSpec, device: str, dtype: Any) -> None:
        there = on_device(spec, device)
        for_all(spec.cases, lambda case: prove_narrow(there, case, dtype), 2)

    def test_special_values(self, spec: OpSpec, device: str) -> None:
        there = on_device(spec, device)
        for name in spec.special:
            prove_special(there, name, np.float32)
