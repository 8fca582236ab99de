"""What an op promises, as data: `OpSpec`.  tests/ops/driver.py turns one into tests.

To prove a new op, write its `OpSpec` in the file of its family: cases of many
geometries, an oracle (plain loops that share no code with the op), what a wrong
call says, and wrong versions of it that the same tests must refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor

# (right value, *arrays, **options) -> wrong value
ForwardMutant = Callable[..., np.ndarray]
# (pull, dL/dy, *arrays, **options) -> wrong gradients, one for each array, where
# pull(dL/dy, *arrays, **options) computes the right ones (of these or of altered arguments)
BackwardMutant = Callable[..., Sequence[np.ndarray]]


@dataclass(frozen=True)
class Case:
    """One call of an op: the arrays that have gradients, and its other arguments."""

    arrays: tuple[np.ndarray, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        shapes = ", ".join(str(a.shape) for a in self.arrays)
        options = ", ".join(f"{k}={_short(v)}" for k, v in self.options.items())
        return f"{shapes}; {options}" if options else shapes

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))  # how hypothesis shows a failing case


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.size > 12:
        return f"<{value.dtype} {value.shape}>"
    return repr(value.tolist() if isinstance(value, np.ndarray) else value)


@dataclass(frozen=True)
class Special:
    """A call with NaN, infinities or ties, and the exact answer."""

    case: Case
    value: Any


@dataclass(frozen=True)
class ErrorCase:
    """A wrong call, the error it must raise, and what the message must say."""

    call: Callable[[], Any]
    error: type[Exception]
    match: str


@dataclass(frozen=True)
class OpSpec:
    """Everything that an op promises.

    Parameters
    ----------
    name : str
        The op's name; the tests carry it.
    op : callable
        ``op(*tensors, **options) -> Tensor``.
    cases : strategy of Case
        float64 arrays, away from kinks and ties, over every geometry.
    oracle : callable
        ``oracle(*arrays, **options) -> array_like``, the definition in plain loops.
    integers : Case or str
        A call with whole numbers that is computed, or a regular expression of the DTypeError.
    edges : mapping of str to Case
        Geometries that must not be left to chance; "empty" is one of them.
    special : mapping of str to Special
        NaN, infinities, ties: the value alone.
    errors : sequence of ErrorCase
        One for each message.
    forward_mutants, backward_mutants : mapping of str to callable
        Wrong versions of this op, beyond the general ones of the driver.
    order : int
        How many times the op can be differentiated.
    summands : callable
        The most numbers that are added up for one element, forward or backward, in a Case.
    examples : int
        How many random cases, no two of one geometry (shapes and options), the gradient is tried
        on; the other proofs take a share of as many.
    """

    name: str
    op: Callable[..., Tensor]
    cases: st.SearchStrategy[Case]
    oracle: Callable[..., Any]
    integers: Case | str
    edges: Mapping[str, Case]
    special: Mapping[str, Special] = field(default_factory=dict)
    errors: Sequence[ErrorCase] = ()
    forward_mutants: Mapping[str, ForwardMutant] = field(default_factory=dict)
    backward_mutants: Mapping[str, BackwardMutant] = field(default_factory=dict)
    order: int = 2
    summands: Callable[[Case], int] = lambda case: 1
    examples: int = 200
