"""Each family of CUDA kernels on arrays far larger than the caches, with what it must move.

The floor of a kernel is what its arguments and results take, each moved once, at the rate of a
copy; or what its operations take at the rate of a matrix product, if that is more. Left out are
families whose arrays are always small (FEW): theirs is the time of a launch; and those that the
host computes on every device (ON_THE_HOST).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from benchmarks import _resnet50
from benchmarks._cuda_minicnn import Numbers
from benchmarks._resnet50 import Shape
from minicnn.ops._spans import window_spans
from minicnn.ops._windows import Window

MEMORY, PRODUCTS = 1.25, 1.5  # times the floor that kernels may take: those that move, convolve
Make = Callable[[Numbers], tuple[Any, ...]]
FEW = ("coefficients",)
ON_THE_HOST = ("segmentation",)
NO_HALVES = ("augmentation", "optimizer", "random")  # families that never see float16
_SGD = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": False, "weight_decay": 0.0}
_ADAM = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.0}


class Sizes(NamedTuple):
    """How large the arrays are."""

    image: tuple[int, ...] = (64, 64, 112, 112)  # N, C, H, W
    rows: int = 1 << 16
    columns: int = 1024
    boxes: int = 8192
    photographs: tuple[int, ...] = (512, 128, 128, 3)
    batch: int = _resnet50.BATCH
    quick: bool = False


TINY = Sizes((2, 4, 6, 6), 5, 8, 6, (2, 6, 6, 3), 2, True)


class Case(NamedTuple):
    """A kernel, and the arguments that are made when it is its turn."""

    family: str
    kernel: str
    make: Make
    options: dict[str, Any] | None = None
    written: tuple[int, ...] = ()  # arguments that it writes to as well
    flop: int = 0
    note: str = ""


def cases(sizes: Sizes) -> Iterator[Case]:
    """Yield those that move memory."""
    yield from _pointwise(sizes)
    yield from _normalization(sizes)
    yield from _pooling(sizes)
    yield from _rows(sizes)
    yield from _others(sizes)
    yield from _optimizers(sizes)


def products(sizes: Sizes) -> Iterator[Case]:
    """Yield those that multiply and add up, and that a precision is chosen for."""
    n = 8 if sizes.quick else 8192
    yield Case("linear", "matmul", lambda numbers: (numbers(n, n), numbers(n, n)), flop=2 * n**3)
    for shape in _resnet50.chosen(sizes.quick):
        if shape.window > 1 or shape.stride == 1:
            yield from _convolution(shape, sizes.batch)


def _pointwise(sizes: Sizes) -> Iterator[Case]:
    image = sizes.image

    def one(numbers: Numbers) -> tuple[Any, ...]:
        return (numbers(*image),)

    def two(numbers: Numbers) -> tuple[Any, ...]:
        return numbers(*image), numbers(*image)

    yield Case("activation", "relu", one)
    yield Case("activation", "relu_grad", two)
    yield Case("activation", "gelu", one)
    yield Case("activation", "gelu_grad", two)
    yield Case("elementwise", "combine", lambda n: ("add", *two(n)))
    yield Case("elementwise", "copied", one)
    yield Case("joining", "concatenate", lambda n: (list(two(n)), 1))
    yield Case("dropout", "drop", lambda n: (*one(n), (1, 2, 0), 0.25, 4 / 3, 1))
    yield Case("reductions", "sum_over", lambda n: (*one(n), (0, 2, 3)))
    yield Case("reductions", "extreme_over", lambda n: (*one(n), (2, 3), True))


def _normalization(sizes: Sizes) -> Iterator[Case]:
    image, channels = sizes.image, sizes.image[1]

    def given(images: int, coefficients: int) -> Make:
        def make(numbers: Numbers) -> tuple[Any, ...]:
            wide = numbers.of(np.float64)
            return (
                *(numbers(*image) for _ in range(images)),
                *(wide(1, channels) for _ in range(coefficients)),
            )

        return make

    def and_rectified(make: Make) -> Callable[[Numbers], Any]:
        return lambda numbers: (*make(numbers), True)

    yield Case("normalization", "moments", lambda n: (*given(1, 0)(n), False))
    yield Case("normalization", "normalize", given(1, 3))
    yield Case("normalization", "normalize_sums", given(2, 1))
    yield Case("normalization", "normalize_grad_x", given(2, 4))
    yield Case("block", "normalize_act", and_rectified(given(1, 3)))
    yield Case("block", "normalize_act_sums", and_rectified(given(2, 3)))


def _pooling(sizes: Sizes) -> Iterator[Case]:
    image = sizes.image
    window = Window.of("roofline", image[2:], 3, 2, 1)
    out = window.output_size("roofline", image[2:])
    spans = window_spans("roofline", image[2:], window, out)
    pooled = (*image[:2], *out)

    def pooled_and_winners(numbers: Numbers) -> tuple[Any, ...]:
        return numbers.kernels.max_pool(numbers(*image), spans)

    name = "3x3 /2"
    yield Case("pooling", "max_pool", lambda n: (n(*image), spans), note=name)
    yield Case("pooling", "max_unpool", lambda n: (*pooled_and_winners(n), image, spans), note=name)
    yield Case("pooling", "sum_pool", lambda n: (n(*image), spans, 1 / 9), note=name)
    yield Case("pooling", "sum_unpool", lambda n: (n(*pooled), image, spans, 1 / 9), note=name)


def _rows(sizes: Sizes) -> Iterator[Case]:
    rows, columns = shape = sizes.rows, sizes.columns

    def labels(numbers: Numbers) -> tuple[Any, ...]:
        return numbers.below(columns, rows), numbers(rows)

    yield Case("softmax", "softmax", lambda n: (n(*shape), 1))
    yield Case("softmax", "softmax_grad", lambda n: (n(*shape), n(*shape), 1))
    yield Case("softmax", "softmax_cross_entropy", lambda n: (n(*shape), *labels(n), 0.1))
    yield Case("softmax", "cross_entropy_grad", lambda n: (n(rows), n(*shape), labels(n)[0], 0.1))
    yield Case(
        "normalization", "normalize_rows", lambda n: (n(*shape), n(columns), n(columns), 1e-5, True)
    )

    def grads(numbers: Numbers) -> tuple[Any, ...]:
        wide = numbers.of(np.float64)
        each = numbers(*shape), numbers(*shape), numbers(columns)
        return (*each, wide(rows), wide(rows), True)

    yield Case("normalization", "normalize_rows_grad", grads)
    yield Case("indexing", "add_rows", lambda n: (n(*shape), n.below(rows, rows), rows))


def _others(sizes: Sizes) -> Iterator[Case]:
    height = sizes.image[2]
    index = np.minimum(np.arange(2 * height)[:, None] // 2 + [0, 1], height - 1)
    weight = np.full(index.shape, 0.5)
    blocks = math.prod(sizes.image) // 4
    photographs, count = sizes.photographs, sizes.photographs[0]

    def warped(numbers: Numbers) -> tuple[Any, ...]:
        bytes_, floats = numbers.below(256, *photographs, dtype=np.uint8), numbers.of(np.float32)
        matrices = np.broadcast_to(np.eye(2, 3, dtype=np.float32), (count, 2, 3))
        return bytes_, numbers.moved(np.array(matrices)), floats(count), floats(count)

    yield Case("resize", "sample_axis", lambda n: (n(*sizes.image), 2, index, weight))
    grown = (*sizes.image[:2], 2 * height, sizes.image[3])
    yield Case("resize", "spread_axis", lambda n: (n(*grown), 2, index, weight, height))
    yield Case("random", "philox_words", lambda n: (1, 2, 0, blocks))
    yield Case("regions", "iou_matrix", lambda n: (n.boxes(sizes.boxes), n.boxes(sizes.boxes)))
    yield Case("augmentation", "warp_affine", warped)
    yield Case("augmentation", "standardize", lambda n: (n.of(np.float32).plain(*photographs), 0.1))
    image, channels = sizes.image, sizes.image[1]
    window = Window.of("roofline", image[2:], 3, 1, 1)
    yield Case(
        "convolution",
        "conv",
        lambda n: (n(*image), n(channels, 1, 3, 3), None, image[2:], window, channels),
        note="3x3 depthwise",
    )


def _optimizers(sizes: Sizes) -> Iterator[Case]:
    def lists(numbers: Numbers, count: int) -> tuple[list[Any], ...]:
        shapes = [
            (shape.filters, shape.channels, shape.window, shape.window)
            for shape, times in _resnet50.chosen(sizes.quick).items()
            for _ in range(times)
        ]
        return tuple([numbers.positive(*shape) for shape in shapes] for _ in range(count))

    def adam(numbers: Numbers) -> tuple[Any, ...]:
        made = lists(numbers, 4)
        return (*made, [1] * len(made[0]))

    note = "ResNet-50's"
    sgd = {**_SGD, "factor": None}
    yield Case("optimizer", "sgd_update", lambda n: lists(n, 3), sgd, (0, 2), note=note)
    options = {**_ADAM, "decoupled": True, "factor": None}
    yield Case("optimizer", "adam_update", adam, options, (0, 2, 3), note=note)
    yield Case("optimizer", "sums_of_squares", lambda n: lists(n, 1), note=note)


def _convolution(shape: Shape, batch: int) -> Iterator[Case]:
    c, o, k = shape.channels, shape.filters, shape.window
    window = Window.of("roofline", (shape.size,) * 2, k, shape.stride, k // 2)
    x, y, weight = (batch, c, *(shape.size,) * 2), (batch, o, *(shape.out,) * 2), (o, c, k, k)
    ways: dict[str, Make] = {
        "conv": lambda n: (n(*x), n(*weight), None, y[2:], window, 1),
        "conv_grad_x": lambda n: (n(*y), n(*weight), x, window, 1),
        "conv_grad_weight": lambda n: (n(*y), n(*x), weight, window, 1),
        "conv_moments": lambda n: (n(*x), n(*weight), y[2:], window, 1),
    }
    for kernel, make in ways.items():
        if c > 3 or kernel != "conv_grad_x":
            yield Case("convolution", kernel, make, flop=shape.flop(batch), note=shape.name)


def size_of(case: Case, arguments: tuple[Any, ...], results: object) -> int:
    """Return the bytes of a kernel's arguments, of what it writes to, and of its results."""
    written = [arguments[i] for i in case.written]
    return sum(array.nbytes for array in leaves((arguments, results, written)))


def leaves(tree: object) -> Iterator[Any]:
    """Yield the arrays in a tree of tuples and lists."""
    if isinstance(tree, tuple | list):
        for branch in tree:
            yield from leaves(branch)
    elif hasattr(tree, "nbytes"):
        yield tree
