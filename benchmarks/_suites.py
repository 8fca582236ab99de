"""The form of the benchmarks of ops: each case once forward, once backward, and its memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minicnn import Tensor

IMAGES = (128, 16, 32, 32)  # N, C, H, W of most cases


class Case(NamedTuple):
    """An op, the shapes of the tensors it is differentiated by, and what else it is given."""

    op: Callable[..., Tensor]
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any]


def case(op: Callable[..., Tensor], *shapes: tuple[int, ...], **options: Any) -> Case:
    """Return a case."""
    return Case(op, shapes, options)


def tensor(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Return random numbers, channels-last in memory, that want a gradient."""
    rng = np.random.default_rng(seed)
    if len(shape) < 3:
        return Tensor(rng.standard_normal(shape, dtype=np.float32), requires_grad=True)
    numbers = rng.standard_normal((shape[0], *shape[2:], shape[1]), dtype=np.float32)
    return Tensor(np.moveaxis(numbers, -1, 1), requires_grad=True)


class OpSuite:
    """Benchmarks of the cases in the dict `cases`, one after the other."""

    cases: ClassVar[dict[str, Case]] = {}
    param_names = ("case",)

    def __init_subclass__(cls) -> None:
        cls.params = list(cls.cases)

    def setup(self, name: str) -> None:
        """Make the arguments, the result, and a gradient of it."""
        case = self.cases[name]
        self.inputs = [tensor(shape, seed) for seed, shape in enumerate(case.shapes)]
        self.call = lambda: case.op(*self.inputs, **case.options)
        self.y = self.call()
        numbers = np.random.default_rng(9).standard_normal(self.y.shape)
        self.grad = Tensor(np.asarray(numbers, np.float32).reshape(self.y.shape))

    def time_forward(self, name: str) -> None:
        """Call the op; its history is kept, as in training."""
        self.call()

    def time_backward(self, name: str) -> None:
        """Compute the gradients of all its tensors."""
        for x in self.inputs:
            x.grad = None
        self.y.backward(self.grad, retain_graph=True)

    def peakmem_forward_backward(self, name: str) -> None:
        """Do both, ten times."""
        for _ in range(10):
            self.call().backward(self.grad)
