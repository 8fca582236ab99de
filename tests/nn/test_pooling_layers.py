import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError


def images(*shape, dtype=np.float32):
    return Tensor(Stream(0, "images").normal(shape, dtype=dtype))


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_layers_pass_their_options_to_the_op(name):
    kind, op = {"max_pool2d": nn.MaxPool2d, "avg_pool2d": nn.AvgPool2d}[name], getattr(ops, name)
    x = images(2, 3, 9, 8)
    np.testing.assert_array_equal(kind()(x).data, op(x, 2).data)
    layer = kind((3, 2), stride=(1, 2), padding=((1, 0), (1, 1)))
    expected = op(x, (3, 2), (1, 2), ((1, 0), (1, 1)))
    np.testing.assert_array_equal(layer(x).data, expected.data)
    assert kind(3, padding="same")(x).shape == (2, 3, 3, 3)


def test_count_include_pad():
    x = Tensor(np.ones((1, 1, 4, 4), np.float32))
    assert nn.AvgPool2d(2, padding=1, count_include_pad=False)(x).data.min() == 1
    assert nn.AvgPool2d(2, padding=1)(x).data.min() == 0.25


def test_global_pooling_leaves_channels():
    x = images(2, 3, 4, 5)
    np.testing.assert_allclose(nn.GlobalAvgPool2d()(x).data, x.data.mean((2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(nn.GlobalMaxPool2d()(x).data, x.data.max((2, 3)))


@pytest.mark.parametrize(
    "layer",
    [nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1), nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d()],
)
def test_gradients(layer):
    assert check_layer(layer, images(2, 2, 6, 5, dtype=np.float64).data) == 0


def test_errors():
    with pytest.raises(ConfigError, match="MaxPool2d: size must be"):
        nn.MaxPool2d(0)
    with pytest.raises(ConfigError, match="AvgPool2d: padding 'full' is unknown"):
        nn.AvgPool2d(2, padding="full")
    for layer in (nn.MaxPool2d(), nn.AvgPool2d(), nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d()):
        with pytest.raises(ShapeError, match=r"needs x \(N, C, H, W\), got shape \(2, 3\)"):
            layer(images(2, 3))
