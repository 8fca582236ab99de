"""Convolutional networks from scratch, to read and to learn from.

Everything is loaded when it is first used: ``import minicnn`` itself is quick
and pulls in neither Numba nor CuPy nor matplotlib.
"""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minicnn import (
        config,
        data,
        errors,
        estimator,
        interop,
        metrics,
        models,
        nn,
        ops,
        optim,
        visualise,
    )
    from minicnn.autograd import (
        Tensor,
        check_gradients,
        concatenate,
        differentiable,
        exp,
        grad,
        log,
        matmul,
        maximum,
        minimum,
        no_grad,
        pad,
        sqrt,
        stack,
        tanh,
        where,
    )
    from minicnn.backend.device import (
        device_memory,
        get_device,
        on_device,
        release_device_memory,
        set_device,
    )
    from minicnn.explanation import explain
    from minicnn.nn import arg_scope, layers

__version__ = "0.1.0"

__all__ = [
    "Tensor", "arg_scope", "check_gradients", "concatenate", "config", "data", "device_memory",
    "differentiable", "errors", "estimator", "exp", "explain", "get_device", "grad", "interop",
    "layers", "log", "matmul", "maximum", "metrics", "minimum", "models", "nn", "no_grad",
    "on_device", "ops", "optim", "pad", "release_device_memory", "set_device", "sqrt", "stack",
    "tanh", "visualise", "where",
]  # fmt: skip

# In a checkout the kernels live beside this package (kernels/), in a wheel
# inside it (minicnn/kernels/).  Make the first look like the second.
_root = Path(__file__).resolve().parent.parent
if not (_root / "minicnn" / "kernels").is_dir() and (_root / "kernels").is_dir():
    __path__.append(str(_root))

_PACKAGES = {
    "config", "data", "errors", "estimator", "interop", "metrics", "models", "nn", "ops", "optim",
    "visualise",
}  # fmt: skip
_HOMES = {
    "arg_scope": "minicnn.nn",
    "explain": "minicnn.explanation",
    "layers": "minicnn.nn",
    **dict.fromkeys(
        ("device_memory", "get_device", "on_device", "release_device_memory", "set_device"),
        "minicnn.backend.device",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'minicnn' has no attribute {name!r}")
    if name in _PACKAGES:
        value = importlib.import_module(f"minicnn.{name}")
    else:
        value = getattr(importlib.import_module(_HOMES.get(name, "minicnn.autograd")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
