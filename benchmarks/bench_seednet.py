"""The training step of the course's network, minicnn beside PyTorch.

    python -m benchmarks.bench_seednet [--threads 2] [--rounds 5] [--batch 128] [--channels 8]

Each round runs each side once, in a process of its own, one after the other, so
that a disturbed machine disturbs both. PyTorch (an optional install, version
2.13.0 has a CPU wheel: ``pip install torch==2.13.0``) runs eagerly with
channels-last memory, its fastest variant for this network on a CPU. A step is
forward, loss, backward and update on data that are ready; no input pipeline.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

STEPS, WARM_UP = 40, 8
GTSRB_TRAIN = 39_209 * 4 // 5  # images in the training part of the course's split


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="for both sides")
    parser.add_argument("--rounds", type=int, default=5, help="processes of each side")
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--channels", type=int, default=8, help="of the first block")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(SIDES[arguments.side](arguments.batch, arguments.channels))))
        return
    sides = ["minicnn"] + ["torch"] * (importlib.util.find_spec("torch") is not None)
    times: dict[str, list[list[float]]] = {side: [] for side in sides}
    for _ in range(arguments.rounds):
        for side in sides:
            times[side].append(in_own_process(side, arguments))
    print(f"{'':10}{'min ms':>9}{'median ms':>11}{'s/epoch':>9}   ({arguments.threads} threads)")
    medians = {}
    for side in sides:
        medians[side] = statistics.median(statistics.median(t) for t in times[side])
        epoch = GTSRB_TRAIN / arguments.batch * medians[side] / 1e3
        low = min(min(t) for t in times[side])
        print(f"{side:10}{low:9.1f}{medians[side]:11.1f}{epoch:9.1f}")
    if "torch" in sides:
        print(f"ratio of medians, minicnn / torch: {medians['minicnn'] / medians['torch']:.2f}")
    else:
        print("PyTorch is not installed: pip install torch==2.13.0")


def in_own_process(side: str, arguments: argparse.Namespace) -> list[float]:
    """Return the milliseconds of each step that one process took."""
    command = [sys.executable, "-m", "benchmarks.bench_seednet", "--side", side]
    command += ["--batch", str(arguments.batch), "--channels", str(arguments.channels)]
    threads = str(arguments.threads)
    environment = {**os.environ, "MINICNN_THREADS": threads, "OMP_NUM_THREADS": threads}
    output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(output.stdout.splitlines()[-1])


def measure(step: Callable[[], object]) -> list[float]:
    """Return the milliseconds of each of STEPS steps, after a warm-up."""
    for _ in range(WARM_UP):
        step()
    times = []
    for _ in range(STEPS):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def minicnn_step(batch: int, channels: int) -> Callable[[], object]:
    """Return a training step of minicnn through its ordinary API."""
    from minicnn import Tensor, models, nn, ops, optim

    images, labels = example(batch)
    x = Tensor(np.moveaxis(images, -1, 1))
    net = models.SeedNet(channels=channels)
    net.train()
    optimizer = optim.SGD(net.parameters(), 0.01)
    count = iter(range(10**9))

    def step() -> object:
        with nn.random_key(0, next(count)):
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def torch_step(batch: int, channels: int) -> Callable[[], object]:
    """Return the same step of PyTorch, eager, channels-last."""
    import torch
    from torch import nn

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

    def block(*widths: int) -> list[nn.Module]:
        pairs = itertools.pairwise(widths)
        return [
            layer
            for i, o in pairs
            for layer in (nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU())
        ]

    c = channels
    net = nn.Sequential(
        *block(3, c, c, c),
        nn.MaxPool2d(2),
        *block(c, 2 * c, 2 * c, 2 * c),
        nn.MaxPool2d(2),
        *block(2 * c, 4 * c, 4 * c, 4 * c),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * c, 100),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Linear(100, 43),
    ).to(memory_format=torch.channels_last)
    images, labels = example(batch)
    x = torch.from_numpy(images).permute(0, 3, 1, 2)
    y = torch.from_numpy(labels)
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9)

    def step() -> object:
        loss = nn.functional.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def example(batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random images (N, 32, 32, 3) and labels (N,)."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((batch, 32, 32, 3), dtype=np.float32)
    return images, rng.integers(0, 43, batch)


SIDES = {"minicnn": minicnn_step, "torch": torch_step}

if __name__ == "__main__":
    main()
