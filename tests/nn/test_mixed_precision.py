"""Mixed precision: what is rounded to 16 bits, and what is not."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minicnn import models, nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.precision import is_mixed
from minicnn.backend.random import Stream
from minicnn.errors import DTypeError

LAYERS = {
    "Dense": (lambda: nn.Dense(6, 4), (5, 6)),
    "Conv1d": (lambda: nn.Conv1d(6, 4), (5, 6, 9)),
    "Conv2d": (lambda: nn.Conv2d(6, 4), (5, 6, 7, 8)),
    "Conv2d with all": (
        lambda: nn.Conv2d(6, 4, normalizer=nn.BatchNorm2d, activation=nn.PReLU),
        (5, 6, 7, 8),
    ),
    "Conv3d": (lambda: nn.Conv3d(6, 4), (2, 6, 5, 4, 3)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(6, 4), (2, 6, 5, 4)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 6), (3, 6, 5, 4)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(6), (3, 6, 5, 4)),
    "LayerNorm": (lambda: nn.LayerNorm((6,)), (5, 6)),
    "RMSNorm": (lambda: nn.RMSNorm((6,)), (5, 6)),
}
NORMS = {"GroupNorm", "InstanceNorm2d", "LayerNorm", "RMSNorm"}


def x_of(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    return np.asarray(Stream(3, "x").normal(shape)).astype(dtype)


@pytest.mark.parametrize("name", LAYERS)
def test_layers_compute_in_16_bits_and_learn_in_32(name):
    make, shape = LAYERS[name]
    with nn.seed(1):
        layer = make()
    x = Tensor(x_of(shape), requires_grad=True)
    given = x.astype("float16") if name in NORMS else x  # these follow what comes before them
    with nn.mixed_precision():
        y = layer(given)
        y.sum().backward()
    assert y.dtype == np.float16
    for parameter in layer.parameters():
        assert parameter.dtype == np.float32
        assert parameter.grad.dtype == np.float32
    assert x.grad.dtype == np.float32
    with nn.seed(1):
        exact = make()
    right = exact(Tensor(x_of(shape)))
    right.sum().backward()
    np.testing.assert_allclose(y.data, right.data, rtol=0, atol=0.02)
    for p, q in zip(layer.parameters(), exact.parameters(), strict=True):
        size = max(1.0, float(np.abs(q.grad.data).max()))
        np.testing.assert_allclose(p.grad.data, q.grad.data, rtol=0, atol=0.03 * size)


def test_moving_averages_stay_in_32_bits():
    layer = nn.BatchNorm2d(3)
    with nn.mixed_precision():
        layer(Tensor(1000 + x_of((8, 3, 5, 5)), requires_grad=False).astype("float16"))
    assert layer.moving_mean.dtype == np.float32
    np.testing.assert_allclose(layer.moving_mean.data, (1 - layer.decay) * 1000, rtol=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda s: ops.sparse_softmax_cross_entropy(s, [0, 1]),
        lambda s: ops.softmax_cross_entropy(s, np.eye(2)),
        lambda s: ops.sigmoid_cross_entropy(s, np.eye(2)),
        lambda s: ops.l1_loss(s, np.eye(2)),
        lambda s: ops.hinge_loss(s, [0, 1]),
    ],
)
def test_losses_are_computed_in_32_bits(loss):
    scores = Tensor(np.array([[60000.0, 0.0], [0.0, 3.0]], np.float16), requires_grad=True)
    with nn.mixed_precision():
        value = loss(scores)
        value.backward()
    assert value.dtype == np.float32
    assert np.isfinite(value.item())
    assert scores.grad.dtype == np.float16
    assert loss(scores.detach()).dtype == np.float16, "outside of it as ever"


def test_a_net_learns():
    with nn.seed(0):
        net = models.SeedNet(classes=3, channels=4)
    x, labels = Tensor(x_of((6, 3, 8, 8))), np.arange(6) % 3
    losses = []
    for step in range(6):
        with nn.mixed_precision(), nn.random_key(0, step):
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
            net.zero_grad()
            (loss * 128.0).backward()
        for p in net.parameters():
            p.data = p.data - 0.2 / 128 * p.grad.data
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.1, losses


def test_it_ends_with_the_block_and_holds_in_one_thread():
    seen = []
    with nn.mixed_precision():
        thread = threading.Thread(target=lambda: seen.append(is_mixed()))
        thread.start()
        thread.join()
        with nn.mixed_precision(False):
            seen.append(is_mixed())
        seen.append(is_mixed())
        with pytest.raises(ZeroDivisionError), nn.mixed_precision():
            raise ZeroDivisionError
    assert [*seen, is_mixed()] == [False, False, True, False]


def test_float64_is_left_alone():
    layer = nn.Dense(3, 2).astype("float64")
    with nn.mixed_precision():
        assert layer(Tensor(x_of((2, 3), np.float64))).dtype == np.float64


def test_without_it_types_do_not_mix():
    with pytest.raises(DTypeError):
        nn.Dense(3, 2)(Tensor(x_of((2, 3), np.float16)))
