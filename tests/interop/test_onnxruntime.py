"""Imported nodes against onnxruntime, on random geometries that ONNX's own suite barely covers.

Where onnxruntime does something else than the operator's text, minicnn follows the text, and the
test says so where it chooses its geometries:

- SAME_UPPER and SAME_LOWER with dilations: onnxruntime refuses them for pools and convolutions, and
  for pools SAME_LOWER with strides larger than the window ("padding must be non-negative"). It is
  given explicit pads then, which the test computes from the text; and where these are as large as
  the window, which it refuses as well, an image that was padded before.
- ConvTranspose with SAME: the text wants ``input * stride`` pixels whatever the window; where the
  windows leave gaps and do not reach so far, onnxruntime returns fewer, minicnn adds zeros.
- ConvTranspose with an output_padding of the stride or more, but less than the dilation: the text
  allows it, onnxruntime does not.
- Resize with align_corners by a scale: ONNX's text and suite divide by ``scale * input - 1``,
  onnxruntime by ``output - 1``, which is another number where the output was rounded down.
- MaxRoiPool and RoiAlign of opset 22: onnxruntime has them up to 21 only; they mean the same there.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import no_grad
from minicnn.interop import from_onnx
from tests.interop.onnx_models import one

onnxruntime = pytest.importorskip(
    "onnxruntime", reason="needs onnxruntime to compare with: pip install onnxruntime"
)
AUTO_PADS = ("NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")


def runtime(proto, inputs):
    """Return onnxruntime's outputs."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {i.name: x for i, x in zip(session.get_inputs(), inputs, strict=True)})


def agree(
    op, inputs, opset=22, outputs=1, theirs=None, given=None, rtol=2e-5, atol=2e-5, **attributes
):
    """Compare a node with onnxruntime's.

    Which may be given other attributes, `theirs`, and inputs, `given`, that mean the same.
    """
    given = given or inputs
    proto = one(op, inputs, opset, outputs, **attributes)
    other = one(op, given, opset, outputs, **{**attributes, **(theirs or {})})
    with no_grad():
        ours = from_onnx(proto)(*(x for x in inputs if x is not None))
    right = runtime(other, [x for x in given if x is not None])
    for y, r in zip(ours if isinstance(ours, tuple) else (ours,), right, strict=True):
        assert y.shape == r.shape, attributes
        assert y.dtype == r.dtype
        np.testing.assert_allclose(y.numpy(), r, rtol=rtol, atol=atol, err_msg=str(attributes))


class Draw:
    """Random geometry, the same for each seed."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def ints(self, low, high, count):
        return [int(n) for n in self.rng.integers(low, high + 1, count)]

    def one_of(self, *choices):
        return choices[self.rng.integers(len(choices))]

    def floats(self, *shape):
        return self.rng.normal(size=shape).astype(np.float32)

    def window(self, rank, dilate=True):
        """Draw sizes, strides, dilations and an image that holds at least one window."""
        size, stride = self.ints(1, 4, rank), self.ints(1, 3, rank)
        dilation = self.ints(1, 3, rank) if dilate and self.rng.random() < 0.5 else [1] * rank
        image = [
            d * (k - 1) + n for k, d, n in zip(size, dilation, self.ints(1, 7, rank), strict=True)
        ]
        return size, stride, dilation, image


def same_pads(auto_pad, image, size, stride, dilation):
    """The pads of SAME, from the text: output ceil(n / stride), the odd one on one side."""
    before, after = [], []
    for n, k, s, d in zip(image, size, stride, dilation, strict=True):
        total = max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        before.append(small if auto_pad == "SAME_UPPER" else large)
        after.append(large if auto_pad == "SAME_UPPER" else small)
    return before + after


def padding(draw, image, size, stride, dilation, limit=None):
    """Draw a padding; return its attributes, and what to tell onnxruntime instead."""
    auto_pad = draw.one_of(*AUTO_PADS)
    if auto_pad == "NOTSET":
        most = [k - 1 for k in size] if limit is None else limit
        pads = [draw.ints(0, m, 1)[0] for m in [*most, *most]]
        return {"pads": pads}, {}
    gaps = any(s > k for s, k in zip(stride, size, strict=True))
    if auto_pad != "VALID" and (max(dilation) > 1 or gaps):
        pads = same_pads(auto_pad, image, size, stride, dilation)
        return {"auto_pad": auto_pad}, {"auto_pad": "NOTSET", "pads": pads}
    return {"auto_pad": auto_pad}, {}


@pytest.mark.parametrize("seed", range(60))
def test_conv(seed):
    draw = Draw(seed)
    rank, groups = draw.one_of(1, 2, 3), draw.one_of(1, 1, 2, 3)
    size, stride, dilation, image = draw.window(rank)
    attributes, theirs = padding(draw, image, size, stride, dilation)
    channels, filters = draw.ints(1, 2, 2)
    inputs = [
        draw.floats(2, groups * channels, *image),
        draw.floats(groups * filters, channels, *size),
        draw.floats(groups * filters),
    ]
    agree("Conv", inputs[: draw.one_of(2, 3)], theirs=theirs, strides=stride, dilations=dilation,
          group=groups, **attributes)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_conv_transpose(seed):
    draw = Draw(seed)
    rank, groups = draw.one_of(1, 2, 3), draw.one_of(1, 1, 2)
    size, stride, dilation, _ = draw.window(rank)
    image = draw.ints(1, 5, rank)
    extra = [draw.ints(0, s - 1, 1)[0] for s in stride]
    whole = [
        s * (n - 1) + d * (k - 1) + 1 + e
        for n, k, s, d, e in zip(image, size, stride, dilation, extra, strict=True)
    ]
    attributes = {"strides": stride, "dilations": dilation, "group": groups}
    kind = draw.one_of("pads", "auto", "shape")
    if kind == "pads":
        most = [min(d * (k - 1), (n - 1) // 2)
                for k, d, n in zip(size, dilation, whole, strict=True)]  # fmt: skip
        attributes["pads"] = [draw.ints(0, m, 1)[0] for m in [*most, *most]]
        attributes["output_padding"] = extra
    elif kind == "shape":
        attributes["output_shape"] = [n - draw.ints(0, min(2, n - 1), 1)[0] for n in whole]
        attributes["auto_pad"] = draw.one_of("NOTSET", "SAME_UPPER", "SAME_LOWER")
        attributes["output_padding"] = extra
    else:
        reaches = all(d * (k - 1) + 1 >= s
                      for k, d, s in zip(size, dilation, stride, strict=True))  # fmt: skip
        attributes["auto_pad"] = draw.one_of("VALID", *AUTO_PADS[1:3] * reaches)
    channels, filters = draw.ints(1, 2, 2)
    inputs = [
        draw.floats(2, groups * channels, *image),
        draw.floats(groups * channels, filters, *size),
        draw.floats(groups * filters),
    ]
    agree("ConvTranspose", inputs[: draw.one_of(2, 3)], **attributes)


def pool_agrees(op, draw, fill, outputs=1, **more):
    """Compare a pool on random geometry; `fill` is what its padding means."""
    rank = draw.one_of(1, 2, 3)
    size, stride, dilation, image = draw.window(rank)
    attributes, theirs = padding(draw, image, size, stride, dilation)
    if "pads" in attributes:
        attributes["ceil_mode"] = draw.one_of(0, 1)
    x, given = draw.floats(2, 2, *image), None
    pads = theirs.get("pads", [])
    if any(p >= k for p, k in zip(pads, [*size, *size], strict=False)):
        widths = [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:], strict=True)]
        given, theirs = [np.pad(x, widths, constant_values=fill)], {"auto_pad": "VALID"}
        more, outputs = {k: v for k, v in more.items() if k != "count_include_pad"}, 1
        if op == "AveragePool":
            more["count_include_pad"] = 1
    agree(op, [x], outputs=outputs, theirs=theirs, given=given, kernel_shape=size, strides=stride,
          dilations=dilation, **attributes, **more)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_max_pool(seed):
    draw = Draw(seed)
    order, outputs = draw.one_of(0, 0, 1), draw.one_of(1, 2)
    pool_agrees("MaxPool", draw, -np.inf, outputs, storage_order=order)


@pytest.mark.parametrize("seed", range(60))
def test_average_pool(seed):
    draw = Draw(seed)
    pool_agrees("AveragePool", draw, 0.0, count_include_pad=draw.one_of(0, 1))


@pytest.mark.parametrize("seed", range(30))
def test_lp_pool(seed):
    draw = Draw(seed)
    pool_agrees("LpPool", draw, 0.0, p=draw.one_of(1, 2, 3))


@pytest.mark.parametrize("seed", range(20))
def test_max_unpool(seed):
    draw = Draw(seed)
    rank = draw.one_of(1, 2, 3)
    size, count = draw.ints(1, 3, rank), draw.ints(1, 3, rank)
    x = draw.floats(2, 3, *(n * k for n, k in zip(count, size, strict=True)))
    pool = one("MaxPool", [x], 12, 2, kernel_shape=size, strides=size)
    y, places = runtime(pool, [x])
    agree("MaxUnpool", [y, places], 11, kernel_shape=size, strides=size)


@pytest.mark.parametrize("seed", range(30))
def test_max_roi_pool(seed):
    draw = Draw(seed)
    h, w = draw.ints(3, 9, 2)
    scale = draw.one_of(1.0, 0.5, 0.25)
    first = draw.rng.uniform(-2, [w, h], (5, 2))
    corners = np.concatenate([first, first + draw.rng.uniform(-1, [w, h], (5, 2))], axis=1)
    rois = np.concatenate([draw.rng.integers(0, 2, (5, 1)), corners / scale], axis=1)
    agree("MaxRoiPool", [draw.floats(2, 3, h, w), rois.astype(np.float32)], opset=21,
          pooled_shape=draw.ints(1, 4, 2), spatial_scale=scale)  # fmt: skip


@pytest.mark.parametrize("seed", range(30))
def test_roi_align(seed):
    draw = Draw(seed)
    h, w = draw.ints(3, 9, 2)
    scale = draw.one_of(1.0, 0.5, 0.25)
    first = draw.rng.uniform(-2, [w, h], (5, 2))
    corners = np.concatenate([first, first + draw.rng.uniform(0.5, [w, h], (5, 2))], axis=1)
    inputs = [draw.floats(2, 3, h, w), (corners / scale).astype(np.float32),
              draw.rng.integers(0, 2, 5)]  # fmt: skip
    rows, columns = draw.ints(1, 4, 2)
    agree("RoiAlign", inputs, opset=21, output_height=rows, output_width=columns,
          spatial_scale=scale,
          sampling_ratio=draw.one_of(0, 1, 2, 3), mode=draw.one_of("avg", "max"),
          coordinate_transformation_mode=draw.one_of("half_pixel", "output_half_pixel"),
          )  # fmt: skip


@pytest.mark.parametrize("seed", range(80))
def test_resize(seed):
    draw = Draw(seed)
    mode = draw.one_of("nearest", "linear", "cubic")
    x = draw.floats(1, 2, *draw.ints(3, 7, 2))
    ways = ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"]
    way = draw.one_of(*ways, *["half_pixel_symmetric"] * (mode != "nearest"))
    attributes = {"mode": mode, "coordinate_transformation_mode": way}
    factors = [0.4, 0.6, 0.7, 1.3, 1.9, 2.0, 2.7, 3.0]
    by_size = way == "align_corners" or draw.one_of(True, False)
    if mode == "nearest":
        attributes["nearest_mode"] = draw.one_of(
            "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
        )
        # Numbers of float32, or places that are as near to one pixel as to the next would go to
        # either, by the last bit of who computes them.
        factors = [0.5, 0.75, 1.25, 1.5, 2.0, 2.5]
        by_size = way == "align_corners"
    if mode == "cubic":
        attributes["cubic_coeff_a"] = draw.one_of(-0.75, -0.5)
        attributes["exclude_outside"] = draw.one_of(0, 1)
    if by_size:
        inputs = [x, None, None, np.array([1, 2, *draw.ints(1, 12, 2)])]
    else:
        inputs = [x, None, np.float32([1, 1, draw.one_of(*factors), draw.one_of(*factors)])]
    agree("Resize", inputs, 19, **attributes)


@pytest.mark.parametrize("seed", range(20))
def test_resize_with_antialias(seed):
    draw = Draw(seed)
    x = draw.floats(1, 2, *draw.ints(5, 12, 2))
    size = np.array([1, 2, *draw.ints(2, 9, 2)])
    agree("Resize", [x, None, None, size], 19, antialias=1, rtol=1e-4, atol=1e-4,
          mode=draw.one_of("linear", "cubic"), exclude_outside=1,
          keep_aspect_ratio_policy="stretch")  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_grid_sample(seed):
    draw = Draw(seed)
    rank = draw.one_of(2, 2, 3)
    mode = draw.one_of("linear", "nearest", "cubic")
    if rank == 3:
        mode = draw.one_of("linear", "nearest")  # as far as onnxruntime goes
    x = draw.floats(2, 2, *draw.ints(2, 5, rank))
    grid = draw.rng.uniform(-1.6, 1.6, (2, *draw.ints(1, 4, rank), rank)).astype(np.float32)
    agree("GridSample", [x, grid], 20, mode=mode, align_corners=draw.one_of(0, 1), rtol=1e-4,
          atol=1e-4, padding_mode=draw.one_of("zeros", "border", "reflection"))  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_col2im(seed):
    draw = Draw(seed)
    size, stride, dilation, image = draw.window(2)
    pads = [draw.ints(0, k - 1, 1)[0] for k in [*size, *size]]
    count = math.prod(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, d, before, after in zip(
            image, size, stride, dilation, pads[:2], pads[2:], strict=True
        )
    )
    inputs = [draw.floats(2, 3 * math.prod(size), count), np.array(image), np.array(size)]
    agree("Col2Im", inputs, 18, strides=stride, dilations=dilation, pads=pads)


@pytest.mark.parametrize("seed", range(20))
def test_pad(seed):
    draw = Draw(seed)
    rank = draw.one_of(1, 2, 3)
    shape = draw.ints(3, 5, rank)
    mode = draw.one_of("constant", "reflect", "edge", "wrap")
    pads = np.array(draw.ints(-1 if mode == "constant" else 0, 2, 2 * rank))
    value = [np.array(2.5, np.float32)] if mode == "constant" else []
    agree("Pad", [draw.floats(*shape), pads, *value], 19, mode=mode)
