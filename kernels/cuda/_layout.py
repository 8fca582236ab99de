"""Channels-last memory behind channels-first shapes."""

import cupy


def channels_last(x):
    """x (N, C, *spatial) -> C-contiguous (N, *spatial, C); copies only if the memory is not so."""
    return cupy.ascontiguousarray(x.transpose(0, *range(2, x.ndim), 1))


def logical(x):
    """x (N, *spatial, C) -> view (N, C, *spatial)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def image_like(shape, dtype):
    """Return memory for an image (N, C, *spatial), channels last: (N, *spatial, C)."""
    return cupy.empty((shape[0], *shape[2:], shape[1]), dtype)


def three(lengths):
    """Return (D, H, W) of (W,), (H, W) or (D, H, W): an image is a volume one pixel deep."""
    return (1,) * (3 - len(lengths)) + tuple(lengths)


def flat_like(*arrays):
    """Return arrays of one shape with their memory in one order, and the undoing of that order.

    Elementwise kernels care for no axes: they want all memory in a row.  The first array decides
    the order; the others are copied if theirs differs.
    """
    first = arrays[0]
    if first.flags.c_contiguous or first.ndim < 3:
        flats = [cupy.ascontiguousarray(a).reshape(-1) for a in arrays]
        return flats, lambda y: y.reshape(first.shape)
    inner = (first.shape[0], *first.shape[2:], first.shape[1])
    flats = [channels_last(a).reshape(-1) for a in arrays]
    return flats, lambda y: logical(y.reshape(inner))
