"""The functional layers of normalisation and of resizing; see `minicnn.nn.layers`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.nn.arg_scope import Argument, Arguments, caller, resolve, signature_of
from minicnn.nn.group_normalization import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from minicnn.nn.layer_normalization import LayerNorm, RMSNorm
from minicnn.nn.local_response import LocalResponseNorm
from minicnn.nn.resize import Pad, PixelShuffle, PixelUnshuffle, Resize, Upsample
from minicnn.nn.scope import scoped_layer

__all__ = [
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize",
    "rms_norm",
    "upsample",
]

DOCUMENTATION = """{summary}: the layer `{kind}`.

Parameters
----------
x : Tensor
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


def _functional(
    kind: Any, function: str, from_x: str = "", by_rank: dict[int, Any] | None = None
) -> Callable[..., Any]:
    """Return the function that makes a layer at its first call, and finds it later.

    The argument `from_x` follows from x; `by_rank` has the classes for other numbers of axes.
    """
    whole = signature_of(kind)
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
        summary=kind.__doc__.partition(".\n")[0],
        kind=kind.__name__,
        but=f" but `{from_x}`" if from_x else "",
        function=function,
    )
    layer.__signature__ = inspect.Signature([first, *own, name])  # type: ignore[attr-defined]
    layer.__configures__ = kind  # type: ignore[attr-defined]
    return layer


group_norm = _functional(GroupNorm, "group_norm", "channels")
instance_norm = _functional(
    InstanceNorm2d, "instance_norm", "channels", {3: InstanceNorm1d, 5: InstanceNorm3d}
)
layer_norm = _functional(LayerNorm, "layer_norm", "lengths")
local_response_norm = _functional(LocalResponseNorm, "local_response_norm")
pad = _functional(Pad, "pad")
pixel_shuffle = _functional(PixelShuffle, "pixel_shuffle")
pixel_unshuffle = _functional(PixelUnshuffle, "pixel_unshuffle")
resize = _functional(Resize, "resize")
rms_norm = _functional(RMSNorm, "rms_norm", "lengths")
upsample = _functional(Upsample, "upsample")
