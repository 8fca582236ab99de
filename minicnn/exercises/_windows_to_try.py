"""Windows, images and words to try answers on: the cases of lesson 3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

Cases = Iterator[tuple[Any, ...]]
ALPHABET = "abcdefghijklmnopqrstuvwxyz "


def windows(rng: np.random.Generator) -> Cases:
    """Yield (size, kernel, stride, padding, dilation) along one axis."""
    yield 32, 3, 1, 1, 1
    yield 32, 3, 2, 0, 1
    yield 12, 3, 2, 1, 2
    yield 7, 1, 3, 0, 1
    for _ in range(6):
        kernel, stride, padding, dilation = (int(n) for n in rng.integers(1, 5, 4))
        yield int(rng.integers(14, 40)), kernel, stride, padding, dilation


def same_windows(rng: np.random.Generator) -> Cases:
    """Yield (size, kernel, stride, dilation) for "same" padding."""
    yield 32, 3, 1, 1
    yield 32, 4, 1, 1
    yield 33, 3, 2, 1
    yield 32, 3, 2, 1
    yield 20, 3, 1, 2
    yield 9, 1, 2, 1
    yield 10, 2, 3, 1
    for _ in range(5):
        kernel, stride, dilation = (int(n) for n in rng.integers(1, 6, 3))
        yield int(rng.integers(25, 50)), kernel, stride, dilation


def images(rng: np.random.Generator) -> Cases:
    """Yield (images, weights, stride)."""
    for n, c, o, image, kernel, stride in (
        (1, 1, 1, (4, 5), (2, 3), 1),
        (2, 3, 4, (5, 6), (3, 2), 1),
        (2, 2, 3, (7, 6), (3, 2), 2),
        (3, 1, 2, (6, 8), (1, 3), 3),
        (1, 4, 2, (6, 5), (2, 1), 2),
        (2, 3, 3, (5, 4), (3, 3), 1),
    ):
        yield rng.normal(size=(n, c, *image)), rng.normal(size=(o, c, *kernel)), stride


def gradients(rng: np.random.Generator) -> Cases:
    """Yield (grad_y, weights, height and width of the images, stride)."""
    for n, c, o, image, kernel, stride in (
        (1, 1, 1, (4, 5), (2, 3), 1),
        (2, 3, 2, (5, 6), (3, 2), 1),
        (2, 2, 3, (7, 6), (3, 2), 2),
        (1, 1, 2, (6, 9), (3, 3), 2),
        (3, 2, 1, (5, 7), (1, 3), 3),
    ):
        height, width = image
        out = (height - kernel[0]) // stride + 1, (width - kernel[1]) // stride + 1
        grad_y, weight = rng.normal(size=(n, o, *out)), rng.normal(size=(o, c, *kernel))
        yield grad_y, weight, height, width, stride


def to_unfold(rng: np.random.Generator) -> Cases:
    """Yield (images, height and width of the kernel, stride)."""
    for x, weight, stride in images(rng):
        yield x, *weight.shape[2:], stride


def words(rng: np.random.Generator) -> Cases:
    """Yield (word, alphabet)."""
    yield "stop", ALPHABET
    yield "speed", "deps"
    yield "a b", ALPHABET
    yield "nnn", "opn"
    letters = rng.permutation(list("abcdefgh"))
    yield "".join(rng.choice(letters, 5)), "".join(letters)


def stacks(rng: np.random.Generator) -> Cases:
    """Yield layers one after another, each (kernel, stride, dilation)."""
    yield ([(3, 1, 1)],)
    yield ([(3, 1, 1), (3, 1, 1)],)
    yield ([(3, 1, 1), (2, 2, 1), (3, 1, 1)],)
    yield ([(3, 1, 1), (3, 1, 2), (3, 1, 4)],)
    yield ([(7, 2, 1), (3, 2, 1), (1, 1, 1), (5, 1, 2)],)
    for _ in range(3):
        count = int(rng.integers(2, 5))
        yield ([tuple(int(n) for n in rng.integers((2, 1, 1), (5, 4, 4))) for _ in range(count)],)
