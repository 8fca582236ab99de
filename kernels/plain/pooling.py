"""Pooling in array expressions."""

import numpy as np

from ._windows import add_windows, array_module, pad, windows


def max_pool2d(x, out_shape, window):
    """x (N, C, H, W) -> y and winner, both (N, C, OH, OW); winner is int32 h*W + w."""
    xp = array_module(x)
    smallest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    view = windows(pad(x, window, smallest), window)
    inside = windows(pad(xp.ones(x.shape[2:], bool)[None, None], window), window)
    height, width = x.shape[2:]
    places = windows(pad(xp.arange(height * width).reshape(1, 1, height, width), window), window)
    n, c, out_h, out_w = out_shape
    size = window.size[0] * window.size[1]
    flat = view[:, :, :out_h, :out_w].reshape(n, c, out_h, out_w, size)
    inside = inside[:, :, :out_h, :out_w].reshape(1, 1, out_h, out_w, size)
    # Rank 2: a NaN inside; 1: inside and not NaN; 0: padding.  The first of the highest wins.
    key = xp.where(flat != flat, np.inf, flat) if x.dtype.kind == "f" else flat
    best = xp.where(inside, key, smallest).max(axis=-1, keepdims=True)
    is_nan = (flat != flat) & inside
    wins = xp.where(is_nan.any(axis=-1, keepdims=True), is_nan, (flat == best) & inside)
    at = wins.argmax(axis=-1)[..., None]
    y = xp.take_along_axis(flat, at, axis=-1)[..., 0]
    places = xp.broadcast_to(
        places[:, :, :out_h, :out_w].reshape(1, 1, out_h, out_w, size), flat.shape
    )
    winner = xp.take_along_axis(places, at, axis=-1)[..., 0]
    return y, winner.astype(np.int32)


def max_unpool2d(grad_y, winner, image_shape):
    """grad_y and winner (N, C, OH, OW) -> (N, C, H, W): every value added to its winner's place."""
    xp = array_module(grad_y)
    planes = image_shape[0] * image_shape[1]
    pixels = image_shape[2] * image_shape[3]
    outputs = winner.shape[2] * winner.shape[3]
    grad_x = xp.zeros((planes, pixels), grad_y.dtype)
    rows = xp.arange(planes)[:, None]
    at = rows, winner.reshape(planes, outputs)
    xp.add.at(grad_x, at, grad_y.reshape(planes, outputs))
    return grad_x.reshape(image_shape)


def take_winners2d(x, winner):
    """x (N, C, H, W), winner (N, C, OH, OW) -> the pixels that won (N, C, OH, OW)."""
    n, c, height, width = x.shape
    flat = x.reshape(n, c, height * width)
    places = winner.reshape(n, c, winner.shape[2] * winner.shape[3]).astype(np.int64)
    taken = array_module(x).take_along_axis(flat, places, axis=2)
    return taken.reshape(winner.shape)


def sum_pool2d(x, out_shape, window):
    """x (N, C, H, W) -> the sum of each window (N, C, OH, OW); padding counts as 0."""
    view = windows(pad(x, window), window)
    return view[:, :, : out_shape[2], : out_shape[3]].sum(axis=(4, 5), dtype=x.dtype)


def sum_unpool2d(grad_y, image_shape, window):
    """grad_y (N, C, OH, OW) -> (N, C, H, W): each value added to every pixel of its window."""
    shape = (*grad_y.shape, *window.size)
    parts = array_module(grad_y).broadcast_to(grad_y[..., None, None], shape)
    return add_windows(parts, image_shape, window)
