"""What operators meant in older opsets: ONNX's suite only has the newest form of each.

Every row says what comes out, in NumPy; where onnxruntime still knows the opset (7 and later) and
the operator, it is asked as well.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.interop import from_onnx
from tests.interop.onnx_models import one

RNG = np.random.default_rng(1)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


class Row(NamedTuple):
    op: str
    opset: int
    inputs: list[Any]
    expected: list[Any]
    attributes: dict[str, Any] = {}  # noqa: RUF012 - never written to
    asked: bool = True  # whether onnxruntime knows it


X = floats(2, 3, 4)
IMAGE = floats(1, 2, 4, 4)
SMALL = np.float32([[1, 2], [3, 4]])
ENDS = np.array([1, 2])
ROWS = [
    Row("Add", 6, [X, floats(3)], [], {"broadcast": 1, "axis": 1}),
    Row("Sub", 6, [X, floats(2, 3)], [], {"broadcast": 1, "axis": 0}),
    Row("Mul", 1, [X, floats(3, 4)], [], {"broadcast": 1, "consumed_inputs": [0, 0]}),
    Row("Pow", 6, [np.abs(X), floats(4)], [], {"broadcast": 1}),
    Row("Div", 7, [X, floats(4)], []),
    Row("Div", 14, [np.int32([7, -7, 7, -7]), np.int32([2, 2, -2, -2])],
        [np.int32([3, -3, -3, 3])]),
    Row("Mod", 13, [np.int32([7, -7, 7, -7]), np.int32([3, 3, -3, -3])],
        [np.int32([1, -1, 1, -1])], {"fmod": 1}),
    Row("Greater", 6, [X, X[0, 0]], [X[0, 0] < X], {"broadcast": 1}),
    Row("Max", 7, [X, X * 2, -X], [np.maximum(np.maximum(X, X * 2), -X)]),
    Row("Clip", 6, [X], [X.clip(-0.5, 0.5)], {"min": -0.5, "max": 0.5}),
    Row("Clip", 10, [X], [np.minimum(X, np.float32(0.5))], {"max": 0.5}),
    Row("Clip", 13, [X, np.float32(1), np.float32(-1)], [np.full_like(X, -1)]),
    Row("Softmax", 11, [X], [softmax(X.reshape(2, 12), 1).reshape(X.shape)]),
    Row("Softmax", 11, [X], [softmax(X, 2)], {"axis": 2}),
    Row("Softmax", 11, [X], [softmax(X.reshape(6, 4), 1).reshape(X.shape)], {"axis": -1}),
    Row("Softmax", 13, [X], [softmax(X, 2)]),
    Row("LogSoftmax", 11, [X], [np.log(softmax(X.reshape(2, 12), 1)).reshape(X.shape)]),
    Row("Hardmax", 11, [X], [(X.max((1, 2), keepdims=True) == X).astype(np.float32)]),
    Row("Hardmax", 13, [X], [(X.max(2, keepdims=True) == X).astype(np.float32)]),
    Row("Flatten", 9, [X], [X.reshape(6, 4)], {"axis": 2}),
    Row("Flatten", 11, [X], [X.reshape(6, 4)], {"axis": -1}),
    Row("Reshape", 1, [X], [X.reshape(6, 4)], {"shape": [-1, 4]}),
    Row("Reshape", 5, [X, np.array([0, -1])], [X.reshape(2, 12)]),
    Row("Reshape", 14, [np.zeros((0, 3), np.float32), np.array([0, 5])],
        [np.zeros((0, 5), np.float32)], {"allowzero": 1}),
    Row("Squeeze", 11, [X[:, :1]], [X[:, 0]], {"axes": [1]}),
    Row("Squeeze", 13, [X[:, :1], np.array([-2])], [X[:, 0]]),
    Row("Unsqueeze", 11, [X], [X[:, None, :, :, None]], {"axes": [1, -1]}),
    Row("Unsqueeze", 13, [X, np.array([-1, 1])], [X[:, None, :, :, None]]),
    Row("Concat", 3, [X, X], [np.concatenate([X, X], 1)]),
    Row("Tile", 1, [X, np.float32(2), np.float32(1)], [np.concatenate([X, X], 1)]),
    Row("Split", 1, [X, np.float32([1, 3])], [X[..., :1], X[..., 1:]], {"axis": 2}, False),
    Row("Split", 2, [X], [X[..., :2], X[..., 2:]], {"axis": 2}),
    Row("Split", 11, [X], [X[:, :1], X[:, 1:]], {"axis": -2, "split": [1, 2]}),
    Row("Split", 18, [np.arange(7)], [np.arange(3), np.arange(3, 6), np.arange(6, 7)],
        {"num_outputs": 3}),
    Row("Slice", 9, [X], [X[:, 1:, :-1]], {"starts": [1, 0], "ends": [99, -1], "axes": [1, 2]}),
    Row("Slice", 10, [X, np.array([-1]), np.array([-99]), np.array([1]), np.array([-2])],
        [X[:, ::-2]]),
    Row("Slice", 13, [X, np.array([-99]), np.array([-99]), np.array([1]), np.array([-1])],
        [X[:, :1]]),
    Row("Pad", 1, [SMALL], [np.pad(SMALL, ((0, 1), (2, 0)), constant_values=5)],
        {"paddings": [0, 2, 1, 0], "value": 5.0}),
    Row("Pad", 2, [X], [np.pad(X, ((0, 0), (1, 2), (0, 0)), mode="reflect")],
        {"pads": [0, 1, 0, 0, 2, 0], "mode": "reflect"}),
    Row("Pad", 11, [SMALL, np.array([0, -1, 1, 1]), np.float32(7)],
        [np.float32([[2, 7], [4, 7], [7, 7]])]),
    Row("Pad", 18, [X, np.array([1, 2]), np.float32(0), np.array([-2])],
        [np.pad(X, ((0, 0), (1, 2), (0, 0)))]),
    Row("Pad", 19, [SMALL, np.array([0, 3, 0, 1])], [np.pad(SMALL, ((0, 0), (3, 1)), mode="wrap")],
        {"mode": "wrap"}),
    Row("TopK", 9, [X], [-np.sort(-X, 2)[..., :2], np.argsort(-X, 2)[..., :2]], {"k": 2}),
    Row("TopK", 11, [X, np.array([2])], [np.sort(X, 1)[:, :2], np.argsort(X, 1)[:, :2]],
        {"axis": 1, "largest": 0}),
    Row("ReduceSum", 11, [X], [X.sum((0, 2))], {"axes": [0, -1], "keepdims": 0}),
    Row("ReduceSum", 13, [X, np.array([0, -1])], [X.sum((0, 2), keepdims=True)]),
    Row("ReduceSum", 13, [X, np.zeros(0, np.int64)], [X], {"noop_with_empty_axes": 1}),
    Row("ReduceMean", 13, [X], [X.mean(1, keepdims=True)], {"axes": [1]}),
    Row("ReduceMean", 18, [X, np.array([1])], [X.mean(1, keepdims=True)]),
    Row("ReduceL2", 18, [X], [np.abs(X)], {"noop_with_empty_axes": 1}, False),
    Row("ReduceMax", 12, [np.int8([[1, -3], [2, 0]])], [np.int8([2, 0])],
        {"axes": [0], "keepdims": 0}),
    Row("ArgMax", 12, [np.float32([1, 3, 3, 0])], [np.array([2])], {"select_last_index": 1}),
    Row("ArgMin", 11, [np.float32([[1, 1], [0, 2]])], [np.array([0, 0])],
        {"axis": 1, "keepdims": 0}, False),
    Row("PRelu", 6, [X, np.float32([1, 2, 3])],
        [np.where(X < 0, X * np.float32([[1], [2], [3]]), X)]),
    Row("PRelu", 9, [X, np.float32([1, 2, 3, 4])], [np.where(X < 0, X * np.arange(1, 5), X)]),
    Row("Selu", 1, [X], [1.0507 * np.where(X > 0, X, 1.6732 * np.expm1(X))]),
    Row("Elu", 6, [X], [np.where(X > 0, X, 2 * np.expm1(X))], {"alpha": 2.0}),
    Row("HardSigmoid", 6, [X], [np.clip(0.2 * X + 0.5, 0, 1)]),
    Row("Gemm", 6, [SMALL, SMALL, SMALL[0]], [2 * SMALL @ SMALL.T + 3 * SMALL[0]],
        {"alpha": 2.0, "beta": 3.0, "transB": 1, "broadcast": 1}),
    Row("Gemm", 11, [SMALL, SMALL], [SMALL.T @ SMALL], {"transA": 1}),
    Row("Upsample", 7, [SMALL[None, None]], [SMALL.repeat(2, 0).repeat(3, 1)[None, None]],
        {"scales": [1.0, 1.0, 2.0, 3.0]}),
    Row("Upsample", 9, [SMALL[None, None], np.float32([1, 1, 2, 2])],
        [np.float32([[1, 1.5, 2, 2], [2, 2.5, 3, 3], [3, 3.5, 4, 4], [3, 3.5, 4, 4]])[None, None]],
        {"mode": "linear"}),
    Row("Resize", 10, [IMAGE, np.float32([1, 1, 0.5, 2])],
        [IMAGE[:, :, ::2].repeat(2, 3)]),
    Row("Dropout", 6, [X], [X], {"is_test": 1, "ratio": 0.5}),
    Row("Dropout", 10, [X], [X, np.ones(X.shape, np.float32)], {"ratio": 0.5}, False),
    Row("Dropout", 12, [X, np.float32(0.5)], [X, np.ones(X.shape, bool)]),
    Row("Scatter", 9, [np.zeros(4, np.float32), np.array([2, 0]), np.float32([5, 6])],
        [np.float32([6, 0, 5, 0])]),
    Row("Cast", 6, [np.float32([0, 0.5, -2.7])], [np.array([False, True, True])], {"to": 9}),
    Row("Cast", 9, [np.float32([0, 0.5, -2.7])], [np.array([0, 0, -2])], {"to": 7}),
    Row("GroupNormalization", 18, [IMAGE, np.float32([2]), np.float32([1])],
        [2 * (IMAGE - IMAGE.mean()) / np.sqrt(IMAGE.var() + 1e-5) + 1], {"num_groups": 1}, False),
    Row("MeanVarianceNormalization", 9, [IMAGE],
        [(IMAGE - IMAGE.mean((0, 2, 3), keepdims=True)) / IMAGE.std((0, 2, 3), keepdims=True)]),
    Row("AveragePool", 6, [IMAGE], [IMAGE.reshape(1, 2, 2, 2, 2, 2).mean((3, 5))],
        {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Row("MaxPool", 1, [IMAGE], [IMAGE.reshape(1, 2, 2, 2, 2, 2).max((3, 5))],
        {"kernel_shape": [2, 2], "strides": [2, 2]}),
    Row("LpPool", 1, [IMAGE], [np.sqrt((IMAGE**2).reshape(1, 2, 2, 2, 2, 2).sum((3, 5)))],
        {"kernel_shape": [2, 2], "strides": [2, 2], "p": 2.0}, False),
    Row("GlobalLpPool", 2, [IMAGE], [np.abs(IMAGE).sum((2, 3), keepdims=True)], {"p": 1}),
    Row("LRN", 13, [IMAGE],  # of an even size, which onnxruntime refuses: from c to c + 1
        [IMAGE / (2 + 3 / 2 * np.stack([(IMAGE**2).sum(1), IMAGE[:, 1] ** 2], 1)) ** 0.5],
        {"size": 2, "alpha": 3.0, "beta": 0.5, "bias": 2.0}, False),
    Row("Equal", 7, [np.array([1, 2]), np.array([1, 3])], [np.array([True, False])]),
    Row("BatchNormalization", 9, [IMAGE, *(np.float32([1, 2]),) * 4],
        [(IMAGE - [[[1]], [[2]]]) / np.sqrt(np.float32([[[1]], [[2]]]) + 1e-5)
         * [[[1]], [[2]]] + [[[1]], [[2]]]]),
]  # fmt: skip
OLD = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power}


def expected_of(row):
    """The outputs; of old arithmetic, by adding axes after those of the second operand."""
    if row.expected:
        return row.expected
    a, b = row.inputs
    if "axis" in row.attributes:
        b = b.reshape((*b.shape, *(1,) * (a.ndim - row.attributes["axis"] - b.ndim)))
    return [OLD[row.op](a, b)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.op}-{row.opset}")
def test_means_what_it_meant(row):
    inputs = [np.asarray(x) for x in row.inputs]
    expected = expected_of(row)
    proto = one(row.op, inputs, row.opset, len(expected), **row.attributes)
    result = from_onnx(proto)(*inputs)
    results = [y.numpy() for y in (result if isinstance(result, tuple) else (result,))]
    compare(results, expected)
    if row.opset >= 7 and row.asked:
        onnxruntime = pytest.importorskip("onnxruntime", reason="nothing to compare with")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        session = onnxruntime.InferenceSession(
            proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [i.name for i in session.get_inputs()]
        compare(results, session.run(None, dict(zip(names, inputs, strict=True))))


def compare(results, expected):
    for y, right in zip(results, expected, strict=True):
        np.testing.assert_allclose(y, right, rtol=2e-5, atol=2e-5)
        assert y.shape == np.shape(right)
        assert y.dtype.kind == np.asarray(right).dtype.kind


def test_batch_normalization_in_training_before_opset_14():
    """Five outputs asked for the batch's statistics: the moved ones, then the batch's own."""
    x, ones = floats(4, 2, 3), np.float32([1, 1])
    inputs = [x, ones, 0 * ones, 5 * ones, 6 * ones]
    net = from_onnx(one("BatchNormalization", inputs, 9, 5, momentum=0.5)).train()
    y, mean, var, saved_mean, saved_var = (t.numpy() for t in net(*inputs))
    own_mean, own_var = x.mean((0, 2)), x.var((0, 2))
    scaled = (x - own_mean[:, None]) / np.sqrt(own_var[:, None] + 1e-5)
    for result, right in (
        (y, scaled),
        (mean, 2.5 + own_mean / 2),
        (var, 3 + own_var / 2),
        (saved_mean, own_mean),
        (saved_var, own_var),
    ):
        np.testing.assert_allclose(result, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "opset", "inputs", "attributes", "says"),
    [
        ("Squeeze", 13, [X], {"axes": [0]}, "its attribute axes=(0,) is not known"),
        ("Squeeze", 11, [X, np.array([0])], {}, "it has 2 inputs, 1 are known"),
        ("Clip", 11, [X], {"min": 0.0}, "its attribute min=0.0 is not known"),
        ("BatchNormalization", 7, [X, *(floats(3),) * 4], {"spatial": 0}, "none of 1"),
        ("Resize", 11, [X, floats(6), floats(3)],
         {"coordinate_transformation_mode": "tf_half_pixel_for_nn"}, "is none of"),
    ],
)  # fmt: skip
def test_forms_of_other_opsets_are_refused(op, opset, inputs, attributes, says):
    with pytest.raises(ConfigError) as caught:
        from_onnx(one(op, inputs, opset, **attributes))
    assert says in str(caught.value)
