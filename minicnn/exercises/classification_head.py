"""Exercises of the lesson on pooling, dropout, softmax and cross-entropy."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn.exercises._exercise import exercise, predict
from minicnn.exercises._head_pooling import max_pool, max_pool_grad, pool_by_reshape

__all__ = [
    "cross_entropy",
    "cross_entropy_grad",
    "dropout",
    "max_pool",
    "max_pool_grad",
    "pool_by_reshape",
    "vgg_first_dense",
]


# ---- what a dense layer costs

vgg_first_dense = predict(
    "vgg_first_dense",
    "VGG's last map has 7 x 7 places and 512 channels. It is flattened and connected to 4096 "
    "neurons, each with a bias. How many numbers does that one layer learn?",
    (7 * 7 * 512 + 1) * 4096,
    mistakes={
        "that is without the bias of each neuron": 7 * 7 * 512 * 4096,
        "one bias for the whole layer is too few: each neuron has its own": 7 * 7 * 512 * 4096 + 1,
        "that is after global pooling; here all 7 x 7 places are inputs of their own": (512 + 1)
        * 4096,
        "7 x 7 places are 49, not 7": (7 * 512 + 1) * 4096,
        "that is a 7 x 7 convolution of one channel; all 512 channels come in": (7 * 7 + 1) * 4096,
        "those are the inputs alone; each neuron has a weight for every one of them": 7 * 7 * 512,
        "each neuron has one bias, not one for every input": 7 * 7 * (512 + 1) * 4096,
    },
)


# ---- dropout


def _dropout_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for shape, keep in (
        ((4, 6), 0.75),
        ((3, 5, 2), 0.5),
        ((2, 3, 4, 3), 0.9),
        ((7, 3), 0.2),
        ((5, 8), 1.0),
    ):
        yield rng.normal(size=shape), rng.random(shape), keep


@exercise(
    cases=_dropout_cases,
    without=("dropout", "Dropout"),
    mistakes={
        "what is kept is not scaled: the layer behind gets too little in training, and at test "
        "time more than it has learned from": lambda x, draws, keep: x * (draws < keep),
        "the scale is upside down: what is kept must grow to make up for what is dropped": (
            lambda x, draws, keep: x * (draws < keep) * keep
        ),
        "it drops what should be kept: keep is the probability to stay": lambda x, draws, keep: (
            x * (draws >= keep) / keep
        ),
        "it divides by the probability to drop; the mean must stay what it was": (
            lambda x, draws, keep: x * (draws < keep) / max(1 - keep, 1e-300)
        ),
        "keep is taken for the probability to drop": lambda x, draws, keep: (
            x * (draws >= keep) / max(1 - keep, 1e-300)
        ),
        "nothing is dropped; that is what the layer does at test time": lambda x, draws, keep: x,
        "only the rescaling of the classic test is there; nothing is dropped": (
            lambda x, draws, keep: x * keep
        ),
    },
    symptoms={
        "do not scale by how many happened to stay, but by the probability: the mean over many "
        "draws is what must stay": lambda got, expected, x, draws, keep: np.array_equal(
            np.asarray(got) == 0, expected == 0
        ),
    },
)
def dropout(x: Any, draws: Any, keep: float) -> Any:
    """Drop numbers as in training: keep each where its draw is below `keep`, else 0.

    draws holds a number between 0 and 1 for each of x, all equally likely. Scale what is kept
    such that the mean over all possible draws is x.
    """
    return np.where(draws < keep, x / keep, 0.0)


# ---- softmax and cross-entropy, fused


def _logit_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for n, k, scale in ((5, 3, 1.0), (4, 7, 3.0), (6, 4, 1000.0), (3, 5, 40.0)):
        yield scale * rng.normal(size=(n, k)), rng.integers(0, k, n)
    apart = rng.normal(size=(4, 6))  # one row far above the others
    yield apart + np.array([[1000.0], [0.0], [-1000.0], [5.0]]), rng.integers(0, 6, 4)
    yield rng.normal(size=(3, 4)), np.array([1, -1, 2])
    yield rng.normal(size=(4, 3)), np.array([1, 0, 3, 2])


def _play_loss(answer: Any, logits: Any, labels: Any) -> Any:
    """Return the loss, or that it was refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return answer(logits, labels)
    except ValueError:
        return "a ValueError"


def _loss(logits: Any, labels: Any, mode: str, refuses: bool) -> Any:
    """Compute the loss in a wrong way: see the hints."""
    if refuses and not ((labels >= 0) & (labels < logits.shape[1])).all():
        raise ValueError("no class")
    rows = np.arange(len(labels))
    if mode == "whole max":
        logits = logits - logits.max()
    elif mode != "naive":
        logits = logits - logits.max(axis=1, keepdims=True)
    exps = np.exp(logits)
    if mode in ("naive", "logs of p"):
        losses = -np.log(exps[rows, labels] / exps.sum(axis=1))
    else:
        losses = np.log(exps.sum(axis=1)) - logits[rows, labels]
    return losses.sum() if mode == "sum" else losses.mean()


_MINUS_ONE = (
    "a label of -1 is no class, but NumPy takes the last one without a word: raise a ValueError"
)


def _losses_gone_wrong() -> dict[str, Any]:
    """Return mistakes by hint: each alone, and together with a label of -1 that is let through."""
    hints = {
        "": "",
        "sum": "give the mean over the examples, not the sum",
        "naive": "it overflows: exp(1000) is infinite. Subtract something from all scores of a row "
        "first; softmax does not change",
        "whole max": "one maximum for the whole batch is too large for other rows: all their exp "
        "round to 0; subtract each row's own",
        "logs of p": "a probability was rounded to 0, and log(0) is infinite; write the loss as "
        "log sum exp minus a score, so that no probability is needed",
    }
    return {
        "; and ".join(filter(None, (hint, "" if refuses else _MINUS_ONE))): functools.partial(
            _loss, mode=mode, refuses=refuses
        )
        for mode, hint in hints.items()
        for refuses in (True, False)
        if hint or not refuses
    }


def _is_number(thing: Any) -> bool:
    """Tell whether a loss came out, where labels may have been refused."""
    return not isinstance(thing, str)


@exercise(
    cases=_logit_cases,
    play=_play_loss,
    without=("sparse_softmax_cross_entropy", "softmax_cross_entropy", "log_softmax", "nll_loss"),
    mistakes=_losses_gone_wrong(),
    symptoms={
        "a label of -1 is no class; raise a ValueError for every label outside 0 ... K - 1": (
            lambda got, expected, *_: expected == "a ValueError"
        ),
        "scores of 1000 make it infinite or NaN: subtract each row's own maximum before exp, and "
        "write the loss as log sum exp minus a score, so that no probability rounds to 0": (
            lambda got, expected, *_: (
                expected == "a ValueError" or (_is_number(got) and not np.isfinite(got))
            )
        ),
        "clipping hides the overflow: losses above the clip are cut off, and their gradient is "
        "gone; write the loss as log sum exp minus a score": lambda got, expected, *_: (
            expected == "a ValueError"
            or (_is_number(got) and bool(np.isfinite(got)) and float(got) < expected)
        ),
        "logits[:, labels] pairs every example with every label; each row has one label": (
            lambda got, expected, logits, labels: (
                expected == "a ValueError"
                or np.allclose(
                    got,
                    np.mean(np.logaddexp.reduce(logits, axis=1)) - logits[:, labels].mean(),
                )
            )
        ),
        "the sign is wrong: the log of a probability is below 0, a loss above": (
            lambda got, expected, *_: (
                expected == "a ValueError" or (_is_number(got) and np.allclose(-got, expected))
            )
        ),
        "give one number, the mean over the examples": lambda got, expected, *_: (
            _is_number(got) and np.ndim(got) > 0
        ),
        "a ValueError is for labels that are no class; here all are": lambda got, expected, *_: (
            not _is_number(got)
        ),
    },
)
def cross_entropy(logits: Any, labels: Any) -> Any:
    """Compute the mean cross-entropy of scores (N, K) with the right classes (N,).

    It must be right for scores of 1000 as well, in any row, and raise a ValueError for a label
    outside 0 ... K - 1.
    """
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels must be in 0 ... {logits.shape[1] - 1}, got {labels}")
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return (log_sums - shifted[np.arange(len(labels)), labels]).mean()


def _usual_logits(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for n, k, scale in ((5, 3, 1.0), (1, 7, 2.0), (6, 4, 1.5), (3, 5, 0.5), (2, 6, 1000.0)):
        yield scale * rng.normal(size=(n, k)), rng.integers(0, k, n)
    apart = rng.normal(size=(3, 4)) + np.array([[900.0], [0.0], [-900.0]])
    yield apart, rng.integers(0, 4, 3)


def _softmax(logits: Any) -> np.ndarray:
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def _one_hot(logits: Any, labels: Any) -> np.ndarray:
    return (labels[:, None] == np.arange(logits.shape[1])).astype(np.float64)


@exercise(
    cases=_usual_logits,
    without=("sparse_softmax_cross_entropy", "backward", "grad", "softmax_cross_entropy"),
    mistakes={
        "the loss is a mean over N examples; so is its gradient": lambda logits, labels: (
            _softmax(logits) - _one_hot(logits, labels)
        ),
        "uphill: the loss must fall when the score of the right class rises": (
            lambda logits, labels: (_one_hot(logits, labels) - _softmax(logits)) / len(labels)
        ),
        "only log sum exp is differentiated; the score of the right class stands in the loss "
        "as well": lambda logits, labels: _softmax(logits) / len(labels),
        "divide by the number of examples, not of scores": lambda logits, labels: (
            (_softmax(logits) - _one_hot(logits, labels)) / logits.size
        ),
        "only the right class's score has a gradient there; the others must fall as well": (
            lambda logits, labels: _one_hot(logits, labels) * (_softmax(logits) - 1) / len(labels)
        ),
        "that treats each class on its own, p (1 - p) and so on; derive log sum exp minus the "
        "score of the label": lambda logits, labels: (
            (_softmax(logits) - _one_hot(logits, labels))
            * _softmax(logits)
            * (1 - _softmax(logits))
            / len(labels)
        ),
        "the probabilities of a row must sum to 1: sum over the classes, axis 1": (
            lambda logits, labels: (_softmax(logits.T).T - _one_hot(logits, labels)) / len(labels)
        ),
    },
    symptoms={
        "it overflows with scores of 1000: subtract each row's maximum first": (
            lambda got, expected, logits, labels: np.abs(logits).max() > 100
        ),
        "p[:, labels] -= 1 takes from whole columns; each row has one label of its own": (
            lambda got, expected, logits, labels: (
                np.shape(got) == np.shape(expected)
                and np.allclose(
                    np.asarray(got),
                    (_softmax(logits) - np.isin(np.arange(logits.shape[1]), labels)) / len(labels),
                )
            )
        ),
    },
)
def cross_entropy_grad(logits: Any, labels: Any) -> Any:
    """Compute dL/dlogits (N, K) of the mean cross-entropy.

    As before, it must be right for scores of 1000, too.
    """
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    grad = exps / exps.sum(axis=1, keepdims=True)
    grad[np.arange(len(labels)), labels] -= 1.0
    return grad / len(labels)
