"""Normalisation: forward, backward, memory.

    python -m benchmarks.bench_normalization

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_normalization``.
"""

import sys
from typing import ClassVar

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import IMAGES, case
from minicnn import ops


def first(op):
    """Return an op without what it returns beside its result."""
    return lambda *inputs, **options: op(*inputs, **options)[0]


C = IMAGES[1]


class Normalization(_suites.OpSuite):
    """Of images."""

    cases: ClassVar = {
        "batch": case(first(ops.batch_norm), IMAGES, (C,), (C,)),
        "group, 4": case(lambda x, *affine: ops.group_norm(x, 4, *affine), IMAGES, (C,), (C,)),
        "instance": case(ops.instance_norm, IMAGES, (C,), (C,)),
        "layer": case(ops.layer_norm, (512, 1024), (1024,), (1024,)),
        "local response": case(ops.local_response_norm, IMAGES),
    }


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
