"""The two kinds of tensors that a module owns."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd import Tensor


class Parameter(Tensor):
    """A tensor that training changes.

    Parameters
    ----------
    data : array_like
        The initial value, of floats; it is copied.
    requires_grad : bool, default True
        Whether it is trained; False freezes it.

    Attributes
    ----------
    name : str
        The name under which a module listed it last, ``""`` before.
    """

    __slots__ = ("name",)

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        super().__init__(_copied(data), requires_grad)
        self.name = ""

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, shape={self.shape}, dtype={self.dtype})"


class Buffer(Tensor):
    """A tensor that belongs to a module's state but is not trained, such as a moving average.

    Parameters
    ----------
    data : array_like
        The initial value; it is copied. Write the next one to ``.data``.
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(_copied(data))

    def __repr__(self) -> str:
        return f"Buffer(shape={self.shape}, dtype={self.dtype})"


def _copied(data: Any) -> Any:
    array = Tensor(data).data
    return np.array(array, order="C") if isinstance(array, np.ndarray) else array.copy()
