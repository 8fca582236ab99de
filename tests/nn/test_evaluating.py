"""Evaluation is a matter of who asks: one thread's does not touch another's."""

import copy
import threading

import numpy as np
import pytest

from minicnn import Tensor, layers, nn, ops
from minicnn.autograd import no_grad
from minicnn.errors import ShapeError
from minicnn.nn import _inference

X = Tensor(np.random.default_rng(0).normal(size=(6, 3, 5, 5)).astype(np.float32))


def net():
    with nn.seed(0):
        return nn.Sequential(
            nn.Conv2d(3, 8, 3, normalizer=nn.BatchNorm2d, activation=ops.relu),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Dense(200, 4),
        )


def modes(module):
    return [m.training for _, m in module.named_modules()]


def test_all_modules_evaluate_inside_and_are_as_they_were_afterwards():
    module = net()
    module[0].normalizer.eval()
    before = modes(module)
    with nn.evaluating():
        assert not any(modes(module))
        with nn.evaluating():
            assert not any(modes(module))
        assert not any(modes(module))
    assert modes(module) == before
    assert before.count(False) == 1
    with pytest.raises(ZeroDivisionError), nn.evaluating():
        raise ZeroDivisionError
    assert modes(module) == before


def test_what_is_said_inside_holds_until_the_end():
    """Monte-Carlo dropout, say: all but one layer evaluate."""
    module = net()
    module(X)
    with nn.evaluating():
        module[1].train()
        assert modes(module) == [False, False, False, True, False, False]
        with nn.evaluating():
            assert not any(modes(module))
        assert module[1].training
        assert bool((module(X).numpy() != module(X).numpy()).any())
    module.eval()
    with nn.evaluating():
        module.train()
        assert all(modes(module))
    assert not any(modes(module))


def test_one_threads_end_of_evaluation_is_not_anothers():
    module, inside, gone = net(), threading.Event(), threading.Event()
    seen = []

    def other():
        with nn.evaluating():
            inside.set()
            gone.wait(10)
            seen.append(modes(module))

    thread = threading.Thread(target=other)
    with nn.evaluating():
        thread.start()
        assert inside.wait(10)
    assert all(modes(module))  # though the other one still evaluates
    module.train()
    gone.set()
    thread.join()
    assert not any(seen[0])


def test_training_and_evaluation_at_the_same_time_have_the_bits_that_they_have_alone():
    module = net()
    module(X)

    def train(its):
        with nn.random_key(0, 0), no_grad():
            return its(X).numpy().tobytes()

    def evaluate(its):
        with nn.evaluating(), no_grad():
            return its(X).numpy().tobytes()

    trained, evaluated = train(copy.deepcopy(module)), evaluate(module)
    module[0].normalizer.note = lambda *_: None  # so that evaluation has always the same averages
    found = {train: set(), evaluate: set()}
    threads = [
        threading.Thread(target=lambda f=f: [found[f].add(f(module)) for _ in range(60)])
        for f in (train, evaluate, evaluate)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {train: {trained}, evaluate: {evaluated}}


def test_layers_that_are_made_inside_are_in_the_mode_of_their_scope():
    for training in (True, False):
        scope = nn.Scope().train(training)
        with nn.evaluating(), scope:
            layers.dropout(layers.dense(layers.flatten(X), 4), 0.5)
            assert not any(modes(scope))
        assert modes(scope) == [training] * 3
    with nn.evaluating(), (scope := nn.Scope()):
        scope.train()
        layers.dropout(X, 0.5)
        assert scope.dropout.training


def test_a_part_is_in_the_mode_of_the_whole():
    module = net().eval()
    with nn.evaluating():
        module.train()
        part = module[:2]
        assert part.training
    assert not part.training


def test_a_class_may_say_how_its_modules_begin():
    class Frozen(nn.BatchNorm2d):
        training = False

    frozen = Frozen(3)
    assert not frozen.training
    assert frozen.train().training
    with nn.evaluating():
        assert not frozen.training
    assert frozen.training
    assert not copy.deepcopy(frozen.eval()).training
    assert nn.BatchNorm2d(3).training


def test_layers_that_several_threads_call_first_are_made_once():
    """Each finds out the size of its input at its first call, from which its weights follow."""
    made = []

    def initializer(shape, stream, dtype):
        made.append(shape)
        threading.Event().wait(0.02)
        return stream.normal(shape, dtype=dtype)

    def chain(x):
        x = layers.conv2d(x, 8, 3, initializer=initializer)
        x = layers.batch_norm(x, gamma_initializer=initializer)
        x = layers.group_norm(x, 2, gamma_initializer=initializer)
        x = layers.layer_norm(x, axes=1, gamma_initializer=initializer)
        return layers.dense(layers.flatten(x), 4, initializer=initializer)

    scope, found = nn.Scope(chain), set()
    start = threading.Barrier(4)

    def call():
        start.wait(10)
        with no_grad():
            found.add(scope(X).numpy().tobytes())

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 1
    assert len(made) == 5
    assert len(list(scope.named_modules())) == 6


def test_a_layer_whose_first_call_failed_is_no_other_layer():
    """It may just be in its first call in another thread."""
    answers = iter([None])

    def initializer(shape, stream, dtype):
        return stream.normal(shape, dtype=dtype) if next(answers, True) else np.zeros(0)

    scope = nn.Scope(lambda x: layers.dense(layers.flatten(x), 4, initializer=initializer))
    with pytest.raises(ShapeError, match="the initializer returned shape"):
        scope(X)
    layer = scope.dense
    scope(X)
    assert scope.dense is layer


def test_weights_that_change_while_a_call_is_prepared_are_not_taken_for_the_old_ones(monkeypatch):
    """Small images' calls are prepared for weights of certain values, and kept."""
    layer, x = nn.Conv2d(3, 16, 3, activation=ops.relu), Tensor(np.tile(X.numpy(), (1, 1, 3, 3)))
    old = layer.weight.data.copy()
    prepare = _inference.prepare_conv_act

    def meanwhile(*arguments):  # another thread trains
        layer.weight.data[...] = 2 * old
        return prepare(*arguments)

    def call():
        with no_grad(), nn.evaluating():
            return layer(x).numpy()

    expected = call()
    monkeypatch.setattr(_inference, "prepare_conv_act", meanwhile)
    np.testing.assert_allclose(call(), 2 * expected, rtol=1e-5)
    monkeypatch.undo()
    layer.weight.data[...] = old
    for _ in range(3):
        np.testing.assert_array_equal(call(), expected)


def test_one_arg_scope_in_several_threads():
    shared, inside, out = nn.arg_scope(nn.Dropout, rate=0.1), threading.Event(), threading.Event()
    seen = []

    def other():
        with shared:
            inside.set()
            out.wait(10)
            seen.append(nn.Dropout().rate)
        seen.append(nn.Dropout().rate)

    thread = threading.Thread(target=other)
    with shared, shared:
        thread.start()
        assert inside.wait(10)
    assert nn.Dropout().rate == 0.5
    out.set()
    thread.join()
    assert seen == [0.1, 0.5]
