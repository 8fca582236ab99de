"""Activations: forward, backward, memory.

    python -m benchmarks.bench_activation

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_activation``.
"""

import sys
from typing import ClassVar

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import IMAGES, case
from minicnn import ops


class Activation(_suites.OpSuite):
    """Of images."""

    cases: ClassVar = {
        op.__name__: case(op, IMAGES)
        for op in (
            ops.relu,
            ops.leaky_relu,
            ops.elu,
            ops.gelu,
            ops.silu,
            ops.mish,
            ops.softplus,
            ops.hard_swish,
            ops.sigmoid,
            ops.tanh,
        )
    }


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
