"""What is seen after ops that move elements: shapes, indices, joins and padding.

Rules as in `minicnn.nn._sight_rules`. Where an op only copies, it can be run on the codes of a
`Sight` themselves, and puts them where it puts the elements.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, diagonal, no_grad, watched_by
from minicnn.autograd.graph import Node, Value
from minicnn.backend.device import device_of, to_device
from minicnn.nn._sight import Sight, along, from_codes, union
from minicnn.ops import im2col

See = Callable[[Value], Sight | None]


def of(node: Node, see: See, name: str = "x") -> tuple[Sight, tuple[int, ...]]:
    """Return the sight of an argument, and the argument's shape."""
    value = node.arguments[name]
    sight = see(value)
    return Sight(np.zeros((2, *(1 for _ in value.shape)))) if sight is None else sight, value.shape


def sees_all(node: Node, see: See) -> Sight | None:
    """All that any element of any input sees: what is right for whatever mixes everything."""
    return everything([v for v in node.inputs if see(v) is not None], see, node.output.shape)


def everything(values: list[Value], see: See, shape: tuple[int, ...]) -> Sight | None:
    """All that any element of some values sees, for a result of such a shape."""
    seen = [s for s in map(see, values) if s is not None]
    return union([Sight(s.codes.reshape(2, -1).max(axis=1)) for s in seen], shape)


def copied(node: Node, see: See, **instead: Any) -> Any:
    """Run an op that only copies, or puts in zeros, on the codes of its first argument."""
    name, *others = node.arguments
    if not isinstance(node.arguments[name], Value) or any(
        see(v) is not None for v in node.inputs if v is not node.arguments[name]
    ):
        return sees_all(node, see)  # such as places that depend on the image
    s, shape = of(node, see, name)
    given = {n: _given(node.arguments[n]) for n in others} | instead
    results = []
    with watched_by(None), no_grad():
        for codes in s.full(shape):
            x = Tensor(to_device(np.ascontiguousarray(codes), device_of(node.output.data)))
            results.append(node.function(**{name: x}, **given))
    pairs = zip(*(r if isinstance(r, tuple) else (r,) for r in results), strict=True)
    found = [np.stack([Tensor(r).numpy() for r in pair]) for pair in pairs]
    if any(codes.max(initial=0.0) > s.codes.max(initial=0.0) for codes in found):
        return sees_all(node, see)  # it has added up what met in one place
    return [from_codes(codes) for codes in found]


def _given(argument: Any) -> Any:
    """Return an argument with its Values as the tensors they were."""
    if isinstance(argument, tuple):
        return tuple(_given(a) for a in argument)
    return argument.tensor if isinstance(argument, Value) else argument


def reshaped(node: Node, see: See) -> Sight:
    """Handle reshape, flatten, squeeze and expand_dims."""
    s, shape = of(node, see)
    return s.reshaped(shape, node.output.shape)


def transposed(node: Node, see: See) -> Sight:
    """Handle transpose, swapaxes and moveaxis: on a shape that says which axis is which."""
    s, shape = of(node, see)
    labels = np.empty(tuple(range(1, len(shape) + 1)), np.int8)
    given = {n: a for n, a in node.arguments.items() if n != "x"}
    with watched_by(None), no_grad():
        order = node.function(Tensor(labels), **given).shape
    return s.transposed([label - 1 for label in order])


def summed_to(node: Node, see: See) -> Sight:
    """Handle sum_to, the reverse of broadcasting."""
    s, shape = of(node, see)
    new = node.output.shape
    added = len(shape) - len(new)
    s = s.over([i for i, n in enumerate(shape) if i >= added and new[i - added] != n])
    return s.over(range(added), keepdims=False)


def concatenated(node: Node, see: See) -> Sight | None:
    """Handle concatenate."""
    values = node.arguments["tensors"]
    axis = node.options["axis"] % len(node.output.shape)
    return along([see(v) for v in values], [v.shape for v in values], axis)


def stacked(node: Node, see: See) -> Sight | None:
    """Handle stack."""
    values = node.arguments["tensors"]
    before = values[0].shape
    axis = node.options["axis"] % len(node.output.shape)
    after = (*before[:axis], 1, *before[axis:])
    seen = [see(v) for v in values]
    return along([s and s.reshaped(before, after) for s in seen], [after] * len(values), axis)


def cut(node: Node, see: See) -> list[Sight]:
    """Handle split."""
    s, shape = of(node, see)
    axis = node.options["axis"] % len(shape)
    found, start = [], 0
    for part in node.outputs:
        end = start + part.shape[axis]
        found.append(s.read(axis, shape[axis], np.arange(start, end)[:, None], (1, 1)))
        start = end
    return found


def indexed(node: Node, see: See) -> Any:
    """Handle getitem: slices keep the order; with arrays in the index the op itself is run."""
    s, shape = of(node, see)
    parts = _for_each_axis(node.arguments["index"], len(shape))
    if parts is None:
        return copied(node, see)
    for axis, (n, part) in enumerate(zip(shape, parts, strict=True)):
        if isinstance(part, slice):
            places = np.arange(n)[part]
            s = s.read(axis, n, places[:, None], (part.step or 1, 1)) if len(places) < n else s
            if len(places) == n and (part.step or 1) < 0:
                s = s.read(axis, n, places[:, None], (-1, 1))
        else:
            s = s.read(axis, n, np.array([[part % n]]))
    s = s.over([i for i, p in enumerate(parts) if not isinstance(p, slice)], keepdims=False)
    pairs = zip(shape, parts, strict=True)
    kept = tuple(len(range(n)[p]) for n, p in pairs if isinstance(p, slice))
    return s.reshaped(kept, node.output.shape)


def _for_each_axis(index: Any, rank: int) -> list[Any] | None:
    """Return one whole number or slice for each axis; None if there is something else in it."""
    parts = [p for p in (index if isinstance(index, tuple) else (index,)) if p is not None]
    dots = [i for i, p in enumerate(parts) if p is Ellipsis]
    numbers = (int, np.integer, slice)
    others = [p for p in parts if p is not Ellipsis]
    if any(not isinstance(p, numbers) or isinstance(p, bool) for p in others):
        return None
    place = dots[0] if dots else len(parts)
    return [*parts[:place], *[slice(None)] * (rank - len(others)), *parts[place + 1 :]]


def padded(node: Node, see: See) -> Any:
    """Handle pad: a constant shows nothing, the other modes repeat pixels."""
    s, _ = of(node, see)
    (result,) = copied(node, see, value=0)
    line, axis = s.line, None if s.line is None else s.line.axis
    if line is not None and axis is not None:  # as with a convolution's padding
        before = int(np.asarray(_given(node.arguments["widths"]))[axis][0])
        index = np.arange(node.output.shape[axis])[:, None] - before
        line = line.read(index, np.ones(index.shape, bool), (1, 1))
    return Sight(result.codes, line)


def added_to_image(node: Node, see: See) -> Sight:
    """Handle col2im: a pixel sees what all the columns' entries see that are added up there."""
    s, shape = of(node, see, "columns")
    o, (n, channels, *image) = node.options, node.output.shape
    window = {name: o[name] for name in ("size", "stride", "padding", "dilation")}
    numbers = np.arange(1.0, math.prod(image) + 1).reshape(1, 1, *image)
    with watched_by(None), no_grad():
        places = im2col(Tensor(numbers), **window).numpy().astype(int)[0]  # 0: in the padding
    codes = np.zeros((2 * n * channels, math.prod(image) + 1))
    for pixels, entries in zip(codes, s.full(shape).reshape(len(codes), -1), strict=True):
        np.maximum.at(pixels, places.ravel(), entries)
    return from_codes(codes[:, 1:].reshape(2, n, channels, *image))


def spread_out(node: Node, see: See) -> Sight:
    """Handle one_hot: a new axis, along which all see the same."""
    s, shape = of(node, see, "indices")
    axis = node.options["axis"] % len(node.output.shape)
    return s.reshaped(shape, (*shape[:axis], 1, *shape[axis:]))


def summed_diagonal(node: Node, see: See) -> Any:
    """Handle trace: the diagonal, then its sum."""
    o = {name: a for name, a in node.options.items() if name != "x"}
    arguments = {"x": node.arguments["x"], **o}
    (s,) = copied(Node(0, diagonal, arguments, node.inputs, node.outputs), see)
    return s.over([s.codes.ndim - 2], keepdims=False)
