"""How fast the implementations of an op are, and how far they differ."""

from __future__ import annotations

import contextlib
import copy
import inspect
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, no_grad
from minicnn.autograd.graph import tensors_in
from minicnn.backend import jit_enabled

ENOUGH = 0.2  # seconds of measuring for each implementation
FEWEST, MOST = 3, 1000  # calls


def operands(op: Callable[..., Any], args: tuple[Any, ...]) -> list[Any]:
    """Return arguments with random Tensors in place of shapes where a Tensor is wanted.

    The numbers are between 0.1 and 0.9, where all functions are smooth.
    """
    parameters = list(inspect.signature(op).parameters.values())
    stream = np.random.default_rng(0)
    made = []
    for i, argument in enumerate(args):
        annotation = str(parameters[min(i, len(parameters) - 1)].annotation)
        wanted = annotation.startswith("Tensor") or annotation == "Operand"
        shape = isinstance(argument, tuple) and all(isinstance(n, int) for n in argument)
        if wanted and shape:
            made.append(Tensor(stream.uniform(0.1, 0.9, argument).astype(np.float32)))
        else:
            made.append(argument)
    return made


def run(op: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> list[np.ndarray]:
    """Return the values of an op as arrays; what changes when used, as streams do, is copied."""
    given = [a if isinstance(a, Tensor | np.ndarray) else copy.deepcopy(a) for a in args]
    with no_grad(), np.errstate(all="ignore"):
        result = op(*given, **{n: copy.deepcopy(a) for n, a in kwargs.items()})
    return [t.numpy() for t in tensors_in(result)]


def best_time(call: Callable[[], Any]) -> float:
    """Return the seconds of the fastest of several calls, after one that may compile."""
    call()
    best, spent, calls = float("inf"), 0.0, 0
    while calls < FEWEST or (spent < ENOUGH and calls < MOST):
        start = time.perf_counter()
        call()
        took = time.perf_counter() - start
        best, spent, calls = min(best, took), spent + took, calls + 1
    return best


@contextlib.contextmanager
def computed_by(kind: str) -> Iterator[None]:
    """Let NumPy arrays be computed by the plain kernels or the CPU's, inside a ``with`` block."""
    before = os.environ.get("MINICNN_JIT")
    os.environ["MINICNN_JIT"] = "0" if kind == "plain" else "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MINICNN_JIT"]
        else:
            os.environ["MINICNN_JIT"] = before


def kinds_for(args: list[Any], has_kernels: bool) -> list[str]:
    """Return which implementations there are to compare for such arguments."""
    if any(t.device != "cpu" for t in tensors_in(args)):
        return ["cuda"]
    if not has_kernels:
        return ["array expressions"]
    return ["plain", "cpu"] if jit_enabled() else ["plain"]


def as_type(given: Any, dtype: str) -> Any:
    """Return arguments with all arrays of floats in another type."""
    if isinstance(given, Tensor):
        return Tensor(as_type(given.data, dtype))
    if isinstance(given, dict):
        return {name: as_type(value, dtype) for name, value in given.items()}
    if isinstance(given, list):
        return [as_type(value, dtype) for value in given]
    floats = isinstance(given, np.ndarray) and given.dtype.kind == "f"
    return given.astype(dtype) if floats else given


def has_floats(given: Any) -> bool:
    """Tell whether there are arrays of floats among arguments."""
    if isinstance(given, dict | list):
        return any(map(has_floats, given.values() if isinstance(given, dict) else given))
    return isinstance(given, Tensor | np.ndarray) and given.dtype.kind == "f"


def farthest(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Return the largest absolute difference of two results; NaN if only one has a number."""
    differences = [0.0]
    for x, y in zip(a, b, strict=True):
        with np.errstate(invalid="ignore"):
            apart = np.abs(x.astype(np.float64) - y.astype(np.float64))
        same = (x == y) | (np.isnan(apart) & (np.isnan(x) == np.isnan(y)))
        differences.append(float(np.where(same, 0.0, apart).max(initial=0.0)))
    return float(np.max(differences))
