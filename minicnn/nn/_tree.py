"""What a module holds: parameters, buffers and other modules, found by themselves."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from minicnn.errors import ConfigError
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn.arg_scope import Arguments

if TYPE_CHECKING:
    from minicnn.nn.module import Module

Member = Any  # Parameter | Buffer | Module

_NOT_MEMBERS = ("_arguments", "_forward_hooks")  # notes about a module, which may mention others


class Tree:
    """The half of `Module` that knows what it holds, and under which names."""

    _arguments: Arguments | None = None  # what `configurable` noted about the call of __init__
    _waits_for: str = ""  # the argument that a first call must find out before parameters exist
    _only_holds_layers: bool = False  # whether a summary shows what is inside, even if empty

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__.get(name)
        if isinstance(held, Parameter | Buffer) and not isinstance(value, type(held) | None):
            kind = type(held).__name__
            raise ConfigError(
                f"{type(self).__name__}.{name} is a {kind} and cannot become a "
                f"{type(value).__name__}; assign {kind}(...), or to its .data"
            )
        super().__setattr__(name, value)

    if not TYPE_CHECKING:  # type checkers would take it for a licence to any attribute

        def __getattr__(self, name: str) -> Any:
            near = difflib.get_close_matches(name, dir(self), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            own, *bases = [c for c in type(self).__mro__ if "__init__" in vars(c)]
            if own is type(self) and bases and bases[0] is not object:
                parent = type(self).__mro__[1].__name__
                hint = f"; did its __init__ call super().__init__(...) of {parent}?"
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _members(self) -> Iterator[tuple[str, Member]]:
        """Yield this module's own members with their names, those in lists and dicts too."""
        for name, value in list(vars(self).items()):
            if isinstance(value, _KINDS):
                yield name, value
            elif isinstance(value, _CONTAINERS) and name not in _NOT_MEMBERS:
                yield from _members_in(name, value)

    def _walk(self) -> list[tuple[str, Member]]:
        """List all members below this module in definition order, each object once."""
        seen, found = {id(self)}, []

        def below(prefix: str, module: Tree) -> None:
            for name, member in module._members():
                if id(member) not in seen:
                    seen.add(id(member))
                    found.append((prefix + name, member))
                    if isinstance(member, Tree):
                        below(f"{prefix}{name}.", member)

        below("", self)
        return found

    def named_modules(self) -> Iterator[tuple[str, Module]]:
        """Yield this module as ``""`` and all modules below it with their names, each once.

        Yields
        ------
        (str, Module)
            In definition order, a module before those inside it.
        """
        yield "", cast("Module", self)
        for name, member in self._walk():
            if isinstance(member, Tree):
                yield name, cast("Module", member)

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters with their names, each once, in definition order.

        Each parameter's own ``name`` becomes the one it is listed under.

        Yields
        ------
        (str, Parameter)
            Such as ``("block1.0.weight", ...)``.

        Raises
        ------
        ConfigError
            If a layer does not know its input's size yet, so that its parameters do not exist.
        """
        for name, member in self._built("parameters"):
            if isinstance(member, Parameter):
                member.name = name
                yield name, member

    def parameters(self) -> Iterator[Parameter]:
        """Yield all parameters, each once, in definition order.

        Yields
        ------
        Parameter
            As `named_parameters` does.
        """
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Yield all buffers with their names, each once, in definition order.

        Yields
        ------
        (str, Buffer)
            Such as ``("block1.0.normalizer.moving_mean", ...)``.

        Raises
        ------
        ConfigError
            If a layer does not know its input's size yet, so that its buffers do not exist.
        """
        for name, member in self._built("buffers"):
            if isinstance(member, Buffer):
                yield name, member

    def count_parameters(self) -> int:
        """Return how many numbers all parameters hold together; shared ones count once."""
        return sum(p.size for p in self.parameters())

    def _built(self, what: str) -> list[tuple[str, Member]]:
        """List what `_walk` yields, but refuse if a layer is not built yet."""
        members = self._walk()
        for name, member in [("", self), *members]:
            if isinstance(member, Tree) and member._waits_for:
                kind = f"{type(member).__name__} {name!r}" if name else type(member).__name__
                raise ConfigError(
                    f"{what}: {kind} does not know its {member._waits_for} before the first call; "
                    "call the net once, or net.build((C, H, W)), or give the number"
                )
        return members

    def __repr__(self) -> str:
        head = type(self).__name__
        if self._arguments is not None:
            head += f"({self._arguments.short()})"
        children = [(name, m) for name, m in self._members() if isinstance(m, Tree)]
        if not children:
            return head if "(" in head else head + "()"
        lines = [f"{name}: {module!r}".replace("\n", "\n  ") for name, module in children]
        return head + " {\n  " + "\n  ".join(lines) + "\n}"


_KINDS = (Parameter, Buffer, Tree)
_CONTAINERS = (list, tuple, dict)


def _members_in(name: str, value: Any) -> Iterator[tuple[str, Member]]:
    if isinstance(value, _KINDS):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value):
            yield from _members_in(f"{name}.{i}", item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _members_in(f"{name}.{key}", item)
