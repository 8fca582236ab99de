"""A training loop that runs on and on: no memory grows, nothing large is taken anew."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minicnn import Tensor, models, nn, no_grad, ops
from minicnn.backend.device import get_device
from minicnn.kernels.cpu import _buffers
from minicnn.optim import SGD, Adam

STATM = Path("/proc/self/statm")
pytestmark = pytest.mark.skipif(get_device() != "cpu", reason="about the memory of the CPU")


def batch(size: int, *shape: int) -> tuple[Tensor, np.ndarray]:
    rng = np.random.default_rng(size)
    images = rng.standard_normal((size, *shape), dtype=np.float32)
    return Tensor(images), rng.integers(0, 3, size)


def tiny_net() -> nn.Module:
    with nn.seed(0):
        return nn.Sequential(nn.Dense(4, 6, activation=ops.relu), nn.Dropout(0.25), nn.Dense(6, 3))


def trainer(net: nn.Module, make: Callable[..., SGD | Adam] = SGD) -> Callable[..., float]:
    """Return a function that does one step on a batch."""
    optimizer = make(net.parameters(), 0.01, clip_norm=1e3)

    def step(images: Tensor, labels: np.ndarray) -> float:
        with nn.random_key(0, optimizer.step_count):
            loss = ops.sparse_softmax_cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def resident() -> int:
    """How many bytes of this process are in memory."""
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def ten_thousand_steps() -> None:
    """Print by how much memory, objects and unused buffers grow."""
    step, data = trainer(tiny_net()), batch(4, 4)
    for _ in range(500):
        step(*data)
    gc.collect()
    before = resident(), len(gc.get_objects()), _buffers.unused_bytes()
    for _ in range(10_000):
        step(*data)
    gc.collect()
    after = resident(), len(gc.get_objects()), _buffers.unused_bytes()
    print(*(a - b for a, b in zip(after, before, strict=True)))


@pytest.mark.skipif(not STATM.exists(), reason="only Linux tells")
def test_10_000_steps_take_no_memory():
    """In a process of its own: what other tests leave behind comes and goes meanwhile."""
    code = "from tests.estimator import test_steady_state as t; t.ten_thousand_steps()"
    command = [sys.executable, "-c", code]
    output = subprocess.run(
        command, cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True
    ).stdout
    grown, objects, unused = map(int, output.split())
    assert grown < 4 << 20
    assert objects < 100
    assert unused <= 0


def test_300_steps_leave_nothing_that_python_allocated():
    with nn.seed(0):
        net = nn.Sequential(
            nn.Conv2d(1, 2, normalizer=nn.BatchNorm2d, activation=ops.relu),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Dense(8, 3),
        )
    step, data = trainer(net, Adam), batch(4, 1, 4, 4)
    for _ in range(50):
        step(*data)
    tracemalloc.start()
    try:
        for _ in range(20):  # the gradients of the last step are always there
            step(*data)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            step(*data)
        gc.collect()
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 30_000  # a tensor a step would be more


@pytest.mark.parametrize("make", [SGD, Adam])
def test_a_steady_step_takes_no_large_memory_anew(make):
    with nn.seed(0):
        net = models.SeedNet(classes=3, channels=8)
    step, data = trainer(net, make), batch(24, 3, 32, 32)
    for _ in range(3):
        step(*data)
    before = _buffers.taken_anew()
    for _ in range(3):
        step(*data)
    assert _buffers.taken_anew() == before


def test_batches_of_many_sizes_and_evaluation_keep_a_bounded_amount():
    with nn.seed(0):
        net = models.SeedNet(classes=3, channels=8)
    step = trainer(net)
    step(*batch(24, 3, 32, 32))
    most = max(_buffers._most_used)
    for size in range(2, 24):
        step(*batch(size, 3, 32, 32))
        net.eval()
        with no_grad():
            net(batch(size, 3, 32, 32)[0])
        net.train()
        assert _buffers.unused_bytes() <= _buffers._SLACK * max(most, *_buffers._most_used)


def test_a_step_leaves_no_work_to_the_garbage_collector():
    """What forms a cycle lives on until the collector runs; an image in it would hold memory."""
    with nn.seed(0):
        net = models.SeedNet(classes=3, channels=8)
    step, data = trainer(net, Adam), batch(2, 3, 8, 8)
    step(*data)
    gc.collect()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(3):
            step(*data)
        gc.collect()
        cyclic = [type(thing).__name__ for thing in gc.garbage]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert not {"Tensor", "ndarray", "mmap", "function"} & set(cyclic), cyclic
