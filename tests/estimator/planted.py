"""A small run in which numbers can be made to break in one step; also a program that replays."""

import sys

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import differentiable
from minicnn.backend.device import get_device
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.errors import GradientError
from minicnn.estimator import Estimator, EstimatorSpec, RunConfig, replay
from minicnn.optim import SGD

STEP = 7  # in which it breaks
STEPS = 12
BATCH = 4
MARK = 77.0  # a pixel of that step's batch

planted = {"what": ""}  # "", "data", "forward", "gradient" or "update"


def pictures():
    stream = Stream(1, "pictures")
    images = stream.normal((44, 2, 6, 6), dtype=np.float32)
    images[BATCH * (STEP - 1) + 2, 0, 0, 0] = MARK
    if planted["what"] == "data":
        images[BATCH * (STEP - 1) + 1, 1, 2, 3] = np.nan
    return images, stream.integers(0, 3, 44)


def data():
    return Dataset.from_slices(pictures()).repeat().batch(BATCH)


@differentiable
def to_infinity(x):
    y = x.data.copy()
    y[1, 0] = np.inf
    return y, (lambda grad_y: grad_y,)


@differentiable
def with_no_slope(x):
    return x.data, (lambda grad_y: grad_y / 0.0,)


class Trap(nn.Module):
    """Lets numbers pass, but for what is planted."""

    def __init__(self):
        super().__init__()
        self.what = ""

    def forward(self, x):
        if self.what == "forward":
            return to_infinity(x)
        return with_no_slope(x) if self.what == "gradient" else x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, normalizer=nn.BatchNorm2d, activation=ops.relu)
        self.trap = Trap()
        self.drop = nn.Dropout(0.3)
        self.head = nn.Dense(4 * 36, 3)

    def forward(self, x):
        self.trap.what = planted["what"] if bool((x.data == MARK).any()) else ""
        return self.head(self.drop(self.trap(self.conv(x).reshape(len(x.data), -1))))


def rate(step):
    return 1e300 if planted["what"] == "update" and step == STEP - 1 else 0.05


def looking(config):
    """Let a run look in every step, as it does on the CPU, where these tests are run on a GPU."""
    elsewhere = get_device() != "cpu" and "device" not in config
    return {"check_numbers": 1, **config} if elsewhere else config


def estimator(model_dir=None, loss=ops.sparse_softmax_cross_entropy, **config):
    with nn.seed(4):
        net = Net()
    return Estimator.from_module(
        net,
        loss,
        lambda p: SGD(p, rate, weight_decay=1e-3),
        config=RunConfig(model_dir, **looking(config)),
    )


def line(optimizer, loss=lambda p, x: (p * x).sum(), start=1.0, folder=None, **config):
    """Two weights, whose gradients are the numbers of the batch."""
    module = nn.Module()
    module.p = nn.Parameter(np.full(2, start, np.float32))
    return Estimator(
        lambda x, _, mode, __: EstimatorSpec(mode, loss=loss(module.p, x), optimizer=optimizer),
        module=module,
        config=RunConfig(folder, **looking(config)),
    )


def spoiling(step):
    """An optimiser whose update overflows in a step."""
    return lambda params: SGD(params, lambda done: 1e300 if done == step - 1 else 0.01)


def batches(*rows):
    return lambda: Dataset.from_slices(np.array(rows, np.float32)).batch(1)


def broken(run, input_fn, at, hooks=()):
    """Train; return the message of what broke in a step that was done."""
    with pytest.raises(GradientError) as caught:
        run.train(input_fn, hooks=hooks)
    assert run.step == at
    assert "then came" not in "".join(getattr(caught.value, "__notes__", ())), "it is said once"
    return str(caught.value)


def main(what, folder):
    planted["what"] = what
    try:
        print(repr(replay(estimator(), folder)))
    except GradientError as error:
        print(error)


if __name__ == "__main__":
    main(*sys.argv[1:])
