"""What the look for NaN costs that every run takes: training with it and without, in turns.

python -m benchmarks.bench_number_check
"""

import itertools
import statistics
import time

import numpy as np

from benchmarks._measure import table
from benchmarks._minicnn_side import build
from benchmarks._nets import NETS, example
from minicnn import nn, ops, optim
from minicnn.data import Dataset
from minicnn.estimator import Estimator, Hook, RunConfig, RunContext

TURNS = 40  # of each run
STEPS = {"seednet": 10, "tiny": 100}  # in a turn
RULES = {
    "SGD": lambda p: optim.SGD(p, 0.01, momentum=0.9),
    "AdamW": lambda p: optim.AdamW(p, 0.001),
}


def run_of(net: str, rule: str, check: str | None) -> tuple[Estimator, Dataset]:
    """Return a run and its data: the same batch again and again."""
    if net == "tiny":
        rng = np.random.default_rng(0)
        images = rng.standard_normal((8, 2, 6, 6), dtype=np.float32)
        labels = rng.integers(0, 3, 8)
        with nn.seed(0):
            conv = nn.Conv2d(2, 4, 3, normalizer=nn.BatchNorm2d, activation=ops.relu)
            module: nn.Module = nn.Sequential(conv, nn.Flatten(), nn.Dense(4 * 36, 3))
    else:
        images, labels = example(NETS[net], "train")
        images, module = images.transpose(0, 3, 1, 2), build(NETS[net])
    data = Dataset.from_slices((images, labels)).batch(len(images)).repeat()
    config = RunConfig(check_numbers=check)
    loss = ops.sparse_softmax_cross_entropy
    return Estimator.from_module(module, loss, RULES[rule], config=config), data


class Clock(Hook):
    """Notes when steps end."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def after_step(self, context: RunContext) -> None:
        """Note the end of a step."""
        self.ends.append(time.perf_counter())


def seconds_of(run: tuple[Estimator, Dataset], steps: int) -> list[float]:
    """Train; return the times of the steps after the first, in which more is looked at."""
    estimator, data = run
    clock = Clock()
    estimator.train(lambda: data, steps=steps + 1, hooks=[clock])
    return [end - start for start, end in itertools.pairwise(clock.ends)]


def main() -> None:
    """Print the time of a step with and without."""
    rows: list[tuple[object, ...]] = [
        ("first quartile", "ms without", "with", "more, us", "more, %")
    ]
    for net, steps in STEPS.items():
        for rule in RULES:
            runs = {check: run_of(net, rule, check) for check in (None, "auto")}
            times: dict[str | None, list[float]] = {check: [] for check in runs}
            for turn in range(TURNS):
                for check in sorted(runs, key=str, reverse=bool(turn % 2)):
                    times[check] += seconds_of(runs[check], steps)
            # The fast quarter: what else the machine does makes steps slower, never faster
            kept = [times[check][TURNS * steps // 6 :] for check in (None, "auto")]
            without, with_it = (1e3 * statistics.quantiles(t, n=4)[0] for t in kept)
            more = with_it - without
            rows.append((f"{net}, {rule}", without, with_it, 1e3 * more, 100 * more / without))
    print(table(rows))


if __name__ == "__main__":
    main()
