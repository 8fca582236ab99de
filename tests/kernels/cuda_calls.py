"""One small call of every kernel: what they all are tried with, on the stand-in and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn.backend.random import Stream
from minicnn.ops._spans import window_spans
from minicnn.ops._windows import Window

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Host:
    """An argument that stays in host memory: a table of whole numbers, say."""

    value: Any


class Numbers:
    """Gives the arrays of a call."""

    def __init__(self, name: str, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        self._stream = Stream(5, "cuda calls", name)

    def __call__(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.asarray(self._stream.normal(shape)).astype(dtype or self.dtype)

    def positive(self, *shape: int, dtype: Any = None) -> np.ndarray:
        return np.abs(self(*shape, dtype=dtype)) + np.asarray(0.5, dtype or self.dtype)

    def below(self, count: int, *shape: int, dtype: Any = np.int64) -> np.ndarray:
        return np.asarray(self._stream.integers(0, count, shape)).astype(dtype)

    def boxes(self, count: int, size: float) -> np.ndarray:
        corner = np.asarray(self._stream.uniform((count, 2), 0, 0.7 * size))
        sides = np.asarray(self._stream.uniform((count, 2), 1, 0.5 * size))
        return np.concatenate([corner, corner + sides], axis=1).astype(self.dtype)


IMAGE = (2, 5, 6, 7)  # N, C, H, W
WINDOW = Window((3, 2), (2, 1), ((1, 1), (0, 1)), (1, 2))
OUT = WINDOW.output_size("calls", IMAGE[2:])
POOL = Window((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
POOLED = POOL.output_size("calls", IMAGE[2:])
SPANS = window_spans("calls", IMAGE[2:], POOL, POOLED)
FILTERS = 4


def _plain(*args: Any, **kwargs: Any) -> Arguments:
    return args, kwargs


def _winners(n: Numbers) -> np.ndarray:
    from minicnn.kernels import plain

    return plain.max_pool(n(*IMAGE), SPANS)[1]


def _channel(n: Numbers, count: int = IMAGE[1]) -> np.ndarray:
    """A coefficient of each channel, float64 (1, C)."""
    return n.positive(1, count, dtype=np.float64)


def _normal(n: Numbers) -> tuple[np.ndarray, ...]:
    return tuple(_channel(n, FILTERS) for _ in range(3))


def _block(n: Numbers) -> Arguments:
    return _plain(
        n(*IMAGE), n(FILTERS, IMAGE[1], 3, 2), None, _normal(n), True, OUT, WINDOW, 1
    )  # fmt: skip


def _regions(n: Numbers) -> tuple[np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    images = n.below(IMAGE[0], 4)
    rows, columns = n.below(4, 4, 3), n.below(4, 4, 2)
    return images, (rows, rows + n.below(4, 4, 3)), (columns, columns + n.below(4, 4, 2))


def _neighbours(n: Numbers) -> tuple[np.ndarray, ...]:
    """Six regions of 7 pixels in a row: boxes, sizes, histograms of colours and textures, pairs."""
    row = np.arange(6, dtype=np.int32)
    boxes = np.stack([row, 0 * row, row + 1, 0 * row + 7], axis=1)
    histograms = (n.below(9, 6, k, dtype=np.int32) for k in (4, 5))
    return boxes, 0 * row + 7, *histograms, np.stack([row[:-1], row[1:]], axis=1)


def _samples(n: Numbers) -> tuple[np.ndarray, tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    images = n.below(IMAGE[0], 4)
    rows = n.below(4, 4, 3), n.positive(4, 3, 2, dtype=np.float64)
    columns = n.below(5, 4, 2), n.positive(4, 2, 2, dtype=np.float64)
    return images, rows, columns


def _region_winners(n: Numbers) -> tuple[np.ndarray, np.ndarray]:
    return n.below(42, 4, 5, 3, 2, dtype=np.int32) - 1, n.below(IMAGE[0], 4)


def _region_maxima(n: Numbers) -> tuple[Any, ...]:
    """Winners in their cells, of which regions, and the cells' rows and columns."""
    from minicnn.kernels import plain

    images, rows, columns = _regions(n)
    return plain.roi_max_pool(n(*IMAGE), images, rows, columns)[1], images, rows, columns


def _axis_table(n: Numbers) -> tuple[Host, Host]:
    return Host(n.below(IMAGE[2], 9, 2)), Host(n(9, 2, dtype=np.float64))


def _parameters(n: Numbers, lists: int) -> tuple[list[np.ndarray], ...]:
    shapes = (3, 5), (7,), (2, 3, 2, 2)
    return tuple([n.positive(*shape) for shape in shapes] for _ in range(lists))


_SGD = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 0.01,
    "factor": None,
}
_ADAM = {
    "learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.01,
    "decoupled": True, "factor": None}  # fmt: skip
_LABELS = (6,)

CALLS: dict[str, Callable[[Numbers], Arguments]] = {
    "adam_update": lambda n: _plain(*_parameters(n, 4), [1, 2, 3], **_ADAM),
    "add_rows": lambda n: _plain(n(11, 3), n.below(4, 11), 6),
    "col2im": lambda n: _plain(n(2, 30, OUT[0] * OUT[1]), IMAGE, OUT, WINDOW),
    "combine": lambda n: _plain("multiply", n(*IMAGE), n(*IMAGE)),
    "concatenate": lambda n: _plain([n(3, 2, 4), n(3, 5, 4)], 1),
    "conv": lambda n: _plain(
        n(*IMAGE), n(FILTERS, IMAGE[1], 3, 2), n(FILTERS), OUT, WINDOW, 1
    ),
    "conv_act": _block,
    "conv_block_grad": lambda n: _plain(
        n(2, FILTERS, *OUT), n(2, FILTERS, *OUT), n(*IMAGE), n(FILTERS, IMAGE[1], 3, 2),
        _normal(n), _normal(n), True, WINDOW, 1, (True, True),
    ),
    "conv_grad_weight": lambda n: _plain(
        n(2, FILTERS, *OUT), n(*IMAGE), (FILTERS, IMAGE[1], 3, 2), WINDOW, 1
    ),
    "conv_grad_x": lambda n: _plain(
        n(2, FILTERS, *OUT), n(FILTERS, IMAGE[1], 3, 2), IMAGE, WINDOW, 1
    ),
    "conv_moments": lambda n: _plain(n(*IMAGE), n(FILTERS, IMAGE[1], 3, 2), OUT, WINDOW, 1),
    "copied": lambda n: _plain(n(*IMAGE)),
    "cross_entropy_grad": lambda n: _plain(n(6), -n.positive(6, 5), n.below(5, 6), 0.1),
    "drop": lambda n: _plain(n(*IMAGE), (2**63 + 5, 7, 3), 0.4, 1 / 0.6, 6 * 7),
    "elu": lambda n: _plain(n(*IMAGE), 1.2, 0.8, 1.1),
    "elu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), 1.2, 0.8, 1.1),
    "erf": lambda n: _plain(n(*IMAGE)),
    "extreme_over": lambda n: _plain(n(*IMAGE), (2, 3), True),
    "extreme_over_grad": lambda n: _plain(
        n(2, 5, 1, 1), (x := n(*IMAGE)), x.max(axis=(2, 3), keepdims=True)
    ),
    "gelu": lambda n: _plain(n(*IMAGE)),
    "gelu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "gelu_tanh": lambda n: _plain(n(*IMAGE)),
    "gelu_tanh_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "hard_swish": lambda n: _plain(n(*IMAGE)),
    "hard_swish_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "hard_tanh": lambda n: _plain(n(*IMAGE), -0.5, 0.7),
    "hard_tanh_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), -0.5, 0.7),
    "im2col": lambda n: _plain(n(*IMAGE), OUT, WINDOW),
    "iou_matrix": lambda n: _plain(n.boxes(7, 20), n.boxes(5, 20)),
    "leaky_relu": lambda n: _plain(n(*IMAGE), 0.2),
    "leaky_relu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), 0.2),
    "log_softmax": lambda n: _plain(n(6, 5), 1),
    "log_softmax_grad": lambda n: _plain(n(6, 5), -n.positive(6, 5), 1),
    "lp_pool": lambda n: _plain(n(*IMAGE), SPANS, 2.5),
    "lp_take": lambda n: _plain(
        n(*IMAGE), n(*IMAGE), n.positive(*IMAGE[:2], *POOLED), SPANS, 1.5, True
    ),
    "lp_unpool": lambda n: _plain(
        n(*IMAGE[:2], *POOLED), n(*IMAGE), n.positive(*IMAGE[:2], *POOLED), SPANS, 1.5, True
    ),
    "matmul": lambda n: _plain(n(7, 5), n(5, 9)),
    "max_pool": lambda n: _plain(n(*IMAGE), SPANS),
    "max_unpool": lambda n: _plain(n(*IMAGE[:2], *POOLED), _winners(n), IMAGE, SPANS),
    "merge_regions": lambda n: _plain(*_neighbours(n), 42, (1, 1, 1, 1)),
    "mish": lambda n: _plain(n(*IMAGE)),
    "mish_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "moments": lambda n: _plain(n(*IMAGE), False),
    "move_averages": lambda n: _plain(
        n(5, dtype=np.float32), n.positive(5, dtype=np.float32), np.asarray(7),
        n(5, dtype=np.float64), n.positive(5, dtype=np.float64), 0.9, 84,
    ),
    "nms": lambda n: _plain(n.boxes(12, 20), np.repeat(np.arange(3), 4), 0.3, 3),
    "normalize": lambda n: _plain(n(*IMAGE), _channel(n), _channel(n), _channel(n)),
    "normalize_act": lambda n: _plain(n(*IMAGE), _channel(n), _channel(n), _channel(n), True),
    "normalize_act_sums": lambda n: _plain(
        n(*IMAGE), n(*IMAGE), _channel(n), _channel(n), _channel(n), True
    ),
    "normalize_coefficients": lambda n: _plain(
        _channel(n), _channel(n), n.positive(5), n(5), 1e-3
    ),
    "normalize_grad_x": lambda n: _plain(
        n(*IMAGE), n(*IMAGE), _channel(n), _channel(n), _channel(n), _channel(n)
    ),
    "normalize_rows": lambda n: _plain(n(6, 9), n(9), n(9), 1e-3, True),
    "normalize_rows_grad": lambda n: _plain(
        n(6, 9), n(6, 9), n(9), n(6, dtype=np.float64), n.positive(6, dtype=np.float64), True
    ),
    "normalize_slopes": lambda n: _plain(
        _channel(n), _channel(n), _channel(n), _channel(n), 84, n.dtype
    ),
    "normalize_sums": lambda n: _plain(n(*IMAGE), n(*IMAGE), _channel(n)),
    "philox_words": lambda n: _plain(2**63 + 5, 7, 3, 9),
    "prelu": lambda n: _plain(n(*IMAGE), n(5)),
    "prelu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), n(5)),
    "prepare_conv_act": _block,
    "region_histograms": lambda n: _plain(
        n.below(4, 6, 7, dtype=np.int32), n.below(5, 6, 7, 3, dtype=np.uint8), 4, 5
    ),
    "relu": lambda n: _plain(n(*IMAGE)),
    "relu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "remap": lambda n: _plain(
        n.below(256, 6, 7, 3, dtype=np.uint8), 4 + 4 * n(2, 5, 4, dtype=np.float32), (1, 2, 3)
    ),
    "remap_nearest": lambda n: _plain(
        n.below(256, 6, 7, dtype=np.uint8), 4 + 4 * n(2, 5, 4, dtype=np.float32), 9
    ),
    "roi_max_pool": lambda n: _plain(n(*IMAGE), *_regions(n)),
    "roi_max_unpool": lambda n: _plain(n(4, 5, 3, 2), *_region_maxima(n), IMAGE),
    "roi_sample": lambda n: _plain(n(*IMAGE), *_samples(n)),
    "roi_spread": lambda n: _plain(n(4, 5, 3, 2), *_samples(n), IMAGE),
    "roi_take_winners": lambda n: _plain(n(*IMAGE), *_region_winners(n)),
    "sample_axis": lambda n: _plain(n(*IMAGE), 2, *_axis_table(n)),
    "segment": lambda n: _plain(200 * n.positive(6, 7, 3, dtype=np.float32), (5.0, 300.0), 2),
    "sgd_update": lambda n: _plain(*_parameters(n, 3), **_SGD),
    "sigmoid": lambda n: _plain(n(*IMAGE)),
    "sigmoid_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE)),
    "silu": lambda n: _plain(n(*IMAGE), 1.5),
    "silu_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), 1.5),
    "softmax": lambda n: _plain(n(6, 5), 1),
    "softmax_cross_entropy": lambda n: _plain(n(6, 5), n.below(5, 6), n.positive(6), 0.1),
    "softmax_grad": lambda n: _plain(n(6, 5), n.positive(6, 5), 1),
    "softplus": lambda n: _plain(n(*IMAGE), 1.5),
    "softplus_grad": lambda n: _plain(n(*IMAGE), n(*IMAGE), 1.5),
    "softsign": lambda n: _plain(n(*IMAGE)),
    "spread_axis": lambda n: _plain(n(2, 5, 9, 7), 2, *_axis_table(n), 6),
    "standardize": lambda n: _plain(n(3, 4, 5, 3, dtype=np.float32), 0.1),
    "sum_channels": lambda n: _plain(n(*IMAGE), 2, 1),
    "sum_over": lambda n: _plain(n(*IMAGE), (0, 2, 3)),
    "sum_pool": lambda n: _plain(n(*IMAGE), SPANS, 0.25),
    "sum_unpool": lambda n: _plain(n(*IMAGE[:2], *POOLED), IMAGE, SPANS, 0.25),
    "sums_of_squares": lambda n: _plain(*_parameters(n, 1)),
    "take_winners": lambda n: _plain(n(*IMAGE), _winners(n)),
    "warp_affine": lambda n: _plain(
        n.below(256, 2, 6, 7, 3, dtype=np.uint8), n(2, 2, 3, dtype=np.float32),
        n.positive(2, dtype=np.float32), n(2, dtype=np.float32),
    ),
}  # fmt: skip


def arguments(name: str, dtype: Any) -> Arguments:
    """Return what to call a kernel with: NumPy arrays, nested in tuples and lists."""
    return CALLS[name](Numbers(name, dtype))


def moved(value: Any, move: Callable[[np.ndarray], Any]) -> Any:
    """Return a nest of arguments with its arrays moved, except those that stay in host memory."""
    if isinstance(value, Host):
        return value.value
    if isinstance(value, np.ndarray):
        return move(value)
    if type(value) in (tuple, list):
        if _is_host_table(value):
            return value
        return type(value)(moved(v, move) for v in value)
    if isinstance(value, dict):
        return {k: moved(v, move) for k, v in value.items()}
    return value


def _is_host_table(value: Any) -> bool:
    return value is SPANS


def call(kernels: Any, name: str, dtype: Any, move: Callable[[np.ndarray], Any]) -> list[Any]:
    """Call a kernel; return its results, and what it wrote, in a row."""
    args, kwargs = (moved(part, move) for part in arguments(name, dtype))
    result = getattr(kernels, name)(*args, **kwargs)
    if name == "prepare_conv_act":
        result = result(args[0])
    if name == "sums_of_squares":
        result = list(result)  # of floats, or an array on the device
    written = args if name in ("sgd_update", "adam_update") else ()
    return [leaf for leaf in _leaves((result, written)) if leaf is not None]


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, tuple | list):
        return [leaf for v in value for leaf in _leaves(v)]
    return [value]
