"""Losses: forward, backward, memory.

    python -m benchmarks.bench_loss

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_loss``.
"""

import sys
from typing import ClassVar

import numpy as np

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import case
from minicnn import Tensor, ops

N, K = 1024, 100
SCORES = (N, K)
LABELS = np.random.default_rng(1).integers(0, K, N)
TARGETS = Tensor(np.random.default_rng(2).dirichlet(np.ones(K), N).astype(np.float32))


class Loss(_suites.OpSuite):
    """Of scores (N, K)."""

    cases: ClassVar = {
        "softmax cross-entropy, labels": case(
            ops.sparse_softmax_cross_entropy, SCORES, labels=LABELS
        ),
        "softmax cross-entropy, probabilities": case(
            lambda x: ops.softmax_cross_entropy(x, TARGETS), SCORES
        ),
        "sigmoid cross-entropy": case(lambda x: ops.sigmoid_cross_entropy(x, TARGETS), SCORES),
        "l2": case(lambda x: ops.l2_loss(x, TARGETS), SCORES),
        "huber": case(lambda x: ops.huber_loss(x, TARGETS), SCORES),
        "softmax alone": case(ops.softmax, SCORES),
    }


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
