"""Wrong answers to the exercises on going deeper."""

import itertools

import numpy as np

from minicnn.exercises import going_deeper as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

wrong(exercise.stacked, hint="5x5")(2 * 3 * 3)
wrong(exercise.stacked, hint="single 7x7")(49)
wrong(exercise.stacked, hint="9x9")(4 * 9)
wrong(exercise.stacked, hint="number of layers")(3)


@wrong(exercise.dense_head, hint="bias")
def no_biases(channels, grid, hidden, classes):
    first = channels * grid**2 * hidden
    second = hidden**2
    return first + second + hidden * classes


@wrong(exercise.dense_head, hint="height times width")
def a_line_of_pixels(channels, grid, hidden, classes):
    sizes = [channels * grid, hidden, hidden, classes]
    return sum((a + 1) * b for a, b in itertools.pairwise(sizes))


@wrong(exercise.dense_head, hint="three dense layers")
def one_hidden_layer(channels, grid, hidden, classes):
    return (channels * grid * grid + 1) * hidden + (hidden + 1) * classes


@wrong(exercise.dense_head, hint="every place")
def pooled_first(channels, grid, hidden, classes):
    sizes = [channels, hidden, hidden, classes]
    return sum(a * b + b for a, b in itertools.pairwise(sizes))


@wrong(exercise.batch_norm, hint="variance; what has the unit")
def as_the_course_says(x, gamma, beta, epsilon):
    mean = x.mean(axis=(0, 2, 3))[:, None, None]
    variance = x.var(axis=(0, 2, 3))[:, None, None]
    return gamma[:, None, None] * (x - mean) / (variance + epsilon) + beta[:, None, None]


@wrong(exercise.batch_norm, hint="under the root")
def epsilon_beside_the_root(x, gamma, beta, epsilon):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        values = x[:, c]
        y[:, c] = gamma[c] * (values - values.mean()) / (values.std() + epsilon) + beta[c]
    return y


@wrong(exercise.batch_norm, hint="own mean and variance there; they belong to the batch")
def image_by_image(x, gamma, beta, epsilon):
    y = np.empty_like(x)
    for n, image in enumerate(x):
        for c, plane in enumerate(image):
            standard = (plane - plane.mean()) / np.sqrt(plane.var() + epsilon)
            y[n, c] = gamma[c] * standard + beta[c]
    return y


@wrong(exercise.batch_norm, hint="all channels share")
def one_mean_for_all(x, gamma, beta, epsilon):
    standard = (x - x.mean()) / np.sqrt(x.var() + epsilon)
    return gamma[None, :, None, None] * standard + beta[None, :, None, None]


@wrong(exercise.batch_norm, hint="reshape it")
def broadcast_to_the_last_axis(x, gamma, beta, epsilon):
    mean = x.mean(axis=(0, 2, 3), keepdims=True)
    variance = x.var(axis=(0, 2, 3), keepdims=True)
    return gamma * ((x - mean) / np.sqrt(variance + epsilon)) + beta


@wrong(exercise.batch_norm, hint="changes what it was given")
def in_place(x, gamma, beta, epsilon):
    variance = x.var(axis=(0, 2, 3), keepdims=True)
    x -= x.mean(axis=(0, 2, 3), keepdims=True)
    return gamma.reshape(1, -1, 1, 1) * x / np.sqrt(variance + epsilon) + beta.reshape(1, -1, 1, 1)


@wrong(exercise.batch_norm_grad, hint="no constants")
def statistics_held_fast(grad_y, x, gamma, epsilon):
    return grad_y * gamma[:, None, None] / np.sqrt(x.var((0, 2, 3))[:, None, None] + epsilon)


@wrong(exercise.batch_norm_grad, hint="through the variance, too")
def forgot_the_variance(grad_y, x, gamma, epsilon):
    root = np.sqrt(x.var(axis=(0, 2, 3), keepdims=True) + epsilon)
    centred = grad_y - grad_y.mean(axis=(0, 2, 3), keepdims=True)
    return centred * gamma.reshape(1, -1, 1, 1) / root


@wrong(exercise.batch_norm_grad, hint="become sums")
def sums_for_means(grad_y, x, gamma, epsilon):
    axes = (0, 2, 3)
    root = np.sqrt(x.var(axes, keepdims=True) + epsilon)
    standard = (x - x.mean(axes, keepdims=True)) / root
    shift = grad_y.sum(axes, keepdims=True)
    slope = (grad_y * standard).sum(axes, keepdims=True)
    return gamma.reshape(1, -1, 1, 1) / root * (grad_y - shift - standard * slope)


@wrong(exercise.batch_norm_grad, hint="subtracted, not added")
def added_the_ways(grad_y, x, gamma, epsilon):
    axes = (0, 2, 3)
    root = np.sqrt(x.var(axes, keepdims=True) + epsilon)
    standard = (x - x.mean(axes, keepdims=True)) / root
    mean = grad_y.mean(axes, keepdims=True)
    spread = (grad_y * standard).mean(axes, keepdims=True)
    return gamma.reshape(1, -1, 1, 1) / root * (grad_y + mean + standard * spread)


@wrong(exercise.batch_norm_grad, hint="gamma is missing")
def without_gamma(grad_y, x, gamma, epsilon):
    grad_x = np.empty_like(x)
    for c in range(x.shape[1]):
        values, g = x[:, c], grad_y[:, c]
        root = np.sqrt(values.var() + epsilon)
        standard = (values - values.mean()) / root
        grad_x[:, c] = (g - g.mean() - standard * (g * standard).mean()) / root
    return grad_x


@wrong(exercise.MovingNorm, hint="still depends on who else")
class RepairedHalf:
    def __init__(self, channels, decay=0.9, epsilon=1e-5):
        self.decay, self.epsilon = decay, epsilon
        self.mean, self.variance = np.zeros(channels), np.ones(channels)

    def train(self, x):
        self.mean += (1 - self.decay) * (x.mean(0) - self.mean)
        self.variance += (1 - self.decay) * (x.var(0) - self.variance)
        return (x - x.mean(0)) / np.sqrt(x.var(0) + self.epsilon)

    def evaluate(self, x):
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + self.epsilon)


@wrong(exercise.MovingNorm, hint="wrong way")
class RepairedTheOtherHalf(RepairedHalf):
    def train(self, x):
        self.mean = (1 - self.decay) * self.mean + self.decay * x.mean(0)
        self.variance = (1 - self.decay) * self.variance + self.decay * x.var(0)
        return (x - x.mean(0)) / np.sqrt(x.var(0) + self.epsilon)

    def evaluate(self, x):
        return (x - self.mean) / np.sqrt(self.variance + self.epsilon)


@wrong(exercise.MovingNorm, hint="should by the batch's own")
class AveragesInTraining(RepairedTheOtherHalf):
    def train(self, x):
        self.mean = self.decay * self.mean + (1 - self.decay) * x.mean(0)
        self.variance = self.decay * self.variance + (1 - self.decay) * x.var(0)
        return self.evaluate(x)


@wrong(exercise.MovingNorm, hint="never move")
class Forgetful(RepairedTheOtherHalf):
    def train(self, x):
        mean = self.decay * self.mean + (1 - self.decay) * x.mean(0)  # and where does it go?
        return (x - x.mean(0)) / np.sqrt(x.var(0) + self.epsilon) + 0 * mean


wrong(exercise.relu_variance, hint="minus the square of the mean")(0.5)
wrong(exercise.relu_variance, hint="does not stay")(1.0)
wrong(exercise.relu_variance, hint="is its mean")(0.399)
wrong(exercise.relu_variance, hint="standard deviation")(0.584)


@wrong(exercise.residual_grad, hint="shortcut is missing")
def plain_block(grad_y, x, weight1, weight2):
    inside = x @ weight1
    outside = x + np.maximum(inside, 0) @ weight2
    return (grad_y * (outside > 0) @ weight2.T * (inside > 0)) @ weight1.T


@wrong(exercise.residual_grad, hint="ends before the last ReLU")
def shortcut_round_the_relu(grad_y, x, weight1, weight2):
    inside = x @ weight1
    outside = x + np.maximum(inside, 0) @ weight2
    return grad_y + (np.where(outside > 0, grad_y, 0) @ weight2.T * (inside > 0)) @ weight1.T


@wrong(exercise.residual_grad, hint="last ReLU is missing")
def no_outer_mask(grad_y, x, weight1, weight2):
    return grad_y + (grad_y @ weight2.T * (x @ weight1 > 0)) @ weight1.T


@wrong(exercise.residual_grad, hint="transposed")
def forgot_to_transpose(grad_y, x, weight1, weight2):
    hidden = x @ weight1
    grad_sum = grad_y * (x + np.maximum(hidden, 0) @ weight2 > 0)
    return grad_sum + ((grad_sum @ weight2) * (hidden > 0)) @ weight1


@wrong(exercise.residual_grad, hint="inside of the branch")
def no_inner_mask(grad_y, x, weight1, weight2):
    total = x + np.maximum(x @ weight1, 0) @ weight2
    grad_total = grad_y * (total > 0)
    return grad_total + grad_total @ (weight1 @ weight2).T
