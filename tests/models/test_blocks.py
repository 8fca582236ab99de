"""The parts that networks are made of, and what is particular to each network."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import get_device
from minicnn.backend.random import Stream
from minicnn.errors import ShapeError
from minicnn.models import (
    VGG,
    AlexNet,
    CifarResNet,
    GoogLeNet,
    Inception,
    LeNet5,
    PlainNet,
    Residual,
    ResNet,
    Scores,
)
from minicnn.models.lenet5 import C3_INPUTS
from minicnn.models.residual import basic_branch, bottleneck_branch
from tests.models.nets import images
from tests.nn.layer_checks import check_layer

pytestmark = pytest.mark.skipif(get_device() != "cpu", reason="compared with arrays of the CPU")


def numbers(*shape: int) -> np.ndarray:
    return np.asarray(Stream(3, "blocks").normal(shape))


@pytest.mark.parametrize("branch", [basic_branch, bottleneck_branch])
def test_gradient_of_a_residual_block(branch):
    """Of the input and of all its weights, in training, where the batch's statistics matter."""
    outs = 2 if branch is basic_branch else 8
    shortcut = nn.Conv2d(3, outs, 1, 2, padding=0, normalizer=nn.BatchNorm2d)
    block = Residual(branch(3, 2, 2), shortcut)
    convolutions = len(block.branch) + 1
    assert check_layer(block, numbers(3, 3, 5, 4), rtol=1e-5) == 3 * convolutions


def test_gradient_of_a_block_whose_shortcut_is_free():
    block = CifarResNet(8, channels=2).stages[1][0]
    assert check_layer(block, numbers(3, 2, 5, 5), rtol=1e-5) == 6


@pytest.mark.parametrize("normalizer", [None, nn.BatchNorm2d])
def test_gradient_of_an_inception_block(normalizer):
    with nn.arg_scope(nn.Conv2d, normalizer=normalizer):
        block = Inception(3, 2, 2, 3, 1, 2, 2)
    assert block(images(2, 6)).shape == (2, 9, 6, 6)
    assert check_layer(block, numbers(3, 3, 4, 5), rtol=1e-5) == 6 * (
        2 if normalizer is None else 3
    )


def test_an_inception_block_is_its_branches_side_by_side():
    block, x = Inception(3, 2, 2, 3, 1, 2, 2), images(2, 7)
    with no_grad():
        y = block(x).numpy()
        largest = ops.max_pool2d(ops.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], value=-np.inf), 3, 1)
        parts = (
            block.conv1(x), block.conv3(block.reduce3(x)), block.conv5(block.reduce5(x)),
            block.project(largest),
        )  # fmt: skip
    np.testing.assert_array_equal(y, np.concatenate([p.numpy() for p in parts], axis=1))
    sees = {row.name: row.receptive_field for row in block.summary((3, 9, 9)).rows}
    assert [sees[n] for n in ("conv1", "conv3", "conv5", "project")] == [
        (1, 1),
        (3, 3),
        (5, 5),
        (3, 3),
    ]


def test_a_residual_block_is_the_identity_where_the_branch_is_zero():
    block = Residual(basic_branch(4, 4, zero_gamma=True))
    x = ops.relu(images(2, 6, channels=4))
    np.testing.assert_array_equal(block(x).numpy(), x.numpy())
    for build in (partial(CifarResNet, 20), partial(ResNet, 50, channels=4)):
        net = build(zero_gamma=True)
        gammas = [p.numpy() for n, p in net.named_parameters() if n.endswith("gamma")]
        blocks = [m for _, m in net.named_modules() if isinstance(m, Residual)]
        assert sum(not gamma.any() for gamma in gammas) == len(blocks)
        assert all(not block.branch[-1].normalizer.gamma.numpy().any() for block in blocks)


def test_a_shortcut_of_another_shape_is_an_error_and_not_broadcast():
    block = Residual(nn.Conv2d(1, 4))
    with pytest.raises(ShapeError, match=r"branch makes \(2, 4, 5, 5\) and the shortcut \(2, 1, 5"):
        block(images(2, 5, channels=1))


def test_the_free_shortcut_takes_every_other_pixel_and_adds_zeros():
    shortcut = CifarResNet(8, channels=2).stages[2][0].shortcut
    x = images(2, 5, channels=4)
    y = shortcut(x).numpy()
    np.testing.assert_array_equal(y[:, :4], x.numpy()[:, :, ::2, ::2])
    assert y.shape == (2, 8, 3, 3)
    assert not y[:, 4:].any()


@pytest.mark.parametrize("depth", [20, 56])
def test_plain_nets_take_the_weights_of_residual_ones_and_compute_something_else(depth):
    residual, plain = CifarResNet(depth, channels=2), PlainNet(depth, channels=2)
    plain.load_state_dict(residual.state_dict())
    x = images(2, 8)
    assert np.abs(residual(x).numpy() - plain(x).numpy()).max() > 0.1


def test_gradients_explode_through_many_plain_layers_and_not_through_residual_ones():
    def growth(kind, depth):
        """How much larger the gradient of the first layer is than that of the last."""
        with nn.seed(0):
            net = kind(depth, 4, channels=4)
        ops.sparse_softmax_cross_entropy(net(images(8, 12)), np.arange(8) % 4).backward()
        first, last = (
            np.sqrt((layer.weight.grad.numpy() ** 2).mean()) for layer in (net.stem, net.logits)
        )
        return first / last

    residual, plain = (
        [growth(kind, depth) for depth in (20, 56)] for kind in (CifarResNet, PlainNet)
    )
    assert 0.1 < residual[0] < 10
    assert 0.1 < residual[1] < 10
    assert plain[0] > 5
    assert plain[1] > 100 * plain[0]


def test_the_table_of_lenet5():
    assert [len(seen) for seen in C3_INPUTS] == [3] * 6 + [4] * 9 + [6]
    assert len(set(C3_INPUTS)) == 16
    uses = np.bincount([i for seen in C3_INPUTS for i in seen])
    assert uses.tolist() == [10] * 6  # each map of S2 is seen as often as every other
    net = LeNet5(10, in_channels=1, original=True)
    x = images(1, 14, channels=6).numpy()
    before = net.c3(Tensor(x)).numpy()
    changed = x.copy()
    changed[:, 0] += 1
    differs = np.abs(net.c3(Tensor(changed)).numpy() - before).max(axis=(0, 2, 3)) > 0
    assert differs.tolist() == [0 in seen for seen in C3_INPUTS]


def test_the_output_of_the_lenet5_of_1998():
    net = LeNet5(10, in_channels=1, original=True)
    codes = net.logits.codes.numpy()
    assert set(np.unique(codes)) == {-1, 1}
    scores = net.logits(Tensor(codes[3:5])).numpy()
    assert scores.argmax(axis=1).tolist() == [3, 4]
    np.testing.assert_array_equal(scores[[0, 1], [3, 4]], [0, 0])
    wanted = -((codes[3] - codes) ** 2).sum(axis=1)
    np.testing.assert_array_equal(scores[0], wanted)


def test_a_larger_image_is_seen_by_lenet5_at_several_places():
    net = LeNet5(5)
    assert [row.output_shape for row in net.summary((3, 40, 32)).rows][4:6] == [(120, 3, 1), (120,)]
    with no_grad():
        x = images(1, 36, 32)
        above, below = (net.c5(net.s4(net.c3(net.s2(net.c1(part))))) for part in (
            x[:, :, :32], x[:, :, 4:]
        ))  # fmt: skip
        mean = (above.numpy() + below.numpy()).mean(axis=(2, 3)) / 2
        np.testing.assert_allclose(
            net(x).numpy(), net.logits(net.f6(Tensor(mean))).numpy(), 1e-4, 1e-5
        )


def test_heads_help_in_training_and_are_gone_in_evaluation():
    with nn.seed(0):
        net = GoogLeNet(5, channels=8, aux=True, small=True)
    x, labels = images(4, 16), np.arange(4)
    with nn.random_key(0, 0):
        scores = net(x)
    assert isinstance(scores, Scores)
    assert [s.shape for s in scores] == [(4, 5)] * 3
    losses = [ops.sparse_softmax_cross_entropy(s, labels) for s in scores]
    (losses[0] + 0.3 * (losses[1] + losses[2])).backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    with nn.random_key(0, 0):
        ops.sparse_softmax_cross_entropy(net(x).aux1, labels).backward()
    reached = {n.split(".")[0] for n, p in net.named_parameters() if p.grad is not None}
    assert reached == {"stem", "inception3", "inception4", "aux1"}
    with nn.evaluating(), no_grad():
        assert net(x).shape == (4, 5)


@pytest.mark.parametrize(
    ("build", "size", "maps"),
    [
        (AlexNet, 224, {"block1.1": 27, "block2.1": 13, "block3.3": 6}),
        (partial(AlexNet, original=True), 224, {"block1.0": 55, "block2.2": 13, "block3.3": 6}),
        (partial(VGG, 16), 224, {"blocks.0.2": 112, "blocks.4.3": 7}),
        (GoogLeNet, 224, {"stem.0": 112, "stem.4": 28, "pool3": 14, "pool4": 7}),
        (partial(ResNet, 18), 224, {"stem.0": 112, "stem.1": 56, "stages.3.1.branch.1": 7}),
        (partial(ResNet, 50, small=True), 32, {"stem.0": 32, "stages.3.2.branch.2": 4}),
        (partial(GoogLeNet, small=True), 32, {"stem.3": 16, "pool3": 8, "pool4": 4}),
        (partial(CifarResNet, 20), 32, {"stages.0.2.branch.1": 32, "stages.2.2.branch.1": 8}),
    ],
)
def test_maps_are_as_large_as_in_the_papers(build, size, maps):
    fixed = {"hidden": 4} if getattr(build, "func", build) in (AlexNet, VGG) else {}
    net = build(
        classes=3, channels=6 if "original" in getattr(build, "keywords", {}) else 4, **fixed
    )
    heights = {row.name: row.output_shape[1:] for row in net.summary((3, size, size)).rows}
    assert {name: heights[name] for name in maps} == {n: (s, s) for n, s in maps.items()}
