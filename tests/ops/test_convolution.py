"""Convolution against seven nested loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import conv2d
from minicnn.ops._windows import Window
from minicnn.ops.convolution import conv2d_grad_weight, conv2d_grad_x
from tests.ops.driver import proof_of
from tests.ops.loops import geometry, taps
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal, seeds


def definition(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """y[n,o,i,j] = bias[o] + sum over c, u, v of weight[o,c,u,v] * x[n, c, h, w]."""
    n, _, *image = x.shape
    outputs, per_group, *size = weight.shape
    _, lengths = geometry(image, size, stride, padding, dilation)
    y = np.zeros((n, outputs, *lengths))
    for b, o in np.ndindex(n, outputs):
        first = o // (outputs // groups) * per_group  # the first channel of o's group
        if bias is not None:
            y[b, o] = bias[o]
        for i, j, u, v, h, w in taps(image, size, stride, padding, dilation):
            for c in range(per_group):
                y[b, o, i, j] += weight[o, c, u, v] * x[b, first + c, h, w]
    return y


def definition_grad_x(grad_y, weight, image_shape, window, groups):
    """Every product of the definition, added to the pixel it came from."""
    grad_x = np.zeros(image_shape)
    outputs, per_group = weight.shape[:2]
    for b, o in np.ndindex(image_shape[0], outputs):
        first = o // (outputs // groups) * per_group
        for i, j, u, v, h, w in _taps(image_shape, window):
            for c in range(per_group):
                grad_x[b, first + c, h, w] += weight[o, c, u, v] * grad_y[b, o, i, j]
    return grad_x


def definition_grad_weight(grad_y, x, kernel_shape, window, groups):
    """Every product of the definition, added to the weight it came from."""
    grad_weight = np.zeros(kernel_shape)
    outputs, per_group = kernel_shape[:2]
    for b, o in np.ndindex(x.shape[0], outputs):
        first = o // (outputs // groups) * per_group
        for i, j, u, v, h, w in _taps(x.shape, window):
            for c in range(per_group):
                grad_weight[o, c, u, v] += grad_y[b, o, i, j] * x[b, first + c, h, w]
    return grad_weight


def _taps(image_shape, window):
    return taps(image_shape[2:], window.size, window.stride, window.padding, window.dilation)


paddings = st.one_of(
    st.just("valid"),
    st.just("same"),
    st.integers(0, 2),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
    st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * 2),
)
pairs = st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3)))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    per_group = 1 if groups == 3 else draw(st.integers(1, 2))  # 3 groups: depthwise
    outputs = groups * draw(st.integers(1, 2))
    image = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    stride, padding, dilation = draw(pairs), draw(paddings), draw(pairs)
    largest = [
        max(k for k in range(1, 5) if k == 1 or _fits(n, k, axis, padding, dilation))
        for axis, n in enumerate(image)
    ]
    size = tuple(draw(st.integers(1, min(k, 3))) for k in largest)
    seed, batch = draw(seeds), draw(st.integers(1, 2))
    arrays = [
        normal(seed, batch, per_group * groups, *image),
        normal(seed + 1, outputs, per_group, *size),
    ]
    if draw(st.booleans()):
        arrays.append(normal(seed + 2, outputs))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return Case(tuple(arrays), options)


def _fits(n: int, k: int, axis: int, padding: Any, dilation: Any) -> bool:
    image = (n, n)
    _, lengths = geometry(image, (k, k), 1, padding, dilation)
    return lengths[axis] >= 1


def _as_gradient(case: Case, of: str) -> Case:
    """Return the call of a gradient op that this convolution's backward pass makes."""
    x, weight, *_ = case.arrays
    options = dict(case.options)
    groups = options.pop("groups", 1)
    window = Window.of(
        "conv2d",
        x.shape[2:],
        weight.shape[2:],
        options.get("stride", 1),
        options.get("padding", 0),
        options.get("dilation", 1),
    )
    _, lengths = geometry(x.shape[2:], weight.shape[2:], *_options(options))
    grad_y = normal(x.size, x.shape[0], weight.shape[0], *lengths)
    if of == "x":
        shared = {"image_shape": x.shape, "window": window, "groups": groups}
        return Case((grad_y, weight), shared)
    return Case((grad_y, x), {"kernel_shape": weight.shape, "window": window, "groups": groups})


def _options(options):
    return options.get("stride", 1), options.get("padding", 0), options.get("dilation", 1)


def _conv(x_shape, weight_shape, bias=False, **options) -> Case:
    arrays = [normal(0, *x_shape), normal(1, *weight_shape)]
    return Case((*arrays, normal(2, weight_shape[0])) if bias else tuple(arrays), options)


EDGES = {
    "empty": _conv((0, 2, 5, 4), (3, 2, 3, 2), bias=True, padding=1),
    "empty, grouped": _conv((0, 4, 5, 4), (2, 2, 3, 2), groups=2),
    "empty, depthwise": _conv((0, 3, 5, 4), (3, 1, 3, 2), groups=3),
    "1x1 map": _conv((2, 3, 1, 1), (2, 3, 1, 1), bias=True),
    "1x1 map, 3x3 same": _conv((2, 3, 1, 1), (2, 3, 3, 3), padding="same"),
    "1x1 kernel": _conv((2, 3, 4, 3), (4, 3, 1, 1)),
    "1x1 kernel, stride 2": _conv((2, 3, 4, 5), (4, 3, 1, 1), stride=2),
    "1x1 kernel, dilated": _conv((1, 2, 3, 3), (2, 2, 1, 1), dilation=3),
    "stride beyond the kernel": _conv((1, 2, 7, 8), (2, 2, 2, 2), stride=(3, 4)),
    "kernel of the image's size": _conv((2, 2, 4, 5), (3, 2, 4, 5)),
    "1x3 kernel": _conv((1, 2, 5, 6), (2, 2, 1, 3), padding=((0, 0), (1, 1))),
    "3x1 kernel": _conv((1, 2, 5, 6), (2, 2, 3, 1), padding="same"),
    "padding beyond the kernel": _conv((1, 1, 3, 3), (1, 1, 2, 2), padding=4),
    "same, stride 2, even": _conv((1, 1, 6, 6), (1, 1, 3, 3), stride=2, padding="same"),
    "same, stride 3, dilated": _conv(
        (1, 2, 7, 8), (2, 2, 2, 3), stride=3, padding="same", dilation=2
    ),
    "depthwise": _conv((2, 3, 5, 5), (3, 1, 3, 3), groups=3, padding=1, stride=2),
    "depthwise, two outputs each": _conv((2, 3, 4, 4), (6, 1, 2, 2), groups=3),
    "more images than pieces of work": _conv((19, 1, 3, 3), (2, 1, 2, 2), bias=True),
    "many channels": _conv((1, 33, 3, 3), (17, 33, 3, 3), padding=1),
}


def summands(case: Case) -> int:
    a, b = case.arrays[:2]
    return max(b[0].size, a.shape[0] * a[0, 0].size, b.size) if a.size and b.size else 1


def _flipped(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [pull(g, x, weight[:, :, ::-1, ::-1], *bias, **options)[0], *right[1:]]


def _transposed(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    if weight.shape[2] == weight.shape[3]:
        right[1] = right[1].swapaxes(2, 3)
    return right


def _one_image(pull, g, x, weight, *bias, **options):
    """`=` for `+=` over the batch."""
    right = pull(g, x, weight, *bias, **options)
    return [right[0], *pull(g[-1:], x[-1:], weight, *bias, **options)[1:]]


def _shifted(pull, g, x, weight, *bias, **options):
    """Padding off by one to the left."""
    right = pull(g, x, weight, *bias, **options)
    return [np.roll(right[0], 1, axis=3), *right[1:]]


def _shifted_x(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    right[1] = pull(g, np.roll(x, 1, axis=2), weight, *bias, **options)[1]
    return right


def _bias_mean(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [*right[:2], *(d / max(len(g), 1) for d in right[2:])]


def _other_group(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    each = weight.shape[0] // options["groups"] if "groups" in options else 0
    turned = np.roll(weight, each, axis=0) if each else weight
    return [pull(g, x, turned, *bias, **options)[0], *right[1:]]


def _last_row_missing(pull, g, x, weight, *bias, **options):
    return pull(_without_last(g, 2), x, weight, *bias, **options)


def _without_last(g, axis):
    g = g.copy()
    np.moveaxis(g, axis, 0)[-1] = 0
    return g


def _true_convolution(y, x, weight, *bias, **options):
    return conv2d(x, weight[:, :, ::-1, ::-1], *bias, **options).data


def _no_bias(y, x, weight, *bias, **options):
    return conv2d(x, weight, **options).data


def _odd_pixel_before(y, x, weight, *bias, **options):
    if options.get("padding") != "same":
        return y
    pads, _ = geometry(x.shape[2:], weight.shape[2:], *_options(options))
    flipped = tuple((after, before) for before, after in pads)
    return conv2d(x, weight, *bias, **{**options, "padding": flipped}).data


def _groups_exchanged(y, x, weight, *bias, **options):
    return conv2d(x[:, ::-1], weight, *bias, **options).data


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


ERRORS = (
    ErrorCase(
        lambda: conv2d(t(1, 1, 5, 5), on_gpu(1, 1, 3, 3)),
        DeviceError,
        r"conv2d: x is on cpu, weight on cuda:0; use .to\(...\)",
    ),
    ErrorCase(
        lambda: conv2d(t(8, 3, 32, 32), t(16, 4, 3, 3)),
        ShapeError,
        r"conv2d: x has 3 channels but weight expects 4 \(x \(8, 3, 32, 32\), weight "
        r"\(16, 4, 3, 3\)\); set in_channels=3",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 3, 5, 5), t(4, 3, 3, 3), groups=2),
        ShapeError,
        r"x has 3 channels but weight expects 3 x 2 groups",
    ),
    ErrorCase(
        lambda: conv2d(t(3, 5, 5), t(4, 3, 3, 3)),
        ShapeError,
        r"conv2d: needs x \(N, C, H, W\) and weight \(O, C/groups, KH, KW\), got x \(3, 5, 5\)",
    ),
    ErrorCase(lambda: conv2d(t(1, 3, 5, 5), t(4, 27)), ShapeError, r"needs x .* weight \(4, 27\)"),
    ErrorCase(
        lambda: conv2d(t(1, 0, 5, 5), t(4, 0, 3, 3)), ShapeError, "at least one channel in and one"
    ),
    ErrorCase(
        lambda: conv2d(t(1, 4, 5, 5), t(3, 2, 3, 3), groups=2),
        ShapeError,
        "conv2d: 3 output channels do not divide into 2 groups",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 4, 5, 5), t(4, 4, 3, 3), groups=0),
        ConfigError,
        "groups must be an int >= 1, got 0",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 4, 5, 5), t(4, 4, 3, 3), t(3)),
        ShapeError,
        r"bias has shape \(3,\) but weight \(4, 4, 3, 3\) needs \(4,\)",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 5, 5), t(1, 1, 3, 3, dtype=np.float32)),
        DTypeError,
        r"conv2d: x is float64, weight float32; they must be one float type: use .astype",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 2, 2), t(1, 1, 3, 3)),
        ShapeError,
        r"conv2d: window \(3, 3\) does not fit in image \(2, 2\) padded by "
        r"\(\(0, 0\), \(0, 0\)\); use a smaller window or more padding",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), dilation=2),
        ShapeError,
        r"window \(3, 3\) dilated by \(2, 2\) does not fit in image \(4, 4\)",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=0),
        ConfigError,
        "conv2d: stride must be an int or 2 ints, each >= 1, got 0",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), stride=(1, 2, 3)),
        ConfigError,
        r"stride must be an int or 2 ints, each >= 1, got \(1, 2, 3\)",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), dilation=1.5),
        ConfigError,
        "dilation must be an int or 2 ints, each >= 1, got 1.5",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding=-1),
        ConfigError,
        "padding must be an int or 2 ints, each >= 0, got -1",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding="SAME"),
        ConfigError,
        "padding 'SAME' is unknown; use 'same', 'valid' or numbers",
    ),
    ErrorCase(
        lambda: conv2d(t(1, 1, 4, 4), t(1, 1, 3, 3), padding=((1, 1), (1,))),
        ConfigError,
        r"padding must be 2 pairs \(before, after\), got \(\(1, 1\), \(1,\)\)",
    ),
)

CONV2D = OpSpec(
    name="conv2d",
    op=conv2d,
    cases=cases(),
    oracle=definition,
    integers="conv2d: x is int64, weight int64.*; they must be one float type",
    edges=EDGES,
    special={
        "NaN stays in its window": Special(
            Case((np.array([[[[np.nan, 1.0, 2.0]]]]), np.ones((1, 1, 1, 2)))), [[[[np.nan, 3.0]]]]
        ),
        "infinity": Special(
            Case((np.array([[[[np.inf, 1.0, -np.inf]]]]), np.ones((1, 1, 1, 2)))),
            [[[[np.inf, -np.inf]]]],
        ),
        "padding is 0 even beside infinity": Special(
            Case((np.array([[[[np.inf]]]]), np.array([[[[1.0, 2.0, 3.0]]]])), {"padding": "same"}),
            [[[[np.inf]]]],
        ),
    },
    errors=ERRORS,
    forward_mutants={
        "kernel flipped": _true_convolution,
        "bias forgotten": _no_bias,
        "same: odd pixel before": _odd_pixel_before,
        "channels in the wrong order": _groups_exchanged,
    },
    backward_mutants={
        "kernel not flipped": _flipped,
        "kernel's axes exchanged": _transposed,
        "= for += over the batch": _one_image,
        "padding off by one": _shifted,
        "padding of x off by one": _shifted_x,
        "bias: mean over the batch": _bias_mean,
        "weights of another group": _other_group,
        "last output row missing": _last_row_missing,
    },
    summands=summands,
)

CONV2D_GRAD_X = OpSpec(
    name="conv2d_grad_x",
    op=conv2d_grad_x,
    cases=cases().map(lambda case: _as_gradient(case, "x")),
    oracle=definition_grad_x,
    integers=Case(
        tuple(a.astype(np.int64) for a in _as_gradient(EDGES["many channels"], "x").arrays),
        _as_gradient(EDGES["many channels"], "x").options,
    ),
    edges={name: _as_gradient(case, "x") for name, case in EDGES.items()},
    forward_mutants={
        "kernel flipped": lambda y, g, weight, **o: definition_grad_x(
            g, weight[..., ::-1, ::-1], **o
        ),
        "padding off by one": lambda y, *_, **__: np.roll(y, 1, axis=2),
        "last output column missing": lambda y, g, weight, **o: definition_grad_x(
            _without_last(g, 3), weight, **o
        ),
    },
    backward_mutants={
        "last row missing": lambda pull, g, *a, **o: pull(_without_last(g, 2), *a, **o),
        "channels in the wrong order": lambda pull, g, *a, **o: pull(g[:, ::-1], *a, **o),
    },
    summands=summands,
    examples=100,
)

CONV2D_GRAD_WEIGHT = OpSpec(
    name="conv2d_grad_weight",
    op=conv2d_grad_weight,
    cases=cases().map(lambda case: _as_gradient(case, "weight")),
    oracle=definition_grad_weight,
    integers=Case(
        tuple(a.astype(np.int64) for a in _as_gradient(EDGES["many channels"], "weight").arrays),
        _as_gradient(EDGES["many channels"], "weight").options,
    ),
    edges={name: _as_gradient(case, "weight") for name, case in EDGES.items()},
    forward_mutants={
        "kernel flipped": lambda y, *_, **__: y[:, :, ::-1, ::-1],
        "= for += over the batch": lambda y, g, x, **o: definition_grad_weight(g[-1:], x[-1:], **o),
        "divided by the batch": lambda y, g, x, **o: y / max(2 * len(x), 1),
    },
    backward_mutants={
        "kernel flipped": lambda pull, g, *a, **o: pull(g[:, :, ::-1, ::-1], *a, **o),
        "channels in the wrong order": lambda pull, g, *a, **o: pull(g[:, ::-1], *a, **o),
    },
    summands=lambda case: max(case.arrays[0].size, case.arrays[1].size, 1),
    examples=100,
)

SPECS = (CONV2D, CONV2D_GRAD_X, CONV2D_GRAD_WEIGHT)
TestConvolution = proof_of(*SPECS)
