"""The walk backward: who gets which gradient, and when."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

from minicnn.autograd import (
    Tensor,
    differentiable,
    grad,
    of_output,
    once_differentiable,
)
from minicnn.errors import GradientError, ShapeError
from tests.ops.spec import ErrorCase


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def test_gradients_add_up_in_a_leaf():
    x = leaf(1.0, 2.0)
    for total in (3.0, 6.0, 9.0):
        (x * 3.0).sum().backward()
        assert x.grad.data.tolist() == [total, total]
    x.grad = None
    (x * 3.0).sum().backward()
    assert x.grad.data.tolist() == [3, 3]


def test_adding_up_makes_a_new_tensor():
    """A gradient that somebody kept is not changed behind their back."""
    x = leaf(1.0)
    x.sum().backward()
    kept = x.grad
    x.sum().backward()
    assert kept.item() == 1
    assert x.grad.item() == 2


def test_a_tensor_used_twice_in_one_op():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad.item() == 6
    y = leaf(2.0)
    (y**y).backward()
    assert y.grad.item() == pytest.approx(4 * (1 + np.log(2)))


def test_diamonds_are_walked_once_from_the_top():
    """Each tensor is visited once, when its gradient is complete: 2**60 paths, 61 visits."""
    visits = []

    @differentiable
    def counted(a: Tensor, b: Tensor):
        return a.data + b.data, (lambda g: visits.append(1) or g, lambda g: g)

    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = counted(y, y)
    y.backward()
    assert x.grad.item() == 2.0**60
    assert len(visits) == 60


def test_branches_of_different_length_meet():
    x = leaf(2.0)
    long = x * 1.0
    for _ in range(10):
        long = long * 1.5
    y = long + x * x + x
    y.backward()
    assert x.grad.item() == pytest.approx(1.5**10 + 4 + 1)


def test_only_the_part_that_y_depends_on_is_walked():
    x = leaf(1.0)

    @differentiable
    def trap(a: Tensor):
        return a.data, (lambda g: pytest.fail("this branch does not lead to y"),)

    used = x * 2.0
    trap(x)
    used.backward()
    assert x.grad.item() == 2


def test_pull_backs_of_constants_are_not_called():
    @differentiable
    def product(a: Tensor, b: Tensor):
        return a.data * b.data, (
            lambda g: g * b,
            lambda g: pytest.fail("b is a constant: its gradient is not wanted"),
        )

    x = leaf(2.0)
    product(x, Tensor(np.array([5.0]))).backward()
    assert x.grad.item() == 5


def test_an_argument_without_a_gradient():
    @differentiable
    def shifted(a: Tensor, by: Tensor):
        return a.data + by.data, (lambda g: g, None)

    x, by = leaf(1.0), leaf(2.0)
    shifted(x, by=by).backward()
    assert x.grad.item() == 1
    assert by.grad is None


def test_a_chain_of_200_000_ops():
    x = leaf(0.0)
    y = x
    for _ in range(200_000):
        y = y + 1.0
    y.backward()
    assert x.grad.item() == 1


def test_a_chain_of_200_000_ops_is_forgotten_without_a_walk():
    x = leaf(0.0)
    y = x
    for _ in range(200_000):
        y = y + 1.0
    last = weakref.ref(y)
    del y
    gc.collect()
    assert last() is None


def test_a_second_walk_through_a_freed_graph_is_refused():
    x = leaf(1.0)
    y = x * x
    z = y + 1.0
    y.backward()
    with pytest.raises(GradientError, match=r"already walked .* retain_graph=True"):
        y.backward()
    with pytest.raises(GradientError, match="already walked"):
        z.backward()  # it shares y with the first walk
    assert x.grad.item() == 2


def test_a_retained_graph_can_be_walked_again():
    x = leaf(3.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 18
    with pytest.raises(GradientError, match="already walked"):
        y.backward()


def test_a_walk_that_fails_leaves_later_ones_right():
    broken = [True]

    @differentiable
    def fragile(a: Tensor):
        def pull_back(g):
            if broken[0]:
                raise ZeroDivisionError
            return g

        return a.data, (pull_back,)

    x = leaf(1.0)
    y = fragile(x * 2.0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    assert (x * 1.0).requires_grad, "recording goes on as before"
    broken[0] = False
    y.backward()
    assert x.grad.item() == 2


def test_create_graph_makes_gradients_differentiable():
    x = leaf(2.0)
    y = x**3
    first = grad(y, x, create_graph=True)
    second = grad(first, x, create_graph=True)
    third = grad(second, x)
    assert [d.item() for d in (first, second, third)] == [12, 12, 6]


def test_backward_with_create_graph_leaves_a_graph_in_grad():
    x = leaf(2.0)
    (x**3).backward(create_graph=True)
    assert x.grad.requires_grad
    penalty = (x.grad**2).sum()  # a gradient penalty: (3 x^2)^2 = 9 x^4
    assert grad(penalty, x).item() == pytest.approx(36 * 8)


def test_without_create_graph_gradients_have_no_history():
    x = leaf(2.0)
    (x**3).backward()
    assert not x.grad.requires_grad
    assert not grad(x**3, x).requires_grad


def test_grad_stores_nothing():
    x = leaf(2.0)
    y = x * x
    assert grad(y, x).item() == 4
    assert x.grad is None
    assert y.grad is None


def test_grad_of_inner_tensors():
    x = leaf(2.0)
    inner = x * 3.0
    y = inner * inner
    d_inner, d_x, d_y = grad(y, (inner, x, y))
    assert [d.item() for d in (d_inner, d_x, d_y)] == [12, 36, 1]


def test_grad_of_what_cannot_be_reached_is_zero():
    x, other = leaf(2.0), Tensor(np.ones((2, 3), np.float32), requires_grad=True)
    d_x, d_other = grad(x * x, [x, other])
    assert d_x.item() == 4
    assert d_other.shape == (2, 3)
    assert d_other.dtype == np.float32
    assert not d_other.data.any()


def counting(calls: list[str]):
    """Return a product that writes down whose gradient was computed."""

    @differentiable
    def product(a: Tensor, b: Tensor, name: str):
        return a.data * b.data, (
            lambda g: calls.append(f"{name} a") or g * b,
            lambda g: calls.append(f"{name} b") or g * a,
        )

    return product


def test_grad_calls_only_what_leads_to_its_targets():
    calls: list[str] = []
    product = counting(calls)
    x, w, v = leaf(2.0), leaf(3.0), leaf(5.0)

    def inner_and_y():
        calls.clear()
        inner = product(x, w, "inner")
        return inner, product(inner, product(v, v, "side"), "y")

    _, y = inner_and_y()
    y.backward()
    everything = ["inner a", "inner b", "side a", "side b", "y a", "y b"]
    assert sorted(calls) == everything
    stored = [t.grad.item() for t in (x, w, v)]

    _, y = inner_and_y()
    assert [d.item() for d in grad(y, [x, w, v])] == stored
    assert sorted(calls) == everything
    for target, expected, wanted in (
        (x, ["y a", "inner a"], stored[0]),
        (w, ["y a", "inner b"], stored[1]),
        (v, ["y b", "side a", "side b"], stored[2]),
    ):
        _, y = inner_and_y()
        assert grad(y, target).item() == wanted
        assert calls == expected
    inner, y = inner_and_y()
    assert grad(y, inner).item() == 25
    assert calls == ["y a"]
    inner, y = inner_and_y()
    assert [d.item() for d in grad(y, [w, inner])] == [stored[1], 25]
    assert calls == ["y a", "inner b"]
    _, y = inner_and_y()
    assert [d.item() for d in grad(y, [leaf(1.0), y])] == [0, 1]
    assert calls == []


def test_grad_and_backward_agree_bit_for_bit():
    rng = np.random.default_rng(0)
    leaves = [Tensor(rng.normal(size=(3, 3)), requires_grad=True) for _ in range(4)]
    made = list(leaves)
    for _ in range(60):
        a, b = (made[i] for i in rng.integers(len(made), size=2))
        made.append((a @ b + a).tanh() * b)
    y = made[-1].sum() + made[30].sum()
    y.backward(retain_graph=True)
    for x in leaves:
        gradient = grad(y, x, retain_graph=True).data
        expected = np.zeros((3, 3)) if x.grad is None else x.grad.data
        assert gradient.tobytes() == expected.tobytes()


def test_grad_frees_also_what_it_does_not_walk():
    x, w = leaf(2.0), leaf(3.0)
    for target in (0, 1, 2, 3):
        side, below = w * w, x * x
        inner = below * 1.0
        y = inner * side
        grad(y, (x, w, inner, leaf(1.0))[target])
        for t in (y, inner, below, side):
            with pytest.raises(GradientError, match="already walked"):
                t.backward()
            with pytest.raises(GradientError, match="already walked"):
                grad(t, leaf(1.0))  # it may have led there
    side = w * w
    y = x * side
    grad(y, x, retain_graph=True)
    assert grad(y, w).item() == 12


def test_grad_does_not_walk_around_a_refusal():
    x, other = leaf(3.0), leaf(1.0)
    first = grad(fused_square(x), x, create_graph=True)
    with pytest.raises(GradientError, match="fused_square"):
        grad(first * other, x)


@pytest.mark.parametrize("wanted", ["first", "middle", "other"])
def test_grad_through_a_chain_of_100_000_ops(wanted):
    x, other = leaf(0.0), leaf(2.0)
    y, middle = x, x
    for i in range(100_000):
        y = y + 1.0
        middle = y if i == 50_000 else middle
    y = y * other
    target, expected = {"first": (x, 2), "middle": (middle, 2), "other": (other, 100_000)}[wanted]
    assert grad(y, target).item() == expected
    del y
    with pytest.raises(GradientError, match="already walked"):
        middle.backward()


def test_grad_of_one_tensor_is_one_tensor_and_of_a_list_a_tuple():
    x = leaf(2.0)
    assert isinstance(grad(x * x, x), Tensor)
    assert isinstance(grad(x * x, [x]), tuple)
    assert [d.item() for d in grad(x * x, (x, x))] == [4, 4]


def test_retain_grad_keeps_an_inner_gradient():
    x = leaf(2.0)
    inner = (x * 3.0).retain_grad()
    other = x * 1.0
    (inner * inner + other).backward()
    assert inner.grad.item() == 12
    assert other.grad is None
    assert x.grad.item() == 37


def test_detach_cuts_the_graph_and_shares_the_memory():
    x = leaf(2.0)
    cut = (x * 3.0).detach()
    assert not cut.requires_grad
    (cut * x).backward()
    assert x.grad.item() == 6
    assert x.detach().data is x.data


def test_an_explicit_cotangent():
    x = leaf(1.0, 2.0)
    for given in (np.array([3.0, 4.0]), Tensor(np.array([3.0, 4.0])), [3.0, 4.0]):
        assert grad(x * x, x, given).data.tolist() == [6, 16]
    narrow = grad(x * x, x, np.array([3.0, 4.0], np.float32))
    assert narrow.dtype == np.float64


def test_a_tensor_of_one_element_needs_no_cotangent():
    for shape in ((), (1,), (1, 1)):
        x = Tensor(np.full(shape, 2.0), requires_grad=True)
        (x * x).backward()
        assert x.grad.shape == shape
        assert x.grad.item() == 4


def test_backward_from_a_leaf():
    x = leaf(2.0)
    x.backward()
    assert x.grad.item() == 1


@differentiable
def fused_square(x: Tensor):
    @once_differentiable
    def grad_x(g: Tensor) -> Tensor:
        return Tensor(g.data * 2 * x.data)

    return x.data * x.data, (grad_x,)


def test_once_differentiable_gives_the_first_gradient():
    x = leaf(3.0)
    assert grad(fused_square(x), x).item() == 6
    assert grad(fused_square(x), x, create_graph=True).item() == 6


def test_once_differentiable_refuses_the_second():
    x = leaf(3.0)
    first = grad(fused_square(x), x, create_graph=True)
    with pytest.raises(GradientError, match=r"fused_square: its gradient .* differentiated again"):
        first.backward()
    first = grad(fused_square(x) * x, x, create_graph=True)
    with pytest.raises(GradientError, match="fused_square"):
        grad(first, x)


def test_of_output_hands_in_the_output_without_a_cycle():
    @differentiable
    def twice(x: Tensor):
        @of_output
        def grad_x(g: Tensor, y: Tensor) -> Tensor:
            assert y.data.tolist() == [2, 4]
            return g * 2.0

        return x.data * 2, (grad_x,)

    x = leaf(1.0, 2.0)
    y = twice(x)
    y.backward(np.ones(2))
    assert x.grad.data.tolist() == [2, 2]


X = leaf(1.0, 2.0)
ERRORS = (
    ErrorCase(
        lambda: (X * X).backward(),
        ShapeError,
        r"backward: a tensor of shape \(2,\) needs an explicit grad of that shape; only a scalar "
        r"may omit it \(did you forget .sum\(\)\?\)",
    ),
    ErrorCase(
        lambda: (X * X).backward(np.ones(3)),
        ShapeError,
        r"backward: grad has shape \(3,\), the tensor \(2,\)",
    ),
    ErrorCase(
        lambda: Tensor([1.0]).backward(),
        GradientError,
        r"backward: nothing that this tensor of shape \(1,\) was computed from requires a gradient",
    ),
    ErrorCase(
        lambda: grad(X.sum(), [X, Tensor([1.0])]),
        GradientError,
        r"grad: tensor 1 of shape \(1,\) does not require a gradient; create it with",
    ),
    ErrorCase(lambda: _walk_twice(), GradientError, "this graph was already walked and its saved"),
    ErrorCase(
        lambda: grad(fused_square(X).sum(), X, create_graph=True).sum().backward(),
        GradientError,
        "fused_square: its gradient is computed by one kernel and cannot be differentiated again; "
        "write the op out",
    ),
)


def _walk_twice() -> None:
    y = X.sum()
    y.backward()
    y.backward()


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


@pytest.mark.parametrize("annotation", ["Tensor", Tensor, "Tensor | None", Tensor | None])
def test_arrays_are_wrapped_however_the_annotation_is_written(annotation):
    """Text, as in a module that postpones annotations, or the class itself, as in a notebook."""

    def square(x):
        return x.data**2, (lambda grad_y: 2.0 * grad_y * x,)

    square.__annotations__["x"] = annotation
    y = differentiable(square)(np.array([1.0, 3.0]))
    assert y.data.tolist() == [1.0, 9.0]
