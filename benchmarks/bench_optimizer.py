"""Optimisers: the time of one update, and its memory.

    python -m benchmarks.bench_optimizer

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_optimizer``.
"""

import sys

import numpy as np

from benchmarks._measure import run_suite
from benchmarks._minicnn_side import build
from benchmarks._nets import NETS
from minicnn import Tensor, optim

RULES = {
    "SGD": lambda p: optim.SGD(p, 0.01),
    "SGD, momentum": lambda p: optim.SGD(p, 0.01, momentum=0.9),
    "SGD, clipped": lambda p: optim.SGD(p, 0.01, momentum=0.9, clip_norm=1.0),
    "Adam": lambda p: optim.Adam(p, 0.001),
    "AdamW": lambda p: optim.AdamW(p, 0.001),
}


class Update:
    """One step of all parameters of a net: many small ones, or few large."""

    params = (["seednet", "wide"], list(RULES))
    param_names = ("net", "rule")

    def setup(self, net: str, rule: str) -> None:
        """Make the net and gradients for it."""
        parameters = list(build(NETS[net]).parameters())
        rng = np.random.default_rng(0)
        for p in parameters:
            p.grad = Tensor(rng.standard_normal(p.shape, dtype=np.float32))
        self.optimizer = RULES[rule](parameters)

    def time_step(self, net: str, rule: str) -> None:
        """Change the weights once."""
        self.optimizer.step()

    def peakmem_step(self, net: str, rule: str) -> None:
        """Change them once, for the memory of the velocities."""
        self.optimizer.step()


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
