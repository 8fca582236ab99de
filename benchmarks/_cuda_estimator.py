"""The Estimator's training step on a GPU: what users of it get, batches on their way included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks._clock import Clock
from benchmarks._cuda_minicnn import halved, precisely
from benchmarks._cuda_request import Request
from benchmarks._measure import MOST, Budget, Times
from benchmarks._minicnn_side import build, ready_batches
from benchmarks._nets import LEARNING_RATE, MOMENTUM
from minicnn import ops, optim
from minicnn.estimator import Estimator, Hook, RunConfig, RunContext

Train = Callable[[Clock, float], Times]


class Marks(Hook):
    """Marks the ends of steps in the device's queue, after a warm-up."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        fewest = max(clock.warm_up, 5)  # some steps pass before one is captured
        self._warm = Budget(seconds / 4, fewest, MOST)
        self._seconds = seconds
        self._budget: Budget | None = None
        self.marks: list[Any] = []

    def after_step(self, context: RunContext) -> None:
        """Note a step that is queued."""
        if self._budget is None:
            self._warm.count += 1
            if self._warm.left():
                return
            self._clock.wait()
            self._budget = Budget(self._seconds, self._clock.fewest, MOST)
        else:
            self._budget.count += 1
        self.marks.append(self._clock.mark())
        if not self._budget.left():
            context.stop("measured enough")


def trainings(request: Request) -> Iterator[tuple[str, Callable[[], Train]]]:
    """Yield functions that train, by names such as "tf32/graph Estimator"."""
    for precision in request.precisions:
        for mode in request.modes:

            def make(precision: str = precision, mode: str = mode) -> Train:
                def train(clock: Clock, seconds: float) -> Times:
                    with precisely(precision), halved(precision):
                        return times(request, mode, clock, seconds)

                return train

            yield f"{precision}/{mode} Estimator", make


def times(request: Request, mode: str, clock: Clock, seconds: float) -> Times:
    """Return the milliseconds of steps; their batches lie ready in the host's memory."""
    estimator = Estimator.from_module(
        build(request.net),
        loss=ops.sparse_softmax_cross_entropy,
        optimizer=lambda params: optim.SGD(params, LEARNING_RATE, momentum=MOMENTUM),
        config=RunConfig(device=request.device, cuda_graph=mode == "graph"),
    )
    marks, data = Marks(clock, seconds), ready_batches(request.net)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", r"RunConfig\(cuda_graph")  # else the steps are eager ones
        estimator.train(lambda: data, hooks=[marks])
    estimator.close()
    return clock.intervals(marks.marks)
