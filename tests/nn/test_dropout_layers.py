import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drops_at_its_rate_and_keeps_the_expectation(rate):
    y = nn.Dropout(rate)(Tensor(np.ones((100, 1000), np.float32))).data
    assert set(np.unique(y)) == {0, np.float32(1 / (1 - rate))}
    spread = np.sqrt(rate * (1 - rate) / y.size)
    assert abs((y == 0).mean() - rate) < 4 * spread
    assert abs(y.mean() - 1) < 4 * spread / (1 - rate)


def test_spatial_dropout_drops_whole_channels_of_single_examples():
    y = nn.SpatialDropout(0.5)(Tensor(np.ones((40, 50, 3, 4), np.float32))).data
    means = y.mean((2, 3))
    assert set(np.unique(means)) == {0, 2}
    assert abs((means == 0).mean() - 0.5) < 4 * 0.5 / np.sqrt(means.size)
    assert not (means == means[0]).all()


@pytest.mark.parametrize("kind", [nn.AlphaDropout, nn.Dropout, nn.SpatialDropout])
def test_does_nothing_in_evaluation_and_at_rate_0(kind):
    x = Tensor(np.ones((2, 3), np.float32))
    assert kind(0.5).eval()(x) is x
    assert kind(0)(x) is x
    layer = kind(0.5)
    layer.eval()(x)
    with nn.seed(0):
        fresh, used = kind(0.5), kind(0.5)
    del used
    with nn.seed(0):
        again = kind(0.5)
    again.eval()(x)  # evaluation does not advance the counter
    again.train()
    wide = Tensor(np.ones((20, 20), np.float32))
    np.testing.assert_array_equal(fresh(wide).data, again(wide).data)


@pytest.mark.parametrize("kind", [nn.AlphaDropout, nn.Dropout, nn.SpatialDropout])
def test_gradients(kind):
    x = Stream(0, "x").normal((3, 4, 2, 2))
    assert check_layer(kind(0.4), x) == 0


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), "half", None])
def test_rates_are_probabilities_below_1(rate):
    with pytest.raises(
        ConfigError, match="Dropout: rate is the probability to drop, from 0 to below"
    ):
        nn.Dropout(rate)


def test_alpha_dropout_keeps_mean_0_and_variance_1():
    x = Stream(0, "x").normal((100, 1000), dtype=np.float32)
    y = nn.AlphaDropout(0.3)(Tensor(x)).data
    assert abs(y.mean()) < 5 / np.sqrt(x.size)
    assert abs(y.var() - 1) < 5 * np.sqrt(2 / x.size)
    dropped = np.unique(y, return_counts=True)[1].max()
    assert abs(dropped / x.size - 0.3) < 5 * np.sqrt(0.3 * 0.7 / x.size)


def test_spatial_dropout_needs_channels():
    with pytest.raises(
        ShapeError, match=r"SpatialDropout: needs x \(N, C, ...\), got shape \(4,\)"
    ):
        nn.SpatialDropout(0.5)(Tensor(np.ones(4, np.float32)))
