"""Ops that join tensors, cut them into parts and repeat them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicnn.autograd._checks import axis_of, one_device, tensor_of, wholes
from minicnn.autograd._operands import kernels_worth
from minicnn.autograd.indexing import getitem
from minicnn.autograd.shaping import broadcast_to, expand_dims, reshape
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.autograd.watching import composed
from minicnn.backend import array_module
from minicnn.errors import ConfigError, ShapeError


@differentiable
def concatenate(tensors: Sequence[Tensor], axis: int = 0) -> Lifted:
    """Join tensors along an axis they have.

    Of two, the first n long: ``y[i] = a[i]``, ``y[n + i] = b[i]``.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes but for `axis`.
    axis : int, default 0
        Along which axis.

    Returns
    -------
    Tensor
        Its length along `axis` is the sum of theirs.

    Raises
    ------
    ShapeError
        If there are none, or their other axes differ.
    """
    given = _listed("concatenate", tensors)
    arrays = [t.data for t in given]
    shapes = [a.shape for a in arrays]
    at = axis_of("concatenate", axis, shapes[0])
    if len({len(s) for s in shapes}) > 1 or len({(*s[:at], *s[at + 1 :]) for s in shapes}) > 1:
        raise ShapeError(
            f"concatenate: shapes {shapes} differ in other axes than {axis}; make them equal there "
            "(pad, reshape), or join along another axis"
        )
    ends = np.cumsum([s[at] for s in shapes]).tolist()
    parts = [
        (slice(None),) * at + (slice(end - s[at], end),)
        for end, s in zip(ends, shapes, strict=True)
    ]
    # Each tensor is a part of y, y[n + i] = x[i]: dL/dx[i] = dL/dy[n + i]
    pull_backs = tuple((lambda g, part=part: getitem(g, part)) for part in parts)
    # In the order in which memory lies, so that channels-last images stay channels-last.
    order = sorted(range(arrays[0].ndim), key=lambda a: -abs(arrays[0].strides[a]))
    turned = [a.transpose(order) for a in arrays]
    y = kernels_worth(max(arrays, key=np.size)).concatenate(turned, order.index(at))
    return y.transpose(sorted(range(y.ndim), key=order.__getitem__)), pull_backs


@composed
def stack(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    """Join tensors along a new axis: ``y[k, i] = x_k[i]`` if it is the first.

    Parameters
    ----------
    tensors : sequence of Tensor
        Equal shapes.
    axis : int, default 0
        Where the new axis goes in the result.

    Returns
    -------
    Tensor
        One axis more; its length along `axis` is the number of tensors.

    Raises
    ------
    ShapeError
        If there are none, or their shapes differ.
    """
    given = _listed("stack", tensors)
    shapes = [t.shape for t in given]
    if len(set(shapes)) > 1:
        raise ShapeError(
            f"stack: shapes {shapes} differ; they must all be equal, or be joined by concatenate"
        )
    at = axis_of("stack", axis, (len(given), *shapes[0]))
    return concatenate([expand_dims(t, at) for t in given], at)


def _listed(op: str, tensors: Any) -> list[Tensor]:
    if not isinstance(tensors, list | tuple) or not tensors:
        raise ShapeError(f"{op}: needs a list of at least one tensor, got {tensors!r}")
    given = [tensor_of(t) for t in tensors]
    one_device(op, **{f"tensor {i}": t for i, t in enumerate(given)})
    return given


@composed
def split(x: Tensor, sizes: int | Sequence[int], axis: int = 0) -> tuple[Tensor, ...]:
    """Cut into parts along an axis: what `concatenate` undoes.

    ``y_k[i] = x[n + i]``, where n is the length of the parts before the k-th.

    Parameters
    ----------
    x : Tensor
        Any shape.
    sizes : int or sequence of int
        The parts' lengths along the axis; a single number is how many equal parts there are.
    axis : int, default 0
        Along which axis.

    Returns
    -------
    tuple of Tensor
        Views, in order.

    Raises
    ------
    ShapeError
        If the lengths do not add up to x's, or are negative, or it has no such equal parts.
    """
    x = tensor_of(x)
    at = axis_of("split", axis, x.shape)
    length, lengths = x.shape[at], wholes("split", "sizes", sizes)
    if not np.ndim(sizes):
        parts = lengths[0]
        if parts < 1 or length % parts:
            raise ShapeError(
                f"split: axis {axis} of shape {x.shape} has no {parts} equal parts; give a list of "
                f"lengths that add up to {length}"
            )
        lengths = (length // parts,) * parts
    if sum(lengths) != length or any(n < 0 for n in lengths):
        raise ShapeError(
            f"split: lengths {lengths} must be >= 0 and add up to {length}, the length of axis "
            f"{axis} of shape {x.shape}"
        )
    ends = np.cumsum(lengths).tolist()
    return tuple(
        getitem(x, (slice(None),) * at + (slice(end - n, end),))
        for end, n in zip(ends, lengths, strict=True)
    )


@composed
def repeat(x: Tensor, repeats: int | Sequence[int], axis: int | None = None) -> Tensor:
    """Repeat each element k times along an axis: ``y[i*k + u] = x[i]``; 1 2 becomes 1 1 2 2.

    Parameters
    ----------
    x : Tensor
        Any shape.
    repeats : int or sequence of int
        How often; several numbers are one for each element along the axis.
    axis : int, optional
        Along which axis; by default the elements are one row, in C order.

    Returns
    -------
    Tensor
        Its gradient sums over what was repeated.

    Raises
    ------
    ConfigError
        If there are not as many numbers as elements, or one is negative.
    """
    x = tensor_of(x)
    if axis is None:
        x, axis = reshape(x, -1), 0
    at = axis_of("repeat", axis, x.shape)
    times = wholes("repeat", "repeats", repeats)
    if len(times) not in (1, x.shape[at]) or any(n < 0 for n in times):
        raise ConfigError(
            f"repeat: repeats {repeats} must be >= 0, one number or {x.shape[at]} of them, for "
            f"axis {axis} of shape {x.shape}"
        )
    if len(times) > 1:
        places = np.repeat(np.arange(x.shape[at]), times)
        return getitem(x, (slice(None),) * at + (array_module(x.data).asarray(places),))
    lead, rest = x.shape[: at + 1], x.shape[at + 1 :]
    wide = broadcast_to(reshape(x, (*lead, 1, *rest)), (*lead, times[0], *rest))
    return reshape(wide, (*lead[:at], lead[at] * times[0], *rest))


@composed
def tile(x: Tensor, repeats: int | Sequence[int]) -> Tensor:
    """Lay copies, n long, side by side: ``y[u*n + i] = x[i]``; 1 2 becomes 1 2 1 2.

    Parameters
    ----------
    x : Tensor
        Any shape.
    repeats : int or sequence of int
        How many copies along each axis, counted from the last; missing ones are 1, and for
        surplus ones x gets leading axes of length 1.

    Returns
    -------
    Tensor
        Its gradient sums over the copies.

    Raises
    ------
    ConfigError
        If a number is negative.
    """
    x = tensor_of(x)
    times = wholes("tile", "repeats", repeats)
    if any(n < 0 for n in times):
        raise ConfigError(f"tile: repeats {repeats} of shape {x.shape} must be >= 0")
    rank = max(x.ndim, len(times))
    times = (1,) * (rank - len(times)) + times
    shape = (1,) * (rank - x.ndim) + x.shape
    apart = tuple(n for length in shape for n in (1, length))
    wide = tuple(n for both in zip(times, shape, strict=True) for n in both)
    return reshape(
        broadcast_to(reshape(x, apart), wide),
        tuple(k * n for k, n in zip(times, shape, strict=True)),
    )
