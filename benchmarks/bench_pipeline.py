"""The input pipeline beside the training step that eats from it, in images a second.

    python -m benchmarks.bench_pipeline [--data GTSRB.zip] [--threads 1 2]

Real photographs where there are some (``--data``, or the variable MINICNN_GTSRB), else drawn signs.
Decoding is done once and kept on disk; a step needs what is under "augment, batch": a view of each
image at random, standardised, 128 at a time, on two threads; the line below it says how many a
single core does. The steps are those of the traffic-sign classifier, through the Estimator: on a
batch that lies ready, and fed by the pipeline; what the second lacks is what the pipeline costs,
which takes its time from cores that the step would use. With asv, the stages are measured.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from benchmarks._measure import alternate, in_own_process, median_of, table
from benchmarks._minicnn_side import Stopwatch
from minicnn.apps.gtsrb import Settings, load_signs, make_estimator, training_input
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import RandomView, standardize
from minicnn.data.sign_table import SignTable

BATCH, SECONDS, ROUNDS = 128, 3.0, 3
WARM_UP = 20  # batches, some of which were prepared ahead
WORKERS = 2  # threads of the pipeline: what `training_input` has by default
ALONE, CORES = "augment, batch", "the same, a core's time"
FED, READY = "step fed by the pipeline", "step with data ready"


class Stages:
    """What happens to a batch of 128 images of 32x32 pixels."""

    params = (["view", "standardize", "both"],)
    param_names = ("stage",)

    def setup(self, stage: str) -> None:
        """Make images and the function."""
        numbers = np.random.default_rng(0)
        self.images = numbers.integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)
        view, stream = RandomView(), Stream(0, "benchmark")
        seen = view(self.images, stream)
        self.call: Callable[[], object] = {
            "view": lambda: view(self.images, stream),
            "standardize": lambda: standardize(seen),
            "both": lambda: standardize(view(self.images, stream)),
        }[stage]

    def time_batch(self, stage: str) -> None:
        """Prepare a batch on one thread."""
        self.call()


def main() -> None:
    """Measure what the command line asks for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("MINICNN_GTSRB"))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of the kernels")
    arguments = parser.parse_args()
    data = photographs(arguments.data)
    print(f"images: {data or 'drawn signs'}; images/s")
    rows = []
    for threads in arguments.threads:
        works = (ALONE, CORES, READY, FED)
        sides = {work: _side(work, data, threads) for work in works}
        results, failures = alternate(sides, ROUNDS)
        if failures:
            raise SystemExit(f"not measured: {failures}")
        rates = {work: BATCH / median_of(runs) * 1e3 for work, runs in results.items()}
        rows += [(f"{work}, {threads} threads", rate) for work, rate in rates.items()]
        lost = 1 - rates[FED] / rates[READY]
        rows.append((f"lost by being fed, {threads} threads", f"{lost:.1%}"))
    print(table([*reading(data), *rows]))


def _side(work: str, data: str | None, threads: int) -> Callable[[], list[float]]:
    words = [work, *([data] if data else [])]
    return lambda: in_own_process("benchmarks._pipeline_side", words, threads)


def photographs(given: str | None) -> str | None:
    """Return where the photographs are; of a folder of several archives the largest."""
    if given is None:
        return None
    path = Path(given).resolve()
    archives = sorted(path.glob("*.zip"), key=lambda p: p.stat().st_size) if path.is_dir() else []
    return str(archives[-1] if archives else path)


def reading(data: str | None) -> Iterator[tuple[str, float]]:
    """Decode, or draw, all images; then read them from the cache on disk."""
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("MINICNN_CACHE")
        os.environ["MINICNN_CACHE"] = folder
        try:
            for name in ("decode" if data else "draw", "read from the cache"):
                start = time.perf_counter()
                images = len(load_signs(Settings(data=data)))
                yield f"{name}, once", images / (time.perf_counter() - start)
        finally:
            os.environ.pop("MINICNN_CACHE")
            if before is not None:
                os.environ["MINICNN_CACHE"] = before


def batches_alone(settings: Settings, signs: SignTable, work: str) -> list[float]:
    """Return the milliseconds of a batch that nobody uses: those that passed, or of all cores."""
    clock = time.process_time if work == CORES else time.perf_counter
    with iter(training_input(settings, signs, WORKERS)) as batches:
        for _ in range(WARM_UP):
            next(batches)
        start, begin, count = clock(), time.perf_counter(), 0
        while time.perf_counter() < begin + SECONDS:
            next(batches)
            count += 1
        return [(clock() - start) / count * 1e3]


def steps(settings: Settings, signs: SignTable, work: str) -> list[float]:
    """Return the milliseconds of each training step of the classifier."""
    data = training_input(settings, signs, WORKERS)
    if work == READY:
        with iter(data) as batches:
            images, labels = next(batches)
        data = Dataset.from_slices((images[None], labels[None])).repeat()
    watch = Stopwatch(SECONDS, most=100_000)
    with tempfile.TemporaryDirectory() as folder:
        estimator = make_estimator(settings, signs, Path(folder), save_every=10**9)
        estimator.train(lambda: data, hooks=[watch])
    return watch.times


if __name__ == "__main__":
    main()
