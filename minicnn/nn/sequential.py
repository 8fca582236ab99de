"""Modules one after the other, and functions as modules."""

from __future__ import annotations

import itertools
import keyword
from collections.abc import Callable, Iterator
from typing import Any, overload

from minicnn.errors import ConfigError
from minicnn.nn.arg_scope import show
from minicnn.nn.evaluating import follow
from minicnn.nn.module import Module

__all__ = ["Function", "Sequential"]

Layer = Module | Callable[..., Any]


class Sequential(Module):
    """Layers, each of which gets the output of the one before.

    Parameters
    ----------
    *layers : Module, callable, or (str, Module or callable)
        In order; a pair names its layer, others are named by their number. Plain functions, such
        as `minicnn.ops.relu`, are wrapped in a `Function`.
    **named : Module or callable
        More layers, with names.

    Raises
    ------
    ConfigError
        If something is no layer, or a name is taken or not usable.

    Examples
    --------
    >>> from minicnn import nn, ops
    >>> net = nn.Sequential(nn.Dense(4, 8), ops.relu, head=nn.Dense(8, 2))
    >>> [name for name, _ in net.named_parameters()]
    ['0.weight', '0.bias', 'head.weight', 'head.bias']
    >>> net.head is net[-1], len(net[:2])
    (True, 2)
    """

    _only_holds_layers = True

    def __init__(self, *layers: Layer | tuple[str, Layer], **named: Layer) -> None:
        self._layer_names: list[str] = []
        for layer in layers:
            if isinstance(layer, tuple) and len(layer) == 2 and isinstance(layer[0], str):
                self.append(layer[1], layer[0])
            else:
                self.append(layer)
        for name, layer in named.items():
            self.append(layer, name)

    def append(self, layer: Layer, name: str | None = None) -> None:
        """Add a layer at the end.

        Parameters
        ----------
        layer : Module or callable
            The layer.
        name : str, optional
            Its name; by default its number.

        Raises
        ------
        ConfigError
            If it is no layer, or the name is taken or not usable.
        """
        if name is None:  # in a slice, the number may be that of another layer already
            numbers = map(str, itertools.count(len(self._layer_names)))
            name = next(n for n in numbers if n not in self._layer_names)
        else:
            check_name("Sequential", name)
        if name in self._layer_names:
            raise ConfigError(f"Sequential: the name {name!r} is taken; names are unique")
        setattr(self, name, _as_module(layer))
        self._layer_names.append(name)

    def forward(self, x: Any) -> Any:
        """Apply the layers in order.

        Parameters
        ----------
        x : Tensor
            What the first layer takes.

        Returns
        -------
        Tensor
            What the last layer returns; x itself if there are none.
        """
        for layer in self:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self._layer_names)

    def __bool__(self) -> bool:
        return True  # a net without layers is still a net

    def __iter__(self) -> Iterator[Module]:
        return iter([getattr(self, name) for name in self._layer_names])

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module:
        """Return a layer by its place, or some of them, with their names, as a new Sequential."""
        if isinstance(index, slice):
            part = Sequential()
            for name in self._layer_names[index]:
                setattr(part, name, getattr(self, name))
                part._layer_names.append(name)
            follow(part, self)
            return part
        return getattr(self, self._name_at(index))

    def __setitem__(self, index: int, layer: Layer) -> None:
        """Replace a layer; the new one has the old one's name."""
        setattr(self, self._name_at(index), _as_module(layer))

    def _name_at(self, index: int) -> str:
        try:
            return self._layer_names[index]
        except IndexError:
            raise IndexError(f"Sequential: there is no layer {index}; it has {len(self)}") from None


class Function(Module):
    """A plain function as a module.

    Parameters
    ----------
    function : callable
        From Tensors to Tensors, without parameters of its own.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Call the function with the same arguments."""
        return self.function(*inputs, **options)

    def __repr__(self) -> str:
        return f"Function({show(self.function)})"


def check_name(owner: str, name: str) -> None:
    """Refuse a name that could not be an attribute and a part of a parameter's name."""
    usable = isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name)
    if not usable or name.startswith("_") or hasattr(Module, name):
        raise ConfigError(
            f"{owner}: {name!r} cannot name a layer; use letters, digits and underscores, "
            "beginning with a letter, and no name that a Module uses itself"
        )


def _as_module(layer: Any) -> Module:
    if isinstance(layer, Module):
        return layer
    if isinstance(layer, type) or not callable(layer):
        what = (
            f"the class {layer.__name__}; make one: {layer.__name__}(...)"
            if isinstance(layer, type)
            else repr(layer)
        )
        raise ConfigError(f"Sequential: needs layers and functions, got {what}")
    return Function(layer)
