"""What losses share: checks at the door, weights of 0, labels, and the reduction to one number."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from minicnn.autograd import Lifted, Tensor, differentiable, where
from minicnn.backend import Array, array_module
from minicnn.backend.device import device_of
from minicnn.backend.precision import is_mixed
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.kernels import capturing

Reduction = Literal["mean", "sum", "none"]


def floats(op: str, name: str, x: Any) -> Tensor:
    """Return the argument called `name` as a Tensor of floats, or refuse it.

    In mixed precision losses are computed in single precision.
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(
            f"{op}: needs float {name}, got {x.dtype} of shape {x.shape}; use .astype('float32')"
        )
    return wide(x) if is_mixed() else x


def wide(x: Tensor) -> Tensor:
    """Return float16 as float32: sums of halves overflow at 65504 and drown what is small."""
    return x.astype("float32") if x.dtype == "float16" else x


def beside(op: str, name: str, value: Any, x: Array, dtype: Any = None) -> Array:
    """Return the argument called `name` as an array on x's device.

    Lists and NumPy arrays are moved there; what is on another device already is refused.
    """
    data = value.data if isinstance(value, Tensor) else value
    placed = isinstance(value, Tensor) or hasattr(data, "__cuda_array_interface__")
    if placed and device_of(data) != device_of(x):
        raise DeviceError(
            f"{op}: got {name} {data.shape} on {device_of(data)} beside arrays on {device_of(x)}; "
            "move one with .to(...)"
        )
    return array_module(x).asarray(data, dtype=dtype)


def like(
    op: str,
    x: Tensor,
    targets: Any,
    names: str,
    hint: str = "reshape one, for losses do not broadcast",
) -> Tensor:
    """Return the targets as a Tensor of x's type and of exactly its shape, or refuse them."""
    moved = beside(op, names.rpartition(" ")[2], targets, x.data)
    t = targets if isinstance(targets, Tensor) else Tensor(moved)
    if t.shape != x.shape:
        raise ShapeError(
            f"{op}: {names} must have the same shape, got {x.shape} and {t.shape}; {hint}"
        )
    return t if t.dtype == x.dtype else t.astype(x.dtype)


def check_range(op: str, name: str, x: Tensor, low: float, high: float | None) -> None:
    """Refuse numbers outside of [low, high], and NaN."""
    inside = x.data >= low if high is None else (x.data >= low) & (x.data <= high)

    def explain() -> ConfigError:
        xp = array_module(x.data)
        at = tuple(int(i[0]) for i in xp.nonzero(xp.atleast_1d(~inside)))[: x.ndim]
        limits = f"at least {low}" if high is None else f"from {low} to {high}"
        return ConfigError(
            f"{op}: {name} must be {limits}, got {float(x.data[at])} at {at} (shape {x.shape}); "
            "mend them before the loss"
        )

    capturing.raise_if(~inside, explain)


def element_weights(op: str, name: str, weights: Any, x: Tensor) -> Array | None:
    """Return how much each element of x counts, of x's shape; None where all count alike."""
    if weights is None:
        return None
    w = beside(op, name, weights, x.data, x.dtype)
    try:
        w = array_module(w).broadcast_to(w, x.shape)
    except ValueError:
        raise ShapeError(
            f"{op}: {name} of shape {w.shape} does not broadcast to {x.shape}; axes must be equal "
            "or 1, counted from the last"
        ) from None
    if not (w >= 0).all():
        raise ConfigError(f"{op}: {name} must not be negative or NaN, the least is {w.min()}")
    return w


def counted(weights: Array | None, x: Tensor) -> Tensor:
    """Return x with 0 where the weight is 0: what counts for nothing may be NaN."""
    if weights is None or (weights != 0).all():
        return x
    return where(weights != 0, x, 0.0)


def product(share: Tensor, x: Tensor) -> Tensor:
    """Multiply, with 0 * inf = 0: what has no share in a loss adds nothing to it."""
    xp = array_module(x.data)
    nothing = (share.data == 0) & xp.isinf(x.data)
    return share * (where(nothing, 0.0, x) if nothing.any() else x)


@differentiable
def softplus(x: Tensor) -> Lifted:
    """Compute ``log(1 + e**x) = -log(1 - logistic(x))``; its slope is logistic(x)."""
    xp = array_module(x.data)
    y = xp.maximum(x.data, 0) + xp.log1p(xp.exp(-xp.abs(x.data)))
    return y, (lambda g: g * logistic(x),)


@differentiable
def logistic(x: Tensor) -> Lifted:
    """Compute ``p = 1 / (1 + e**-x)``, to the last digit where it is next to 0; slope p (1 - p).

    `sigmoid`, by way of tanh, rounds to a multiple of 1e-16 (1e-7 in float32): good enough for a
    probability, but not where a small 1 - p is what a loss is about.
    """
    xp = array_module(x.data)
    e = xp.exp(-xp.abs(x.data))
    y = xp.where(x.data >= 0, x.dtype.type(1), e) / (1 + e)
    return y, (lambda g: g * (logistic(x) * logistic(-x)),)


def check_reduction(op: str, reduction: str) -> None:
    """Refuse what is no reduction."""
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")


def reduced(
    losses: Tensor, reduction: Reduction, dtype: Any, weights: Array | Tensor | None = None
) -> Tensor:
    """Return losses (already weighted) as they are, summed, or divided by the sum of the weights.

    Where nothing counts (no example at all, or every weight 0), the mean is 0 and
    so are its gradients.
    """
    if reduction != "none":
        if weights is None:
            share: Any = float(losses.size)
        elif isinstance(weights, Tensor):
            share = weights.sum()
        else:
            share = float(weights.sum(dtype="float64"))
        losses = losses.sum()
        if reduction == "mean":
            losses = losses / share if float(share) else losses * 0.0
    return losses if losses.dtype == dtype else losses.astype(dtype)


def divisor(reduction: Reduction, weights: Array) -> Any:
    """Return by what the sum of losses, weighted so, is divided; None if they are not summed.

    Where nothing counts it is infinite: the mean is 0, and so are its gradients. It is a float, or
    a number that stays on the GPU.
    """
    if reduction == "none":
        return None
    if reduction == "sum":
        return 1.0
    total = weights.sum(dtype="float64")
    xp = array_module(total)
    if xp is np:
        return float(total) or math.inf
    return xp.where(total == 0, math.inf, total)  # the host need not wait


def of_elements(
    op: str,
    x: Tensor,
    weights: Any,
    reduction: Reduction,
    dtype: Any,
    loss: Callable[[Tensor], Tensor],
) -> Tensor:
    """Apply a loss to each element of x, weigh the losses and reduce them to `dtype`."""
    check_reduction(op, reduction)
    w = element_weights(op, "weights", weights, x)
    losses = loss(counted(w, x))
    return reduced(losses if w is None else losses * Tensor(w), reduction, dtype, w)


def class_labels(
    op: str, name: str, scores: Any, labels: Any, ignore_label: int | None
) -> tuple[Tensor, Array, Array]:
    """Check scores (N, K, ...) and labels (N, ...).

    Returns the scores as a Tensor; the labels, with 0 where they are ignored; and which count.
    """
    scores = scores if isinstance(scores, Tensor) else Tensor(scores)
    scores = wide(scores) if is_mixed() else scores
    xp = array_module(scores.data)
    wanted = beside(op, "labels", labels, scores.data)
    if scores.ndim < 2 or wanted.shape != (scores.shape[0], *scores.shape[2:]):
        raise ShapeError(
            f"{op}: {name} {scores.shape} (N, K, ...) need labels (N, ...), got {wanted.shape}"
        )
    if scores.dtype.kind != "f" or wanted.dtype.kind not in "iu":
        raise DTypeError(
            f"{op}: needs float {name} and whole-number labels, got {scores.dtype}, {wanted.dtype}"
        )
    classes = scores.shape[1]
    if not classes:
        raise ShapeError(
            f"{op}: {name} {scores.shape} (N, K, ...) have no classes; K must be at least 1"
        )
    counts = xp.ones(wanted.shape, bool) if ignore_label is None else wanted != ignore_label
    wrong = counts & ((wanted < 0) | (wanted >= classes))

    def explain() -> ConfigError:
        at = tuple(int(i[0]) for i in xp.nonzero(wrong))
        return ConfigError(
            f"{op}: label {int(wanted[at])} at {at} is outside 0 ... {classes - 1} ({name} "
            f"{scores.shape}); mend the labels, or pass ignore_label={int(wanted[at])}"
        )

    capturing.raise_if(wrong, explain)
    valid = counts
    if capturing.recorder() is not None:  # until someone looks, wrong ones must do no harm
        valid = counts & ~wrong
    return scores, xp.where(valid, wanted, 0), counts


def without_ignored(scores: Tensor, counts: Array) -> Tensor:
    """Return the scores with 0 where ignored: those may be NaN, and must not reach a gradient."""
    captured = capturing.recorder() is not None  # which of the two it is may change
    return scores if not captured and counts.all() else where(counts[:, None], scores, 0.0)


def one_hot_mask(labels: Array, counts: Array, classes: int) -> Array:
    """Return where (N, K, ...) the right classes are, nowhere for ignored labels (N, ...)."""
    xp = array_module(labels)
    numbers = xp.arange(classes).reshape(1, classes, *(1,) * (labels.ndim - 1))
    return (labels[:, None] == numbers) & counts[:, None]


def label_weights(
    op: str, name: str, class_weights: Any, scores: Tensor, labels: Array, counts: Array
) -> Array:
    """Return how much each label counts: its class's weight, 0 if ignored."""
    weights = counts.astype(scores.dtype)
    if class_weights is not None:
        weights *= per_class(op, name, class_weights, scores)[labels]
    return weights


def per_class(op: str, name: str, class_weights: Any, scores: Tensor) -> Array:
    """Return the weights of the classes (K,) of scores (N, K, ...), or refuse them."""
    by_class = beside(op, "class_weights", class_weights, scores.data, scores.dtype)
    if by_class.shape != scores.shape[1:2]:
        raise ShapeError(
            f"{op}: class_weights has shape {by_class.shape}, {name} {scores.shape} need "
            f"{scores.shape[1:2]}"
        )
    if not (by_class >= 0).all():
        raise ConfigError(f"{op}: class_weights must not be negative or NaN, got {by_class}")
    return by_class
