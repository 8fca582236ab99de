"""Exercises of lesson 8: what stays, what moves, and how fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from minicnn import nn, ops, optim
from minicnn.autograd import Tensor, no_grad
from minicnn.exercises._exercise import exercise, predict

__all__ = [
    "head_gradients",
    "head_numbers",
    "head_step",
    "kept_views",
    "layer_rates",
    "nearest_mean",
    "unfreezing_plan",
]

Cases = Iterator[tuple[Any, ...]]

head_numbers = predict(
    "head_numbers",
    "The last dense layer of a net sees 100 neurons and has told 33 classes apart. It is replaced "
    "for 10 new classes, and all other layers are frozen. How many numbers learn?",
    1010,
    mistakes={
        "each of the new neurons has a bias, too": 1000,
        "that is the old head; the new one has as many neurons as there are new classes": 3333,
        "that is the old head, without its biases; it is replaced": 3300,
        "the old classes are gone: the new head tells 10 apart, not 43": 4343,
        "that is the whole net with its new head; the others are frozen": 34814,
    },
)

kept_views = predict(
    "kept_views",
    "A head learns for 40 epochs from 50 pictures; the body below it is frozen. Each picture is "
    "looked at in 4 views (turned, shifted, relit), which are made once. The features of all views "
    "are kept. How many pictures pass through the body, in all epochs together?",
    200,
    mistakes={
        "nothing would be kept then: after the first epoch the features are there": 8000,
        "each picture is kept in 4 views": 50,
        "that is once in each epoch; but the features are kept, and there are 4 views": 2000,
        "the epochs do not count: what is kept need not be computed again": 160,
    },
)


def _labelled(rng: np.random.Generator) -> Cases:
    """Yield (features, labels, queries); labels are any numbers."""
    for classes, size in (([3, 8, 5], 4), ([11, 2], 3), ([7, 4, 9, 1], 6), ([6, 30, 17], 5)):
        labels = rng.permutation([*classes, *rng.choice(classes, 9)])
        centres = {label: rng.normal(0, 0.7, size) for label in classes}
        noise = rng.normal(0, 1, (len(labels), size))
        features = np.stack([centres[label] for label in labels]) + noise
        yield features, labels, rng.normal(0, 1, (15, size))


def _distances(features: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return how far queries are from the mean of each class, (Q, K), squared."""
    known = np.unique(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in known])
    return ((queries[:, None] - means) ** 2).sum(axis=2)


@exercise(
    cases=_labelled,
    mistakes={
        "it returns places in the list of classes; the labels themselves are asked for": (
            lambda features, labels, queries: _distances(features, labels, queries).argmin(1)
        ),
        "it takes the farthest mean": (
            lambda features, labels, queries: np.unique(labels)[
                _distances(features, labels, queries).argmax(axis=1)
            ]
        ),
        "it takes the class of the nearest example; the nearest mean is asked for": (
            lambda features, labels, queries: labels[
                ((queries[:, None] - features) ** 2).sum(axis=2).argmin(axis=1)
            ]
        ),
        "differences of both signs cancel in the sum: square them, or take their size": (
            lambda features, labels, queries: np.unique(labels)[
                np.stack(
                    [
                        (queries - features[labels == label].mean(axis=0)).sum(axis=1)
                        for label in np.unique(labels)
                    ]
                ).argmin(axis=0)
            ]
        ),
        "it divides by the number of all examples: a class's mean is over its own": (
            lambda features, labels, queries: np.unique(labels)[
                np.stack(
                    [
                        ((queries - features[labels == label].sum(axis=0) / len(labels)) ** 2).sum(
                            axis=1
                        )
                        for label in np.unique(labels)
                    ]
                ).argmin(axis=0)
            ]
        ),
    },
)
def nearest_mean(features: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Give each query (M, D) the label of the class whose mean feature is nearest to it.

    The features (N, D) have the labels (N,), whole numbers that need not begin at 0. Returns (M,).
    """
    known = np.unique(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in known])
    apart = ((queries[:, None] - means) ** 2).sum(axis=2)  # (M, K)
    return known[apart.argmin(axis=1)]


def _scored(rng: np.random.Generator) -> Cases:
    """Yield (features, weight, bias, labels)."""
    for n, inputs, classes in ((5, 4, 3), (7, 2, 5), (2, 6, 4), (1, 3, 2), (9, 5, 3)):
        labels = rng.integers(0, classes, n)
        weight, bias = rng.normal(size=(classes, inputs)), rng.normal(size=classes)
        yield rng.normal(size=(n, inputs)), weight, bias, labels


def _probabilities(features: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    scores = features @ weight.T + bias
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _pulled(grad: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of weight and bias from that of the scores."""
    return grad.T @ features, grad.sum(axis=0)


def _gradients(
    features: np.ndarray, weight: np.ndarray, bias: np.ndarray, labels: np.ndarray
) -> Any:
    wanted = np.eye(len(bias))[labels]
    grad = (_probabilities(features, weight, bias) - wanted) / len(labels)
    return _pulled(grad, features)


@exercise(
    cases=_scored,
    without=("backward", "grad"),
    mistakes={
        "that is the gradient of the sum over the examples; the loss is their mean": (
            lambda features, weight, bias, labels: [
                len(labels) * part for part in _gradients(features, weight, bias, labels)
            ]
        ),
        "the sign: the loss falls where the right class's probability rises": (
            lambda features, weight, bias, labels: [
                -part for part in _gradients(features, weight, bias, labels)
            ]
        ),
        "the right class is missing: by its score the loss falls": (
            lambda features, weight, bias, labels: _pulled(
                _probabilities(features, weight, bias) / len(labels), features
            )
        ),
        "those are scores; the softmax makes probabilities of them first": (
            lambda features, weight, bias, labels: _pulled(
                (features @ weight.T + bias - np.eye(len(bias))[labels]) / len(labels), features
            )
        ),
        "the weights are right; the bias's gradient is the sum of what comes from the loss, which "
        "is divided by the number of examples already": (
            lambda features, weight, bias, labels: (
                _gradients(features, weight, bias, labels)[0],
                _gradients(features, weight, bias, labels)[1] / len(labels),
            )
        ),
        "the weight is (classes, features), and so is its gradient: this one is transposed": (
            lambda features, weight, bias, labels: (
                _gradients(features, weight, bias, labels)[0].T,
                _gradients(features, weight, bias, labels)[1],
            )
        ),
    },
)
def head_gradients(
    features: np.ndarray, weight: np.ndarray, bias: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradients of the mean cross-entropy by a head's weight (K, D) and bias (K,).

    The scores of features (N, D) are ``features @ weight.T + bias``; the labels (N,) are places
    from 0 to K - 1.
    """
    scores = features @ weight.T + bias
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    grad_scores = raised / raised.sum(axis=1, keepdims=True)  # the probabilities, (N, K)
    grad_scores[np.arange(len(labels)), labels] -= 1
    grad_scores /= len(labels)
    return grad_scores.T @ features, grad_scores.sum(axis=0)


def _seeds(rng: np.random.Generator) -> Cases:
    """Yield (seed, number of images)."""
    for n in (4, 6, 3, 5, 7):
        yield int(rng.integers(10**6)), n


def _play_steps(answer: Any, seed: int, n: int) -> dict[str, Any]:
    """Do one step with all layers, so that there is momentum, then two with the answer."""
    rng = np.random.default_rng(seed)
    with nn.seed(seed):
        body = nn.Sequential(nn.Conv2d(2, 3, normalizer=nn.BatchNorm2d), nn.GlobalAvgPool2d())
        head = nn.Dense(3, 4)
    named = [(f"{part}.{name}", p) for part, module in (("body", body), ("head", head))
             for name, p in module.named_parameters()]  # fmt: skip
    optimizer = optim.SGD(named, 0.1, momentum=0.9, weight_decay=0.1)

    def batch() -> tuple[Tensor, np.ndarray]:
        images = rng.normal(1, 2, (n, 2, 5, 4)).astype(np.float32)
        return Tensor(images), rng.integers(0, 4, n)

    images, labels = batch()
    ops.sparse_softmax_cross_entropy(head(body(images)), labels).backward()
    optimizer.step()
    losses = []
    for _ in range(2):
        body.train(), head.train()
        losses.append(answer(body, head, optimizer, *batch()))
    state = body.state_dict()
    return {
        "moving averages": np.concatenate([v for k, v in state.items() if "moving" in k]),
        "body": np.concatenate([v.ravel() for k, v in state.items() if "moving" not in k]),
        "head": np.concatenate([v.ravel() for v in head.state_dict().values()]),
        "losses": np.array([float(loss) for loss in losses]),
    }


def _moved(part: str) -> Any:
    """Return a symptom: a part of the network is another than expected."""

    def has_moved(got: Any, expected: Any, *_: Any) -> bool:
        return not np.allclose(got[part], expected[part], rtol=1e-4, atol=1e-6)

    return has_moved


def _both(got: Any, expected: Any, *_: Any) -> bool:
    """Tell whether averages and weights of the body are others than expected."""
    # "updates" counts the batches that moved the averages: it is no weight
    return _moved("moving averages")(got, expected) and not np.allclose(
        np.delete(got["body"], -1), np.delete(expected["body"], -1), rtol=1e-4, atol=1e-6
    )


@exercise(
    cases=_seeds,
    play=_play_steps,
    mistakes={},
    symptoms={
        "the body's weights have moved, and so have its moving averages: a gradient of 0 is not "
        "none, for momentum and weight decay go on; and what mode is the body in?": _both,
        "the weights of the body stay, but its moving averages have moved: what mode is it in?": (
            _moved("moving averages")
        ),
        "the body's weights have moved: an optimiser leaves alone what has no gradient at all "
        "(None); a gradient of 0 does not stop momentum and weight decay": _moved("body"),
        "the head has not learned what it should: its gradients must be those of this batch": (
            _moved("head")
        ),
    },
    tolerance=1e-4,
)
def head_step(body: Any, head: Any, optimizer: Any, images: Tensor, labels: np.ndarray) -> float:
    """Do one training step of the head; the body stays as it is, to the last bit.

    The optimiser has the parameters of both, with momentum and weight decay, and has trained both
    before. Body and head come in training mode. Returns the loss.
    """
    body.eval()  # the moving averages stay, and are what it normalises by
    with no_grad():
        features = body(images)
    optimizer.zero_grad()  # None: what has no gradient is not touched
    loss = ops.sparse_softmax_cross_entropy(head(features), labels)
    loss.backward()
    optimizer.step()
    return float(loss.item())


def _layers(rng: np.random.Generator) -> Cases:
    for layers in (
        ["block1", "block2", "logits"],
        ["stem", "logits"],
        ["block1", "block2", "block3", "hidden", "logits"],
        ["a", "b", "c", "head"],
        ["only"],
    ):
        yield layers, float(rng.uniform(0.05, 0.2)), float(rng.uniform(0.2, 0.6))


@exercise(
    cases=_layers,
    mistakes={
        "the first layer learns fastest: the other way round": (
            lambda layers, rate, factor: {n: rate * factor**i for i, n in enumerate(layers)}
        ),
        "the head, too, is slowed down; it has the whole rate": (
            lambda layers, rate, factor: {
                n: rate * factor ** (len(layers) - i) for i, n in enumerate(layers)
            }
        ),
        "all below the head have one rate; each layer further down is slower than the one above": (
            lambda layers, rate, factor: {
                n: rate if n == layers[-1] else rate * factor for n in layers
            }
        ),
        "those are the factors; multiply them by the rate": (
            lambda layers, rate, factor: {
                n: factor ** (len(layers) - 1 - i) for i, n in enumerate(layers)
            }
        ),
        "layers further down should be slower, and these are faster: multiply, don't divide": (
            lambda layers, rate, factor: {
                n: rate / factor ** (len(layers) - 1 - i) for i, n in enumerate(layers)
            }
        ),
    },
)
def layer_rates(layers: list[str], rate: float, factor: float) -> dict[str, float]:
    """Give each layer a learning rate by its name: the last one `rate`, each below `factor` of it.

    The layers come in order, the first one sees the image.
    """
    return {name: rate * factor**below for below, name in enumerate(reversed(layers))}


def _plans(rng: np.random.Generator) -> Cases:
    """Yield (layers, steps)."""
    for layers in (
        ["block1", "block2", "block3", "hidden", "logits"],
        ["stem", "block", "logits"],
        ["stem", "logits"],
        ["a", "b", "c", "head"],
    ):
        yield layers, int(rng.integers(20, 60)) * len(layers)


@exercise(
    cases=_plans,
    mistakes={
        "the layers next to the image are unfrozen first; begin next to the head": (
            lambda layers, steps: {
                (i + 1) * steps // len(layers): name for i, name in enumerate(layers[:-1])
            }
        ),
        "the head is never frozen, so there is nothing to unfreeze": (
            lambda layers, steps: {
                i * steps // len(layers): name for i, name in enumerate(reversed(layers))
            }
        ),
        "the first layer below the head learns from the first step on: let the head learn alone "
        "for a while": (
            lambda layers, steps: {
                i * steps // len(layers): name for i, name in enumerate(layers[-2::-1])
            }
        ),
        "the last one is unfrozen when training is over": (
            lambda layers, steps: {
                (i + 1) * steps // (len(layers) - 1): name for i, name in enumerate(layers[-2::-1])
            }
        ),
    },
)
def unfreezing_plan(layers: list[str], steps: int) -> dict[int, str]:
    """Say at which step each layer is unfrozen: ``{step: layer}``.

    Training is cut into as many equal parts as there are layers. In the first the head, which is
    the last layer, learns alone; at the beginning of each other part one layer more learns, from
    the top down. `steps` can be divided by the number of layers.
    """
    part = steps // len(layers)
    return {part * (i + 1): name for i, name in enumerate(reversed(layers[:-1]))}
