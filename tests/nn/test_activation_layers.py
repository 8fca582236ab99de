import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError

X = Stream(0, "x").normal((2, 3, 4, 5))


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
