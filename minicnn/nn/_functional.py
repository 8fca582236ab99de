"""How a functional layer is made of a class; see `minicnn.nn.layers`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from minicnn.autograd import Tensor
from minicnn.nn.arg_scope import Argument, Arguments, caller, resolve, signature_of
from minicnn.nn.scope import scoped_layer

DOCUMENTATION = """{summary}: the layer `{kind}`.

Parameters
----------
x : Tensor{shape}
    A batch.
*args, **options
    The arguments of `{kind}`{but}, by position or by name.
name : str, optional
    The layer's name in the scope; by default ``"{function}"``, ``"{function}_1"``, ...

Returns
-------
Tensor
    What the layer returns.

Raises
------
ConfigError
    Outside of a scope, or if the layer exists with other settings.
"""


def functional(
    kind: Any,
    function: str,
    from_x: str = "",
    by_rank: Mapping[int, Any] | None = None,
    axes: str = "",
) -> Callable[..., Any]:
    """Return the function that makes a layer at its first call, and finds it later.

    The argument `from_x` follows from x; `by_rank` has the classes for other numbers of axes;
    `axes` says what shape x has.
    """
    has_settings = kind.__init__ is not object.__init__
    whole = signature_of(kind) if has_settings else inspect.Signature()
    signature = whole.replace(parameters=[p for n, p in whole.parameters.items() if n != from_x])

    def layer(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Any:
        actual = (by_rank or {}).get(getattr(x, "ndim", 0), kind)
        given = resolve(actual, signature, args, options, caller(2), f"layers.{function}")
        known = {n: given.get(n, Argument(None, "default")) for n in whole.parameters}
        return scoped_layer(actual, function, name, Arguments(known))(x)

    first, _, name, _ = inspect.signature(layer).parameters.values()
    own = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()]
    layer.__name__ = layer.__qualname__ = function
    layer.__doc__ = DOCUMENTATION.format(
        summary=(kind.__doc__ or "").partition(".\n")[0].rstrip("."),
        kind=kind.__name__,
        shape=f", shape {axes}" if axes else "",
        but=f" but `{from_x}`" if from_x else "",
        function=function,
    )
    layer.__signature__ = inspect.Signature([first, *own, name])  # type: ignore[attr-defined]
    if has_settings:
        layer.__configures__ = kind  # type: ignore[attr-defined]
    return layer
