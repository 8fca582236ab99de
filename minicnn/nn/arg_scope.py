"""Default arguments for a kind of layer, for the length of a ``with`` block."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

from minicnn.errors import ConfigError

__all__ = ["Argument", "Arguments", "arg_scope", "configurable", "explain_args"]

P = ParamSpec("P")
R = TypeVar("R")


class Argument(NamedTuple):
    """The value of one argument and the line that set it."""

    value: Any
    source: str  # "default", "call at FILE:LINE" or "arg_scope at FILE:LINE"


class Arguments(dict[str, Argument]):
    """All arguments of one call by name; printed, a table of values and sources."""

    def short(self) -> str:
        """Return the arguments that are not defaults, as they would be written in a call."""
        return ", ".join(f"{n}={show(a.value)}" for n, a in self.items() if a.source != "default")

    def __str__(self) -> str:
        rows = [(name, show(a.value), a.source) for name, a in self.items()]
        widths = [max((len(row[i]) for row in rows), default=0) for i in (0, 1)]
        return "\n".join(f"{n:{widths[0]}} = {v:{widths[1]}}  {s}" for n, v, s in rows)


class _Entry(NamedTuple):
    """What one ``with arg_scope(...)`` sets."""

    targets: tuple[Any, ...]  # classes and functions
    arguments: dict[str, Argument]

    def meets(self, target: Any) -> bool:
        return any(
            target is t
            or (isinstance(t, type) and isinstance(target, type) and issubclass(target, t))
            for t in self.targets
        )


_entries: contextvars.ContextVar[tuple[_Entry, ...]] = contextvars.ContextVar(
    "minicnn_arg_scope", default=()
)


def configurable(function: Callable[P, R]) -> Callable[P, R]:
    """Let `arg_scope` set default arguments of a layer's ``__init__`` or of a function.

    Parameters
    ----------
    function : callable
        An ``__init__``, or a function, with named parameters only.

    Returns
    -------
    callable
        The same, taking what the call does not give from the arg_scopes around it.

    Examples
    --------
    >>> from minicnn.nn import arg_scope, configurable
    >>> @configurable
    ... def greet(name, greeting="hello"):
    ...     return f"{greeting} {name}"
    >>> with arg_scope(greet, greeting="good morning"):
    ...     greet("world")
    'good morning world'
    """
    signature = inspect.signature(function)
    is_init = function.__name__ == "__init__"
    skip = 1 if is_init else 0
    signature = signature.replace(parameters=list(signature.parameters.values())[skip:])

    @functools.wraps(function)
    def with_defaults(*args: Any, **kwargs: Any) -> Any:
        target = type(args[0]) if is_init else with_defaults
        arguments = resolve(target, signature, args[skip:], kwargs, caller(2))
        if is_init:  # a subclass's __init__, which came first, knows better than its base's
            known = args[0].__dict__.get("_arguments") or {}
            args[0].__dict__["_arguments"] = Arguments({**arguments, **known})
        return function(*args[:skip], **{name: a.value for name, a in arguments.items()})

    with_defaults.__configurable__ = signature  # type: ignore[attr-defined]
    return cast(Callable[P, R], with_defaults)


def arg_scope(*targets: Any, **arguments: Any) -> _ArgScope:
    """Change default arguments of layers inside a ``with`` block.

    What a call says itself counts first, then the innermost arg_scope, then the outer ones, then
    the layer's own default. Other threads are not affected, and the end of the block, by an
    exception too, restores what was.

    Parameters
    ----------
    *targets : class, function, or list of them
        Layers (``Conv2d``; subclasses follow), functional layers (``layers.conv2d``, the same as
        its class), or anything marked `configurable`.
    **arguments
        Their new defaults. Every target must have every one of them.

    Returns
    -------
    context manager
        For ``with``; it may also decorate a function.

    Raises
    ------
    ConfigError
        At once, if a target has no such argument (the message names the nearest one), or takes
        no part in arg_scopes.

    Examples
    --------
    >>> from minicnn import nn, ops
    >>> with nn.arg_scope(nn.Conv2d, size=5, activation=ops.relu):
    ...     layer = nn.Conv2d(3, 8)
    >>> layer.size
    (5, 5)
    """
    flat = tuple(
        t for each in targets for t in (each if isinstance(each, list | tuple) else [each])
    )
    if not flat:
        raise ConfigError("arg_scope: name the layers it is for, as in arg_scope(Conv2d, size=5)")
    resolved = tuple(getattr(t, "__configures__", t) for t in flat)
    for target in resolved:
        check_names("arg_scope", _name(target), arguments, list(signature_of(target).parameters))
    source = f"arg_scope at {caller(2)}"
    entry = _Entry(resolved, {name: Argument(value, source) for name, value in arguments.items()})
    return _ArgScope(entry)


class _ArgScope(contextlib.ContextDecorator):
    """An entry that counts while it is entered; it may be entered again and again."""

    def __init__(self, entry: _Entry) -> None:
        self._entry = entry

    def __enter__(self) -> None:
        _entries.set((*_entries.get(), self._entry))

    def __exit__(self, *_: object) -> None:
        entries = _entries.get()  # of this thread: others may have entered the same object
        last = max((i for i, e in enumerate(entries) if e is self._entry), default=len(entries))
        _entries.set(entries[:last])

    def _recreate_cm(self) -> _ArgScope:
        return _ArgScope(self._entry)  # a decorated function may run in several threads at once


def explain_args(layer: Any) -> Arguments:
    """Say for each argument of a layer its value and which line set it.

    Parameters
    ----------
    layer : Module
        A layer of minicnn, or one whose ``__init__`` is `configurable`.

    Returns
    -------
    Arguments
        A dict from names to (value, source), where source is ``"default"``,
        ``"call at FILE:LINE"`` or ``"arg_scope at FILE:LINE"``; print it for a table.

    Raises
    ------
    ConfigError
        If the layer's ``__init__`` is not `configurable`.
    """
    known = getattr(layer, "_arguments", None)
    if known is None:
        raise ConfigError(
            f"explain_args: nothing is known about {type(layer).__name__}; it needs an object "
            "whose __init__ is marked @configurable, such as a layer of minicnn.nn"
        )
    return known


def signature_of(target: Any) -> inspect.Signature:
    """Return the signature of what an arg_scope may set, without self, or refuse."""
    function = getattr(target, "__init__", target) if isinstance(target, type) else target
    signature = getattr(function, "__configurable__", None)
    if signature is None:
        raise ConfigError(
            f"arg_scope: {_name(target)} takes no part in arg_scopes; mark its __init__ (or the "
            "function) with @minicnn.nn.configurable"
        )
    return signature


def check_names(where: str, what: str, given: Any, known: Sequence[str]) -> None:
    """Refuse names that are not known, naming the nearest one that is."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(
                f"{where}: {what} has no argument {name!r}{hint} (it has {', '.join(known)})"
            )


def resolve(
    target: Any,
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    line: str,
    name: str = "",
) -> Arguments:
    """Return the arguments of a call, in order: given, from the arg_scopes, or defaults."""
    parameters = signature.parameters
    name = name or _name(target)
    positional = [n for n, p in parameters.items() if p.kind != p.KEYWORD_ONLY]
    if len(args) > len(positional):
        raise ConfigError(f"{name}: takes {len(positional)} arguments, got {len(args)}")
    check_names(name, "it", kwargs, list(parameters))
    given = dict(zip(positional, args, strict=False))
    twice = sorted(given.keys() & kwargs.keys())
    if twice:
        raise ConfigError(f"{name}: argument {twice[0]!r} is given twice, by position and by name")
    given.update(kwargs)
    scoped: dict[str, Argument] = {}
    for entry in _entries.get():
        if entry.meets(target):
            scoped.update(entry.arguments)
    result = Arguments()
    for n, p in parameters.items():
        if n in given:
            result[n] = Argument(given[n], f"call at {line}")
        elif n in scoped:
            result[n] = scoped[n]
        elif p.default is not p.empty:
            result[n] = Argument(p.default, "default")
        else:
            raise ConfigError(
                f"{name}: argument {n!r} is missing; give it in the call or by arg_scope"
            )
    return result


def caller(depth: int) -> str:
    """Return FILE:LINE of the call that many frames up; 1 is the caller of whoever asks."""
    frame = sys._getframe(depth)
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def show(value: Any) -> str:
    """Return a value as it would be written in code; functions and classes by their name."""
    return getattr(value, "__name__", None) or repr(value)


def _name(target: Any) -> str:
    return getattr(target, "__name__", None) or repr(target)
