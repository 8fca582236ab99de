"""The first NaN is found where it was made, forward and backward."""

from __future__ import annotations

import re

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor, composed, find_nan, no_grad
from minicnn.errors import GradientError
from tests.ops.spec import ErrorCase


def found(f):
    with pytest.raises(GradientError) as caught, find_nan():
        f()
    return str(caught.value)


class Net(nn.Module):
    """A NaN is planted between healthy layers: the logarithm of what may be 0."""

    def __init__(self):
        with nn.seed(0):
            self.conv, self.head = nn.Conv2d(2, 3), nn.Dense(3, 2)
        self.block = nn.Sequential(nn.ReLU(), act=nn.Function(lambda x: ops.log(x) + 1))

    def forward(self, x):
        return self.head(ops.global_max_pool2d(self.block(self.conv(x)) * 0.5))


def test_a_planted_nan_is_named_with_its_module_shapes_count_place_and_inputs():
    net = Net()
    x = Tensor(np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32))
    message = found(lambda: net(x))
    after_relu = ops.relu(net.conv(x)).data
    count = int((after_relu == 0).sum())
    place = tuple(int(i) for i in np.argwhere(after_relu == 0)[0])
    assert message == (
        f"log in 'block.act': {count} of 96 elements of its result (2, 3, 4, 4) are not finite: "
        f"-inf at {place}, where x is 0; x (2, 3, 4, 4) is 0 ... {after_relu.max():.6g}; "
        "keep what it is given away from there"
    )
    with np.errstate(divide="ignore"):
        net(x)  # outside of the block nobody looks


def test_the_place_is_that_of_the_first_nan():
    x = Tensor(np.array([[2.0, 0.0], [1.0, -1.0]]))
    assert found(lambda: ops.log(x)).startswith(
        "log: 2 of 4 elements of its result (2, 2) are not finite: NaN at (1, 1), where x is -1; "
    )
    assert found(lambda: ops.sum(ops.log(x * 0 + 3) * 1e308 * 2)).startswith("multiply: 4 of 4")
    assert found(lambda: Tensor(np.float64(-1)).log()).startswith(
        "log: its result is NaN, where x is"
    )


def test_the_gradient_that_breaks_is_named_though_the_value_is_fine():
    net = nn.Sequential(nn.Dense(2, 2, bias=False), nn.Function(ops.sqrt))
    x = Tensor(np.zeros((1, 2), np.float32))
    message = found(lambda: net(x).sum().backward())
    assert message == (
        "gradient of sqrt in '1': 2 of 2 elements of dL/d(its input) (1, 2) are not finite: inf "
        "at (0, 0), where its input is 0 and its result is 0 and dL/d(its result) is 1; its input "
        "(1, 2) is 0, its result (1, 2) is 0, dL/d(its result) (1, 2) is 1; it has no finite slope "
        "there: keep what it is given away from there"
    )


def test_a_gradient_inside_a_composed_op_is_that_of_the_composed_op():
    @composed
    def length(x: Tensor) -> Tensor:
        return ops.sqrt((x * x).sum(axis=1)) * 2

    x = Tensor(np.zeros((3, 2)), requires_grad=True)
    before = x * 1.0  # made outside of the block
    message = found(lambda: length(before).sum().backward())
    assert message.startswith("gradient of length: 3 of 3 elements")
    assert found(lambda: ops.sqrt(length(x * 2) * 0).sum().backward()).startswith("gradient of sqr")


def test_gradients_are_the_same_inside_the_block():
    def gradients():
        net = Net()
        net.block[1] = nn.ReLU()
        x = Tensor(np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32))
        y = net(x)
        (y * y).sum().backward()
        return [p.grad.data.tobytes() for p in net.parameters()]

    outside = gradients()
    with find_nan():
        assert gradients() == outside


def test_what_came_in_broken_is_said_to_have_come_in():
    x = np.ones((1, 2, 4, 4), np.float32)
    x[0, 1, 2, 3] = np.nan
    net = Net()
    assert found(lambda: net(Tensor(x))).startswith(
        "conv2d in 'conv': 1 of 32 elements of its x (1, 2, 4, 4) is not finite: NaN at "
        "(0, 1, 2, 3); no op in this block made it: look at the data, and at the weights"
    )
    net.conv.weight.data[1] = np.nan
    message = found(lambda: net(Tensor(np.ones_like(x))))
    assert re.search(r"18 of 54 elements of its weight \(conv.weight\) \(3, 2, 3, 3\)", message)


def test_infinities_that_are_given_may_go_on_until_they_make_a_nan():
    x = Tensor(np.array([1.0, -1.0]), requires_grad=True)
    with find_nan():
        masked = ops.where(x.data > 0, x, -np.inf)
        ops.exp(masked).sum().backward()  # exp(-inf) = 0: fine, and so is its slope
    assert x.grad.data[0] == np.exp(1.0)
    assert found(lambda: ops.where(x.data > 0, x, -np.inf) - np.array(-np.inf)).startswith("subtr")


def test_whole_numbers_no_grad_and_an_error_leave_it_be():
    with find_nan(), no_grad():
        assert (Tensor([1, 2]) + 1).data.tolist() == [2, 3]
        ops.relu(Tensor(np.ones((0, 2))))
    assert found(lambda: ops.log(Tensor(np.zeros(1)))).startswith("log: 1 of 1 elements")
    with np.errstate(all="ignore"):
        assert ops.log(Tensor(np.zeros(1))).item() == -np.inf


def inside(f):
    """A call of `f` with somebody looking for NaN."""

    def call():
        with np.errstate(all="ignore"), find_nan():
            return f()

    return call


ZERO = np.zeros(1)
ERRORS = (
    ErrorCase(
        inside(lambda: ops.relu(Tensor(np.array([np.nan])))),
        GradientError,
        r"relu: 1 of 1 elements of its x \(1,\) is not finite: NaN at \(0,\); no op in this block",
    ),
    ErrorCase(
        inside(lambda: ops.log(Tensor(ZERO))),
        GradientError,
        "log: 1 of 1 elements of its result .*-inf at .* keep what it is given away from there",
    ),
    ErrorCase(
        inside(lambda: ops.sqrt(Tensor(ZERO, requires_grad=True)).sum().backward()),
        GradientError,
        r"gradient of sqrt: 1 of 1 elements of dL/d\(its input\)",
    ),
)
