"""Exercises of lesson 1: what a dense layer costs, and what a shared patch saves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.exercises._exercise import exercise, predict
from minicnn.exercises._shifting import gap, gradient_by, moved_and_filled, placed, rolled, tight

__all__ = [
    "as_matrix",
    "conv_weights",
    "dense_weights",
    "equivariance_gap",
    "period",
    "positions",
    "shared_gradient",
    "shifted",
]

Cases = Iterator[tuple[Any, ...]]

positions = predict(
    "positions",
    "A sign of 24 x 24 pixels lies somewhere on a canvas of 40 x 40 pixels, all of it inside. At "
    "how many places can it lie?",
    289,
    mistakes={
        "from the first place to the last it takes 16 steps, but how many places is that?": 256,
        "you counted one direction; the sign can move down and across": 17,
        "you counted one direction, and its steps instead of its places": 16,
        "the sign would hang over the edge: its first row can't lie on the canvas's last": 1600,
        "those are the pixels that the sign leaves free, not the places where it can lie": 1024,
    },
)


def _shifts(rng: np.random.Generator) -> Cases:
    for height, width, down, right in (
        (5, 8, 2, 1),
        (7, 4, -1, 2),
        (6, 9, 3, -4),
        (4, 6, -2, -1),
        (5, 7, 0, 3),
        (8, 5, 2, 0),
        (3, 4, 0, 0),
    ):
        shape = (*rng.integers(1, 4, 2), height, width)
        yield rng.normal(size=shape), down, right


@exercise(
    cases=_shifts,
    mistakes={
        "what leaves on one side comes back on the other side (np.roll does that); it should be "
        "gone, and 0 come in": lambda images, down, right: np.roll(images, (down, right), (2, 3)),
        "what comes in should be 0, not the border's pixels again": (
            lambda images, down, right: moved_and_filled(images, down, right, "edge")
        ),
        "it moves the other way: down and right are positive": (
            lambda images, down, right: moved_and_filled(images, -down, -right)
        ),
        "down and right are exchanged: axis 2 counts rows, axis 3 columns": (
            lambda images, down, right: moved_and_filled(images, right, down)
        ),
    },
    symptoms={
        "a shift of 0 goes wrong: x[:-0] is empty, not everything": (
            lambda got, expected, images, down, right: down == 0 or right == 0
        ),
        "negative shifts go wrong: up and to the left": (
            lambda got, expected, images, down, right: down < 0 or right < 0
        ),
    },
    without=("ndimage",),
)
def shifted(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """Move the pictures (N, C, H, W) by whole pixels; what comes in at the border is 0.

    Positive numbers move down and to the right, negative ones up and to the left.
    """
    height, width = images.shape[2:]
    moved = np.zeros_like(images)
    to_rows = slice(max(down, 0), height + min(down, 0))
    to_columns = slice(max(right, 0), width + min(right, 0))
    from_rows = slice(max(-down, 0), height - max(down, 0))
    from_columns = slice(max(-right, 0), width - max(right, 0))
    moved[:, :, to_rows, to_columns] = images[:, :, from_rows, from_columns]
    return moved


def _layers(rng: np.random.Generator) -> Cases:
    """Yield (height, width, channels, outputs)."""
    yield 512, 512, 3, 64
    for _ in range(6):
        height, width = rng.integers(5, 99, 2)
        yield int(height), int(width), int(rng.integers(1, 9)), int(rng.integers(2, 99))


@exercise(
    cases=_layers,
    mistakes={
        "each neuron has a bias of its own, too": lambda h, w, c, n: h * w * c * n,
        "one bias is not enough: each neuron has its own": lambda h, w, c, n: h * w * c * n + 1,
        "a pixel has several numbers, one for each channel": lambda h, w, c, n: (h * w + 1) * n,
        "biases belong to neurons, not to inputs": lambda h, w, c, n: h * w * c * (n + 1),
        "that is a single neuron; each one looks at the whole image with weights of its own": (
            lambda h, w, c, n: h * w * c + n
        ),
    },
)
def dense_weights(height: int, width: int, channels: int, neurons: int) -> int:
    """Count the numbers that a dense layer on an image learns: weights and biases."""
    return (height * width * channels + 1) * neurons


def _convolutions(rng: np.random.Generator) -> Cases:
    """Yield (height, width, channels, outputs, kernel)."""
    yield 512, 512, 3, 64, (3, 3)
    for kernel in (3, 5), (1, 7), (5, 2), (1, 1), (4, 3):
        height, width = (int(n) for n in rng.integers(8, 99, 2))
        yield height, width, int(rng.integers(2, 9)), int(rng.integers(10, 99)), kernel


@exercise(
    cases=_convolutions,
    mistakes={
        "each filter has a bias of its own, too": lambda h, w, c, f, k: k[0] * k[1] * c * f,
        "one bias is not enough: each filter has its own": (
            lambda h, w, c, f, k: k[0] * k[1] * c * f + 1
        ),
        "a filter looks at all channels of its patch, with a weight for each": (
            lambda h, w, c, f, k: (k[0] * k[1] + 1) * f
        ),
        "weights are shared: the same patch of them at every place, so the image's size does not "
        "matter": lambda h, w, c, f, k: (h * w * k[0] * k[1] * c + 1) * f,
        "biases belong to filters, not to channels of the input": (
            lambda h, w, c, f, k: (k[0] * k[1] * f + 1) * c
        ),
    },
    symptoms={
        "weights are shared, so the image's size does not matter": (
            lambda got, expected, h, w, c, f, k: got > 5 * expected
        ),
        "kernels need not be square: kernel is (rows, columns)": (
            lambda got, expected, h, w, c, f, k: k[0] != k[1]
        ),
    },
)
def conv_weights(
    height: int, width: int, channels: int, filters: int, kernel: tuple[int, int]
) -> int:
    """Count the numbers that a convolution on the same image learns: weights and biases.

    `kernel` is (rows, columns) of its patch, and there are as many answers at each place as there
    are filters.
    """
    return (kernel[0] * kernel[1] * channels + 1) * filters


def _kernels(rng: np.random.Generator) -> Cases:
    """Yield (kernel, height and width of the image)."""
    for kernel, image in (
        ((2, 3), (4, 6)),
        ((3, 2), (5, 4)),
        ((1, 3), (3, 7)),
        ((3, 1), (6, 2)),
        ((2, 2), (3, 5)),
    ):
        yield rng.normal(size=kernel), *image


@exercise(
    cases=_kernels,
    mistakes={
        "the kernel is turned round: weight [u, v] belongs on pixel [i + u, j + v]": (
            lambda kernel, height, width: placed(kernel[::-1, ::-1], height, width)
        ),
        "each row is the one before, moved by one: at the end of an image's row the patch would "
        "wrap around; the next row of answers starts further on": rolled,
        "one row for each answer, one column for each pixel: this is the transpose": (
            lambda kernel, height, width: placed(kernel, height, width).T
        ),
        "the answers' rows are shorter than the image's: count them with OW, not W": (
            lambda kernel, height, width: placed(kernel, height, width, across=width)
        ),
        "the image's rows are W long: pixel [h, w] is number h * W + w": (
            lambda kernel, height, width: tight(kernel, height, width)
        ),
    },
    symptoms={
        "each answer must lie wholly inside the image: there are (H - KH + 1) * (W - KW + 1)": (
            lambda got, expected, kernel, height, width: len(got) == height * width
        ),
    },
)
def as_matrix(kernel: np.ndarray, height: int, width: int) -> np.ndarray:
    """Write the shared patch as the weights of a dense layer.

    Answer (i, j) is the sum of ``kernel[u, v] * image[i + u, j + v]``. Return the matrix with
    ``matrix @ image.ravel() == answers.ravel()``, for an image of height x width pixels.
    """
    rows, columns = kernel.shape
    out_height, out_width = height - rows + 1, width - columns + 1
    matrix = np.zeros((out_height * out_width, height * width))
    for i in range(out_height):
        for j in range(out_width):
            for u in range(rows):
                for v in range(columns):
                    matrix[i * out_width + j, (i + u) * width + (j + v)] = kernel[u, v]
    return matrix


def _answers(rng: np.random.Generator) -> Cases:
    """Yield (image, gradient of the answers)."""
    for image, answers in (
        ((4, 6), (3, 4)),
        ((5, 4), (3, 3)),
        ((3, 7), (3, 5)),
        ((6, 5), (2, 4)),
        ((4, 5), (4, 5)),
    ):
        yield rng.normal(size=image), rng.normal(size=answers)


@exercise(
    cases=_answers,
    mistakes={
        "each weight was used at every place: its gradients are added up, not the last one kept": (
            gradient_by(lambda old, new: new)
        ),
        "the gradients of all places are added up; a mean is a sum divided by their number": (
            lambda image, grad: gradient_by(lambda old, new: old + new)(image, grad) / grad.size
        ),
        "the kernel's gradient comes out turned round: weight [u, v] met pixel [i + u, j + v]": (
            lambda image, grad: gradient_by(lambda old, new: old + new)(image, grad)[::-1, ::-1]
        ),
        "the gradient of each answer is missing from the product (chain rule)": (
            lambda image, grad: gradient_by(lambda old, new: old + new)(image, np.ones_like(grad))
        ),
    },
    symptoms={
        "the kernel has H - OH + 1 rows and W - OW + 1 columns": (
            lambda got, expected, image, grad: got.shape != expected.shape
        ),
    },
)
def shared_gradient(image: np.ndarray, grad_answers: np.ndarray) -> np.ndarray:
    """Compute how a loss changes with each weight of the shared patch.

    The answers (OH, OW) are ``sum of kernel[u, v] * image[i + u, j + v]`` over u and v, the
    image is (H, W), and grad_answers[i, j] says how the loss changes with answer (i, j).
    """
    (height, width), (out_height, out_width) = image.shape, grad_answers.shape
    grad_kernel = np.zeros((height - out_height + 1, width - out_width + 1))
    for u in range(grad_kernel.shape[0]):
        for v in range(grad_kernel.shape[1]):
            for i in range(out_height):
                for j in range(out_width):
                    grad_kernel[u, v] += grad_answers[i, j] * image[i + u, j + v]
    return grad_kernel


def _double(images: np.ndarray) -> np.ndarray:
    return 2.0 * images


def _right_minus_left(images: np.ndarray) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (0, 0), (0, 0), (1, 1)))
    return padded[..., 2:] - padded[..., :-2]


def _lower_plus_upper(images: np.ndarray) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=3.0)
    return padded[:, :, 2:] + padded[:, :, :-2]


def _darker_to_the_right(images: np.ndarray) -> np.ndarray:
    return images * np.linspace(1, 0, images.shape[3])


def _darker_downwards(images: np.ndarray) -> np.ndarray:
    return images * np.linspace(1, 0.2, images.shape[2])[:, None]


def _equivariances(rng: np.random.Generator) -> Cases:
    """Yield (layer, images, down, right, margin); some layers depend on the place."""
    for layer, down, right in (
        (_right_minus_left, 0, 2),
        (_darker_to_the_right, 1, 2),
        (_lower_plus_upper, 2, 0),
        (_darker_downwards, -1, 1),
        (_double, -2, 1),
        (_darker_to_the_right, 0, -3),
    ):
        yield layer, rng.normal(size=(2, 3, 11 + abs(down), 14)), down, right, 4
    yield _darker_downwards, rng.uniform(1, 2, (3, 2, 12, 15)), 1, -2, 3  # all differences < 0


@exercise(
    cases=_equivariances,
    mistakes={
        "it compares with answers that were not moved: that measures invariance": (
            lambda *arguments: gap(*arguments, move_answers=False)
        ),
        "still no margin: at the border something else comes in, and there the two may differ": (
            lambda *arguments: gap(*arguments, axes=())
        ),
        "the margin is only cut off the columns; rows have a border, too": (
            lambda *arguments: gap(*arguments, axes=(3,))
        ),
        "the margin is only cut off the rows; columns have a border, too": (
            lambda *arguments: gap(*arguments, axes=(2,))
        ),
        "the answers are moved back, not along with the images": (
            lambda *arguments: gap(*arguments, sign=-1)
        ),
    },
    symptoms={
        "no difference is left to look at: axis 0 counts images and axis 1 channels; cut the "
        "margin off rows and columns": (
            lambda got, expected, *arguments: not got or not np.isfinite(got)
        ),
        "the largest difference is asked for, positive or negative": (
            lambda got, expected, *arguments: got < expected
        ),
    },
)
def equivariance_gap(
    layer: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    down: int,
    right: int,
    margin: int,
) -> float:
    """Say how far a layer is from equivariance: the largest difference of two ways.

    One is to shift the images, then to compute; the other to compute, then to shift the answers
    by as much. `margin` pixels at each side are left out, where the border shows.
    """
    shift_first = layer(np.roll(images, (down, right), (2, 3)))  # what comes round is in the margin
    shift_after = np.roll(layer(images), (down, right), (2, 3))
    difference = np.abs(shift_first - shift_after)
    return float(difference[:, :, margin:-margin, margin:-margin].max())


period = predict(
    "period",
    "A net has convolutions with stride 1, two poolings 2 x 2 with stride 2, and global pooling at "
    "its end. The smallest shift to the right, in pixels, after which it answers exactly as "
    "before?",
    4,
    mistakes={
        "that would do for the convolutions alone, or for global pooling: but after a shift of 1 "
        "other pixels share a window of the first pooling": 1,
        "after a shift of 2 the first pooling sees the same windows, one on; now the second": 2,
        "each pooling doubles the step; how many are there?": 8,
        "the step across, not the area of a window: each pooling doubles the step": 16,
    },
)
