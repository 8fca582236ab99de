"""Who looks on while ops are called sees each public op once, in order."""

from __future__ import annotations

import contextlib
import threading

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor, composed, watched_by


def calls_of(f):
    seen = []
    with watched_by(lambda op, args, kwargs, y: seen.append((op.__name__, args, kwargs, y))):
        f()
    return seen


def test_every_op_is_shown_with_what_it_was_given_and_what_it_returned():
    x, weight = Tensor(np.ones((1, 1, 3, 3))), Tensor(np.ones((2, 1, 2, 2)))
    (name, args, kwargs, y), (second, (given,), _, _) = calls_of(
        lambda: ops.relu(ops.conv2d(x, weight, stride=2))
    )
    assert (name, second) == ("conv2d", "relu")
    assert args[0] is x
    assert args[1] is weight
    assert kwargs == {"stride": 2}
    assert given is y


def test_a_composed_op_is_shown_as_one():
    @composed
    def twice_the_root(x):
        """Document it."""
        return ops.sqrt(x) * 2

    x = Tensor(np.array([4.0]))
    seen = calls_of(lambda: ops.negative(twice_the_root(x)))
    assert [name for name, *_ in seen] == ["twice_the_root", "negative"]
    assert seen[0][3].item() == 4.0
    assert twice_the_root.__doc__ == "Document it."
    assert twice_the_root(x).item() == 4.0


def test_nobody_is_shown_what_another_thread_does_or_what_comes_after():
    x = Tensor(np.ones(2))

    def in_a_thread():
        other = threading.Thread(target=lambda: ops.relu(x))
        other.start()
        other.join()

    assert calls_of(in_a_thread) == []
    with watched_by(None):
        ops.relu(x)


def test_an_op_that_fails_leaves_the_watcher_in_place():
    @composed
    def fails(x):
        return ops.conv2d(x, x)

    x = Tensor(np.ones(2))
    seen = []
    with watched_by(lambda op, *_: seen.append(op.__name__)):
        with contextlib.suppress(ValueError):
            fails(x)
        ops.relu(x)
    assert seen == ["relu"]


def test_composed_ops_can_be_opened_by_name():
    @composed
    def inner(x):
        return ops.relu(x) + 1

    @composed
    def outer(x):
        return inner(x) * 2

    def names(*opening):
        seen = []
        with watched_by(lambda op, *_: seen.append(op.__name__), opening):
            outer(Tensor(np.ones(1)))
        return seen

    assert names() == ["outer"]
    assert names("inner") == ["outer"]
    assert names("outer") == ["inner", "multiply"]
    assert names("outer", "inner") == ["relu", "add", "multiply"]
