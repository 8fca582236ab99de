"""Losses of pixels: weights by hand, sums, what is ignored."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, ShapeError
from minicnn.models import PixelScores
from minicnn.segmentation import LOSSES, median_frequency_weights, pixel_loss

VOID = 7


@pytest.fixture
def batch():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (2, 4, 5))
    labels[0, 0] = VOID
    return rng.standard_normal((2, 3, 4, 5)), labels


def by_definition(kind, scores, labels, weights=None):
    """Compute a loss pixel by pixel, in float64."""
    weights = np.ones(3) if weights is None else weights
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    total = count = 0.0
    for n, i, j in np.ndindex(labels.shape):
        if labels[n, i, j] == VOID:
            continue
        right = p[n, labels[n, i, j], i, j]
        w = weights[labels[n, i, j]]
        total += w * -np.log(right) * ((1 - right) ** 2 if kind == "focal" else 1)
        count += w
    if kind != "dice":
        return total / count
    losses = []
    for k in range(3):
        own, there = p[:, k][labels != VOID], labels[labels != VOID] == k
        losses.append(1 - (2 * own[there].sum() + 1) / (own.sum() + there.sum() + 1))
    return np.mean(losses)


@pytest.mark.parametrize("kind", LOSSES)
def test_each_loss_is_that_of_its_definition(batch, kind):
    scores, labels = batch
    found = pixel_loss(kind, VOID)(Tensor(scores), labels)
    np.testing.assert_allclose(found.numpy(), by_definition(kind, scores, labels), rtol=1e-10)


@pytest.mark.parametrize("kind", ["cross_entropy", "focal"])
def test_classes_are_weighted(batch, kind):
    scores, labels = batch
    weights = np.array([1.0, 0.2, 3.0])
    found = pixel_loss(kind, VOID, weights)(Tensor(scores), labels)
    expected = by_definition(kind, scores, labels, weights)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_a_sum_is_the_sum(batch):
    scores, labels = batch
    found = pixel_loss("cross_entropy+dice", VOID)(Tensor(scores), labels)
    expected = sum(by_definition(k, scores, labels) for k in ("cross_entropy", "dice"))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_an_auxiliary_head_counts_less(batch):
    scores, labels = batch
    loss = pixel_loss(ignore_label=VOID)
    both = loss(PixelScores(Tensor(scores), Tensor(2 * scores)), labels).numpy()
    expected = loss(Tensor(scores), labels) + 0.4 * loss(Tensor(2 * scores), labels)
    np.testing.assert_allclose(both, expected.numpy())


@pytest.mark.parametrize("kind", [*LOSSES, "focal+dice"])
def test_what_is_ignored_moves_nothing(batch, kind):
    scores, labels = batch
    x = Tensor(scores, requires_grad=True)
    pixel_loss(kind, VOID)(x, labels).backward()
    gradient = x.grad.numpy()
    assert not gradient[0, :, 0].any()
    assert gradient[0, :, 1:].any()
    labels[:] = VOID
    x.grad = None
    loss = pixel_loss(kind, VOID)(x, labels)
    loss.backward()
    assert np.isfinite(loss.numpy())
    assert not x.grad.numpy().any()


def test_weights_of_classes_by_hand():
    masks = [np.array([[0, 0, 0, 1]]), np.array([[0, 2, VOID, VOID]])]
    # 0: 4 of 6 pixels; 1: 1 of 4; 2: 1 of 2; the median is 1/2; nothing shows 3
    found = median_frequency_weights(masks, 4, VOID)
    np.testing.assert_allclose(found, [0.75, 2.0, 1.0, 0.0])


def test_nothing_to_weigh():
    np.testing.assert_array_equal(median_frequency_weights([], 2), [0, 0])
    void = np.full((2, 2), VOID)
    np.testing.assert_array_equal(median_frequency_weights([void], 2, VOID), [0, 0])


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (lambda: pixel_loss("hinge"), ConfigError, "'hinge' is unknown; give cross_entropy"),
        (lambda: pixel_loss("dice+"), ConfigError, "'' is unknown"),
        (
            lambda: pixel_loss("dice", VOID, np.ones(3)),
            ConfigError,
            "'dice' takes no weights of classes",
        ),
        (
            lambda: pixel_loss()(Tensor(np.zeros((1, 2, 3, 4))), np.zeros((1, 4, 3), int)),
            ShapeError,
            r"labels \(1, 4, 3\) do not fit scores \(1, 2, 3, 4\)",
        ),
        (
            lambda: median_frequency_weights([np.array([[0, VOID]])], 2),
            ConfigError,
            "labels 0 to 7 are not all of 0 ... 1",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(wrong, error, says):
    with pytest.raises(error, match=says):
        wrong()
