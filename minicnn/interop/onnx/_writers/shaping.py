"""Other shapes, other orders, parts."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.graph import Value
from minicnn.errors import ConfigError
from minicnn.interop.onnx._export import Write, Writer, WriteTable

_END = np.iinfo(np.int64).max  # as far as the axis goes


def _ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def _reshape(w: Writer, x: Value, shape: Any) -> str:
    (made,) = w.made_shapes()
    if 0 in made:
        return w("Reshape", x, _ints(*made), allowzero=1)
    kept = 0  # leading axes that stay; 0 means "as before", whatever the batch
    while kept < min(len(made), len(x.shape)) and made[kept] == x.shape[kept]:
        kept += 1
    rest = list(made[kept:])
    if len(rest) == 1:
        rest = [-1]
    return w("Reshape", x, _ints(*[0] * kept, *rest))


def _flatten(w: Writer, x: Value) -> str:
    return w("Flatten", x, axis=1)


def _transpose(w: Writer, x: Value, axes: Any) -> str:
    order = range(x.tensor.ndim)[::-1] if axes is None else [a % x.tensor.ndim for a in axes]
    return w("Transpose", x, perm=list(order)) if len(order) > 1 else w("Identity", x)


def _squeeze(w: Writer, x: Value, axis: Any) -> str:
    if axis is None:
        axis = [i for i, n in enumerate(x.shape) if n == 1]
    axes = np.atleast_1d(np.asarray(axis, np.int64))
    return w("Squeeze", x, axes) if axes.size else w("Identity", x)


def _expand_dims(w: Writer, x: Value, axis: Any) -> str:
    axes = np.atleast_1d(np.asarray(axis, np.int64))
    return w("Unsqueeze", x, axes) if axes.size else w("Identity", x)


def _broadcast_to(w: Writer, x: Value, shape: Any) -> str:
    aligned = (1,) * (len(shape) - len(x.shape)) + tuple(x.shape)
    # Expand takes 1 for "as before", so a batch that stays may have any length
    return w("Expand", x, _ints(*(1 if n == m else m for n, m in zip(aligned, shape, strict=True))))


def _concatenate(w: Writer, tensors: tuple[Value, ...], axis: int) -> str:
    return w("Concat", *tensors, axis=axis)


def _stack(w: Writer, tensors: tuple[Value, ...], axis: int) -> str:
    at = axis % (tensors[0].tensor.ndim + 1)
    return w("Concat", *(w("Unsqueeze", t, _ints(at)) for t in tensors), axis=at)


def _getitem(w: Writer, x: Value, index: Any) -> str:
    parts = list(index) if isinstance(index, tuple) else [index]
    taken = sum(p is not None and p is not Ellipsis for p in parts)
    if not any(p is Ellipsis for p in parts):
        parts.append(Ellipsis)
    at = next(i for i, p in enumerate(parts) if p is Ellipsis)
    parts[at : at + 1] = [slice(None)] * (x.tensor.ndim - taken)
    slices, dropped, added, axis = [], [], [], 0
    result: Any = x
    for place, part in enumerate(parts):
        if part is None:
            added.append(place - sum(1 for p in parts[:place] if isinstance(p, int | np.integer)))
            continue
        if isinstance(part, int | np.integer):
            slices.append((axis, int(part), int(part) + 1 if part != -1 else _END, 1))
            dropped.append(axis)
        elif isinstance(part, slice):
            if part != slice(None):
                slices.append((axis, *_slice(part)))
        elif taken == 1:
            return w("Gather", x, _whole(part), axis=axis)
        else:
            raise ConfigError(
                f"to_onnx: x[{index}] has no counterpart in ONNX; index one axis at a time, by "
                "slices, ints or one array"
            )
        axis += 1
    if slices:
        axes, starts, ends, steps = (_ints(*column) for column in zip(*slices, strict=True))
        result = w("Slice", result, starts, ends, axes, steps)
    if dropped:
        result = w("Squeeze", result, _ints(*dropped))
    if added:
        result = w("Unsqueeze", result, _ints(*added))
    return result if isinstance(result, str) else w("Identity", result)


def _whole(indices: Any) -> Any:
    """Return indices that are known as ONNX wants them: int64, and places for a mask."""
    if isinstance(indices, Value) and indices.node is not None:
        return indices
    known = np.asarray(indices.data if isinstance(indices, Value) else indices)
    if known.dtype == bool and known.ndim != 1:
        raise ConfigError("to_onnx: a mask of several axes has no counterpart in ONNX")
    return known.nonzero()[0] if known.dtype == bool else known.astype(np.int64)


def _slice(part: slice) -> tuple[int, int, int]:
    """Return start, end and step; ONNX clamps what lies beyond the axis."""
    step = 1 if part.step is None else int(part.step)
    first, last = (0, _END) if step > 0 else (_END, -_END)
    start = first if part.start is None else int(part.start)
    return start, last if part.stop is None else int(part.stop), step


def _pad(w: Writer, x: Value, widths: Any, mode: str = "constant", value: float = 0.0) -> str:
    pairs = np.asarray(widths, np.int64).reshape(-1, 2)
    if not len(pairs):
        return w("Identity", x)
    number = np.asarray(value, x.dtype) if mode == "constant" else None
    return w("Pad", x, pairs.T.reshape(-1).copy(), number, mode=mode)


def _astype(w: Writer, x: Value, dtype: Any) -> str:
    from onnx import helper

    return w("Cast", x, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _gather(w: Writer, x: Value, indices: Any, axis: int) -> str:
    return w("Gather", x, _whole(indices), axis=axis)


def _take_along_axis(w: Writer, x: Value, indices: Any, axis: int) -> str:
    return w("GatherElements", x, _whole(indices), axis=axis)


def _flip(w: Writer, x: Value, axis: Any) -> str:
    axes = range(x.tensor.ndim) if axis is None else np.atleast_1d(axis)
    n = len(axes)
    if not n:
        return w("Identity", x)
    return w("Slice", x, _ints(*[-1] * n), _ints(*[-_END] * n), _ints(*axes), _ints(*[-1] * n))


def _space_to_depth(w: Writer, x: Value, block: int, mode: str) -> str:
    if mode != "dcr":
        raise ConfigError(f"to_onnx: space_to_depth with mode={mode!r} is not exported")
    return w("SpaceToDepth", x, blocksize=int(block))


def _triangle(upper: int) -> Write:
    return lambda w, x, k: w("Trilu", x, np.array(k), upper=upper)


def _cumsum(w: Writer, x: Value, axis: int, exclusive: bool = False, reverse: bool = False) -> str:
    return w("CumSum", x, np.array(axis), exclusive=int(exclusive), reverse=int(reverse))


TABLE: WriteTable = {
    "astype": _astype,
    "broadcast_to": _broadcast_to,
    "concatenate": _concatenate,
    "cumsum": _cumsum,
    "depth_to_space": lambda w, x, block, mode: w(
        "DepthToSpace", x, blocksize=int(block), mode=mode.upper()
    ),
    "expand_dims": _expand_dims,
    "flatten": _flatten,
    "flip": _flip,
    "gather": _gather,
    "getitem": _getitem,
    "pad": _pad,
    "reshape": _reshape,
    "space_to_depth": _space_to_depth,
    "squeeze": _squeeze,
    "stack": _stack,
    "take_along_axis": _take_along_axis,
    "transpose": _transpose,
    "tril": _triangle(0),
    "triu": _triangle(1),
}
