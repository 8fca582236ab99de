"""What is in the drawing of a graph: which boxes, what is written in them, what connects them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from minicnn.autograd.graph import Graph, Node, Value
from minicnn.autograd.watching import Call
from minicnn.nn._costs import macs_of
from minicnn.nn.summary import is_layer, kind_of

Shape = tuple[int, ...]
TIMES = "\u00d7"

# Words in the name of an op -> what it is about, which gives its colour; the first that fits
FAMILIES = [
    ("unpool pool", "pooling"),
    ("conv im2col col2im", "convolution"),
    ("dense matmul einsum", "dense"),
    ("norm", "normalization"),
    ("dropout", "random"),
    ("resize", "resize"),
    ("loss cross_entropy divergence", "other"),
    ("relu elu gelu silu mish sigmoid tanh softmax softplus softsign swish hardmax", "activation"),
    ("add subtract multiply divide concatenate stack maximum minimum where", "joining"),
    (
        "reshape flatten transpose squeeze expand_dims getitem split pad broadcast tile repeat "
        "flip roll moveaxis swapaxes depth_to_space space_to_depth gather astype",
        "shape",
    ),
]


@dataclass
class Box:
    """One box of a drawing.

    Attributes
    ----------
    title, note : str
        What it does, and the options worth knowing.
    parts, place, shape, count : str
        What follows in the same layer, where it is in the net, the shape of what it returns, how
        many parameters it has; "" for what is not said.
    family : str
        What gives it its colour.
    tip : str
        All about it, shown under the mouse.
    frames : tuple of Call
        The modules around it, the outermost first.
    """

    title: str
    note: str = ""
    parts: str = ""
    place: str = ""
    shape: str = ""
    count: str = ""
    family: str = "other"
    tip: str = ""
    frames: tuple[Call, ...] = ()

    @property
    def is_small(self) -> bool:
        """Whether it is a single line."""
        return not (self.parts or self.place or self.count)


@dataclass
class _Group:
    """The ops of one box."""

    nodes: list[Node] = field(default_factory=list)
    layer: Call | None = None


def boxes_of(
    graph: Graph, skip: int, by_layer: bool
) -> tuple[str, str, list[Box], list[tuple[int, int]]]:
    """Return title, subtitle, boxes and edges of a drawing; shapes lose their first `skip` axes."""
    groups: dict[Any, _Group] = {}
    for node in graph:
        layer = next((c for c in node.calls if is_layer(c.module)), None) if by_layer else None
        groups.setdefault(layer or node, _Group(layer=layer)).nodes.append(node)
    counted: set[int] = set()
    boxes = [
        Box(v.name, shape=_times(v.shape[skip:]), family="end", tip=repr(v)) for v in graph.inputs
    ]
    home: dict[Value, int] = {v: i for i, v in enumerate(graph.inputs)}
    for group in groups.values():
        home |= {v: len(boxes) for node in group.nodes for v in node.outputs}
        boxes.append(_box(group, skip, counted))
    edges = [
        (home[v], home[node.output])
        for group in groups.values()
        for node in group.nodes
        for v in node.inputs
        if v in home and home[v] != home[node.output]
    ]
    for v in graph.outputs:
        if v in home:
            edges.append((home[v], len(boxes)))
        boxes.append(Box("output", shape=_times(v.shape[skip:]), family="end", tip=repr(v)))
    parameters = sum(v.data.size for v in graph.parameters)
    facts = [
        f"{parameters:,} parameters" if parameters else "",
        f"{_rounded(macs)} multiply-accumulates" if (macs := sum(map(macs_of, graph))) else "",
    ]
    return graph.name, " · ".join(f for f in facts if f), boxes, list(dict.fromkeys(edges))


def _box(group: _Group, skip: int, counted: set[int]) -> Box:
    main = max(group.nodes, key=lambda node: (macs_of(node), -node.number))
    last = group.nodes[-1]
    own = {v for node in group.nodes for v in node.inputs if v.kind == "parameter"}
    count = sum(v.data.size for v in own if id(v) not in counted)
    counted |= {id(v) for v in own}
    kind, _, parts = kind_of(group.layer.module).partition(" + ") if group.layer else ("", "", "")
    if not kind or kind == "Function":  # that says less than the op in it
        kind, parts = main.op.lstrip("_"), ""
    calls = [c for c in last.calls if c.name]
    outside = calls[: calls.index(group.layer)] if group.layer in calls else calls
    return Box(
        title=kind,
        note=_note(main),
        parts=f"+ {parts}" if parts else "",
        place=group.layer.name if group.layer else "",
        shape=", ".join(_times(v.shape[skip:]) for v in last.outputs[:2]),
        count=f"{count:,}" if count else "",
        family=family_of(main.op),
        tip="\n".join(_told(node) for node in group.nodes),
        frames=tuple(outside),
    )


def family_of(op: str) -> str:
    """Return what an op is about: the colour of its box."""
    return next((f for words, f in FAMILIES if any(w in op for w in words.split())), "other")


def _note(node: Node) -> str:
    """Return the options that tell one such op from another."""
    a = node.arguments
    if "weight" in a and len(a["weight"].shape) > 2:
        size, stride = a["weight"].shape[2:], a.get("stride", 1)
    elif "pool" in node.op and "size" in a:
        size, stride = a["size"], a.get("stride") or a["size"]
        stride = 1 if _same(size, stride) else stride  # one after the other: that is usual
    elif isinstance(a.get("axis"), int):
        return f"axis {a['axis']}"
    else:
        return ""
    rank = len(node.output.shape) - 2
    words = [_times(size if isinstance(size, tuple | list) else (size,) * rank, TIMES)]
    for name, value in (("/", stride), ("dilation ", a.get("dilation", 1))):
        words += [] if _same(value, 1) else [name + _times(_short(value), TIMES)]
    words += [f"groups {a['groups']}"] if a.get("groups", 1) != 1 else []
    return " ".join(words)


def _short(numbers: Any) -> Shape:
    many = tuple(numbers) if isinstance(numbers, tuple | list) else (numbers,)
    return many[:1] if len(set(many)) == 1 else many


def _same(a: Any, b: Any) -> bool:
    return _short(a) == _short(b)


def _told(node: Node) -> str:
    """Return a line that tells all about an op."""
    given = ", ".join(f"{n}={_brief(a)}" for n, a in node.arguments.items())
    made = ", ".join(str(v.shape) for v in node.outputs)
    return f"{node.op}({given}) -> {made}"


def _brief(argument: Any) -> str:
    if isinstance(argument, Value):
        return f"{argument.name} {argument.shape}"
    text = "[...]" if isinstance(argument, tuple) and len(argument) > 6 else repr(argument)
    return text if len(text) <= 60 else text[:59] + "…"


def _times(lengths: Iterable[int], sign: str = f" {TIMES} ") -> str:
    return sign.join(map(str, lengths))


def _rounded(number: int) -> str:
    for size, letter in ((10**9, "G"), (10**6, "M")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:,}"
