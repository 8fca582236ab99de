"""Channels-last memory behind channels-first shapes."""

import numpy as np

from . import _buffers, _parallel

FAST = (np.dtype(np.float32), np.dtype(np.float64))  # what the compiled kernels take


def channels_last(x):
    """x (N, C, *spatial) -> C-contiguous (N, *spatial, C); copies only if the memory is not so."""
    images = x.transpose(0, *range(2, x.ndim), 1)  # moveaxis is 20 x slower
    if images.flags.c_contiguous:
        return images
    found = _buffers.empty(images.shape, images.dtype)

    def work(_, start, stop):
        found[start:stop] = images[start:stop]

    _parallel.run(work, _parallel.grains(len(images), images.nbytes))
    return found


def logical(x):
    """x (N, *spatial, C) -> view (N, C, *spatial)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def three(lengths):
    """Return (D, H, W) of (W,), (H, W) or (D, H, W): an image is a volume one pixel deep."""
    return (1,) * (3 - len(lengths)) + tuple(lengths)


def volumes(images):
    """images (N, *IN, C) -> view (N, D, H, W, C)."""
    return images.reshape(len(images), *three(images.shape[1:-1]), images.shape[-1])


def flat_like(*arrays):
    """Return 1-D views of arrays that share one memory order, and that order's undoing.

    Elementwise kernels care for no axes: they want all memory in a row.  The
    first array decides the order; the others are copied if theirs differs.
    """
    first = arrays[0]
    if first.flags.c_contiguous or first.ndim < 3:
        return [np.ascontiguousarray(a).reshape(-1) for a in arrays], lambda y: y.reshape(
            first.shape
        )
    inner = (len(first), *first.shape[2:], first.shape[1])
    flats = [channels_last(a).reshape(-1) for a in arrays]
    return flats, lambda y: logical(y.reshape(inner))
