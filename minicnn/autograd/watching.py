"""Who looks on while ops are called: traces, drawings, exports and the hunt for a NaN.

An op written with other ops is one op to those who look on if it is marked
`composed`: they then see ``avg_pool2d``, not the sum and the product inside it.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

Given = ParamSpec("Given")
Result = TypeVar("Result")
# (op, its positional arguments, its keyword arguments, what it returned)
Watcher = Callable[[Callable[..., Any], tuple[Any, ...], dict[str, Any], Any], None]

watcher: contextvars.ContextVar[Watcher | None] = contextvars.ContextVar("watcher", default=None)


@contextlib.contextmanager
def watched_by(watch: Watcher | None) -> Iterator[None]:
    """Show every call of an op to `watch`, inside a ``with`` block, in this thread.

    Parameters
    ----------
    watch : callable or None
        Called after each op as ``watch(op, args, kwargs, result)``, where ``op.__name__`` is its
        name; None shows the calls to nobody.
    """
    token = watcher.set(watch)
    try:
        yield
    finally:
        watcher.reset(token)


def composed(op: Callable[Given, Result]) -> Callable[Given, Result]:
    """Mark a public op that is written with other ops: who looks on sees it as one.

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
        if watch is None:
            return op(*args, **kwargs)
        with watched_by(None):
            result = op(*args, **kwargs)
        watch(as_one, args, kwargs, result)
        return result

    return as_one
