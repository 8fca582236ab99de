import threading

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn import arg_scope, configurable, explain_args, layers


def sizes(**arguments):
    return nn.Conv2d(3, 4, **arguments).size


def test_the_call_wins_over_the_innermost_over_the_outer_over_the_default():
    assert sizes() == (3, 3)
    with arg_scope(nn.Conv2d, size=5, stride=2):
        assert sizes() == (5, 5)
        with arg_scope(nn.Conv2d, size=7):
            assert sizes() == (7, 7)
            assert sizes(size=1) == (1, 1)
            assert nn.Conv2d(3, 4, 1).size == (1, 1)
            assert nn.Conv2d(3, 4).stride == (2, 2)
        assert sizes() == (5, 5)
    assert sizes() == (3, 3)


def test_several_targets_and_lists_of_them():
    with arg_scope([nn.Conv2d, nn.Dense], activation=ops.relu), arg_scope(nn.Dropout, rate=0.1):
        assert nn.Conv2d(3, 4).activation is nn.Dense(3, 4).activation is ops.relu
        assert nn.Dropout().rate == 0.1


def test_it_reaches_the_normaliser_inside_a_layer():
    with arg_scope(nn.Conv2d, normalizer=nn.BatchNorm2d), arg_scope(nn.BatchNorm2d, decay=0.5):
        layer = nn.Conv2d(3, 4)
    assert layer.normalizer.decay == 0.5
    assert layer.bias is None


def test_relatives_are_not_confused():
    with arg_scope(nn.BatchNorm2d, decay=0.5), arg_scope(nn.MaxPool2d, size=3):
        assert nn.BatchNorm1d(3).decay == 0.9
        assert nn.AvgPool2d().size == (2, 2)


class Pointwise(nn.Conv2d):
    """Inherits its __init__."""


class Wide(nn.Conv2d):
    """Has an __init__ of its own."""

    @configurable
    def __init__(self, channels, size=9, label=""):
        super().__init__(channels, channels, size)
        self.label = label


class Closed(nn.Conv2d):
    def __init__(self):
        super().__init__(3, 4)


def test_subclasses_follow_their_base():
    with arg_scope(nn.Conv2d, stride=2):
        assert Pointwise(3, 4).stride == Wide(3).stride == Closed().stride == (2, 2)
        with arg_scope(Pointwise, stride=3):
            assert Pointwise(3, 4).stride == (3, 3)
            assert nn.Conv2d(3, 4).stride == (2, 2)
    with arg_scope(Wide, label="a", size=5):
        assert (Wide(3).label, Wide(3).size) == ("a", (5, 5))
        assert sizes() == (3, 3)
    with pytest.raises(ConfigError, match="Closed takes no part in arg_scopes; mark its __init__"):
        arg_scope(Closed, size=3)


@pytest.mark.parametrize(
    ("targets", "arguments", "message"),
    [
        ([nn.Conv2d], {"sise": 3}, "Conv2d has no argument 'sise'; did you mean 'size'"),
        ([nn.Conv2d], {"normaliser": 3}, "did you mean 'normalizer'"),
        ([nn.Conv2d, nn.Dense], {"size": 3}, "Dense has no argument 'size'"),
        ([nn.Conv2d], {"qqq": 3}, r"no argument 'qqq' \(it has in_channels, out_channels"),
        ([nn.Conv2d], {"self": 3}, "no argument 'self'"),
        ([layers.conv2d], {"sise": 3}, "Conv2d has no argument 'sise'"),
        ([ops.relu], {"x": 3}, "relu takes no part in arg_scopes"),
        ([nn.ReLU], {"x": 3}, "ReLU takes no part in arg_scopes"),
        ([3], {"x": 3}, "3 takes no part in arg_scopes"),
        ([], {"size": 3}, "name the layers it is for"),
    ],
)
def test_mistakes_are_errors_at_once(targets, arguments, message):
    with pytest.raises(ConfigError, match=message):
        arg_scope(*targets, **arguments)


def test_an_exception_ends_it():
    with pytest.raises(ZeroDivisionError), arg_scope(nn.Conv2d, size=5):
        raise ZeroDivisionError
    assert sizes() == (3, 3)


def test_threads_have_scopes_of_their_own():
    seen = {}
    entered, looked = threading.Barrier(3), threading.Barrier(3)

    def work(size):
        with arg_scope(nn.Conv2d, size=size):
            entered.wait(10)  # all are inside of theirs
            seen[size] = sizes()
            looked.wait(10)

    threads = [threading.Thread(target=work, args=(size,)) for size in (5, 7)]
    for t in threads:
        t.start()
    entered.wait(10)
    seen["main"] = sizes()
    looked.wait(10)
    for t in threads:
        t.join()
    assert seen == {5: (5, 5), 7: (7, 7), "main": (3, 3)}


def test_it_decorates_and_is_reentrant():
    @arg_scope(nn.Conv2d, size=5)
    def build(depth):
        return [sizes(), *(build(depth - 1) if depth else [])]

    assert build(2) == [(5, 5)] * 3
    assert sizes() == (3, 3)


def test_functions_of_the_user():
    @configurable
    def block(x, channels, *, factor=1):
        return x, channels, factor

    with arg_scope(block, factor=3, channels=8):
        assert block(1) == (1, 8, 3)
        assert block(1, 2, factor=4) == (1, 2, 4)
    with pytest.raises(ConfigError, match="block: argument 'channels' is missing"):
        block(1)
    with pytest.raises(ConfigError, match="block: takes 2 arguments, got 3"):
        block(1, 2, 3)


def line_of(text):
    with open(__file__, encoding="utf-8") as file:
        return next(f"{__file__}:{i}" for i, line in enumerate(file, 1) if text in line)


def test_explain_args_names_the_line_that_set_each():
    with (
        arg_scope(nn.Conv2d, stride=2, size=5),  # line A
        arg_scope(nn.Conv2d, size=7),  # line B
    ):
        layer = nn.Conv2d(3, 4, bias=True)  # line C
    known = explain_args(layer)
    assert known["stride"] == (2, "arg_scope at " + line_of("# " + "line A"))
    assert known["size"] == (7, "arg_scope at " + line_of("# " + "line B"))
    assert known["bias"] == (True, "call at " + line_of("# " + "line C"))
    assert known["out_channels"] == (4, "call at " + line_of("# " + "line C"))
    assert known["groups"] == (1, "default")
    assert list(known)[:3] == ["in_channels", "out_channels", "size"]
    text = str(known)
    assert "stride           = 2          arg_scope at " in text
    assert "initializer      = he_normal  default" in text


def test_explain_args_of_a_subclass_and_of_functional_layers():
    wide = explain_args(Wide(3, label="w"))  # line D
    assert wide["size"] == (9, "default")
    assert wide["label"] == ("w", "call at " + line_of("# " + "line D"))
    net = nn.Scope()
    with net, arg_scope([layers.conv2d], size=5):  # line E
        layers.conv2d(Tensor(np.zeros((1, 3, 8, 8), np.float32)), 4)  # line F
    known = explain_args(net.conv2d)
    assert known["size"] == (5, "arg_scope at " + line_of("# " + "line E"))
    assert known["out_channels"] == (4, "call at " + line_of("# " + "line F"))
    with pytest.raises(ConfigError, match="nothing is known about ReLU"):
        explain_args(nn.ReLU())


def test_signatures_are_kept_for_help():
    import inspect

    assert list(inspect.signature(nn.Conv2d).parameters)[:3] == [
        "in_channels", "out_channels", "size",
    ]  # fmt: skip
    assert list(inspect.signature(layers.conv2d).parameters)[:3] == ["x", "out_channels", "size"]
    assert "name" in inspect.signature(layers.conv2d).parameters
    assert list(inspect.signature(layers.batch_norm).parameters)[:2] == ["x", "decay"]


def test_a_scope_can_be_kept_and_entered_again():
    kept = nn.arg_scope(nn.Conv2d, size=5)
    for _ in range(2):
        with kept:
            assert nn.Conv2d(1, 1).size == (5, 5)
        assert nn.Conv2d(1, 1).size == (3, 3)
