"""Losses that compare scores with classes: cross-entropies and their kin.

Common to all losses of minicnn: ``reduction`` is "none", "sum" or "mean". The mean is weighted,
divided by the sum of the weights of what counts, and it is 0, with gradients of 0, where nothing
counts: no examples, only ignored labels, only weights of 0. What counts for nothing may be NaN.
float16 is computed in float32.
"""

from __future__ import annotations

from typing import Any

from minicnn.autograd import Lifted, Tensor, composed, differentiable, exp, log, where
from minicnn.autograd.tensor import is_recording
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._losses import (
    Reduction,
    check_range,
    check_reduction,
    class_labels,
    divisor,
    element_weights,
    floats,
    label_weights,
    like,
    of_elements,
    one_hot_mask,
    per_class,
    product,
    reduced,
    softplus,
    wide,
    without_ignored,
)
from minicnn.ops.activation import log_softmax, softmax

__all__ = [
    "Reduction",
    "kl_divergence",
    "nll_loss",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
    "sparse_softmax_cross_entropy",
]


@composed
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
    logits, wanted, counts = class_labels(op, "logits", logits, labels, ignore_label)
    _check_smoothing(op, label_smoothing)
    check_reduction(op, reduction)
    x = wide(logits)
    weights = label_weights(op, "logits", class_weights, x, wanted, counts)
    share = divisor(reduction, weights)
    x = x if ignore_label is None else without_ignored(x, counts)
    losses = _of_labels(x, wanted, weights, float(label_smoothing), share)
    return losses if losses.dtype == logits.dtype else losses.astype(logits.dtype)


# With the target t, 1 - smoothing at the label and smoothing / K everywhere, whose sum is 1,
#     L = w (log sum_k e**x_k - sum_k t_k x_k),   dL/dx = w (softmax(x) - t);
# each loss is divided by the share that the reduction gives it, and they are summed up.
@differentiable
def _of_labels(x: Tensor, labels: Array, weights: Array, smoothing: float, share: Any) -> Lifted:
    kernels, xp = kernels_for(x.data), array_module(x.data)
    losses, log_p = kernels.softmax_cross_entropy(x.data, labels, weights, smoothing)
    y = losses if share is None else xp.asarray(losses.sum(dtype="float64") / share, x.dtype)

    def grad_x(grad_y: Tensor) -> Tensor:
        factors = weights if share is None else weights / _of_type(share, weights.dtype)
        if not is_recording():
            rows = factors * grad_y.data
            return Tensor(kernels.cross_entropy_grad(rows, log_p, labels, smoothing))
        target = one_hot_mask(labels, xp.ones(labels.shape, bool), x.shape[1])
        smooth = target * x.dtype.type(1.0 - smoothing) + x.dtype.type(smoothing / x.shape[1])
        rows = (grad_y * Tensor(factors)).reshape(len(labels), 1, *labels.shape[1:])
        return rows * (softmax(x, axis=1) - Tensor(smooth))

    return y, (grad_x,)


def _of_type(number: Any, dtype: Any) -> Any:
    """Return a float, or an array of one number, as one of another type."""
    return number.astype(dtype) if hasattr(number, "astype") else dtype.type(number)


@composed
def softmax_cross_entropy(
    logits: Tensor,
    targets: Array | Tensor,
    class_weights: Array | Tensor | None = None,
    label_smoothing: float = 0.0,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare scores with a distribution over the classes: ``-sum_k t_k log softmax(logits)_k``.

    For targets that mix classes: soft labels, mixup, a teacher's probabilities. With one-hot
    targets it is `sparse_softmax_cross_entropy`, weights and smoothing included.

    Parameters
    ----------
    logits : Tensor, shape (N, K, ...)
        Scores of K classes, for each example or each pixel.
    targets : Tensor or ndarray, shape (N, K, ...)
        The share of each class, at least 0; gradients flow to them too. They usually sum to 1;
        an example whose shares are all 0 counts for nothing.
    class_weights : Tensor or ndarray, shape (K,), optional
        How much each class's share counts.
    label_smoothing : float, default 0
        The part of an example's (weighted) shares given to all classes evenly, at least 0 and
        less than 1.
    reduction : {"mean", "sum", "none"}
        The mean is divided by the sum of all (weighted) shares: the number of examples if every
        target sums to 1; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" one loss for each example or pixel, shape (N, ...).

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the logits are not floats.
    ConfigError
        If a share is negative or NaN, or an option is not of its form.
    """
    op = "softmax_cross_entropy"
    logits = floats(op, "logits", logits)
    if logits.ndim < 2:
        raise ShapeError(f"{op}: logits need classes on axis 1, (N, K, ...), got {logits.shape}")
    _check_smoothing(op, label_smoothing)
    check_reduction(op, reduction)
    x = wide(logits)
    hint = "for class numbers there is sparse_softmax_cross_entropy"
    target = like(op, x, targets, "logits and targets", hint)
    check_range(op, "targets", target, 0, None)
    if class_weights is not None:
        by_class = per_class(op, "logits", class_weights, x)
        target = target * Tensor(by_class.reshape(-1, *(1,) * (x.ndim - 2)))
    shares = target.sum(axis=1, keepdims=True)
    if label_smoothing:
        target = target * (1.0 - label_smoothing) + shares * (label_smoothing / x.shape[1])
    losses = -product(target, log_softmax(x, axis=1)).sum(axis=1)
    return reduced(losses, reduction, logits.dtype, shares)


@composed
def nll_loss(
    log_probabilities: Tensor,
    labels: Array | Tensor,
    ignore_label: int | None = None,
    class_weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compute the negative log-likelihood of the right class.

    ``y = -log_probabilities[label]``.

    After `log_softmax` it is `sparse_softmax_cross_entropy`.

    Parameters
    ----------
    log_probabilities : Tensor, shape (N, K, ...)
        Logarithms of the probabilities of K classes, for each example or each pixel.
    labels : Tensor or ndarray of int, shape (N, ...)
        The right classes, 0 to K - 1.
    ignore_label : int, optional
        Labels of this value count for nothing.
    class_weights : Tensor or ndarray, shape (K,), optional
        How much an example of each class counts.
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
    """
    op, name = "nll_loss", "log_probabilities"
    scores, wanted, counts = class_labels(op, name, log_probabilities, labels, ignore_label)
    check_reduction(op, reduction)
    x = wide(scores)
    weights = label_weights(op, name, class_weights, x, wanted, counts)
    target = one_hot_mask(wanted, counts, x.shape[1]) * weights[:, None]
    return reduced(_cross_entropy(x, target), reduction, scores.dtype, weights)


def _cross_entropy(log_p: Tensor, target: Array) -> Tensor:
    """Sum ``-target * log_p`` over the classes (axis 1).

    Chosen, not only multiplied: a class that does not count may have a score of -inf.
    """
    return -(where(target > 0, log_p, 0.0) * Tensor(target)).sum(axis=1)


@composed
def sigmoid_cross_entropy(
    logits: Tensor,
    targets: Array | Tensor,
    weights: Array | Tensor | None = None,
    pos_weight: Array | Tensor | float | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare scores with yes or no: ``-t log p - (1 - t) log(1 - p)`` with ``p = sigmoid(x)``.

    Computed as ``t softplus(-x) + (1 - t) softplus(x)``, which is exact for scores of any size;
    the gradient is ``p - t``.

    Parameters
    ----------
    logits : Tensor
        Scores, of any shape.
    targets : Tensor or ndarray
        Of the same shape, from 0 to 1; gradients flow to them too.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the logits'.
    pos_weight : float, Tensor or ndarray, optional
        A factor of the first term: how much a yes counts more than a no. It does not count in
        the mean's divisor.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the logits' shape.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the logits are not floats.
    ConfigError
        If a target is outside 0 ... 1, a weight is negative, or an option is not of its form.
    """
    op = "sigmoid_cross_entropy"
    logits = floats(op, "logits", logits)
    x = wide(logits)
    yes = like(op, x, targets, "logits and targets")
    check_range(op, "targets", yes, 0, 1)
    no = 1.0 - yes
    if (positive := element_weights(op, "pos_weight", pos_weight, x)) is not None:
        yes = yes * Tensor(positive)

    # softplus(x) has the slope p = sigmoid(x), and softplus(-x) the slope p - 1, so
    #     dL/dx = dL/dloss * (yes (p - 1) + no p),   which is dL/dloss * (p - t) without pos_weight
    def loss(x: Tensor) -> Tensor:
        return product(yes, softplus(-x)) + product(no, softplus(x))

    return of_elements(op, x, weights, reduction, logits.dtype, loss)


@composed
def kl_divergence(
    log_p: Tensor, q: Array | Tensor, log_target: bool = False, reduction: Reduction = "mean"
) -> Tensor:
    """Measure how far a distribution p is from a target q: ``sum_k q_k (log q_k - log p_k)``.

    Parameters
    ----------
    log_p : Tensor, shape (N, K, ...)
        The logarithm of what is to be made like q, such as `log_softmax` gives.
    q : Tensor or ndarray, shape (N, K, ...)
        The target's probabilities, at least 0; gradients flow to them too. 0 log 0 is 0, and
        there its gradient, which would be infinite, is 0 as well.
    log_target : bool, default False
        Whether `q` holds logarithms of probabilities.
    reduction : {"mean", "sum", "none"}
        The mean over examples or pixels, each the divergence of its K classes (a mean over
        classes too would be no divergence); it is 0 if there are none.

    Returns
    -------
    Tensor
        A scalar; for "none" shape (N, ...).

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If `log_p` is not of floats.
    ConfigError
        If a probability of the target is negative or NaN, or the reduction is unknown.

    References
    ----------
    Kullback and Leibler, "On information and sufficiency", 1951.
    """
    op = "kl_divergence"
    scores = floats(op, "log_p", log_p)
    check_reduction(op, reduction)
    if scores.ndim < 2:
        raise ShapeError(f"{op}: log_p needs classes on axis 1, (N, K, ...), got {scores.shape}")
    x = wide(scores)
    target = like(op, x, q, "log_p and q")
    if log_target:
        possible = target.data != -array_module(x.data).inf
        log_q, target = where(possible, target, 0.0), exp(target)
    else:
        check_range(op, "q", target, 0, None)
        possible = target.data > 0
        log_q = log(where(possible, target, 1.0))
    # Where q is 0, both logarithms are replaced by 0, so that 0 * inf appears nowhere.
    losses = (target * (log_q - where(possible, x, 0.0))).sum(axis=1)
    return reduced(losses, reduction, scores.dtype)


def _check_smoothing(op: str, label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"{op}: label_smoothing must be in [0, 1), got {label_smoothing}")
