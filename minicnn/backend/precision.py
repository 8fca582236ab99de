"""Mixed precision: products in 16 bits, all that adds up or must not drift in 32.

Inside ``with mixed_precision():`` the layers that multiply matrices (convolutions,
dense ones) round their input and their weights to float16 and give float16; the
matrix units of a GPU do that many times faster, and add up in float32.  Parameters
stay float32 (they are the master copies of the paper), normalisation takes its
statistics in float32 or better and keeps its parameters, and losses are computed in
float32.  Gradients travel in float16, where what is less than 6e-8 is 0: scale the
loss up by `minicnn.optim.LossScaler`, as `RunConfig(precision="float16")` does.

References
----------
Micikevicius et al., "Mixed Precision Training", ICLR 2018.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator

import numpy as np

__all__ = ["is_mixed", "mixed_precision"]

_mixed: contextvars.ContextVar[bool] = contextvars.ContextVar("minicnn_mixed", default=False)


@contextlib.contextmanager
def mixed_precision(enabled: bool = True) -> Iterator[None]:
    """Let layers multiply in float16 inside a ``with`` block, in this thread.

    Parameters
    ----------
    enabled : bool, default True
        False: as if the block around it were not there.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn
    >>> layer = nn.Dense(4, 2)
    >>> with nn.mixed_precision():
    ...     y = layer(Tensor(np.ones((1, 4), np.float32)))
    >>> str(y.dtype), str(layer.weight.dtype)
    ('float16', 'float32')
    """
    before = _mixed.get()
    _mixed.set(bool(enabled))
    try:
        yield
    finally:
        _mixed.set(before)


def is_mixed() -> bool:
    """Tell whether layers multiply in float16 now.

    Returns
    -------
    bool
        True inside ``with mixed_precision():``.
    """
    return _mixed.get()


NARROW = np.dtype(np.float16)
