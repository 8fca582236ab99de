"""Wrong answers to the exercises of the lesson on activations and initialisation."""

import math

import numpy as np

from minicnn.exercises import activations as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

wrong(exercise.sigmoid_share, hint="value at 0")(1 / 1024)
wrong(exercise.sigmoid_share, hint="multiplied, not added")(10 / 4)
wrong(exercise.sigmoid_share, hint="one of them")(1 / 4)
wrong(exercise.sigmoid_share, hint="a power")(1 / 40)

wrong(exercise.variance_factor, hint="square of their standard deviation")(100 * 0.05)
wrong(exercise.variance_factor, hint="one product")(0.05**2)
wrong(exercise.variance_factor, hint="of the standard deviation")(math.sqrt(100) * 0.05)
wrong(exercise.variance_factor, hint="do not add up in full")((100 * 0.05) ** 2)


@wrong(exercise.slope_from_output, hint="ask for y > 0")
def relu_open_at_zero(kind, y):
    if kind == "relu":
        return np.where(y >= 0, 1.0, 0.0)
    return y - y**2 if kind == "sigmoid" else 1 - y * y


@wrong(exercise.slope_from_output, hint="once more")
def squashes_twice(kind, y):
    if kind == "sigmoid":
        s = 1 / (1 + np.exp(-y))
        return s * (1 - s)
    if kind == "tanh":
        return 1 / np.cosh(y) ** 2
    return np.heaviside(y, 0.0)


@wrong(exercise.slope_from_output, hint="from -1 to 1")
def one_formula_for_both(kind, y):
    return np.sign(y) if kind == "relu" else y * (1 - y)


@wrong(exercise.slope_from_output, hint="square in it")
def tanh_without_its_square(kind, y):
    return {"sigmoid": y * (1 - y), "tanh": 1 - y, "relu": np.float64(y > 0)}[kind]


@wrong(exercise.slope_from_output, hint="not the number")
def relu_returns_itself(kind, y):
    if kind == "relu":
        return np.maximum(y, 0)
    return y * (1 - y) if kind == "sigmoid" else 1 - y**2


@wrong(exercise.spread, hint="square root")
def the_variance(shape, mode, slope):
    window = math.prod(shape[2:])
    fans = {"fan_in": shape[1] * window, "fan_out": shape[0] * window}
    n = fans.get(mode, sum(fans.values()) / 2)
    return 2 / (1 + slope**2) / n


@wrong(exercise.spread, hint="KH * KW")
def forgets_the_window(shape, mode, slope):
    n = {"fan_in": shape[1], "fan_out": shape[0], "fan_avg": (shape[0] + shape[1]) / 2}[mode]
    return math.sqrt(2 / n / (1 + slope**2))


@wrong(exercise.spread, hint="exchanged")
def inputs_first(shape, mode, slope):
    inputs, outputs, *window = shape
    area = math.prod(window)
    n = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[mode] * area
    return (2 / n / (1 + slope**2)) ** 0.5


@wrong(exercise.spread, hint="not rooted twice")
def takes_the_words_literally(shape, mode, slope):
    window = math.prod(shape[2:])
    n_in, n_out = shape[1] * window, shape[0] * window
    n = {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}[mode]
    variance = math.sqrt(2 / ((1 + slope**2) * n))  # "the variance is sqrt(2 / N)"
    return math.sqrt(variance)


@wrong(exercise.spread, hint="does not enter")
def always_relu(shape, mode, slope):
    window = math.prod(shape[2:])
    n_in, n_out = shape[1] * window, shape[0] * window
    return math.sqrt(2 / {"fan_in": n_in, "fan_out": n_out, "fan_avg": (n_in + n_out) / 2}[mode])


@wrong(exercise.spread, hint="only the average")
def averages_the_results(shape, mode, slope):
    window = math.prod(shape[2:])
    gain = 2 / (1 + slope**2)
    a, b = math.sqrt(gain / (shape[1] * window)), math.sqrt(gain / (shape[0] * window))
    return {"fan_in": a, "fan_out": b, "fan_avg": (a + b) / 2}[mode]


@wrong(exercise.signals, hint="ReLU is missing")
def linear_on_the_way_back(x, weights, grad_y):
    forward, backward = [], []
    for weight in weights:
        z = x @ weight.T
        forward.append(np.mean(z * z))
        x = z * (z > 0)
    for weight in reversed(weights):
        backward.insert(0, np.mean(grad_y * grad_y))
        grad_y = grad_y @ weight
    return forward, backward


@wrong(exercise.signals, hint="turn it round")
def appends_and_leaves(x, weights, grad_y):
    zs = []
    for weight in weights:
        zs.append(np.dot(x, weight.T))
        x = zs[-1].clip(0)
    backward = []
    for i in range(len(weights) - 1, -1, -1):
        g = np.where(zs[i] > 0, grad_y, 0)
        backward.append((g * g).mean())
        grad_y = np.dot(g, weights[i])
    return [(z * z).mean() for z in zs], backward


@wrong(exercise.signals, hint="measure z, before the ReLU")
def measures_what_is_handed_on(x, weights, grad_y):
    handed = []
    for weight in weights:
        x = np.maximum(x @ weight.T, 0)
        handed.append(x)
    backward = []
    for weight, a in zip(reversed(weights), reversed(handed)):  # noqa: B905
        backward.append(np.mean(grad_y**2))
        grad_y = (grad_y * (a > 0)) @ weight
    return [np.mean(a**2) for a in handed], backward[::-1]


@wrong(exercise.signals, hint="not a variance")
def takes_variances(x, weights, grad_y):
    zs = []
    for weight in weights:
        zs.append(x @ weight.T)
        x = np.maximum(zs[-1], 0)
    backward = []
    for weight, z in list(zip(weights, zs))[::-1]:  # noqa: B905
        g = grad_y * (z > 0)
        backward = [g.var(), *backward]
        grad_y = g @ weight
    return [z.var() for z in zs], backward


@wrong(exercise.signals, hint="the way back is not")
def multiplies_before_it_gates(x, weights, grad_y):
    zs = []
    for weight in weights:
        zs.append(x @ weight.T)
        x = np.maximum(zs[-1], 0)
    backward = []
    for weight, z in list(zip(weights, zs))[::-1]:  # noqa: B905
        grad_y = (grad_y * (z > 0)) @ weight
        backward = [(grad_y**2).mean(), *backward]
    return [(z**2).mean() for z in zs], backward


@wrong(exercise.dead_channels, hint="sparsity")
def any_zero(y):
    return y.min(axis=(0, 2, 3)) == 0


@wrong(exercise.dead_channels, hint="another")
def of_the_first_image(y):
    return y[0].max(axis=(1, 2)) == 0


@wrong(exercise.dead_channels, hint="axis 1")
def over_the_wrong_axes(y):
    return y.sum(axis=(1, 2, 3)) == 0


@wrong(exercise.dead_channels, hint="share of zeros")
def share_of_zeros(y):
    return np.count_nonzero(y == 0, axis=(0, 2, 3)) / y[:, 0].size


@wrong(exercise.dead_channels, hint="True should mean dead")
def who_is_alive(y):
    return y.max(axis=(0, 2, 3)) > 0


@wrong(exercise.dead_channels, hint="each channel")
def for_each_image_too(y):
    return (y == 0).all(axis=(2, 3))


@wrong(exercise.prelu, hint="lines them up")
def shipped(x, slope):
    return np.maximum(slope * x, x)


@wrong(exercise.prelu, hint="if slope is 2")
def only_the_axis_mended(x, slope):
    return np.maximum(x, slope.reshape(1, -1, 1, 1) * x)


@wrong(exercise.prelu, hint="belong to channels")
def only_the_maximum_mended(x, slope):
    return x * np.where(x > 0, 1.0, slope)


@wrong(exercise.prelu, hint="negative ones that are scaled")
def scales_the_positive(x, slope):
    return np.where(x < 0, x, x * slope[None, :, None, None])


@wrong(exercise.prelu_gradients, hint="every place")
def not_summed(x, slope, grad_y):
    a = slope.reshape(1, -1, 1, 1)
    return grad_y * np.where(x > 0, 1, a), grad_y * np.minimum(x, 0)


@wrong(exercise.prelu_gradients, hint="not the average")
def averaged(x, slope, grad_y):
    a = slope.reshape(1, -1, 1, 1)
    return grad_y * np.where(x > 0, 1, a), (grad_y * np.minimum(x, 0)).mean((0, 2, 3))


@wrong(exercise.prelu_gradients, hint="where x is positive")
def from_everywhere(x, slope, grad_y):
    a = slope.reshape(1, -1, 1, 1)
    return grad_y * np.where(x > 0, 1, a), np.einsum("nchw,nchw->c", grad_y, x)


@wrong(exercise.prelu_gradients, hint="is x")
def forgets_x(x, slope, grad_y):
    a = slope.reshape(1, -1, 1, 1)
    return grad_y * np.where(x > 0, 1, a), (grad_y * (x <= 0)).sum((0, 2, 3))


@wrong(exercise.prelu_gradients, hint="that of a ReLU")
def passes_no_negatives(x, slope, grad_y):
    return np.where(x > 0, grad_y, 0.0), (grad_y * np.minimum(x, 0)).sum((0, 2, 3))


@wrong(exercise.prelu_gradients, hint="dL/dx is right")
def summed_over_the_channels(x, slope, grad_y):
    a = slope.reshape(1, -1, 1, 1)
    return grad_y * np.where(x > 0, 1, a), (grad_y * np.minimum(x, 0)).sum((1, 2, 3))
