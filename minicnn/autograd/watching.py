"""Who looks on while ops are called: traces, drawings, exports and the hunt for a NaN.

An op written with other ops is one op to those who look on if it is marked
`composed`: they then see ``avg_pool2d``, not the sum and the product inside it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from minicnn.autograd._complaints import RAW, complain
from minicnn.errors import MinicnnError

Given = ParamSpec("Given")
Result = TypeVar("Result")
# (op, its positional arguments, its keyword arguments, what it returned)
Watcher = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], None]

watcher: contextvars.ContextVar[Watcher | None] = contextvars.ContextVar("watcher", default=None)


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module, noted while somebody looks on.

    Attributes
    ----------
    module : Module
        Which.
    name : str
        Its name in the outermost module, ``"block1.0"``; "" for that one itself.
    names : callable
        Returns the names of all that the outermost module holds, by the ids of the objects.
    """

    module: Any
    name: str
    names: Callable[[], dict[int, str]]


# The calls of modules that are in progress, the outermost first
calls: contextvars.ContextVar[tuple[Call, ...]] = contextvars.ContextVar("calls", default=())


@contextlib.contextmanager
def inside(call: Call) -> Iterator[None]:
    """Note that ops are called by a module, inside a ``with`` block."""
    token = calls.set((*calls.get(), call))
    try:
        yield
    finally:
        calls.reset(token)


# Names of composed ops that are shown as the ops they are written with
opened: contextvars.ContextVar[Collection[str]] = contextvars.ContextVar("opened", default=())


@contextlib.contextmanager
def watched_by(watch: Watcher | None, opening: Collection[str] = ()) -> Iterator[None]:
    """Show every call of an op to `watch`, inside a ``with`` block, in this thread.

    Parameters
    ----------
    watch : callable or None
        Called after each op as ``watch(op, args, kwargs, result)``, where ``op.__name__`` is its
        name; None shows the calls to nobody.
    opening : collection of str, optional
        Names of `composed` ops in whose place the ops inside them are shown.
    """
    tokens = watcher.set(watch), opened.set(opening)
    try:
        yield
    finally:
        watcher.reset(tokens[0])
        opened.reset(tokens[1])


def composed(op: Callable[Given, Result]) -> Callable[Given, Result]:
    """Mark a public op that is written with other ops: who looks on sees it as one.

    So does who reads its errors: they name this op.

    Parameters
    ----------
    op : callable
        A function on Tensors.

    Returns
    -------
    callable
        The same function.
    """

    @functools.wraps(op)
    def as_one(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        watch = watcher.get()
        try:
            if watch is None or op.__name__ in opened.get():
                return op(*args, **kwargs)
            with watched_by(None):
                result = op(*args, **kwargs)
        except (MinicnnError, *RAW) as error:
            complain(op, args, kwargs, error)
            raise
        watch(as_one, args, kwargs, result)
        return result

    as_one.composed = True  # type: ignore[attr-defined]
    return as_one
