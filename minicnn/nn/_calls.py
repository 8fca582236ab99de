"""Which module's call is in progress: it gives layers their names, and summaries their eyes."""

from __future__ import annotations

import contextlib
import contextvars
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from minicnn.autograd import Tensor
from minicnn.autograd.watching import Call

if TYPE_CHECKING:
    from minicnn.nn.module import Module

Observer = Callable[["Module", tuple[Any, ...]], Callable[[Any], None]]  # call -> (output ->)


class Outermost:
    """The module that was called from outside of any other, so that names start from it."""

    def __init__(self, root: Module) -> None:
        self.root = root
        self._names: dict[int, str] = {}

    def name_of(self, module: Module) -> str:
        """Return the module's name as seen from the root, "" if it is not below it."""
        if id(module) not in self._names:  # the first question, or a layer made since
            name = _known_names.get(self.root, {}).get(id(module))
            if name is not None and _at(self.root, name) is module:  # still, as in the last step
                return name
            self._names = {id(m): name for name, m in self.root.named_modules()}
            _known_names[self.root] = self._names
        return self._names.get(id(module), "")

    def names(self) -> dict[int, str]:
        """Return the names of all modules, parameters and buffers, by the ids of the objects.

        Those of a buffer's or parameter's array are there too, for ops are given some as such.
        """
        members = self.root._walk()
        arrays = {id(m.data): name for name, m in members if isinstance(m, Tensor)}
        return {id(self.root): "", **arrays, **{id(m): name for name, m in members}}


# Names by root and id, from calls before: to list a whole net in every step takes its time
_known_names: weakref.WeakKeyDictionary[Module, dict[int, str]] = weakref.WeakKeyDictionary()


def _at(root: Module, name: str) -> Any:
    """Return what a name leads to, None if it leads nowhere any more."""
    here: Any = root
    for part in name.split(".") if name else ():
        try:
            if isinstance(here, list | tuple):
                here = here[int(part)]
            else:
                here = here[part] if isinstance(here, dict) else vars(here)[part]
        except (LookupError, ValueError, TypeError):
            return None
    return here


outermost: contextvars.ContextVar[Outermost | None] = contextvars.ContextVar(
    "minicnn_outermost", default=None
)
observer: contextvars.ContextVar[Observer | None] = contextvars.ContextVar(
    "minicnn_observer", default=None
)


@contextlib.contextmanager
def outermost_call(root: Module) -> Iterator[None]:
    """Name layers from `root` on, inside a ``with`` block."""
    token = outermost.set(Outermost(root))
    try:
        yield
    finally:
        outermost.reset(token)


@contextlib.contextmanager
def observed_by(watch: Observer) -> Iterator[None]:
    """Show every call of a module to `watch` instead of the module's own hooks.

    ``watch(module, inputs)`` is called before it and returns what gets the output after it.
    """
    token = observer.set(watch)
    try:
        yield
    finally:
        observer.reset(token)


def qualified_name(module: Module) -> str:
    """Return the module's name in the net whose call is in progress, "" where it has none."""
    call = outermost.get()
    return "" if call is None else call.name_of(module)


def noted_call(module: Module) -> Call:
    """Return the call of a module in the form that those who watch the ops are shown."""
    call = outermost.get() or Outermost(module)
    return Call(module, call.name_of(module), call.names)


def label(module: Module) -> str:
    """Return the kind and, if known, the name of a module for messages: ``Conv2d 'block1.0'``."""
    name = qualified_name(module)
    return f"{type(module).__name__} {name!r}" if name else type(module).__name__
