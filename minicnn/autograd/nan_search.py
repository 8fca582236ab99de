"""The hunt for the first NaN: every op, and every gradient, looked at as it is computed."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.autograd.graph import tensors_in
from minicnn.autograd.tensor import PullBack, Tensor
from minicnn.autograd.watching import calls, watched_by
from minicnn.backend import Array, array_module
from minicnn.errors import GradientError

__all__ = ["find_nan"]


@contextlib.contextmanager
def find_nan() -> Iterator[None]:
    """Raise where the first NaN or infinity appears, in a ``with`` block, forward or backward.

    Inside the block every op is looked at: the first whose result is not finite although it was
    given finite numbers ends the block with an error that names it, the module it ran in, all
    shapes, how many numbers are bad, where the first one is and what the op was given there. So
    does the first op whose gradient is not finite although the gradient that reached it is; ops
    must be called inside the block for that. Infinities that an op is given, as masks are, may go
    on. NumPy's own warnings are silent inside. Outside of such blocks nothing is looked at.

    Raises
    ------
    GradientError
        In the block, where a NaN or an infinity appears.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, ops
    >>> from minicnn.autograd import find_nan
    >>> with find_nan():
    ...     ops.log(Tensor(np.array([2.0, 0.0])))
    Traceback (most recent call last):
        ...
    minicnn.errors.GradientError: log: 1 of 2 elements of its result (2,) is not finite: -inf at \
(1,), where x is 0; x (2,) is 0 ... 2; keep what it is given away from there
    """
    with watched_by(_Search().watch), np.errstate(all="ignore"):
        yield


class _Search:
    """Looks at each op, and puts a look-out around each of its pull-backs."""

    def __init__(self) -> None:
        self._made: dict[int, Tensor] = {}  # what ops returned; kept, so that the ids stay true

    def watch(
        self, op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        path = calls.get()[-1].name if calls.get() else ""
        name = op.__name__.lstrip("_") + (f" in {path!r}" if path else "")
        given = inspect.signature(op).bind(*args, **kwargs).arguments
        known = {id(t) for t in tensors_in(list(given.values()))}
        for y in tensors_in(result):
            if id(y) not in known:
                self._look(name, given, y.data)
                self._guard(name, y, known)

    def _look(self, name: str, given: dict[str, Any], y: Array) -> None:
        kind = _fault(y)
        if not kind:
            return
        for argument, value in given.items():
            for t in tensors_in(value):
                if _fault(t.data) == "NaN" and id(t) not in self._made:
                    raise GradientError(
                        f"{name}: {_count(t.data, _called(argument, t))}; no op in this block made "
                        "it: look at the data, and at the weights before this step"
                    )
        if any(_fault(n) == "NaN" or (_fault(n) and kind != "NaN") for n in _numbers_in(given)):
            return  # it came in from there, and was let pass
        tensors = {n: t for n, t in given.items() if isinstance(t, Tensor)}
        raise GradientError(
            f"{name}: {_count(y, 'its result')}{_context(tensors, y)}; "
            "keep what it is given away from there"
        )

    def _guard(self, name: str, y: Tensor, known: set[int]) -> None:
        """Wrap the pull-backs of a tensor, and of those that the same op made on its way."""
        waiting = [y]
        while waiting:
            t = waiting.pop()
            if id(t) in self._made or id(t) in known:
                continue
            self._made[id(t)] = t
            waiting += [parent for parent, _ in t._parents]
            t._parents = tuple((p, _looked_after(name, f, t, p)) for p, f in t._parents)


def _looked_after(name: str, pull_back: PullBack, y: Tensor, parent: Tensor) -> PullBack:
    given = {"its input": Tensor(parent.data), "its result": Tensor(y.data)}  # y would hold itself

    @functools.wraps(pull_back)
    def looked_after(g: Tensor, *output: Tensor) -> Tensor:
        with watched_by(None):
            grad = pull_back(g, *output)
        if _fault(grad.data) and not _fault(g.data):
            context = _context({**given, "dL/d(its result)": g}, grad.data)
            raise GradientError(
                f"gradient of {name}: {_count(grad.data, 'dL/d(its input)')}{context}; it has no "
                "finite slope there: keep what it is given away from there"
            )
        return grad

    return looked_after


def _fault(x: Any) -> str:
    """Return "NaN" if one is in it, else "inf" or "-inf" if one is, else ""."""
    if x.dtype.kind != "f":
        return ""
    xp = array_module(x)
    if bool(xp.isfinite(x).all()):
        return ""
    if bool(xp.isnan(x).any()):
        return "NaN"
    return "inf" if bool((x == xp.inf).any()) else "-inf"


def _count(x: Array, what: str) -> str:
    """Say how many elements are not finite, and where the first one is."""
    bad = ~array_module(x).isfinite(x)
    n = int(bad.sum())
    number = f"{n} of {x.size} elements of {what} {x.shape} {'is' if n == 1 else 'are'} not finite"
    return f"{number}: {_fault(x)} at {_first(x)}" if x.ndim else f"{what} is {_fault(x)}"


def _context(given: dict[str, Tensor], y: Array) -> str:
    """Say what the op was given, at the place of the first fault and all in all."""
    there = [
        f"{n} is {float(t.data[_first(y)]) + 0.0:.6g}"
        for n, t in given.items()
        if t.shape == y.shape
    ]
    ranges = [f"{n} {t.shape} {_range(t.data)}" for n, t in given.items() if t.size and t.ndim]
    where = ", where " + " and ".join(there) if there else ""
    return where + ("; " + ", ".join(ranges) if ranges else "")


def _range(x: Array) -> str:
    low, high = (float(n) + 0.0 for n in (x.min(), x.max()))  # + 0.0: no -0
    return f"is {low:.6g} ... {high:.6g}" if low != high else f"is {low:.6g}"


def _first(x: Array) -> tuple[int, ...]:
    """Return the place of the first NaN, or of the first infinity if there is none."""
    xp = array_module(x)
    bad = xp.isnan(x) if _fault(x) == "NaN" else ~xp.isfinite(x)
    return tuple(int(i) for i in np.unravel_index(int(bad.argmax()), x.shape))


def _called(argument: str, t: Tensor) -> str:
    around = calls.get()
    name = around[0].names().get(id(t), "") if around else getattr(t, "name", "")
    return f"its {argument} ({name})" if name else f"its {argument}"


def _numbers_in(given: dict[str, Any]) -> Iterator[Any]:
    """Yield what an op was given, as arrays: Tensors, arrays, and numbers among the options."""
    for value in given.values():
        yield from (t.data for t in tensors_in(value))
        if isinstance(value, float | np.ndarray | np.generic):
            yield np.asarray(value)
