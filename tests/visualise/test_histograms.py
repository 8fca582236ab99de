"""Histograms of weights and gradients against counting by hand."""

import numpy as np
import pytest

from minicnn import Tensor, nn, ops
from minicnn.errors import ConfigError, ShapeError
from minicnn.visualise import (
    compute_gradient_histograms,
    compute_weight_histograms,
    gradient_histograms,
    weight_histograms,
)
from tests.visualise.nets import seednet

RNG = np.random.default_rng(0)
IMAGES, LABELS = RNG.normal(size=(6, 3, 8, 8)), np.array([0, 1, 2, 3, 4, 0])


def counted(values, bins):
    """Count by hand: bins of one width, the last with both of its ends."""
    low, high = values.min(), values.max()
    counts = [0] * bins
    for v in values.ravel():
        counts[min(int((v - low) / (high - low) * bins), bins - 1)] += 1
    return counts


def test_weights_are_counted():
    net = seednet()
    found = compute_weight_histograms(net, bins=7)
    matrices = {name: p.numpy() for name, p in net.named_parameters() if p.ndim > 1}
    assert list(found) == list(matrices)
    assert "block1.0.weight" in found
    for name, values in matrices.items():
        one = found[name]
        assert one.counts.tolist() == counted(values, 7)
        assert (one.edges[0], one.edges[-1]) == (values.min(), values.max())
        assert one.mean == pytest.approx(values.mean())
        assert one.std == pytest.approx(values.std())
        assert one.zeros == 0
    only = compute_weight_histograms(net, ["logits.bias"])
    assert only["logits.bias"].zeros == 1


def test_gradients_are_those_of_the_loss_and_leave_nothing_behind():
    net = seednet()
    found = compute_gradient_histograms(net, IMAGES, LABELS, bins=5)
    assert all(p.grad is None for p in net.parameters())
    with nn.evaluating():
        loss = ops.sparse_softmax_cross_entropy(net(Tensor(IMAGES)), LABELS)
    loss.backward()
    for name, p in net.named_parameters():
        if p.ndim > 1:
            values = p.grad.numpy()
            np.testing.assert_allclose(found[name].std, values.std(), rtol=1e-9)
            np.testing.assert_allclose(found[name].edges[[0, -1]], [values.min(), values.max()])
    left = compute_gradient_histograms(net, bins=5)
    for name, one in found.items():
        np.testing.assert_array_equal(left[name].counts, one.counts)


def test_another_loss_and_frozen_parameters():
    net = seednet()
    net.block1[0].weight.requires_grad = False
    found = compute_gradient_histograms(
        net, IMAGES, LABELS, loss=lambda scores, labels: 2 * scores.sum()
    )
    assert "block1.0.weight" not in found
    single = compute_gradient_histograms(
        net, IMAGES, LABELS, ["hidden.weight"], loss=lambda scores, labels: scores.sum()
    )
    assert found["hidden.weight"].std == pytest.approx(2 * single["hidden.weight"].std)
    with pytest.raises(ConfigError, match=r"'block1.0.weight' is frozen"):
        compute_gradient_histograms(net, IMAGES, LABELS, ["block1.0.weight"])


def test_the_pictures_have_a_panel_for_each():
    net = seednet()
    figure = weight_histograms(net, bins=9, title="t")
    found = compute_weight_histograms(net, bins=9)
    shown = [panel for panel in figure.axes if panel.patches]
    assert len(shown) == len(found) == 11
    for panel, (name, one) in zip(shown, found.items(), strict=True):
        assert panel.get_title() == f"{name}\nstd {one.std:#.2g}"
        assert panel.get_xlabel() == "weight"
        values, edges, _ = panel.patches[0].get_data()
        np.testing.assert_array_equal(values, one.counts)
        np.testing.assert_array_equal(edges, one.edges)
    assert figure.get_suptitle() == "t"
    slopes = gradient_histograms(net, IMAGES, LABELS, ["hidden.weight"])
    assert slopes.axes[0].get_xlabel() == "gradient"


def test_of_many_some_are_shown_evenly():
    net = nn.Sequential(*(nn.Dense(2, 2) for _ in range(40)))
    figure = weight_histograms(net)
    names = [panel.get_title().split("\n")[0] for panel in figure.axes if panel.patches]
    assert len(names) == 24
    assert (names[0], names[-1]) == ("0.weight", "39.weight")
    assert figure.get_suptitle() == "24 of 40 parameters"


def test_what_makes_no_sense_is_refused():
    net = seednet()
    with pytest.raises(ConfigError, match=r"no parameter 'hiden.weight'; did you mean 'hidden.we"):
        compute_weight_histograms(net, ["hiden.weight"])
    with pytest.raises(ConfigError, match="bins is 0; give 1 or more"):
        weight_histograms(net, bins=0)
    with pytest.raises(ConfigError, match=r"no gradient of 'block1.0.weight'; call backward\(\)"):
        gradient_histograms(net)
    with pytest.raises(ShapeError, match="give images and labels, or neither"):
        gradient_histograms(net, IMAGES)
    net.logits.weight.data[0, 0] = np.nan
    with pytest.raises(ConfigError, match=r"1 of 500 numbers of 'logits.weight' are not finite"):
        weight_histograms(net)
