"""CUDA without a GPU: a stand-in for CuPy, and for the machine that its kernels run on.

After ``cuda_host.install()`` the name `cupy` is this: arrays that look like CuPy's and lie in the
memory of the host, and a `RawModule` that compiles .cu files as C++ and runs them on the CPU.
Code that was written for a GPU runs on it, slowly, and is proven as far as that goes.

**What is like the real thing**, for code that would fail on a GPU must fail here:

- The names. What CuPy has not is an AttributeError; what CuPy has and the stand-in has not, a
  NotImplementedError. Functions and methods take CuPy's parameters, not NumPy's: no
  ``x.max(initial=0)``, no ``add(x, y, where=mask)``.
- NumPy's arrays are refused in arithmetic, and nothing becomes a NumPy array unasked; numbers of
  Python and NumPy are welcome, and promoted by NumPy's rules, which are CuPy's too. Lists are
  indices, but no operands. NumPy's own functions hand over to the one here of the same name.
- Whatever is computed is an array, 0-d if need be, never a number. To read it the host must ask:
  ``get()``, ``item()``, ``float()``, ``bool()``; it is no ``__index__``.
- Indices of integer arrays wrap round instead of being checked. Assignments of NumPy's arrays to
  slices are refused. ``add.at`` knows the types that CUDA can add atomically.
- Results are contiguous by rows whatever their operands were; only copies, casts and ``*_like``
  keep the order of the axes in memory.
- Memory is aligned to 512 bytes and counted by pools, which have limits.
- Streams are captured into graphs: meanwhile work is recorded and not done, and whatever makes
  the host wait, or copies from memory that is not pinned, is an error and spoils the capture. A
  graph works on the addresses that it saw. It does not keep the arrays alive: if their memory was
  given back to the pool of all, launching the graph is an error here (on a GPU, a wrong result).

**What is stricter**: memory that nobody has written is poisoned: NaN, or the absurd number whose
bytes are all 0x5A; a kernel that forgets part of its output is seen. Around each piece of memory
lie bytes that nobody may touch: to read them gives NaN, to write them is an error as soon as the
host reads the array or gives it back, and AddressSanitizer knows them (see _guards.py).

**What is not like it**: there is one device. Work is done at once, in the order in which it is
given, so that a missing `wait_event` or `synchronize` is not noticed. Floats are added up in
NumPy's order, not in CuPy's. Data types are NumPy's loops for a function, which for a few are
more than CuPy has. Elementwise kernels, FFTs, random numbers and sparse matrices are missing.

Read first _array.py (what an array is), then _calls.py (how a function of NumPy becomes work of
the device) and _device.py (`run`, the funnel which all of that work goes through, and the streams
and graphs that this makes possible).
"""

from __future__ import annotations

import sys


def install():
    """Put the stand-in where ``import cupy`` finds it; again and again does no harm.

    Returns
    -------
    module
        The module that is now called `cupy`.

    Raises
    ------
    RuntimeError
        If the real CuPy was imported before.
    """
    known = sys.modules.get("cupy")
    if known is not None and not hasattr(known, "__stand_in__"):
        raise RuntimeError(
            "cuda_host: the real CuPy is imported already; install the stand-in before that, or "
            "unset MINICNN_CUDA"
        )
    if known is None:
        from . import _modules

        sys.modules.update(_modules.made())
    return sys.modules["cupy"]


def uninstall():
    """Take the stand-in away; arrays that are left go on working."""
    if hasattr(sys.modules.get("cupy"), "__stand_in__"):
        for name in [n for n in sys.modules if n.partition(".")[0] in ("cupy", "cupyx")]:
            del sys.modules[name]


__all__ = ["install", "uninstall"]
