"""Functional layers: functions that make a layer at the first call and find it at the next.

They work inside a `minicnn.nn.Scope`, which keeps the weights::

    net = Scope()
    ...
    with net:                                   # each step
        x = layers.conv2d(images, 8, normalizer=BatchNorm2d, activation=relu)
        x = layers.max_pool2d(x)
        logits = layers.dense(layers.global_avg_pool2d(x), 43)

What has neither weights nor settings to remember is the plain op: `relu`, `flatten`.
"""

from __future__ import annotations

import inspect
from typing import Any

from minicnn.autograd import Tensor
from minicnn.nn.activation import PReLU
from minicnn.nn.arg_scope import Argument, Arguments, caller, resolve, signature_of
from minicnn.nn.convolution import Conv2d
from minicnn.nn.dense import Dense
from minicnn.nn.dropout import Dropout, SpatialDropout
from minicnn.nn.module import Module
from minicnn.nn.normalization import BatchNorm1d, BatchNorm2d
from minicnn.nn.pooling import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from minicnn.nn.scope import Scope, scope, scoped_layer
from minicnn.ops import flatten, leaky_relu, log_softmax, relu, sigmoid, softmax, tanh

__all__ = [
    "Scope",
    "avg_pool2d",
    "batch_norm",
    "conv2d",
    "dense",
    "dropout",
    "flatten",
    "global_avg_pool2d",
    "global_max_pool2d",
    "leaky_relu",
    "log_softmax",
    "max_pool2d",
    "prelu",
    "relu",
    "scope",
    "sigmoid",
    "softmax",
    "spatial_dropout",
    "tanh",
]


def conv2d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Convolve images with learned filters: the layer `Conv2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    *args, **options
        The arguments of `Conv2d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv2d"``, ``"conv2d_1"``, ...

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv2d", Conv2d, x, args, options, name)


def dense(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Connect every input to every output: the layer `Dense`.

    Parameters
    ----------
    x : Tensor, shape (N, I)
        A batch of vectors.
    *args, **options
        The arguments of `Dense` from `out_features` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"dense"``, ``"dense_1"``, ...

    Returns
    -------
    Tensor, shape (N, O)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("dense", Dense, x, args, options, name)


def batch_norm(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Normalise each channel: the layer `BatchNorm2d`, or `BatchNorm1d` for vectors.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, H, W)
        A batch.
    *args, **options
        The arguments of `BatchNorm2d` from `decay` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"batch_norm"``, ``"batch_norm_1"``, ...

    Returns
    -------
    Tensor, shape as x
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call(
        "batch_norm",
        BatchNorm1d if getattr(x, "ndim", 4) == 2 else BatchNorm2d,
        x,
        args,
        options,
        name,
    )


def max_pool2d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Take the largest value in each window: the layer `MaxPool2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    *args, **options
        The arguments of `MaxPool2d`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"max_pool2d"``, ``"max_pool2d_1"``, ...

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("max_pool2d", MaxPool2d, x, args, options, name)


def avg_pool2d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Average each window: the layer `AvgPool2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    *args, **options
        The arguments of `AvgPool2d`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"avg_pool2d"``, ``"avg_pool2d_1"``, ...

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("avg_pool2d", AvgPool2d, x, args, options, name)


def prelu(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Scale negative numbers by a learned factor: the layer `PReLU`.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch of anything.
    *args, **options
        The arguments of `PReLU`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"prelu"``, ``"prelu_1"``, ...

    Returns
    -------
    Tensor, shape as x
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("prelu", PReLU, x, args, options, name)


def dropout(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Drop random numbers in training: the layer `Dropout`.

    Parameters
    ----------
    x : Tensor, shape (N, ...)
        A batch of anything.
    *args, **options
        The arguments of `Dropout`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"dropout"``, ``"dropout_1"``, ...

    Returns
    -------
    Tensor, shape as x
        x itself if the scope is in evaluation.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("dropout", Dropout, x, args, options, name)


def spatial_dropout(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Drop random channels in training: the layer `SpatialDropout`.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
        A batch of images.
    *args, **options
        The arguments of `SpatialDropout`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"spatial_dropout"``, and so on.

    Returns
    -------
    Tensor, shape as x
        x itself if the scope is in evaluation.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("spatial_dropout", SpatialDropout, x, args, options, name)


def global_avg_pool2d(x: Tensor, *, name: str | None = None) -> Tensor:
    """Average each channel over the whole image: the layer `GlobalAvgPool2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    name : str, optional
        The layer's name in the scope.

    Returns
    -------
    Tensor, shape (N, C)
        One number for each channel.

    Raises
    ------
    ConfigError
        Outside of a scope.
    """
    return scoped_layer(GlobalAvgPool2d, "global_avg_pool2d", name, Arguments())(x)


def global_max_pool2d(x: Tensor, *, name: str | None = None) -> Tensor:
    """Take each channel's largest value: the layer `GlobalMaxPool2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    name : str, optional
        The layer's name in the scope.

    Returns
    -------
    Tensor, shape (N, C)
        One number for each channel.

    Raises
    ------
    ConfigError
        Outside of a scope.
    """
    return scoped_layer(GlobalMaxPool2d, "global_max_pool2d", name, Arguments())(x)


# What a call does not say, for it follows from x.
_FROM_X = {
    Conv2d: "in_channels",
    Dense: "in_features",
    BatchNorm1d: "channels",
    BatchNorm2d: "channels",
}
_KINDS: dict[Any, type[Module]] = {
    avg_pool2d: AvgPool2d,
    batch_norm: BatchNorm2d,
    conv2d: Conv2d,
    dense: Dense,
    dropout: Dropout,
    max_pool2d: MaxPool2d,
    prelu: PReLU,
    spatial_dropout: SpatialDropout,
}


def _signature(kind: type[Module]) -> inspect.Signature:
    """Return the signature of a layer's class without what follows from x."""
    signature = signature_of(kind)
    visible = [p for n, p in signature.parameters.items() if n != _FROM_X.get(kind)]
    return signature.replace(parameters=visible)


def _call(
    function: str,
    kind: type[Module],
    x: Tensor,
    args: tuple[Any, ...],
    options: dict[str, Any],
    name: str | None,
) -> Tensor:
    line = caller(3)
    arguments = resolve(kind, _signature(kind), args, options, line, f"layers.{function}")
    if kind in _FROM_X:
        arguments = Arguments({_FROM_X[kind]: Argument(None, "default"), **arguments})
    return scoped_layer(kind, function, name, arguments)(x)


def _describe(function: Any, kind: type[Module]) -> None:
    """Give a functional layer the signature that help() shows, and its class to arg_scope."""
    first, *_, name, _ = inspect.signature(function).parameters.values()
    own = [p.replace(kind=p.POSITIONAL_OR_KEYWORD) for p in _signature(kind).parameters.values()]
    function.__signature__ = inspect.Signature([first, *own, name])
    function.__configures__ = kind


for _function, _kind in _KINDS.items():
    _describe(_function, _kind)
