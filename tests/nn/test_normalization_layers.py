import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError


def batch(step, *shape, dtype=np.float32):
    return Tensor(Stream(0, "batch", step).normal(shape, mean=3.0, std=2.0, dtype=dtype))


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.BatchNorm2d, (4, 3, 5, 2)),
        (nn.BatchNorm1d, (6, 3)),
        (nn.BatchNorm1d, (3, 3, 4)),
        (nn.BatchNorm3d, (2, 3, 4, 2, 3)),
    ],
)
def test_moving_averages_follow_the_formula(kind, shape):
    layer = kind(3, decay=0.8)
    mean, variance = np.zeros(3), np.ones(3)
    axes = tuple(i for i in range(len(shape)) if i != 1)
    for step in range(5):
        x = batch(step, *shape)
        y = layer(x).data
        wide = x.data.astype(np.float64)
        m, v = wide.mean(axes, keepdims=True), wide.var(axes, keepdims=True)
        np.testing.assert_allclose(y, (wide - m) / np.sqrt(v + 1e-5), rtol=1e-4, atol=1e-5)
        mean = 0.8 * mean + 0.2 * m.ravel()
        variance = 0.8 * variance + 0.2 * wide.var(axes, ddof=1)  # unbiased
    np.testing.assert_allclose(layer.moving_mean.data, mean, rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.data, variance, rtol=1e-5)
    assert layer.updates.item() == 5
    assert layer.moving_mean.dtype == np.float32
    assert layer.updates.dtype == np.int64
    layer.eval()
    x = batch(9, *shape)
    row = (1, 3, *(1,) * (len(shape) - 2))
    expected = (x.data - mean.reshape(row)) / np.sqrt(variance.reshape(row) + 1e-5)
    np.testing.assert_allclose(layer(x).data, expected, rtol=1e-4, atol=1e-5)


def test_evaluation_changes_nothing_and_takes_one_example():
    layer = nn.BatchNorm2d(3)
    layer(batch(0, 4, 3, 2, 2))
    before = {name: value.tobytes() for name, value in layer.state_dict().items()}
    layer.eval()
    x = batch(1, 4, 3, 1, 1)
    alone = np.concatenate([layer(Tensor(x.data[i : i + 1])).data for i in range(4)])
    np.testing.assert_array_equal(layer(x).data, alone)
    assert {name: value.tobytes() for name, value in layer.state_dict().items()} == before


def test_training_alone_decides_also_under_no_grad():
    layer = nn.BatchNorm2d(3)
    with no_grad():
        layer(batch(0, 4, 3, 2, 2))
    assert layer.updates.item() == 1


def test_constant_large_input_stays_finite():
    layer = nn.BatchNorm2d(2)
    y = layer(Tensor(np.full((4, 2, 3, 3), 1000, np.float32)))
    np.testing.assert_allclose(y.data, 0, atol=1e-2)
    np.testing.assert_allclose(layer.moving_variance.data, 0.9, rtol=1e-6)


def test_untouched_averages_warn_once_and_name_the_layer():
    net = nn.Sequential(stem=nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d)).eval()
    x = batch(0, 2, 3, 4, 4)
    with pytest.warns(UserWarning, match=r"BatchNorm2d 'stem.normalizer' is evaluated, but its"):
        net(x)
    net(x)  # a second warning would be an error


def test_updated_or_loaded_averages_do_not_warn():
    trained = nn.BatchNorm2d(3)
    trained(batch(0, 4, 3, 2, 2))
    trained.eval()(batch(1, 4, 3, 2, 2))
    loaded = nn.BatchNorm2d(3).eval()
    loaded.load_state_dict(trained.state_dict())
    x = batch(1, 4, 3, 2, 2)
    np.testing.assert_array_equal(loaded(x).data, trained(x).data)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.BatchNorm2d, (1, 3, 1, 1)), (nn.BatchNorm1d, (1, 3)), (nn.BatchNorm1d, (0, 3))],
)
def test_one_value_for_each_channel_cannot_be_normalised_in_training(kind, shape):
    net = nn.Sequential(norm=kind(3))
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    with pytest.raises(
        ShapeError, match=r"'norm': x of shape \(., 3.*drop_remainder=True.*eval\(\)"
    ):
        net(Tensor(np.zeros(shape, np.float32)))
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before


def test_names_and_lazy_channels():
    names = ["gamma", "beta", "moving_mean", "moving_variance", "updates"]
    for layer in (nn.BatchNorm2d(3), nn.BatchNorm2d().build((3, 2, 2))):
        assert list(layer.state_dict()) == names
        assert [name for name, _ in layer.named_parameters()] == names[:2]
    quiet = nn.BatchNorm2d(3, gamma_initializer=nn.init.zeros)
    assert not quiet(batch(0, 4, 3, 2, 2)).data.any()


def test_loading_replaces_arrays_and_never_writes_into_those_given_out():
    layer = nn.BatchNorm2d(3)
    held = layer.moving_mean.data
    layer(batch(0, 4, 3, 2, 2))
    assert not held.any()


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_input_scale_and_shift(training):
    layer = nn.BatchNorm2d(3).astype(np.float64)
    layer(batch(0, 4, 3, 5, 2, dtype=np.float64))
    layer.train(training)
    assert check_layer(layer, batch(1, 4, 3, 2, 2, dtype=np.float64).data) == 2
    assert layer.moving_mean.dtype == np.float64


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, "BatchNorm2d: decay must be from 0 to below 1, got 1.0"),
        ({"decay": "a"}, "BatchNorm2d: decay must be from 0 to below 1, got 'a'"),
        ({"epsilon": 0}, "BatchNorm2d: epsilon must be positive, got 0"),
        ({"epsilon": None}, "BatchNorm2d: epsilon must be positive, got None"),
        ({"gamma_initializer": 1}, "BatchNorm2d: gamma_initializer must be a function"),
        ({"channels": 0}, "BatchNorm2d: channels must be an int >= 1"),
        ({"momentum": 0.1}, "BatchNorm2d: it has no argument 'momentum'"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        nn.BatchNorm2d(**options)


def test_ranks():
    with pytest.raises(
        ShapeError, match=r"BatchNorm2d: needs x \(N, C, H, W\), got shape \(2, 3\)"
    ):
        nn.BatchNorm2d(3)(batch(0, 2, 3))
    with pytest.raises(ShapeError, match=r"BatchNorm1d: needs x \(N, C\) or \(N, C, L\), got"):
        nn.BatchNorm1d(3)(batch(0, 2, 3, 4, 4))
    with pytest.raises(ShapeError, match=r"BatchNorm3d: needs x \(N, C, D, H, W\)"):
        nn.BatchNorm3d(3)(batch(0, 2, 3, 4, 4))
