"""What the result of each op sees, of what its inputs see; see `minicnn.nn._sight`.

A rule gets a node and a function that returns the `Sight` of a value, None of one that sees
nothing, and returns the sight of the result. Ops without a rule see all that their inputs see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, no_grad, watched_by
from minicnn.autograd.graph import Node, Value
from minicnn.nn import _sight_moves as moves
from minicnn.nn._sight import Sight, union
from minicnn.nn._sight_moves import See, everything, of, sees_all
from minicnn.ops._windows import Window

Rule = Callable[[Node, See], Any]  # -> Sight or None, or a list with one for each output


def sights_of(node: Node, see: See) -> list[Sight | None]:
    """Return what each output of a node sees."""
    if all(see(v) is None for v in node.inputs):
        return [None] * len(node.outputs)
    rule = RULES.get(node.op.lstrip("_"), sees_all)
    sight = rule(node, see)
    if isinstance(sight, list):
        return sight
    inputs, shape = list(node.inputs), node.output.shape
    return [sight if v.shape == shape else everything(inputs, see, v.shape) for v in node.outputs]


def _pointwise(node: Node, see: See) -> Sight | None:
    return union([see(v) for v in node.inputs], node.output.shape)


def _axes(node: Node, rank: int) -> list[int]:
    axis = node.arguments.get("axis", node.arguments.get("axes"))
    if axis is None:
        return list(range(rank))
    return [a % rank for a in (axis if isinstance(axis, tuple | list) else (axis,))]


def _reduced(node: Node, see: See) -> Sight:
    s, shape = of(node, see)
    return s.over(_axes(node, len(shape)), bool(node.arguments.get("keepdims", False)))


def _rest(node: Node, see: See, sight: Sight | None) -> Sight | None:
    """Add all that the other inputs see: weights may be computed from the image, too."""
    others = [v for v in node.inputs if v is not node.arguments["x"]]
    shape = node.output.shape
    return union([sight, everything(others, see, shape)], shape)


def _mixing(axes_of: Callable[[Node, int], Sequence[int]]) -> Rule:
    """Make the rule of an op whose elements see all those along some axes."""

    def rule(node: Node, see: See) -> Sight | None:
        s, shape = of(node, see)
        return _rest(node, see, s.over(axes_of(node, len(shape))))

    return rule


def _grouped(node: Node, see: See) -> Sight | None:
    s, shape = of(node, see)
    s = s.over(range(2, len(shape)))
    return _rest(node, see, _among(s, shape[1], node.options["groups"], shape[1]))


def _among(s: Sight, channels: int, groups: int, out: int) -> Sight:
    """Return the sight of channels each of which sees all those of its group."""
    if s.codes.shape[2] == 1 or not out:
        return s
    members = np.arange(channels).reshape(groups, -1)
    return s.read(1, channels, members.repeat(out // groups, axis=0))


def _local_response(node: Node, see: See) -> Sight:
    s, shape = of(node, see)
    size = node.options["size"]
    index = np.arange(shape[1])[:, None] - (size - 1) // 2 + np.arange(size)
    return s.read(1, shape[1], index)


def _accumulated(node: Node, see: See) -> Sight:
    """Return the sight of running sums: each sees those before it."""
    s, shape = of(node, see)
    (axis,) = _axes(node, len(shape))
    places = np.arange(shape[axis])
    index = np.broadcast_to(places, (len(places),) * 2)
    apart = (places[:, None] - index) * (-1 if node.options["reverse"] else 1)
    return s.read(axis, len(places), index, exists=apart >= int(node.options["exclusive"]))


def _conv(node: Node, see: See) -> Sight | None:
    s, shape = of(node, see)
    size, o = node.arguments["weight"].shape[2:], node.arguments
    window = Window.of(node.op, shape[2:], size, o["stride"], o["padding"], o["dilation"])
    s = _among(s, shape[1], o["groups"], node.output.shape[1])
    return _rest(node, see, _slid(s, shape, window, node.output.shape))


def _slid(s: Sight, shape: Sequence[int], window: Window, out: Sequence[int]) -> Sight:
    """Return what a window sees that slides over the spatial axes."""
    for axis, (size, stride, (before, _), dilation) in enumerate(zip(*window, strict=True), 2):
        starts = np.arange(out[axis])[:, None] * stride - before
        s = s.read(axis, shape[axis], starts + np.arange(size) * dilation, (stride, 1))
    return s


def _conv_transpose(node: Node, see: See) -> Sight | None:
    """Input i paints output p through weight u where ``p = i*stride + u*dilation - before``."""
    s, shape = of(node, see)
    size, o, out = node.arguments["weight"].shape[2:], node.arguments, node.output.shape
    image = out[2:] if o["padding"] == "same" else shape[2:]
    window = Window.of(node.op, image, size, o["stride"], o["padding"], o["dilation"])
    s = _among(s, shape[1], o["groups"], out[1])
    for axis, (taps, stride, (before, _), dilation) in enumerate(zip(*window, strict=True), 2):
        times = np.arange(out[axis])[:, None] + before - np.arange(taps) * dilation
        index, remainder = np.divmod(times, stride)
        s = s.read(axis, shape[axis], index, (1, stride), exists=remainder == 0)
    return _rest(node, see, s)


def _pool(node: Node, see: See) -> Sight:
    s, shape = of(node, see)
    o = node.arguments
    stride = o["size"] if o.get("stride") is None else o["stride"]
    padding, dilation = o.get("padding", 0), o.get("dilation", 1)
    window = Window.of(node.op, shape[2:], o["size"], stride, padding, dilation)
    return _slid(s, shape, window, node.output.shape)


def _global_pool(node: Node, see: See) -> Sight:
    s, shape = of(node, see)
    return s.over(range(2, len(shape)), keepdims=len(node.output.shape) == len(shape))


def _adaptive_pool(node: Node, see: See) -> Sight:
    """Output i sees the pixels from floor(i*n/out) to ceil((i+1)*n/out)."""
    s, shape = of(node, see)
    for axis, (n, out) in enumerate(zip(shape[2:], node.output.shape[2:], strict=True), 2):
        starts, ends = np.arange(out) * n // out, -(-np.arange(1, out + 1) * n // out)
        index = starts[:, None] + np.arange((ends - starts).max(initial=0))
        step = None if n % out else (n // out, 1)
        s = s.read(axis, n, index, step, exists=index < ends[:, None])
    return s


def _resize(node: Node, see: See) -> Any:
    """Resize an impulse at each place of an axis, and see where it shows."""
    s, shape = of(node, see)
    given = {n: a for n, a in node.arguments.items() if n != "x"}
    if any(isinstance(a, Value) for a in given.values()):
        return sees_all(node, see)
    axes = given["axes"] or range(2, len(shape))
    axes = [a % len(shape) for a in (axes if isinstance(axes, tuple | list | range) else (axes,))]
    for k, axis in enumerate(axes):
        n, out = shape[axis], node.output.shape[axis]
        one = {name: _entry(given[name], k) for name in ("size", "scale", "roi")}
        options = given | one | {"axes": (2,), "extrapolation_value": 0.0}
        with watched_by(None), no_grad():
            shown = node.function(Tensor(np.eye(n).reshape(n, 1, n)), **options).numpy()
        index = np.broadcast_to(np.arange(n), (out, n))
        exists = shown.reshape(n, out).T != 0
        times = max(out // n, 1) if n else 1
        repeats = times * n == out and (exists == (index == np.arange(out)[:, None] // times)).all()
        s = s.read(axis, n, index, (1, times) if repeats else None, exists=exists)
    return s


def _entry(value: Any, k: int) -> Any:
    return list(value)[k : k + 1] if np.ndim(value) else value


def _dense(node: Node, see: See) -> Sight | None:
    s, _ = of(node, see)
    return _rest(node, see, s.over([1]))


def _matmul(node: Node, see: See) -> Sight | None:
    (a, shape_a), (b, shape_b) = of(node, see, "a"), of(node, see, "b")
    row, column = len(shape_a) == 1, len(shape_b) == 1
    a = a.over([len(shape_a) - 1], keepdims=not (row or column))
    b = b.over([max(len(shape_b) - 2, 0)], keepdims=not (row or column))
    return union([a, b], node.output.shape)


def _einsum(node: Node, see: See) -> Sight | None:
    left, arrow, out = node.options["equation"].replace(" ", "").partition("->")
    terms = left.split(",")
    if not arrow or "." in left or any(len(set(term)) < len(term) for term in terms):
        return sees_all(node, see)
    parts = []
    for term, value in zip(terms, node.arguments["xs"], strict=True):
        s = see(value) if isinstance(value, Value) else None
        if s is None:
            continue
        s = s.over([i for i, c in enumerate(term) if c not in out], keepdims=False)
        kept = [c for c in term if c in out]
        s = s.transposed([kept.index(c) for c in out if c in kept])
        lengths = dict(zip(sorted(kept, key=out.index), s.codes.shape[1:], strict=True))
        places = [i for i, c in enumerate(out) if c in kept]
        line = s.line and s.line.moved(places.__getitem__)
        parts.append(Sight(s.codes.reshape(2, *(lengths.get(c, 1) for c in out)), line))
    return union(parts, node.output.shape)


def _named(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


def _each(family: str, prefix: str = "") -> str:
    return " ".join(f"{prefix}{family}{rank}d" for rank in (1, 2, 3))


# Ops that are not here see everything: losses, what chooses places by value (unpooling, detection
# regions), scatters.
RULES: dict[str, Rule] = {
    **_named(
        _pointwise,
        "absolute add arccos arccosh arcsin arcsinh arctan arctanh astype "
        "broadcast_to ceil celu clip compare cos cosh divide dropout elu erf exp expm1 floor "
        "floor_divide fmod gelu hard_sigmoid hard_swish hard_tanh leaky_relu log log1p log_sigmoid "
        "maximum minimum mish mod multiply negative power reciprocal relu relu6 round selu "
        "shrink sigmoid sign silu sin sinh softplus softsign sqrt square subtract tan tanh "
        "thresholded_relu to where alpha_dropout spatial_dropout equal not_equal less less_equal "
        "greater greater_equal",
    ),
    **_named(_mixing(lambda node, rank: []), "batch_norm_inference prelu"),
    **_named(_reduced, "sum mean max min var std prod logsumexp norm argmax argmin"),
    **_named(
        _mixing(_axes),
        "softmax log_softmax hardmax layer_norm rms_norm l2_normalize sort argsort top_k",
    ),
    **_named(_mixing(lambda node, rank: range(2, rank)), "instance_norm"),
    **_named(_mixing(lambda node, rank: [0, *range(2, rank)]), "batch_norm"),
    **_named(_grouped, "group_norm"),
    **_named(_local_response, "local_response_norm"),
    **_named(_accumulated, "cumsum cumprod"),
    **_named(_conv, _each("conv")),
    **_named(_conv_transpose, _each("conv_transpose")),
    **_named(_pool, " ".join(_each("_pool", kind) for kind in ("max", "avg", "lp"))),
    **_named(_global_pool, " ".join(_each("_pool", f"global_{k}") for k in ("max", "avg", "lp"))),
    **_named(_adaptive_pool, " ".join(_each("_pool", f"adaptive_{k}") for k in ("max", "avg"))),
    **_named(_resize, "resize"),
    **_named(_dense, "dense"),
    **_named(_matmul, "matmul"),
    **_named(_einsum, "einsum"),
    **_named(moves.reshaped, "reshape flatten squeeze expand_dims"),
    **_named(moves.transposed, "transpose swapaxes moveaxis"),
    **_named(moves.summed_to, "sum_to"),
    **_named(moves.concatenated, "concatenate"),
    **_named(moves.stacked, "stack"),
    **_named(moves.cut, "split"),
    **_named(moves.indexed, "getitem"),
    **_named(moves.padded, "pad"),
    **_named(moves.added_to_image, "col2im"),
    **_named(moves.spread_out, "one_hot"),
    **_named(moves.summed_diagonal, "trace"),
    **_named(
        moves.copied,
        "flip roll tile repeat diagonal tril triu gather take_along_axis gather_nd im2col scatter "
        "depth_to_space space_to_depth",
    ),
}
