"""Losses that measure how far predicted regions cover the true ones: of masks, of boxes."""

from __future__ import annotations

import math
from typing import Literal

from minicnn.autograd import Lifted, Tensor, composed, differentiable, stack
from minicnn.backend import Array, array_module
from minicnn.errors import ConfigError, ShapeError
from minicnn.ops._losses import (
    Reduction,
    check_reduction,
    counted,
    element_weights,
    floats,
    like,
    per_class,
    reduced,
    wide,
)
from minicnn.ops.boxes import box_set, enclosing_sides, overlap, ratio, sides

__all__ = ["dice_loss", "iou_loss"]


@composed
def dice_loss(
    probabilities: Tensor,
    targets: Array | Tensor,
    squared: bool = False,
    over_batch: bool = False,
    epsilon: float = 1.0,
    class_weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure how badly soft masks p cover the true ones t: ``1 - 2 |p t| / (|p| + |t|)``.

    With sums over the pixels of each example and class, and `epsilon` e:
    ``1 - (2 sum p t + e) / (sum p + sum t + e)``. Unlike a cross-entropy it does not depend on
    how much of the image is background.

    Parameters
    ----------
    probabilities : Tensor, shape (N, K, ...)
        For each pixel the probability of each class (or of several masks).
    targets : Tensor or ndarray, shape (N, K, ...)
        The true masks, 0 or 1, or soft ones; gradients flow to them too.
    squared : bool, default False
        Whether p and t are squared in the divisor, as V-Net has it.
    over_batch : bool, default False
        Whether the sums run over all examples too, for classes that few of them show.
    epsilon : float, default 1
        In pixels, greater than 0. Where mask and prediction are both empty it makes the loss 0,
        and it says how much a few wrong pixels matter where the mask is empty.
    class_weights : Tensor or ndarray, shape (K,), optional
        How much each class counts; 0 leaves it out, such as the background.
    reduction : {"mean", "sum", "none"}
        The mean over examples and classes is weighted: divided by the sum of the weights; it is 0
        where nothing counts.

    Returns
    -------
    Tensor
        A scalar; for "none" shape (N, K), or (K,) with `over_batch`.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the probabilities are not floats.
    ConfigError
        If `epsilon` is not greater than 0, a weight is negative or the reduction is unknown.

    References
    ----------
    Milletari, Navab and Ahmadi, "V-Net", 3DV 2016, section 3 (`squared`).
    """
    op = "dice_loss"
    probabilities = floats(op, "probabilities", probabilities)
    check_reduction(op, reduction)
    if not 0 < epsilon < math.inf:
        raise ConfigError(f"{op}: epsilon must be greater than 0 and finite, got {epsilon}")
    if probabilities.ndim < 2:
        raise ShapeError(
            f"{op}: probabilities need classes on axis 1, (N, K, ...), got {probabilities.shape}"
        )
    p = wide(probabilities)
    t = like(op, p, targets, "probabilities and targets", "make masks of labels with one_hot")
    axes = (*((0,) if over_batch else ()), *range(2, p.ndim))
    w = None
    if class_weights is not None:
        xp = array_module(p.data)
        by_class = per_class(op, "probabilities", class_weights, p)
        w = xp.broadcast_to(by_class, p.shape[1:2] if over_batch else p.shape[:2])
        p = counted(by_class.reshape(-1, *(1,) * (p.ndim - 2)), p)
    sizes = p * p + t * t if squared else p + t
    covered = (2.0 * (p * t).sum(axis=axes) + epsilon) / (sizes.sum(axis=axes) + epsilon)
    losses = 1.0 - covered
    losses = losses if w is None else losses * Tensor(w)
    return reduced(losses, reduction, probabilities.dtype, w)


@composed
def iou_loss(
    boxes_a: Tensor,
    boxes_b: Array | Tensor,
    kind: Literal["iou", "giou", "diou", "ciou"] = "iou",
    weights: Array | Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """Measure how badly boxes cover their targets: 1 - intersection over union, and its kin.

    "iou" is ``1 - IoU``. Boxes that do not meet get no gradient from it, so the others add what
    pulls them together, with the smallest box E around both:

    - "giou": ``+ (|E| - |union|) / |E|``;
    - "diou": ``+ (distance of the centres)**2 / (diagonal of E)**2``;
    - "ciou": diou ``+ v**2 / (1 - IoU + v)``, ``v = 4/pi**2 (atan(w_a/h_a) - atan(w_b/h_b))**2``.

    Parameters
    ----------
    boxes_a : Tensor, shape (R, 4)
        Predictions (y0, x0, y1, x1) in pixels, half-open.
    boxes_b : Tensor or ndarray, shape (R, 4)
        The target of each; gradients flow to them too.
    kind : {"iou", "giou", "diou", "ciou"}
        Which loss.
    weights : Tensor or ndarray, optional
        How much each pair counts, at least 0; a shape that broadcasts to (R,).
    reduction : {"mean", "sum", "none"}
        The mean is weighted: divided by the sum of the weights, or by R without them; it is 0
        where nothing counts, such as an image without boxes.

    Returns
    -------
    Tensor
        A scalar; for "none" shape (R,). Values and gradients are finite for boxes of no area
        too, whose IoU is 0. The gradient of "ciou" is that of the whole formula; its paper holds
        ``v / (1 - IoU + v)`` constant instead.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the boxes are not floats.
    ConfigError
        If a weight is negative, or an option is not of its form.

    References
    ----------
    Rezatofighi et al., "Generalized intersection over union", CVPR 2019, algorithm 1.
    Zheng et al., "Distance-IoU loss", AAAI 2020, equations 6 to 11.
    """
    op = "iou_loss"
    if kind not in ("iou", "giou", "diou", "ciou"):
        raise ConfigError(f"{op}: kind must be 'iou', 'giou', 'diou' or 'ciou', got {kind!r}")
    check_reduction(op, reduction)
    given = floats(op, "boxes_a", box_set(op, "boxes_a", boxes_a))
    a = wide(given)
    b = like(op, a, boxes_b, "boxes_a and boxes_b", "each box has its own target")
    w = element_weights(op, "weights", weights, a[:, 0])
    if w is not None:
        a = counted(w[:, None], a)
    losses = _box_losses(a, b, kind)
    return reduced(losses if w is None else losses * Tensor(w), reduction, given.dtype, w)


def _box_losses(a: Tensor, b: Tensor, kind: str) -> Tensor:
    shared, union = overlap(a, b)
    losses = 1.0 - ratio(shared, union)
    if kind == "iou":
        return losses
    (begin_a, end_a), (begin_b, end_b) = ((t[:, :2], t[:, 2:]) for t in (a, b))
    around = enclosing_sides(a, b)  # of E, (R, 2)
    if kind == "giou":
        whole = around[:, 0] * around[:, 1]
        return losses + ratio(whole - union, whole)
    apart = 0.5 * (begin_a + end_a - begin_b - end_b)
    away = ratio((apart * apart).sum(axis=1), (around * around).sum(axis=1))
    if kind == "diou":
        return losses + away
    turn = _angle(sides(begin_a, end_a)) - _angle(sides(begin_b, end_b))
    v = (4 / math.pi**2) * turn * turn
    return losses + away + ratio(v * v, losses + v)


# The angle of a box's diagonal, atan(w / h), for any h and w; that of a point is 0.
#     d/dh = -w / (h**2 + w**2),   d/dw = h / (h**2 + w**2)
@differentiable
def _angle(lengths: Tensor) -> Lifted:
    """Return the angles (R,) of heights and widths (R, 2)."""

    def grad_lengths(grad_y: Tensor) -> Tensor:
        across = stack([-lengths[:, 1], lengths[:, 0]], axis=1)
        square = (lengths * lengths).sum(axis=1, keepdims=True)
        return grad_y.expand_dims(1) * ratio(across, square)

    h, w = lengths.data[:, 0], lengths.data[:, 1]
    return array_module(h).arctan2(w, h), (grad_lengths,)
