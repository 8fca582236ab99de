"""Pooling layers pass what they are given to the ops, and tell what they see."""

import numpy as np
import pytest
from layer_checks import check_layer

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import layers

SHAPES = {1: (2, 3, 9), 2: (2, 3, 9, 8), 3: (2, 3, 5, 4, 6)}
AXES = {1: r"\(N, C, L\)", 2: r"\(N, C, H, W\)", 3: r"\(N, C, D, H, W\)"}
WINDOWED = ["max_pool", "avg_pool", "lp_pool"]
WHOLE = ["global_avg_pool", "global_max_pool", "global_lp_pool"]
ADAPTIVE = ["adaptive_avg_pool", "adaptive_max_pool"]


def images(*shape, dtype=np.float32):
    return Tensor(Stream(0, "images").normal(shape, dtype=dtype))


def layer_and_op(name, rank):
    kind = "".join(part.capitalize() for part in name.split("_"))
    return getattr(nn, f"{kind}{rank}d"), getattr(ops, f"{name}{rank}d")


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", WINDOWED)
def test_windows_are_passed_on(name, rank):
    kind, op = layer_and_op(name, rank)
    x = images(*SHAPES[rank])
    np.testing.assert_array_equal(kind()(x).data, op(x, 2).data)
    pads = ((1, 0), (1, 1), (0, 1))[:rank]
    options = {"stride": (1, 2, 3)[:rank], "padding": pads, "dilation": (1, 2, 1)[:rank]}
    size = (3, 2, 2)[:rank]
    for more in ({}, {"ceil_mode": True}):
        expected = op(x, size, **options, **more)
        np.testing.assert_array_equal(kind(size, **options, **more)(x).data, expected.data)
    assert kind(3, padding="same")(x).shape[2:] == tuple(-(-n // 3) for n in SHAPES[rank][2:])
    assert kind(3, 2).stride == (2,) * rank if name != "lp_pool" else kind(3, p=3).p == 3


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", ADAPTIVE)
def test_adaptive_layers(name, rank):
    kind, op = layer_and_op(name, rank)
    x = images(*SHAPES[rank])
    for size in (1, 3, None, (2, None, 1)[:rank]):
        np.testing.assert_array_equal(kind(size)(x).data, op(x, size).data)


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", WHOLE)
def test_global_pooling_leaves_channels(name, rank):
    kind, op = layer_and_op(name, rank)
    x = images(*SHAPES[rank])
    assert kind()(x).shape == (2, 3)
    np.testing.assert_array_equal(kind()(x).data, op(x).data)
    if name == "global_lp_pool":
        np.testing.assert_array_equal(kind(3)(x).data, op(x, 3).data)


@pytest.mark.parametrize("rank", SHAPES)
def test_unpooling_takes_the_indices_of_pooling(rank):
    x = images(*SHAPES[rank])
    pool, _ = layer_and_op("max_pool", rank)
    unpool, op = layer_and_op("max_unpool", rank)
    y, indices = pool(2, return_indices=True)(x)
    np.testing.assert_array_equal(unpool(2)(y, indices, x.shape).data, op(y, indices, x.shape).data)
    y, indices = pool(3, 2, "same", return_indices=True)(x)
    whole = tuple(-(-n // 2) * 2 for n in x.shape[2:])
    assert unpool(3, 2, "same")(y, indices, x.shape).shape == x.shape
    assert unpool(3, 2, "same")._image(y.shape[2:]) == whole
    best, places = layer_and_op("adaptive_max_pool", rank)[0](2, return_indices=True)(x)
    assert op(best, places, x.shape).shape == x.shape


def test_unpooling_finds_the_shape_where_the_windows_fill_the_image():
    x = images(2, 3, 9, 8)
    for size, stride, padding in ((3, 1, 1), ((3, 2), (3, 2), 0), ((1, 4), None, (0, 2))):
        y, indices = nn.MaxPool2d(size, stride, padding, return_indices=True)(x)
        assert nn.MaxUnpool2d(size, stride, padding)(y, indices).shape == x.shape


def test_count_include_pad():
    x = Tensor(np.ones((1, 1, 4, 4), np.float32))
    assert nn.AvgPool2d(2, padding=1, count_include_pad=False)(x).data.min() == 1
    assert nn.AvgPool2d(2, padding=1)(x).data.min() == 0.25


@pytest.mark.parametrize(
    "layer",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1),
        nn.LpPool2d(3, 3, 2),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveMaxPool2d(3),
        nn.GlobalAvgPool2d(),
        nn.GlobalMaxPool2d(),
        nn.GlobalLpPool2d(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_gradients(layer):
    assert check_layer(layer, images(2, 2, 6, 5, dtype=np.float64).data) == 0


@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("name", [*WINDOWED, *ADAPTIVE, *WHOLE])
def test_functional_layers_are_the_modules(name, rank):
    x = images(*SHAPES[rank])
    kind, _ = layer_and_op(name, rank)
    function = getattr(layers, f"{name}{rank}d")
    args = (2,) if name in ADAPTIVE else ()
    net = nn.Scope(lambda x: function(x, *args))
    for _ in range(2):
        np.testing.assert_array_equal(net(x).data, kind(*args)(x).data)
    assert [type(m) for _, m in net.named_modules()] == [nn.Scope, kind]
    assert [name for name, _ in net.named_modules()] == ["", f"{name}{rank}d"]
    with pytest.raises(ConfigError, match=f"layers.{name}{rank}d: it has no argument 'sise'"), net:
        function(x, *args, sise=2)
    if name in WINDOWED:
        with nn.Scope() as scope, nn.arg_scope([function], size=3):
            function(x)
        assert getattr(scope, f"{name}{rank}d").size == (3,) * rank


@pytest.mark.parametrize("rank", SHAPES)
def test_errors(rank):
    def of(name):
        return layer_and_op(name, rank)[0]

    with pytest.raises(ConfigError, match=f"MaxPool{rank}d: size must be"):
        of("max_pool")(0)
    with pytest.raises(ConfigError, match=f"AvgPool{rank}d: padding 'full' is unknown"):
        of("avg_pool")(2, padding="full")
    with pytest.raises(ConfigError, match=f"LpPool{rank}d: p must be a number >= 1, got 0"):
        of("lp_pool")(2, 0)
    with pytest.raises(ConfigError, match=f"GlobalLpPool{rank}d: p must be a number >= 1"):
        of("global_lp_pool")(0)
    with pytest.raises(ConfigError, match=f"AdaptiveAvgPool{rank}d: output_size must be"):
        of("adaptive_avg_pool")(0)
    with pytest.raises(ConfigError, match=f"AdaptiveMaxPool{rank}d: output_size must be"):
        of("adaptive_max_pool")((2,) * (rank + 1))
    for name in (*WINDOWED, *WHOLE):
        with pytest.raises(ShapeError, match=rf"needs x {AXES[rank]}, got shape \(2, 3\)"):
            of(name)()(images(2, 3))
    for name in ADAPTIVE:
        with pytest.raises(ShapeError, match=rf"needs x {AXES[rank]}, got shape \(2, 3\)"):
            of(name)(1)(images(2, 3))
    with pytest.raises(ShapeError, match=rf"MaxUnpool{rank}d: needs x {AXES[rank]}"):
        of("max_unpool")()(images(2, 3), images(2, 3))
    with pytest.raises(
        ConfigError,
        match=rf"MaxUnpool{rank}d: needs the indices that max pooling returned with "
        "return_indices=True",
    ):
        of("max_unpool")()(images(1, 1, *[2] * rank))
