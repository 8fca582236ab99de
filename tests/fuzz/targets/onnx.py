"""ONNX models: what a file can say, and where it says its weights are."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

import numpy as np

from minicnn.interop import from_onnx
from tests.fuzz.answers import naming

NAME = "onnx"
DICTIONARY = [
    *b"Conv Gemm Relu If Loop Scan Constant ConstantOfShape Expand Tile Range Pad Resize OneHot "
    b"EyeLike Reshape Identity LayerNormalization Softmax AffineGrid HannWindow value axis axes "
    b"perm to body then_branch else_branch kernel_shape location offset length w.bin ../w.bin "
    b"/etc/hostname link.bin ai.onnx ai.onnx.ml own twice".split(),
    b"\x10\x80\x80\x80\x80\x80\x80\x80\x80\x10", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x0a\x00", b"\x12\x00", b"\x08\x01", b"\x10\x01", b"\x4a\x04",
]  # fmt: skip
FLOATS = np.arange(6, dtype=np.float32)


@cache
def package() -> Any:
    return importlib.import_module("onnx")


def model(text: str, opset: int = 17, functions: str = "", **weights: np.ndarray) -> Any:
    """Return the model of a graph in ONNX's own text, with weights."""
    onnx = package()
    parse = importlib.import_module("onnx.parser").parse_model
    head = f'<ir_version: 8, opset_import: ["": {opset}, "own": 1]>\n'
    proto = parse(head + text + functions)
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.asarray(w), name) for name, w in weights.items()
    )
    return proto


CHAIN = "g (float[N, 2] x) => (float[N, 2] y) {{ {} }}"
TEXTS = [
    "a = Gemm<transB = 1, alpha = 0.5>(x, w) y = Relu(a)",
    "a = Constant<value_ints = [1, -1]>() y = Reshape(x, a)",
    "a = Constant<value = float[2] {1, 2}>() y = Add(x, a)",
    "a = Shape(x) b = ConstantOfShape<value = float[1] {3}>(a) y = Mul(x, b)",
    "a = Constant<value_ints = [1152921504606846976]>() y = ConstantOfShape(a)",
    "a = Constant<value_ints = [1099511627776, 2]>() y = Expand(x, a)",
    "a = Transpose<perm = [1, 0]>(x) b = Softmax<axis = -1>(a) y = Cast<to = 1>(b)",
    "c = ReduceSum<keepdims = 0>(x) d = Cast<to = 9>(c) "
    "y = If(d) <then_branch = t () => (float[N, 2] u) { u = Neg(x) }, "
    "else_branch = e () => (float[N, 2] u) { u = Identity(x) }>",
    "n = Constant<value_int = 4611686018427387904>() d = Constant<value = bool {1}>() "
    "y = Loop(n, d, x) <body = b (int64 i, bool c, float[N, 2] s) => (bool c2, float[N, 2] s2) "
    "{ c2 = Identity(c) s2 = Add(s, s) }>",
    "y = own.twice(x)",
    "y = LayerNormalization<axis = -1>(x, w, w)",
    "y = Unknown<size = 3>(x)",
    "y = own.missing(x)",
    "y = MeanVarianceNormalization<axes = [0, 1]>(x)",
    "a, b = Split<axis = 1>(x) y = Concat<axis = 1>(b, a)",
]
TWICE = """
<domain: "own", opset_import: ["": 17, "own": 1]> twice (x) => (y) {{ y = {}(x) }}
"""


def nested(depth: int) -> Any:
    """Return a model whose functions call the next one twice: 2**depth nodes in the end."""
    body = "".join(
        f'<domain: "own", opset_import: ["": 17, "own": 1]> f{i} (x) => (y) '
        f"{{ a = own.f{i + 1}(x) y = own.f{i + 1}(a) }}\n"
        for i in range(depth)
    )
    last = f'<domain: "own", opset_import: ["": 17]> f{depth} (x) => (y) {{ y = Neg(x) }}\n'
    return model(CHAIN.format("y = own.f0(x)"), functions="\n" + body + last)


def external(location: str, **said: str) -> Any:
    """Return a model with a weight in another file."""
    onnx = package()
    proto = model(CHAIN.format("y = Add(x, w)"))
    tensor = proto.graph.initializer.add(name="w", data_type=1, dims=[2])
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **said}.items():
        tensor.external_data.add(key=key, value=value)
    return proto


def seeds() -> list[bytes]:
    w = FLOATS[:4].reshape(2, 2)
    found = [model(CHAIN.format(text), w=w) for text in TEXTS if "own." not in text]
    found += [model(CHAIN.format("y = own.twice(x)"), functions=TWICE.format("Exp"))]
    found += [model(CHAIN.format("y = own.twice(x)"), functions=TWICE.format("own.twice"))]
    found += [nested(3), nested(40)]
    found += [model(CHAIN.format("y = Gemm(x, w)"), opset, w=w) for opset in (1, 9, 99)]
    found += [external("w.bin"), external("w.bin", offset="4", length="8")]
    found += [external(name) for name in ("../w.bin", "/etc/hostname", "no.bin", "link.bin")]
    found += [external("w.bin", offset=str(2**62), length="8"), external("w.bin", length="-1")]
    huge = model(CHAIN.format("y = Add(x, w)"))
    huge.graph.initializer.add(name="w", data_type=1, dims=[2**60], raw_data=bytes(8))
    odd = model(CHAIN.format("y = Add(x, w)"))
    odd.graph.initializer.add(name="w", data_type=8, dims=[1], string_data=[b"\xff"])
    sparse = model(CHAIN.format("y = Add(x, w)"))
    sparse.graph.sparse_initializer.add().values.name = "w"
    return [p.SerializeToString() for p in (*found, huge, odd, sparse)] + [
        b"",
        b"\x08\x08",
        b"onnx",
    ]


def prepare() -> None:
    """Import what is only imported when it is needed."""
    for name in ("onnx.inliner", "onnx.defs", "minicnn.interop.onnx._operators"):
        importlib.import_module(name)
    for text in TEXTS[:3]:
        from_onnx(model(CHAIN.format(text), w=np.eye(2, dtype=np.float32)))


def run(data: bytes, folder: Any) -> None:
    path = folder / "model.onnx"
    path.write_bytes(data)
    if not (folder / "w.bin").exists():
        (folder / "w.bin").write_bytes(FLOATS.tobytes())
    with naming(path):
        net = from_onnx(path)
    weights = [*net.parameters(), *(b for _, b in net.named_buffers())]
    assert sum(w.data.nbytes for w in weights) <= 8 * len(data) + 4 * FLOATS.nbytes
    assert all(isinstance(name, str) for name in (*net.input_names, *net.output_names))
    assert len(repr(net)) < 20 * len(data) + 1000
