"""Grad-CAM against its equations, computed by hand."""

import numpy as np
import pytest

from minicnn import Tensor, models, nn, no_grad, ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import compute_grad_cam, grad_cam
from tests.visualise.nets import seednet


def convolved(image, weight, bias):
    """Correlate (C, H, W) with (O, C, KH, KW), no padding, by the definition."""
    o, _, kh, kw = weight.shape
    h, w = image.shape[1] - kh + 1, image.shape[2] - kw + 1
    y = np.empty((o, h, w))
    for k in range(o):
        for i in range(h):
            for j in range(w):
                y[k, i, j] = (image[:, i : i + kh, j : j + kw] * weight[k]).sum() + bias[k]
    return y


def small_net():
    with nn.seed(3):
        net = nn.Sequential(
            conv=nn.Conv2d(2, 6, size=3, padding="valid", activation=ops.relu),
            pool=nn.GlobalAvgPool2d(),
            logits=nn.Dense(6, 4),
        )
    return net.astype(np.float64)


@pytest.mark.parametrize("target", range(4))
def test_behind_global_pooling_it_is_the_weighted_sum_of_the_maps(target):
    net, image = small_net(), np.random.default_rng(0).normal(size=(2, 7, 9))
    state = net.state_dict()
    maps = np.maximum(convolved(image, state["conv.weight"], state["conv.bias"]), 0)  # (6, 5, 7)
    # score = bias + sum_k w_k * mean(A_k), so its gradient is w_k / 35 everywhere
    weights = state["logits.weight"][target] / 35
    expected = np.maximum((weights[:, None, None] * maps).sum(axis=0), 0)
    found = compute_grad_cam(net, image, target)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-14)
    assert found.shape == (5, 7)


@pytest.mark.parametrize("layer", ["pool1", "block2.1", "pool2", "block3.2"])
def test_in_any_layer_weights_are_mean_slopes(layer):
    net = seednet()
    image = np.random.default_rng(1).normal(size=(3, 8, 12))
    above = [net.block1, net.pool1, *net.block2, net.pool2, *net.block3, net.pool3]
    names = ["block1", "pool1", "block2.0", "block2.1", "block2.2", "pool2"]
    names += ["block3.0", "block3.1", "block3.2", "pool3"]

    def rest(x):
        for part in above[names.index(layer) + 1 :]:
            x = part(x)
        return net.logits(net.hidden(x))

    with nn.evaluating(), no_grad():
        x = Tensor(image[None])
        for part in above[: names.index(layer) + 1]:
            x = part(x)
        maps = x.numpy()[0]
        step = 1e-6
        moved = np.eye(maps.size).reshape(-1, *maps.shape) * step
        up, down = (rest(Tensor(maps + s * moved)).numpy()[:, 2] for s in (1, -1))
    weights = ((up - down) / (2 * step)).reshape(maps.shape).mean(axis=(1, 2))
    expected = np.maximum(np.tensordot(weights, maps, 1), 0)
    assert expected.any()
    np.testing.assert_allclose(compute_grad_cam(net, image, 2, layer), expected, rtol=1e-5)


def test_the_layer_is_by_default_the_last_with_places():
    net = seednet()
    image = np.random.default_rng(1).normal(size=(3, 8, 12))
    default = compute_grad_cam(net, image, 1)
    np.testing.assert_array_equal(default, compute_grad_cam(net, image, 1, "block3"))
    figure = grad_cam(net, image, 1, class_names=list("abcde"), title="t")
    image_panel, map_panel, over = figure.axes[:3]
    assert image_panel.get_title().startswith("b: score ")
    assert map_panel.get_title() == "in block3.2, 2 \u00d7 3 units"
    np.testing.assert_array_equal(map_panel.images[0].get_array(), default)
    assert over.images[1].get_array().shape == (8, 12)
    assert figure.get_suptitle() == "t"


def test_a_map_that_grows_to_the_image_stays_in_place():
    """A unit of the map lies over the pixels it was pooled from."""
    net = nn.Sequential(pool=nn.MaxPool2d(4), flat=nn.Flatten(), logits=nn.Dense(4, 2))
    net.logits.weight.data = np.ones((2, 4), np.float32)
    image = np.zeros((1, 8, 8), np.float32)
    image[0, 1, 6] = 1
    over = grad_cam(net, image, 0).axes[2].images[1].get_array()
    assert np.unravel_index(over.argmax(), over.shape)[0] < 4
    assert over[:4, 4:].mean() > 3 * over[4:, :4].mean()
    assert over[0, 7] == over.max()


def test_what_makes_no_sense_is_refused():
    net, image = models.SeedNet(classes=5, channels=2), np.zeros((3, 8, 8), np.float32)
    with pytest.raises(ConfigError, match=r"no layer 'blok3' was called.*did you mean 'block3'\?"):
        compute_grad_cam(net, image, layer="blok3")
    with pytest.raises(ConfigError, match=r"'hidden' returns \(1, 100\), which .*'block3.2'"):
        compute_grad_cam(net, image, layer="hidden")
    with pytest.raises(ConfigError, match=r"no layer of MLP returns maps .* use saliency"):
        compute_grad_cam(models.MLP(size=8), image)
    with pytest.raises(ConfigError, match=r"there is no class 5; give one of 0 ... 4"):
        compute_grad_cam(net, image, 5)
    with pytest.raises(ShapeError, match=r"grad_cam: image \(8, 8\) is not one image"):
        grad_cam(net, image[0])
