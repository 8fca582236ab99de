"""Of many boxes on one object the best: non-maximum suppression, hard and soft."""

from __future__ import annotations

import math
import operator
from typing import Any, Literal

import numpy as np

from minicnn.autograd import Tensor, composed
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops._grids import finite
from minicnn.ops._losses import beside
from minicnn.ops.boxes import box_set, iou_matrix

__all__ = ["batched_nms", "nms", "soft_nms"]


@composed
def nms(
    boxes: Array | Tensor,
    scores: Array | Tensor,
    threshold: float = 0.5,
    score_threshold: float | None = None,
    limit: int | None = None,
) -> Tensor:
    """Choose the best boxes and drop those that overlap a better one: non-maximum suppression.

    The box with the highest score stays, and all whose intersection over union with it is more
    than `threshold` go; then the best of the rest stays, and so on:
    ``j stays <=> IoU(i, j) <= threshold for each better i that stays``.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels, half-open; finite.
    scores : Tensor or ndarray, shape (R,)
        How good each is; infinities are allowed, NaN is refused.
    threshold : float, default 0.5
        The overlap that is still tolerated, from 0 to 1.
    score_threshold : float, optional
        Boxes must score more than this.
    limit : int, optional
        How many boxes stay at most.

    Returns
    -------
    Tensor of int64, shape (kept,)
        The indices of the boxes that stay, by falling score; of equal scores the lower index is
        the better one. A box of no area overlaps nothing. Overlaps are computed in float64; there
        is no gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    ConfigError
        If a score is NaN, a box is not finite, or an option is not of its form.
    """
    return _nms("nms", boxes, scores, None, threshold, score_threshold, limit)


@composed
def batched_nms(
    boxes: Array | Tensor,
    scores: Array | Tensor,
    classes: Array | Tensor,
    threshold: float = 0.5,
    score_threshold: float | None = None,
    limit: int | None = None,
) -> Tensor:
    """Suppress overlapping boxes of each class by itself: `nms` where classes do not compete.

    ``j stays <=> IoU(i, j) <= threshold for each better i of its class that stays``.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels, half-open; finite.
    scores : Tensor or ndarray, shape (R,)
        How good each is; infinities are allowed, NaN is refused.
    classes : Tensor or ndarray of int, shape (R,)
        Only boxes of the same class suppress one another. To keep images apart too, number
        ``image * K + class``.
    threshold : float, default 0.5
        The overlap that is still tolerated, from 0 to 1.
    score_threshold : float, optional
        Boxes must score more than this.
    limit : int, optional
        How many boxes stay at most, of all classes together.

    Returns
    -------
    Tensor of int64, shape (kept,)
        The indices of the boxes that stay, by falling score; of equal scores the lower index is
        the better one. There is no gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the classes are not whole numbers.
    ConfigError
        If a score is NaN, a box is not finite, or an option is not of its form.
    """
    return _nms("batched_nms", boxes, scores, classes, threshold, score_threshold, limit)


@composed
def soft_nms(
    boxes: Array | Tensor,
    scores: Array | Tensor,
    classes: Array | Tensor | None = None,
    method: Literal["gaussian", "linear"] = "gaussian",
    sigma: float = 0.5,
    threshold: float = 0.3,
    score_threshold: float = 0.001,
) -> tuple[Tensor, Tensor]:
    """Lower the scores of boxes that overlap a better one, rather than drop them.

    The best box stays, and every other one's score is multiplied by a factor that falls with its
    overlap u with that box; then the best of the rest stays, and so on. The factor is
    ``exp(-u*u / sigma)`` for "gaussian"; for "linear" ``1 - u`` where ``u > threshold``, else 1.
    Two objects side by side are both found where `nms` would take them for one.

    Parameters
    ----------
    boxes : Tensor or ndarray, shape (R, 4)
        (y0, x0, y1, x1) in pixels, half-open; finite.
    scores : Tensor or ndarray, shape (R,)
        How good each is, from 0 up.
    classes : Tensor or ndarray of int, shape (R,), optional
        Only boxes of the same class lower one another's scores.
    method : {"gaussian", "linear"}
        How the score falls.
    sigma : float, default 0.5
        Of the Gaussian, above 0.
    threshold : float, default 0.3
        The overlap from which the linear method begins, from 0 to 1.
    score_threshold : float, default 0.001
        Boxes go when their score falls to this or below.

    Returns
    -------
    kept : Tensor of int64, shape (kept,)
        The indices of the boxes that stay, by falling new score; of equal ones the lower index
        comes first.
    new_scores : Tensor of float64, shape (kept,)
        Their new scores; there is no gradient.

    Raises
    ------
    ShapeError
        If shapes do not fit.
    DTypeError
        If the classes are not whole numbers.
    ConfigError
        If a score is NaN, negative or infinite, a box is not finite, or an option is not of its
        form.

    References
    ----------
    Bodla, Singh, Chellappa and Davis, "Soft-NMS: Improving object detection with one line of
    code", ICCV 2017, section 3.
    """
    op = "soft_nms"
    b, s, groups = _scored(op, boxes, scores, classes)
    xp = array_module(b)
    if s.size and not (float(s.min()) >= 0 and float(s.max()) < math.inf):
        raise ConfigError(
            f"{op}: scores {s.shape} are to be multiplied; give finite ones from 0 up"
        )
    if method not in ("gaussian", "linear"):
        raise ConfigError(f"{op}: method {method!r} is unknown; give 'gaussian' or 'linear'")
    if not 0 < sigma < math.inf or not 0 <= threshold <= 1:
        raise ConfigError(
            f"{op}: sigma {sigma}, threshold {threshold}; give one above 0, and one from 0 to 1"
        )
    s = s.copy()
    kept, left = [], s > score_threshold
    while left.any():
        best = int(xp.where(left, s, -1.0).argmax())
        kept.append(best)
        left[best] = False
        share = iou_matrix(b[best : best + 1], b).data[0]
        if method == "gaussian":
            factor = xp.exp(-share * share / sigma)
        else:
            factor = xp.where(share > threshold, 1 - share, 1.0)
        s = xp.where(left & (groups == groups[best]), s * factor, s)
        left &= s > score_threshold
    order = xp.asarray(kept, np.int64)
    order = order[xp.lexsort(xp.stack([order, -s[order]]))] if len(kept) else order
    return Tensor(order), Tensor(s[order])


def _nms(
    op: str,
    boxes: Any,
    scores: Any,
    classes: Any,
    threshold: float,
    score_threshold: float | None,
    limit: int | None,
) -> Tensor:
    b, s, groups = _scored(op, boxes, scores, classes)
    xp = array_module(b)
    if not 0 <= threshold <= 1:
        raise ConfigError(f"{op}: threshold is an overlap from 0 to 1, got {threshold}")
    most = len(b) if limit is None else _limit(op, limit)
    # Class by class, the best first; among equals the first.
    order = xp.argsort(-s, kind="stable")
    order = order[xp.argsort(groups[order], kind="stable")]
    if score_threshold is not None:
        order = order[s[order] > score_threshold]
    kept = kernels_for(b).nms(b[order], groups[order].astype(np.int64), threshold, most)
    stay = xp.sort(order[kept])
    best_first = xp.argsort(-s[stay], kind="stable")
    return Tensor(stay[best_first][:most].astype(np.int64))


def _scored(op: str, boxes: Any, scores: Any, classes: Any) -> tuple[Array, Array, Array]:
    """Return boxes (R, 4) and scores (R,) in float64 and classes (R,), or refuse them."""
    b = finite(op, box_set(op, "boxes", boxes).data)
    xp = array_module(b)
    s = beside(op, "scores", scores, b, np.float64)
    groups = beside(op, "classes", xp.zeros(s.shape, int) if classes is None else classes, b)
    if not s.shape == groups.shape == b.shape[:1]:
        more = "" if classes is None else f", classes {groups.shape}"
        raise ShapeError(f"{op}: boxes {b.shape} need one score each, got scores {s.shape}{more}")
    if groups.size and groups.dtype.kind not in "iu":
        raise DTypeError(f"{op}: classes must be whole numbers, got {groups.dtype} {groups.shape}")
    if xp.isnan(s).any():
        at = int(xp.nonzero(xp.isnan(s))[0][0])
        raise ConfigError(f"{op}: score {at} of {s.shape} is NaN; it has no place in the order")
    return b, s, groups


def _limit(op: str, limit: Any) -> int:
    try:
        most = operator.index(limit)
    except TypeError:
        most = -1
    if most < 0:
        raise ConfigError(f"{op}: limit must be a whole number >= 0, or None, got {limit!r}")
    return most
