"""The pooling kernels: the same bits on any number of threads, compiled or not, of every rank."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from minicnn.ops._spans import Spans, bins, window_spans
from minicnn.ops._windows import Window

IMAGES = {1: (50,), 2: (13, 17), 3: (6, 7, 8)}
THREADS = ("1", "2", "4")


@pytest.fixture(scope="module")
def cpu() -> ModuleType:
    return importlib.import_module("minicnn.kernels.cpu")


@pytest.fixture(scope="module")
def plain() -> ModuleType:
    return importlib.import_module("minicnn.kernels.plain")


def spans_of(kind: str, image: tuple[int, ...]) -> Spans:
    if kind == "adaptive":
        return tuple(bins(n, 4) for n in image)
    window = Window.of("op", image, 3, 2, 2, 2)
    return window_spans("op", image, window, window.output_size("op", image, True))


def results(kernels: Any, x: np.ndarray, spans: Spans) -> Iterator[tuple[str, np.ndarray]]:
    """Call every kernel of the family."""
    y, winner = kernels.max_pool(x, spans)
    yield "max_pool", y
    yield "winner", winner
    yield "max_unpool", kernels.max_unpool(y, winner, x.shape, spans)
    yield "max_unpool anywhere", kernels.max_unpool(y, winner, x.shape, None)
    yield "take_winners", kernels.take_winners(x, winner)
    sums = kernels.sum_pool(x, spans, 0.3)
    yield "sum_pool", sums
    yield "sum_unpool", kernels.sum_unpool(sums, x.shape, spans, 0.3)
    for p in (1, 2, 3.5):
        norm = kernels.lp_pool(x, spans, p)
        yield f"lp_pool {p}", norm
        yield f"lp_unpool {p}", kernels.lp_unpool(sums, x, norm, spans, p - 1, True)
        yield f"lp_take {p}", kernels.lp_take(x, x, norm, spans, p - 2, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["sliding", "adaptive"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_number_of_threads_changes_no_bit(rank, kind, dtype, cpu, monkeypatch):
    x = np.random.default_rng(rank).standard_normal((37, 5, *IMAGES[rank])).astype(dtype)
    spans = spans_of(kind, IMAGES[rank])
    found = []
    for threads in THREADS:
        monkeypatch.setenv("MINICNN_THREADS", threads)
        found.append({name: a.tobytes() for name, a in results(cpu, x, spans)})
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("kind", ["sliding", "adaptive"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_compiled_and_plain_agree(rank, kind, cpu, plain):
    x = np.random.default_rng(rank).standard_normal((3, 2, *IMAGES[rank]))
    spans = spans_of(kind, IMAGES[rank])
    for (name, a), (_, b) in zip(results(cpu, x, spans), results(plain, x, spans), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=name)


def test_the_lowest_rank_is_the_highest_one_pixel_high_and_deep(cpu):
    x = np.random.default_rng(0).standard_normal((3, 2, 20)).astype(np.float32)
    spans = spans_of("sliding", (20,))
    for (name, a), (_, b), (_, c) in zip(
        results(cpu, x, spans),
        results(cpu, x[:, :, None], (bins(1, 1), *spans)),
        results(cpu, x[:, :, None, None], (bins(1, 1), bins(1, 1), *spans)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b[:, :, 0], err_msg=name)
        np.testing.assert_array_equal(a, c[:, :, 0, 0], err_msg=name)


def test_spans_are_shared_and_cannot_be_written_to():
    spans = spans_of("sliding", (9,))
    assert spans[0].starts is spans_of("sliding", (9,))[0].starts
    with pytest.raises(ValueError, match="read-only"):
        spans[0].starts[0] = 1
