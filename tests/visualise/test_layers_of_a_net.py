"""Filters, activations and receptive fields against the layers themselves."""

import numpy as np
import pytest

from minicnn import Tensor, models, nn, no_grad, ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import (
    activations,
    compute_activations,
    compute_filters,
    compute_receptive_field,
    filters,
    receptive_field,
)
from tests.visualise.nets import seednet, settled

IMAGE = np.random.default_rng(0).normal(size=(3, 8, 12))


def test_filters_are_the_weights():
    net = seednet()
    weight = net.block2[1].weight.numpy()
    found = compute_filters(net, "block2.1")
    np.testing.assert_array_equal(found, weight)
    found[:] = 0
    assert net.block2[1].weight.numpy().all()
    np.testing.assert_array_equal(compute_filters(net), net.block1[0].weight.numpy())


@pytest.mark.parametrize("groups", [1, 2])
def test_filters_of_a_transposed_convolution_paint_one_output_each(groups):
    net = nn.Sequential(nn.ConvTranspose2d(4, 6, size=3, groups=groups))
    found = compute_filters(net)
    assert found.shape == (6, 4 // groups, 3, 3)
    weight = net[0].weight.numpy()
    for o in range(6):
        for c in range(4 // groups):
            group, inside = divmod(o, 6 // groups)
            np.testing.assert_array_equal(found[o, c], weight[group * (4 // groups) + c, inside])


def test_the_table_of_filters_is_symmetric_about_0():
    net = seednet()
    weight = net.block1[0].weight.numpy()
    figure = filters(net)
    colored, table = figure.axes[:2]
    low, high = table.images[0].get_clim()
    assert -low == high == np.abs(weight).max()
    mosaic = table.images[0].get_array()
    np.testing.assert_array_equal(mosaic[4:7, 8:11], weight[1, 2])  # filter 1 on blue
    assert np.isnan(mosaic.filled(np.nan)[3]).all()
    assert [t.get_text() for t in table.get_xticklabels()] == ["red", "green", "blue"]
    pixels = colored.images[0].get_array()
    expected = np.moveaxis(weight[1], 0, -1) / (2 * np.abs(weight).max()) + 0.5
    np.testing.assert_allclose(pixels[:3, 4:7, :3], expected)
    assert figure.get_suptitle() == "block1.0: weights 4 \u00d7 3 \u00d7 3 \u00d7 3"


def test_of_many_filters_some_are_shown():
    net = nn.Sequential(nn.Conv2d(20, 30, size=1))
    figure = filters(net, most=4)
    assert "4 of 30 filters, 16 of 20 channels" in figure.get_suptitle()
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == ["0", "10", "19", "29"]


def test_activations_are_what_the_layers_return():
    net = seednet()
    found = compute_activations(net, IMAGE)
    names = [f"block{b}.{i}" for b in (1, 2, 3) for i in (0, 1, 2)]
    names[3:3], names[7:7] = ["pool1"], ["pool2"]
    assert list(found) == [*names, "pool3", "hidden", "logits"]
    with nn.evaluating(), no_grad():
        x = Tensor(IMAGE[None])
        for name in names:
            part = dict(net.named_modules())[name]
            x = part(x)
            np.testing.assert_allclose(found[name], x.numpy()[0], rtol=1e-10, atol=1e-12)
        logits = net(Tensor(IMAGE[None])).numpy()[0]
    np.testing.assert_allclose(found["logits"], logits, rtol=1e-10)
    parts = compute_activations(net, IMAGE, ["block1.0.normalizer", "block1"])
    assert (parts["block1.0.normalizer"] < 0).any()
    np.testing.assert_array_equal(parts["block1"], found["block1.2"])


def test_blocks_that_compute_are_there_too():
    with nn.seed(0):
        net = settled(models.CifarResNet(8, classes=5, channels=4))
    found = compute_activations(net, IMAGE.astype(np.float32))
    assert (found["stages.0.0"] >= 0).all()
    assert any((found[name] < 0).any() for name in found if "branch" in name)


def test_activations_have_a_row_for_each_layer():
    net = seednet()
    found = compute_activations(net, IMAGE)
    figure = activations(net, IMAGE, ["block1.0", "block3.2", "logits"], channels=3, title="t")
    first, last, bars = figure.axes[1:4]
    assert first.get_title(loc="left").startswith("block1.0: Conv2d + BatchNorm2d + relu, 4 ")
    maps = found["block3.2"]
    strongest = sorted(np.argsort(-maps.max(axis=(1, 2)), kind="stable")[:3])
    assert [t.get_text() for t in last.get_xticklabels()] == [str(i) for i in strongest]
    mosaic = last.images[0].get_array()
    np.testing.assert_array_equal(mosaic[:, 4:7], maps[strongest[1]])
    heights = [bar.get_height() for bar in bars.patches]
    np.testing.assert_array_equal(heights, found["logits"])
    assert figure.get_suptitle() == "t"


def test_of_a_deep_net_some_layers_are_shown():
    with nn.seed(0):
        net = settled(models.CifarResNet(56, classes=5, channels=2))
    figure = activations(net, IMAGE.astype(np.float32), channels=2)
    assert figure.get_suptitle().startswith("24 of ")


@pytest.mark.parametrize("place", [None, (0, 5), (1, 0)])
def test_a_unit_depends_on_nothing_outside_of_its_box(place):
    net, layer = seednet(), "block2.0"
    found = compute_receptive_field(net, IMAGE, layer, place)
    at = place or (2, 3)
    (y0, y1), (x0, x1) = nn.receptive_field(net, (3, 8, 12), output=layer).box(*at)
    inside = found[:, y0:y1, x0:x1].copy()
    found[:, y0:y1, x0:x1] = 0
    assert not found.any()
    step, slopes = 1e-6, np.zeros_like(inside)

    def unit(image):
        with nn.evaluating(), no_grad():
            maps = net.block2[0](net.pool1(net.block1(Tensor(image[None])))).numpy()
        return maps[(0, slice(None), *at)].sum()

    for c, i, j in list(np.ndindex(*inside.shape))[::5]:
        moved = np.zeros_like(IMAGE)
        moved[c, y0 + i, x0 + j] = step
        slopes[c, i, j] = (unit(IMAGE + moved) - unit(IMAGE - moved)) / (2 * step)
        np.testing.assert_allclose(inside[c, i, j], slopes[c, i, j], rtol=1e-4, atol=1e-6)


def test_the_box_is_drawn_around_what_the_unit_sees():
    net = seednet()
    figure = receptive_field(net, IMAGE)
    titles = [panel.get_title() for panel in figure.axes[1:4]]
    assert titles[0] == "block1.2, unit (4, 6): 7 \u00d7 7 pixels"
    assert [t.split(",")[0] for t in titles] == ["block1.2", "block2.2", "block3.2"]
    line = figure.axes[1].lines[1]
    (y0, y1), (x0, x1) = nn.receptive_field(net, (3, 8, 12), output="block1.2").box(4, 6)
    assert (line.get_xdata().min(), line.get_xdata().max()) == (x0 - 0.5, x1 - 0.5)
    assert (line.get_ydata().min(), line.get_ydata().max()) == (y0 - 0.5, y1 - 0.5)
    assert len({panel.lines[1].get_color() for panel in figure.axes[1:4]}) == 3
    shown = figure.axes[1].images[0].get_array()
    found = np.abs(compute_receptive_field(net, IMAGE, "block1.2")).max(axis=0)
    np.testing.assert_array_equal(shown, found)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda n: filters(n, "blok1.0"), ConfigError, r"did you mean 'block1.0'\?"),
        (lambda n: filters(n, "hidden"), ConfigError, "'hidden' is a Dense; name a Conv2d"),
        (lambda n: filters(n, most=0), ConfigError, "most is 0; show 1 or more"),
        (lambda n: compute_filters(models.MLP()), ConfigError, "MLP has no Conv2d"),
        (lambda n: compute_filters(nn.Conv2d(None, 2)), ConfigError, "not built yet"),
        (lambda n: activations(n, IMAGE, ["hiden"]), ConfigError, r"did you mean 'hidden'\?"),
        (lambda n: activations(n, IMAGE, "hidden"), ConfigError, r"several names: \['hidden'\]"),
        (lambda n: activations(n, IMAGE, channels=0), ConfigError, "channels is 0"),
        (lambda n: activations(n, IMAGE[0]), ShapeError, r"\(8, 12\) is not one image"),
        (lambda n: receptive_field(n, IMAGE, "hidden"), ConfigError, "which has no places"),
        (
            lambda n: receptive_field(n, IMAGE, "block1", (8, 0)),
            ConfigError,
            "no row of 'block1' 8",
        ),
        (lambda n: receptive_field(n, IMAGE, "block1", 3), ConfigError, "give a row and a column"),
        (lambda n: receptive_field(models.MLP(size=8), np.zeros((3, 8, 8))), ConfigError, "maps"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(seednet())


def test_a_leaky_net_is_shown_in_signed_colours():
    net = nn.Sequential(nn.Conv2d(3, 2, activation=ops.leaky_relu)).astype(np.float64)
    low, high = activations(net, IMAGE).axes[1].images[0].get_clim()
    assert low == -high
