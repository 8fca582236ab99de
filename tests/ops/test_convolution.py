"""Convolution with one, two and three spatial axes against nested loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import conv2d
from minicnn.ops._windows import Window
from minicnn.ops.convolution import conv_grad_weight
from tests.ops.convolving import by_weight, convolution, convolutions, sliding
from tests.ops.driver import proof_of
from tests.ops.loops import each, geometry
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import normal


def case(x_shape, weight_shape, bias=False, **options) -> Case:
    arrays = [normal(0, *x_shape), normal(1, *weight_shape)]
    return Case((*arrays, normal(2, weight_shape[0])) if bias else tuple(arrays), options)


def edges(axes: int) -> dict[str, Case]:
    """Geometries that must not be left to chance."""
    ones, twos, threes = (1,) * axes, (2,) * axes, (3,) * axes
    image, size = (3, 5, 4)[-axes:], (2, 3, 2)[-axes:]
    found = {
        "empty": case((0, 2, *image), (3, 2, *size), bias=True, padding=1),
        "empty, grouped": case((0, 4, *image), (2, 2, *size), groups=2),
        "empty, depthwise": case((0, 3, *image), (3, 1, *size), groups=3),
        "one pixel": case((2, 3, *ones), (2, 3, *ones), bias=True),
        "one pixel, kernel 3, same": case((2, 3, *ones), (2, 3, *threes), padding="same"),
        "kernel 1": case((2, 3, *image), (4, 3, *ones)),
        "kernel 1, stride 2": case((2, 3, *image), (4, 3, *ones), stride=2),
        "kernel 1, padded": case((2, 3, *image), (4, 3, *ones), padding=1),
        "kernel 1, dilated": case((1, 2, *image), (2, 2, *ones), dilation=3),
        "stride beyond the kernel": case(
            (1, 2, *(5, 7, 8)[-axes:]), (2, 2, *twos), stride=(3, 3, 4)[-axes:]
        ),
        "kernel of the image's size": case((2, 2, *image), (3, 2, *image)),
        "padding beyond the kernel": case((1, 1, *twos), (1, 1, *twos), padding=3),
        "same, stride 2, even": case(
            (1, 1, *(4,) * axes), (1, 1, *threes), stride=2, padding="same"
        ),
        "same, stride 3, dilated": case(
            (1, 2, *(4, 7, 5)[-axes:]), (2, 2, *size), stride=3, padding="same", dilation=2
        ),
        "depthwise": case((2, 3, *image), (3, 1, *size), groups=3, padding=1, stride=2),
        "depthwise, two outputs each": case((2, 3, *image), (6, 1, *twos), groups=3, padding=1),
        "more images than pieces of work": case((19, 1, *threes), (2, 1, *twos), bias=True),
        "many channels": case((1, 33, *threes), (17, 33, *(2, 3, 3)[-axes:]), padding=1),
    }
    for axis in range(axes):
        along = tuple(3 if a == axis else 1 for a in range(axes))
        found[f"kernel {along}"] = case((1, 2, *image), (2, 2, *along), padding="same")
    return found


def summands(case: Case) -> int:
    x, weight = case.arrays[:2]
    _, lengths = geometry(x.shape[2:], weight.shape[2:], **sliding(case.options))
    return max(weight.size, len(x) * int(np.prod(lengths)), 1)


# Faults in the gradients: (pull, dL/dy, arrays, options) -> wrong gradients


def _unflipped(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [pull(g, x, turned(weight), *bias, **options)[0], *right[1:]]


def turned(weight):
    """The same filters, each turned around."""
    return np.flip(weight, axis=tuple(range(2, weight.ndim)))


def _axes_exchanged(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    if weight.shape[-1] == weight.shape[-2]:
        right[1] = right[1].swapaxes(-1, -2)
    return right


def _one_image(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [right[0], *pull(g[-1:], x[-1:], weight, *bias, **options)[1:]]


def _shifted(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [np.roll(right[0], 1, axis=-1), *right[1:]]


def _shifted_x(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    right[1] = pull(g, np.roll(x, 1, axis=2), weight, *bias, **options)[1]
    return right


def _bias_mean(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [*right[:2], *(d / max(len(g), 1) for d in right[2:])]


def _other_group(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    rolled = _of_the_next_group(weight, **options)
    return [pull(g, x, rolled, *bias, **options)[0], *right[1:]]


def _of_the_next_group(weight, groups=1, **_):
    return np.roll(weight, len(weight) // groups, axis=0) if groups > 1 else weight


def _last_missing(pull, g, x, weight, *bias, **options):
    return pull(without_last(g, 2), x, weight, *bias, **options)


def without_last(g, axis):
    g = g.copy()
    np.moveaxis(g, axis, 0)[-1] = 0
    return g


def _undilated_grad(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [pull(g, x, weight, *bias, **_undilated(x, weight, options))[0], *right[1:]]


# Faults in the value: (value, arrays, options) -> wrong value


def _undilated(x, weight, options):
    """The same output size, but the window has no holes."""
    image, size = x.shape[2:], weight.shape[2:]
    pads, _ = geometry(image, size, **sliding(options))
    gaps = each(options.get("dilation", 1), len(size))
    wider = tuple(
        (before, after - (d - 1) * (k - 1))
        for (before, after), d, k in zip(pads, gaps, size, strict=True)
    )
    if min(after for _, after in wider) < 0:
        return options
    return {**options, "padding": wider, "dilation": 1}


def forward_mutants(op: Callable[..., Tensor]) -> dict[str, Any]:
    def pads_exchanged(y, x, weight, *bias, **options):
        pads, _ = geometry(x.shape[2:], weight.shape[2:], **sliding(options))
        swapped = tuple((after, before) for before, after in pads)
        return op(x, weight, *bias, **{**options, "padding": swapped}).data

    def odd_pixel_before(y, x, weight, *bias, **options):
        if options.get("padding") != "same":
            return y
        return pads_exchanged(y, x, weight, *bias, **options)

    def undilated(y, x, weight, *bias, **options):
        return op(x, weight, *bias, **_undilated(x, weight, options)).data

    return {
        "kernel flipped": lambda y, x, weight, *b, **o: op(x, turned(weight), *b, **o).data,
        "bias forgotten": lambda y, x, weight, *b, **o: op(x, weight, **o).data,
        "bias of another channel": lambda y, x, weight, *b, **o: (
            op(x, weight, *(np.roll(a, 1) for a in b), **o).data
        ),
        "same: odd pixel before": odd_pixel_before,
        "padding before and after exchanged": pads_exchanged,
        "dilation ignored": undilated,
        "channels in the wrong order": lambda y, x, *a, **o: op(x[:, ::-1], *a, **o).data,
        "weights of another group": lambda y, x, weight, *b, **o: (
            op(x, _of_the_next_group(weight, **o), *b, **o).data
        ),
        "groups interleaved": lambda y, x, weight, *b, groups=1, **o: (
            op(_interleaved(x, groups), weight, *b, groups=groups, **o).data
        ),
        "last window missing": lambda y, *_, **__: without_last(y, 2),
    }


def _interleaved(x, groups):
    """Channels g, g + G, ... in group g, where those next to each other belong."""
    n, c, *image = x.shape
    return x.reshape(n, c // groups, groups, *image).swapaxes(1, 2).reshape(x.shape)


def backward_mutants(axes: int) -> dict[str, Any]:
    mutants = {
        "kernel not flipped": _unflipped,
        "kernel's axes exchanged": _axes_exchanged,
        "= for += over the batch": _one_image,
        "padding off by one": _shifted,
        "padding of x off by one": _shifted_x,
        "bias: mean over the batch": _bias_mean,
        "weights of another group": _other_group,
        "last output row missing": _last_missing,
        "dilation ignored": _undilated_grad,
    }
    if axes == 1:
        del mutants["kernel's axes exchanged"]
    return mutants


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


def special(axes: int) -> dict[str, Special]:
    def row(*numbers: float) -> np.ndarray:
        return np.array(numbers).reshape(1, 1, *(1,) * (axes - 1), -1)

    inf, nan = np.inf, np.nan
    return {
        "NaN stays in its window": Special(Case((row(nan, 1, 2), row(1, 1))), row(nan, 3)),
        "infinity": Special(Case((row(inf, 1, -inf), row(1, 1))), row(inf, -inf)),
        "padding is 0 even beside infinity": Special(
            Case((row(inf), row(1, 2, 3)), {"padding": "same"}), row(inf)
        ),
    }


def errors(axes: int, op: Callable[..., Tensor]) -> list[ErrorCase]:
    """Every wrong call, in any number of axes."""
    name = op.__name__
    five, three, image = (5,) * axes, (3,) * axes, "L" if axes == 1 else "H, W"
    number = "an int" if axes == 1 else f"an int or {axes} ints, each"
    shapes = rf"\(1, 4, {', '.join('5' * axes)}\)"

    def wrong(error, match, x=(1, 4), weight=(4, 4), bias=None, **options):
        b = None if bias is None else t(bias)
        return ErrorCase(
            lambda: op(t(*x, *five), t(*weight, *three), b, **options), error, f"^{name}: .*{match}"
        )

    one = f"{number} >= 1, got"
    return [
        wrong(ShapeError, rf"needs x \(N, C, .*{image}\) and weight \(O, C/groups, .*", x=(1,)),
        wrong(ShapeError, r"needs x .* weight \(4, 3.*\)", weight=(4,)),
        wrong(ShapeError, r"at least one channel in and one", x=(1, 0), weight=(4, 0)),
        wrong(
            ShapeError,
            rf"x has 4 channels but weight expects 3 \(x {shapes}, weight .*\); set in_channels=4",
            weight=(4, 3),
        ),
        wrong(ShapeError, "x has 4 channels but weight expects 4 x 2 groups", groups=2),
        wrong(
            ShapeError,
            rf"3 output channels do not divide into 2 groups \(x {shapes}",
            weight=(3, 2),
            groups=2,
        ),
        wrong(ShapeError, r"bias has shape \(3,\) but weight \(4, 4.*\) needs \(4,\)", bias=3),
        *(
            wrong(ConfigError, f"groups must be an int >= 1, got {groups}", groups=groups)
            for groups in (0, -1, 1.5, None)
        ),
        wrong(ConfigError, f"stride must be {one} 0", stride=0),
        wrong(ConfigError, rf"stride must be {one} \(1, 2, 3, 4\)", stride=(1, 2, 3, 4)),
        wrong(ConfigError, f"dilation must be {one} 1.5", dilation=1.5),
        wrong(ConfigError, f"padding must be {number} >= 0, got -1", padding=-1),
        wrong(ConfigError, "padding 'SAME' is unknown; use 'same', 'valid' or num", padding="SAME"),
        wrong(
            ConfigError,
            rf"padding must be {axes} pairs? \(before, after\), got .*; give ints >= 0",
            padding=((1, 1),) * (axes - 1) + ((1,),),
        ),
        wrong(
            ShapeError,
            r"window \(3.*\) dilated by \(3.*\) does not fit in image \(5.*\) padded by "
            r"\(\(0, 0\).*\); use a smaller window or more padding",
            dilation=3,
        ),
        ErrorCase(
            lambda: op(t(1, 1, *five), on_gpu(1, 1, *three)),
            DeviceError,
            rf"{name}: x \(1, 1, 5.*\) is on cpu, weight \(1, 1, 3.*\) is on cuda:0; .*use .to\(",
        ),
        ErrorCase(
            lambda: op(t(1, 1, *five), t(1, 1, *three, dtype=np.float32)),
            DTypeError,
            rf"{name}: x \(1, 1, 5.*\) is float64, weight .* is float32; .* one float type: use",
        ),
        ErrorCase(
            lambda: op(t(1, 1, *five), t(1, 1, *three), t(1, dtype=np.float32)),
            DTypeError,
            r"bias \(1,\) is float32; they must be of one float type",
        ),
    ]


def spec(axes: int) -> OpSpec:
    op = getattr(ops, f"conv{axes}d")
    return OpSpec(
        name=op.__name__,
        op=op,
        cases=convolutions(axes),
        oracle=convolution,
        integers=f"{op.__name__}: x .* is int64, weight .* is int64.*; they must be of one float",
        edges=edges(axes),
        special=special(axes),
        errors=errors(axes, op),
        forward_mutants=forward_mutants(op),
        backward_mutants=backward_mutants(axes),
        summands=summands,
    )


CONV1D, CONV2D, CONV3D = map(spec, (1, 2, 3))


def _pull_to_weight(case: Case) -> Case:
    """Return the call of `conv_grad_weight` that this convolution's backward pass makes."""
    x, weight, *_ = case.arrays
    window = Window.of("conv", x.shape[2:], weight.shape[2:], *sliding(case.options).values())
    _, lengths = geometry(x.shape[2:], weight.shape[2:], **sliding(case.options))
    grad_y = normal(x.size, x.shape[0], weight.shape[0], *lengths)
    groups = case.options.get("groups", 1)
    return Case((grad_y, x), {"kernel_shape": weight.shape, "window": window, "groups": groups})


_MANY = _pull_to_weight(edges(2)["many channels"])
CONV_GRAD_WEIGHT = OpSpec(
    name="conv_grad_weight",
    op=conv_grad_weight,
    cases=st.one_of(*map(convolutions, (1, 2, 3))).map(_pull_to_weight),
    oracle=by_weight,
    integers=Case(tuple(a.astype(np.int64) for a in _MANY.arrays), _MANY.options),
    edges={
        name if axes == 2 else f"{name}, {axes} axes": _pull_to_weight(case)
        for axes in (2, 1, 3)
        for name, case in edges(axes).items()
    },
    forward_mutants={
        "kernel flipped": lambda y, *_, **__: turned(y),
        "= for += over the batch": lambda y, g, x, **o: by_weight(g[-1:], x[-1:], **o),
        "divided by the batch": lambda y, g, x, **o: y / max(2 * len(x), 1),
    },
    backward_mutants={
        "kernel flipped": lambda pull, g, *a, **o: pull(turned(g), *a, **o),
        "channels in the wrong order": lambda pull, g, *a, **o: pull(g[:, ::-1], *a, **o),
    },
    summands=lambda case: max(case.arrays[0].size, case.arrays[1].size, 1),
)

SPECS = (CONV1D, CONV2D, CONV3D, CONV_GRAD_WEIGHT)
TestConvolution = proof_of(*SPECS)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16])
def test_options_may_be_numpy_ints(kind):
    x, weight = t(1, 4, 6, 6), t(2, 2, 3, 3)
    right = conv2d(x, weight, stride=2, padding=1, dilation=2, groups=2)
    one, two = kind(1), kind(2)
    y = conv2d(x, weight, stride=two, padding=(one, one), dilation=(two, two), groups=two)
    np.testing.assert_array_equal(y.data, right.data)


def test_arrays_are_taken_for_tensors():
    x, weight = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2))
    np.testing.assert_array_equal(conv2d(x, weight).data, np.full((1, 1, 3, 3), 4.0))


def test_a_signal_an_image_and_a_volume_are_one_thing():
    """One axis of length 1 more changes nothing."""
    x, weight = normal(0, 2, 4, 9), normal(1, 6, 2, 3)
    options = {"stride": 2, "dilation": 2, "groups": 2}
    y = ops.conv1d(x, weight, padding=((1, 2),), **options).data
    y2 = ops.conv2d(x[:, :, None], weight[:, :, None], padding=((0, 0), (1, 2)), **options).data
    y3 = ops.conv3d(
        x[:, :, None, :, None],
        weight[:, :, None, :, None],
        padding=((0, 0), (1, 2), (0, 0)),
        **options,
    ).data
    np.testing.assert_allclose(y2[:, :, 0], y, rtol=0, atol=1e-14)
    np.testing.assert_allclose(y3[:, :, 0, :, 0], y, rtol=0, atol=1e-14)
