"""Which pixels of each axis a pooling window sees (pure integers).

A window is a box, so it is known axis by axis: along one of them, window i sees the `counts[i]`
pixels ``starts[i], starts[i] + step, ...``. Padding, dilation, `ceil_mode` and the unequal bins of
adaptive pooling are all in these numbers; the kernels need no others.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicnn.errors import ConfigError
from minicnn.ops._windows import Window


class Span(NamedTuple):
    """The pixels that each window sees along one axis."""

    starts: np.ndarray  # the first, int64, one for each window
    counts: np.ndarray  # how many
    step: int  # from one to the next


Spans = tuple[Span, ...]  # one for each spatial axis


def window_spans(op: str, image: Sequence[int], window: Window, out: Sequence[int]) -> Spans:
    """Return what each of `out` windows sees of the image itself, without the padding.

    Raises
    ------
    ConfigError
        If a window sees padding alone.
    """
    before = [pad[0] for pad in window.padding]
    measures = zip(image, window.size, window.stride, before, window.dilation, out, strict=True)
    spans = tuple(_sliding(*axis) for axis in measures)
    for axis, span in enumerate(spans):
        blind = np.flatnonzero(span.counts < 1)
        if len(blind):
            raise ConfigError(
                f"{op}: window {window.size} dilated by {window.dilation} at step {blind[0]} of "
                f"axis {axis + 2} sees no pixel of image {tuple(image)} padded by "
                f"{window.padding}; use less padding"
            )
    return spans


def padded_counts(image: Sequence[int], window: Window, out: Sequence[int]) -> list[np.ndarray]:
    """Return how many places each window has in the image and its padding, axis by axis.

    A last window that `ceil_mode` added may reach beyond the padding; what is there, and was
    never asked for, does not count.
    """
    counts = []
    for n, k, s, (before, after), d, o in zip(
        image, window.size, window.stride, window.padding, window.dilation, out, strict=True
    ):
        room = n + before + after - s * np.arange(o)  # from the window's first place to the end
        counts.append(np.minimum(k, -(-room // d)))
    return counts


@functools.lru_cache(maxsize=1024)
def bins(pixels: int, out: int) -> Span:
    """Return the bins of adaptive pooling: from floor(i*n/o) to ceil((i+1)*n/o)."""
    i = np.arange(out)
    return _fixed(i * pixels // out, -(-(i + 1) * pixels // out), 1)


@functools.lru_cache(maxsize=1024)
def _sliding(n: int, size: int, stride: int, before: int, dilation: int, out: int) -> Span:
    first = np.arange(out) * stride - before
    stop = np.minimum(first + (size - 1) * dilation + 1, n)
    # In the padding before the image the window's places go on to the first inside: for
    # dilation 1 that is 0, else the remainder (which is >= 0 for a negative number).
    return _fixed(np.where(first < 0, first % dilation, first), stop, dilation)


def _fixed(start: np.ndarray, stop: np.ndarray, step: int) -> Span:
    """Return the span of ranges, in arrays that nobody can change: a cache shares them."""
    starts, counts = start.astype(np.int64), (-((start - stop) // step)).astype(np.int64)
    starts.flags.writeable = counts.flags.writeable = False
    return Span(starts, counts, step)
