"""Tensor as an array: making one, looking into it, and handing it on."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.autograd import Tensor, differentiable, matmul
from minicnn.errors import DeviceError, DTypeError, GradientError, ShapeError
from tests.ops.spec import ErrorCase
from tests.ops.stand_in import on_gpu


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1, 2]], np.int64),
        (3, np.int64),
        (True, np.bool_),
        ([], np.float32),
        (np.float64(1.5), np.float64),
        (np.float16(1.5), np.float16),
        (np.ones(2), np.float64),
        (np.ones(2, np.float16), np.float16),
        (np.ones(2, np.uint8), np.uint8),
    ],
)
def test_lists_and_numbers_become_float32_and_arrays_keep_their_type(data, dtype):
    assert Tensor(data).dtype == dtype


def test_an_array_is_used_as_it_is():
    x = np.ones((2, 3))[:, ::-1]
    assert Tensor(x).data is x
    assert Tensor(Tensor(x)).data is x


def test_measures():
    x = Tensor(np.ones((2, 3, 4), np.float32))
    assert (x.shape, x.ndim, x.size, x.dtype, x.device) == ((2, 3, 4), 3, 24, np.float32, "cpu")
    assert len(x) == 2


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + 1,
        lambda x: 1.5 * x,
        lambda x: x / 3,
        lambda x: 2 - x,
        lambda x: x**2,
        lambda x: 2.0**x,
        lambda x: x * True,
        lambda x: x.mean(),
        lambda x: x.var(),
        lambda x: x.sum(),
        lambda x: x.clip(0, 1),
        lambda x: x.exp(),
        lambda x: abs(-x),
        lambda x: x.max(),
        lambda x: x @ x,
    ],
)
def test_python_numbers_do_not_widen_a_tensor(call, dtype):
    x = Tensor(np.array([0.5, 1.5], dtype), requires_grad=True)
    y = call(x)
    assert y.dtype == dtype
    y.backward(np.ones(y.shape, dtype))
    assert x.grad.dtype == dtype


def test_tensors_of_two_types_meet_in_the_wider_and_each_gets_its_own_gradient():
    narrow = Tensor(np.ones(2, np.float32), requires_grad=True)
    wide = Tensor(np.ones(2), requires_grad=True)
    y = narrow * wide
    assert y.dtype == np.float64
    y.sum().backward()
    assert (narrow.grad.dtype, wide.grad.dtype) == (np.float32, np.float64)


def test_a_numpy_float64_number_is_as_wide_as_it_says():
    assert (Tensor([1.0]) * np.float64(2)).dtype == np.float64


def test_whole_numbers():
    x = Tensor([4, 5])
    assert (x + 1).dtype == np.int64
    assert (x * 0.5).data.tolist() == [2, 2.5]
    assert (x / 2).data.tolist() == [2, 2.5]
    weight = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    (x * weight).sum().backward()
    assert weight.grad.data.tolist() == [4, 5]
    assert x.grad is None


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("less", lambda a, b: a < b),
        ("less_equal", lambda a, b: a <= b),
        ("greater", lambda a, b: a > b),
        ("greater_equal", lambda a, b: a >= b),
        ("equal", lambda a, b: a == b),
        ("not_equal", lambda a, b: a != b),
    ],
)
def test_comparisons(name, call):
    a, b = np.array([1.0, 2.0, 3.0, np.nan]), np.array([2.0, 2.0, 2.0, np.nan])
    right = getattr(np, name)(a, b)
    for given in (b, Tensor(b), b.tolist()):
        y = call(Tensor(a, requires_grad=True), given)
        assert y.dtype == bool
        assert not y.requires_grad
        np.testing.assert_array_equal(y.data, right)
    np.testing.assert_array_equal(call(a, Tensor(b)).data, right)
    np.testing.assert_array_equal(call(Tensor(a), 2).data, getattr(np, name)(a, 2))


def test_the_hash_is_of_the_object():
    a, b = Tensor([1.0]), Tensor([1.0])
    assert len({a, b, a}) == 2
    assert {a: 1}[a] == 1


def test_truth_of_one_element():
    assert Tensor(1.0)
    assert not Tensor([[0.0]])
    assert (Tensor([1.0]) == 1.0).item() is True


def test_item_float_and_int():
    assert Tensor([[2.5]]).item() == 2.5
    assert isinstance(Tensor([[2.5]]).item(), float)
    assert float(Tensor(2.5)) == 2.5
    assert int(Tensor([3])) == 3


def test_iteration_is_over_the_first_axis_and_has_gradients():
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    first, second = x
    (first * second).sum().backward()
    assert x.grad.data.tolist() == [[3, 4], [1, 2]]
    assert [t.item() for t in Tensor([1.0, 2.0])] == [1, 2]


def test_membership_is_by_value():
    assert 2.0 in Tensor([1.0, 2.0])
    assert 3.0 not in Tensor([1.0, 2.0])
    assert 2 in Tensor([[0, 1], [2, 3]])
    assert Tensor(2) in Tensor([[0, 1], [2, 3]])
    assert "same" not in Tensor([1.0, 2.0])
    assert None not in Tensor([1.0, 2.0])


def test_arrays_come_out():
    x = np.arange(6.0).reshape(2, 3)
    t = Tensor(x, requires_grad=True)
    assert t.numpy() is x
    np.testing.assert_array_equal(np.asarray(t), x)
    assert np.shares_memory(np.asarray(t), x)
    assert not np.shares_memory(np.array(t), x)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.asarray([Tensor(1.0), Tensor(2.0)]), [1, 2])
    with pytest.raises(ValueError, match="copy"):
        np.asarray(t, dtype=np.float32, copy=False)


def test_dlpack_shares_the_memory():
    x = np.arange(6.0).reshape(2, 3)
    t = Tensor(x)
    taken = np.from_dlpack(t)
    np.testing.assert_array_equal(taken, x)
    assert np.shares_memory(taken, x)
    assert t.__dlpack_device__() == (1, 0)


def test_numpy_functions_do_not_take_tensors_apart():
    """An array on the left hands over to Tensor, and does not become an array of Tensors."""
    t = Tensor(np.ones(2), requires_grad=True)
    for y in (np.ones(2) * t, np.exp(t), np.maximum(t, np.zeros(2)), np.float32(2) * t):
        assert isinstance(y, Tensor)
        assert y.requires_grad


ARRAY_FUNCTIONS = [
    "absolute", "add", "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh",
    "bitwise_and", "ceil", "cos", "cosh", "divide", "equal", "exp", "expm1", "floor",
    "floor_divide", "fmod", "greater", "less", "log", "log1p", "maximum", "minimum", "mod",
    "multiply", "negative", "not_equal", "power", "reciprocal", "rint", "sign", "sin", "sinh",
    "sqrt", "square", "subtract", "tan", "tanh",
]  # fmt: skip


@pytest.mark.parametrize("name", ARRAY_FUNCTIONS)
def test_functions_of_numpy_call_ours(name):
    function = getattr(np, name)
    x = np.array([2, 3]) if name == "bitwise_and" else np.array([1.25, 0.5])
    if name == "arccosh":
        x = x + 1
    arrays = [x, np.array([2, 1], x.dtype)][: function.nin]
    arrays = [x / 2] if name in ("arccos", "arcsin", "arctanh") else arrays
    for i in range(function.nin):  # the Tensor may be any of the operands
        y = function(*(Tensor(a) if i == j else a for j, a in enumerate(arrays)))
        assert isinstance(y, Tensor)
        np.testing.assert_array_equal(y.data, function(*arrays))
    leaf = Tensor(arrays[0].astype(float), requires_grad=name != "bitwise_and")
    if leaf.requires_grad and function(leaf, *arrays[1:]).dtype != bool:
        assert function(leaf, *arrays[1:]).requires_grad


def test_cupy_asks_the_tensor_and_leaves_the_operator_to_it():
    """CuPy calls Tensor.__radd__ if the instance says None; NumPy looks at the class."""
    assert Tensor([1.0]).__array_ufunc__ is None
    assert callable(Tensor.__array_ufunc__)


def assign_in_place() -> None:
    x = np.ones(2)
    x += Tensor(np.ones(2))


def test_a_list_of_tensors_is_searched_by_identity_first():
    a, b = Tensor([1.0, 2.0]), Tensor([3.0, 4.0])
    assert a in [a, b]
    with pytest.raises(
        ShapeError, match=r"\(`in` compares the numbers too: look for a tensor with"
    ):
        assert b in [a, b]


def test_what_is_no_number_is_not_equal():
    x = Tensor([1.0, 2.0])
    for other in (None, "same", object(), {}, len):
        assert (x == other) is False
        assert (x != other) is True
    assert x not in ["valid", "same", None]


def test_numbers_of_no_axes():
    x = Tensor(np.array(2.0), requires_grad=True)
    y = x * x + 1.0
    assert y.shape == ()
    y.backward()
    assert x.grad.shape == ()
    assert isinstance(x.grad.data, np.ndarray)
    assert x.sum().shape == x.reshape(1).squeeze().shape == x.T.shape == ()
    assert x[None].shape == (1,)
    assert x[()].item() == 2


@pytest.mark.parametrize(
    ("method", "shape"),
    [
        (lambda x: x.reshape(6), (6,)),
        (lambda x: x.reshape(3, -1), (3, 2)),
        (lambda x: x.reshape((1, 6)), (1, 6)),
        (lambda x: x.transpose(), (3, 2)),
        (lambda x: x.transpose(1, 0), (3, 2)),
        (lambda x: x.transpose((1, 0)), (3, 2)),
        (lambda x: x.T, (3, 2)),
        (lambda x: x.expand_dims(1), (2, 1, 3)),
        (lambda x: x.expand_dims(0).squeeze(0), (2, 3)),
        (lambda x: x.broadcast_to((4, 2, 3)), (4, 2, 3)),
        (lambda x: x.astype("float32"), (2, 3)),
        (lambda x: x.to("cpu"), (2, 3)),
        (lambda x: x.sum(1, keepdims=True), (2, 1)),
        (lambda x: x.mean(axis=0), (3,)),
        (lambda x: x.var(0), (3,)),
        (lambda x: x.max(1), (2,)),
        (lambda x: x.min((0, 1)), ()),
        (lambda x: x.argmax(1), (2,)),
        (lambda x: x.argmin(), ()),
        (lambda x: x.exp().log().sqrt().tanh().abs().clip(0, 1), (2, 3)),
        (lambda x: x @ x.T, (2, 2)),
        (lambda x: np.ones((4, 2)) @ x, (4, 3)),
        (lambda x: -x, (2, 3)),
        (lambda x: x % 2, (2, 3)),
        (lambda x: x // 2, (2, 3)),
        (lambda x: x.round(), (2, 3)),
        (lambda x: x.transpose(np.int64(1), np.int64(0)), (3, 2)),
        (lambda x: x[0].transpose(np.int64(0)), (3,)),
        (lambda x: x.reshape(np.int64(3), np.int32(-1)), (3, 2)),
        (lambda x: x.reshape(np.array([3, 2])), (3, 2)),
        (lambda x: x.sum(np.int64(0)), (3,)),
        (lambda x: x.squeeze().expand_dims(np.int64(0)), (1, 2, 3)),
    ],
)
def test_methods(method, shape):
    x = Tensor(np.arange(1.0, 7).reshape(2, 3), requires_grad=True)
    y = method(x)
    assert y.shape == shape
    if y.dtype.kind == "f":
        y.backward(np.ones(shape))
        assert x.grad.shape == (2, 3)


def test_to_the_same_device_is_the_same_array_and_has_a_gradient():
    x = Tensor(np.ones(2), requires_grad=True)
    y = x.to("cpu")
    assert y.data is x.data
    y.sum().backward()
    assert x.grad.data.tolist() == [1, 1]


def test_repr_shows_value_type_and_gradient():
    assert repr(Tensor([1.0, 2.0])) == "Tensor([1., 2.], dtype=float32)"
    assert repr(Tensor(np.ones(1), requires_grad=True)) == (
        "Tensor([1.], dtype=float64, requires_grad=True)"
    )
    assert len(repr(Tensor(np.zeros((500, 500))))) < 1000


def test_no_attributes_by_mistake():
    with pytest.raises(AttributeError):
        Tensor([1.0]).gard = None


def test_differentiable_wraps_arrays_where_a_tensor_is_annotated():
    @differentiable
    def twice(x: Tensor, factor: float = 2.0):
        assert isinstance(x, Tensor)
        assert not isinstance(factor, Tensor)
        return x.data * factor, (lambda g: g * factor,)

    assert twice(np.ones(2)).data.tolist() == [2, 2]
    assert twice(x=[1.0]).data.tolist() == [2]
    leaf = Tensor(np.ones(2), requires_grad=True)
    twice(x=leaf).sum().backward()
    assert leaf.grad.data.tolist() == [2, 2]


def test_a_list_beside_a_tensor_is_one_operand():
    """It once was taken for a list of operands, and the gradient was lost."""
    leaf = Tensor(np.array([1.0, 2.0]), requires_grad=True)
    y = [3.0, 4.0] * leaf
    y.sum().backward()
    assert leaf.grad.data.tolist() == [3, 4]


def cannot_set() -> None:
    Tensor([1.0])[0] = 1.0


ERRORS = (
    ErrorCase(
        lambda: Tensor("one"), DTypeError, "Tensor: data must be real numbers or bool, got <U3"
    ),
    ErrorCase(lambda: Tensor([1j]), DTypeError, "must be real numbers or bool, got complex128"),
    ErrorCase(lambda: Tensor(None), DTypeError, "must be real numbers or bool, got object"),
    ErrorCase(lambda: Tensor(np.array(["x"])), DTypeError, "must be real numbers or bool"),
    ErrorCase(
        lambda: Tensor([[1.0], [1.0, 2.0]]), ShapeError, "Tensor: the data are not one array"
    ),
    ErrorCase(
        lambda: Tensor([1], requires_grad=True),
        DTypeError,
        "Tensor: only floats have gradients, not int64",
    ),
    ErrorCase(lambda: Tensor([True], requires_grad=True), DTypeError, "only floats have gradients"),
    ErrorCase(lambda: len(Tensor(1.0)), ShapeError, r"len: a tensor of shape \(\) has no length"),
    ErrorCase(lambda: list(Tensor(1.0)), ShapeError, r"len: a tensor of shape \(\) has no length"),
    ErrorCase(
        lambda: bool(Tensor([1.0, 2.0])),
        ShapeError,
        r"bool: a tensor of shape \(2,\) is neither true nor false; use .data.any\(\) or .data.all",
    ),
    ErrorCase(
        lambda: np.isnan(Tensor([1.0])),
        DTypeError,
        "isnan: NumPy's function does not take Tensors; use one of minicnn.ops, or give it",
    ),
    ErrorCase(
        lambda: np.exp(Tensor([1.0]), dtype=np.float64),
        DTypeError,
        "exp: NumPy's function with options does not take Tensors",
    ),
    ErrorCase(
        lambda: np.add.reduce(Tensor([1.0])), DTypeError, "add.reduce: NumPy's function does not"
    ),
    ErrorCase(
        assign_in_place,
        DTypeError,
        r"add: a Tensor's value is not written into an array \(by out=, or \+= and its like\)",
    ),
    ErrorCase(
        lambda: Tensor([1.0, 2.0]).item(),
        ShapeError,
        r"item: needs a tensor of one element, got shape \(2,\)",
    ),
    ErrorCase(lambda: float(Tensor([1.0, 2.0])), ShapeError, "item: needs a tensor of one element"),
    ErrorCase(cannot_set, GradientError, "tensors are not assigned to, .* build a new one with"),
    ErrorCase(
        lambda: matmul(Tensor(np.ones((2, 2))), on_gpu(2, 2)),
        DeviceError,
        r"matmul: a \(2, 2\) is on cpu, b \(2, 2\) on cuda:0; move one with .to\(...\)",
    ),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
