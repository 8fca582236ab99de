"""Convolution, batch normalisation and ReLU for inference: found out once, then only done.

With one small image, most of a layer's time goes into finding out what to call: checks, weights
laid out for the vector unit, coefficients. All of that is the same at the next call if the image
is of the same shape and the weights have the same values; so it is kept, and the values are
compared, byte by byte, for anybody may have written into them. That costs a microsecond or two.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.kernels import settings
from minicnn.nn._parts import beside
from minicnn.ops.block import conv_act, prepare_conv_act

_SMALL = 1 << 16  # numbers of an image batch, and of the weights, for which it is worth it
# layer -> (what the next call must agree with, what to call then; None after one call only)
_prepared: weakref.WeakKeyDictionary[Any, tuple[Any, Callable[[Tensor], Tensor] | None]] = (
    weakref.WeakKeyDictionary()
)


def infer(layer: Any, x: Tensor, *geometry: Any) -> Tensor:
    """Return `conv_act` of a layer with a batch normalisation, or none, in evaluation."""
    norm = layer.normalizer
    if norm is not None:
        norm.warn_if_untouched()
    key = _key(layer, x, geometry)
    known, call = _prepared.get(layer, (None, None))
    if key is not None and key == known:
        if call is None:  # the second time: there will be a third
            call = prepare_conv_act(x, *_operands(layer, x), *geometry)
            if _key(layer, x, geometry) == key:  # no other thread has changed the weights meanwhile
                _prepared[layer] = key, call
        return call(x)
    if key is not None:
        _prepared[layer] = key, None
    return conv_act(x, *_operands(layer, x), *geometry)


def _operands(layer: Any, x: Tensor) -> tuple[Any, ...]:
    norm = layer.normalizer
    return *beside(x, layer.weight, layer.bias), None if norm is None else norm.affine()


def _key(layer: Any, x: Tensor, geometry: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Return all that a prepared call depends on, None where preparing is not worth it."""
    data, weight, norm = x.data, layer.weight.data, layer.normalizer
    if data.size > _SMALL or weight.size > _SMALL or not isinstance(data, np.ndarray):
        return None
    values = [weight.tobytes()]
    if layer.bias is not None:
        values.append(layer.bias.data.tobytes())
    if norm is not None:
        tensors = norm.gamma, norm.beta, norm.moving_mean, norm.moving_variance
        values += [norm.epsilon, *(t.data.tobytes() for t in tensors)]
    return data.shape, data.strides, weight.shape, geometry, settings.winograd, values
