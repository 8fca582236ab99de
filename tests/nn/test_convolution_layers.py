from functools import partial

import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, DTypeError, ShapeError


def images(*shape, dtype=np.float32):
    return Tensor(Stream(0, "images").normal(shape, dtype=dtype))


def test_passes_its_options_to_the_op():
    layer = nn.Conv2d(
        4, 6, size=(3, 5), stride=(2, 1), padding=((1, 0), (2, 3)), dilation=(2, 1), groups=2
    )
    layer.bias.data = np.arange(6, dtype=np.float32)
    x = images(2, 4, 9, 8)
    expected = ops.conv2d(
        x, layer.weight, layer.bias, (2, 1), ((1, 0), (2, 3)), dilation=(2, 1), groups=2
    )
    np.testing.assert_array_equal(layer(x).data, expected.data)
    assert layer.weight.shape == (6, 2, 3, 5)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_is_same_by_default(stride):
    assert nn.Conv2d(3, 4, stride=stride)(images(1, 3, 7, 10)).shape == (
        1, 4, -(-7 // stride), -(-10 // stride),
    )  # fmt: skip


def test_the_order_is_convolution_normaliser_activation():
    layer = nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=ops.tanh)
    layer.normalizer.beta.data += 0.5
    x = images(4, 3, 5, 5)
    y, _, _ = ops.batch_norm(
        ops.conv2d(x, layer.weight, padding="same"), layer.normalizer.gamma, layer.normalizer.beta
    )
    np.testing.assert_array_equal(layer(x).data, ops.tanh(y).data)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["weight", "bias"]),
        ({"bias": False}, ["weight"]),
        ({"normalizer": nn.BatchNorm2d}, ["weight", "normalizer.gamma", "normalizer.beta"]),
        (
            {"normalizer": nn.BatchNorm2d, "bias": True, "activation": nn.PReLU},
            ["weight", "bias", "normalizer.gamma", "normalizer.beta", "activation.slope"],
        ),
    ],
)
@pytest.mark.parametrize("in_channels", [3, None])
def test_parameters_and_their_order(options, names, in_channels):
    layer = nn.Conv2d(in_channels, 4, **options).build((3, 5, 5))
    assert [name for name, _ in layer.named_parameters()] == names
    assert all(p.dtype == np.float32 and p.requires_grad for p in layer.parameters())


def test_each_layer_makes_its_own_activation_of_a_class():
    with nn.arg_scope(nn.Conv2d, activation=nn.PReLU):
        a, b = nn.Conv2d(3, 4), nn.Conv2d(3, 4)
    assert a.activation is not b.activation
    assert nn.Conv2d(3, 4, activation=partial(nn.LeakyReLU, slope=0.3)).activation.slope == 0.3
    shared = nn.PReLU()
    assert nn.Conv2d(3, 4, activation=shared).activation is shared


def test_lazy_channels_come_from_the_first_call_and_stay():
    with nn.seed(1):
        lazy = nn.Conv2d(None, 4)
    with nn.seed(1):
        known = nn.Conv2d(3, 4)
    x = images(2, 3, 5, 5)
    np.testing.assert_array_equal(lazy(x).data, known(x).data)
    assert lazy.in_channels == 3
    with pytest.raises(ShapeError, match="x has 5 channels but the layer was made for 3"):
        lazy(images(1, 5, 4, 4))


def test_gradients_reach_a_lazy_layer_in_its_first_call():
    layer = nn.Conv2d(None, 4)
    layer(images(2, 3, 5, 5)).sum().backward()
    assert layer.weight.grad.shape == (4, 3, 3, 3)


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (nn.Conv2d(2, 3, activation=ops.tanh), 2),
        (nn.Conv2d(2, 4, (1, 3), stride=2, padding="valid", groups=2), 2),
        (nn.Conv2d(None, 3, dilation=2, normalizer=nn.BatchNorm2d, activation=nn.PReLU), 4),
    ],
)
def test_gradients_of_input_and_all_parameters(layer, count):
    x = images(3, 2, 6, 5, dtype=np.float64).data
    assert check_layer(layer, x) == count


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((0, 4), {}, "Conv2d: in_channels must be an int >= 1, got 0"),
        ((3, 4.5), {}, "Conv2d: out_channels must be an int >= 1, got 4.5"),
        ((3, 4), {"size": 0}, "Conv2d: size must be"),
        ((3, 4), {"stride": (1, 2, 3)}, "Conv2d: stride must be"),
        ((3, 4), {"padding": "smae"}, "Conv2d: padding 'smae' is unknown"),
        ((3, 4), {"groups": 3}, "Conv2d: 4 out_channels do not divide into 3 groups"),
        ((3, 4), {"groups": 2}, "Conv2d: 3 in_channels do not divide into 2 groups"),
        ((3, 4), {"normalizer": nn.BatchNorm2d(4)}, "Conv2d: normalizer must be a class"),
        ((3, 4), {"normalizer": lambda c: c}, r"Conv2d: normalizer\(4\) returned 4, not a layer"),
        ((3, 4), {"activation": "relu"}, "Conv2d: activation must be a function such as"),
        ((3,), {}, "Conv2d: argument 'out_channels' is missing"),
        ((3, 4), {"sise": 5}, "Conv2d: it has no argument 'sise'; did you mean 'size'"),
        ((3, 4), {"in_channels": 3}, "'in_channels' is given twice"),
        ((3, 4, *range(20)), {}, "Conv2d: takes 12 arguments, got 22"),
    ],
)
def test_wrong_arguments_are_refused_when_the_layer_is_made(arguments, options, message):
    with pytest.raises(ConfigError, match=message):
        nn.Conv2d(*arguments, **options)


def test_wrong_inputs_say_what_was_given():
    layer = nn.Conv2d(3, 4)
    with pytest.raises(ShapeError, match=r"Conv2d: needs x \(N, C, H, W\), got shape \(3, 5, 5\)"):
        layer(images(3, 5, 5))
    with pytest.raises(DTypeError, match=r"x \(1, 3, 5, 5\) is float64, weight .* is float32"):
        layer(images(1, 3, 5, 5, dtype=np.float64))
    lazy = nn.Conv2d(None, 4, groups=2)
    with pytest.raises(ConfigError, match="3 in_channels do not divide into 2 groups"):
        lazy(images(1, 3, 5, 5))


@pytest.mark.parametrize(
    ("kind", "op", "image", "size"),
    [
        (nn.Conv1d, ops.conv1d, (9,), (3,)),
        (nn.Conv2d, ops.conv2d, (9, 8), (3, 2)),
        (nn.Conv3d, ops.conv3d, (4, 9, 8), (1, 3, 2)),
    ],
)
def test_one_two_and_three_axes(kind, op, image, size):
    options = {"stride": 2, "padding": "same", "dilation": 2, "groups": 2}
    layer = kind(4, 6, size=size, **options)
    assert layer.weight.shape == (6, 2, *size)
    layer.bias.data = np.arange(6, dtype=np.float32)
    x = images(2, 4, *image)
    np.testing.assert_array_equal(layer(x).data, op(x, layer.weight, layer.bias, **options).data)
    x = images(2, 4, *image, dtype=np.float64).data
    assert check_layer(kind(4, 2, 2, stride=2, groups=2, activation=ops.tanh), x) == 2
    with pytest.raises(ShapeError, match=rf"{kind.__name__}: needs x \(N, C, .*\), got shape \(4,"):
        layer(images(4, *image))


def test_sizes_of_a_signal_and_a_volume():
    assert nn.Conv1d(None, 4, 5, stride=3)(images(2, 3, 10)).shape == (2, 4, 4)
    assert nn.Conv1d(3, 4, padding=((2, 0),))(images(2, 3, 10)).shape == (2, 4, 10)
    layer = nn.Conv3d(None, 4, (1, 3, 5), stride=(1, 2, 3), padding="valid")
    assert layer(images(2, 3, 4, 7, 9)).shape == (2, 4, 4, 3, 2)
    assert layer.weight.shape == (4, 3, 1, 3, 5)


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.Conv3d])
def test_wrong_arguments_name_the_layer(kind):
    name = kind.__name__
    with pytest.raises(ConfigError, match=f"{name}: stride must be an int"):
        kind(3, 4, stride=(1, 1))
    with pytest.raises(ConfigError, match=f"{name}: 4 out_channels do not divide into 3 groups"):
        kind(3, 4, groups=3)
    with pytest.raises(ConfigError, match=f"{name}: it has no argument 'output_padding'"):
        kind(3, 4, output_padding=1)


def test_arg_scope_sets_one_kind_only():
    with nn.arg_scope(nn.Conv2d, size=5):
        assert nn.Conv2d(3, 4).size == (5, 5)
        assert nn.Conv1d(3, 4).size == (3,)
        assert nn.ConvTranspose2d(3, 4).size == (3, 3)


def test_summary_counts_the_work_and_the_view_of_a_signal():
    net = nn.Sequential(nn.Conv1d(2, 4, 5, stride=2, groups=2), nn.Conv1d(4, 3, 3, dilation=2))
    rows = net.summary((2, 10)).rows[-2:]
    assert [row.output_shape for row in rows] == [(4, 5), (3, 5)]
    assert [row.macs for row in rows] == [4 * 5 * 1 * 5, 3 * 5 * 4 * 3]
    assert [row.receptive_field for row in rows] == [(5,), (5 + 4 * 2,)]
