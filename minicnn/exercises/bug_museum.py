"""Exercises of lesson 10, the bug museum: find what others have shipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.exercises import _exhibits as exhibits
from minicnn.exercises import _games as games
from minicnn.exercises._exercise import exercise, predict
from minicnn.exercises._games import lets_through, says

__all__ = [
    "accuracy",
    "check_gradient",
    "check_pooling",
    "check_round_trip",
    "check_routing",
    "crops_seen",
    "cross_entropy",
    "exhibits",
    "exposing_image",
    "exposing_logits",
    "still_initial",
]

Array = np.ndarray
BY_NAME = "__name__", "__doc__", "exhibits"  # to know the broken ones by these is no check


# 1 An input on which max pooling is wrong


@exercise(
    cases=games.shapes,
    play=games.pool_it,
    mistakes={},
    symptoms={
        "the image has another shape than asked for: use the shape that is given": says("shape"),
        "infinite and NaN are no images; plain numbers will do": says("finite"),
        "no pixel is negative, so no 0 beside the image can be larger": says("negative"),
        "in every window at the edge some pixel is above 0 and wins all the same": says("edge"),
    },
)
def exposing_image(shape: tuple[int, int, int, int]) -> Array:
    """Return an image of that shape on which `padded_with_zero` (3x3, stride 2, padding 1) errs."""
    return -np.ones(shape)


# 2 A check of max pooling


@exercise(
    cases=games.pools,
    play=games.of_ops,
    mistakes={},
    without=BY_NAME,
    symptoms={
        "it objects to pooling that is right: what you expect is wrong": says("refuses"),
        "it objects to nothing: return False, or let an assert fail": lets_through(
            *games.names(exhibits.pools()[1])
        ),
        "0 beside the image never wins on your images: what if all is negative?": lets_through(
            "padded_with_zero"
        ),
        "your images are square: height and width may be mixed up": lets_through("sides_exchanged"),
        "your batch is of one image, or its images are the same": lets_through(
            "first_of_the_batch"
        ),
        "your stride is always the size of the window": lets_through("strides_by_size"),
        "your windows always fill the image exactly: leave pixels over": lets_through("rounds_up"),
    },
)
def check_pooling(max_pool: Callable[..., Array]) -> bool:
    """Tell whether ``max_pool(x, size, stride, padding)`` is right, by inputs of your choice."""
    x = -1 - np.random.default_rng(0).random((2, 3, 6, 9))
    size, stride, padding = 3, 2, 1
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    expected = np.empty((2, 3, 3, 5))
    for n, c, i, j in np.ndindex(expected.shape):
        h, w = i * stride, j * stride
        expected[n, c, i, j] = wide[n, c, h : h + size, w : w + size].max()
    return np.array_equal(max_pool(x, size, stride, padding), expected)


# 3 A gradient check


@exercise(
    cases=games.gradients,
    play=games.of_gradients,
    mistakes={},
    without=("check_gradients", *BY_NAME),
    symptoms={
        "it objects to nothing: is a thing compared with itself?": lets_through(
            *games.names(back for _, back in exhibits.gradients()[1])
        ),
        "it objects to a gradient that is right and large: allow a share, not an amount": (
            lambda got, *_: got.startswith("refuses steep_back") and "cube" not in got
        ),
        "it objects to gradients that are right: the differences are too coarse, or drown in "
        "rounding; take central ones, with steps near 1e-6": says("refuses"),
        "what it allows is an amount: a small gradient may be wrong by all of it": lets_through(
            "faint_back_twice"
        ),
        "a thousandth too much passes: allow less": lets_through("cube_back_permille"),
        "with a grad_y of ones a softmax hides: its sum never changes": lets_through(
            "softmax_back_zero"
        ),
        "it always sends ones back, so who ignores grad_y is not found": lets_through(
            "cube_back_deaf"
        ),
        "only some of the numbers are looked at": lets_through("cube_back_first"),
        "moved in one direction, all numbers alike, their order does not matter": lets_through(
            "cube_back_turned"
        ),
    },
)
def check_gradient(
    f: Callable[[Array], Array], pull_back: Callable[[Array, Array], Array], x: Array
) -> bool:
    """Tell whether ``pull_back(x, grad_y)`` is right for the function f, near x (N, K)."""
    rng = np.random.default_rng(0)
    u, v = rng.normal(size=f(x).shape), rng.normal(size=x.shape)
    step = 1e-6
    by_differences = (u * (f(x + step * v) - f(x - step * v))).sum() / (2 * step)
    parts = pull_back(x, u) * v
    return bool(abs(parts.sum() - by_differences) < 1e-6 * np.abs(parts).sum())


# 4 A check of the gradient of max pooling, by properties


@exercise(
    cases=games.routes,
    play=games.of_ops,
    mistakes={},
    without=BY_NAME,
    symptoms={
        "it objects to nothing: return False, or let an assert fail": lets_through(
            *games.names(exhibits.routes()[1])
        ),
        "of equal pixels any may have the gradient, or each a part: more than one answer is "
        "right": lambda got, *_: (
            1 <= sum(name in got for name in games.names(exhibits.routes()[0])) < 3
        ),
        "it objects to what is right: what a window passes on must add up to its grad_y": says(
            "refuses"
        ),
        "no two pixels of a window are equal and largest in your images": lets_through(
            "each_tie_gets_all"
        ),
        "no pixel wins two windows in your images: let them overlap": lets_through(
            "last_window_overwrites"
        ),
        "sums alone do not tell where the gradient went": lets_through("corner_gets_all"),
        "your grad_y is all ones: who ignores it is not found": lets_through("counts_windows"),
    },
)
def check_routing(pull_back: Callable[..., Array]) -> bool:
    """Tell whether ``pull_back(x, grad_y, size, stride)`` is a gradient of max pooling."""
    rng = np.random.default_rng(0)
    size, stride = 3, 2
    x = rng.integers(0, 4, (2, 3, 7, 9)).astype(float)
    grad_y = rng.normal(size=(2, 3, 3, 4))
    grad_x = pull_back(x, grad_y, size, stride)
    won = np.zeros(x.shape, bool)
    for n, c, i, j in np.ndindex(grad_y.shape):
        at = np.s_[n, c, i * stride : i * stride + size, j * stride : j * stride + size]
        won[at] |= x[at] == x[at].max()
    return bool(np.isclose(grad_x.sum(), grad_y.sum()) and not grad_x[~won].any())


# 5 An input on which three softmaxes are wrong


@exercise(
    cases=games.classes,
    play=games.soften,
    mistakes={},
    symptoms={
        "give rows of logits: an array of shape (rows, classes)": says("shape"),
        "with infinite logits the right softmax fails, too": says("finite"),
        "the plain formula is right there: let exp overflow, or all of a row vanish": (
            lets_through("naive")
        ),
        "a batch of one row is its own largest: what of a row far below the others?": lets_through(
            "less_the_max_of_all"
        ),
        "large logits are no trouble for who subtracts them: what if a row has none above 0?": (
            lets_through("less_the_larger_of_0_and_max")
        ),
    },
)
def exposing_logits(classes: int) -> Array:
    """Return logits (rows, classes), finite, on which all three softmaxes are wrong."""
    return np.stack([np.zeros(classes), np.full(classes, -1000.0)])


# 6 Repair: a cross-entropy that takes any label


@exercise(
    cases=games.labelled,
    play=games.lose,
    mistakes={
        "-1 is taken for the last class, as NumPy does: refuse what is below 0": (
            lambda p, t: -p[np.arange(len(t)), t].mean()
        ),
    },
    symptoms={
        "it refuses labels that are right": (
            lambda got, expected, *_: isinstance(got, str) and not isinstance(expected, str)
        ),
        "it refuses, but does not say which label was wrong": (
            lambda got, *_: isinstance(got, str) and got.startswith("refused:")
        ),
        "a label below 0 still gets a loss": (
            lambda got, expected, p, t: games.number_of_bad(got, expected, p, t) and t.min() < 0
        ),
        "a label of K or more still gets a loss": (
            lambda got, expected, p, t: (
                games.number_of_bad(got, expected, p, t) and t.max() >= len(p[0])
            )
        ),
        "a label that is no class still gets a loss: whoever made it should hear of it": (
            games.number_of_bad
        ),
        "a label of K or more fails in NumPy's words, not in yours": (
            lambda got, expected, p, t: got is None and t.max() >= len(p[0])
        ),
    },
)
def cross_entropy(log_p: Array, labels: Array) -> Any:
    """Return the mean of -log_p[n, labels[n]]; a label outside 0 ... K - 1 is a ValueError."""
    classes = log_p.shape[1]
    bad = labels[(labels < 0) | (labels >= classes)]
    if len(bad):
        raise ValueError(f"cross_entropy: label {bad[0]} is outside 0 ... {classes - 1}")
    return -log_p[np.arange(len(labels)), labels].mean()


# 7 Repair: an accuracy over batches


@exercise(
    cases=games.batches,
    mistakes={
        "the mean of the batches' means: the one image of a small batch counts as much as many": (
            lambda batches: np.mean([(p == t).mean() for p, t in batches])
        ),
        "it takes all batches to be as large as the first": (
            lambda batches: (
                sum((p == t).sum() for p, t in batches) / (len(batches) * len(batches[0][1]))
            )
        ),
        "the last batch is left out: its images want to be counted, too": (
            lambda batches: (
                sum((p == t).sum() for p, t in (batches[:-1] or batches))
                / sum(len(t) for _, t in (batches[:-1] or batches))
            )
        ),
        "each batch's mean times its own size is how many are right; divide by all images": (
            lambda batches: sum((p == t).mean() * len(t) for p, t in batches) / len(batches)
        ),
        "a share of 1, not percent": (
            lambda batches: (
                100 * sum((p == t).sum() for p, t in batches) / sum(len(t) for _, t in batches)
            )
        ),
    },
)
def accuracy(batches: list[tuple[Array, Array]]) -> float:
    """Return the share of images whose prediction is their label; (predictions, labels) each."""
    right = sum((predictions == labels).sum() for predictions, labels in batches)
    return float(right / sum(len(labels) for _, labels in batches))


# 8 A check of writing arrays


@exercise(
    cases=games.writers,
    play=games.of_writers,
    mistakes={},
    without=BY_NAME,
    symptoms={
        "it objects to files that are right": says("refuses"),
        "it objects to nothing: return False, or let an assert fail": lets_through(
            *games.names(exhibits.writers()[1])
        ),
        "all your arrays lie in memory row by row: what of a transposed one?": lets_through(
            "writes_as_it_lies"
        ),
        "the type may change unnoticed: compare it, or take numbers that need it": lets_through(
            "writes_float32"
        ),
        "the shape may change unnoticed": lets_through("writes_flat"),
        "arrays of all sizes, also with no axis at all: np.array(3.0)": lets_through(
            "writes_contiguous"
        ),
    },
)
def check_round_trip(write: Callable[[Array], bytes], read: Callable[[bytes], Array]) -> bool:
    """Tell whether ``read(write(x))`` is x again, by arrays x of your choice."""
    numbers = np.random.default_rng(0).normal(size=(2, 3, 4))
    for x in numbers, numbers.transpose(2, 0, 1), numbers[:, ::2], np.array(0.1), numbers[:0]:
        back = read(write(x))
        if back.dtype != x.dtype or back.shape != x.shape or not np.array_equal(back, x):
            return False
    return True


# 9, 10 Numbers to predict

crops_seen = predict(
    "crops_seen",
    "Four workers, each with a copy of one NumPy generator, draw three shifts each: how many of "
    "the twelve differ?",
    3,
    mistakes={
        "twelve are drawn, but a copied generator goes on as the original does": 12,
        "each worker draws more than one": 4,
        "a generator gives another number at each call, also a copied one": 1,
        "three each, but are these others than the next worker's?": 9,
    },
)

still_initial = predict(
    "still_initial",
    "A moving average begins at 1 and keeps 0.9 of itself in a step: what share of that 1 is left "
    "after ten steps?",
    0.9**10,
    mistakes={
        "that would be one step": 0.9,
        "each step takes a tenth of what is left, not of what there was": 0.0,
        "that is the share that is new": 1 - 0.9**10,
        "0.9 is what stays of it, 0.1 what goes": 0.1**10,
        "as a share, not in percent": 100 * 0.9**10,
    },
    tolerance=0.02,
)
