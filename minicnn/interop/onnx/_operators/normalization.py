"""Normalisation, and dropout."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, Call, Ints, Number, Table


def batch_norm_1(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Array,
    var: Array,
    *,
    epsilon: float = 1e-5,
    is_test: bool = False,
    momentum: float = 0.9,
    spatial: Literal[1] = 1,
    call: Call,
) -> Any:
    """Normalise batches in opsets 1 to 13, where several outputs ask for the batch's statistics."""
    training = not is_test and (call.wants(1) or call.wants(2))
    return batch_norm(
        x, scale, shift, mean, var, epsilon=epsilon, momentum=momentum, training_mode=training,
        call=call,
    )  # fmt: skip


def batch_norm(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    mean: Array,
    var: Array,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: bool = False,
    call: Call,
) -> Any:
    """Normalise batches: by the statistics given, or where the file says so by the batch's own.

    The latter follow the net's ``train()`` and ``eval()``, and move the buffers in training.
    """
    scale, shift = (t if t.dtype == x.dtype else t.astype(x.dtype) for t in (scale, shift))
    flat = x.reshape((-1, 1)) if x.ndim == 1 else x
    if not (training_mode and call.training):
        y = ops.batch_norm_inference(flat, scale, shift, mean, var, epsilon)
        # Nothing has moved: what was asked for besides y is as it was.
        return y.reshape(x.shape), *(mean, var, mean, var)[: call.outputs - 1]
    y, now_mean, now_var = ops.batch_norm(flat, scale, shift, epsilon)
    moved = [
        (old * momentum + now * (1 - momentum)).astype(old.dtype)
        for old, now in ((mean, now_mean), (var, now_var))
    ]
    for i, value in enumerate(moved):
        call.store(3 + i, value)
    now = [value.astype(mean.dtype) for value in (now_mean, now_var)]
    return y.reshape(x.shape), *(*moved, *now)[: call.outputs - 1]


def instance_norm(x: Tensor, scale: Tensor, shift: Tensor, *, epsilon: float = 1e-5) -> Any:
    """Normalise each channel of each image."""
    return ops.instance_norm(x, scale, shift, epsilon)


def group_norm_18(
    x: Tensor, scale: Tensor, shift: Tensor, *, epsilon: float = 1e-5, num_groups: int
) -> Any:
    """Normalise groups of channels; in opsets 18 to 20 one scale and shift for each group."""
    channels = x.shape[1] // num_groups
    gamma, beta = (
        ops.broadcast_to(t.reshape((-1, 1)), (num_groups, channels)).reshape((x.shape[1],))
        for t in (scale, shift)
    )
    return ops.group_norm(x, num_groups, gamma, beta, epsilon)


def group_norm(
    x: Tensor,
    scale: Tensor,
    shift: Tensor,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
) -> Any:
    """Normalise groups of channels."""
    return ops.group_norm(x, num_groups, scale, shift, epsilon)


def layer_norm(
    x: Tensor,
    scale: Tensor,
    shift: Tensor | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
    call: Call,
) -> Any:
    """Normalise over the last axes; on request with the means and inverse standard deviations."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    gamma, beta = (None if w is None else of_axes(x, axes, w) for w in (scale, shift))
    y = ops.layer_norm(x, gamma, beta, axes, epsilon)
    if not (call.wants(1) or call.wants(2)):
        return y
    wide = x.astype("float32") if stash_type == 1 and x.dtype != np.float32 else x
    rstd = 1.0 / ops.sqrt(ops.var(wide, axes, keepdims=True) + epsilon)
    return y, ops.mean(wide, axes, keepdims=True), rstd


def rms_norm(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Any:
    """Divide by the root of the mean square over the last axes."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    return ops.rms_norm(x, of_axes(x, axes, scale), axes, epsilon)


def of_axes(x: Tensor, axes: Ints, weight: Tensor) -> Tensor:
    """Return a weight that broadcasts to x in the shape of its normalised axes."""
    shape = x.shape[axes[0] :]
    return weight if weight.shape == shape else ops.broadcast_to(weight, shape)


def mean_variance_norm(x: Tensor, *, axes: Ints = (0, 2, 3)) -> Any:
    """Take off the mean and divide by the standard deviation over axes."""
    deviation = x - ops.mean(x, axes, keepdims=True)
    return deviation / (ops.sqrt(ops.mean(deviation * deviation, axes, keepdims=True)) + 1e-9)


def local_response_norm(
    x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Any:
    """Divide by the sum of squares over neighbouring channels."""
    all_of_them = 2 * x.shape[1] + 1 if x.ndim > 1 else size
    if size > all_of_them:  # a file may ask for 2**62 turns
        size, alpha = all_of_them, alpha * all_of_them / size
    return ops.local_response_norm(x, size, alpha, beta, bias)


def lp_norm(x: Tensor, *, axis: int = -1, p: Literal[1, 2] = 2) -> Any:
    """Divide by the norm along an axis; zeros stay zeros."""
    length = ops.norm(x, p, axis, keepdims=True)
    return ops.where(length.data == 0, 0.0, x / ops.where(length.data == 0, 1.0, length))


def dropout_1(x: Tensor, *, is_test: bool = False, ratio: float = 0.5, call: Call) -> Any:
    """Drop, in opsets 1 to 11."""
    return drop(x, ratio, call, mask_dtype=x.dtype)


def dropout(
    x: Tensor,
    ratio: Number = 0.5,
    training_mode: Number = False,
    *,
    seed: int | None = None,
    call: Call,
) -> Any:
    """Drop while the net is in training; the file's own training_mode is that of its export."""
    return drop(x, 0.5 if ratio is None else ratio, call, mask_dtype=np.dtype(bool))


def drop(x: Tensor, ratio: float, call: Call, mask_dtype: np.dtype) -> Any:
    """Drop in training; return also what was kept, if that is asked for."""
    xp = array_module(x.data)
    if not call.training or ratio == 0:
        return x, xp.ones(x.shape, mask_dtype)
    # The factors 0 and 1 / (1 - ratio) are what dropout makes of ones.
    factors = ops.dropout(Tensor(xp.ones(x.shape, x.dtype)), ratio, call.stream())
    return x * factors, (factors.data != 0).astype(mask_dtype)


OPERATORS: Table = {
    "BatchNormalization": {1: batch_norm_1, 14: batch_norm},
    "Dropout": {1: dropout_1, 12: dropout},
    "GroupNormalization": {18: group_norm_18, 21: group_norm},
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    "LayerNormalization": layer_norm,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance_norm,
    "RMSNormalization": rms_norm,
}
