"""Wrong answers to the exercises of lesson 8."""

import numpy as np

from minicnn import no_grad, ops
from minicnn.autograd import Tensor
from minicnn.exercises import transfer_learning as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

wrong(exercise.head_numbers, hint="bias")(100 * 10)
wrong(exercise.head_numbers, hint="old head")(101 * 33)
wrong(exercise.head_numbers, hint="without its biases")(100 * 33)
wrong(exercise.head_numbers, hint="old classes are gone")(101 * 43)

wrong(exercise.kept_views, hint="nothing would be kept")(40 * 50 * 4)
wrong(exercise.kept_views, hint="4 views")(50)
wrong(exercise.kept_views, hint="once in each epoch")(40 * 50)
wrong(exercise.kept_views, hint="epochs do not count")(40 * 4)


@wrong(exercise.nearest_mean, hint="labels themselves")
def places(features, labels, queries):
    means = [features[labels == label].mean(0) for label in sorted(set(labels.tolist()))]
    return np.array([np.argmin([np.linalg.norm(q - mean) for mean in means]) for q in queries])


@wrong(exercise.nearest_mean, hint="farthest")
def dot_of_distances(features, labels, queries):
    known = np.unique(labels)
    found = []
    for query in queries:
        lengths = [np.linalg.norm(query - features[labels == k].mean(0)) for k in known]
        found.append(known[np.argsort(lengths)[-1]])
    return np.array(found)


@wrong(exercise.nearest_mean, hint="nearest example")
def nearest_neighbour(features, labels, queries):
    return np.array([labels[np.linalg.norm(features - q, axis=1).argmin()] for q in queries])


@wrong(exercise.nearest_mean, hint="cancel")
def signed(features, labels, queries):
    known = np.unique(labels)
    means = np.array([features[labels == k].mean(0) for k in known])
    return known[(queries[:, None, :] - means[None]).sum(-1).argmin(-1)]


@wrong(exercise.nearest_mean, hint="over its own")
def masked_mean(features, labels, queries):
    known = np.unique(labels)
    means = np.array([(features * (labels == k)[:, None]).mean(0) for k in known])
    return known[np.square(queries[:, None] - means).sum(-1).argmin(-1)]


def softmax(scores):
    return np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


@wrong(exercise.head_gradients, hint="mean")
def summed(features, weight, bias, labels):
    grad = softmax(features @ weight.T + bias) - np.eye(len(weight))[labels]
    return grad.T @ features, grad.sum(0)


@wrong(exercise.head_gradients, hint="sign")
def wanted_minus_got(features, weight, bias, labels):
    grad = np.eye(len(weight))[labels] - softmax(features @ weight.T + bias)
    return grad.T @ features / len(labels), grad.mean(0)


@wrong(exercise.head_gradients, hint="right class is missing")
def without_labels(features, weight, bias, labels):
    grad = softmax(features @ weight.T + bias)
    return grad.T @ features / len(labels), grad.mean(0)


@wrong(exercise.head_gradients, hint="softmax")
def squared_error(features, weight, bias, labels):
    grad = features @ weight.T + bias
    for n, label in enumerate(labels):
        grad[n, label] -= 1
    return np.einsum("nk,nd->kd", grad, features) / len(labels), grad.mean(0)


@wrong(exercise.head_gradients, hint="transposed")
def columns(features, weight, bias, labels):
    grad = softmax(features @ weight.T + bias) - np.eye(len(weight))[labels]
    return features.T @ grad / len(labels), grad.mean(0)


@wrong(exercise.head_gradients, hint="divided by the number of examples already")
def mean_twice(features, weight, bias, labels):
    grad = (softmax(features @ weight.T + bias) - np.eye(len(weight))[labels]) / len(labels)
    return grad.T @ features, grad.mean(0)


def loss_of(head, features, labels):
    return ops.sparse_softmax_cross_entropy(head(features), labels)


@wrong(exercise.head_step, hint="and so have its moving averages")
def as_it_came(body, head, optimizer, images, labels):
    loss = loss_of(head, body(images), labels)
    optimizer.zero_grad()
    loss.backward()
    for p in body.parameters():
        p.grad = Tensor(np.zeros(p.shape, np.float32))
    optimizer.step()
    return loss.item()


@wrong(exercise.head_step, hint="what mode is it in")
def without_gradients_only(body, head, optimizer, images, labels):
    with no_grad():
        features = body(images)
    loss = loss_of(head, features, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong(exercise.head_step, hint="a gradient of 0 does not stop")
def zeros_in_evaluation(body, head, optimizer, images, labels):
    body.eval()
    loss = loss_of(head, body(images), labels)
    optimizer.zero_grad()
    loss.backward()
    for p in body.parameters():
        p.grad = p.grad * 0
    optimizer.step()
    return loss.item()


@wrong(exercise.head_step, hint="leaves alone what has no gradient")
def evaluation_only(body, head, optimizer, images, labels):
    body.eval()
    loss = loss_of(head, body(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@wrong(exercise.head_step, hint="the head has not learned")
def cleared_too_late(body, head, optimizer, images, labels):
    body.eval()
    with no_grad():
        features = body(images)
    loss = loss_of(head, features, labels)
    loss.backward()
    optimizer.zero_grad()
    optimizer.step()
    return loss.item()


@wrong(exercise.layer_rates, hint="other way round")
def from_the_image(layers, rate, factor):
    rates = {}
    for name in layers:
        rates[name] = rate
        rate = rate * factor
    return rates


@wrong(exercise.layer_rates, hint="it has the whole rate")
def head_slowed(layers, rate, factor):
    rates = {}
    for name in layers[::-1]:
        rate *= factor
        rates[name] = rate
    return rates


@wrong(exercise.layer_rates, hint="further down is slower")
def two_rates(layers, rate, factor):
    rates = dict.fromkeys(layers, factor * rate)
    rates[layers[-1]] = rate
    return rates


@wrong(exercise.layer_rates, hint="multiply, don't divide")
def divided(layers, rate, factor):
    top = len(layers) - 1
    return {name: rate * factor ** (i - top) for i, name in enumerate(layers)}


@wrong(exercise.unfreezing_plan, hint="begin next to the head")
def from_below(layers, steps):
    part = steps // len(layers)
    return {part * i: layer for i, layer in enumerate(layers[:-1], start=1)}


@wrong(exercise.unfreezing_plan, hint="never frozen")
def with_the_head(layers, steps):
    plan, at = {}, 0
    for layer in layers[::-1]:
        plan[at] = layer
        at += steps // len(layers)
    return plan


@wrong(exercise.unfreezing_plan, hint="learn alone")
def too_early(layers, steps):
    plan, at = {}, 0
    for layer in layers[:-1][::-1]:
        plan[at] = layer
        at += steps // len(layers)
    return plan


@wrong(exercise.unfreezing_plan, hint="training is over")
def too_late(layers, steps):
    below = layers[:-1]
    part = steps / len(below)
    return {int(part * (i + 1)): layer for i, layer in enumerate(below[::-1])}
