"""Products of matrices: forward, backward, memory.

    python -m benchmarks.bench_dense

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_dense``.
"""

import sys
from typing import ClassVar

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import case
from minicnn import ops


class Dense(_suites.OpSuite):
    """x (N, I) times weight (O, I), plus bias."""

    cases: ClassVar = {
        f"{n} x {i} to {o}": case(ops.dense, (n, i), (o, i), (o,))
        for n, i, o in ((1, 1024, 1024), (128, 32, 100), (128, 1024, 1024), (512, 2048, 2048))
    }


class Matmul(_suites.OpSuite):
    """Stacks of matrices."""

    cases: ClassVar = {"16 of 256x256": case(ops.matmul, (16, 256, 256), (16, 256, 256))}


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
