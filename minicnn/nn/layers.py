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
from minicnn.nn._normalization_functions import (
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    pad,
    pixel_shuffle,
    pixel_unshuffle,
    resize,
    rms_norm,
    upsample,
)
from minicnn.nn._pooling_functions import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_lp_pool1d,
    global_lp_pool2d,
    global_lp_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
)
from minicnn.nn.activation import PReLU
from minicnn.nn.arg_scope import Argument, Arguments, caller, resolve, signature_of
from minicnn.nn.convolution import Conv1d, Conv2d, Conv3d
from minicnn.nn.dense import Dense
from minicnn.nn.dropout import AlphaDropout, Dropout, SpatialDropout
from minicnn.nn.module import Module
from minicnn.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from minicnn.nn.scope import Scope, scope, scoped_layer
from minicnn.nn.transposed_convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from minicnn.ops import (
    celu,
    elu,
    flatten,
    gelu,
    hard_sigmoid,
    hard_swish,
    hard_tanh,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    shrink,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    tanh,
    thresholded_relu,
)

__all__ = [
    "Scope",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "celu",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "dense",
    "dropout",
    "elu",
    "flatten",
    "gelu",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_lp_pool1d",
    "global_lp_pool2d",
    "global_lp_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "group_norm",
    "hard_sigmoid",
    "hard_swish",
    "hard_tanh",
    "instance_norm",
    "layer_norm",
    "leaky_relu",
    "local_response_norm",
    "log_sigmoid",
    "log_softmax",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "mish",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "resize",
    "rms_norm",
    "scope",
    "selu",
    "shrink",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "spatial_dropout",
    "tanh",
    "thresholded_relu",
    "upsample",
]


def conv1d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Convolve signals with learned filters: the layer `Conv1d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    *args, **options
        The arguments of `Conv1d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv1d"``, ``"conv1d_1"``, ...

    Returns
    -------
    Tensor, shape (N, O, OL)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv1d", Conv1d, x, args, options, name)


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


def conv3d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Convolve volumes with learned filters: the layer `Conv3d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    *args, **options
        The arguments of `Conv3d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv3d"``, ``"conv3d_1"``, ...

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv3d", Conv3d, x, args, options, name)


def conv_transpose1d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Enlarge signals with learned filters: the layer `ConvTranspose1d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    *args, **options
        The arguments of `ConvTranspose1d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv_transpose1d"``, and so on.

    Returns
    -------
    Tensor, shape (N, O, OL)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv_transpose1d", ConvTranspose1d, x, args, options, name)


def conv_transpose2d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Enlarge images with learned filters: the layer `ConvTranspose2d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    *args, **options
        The arguments of `ConvTranspose2d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv_transpose2d"``, and so on.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv_transpose2d", ConvTranspose2d, x, args, options, name)


def conv_transpose3d(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Enlarge volumes with learned filters: the layer `ConvTranspose3d`.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    *args, **options
        The arguments of `ConvTranspose3d` from `out_channels` on, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"conv_transpose3d"``, and so on.

    Returns
    -------
    Tensor, shape (N, O, OD, OH, OW)
        What the layer returns.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("conv_transpose3d", ConvTranspose3d, x, args, options, name)


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
    """Normalise each channel: `BatchNorm2d`, or `BatchNorm1d` for vectors and signals.

    Parameters
    ----------
    x : Tensor, shape (N, C) or (N, C, ...)
        A batch; `BatchNorm3d` is for volumes.
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
        {2: BatchNorm1d, 3: BatchNorm1d, 5: BatchNorm3d}.get(getattr(x, "ndim", 4), BatchNorm2d),
        x,
        args,
        options,
        name,
    )


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


def alpha_dropout(x: Tensor, *args: Any, name: str | None = None, **options: Any) -> Tensor:
    """Drop random numbers as nets of SELUs need it, in training: the layer `AlphaDropout`.

    Parameters
    ----------
    x : Tensor, shape (N, ...)
        A batch of anything.
    *args, **options
        The arguments of `AlphaDropout`, by position or by name.
    name : str, optional
        The layer's name in the scope; by default ``"alpha_dropout"``, and so on.

    Returns
    -------
    Tensor, shape as x
        x itself if the scope is in evaluation.

    Raises
    ------
    ConfigError
        Outside of a scope, or if the layer exists with other settings.
    """
    return _call("alpha_dropout", AlphaDropout, x, args, options, name)


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


# What a call does not say, for it follows from x.
_FROM_X = {
    Conv1d: "in_channels",
    Conv2d: "in_channels",
    Conv3d: "in_channels",
    ConvTranspose1d: "in_channels",
    ConvTranspose2d: "in_channels",
    ConvTranspose3d: "in_channels",
    Dense: "in_features",
    BatchNorm1d: "channels",
    BatchNorm2d: "channels",
    BatchNorm3d: "channels",
}
_KINDS: dict[Any, type[Module]] = {
    alpha_dropout: AlphaDropout,
    batch_norm: BatchNorm2d,
    conv1d: Conv1d,
    conv2d: Conv2d,
    conv3d: Conv3d,
    conv_transpose1d: ConvTranspose1d,
    conv_transpose2d: ConvTranspose2d,
    conv_transpose3d: ConvTranspose3d,
    dense: Dense,
    dropout: Dropout,
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
