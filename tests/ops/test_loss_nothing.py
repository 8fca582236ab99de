"""A loss over nothing is 0 and moves nothing, and is never NaN: images without boxes, batches
without examples, masks that leave out everything.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.ops.loss import Reduction

# Everything that ends in _loss, entropy or divergence: a new loss is found by its name
LOSSES = sorted(n for n in ops.__all__ if n.endswith(("_loss", "entropy", "divergence")))
OF_LABELS = {"hinge_loss", "nll_loss", "softmax_focal_loss", "sparse_softmax_cross_entropy"}
OF_ELEMENTS = {
    "binary_hinge_loss",
    "huber_loss",
    "iou_loss",
    "l1_loss",
    "l2_loss",
    "sigmoid_cross_entropy",
    "sigmoid_focal_loss",
    "smooth_l1_loss",
}
OF_DISTRIBUTIONS = {"dice_loss", "kl_divergence", "softmax_cross_entropy"}


def test_no_loss_is_forgotten():
    assert set(LOSSES) == OF_LABELS | OF_ELEMENTS | OF_DISTRIBUTIONS


def nothing_moves(loss, x: np.ndarray) -> None:
    """The mean and the sum are 0, and so are their gradients and the gradients' gradients."""
    for reduction in ("mean", "sum"):
        for kind in (np.float16, np.float32, np.float64):
            leaf = Tensor(x.astype(kind), requires_grad=True)
            y = loss(leaf, reduction=reduction)
            assert y.shape == ()
            assert y.dtype == kind
            assert y.item() == 0, f"{reduction} is {y.item()}"
            g = grad(y, leaf, create_graph=True)
            assert g.shape == x.shape
            assert not g.data.any()  # NaN would be "any"
            if g.requires_grad:
                assert not grad(g.sum(), leaf).data.any()


@pytest.mark.parametrize("name", LOSSES)
def test_no_examples(name):
    op = getattr(ops, name)
    labels = np.zeros(0, int) if name in OF_LABELS else np.zeros((0, 4))
    nothing_moves(lambda x, **o: op(x, labels, **o), np.zeros((0, 4)))
    assert op(Tensor(np.zeros((0, 4))), labels, reduction="none").size == 0


@pytest.mark.parametrize("name", sorted(OF_LABELS))
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -np.inf])
def test_only_ignored_labels(name, value):
    op = getattr(ops, name)
    loss = functools.partial(op, labels=np.full(3, -1), ignore_label=-1)
    nothing_moves(lambda x, **o: loss(x, **o), np.full((3, 4), value))
    assert not loss(Tensor(np.full((3, 4), value)), reduction="none").data.any()


@pytest.mark.parametrize("name", sorted(OF_LABELS))
def test_only_classes_of_weight_0(name):
    op = getattr(ops, name)
    labels, weights = np.array([0, 2, 0]), np.array([0, 1, 0, 1])
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    nothing_moves(lambda x, **o: op(x, labels, class_weights=weights, **o), x)


@pytest.mark.parametrize("name", sorted(OF_ELEMENTS))
@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, -np.inf])
def test_only_weights_of_0(name, value):
    op = getattr(ops, name)
    weights = np.zeros(3) if name == "iou_loss" else np.zeros((3, 1))
    targets = np.tile([0.0, 0, 1, 1], (3, 1))
    nothing_moves(lambda x, **o: op(x, targets, weights=weights, **o), np.full((3, 4), value))
    none = op(Tensor(np.full((3, 4), value)), targets, weights=weights, reduction="none")
    assert not none.data.any()


@pytest.mark.parametrize("name", ["dice_loss", "softmax_cross_entropy"])
def test_only_classes_of_weight_0_in_dense_targets(name):
    op = getattr(ops, name)
    targets = np.tile([0.0, 0, 1, 0], (3, 1))
    weights = np.array([1, 1, 0, 1]) if name == "softmax_cross_entropy" else np.zeros(4)
    x = np.linspace(0.1, 0.9, 12).reshape(3, 4)
    nothing_moves(lambda x, **o: op(x, targets, class_weights=weights, **o), x)


@pytest.mark.parametrize("name", LOSSES)
def test_a_half_is_summed_in_float32(name):
    """20 000 examples with a loss of 4 or more each are more than a float16 holds."""
    op = getattr(ops, name)
    n = 20_000
    x = np.tile([-1.0, -2, -8, -4], (n, 1))
    targets = np.full(n, 2) if name in OF_LABELS else np.tile([0.0, 0, 1, 0], (n, 1))
    if name == "iou_loss":
        targets = np.tile([0.0, 0, 8, 8], (n, 1))
    if name == "dice_loss":
        x = abs(x)
    narrow, wide = (op(Tensor(x.astype(kind)), targets) for kind in (np.float16, np.float64))
    assert narrow.dtype == np.float16
    assert narrow.item() == pytest.approx(wide.item(), rel=2e-3)


def test_many_classes_in_float16():
    """A sum of halves stops growing at 2048."""
    leaf = Tensor(np.zeros((2, 10_000, 3), np.float16), requires_grad=True)
    loss = ops.sparse_softmax_cross_entropy(leaf, np.zeros((2, 3), int))
    assert loss.item() == pytest.approx(np.log(10_000), rel=1e-3)
    g = grad(loss, leaf).data
    assert g[0, 0, 0] == pytest.approx(-1 / 6, rel=1e-3)


def test_reductions_have_a_type_of_their_own():
    assert set(Reduction.__args__) == {"mean", "sum", "none"}
