"""Losses."""

from __future__ import annotations

from typing import Any, Literal

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.interop.onnx._operator import Array, Call, Table


def negative_log_likelihood(
    x: Tensor,
    labels: Array,
    weights: Array = None,
    *,
    ignore_index: int | None = None,
    reduction: Literal["none", "sum", "mean"] = "mean",
) -> Any:
    """Return minus the logarithm of the right class's probability."""
    return ops.nll_loss(x, labels, ignore_index, weights, reduction)


def softmax_cross_entropy(
    scores: Tensor,
    labels: Array,
    weights: Array = None,
    *,
    ignore_index: int | None = None,
    reduction: Literal["none", "sum", "mean"] = "mean",
    call: Call,
) -> Any:
    """Compare scores with labels; on request with the logarithms of the probabilities."""
    logarithms = ops.log_softmax(scores, 1)
    loss = ops.nll_loss(logarithms, labels, ignore_index, weights, reduction)
    return (loss, logarithms) if call.wants(1) else loss


OPERATORS: Table = {
    "NegativeLogLikelihoodLoss": negative_log_likelihood,
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
}
