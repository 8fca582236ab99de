"""One thread at a time creates layers and their parameters; the others find what it made."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

_lock = threading.RLock()  # a layer may be created inside another's first call


@contextlib.contextmanager
def creating() -> Iterator[None]:
    """Be the one that creates something, inside a ``with`` block.

    Ask again inside of it whether it is there: another thread may have been faster.
    """
    with _lock:
        yield


def _forget() -> None:
    """Start afresh: a forked child has not the thread that may have held the lock."""
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
