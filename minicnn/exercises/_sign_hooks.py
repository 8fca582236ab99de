"""The exercises on hooks of the lesson on the traffic-sign classifier."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import nn, ops
from minicnn.data import Dataset
from minicnn.estimator import Estimator, Hook, RunContext
from minicnn.exercises._exercise import exercise
from minicnn.metrics import Accuracy
from minicnn.optim import SGD

__all__ = ["OutputHook", "ValidationHook"]


# ---- hooks, played with a small classifier


def _small_estimator(seed: int) -> tuple[Estimator, Callable[[], Dataset], Callable[[], Dataset]]:
    """Return an Estimator with its training input and its validation input."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(59, 4)).astype(np.float32)
    y = (x[:, 0] > 0) + (x[:, 1] + rng.normal(size=59) > 0).astype(np.int64)
    train = Dataset.from_slices((x[:36], y[:36])).shuffle(seed=seed).repeat().batch(9)
    validation = Dataset.from_slices((x[36:], y[36:])).batch(8)  # 8, 8 and 7
    with nn.seed(seed):
        module = nn.Dense(4, 3)
    estimator = Estimator.from_module(
        module,
        ops.sparse_softmax_cross_entropy,
        lambda params: SGD(params, 0.3),
        {"accuracy": Accuracy},
    )
    return estimator, lambda: train, lambda: validation


def _output_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for steps, more in ((4, 3), (1, 2), (5, 0), (3, 4), (2, 5)):
        yield steps, more, int(rng.integers(1000))


def _play_output(answer: Any, steps: int, more: int, seed: int) -> Any:
    """Train twice, as a run that is stopped and goes on; return what is in the file."""
    estimator, train, _ = _small_estimator(seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log.csv")
        hook = answer(path)
        estimator.train(train, steps=steps, hooks=[hook])
        stopped = path.read_text().splitlines() if path.exists() else []
        if more:
            estimator.train(train, steps=more, hooks=[answer(path)])
        lines = path.read_text().splitlines() if path.exists() else []
        del hook
    numbers = [line.split(",") for line in lines if line.strip() and _is_row(line)]
    return {
        "rows when stopped": sum(_is_row(line) for line in stopped),
        "headers": [line.replace(" ", "") for line in lines if not _is_row(line)],
        "rows": [[float(part) for part in row] for row in numbers],
    }


def _is_row(line: str) -> bool:
    """Tell whether a line of a table holds numbers only."""
    try:
        return bool([float(part) for part in line.split(",")])
    except ValueError:
        return False


def _rows_are(wrong: Callable[[np.ndarray, np.ndarray], Any]) -> Callable[..., bool]:
    """Return a symptom that compares the rows, where they are a table as expected."""

    def symptom(got: Any, expected: Any, *_: Any) -> bool:
        rows, right = np.array(got["rows"], np.float64), np.array(expected["rows"])
        return rows.ndim == 2 and bool(wrong(rows, right))

    return symptom


@exercise(
    cases=_output_cases,
    play=_play_output,
    mistakes={},
    symptoms={
        "nothing is written: which method is called after every step?": lambda got, *_: (
            not got["headers"] and not got["rows"]
        ),
        "the file is not on the disk when training ends: close it in `end`, or open it for each "
        "row": lambda got, expected, steps, more, seed: (
            got["rows when stopped"] < expected["rows when stopped"]
        ),
        "going on with the run wipes out what was written before: open the file to append": (
            lambda got, expected, steps, more, seed: (
                more > 0
                and 0 < len(got["rows"]) < len(expected["rows"])
                and got["rows when stopped"] == expected["rows when stopped"]
            )
        ),
        "the header comes again when the run goes on; write it only where there is no file yet": (
            lambda got, expected, *_: (
                len(got["headers"]) > 1 and len(got["rows"]) == len(expected["rows"])
            )
        ),
        "before_step comes too early: there is no loss of this step yet. Write after it": _rows_are(
            lambda rows, right: len(rows) == len(right) and (rows[:, 0] == right[:, 0] - 1).all()
        ),
        "that is the number of steps, but not as the run counts them: take context.step, which "
        "goes on where the run was stopped": _rows_are(
            lambda rows, right: (
                rows.shape == right.shape
                and not np.array_equal(rows[:, 0], right[:, 0])
                and np.allclose(rows[:, 1:], right[:, 1:])
            )
        ),
        "digits are lost: write numbers as they are, and round when you look at them": _rows_are(
            lambda rows, right: (
                rows.shape == right.shape and np.allclose(rows, right, rtol=0.1, atol=0.06)
            )
        ),
        "the columns are step, loss, accuracy, in this order": _rows_are(
            lambda rows, right: (
                rows.shape[1] != 3
                or (
                    rows.shape == right.shape
                    and np.allclose(np.sort(rows, axis=1), np.sort(right, axis=1))
                )
            )
        ),
        "the first line is the header: step,loss,accuracy": lambda got, expected, *_: (
            got["headers"] != expected["headers"]
        ),
    },
)
class OutputHook(Hook):
    """Write a hook that keeps a log: loss and accuracy of every step, in a file.

    The file begins with the line ``step,loss,accuracy``; then comes a row for each step, with all
    digits. A run that was stopped and goes on, with a new hook, adds its rows to the file. When
    `train` has ended, all is on the disk.
    """

    def __init__(self, path: Any) -> None:
        self.path = Path(path)

    def begin(self, context: RunContext) -> None:
        """Write the header, unless the run goes on."""
        if not self.path.exists():
            self.path.write_text("step,loss,accuracy\n")

    def after_step(self, context: RunContext) -> None:
        """Add a row."""
        with self.path.open("a") as file:
            file.write(f"{context.step},{context.loss},{context.metrics['accuracy']}\n")


def _validation_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for every, steps, more in ((3, 5, 4), (2, 3, 4), (4, 6, 5), (5, 7, 5), (3, 4, 6)):
        yield every, steps, more, int(rng.integers(1000))


def _play_validation(answer: Any, every: int, steps: int, more: int, seed: int) -> Any:
    """Train twice, the second time with a hook made anew; return what both remember."""
    estimator, train, validation = _small_estimator(seed)
    history = []
    for count in (steps, more):
        hook = answer(validation, every)
        estimator.train(train, steps=count, hooks=[hook])
        history += [[float(number) for number in row] for row in hook.history]
    alone, now = _trained_alone(seed, steps + more), estimator.module.state_dict()
    undisturbed = all(np.array_equal(alone[name], now[name]) for name in alone)
    return {"history": history, "training undisturbed": undisturbed}


@functools.lru_cache(maxsize=64)
def _trained_alone(seed: int, steps: int) -> Any:
    """Return the weights of a run without hooks."""
    estimator, train, _ = _small_estimator(seed)
    return estimator.train(train, steps=steps).module.state_dict()


def _history_is(wrong: Callable[..., Any]) -> Callable[..., bool]:
    """Return a symptom that compares what was remembered, where it is a table."""

    def symptom(got: Any, expected: Any, every: int, *_: Any) -> bool:
        rows = np.array(got["history"], np.float64)
        right = np.array(expected["history"])
        return rows.ndim == 2 and bool(wrong(rows, right, every))

    return symptom


class _OneBatch(Hook):
    """Evaluates on the first batch only."""

    def __init__(self, input_fn: Any, every: int) -> None:
        self.input_fn, self.every = input_fn, every
        self.history: list[tuple[Any, ...]] = []

    def results(self, context: RunContext) -> Any:
        return context.estimator.evaluate(self.input_fn, steps=1)

    def after_step(self, context: RunContext) -> None:
        if context.step % self.every == 0:
            results = self.results(context)
            self.history.append((context.step, results["loss"], results["accuracy"]))


class _TrainingBatch(_OneBatch):
    """Remembers the training batch instead."""

    def results(self, context: RunContext) -> Any:
        return {"loss": context.loss, **context.metrics}


class _MeanOfBatches(_OneBatch):
    """Averages batches of different sizes."""

    def results(self, context: RunContext) -> Any:
        batches = list(self.input_fn())
        found = [context.estimator.evaluate(functools.partial(list, [b])) for b in batches]
        return {name: np.mean([one[name] for one in found]) for name in ("loss", "accuracy")}


@exercise(
    cases=_validation_cases,
    play=_play_validation,
    mistakes={
        "one batch is not the validation set: go through all of it": _OneBatch,
        "those are loss and accuracy of the training batch; evaluate on the other images": (
            _TrainingBatch
        ),
        "the last batch is smaller, but counts as much as the others; the estimator's own "
        "evaluate weighs them by their examples": _MeanOfBatches,
    },
    symptoms={
        "the validation batches are trained on; evaluate must not change the weights": (
            lambda got, *_: not got["training undisturbed"]
        ),
        "nothing is remembered in self.history": lambda got, *_: not got["history"],
        "it is done after every step; every `every`-th is enough": _history_is(
            lambda rows, right, every: len(rows) >= 2 and set(np.diff(rows[:, 0])) == {1.0}
        ),
        "too early: before_step comes before the step, when context.step still counts the ones "
        "before it": _history_is(
            lambda rows, right, every: (
                (rows[:, 0] % every == 0).all() and not np.array_equal(rows[:, 0], right[:, 0])
            )
        ),
        "the steps are not multiples of `every` of the run: a counter of your own begins anew "
        "when the run goes on; context.step does not": _history_is(
            lambda rows, right, every: (rows[:, 0] % every != 0).any()
        ),
        "each entry of history is (step, loss, accuracy)": lambda got, expected, *_: any(
            len(row) != 3 for row in got["history"]
        ),
    },
)
class ValidationHook(Hook):
    """Write a hook that goes over the whole validation set after every `every`-th step.

    `input_fn` returns the Dataset of the validation set. Remember in ``self.history`` a tuple
    (step, loss, accuracy) each time. Steps are those of the run, which may have been stopped and
    gone on with a new hook.
    """

    def __init__(self, input_fn: Any, every: int) -> None:
        self.input_fn, self.every = input_fn, every
        self.history: list[tuple[Any, ...]] = []

    def after_step(self, context: RunContext) -> None:
        """Evaluate if it is time."""
        if context.step % self.every == 0:
            results = context.evaluate(self.input_fn, "validation")
            self.history.append((context.step, results["loss"], results["accuracy"]))
