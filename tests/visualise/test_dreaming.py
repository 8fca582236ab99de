"""Feature maximisation: the rule written out, and that it goes uphill."""

import numpy as np
import pytest

from minicnn import Tensor, nn, no_grad, ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import compute_feature_maximisation, feature_maximisation
from tests.visualise.nets import seednet


def test_the_rule_written_out_on_a_linear_layer():
    net = nn.Sequential(nn.Flatten(), nn.Dense(2 * 3 * 4, 3)).astype(np.float64)
    weight = net[1].weight.numpy().reshape(3, 2, 3, 4)
    found = compute_feature_maximisation(net, "1", (2, 3, 4), [2, 0], steps=7, jitter=0, limit=0.5)
    start = np.random.default_rng(0).normal(0, 0.1, (2, 3, 4))
    for k, channel in enumerate([2, 0]):
        image, w = start.copy(), weight[channel]
        for step in range(7):
            expected = (image * w).sum() + net[1].bias.numpy()[channel]
            assert found.values[step, k] == pytest.approx(expected, rel=1e-6)
            image = (image + 0.1 * w / np.sqrt((w**2).mean())) * 0.99
            blurred = np.empty_like(image)
            for y in range(3):
                for x in range(4):
                    near = [(max(y - 1, 0), x), (min(y + 1, 2), x)]
                    near += [(y, max(x - 1, 0)), (y, min(x + 1, 3))]
                    around = sum(image[:, i, j] for i, j in near) / 4
                    blurred[:, y, x] = 0.9 * image[:, y, x] + 0.1 * around
            image = np.clip(blurred, -0.5, 0.5)
        np.testing.assert_allclose(found.images[k], image, rtol=1e-6)
    assert found.channels == (2, 0)
    assert found.values.shape == (8, 2)


@pytest.mark.parametrize(
    ("layer", "channels"), [("block1.1", None), ("block2", None), ("logits", [3, 4])]
)
def test_it_goes_uphill(layer, channels):
    found = compute_feature_maximisation(seednet(), layer, (3, 16, 12), channels, steps=25)
    assert (found.values[-1] > found.values[0]).all()
    assert np.abs(found.images).max() <= 2.5


def test_values_are_means_of_what_the_layer_returns():
    net = seednet()
    found = compute_feature_maximisation(net, "block1", (3, 8, 8), [1, 3], steps=3)
    with nn.evaluating(), no_grad():
        maps = net.block1(Tensor(found.images)).numpy()
    expected = [maps[0, 1].mean(), maps[1, 3].mean()]
    np.testing.assert_allclose(found.values[-1], expected, rtol=1e-6)


def test_a_silent_channel_finds_a_way_out():
    net = nn.Sequential(nn.Conv2d(1, 1, size=3, activation=ops.relu))
    net[0].bias.data = np.array([-0.5], np.float32)
    found = compute_feature_maximisation(net, "0", (1, 8, 8), steps=40)
    assert found.values[0, 0] == 0
    assert found.values[-1, 0] > 0.1


def test_the_seed_decides_and_other_channels_do_not():
    net = seednet()
    options = {"image_shape": (3, 8, 8), "steps": 5}
    both = compute_feature_maximisation(net, "block2", channels=[1, 4], **options)
    again = compute_feature_maximisation(net, "block2", channels=[1, 4], **options)
    alone = compute_feature_maximisation(net, "block2", channels=[4], **options)
    other = compute_feature_maximisation(net, "block2", channels=[1, 4], seed=1, **options)
    np.testing.assert_array_equal(both.images, again.images)
    np.testing.assert_allclose(alone.images[0], both.images[1], rtol=1e-9)
    assert not np.allclose(both.images, other.images)


def test_the_jitter_moves_the_image_to_and_fro():
    net = nn.Sequential(nn.Flatten(), nn.Dense(36, 1)).astype(np.float64)
    weight = np.zeros((6, 6))
    weight[3, 3] = 1
    net[1].weight.data = weight.reshape(1, 36)
    found = compute_feature_maximisation(net, "1", (1, 6, 6), steps=60, jitter=1)
    at = np.argwhere(found.images[0, 0] > 0.5 * found.images.max())
    assert len(at) > 1
    assert (np.abs(at - 3) <= 1).all()


def test_the_picture_names_what_it_shows():
    net = seednet()
    found = compute_feature_maximisation(net, "logits", (3, 8, 8), [1, 3], steps=3)
    figure = feature_maximisation(
        net, "logits", (3, 8, 8), [1, 3], steps=3, names=list("abcde"), title="t"
    )
    titles = [panel.get_title() for panel in figure.axes]
    arrow = "\N{RIGHTWARDS ARROW}"
    assert titles == [
        f"{name}\n{a:.2g} {arrow} {b:.3g}"
        for name, a, b in zip("bd", found.values[0], found.values[-1], strict=True)
    ]
    shown = figure.axes[1].images[0].get_array()
    image = np.moveaxis(found.images[1], 0, -1)
    np.testing.assert_allclose(shown, (image - image.min()) / np.ptp(image))
    assert figure.get_suptitle() == "t"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "logit"}, ConfigError, r"no layer 'logit'.*did you mean 'logits'\?"),
        ({"channels": [5]}, ConfigError, r"no channel of 'logits' 5; give one of 0 ... 4"),
        ({"image_shape": (3, 8)}, ShapeError, r"image_shape \(3, 8\) is not \(C, H, W\)"),
        ({"image_shape": (1, 8, 8)}, ShapeError, "does not take an image of shape"),
        ({"steps": 0}, ConfigError, "steps is 0"),
        ({"limit": 0}, ConfigError, "limit 0; give"),
    ],
)
def test_what_makes_no_sense_is_refused(options, error, message):
    given = {"layer": "logits", "image_shape": (3, 8, 8), **options}
    with pytest.raises(error, match=f"feature_maximisation: .*{message}"):
        compute_feature_maximisation(seednet(), **given)
