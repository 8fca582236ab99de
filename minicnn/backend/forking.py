"""Where OpenMP and fork cannot mix.

Nothing of minicnn starts OpenMP: its kernels have threads of their own, which a forked child starts
anew.  But a program's own functions, compiled by Numba with ``parallel=True``, may run on GNU's
OpenMP, which does not survive a fork: Numba ends a child that calls one, by a SIGTERM to itself.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

__all__ = ["ADVICE", "lost_openmp"]

ADVICE = (
    "functions of your own that Numba compiled with parallel=True end a forked process if they ran "
    "before the fork: start it with multiprocessing.get_context('spawn'), or choose another layer, "
    "NUMBA_THREADING_LAYER=workqueue"
)
_lost = False


def lost_openmp() -> bool:
    """Tell whether this process was forked from one whose Numba was running on GNU's OpenMP.

    Returns
    -------
    bool
        False also where minicnn was imported after an ``os.fork()`` without `multiprocessing`.
    """
    return _lost


def _uses_openmp() -> bool:
    pool = sys.modules.get("numba.np.ufunc.omppool")
    if pool is None or getattr(pool, "openmp_vendor", "GNU") != "GNU":
        return False
    try:
        return bool(sys.modules["numba.np.ufunc.parallel"].threading_layer() == "omp")
    except ValueError:  # it did not run yet
        return False


def _note_loss() -> None:
    global _lost
    _lost = _lost or _uses_openmp()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_loss)
    spawned = "--multiprocessing-fork" in sys.orig_argv
    if multiprocessing.parent_process() is not None and not spawned:  # forked before this import
        _note_loss()
