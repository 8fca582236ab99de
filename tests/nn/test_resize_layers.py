"""Layers that change the size of images."""

import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import layers


def images(*shape, dtype=np.float32):
    return Tensor(Stream(0, "images").normal(shape, dtype=dtype))


X = images(2, 4, 4, 6)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Resize(5), lambda: ops.resize(X, 5)),
        (
            nn.Resize((3, 8), mode="linear", coordinates="align_corners"),
            lambda: ops.resize(X, (3, 8), mode="linear", coordinates="align_corners"),
        ),
        (nn.Resize(5, nearest="ceil"), lambda: ops.resize(X, 5, nearest="ceil")),
        (
            nn.Resize(scale=(0.5, 0.3), mode="cubic", antialias=True),
            lambda: ops.resize(X, scale=(0.5, 0.3), mode="cubic", antialias=True),
        ),
        (nn.Upsample(), lambda: ops.resize(X, scale=2)),
        (nn.Upsample(1.5, "linear"), lambda: ops.resize(X, scale=1.5, mode="linear")),
        (nn.Upsample(3, "bilinear"), lambda: ops.resize(X, scale=3, mode="linear")),
        (nn.Resize(5, mode="bicubic"), lambda: ops.resize(X, 5, mode="cubic")),
        (nn.PixelShuffle(), lambda: ops.depth_to_space(X, 2, "crd")),
        (nn.PixelUnshuffle(2), lambda: ops.space_to_depth(X, 2, "crd")),
        (nn.Pad(1), lambda: ops.pad(X, ((0, 0), (0, 0), (1, 1), (1, 1)))),
        (
            nn.Pad((1, 2), value=3.0),
            lambda: ops.pad(X, ((0, 0), (0, 0), (1, 1), (2, 2)), value=3.0),
        ),
        (
            nn.Pad(((1, 0), (-1, 2)), "reflect"),
            lambda: ops.pad(X, ((0, 0), (0, 0), (1, 0), (-1, 2)), "reflect"),
        ),
    ],
    ids=lambda x: repr(x) if isinstance(x, nn.Module) else "definition",
)
def test_layers_pass_their_options_to_the_op(layer, expected):
    np.testing.assert_array_equal(layer(X).data, expected().data)
    assert check_layer(layer, images(1, 4, 4, 6, dtype=np.float64).data) == 0


def test_signals_and_volumes():
    assert nn.Upsample(3)(images(1, 2, 5)).shape == (1, 2, 15)
    assert nn.Resize(4)(images(1, 2, 3, 5, 2)).shape == (1, 2, 4, 4, 4)
    assert nn.Pad(1)(images(1, 2, 3, 5, 2)).shape == (1, 2, 5, 7, 4)


def test_unshuffling_undoes_shuffling():
    np.testing.assert_array_equal(nn.PixelUnshuffle()(nn.PixelShuffle()(X)).data, X.data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Resize(), "Resize: needs size or scale, got neither"),
        (lambda: nn.Resize((4, 0)), "Resize: size must be a positive int"),
        (
            lambda: nn.Resize(4, mode="area"),
            "Resize: mode must be one of nearest, linear, cubic, bilinear, trilinear, bicubic, got",
        ),
        (lambda: nn.Upsample("2"), "Upsample: scale must be a positive number"),
        (lambda: nn.PixelShuffle(0), "PixelShuffle: block must be an int >= 1"),
        (lambda: nn.PixelUnshuffle(1.5), "PixelUnshuffle: block must be an int >= 1"),
        (lambda: nn.Pad(1.5), "Pad: widths must be an int, or an int or a pair of ints"),
        (lambda: nn.Pad(((1, 2, 3),)), "Pad: widths must be an int, or an int or a pair of ints"),
        (lambda: nn.Pad(1, "mirror"), "Pad: mode must be one of constant, reflect, edge, wrap"),
        (lambda: nn.Pad(1, value="a"), "Pad: value must be a number, got 'a'"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_wrong_shapes():
    for layer in (nn.Resize(3), nn.Pad(1)):
        with pytest.raises(ShapeError, match=r"needs x \(N, C, ...\), got shape \(2, 3\)"):
            layer(images(2, 3))
    with pytest.raises(ShapeError, match=r"PixelShuffle: needs x \(N, C, H, W\)"):
        nn.PixelShuffle()(images(2, 4, 3))
    with pytest.raises(
        ShapeError, match=r"Pad: widths \(1, 2\) are for 2 spatial axes, x \(1, 2, 5\) has 1"
    ):
        nn.Pad((1, 2))(images(1, 2, 5))


def test_functional_layers():
    def everything(x):
        x = layers.pixel_shuffle(layers.pad(x, 1, mode="edge"))
        x = layers.pixel_unshuffle(layers.upsample(x, 2, mode="linear"))
        return layers.resize(x, (3, 5))

    net = nn.Scope(everything)
    modules = nn.Sequential(
        nn.Pad(1, "edge"),
        nn.PixelShuffle(),
        nn.Upsample(2, "linear"),
        nn.PixelUnshuffle(),
        nn.Resize((3, 5)),
    )
    for _ in range(2):
        np.testing.assert_array_equal(net(X).data, modules(X).data)
    names = ["pad", "pixel_shuffle", "upsample", "pixel_unshuffle", "resize"]
    assert [name for name, _ in net.named_modules()][1:] == names
