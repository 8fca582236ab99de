import threading

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn import arg_scope, layers


def images(*shape):
    return Tensor(Stream(0, "images").normal(shape, dtype=np.float32))


X = images(4, 3, 8, 8)


def everything(x):
    x = layers.conv2d(x, 4, normalizer=nn.BatchNorm2d, activation=ops.relu)
    x = layers.max_pool2d(x)
    with layers.scope("block"):
        x = layers.conv2d(x, 6, 5, activation=nn.PReLU)
        x = layers.conv2d(x, 6, size=1)
        x = layers.batch_norm(x)
    x = layers.prelu(layers.avg_pool2d(layers.spatial_dropout(x, 0.2)))
    x = layers.dropout(layers.batch_norm(layers.global_avg_pool2d(x)))
    return layers.dense(layers.flatten(x), 5, name="logits")


NAMES = [
    "conv2d", "conv2d.normalizer", "max_pool2d",
    "block", "block.conv2d", "block.conv2d.activation", "block.conv2d_1", "block.batch_norm",
    "spatial_dropout", "avg_pool2d", "prelu", "global_avg_pool2d", "batch_norm", "dropout",
    "logits",
]  # fmt: skip


def as_modules():
    return nn.Sequential(
        nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=ops.relu),
        nn.MaxPool2d(),
        nn.Conv2d(4, 6, 5, activation=nn.PReLU),
        nn.Conv2d(6, 6, 1),
        nn.BatchNorm2d(6),
        nn.SpatialDropout(0.2),
        nn.AvgPool2d(),
        nn.PReLU(),
        nn.GlobalAvgPool2d(),
        nn.BatchNorm1d(6),
        nn.Dropout(),
        nn.Dense(6, 5),
    )


def test_layers_are_made_once_and_found_by_name():
    net = nn.Scope()
    for _ in range(3):
        with net:
            everything(X)
        assert [name for name, _ in net.named_modules()][1:] == NAMES
    before = list(map(id, net.parameters()))
    with net:
        everything(X).sum().backward()
    assert list(map(id, net.parameters())) == before
    assert all(p.grad is not None for p in net.parameters())


@pytest.mark.parametrize("training", [True, False])
def test_equals_the_modules_with_the_same_weights(training):
    functional, modules = nn.Scope(everything).build((3, 8, 8)), as_modules()
    values = list(functional.state_dict().values())
    modules.load_state_dict(dict(zip(modules.state_dict(), values, strict=True)))
    for net in (functional, modules):
        for _, module in net.named_modules():
            if isinstance(module, nn.Dropout | nn.SpatialDropout):
                module.rate = 0.0  # masks are named by the layers, so they would differ
        net(X)  # moves the averages
        net.train(training)
    x = images(3, 3, 8, 8)
    np.testing.assert_array_equal(functional(x).data, modules(x).data)
    for a, b in zip(functional.state_dict().values(), modules.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_follows_the_scope_and_the_key():
    net = nn.Scope(lambda x: layers.dropout(x))
    ones = Tensor(np.ones((4, 50), np.float32))
    assert net.eval()(ones) is ones
    net.train()
    with nn.random_key(3, 1):
        expected = Stream(3, "dropout", "dropout", 1).uniform((4, 50), dtype="float32") >= 0.5
        np.testing.assert_array_equal(net(ones).data, expected * np.float32(2))


def test_layers_made_in_evaluation_are_in_evaluation():
    net = nn.Scope(lambda x: layers.dropout(x)).eval()
    net(X)
    assert not net.dropout.training
    with nn.Scope() as training:
        layers.dropout(X)
    assert training.dropout.training


def test_weights_are_named_by_scope_and_layer_not_by_order_or_time():
    def one(x):
        layers.conv2d(x, 4, name="a")
        return layers.conv2d(x, 4, name="b")

    def other(x):
        layers.conv2d(x, 4, name="b")
        return layers.conv2d(x, 4, name="a")

    with nn.seed(3):
        first = nn.Scope(one)
    with nn.seed(3):
        second = nn.Scope(other)
    with nn.seed(4):
        third = nn.Scope(one)
    for net in (first, second, third):
        net.build((3, 8, 8))
    for name in ("a.weight", "b.weight"):
        a, b, c = (net.state_dict()[name] for net in (first, second, third))
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    assert not np.array_equal(first.a.weight.data, first.b.weight.data)


def test_two_scopes_of_one_seed_differ():
    with nn.seed(3):
        a, b = (nn.Scope(lambda x: layers.conv2d(x, 4)).build((3, 8, 8)) for _ in range(2))
    assert not np.array_equal(a.conv2d.weight.data, b.conv2d.weight.data)


def test_arg_scope_of_the_function_and_of_the_class_are_one():
    for target in (layers.conv2d, nn.Conv2d):
        with nn.Scope() as net, arg_scope([target], size=5, activation=ops.relu):
            layers.conv2d(X, 4)
        assert net.conv2d.size == (5, 5)
        assert net.conv2d.activation is ops.relu


@pytest.mark.parametrize(
    ("again", "message"),
    [
        (lambda: layers.conv2d(X, 5), r"out_channels=5 \(made with 4, call at .*test_functional"),
        (lambda: layers.conv2d(X, 4, size=5), r"size=5 \(made with 3, default\)"),
        (lambda: layers.conv2d(X, 4, activation=ops.relu), "activation=relu"),
        (lambda: layers.dense(layers.flatten(X), 4, name="conv2d"), "name of a Conv2d already"),
        (lambda: layers.conv2d(X, 4, sise=3), "layers.conv2d: it has no argument 'sise'; did you"),
        (lambda: layers.conv2d(X), "layers.conv2d: argument 'out_channels' is missing"),
        (lambda: layers.conv2d(X, 4, in_channels=3), "no argument 'in_channels'"),
        (lambda: layers.conv2d(X, 4, name="a.b"), "Scope: 'a.b' cannot name a layer"),
        (lambda: layers.conv2d(X, 4, name="train"), "'train' cannot name a layer"),
    ],
)
def test_reuse_with_other_settings_is_refused(again, message):
    net = nn.Scope()
    with net:
        layers.conv2d(X, 4)
    with pytest.raises(ConfigError, match=message), net:
        again()
    with net:  # nothing is spoiled
        layers.conv2d(X, 4)


def test_other_input_channels_are_refused():
    net = nn.Scope(lambda x: layers.conv2d(x, 4))
    net(X)
    with pytest.raises(ShapeError, match=r"Conv2d 'conv2d': x has 5 channels .* made for 3"):
        net(images(1, 5, 8, 8))


def test_functions_written_in_place_count_as_the_same():
    from functools import partial

    net = nn.Scope()
    for _ in range(2):
        with net:
            layers.conv2d(
                X,
                4,
                activation=lambda x: x * 2.0,
                normalizer=partial(nn.BatchNorm2d, decay=0.5),
                initializer=nn.init.variance_scaling(0.5),
            )
    with pytest.raises(ConfigError, match="other settings: normalizer="), net:
        layers.conv2d(
            X,
            4,
            activation=net.conv2d.activation,
            normalizer=partial(nn.BatchNorm2d, decay=0.6),
            initializer=nn.init.variance_scaling(0.5),
        )


def test_a_failed_first_call_does_not_pin_the_settings():
    net = nn.Scope()
    with pytest.raises(ShapeError), net:
        layers.dense(X, 4)
    with net:
        assert layers.dense(layers.flatten(X), 5).shape == (4, 5)


def test_names_do_not_silently_share_weights():
    with nn.Scope():
        layers.conv2d(X, 4, name="a")
        with pytest.raises(ConfigError, match="the name 'a' was used already in this pass"):
            layers.conv2d(X, 4, name="a")
        with layers.scope("b"):
            pass
        with pytest.raises(ConfigError, match="scope: 'b' was used already"), layers.scope("b"):
            pass


def test_weights_are_shared_on_request():
    net = nn.Scope()
    with net:
        for x in (X, images(2, 3, 8, 8)):
            with layers.scope("twin", reuse=True):
                layers.conv2d(x, 4)
    assert net.count_parameters() == 4 * 27 + 4


def test_names_of_automatic_and_given_kind_do_not_meet():
    with nn.Scope() as net:
        layers.dropout(X, name="dropout_1")
        layers.dropout(X)
        with pytest.raises(ConfigError, match="'dropout_1' was used already"):
            layers.dropout(X)
    assert [name for name, _ in net.named_modules()][1:] == ["dropout_1", "dropout"]


def test_outside_of_a_scope():
    with pytest.raises(
        ConfigError, match=r"layers.conv2d: there is no scope .* `with Scope\(\) as"
    ):
        layers.conv2d(X, 4)
    with pytest.raises(ConfigError, match=r"scope\('a'\): there is no scope"), layers.scope("a"):
        pass
    with pytest.raises(ConfigError, match="made without a function"):
        nn.Scope()(X)


def test_exceptions_and_threads_leave_the_scope():
    net = nn.Scope()
    with pytest.raises(ZeroDivisionError), net, layers.scope("block"):
        raise ZeroDivisionError
    errors = []

    def work():
        try:
            layers.dropout(X)
        except ConfigError as error:
            errors.append(error)

    with net:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert len(errors) == 1
    with pytest.raises(ConfigError, match="no scope"):
        layers.dropout(X)


def test_a_scope_inside_another_net_keeps_its_names_there():
    class Outer(nn.Module):
        def __init__(self):
            self.inner = nn.Scope(lambda x: layers.dropout(x))

        def forward(self, x):
            return self.inner(x)

    ones = Tensor(np.ones((4, 50), np.float32))
    with nn.random_key(0, 0):
        expected = Stream(0, "dropout", "inner.dropout", 0).uniform((4, 50), dtype="float32") >= 0.5
        np.testing.assert_array_equal(Outer()(ones).data, expected * np.float32(2))
