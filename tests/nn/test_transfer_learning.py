"""Freezing, new heads and features: what must stay stays, to the bit."""

import copy
import threading

import numpy as np
import pytest

from minicnn import Tensor, models, nn, no_grad, ops, optim
from minicnn.autograd.graph import trace
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError, GradientError

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(6, 3, 8, 8)).astype(np.float32)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def small(classes=3):
    with nn.seed(1):
        return models.SeedNet(classes, channels=2)


def on_device(x):
    return Tensor(to_device(x, get_device()))


def step(net, optimizer):
    loss = ops.sparse_softmax_cross_entropy(net(on_device(IMAGES)), on_device(LABELS))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def warmed_up(classes=3):
    """A net whose moving averages are not the first ones."""
    net = small(classes)
    with no_grad():
        net(on_device(IMAGES))
    return net


def learning(net):
    return [name for name, p in net.named_parameters() if p.requires_grad]


def changed(before, net):
    after = net.state_dict()
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}


@pytest.mark.parametrize(
    ("patterns", "left"),
    [
        (["*"], []),
        (["block1"], ["block2", "block3", "hidden", "logits"]),
        (["block*"], ["hidden", "logits"]),
        (["block?", "hidden"], ["logits"]),
        (["!logits"], ["logits"]),
        (["block*", "!block3"], ["block3", "hidden", "logits"]),
        (["block*", "!block3.2", "block3.2.normalizer"], ["block3", "hidden", "logits"]),
        (["*.weight"], ["block1", "block2", "block3", "hidden", "logits"]),
    ],
)
def test_patterns_name_modules_and_parameters(patterns, left):
    net = small()
    names = [name for name, _ in net.named_parameters()]
    frozen = nn.freeze(net, *patterns)
    assert [name for name in names if name not in frozen] == learning(net)
    assert list(dict.fromkeys(name.split(".")[0] for name in learning(net))) == left
    assert nn.unfreeze(net) == names == learning(net)


def test_the_last_pattern_decides():
    net = small()
    assert nn.freeze(net, "block3", "!block3.2", "block3.2.weight")[-1] == "block3.2.weight"
    assert [n for n in learning(net) if n.startswith("block3")] == [
        "block3.2.normalizer.gamma", "block3.2.normalizer.beta",
    ]  # fmt: skip


def test_what_is_frozen_stays_to_the_bit_and_has_no_momentum():
    net = warmed_up()
    nn.freeze(net, "block1", "block2", "hidden.bias")
    before = net.state_dict()
    optimizer = optim.SGD(optim.decay_groups(net, 0.1), 0.1)
    for _ in range(3):
        net.train()
        step(net, optimizer)
    stays = {n for n in before if n.startswith(("block1", "block2")) or n == "hidden.bias"}
    assert changed(before, net) == set(before) - stays
    assert not any(name.startswith(("block1", "block2")) for name in optimizer.state_dict())


def test_a_gradient_of_before_does_not_move_what_is_frozen():
    net = warmed_up()
    optimizer = optim.SGD(net, 0.1)
    step(net, optimizer)
    before = net.state_dict()
    nn.freeze(net, "block1")
    optimizer.step()  # nobody called zero_grad
    assert not any(name.startswith("block1") for name in changed(before, net))


def test_frozen_modules_evaluate_whatever_they_are_told():
    net = small()
    nn.freeze(net, "block1", "block2.1.normalizer")
    net.train()
    evaluating = {name for name, m in net.named_modules() if not m.training}
    assert evaluating == {
        "block1", "block2.1.normalizer",
        *(f"block1.{i}{end}" for i in range(3) for end in ("", ".normalizer")),
    }  # fmt: skip
    net.block1[0].training = True
    assert not net.block1[0].training
    with nn.evaluating():
        net.train()
        assert not net.block1[0].training
        assert net.block2[0].training
    nn.unfreeze(net, "block*")
    assert all(m.training for _, m in net.named_modules())


def test_a_net_in_evaluation_is_still_so_when_it_is_unfrozen():
    net = small().eval()
    nn.freeze(net, "block1")
    nn.unfreeze(net)
    assert not any(m.training for _, m in net.named_modules())


def test_a_layer_of_which_a_part_learns_trains():
    net = small()
    nn.freeze(net, "block1.0.weight")
    assert net.block1[0].training
    assert net.block1[0].normalizer.training
    nn.freeze(net, "block1.0.normalizer")
    assert not net.block1[0].training


def test_dropout_drops_nothing_inside_of_what_is_frozen_only():
    with nn.seed(0):
        net = nn.Sequential(
            nn.Sequential(nn.Dense(8, 8), nn.Dropout(0.5)), nn.Dropout(0.5), nn.Dense(8, 2)
        )
    nn.freeze(net, "0")
    assert not net[0][1].training
    assert net[1].training
    x = on_device(np.ones((4, 8), np.float32))
    assert np.array_equal(net[0](x).numpy(), net[0][0](x).numpy())


def test_a_frozen_prefix_has_no_history():
    net = warmed_up()
    nn.freeze(net, "block1", "block2")
    x = net.pool2(net.block2(net.pool1(net.block1(on_device(IMAGES)))))
    assert not x.requires_grad
    assert net(on_device(IMAGES)).requires_grad


def test_what_is_frozen_in_the_middle_passes_the_gradient_on():
    net, same = warmed_up(), warmed_up()
    nn.freeze(net, "block2")
    same.block2.eval()
    for module in (net, same):
        module.dropout.eval()
        ops.sparse_softmax_cross_entropy(module(on_device(IMAGES)), LABELS).backward()
    assert net.block2[0].weight.grad is None
    for a, b in zip(net.block1.parameters(), same.block1.parameters(), strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_all_frozen_cannot_be_trained():
    net = warmed_up()
    nn.freeze(net, "*")
    with pytest.raises(GradientError, match="requires_grad"):
        net(on_device(IMAGES)).sum().backward()


def test_a_copy_is_frozen_too():
    net = warmed_up()
    nn.freeze(net, "block1")
    twin = copy.deepcopy(net).train()
    assert not twin.block1[0].training
    nn.unfreeze(twin)
    assert twin.block1[0].training
    assert not net.block1[0].training


def test_averages_of_a_frozen_layer_that_was_never_trained_are_warned_of():
    net = small()
    nn.freeze(net, "block1")
    with pytest.warns(UserWarning, match="never updated"):
        net(on_device(IMAGES))


@pytest.mark.parametrize(
    ("patterns", "says"),
    [
        ([], "freeze: no pattern is given"),
        (["blok1"], "freeze: 'blok1' matches no parameter; did you mean 'block1'"),
        (["block1", "!block9"], "'block9' matches no parameter"),
        (["dropout"], "'dropout' matches no parameter"),
        ([3], "3 is no pattern"),
    ],
)
def test_patterns_that_match_nothing_are_refused_and_change_nothing(patterns, says):
    net = small()
    with pytest.raises(ConfigError, match=says):
        nn.freeze(net, *patterns)
    assert len(learning(net)) == 31


def test_layers_that_wait_for_their_input_are_refused():
    with pytest.raises(ConfigError, match="before the first call"):
        nn.freeze(nn.Sequential(nn.Dense(None, 3)), "*")


NETS = {
    "seed": lambda: models.SeedNet(43, 2),
    "mlp": lambda: models.MLP(43, (8, 8), size=8),
    "lenet5": lambda: models.LeNet5(43, 3),
    "alexnet": lambda: models.AlexNet(43, 3, 4, 16, small=True),
    "vgg": lambda: models.VGG(11, 43, 3, 2, 8, small=True),
    "googlenet": lambda: models.GoogLeNet(43, channels=2, small=True),
    "resnet20": lambda: models.CifarResNet(20, 43, 2),
    "resnet18": lambda: models.ResNet(18, 43, channels=2, small=True),
}


@pytest.mark.parametrize("name", NETS)
def test_the_head_of_every_network_can_be_replaced(name):
    net = NETS[name]()
    before = net.state_dict()
    (head,) = nn.replace_head(net, 5)
    after = net.state_dict()
    others = [n for n in before if not n.startswith(head)]
    assert list(before) == list(after)
    assert all(before[n].tobytes() == after[n].tobytes() for n in others)
    assert after[f"{head}.weight"].shape == (5, before[f"{head}.weight"].shape[1])
    assert before[f"{head}.weight"].shape[0] == 43


def test_a_new_head_has_the_old_ones_settings_and_is_drawn_from_the_seed():
    old = nn.Dense(4, 6, bias=False, normalizer=nn.BatchNorm1d, activation=nn.PReLU)
    net = nn.Sequential(nn.Dense(2, 4), head=old).astype(np.float64).eval()
    nn.freeze(net, "*")
    with nn.seed(5):
        assert nn.replace_head(net, 3) == ["head"]
    with nn.seed(5):
        drawn = nn.Dense(4, 3, bias=False, normalizer=nn.BatchNorm1d, activation=nn.PReLU)
    assert np.array_equal(net.head.weight.numpy(), drawn.weight.numpy().astype(np.float64))
    assert net.head.bias is None
    assert net.head.normalizer.channels == 3
    assert isinstance(net.head.activation, nn.PReLU)
    assert not net.head.training
    net.train()
    assert net.training
    assert net.head.training
    assert learning(net) == [n for n, _ in net.named_parameters() if n.startswith("head")]


def test_several_heads_in_lists_and_dicts():
    class Many(nn.Module):
        def __init__(self):
            self.heads = [nn.Dense(2, 3), {"a": nn.Dense(2, 3), 7: nn.Dense(2, 3)}]
            self.fixed = (nn.Dense(2, 3),)

    net = Many()
    assert nn.replace_head(net, 5, "heads.0", "heads.1.a", "heads.1.7")[2] == "heads.1.7"
    assert [len(p) for _, p in net.named_parameters()] == [5] * 6 + [3] * 2
    with pytest.raises(ConfigError, match="in a tuple"):
        nn.replace_head(net, 5, "fixed.0")


@pytest.mark.parametrize(
    ("net", "names", "says"),
    [
        (
            lambda: models.LeNet5(10, 6, 1, original=True),
            [],
            r"'logits' \(_Distances\) is no dense",
        ),
        (lambda: nn.Dense(2, 3), [], "this Dense is no dense layer inside"),
        (small, ["logit"], "there is no layer 'logit'; did you mean 'logits'"),
        (small, ["block1"], r"'block1' \(Sequential\) is no dense layer"),
        (lambda: nn.Sequential(nn.Dense(None, 3)), [], "in_features"),
    ],
)
def test_what_is_no_head_is_refused(net, names, says):
    with pytest.raises(ConfigError, match=says):
        nn.replace_head(net(), 5, *names)


def test_features_are_what_the_layer_returns_in_the_net():
    net, seen = warmed_up(), {}
    for name in ("block1", "block2.1", "hidden"):
        handle = dict(net.named_modules())[name].register_forward_hook(
            lambda _, __, y, name=name: seen.setdefault(name, y.numpy())
        )
        with no_grad(), nn.evaluating():
            net(on_device(IMAGES))
        handle.remove()
        got = nn.features(net, name).extract(IMAGES, batch=4)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, seen[name], rtol=1e-4, atol=1e-5)
    assert net.training
    assert nn.features(net, "hidden").extract(IMAGES[:0]).shape == (0, 100)


def test_nothing_after_the_layer_is_computed():
    net = small()
    net.block3.forward = None  # whoever calls it fails
    assert nn.features(net, "pool2")(on_device(IMAGES)).shape == (6, 4, 2, 2)


def test_gradients_pass_through_features_and_frozen_ones_learn_nothing():
    net = warmed_up()
    whole = nn.Sequential(nn.features(net, "pool3"), nn.Dense(8, 3))
    whole(on_device(IMAGES)).sum().backward()
    assert net.block1[0].weight.grad is not None
    assert net.logits.weight.grad is None
    nn.freeze(net, "*")
    whole.train()
    before = net.state_dict()
    step(whole, optim.SGD(whole, 0.1, weight_decay=0.1))
    assert not changed(before, net)


def test_features_can_be_traced_and_summarized():
    seen = nn.features(warmed_up(), "block2")
    assert "net.block2.2" in str(seen.summary((3, 8, 8)))
    assert "block3.0" not in [row for row in str(seen.summary((3, 8, 8))).split() if "net." in row]
    nodes = trace(seen.eval(), on_device(IMAGES)).nodes
    assert any(node.path.startswith("net.block2") for node in nodes)
    assert not any(node.path.startswith("net.block3") for node in nodes)


def test_one_net_gives_features_in_many_threads_at_once():
    net = warmed_up()
    names = ["block1", "block2", "block3", "hidden"]
    alone = [nn.features(net, name).extract(IMAGES) for name in names]
    whole = {}

    def ask(i):
        for _ in range(20):
            found = nn.features(net, names[i]).extract(IMAGES)
            whole.setdefault(i, []).append(np.array_equal(found, alone[i]))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        with no_grad(), nn.evaluating():
            assert net(on_device(IMAGES)).shape == (6, 3)
    for thread in threads:
        thread.join()
    assert whole == {i: [True] * 20 for i in range(4)}


def test_features_inside_of_features():
    net = warmed_up()
    inner = nn.features(nn.Sequential(nn.features(net, "hidden"), nn.Dense(100, 2)), "0")
    np.testing.assert_array_equal(inner.extract(IMAGES), nn.features(net, "hidden").extract(IMAGES))


@pytest.mark.parametrize(
    ("name", "says"),
    [("blok1", "did you mean 'block1'"), ("", "there is no layer ''"), ("block1.5", "no layer")],
)
def test_features_of_no_layer(name, says):
    with pytest.raises(ConfigError, match=says):
        nn.features(small(), name)


def test_features_of_a_layer_that_is_not_called():
    class Spare(nn.Sequential):
        def forward(self, x):
            return self[0](x)

    with pytest.raises(ConfigError, match="did not call its layer '1'"):
        nn.features(Spare(nn.Dense(2, 2), nn.Dense(2, 2)), "1").extract(np.zeros((1, 2), "f"))
