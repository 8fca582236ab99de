"""Focal losses: cross-entropies in which what is already right hardly counts.

A detector sees some hundred thousand places without an object for a few with one; summed up,
their small losses would drown the others. The factor ``(1 - p)**gamma`` of the right answer's
probability p turns them down.

References
----------
Lin et al., "Focal loss for dense object detection", ICCV 2017, equations 4 and 5.
"""

from __future__ import annotations

import math

from minicnn.autograd import (
    Lifted,
    Tensor,
    clip,
    composed,
    differentiable,
    exp,
    logsumexp,
    where,
)
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError
from minicnn.ops._losses import (
    Reduction,
    check_range,
    check_reduction,
    class_labels,
    floats,
    label_weights,
    like,
    logistic,
    of_elements,
    one_hot_mask,
    product,
    reduced,
    softplus,
    wide,
    without_ignored,
)

__all__ = ["sigmoid_focal_loss", "softmax_focal_loss"]

_FAR = 1e4  # from here on all slopes are 0 or 1 to the last digit; keeps out 0 * inf


@composed
def sigmoid_focal_loss(
    logits: Tensor,
    targets: Array | Tensor,
    gamma: float = 2.0,
    alpha: float | None = 0.25,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare scores with yes or no, those that are hard to tell above all.

    With ``p = sigmoid(x)`` the loss is ``-t alpha (1-p)**gamma log p`` for the yes and
    ``-(1-t) (1-alpha) p**gamma log(1-p)`` for the no. gamma 0 and alpha None make it
    `sigmoid_cross_entropy`.

    Parameters
    ----------
    logits : Tensor
        Scores, of any shape; one for each class and place, each judged by itself.
    targets : Tensor or ndarray
        Of the same shape, from 0 to 1; gradients flow to them too. A target between 0 and 1
        mixes both terms.
    gamma : float, default 2
        How much the easy ones are turned down, at least 0.
    alpha : float or None, default 0.25
        The weight of a yes, from 0 to 1; that of a no is ``1 - alpha``. None: both 1.
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the logits'.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of `weights`, or by the number of elements
        without them; it is 0 where nothing counts. (The paper divides the sum by the number of
        places with an object instead.)

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
    op = "sigmoid_focal_loss"
    logits = floats(op, "logits", logits)
    _check_gamma(op, gamma)
    if alpha is not None and not 0 <= alpha <= 1:
        raise ConfigError(f"{op}: alpha must be from 0 to 1, or None, got {alpha}")
    x = wide(logits)
    yes = like(op, x, targets, "logits and targets")
    check_range(op, "targets", yes, 0, 1)
    no = 1.0 - yes
    if alpha is not None:
        yes, no = yes * alpha, no * (1.0 - alpha)

    def loss(x: Tensor) -> Tensor:
        return product(yes, _focal(x, gamma)) + product(no, _focal(-x, gamma))

    return of_elements(op, x, weights, reduction, logits.dtype, loss)


@composed
def softmax_focal_loss(
    logits: Tensor,
    labels: Array | Tensor,
    gamma: float = 2.0,
    ignore_label: int | None = None,
    class_weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Compare scores with the right class, the examples that are hard to tell above all.

    ``-(1-p)**gamma log p``, where p is the softmax of the right class. gamma 0 makes it
    `sparse_softmax_cross_entropy`.

    Parameters
    ----------
    logits : Tensor, shape (N, K, ...)
        Scores of K classes, for each example or each pixel.
    labels : Tensor or ndarray of int, shape (N, ...)
        The right classes, 0 to K - 1.
    gamma : float, default 2
        How much the easy ones are turned down, at least 0.
    ignore_label : int, optional
        Labels of this value count for nothing.
    class_weights : Tensor or ndarray, shape (K,), optional
        How much an example of each class counts (the paper's alpha).
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
    op = "softmax_focal_loss"
    logits, wanted, counts = class_labels(op, "logits", logits, labels, ignore_label)
    _check_gamma(op, gamma)
    check_reduction(op, reduction)
    x = wide(logits)
    weights = label_weights(op, "logits", class_weights, x, wanted, counts)
    right = one_hot_mask(wanted, counts, x.shape[1])
    # The odds are what counts: p = e**x_r / sum_j e**x_j = sigmoid(x_r - log sum_{j != r} e**x_j).
    # So neither p nor 1 - p is ever rounded to 0 or 1.
    x = without_ignored(x, counts)
    odds = where(right, x, 0.0).sum(axis=1) - logsumexp(where(right, -math.inf, x), axis=1)
    return reduced(_focal(odds, gamma) * Tensor(weights), reduction, logits.dtype, weights)


# With s(x) = softplus(x): 1 - p = e**-s(x) and -log p = s(-x). Written so, the loss and its slope
#     -(1-p)**gamma log p = e**(-gamma s(x)) s(-x)
#     d/dx = -e**(-gamma s(x)) (gamma p s(-x) + 1 - p)
# are exact for x of any size; powers of a difference that is rounded to 0 would not be.
@differentiable
def _focal(x: Tensor, gamma: float) -> Lifted:
    xp = array_module(x.data)
    y = softplus(-x.detach()).data
    if gamma:
        y = y * xp.exp(softplus(x.detach()).data * -gamma)

    def grad_x(grad_y: Tensor) -> Tensor:
        near = clip(x, -_FAR, _FAR)
        easy = exp(softplus(near) * -gamma)
        return grad_y * -(easy * (gamma * logistic(near) * softplus(-near) + logistic(-near)))

    return y, (grad_x,)


def _check_gamma(op: str, gamma: float) -> None:
    if not 0 <= gamma < math.inf:
        raise ConfigError(f"{op}: gamma must be at least 0 and finite, got {gamma}")
