"""The methods of a Tensor are the ops, under the names of NumPy's methods."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import autograd
from minicnn.autograd import Tensor, grad
from minicnn.autograd._methods import _Methods
from tests.ops.values import distinct

CALLS = {
    "std": (1,),
    "prod": ((0, 1),),
    "cumsum": (0,),
    "cumprod": (1,),
    "swapaxes": (0, 1),
    "repeat": (2, 1),
    "diagonal": (1,),
    "trace": (-1,),
    "argmax": (1,),
    "argmin": (0,),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_method_is_the_op_and_does_what_numpy_does(name):
    x = distinct(0, 3, 4)
    y = getattr(Tensor(x), name)(*CALLS[name])
    np.testing.assert_array_equal(y.data, getattr(autograd, name)(Tensor(x), *CALLS[name]).data)
    np.testing.assert_allclose(y.data, getattr(x, name)(*CALLS[name]), rtol=1e-12)


@pytest.mark.parametrize("name", [n for n in vars(_Methods) if n[0] != "_"])
def test_every_method_that_is_written_down_is_there(name):
    assert hasattr(Tensor, name)


def test_methods_have_gradients():
    x = Tensor(np.array([[1.0, 2.0], [3.0, 4.0]]), requires_grad=True)
    assert grad(x.prod(axis=0).cumsum(axis=0)[1], x).data.tolist() == [[3, 4], [1, 2]]
