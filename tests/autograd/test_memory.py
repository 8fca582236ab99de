"""What a graph keeps, and for how long."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    concatenate,
    differentiable,
    exp,
)
from minicnn.ops import batch_norm, conv2d, dense, max_pool2d, relu, sigmoid, softmax


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def arrays_die_after(make, walk) -> bool:
    """Tell whether the arrays that an op saved are gone once `walk` was called on its result."""
    x = Tensor(np.ones((2, 3, 8, 8)), requires_grad=True)
    inner = x * 2.0
    y = make(inner)
    inner_array = weakref.ref(inner.data)
    del inner
    walk(y)
    return inner_array() is None


SAVING = {
    "multiply": lambda x: x * x,
    "conv2d": lambda x: conv2d(x, Tensor(np.ones((2, 3, 3, 3)), requires_grad=True)),
    "dense": lambda x: dense(x.reshape(2, -1), Tensor(np.ones((2, 192)), requires_grad=True)),
    "batch_norm": lambda x: batch_norm(x, Tensor(np.ones(3)), Tensor(np.ones(3)))[0],
    "concatenate": lambda x: concatenate([x * x, x]),
    "exp": exp,
    "relu": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "max_pool2d": lambda x: max_pool2d(x, 2),
}


NEEDS_INPUT = ("multiply", "conv2d", "dense", "batch_norm")


@pytest.mark.parametrize("name", SAVING)
def test_saved_values_are_freed_by_the_walk(name):
    gc.disable()  # by counting references alone: a graph has no cycles
    try:
        assert arrays_die_after(SAVING[name], lambda y: y.backward(np.ones(y.shape)))
        if name in NEEDS_INPUT:
            assert not arrays_die_after(
                SAVING[name], lambda y: y.backward(np.ones(y.shape), retain_graph=True)
            )
    finally:
        gc.enable()


def test_a_graph_is_forgotten_with_its_end_without_garbage_collection():
    gc.collect()
    gc.disable()
    try:
        x = Tensor(np.ones((2, 3, 4, 4)), requires_grad=True)
        inner = x * 2.0
        died = weakref.ref(inner)
        y = softmax(relu(exp(inner)))
        del inner, y
        assert died() is None
    finally:
        gc.enable()


def test_gradients_are_let_go_during_the_walk():
    """At most a few of a long chain's gradients are alive at once."""
    alive: list[weakref.ref] = []
    most = [0]

    @differentiable
    def step(a: Tensor):
        def pull_back(g: Tensor) -> Tensor:
            result = g * 1.0
            alive.append(weakref.ref(result))
            most[0] = max(most[0], sum(r() is not None for r in alive))
            return result

        return a.data * 1.0, (pull_back,)

    y = leaf(1.0)
    for _ in range(30):
        y = step(y)
    y.backward()
    assert most[0] <= 3
