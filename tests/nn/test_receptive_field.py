"""Receptive fields are where the gradient is not zero: exactly, for any graph."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import nn, ops
from minicnn.autograd import Tensor, recording
from minicnn.autograd.graph import trace
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn.receptive_field import Sights

CHANNELS = 2
pads = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * 2)
sizes = st.tuples(st.integers(1, 3), st.integers(1, 3))
steps = st.tuples(st.integers(1, 3), st.integers(1, 3))


def seen_by(y, x, place):
    """The smallest box of x that holds all non-zero gradients of y's channels at a place."""
    g = np.zeros(y.shape)
    g[(0, slice(None), *place)] = 1
    x.grad = None
    y.backward(g, retain_graph=True)
    box = []
    for axis in range(2, x.ndim):
        others = tuple(a for a in range(x.ndim) if a != axis)
        (pixels,) = np.nonzero(x.grad.data.any(axis=others))
        box.append((int(pixels[0]), int(pixels[-1]) + 1) if pixels.size else (0, 0))
    return tuple(box)


def check(f, image, places=None):
    """Compare all that is said about a function of an image with its gradient."""
    x = Tensor(np.full((1, CHANNELS, *image), 1.0), requires_grad=True)
    with recording(True):
        graph = trace(f, x)
    y = graph.outputs[0].tensor
    field = Sights(graph, graph.inputs[0]).field(graph.outputs[0])
    assert field.shape == y.shape[2:]
    for place in places or np.ndindex(*y.shape[2:]):
        assert field.box(*place) == seen_by(y, x, place), place
    for axis, (offset, jump, size) in enumerate(
        zip(field.offset, field.jump, field.size, strict=True)
    ):
        start, end = field.start[axis], field.end[axis]
        assert (end - start).max(initial=0) <= size
        if offset is not None and jump:  # what is said in general is what borders only make less

            def holds(a, offset=offset, jump=jump, size=size, axis=axis, start=start, end=end):
                begin = np.moveaxis(start * 0, a, -1) + offset + jump * np.arange(start.shape[a])
                begin = np.moveaxis(begin, -1, a)
                return ((start >= begin) & (end <= begin + size) | (end == start)).all()

            assert any(holds(a) for a in range(start.ndim))
    return field


def ones(*shape):
    return Tensor(np.ones(shape))


@st.composite
def steps_of_a_net(draw):
    """Functions from the maps so far to the next one, and which maps they take."""
    kind = draw(
        st.sampled_from(
            ["conv", "conv", "transposed", "avg_pool", "pad", "slice", "join", "join", "gate",
             "repeat", "flip", "depthwise", "resize", "swap"]
        )
    )  # fmt: skip
    size, stride, pad = draw(sizes), draw(steps), draw(pads)
    dilation, groups = (
        draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        draw(st.integers(1, 2)),
    )
    bias = ones(CHANNELS)  # so that nothing is 0, which a product would hide behind
    number, flag = draw(st.integers(0, 5)), draw(st.booleans())

    def conv(x, *_):
        weight = ones(CHANNELS, CHANNELS // groups, *size)
        return ops.conv2d(x, weight, bias, stride, "same" if flag else pad, dilation, groups)

    def transposed(x, *_):
        weight = ones(CHANNELS, CHANNELS // groups, *size)
        cut = tuple((min(b, k - 1), 0) for (b, _), k in zip(pad, size, strict=True))
        padding = "same" if flag else cut
        return ops.conv_transpose2d(x, weight, bias, stride, padding, 0, dilation, groups)

    def avg_pool(x, *_):
        less = tuple((min(b, (k - 1) // 2),) * 2 for (b, _), k in zip(pad, size, strict=True))
        return ops.avg_pool2d(x, size, stride, less, ceil_mode=flag)

    def slices(x, *_):
        return x[:, :, number % x.shape[2] :: stride[0], : x.shape[3] - number % x.shape[3]]

    def join(x, other):
        rows, columns = (min(a, b) for a, b in zip(x.shape[2:], other.shape[2:], strict=True))
        a, b = x[..., :rows, :columns], other[..., :rows, -columns:]
        return a + b if flag else ops.concatenate([a[:, :1], b[:, :1]], axis=1)

    def gate(x, other):
        return x * ops.mean(other, axis=(2, 3), keepdims=True)[:, ::-1]

    def repeat(x, *_):
        return ops.repeat(ops.repeat(x, stride[0], 2), stride[1], 3)

    def depthwise(x, *_):
        return ops.conv2d(x, ones(2, 1, *size), bias, 1, "same", 1, 2)

    def resize(x, *_):
        return ops.resize(x, scale=(2.0, 1.5), mode="nearest" if flag else "linear")

    functions = {
        "conv": conv,
        "transposed": transposed,
        "avg_pool": avg_pool,
        "pad": lambda x, *_: ops.pad(x, ((0, 0), (0, 0), *pad), 1.0),
        "slice": slices,
        "join": join,
        "gate": gate,
        "repeat": repeat,
        "flip": lambda x, *_: ops.flip(x, 2),
        "depthwise": depthwise,
        "resize": resize,
        "swap": lambda x, *_: ops.transpose(x, (0, 1, 3, 2)),
    }
    return kind, functions[kind], draw(st.integers(0, 3)), draw(st.integers(0, 3))


@settings(max_examples=100)
@given(
    st.lists(steps_of_a_net(), min_size=1, max_size=5),
    st.tuples(st.integers(3, 9), st.integers(3, 9)),
    st.randoms(use_true_random=False),
)
def test_fields_of_any_graph_are_where_the_gradient_is_not_zero(steps, image, random):
    def net(x):
        maps = [x]
        for _, function, a, b in steps:
            try:
                made = function(maps[-1 - a % len(maps)], maps[-1 - b % len(maps)])
            except (ConfigError, ShapeError):  # a window that does not fit
                continue
            if made.size <= 600:
                maps.append(made)
        return maps[-1]

    last = net(Tensor(np.ones((1, CHANNELS, *image))))
    rows, columns = last.shape[2:]
    places = {(0, 0), (rows - 1, columns - 1), (rows // 2, columns // 2)}
    places |= {(random.randrange(rows), random.randrange(columns)) for _ in range(3)}
    check(net, image, sorted(places))


@pytest.mark.parametrize(
    ("f", "size", "jump", "offset"),
    [
        (lambda x: ops.conv2d(x, ones(3, 2, 3, 5), None, 1, "same"), (3, 5), (1, 1), (-1, -2)),
        (lambda x: ops.conv2d(x, ones(3, 2, 3, 3), None, 2, 0, 2), (5, 5), (2, 2), (0, 0)),
        (
            lambda x: ops.conv2d(x, ones(3, 2, 2, 2), None, 3, ((0, 4), (2, 1))),
            (2, 2), (3, 3), (0, -2),
        ),
        (
            lambda x: ops.conv_transpose2d(x, ones(2, 1, 4, 2), None, 2, 1),
            (2, 1), (Fraction(1, 2),) * 2, (None, None),
        ),
        (lambda x: ops.pad(x, ((0, 0), (0, 0), (2, 1), (0, 0))), (1, 1), (1, 1), (-2, 0)),
        (lambda x: x[:, :, ::-2, 3:], (1, 1), (-2, 1), (10, 3)),
        (lambda x: x.mean(axis=(2, 3), keepdims=True), (11, 12), (0, 0), (0, 0)),
        (lambda x: ops.transpose(x[:, :, ::2], (0, 1, 3, 2)), (1, 1), (2, 1), (0, 0)),
    ],
)  # fmt: skip
def test_what_is_regular_is_said_in_general(f, size, jump, offset):
    x = Tensor(np.ones((1, CHANNELS, 11, 12)), requires_grad=True)
    graph = trace(f, x)
    field = Sights(graph, graph.inputs[0]).field(graph.outputs[0])
    assert (field.size, field.jump, field.offset) == (size, jump, offset)


def test_fields_are_counted_on_beyond_the_border():
    net = nn.Sequential(*[nn.Conv2d(1, 1) for _ in range(20)])
    field = nn.receptive_field(net, (1, 6, 8))
    assert field.size == (41, 41)
    assert field.offset == (-20, -20)
    assert field.box(0, 0) == ((0, 6), (0, 8))
    assert str(field).splitlines() == [
        "6 x 8 unit(s), image 6 x 8",
        "axis 0: 41 pixel(s), each 1 pixel(s) further, the first from -20 on",
        "axis 1: 41 pixel(s), each 1 pixel(s) further, the first from -20 on",
    ]


def test_upsampling_and_downsampling_again_is_regular_again():
    def f(x):
        up = ops.conv_transpose2d(x, ones(2, 2, 2, 2), None, 2)
        return ops.conv2d(up, ones(2, 2, 2, 2), None, 2) + x

    field = check(f, (5, 4))
    assert (field.size, field.jump, field.offset) == ((1, 1), (1, 1), (0, 0))


def test_branches_that_do_not_go_in_step_are_seen_place_by_place():
    def f(x):
        return (
            ops.conv2d(x, ones(2, 2, 1, 1), None, 2) + ops.conv2d(x, ones(2, 2, 3, 3))[..., :5, :5]
        )

    field = check(f, (9, 9))
    assert field.jump == (None, None)
    assert field.offset == (None, None)
    assert field.start[0][:, 0].tolist() == [0, 1, 2, 3, 4]
    assert field.end[0][:, 0].tolist() == [3, 4, 5, 7, 9]
    assert field.size == (5, 5)


def test_channels_that_see_differently_are_told_apart_until_they_are_mixed():
    """A depthwise convolution after a concatenation mixes nothing; the next one does."""

    def f(x):
        wide = ops.conv2d(x, ones(1, 2, 5, 1), None, 1, "same")
        both = ops.concatenate([x[:, :1], wide], axis=1)
        return ops.conv2d(both, ones(2, 1, 3, 3), None, 1, "same", 1, 2)

    narrow = check(lambda x: f(x)[:, :1], (9, 9))
    assert narrow.box(4, 4) == ((3, 6), (3, 6))
    assert narrow.size == check(lambda x: (f(x) + f(x))[:, :1], (9, 9)).size == (3, 3)
    both = check(f, (9, 9))
    assert both.box(4, 4) == ((1, 8), (3, 6))
    assert (both.size, both.jump, both.offset) == ((7, 3), (1, 1), (-3, -1))
    mixed = check(lambda x: ops.conv2d(f(x), ones(1, 2, 3, 3)), (9, 9))
    assert (mixed.size, mixed.offset) == ((9, 5), (-3, -1))


def test_what_broadcasting_repeats_sees_the_same():
    field = check(lambda x: ops.conv2d(x, ones(2, 2, 1, 3), None) + ones(1, 1, 4, 1), (1, 6))
    assert (field.size, field.jump, field.offset) == ((1, 3), (0, 1), (0, 0))
    field = check(lambda x: ops.broadcast_to(x, (3, 1, 2, 4, 6)), (1, 6))
    assert field.shape == (2, 4, 6)
    assert (field.size, field.jump) == ((1, 1), (0, 1))


def test_signals_and_volumes():
    def line(x):
        return ops.conv1d(x, ones(1, 2, 3), None, 2, ((1, 0),))

    field = check(line, (9,))
    assert (field.size, field.jump, field.offset) == ((3,), (2,), (-1,))
    check(lambda x: ops.conv3d(x, ones(1, 2, 2, 1, 3), None, (1, 2, 1)), (4, 3, 5))
    check(lambda x: ops.conv_transpose3d(x, ones(2, 1, 2, 1, 3), None, (1, 2, 2)), (3, 2, 2))


def test_dense_layers_and_flattened_maps():
    net = nn.Sequential(nn.Conv2d(1, 2, padding="valid"), nn.Flatten(), nn.Dense(None, 3))
    flat = nn.receptive_field(net, (1, 5, 6), output="1")
    assert flat.shape == (2 * 3 * 4,)
    assert flat.box(0) == ((0, 3), (0, 3))
    assert flat.box(12 + 5) == ((1, 4), (1, 4))
    assert nn.receptive_field(net, (1, 5, 6)).box(2) == ((0, 5), (0, 6))


def test_filters_that_are_computed_from_the_image_see_what_they_are_computed_from():
    def f(x):
        weight = x.mean(axis=(2, 3)).reshape(1, 2, 1, 1)
        return ops.conv2d(x, weight)

    assert check(f, (4, 5)).size == (4, 5)


def test_each_input_and_output_and_module_can_be_asked_for():
    class Two(nn.Module):
        def __init__(self):
            self.a, self.b = nn.Conv2d(1, 1), nn.Conv2d(1, 1, size=5)
            self.label = nn.Function(lambda x: "no tensor")

        def forward(self, x, z):
            self.label(x)
            a, b = self.a(x), self.b(z)
            return {"sum": a + b, "first": self.a(a)}

    net, shapes = Two(), [(1, 9, 9), (1, 9, 9)]
    assert nn.receptive_field(net, *shapes).size == (3, 3)
    assert nn.receptive_field(net, *shapes, of=1).size == (5, 5)
    assert nn.receptive_field(net, *shapes, output=1).size == (5, 5)
    assert nn.receptive_field(net, *shapes, output=-1, of=1).size == (0, 0)
    assert nn.receptive_field(net, *shapes, output="a").size == (5, 5)  # the last of its calls
    assert nn.receptive_field(net, *shapes, output="b", of=1).size == (5, 5)
    with pytest.raises(ConfigError, match=r"no module 'aa' was called.*; did you mean 'a'"):
        nn.receptive_field(net, *shapes, output="aa")
    with pytest.raises(ConfigError, match="no module 'label' was called, or it returned no tens"):
        nn.receptive_field(net, *shapes, output="label")
    with pytest.raises(ConfigError, match="there is no output 2; the net returns 2 tensor"):
        nn.receptive_field(net, *shapes, output=2)
    with pytest.raises(ConfigError, match="there is no input 2; the net was given 2"):
        nn.receptive_field(net, *shapes, of=2)
    with pytest.raises(ShapeError, match="receptive_field: the net does not take one example"):
        nn.receptive_field(net, (1, 9, 9), (2, 9, 9))


def test_vectors_have_no_field():
    field = nn.receptive_field(nn.Dense(3, 2), (3,))
    assert field.size == field.box(0) == ()
    assert str(field) == "the input has no spatial axes"
