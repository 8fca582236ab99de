"""What this machine can do at most."""

import re

import pytest

from minicnn.backend.machine import Peaks, assembly, copy_rate, flop_rate, vector_lanes
from minicnn.kernels.cpu.vector import direct, microkernel, objects

needs_vectors = pytest.mark.skipif(objects.machine() is None, reason="no vector unit with FMA")


@needs_vectors
def test_one_sum_waits_for_itself():
    assert flop_rate(1, sums=8) > 2 * flop_rate(1, sums=1) > 0


def test_a_copy_takes_time():
    assert 0 < copy_rate(1 << 18, 1) < 1e13


def test_bandwidth_is_that_of_the_next_size_up():
    peaks = Peaks(1.0, {10: 4.0, 1000: 2.0})
    assert [peaks.bandwidth(size) for size in (5, 10, 11, 9999)] == [4.0, 4.0, 2.0, 2.0]


@needs_vectors
def test_assembly_is_this_machine_s():
    shape = direct._shape((32, 32, 1, 3, 3), 1, STEPS, True, 1, 1, 30)
    written = assembly(microkernel.forward("conv", shape))
    assert len(re.findall(r"\bv?fn?m(?:add|la)", written)) >= shape.tile.rows
    assert vector_lanes() in (4, 8, 16)


class STEPS:
    """Steps of one pixel in all directions."""

    stride = dilation = (1, 1, 1)
