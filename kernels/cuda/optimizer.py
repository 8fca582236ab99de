"""One step of an optimiser: one launch for all parameters of a type.

Their addresses go to the device in a table, which is kept: parameters and slots
stay where they are, and a memory pool gives the gradients the same places again in
every step.  Arrays are walked in the order in which the weight lies in memory.
"""

import itertools
from collections import OrderedDict

import cupy
import numpy as np

from .. import capturing
from ..plain import optimizer as plain
from . import _launch

_PIECE = 1024  # elements of a block of threads, as in optimizer.cu
_SUMMED = 16 * _PIECE  # elements of a block that adds up squares
_TABLES = 64  # that are kept; each belongs to one list of arrays
_WIDE = {
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float64): np.dtype(np.float64),
}


def sgd_update(
    weights, grads, velocities, *, learning_rate, momentum, nesterov, weight_decay, factor
):
    """Lists, an entry of one shape each; writes weights, velocities. velocities None: no momentum.

    The formula is that of kernels.plain.
    """
    slots = [] if velocities is None else [velocities]
    for dtype, (w, g, *v) in _by_type([weights, grads, *slots], []):
        if dtype is None:
            capturing.refuse("sgd_update: arrays of types that the kernel does not know")
            settings = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
            settings |= {"learning_rate": learning_rate, "factor": factor}
            plain.sgd_update(w, g, *(v or [None]), **settings)
            continue
        (rate,), place = capturing.varying(lambda: [float(capturing.now(learning_rate))])
        rule = rate, float(momentum), np.bool_(nesterov), float(weight_decay)
        _update("sgd_update", 5, [w, *v], g, *rule, _number(factor), place)


def adam_update(
    weights,
    grads,
    means,
    squares,
    steps,
    *,
    learning_rate,
    beta1,
    beta2,
    epsilon,
    weight_decay,
    decoupled,
    factor,
):
    """Lists, an entry of one shape each; writes weights, means and squares. steps count from 1.

    The formula is that of kernels.plain.
    """
    settings = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2, "factor": factor}
    settings |= {"epsilon": epsilon, "weight_decay": weight_decay, "decoupled": decoupled}

    def numbers(step):
        rate, t = float(capturing.now(learning_rate)), capturing.now(step)
        shrink = rate * weight_decay if decoupled else 0.0
        return rate / (1 - beta1**t), 1 / (1 - beta2**t), shrink

    rule = float(beta1), float(beta2), float(epsilon), 0.0 if decoupled else float(weight_decay)
    for dtype, (w, g, m, s, steps_of) in _by_type([weights, grads, means, squares], [steps]):
        if dtype is None:
            capturing.refuse("adam_update: arrays of types that the kernel does not know")
            plain.adam_update(w, g, m, s, steps_of, **settings)
            continue
        counts = [capturing.now(step) for step in steps_of]
        for count in dict.fromkeys(counts):  # most often, all are in the same step
            here = [i for i, other in enumerate(counts) if other == count]
            step = steps_of[here[0]]
            given, place = capturing.varying(lambda step=step: numbers(step))
            *written, read = ([a[i] for i in here] for a in (w, m, s, g))
            _update("adam_update", 6, written, read, *given, *rule, _number(factor), place)


def sums_of_squares(arrays):
    """Arrays of any shapes -> float64 (arrays,), the sum of the squares of each, on the device."""
    squares = cupy.zeros(len(arrays), np.float64)
    for dtype in dict.fromkeys(x.dtype for x in arrays):
        here = [i for i, x in enumerate(arrays) if x.dtype == dtype]
        if dtype not in _launch.NAMES:
            for i in here:
                wide = arrays[i].astype(np.float64)
                squares[i] = (wide * wide).sum()
            continue
        lines = [_line(arrays[i], _memory_order(arrays[i])) for i in here]
        blocks = [max(1, -(-line.size // _SUMMED)) for line in lines]
        starts = [0, *itertools.accumulate(blocks)]
        partial = cupy.empty(starts[-1], np.float64)
        rows = [(b, line.size, line.data.ptr) for b, line in zip(starts, lines, strict=False)]
        table = _table(tuple(itertools.chain.from_iterable(rows)))
        name = f"partial_squares<{_launch.NAMES[dtype]}>"
        shape = (starts[-1],), (_launch.THREADS,)
        _launch.launch("optimizer", name, *shape, table, len(lines), partial)
        places = _launch.table(list(zip(starts, here, blocks, strict=False)))
        shape = (len(lines),), (_launch.THREADS,)
        _launch.launch("optimizer", "total_squares", *shape, places, partial, squares)
    return squares


def _number(factor):
    """Return what gradients are multiplied by as an array of one float64 on the device, or None."""
    if factor is None or isinstance(factor, cupy.ndarray):
        return factor
    return _launch.table([factor], np.float64)


def _by_type(columns, beside):
    """Yield the entries of lists of arrays whose types a kernel knows, under the weight's type.

    The weight and its gradient have it, the slots the type that it is computed in.  Entries with
    other types come under None.  The lists in `beside` are no arrays and come along.
    """
    entries = {}
    for entry in zip(*columns, *beside, strict=True):
        weight, grad, *slots = entry[: len(columns)]
        wide = _WIDE.get(weight.dtype)
        known = wide and grad.dtype == weight.dtype and all(s.dtype == wide for s in slots)
        entries.setdefault(weight.dtype if known else None, []).append(entry)
    for dtype, those in entries.items():
        yield dtype, [list(column) for column in zip(*those, strict=True)]


def _update(kernel, columns, written, grads, *rule):
    """Run a kernel, whose table has so many columns, on columns of `written` arrays and `grads`."""
    back, kept, numbers, first = [], [], [], 0
    for entry in zip(*written, grads, strict=True):
        *lines, grad = _lines(entry, back)
        kept.append((lines, grad))  # copies must live until the launch
        row = [first, grad.size, lines[0].data.ptr, grad.data.ptr, *(a.data.ptr for a in lines[1:])]
        numbers += row + [0] * (columns - len(row))
        first += -(-grad.size // _PIECE)
    if not first:
        return
    key = tuple(numbers)
    if not _is_known(key) and _overlap(written[0]):  # as if each were alone, in turn
        for entry in zip(*written, grads, strict=True):
            _update(kernel, columns, [[a] for a in entry[:-1]], [entry[-1]], *rule)
        return
    name = f"{kernel}<{_launch.NAMES[grads[0].dtype]}>"
    shape = (first,), (_launch.THREADS,)
    _launch.launch("optimizer", name, *shape, _table(key), len(grads), *rule)
    for array, order, line in back:
        array.transpose(order)[...] = line


def _is_known(numbers):
    return (numbers, cupy.cuda.runtime.getDevice()) in _known


def _table(numbers):
    """Return a tuple of whole numbers on the device, where it is kept for the next step."""
    key = (numbers, cupy.cuda.runtime.getDevice())
    found = _known.pop(key, None)
    if found is None:
        with capturing.aside():
            found = cupy.asarray(np.array(numbers, np.int64))
        if len(_known) >= _TABLES:
            _known.popitem(last=False)  # the one that was not used for longest
    _known[key] = found
    return capturing.keep(found)


_known: OrderedDict = OrderedDict()


def _overlap(weights):
    """Tell whether two of several weights may have memory in common."""
    spans = sorted(_span(weight) for weight in weights)
    return any(end > start for (_, end), (start, _) in itertools.pairwise(spans))


def _span(x):
    """Return where the memory of `x` begins, and where it ends."""
    steps = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)]
    low, high = (sum(pick(step, 0) for step in steps) for pick in (min, max))
    return x.data.ptr + low, x.data.ptr + high + (x.itemsize if x.size else 0)


def _lines(arrays, back):
    """Return arrays of one shape, the last of which is only read, in the memory order of the first.

    Those that have gaps or another order are copied; the written ones are noted in `back`.
    """
    if all(a.flags.c_contiguous for a in arrays):  # most parameters
        return arrays
    order = _memory_order(arrays[0])
    lines = [_line(a, order) for a in arrays]
    for array, line in zip(arrays[:-1], lines[:-1], strict=True):
        if line.data.ptr != array.data.ptr:
            back.append((array, order, line))
    return lines


def _line(x, order):
    """Return x with its axes in an order, without gaps; a copy only if it must be."""
    return cupy.ascontiguousarray(x.transpose(order))


def _memory_order(x):
    """Return the axes of `x` from the longest stride to the shortest."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))
