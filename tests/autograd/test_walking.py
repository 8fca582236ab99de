"""The backward that stops at every step is the one that does not."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor, grad, no_grad, walk_back
from minicnn.autograd.walking import arrays_held_by, buffers_of, tape_of
from minicnn.errors import GradientError, ShapeError


def net():
    with nn.seed(1):
        return nn.Sequential(
            nn.Conv2d(2, 3, activation=ops.relu), nn.GlobalAvgPool2d(), nn.Dense(3, 2)
        )


def loss_of(module):
    x = np.random.default_rng(0).normal(size=(2, 2, 5, 5)).astype(np.float32)
    y = module(Tensor(x))
    return (y * y * y.exp()).sum()


def test_it_walks_as_backward_does_bit_for_bit():
    stored, walked = net(), net()
    loss_of(stored).backward()
    steps = list(walk_back(loss_of(walked)))
    found = {id(s.tensor): s.gradient.data for s in steps}
    for a, b in zip(stored.parameters(), walked.parameters(), strict=True):
        assert a.grad.data.tobytes() == found[id(b)].tobytes()
        assert b.grad is None
    assert [s.number for s in steps] == list(range(len(steps)))


def test_inner_gradients_are_those_of_grad():
    x = Tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    inner = x.exp()
    y = (inner * inner).sum()
    steps = list(walk_back(y, retain_graph=True))
    assert [s.op for s in steps] == ["sum", "multiply", "exp", ""]
    assert steps[2].tensor is inner
    expected = grad(y, [inner, x], retain_graph=True)
    np.testing.assert_array_equal(steps[2].gradient.data, expected[0].data)
    np.testing.assert_array_equal(steps[3].gradient.data, expected[1].data)
    assert steps[1].parents == (inner, inner)
    assert steps[1].closures == ("grad_a", "grad_b")
    assert steps[3].closures == ()
    list(walk_back(y))  # it was retained


def test_each_tensor_once_and_after_all_that_used_it():
    x = Tensor(np.ones(2), requires_grad=True)
    a = x * 2
    b = a + x
    y = (b * a).sum()
    steps = list(walk_back(y))
    place = {id(s.tensor): s.number for s in steps}
    assert len(place) == len(steps) == 5
    for s in steps:
        assert all(place[id(p)] > s.number for p in s.parents)
    assert not {id(t) for t in tape_of(y)} & {id(x), id(a), id(b)}  # the walk has freed the rest


def test_a_cotangent_is_taken_and_checked():
    x = Tensor(np.ones(3), requires_grad=True)
    *_, last = walk_back(x * 2, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(last.gradient.data, [2, 4, 6])
    with pytest.raises(ShapeError, match="needs an explicit grad"):
        next(walk_back(x * 2))
    with pytest.raises(GradientError, match="requires a gradient"):
        next(walk_back(Tensor(np.ones(()))))


def test_nothing_happens_before_a_step_is_asked_for_and_what_was_not_reached_is_kept():
    x = Tensor(np.full(2, 2.0), requires_grad=True)
    called = []
    inner = x * x
    y = inner.exp().sum()
    (_, f), *_ = y._parents
    y._parents = ((y._parents[0][0], lambda g: called.append(1) or f(g)),)
    walk = walk_back(y)
    assert not called
    first = next(walk)
    assert first.tensor is y
    assert not called
    next(walk)
    assert called == [1]
    walk.close()
    assert inner._parents[0][0] is x  # further down nothing was freed
    inner.sum().backward()
    with pytest.raises(GradientError, match="already walked"):
        list(walk_back(y))


def test_the_caller_keeps_recording_between_the_steps():
    x = Tensor(np.ones(2), requires_grad=True)
    for step in walk_back((x * x).sum()):
        assert not step.gradient.requires_grad
        assert (x * 2).requires_grad
    with no_grad():
        walk = walk_back(_recorded(x), create_graph=True)
        *_, last = walk
        assert not (x * 2).requires_grad
    second = grad(last.gradient.sum(), x)  # d2/dx2 of x**3
    np.testing.assert_allclose(second.data, 6.0)


def _recorded(x):
    from minicnn.autograd import recording

    with recording(True):
        return (x * x * x).sum()


def test_bytes_are_those_that_the_rest_of_the_tape_keeps():
    x = Tensor(np.ones(1000), requires_grad=True)  # 8,000 bytes
    a = x.exp()  # 8,000; its slope needs its result only
    b = a * 3.0  # 8,000
    y = b.reshape(10, 100).sum()  # a view of b, and 8 bytes
    y.data = y.data.copy()
    held = [(s.op, s.bytes_held) for s in walk_back(y)]
    constant = 8  # the 3.0
    assert held == [
        ("sum", 24_008 + constant),
        ("reshape", 24_000 + constant),
        ("multiply", 24_000 + constant),
        ("exp", 16_000),
        ("", 8_000),
    ]


def test_closures_are_searched_for_arrays():
    a, b, c = np.ones(2), np.ones(3), Tensor(np.ones(4))
    later: list = []

    def outer(x=b):
        def inner():
            return a, later, missing

        return inner

    inner = outer()
    later += [{"c": c}, (a,), later]
    found = {id(array) for array in arrays_held_by([inner, outer])}
    assert found == {id(a), id(b), id(c.data)}
    if later is None:
        missing = 1
    assert buffers_of(iter([a, a[1:], b])) == {id(a): 16, id(b): 24}


def test_a_step_prints_as_a_line():
    x = nn.Parameter(np.full((2, 3), 2.0))
    x.name = "x"
    lines = [str(step) for step in walk_back((x * x).sum())]
    assert lines[1].startswith("  1  multiply             (2, 3)             |gradient| <= 1  ")
    assert lines[1].endswith("bytes held -> grad_a, grad_b")
    assert lines[2].startswith("  2  x  ")
