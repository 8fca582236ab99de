import copy

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import CheckpointError, ConfigError, DTypeError, ShapeError


def array(*shape, seed=0):
    return Stream(seed, "test").normal(shape, dtype=np.float32)


class Net(nn.Module):
    """Every way to hold something: directly, in a list, in a dict, twice, and as a buffer."""

    def __init__(self):
        self.scale = nn.Parameter([1.0, 1.0])
        self.first = nn.Dense(2, 3)
        self.plain = 5
        self.blocks = [nn.Dense(3, 3), nn.Dense(3, 3, bias=False)]
        self.heads = {"a": nn.Dense(3, 1), "b": nn.Dense(3, 1)}
        self.seen = nn.Buffer(np.zeros((), np.int64))
        self.again = self.first  # shared
        self.tied = self.blocks[1].weight  # shared

    def forward(self, x):
        x = self.first(x * self.scale)
        for block in self.blocks:
            x = block(x)
        return self.heads["a"](x) + self.heads["b"](x)


NAMES = [
    "scale", "first.weight", "first.bias", "blocks.0.weight", "blocks.0.bias", "blocks.1.weight",
    "heads.a.weight", "heads.a.bias", "heads.b.weight", "heads.b.bias",
]  # fmt: skip


def test_names_come_in_definition_order_and_shared_ones_once():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert [name for name, _ in net.named_buffers()] == ["seen"]
    assert list(net.state_dict()) == [*NAMES, "seen"]
    assert [name for name, _ in net.named_modules()] == [
        "", "first", "blocks.0", "blocks.1", "heads.a", "heads.b",
    ]  # fmt: skip
    assert net.count_parameters() == 2 + 9 + 12 + 9 + 4 + 4
    assert [p.name for p in net.parameters()] == NAMES


def test_a_module_that_holds_itself_ends():
    net = nn.Sequential(nn.Dense(2, 2))
    net.parent = net
    net[0].parent = net
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert not net.eval()[0].training


def test_reassigning_keeps_the_place_in_the_order():
    net = Net()
    net.first = nn.Dense(2, 3, bias=False)
    del net.again
    assert next(name for name, _ in net.named_modules() if name) == "first"
    assert [name for name, _ in net.named_parameters()][1:3] == ["first.weight", "blocks.0.weight"]


def test_super_init_may_be_forgotten_in_a_plain_module_but_not_in_a_layer():
    class Forgetful(nn.Conv2d):
        def __init__(self):
            self.extra = nn.Parameter(np.zeros(3))

    with pytest.raises(AttributeError, match=r"did its __init__ call super\(\).__init__.*Conv2d\?"):
        Forgetful()(Tensor(array(1, 3, 4, 4)))
    with pytest.raises(AttributeError, match="no attribute 'frist'; did you mean 'first'"):
        Net().frist  # noqa: B018
    Net()(Tensor(array(4, 2))).sum().backward()  # Net does not call it, and everything works


def test_a_parameter_cannot_silently_become_something_else():
    layer = nn.Dense(2, 3)
    with pytest.raises(
        ConfigError, match=r"Dense\.weight is a Parameter and cannot become a ndarray"
    ):
        layer.weight = np.zeros((3, 2))
    layer.bias = None  # taking it away is no accident
    assert [name for name, _ in layer.named_parameters()] == ["weight"]


def test_parameters_copy_what_they_are_given():
    values = np.ones(3, np.float32)
    parameter, buffer = nn.Parameter(values), nn.Buffer(values)
    values[0] = 7
    assert parameter.data[0] == buffer.data[0] == 1
    assert parameter.requires_grad
    assert not buffer.requires_grad
    with pytest.raises(DTypeError, match="only floats have gradients"):
        nn.Parameter(np.zeros(3, np.int64))


def test_training_mode_reaches_every_module_and_returns_the_net():
    net = Net()
    assert net.eval() is net
    assert not any(m.training for _, m in net.named_modules())
    net.train()
    assert all(m.training for _, m in net.named_modules())


def test_zero_grad_forgets():
    net = Net()
    net(Tensor(array(4, 2))).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())


def test_gradients_reach_parameters_shared_by_two_layers_from_both():
    a = nn.Dense(3, 3, bias=False)
    b = nn.Dense(3, 3, bias=False)
    b.weight = a.weight
    x = Tensor(array(2, 3))
    nn.Sequential(a, b)(x).sum().backward()
    w, ones = a.weight.data.astype(np.float64), np.ones((2, 3))
    both = ones.T @ (x.data @ w.T) + (ones @ w).T @ x.data
    np.testing.assert_allclose(a.weight.grad.data, both, rtol=1e-5)


def test_state_dict_holds_copies_in_c_order():
    net = nn.Conv2d(3, 4)
    net.weight.data = np.asfortranarray(net.weight.data)
    state = net.state_dict()
    assert all(a.flags.c_contiguous and a.flags.owndata for a in state.values())
    before = net.weight.data.copy()
    state["weight"][:] = 0
    np.testing.assert_array_equal(net.weight.data, before)


def test_load_state_dict_round_trip_is_exact_and_copies():
    with nn.seed(1):
        a = Net()
    with nn.seed(2):
        b = Net()
    a.seen.data = np.asarray(41)
    state = a.state_dict()
    weight = b.first.weight
    assert b.load_state_dict(state) == ((), ())
    assert b.first.weight is weight  # optimisers hold on to it
    state["first.weight"][:] = 0
    for name, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[name], value)
        assert b.state_dict()[name].dtype == value.dtype


def test_a_state_that_does_not_fit_lists_everything_and_changes_nothing():
    net = Net()
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    state = {name: value + 1 for name, value in net.state_dict().items()}
    del state["scale"], state["blocks.0.bias"]
    state["first.weigth"] = state.pop("first.weight")
    state["heads.a.weight"] = np.zeros((1, 4))
    state["seen"] = np.zeros((), np.float32)
    with pytest.raises(CheckpointError) as caught:
        net.load_state_dict(state)
    message = str(caught.value)
    assert "misshapen (2):" in message
    assert "heads.a.weight: the net has float32 (1, 3), the state float64 (1, 4)" in message
    assert "seen: the net has int64 (), the state float32 ()" in message
    assert "missing (3):\n    scale (2,)\n    first.weight (3, 2)\n    blocks.0.bias" in message
    assert "unexpected (1):\n    first.weigth (3, 2) (like first.weight" in message
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before
    with pytest.raises(CheckpointError, match="misshapen"):
        net.load_state_dict(state, strict=False)
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before


def test_loading_loosely_takes_what_fits_and_reports_the_rest():
    net = Net()
    state = {"scale": np.array([3.0, 4.0]), "other": np.zeros(2)}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert unexpected == ("other",)
    assert set(missing) == {*NAMES, "seen"} - {"scale"}
    np.testing.assert_array_equal(net.scale.data, np.array([3, 4], np.float32))
    assert net.scale.dtype == np.float32
    with pytest.raises(CheckpointError, match="strict=False"):
        net.load_state_dict(state)


def test_astype_converts_floats_only():
    net = Net()
    net(Tensor(array(4, 2))).sum().backward()
    parameters = list(net.parameters())
    net.astype(np.float64)
    assert all(p.dtype == np.float64 and p.grad is None for p in net.parameters())
    assert list(map(id, net.parameters())) == list(map(id, parameters))
    assert net.seen.dtype == np.int64
    with pytest.raises(DTypeError, match="int64"):
        net.astype(int)


def test_to_keeps_parameters_and_moves_gradients():
    net = Net()
    net(Tensor(array(4, 2))).sum().backward()
    before = {name: (p, p.grad.data) for name, p in net.named_parameters()}
    assert net.to("cpu") is net
    for name, p in net.named_parameters():
        assert p is before[name][0]
        np.testing.assert_array_equal(p.grad.data, before[name][1])


def test_hooks_see_every_call_until_removed():
    net = nn.Sequential(nn.Dense(2, 3), nn.ReLU())
    seen = []
    handle = net[1].register_forward_hook(lambda m, inputs, y: seen.append((m, inputs, y)))
    x = Tensor(array(4, 2))
    y = net(x)
    assert len(seen) == 1
    assert seen[0][0] is net[1]
    assert len(seen[0][1]) == 1
    assert seen[0][2] is y
    handle.remove()
    handle.remove()
    net(x)
    assert len(seen) == 1
    with net.register_forward_hook(lambda *_: seen.append(None)):
        net(x)
    net(x)
    assert len(seen) == 2


def test_a_hook_that_is_a_module_is_not_part_of_the_net():
    net = nn.Dense(2, 3)
    net.register_forward_hook(nn.Function(lambda *_: None))
    assert [name for name, _ in net.named_modules()] == [""]


def test_a_deep_copy_is_independent():
    net = Net()
    twin = copy.deepcopy(net)
    assert twin.again is twin.first
    twin.scale.data = twin.scale.data + 1
    np.testing.assert_array_equal(net.scale.data, [1, 1])
    assert list(twin.state_dict()) == list(net.state_dict())
    y, z = net(Tensor(array(4, 2))), twin(Tensor(array(4, 2)))
    assert not np.array_equal(y.data, z.data)


def test_repr_is_a_tree_of_what_was_asked_for():
    net = nn.Sequential(nn.Conv2d(3, 8, normalizer=nn.BatchNorm2d, activation=ops.relu), ops.tanh)
    assert repr(net) == (
        "Sequential {\n"
        "  0: Conv2d(in_channels=3, out_channels=8, normalizer=BatchNorm2d, activation=relu) {\n"
        "    normalizer: BatchNorm2d(channels=8)\n"
        "  }\n"
        "  1: Function(tanh)\n"
        "}"
    )
    assert repr(nn.ReLU()) == "ReLU()"


def test_a_module_without_forward_says_so():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Empty defines no forward"):
        Empty()(1)


@pytest.mark.parametrize("what", [np.zeros((1, 3, 4, 4)), [[1.0]], None, "image"])
@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4), nn.Conv2d(None, 4), nn.Dense(3, 4), nn.BatchNorm2d(3), nn.MaxPool2d(),
        nn.AvgPool2d(), nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d(), nn.ReLU(), nn.LeakyReLU(),
        nn.PReLU(), nn.Tanh(), nn.Sigmoid(), nn.Softmax(), nn.Flatten(), nn.Dropout(),
        nn.SpatialDropout(),
    ],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_only_tensors_may_be_fed(layer, what):
    kind = type(layer).__name__
    with pytest.raises(
        DTypeError, match=rf"^{kind}: needs a Tensor .*wrap it: minicnn.Tensor\(x\)"
    ):
        layer(what)


def test_errors_name_the_layer_as_the_net_calls_it():
    net = nn.Sequential(body=nn.Sequential(nn.Conv2d(3, 4), nn.Conv2d(5, 4)))
    with pytest.raises(ShapeError, match=r"Conv2d 'body.1': x has 4 channels .* made for 5"):
        net(Tensor(array(1, 3, 4, 4)))
    with pytest.raises(ShapeError, match=r"^Conv2d: x has 3 channels"):
        net.body[1](Tensor(array(1, 3, 4, 4)))


def test_what_is_not_built_has_no_parameters_to_give():
    net = nn.Sequential(nn.Conv2d(None, 4), head=nn.Dense(None, 2))
    for ask in (net.parameters, net.named_buffers, net.state_dict, net.count_parameters):
        with pytest.raises(ConfigError, match="Conv2d '0' does not know its in_channels"):
            list(ask())
    with pytest.raises(ConfigError, match="load_state_dict: Conv2d '0'"):
        net.load_state_dict({})
    net.zero_grad()
    assert "Dense" in repr(net)


def test_build_creates_all_parameters_and_nothing_else():
    with nn.seed(3):
        lazy = nn.Sequential(
            nn.Conv2d(None, 4, normalizer=nn.BatchNorm2d, activation=nn.PReLU),
            nn.BatchNorm2d(),
            nn.PReLU(None),
            nn.Dropout(),
            nn.Flatten(),
            nn.Dense(None, 2),
        )
    with nn.seed(3):
        known = nn.Sequential(
            nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=nn.PReLU),
            nn.BatchNorm2d(4),
            nn.PReLU(4),
            nn.Dropout(),
            nn.Flatten(),
            nn.Dense(4 * 6 * 5, 2),
        )
    assert lazy.build((3, 6, 5)) is lazy
    assert lazy.training
    assert list(lazy.state_dict()) == list(known.state_dict())
    for name, value in known.state_dict().items():  # the order of the first calls plays no role
        np.testing.assert_array_equal(lazy.state_dict()[name], value, err_msg=name)
