"""Losses: how wrong a prediction is, as one number to be made small."""

from __future__ import annotations

from typing import Literal

from minicnn.autograd import Tensor, where
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops.activation import log_softmax

__all__ = ["Reduction", "sparse_softmax_cross_entropy"]

Reduction = Literal["mean", "sum", "none"]


def sparse_softmax_cross_entropy(
    logits: Tensor,
    labels: Array | Tensor,
    ignore_label: int | None = None,
    class_weights: Array | Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare scores with the right class: ``-log softmax(logits)[label]``.

    Softmax and logarithm are fused: ``log sum_j e**x_j - x_label``, which neither overflows nor
    takes the logarithm of a probability that was rounded to 0; the gradient is
    ``softmax(logits) - onehot(label)``.

    Parameters
    ----------
    logits : Tensor, shape (N, K, ...)
        Scores of K classes, for each example or each pixel.
    labels : Tensor or ndarray of int, shape (N, ...)
        The right classes, 0 to K - 1.
    ignore_label : int, optional
        Labels of this value count for nothing.
    class_weights : Tensor or ndarray, shape (K,), optional
        How much an example of each class counts.
    label_smoothing : float, default 0
        The share of the target given to all classes evenly, at least 0 and less than 1.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the counted labels' class weights; it is 0
        where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the labels' shape, with 0 where ignored.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the labels are not whole numbers.
    ConfigError
        If a label is outside 0 ... K - 1, or an option is not of its form.

    References
    ----------
    Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, section 7 (smoothing).
    """
    op = "sparse_softmax_cross_entropy"
    logits = logits if isinstance(logits, Tensor) else Tensor(logits)
    xp = array_module(logits.data)
    wanted = xp.asarray(labels.data if isinstance(labels, Tensor) else labels)
    _check(op, logits, wanted, label_smoothing, reduction)
    classes = logits.shape[1]
    counts = xp.ones(wanted.shape, bool) if ignore_label is None else wanted != ignore_label
    wrong = counts & ((wanted < 0) | (wanted >= classes))
    if wrong.any():
        at = tuple(int(i[0]) for i in xp.nonzero(wrong))
        raise ConfigError(
            f"{op}: label {int(wanted[at])} at {at} is outside 0 ... {classes - 1} (logits "
            f"{logits.shape}); mend the labels, or pass ignore_label={int(wanted[at])}"
        )
    labels_in = xp.where(counts, wanted, 0)
    weights = counts.astype(logits.dtype)
    target = xp.zeros(logits.shape, logits.dtype)
    xp.put_along_axis(target, labels_in[:, None], 1.0 - label_smoothing, axis=1)
    target += label_smoothing / classes
    if class_weights is not None:
        by_class = _class_weights(op, class_weights, logits)
        weights *= by_class[labels_in]
    target *= weights[:, None]
    if ignore_label is not None:  # what is ignored may be NaN; it must not reach the gradient
        logits = where(counts[:, None], logits, 0.0)
    # Chosen, not only multiplied: a class that does not count may have a score of -inf.
    counted = where(target > 0, log_softmax(logits, axis=1), 0.0)
    losses = -(counted * Tensor(target)).sum(axis=1)
    if reduction == "none":
        return losses
    narrow = losses.dtype == "float16"  # whose sums overflow at 65504
    total = (losses.astype("float32") if narrow else losses).sum()
    if reduction == "sum":
        return total.astype(losses.dtype) if narrow else total
    share = float(weights.sum(dtype="float64"))
    mean = total * (1.0 / share if share else 0.0)
    return mean.astype(losses.dtype) if narrow else mean


def _class_weights(op: str, class_weights: Array | Tensor, logits: Tensor) -> Array:
    data = class_weights.data if isinstance(class_weights, Tensor) else class_weights
    by_class = array_module(logits.data).asarray(data, dtype=logits.dtype)
    if by_class.shape != logits.shape[1:2]:
        raise ShapeError(
            f"{op}: class_weights has shape {by_class.shape}, logits {logits.shape} need "
            f"{logits.shape[1:2]}"
        )
    if not (by_class >= 0).all():
        raise ConfigError(f"{op}: class_weights must not be negative or NaN, got {by_class}")
    return by_class


def _check(
    op: str, logits: Tensor, labels: Array, label_smoothing: float, reduction: Reduction
) -> None:
    """Refuse arguments that do not fit one another."""
    if logits.ndim < 2 or labels.shape != (logits.shape[0], *logits.shape[2:]):
        raise ShapeError(
            f"{op}: logits {logits.shape} (N, K, ...) need labels (N, ...), got {labels.shape}"
        )
    if logits.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise DTypeError(
            f"{op}: needs float logits and whole-number labels, got {logits.dtype}, {labels.dtype}"
        )
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"{op}: label_smoothing must be in [0, 1), got {label_smoothing}")
    if reduction not in ("mean", "sum", "none"):
        raise ConfigError(f"{op}: reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
