"""Computing without recording: in blocks, functions and threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    no_grad,
    recording,
)
from minicnn.ops import dense


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_no_grad_records_nothing_and_is_undone():
    x = leaf(1.0)
    with no_grad():
        assert not (x * 2.0).requires_grad
        with no_grad():
            pass
        assert not (x * 2.0).requires_grad, "the inner block ended, the outer one did not"
        with recording(True):
            assert (x * 2.0).requires_grad
        assert not (x * 2.0).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_is_undone_by_an_exception():
    x = leaf(1.0)
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    assert (x * 2.0).requires_grad


def test_no_grad_as_a_decorator_may_recurse():
    x = leaf(1.0)

    @no_grad()
    def predict(depth: int) -> Tensor:
        return predict(depth - 1) * x if depth else x * 2.0

    for _ in range(2):
        assert not predict(3).requires_grad
    assert (x * 2.0).requires_grad


def test_no_grad_is_of_one_thread():
    x = leaf(1.0)
    seen = {}

    def work():
        seen["inside"] = (x * 2.0).requires_grad
        with no_grad():
            seen["own"] = (x * 2.0).requires_grad

    with no_grad():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not (x * 2.0).requires_grad
    assert seen == {"inside": True, "own": False}


def test_threads_can_walk_graphs_that_share_leaves_of_no_gradient():
    weight = Tensor(np.arange(6.0).reshape(2, 3))
    results: list[list[float]] = [[] for _ in range(4)]

    def work(k: int) -> None:
        x = Tensor(np.full((1, 3), float(k)), requires_grad=True)
        for _ in range(50):
            x.grad = None
            (dense(x, weight) ** 2).sum().backward()
        results[k] = x.grad.data.tolist()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, result in enumerate(results):
        y = weight.data @ np.full(3, float(k))
        assert result == [(2 * y @ weight.data).tolist()]
