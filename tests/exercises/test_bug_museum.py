"""The museum's exhibits: what is said to be right is, and the solutions find all that is not."""

import numpy as np
import pytest

from minicnn import Tensor, ops
from minicnn.exercises import _games as games
from minicnn.exercises import bug_museum as museum

exhibits = museum.exhibits
CHECKS = museum.check_pooling, museum.check_gradient, museum.check_routing, museum.check_round_trip


@pytest.mark.parametrize("one", CHECKS, ids=lambda one: one.name)
def test_a_solution_accepts_what_is_right_and_finds_all_that_is_broken(one):
    """An exercise compares with its solution: it would not notice that this finds too little."""
    for seed in range(3):
        for case in one.cases(np.random.default_rng(seed)):
            assert one.play(one.solution, *case) == exhibits.ALL_TOLD


@pytest.mark.parametrize("one", [museum.exposing_image, museum.exposing_logits])
def test_an_input_shows_the_bug(one):
    for case in one.cases(np.random.default_rng(0)):
        assert one.play(one.solution, *case) == games.DIFFERS


def test_right_pools_and_their_gradient_are_those_of_the_op():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 8, 11))
    for size, stride, padding in (3, 2, 1), (2, 2, 0), (4, 3, 2), (2, 3, 1):
        y = ops.max_pool2d(Tensor(x), size, stride, padding).numpy()
        for pool in exhibits.pools()[0]:
            np.testing.assert_array_equal(pool(x, size, stride, padding), y)
    leaf = Tensor(x, requires_grad=True)
    y = ops.max_pool2d(leaf, 3, 2)
    grad_y = rng.normal(size=y.shape)
    y.backward(grad_y)
    for route in exhibits.routes()[0]:
        np.testing.assert_allclose(route(x, grad_y, 3, 2), leaf.grad.numpy())


def test_a_check_may_assert_or_answer_and_breaks_down_on_its_own_account():
    def stumbles(op):
        raise KeyError("a mistake in the check")

    op = exhibits.right
    assert exhibits.accepts(lambda op: True, op)
    assert exhibits.accepts(lambda op: None, op)
    assert not exhibits.accepts(lambda op: np.False_, op)
    assert exhibits.judged(stumbles, [], [(op, (op,))]) == exhibits.ALL_TOLD
    with pytest.raises(KeyError):
        exhibits.judged(stumbles, [(op, (op,))], [])
    assert exhibits.judged(lambda op: False, [(op, (op,))], []) == "refuses right"
    assert exhibits.judged(lambda op: True, [], [(op, (op,))]) == "lets right through"
