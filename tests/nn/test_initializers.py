import itertools
import math

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import init

CONV, DENSE = (32, 16, 3, 5), (200, 100)


@pytest.mark.parametrize("shape", [CONV, DENSE])
@pytest.mark.parametrize(
    ("initializer", "scale", "mode"),
    [
        (init.he_normal, 2, "in"),
        (init.he_uniform, 2, "in"),
        (init.glorot_normal, 1, "avg"),
        (init.glorot_uniform, 1, "avg"),
        (init.lecun_normal, 1, "in"),
        (init.lecun_uniform, 1, "in"),
        *(
            (init.variance_scaling(0.7, f"fan_{mode}", distribution), 0.7, mode)
            for mode in ("in", "out", "avg")
            for distribution in ("normal", "truncated", "uniform")
        ),
    ],
)
def test_measured_variance_is_scale_over_fan(initializer, scale, mode, shape):
    w = initializer(shape, Stream(0, "test"), np.float64)
    window = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * window, shape[0] * window
    expected = scale / {"in": fan_in, "out": fan_out, "avg": (fan_in + fan_out) / 2}[mode]
    # The sample variance of n normal numbers spreads by sqrt(2 / n); the others spread less.
    bound = 4 * math.sqrt(2 / w.size)
    assert abs(w.var() / expected - 1) < bound
    assert abs(w.mean()) < 4 * math.sqrt(expected / w.size)


def test_distributions_have_their_shapes():
    def draw(distribution):
        scaled = init.variance_scaling(1.0, "fan_in", distribution)
        return scaled((1000, 100), Stream(1), np.float64) * 10  # unit variance

    assert abs(draw("uniform")).max() <= math.sqrt(3)
    truncated = abs(draw("truncated"))
    assert 0.99 * 2 / init.TRUNCATED_STD < truncated.max() <= 2 / init.TRUNCATED_STD
    assert abs(draw("normal")).max() > 3.5
    # P(|z| < 1) of the normal distribution, and of the one cut off at 2
    assert abs((abs(draw("normal")) < 1).mean() - 0.6827) < 0.006
    assert abs((truncated < 1 / init.TRUNCATED_STD).mean() - 0.6827 / 0.9545) < 0.006


def test_truncated_std_is_that_of_the_cut_distribution():
    phi = math.exp(-2) / math.sqrt(2 * math.pi)
    assert pytest.approx(math.sqrt(1 - 4 * phi / math.erf(math.sqrt(2)))) == init.TRUNCATED_STD


@pytest.mark.parametrize(
    ("activation", "initializer", "depth_gain"),
    [
        (ops.relu, init.he_normal, 1),
        (ops.relu, init.he_uniform, 1),
        (None, init.lecun_normal, 1),
        (None, init.lecun_uniform, 1),
        (ops.relu, init.lecun_normal, 0.5),  # the trap: without He's 2, a ReLU halves each time
    ],
)
def test_signals_through_20_layers(activation, initializer, depth_gain):
    with nn.seed(5):
        net = nn.Sequential(
            *(nn.Dense(256, 256, initializer=initializer, activation=activation) for _ in range(20))
        )
    x = Stream(0, "x").normal((64, 256), dtype=np.float32)
    y = net(Tensor(x)).data
    per_layer = (np.mean(y**2.0) / np.mean(x**2.0)) ** (1 / 20)
    assert per_layer == pytest.approx(depth_gain, rel=0.06)


def test_gradients_keep_their_variance_with_fan_out():
    initializer = init.variance_scaling(1.0, "fan_out", "truncated")
    with nn.seed(6):
        widths = [100, 400] * 10
        net = nn.Sequential(
            *(nn.Dense(a, b, initializer=initializer) for a, b in itertools.pairwise(widths))
        )
    x = Tensor(Stream(0, "x").normal((32, 100), dtype=np.float32), requires_grad=True)
    y = net(x)
    y.backward(Stream(0, "g").normal(y.shape, dtype=np.float32))
    assert np.mean(x.grad.data**2.0) ** (1 / 19) == pytest.approx(1, rel=0.06)


def test_constants():
    stream = Stream(0)
    assert init.zeros((2, 3), stream).tolist() == [[0, 0, 0]] * 2
    assert init.ones((2,), stream, np.float64).dtype == np.float64
    filled = init.constant(0.5)((3,), stream, np.float32)
    assert filled.tolist() == [0.5] * 3
    assert filled.dtype == np.float32


def test_equal_settings_are_equal_initialisers():
    assert init.variance_scaling(2.0) == init.variance_scaling(2.0)
    assert init.constant(1) == init.constant(1.0) != init.constant(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0,), "scale must be positive"),
        ((1.0, "fan"), "mode is one of .*'fan_avg'.* got 'fan'"),
        ((1.0, "fan_in", "gauss"), "distribution is one of .* got 'gauss'"),
    ],
)
def test_wrong_settings_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        init.variance_scaling(*arguments)


def test_biases_have_no_fan():
    with pytest.raises(ShapeError, match=r"got shape \(8,\); use zeros"):
        init.he_normal((8,), Stream(0))


def test_a_layer_refuses_an_initializer_of_another_shape():
    with pytest.raises(ShapeError, match=r"Dense: .* returned shape \(2, 3\) where \(3, 2\)"):
        nn.Dense(2, 3, initializer=lambda shape, stream, dtype: np.zeros(shape[::-1], dtype))
    with pytest.raises(ConfigError, match=r"initializer must be a function .* got 'he'"):
        nn.Dense(2, 3, initializer="he")
