"""Saliency and guided backprop against finite differences and walks written by hand."""

import numpy as np
import pytest

from minicnn import Tensor, models, nn, no_grad, ops
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.visualise import (
    compute_guided_backprop,
    compute_saliency,
    guided_backprop,
    saliency,
)
from tests.visualise.nets import seednet


def scores(net, images):
    with nn.evaluating(), no_grad():
        return net(Tensor(images)).numpy()


def test_saliency_is_the_slope_of_the_score():
    net, image = seednet(), np.random.default_rng(1).normal(size=(3, 6, 8))
    found = compute_saliency(net, image, class_index=3)
    step = 1e-6
    moved = np.eye(image.size).reshape(-1, *image.shape) * step
    up, down = (scores(net, image + sign * moved)[:, 3] for sign in (1, -1))
    slopes = ((up - down) / (2 * step)).reshape(image.shape)
    np.testing.assert_allclose(found, slopes, rtol=1e-5, atol=1e-8)
    assert found.dtype == np.float64


def test_the_class_is_by_default_that_of_the_largest_score():
    net, image = seednet(), np.random.default_rng(2).normal(size=(3, 8, 8))
    best = int(scores(net, image[None]).argmax())
    np.testing.assert_array_equal(
        compute_saliency(net, image), compute_saliency(net, Tensor(image), best)
    )
    other = compute_saliency(net, image, (best + 1) % 5)
    assert not np.allclose(compute_saliency(net, image), other)
    figure = saliency(net, image, class_names=["a", "b", "c", "d", "e"])
    assert figure.axes[0].get_title().startswith("abcde"[best] + ": score ")


def test_the_picture_shows_the_largest_channel():
    net, image = seednet(), np.random.default_rng(3).normal(size=(3, 7, 9))
    figure = saliency(net, image, 2, title="t")
    (shown,) = figure.axes[1].images
    largest = np.abs(compute_saliency(net, image, 2)).max(axis=0)
    np.testing.assert_array_equal(shown.get_array(), largest)
    assert shown.get_clim() == (0, largest.max())
    assert figure.get_suptitle() == "t"
    assert figure.axes[0].get_title() == f"class 2: score {scores(net, image[None])[0, 2]:.3g}"


def walked_by_hand(weights, biases, x, target, guided):
    """Walk a stack of dense layers with ReLUs between back from one score: in NumPy, one image."""
    values = [x]
    for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
        y = w @ values[-1] + b
        values.append(np.maximum(y, 0) if i < len(weights) - 1 else y)
    slope = weights[-1][target]
    for i in range(len(weights) - 2, -1, -1):
        slope = np.where(values[i + 1] > 0, slope, 0)
        slope = np.maximum(slope, 0) if guided else slope
        slope = slope @ weights[i]
    return slope


@pytest.mark.parametrize("target", range(4))
def test_guided_backprop_passes_only_what_is_positive(target):
    with nn.seed(5):
        net = models.MLP(classes=4, hidden=(12, 9, 7), in_channels=2, size=3).astype(np.float64)
    parameters = {name: p.numpy() for name, p in net.named_parameters()}
    weights = [w for name, w in parameters.items() if name.endswith("weight")]
    biases = [b for name, b in parameters.items() if name.endswith("bias")]
    x = np.random.default_rng(target).normal(size=(2, 3, 3))
    guided = walked_by_hand(weights, biases, x.ravel(), target, guided=True)
    plain = walked_by_hand(weights, biases, x.ravel(), target, guided=False)
    assert not np.allclose(guided, plain)
    np.testing.assert_allclose(compute_guided_backprop(net, x, target).ravel(), guided, rtol=1e-10)
    np.testing.assert_allclose(compute_saliency(net, x, target).ravel(), plain, rtol=1e-10)


class Given(nn.Module):
    """Two pixels, an activation, weights 1 and -1, an activation, weights 1 and -2."""

    def __init__(self, activation):
        self.activation = activation

    def forward(self, x):
        a = self.activation(x.reshape((len(x), 2)))
        first, second = a[:, 0], a[:, 1]
        up = self.activation(first - second + 1.0)
        down = self.activation(second - first + 1.0)
        return ops.concatenate([(up - 2 * down).reshape((-1, 1)), down.reshape((-1, 1))], axis=1)


@pytest.mark.parametrize(
    ("activation", "pixels", "plain", "guided"),
    [
        # d = up - 2 down: up passes 1, of down -2 is stopped; then 1 and -1, of which -1 is stopped
        (ops.relu, (0.5, 0.2), (3, -3), (1, 0)),
        (ops.relu, (-0.5, 0.2), (0, -3), (0, 0)),
        (ops.relu, (3.0, 0.2), (1, -1), (1, 0)),  # down is silent
        (ops.relu6, (0.5, 0.2), (3, -3), (1, 0)),
        (ops.relu6, (7.0, 0.2), (0, 0), (0, 0)),  # the first is at its limit, up is too
    ],
)
def test_the_rule_on_a_case_by_hand(activation, pixels, plain, guided):
    image = np.array(pixels, np.float32).reshape(1, 1, 2)
    net = Given(activation)
    assert compute_saliency(net, image, 0).ravel().tolist() == list(plain)
    assert compute_guided_backprop(net, image, 0).ravel().tolist() == list(guided)


def test_the_guided_picture_is_grey_where_nothing_speaks():
    net, image = seednet(), np.random.default_rng(3).normal(size=(3, 8, 8))
    found = compute_guided_backprop(net, image, 1)
    figure = guided_backprop(net, image, 1, title="t")
    largest = np.abs(found).max()
    (colored,), (summed,) = figure.axes[1].images, figure.axes[2].images
    np.testing.assert_allclose(
        colored.get_array(), np.moveaxis(found, 0, -1) / (2 * largest) + 0.5, atol=1e-12
    )
    np.testing.assert_array_equal(summed.get_array(), found.sum(axis=0))
    low, high = summed.get_clim()
    assert low == -high
    assert high == pytest.approx(np.abs(found.sum(axis=0)).max())
    assert figure.get_suptitle() == "t"


@pytest.mark.parametrize("function", [compute_saliency, compute_guided_backprop, saliency])
def test_what_makes_no_sense_is_refused(function):
    net = models.SeedNet(classes=5, channels=2)
    image = np.zeros((3, 8, 8), np.float32)
    who = function.__name__
    with pytest.raises(ShapeError, match=rf"{who}: image \(2, 3, 8, 8\) is not one .*images\[0\]"):
        function(net, np.zeros((2, 3, 8, 8)))
    with pytest.raises(ShapeError, match=rf"{who}: .* not take an image of shape \(1, 8, 8\): .*3"):
        function(net, np.zeros((1, 8, 8)))
    with pytest.raises(DTypeError, match=rf"{who}: the image is uint8; .*standardize"):
        function(net, np.zeros((3, 8, 8), np.uint8))
    for wrong in (5, -1, True, 1.0, "stop"):
        with pytest.raises(ConfigError, match=rf"{who}: there is no class .*; give one of 0 ... 4"):
            function(net, image, wrong)
    with pytest.raises(ShapeError, match=r"returns \(1, 4, 8, 8\).*must return the scores"):
        function(nn.Conv2d(3, 4, activation=ops.relu), image)
    with pytest.raises(ConfigError, match=rf"{who}: needs a Module, got function; nn.Scope"):
        function(lambda x: x, image)


def test_names_must_be_one_for_each_class():
    net = models.SeedNet(classes=5, channels=2)
    with pytest.raises(ShapeError, match="2 names for 5 classes; give one for each"):
        saliency(net, np.zeros((3, 8, 8), np.float32), class_names=["a", "b"])


def test_guided_backprop_needs_a_relu():
    net = nn.Sequential(nn.Flatten(), nn.Dense(12, 3, activation=ops.tanh))
    with pytest.raises(ConfigError, match=r"no ReLU between the image and the score.*use saliency"):
        compute_guided_backprop(net, np.zeros((3, 2, 2), np.float32))
