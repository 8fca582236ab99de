import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError


def make():
    return nn.Sequential(nn.Dense(2, 3), ops.relu, ("middle", nn.Dense(3, 4)), head=nn.Dense(4, 1))


def test_applies_the_layers_in_order():
    net = make()
    x = Tensor(np.array([[1.0, -2.0], [3.0, 0.5]], np.float32))
    y = net.head(net.middle(ops.relu(net[0](x))))
    np.testing.assert_array_equal(net(x).data, y.data)


def test_indexing_iterating_and_names():
    net = make()
    assert len(net) == 4
    assert net[2] is net.middle is list(net)[2]
    assert net[-1] is net.head
    assert isinstance(net[1], nn.Function)
    assert [name for name, _ in net.named_modules()][1:] == ["0", "1", "middle", "head"]
    with pytest.raises(IndexError, match="no layer 4; it has 4"):
        net[4]


def test_a_slice_shares_the_layers_and_keeps_their_names():
    net = make().eval()
    part = net[2:]
    assert [name for name, _ in part.named_parameters()] == [
        "middle.weight", "middle.bias", "head.weight", "head.bias",
    ]  # fmt: skip
    assert part[0] is net[2]
    assert not part.training
    assert isinstance(net[:0], nn.Sequential)
    rest = net[1:2]
    rest.append(ops.tanh)  # "1" is taken by the layer that was number 1
    assert [name for name, _ in rest.named_modules()] == ["", "1", "2"]


def test_replacing_a_layer_keeps_name_and_place():
    net = make()
    net[-1] = nn.Dense(4, 7)
    assert list(net.state_dict())[-2:] == ["head.weight", "head.bias"]
    assert net(Tensor(np.zeros((1, 2), np.float32))).shape == (1, 7)
    net[0] = ops.tanh
    assert isinstance(net[0], nn.Function)


def test_an_empty_one_is_the_identity_and_true():
    x = Tensor(np.ones(3))
    assert nn.Sequential()(x) is x
    assert nn.Sequential()


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([3], "needs layers and functions, got 3"),
        ([nn.ReLU], "got the class ReLU; make one: ReLU"),
        ([("a.b", nn.ReLU())], "'a.b' cannot name a layer"),
        ([("forward", nn.ReLU())], "'forward' cannot name a layer"),
        ([("a", nn.ReLU()), ("a", nn.ReLU())], "the name 'a' is taken"),
    ],
)
def test_what_is_no_layer_or_no_name_is_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        nn.Sequential(*layers)
