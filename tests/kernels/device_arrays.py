"""Arrays on the device (or what plays it), in several memory orders."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np


def there(x: np.ndarray) -> Any:
    """Return a copy on the device, C-contiguous."""
    return importlib.import_module("cupy").asarray(np.asarray(x, order="C"))


def last(x: np.ndarray) -> Any:
    """Return a copy (N, C, ...) whose channels lie side by side."""
    if x.ndim < 3:
        return there(x)
    return there(np.moveaxis(x, 1, -1)).transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def shifted(x: np.ndarray) -> Any:
    """Return a C-contiguous copy that does not begin at a multiple of 16 bytes."""
    flat = there(np.concatenate([np.ones(1, x.dtype), x.reshape(-1)]))
    return flat[1:].reshape(x.shape)


def spaced(x: np.ndarray) -> Any:
    """Return a copy with gaps between its numbers."""
    return there(np.repeat(x, 2, axis=-1))[..., ::2]


ORDERS = (there, last, shifted, spaced)


def close(got: Any, right: Any, dtype: Any, factor: float = 1.0) -> None:
    """Compare what the device computed with float64; `factor` allows for long sums."""
    dtype, got, right = np.dtype(dtype), got.get(), np.asarray(right)
    assert got.dtype == dtype
    assert got.shape == right.shape
    # Some roundings of a number of this type; float16 is computed in float32 and rounded once.
    rounding = factor * float(np.finfo(dtype).eps) * (1 if dtype == np.float16 else 8)
    with np.errstate(over="ignore"):  # what float16 cannot hold is inf there
        right = right.astype(dtype).astype(np.float64) if dtype == np.float16 else right
    np.testing.assert_allclose(got.astype(np.float64), right, rtol=rounding, atol=rounding)
