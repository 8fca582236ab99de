import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import init, layers

KINDS = {
    1: (nn.ConvTranspose1d, ops.conv_transpose1d),
    2: (nn.ConvTranspose2d, ops.conv_transpose2d),
    3: (nn.ConvTranspose3d, ops.conv_transpose3d),
}


def images(*shape, dtype=np.float32):
    return Tensor(Stream(0, "images").normal(shape, dtype=dtype))


@pytest.mark.parametrize("axes", KINDS)
def test_passes_its_options_to_the_op(axes):
    kind, op = KINDS[axes]
    size = (2, 3, 4)[-axes:]
    options = {"stride": 2, "padding": ((1, 0),) * axes, "output_padding": 1, "groups": 2}
    layer = kind(4, 6, size, dilation=2, **options)
    assert layer.weight.shape == (4, 3, *size)
    assert layer.bias.shape == (6,)
    layer.bias.data = np.arange(6, dtype=np.float32)
    x = images(2, 4, *(3, 4, 5)[-axes:])
    expected = op(x, layer.weight, layer.bias, dilation=2, **options)
    np.testing.assert_array_equal(layer(x).data, expected.data)


@pytest.mark.parametrize("axes", KINDS)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_padding_is_same_by_default_and_enlarges_by_the_stride(axes, stride):
    kind, _ = KINDS[axes]
    image = (2, 3, 4)[-axes:]
    y = kind(None, 2, stride=stride)(images(1, 3, *image))
    assert y.shape == (1, 2, *(n * stride for n in image))


def test_the_order_is_convolution_normaliser_activation():
    layer = nn.ConvTranspose2d(3, 4, stride=2, normalizer=nn.BatchNorm2d, activation=ops.tanh)
    assert layer.bias is None
    layer.normalizer.beta.data += 0.5
    x = images(4, 3, 5, 5)
    y, _, _ = ops.batch_norm(
        ops.conv_transpose2d(x, layer.weight, stride=2, padding="same"),
        layer.normalizer.gamma,
        layer.normalizer.beta,
    )
    np.testing.assert_array_equal(layer(x).data, ops.tanh(y).data)


@pytest.mark.parametrize("in_channels", [3, None])
def test_parameters_and_their_order(in_channels):
    layer = nn.ConvTranspose2d(
        in_channels, 4, bias=True, normalizer=nn.BatchNorm2d, activation=nn.PReLU
    ).build((3, 5, 5))
    assert [name for name, _ in layer.named_parameters()] == [
        "weight", "bias", "normalizer.gamma", "normalizer.beta", "activation.slope",
    ]  # fmt: skip
    assert layer.weight.data.flags.c_contiguous
    assert layer.in_channels == 3


def test_lazy_channels_come_from_the_first_call_and_stay():
    with nn.seed(1):
        lazy = nn.ConvTranspose1d(None, 4, groups=2)
    with nn.seed(1):
        known = nn.ConvTranspose1d(6, 4, groups=2)
    x = images(2, 6, 5)
    np.testing.assert_array_equal(lazy(x).data, known(x).data)
    with pytest.raises(ShapeError, match="x has 5 channels but the layer was made for 6"):
        lazy(images(1, 5, 4))


@pytest.mark.parametrize("groups", [1, 2])
def test_weights_are_those_of_a_convolution_the_same_way(groups):
    """So an initialiser finds the summed channels on axis 1, and every group gets its own."""
    seen = []

    def spy(shape, stream, dtype):
        seen.append(shape)
        return init.he_normal(shape, stream, dtype)

    with nn.seed(3):
        up = nn.ConvTranspose2d(4, 6, 3, groups=groups, initializer=spy)
    with nn.seed(3):
        conv = nn.Conv2d(4, 6, 3, groups=groups)
    assert seen == [(6, 4 // groups, 3, 3)]
    assert up.weight.shape == (4, 6 // groups, 3, 3)
    for o, c in np.ndindex(6, 4 // groups):
        g = o // (6 // groups)
        np.testing.assert_array_equal(
            up.weight.data[g * (4 // groups) + c, o % (6 // groups)], conv.weight.data[o, c]
        )


@pytest.mark.parametrize(
    ("layer", "image", "count"),
    [
        (nn.ConvTranspose1d(2, 3, 4, stride=2, activation=ops.tanh), (5,), 2),
        (nn.ConvTranspose2d(2, 4, (1, 3), 2, "valid", (1, 0), groups=2), (4, 3), 2),
        (nn.ConvTranspose2d(None, 3, normalizer=nn.BatchNorm2d, activation=nn.PReLU), (4, 3), 4),
        (nn.ConvTranspose3d(2, 2, 2, stride=(1, 2, 2), bias=False), (2, 3, 2), 1),
    ],
)
def test_gradients_of_input_and_all_parameters(layer, image, count):
    assert check_layer(layer, images(3, 2, *image, dtype=np.float64).data) == count


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"output_padding": -1},
            "ConvTranspose2d: output_padding must be an int or 2 ints, each >=",
        ),
        (
            {"stride": 2, "output_padding": 1},
            "ConvTranspose2d: padding='same' makes the output stride times as large; leave out",
        ),
        ({"groups": 3}, "ConvTranspose2d: 4 out_channels do not divide into 3 groups"),
        ({"groups": 2}, "ConvTranspose2d: 3 in_channels do not divide into 2 groups"),
        ({"size": 0}, "ConvTranspose2d: size must be"),
        ({"padding": "smae"}, "ConvTranspose2d: padding 'smae' is unknown"),
    ],
)
def test_wrong_arguments_are_refused_when_the_layer_is_made(options, message):
    with pytest.raises(ConfigError, match=message):
        nn.ConvTranspose2d(3, 4, **options)


def test_wrong_inputs_say_what_was_given():
    with pytest.raises(
        ShapeError, match=r"ConvTranspose1d: needs x \(N, C, L\), got shape \(3, 5\)"
    ):
        nn.ConvTranspose1d(3, 4)(images(3, 5))


def test_the_work_is_that_of_the_convolution_back():
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, bias=False))
    row = net.summary((4, 5, 5)).rows[-1]
    assert row.output_shape == (6, 10, 10)
    assert row.macs == 4 * 5 * 5 * 3 * 3 * 3


@pytest.mark.parametrize("axes", KINDS)
def test_functional_layer(axes):
    up = getattr(layers, f"conv_transpose{axes}d")
    net = nn.Scope(lambda x: up(x, 2, stride=2))
    x = images(1, 3, *(2, 3, 4)[-axes:])
    np.testing.assert_array_equal(net(x).data, net(x).data)
    assert len(list(net.parameters())) == 2
    assert net(x).shape[2:] == tuple(2 * n for n in x.shape[2:])


@pytest.mark.parametrize("axes", [1, 3])
def test_functional_convolution(axes):
    conv = getattr(layers, f"conv{axes}d")
    net = nn.Scope(lambda x: conv(conv(x, 4, 2), 5, 3))
    assert net(images(1, 3, *(2, 3, 4)[-axes:])).shape[1] == 5
    assert len(list(net.parameters())) == 4
