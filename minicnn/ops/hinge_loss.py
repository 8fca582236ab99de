"""Hinge losses: those of support vector machines, which ask for a margin and then are content.

The first detector with convolutional features, R-CNN, scored its regions by one such machine
for each class ("one_vs_rest").

References
----------
Crammer and Singer, "On the algorithmic implementation of multiclass kernel-based vector
machines", JMLR 2001.
Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
Girshick et al., "Rich feature hierarchies for accurate object detection and semantic
segmentation", CVPR 2014, section 2.3.
"""

from __future__ import annotations

import math
from typing import Literal

from minicnn.autograd import Tensor, composed, where
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError
from minicnn.ops._losses import (
    Reduction,
    check_reduction,
    class_labels,
    floats,
    label_weights,
    like,
    of_elements,
    one_hot_mask,
    reduced,
    wide,
    without_ignored,
)
from minicnn.ops.activation import relu

__all__ = ["binary_hinge_loss", "hinge_loss"]


@composed
def hinge_loss(
    scores: Tensor,
    labels: Array | Tensor,
    kind: Literal["crammer_singer", "weston_watkins", "one_vs_rest"] = "crammer_singer",
    margin: float = 1.0,
    squared: bool = False,
    ignore_label: int | None = None,
    class_weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Ask that the right class leads by a margin: the losses of multi-class SVMs.

    With ``h(z) = max(0, z)``, or its square, and the right class r:

    - "crammer_singer": ``h(margin + max_{k != r} s_k - s_r)``, only the best rival counts;
    - "weston_watkins": ``sum_{k != r} h(margin + s_k - s_r)``, every rival counts;
    - "one_vs_rest": ``h(margin - s_r) + sum_{k != r} h(margin + s_k)``, a machine for each class.

    Parameters
    ----------
    scores : Tensor, shape (N, K, ...)
        Scores of K classes, for each example or each pixel.
    labels : Tensor or ndarray of int, shape (N, ...)
        The right classes, 0 to K - 1.
    kind : {"crammer_singer", "weston_watkins", "one_vs_rest"}
        What the right class must lead over.
    margin : float, default 1
        By how much, greater than 0.
    squared : bool, default False
        Whether the missing margin is squared (an "L2-SVM").
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
        A scalar; for "none" of the labels' shape, with 0 where ignored. Where the margin is just
        met, the slope is 0.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the labels are not whole numbers.
    ConfigError
        If a label is outside 0 ... K - 1, or an option is not of its form.
    """
    op = "hinge_loss"
    if kind not in ("crammer_singer", "weston_watkins", "one_vs_rest"):
        raise ConfigError(
            f"{op}: kind must be 'crammer_singer', 'weston_watkins' or 'one_vs_rest', got {kind!r}"
        )
    _check_margin(op, margin)
    check_reduction(op, reduction)
    scores, wanted, counts = class_labels(op, "scores", scores, labels, ignore_label)
    x = wide(scores)
    weights = label_weights(op, "scores", class_weights, x, wanted, counts)
    right = one_hot_mask(wanted, counts, x.shape[1])
    x = without_ignored(x, counts)
    if kind == "one_vs_rest":
        losses = _hinge(margin + where(right, -x, x), squared).sum(axis=1)
    else:
        lead = where(right, x, 0.0).sum(axis=1, keepdims=True)
        rivals = where(right, -math.inf, x)
        if kind == "crammer_singer":
            rivals = rivals.max(axis=1, keepdims=True)
        losses = _hinge(margin + rivals - lead, squared).sum(axis=1)
    return reduced(losses * Tensor(weights), reduction, scores.dtype, weights)


@composed
def binary_hinge_loss(
    scores: Tensor,
    targets: Array | Tensor,
    margin: float = 1.0,
    squared: bool = False,
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Ask that a yes scores at least `margin` and a no at most ``-margin``: a binary SVM.

    ``h(margin - s)`` for a yes and ``h(margin + s)`` for a no, with ``h(z) = max(0, z)`` or its
    square.

    Parameters
    ----------
    scores : Tensor
        Of any shape.
    targets : Tensor or ndarray
        Of the same shape: 1 for yes, and for no either -1 or 0 throughout.
    margin : float, default 1
        The score that is asked for, greater than 0.
    squared : bool, default False
        Whether the missing margin is squared (an "L2-SVM").
    weights : Tensor or ndarray, optional
        How much each element counts, at least 0; a shape that broadcasts to the scores'. R-CNN
        leaves out regions that overlap an object in part: weight 0.
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by the number of elements
        without them; it is 0 where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" of the scores' shape. Where the margin is just met, the slope is 0.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the scores are not floats.
    ConfigError
        If a target is none of these, a weight is negative, or an option is not of its form.
    """
    op = "binary_hinge_loss"
    scores = floats(op, "scores", scores)
    _check_margin(op, margin)
    x = wide(scores)
    target = like(op, x, targets, "scores and targets").data
    yes = target == 1
    if not ((yes | (target == 0)).all() or (yes | (target == -1)).all()):
        found = array_module(target).unique(target)
        raise ConfigError(
            f"{op}: targets must be 1 for yes, and for no all -1 or all 0, got "
            f"{found.tolist()[:5]}; use weights=0 for what is to be left out"
        )
    return of_elements(
        op,
        x,
        weights,
        reduction,
        scores.dtype,
        lambda x: _hinge(margin + where(yes, -x, x), squared),
    )


def _hinge(z: Tensor, squared: bool) -> Tensor:
    h = relu(z)
    return h * h if squared else h


def _check_margin(op: str, margin: float) -> None:
    if not 0 < margin < math.inf:
        raise ConfigError(f"{op}: margin must be greater than 0 and finite, got {margin}")
