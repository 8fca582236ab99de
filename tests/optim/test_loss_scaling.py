"""Loss scaling: small gradients survive, infinite ones cost a step and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import minicnn
from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.errors import CheckpointError, ConfigError, GradientError
from minicnn.nn import Parameter
from minicnn.optim import SGD, LossScaler


def gradient(factor: float, scaler: LossScaler) -> np.ndarray | None:
    """The gradient of sum(factor * x), which travels in float16."""
    x = Parameter(np.ones(3, np.float32))
    y = (x.astype("float16").astype("float32") * factor).sum()
    with np.errstate(over="ignore"):
        scaler.scaled(y).backward()
    scaler.unscale([x])
    return None if x.grad is None else x.grad.data


def test_what_would_be_0_in_16_bits_is_not():
    small = 1e-9  # the smallest float16 is 6e-8
    np.testing.assert_array_equal(gradient(small, LossScaler(1.0)), 0)
    np.testing.assert_allclose(gradient(small, LossScaler()), small, rtol=1e-3)


def test_an_infinite_gradient_costs_one_step():
    scaler = LossScaler(2.0**16, interval=3)
    assert gradient(1e4, scaler) is None
    assert scaler.scale == 2.0**15
    for _ in range(2):
        assert gradient(1e-3, scaler) is not None
    assert scaler.scale == 2.0**15
    gradient(1e-3, scaler)
    assert scaler.scale == 2.0**16, "it grows after three good ones in a row"


def test_what_no_factor_mends_is_told():
    p, scaler = Parameter(np.zeros(2, np.float32)), LossScaler(1.0)
    for _ in range(24):
        p.grad = Tensor(np.full(2, np.nan, np.float32))
        assert not scaler.unscale([p])
    p.grad = Tensor(np.full(2, np.nan, np.float32))
    with pytest.raises(GradientError, match=r"not finite even with the loss scaled by 6e-08, so"):
        scaler.unscale([p])


def test_a_shared_gradient_is_divided_once():
    one = Tensor(np.full(2, 8.0, np.float32))
    a, b = Parameter(np.zeros(2, np.float32)), Parameter(np.zeros(2, np.float32))
    a.grad = b.grad = one
    assert LossScaler(8.0).unscale([a, b])
    for p in (a, b):
        np.testing.assert_array_equal(p.grad.data, 1)
    np.testing.assert_array_equal(one.data, 8)


def test_scaled_steps_are_the_steps_where_nothing_is_rounded():
    found = []
    for scaler in (LossScaler(1.0), LossScaler(4096.0)):
        with nn.seed(0), minicnn.on_device("cpu"):
            layer = nn.Dense(3, 2)
        optimizer = SGD(layer.parameters(), 0.1, momentum=0.9)
        for _ in range(3):
            loss = ops.l2_loss(layer(Tensor(np.ones((2, 3), np.float32))), np.ones((2, 2)))
            optimizer.zero_grad()
            scaler.scaled(loss).backward()
            assert scaler.unscale(layer.parameters())
            optimizer.step()
        found.append(layer.weight.data)
    np.testing.assert_array_equal(*found)  # powers of two


def test_it_goes_on_where_it_was():
    scaler = LossScaler(64.0, interval=2)
    gradient(1.0, scaler)
    other = LossScaler(interval=2)
    other.load_state_dict(scaler.state_dict())
    gradient(1.0, other)
    assert other.scale == 128
    with pytest.raises(CheckpointError, match=r"LossScaler: \{\} is no state of it"):
        other.load_state_dict({})


@pytest.mark.parametrize(
    "options", [{"scale": 0}, {"scale": np.inf}, {"growth": 0.5}, {"backoff": 2}, {"interval": 0}]
)
def test_settings_that_make_no_sense(options):
    with pytest.raises(ConfigError, match="LossScaler: scale"):
        LossScaler(**options)
