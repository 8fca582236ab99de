"""Transposed convolution with one, two and three spatial axes against nested loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn import ops
from minicnn.autograd import Tensor, grad
from minicnn.errors import ConfigError, DeviceError, DTypeError, ShapeError
from minicnn.ops import conv_transpose2d
from tests.ops.convolving import convolutions, enlarged, sliding, transposed, transposes
from tests.ops.driver import for_all, proof_of
from tests.ops.loops import each, geometry
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.test_convolution import t, turned, without_last
from tests.ops.values import normal


def case(x_shape, weight_shape, bias=0, **options) -> Case:
    arrays = [normal(0, *x_shape), normal(1, *weight_shape)]
    return Case((*arrays, normal(2, bias)) if bias else tuple(arrays), options)


def edges(axes: int) -> dict[str, Case]:
    """Geometries that must not be left to chance."""
    ones, twos, threes = (1,) * axes, (2,) * axes, (3,) * axes
    image, size = (2, 3, 4)[-axes:], (2, 3, 2)[-axes:]
    found = {
        "empty": case((0, 2, *image), (2, 3, *size), bias=3, stride=2),
        "empty, grouped": case((0, 4, *image), (4, 1, *size), bias=2, groups=2),
        "empty, depthwise": case((0, 3, *image), (3, 1, *size), groups=3),
        "one pixel": case((2, 3, *ones), (3, 2, *ones), bias=2),
        "one pixel becomes a window": case((2, 3, *ones), (3, 2, *threes), stride=3),
        "kernel 1": case((2, 3, *image), (3, 4, *ones)),
        "kernel 1, stride 2": case((2, 3, *image), (3, 4, *ones), stride=2),
        "kernel 1, output_padding": case(
            (2, 3, *image), (3, 2, *ones), bias=2, stride=2, output_padding=1
        ),
        "stride beyond the kernel": case((1, 2, *image), (2, 2, *twos), stride=3),
        "stride beyond the kernel, same": case(
            (1, 2, *image), (2, 2, *twos), stride=3, padding="same"
        ),
        "twice the size, kernel 4": case((1, 2, *twos), (2, 1, *(4,) * axes), stride=2, padding=1),
        "twice the size, kernel 3": case(
            (1, 2, *twos), (2, 1, *threes), stride=2, padding=1, output_padding=1
        ),
        "twice the size, same": case((1, 2, *twos), (2, 1, *threes), stride=2, padding="same"),
        "same, dilated": case((1, 2, *image), (2, 1, *size), stride=2, padding="same", dilation=2),
        "output_padding beyond the stride": case(
            (1, 2, *image), (2, 2, *twos), bias=2, dilation=3, output_padding=2
        ),
        "all but a pixel is cut off": case((1, 2, *ones), (2, 2, *threes), padding=1),
        "depthwise": case((2, 3, *image), (3, 1, *size), groups=3, padding=1, stride=2),
        "depthwise, two outputs each": case((2, 3, *image), (3, 2, *twos), groups=3),
        "more images than pieces of work": case((19, 1, *twos), (1, 2, *twos), bias=2),
        "many channels": case((1, 33, *twos), (33, 17, *(2, 3, 3)[-axes:]), padding=1),
    }
    for axis in range(axes):
        along = tuple(3 if a == axis else 1 for a in range(axes))
        found[f"kernel {along}"] = case((1, 2, *image), (2, 2, *along), stride=2, padding="same")
    return found


def summands(case: Case) -> int:
    x, weight = case.arrays[:2]
    lengths = enlarged(x.shape[2:], weight.shape[2:], case.options)
    return max(weight.size, len(x) * int(np.prod(lengths)), x.size, 1)


# Faults in the gradients: (pull, dL/dy, arrays, options) -> wrong gradients


def _flipped(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [pull(g, x, turned(weight), *bias, **options)[0], *right[1:]]


def _weight_flipped(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [right[0], turned(right[1]), *right[2:]]


def _one_image(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [right[0], *pull(g[-1:], x[-1:], weight, *bias, **options)[1:]]


def _shifted_g(pull, g, x, weight, *bias, **options):
    return pull(np.roll(g, 1, axis=-1), x, weight, *bias, **options)


def _shifted_x(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    right[1] = pull(g, np.roll(x, 1, axis=2), weight, *bias, **options)[1]
    return right


def _bias_mean(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    return [*right[:2], *(d / max(len(g), 1) for d in right[2:])]


def _bias_without_the_margin(pull, g, x, weight, *bias, **options):
    """The bias is added to what output_padding adds, too."""
    right = pull(g, x, weight, *bias, **options)
    return [*right[:2], *(pull(without_last(g, 2), x, weight, *bias, **options)[2:])]


def _other_group(pull, g, x, weight, *bias, **options):
    right = pull(g, x, weight, *bias, **options)
    rolled = _of_the_next_group(weight, **options)
    return [pull(g, x, rolled, *bias, **options)[0], *right[1:]]


def _of_the_next_group(weight, groups=1, **_):
    return np.roll(weight, len(weight) // groups, axis=0) if groups > 1 else weight


def forward_mutants(op: Callable[..., Tensor]) -> dict[str, Any]:
    """Faults in the value: (value, arrays, options) -> wrong value."""

    def pads_exchanged(y, x, weight, *bias, **options):
        if options.get("padding", 0) in ("same", "valid"):
            return y
        pads, _ = geometry(x.shape[2:], (1,) * (x.ndim - 2), 1, options.get("padding", 0))
        swapped = tuple((after, before) for before, after in pads)
        return op(x, weight, *bias, **{**options, "padding": swapped}).data

    def odd_pixel_before(y, x, weight, *bias, **options):
        if options.get("padding") != "same":
            return y
        axes = x.ndim - 2
        strides, size = each(options.get("stride", 1), axes), weight.shape[2:]
        whole = [n * s for n, s in zip(x.shape[2:], strides, strict=True)]
        pads, _ = geometry(whole, size, **sliding(options))
        swapped = tuple((after, before) for before, after in pads)
        natural = enlarged(x.shape[2:], size, {**options, "padding": swapped})
        more = tuple(n - m for n, m in zip(whole, natural, strict=True))
        options = {**options, "padding": swapped, "output_padding": more}
        return op(x, weight, *bias, **options).data

    def margin(before: bool) -> Any:
        def wrong(y, x, weight, *bias, **options):
            more = each(options.get("output_padding", 0), x.ndim - 2)
            inner = op(x, weight, **{**options, "output_padding": 0}).data
            widths = [(0, 0), (0, 0), *((m, 0) if before else (0, m) for m in more)]
            y = np.pad(inner, widths)
            return y + bias[0].reshape(-1, *(1,) * len(more)) if bias else y

        return wrong

    def undilated(y, x, weight, *bias, **options):
        gaps = each(options.get("dilation", 1), x.ndim - 2)
        if options.get("padding", 0) == "same" or options.get("output_padding", 0):
            return y
        closer = op(x, weight, **{**options, "dilation": 1, "padding": 0}).data
        size = weight.shape[2:]
        y = np.pad(
            closer,
            [(0, 0), (0, 0), *((0, (d - 1) * (k - 1)) for d, k in zip(gaps, size, strict=True))],
        )
        pads, _ = geometry(x.shape[2:], (1,) * len(size), 1, options.get("padding", 0))
        inside = tuple(slice(b, n - a) for n, (b, a) in zip(y.shape[2:], pads, strict=True))
        y = y[(slice(None), slice(None), *inside)]
        return y + bias[0].reshape(-1, *(1,) * len(size)) if bias else y

    return {
        "kernel flipped": lambda y, x, weight, *b, **o: op(x, turned(weight), *b, **o).data,
        "bias forgotten": lambda y, x, weight, *b, **o: op(x, weight, **o).data,
        "bias of another channel": lambda y, x, weight, *b, **o: (
            op(x, weight, *(np.roll(a, 1) for a in b), **o).data
        ),
        "same: odd pixel before": odd_pixel_before,
        "padding before and after exchanged": pads_exchanged,
        "output_padding: zeros": margin(before=False),
        "output_padding: before": margin(before=True),
        "dilation ignored": undilated,
        "channels in the wrong order": lambda y, x, *a, **o: op(x[:, ::-1], *a, **o).data,
        "weights of another group": lambda y, x, weight, *b, **o: (
            op(x, _of_the_next_group(weight, **o), *b, **o).data
        ),
        "last pixel paints nothing": lambda y, x, *a, **o: op(without_last(x, 2), *a, **o).data,
        "= for += where windows overlap": lambda y, *a, **o: _last_painter(*a, **o),
    }


def _last_painter(x, weight, *bias, **options):
    """Paint pixel by pixel; who comes later covers who came before."""
    y = transposed(np.zeros_like(x), weight, *bias, **options)
    for q in np.ndindex(*x.shape[2:]):
        only = np.zeros_like(x)
        only[(Ellipsis, *q)] = x[(Ellipsis, *q)]
        painted = transposed(only, weight, **options)
        y = np.where(painted != 0, painted, y)
    return y


def special(axes: int) -> dict[str, Special]:
    def row(*numbers: float) -> np.ndarray:
        return np.array(numbers, float).reshape(1, 1, *(1,) * (axes - 1), -1)

    inf, nan = np.inf, np.nan
    return {
        "NaN paints its window only": Special(
            Case((row(nan, 1, 2), row(1, 1))), row(nan, nan, 3, 2)
        ),
        "infinity": Special(Case((row(inf, 1, -inf), row(1, 1))), row(inf, inf, -inf, -inf)),
        "nothing is painted between": Special(
            Case((row(inf, 1), row(1)), {"stride": (1, 1, 2)[-axes:]}), row(inf, 0, 1)
        ),
    }


def errors(axes: int, op: Callable[..., Tensor]) -> list[ErrorCase]:
    """Every wrong call, in any number of axes."""
    name = op.__name__
    five, three, image = (5,) * axes, (3,) * axes, "L" if axes == 1 else "H, W"
    number = "an int" if axes == 1 else f"an int or {axes} ints, each"
    shapes = rf"x \(1, 4, {', '.join('5' * axes)}\), weight"

    def wrong(error, match, x=(1, 4), weight=(4, 4), bias=None, **options):
        b = None if bias is None else t(bias)
        return ErrorCase(
            lambda: op(t(*x, *five), t(*weight, *three), b, **options), error, f"^{name}: .*{match}"
        )

    return [
        wrong(ShapeError, rf"needs x \(N, C, .*{image}\) and weight \(C, O/groups, .*", x=(1,)),
        wrong(ShapeError, r"needs x .* weight \(4, 3.*\)", weight=(4,)),
        wrong(ShapeError, "needs channels, pixels and weights, got x", x=(1, 0), weight=(0, 4)),
        wrong(ShapeError, "needs channels, pixels and weights, got x", weight=(4, 0)),
        ErrorCase(
            lambda: op(t(1, 1, *(0,) * axes), t(1, 1, *three)), ShapeError, "needs channels, pixels"
        ),
        wrong(
            ShapeError,
            rf"x has 4 channels but weight expects 3 \({shapes} \(3, 4, .*\)\); a transposed conv.*"
            r"weight is \(C, O/groups, .*K.*\): set in_channels=4, or swap its first two axes",
            weight=(3, 4),
        ),
        wrong(ShapeError, rf"4 input channels do not divide into 3 groups \({shapes}", groups=3),
        wrong(ShapeError, r"bias has shape \(3,\) but weight \(4, 4.*\) needs \(4,\)", bias=3),
        wrong(
            ShapeError,
            r"bias has shape \(4,\) but weight \(4, 4.*\) in 2 groups needs \(8,\)",
            bias=4,
            groups=2,
        ),
        wrong(ConfigError, "groups must be an int >= 1, got 0", groups=0),
        wrong(ConfigError, f"stride must be {number} >= 1, got 0", stride=0),
        wrong(ConfigError, f"dilation must be {number} >= 1, got 1.5", dilation=1.5),
        wrong(ConfigError, f"padding must be {number} >= 0, got -1", padding=-1),
        wrong(ConfigError, f"output_padding must be {number} >= 0, got -1", output_padding=-1),
        wrong(ConfigError, "padding 'SAME' is unknown; use 'same', 'valid' or num", padding="SAME"),
        wrong(
            ConfigError,
            r"output_padding \(2.*\) must be less than stride \(2.*\) or dilation \(1.*\) "
            r"\(x \(1, 4, 5.*\), weight \(4, 4, 3.*\)\); use less, and minicnn.pad for a margin",
            stride=2,
            output_padding=2,
        ),
        wrong(
            ConfigError,
            r"padding='same' makes the output \(10.*\) of x \(1, 4, 5.*\); leave out "
            "output_padding=1, or give the padding in numbers",
            stride=2,
            padding="same",
            output_padding=1,
        ),
        wrong(
            ShapeError,
            r"windows \(3.*\) painted at \(5.*\) places and cut off by \(\(4, 4\).*\) leave an "
            r"image \(-1.*\); use less padding",
            padding=4,
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
    ]


def spec(axes: int) -> OpSpec:
    op = getattr(ops, f"conv_transpose{axes}d")
    return OpSpec(
        name=op.__name__,
        op=op,
        cases=transposes(axes),
        oracle=transposed,
        integers=f"{op.__name__}: x .* is int64, weight .* is int64.*; they must be of one float",
        edges=edges(axes),
        special=special(axes),
        errors=errors(axes, op),
        forward_mutants=forward_mutants(op),
        backward_mutants={
            "kernel flipped": _flipped,
            "weight's gradient flipped": _weight_flipped,
            "= for += over the batch": _one_image,
            "padding off by one": _shifted_g,
            "padding of x off by one": _shifted_x,
            "bias: mean over the batch": _bias_mean,
            "bias: the last row is left out": _bias_without_the_margin,
            "weights of another group": _other_group,
            "last output row missing": lambda pull, g, *a, **o: pull(without_last(g, 2), *a, **o),
        },
        summands=summands,
    )


SPECS = tuple(map(spec, (1, 2, 3)))
TestTransposedConvolution = proof_of(*SPECS)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_it_is_the_transpose_of_the_convolution(axes):
    """<conv(a, w), b> = <a, conv_transpose(b, w)> for all a and b of fitting shapes."""
    conv, transpose = getattr(ops, f"conv{axes}d"), getattr(ops, f"conv_transpose{axes}d")

    def check(case: Case) -> None:
        a, weight, *_ = case.arrays
        y = conv(a, weight, **case.options).data
        b = normal(a.size, *y.shape)
        options = dict(case.options)
        pads, _ = geometry(a.shape[2:], weight.shape[2:], **sliding(options))
        least = enlarged(y.shape[2:], weight.shape[2:], {**options, "padding": tuple(pads)})
        more = tuple(n - m for n, m in zip(a.shape[2:], least, strict=True))
        if min(least) < 1:
            return
        back = transpose(
            b, weight, **{**options, "padding": tuple(pads), "output_padding": more}
        ).data
        assert back.shape == a.shape
        np.testing.assert_allclose((y * b).sum(), (a * back).sum(), rtol=1e-11, atol=1e-11)

    for_all(convolutions(axes), check, 100)


def test_same_is_the_transpose_of_same():
    """Of the "same" convolution that takes an image of n * stride pixels to n, at every stride."""

    def check(drawn: tuple[int, int, int, int]) -> None:
        n, size, stride, dilation = drawn
        weight, b = normal(1, 1, 1, size), normal(2, 1, 1, n)
        image = Tensor(normal(3, 1, 1, n * stride), requires_grad=True)
        options = {"stride": stride, "padding": "same", "dilation": dilation}
        y = ops.conv1d(image, weight, **options)
        back = ops.conv_transpose1d(b, weight, **options)
        assert back.shape == (1, 1, n * stride)
        np.testing.assert_allclose(back.data, grad(y, image, b).data, rtol=0, atol=1e-14)

    small = st.integers(1, 5)
    for_all(st.tuples(small, small, small, small), check, 200)


def test_options_may_be_numpy_ints():
    x, weight = t(1, 4, 3, 3), t(4, 1, 3, 3)
    right = conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1, groups=2)
    one, two = np.int64(1), np.int64(2)
    y = conv_transpose2d(x, weight, None, two, (one, one), (one, one), one, two)
    np.testing.assert_array_equal(y.data, right.data)
