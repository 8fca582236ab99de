"""What NumPy's own functions do with Tensors: `numpy.exp` of one is `minicnn.ops.exp` of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import (
    arithmetic,
    choosing,
    exponential,
    linear_algebra,
    rounding,
    trigonometry,
)
from minicnn.autograd.tensor import Tensor
from minicnn.errors import DTypeError

_OPS = {
    **{getattr(np, name): getattr(module, name) for module, names in {
        arithmetic: "absolute add divide floor_divide fmod multiply negative power reciprocal "
        "square subtract",
        choosing: "maximum minimum",
        exponential: "exp expm1 log log1p sqrt",
        linear_algebra: "matmul",
        rounding: "ceil floor sign",
        trigonometry: "arccos arccosh arcsin arcsinh arctan arctanh cos cosh sin sinh tan tanh",
    }.items() for name in names.split()},
    np.remainder: arithmetic.mod,
    np.rint: rounding.round,
}  # fmt: skip
_COMPARISONS = {
    np.bitwise_and,
    np.bitwise_or,
    np.bitwise_xor,
    np.equal,
    np.greater,
    np.greater_equal,
    np.less,
    np.less_equal,
    np.not_equal,
}


class ForNumPyAlone:
    """An attribute of the class, for NumPy looks there, that its instances show as None.

    To NumPy it is the function to call instead of its own. CuPy asks the instance, and with None
    leaves ``array + tensor`` to the Tensor.

    Parameters
    ----------
    function : callable
        What NumPy calls.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function

    def __get__(self, instance: Any, owner: type) -> Any:
        return self._function if instance is None else None


def from_numpy(_: Tensor, function: np.ufunc, method: str, *inputs: Any, **options: Any) -> Tensor:
    """Call our op for NumPy's function of the same meaning.

    Parameters
    ----------
    function : numpy.ufunc
        Which of NumPy's functions was called (by an operator of ndarray, perhaps).
    method : str
        How: ``"__call__"``, ``"reduce"``, ...
    *inputs : Tensor, ndarray or number
        Its operands, at least one a Tensor.
    **options
        Its keyword arguments; ``array += tensor`` comes with ``out``.

    Returns
    -------
    Tensor
        With a history, like that of any op.

    Raises
    ------
    DTypeError
        If we have no such op, or keyword arguments are given.
    """
    name = function.__name__
    if "out" in options:
        raise DTypeError(
            f"{name}: a Tensor's value is not written into an array (by out=, or += and its like); "
            "write a = a + b, or use .numpy(), without a gradient"
        )
    if method == "__call__" and not options:
        if function in _COMPARISONS:
            return choosing.compare(name, *inputs)
        if function in _OPS:
            return _OPS[function](*inputs)
    call = name if method == "__call__" else f"{name}.{method}"
    raise DTypeError(
        f"{call}: NumPy's function{' with options' if options else ''} does not take Tensors; use "
        "one of minicnn.ops, or give it x.numpy(), without a gradient"
    )
