"""Drawings of nets: valid, the same each time, nothing on top of another."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import nn, ops
from minicnn.autograd.graph import trace
from minicnn.errors import ConfigError, ShapeError
from minicnn.models import SeedNet
from minicnn.visualise import draw_graph
from minicnn.visualise._boxes import boxes_of, family_of
from minicnn.visualise._layering import arrange

SVG = "{http://www.w3.org/2000/svg}"


def conv(i, o, size=3, **options):
    return nn.Conv2d(i, o, size, normalizer=nn.BatchNorm2d, activation=ops.relu, **options)


class Residual(nn.Module):
    def __init__(self, channels):
        self.a, self.b = conv(channels, channels), conv(channels, channels)

    def forward(self, x):
        return ops.relu(self.b(self.a(x)) + x)


class Branches(nn.Module):
    def __init__(self):
        self.one, self.three = conv(4, 8, 1), nn.Sequential(conv(4, 4, 1), conv(4, 8, 3))
        self.pool = nn.MaxPool2d(3, 1, "same")

    def forward(self, x):
        return ops.concatenate([self.one(x), self.three(x), self.pool(x)], axis=1)


NETS = {
    "chain": (SeedNet, (3, 32, 32)),
    "residual": (
        lambda: nn.Sequential(conv(3, 4, stride=2), Residual(4), Residual(4), nn.Flatten()),
        (3, 8, 8),
    ),
    "branches": (lambda: nn.Sequential(conv(3, 4), Branches(), nn.Conv2d(20, 2)), (3, 8, 8)),
}


def drawn(text):
    """The boxes, texts and lines of a drawing: (x0, y0, x1, y1), (x, y, text), path."""
    root = ElementTree.fromstring(text)
    picture = root.find(f"{SVG}g")
    groups = picture.findall(f"{SVG}g")
    boxes = []
    for group in groups:
        x, y, w, h = (float(group.find(f"{SVG}rect").get(n)) for n in ("x", "y", "width", "height"))
        boxes.append((x, y, x + w, y + h))
    texts = [
        (float(t.get("x")), float(t.get("y")), "".join(t.itertext()), t.get("text-anchor"), box)
        for group, box in zip(groups, boxes, strict=True)
        for t in group.findall(f"{SVG}text")
    ]
    frames = [
        tuple(float(r.get(n)) for n in ("x", "y", "width", "height"))
        for r in picture.findall(f"{SVG}rect")
    ]
    lines = [p.get("d") for p in picture.findall(f"{SVG}path")]
    return boxes, texts, frames, lines


def meet(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@pytest.mark.parametrize("detail", ["layers", "ops"])
@pytest.mark.parametrize("name", NETS)
def test_boxes_lie_apart_and_hold_their_texts(name, detail):
    make, shape = NETS[name]
    text = draw_graph(make(), shape, detail=detail)
    assert text == draw_graph(make(), shape, detail=detail)
    boxes, texts, frames, _ = drawn(text)
    root = ElementTree.fromstring(text)
    width, height = float(root.get("width")), float(root.get("height"))
    for a, b in itertools.combinations(boxes, 2):
        assert not meet(a, b)
    for x0, y0, x1, y1 in boxes:
        assert -32 <= x0 < x1 <= width
        assert 0 <= y0 < y1 <= height
    for x, y, _, anchor, (x0, y0, x1, y1) in texts:
        assert x0 < x < x1
        assert y0 < y < y1
        assert anchor == ("end" if x > (x0 + x1) / 2 else None)
    for x, y, w, h in frames:
        frame = (x, y, x + w, y + h)
        for box in boxes:  # all of it, or nothing
            inside = x < box[0] and y < box[1] and box[2] < x + w and box[3] < y + h
            assert inside or not meet(frame, box)


def test_what_is_written():
    text = draw_graph(*(f() if callable(f) else f for f in NETS["residual"]))
    _, texts, frames, lines = drawn(text)
    written = [t for _, _, t, *_ in texts]
    assert written[:7] == [
        "x", "3 \u00d7 8 \u00d7 8", "Conv2d3\u00d73 /2", "116", "+ BatchNorm2d + relu", "0",
        "4 \u00d7 4 \u00d7 4",
    ]  # fmt: skip
    assert written[-2:] == ["output", "64"]
    assert written.count("add") == written.count("relu") == 2
    assert len(frames) == 2
    assert len(lines) == 6 + 5 + 2
    root = ElementTree.fromstring(text)
    heads = [t.text for t in root.findall(f"{SVG}text")]
    assert heads[0] == "Sequential"
    assert heads[1].startswith("724 parameters \u00b7 ")


def test_a_module_is_not_framed_if_another_box_would_be_in_the_frame():
    class Pair(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Conv2d(1, 1), nn.Conv2d(1, 1)

        def forward(self, x):
            return self.a(x), self.b(x)

    class Net(nn.Module):
        def __init__(self):
            self.pair, self.between = Pair(), nn.Conv2d(1, 1)

        def forward(self, x):
            a, b = self.pair(x)
            between = self.between(x)  # stands between the two, or lines would cross
            return a + between, between + b

    _, texts, frames, _ = drawn(draw_graph(Net(), (1, 4, 4)))
    names = {t: box[0] for _, _, t, _, box in texts}
    assert names["pair.a"] < names["between"] < names["pair.b"] or (
        names["pair.b"] < names["between"] < names["pair.a"]
    )
    assert frames == []


def test_names_and_options_are_escaped_and_long_ones_cut():
    class Net(nn.Module):
        def __init__(self):
            setattr(self, "a&<b>" * 30, nn.Conv2d(1, 1))

        def forward(self, x):
            return next(m for n, m in self.named_modules() if n)(x)

    boxes, texts, *_ = drawn(draw_graph(Net(), (1, 4, 4)))
    assert max(x1 - x0 for x0, _, x1, _ in boxes) <= 320
    assert any(t.startswith("a&<b>") and t.endswith("\u2026") for _, _, t, *_ in texts)
    graph = trace(lambda x: x * 2, np.ones(3))
    assert ElementTree.fromstring(draw_graph(graph)).find(f"{SVG}title").text == "<lambda>"


def test_a_graph_is_drawn_with_whole_shapes_and_nets_without_the_batch():
    f = nn.Sequential(nn.Dense(3, 2), ops.relu)
    (_, of_graph, *_), (_, of_net, *_) = (
        drawn(draw_graph(trace(f, np.ones((5, 3), np.float32)))),
        drawn(draw_graph(f, (3,))),
    )
    assert [t for _, _, t, *_ in of_graph][:2] == ["x", "5 \u00d7 3"]
    assert [t for _, _, t, *_ in of_net][:2] == ["x", "3"]


def test_several_inputs_and_outputs_and_parameters_counted_once():
    class Two(nn.Module):
        def __init__(self):
            self.a = nn.Dense(3, 3)

        def forward(self, x, z):
            y = self.a(self.a(x) + z)
            return y, y.sum(), z

    _, texts, _, lines = drawn(draw_graph(Two(), [(3,), (3,)]))
    written = [t for _, _, t, *_ in texts]
    assert written.count("output") == 3
    assert written.count("12") == 1
    assert {"x", "z"} <= set(written)
    assert len(lines) == 4 + 1 + 3


def test_it_is_written_to_a_file_and_shown_in_notebooks(tmp_path):
    path = tmp_path / "net.svg"
    drawing = draw_graph(nn.Dense(2, 2), (2,), path)
    assert path.read_text(encoding="utf-8") == drawing == drawing._repr_svg_()
    assert type(drawing._repr_svg_()) is str


def test_wrong_calls_say_what_is_needed():
    net = nn.Dense(2, 2)
    with pytest.raises(ConfigError, match="give input_shape, the shape of one example"):
        draw_graph(net)
    with pytest.raises(ConfigError, match="leave out input_shape"):
        draw_graph(trace(net, np.ones((1, 2), np.float32)), (2,))
    with pytest.raises(ConfigError, match="needs a Module or a Graph, got function"):
        draw_graph(lambda x: x, (2,))
    with pytest.raises(ConfigError, match="detail must be 'layers' or 'ops', got 'all'"):
        draw_graph(net, (2,), detail="all")
    with pytest.raises(ShapeError, match=r"draw_graph: the net does not take .* shape \(3,\)"):
        draw_graph(net, (3,))


def test_families_are_told_by_the_names_of_ops():
    names = {
        "conv_transpose2d": "convolution", "global_avg_pool2d": "pooling", "dense": "dense",
        "batch_norm_inference": "normalization", "relu": "activation", "add": "joining",
        "expand_dims": "shape", "spatial_dropout": "random", "softmax": "activation",
        "sparse_softmax_cross_entropy": "other", "nms": "other",
    }  # fmt: skip
    assert {op: family_of(op) for op in names} == names


def test_functions_go_by_the_op_in_them():
    graph = trace(nn.Sequential(nn.Function(lambda x: ops.exp(x) + 1)), np.ones(2))
    _, _, boxes, edges = boxes_of(graph, 0, by_layer=True)
    assert [(b.title, b.place) for b in boxes] == [("x", ""), ("exp", "0"), ("output", "")]
    assert edges == [(0, 1), (1, 2)]


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 12))
    edges = [
        (draw(st.integers(0, j - 1)), j)
        for j in range(1, count)
        for _ in range(draw(st.integers(0, 3)))
    ]
    sizes = [
        (draw(st.sampled_from([40, 80, 150])), draw(st.sampled_from([20, 50])))
        for _ in range(count)
    ]
    return sizes, edges


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_any_graph_is_arranged_from_top_to_bottom_without_overlaps(graph):
    sizes, edges = graph
    plan = arrange(sizes, edges, (20.0, 30.0))
    rects = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(plan.centres, sizes, strict=True)
    ]
    for a, b in itertools.combinations(rects, 2):
        assert not meet((a[0] - 9.9, a[1], a[2] + 9.9, a[3]), b)
    for (i, j), line in plan.lines.items():
        assert rects[i][3] + 29.9 <= rects[j][1]
        assert line[0] == (plan.centres[i][0], rects[i][3])
        assert line[-1] == (plan.centres[j][0], rects[j][1])
        assert all(a[1] <= b[1] for a, b in itertools.pairwise(line))
        for (x, top), (_, bottom) in zip(line[1:-1:2], line[2:-1:2], strict=True):
            for rect in rects:  # where it passes a rank, it passes between the boxes
                assert not meet((x - 1, top, x + 1, bottom), rect)
    assert min(r[0] for r in rects) >= -1e-6
    assert max(r[2] for r in rects) <= plan.width + 1e-6
    assert set(plan.lines) == set(edges)


def test_what_follows_one_another_stands_in_a_column():
    """A residual net: the boxes stay straight, the lines around them bend."""
    edges = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5), (3, 5)]
    plan = arrange([(100, 30)] * 6, edges)
    xs = [x for x, _ in plan.centres]
    assert max(xs) - min(xs) < 0.5
    bent = [x for x, _ in plan.lines[0, 3][1:-1]]
    assert max(bent) - min(bent) < 0.5
    assert abs(bent[0] - xs[0]) > 50


def test_branches_are_centred_and_crossings_undone():
    edges = [(0, 1), (0, 2), (0, 3), (1, 6), (2, 5), (3, 4), (4, 7), (5, 7), (6, 7)]
    plan = arrange([(60, 30)] * 8, edges)
    (top, _), *middle, (bottom, _) = plan.centres
    assert top == pytest.approx(bottom, abs=1)
    assert top == pytest.approx(sum(x for x, _ in middle) / 6, abs=1)
    for a, b in [(1, 6), (2, 5), (3, 4)]:
        assert plan.centres[a][0] == pytest.approx(plan.centres[b][0], abs=0.5)


def test_nothing_is_arranged_too():
    assert arrange([], []).height == 0
    assert arrange([(10, 20)], []).centres == [(5, 10)]
