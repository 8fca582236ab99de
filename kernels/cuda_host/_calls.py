"""How a function of NumPy becomes work of the device: one way for all of them."""

from __future__ import annotations

import numpy as np

from ._array import ndarray, new
from ._device import capturing, run

NUMBERS = (bool, int, float, complex)


def operand(x):
    """Refuse what CuPy's kernels do not take: lists, and above all NumPy arrays."""
    if isinstance(x, ndarray | np.bool_ | np.number) or type(x) in NUMBERS:
        return x
    raise TypeError(f"Unsupported type {type(x)}")


def call(function, *args, keep=False, **kwargs):
    """Call a function of NumPy on the memory of the arrays.

    A result that lies in the memory of an argument becomes a view of it, any other one an array
    of its own: contiguous as CuPy makes them, or with `keep` as NumPy laid it out.
    """
    if capturing():
        return _record(function, args, kwargs, keep)
    done = []
    inputs = arrays_in((args, kwargs))
    run(lambda: done.append(function(*lowered(args), **lowered(kwargs))), inputs=inputs)
    out = kwargs.get("out")
    if isinstance(out, ndarray):
        return out
    owners = {id(a._memory.block): a for a in inputs}
    return _each(done[0], lambda leaf: _raised(leaf, owners, keep))


def change(function, array, *args, **kwargs):
    """Call a function of NumPy that writes into its first argument."""
    if capturing():  # what would fail fails now
        with np.errstate(all="ignore"):
            function(array._host.copy(), *lowered(args), **lowered(kwargs))
    inputs = arrays_in((args, kwargs))
    hosts, options = lowered(args), lowered(kwargs)
    run(lambda: function(array._host, *hosts, **options), [array], inputs)


def _record(function, args, kwargs, keep):
    """A trial says what shapes come out; the work itself is done when the graph is launched."""
    inputs = arrays_in((args, kwargs))
    hosts, options = lowered(args), lowered(kwargs)
    out = kwargs.get("out")
    trial = options | ({"out": np.empty_like(out._host)} if isinstance(out, ndarray) else {})
    with np.errstate(all="ignore"):
        result = function(*hosts, **trial)
    if isinstance(out, ndarray):
        run(lambda: function(*hosts, **options), [out], inputs)
        return out
    owners = {id(a._memory.block): a for a in inputs}
    made = []

    def promised(leaf):
        array = _raised(leaf, owners, keep, filled=False)
        made.append(array if isinstance(array, ndarray) and array._base is None else None)
        return array

    promise = _each(result, promised)
    if any(array is not None for array in made):
        targets = [None if array is None else array._host for array in made]

        def work():
            leaves = []
            _each(function(*hosts, **options), leaves.append)
            for target, leaf in zip(targets, leaves, strict=True):
                if target is not None:
                    target[...] = leaf

        run(work, [array for array in made if array is not None], inputs)
    return promise


def _raised(leaf, owners, keep, filled=True):
    """Make an array of what NumPy returned."""
    if leaf is None or isinstance(leaf, str | np.dtype | type):
        return leaf
    leaf = np.asanyarray(leaf)
    root = leaf
    while isinstance(root.base, np.ndarray):
        root = root.base
    if id(root) in owners:
        return owners[id(root)]._view(leaf)
    array = new(leaf.shape, leaf.dtype, leaf.strides if keep else None)
    if filled:
        array._host[...] = leaf
    return array


def _each(result, change):
    """Change each array of a result that may be a tuple of them."""
    if isinstance(result, tuple) and hasattr(result, "_make"):
        return result._make(_each(leaf, change) for leaf in result)
    if isinstance(result, tuple | list):
        return type(result)(_each(leaf, change) for leaf in result)
    return change(result)


def arrays_in(x):
    """All stand-in arrays in nested tuples, lists and dicts."""
    if isinstance(x, ndarray):
        return [x]
    if isinstance(x, dict):
        x = x.values()
    elif not isinstance(x, tuple | list):
        return []
    return [array for part in x for array in arrays_in(part)]


def lowered(x):
    """The same with NumPy arrays instead."""
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, dict):
        return {key: lowered(part) for key, part in x.items()}
    if type(x) in (tuple, list):
        return type(x)(lowered(part) for part in x)
    return x
