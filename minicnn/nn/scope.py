"""A scope makes functional layers remember their weights: it owns them, by name."""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Self

from minicnn.errors import ConfigError
from minicnn.nn._building import creating
from minicnn.nn._calls import outermost, outermost_call
from minicnn.nn.arg_scope import Arguments, show
from minicnn.nn.evaluating import follow
from minicnn.nn.module import Module
from minicnn.nn.randomness import Source, next_name, source
from minicnn.nn.sequential import check_name

__all__ = ["Scope", "scope"]


class _Visit:
    """One time that a scope is entered: which names it has given out."""

    def __init__(self, owner: Scope, before: _Visit | None) -> None:
        self.owner, self.before = owner, before
        self.kinds: Counter[str] = Counter()  # how many layers of a kind took an automatic name
        self.used: set[str] = set()
        self.exits = contextlib.ExitStack()


_visit: contextvars.ContextVar[_Visit | None] = contextvars.ContextVar(
    "minicnn_scope", default=None
)


class Scope(Module):
    """Owns the layers that functional layers make inside ``with scope:``.

    The first time the block runs, ``layers.conv2d(x, 8)`` makes a `Conv2d`; each further time it
    finds that one again by its name: the one given, or ``conv2d``, ``conv2d_1``, ... counted
    afresh whenever the scope is entered. So the same code builds the net and runs it. New layers
    are in training or evaluation as the scope is, and draw their weights from their names and the
    scope's place in `minicnn.nn.seed`.

    Parameters
    ----------
    function : callable, optional
        A function built of functional layers; calling the scope runs it inside the scope, which
        makes a module of it.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, layers, nn
    >>> x = Tensor(np.zeros((1, 3, 8, 8), np.float32))
    >>> net = nn.Scope()
    >>> for step in range(2):
    ...     with net:
    ...         y = layers.dense(layers.flatten(layers.conv2d(x, 4)), 10)
    >>> [name for name, _ in net.named_modules()]
    ['', 'conv2d', 'dense']
    """

    _only_holds_layers = True

    def __init__(self, function: Callable[..., Any] | None = None) -> None:
        self._function = function
        self._origin = next_name("scope")

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Run the scope's function inside it, with the same arguments.

        Raises
        ------
        ConfigError
            If the scope was made without a function.
        """
        if self._function is None:
            raise ConfigError(
                "Scope: it was made without a function, so there is nothing to call; enter it, "
                "`with scope:`, or make it of a function, Scope(f)"
            )
        with self:
            return self._function(*inputs, **options)

    def __enter__(self) -> Self:
        visit = _Visit(self, _visit.get())
        if outermost.get() is None:
            visit.exits.enter_context(outermost_call(self))
        _visit.set(visit)
        return self

    def __exit__(self, *_: object) -> None:
        visit = _current("Scope")
        _visit.set(visit.before)
        visit.exits.close()

    def _make(self, name: str, build: Callable[[], Module]) -> Any:
        """Create a layer under a name, drawing its weights from the name."""
        check_name("Scope", name)
        with source(Source(*self._origin, name)):
            made = build()
        for _, module in made.named_modules():
            follow(module, self)
        setattr(self, name, made)
        return made


@contextlib.contextmanager
def scope(name: str, reuse: bool = False) -> Iterator[Scope]:
    """Put the layers of a ``with`` block below a name: ``block1.conv2d``.

    Parameters
    ----------
    name : str
        The name within the scope around it.
    reuse : bool, default False
        Whether the block may run again within one pass of the scope around it, on the same
        weights. Without it that is an error, since a loop could share weights unintended.

    Yields
    ------
    Scope
        The scope of that name.

    Raises
    ------
    ConfigError
        If there is no scope around it, or the name is taken.
    """
    visit = _current(f"scope({name!r})")
    if name in visit.used and not reuse:
        raise ConfigError(
            f"scope: {name!r} was used already in this pass; give each block a name of its own, "
            "or say reuse=True to share its weights"
        )
    visit.used.add(name)
    with creating():
        inner = vars(visit.owner).get(name)
        if inner is None:
            inner = visit.owner._make(name, Scope)
    if not isinstance(inner, Scope):
        raise ConfigError(f"scope: {name!r} is the name of a {type(inner).__name__} already")
    with inner:
        yield inner


def scoped_layer(
    kind: type[Module], function: str, name: str | None, resolved: Arguments
) -> Module:
    """Return the layer of this kind and name in the current scope, made if it is new.

    Parameters
    ----------
    kind : class of Modules
        Its ``__init__`` is configurable.
    function : str
        The functional layer's name, for messages and automatic names.
    name : str or None
        The name that the call gave.
    resolved : Arguments
        The arguments of the layer.

    Returns
    -------
    Module
        The layer.

    Raises
    ------
    ConfigError
        If there is no scope, the name was used already in this pass, or the layer of that name
        is of another kind or has other settings.
    """
    visit = _current(f"layers.{function}")
    if name is None:
        number = visit.kinds[function]
        visit.kinds[function] += 1
        name = f"{function}_{number}" if number else function
    if name in visit.used:
        raise ConfigError(
            f"layers.{function}: the name {name!r} was used already in this pass; give each layer "
            "a name of its own; to share weights, put them in `with scope(..., reuse=True)`"
        )
    visit.used.add(name)
    with creating():
        layer = vars(visit.owner).get(name)
        if layer is None or _may_be_replaced(layer, kind, resolved):
            values = {n: a.value for n, a in resolved.items()}
            layer = visit.owner._make(name, lambda: kind(**values))
            layer.__dict__["_arguments"] = resolved  # which know the line of the call
            return layer
    if type(layer) is not kind:
        raise ConfigError(
            f"layers.{function}: {name!r} is the name of a {type(layer).__name__} already"
        )
    _check_same(function, name, layer._arguments, resolved)
    return layer


def _may_be_replaced(layer: Any, kind: type[Module], now: Arguments) -> bool:
    """Tell whether a layer's first call failed and left no weights, and it was another layer.

    One that is the same may be in its first call just now, in another thread.
    """
    same = type(layer) is kind and not _differences(layer._arguments, now)
    return bool(layer._waits_for) and not same


def _current(what: str) -> _Visit:
    visit = _visit.get()
    if visit is None:
        raise ConfigError(
            f"{what}: there is no scope to keep the weights in; put the code in `with Scope() as "
            "net:` (and enter the same net each step), or use the layer's class"
        )
    return visit


def _check_same(function: str, name: str, before: Any, now: Arguments) -> None:
    """Refuse to reuse a layer with other settings than it was made with."""
    if other := _differences(before, now):
        raise ConfigError(
            f"layers.{function}: {name!r} exists with other settings: {'; '.join(other)}; give "
            "this layer another name, or call it as before"
        )


def _differences(before: Any, now: Arguments) -> list[str]:
    """Say in which settings two calls differ."""
    return [
        f"{n}={show(a.value)} (made with {show(before[n].value)}, {before[n].source})"
        for n, a in now.items()
        if not _same(before[n].value, a.value)
    ]


def _same(a: Any, b: Any) -> bool:
    """Whether two arguments mean the same; a lambda is the same as one from the same line."""
    if a is b:
        return True
    if isinstance(a, functools.partial) and isinstance(b, functools.partial):
        return _same(a.func, b.func) and a.args == b.args and a.keywords == b.keywords
    code_a, code_b = getattr(a, "__code__", None), getattr(b, "__code__", None)
    if code_a is not None and code_a is code_b:
        return True
    return type(a) is type(b) and bool(a == b)
