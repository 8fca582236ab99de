"""Convolutions of all kinds: forward, backward, memory.

    python -m benchmarks.bench_convolution

or, with asv, ``asv run -E existing --config benchmarks/asv.conf.json --bench bench_convolution``.
"""

import sys
from typing import ClassVar

from benchmarks import _suites
from benchmarks._measure import run_suite
from benchmarks._suites import case
from minicnn import ops


class Square(_suites.OpSuite):
    """3x3, stride 1, of as many channels in as out."""

    cases: ClassVar = {
        f"{c} channels, {n}x{n}": case(ops.conv2d, (128, c, n, n), (c, c, 3, 3), padding=1)
        for c, n in ((8, 32), (16, 32), (32, 16), (64, 16), (128, 8))
    }


class Others(_suites.OpSuite):
    """Other windows, strides, groups and axes."""

    cases: ClassVar = {
        "first layer, 3 to 16": case(ops.conv2d, (128, 3, 32, 32), (16, 3, 3, 3), padding=1),
        "1x1": case(ops.conv2d, (128, 64, 16, 16), (64, 64, 1, 1)),
        "5x5": case(ops.conv2d, (128, 16, 16, 16), (16, 16, 5, 5), padding=2),
        "stride 2": case(ops.conv2d, (128, 16, 32, 32), (32, 16, 3, 3), stride=2, padding=1),
        "dilation 2": case(ops.conv2d, (128, 16, 32, 32), (16, 16, 3, 3), padding=2, dilation=2),
        "4 groups": case(ops.conv2d, (128, 32, 16, 16), (32, 8, 3, 3), padding=1, groups=4),
        "depthwise": case(ops.conv2d, (128, 32, 32, 32), (32, 1, 3, 3), padding=1, groups=32),
        "transposed 2x2": case(ops.conv_transpose2d, (128, 32, 16, 16), (32, 16, 2, 2), stride=2),
        "1-D": case(ops.conv1d, (128, 32, 512), (32, 32, 3), padding=1),
        "3-D": case(ops.conv3d, (8, 16, 16, 16, 16), (16, 16, 3, 3, 3), padding=1),
    }


if __name__ == "__main__":
    print(run_suite(sys.modules[__name__]))
