"""ONNX files that ask for too much: each is refused by name, quickly, and without the memory."""

from __future__ import annotations

import itertools
import os
import time
import tracemalloc

import numpy as np
import pytest

from minicnn.errors import ConfigError, DataError, MinicnnError, ShapeError
from minicnn.interop import from_onnx
from tests.interop.onnx_models import model, onnx

ONE = "g (float[2] x) => (float[2] y) {{ {} }}"
helper = onnx.helper


def saved(tmp_path, proto):
    path = tmp_path / "net.onnx"
    path.write_bytes(proto if isinstance(proto, bytes) else proto.SerializeToString())
    return path


def refusal(tmp_path, proto, kind=DataError, seconds=5.0, mebibytes=64) -> str:
    """Import a file that must be refused; return what is said."""
    path = saved(tmp_path, proto)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(kind) as caught:
            from_onnx(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < seconds
    assert peak < mebibytes * 2**20
    assert "net.onnx" in str(caught.value)
    return str(caught.value)


def with_tensor(**fields):
    proto = model(ONE.format("y = Add(x, w)"))
    proto.graph.initializer.add(name="w", **fields)
    return proto


class TestTensors:
    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"data_type": 1, "dims": [2**60], "raw_data": bytes(8)}, "fits no memory"),
            ({"data_type": 1, "dims": [2**32, 2**32], "raw_data": b""}, "fits no memory"),
            ({"data_type": 1, "dims": [0, 2**62, 2**62]}, "fits no memory"),
            ({"data_type": 1, "dims": [2**40], "raw_data": bytes(8)}, "has 8 bytes"),
            ({"data_type": 1, "dims": [3], "raw_data": bytes(8)}, "needs 12: damaged"),
            ({"data_type": 1, "dims": [-1], "raw_data": bytes(8)}, "no array has"),
            ({"data_type": 1, "dims": [1] * 70, "raw_data": bytes(4)}, "no array has"),
            ({"data_type": 1, "dims": [2], "float_data": [1.0]}, "has 1 numbers"),
            ({"data_type": 1, "dims": []}, "has 0 numbers"),
            ({"data_type": 6, "dims": [2**50], "int32_data": [1]}, "has 1 numbers"),
        ],
    )
    def test_a_shape_that_its_numbers_do_not_fill(self, tmp_path, fields, says):
        assert says in refusal(tmp_path, with_tensor(**fields))

    def test_strings_and_pieces_are_not_weights(self, tmp_path):
        strings = with_tensor(data_type=8, dims=[1], string_data=[b"\xff"])
        assert "is of type STRING" in refusal(tmp_path, strings, ConfigError)
        pieces = with_tensor(data_type=1, dims=[1], raw_data=bytes(4))
        pieces.graph.initializer[0].segment.end = 4
        assert "in several pieces" in refusal(tmp_path, pieces, ConfigError)

    @pytest.mark.parametrize(
        ("kind", "field", "given", "right"),
        [
            (10, "int32_data", [0x3C00, 0xC000], np.float16([1, -2])),
            (9, "int32_data", [0, 2], np.array([False, True])),
            (3, "int32_data", [-1, 2], np.int8([-1, 2])),
            (12, "uint64_data", [1, 2**32 - 1], np.uint32([1, 2**32 - 1])),
            (9, "raw_data", b"\0\7", np.array([False, True])),
            (11, "double_data", [0.5, -1], np.float64([0.5, -1])),
        ],
    )
    def test_numbers_in_every_field(self, kind, field, given, right):
        proto = with_tensor(data_type=kind, dims=[2], **{field: given})
        proto.graph.node[0].op_type = "Identity"
        proto.graph.node[0].input[:] = ["w"]
        found = from_onnx(proto)(np.ones(2, np.float32)).numpy()
        np.testing.assert_array_equal(found, right)
        assert found.dtype == right.dtype


class TestOtherFiles:
    """Weights in other files: only regular ones, only in the model's folder."""

    @staticmethod
    def proto(location, count=2, **said):
        proto = with_tensor(data_type=1, dims=[count])
        tensor = proto.graph.initializer[0]
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in {"location": location, **said}.items():
            tensor.external_data.add(key=key, value=str(value))
        return proto

    def test_a_part_of_a_file(self, tmp_path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "w.bin").write_bytes(np.arange(4, dtype="<f4").tobytes())
        (tmp_path / "near.bin").symlink_to("deep/w.bin")
        for where in ("deep/w.bin", "near.bin"):
            path = saved(tmp_path, self.proto(where, offset=4, length=8))
            assert from_onnx(path)(np.zeros(2, np.float32)).numpy().tolist() == [1, 2]

    @pytest.mark.parametrize(
        "where",
        ["../w.bin", "a/../../w.bin", "/etc/hostname", "C:\\w.bin", "..\\w.bin", "", "a\0b"],
    )
    def test_a_name_that_leads_elsewhere(self, tmp_path, where):
        assert "no name of a file beside it" in refusal(tmp_path, self.proto(where))

    def test_what_is_no_file(self, tmp_path):
        elsewhere = tmp_path / "elsewhere"
        elsewhere.write_bytes(bytes(8))
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "out.bin").symlink_to(elsewhere)
        (folder / "loop.bin").symlink_to("loop.bin")
        (folder / "sub").mkdir()
        if hasattr(os, "mkfifo"):
            os.mkfifo(folder / "pipe")
            assert "is a pipe" in refusal(folder, self.proto("pipe"))
        assert "out of the model's folder" in refusal(folder, self.proto("out.bin"))
        assert "is a folder" in refusal(folder, self.proto("sub"))
        refusal(folder, self.proto("loop.bin"))

    @pytest.mark.parametrize(
        ("said", "says"),
        [
            ({"offset": 4}, "ends at byte 12, and the file has 8"),
            ({"offset": 2**63}, "and the file has 8"),
            ({"offset": -4}, "offset=-4, which is no number"),
            ({"offset": "9" * 5000}, "which is no number"),
            ({"length": 2**60}, "its shape needs 8"),
            ({"length": "x"}, "length=x, which is no number"),
        ],
    )
    def test_a_place_that_the_file_has_not(self, tmp_path, said, says):
        (tmp_path / "w.bin").write_bytes(bytes(8))
        assert says in refusal(tmp_path, self.proto("w.bin", **said))

    def test_many_tensors_of_one_piece(self, tmp_path):
        (tmp_path / "w.bin").write_bytes(bytes(2**20))
        proto = self.proto("w.bin", 2**18)
        for i in range(200):
            proto.graph.initializer.add().CopyFrom(proto.graph.initializer[0])
            proto.graph.initializer[-1].name = f"w{i}"
        assert "shares its bytes with too many" in refusal(tmp_path, proto)

    def test_a_model_that_is_no_file(self, tmp_path):
        for path, says in ((tmp_path, "is a folder"), (tmp_path / "no", "is missing")):
            with pytest.raises(DataError, match=says):
                from_onnx(path)
        if hasattr(os, "mkfifo"):
            os.mkfifo(tmp_path / "pipe.onnx")
            with pytest.raises(DataError, match=r"pipe\.onnx is a pipe"):
                from_onnx(tmp_path / "pipe.onnx")


def function(name, body, inputs="x"):
    return (
        f'<domain: "own", opset_import: ["": 17, "own": 1]> {name} ({inputs}) => (y) {{ {body} }}\n'
    )


def calling(body, *functions):
    proto = model(ONE.format(body) + "\n" + "".join(functions))
    proto.opset_import.add(domain="own", version=1)
    return proto


class TestFunctions:
    def test_billion_laughs(self, tmp_path):
        """Each of 40 functions calls the next one twice: 2**40 nodes."""
        bodies = [function(f"f{i}", f"a = own.f{i + 1}(x) y = own.f{i + 1}(a)") for i in range(40)]
        proto = calling("y = own.f0(x)", *bodies, function("f40", "y = Neg(x)"))
        assert "unfold to" in refusal(tmp_path, proto)

    def test_a_large_constant_called_often(self, tmp_path):
        numbers = ", ".join(["1"] * 20_000)
        body = function("f", f"c = Constant<value_floats = [{numbers}]>() y = Add(x, c)")
        calls = " ".join(f"x{i + 1} = own.f(x{i})" for i in range(2000))
        proto = calling(f"x0 = Neg(x) {calls} y = Neg(x2000)", body)
        assert "MiB beyond what is written" in refusal(tmp_path, proto)

    @pytest.mark.parametrize("called", ["f", "g"])
    def test_one_that_calls_itself(self, tmp_path, called):
        bodies = function("f", f"y = own.{called}(x)"), function("g", "y = own.f(x)")
        assert "calls itself" in refusal(tmp_path, calling("y = own.f(x)", *bodies))

    def test_a_long_chain(self, tmp_path):
        """ONNX's inliner would call itself 3,000 deep."""
        bodies = [function(f"f{i}", f"y = own.f{i + 1}(x)") for i in range(3000)]
        proto = calling("y = own.f0(x)", *bodies, function("f3000", "y = Neg(x)"))
        assert "more than 100 deep" in refusal(tmp_path, proto)

    def test_two_of_one_name(self, tmp_path):
        bodies = function("f", "y = Neg(x)"), function("f", "y = Abs(x)")
        assert "two functions 'f'" in refusal(tmp_path, calling("y = own.f(x)", *bodies))

    def test_what_is_called_more_often_than_written_is_no_crime(self):
        calls = " ".join(f"x{i + 1} = own.f(x{i})" for i in range(50))
        proto = calling(f"x0 = Neg(x) {calls} y = Neg(x50)", function("f", "y = Abs(x)"))
        assert from_onnx(proto)(np.float32([-1, 2])).numpy().tolist() == [-1, -2]


class TestGraphs:
    @pytest.mark.parametrize("backwards", [False, True])
    def test_many_nodes_take_time_in_proportion(self, backwards):
        count = 10_000
        names = ["x", *(f"v{i}" for i in range(count - 1)), "y"]
        nodes = [helper.make_node("Neg", [a], [b]) for a, b in itertools.pairwise(names)]
        value = helper.make_tensor_value_info
        graph = helper.make_graph(
            nodes[::-1] if backwards else nodes, "g", [value("x", 1, [2])], [value("y", 1, [2])]
        )
        opsets = [helper.make_opsetid("", 17)]
        content = helper.make_model(graph, opset_imports=opsets).SerializeToString()
        began = time.process_time()
        net = from_onnx(content)
        assert time.process_time() - began < 5  # 0.3 s alone
        assert len(net._graph.nodes) == count

    def test_deep_graphs_are_no_model(self, tmp_path):
        """A graph in a branch in a graph ...: protobuf itself ends that."""
        graph = onnx.GraphProto(name="inner")
        for _ in range(60):
            outer = onnx.GraphProto(name="g")
            node = outer.node.add(op_type="If", input=["c"], output=["y"])
            node.attribute.add(name="then_branch", type=onnx.AttributeProto.GRAPH).g.CopyFrom(graph)
            graph = outer
        proto = model(ONE.format("y = Neg(x)"))
        proto.graph.CopyFrom(graph)
        assert "is no ONNX model" in refusal(tmp_path, proto)

    def test_names_that_are_not_utf8(self, tmp_path):
        content = model(ONE.format("name = Neg(x) y = Neg(name)")).SerializeToString()
        text = refusal(tmp_path, content.replace(b"name", b"n\xff\xfee"))
        assert "not UTF-8" in text
        assert text.isprintable()

    def test_names_that_two_have(self, tmp_path):
        twice = model(ONE.format("y = Neg(x)"))
        twice.graph.node.add().CopyFrom(twice.graph.node[0])
        assert "two nodes that make 'y'" in refusal(tmp_path, twice)
        weights = with_tensor(data_type=1, dims=[1], raw_data=bytes(4))
        weights.graph.initializer.add().CopyFrom(weights.graph.initializer[0])
        assert "two initializers 'w'" in refusal(tmp_path, weights)
        inputs = model(ONE.format("y = Neg(x)"))
        inputs.graph.input.add().CopyFrom(inputs.graph.input[0])
        assert "two inputs of one name" in refusal(tmp_path, inputs)

    @pytest.mark.parametrize("version", [0, -1, 2**31, 2**60])
    def test_opsets_that_there_are_not(self, tmp_path, version):
        proto = model(ONE.format("y = Neg(x)"))
        proto.opset_import.add(domain="ai.onnx.ml", version=version)
        assert "there is no opset" in refusal(tmp_path, proto)

    def test_a_thousand_unknown_operators_are_listed_briefly(self, tmp_path):
        nodes = " ".join(f"v{i} = Nothing{i}(x)" for i in range(1000))
        text = refusal(tmp_path, model(ONE.format(f"{nodes} y = Neg(x)")), ConfigError)
        assert "and 980 more" in text
        assert len(text) < 6000

    @pytest.mark.parametrize(
        ("op", "attribute"),
        [
            ("Softmax", {"axis": "one"}),
            ("Softmax", {"axis": [1]}),
            ("LeakyRelu", {"alpha": "steep"}),
            ("Transpose", {"perm": 0}),
            ("Transpose", {"perm": [0.5]}),
            ("Cast", {"to": [1]}),
            ("Gelu", {"approximate": np.ones(2, np.float32)}),
            ("ConstantOfShape", {"value": 3}),
        ],
    )
    def test_an_attribute_of_another_kind(self, tmp_path, op, attribute):
        if isinstance(value := next(iter(attribute.values())), np.ndarray):
            attribute = {"approximate": onnx.numpy_helper.from_array(value)}
        proto = model(ONE.format("y = Neg(x)"), opset=20)
        proto.graph.node[0].CopyFrom(helper.make_node(op, ["x"], ["y"], **attribute))
        assert "is of another kind" in refusal(tmp_path, proto, ConfigError)

    @pytest.mark.parametrize(
        "attribute",
        [{"value_int": "a"}, {"value_floats": 1}, {"value": [1]}, {"value_ints": ["a"]}],
    )
    def test_a_constant_of_another_kind(self, tmp_path, attribute):
        proto = model(ONE.format("c = Constant<value_int = 1>() y = Neg(x)"))
        proto.graph.node[0].CopyFrom(helper.make_node("Constant", [], ["c"], **attribute))
        assert "another kind than its name says" in refusal(tmp_path, proto, ConfigError)


HUGE = {
    "ConstantOfShape": "n = Constant<value_ints = [1152921504606846976]>() y = ConstantOfShape(n)",
    "Expand": "n = Constant<value_ints = [1099511627776, 2]>() y = Expand(x, n)",
    "Tile": "n = Constant<value_ints = [1099511627776]>() y = Tile(x, n)",
    "Range": "a = Constant<value_int = 0>() b = Constant<value_int = 1099511627776>() "
    "c = Constant<value_int = 1>() y = Range(a, b, c)",
    "Range: there is no end": "a = Constant<value_int = 0>() b = Constant<value_int = 5>() "
    "y = Range(a, b, a)",
    "Pad": "n = Constant<value_ints = [0, 1099511627776]>() y = Pad(x, n)",
    "Resize": "n = Constant<value_ints = [1099511627776]>() y = Resize(x, , , n)",
    "OneHot": "i = Cast<to = 7>(x) n = Constant<value_int = 1099511627776>() "
    "v = Constant<value_floats = [0.0, 1.0]>() y = OneHot(i, n, v)",
    "Add": "n = Constant<value_ints = [70000, 1]>() a = Expand(x, n) "
    "m = Constant<value_ints = [-1, 1]>() b = Reshape(a, m) c = Transpose(b) y = Add(b, c)",
    "Gather": "n = Constant<value_ints = [70000]>() i = ConstantOfShape"
    "<value = int64[1] {0}>(n) m = Constant<value_ints = [1, 70000]>() "
    "a = ConstantOfShape(m) y = Gather(a, i)",
    "Concat": "a0 = Concat<axis = 0>(x, x) "
    + " ".join(f"a{i + 1} = Concat<axis = 0>(a{i}, a{i})" for i in range(60))
    + " y = Neg(a60)",
    "Loop": "n = Constant<value_int = 4611686018427387904>() d = Constant<value = bool {1}>() "
    "y = Loop(n, d, x) <body = b (int64 i, bool c, float[M] s) => (bool c2, float[K] s2) "
    "{ c2 = Identity(c) s2 = Concat<axis = 0>(s, s) }>",
    "ConvTranspose": "n = Constant<value_ints = [1, 1, 2]>() a = Reshape(x, n) "
    "w = Constant<value = float[1, 1, 1] {1}>() y = ConvTranspose<strides = [1099511627776]>(a, w)",
    "MaxPool": "n = Constant<value_ints = [1, 1, 2]>() a = Reshape(x, n) "
    "y = MaxPool<kernel_shape = [1], pads = [1099511627776, 0]>(a)",
}


NONE_SUCH = {
    "Reshape": "n = Constant<value_ints = [0, 0, 0]>() y = Reshape(x, n)",
    "Pad": "n = Constant<value_ints = [1]>() y = Pad(x, n)",
    "Conv": "n = Constant<value_ints = [1, 1, 2]>() a = Reshape(x, n) "
    'y = Conv<auto_pad = "SAME_UPPER", strides = [0]>(a, a)',
    "Slice": "a = Constant<value_ints = [0, 0]>() b = Constant<value_ints = [1]>() "
    "y = Slice(x, a, b)",
    "ConstantOfShape": "n = Constant<value_ints = [-1]>() y = ConstantOfShape(n)",
    "Tile": "n = Constant<value_floats = [1e38]>() y = Tile(x, n)",
    "Squeeze": "n = Constant<value_ints = [5]>() y = Squeeze(x, n)",
}


@pytest.mark.parametrize("kind", NONE_SUCH)
def test_inputs_that_make_no_sense(tmp_path, kind):
    net = from_onnx(saved(tmp_path, model(ONE.format(NONE_SUCH[kind]))))
    with pytest.raises(MinicnnError, match=rf"^net\.onnx: node .*\({kind}, opset 17\): ") as caught:
        net(np.float32([1, 2]))
    assert len(str(caught.value)) < 1000


def test_more_neighbours_than_there_are_channels():
    """A window of 2**40 channels is as good as all of them, and no 2**40 turns."""
    x = np.float32([[1, 2, 3]]).reshape(1, 3, 1, 1)

    def normalised(size, alpha):
        text = f"y = LRN<size = {size}, alpha = {alpha:f}, beta = 1.0>(x)"
        return from_onnx(model(f"g (float[1, 3, 1, 1] x) => (float[1, 3, 1, 1] y) {{ {text} }}"))(x)

    found = normalised(2**40, 2.0**40).numpy()
    np.testing.assert_allclose(found, normalised(7, 7.0).numpy(), rtol=1e-5)
    np.testing.assert_allclose(found.ravel(), np.float32([1, 2, 3]) / 15, rtol=1e-5)


@pytest.mark.parametrize("inside", [False, True])
def test_what_an_operator_of_the_user_raises_is_not_changed(inside):
    def own(x):
        raise KeyError("mine")

    text = "y = Own(x)"
    if inside:
        text = (
            "s = ReduceSum<keepdims = 0>(x) c = Cast<to = 9>(s) y = If(c) <"
            "then_branch = t () => (float[2] u) { u = Own(x) }, "
            "else_branch = e () => (float[2] u) { u = Own(x) }>"
        )
    net = from_onnx(model(ONE.format(text)), operators={"Own": own})
    with pytest.raises(KeyError, match="mine") as caught:
        net(np.float32([1, 2]))
    assert "(Own, opset 17)" in caught.value.__notes__[0]


ONES = {
    "Conv": ({"x": (1, 1, 1, 1), "w": (50, 1, 1, 1)}, {"pads": [100] * 4}),
    "ConvInteger": ({"x": (1, 1, 1, 1), "w": (50, 1, 1, 1)}, {"pads": [100] * 4}),
    "Pad": ({"x": (1, 50, 1, 1)}, {"pads": [0, 0, 100, 100] * 2}),
    "MaxPool": ({"x": (1, 50, 1, 1)}, {"kernel_shape": [150, 150], "pads": [149] * 4}),
    "Concat": ({"x": (2**15,)}, {"axis": 0}),
    "MatMul": ({"a": (300, 1, 60, 1), "b": (1, 3, 1, 60)}, {}),
    "MatMulInteger": ({"a": (2000, 1), "b": (1, 2000)}, {}),
    "Einsum": ({"a": (200,), "b": (200,), "c": (200,)}, {"equation": "i,j,k->ijk"}),
    "GatherND": ({"a": (1, 2**15), "i": (50, 1)}, {}),
    "GridSample": ({"x": (1, 50, 2, 2), "g": (1, 200, 200, 2)}, {}),
    "Col2Im": ({"x": (1, 50, 1), "i": [200, 200], "b": [1, 1]}, {}),
}


@pytest.mark.parametrize("kind", ONES)
def test_a_result_is_too_large_before_it_is_made(kind):
    """Small inputs, and a million elements and more."""
    shapes, attributes = ONES[kind]
    dtype = np.uint8 if kind.endswith("Integer") else np.float32
    held = {
        n: np.ones(s, dtype) if isinstance(s, tuple) else np.array(s) for n, s in shapes.items()
    }
    if kind == "GatherND":
        held["i"] = np.zeros(shapes["i"], np.int64)
    given = ["x"] * 40 if kind == "Concat" else list(shapes)
    proto = model("g (float[2] q) => (float[2] y) { y = Neg(q) }", opset=18, **held)
    if kind == "Pad":
        proto = model("g (float[2] q) => (float[2] y) { y = Neg(q) }", opset=10, **held)
    proto.graph.node[0].CopyFrom(helper.make_node(kind, given, ["y"], **attributes))
    net = from_onnx(proto)
    net.most_elements = 2**20
    tracemalloc.start()
    try:
        with pytest.raises(ShapeError, match=r"elements, and at most 1,048,576"):
            net(np.float32([1, 2]))
        assert tracemalloc.get_traced_memory()[1] < 2**20  # the result has 4 MiB and more
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", HUGE)
def test_a_value_that_would_fill_the_memory(what):
    net = from_onnx(model(ONE.format(HUGE[what])))
    net.most_elements = 2**20
    tracemalloc.start()
    try:
        with pytest.raises(MinicnnError, match=r"elements, and at most 1,048,576|no end"):
            net(np.float32([1, 2]))
        assert tracemalloc.get_traced_memory()[1] < 64 * 2**20
    finally:
        tracemalloc.stop()


def test_how_large_a_value_may_be_is_the_users_choice():
    net = from_onnx(model(ONE.format("n = Constant<value_ints = [3000]>() y = Tile(x, n)")))
    assert net.most_elements == 2**28
    net.most_elements = 5999
    with pytest.raises(ShapeError, match=r"Tile: a result of shape \(2, 3000\).*most_elements"):
        net(np.float32([1, 2]))
    net.most_elements = 6000
    assert net(np.float32([1, 2])).shape == (6000,)
