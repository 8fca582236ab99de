"""Layers that normalise each example by itself."""

import functools

import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import arg_scope, layers


def batch(*shape, dtype=np.float32):
    return Tensor(Stream(0, "batch").normal(shape, mean=3.0, std=2.0, dtype=dtype))


LAYERS = {
    "group": (
        lambda **o: nn.GroupNorm(2, **o),
        (3, 4, 5, 2),
        lambda x, *a: ops.group_norm(x, 2, *a),
    ),
    "instance 1d": (nn.InstanceNorm1d, (3, 4, 6), ops.instance_norm),
    "instance 2d": (nn.InstanceNorm2d, (3, 4, 3, 2), ops.instance_norm),
    "instance 3d": (nn.InstanceNorm3d, (3, 4, 3, 2, 2), ops.instance_norm),
    "layer": (nn.LayerNorm, (3, 4, 5), ops.layer_norm),
    "layer, channels": (
        functools.partial(nn.LayerNorm, axes=1),
        (3, 4, 5, 2),
        lambda x, *a: ops.layer_norm(x, *a, axes=1),
    ),
    "RMS": (nn.RMSNorm, (3, 4, 5), ops.rms_norm),
}


def random_affine(layer):
    for i, parameter in enumerate(layer.parameters()):
        parameter.data = Stream(i, "affine").normal(parameter.shape).astype(parameter.dtype)
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_layers_pass_their_options_to_the_op(name):
    make, shape, op = LAYERS[name]
    x = batch(*shape)
    layer = make(epsilon=0.1)
    layer(x)
    random_affine(layer)
    given = [p for p in (layer.gamma, layer.beta) if p is not None]
    expected = op(x, *(Tensor(p.data) for p in given))
    assert np.abs(layer(x).data - expected.data).max() > 1e-3, "its epsilon is another"
    layer.epsilon = 1e-5
    np.testing.assert_array_equal(layer(x).data, expected.data)
    np.testing.assert_array_equal(layer.eval()(x).data, expected.data)
    plain = make(affine=False)
    np.testing.assert_array_equal(plain(x).data, op(x).data)
    assert plain.state_dict() == {}


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_of_input_scale_and_shift(name):
    make, shape, _ = LAYERS[name]
    layer = make(epsilon=1e-3)
    x = batch(*shape, dtype=np.float64).data
    layer.build(shape[1:])
    assert check_layer(random_affine(layer), x) == (1 if name == "RMS" else 2)


def test_names_and_lazy_sizes():
    for layer in (nn.GroupNorm(2, 4), nn.GroupNorm(2).build((4, 3, 3)), nn.InstanceNorm2d(4)):
        assert {k: v.shape for k, v in layer.state_dict().items()} == {"gamma": (4,), "beta": (4,)}
    for layer in (nn.LayerNorm((3, 4), axes=(1, 2)), nn.LayerNorm(axes=(1, 2)).build((3, 4, 2))):
        assert layer.gamma.shape == layer.beta.shape == layer.lengths == (3, 4)
    assert list(nn.RMSNorm(5).state_dict()) == ["gamma"]
    with pytest.raises(ConfigError, match="LayerNorm does not know its lengths before the first"):
        nn.LayerNorm().state_dict()
    with pytest.raises(ConfigError, match="GroupNorm does not know its channels before the first"):
        nn.GroupNorm(2).state_dict()


def test_as_normalizer_of_a_convolution():
    net = nn.Conv2d(3, 8, normalizer=nn.InstanceNorm2d)
    assert net.bias is None
    assert list(net.state_dict()) == ["weight", "normalizer.gamma", "normalizer.beta"]
    grouped = nn.Conv2d(3, 8, normalizer=functools.partial(nn.GroupNorm, 4))
    assert grouped(batch(2, 3, 5, 5)).shape == (2, 8, 5, 5)


def test_an_example_does_not_depend_on_the_others():
    x = batch(4, 4, 3, 3)
    for layer in (nn.GroupNorm(2), nn.InstanceNorm2d(), nn.LayerNorm(axes=(1, 2, 3))):
        alone = np.concatenate([layer(Tensor(x.data[i : i + 1])).data for i in range(4)])
        np.testing.assert_array_equal(layer(x).data, alone)


def test_local_response():
    x = batch(2, 7, 3, 3, dtype=np.float64)
    layer = nn.LocalResponseNorm(3, alpha=0.1, beta=0.5, k=2)
    expected = ops.local_response_norm(x, 3, 0.1, 0.5, 2.0)
    np.testing.assert_array_equal(layer(x).data, expected.data)
    assert check_layer(layer, x.data) == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GroupNorm(0), "GroupNorm: groups must be an int >= 1, got 0"),
        (lambda: nn.GroupNorm(3, 4), "GroupNorm: groups=3 does not divide 4 channels"),
        (lambda: nn.GroupNorm(2, 4, epsilon="a"), "GroupNorm: epsilon must be positive, got 'a'"),
        (lambda: nn.InstanceNorm2d(0), "InstanceNorm2d: channels must be an int >= 1"),
        (lambda: nn.InstanceNorm1d(beta_initializer=0), "InstanceNorm1d: beta_initializer must be"),
        (
            lambda: nn.LayerNorm(3, axes=(1, 2)),
            r"LayerNorm: lengths 3 must be one for each of axes",
        ),
        (lambda: nn.LayerNorm(axes=()), r"LayerNorm: axes must be an int or ints, got \(\)"),
        (lambda: nn.RMSNorm(2.5), "RMSNorm: lengths must be an int >= 1, got 2.5"),
        (lambda: nn.LocalResponseNorm(0), "LocalResponseNorm: size must be an int >= 1, got 0"),
        (lambda: nn.LocalResponseNorm(k="a"), "LocalResponseNorm: k must be a number, got 'a'"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (nn.GroupNorm(2, 4), (2, 6, 3), "GroupNorm: x has 6 channels but the layer was made for 4"),
        (nn.InstanceNorm2d(4), (2, 4, 3), r"InstanceNorm2d: needs x \(N, C, H, W\), got"),
        (
            nn.LayerNorm(4),
            (2, 5),
            r"LayerNorm: x \(2, 5\) has lengths \(5,\) along axes \(-1,\), but",
        ),
        (nn.LayerNorm(axes=2), (2, 5), r"LayerNorm: x \(2, 5\) has no axes \(2,\)"),
        (nn.LocalResponseNorm(), (3,), r"LocalResponseNorm: needs x \(N, C, ...\)"),
    ],
)
def test_wrong_shapes(layer, shape, message):
    with pytest.raises(ShapeError, match=message):
        layer(batch(*shape))


def everything(x):
    x = layers.group_norm(layers.instance_norm(x), 2, epsilon=0.1)
    x = layers.local_response_norm(layers.layer_norm(x, axes=1), 3)
    return layers.rms_norm(x, affine=False)


def test_functional_layers():
    net = nn.Scope(everything)
    x = batch(2, 4, 3, 3)
    y = net(x)
    names = ["instance_norm", "group_norm", "layer_norm", "local_response_norm", "rms_norm"]
    assert [name for name, _ in net.named_modules()][1:] == names
    assert isinstance(net.instance_norm, nn.InstanceNorm2d)
    assert net.group_norm.epsilon == 0.1
    modules = nn.Sequential(
        nn.InstanceNorm2d(),
        nn.GroupNorm(2, epsilon=0.1),
        nn.LayerNorm(axes=1),
        nn.LocalResponseNorm(3),
        nn.RMSNorm(affine=False),
    )
    np.testing.assert_array_equal(y.data, modules(x).data)
    for rank, kind in ((3, nn.InstanceNorm1d), (5, nn.InstanceNorm3d)):
        with nn.Scope() as scope:
            layers.instance_norm(batch(2, 4, *[3] * (rank - 2)))
        assert type(scope.instance_norm) is kind


def test_functional_layers_take_their_settings_from_arg_scope():
    with nn.Scope() as net, arg_scope([layers.group_norm], groups=2, affine=False):
        layers.group_norm(batch(2, 4, 3))
    assert net.group_norm.groups == 2
    assert net.group_norm.gamma is None
    with (
        pytest.raises(ConfigError, match=r"layers\.group_norm: it has no argument 'channels'"),
        nn.Scope(),
    ):
        layers.group_norm(batch(2, 4, 3), 2, channels=4)
