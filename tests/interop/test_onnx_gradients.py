"""Gradients through imported nodes: those that the importer puts together from several ops."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import Tensor, check_gradients
from minicnn.interop import from_onnx
from tests.interop.onnx_models import one

RNG = np.random.default_rng(2)


def doubles(*shape):
    return RNG.normal(size=shape)


def spread(*shape):
    """Numbers of which no two are close, in random order, away from whole numbers."""
    count = int(np.prod(shape))
    return (RNG.permutation(count).reshape(shape) - count // 2) * 0.37 + 0.11


INTS = np.array([3, 1])
NODES = [  # operator, opset, inputs, attributes
    ("Add", 6, [doubles(2, 3, 2), doubles(3)], {"broadcast": 1, "axis": 1}),
    ("Div", 14, [doubles(3), np.array([1.5, -2, 3])], {}),
    ("Pow", 13, [np.array([0.5, 1.5, 2.5]), np.array([2, 3, 0])], {}),
    ("Mod", 13, [np.array([5.3, -5.3, 2.1]), np.array([2.0, 3.0, -0.8])], {"fmod": 1}),
    ("Mean", 13, [doubles(2, 3), doubles(3), doubles(2, 1)], {}),
    ("Max", 13, [doubles(2, 3), doubles(3), doubles(2, 1)], {}),
    ("Clip", 12, [doubles(4), np.array(-0.5), np.array(0.5)], {}),
    ("PRelu", 16, [doubles(2, 3, 2), doubles(2)], {}),
    ("PRelu", 6, [doubles(2, 3, 2), doubles(3)], {}),
    ("Selu", 6, [doubles(4)], {"alpha": 2.0, "gamma": 0.5}),
    ("Swish", 24, [doubles(4)], {"alpha": 0.7}),
    ("Softmax", 11, [doubles(2, 3, 2)], {}),
    ("LogSoftmax", 11, [doubles(2, 3, 2)], {"axis": -2}),
    ("ReduceL1", 18, [doubles(2, 3)], {}),
    ("ReduceL2", 18, [doubles(2, 3), np.array([1])], {}),
    ("ReduceLogSum", 18, [doubles(2, 3) ** 2 + 1], {"keepdims": 0}),
    ("ReduceLogSumExp", 18, [doubles(2, 3)], {}),
    ("ReduceMax", 18, [spread(2, 3), np.array([0])], {}),
    ("CumSum", 14, [doubles(2, 3), np.array(1)], {"exclusive": 1, "reverse": 1}),
    ("Gemm", 13, [doubles(2, 3), doubles(2, 4), doubles(4)],
     {"transA": 1, "alpha": 0.5, "beta": 2.0}),
    ("Einsum", 12, [doubles(2, 3), doubles(3, 4)], {"equation": "ij, jk -> ki"}),
    ("Det", 22, [doubles(2, 3, 3)], {}),
    ("Slice", 13, [doubles(2, 5), np.array([4]), np.array([0]), np.array([1]), np.array([-2])], {}),
    ("Pad", 19, [doubles(3, 4), np.array([-1, 2, 1, -1])], {}),
    ("Pad", 19, [doubles(3, 4), np.array([1, 2, 1, 0])], {"mode": "reflect"}),
    ("Expand", 13, [doubles(3, 1), np.array([2, 1, 4])], {}),
    ("Tile", 13, [doubles(2, 3), np.array([2, 1])], {}),
    ("Trilu", 14, [doubles(3, 3)], {"upper": 0}),
    ("SpaceToDepth", 28, [doubles(1, 2, 4, 4)], {"blocksize": 2, "mode": "CRD"}),
    ("DepthToSpace", 13, [doubles(1, 8, 2, 2)], {"blocksize": 2, "mode": "CRD"}),
    ("ReverseSequence", 10, [doubles(4, 2), INTS], {"time_axis": 0, "batch_axis": 1}),
    ("Gather", 13, [doubles(3, 2), np.array([[0, -1], [0, 2]])], {}),
    ("GatherND", 13, [doubles(3, 2), np.array([[0, 1], [0, 1], [-1, 0]])], {}),
    ("Compress", 11, [doubles(3, 2), np.array([True, False, True])], {"axis": 0}),
    ("ScatterElements", 18, [doubles(3, 2), np.array([[0, 1], [0, 2]]), doubles(2, 2)],
     {"reduction": "add"}),
    ("ScatterND", 18, [doubles(3, 2), np.array([[2], [0]]), doubles(2, 2)], {}),
    ("TensorScatter", 24, [doubles(2, 4, 3), doubles(2, 2, 3), np.array([3, 1])],
     {"mode": "circular"}),
    ("ConvTranspose", 22, [doubles(1, 2, 3), doubles(2, 2, 3), doubles(2)],
     {"strides": [2], "output_shape": [6], "auto_pad": "SAME_LOWER"}),
    ("Conv", 22, [doubles(1, 2, 5, 4), doubles(2, 1, 2, 3), doubles(2)],
     {"group": 2, "auto_pad": "SAME_LOWER", "dilations": [2, 1]}),
    ("Col2Im", 18, [doubles(1, 4, 4), np.array([3, 3]), np.array([2, 2])], {}),
    ("MaxPool", 22, [spread(1, 2, 5)], {"kernel_shape": [3], "pads": [1, 1], "strides": [2]}),
    ("AveragePool", 22, [doubles(1, 2, 5)],
     {"kernel_shape": [3], "auto_pad": "SAME_UPPER", "ceil_mode": 1, "strides": [2]}),
    ("LpPool", 22, [spread(1, 2, 5)], {"kernel_shape": [3], "p": 3}),
    ("GlobalLpPool", 22, [spread(1, 2, 5)], {"p": 3}),
    ("MaxUnpool", 22,
     [doubles(1, 1, 2, 2), np.array([[[[5, 7], [13, 15]]]]), np.array([1, 1, 5, 5])],
     {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("GroupNormalization", 18, [doubles(2, 4, 3), doubles(2), doubles(2)], {"num_groups": 2}),
    ("LayerNormalization", 17, [doubles(2, 3, 4), doubles(4), doubles(3, 1)],
     {"axis": 1, "stash_type": 11}),
    ("RMSNormalization", 23, [doubles(2, 3, 4), doubles(4)], {"axis": 1, "stash_type": 11}),
    ("MeanVarianceNormalization", 13, [doubles(2, 2, 3, 3)], {}),
    ("LpNormalization", 22, [doubles(2, 3)], {"p": 1}),
    ("LpNormalization", 22, [doubles(2, 3)], {"p": 2, "axis": 0}),
    ("LRN", 13, [doubles(1, 4, 2)], {"size": 3, "alpha": 0.5}),
    ("Resize", 19, [doubles(1, 1, 3, 4), None, np.float32([1, 1, 1.7, 0.6])], {"mode": "cubic"}),
    ("Upsample", 7, [doubles(1, 1, 3, 4)], {"scales": [1.0, 1.0, 2.0, 2.0], "mode": "linear"}),
    *(
        ("GridSample", 20, [doubles(1, 2, 3, 4), RNG.uniform(-1.4, 1.4, (1, 2, 3, 2))],
         {"mode": mode, "padding_mode": padding, "align_corners": corners})
        for mode in ("linear", "cubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (0, 1)
    ),
    ("SoftmaxCrossEntropyLoss", 13, [doubles(4, 3), np.array([0, 2, 1, 2])], {"ignore_index": 1}),
    ("NegativeLogLikelihoodLoss", 13, [doubles(2, 3, 2), np.array([[0, 2], [1, 2]])],
     {"reduction": "sum"}),
    ("RoiAlign", 16, [doubles(1, 2, 5, 5), np.float32([[0.3, 0.2, 3.9, 4.4]]), np.array([0])],
     {"output_height": 2, "output_width": 2}),
]  # fmt: skip
# Inputs of floats that are no variables: scales, boxes, bounds
FIXED = {"Resize": {2}, "RoiAlign": {1}, "Clip": {1, 2}}


@pytest.mark.parametrize("node", NODES, ids=lambda node: f"{node[0]}-{node[1]}")
def test_gradients(node):
    op, opset, inputs, attributes = node
    net = from_onnx(one(op, inputs, opset, **attributes))
    given = [x for x in inputs if x is not None]
    free = [
        i
        for i, x in enumerate(inputs)
        if x is not None and x.dtype == np.float64 and i not in FIXED.get(op, ())
    ]
    places = [sum(x is not None for x in inputs[:i]) for i in free]

    def f(*values):
        for place, value in zip(places, values, strict=True):
            given[place] = value
        y = net(*given)
        return y[0] if isinstance(y, tuple) else y

    check_gradients(f, *(inputs[i] for i in free))


def test_gradients_reach_a_quantised_net_up_to_the_rounding():
    """What is rounded is a constant; the rest of the net still learns."""
    net = from_onnx(one("QuantizeLinear", [np.float32([1.0]), np.float32(0.5)], 21))
    y = net(Tensor(np.float32([1.3]), requires_grad=True), np.float32(0.5))
    assert not y.requires_grad
    assert y.numpy().tolist() == [3]
