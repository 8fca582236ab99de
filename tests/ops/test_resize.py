"""Resizing against a loop over the pixels that each output looks at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, check_gradients, grad
from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.ops import resize
from tests.ops.driver import proof_of
from tests.ops.loops import lines
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.values import normal, seeds

NAN, INF = math.nan, math.inf
COORDINATES = (
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
    "tf_crop_and_resize",
)  # fmt: skip
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def place(i: int, n: int, m: int, s: float, coordinates: str, box: Any) -> float:
    """Where output i of m looks on an axis of n pixels (the text of ONNX's operator)."""
    width = s * n
    if abs(width - m) < 1e-9:
        width = float(m)
    if coordinates == "asymmetric":
        return i / s
    if coordinates == "align_corners":
        return 0.0 if m == 1 else i * (n - 1) / (width - 1)
    if coordinates == "tf_crop_and_resize":
        start, end = box
        if m == 1:
            return 0.5 * (start + end) * (n - 1)
        return start * (n - 1) + i * (end - start) * (n - 1) / (width - 1)
    if coordinates == "pytorch_half_pixel" and m == 1:
        return 0.0
    if coordinates == "half_pixel_symmetric":
        return n / 2 * (1 - m / width) + (i + 0.5) / s - 0.5
    return (i + 0.5) / s - 0.5


def rounded(p: float, nearest: str) -> int:
    """The nearest whole number, found by looking at those around."""
    around = range(math.floor(p) - 1, math.floor(p) + 3)
    if nearest == "floor":
        return max(j for j in around if j <= p)
    if nearest == "ceil":
        return min(j for j in around if j >= p)
    up = nearest == "round_prefer_ceil"
    return min(around, key=lambda j: (abs(p - j), -j if up else j))


def filtered(d: float, mode: str, a: float) -> float:
    """The weight of a pixel at distance d."""
    d = abs(d)
    if mode == "linear":
        return max(1 - d, 0.0)
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0


def looks_at(p: float, n: int, s: float, mode: str, options: dict[str, Any]) -> dict[int, float]:
    """Which pixels an output sees, and with which weights."""
    if mode == "nearest":
        return {min(max(rounded(p, options["nearest"]), 0), n - 1): 1.0}
    shrink = min(s, 1.0) if options["antialias"] else 1.0
    far = math.ceil(2 / shrink) + 1
    weights = {
        j: filtered((j - p) * shrink, mode, options["cubic_a"])
        for j in range(math.floor(p) - far, math.floor(p) + far + 1)
    }
    if options["exclude_outside"]:
        weights = {j: w for j, w in weights.items() if 0 <= j < n}
    if options["antialias"] or options["exclude_outside"]:
        total = math.fsum(weights.values())
        weights = {j: w / total for j, w in weights.items()}
    seen: dict[int, float] = {}
    for j, w in weights.items():
        inside = min(max(j, 0), n - 1)
        seen[inside] = seen.get(inside, 0.0) + w
    return seen


DEFAULTS = {
    "coordinates": "half_pixel", "nearest": "round_prefer_floor", "cubic_a": -0.75,
    "exclude_outside": False, "antialias": False, "extrapolation_value": 0.0,
}  # fmt: skip


def definition(x, size=None, scale=None, mode="nearest", roi=None, axes=None, **options):
    options = {**DEFAULTS, **options}
    axes = tuple(range(2, x.ndim)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    beyond: set[tuple[int, int]] = set()  # (axis, output)
    y = np.array(x, dtype=float)
    for k, axis in enumerate(axes):
        axis, n = axis % x.ndim, x.shape[axis]
        box = roi[k] if options["coordinates"] == "tf_crop_and_resize" else (0.0, 1.0)
        s = scale[k] if isinstance(scale, tuple) else scale
        m = size[k] if isinstance(size, tuple) else size
        if m is None:
            s_here = s * (box[1] - box[0])
            m = math.floor(n * s_here)
            s = s_here if options["coordinates"] == "tf_crop_and_resize" else s
        elif s is None:
            s = m / n
        new = np.empty((*y.shape[:axis], m, *y.shape[axis + 1 :]))
        for i in range(m):
            p = place(i, n, m, s, options["coordinates"], box)
            if options["coordinates"] == "tf_crop_and_resize" and not 0 <= p <= n - 1:
                beyond.add((axis, i))
            seen = looks_at(p, n, s, mode, options)
            for at, line in lines(y, axis):
                new[(*at[:axis], i, *at[axis + 1 :])] = math.fsum(
                    w * line[j] for j, w in seen.items()
                )
        y = new
    for at in np.ndindex(y.shape):
        if any((axis, i) in beyond for axis, i in enumerate(at)):
            y[at] = options["extrapolation_value"]
    return y


@st.composite
def calls(draw: st.DrawFn) -> Case:
    count = draw(st.sampled_from([1, 1, 2, 2, 3]))
    space = [draw(st.integers(1, 6 if count < 3 else 3)) for _ in range(count)]
    options: dict[str, Any] = {"mode": draw(st.sampled_from(["nearest", "linear", "cubic"]))}
    options["coordinates"] = draw(st.sampled_from(COORDINATES))
    if options["mode"] == "nearest":
        options["nearest"] = draw(st.sampled_from(NEAREST))
    else:
        options["exclude_outside"] = draw(st.booleans())
        options["antialias"] = draw(st.booleans())
        options["cubic_a"] = draw(st.sampled_from([-0.75, -0.5]))
    if options["coordinates"] == "tf_crop_and_resize":
        # Numbers whose products are exact: what lies just beyond the end is no matter of rounding
        starts = [draw(st.sampled_from([0.0, 0.25, -0.5, 0.5])) for _ in space]
        options["roi"] = tuple((a, a + draw(st.sampled_from([0.5, 1.0]))) for a in starts)
        options["extrapolation_value"] = draw(st.sampled_from([0.0, 7.5]))
        options["exclude_outside"] = False
    if draw(st.booleans()):
        options["size"] = tuple(draw(st.integers(1, 7 if count < 3 else 4)) for _ in space)
    else:
        scales = [0.5, 0.75, 1.0, 1.6, 2.0, 2.5]
        least = [0.5 * n if "roi" in options else n for n in space]
        options["scale"] = tuple(
            draw(st.sampled_from([s for s in scales if s * n >= 1] or [2.0])) for n in least
        )
    shape = (draw(st.integers(1, 2)), draw(st.integers(1, 2)), *space)
    if count < 3 and draw(st.integers(0, 3)) == 0:  # other axes than the last
        options["axes"] = tuple(range(count))[:: draw(st.sampled_from([1, -1]))]
        space = [space[a] for a in options["axes"]]
        shape = (*([0] * count), 2)
        shape = (*(space[options["axes"].index(a)] for a in range(count)), 2)
    return Case((normal(draw(seeds), *shape),), options)


def _case(*shape: int, **options: Any) -> Case:
    return Case((normal(0, *shape),), options)


def _changed(**changes: Any):
    return lambda y, x, **options: definition(x, **{**options, **changes})


def _other_coordinates(other: str):
    """As if the coordinates were others, where they do not need a part of the image."""

    def mutant(y, x, **options):
        if "roi" in options or options.get("coordinates") == other:
            return y
        return definition(x, **{**options, "coordinates": other})

    return mutant


def _without_extrapolation(y, x, **options):
    wrong = definition(x, **{**options, "extrapolation_value": 1.25})
    return wrong if "roi" in options else y


def _resized_back(pull, g, x, mode="nearest", axes=None, **options):
    """Resizing is not undone by resizing: what was done to x is done to dL/dy."""
    axes = tuple(range(2, x.ndim)) if axes is None else axes
    axes = axes if isinstance(axes, tuple) else (axes,)
    return [definition(g, size=tuple(x.shape[a] for a in axes), mode=mode, axes=axes)]


def _with_other_weights(pull, g, x, mode="nearest", **options):
    """The gradient of another filter."""
    keep = {k: v for k, v in options.items() if k not in ("exclude_outside", "antialias")}
    return pull(g, x, mode="linear" if mode == "cubic" else "nearest", **keep)


def _pulled(**changes: Any):
    return lambda pull, g, x, **options: pull(g, x, **{**options, **changes})


def _last_pixel_once(pull, g, x, **options):
    """What lies beyond the end is not given to the last pixel."""
    narrow = {k: v for k, v in options.items() if k not in ("exclude_outside", "antialias")}
    if options.get("mode", "nearest") == "nearest":
        return pull(g, x, **options)
    return pull(g, x, **{**narrow, "exclude_outside": not options.get("exclude_outside", False)})


def _rolled(pull, g, x, **options):
    return [np.roll(pull(g, x, **options)[0], 1, -1)]


def t(*shape: int, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.ones(shape, dtype))


CROP = {"size": 2, "coordinates": "tf_crop_and_resize"}
ERRORS_OF_RESIZE = (
    (lambda: resize(t(3, 4), 2), ShapeError, r"resize: needs images \(N, C, ...\), got shape"),
    (
        lambda: resize(t(3, 4), 2, axes=2),
        ShapeError,
        r"resize: x \(3, 4\) has no axes 2, or they name one twice",
    ),
    (lambda: resize(t(3, 4), 2, axes=(1, -1)), ShapeError, r"has no axes \(1, -1\), or they name"),
    (lambda: resize(t(3, 4), 2, axes=()), ShapeError, r"has no axes \(\)"),
    (lambda: resize(t(3, 4), 2, axes=0.5), ConfigError, "axes must be an int or ints, got 0.5"),
    (lambda: resize(t(1, 1, 4)), ConfigError, "resize: needs size or scale, got neither"),
    (
        lambda: resize(t(1, 1, 4, 4), (2, 2, 2)),
        ConfigError,
        r"resize: size must be a positive int, or one for each of 2 axes, got \(2, 2, 2\)",
    ),
    (lambda: resize(t(1, 1, 4), 2.5), ConfigError, "size must be a positive int, .* got 2.5"),
    (
        lambda: resize(t(1, 1, 4), scale=-1.0),
        ConfigError,
        "resize: scale must be a positive number, or one for each of 1 axes, got -1.0",
    ),
    (lambda: resize(t(1, 1, 4), scale="2"), ConfigError, "scale must be a positive number"),
    (
        lambda: resize(t(1, 1, 2), scale=0.4),
        ShapeError,
        r"resize: 2 pixels along axis 2 of x \(1, 1, 2\) cannot become 0; both must be at least 1",
    ),
    (lambda: resize(t(1, 1, 0), 3), ShapeError, "resize: 0 pixels along axis 2 .* become 3"),
    (
        lambda: resize(t(1, 1, 4), 2, mode="area"),
        ConfigError,
        "resize: mode must be one of nearest, linear, cubic, bilinear, trilinear, bicubic, got "
        "'area'",
    ),
    (
        lambda: resize(t(1, 1, 4), 2, coordinates="corners"),
        ConfigError,
        "resize: coordinates must be one of half_pixel, .*, got 'corners'",
    ),
    (lambda: resize(t(1, 1, 4), 2, nearest="up"), ConfigError, "nearest must be one of .* 'up'"),
    (
        lambda: resize(t(1, 1, 4), 2, antialias=True),
        ConfigError,
        "resize: antialias averages pixels; set mode='linear' or 'cubic'",
    ),
    (
        lambda: resize(t(1, 1, 4, dtype=np.int32), 2, mode="linear"),
        DTypeError,
        r"resize: mode 'linear' needs floats, got int32; use .astype\('float32'\)",
    ),
    (
        lambda: resize(t(1, 1, 4), 2, mode="cubic", cubic_a="a"),
        ConfigError,
        "resize: cubic_a must be a number, got 'a'",
    ),
    (
        lambda: resize(t(1, 1, 4), **CROP),
        ConfigError,
        r"resize: tf_crop_and_resize needs roi, a pair \(start, end\) for each of 1 axes, got None",
    ),
    (lambda: resize(t(1, 1, 4), **CROP, roi=[("a", 1)]), ConfigError, "needs roi, a pair"),
    (lambda: resize(t(1, 1, 4), **CROP, roi=[(0, NAN)]), ConfigError, "needs roi, a pair"),
    (
        lambda: resize(
            t(1, 1, 4, dtype=np.int8), **CROP, roi=[(-1.0, 1.0)], extrapolation_value=0.5
        ),
        DTypeError,
        "resize: extrapolation_value 0.5 does not fit int8",
    ),
)

ROW = np.array([[[1.0, 2.0, 4.0]]])
WITH_NAN = np.array([[[1.0, NAN, 4.0, 2.0]]])

RESIZE = OpSpec(
    name="resize",
    op=resize,
    cases=calls(),
    oracle=definition,
    integers=Case((np.arange(24).reshape(1, 2, 3, 4),), {"scale": (2.0, 1.5)}),
    edges={
        "empty": _case(0, 2, 3, 4, scale=2.0, mode="linear"),
        "one pixel": _case(1, 2, 1, 1, size=(3, 2), mode="cubic"),
        "to one pixel": _case(1, 2, 3, 4, size=1, mode="linear"),
        "no change": _case(2, 2, 3, 4, size=(3, 4), mode="cubic"),
        "to one pixel, corners": _case(1, 1, 4, size=1, mode="linear", coordinates="align_corners"),
        "a part beyond the ends": _case(
            1,
            2,
            4,
            4,
            size=(3, 5),
            mode="linear",
            coordinates="tf_crop_and_resize",
            roi=((-0.5, 0.5), (0.25, 1.5)),
            extrapolation_value=3.0,
        ),
        "all of it beyond": _case(
            1, 1, 3, size=2, mode="cubic", coordinates="tf_crop_and_resize", roi=((2.0, 3.0),)
        ),
        "wide filter": _case(1, 1, 9, size=2, mode="cubic", antialias=True),
        "steps of a given scale": _case(1, 1, 5, size=3, scale=0.5, mode="linear"),
        "more channels than a thin row": _case(1, 13, 3, 2, size=(2, 5), mode="linear"),
    },
    special={
        "halves": Special(
            Case((ROW,), {"size": 6, "mode": "linear"}), [[[1, 1.25, 1.75, 2.5, 3.5, 4]]]
        ),
        "ties go down": Special(Case((ROW[..., :2],), {"size": 1}), [[[1.0]]]),
        "ties go up": Special(
            Case((ROW[..., :2],), {"size": 1, "nearest": "round_prefer_ceil"}), [[[2.0]]]
        ),
        "a place that rounding moves off its pixel": Special(
            Case(
                (np.arange(5.0)[None, None],),
                {"scale": 1.5, "nearest": "ceil", "coordinates": "half_pixel_symmetric"},
            ),
            [[[0, 1, 2, 2, 3, 4, 4]]],
        ),
        "corners": Special(
            Case((ROW,), {"size": 5, "mode": "linear", "coordinates": "align_corners"}),
            [[[1, 1.5, 2, 3, 4]]],
        ),
        "NaN stays where it weighs nothing": Special(
            Case((WITH_NAN,), {"size": 7, "mode": "linear", "coordinates": "align_corners"}),
            [[[1, NAN, NAN, NAN, 4, 3, 2]]],
        ),
        "infinity is copied": Special(
            Case((np.array([[[INF, 1.0]]]),), {"size": 2, "mode": "cubic"}), [[[INF, 1]]]
        ),
        "beyond the ends NaN does not matter": Special(
            Case((np.array([[[NAN, 1.0]]]),), {**CROP, "mode": "linear", "roi": ((-1.0, 1.0),)}),
            [[[0, 1]]],
        ),
    },
    errors=tuple(ErrorCase(*case) for case in ERRORS_OF_RESIZE),
    forward_mutants={
        **{f"always {name}": _other_coordinates(name) for name in COORDINATES[:-1]},
        **{f"nearest: always {name}": _changed(nearest=name) for name in NEAREST},
        "cubic of -0.6": _changed(cubic_a=-0.6),
        "antialias ignored": _changed(antialias=False),
        "outside always counts": _changed(exclude_outside=False),
        "extrapolated to 1.25": _without_extrapolation,
    },
    backward_mutants={
        "resized back": _resized_back,
        "another filter": _with_other_weights,
        "the ends treated otherwise": _last_pixel_once,
        "cubic of -0.6": _pulled(cubic_a=-0.6),
        "antialias ignored": lambda pull, g, x, **options: pull(
            g, x, **{**options, "antialias": False}
        ),
        "one pixel to the right": _rolled,
    },
    summands=lambda case: 64,
)

SPECS = (RESIZE,)
TestResize = proof_of(*SPECS)


@pytest.mark.parametrize("jit", ["1", "0"])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_large_images_in_any_memory_order(mode, jit, monkeypatch):
    """Work in several pieces, cut along the batch or across the rows."""
    monkeypatch.setenv("MINICNN_JIT", jit)
    x = normal(0, 2, 17, 11, 9)
    right = definition(x[:, :2], (6, 20), mode=mode)
    for a in (x, np.moveaxis(np.moveaxis(x, 1, -1).copy(), -1, 1)):
        np.testing.assert_allclose(resize(a, (6, 20), mode=mode).data[:, :2], right, atol=1e-12)
    check_gradients(lambda a: resize(a, (6, 20), mode=mode), x)


@pytest.mark.parametrize(
    ("name", "mode"), [("bilinear", "linear"), ("trilinear", "linear"), ("bicubic", "cubic")]
)
def test_the_names_of_modes_in_other_libraries(name, mode):
    x = Tensor(normal(0, 1, 2, 5, 4), requires_grad=True)
    for options in ({}, {"antialias": True}, {"exclude_outside": True}):
        y, expected = (resize(x, 3, mode=m, **options) for m in (name, mode))
        np.testing.assert_array_equal(y.data, expected.data)
        np.testing.assert_array_equal(grad(y.sum(), x).data, grad(expected.sum(), x).data)
    with pytest.raises(DTypeError, match=f"mode '{name}' needs floats"):
        resize(t(1, 1, 4, dtype=np.int32), 2, mode=name)


def test_one_number_serves_all_axes():
    x = Tensor(normal(0, 1, 2, 3, 4))
    np.testing.assert_array_equal(resize(x, 5).data, resize(x, (5, 5)).data)
    np.testing.assert_array_equal(resize(x, scale=2).data, resize(x, scale=[2.0, 2.0]).data)
    assert resize(x, scale=np.float32(1.5), axes=-1).shape == (1, 2, 3, 6)


def test_a_scale_takes_the_whole_pixels_and_keeps_its_steps():
    """5 pixels by 0.5 are 2, at the places of a step of 2 and not of 2.5."""
    x = Tensor(np.arange(5.0)[None, None])
    assert resize(x, scale=0.5, mode="linear").data.tolist() == [[[0.5, 2.5]]]
    assert resize(x, 2, mode="linear").data.tolist() == [[[0.75, 3.25]]]


def test_antialiasing_sees_every_pixel():
    """Two outputs of 16 pixels look at 3 and 4, and at 11 and 12, or at all around them."""
    x = Tensor(np.ones((1, 1, 16)), requires_grad=True)
    few, all_ = (grad(resize(x, 2, mode="linear", antialias=a).sum(), x) for a in (False, True))
    assert np.flatnonzero(few.data).tolist() == [3, 4, 11, 12]
    assert all_.data.min() > 0
