"""Launching what joins many numbers to one (reduce.cuh, reductions.cu).

How arrays are cut into parts follows from their shapes alone, so that sums are the same on every
card: the parts keep the largest card busy, and a small one takes more turns.
"""

import cupy
import numpy as np

from . import _launch

WIDE = {  # in which type numbers of a type are summed
    np.dtype(np.float16): np.dtype(np.float32),
    np.dtype(np.float32): np.dtype(np.float32),
    np.dtype(np.float64): np.dtype(np.float64),
    np.dtype(np.int64): np.dtype(np.int64),
}
_NAMES = {**_launch.NAMES, np.dtype(np.int64): "Index"}
_WIDTH = 64  # columns of a block at most, as in reduce.cuh
_BLOCKS = 1024  # that keep any card busy
_EACH = 32  # numbers that a thread joins at least, before its part is cut
_SHORT = 1024  # a row that a warp takes
_FEW, _MANY = 32, 1 << 13  # a pixel's numbers that are few; pixels that are many


def joined(op, x, best, size, dtype):
    """x, flat (outer * count * inner,) -> flat (outer * inner,), by Sum, Largest, Smallest or Ties.

    `best`, flat (outer * inner,), is what Ties compares with; for others it is any such array.
    """
    outer, count, inner = size
    if inner == 1 or count <= _FEW or outer * inner >= _MANY:
        return _rows(op, x, best, size, dtype)
    return columns(op, x, best, size, dtype)


def columns(op, x, best, size, dtype):
    """Join where `inner` numbers lie side by side: blocks take parts of up to 64 columns."""
    outer, count, inner = size
    parts = column_parts(outer, count, inner)
    whole = parts == 1
    y = cupy.empty(outer * parts * inner, dtype if whole else _total(op, x))
    name = f"reduce_columns<{_NAMES[x.dtype]}, {_NAMES[y.dtype]}, {op}>"
    grid = (min(column_blocks(outer, inner, parts), 1 << 20),)
    _launch.launch("reductions", name, grid, (_launch.THREADS,), x, best, y, *size, parts)
    if whole:
        return y
    return _rows(_next(op), y, y, (outer, parts, inner), dtype)


def _rows(op, x, best, size, dtype):
    """Join rows, or pixels, each by a team of threads."""
    outer, count, inner = size
    rows = outer * inner
    threads = team(rows, count, inner)
    parts = row_parts(rows, count) if threads == _launch.THREADS and inner == 1 else 1
    whole = parts == 1
    y = cupy.empty(rows * parts, dtype if whole else _total(op, x))
    name = f"reduce_rows<{_NAMES[x.dtype]}, {_NAMES[y.dtype]}, {op}>"
    args = x, best, y, rows, count, inner, parts, threads
    _launch.launch("reductions", name, team_grid(rows * parts, threads), (_launch.THREADS,), *args)
    return y if whole else _rows(_next(op), y, y, (rows, parts, 1), dtype)


def _next(op):
    """Return what joins the results of parts."""
    return "Sum" if op == "Ties" else op


def _total(op, x):
    return np.dtype(np.int64) if op == "Ties" else WIDE[x.dtype]


def team(rows, count, inner):
    """Return how many threads take one row together: 1, 2, 4, ... 32, or a block."""
    if inner > 1:  # neighbouring threads are to read neighbours, if there are enough
        if count <= _FEW or rows >= _MANY:
            return 1
        return 32 if count <= _SHORT else _launch.THREADS
    if count > _SHORT:
        return _launch.THREADS
    return min(32, 1 << max(0, (-(-count // 4) - 1).bit_length()))  # some four numbers each


def team_grid(rows, threads):
    """Return a grid of blocks in which each row has its team."""
    return (min(-(-rows // (_launch.THREADS // threads)), 1 << 20),)


def row_parts(rows, count):
    """Return into how many parts each of some long rows is cut."""
    return max(1, min(_BLOCKS // rows, count // (_EACH * _launch.THREADS)))


def column_parts(outer, count, inner):
    """Return into how many parts the rows of (outer, count, inner) are cut."""
    tiles = outer * -(-inner // _WIDTH)
    groups = _launch.THREADS // min(inner, _WIDTH)
    return max(1, min(_BLOCKS // tiles, count // (_EACH * groups)))


def column_blocks(outer, inner, parts):
    """Return how many blocks there are for these parts."""
    return -(-inner // _WIDTH) * parts * outer
