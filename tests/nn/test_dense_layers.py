import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError


def vectors(*shape, dtype=np.float32):
    return Tensor(Stream(0, "vectors").normal(shape, dtype=dtype))


def test_dense_is_a_product_a_bias_and_what_follows():
    layer = nn.Dense(3, 4, activation=ops.tanh)
    layer.bias.data = np.arange(4, dtype=np.float32)
    x = vectors(5, 3)
    expected = np.tanh(x.data.astype(float) @ layer.weight.data.T + np.arange(4))
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-5, atol=1e-6)
    assert layer.weight.shape == (4, 3)


def test_normalizer_replaces_the_bias():
    layer = nn.Dense(3, 4, normalizer=nn.BatchNorm1d)
    assert layer.bias is None
    y = layer(vectors(50, 3)).data
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(y.var(0), 1, atol=1e-2)


def test_lazy_features_come_from_the_first_call():
    with nn.seed(1):
        lazy = nn.Sequential(nn.Flatten(), nn.Dense(None, 2))
    with nn.seed(1):
        known = nn.Dense(24, 2)
    x = vectors(3, 2, 3, 4)
    np.testing.assert_array_equal(lazy(x).data, known(x.reshape(3, 24)).data)


def test_flatten_keeps_the_batch_also_an_empty_one():
    assert nn.Flatten()(vectors(2, 3, 4)).shape == (2, 12)
    assert nn.Flatten()(vectors(0, 3, 4)).shape == (0, 12)
    assert nn.Flatten()(vectors(2)).shape == (2, 1)


def test_gradients_of_input_and_all_parameters():
    x = vectors(4, 3, dtype=np.float64).data
    assert check_layer(nn.Dense(3, 2, activation=ops.sigmoid), x) == 2
    assert check_layer(nn.Dense(None, 2, normalizer=nn.BatchNorm1d, bias=True), x, atol=1e-6) == 4


def test_errors_say_what_to_do():
    with pytest.raises(ShapeError, match=r"Dense: needs x \(N, I\), got .* put Flatten\(\)"):
        nn.Dense(3, 2)(vectors(1, 3, 2, 2))
    with pytest.raises(ShapeError, match="Dense: x has 4 channels but the layer was made for 3"):
        nn.Dense(3, 2)(vectors(1, 4))
    with pytest.raises(ConfigError, match="Dense: in_features must be an int >= 1, got True"):
        nn.Dense(True, 2)
