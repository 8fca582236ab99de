import math

import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError

X = Stream(0, "x").normal((2, 3, 4, 5))
erf = np.vectorize(math.erf, otypes=[float])


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (nn.ReLU(), lambda x: np.maximum(x, 0)),
        (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
        (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x)),
        (nn.PReLU(), lambda x: np.where(x > 0, x, 0.25 * x)),
        (nn.PReLU(3, slope=0.5), lambda x: np.where(x > 0, x, 0.5 * x)),
        (nn.PReLU(None), lambda x: np.where(x > 0, x, 0.25 * x)),
        (nn.Tanh(), np.tanh),
        (nn.Sigmoid(), lambda x: 1 / (1 + np.exp(-x))),
        (nn.Softmax(), lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
        (nn.Softmax(-1), lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
        (nn.LogSoftmax(), lambda x: x - np.log(np.exp(x).sum(1, keepdims=True))),
        (nn.CELU(2), lambda x: np.where(x > 0, x, 2 * (np.exp(x / 2) - 1))),
        (nn.ELU(), lambda x: np.where(x > 0, x, np.exp(x) - 1)),
        (nn.ELU(0.3), lambda x: np.where(x > 0, x, 0.3 * (np.exp(x) - 1))),
        (nn.GELU(), lambda x: x * (1 + erf(x / 2**0.5)) / 2),
        (
            nn.GELU("tanh"),
            lambda x: x * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2,
        ),
        (nn.LogSigmoid(), lambda x: -np.log(1 + np.exp(-x))),
        (nn.Mish(), lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
        (
            nn.SELU(),
            lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
        ),
        (nn.SiLU(), lambda x: x / (1 + np.exp(-x))),
        (nn.SiLU(1.702), lambda x: x / (1 + np.exp(-1.702 * x))),
        (nn.Softplus(3), lambda x: np.log(1 + np.exp(3 * x)) / 3),
        (nn.Softsign(), lambda x: x / (1 + abs(x))),
        (nn.HardSigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
        (nn.HardSigmoid(0.2, beta=0.4), lambda x: np.clip(0.2 * x + 0.4, 0, 1)),
        (nn.HardSwish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
        (nn.HardTanh(-0.7, high=0.6), lambda x: np.clip(x, -0.7, 0.6)),
        (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
        (nn.Shrink(), lambda x: np.where(abs(x) > 0.5, x, 0)),
        (nn.Shrink(0.4, bias=0.4), lambda x: np.sign(x) * np.maximum(abs(x) - 0.4, 0)),
        (nn.ThresholdedReLU(0.6), lambda x: np.where(x > 0.6, x, 0)),
    ],
    ids=lambda case: repr(case) if isinstance(case, nn.Module) else "",
)
def test_formula_and_gradients(layer, function):
    check_layer(layer, X)
    np.testing.assert_allclose(layer(Tensor(X)).data, function(X), rtol=1e-12)


def test_prelu_has_one_slope_or_one_for_each_channel():
    assert [nn.PReLU(c).build((3, 2, 2)).slope.shape for c in (1, 3, None)] == [(1,), (3,), (3,)]
    x = Tensor(-np.ones((1, 3, 2), np.float32))
    layer = nn.PReLU(3)
    layer.slope.data = np.array([1, 2, 3], np.float32)
    np.testing.assert_array_equal(layer(x).data[0, :, 0], [-1, -2, -3])
    with pytest.raises(ShapeError, match="PReLU: x has 4 channels but the layer was made for 3"):
        layer(Tensor(np.ones((1, 4), np.float32)))
    assert nn.PReLU()(Tensor(-np.ones((1, 7), np.float32))).data.min() == -0.25
    with pytest.raises(ConfigError, match="channels must be an int >= 1, got 0"):
        nn.PReLU(0)


def test_ops_serve_as_well():
    net = nn.Sequential(ops.relu, nn.ReLU())
    np.testing.assert_array_equal(net(Tensor(X)).data, np.maximum(X, 0))


def test_functional_layers_are_the_ops():
    x = Tensor(X)
    for name in ("celu", "elu", "gelu", "hard_swish", "mish", "relu6", "silu", "softplus"):
        assert getattr(nn.layers, name) is getattr(ops, name)
    assert nn.layers.hard_tanh(x, -2, 2).shape == X.shape


def test_layers_take_tensors_only():
    with pytest.raises(DTypeError, match=r"GELU: needs a Tensor of any shape, got numpy\.ndarray"):
        nn.GELU()(np.ones(3))
