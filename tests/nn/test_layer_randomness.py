import threading

import numpy as np
import pytest

from minicnn import nn
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from minicnn.nn._calls import qualified_name

ONES = Tensor(np.ones((4, 8), np.float32))


def build():
    return nn.Sequential(nn.Dense(4, 4), nn.Dense(4, 4), nn.Dropout(0.5), nn.Conv2d(3, 4))


def bits(net):
    return {name: value.tobytes() for name, value in net.state_dict().items()}


def test_the_same_code_in_the_same_seed_gives_the_same_bits():
    with nn.seed(3):
        first = build()
    nn.Dense(7, 7)  # what happens elsewhere plays no role
    with nn.seed(3):
        second = build()
    with nn.seed(4):
        third = build()
    assert bits(first) == bits(second)
    assert bits(first) != bits(third)


def test_layers_of_one_net_differ_and_are_named_by_their_order():
    with nn.seed(3):
        net = build()
    assert not np.array_equal(net[0].weight.data, net[1].weight.data)
    expected = nn.init.he_normal((4, 4), Stream(3, "init", 1, "weight"), np.float32)
    np.testing.assert_array_equal(net[1].weight.data, expected)


def test_adding_dropout_does_not_change_the_weights_behind_it():
    with nn.seed(3):
        a = nn.Sequential(nn.Dense(4, 4), nn.Dense(4, 4))
    with nn.seed(3):
        b = nn.Sequential(nn.Dense(4, 4), nn.Dropout(), nn.ReLU(), nn.Dense(4, 4))
    np.testing.assert_array_equal(a[-1].weight.data, b[-1].weight.data)


def test_without_a_seed_layers_differ():
    assert not np.array_equal(nn.Dense(4, 4).weight.data, nn.Dense(4, 4).weight.data)


def test_seeds_nest_survive_exceptions_and_decorate():
    @nn.seed(5)
    def make():
        return nn.Dense(4, 4)

    with nn.seed(5):
        first = nn.Dense(4, 4)
        with pytest.raises(ZeroDivisionError), nn.seed(6):
            raise ZeroDivisionError
        second = nn.Dense(4, 4)
    np.testing.assert_array_equal(make().weight.data, first.weight.data)
    np.testing.assert_array_equal(make().weight.data, first.weight.data)
    expected = nn.init.he_normal((4, 4), Stream(5, "init", 1, "weight"), np.float32)
    np.testing.assert_array_equal(second.weight.data, expected)
    with pytest.raises(ConfigError, match=r"ints and strings, got 0\.5"):
        nn.seed(0.5)


def test_threads_do_not_share_a_seed_block():
    nets = {}

    def work(n):
        with nn.seed(9):
            barrier.wait(10)
            nets[n] = [nn.Dense(3, 3) for _ in range(20)]

    barrier = threading.Barrier(2)
    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for a, b in zip(nets[0], nets[1], strict=True):
        np.testing.assert_array_equal(a.weight.data, b.weight.data)


def mask(layer, x=ONES):
    return (layer(x).data != 0).tobytes()


def test_random_key_names_what_is_dropped():
    net = nn.Sequential(stem=nn.Sequential(nn.Dropout(0.5)))
    expected = Stream(7, "dropout", "stem.0", 11).uniform(ONES.shape, dtype="float32") >= 0.5
    with nn.random_key(7, 11):
        np.testing.assert_array_equal(net(ONES).data, expected * np.float32(2))


def test_random_key_gives_the_same_bits_again_and_others_at_other_steps():
    net = nn.Sequential(nn.Dropout(0.5))
    mask(net)  # counters outside of it play no role
    seen = []
    for key in [(0, 1), (0, 2), (1, 1), (0, 1)]:
        with nn.random_key(*key):
            seen.append(mask(net))
    assert seen[0] == seen[3]
    assert len(set(seen)) == 3


def test_layers_and_repeated_calls_differ_inside_one_key():
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5))
    alone = [nn.Dropout(0.5), nn.Dropout(0.5)]
    with nn.random_key(0, 0):
        seen = {mask(net[0]), mask(net[1]), *map(mask, alone), *map(mask, alone)}
        assert len(seen) == 6
    shared = nn.Dropout(0.5)
    twice = nn.Sequential(shared, nn.Sequential(shared))
    with nn.random_key(0, 0):
        kept = twice(ONES).data != 0
    assert 0 < kept.mean() < 0.45  # twice the same mask would keep half


def test_a_name_in_the_net_survives_another_order_of_creation():
    def net(*before):
        return nn.Sequential(drop=nn.Dropout(0.5))

    first = net()
    second = net(nn.Dropout(0.1), nn.Dropout(0.2))
    with nn.random_key(0, 5):
        a = mask(first)
    with nn.random_key(0, 5):
        assert mask(second) == a


def test_without_a_key_each_layer_counts_its_own_calls():
    def run():
        with nn.seed(2):
            a, b = nn.Dropout(0.5), nn.Dropout(0.5)
        return [mask(a), mask(a), mask(b)]

    assert run() == run()
    assert len(set(run())) == 3


def test_keys_end_with_their_block_and_are_checked():
    layer = nn.Dropout(0.5)
    with nn.random_key(0, 0):
        inside = mask(layer)
    assert mask(layer) != inside
    with pytest.raises(ConfigError, match="got None"), nn.random_key(None, 0):
        pass


class Holder(nn.Module):
    """Calls a part, which says under which name."""

    def __init__(self, *parts):
        self.parts = list(parts)
        self.by_key = {}

    def forward(self, part):
        return part(None)


class Named(nn.Module):
    def forward(self, _):
        return qualified_name(self)


def test_a_layer_that_moves_is_called_by_its_new_name():
    layer, other = Named(), Named()
    net = Holder(other, layer)
    assert [net(layer), net(other), net(layer)] == ["parts.1", "parts.0", "parts.1"]
    net.parts.reverse()
    assert [net(layer), net(other)] == ["parts.0", "parts.1"]
    net.by_key["x.y"] = net.parts.pop(0)
    assert [net(layer), net(layer), net(other)] == ["by_key.x.y", "by_key.x.y", "parts.0"]
    del net.by_key["x.y"]
    assert [net(layer), net(other)] == ["", "parts.0"]
    for _ in range(50):  # new ones may lie where old ones lay
        net.parts = [Named(), Named()]
        assert [net(part) for part in net.parts[::-1]] == ["parts.1", "parts.0"]


def test_the_same_layer_has_a_name_in_each_net():
    layer = Named()
    first, second = Holder(layer), Holder(Named(), layer)
    assert [first(layer), second(layer), first(layer)] == ["parts.0", "parts.1", "parts.0"]
