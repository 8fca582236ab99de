"""Images as overlapping windows: a view, nothing is copied."""

import numpy as np


def pad(x, window, value=0):
    """x (N, C, *spatial) -> x with the window's padding around it."""
    widths = ((0, 0), (0, 0), *window.padding)
    if not any(map(any, widths)):
        return x
    inside = tuple(
        slice(before, before + n) for n, (before, _) in zip(x.shape, widths, strict=True)
    )
    shape = tuple(n + sum(both) for n, both in zip(x.shape, widths, strict=True))
    xp = array_module(x)
    padded = xp.full(shape, value, x.dtype)
    padded[inside] = x
    return padded


def windows(padded, window):
    """padded (N, C, H, W) -> view (N, C, OH, OW, KH, KW).

    Entry [..., i, j, u, v] is the pixel at (i*SH + u*DH, j*SW + v*DW).
    """
    space, steps = padded.shape[2:], padded.strides[2:]
    out = tuple(
        (n - e) // s + 1 for n, e, s in zip(space, window.extent, window.stride, strict=True)
    )
    strides = (
        *padded.strides[:2],
        *(step * s for step, s in zip(steps, window.stride, strict=True)),
        *(step * d for step, d in zip(steps, window.dilation, strict=True)),
    )
    stride_tricks = array_module(padded).lib.stride_tricks
    return stride_tricks.as_strided(padded, (*padded.shape[:2], *out, *window.size), strides)


def add_windows(parts, image_shape, window):
    """parts (N, C, OH, OW, KH, KW) -> (N, C, H, W): every part added where `windows` took it."""
    xp = array_module(parts)
    n, c, *space = image_shape
    padded = xp.zeros(
        (n, c, *(m + sum(p) for m, p in zip(space, window.padding, strict=True))), parts.dtype
    )
    out = parts.shape[2 : 2 + len(space)]
    for offset in np.ndindex(*window.size):
        at = tuple(
            slice(u * d, u * d + s * (o - 1) + 1, s)
            for u, d, s, o in zip(offset, window.dilation, window.stride, out, strict=True)
        )
        padded[(slice(None), slice(None), *at)] += parts[(Ellipsis, *offset)]
    inside = tuple(slice(p[0], p[0] + m) for m, p in zip(space, window.padding, strict=True))
    return padded[(slice(None), slice(None), *inside)]


def array_module(x):
    """Return numpy or cupy, whichever made x."""
    if isinstance(x, np.ndarray | np.generic):  # an expression of arrays () is an np.generic
        return np
    import cupy

    return cupy
