"""Where a NaN or an infinity came from: the data, a weight, a layer and its op, a gradient.

`check_loss`, `check_gradients` and `check_buffers` look at a step whose loss and gradients are
known and whose update has not been done. What they find is computed again to find its origin.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import Tensor, find_nan, no_grad, walk_back
from minicnn.backend import array_module, kernels_for
from minicnn.errors import GradientError
from minicnn.estimator.spec import EstimatorSpec

Named = Sequence[tuple[str, Any]]
_ADVICE = "the weights are those before this step; try a lower learning rate or clip_norm"
_FEW = 5  # as many examples of a batch are named
_SMALL = 1 << 14  # elements of an array


@dataclass
class Computed:
    """A step, computed up to its update.

    Attributes
    ----------
    number : int
        Which step of the run, counted from 1.
    module : Module
        What holds the weights.
    features, labels : Any
        The batch.
    loss : float
        Its loss.
    forward : callable
        Computes the batch once more.
    params : list of (str, Parameter)
        Those that the optimiser changes.
    who : str
        Who looks, for the messages.
    """

    number: int
    module: nn.Module
    features: Any
    labels: Any
    loss: float
    forward: Callable[[], EstimatorSpec]
    params: Named
    who: str = "train"


def fault(number: int, text: str) -> GradientError:
    """Return an error about the numbers of a step, whose batch is worth keeping."""
    error = GradientError(text)
    error._in_step = number
    return error


def check_loss(step: Computed) -> None:
    """Raise a GradientError that names the origin if the loss is not finite."""
    if math.isfinite(step.loss):
        return
    head = f"{step.who}: the loss is {step.loss} in step {step.number}; "
    for name, p in step.module.named_parameters():
        if not is_finite(p):
            raise GradientError(
                f"{head}the parameter {name!r}{owner(step.module, name)} was not finite before "
                "this step: look at what set it, or load other weights"
            )
    raise fault(step.number, head + _origin(step))


def check_gradients(step: Computed) -> None:
    """Raise a GradientError that names the origin if a gradient is not finite."""
    named = [(name, p.grad) for name, p in step.params if p.grad is not None]
    broken = [named[i][0] for i in not_finite([g for _, g in named])]
    if broken:
        raise fault(
            step.number,
            f"{step.who}: in step {step.number} the loss is {step.loss}, but the gradients of "
            f"{len(broken)} of {len(named)} parameters are not finite; backward, the first is that "
            f"of {broken[-1]!r}{owner(step.module, broken[-1])}{first_op(step, backward=True)}; "
            f"{_ADVICE}",
        )


def check_buffers(step: Computed, buffers: Sequence[nn.Buffer]) -> None:
    """Raise a GradientError if moving averages became NaN or infinite.

    Buffers that never change, such as masks, may hold infinities.
    """
    floats = [b for b in buffers if b.dtype.kind == "f"]
    broken = [floats[i] for i in not_finite(floats)]
    if not broken:
        return
    before = [buffer.data for buffer in broken]
    with no_grad(), np.errstate(all="ignore"):
        step.forward()
    faulty = {
        id(b) for b, x in zip(broken, before, strict=True) if b.data is not x or _kind(x) == "NaN"
    }
    named = [(name, b) for name, b in step.module.named_buffers() if id(b) in faulty]
    if named:
        name, first = named[0]
        raise fault(
            step.number,
            f"{step.who}: in step {step.number} the loss is {step.loss}, but the moving averages "
            f"{listed([name for name, _ in named])} are not finite; {name!r}"
            f"{owner(step.module, name)} has {faults_of(first)}{_found_in_data(step)}"
            f"{first_op(step)}; the weights and averages are those before this step",
        )


def first_op(step: Computed, backward: bool = False) -> str:
    """Compute the batch again, looking at every op, and say which one it is."""
    try:
        with find_nan():
            if not backward:
                with no_grad():
                    step.forward()
            else:
                loss = step.forward().loss
                assert loss is not None
                for _ in walk_back(loss):
                    pass
    except GradientError as error:
        return f"; {error}"
    return ""


def total_square(arrays: Sequence[Any]) -> float:
    """Return the sum of all squares: no finite number if one is none, or if that overflows.

    Small arrays are put one behind the other: a call for each would cost more than the sums.
    """
    if set(map(type, arrays)) != {np.ndarray}:
        return sum(sums_of_squares(arrays))
    large = [x for x in arrays if x.size >= _SMALL]
    total = sum(sums_of_squares(large)) if large else 0.0
    if len(large) < len(arrays):
        small = arrays if not large else [x for x in arrays if x.size < _SMALL]
        line = np.concatenate(small, axis=None)
        line = line if line.itemsize > 2 else line.astype(np.float32)
        with np.errstate(all="ignore"):
            total += float(line.dot(line))
    return total


def sums_of_squares(arrays: Sequence[Any]) -> list[float]:
    """Return the sum of the squares of each array; the host waits for a GPU."""
    kernels = [kernels_for(x) for x in arrays]
    sums = [0.0] * len(arrays)
    for k in dict.fromkeys(kernels):  # one, unless they are on several devices
        here = [i for i, other in enumerate(kernels) if other is k]
        found = k.sums_of_squares([arrays[i] for i in here])
        for i, s in zip(here, found if isinstance(found, list) else found.tolist(), strict=True):
            sums[i] = s
    return sums


def not_finite(tensors: Iterable[Any]) -> list[int]:
    """Return which of several Tensors or arrays of floats hold a NaN or an infinity."""
    arrays = [_array(x) for x in tensors]
    sums = sums_of_squares(arrays)  # quicker, but they may overflow
    return [i for i, s in enumerate(sums) if not math.isfinite(s) and not is_finite(arrays[i])]


def is_finite(x: Any) -> bool:
    """Tell whether a Tensor or an array holds neither NaN nor infinity."""
    data = _array(x)
    if data.dtype.kind != "f":
        return True
    return bool(array_module(data).isfinite(data).all())


def has_nan(x: Any) -> bool:
    """Tell whether a Tensor or an array holds a NaN."""
    return not is_finite(x) and _kind(_array(x)) == "NaN"


def largest(x: Any) -> float:
    """Return the largest magnitude in a Tensor; NaN if one is in it."""
    return float(abs(x.data).max()) if x.size else 0.0


def faults_of(x: Any) -> str:
    """Say how many elements of a Tensor are not finite, and where the first one is."""
    data = _array(x)
    xp = array_module(data)
    bad = ~xp.isfinite(data)
    n = int(bad.sum())
    place = tuple(int(i) for i in np.unravel_index(int(bad.argmax()), data.shape))
    value = float(data[place])
    return f"{n} of {data.size} elements not finite, the first {value} at {place}"


def _origin(step: Computed) -> str:
    """Say what is the first thing that is not finite, in the order of the computation."""
    data = _found_in_data(step)
    if "NaN" in data:
        return data[2:]
    return f"{data[2:]}; {_first_layer(step)}" if data else _first_layer(step)


def _first_layer(step: Computed) -> str:
    """Compute the batch again, and look at the output of each layer as it comes."""
    found: list[str] = []
    names = {id(m): name for name, m in step.module.named_modules()}

    def look(layer: nn.Module, given: tuple[Any, ...], output: Any) -> None:
        for _, leaf in () if found else _leaves(output, ""):
            if not found and isinstance(leaf, Tensor) and not is_finite(leaf):
                name = names.get(id(layer), "") or "the model"
                kind = _kind(leaf.data)
                found.append(f"{kind} first in the output of {name} ({type(layer).__name__})")

    handles = [m.register_forward_hook(look) for _, m in step.module.named_modules()]
    try:
        with no_grad(), np.errstate(all="ignore"):
            step.forward()
    finally:
        for handle in handles:
            handle.remove()
    where = found[0] if found else "all layers' outputs are finite: it is the loss function itself"
    return f"{where}{first_op(step)}; {_ADVICE}"


def _found_in_data(step: Computed) -> str:
    """Say which examples of the batch are not finite, "" if none is."""
    leaves = [*_leaves(step.features, "features"), *_leaves(step.labels, "labels")]
    texts = [
        (name, leaf)
        for name, leaf in leaves
        if isinstance(leaf, np.ndarray) and leaf.dtype.kind == "U" and leaf.ndim == 1
    ]
    found = [
        f"{_kind(leaf.data)} in {name}{_examples(leaf.data, texts)}"
        for name, leaf in leaves
        if isinstance(leaf, Tensor) and not is_finite(leaf)
    ]
    return f"; the batch came with {'; and with '.join(found)}" if found else ""


def _examples(data: Any, texts: Named) -> str:
    """Say in which rows of a batch there are faults, and what the batch calls the first one."""
    if not data.ndim:
        return ""
    bad = ~array_module(data).isfinite(data).reshape(len(data), -1).all(axis=1)
    rows = [i for i, is_bad in enumerate(bad.tolist()) if is_bad]
    which = ", ".join(map(str, rows[:_FEW])) + (", ..." if len(rows) > _FEW else "")
    text = f", example(s) {which} of {len(data)}, counted from 0"
    known = [f"{name} is {str(t[rows[0]])!r}" for name, t in texts if len(t) == len(data)]
    return text + (f", where {' and '.join(known)}" if known else "")


def _leaves(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield what a batch or an output is made of, with names such as ``features['image']``."""
    if isinstance(tree, dict):
        for key, branch in tree.items():
            yield from _leaves(branch, f"{name}[{key!r}]")
    elif isinstance(tree, tuple | list):
        for i, branch in enumerate(tree):
            yield from _leaves(branch, f"{name}[{i}]")
    else:
        yield name, tree


def _array(x: Any) -> Any:
    return x.data if isinstance(x, Tensor) else x


def _kind(data: Any) -> str:
    return "NaN" if bool(array_module(data).isnan(data).any()) else "infinity"


def listed(names: Sequence[str]) -> str:
    """Return the first few names, in quotes, with commas between."""
    return ", ".join(map(repr, names[:_FEW])) + (", ..." if len(names) > _FEW else "")


def owner(module: nn.Module, name: str) -> str:
    """Return the kind of the layer that a parameter or a buffer belongs to, in brackets."""
    layer = dict(module.named_modules()).get(name.rpartition(".")[0])
    return "" if layer is None else f" ({type(layer).__name__})"
