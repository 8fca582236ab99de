"""Who owns what: gradients of leaves are theirs alone, and contexts can be entered again."""

import numpy as np

from minicnn import Tensor, no_grad


def test_leaves_do_not_share_gradients_with_one_another_nor_with_the_caller():
    a, b = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    u = np.ones(3)
    (a + b).backward(u)
    u[:] = 9
    a.grad.data *= 2
    np.testing.assert_array_equal(a.grad.data, [2, 2, 2])
    np.testing.assert_array_equal(b.grad.data, [1, 1, 1])


def test_the_gradient_of_a_sum_can_be_written_to():
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    x.sum().backward()
    x.grad.data *= 2
    np.testing.assert_array_equal(x.grad.data, np.full((2, 3), 2.0))


def test_no_grad_can_be_entered_again_and_inside_itself():
    x, off = Tensor(np.ones(2), requires_grad=True), no_grad()
    for _ in range(2):
        with off:
            with off:
                assert not (x * 2).requires_grad
            assert not (x * 2).requires_grad
        assert (x * 2).requires_grad


def test_a_tensor_is_not_none():
    x = Tensor(np.ones(2))
    assert (x == None) is False  # noqa: E711  (people write it)
    assert (x != None) is True  # noqa: E711
