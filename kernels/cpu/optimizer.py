"""One step of an optimiser: a single pass over parameters, gradients and slots, in place.

A net has dozens of small parameters, and a call for each would cost more than
the arithmetic.  So all of them are one line of numbers, one after the other,
cut into pieces whatever parameter they belong to: one call for each piece.

The line exists only as a table of addresses. Parameters that lie in one buffer
would do as well, but then whoever replaces, loads or shares an array would have
to know of it; addresses are taken anew in every step, so nobody must.

The arrays are walked in the order in which the weight lies in memory.  Every
element is computed alike, so neither that order, nor the threads, nor the other
parameters change a bit.
"""

import itertools
import math

import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from ..plain import optimizer as plain
from . import _parallel
from ._jit import njit

_GRAIN = 1 << 16  # elements that are worth a thread
_COMPILED = {np.dtype(np.float32), np.dtype(np.float64)}


def sgd_update(
    weights, grads, velocities, *, learning_rate, momentum, nesterov, weight_decay, factor
):
    """Lists, an entry of one shape each; writes weights, velocities. velocities None: no momentum.

    The formula is that of kernels.plain.
    """
    if factor is not None:
        if not math.isfinite(factor):
            return
        grads = [plain._scaled(grad, factor) for grad in grads]
    slots = () if velocities is None else (velocities,)
    for dtype, (w, g, *v) in _by_type(weights, grads, *slots):
        if dtype is None:
            settings = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}
            settings["factor"] = None
            plain.sgd_update(w, g, *(v or [None]), learning_rate=learning_rate, **settings)
            continue
        rule = [dtype.type(r) for r in (learning_rate, momentum, weight_decay)]
        if v:
            _walk(_sgd_momentum, dtype, (w, *v), g, *rule, bool(nesterov))
        else:
            _walk(_sgd, dtype, (w,), g, *rule[::2])


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
    settings = {"learning_rate": learning_rate, "beta1": beta1, "beta2": beta2}
    settings |= {"epsilon": epsilon, "weight_decay": weight_decay, "decoupled": decoupled}
    settings["factor"] = None
    if factor is not None:
        if not math.isfinite(factor):
            return
        grads = [plain._scaled(grad, factor) for grad in grads]
    shrink = learning_rate * weight_decay if decoupled else 0.0
    for dtype, (w, g, m, s, t) in _by_type(weights, grads, means, squares, steps):
        if dtype is None:
            plain.adam_update(w, g, m, s, t, **settings)
            continue
        rate = {n: learning_rate / (1 - beta1**n) for n in set(t)}  # most often, one
        correction = {n: 1 / (1 - beta2**n) for n in rate}
        rates, corrections = (np.array([of[n] for n in t], dtype) for of in (rate, correction))
        rule = (beta1, 1 - beta1, beta2, 1 - beta2, epsilon, 0.0 if decoupled else weight_decay)
        rule = [dtype.type(r) for r in (*rule, shrink)]
        _walk(_adam, dtype, (w, m, s), g, rates, corrections, *rule)


def sums_of_squares(arrays):
    """Arrays of any shapes -> the sum of the squares of each, floats, added up in one order."""
    sums = [0.0] * len(arrays)
    small = {dtype: [] for dtype in sorted(_COMPILED)}  # all in one call
    for i, x in enumerate(arrays):
        if x.dtype not in small:
            sums[i] = plain.sums_of_squares([x])[0]
            continue
        line = x.reshape(-1) if x.flags.c_contiguous else _packed(x, _memory_order(x))
        line = np.ascontiguousarray(x).reshape(-1) if line is None else line
        if line.size < 2 * _GRAIN:  # one piece
            small[x.dtype].append((i, line))
        else:
            sums[i] = _sum_in_pieces(line)
    for dtype, those in small.items():
        table = np.array([(_address(line), line.size) for _, line in those], np.int64)
        found = np.empty(len(those))
        if those:
            _sums_of_squares(table, np.empty(1, dtype), found)
        for (i, _), s in zip(those, found.tolist(), strict=True):
            sums[i] = s
    return sums


def _sum_in_pieces(line):
    pieces = _pieces(line.size)
    sums = [0.0] * len(pieces)

    def work(p, start, stop):
        sums[p] = _sum_of_squares(line, start, stop)

    _parallel.run(work, pieces)
    return float(sum(sums))


def _by_type(*columns):
    """Yield the entries of lists whose arrays are all of one compiled type, under that type.

    Those of other types, or of several, come under None.
    """
    arrays = [column for column in columns if column and isinstance(column[0], np.ndarray)]
    dtypes = {a.dtype for column in arrays for a in column}
    if len(dtypes) == 1 and dtypes <= _COMPILED:  # nearly always
        yield dtypes.pop(), columns
        return
    entries = {}
    for entry in zip(*columns, strict=True):
        dtypes = {a.dtype for a in entry[: len(arrays)]}
        one = dtypes.pop() if len(dtypes) == 1 and dtypes <= _COMPILED else None
        entries.setdefault(one, []).append(entry)
    for dtype, those in entries.items():
        yield dtype, [list(column) for column in zip(*those, strict=True)]


def _walk(kernel, dtype, written, grads, *rule):
    """Run `kernel` over all elements: columns of `written` arrays and `grads`, and settings."""
    if _overlap(written[0]):  # one after the other, as if each were alone
        for i, entry in enumerate(zip(*written, grads, strict=True)):
            own = [r[i : i + 1] if isinstance(r, np.ndarray) else r for r in rule]
            _walk(kernel, dtype, [[a] for a in entry[:-1]], entry[-1:], *own)
        return
    held, back = [], []  # what must live until all is done; copies to write back
    addresses, ends, end = [], [], 0
    for arrays in zip(*written, grads, strict=True):
        lines = _lines(arrays, back)
        held.append(lines)
        addresses.append([_address(line) for line in lines])
        end += lines[0].size
        ends.append(end)
    pieces = _pieces(end)
    unit = np.empty(1, dtype)  # tells the kernel the type behind the addresses
    given = np.array(addresses, np.int64), np.array(ends, np.int64), unit, *rule
    _parallel.run(lambda _, start, stop: kernel(*given, start, stop), pieces)
    for array, order, line in back:
        view = array.transpose(order)
        view[...] = line.reshape(view.shape)


def _overlap(weights):
    """Tell whether two of several weights may have memory in common."""
    spans = sorted(_span(weight) for weight in weights)
    return any(end > start for (_, end), (start, _) in itertools.pairwise(spans))


def _span(x):
    """Return where the memory of `x` begins, and where it ends."""
    first = _address(x)
    if x.flags.c_contiguous:
        return first, first + x.nbytes
    steps = [(n - 1) * s for n, s in zip(x.shape, x.strides, strict=True)]
    low, high = (sum(pick(step, 0) for step in steps) for pick in (min, max))
    return first + low, first + high + x.itemsize


def _lines(arrays, back):
    """Return arrays of one shape, the last of which is only read, as lines in one order.

    Those that have gaps or another order are copied; the written ones are noted in `back`.
    """
    for a in arrays:
        if not a.flags.c_contiguous:
            break
    else:  # most parameters
        return [a.reshape(-1) for a in arrays]
    *written, grad = arrays
    order = _memory_order(written[0])
    lines = []
    for a in written:
        line = _packed(a, order)
        if line is None:
            line = np.array(a.transpose(order), order="C").reshape(-1)
            back.append((a, order, line))
        lines.append(line)
    return [*lines, np.ascontiguousarray(grad.transpose(order)).reshape(-1)]


def _pieces(size):
    return _parallel.chunks(size, max(1, min(16, size // _GRAIN)))


def _memory_order(x):
    """Return the axes of `x` from the longest stride to the shortest."""
    if x.flags.c_contiguous:
        return tuple(range(x.ndim))
    return tuple(sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis])))


def _packed(x, order):
    """Return the elements of `x` as one line without copying, or None if that cannot be."""
    view = x.transpose(order)
    return view.reshape(-1) if view.flags.c_contiguous else None


@njit
def _address(line):
    return line.ctypes.data  # four times as fast as from Python


@intrinsic
def _pointer(_, address, like):
    """Return an address as a pointer to what an array has for elements."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(address, like), generate


@njit
def _sgd(table, ends, unit, learning_rate, weight_decay, start, stop):
    begin = 0  # of a parameter on the line of all
    for p in range(len(ends)):  # slices, for loops that begin at 0 are known to be vectorised
        size = ends[p] - begin
        first, last = max(start - begin, 0), max(min(stop - begin, size), 0)
        weight = carray(_pointer(table[p, 0], unit), size)[first:last]
        grad = carray(_pointer(table[p, 1], unit), size)[first:last]
        for i in range(len(weight)):
            w = weight[i]
            weight[i] = w - learning_rate * (grad[i] + weight_decay * w)
        begin = ends[p]


@njit
def _sgd_momentum(table, ends, unit, learning_rate, momentum, weight_decay, nesterov, start, stop):
    begin = 0
    for p in range(len(ends)):
        size = ends[p] - begin
        first, last = max(start - begin, 0), max(min(stop - begin, size), 0)
        weight = carray(_pointer(table[p, 0], unit), size)[first:last]
        velocity = carray(_pointer(table[p, 1], unit), size)[first:last]
        grad = carray(_pointer(table[p, 2], unit), size)[first:last]
        for i in range(len(weight)):
            w = weight[i]
            g = grad[i] + weight_decay * w
            v = momentum * velocity[i] + g
            velocity[i] = v
            weight[i] = w - learning_rate * (g + momentum * v if nesterov else v)
        begin = ends[p]


@njit
def _adam(
    table,
    ends,
    unit,
    rates,
    corrections,
    beta1,
    rest1,
    beta2,
    rest2,
    epsilon,
    weight_decay,
    shrink,
    start,
    stop,
):
    begin = 0
    for p in range(len(ends)):
        size = ends[p] - begin
        first, last = max(start - begin, 0), max(min(stop - begin, size), 0)
        weight = carray(_pointer(table[p, 0], unit), size)[first:last]
        mean = carray(_pointer(table[p, 1], unit), size)[first:last]
        square = carray(_pointer(table[p, 2], unit), size)[first:last]
        grad = carray(_pointer(table[p, 3], unit), size)[first:last]
        rate, correction = rates[p], corrections[p]
        for i in range(len(weight)):
            w = weight[i]
            g = grad[i] + weight_decay * w
            m = beta1 * mean[i] + rest1 * g
            s = beta2 * square[i] + rest2 * (g * g)
            mean[i] = m
            square[i] = s
            weight[i] = w - shrink * w - rate * m / (np.sqrt(s * correction) + epsilon)
        begin = ends[p]


@njit
def _sum_of_squares(x, start, stop):
    a = b = c = d = 0.0  # four sums: an addition need not wait for the one before
    last = start + (stop - start) // 4 * 4
    for i in range(start, last, 4):
        a += np.float64(x[i]) * np.float64(x[i])
        b += np.float64(x[i + 1]) * np.float64(x[i + 1])
        c += np.float64(x[i + 2]) * np.float64(x[i + 2])
        d += np.float64(x[i + 3]) * np.float64(x[i + 3])
    for i in range(last, stop):
        a += np.float64(x[i]) * np.float64(x[i])
    return (a + b) + (c + d)


@njit
def _sums_of_squares(table, unit, sums):
    for p in range(len(table)):
        x = carray(_pointer(table[p, 0], unit), table[p, 1])
        sums[p] = _sum_of_squares(x, 0, len(x))
