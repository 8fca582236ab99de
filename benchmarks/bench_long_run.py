"""What grows in a run that goes on and on: nothing should.

    python -m benchmarks.bench_long_run [--steps 10000] [--works run ...] [--counts]

A run of so many steps has everything on: an input with workers, shuffling, random maps and
prefetching, and all hooks. The other works repeat what a program may do for weeks: short calls of
`train`, evaluations and predictions, inputs that are left in the middle, Estimators that are
dropped, calls that fail or that Ctrl-C ends. Each goes through twenty readings; what is shown is by
how much the highest one of the second half is above the highest one of the first: resident memory,
objects that the garbage collector knows, threads, open files, mappings of memory, files in the
run's folder (logs aside, of which each call begins one), bytes of a checkpoint. The time is that of
the last tenth of the steps against the second tenth, in each the least median of 100 steps; and
that of a save likewise. Ends with status 1 if something grows. ``--counts`` leaves out what
a busy machine can disturb: memory and times.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._growth import LIMITS, READINGS, Watch, faults, growth, ratios
from benchmarks._measure import in_own_process, table
from minicnn import models, nn, ops
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.errors import MinicnnError
from minicnn.estimator import (
    BestCheckpoint,
    EarlyStopping,
    Estimator,
    Hook,
    Interrupted,
    LearningRateHook,
    NaNGuard,
    OutputHook,
    PlotHook,
    ProgressHook,
    RunConfig,
    RunContext,
    TensorBoardHook,
    ValidationHook,
)
from minicnn.metrics import Accuracy, ConfusionMatrix
from minicnn.optim import Adam

CLASSES = 3
POINTS = 16  # of a curve: no more, however short the run


class TimedEstimator(Estimator):
    """An Estimator whose checkpoints are measured."""

    watch: Watch

    def save(self) -> Path:
        """Save, and note how long it took and how much it is."""
        start = time.perf_counter()
        path = super().save()
        self.watch.save(path, time.perf_counter() - start)
        return path


class Turns(Hook):
    """Tells a watch of each step."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def after_step(self, context: RunContext) -> None:
        """Count the step."""
        self.watch.turn()


class Fail(Hook):
    """Ends a call of `train` in one way or another."""

    def __init__(self, how: Callable[[], object]) -> None:
        self.how = how

    def before_update(self, context: RunContext) -> None:
        """Do it."""
        self.how()


def images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return pictures of which the mean tells the class."""
    stream = Stream(0, "images")
    labels = stream.integers(0, CLASSES, count)
    pictures = stream.normal((count, 3, size, size), dtype=np.float32)
    return pictures + labels[:, None, None, None].astype(np.float32), labels


def augment(image: np.ndarray, label: Any, stream: Stream) -> tuple[np.ndarray, Any]:
    """Add noise to an image."""
    return image + np.float32(0.1) * stream.normal(image.shape, dtype=np.float32), label


def training_data(size: int, batch: int, workers: int = 2) -> Dataset:
    """Return an endless input with all that an input can have."""
    data = Dataset.from_slices(images(90, size)).shuffle(seed=1)
    data = data.map(augment, workers=workers, random=True, seed=2).repeat()
    return data.shuffle(seed=3, buffer=20).batch(batch).prefetch(2 if workers else 0)


def validation_data(size: int) -> Dataset:
    """Return two batches."""
    return Dataset.from_slices(images(32, size)).map(lambda x, y: (x, y), workers=1).batch(16)


def net(size: int) -> nn.Module:
    """Return SeedNet, or for small images a smaller one."""
    with nn.seed(0):
        if size >= 32:
            return models.SeedNet(classes=CLASSES, channels=8)
        convolution = nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=ops.relu)
        return nn.Sequential(
            convolution, nn.Dropout(0.2), nn.GlobalAvgPool2d(), nn.Dense(4, CLASSES)
        )


def estimator(watch: Watch, size: int, save_every: int | None = None, keeps: bool = True) -> Any:
    """Return an Estimator that writes to the watch's folder, or to none."""
    made = TimedEstimator.from_module(
        net(size),
        ops.sparse_softmax_cross_entropy,
        lambda params: Adam(params, 1e-3),
        {"accuracy": Accuracy},
        config=RunConfig(watch.folder if keeps else None, save_every=save_every, keep=2),
    )
    made.watch = watch
    return made


def all_hooks(size: int, every: int, turn: int = 0) -> list[Hook]:
    """Return every hook there is; one draws, which takes long, at every 20th turn only."""
    plot = [] if turn % 20 else [PlotHook(seconds=30.0, points=POINTS)]
    return [
        *plot,
        LearningRateHook(),
        OutputHook(),
        TensorBoardHook(every=1),
        ValidationHook(lambda: validation_data(size), every),
        EarlyStopping(patience=10**9),
        BestCheckpoint(),
        ProgressHook(every=10, file=io.StringIO()),
        NaNGuard(),
    ]


def long_run(watch: Watch, size: int, batch: int) -> None:
    """Train in one call."""
    every = max(1, watch.count // (2 * READINGS))
    run = estimator(watch, size, save_every=every)
    hooks = [*all_hooks(size, every), Turns(watch)]
    run.train(lambda: training_data(size, batch), steps=watch.count, hooks=hooks)
    run.close()


def short_calls(watch: Watch) -> None:
    """Call `train` for a step, with hooks of its own; each call saves."""
    run, data = estimator(watch, 6), training_data(6, 8)
    for turn in range(watch.count):
        run.train(lambda: data, steps=1, hooks=all_hooks(6, 50, turn))
        watch.turn()
    run.close()


def evaluations(watch: Watch) -> None:
    """Evaluate and predict; of the predictions every second one is left in the middle."""
    run = estimator(watch, 6, keeps=False)
    run.train(lambda: training_data(6, 8), steps=1)
    matrix = ConfusionMatrix(CLASSES)
    for turn in range(watch.count):
        run.evaluate(lambda: validation_data(6))
        predictions = run.predict(lambda: validation_data(6))
        for _ in range(1 if turn % 2 else 32):
            matrix.update(next(predictions)["probabilities"][None], np.zeros(1, np.int64))
        del predictions
        watch.turn()
    run.close()


def left_inputs(watch: Watch) -> None:
    """Leave inputs in the middle: closed, dropped or broken."""
    data = training_data(6, 8)
    broken = data.map(lambda images, labels: images @ labels[:0])
    for turn in range(watch.count):
        iterator = iter(broken if turn % 3 == 2 else data)
        with contextlib.suppress(ValueError):
            next(iterator)
        if turn % 3 == 0:
            iterator.close()
        del iterator
        watch.turn()


def dropped_estimators(watch: Watch) -> None:
    """Make Estimators that nobody closes."""
    data = training_data(6, 8)
    for _ in range(watch.count):
        estimator(watch, 6, keeps=False).train(lambda: data, steps=1)
        watch.turn()


def failing_calls(watch: Watch) -> None:
    """Call `train` such that it fails in a step."""

    def fail() -> None:
        raise MinicnnError("on purpose")

    run, data = estimator(watch, 6), training_data(6, 8)
    for turn in range(watch.count):
        with contextlib.suppress(MinicnnError):
            run.train(lambda: data, steps=2, hooks=[*all_hooks(6, 50, turn + 1), Fail(fail)])
        watch.turn()
    run.close()


def interrupted_calls(watch: Watch) -> None:
    """Call `train` and end it by Ctrl-C, pressed once or twice."""
    run, data = estimator(watch, 6), training_data(6, 8)
    for turn in range(watch.count):

        def press(times: int = 1 + turn % 2) -> None:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

        with contextlib.suppress(Interrupted):
            run.train(lambda: data, steps=2, hooks=[*all_hooks(6, 50, turn + 1), Fail(press)])
        watch.turn()
    run.close()


class Work(NamedTuple):
    """What is repeated, and how often where a run has 10,000 steps."""

    repeat: Callable[[Watch], None]
    share: int  # one turn for so many steps


WORKS = {
    "run": Work(lambda watch: long_run(watch, 6, 8), 1),
    "seednet": Work(lambda watch: long_run(watch, 32, 64), 10),
    "short calls": Work(short_calls, 10),
    "evaluations": Work(evaluations, 10),
    "left inputs": Work(left_inputs, 10),
    "dropped": Work(dropped_estimators, 10),
    "failing calls": Work(failing_calls, 20),
    "interrupted": Work(interrupted_calls, 20),
}


def watched(name: str, steps: int) -> dict[str, Any]:
    """Do one work in this process; return what grew, and the times."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    work = WORKS[name]
    with tempfile.TemporaryDirectory() as folder, quiet():
        watch = Watch(Path(folder), max(READINGS, steps // work.share))
        work.repeat(watch)
    if handlers != [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]:
        raise SystemExit(f"{name}: a handler of a signal was left behind")
    highest = dict(zip(LIMITS, map(max, zip(*watch.readings, strict=True)), strict=True))
    return {"turns": watch.count, "grown": growth(watch), "highest": highest, **ratios(watch)}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what is written to the standard error stream, as of Ctrl-C."""
    with open(os.devnull, "w") as nowhere:
        kept = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=[*WORKS])
    parser.add_argument("--counts", action="store_true", help="neither memory nor times")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.here:  # in a process of its own
        print(json.dumps(watched(options.works[0], options.steps)))
        return 0
    rows: list[tuple[object, ...]] = [
        ("growth in the 2nd half", "turns", *LIMITS, "ms a turn", "ratio", "ms a save", "ratio")
    ]
    said = []
    for name in options.works:
        words = ["--here", "--steps", str(options.steps), "--works", name]
        found = in_own_process("benchmarks.bench_long_run", words, 2, limit=7200.0)
        times = [found.get(key) for key in ("step", "slower", "save", "save slower")]
        grown = [
            f"{found['grown'][key]:+,} of {most:,}" if most else None
            for key, most in found["highest"].items()
        ]
        rows.append((name, found["turns"], *grown, *times))
        said += [f"{name}: {fault}" for fault in faults(found, options.counts)]
    print(table(rows))
    print("\n".join(["this grows:", *said] if said else ["nothing grows"]))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
