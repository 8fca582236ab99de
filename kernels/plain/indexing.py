"""Putting rows to places in array expressions."""

import numpy as np

from ._windows import array_module


def add_rows(x, places, rows):
    """x (K, B), places (K,) -> y (rows, B): ``y[places[k]] += x[k]`` into zeros, in order."""
    xp = array_module(x)
    wide = np.float32 if x.dtype == np.float16 else x.dtype  # half precision forgets small summands
    y = xp.zeros((rows, x.shape[1]), wide)
    x_wide = x.astype(wide, copy=False)
    if x.shape[1] == 1:  # NumPy has a fast loop for one axis
        xp.add.at(y.reshape(-1), places, x_wide.reshape(-1))
    else:
        xp.add.at(y, places, x_wide)
    return y.astype(x.dtype, copy=False)
