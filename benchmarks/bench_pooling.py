"""Pooling: forward, backward, memory.

    python -m benchmarks.bench_pooling

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_pooling``.
"""

import sys
from typing import ClassVar

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import IMAGES, case
from minicnn import ops


class Pooling(_suites.OpSuite):
    """Of images."""

    cases: ClassVar = {
        "max 2x2": case(ops.max_pool2d, IMAGES, size=2),
        "max 3x3 stride 2": case(ops.max_pool2d, IMAGES, size=3, stride=2, padding=1),
        "average 2x2": case(ops.avg_pool2d, IMAGES, size=2),
        "global average": case(ops.global_avg_pool2d, IMAGES),
        "adaptive average to 7x7": case(ops.adaptive_avg_pool2d, IMAGES, output_size=7),
    }


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
