"""The functional layers of pooling, which differ in their classes only; see `minicnn.nn.layers`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from minicnn.nn.arg_scope import caller, resolve, signature_of
from minicnn.nn.average_pooling import AvgPool1d, AvgPool2d, AvgPool3d
from minicnn.nn.global_pooling import (
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
)
from minicnn.nn.lp_pooling import (
    GlobalLpPool1d,
    GlobalLpPool2d,
    GlobalLpPool3d,
    LpPool1d,
    LpPool2d,
    LpPool3d,
)
from minicnn.nn.pooling import AXES, MaxPool1d, MaxPool2d, MaxPool3d
from minicnn.nn.scope import scoped_layer

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_lp_pool1d",
    "global_lp_pool2d",
    "global_lp_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

DOCUMENTATION = """{summary}: the layer `{kind}`.

Parameters
----------
x : Tensor, shape {axes}
    A batch.
*args, **options
    The arguments of `{kind}`, by position or by name.
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


def _functional(kind: Any, function: str) -> Callable[..., Any]:
    """Return the function that makes a pooling layer at its first call, and finds it later."""
    has_settings = kind.__init__ is not object.__init__
    signature = signature_of(kind) if has_settings else inspect.Signature()

    def layer(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Any:
        given = resolve(kind, signature, args, options, caller(2), f"layers.{function}")
        return scoped_layer(kind, function, name, given)(x)

    first, _, name, _ = inspect.signature(layer).parameters.values()
    own = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in signature.parameters.values()]
    summary = (kind.__doc__ or "").partition(".\n")[0].rstrip(".")
    layer.__name__ = layer.__qualname__ = function
    layer.__doc__ = DOCUMENTATION.format(
        summary=summary, kind=kind.__name__, axes=AXES[kind._rank], function=function
    )
    layer.__signature__ = inspect.Signature([first, *own, name])  # type: ignore[attr-defined]
    if has_settings:
        layer.__configures__ = kind  # type: ignore[attr-defined]
    return layer


adaptive_avg_pool1d = _functional(AdaptiveAvgPool1d, "adaptive_avg_pool1d")
adaptive_avg_pool2d = _functional(AdaptiveAvgPool2d, "adaptive_avg_pool2d")
adaptive_avg_pool3d = _functional(AdaptiveAvgPool3d, "adaptive_avg_pool3d")
adaptive_max_pool1d = _functional(AdaptiveMaxPool1d, "adaptive_max_pool1d")
adaptive_max_pool2d = _functional(AdaptiveMaxPool2d, "adaptive_max_pool2d")
adaptive_max_pool3d = _functional(AdaptiveMaxPool3d, "adaptive_max_pool3d")
avg_pool1d = _functional(AvgPool1d, "avg_pool1d")
avg_pool2d = _functional(AvgPool2d, "avg_pool2d")
avg_pool3d = _functional(AvgPool3d, "avg_pool3d")
global_avg_pool1d = _functional(GlobalAvgPool1d, "global_avg_pool1d")
global_avg_pool2d = _functional(GlobalAvgPool2d, "global_avg_pool2d")
global_avg_pool3d = _functional(GlobalAvgPool3d, "global_avg_pool3d")
global_max_pool1d = _functional(GlobalMaxPool1d, "global_max_pool1d")
global_max_pool2d = _functional(GlobalMaxPool2d, "global_max_pool2d")
global_max_pool3d = _functional(GlobalMaxPool3d, "global_max_pool3d")
global_lp_pool1d = _functional(GlobalLpPool1d, "global_lp_pool1d")
global_lp_pool2d = _functional(GlobalLpPool2d, "global_lp_pool2d")
global_lp_pool3d = _functional(GlobalLpPool3d, "global_lp_pool3d")
lp_pool1d = _functional(LpPool1d, "lp_pool1d")
lp_pool2d = _functional(LpPool2d, "lp_pool2d")
lp_pool3d = _functional(LpPool3d, "lp_pool3d")
max_pool1d = _functional(MaxPool1d, "max_pool1d")
max_pool2d = _functional(MaxPool2d, "max_pool2d")
max_pool3d = _functional(MaxPool3d, "max_pool3d")
