"""from_onnx: what a Module it makes, that it can be trained, and what it says to wrong files."""

from __future__ import annotations

import copy
import gc
import subprocess
import sys
import weakref

import numpy as np
import pytest

from minicnn import Tensor, check_gradients, no_grad, ops, optim
from minicnn.errors import ConfigError, DataError, DTypeError, ShapeError
from minicnn.interop import from_onnx
from minicnn.nn import Buffer, Module, Parameter, random_key
from tests.interop.onnx_models import model, one, onnx

RNG = np.random.default_rng(0)


def floats(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def small_net():
    """A convolution, batch normalisation, pooling and a dense layer."""
    return model(
        """
        g (float[N, 2, 6, 6] image) => (float[N, 3] scores) {
            a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(image, conv__weight, conv__bias)
            b = BatchNormalization(a, bn__weight, bn__bias, bn__running_mean, bn__running_var)
            c = Relu(b)
            d = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c)
            e = Reshape(d, shape)
            h = Gemm<transB = 1>(e, fc__weight, fc__bias)
            half = Mul(h, factor)
            scores = Identity(half)
        }""",
        **{
            "conv.weight": floats(4, 2, 3, 3),
            "conv.bias": floats(4),
            "bn.weight": floats(4) + 2,
            "bn.bias": floats(4),
            "bn.running_mean": floats(4),
            "bn.running_var": floats(4) ** 2 + 1,
            "fc.weight": floats(3, 36),
            "fc.bias": floats(3),
            "shape": np.array([0, -1]),
            "factor": np.float32(0.5),
        },
    )


class TestTheModule:
    def test_names_are_those_of_the_file(self):
        net = from_onnx(small_net())
        assert isinstance(net, Module)
        assert not net.training
        assert [name for name, _ in net.named_parameters()] == [
            "conv.weight", "conv.bias", "bn.weight", "bn.bias", "fc.weight", "fc.bias",
        ]  # fmt: skip
        assert [name for name, _ in net.named_buffers()] == [
            "bn.running_mean", "bn.running_var", "shape", "factor",
        ]  # fmt: skip
        assert net.input_names == ("image",)
        assert net.output_names == ("scores",)
        assert repr(net) == "OnnxModule(image: float32 (N, 2, 6, 6) -> scores)"

    def test_computes_what_its_layers_compute(self):
        proto = small_net()
        w = {t.name: onnx.numpy_helper.to_array(t) for t in proto.graph.initializer}
        x = Tensor(floats(5, 2, 6, 6))
        a = ops.conv2d(x, Tensor(w["conv.weight"]), Tensor(w["conv.bias"]), padding=1)
        bn = [w[f"bn.{n}"] for n in ("weight", "bias", "running_mean", "running_var")]
        b = ops.batch_norm_inference(a, Tensor(bn[0]), Tensor(bn[1]), bn[2], bn[3])
        d = ops.max_pool2d(ops.relu(b), 2).reshape(5, -1)
        expected = (d @ Tensor(w["fc.weight"].T) + Tensor(w["fc.bias"])) * 0.5
        np.testing.assert_allclose(
            from_onnx(proto)(x).numpy(), expected.numpy(), rtol=1e-5, atol=1e-5
        )

    def test_state_goes_to_another_net_of_the_file(self):
        proto = small_net()
        net, other = from_onnx(proto), from_onnx(proto)
        net.load_state_dict({name: a * 2 for name, a in net.state_dict().items()})
        other.load_state_dict(net.state_dict())
        for name, array in net.state_dict().items():
            np.testing.assert_array_equal(other.state_dict()[name], array)

    def test_a_copy_is_a_net_of_its_own(self):
        net = from_onnx(small_net())
        twin, x = copy.deepcopy(net), floats(2, 2, 6, 6)
        before = net(x).numpy()
        for p in twin.parameters():
            p.data = p.data * 0
        np.testing.assert_array_equal(net(x).numpy(), before)
        assert not twin(x).numpy().any()

    @pytest.mark.parametrize("kind", ["path", "text", "bytes"])
    def test_paths_and_bytes(self, kind, tmp_path):
        proto, path = small_net(), tmp_path / "net.onnx"
        onnx.save(proto, path)
        source = {"path": path, "text": str(path), "bytes": path.read_bytes()}[kind]
        x = floats(1, 2, 6, 6)
        np.testing.assert_array_equal(from_onnx(source)(x).numpy(), from_onnx(proto)(x).numpy())

    def test_weights_in_another_file(self, tmp_path):
        proto, path = small_net(), tmp_path / "net.onnx"
        expected = from_onnx(proto)(np.ones((1, 2, 6, 6), np.float32)).numpy()
        onnx.save(proto, path, save_as_external_data=True, location="w.bin", size_threshold=0)
        result = from_onnx(path)(np.ones((1, 2, 6, 6), np.float32)).numpy()
        np.testing.assert_array_equal(result, expected)

    def test_inputs_by_name_and_several_outputs(self):
        net = from_onnx(
            model("g (float[2] a, float[2] b) => (float[2] s, float[2] d)"
                  "{ s = Add(a, b) d = Sub(a, b) }")
        )  # fmt: skip
        a, b = np.float32([1, 2]), np.float32([3, 5])
        for result in (net(a, b), net(b=b, a=a), net(a, b=b)):
            assert [t.numpy().tolist() for t in result] == [[4, 7], [-2, -3]]

    def test_an_initializer_may_be_listed_as_input(self):
        """Files of IR versions before 4 list all of them."""
        net = from_onnx(model("g (float[2] x, float[2] w) => (float[2] y) { y = Mul(x, w) }",
                              w=np.float32([2, 3])))  # fmt: skip
        assert net.input_names == ("x",)
        assert net(np.float32([1, 1])).numpy().tolist() == [2, 3]

    def test_nodes_may_be_in_any_order(self):
        proto = model("g (float[2] x) => (float[2] y) { y = Neg(t) t = Exp(x) }")
        np.testing.assert_allclose(
            from_onnx(proto)(np.float32([0, 1])).numpy(), [-1, -np.e], rtol=1e-6
        )

    def test_values_are_freed_after_their_last_use(self):
        alive = []

        def watch(x):
            gc.collect()
            alive.append(sum(r() is not None for r in made))
            y = Tensor(x.data + 1)
            made.append(weakref.ref(y))
            return y

        made = []
        text = " ".join(f"t{i + 1} = Watch(t{i})" for i in range(6))
        proto = model(f"g (float[2] t0) => (float[2] t6) {{ {text} }}")
        net = from_onnx(proto, operators={"Watch": watch})
        with no_grad():
            net(np.zeros(2, np.float32))
        assert max(alive) == 1

    def test_to_and_astype_take_constants_along(self):
        net = from_onnx(
            model("g (float[2] x) => (float[2] y)"
                  "{ c = Constant<value_floats = [1.0, 2.0]>() t = Add(x, c) y = Mul(t, w) }",
                  w=np.float32([3, 4]))
        ).to("cpu").astype("float64")  # fmt: skip
        y = net(np.array([1.0, 1.0]))
        assert y.dtype == np.float64
        assert y.numpy().tolist() == [6, 12]
        assert isinstance(dict(net.named_parameters())["w"], Parameter)


class TestTraining:
    def test_gradients_of_all_parameters_and_the_input(self):
        net = from_onnx(small_net()).astype("float64")
        x = RNG.normal(size=(2, 2, 6, 6))
        names = [name for name, _ in net.named_parameters()]

        def loss(image, *values):
            for name, value in zip(names, values, strict=True):
                net._graph.held[name] = value  # the net's own parameters are leaves
            return net(image)

        check_gradients(
            loss, x, *(p.numpy() for p in from_onnx(small_net()).astype("float64").parameters())
        )

    def test_an_imported_net_learns(self):
        net = from_onnx(small_net()).train()
        x, labels = floats(16, 2, 6, 6), RNG.integers(0, 3, 16)
        sgd, losses = optim.SGD(net.parameters(), 0.05), []
        for _ in range(30):
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
            net.zero_grad()
            loss.backward()
            sgd.step()
            losses.append(loss.item())
        assert losses[-1] < 0.2 * losses[0]

    def test_dropout_drops_in_training_only(self):
        net = from_onnx(model("g (float[1000] x) => (float[1000] y) { y = Dropout(x, rate) }",
                              rate=np.float32(0.25)))  # fmt: skip
        x = np.ones(1000, np.float32)
        np.testing.assert_array_equal(net(x).numpy(), x)
        net.train()
        with random_key(0, 1):
            first = net(x).numpy()
        with random_key(0, 1):
            again = net(x).numpy()
        with random_key(0, 2):
            later = net(x).numpy()
        np.testing.assert_array_equal(first, again)
        assert (first != later).any()
        assert set(np.unique(first)) == {0, np.float32(1 / 0.75)}
        assert 180 < (first == 0).sum() < 320

    def test_the_mask_is_what_was_dropped(self):
        text = "g (float[99] x) => (float[99] y, bool[99] m) { y, m = Dropout(x) }"
        y, mask = from_onnx(model(text)).train()(np.ones(99, np.float32))
        np.testing.assert_array_equal(mask.numpy(), y.numpy() != 0)

    def batch_norm(self, mode):
        return model(
            f"""g (float[4, 2] x) => (float[4, 2] y) {{
                y = BatchNormalization<momentum = 0.75, training_mode = {mode}>(x, s, b, mean, var)
            }}""",
            s=np.float32([1, 2]), b=np.float32([0, 1]),
            mean=np.float32([10, 20]), var=np.float32([4, 9]),
        )  # fmt: skip

    def test_statistics_move_where_the_file_says_so(self):
        net, x = from_onnx(self.batch_norm(1)), floats(4, 2)
        assert net.training
        y = net(x).numpy()
        scaled = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
        np.testing.assert_allclose(y, scaled * [1, 2] + [0, 1], rtol=1e-4, atol=1e-5)
        held = dict(net.named_buffers())
        np.testing.assert_allclose(
            held["mean"].numpy(), 0.75 * np.array([10, 20]) + 0.25 * x.mean(0), rtol=1e-6
        )
        np.testing.assert_allclose(
            held["var"].numpy(), 0.75 * np.array([4, 9]) + 0.25 * x.var(0), rtol=1e-6
        )

    @pytest.mark.parametrize("mode", [0, 1])
    def test_statistics_are_used_in_evaluation(self, mode):
        net, x = from_onnx(self.batch_norm(mode)).eval(), floats(4, 2)
        expected = (x - [10, 20]) / np.sqrt(np.array([4, 9]) + 1e-5) * [1, 2] + [0, 1]
        np.testing.assert_allclose(net(x).numpy(), expected, rtol=1e-5)
        assert dict(net.named_buffers())["mean"].numpy().tolist() == [10, 20]

    def test_statistics_stay_where_the_file_says_nothing(self):
        net, x = from_onnx(self.batch_norm(0)), floats(4, 2)
        before = net(x).numpy()
        np.testing.assert_array_equal(net.train()(x).numpy(), before)
        assert dict(net.named_buffers())["mean"].numpy().tolist() == [10, 20]


class TestGraphs:
    def test_functions_of_the_file_are_expanded(self):
        import onnx.parser

        proto = onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["": 17, "mine": 1]>
            g (float[2] x) => (float[2] y) { y = mine.twice_plus<by = 3.0>(x) }
            <domain: "mine", opset_import: ["": 17]>
            twice_plus <by> (a) => (c) {
                n = Constant<value_float: float = @by>() b = Add(a, a) c = Add(b, n)
            }"""
        )
        assert from_onnx(proto)(np.float32([1, 2])).numpy().tolist() == [5, 7]

    def test_operators_that_onnx_defines_by_others_are_expanded(self):
        """None of the tables has CenterCropPad; ONNX defines it by slices and pads."""
        proto = model("g (float[5, 7] x) => (float[3, 9] y) { y = CenterCropPad(x, shape) }",
                      18, shape=np.array([3, 9]))  # fmt: skip
        y = from_onnx(proto)(np.ones((5, 7), np.float32)).numpy()
        assert y.shape == (3, 9)
        assert y.sum() == 21

    def test_two_branches_may_use_one_name(self):
        net = from_onnx(
            model("""g (bool c, float[2] x) => (float[2] y) {
                y = If (c) <
                    then_branch = one () => (float[2] r) {
                        k = Constant<value_floats = [1.0, 2.0]>() r = Add(x, k) },
                    else_branch = two () => (float[2] r) {
                        k = Constant<value_floats = [10.0, 20.0]>() r = Mul(x, k) }
                >
            }""")
        )
        x = np.float32([1, 1])
        assert net(np.array(True), x).numpy().tolist() == [2, 3]
        assert net(np.array(False), x).numpy().tolist() == [10, 20]

    def test_gradients_flow_through_loops(self):
        net = from_onnx(
            model("""g (float[2] x) => (float[2] y) {
                n = Constant<value_int = 3>()
                y = Loop (n, , x) <body = step (int64 i, bool go, float[2] a) =>
                                         (bool on, float[2] b) { on = Identity(go) b = Mul(a, w) }>
            }""", w=np.float32([2, 3]))
        )  # fmt: skip
        y = net(np.float32([1, 1]))
        assert y.numpy().tolist() == [8, 27]
        y.sum().backward()
        assert dict(net.named_parameters())["w"].grad.numpy().tolist() == [12, 27]

    def test_a_loop_ends_when_it_says_so(self):
        net = from_onnx(
            model("""g (float[1] x) => (float[1] y, float[T, 1] all) {
                yes = Constant<value = bool {1}>()
                y, all = Loop (, yes, x) <body = step (int64 i, bool go, float[1] a) =>
                        (bool on, float[1] b, float[1] c) {
                    two = Constant<value_floats = [2.0]>()
                    b = Mul(a, two)
                    c = Identity(b)
                    most = Constant<value_float = 9.0>()
                    sum = ReduceSum<keepdims = 0>(b)
                    on = Less(sum, most)
                }>
            }""")
        )
        y, every = net(np.float32([1]))
        assert y.numpy().tolist() == [16]
        assert every.numpy().tolist() == [[2], [4], [8], [16]]

    def test_a_scan_of_no_steps_keeps_what_it_carries(self):
        net = from_onnx(
            model("""g (float[2] s, float[T, 2] xs) => (float[2] last) {
                last = Scan <num_scan_inputs = 1, body = step (float[2] a, float[2] x) =>
                             (float[2] b) { b = Add(a, x) }> (s, xs)
            }""")
        )
        assert net(np.float32([1, 2]), np.ones((0, 2), np.float32)).numpy().tolist() == [1, 2]
        assert net(np.float32([1, 2]), np.ones((3, 2), np.float32)).numpy().tolist() == [4, 5]


def test_further_operators_can_be_given():
    proto = one("Bend", [np.zeros(3, np.float32)], 17, by=2.0)

    def bend(x, *, by: float = 1.0):
        return ops.tanh(x * by)

    x = np.float32([-1, 0, 1])
    np.testing.assert_allclose(
        from_onnx(proto, {"Bend": bend})(x).numpy(), np.tanh(2 * x), rtol=1e-6
    )


class TestRefusals:
    def test_all_unknown_operators_are_named_at_once(self):
        proto = model(
            """g (float[2] x, float[1] w) => (float[2] y) {
                [first] a = StringNormalizer(x)
                [second] b = Bogus<size = 3>(a)
                [third] c = Elu<alpha = 2.0, beta = 3.0>(b)
                [fourth] d = Bogus(c)
                [fifth] y = Softmax<axis = 1>(d)
            }"""
        )
        with pytest.raises(ConfigError) as caught:
            from_onnx(proto)
        text = str(caught.value)
        assert text.startswith("from_onnx: model 'g' asks for what minicnn does not know; export")
        assert "these are (3):" in text
        assert "operators={'Name': function}" in text
        assert "StringNormalizer (domain 'ai.onnx', opset 17) in node 'first'" in text
        assert "Bogus (domain 'ai.onnx', opset 17) in node 'second', node 'fourth'" in text
        assert (
            "Elu (domain 'ai.onnx', opset 17): its attribute beta=3.0 is not known in node 'third'"
        ) in text

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("g (float[2] x) => (float[2] y) { y = Gelu<approximate = \"erf\">(x) }",
             "its attribute approximate='erf' is none of 'none', 'tanh'"),
            ("g (float[2] x) => (float[2] y) { y = Cast<to = 8>(x) }",
             "its attribute to=STRING is no type of NumPy's"),
            ("g (float[2] x) => (float[2] y) { y = Cast(x) }", "its attribute to is missing"),
            ("g (float[2] x) => (float[2] y) { y = Relu(x, x, x) }",
             "it has 3 inputs, 1 are known"),
            ("g (float[2] x) => (float[2] y) { y = Add(x, ) }", "its input 1 (b) is missing"),
            ("g (float[2] x) => (float[2] y) { y = Constant<value_string = \"a\">() }",
             "its attributes ['value_string'] are not known"),
        ],
    )  # fmt: skip
    def test_what_an_operator_does_not_know(self, text, says):
        with pytest.raises(ConfigError) as caught:
            from_onnx(model(text, 20))
        assert says in str(caught.value)

    def test_weights_of_types_that_numpy_has_not(self):
        proto = model("g (float[2] x) => (float[2] y) { c = CastLike(x, w) y = CastLike(c, x) }")
        tensor = onnx.helper.make_tensor("w", onnx.TensorProto.BFLOAT16, [1], [1.0])
        proto.graph.initializer.append(tensor)
        with pytest.raises(ConfigError, match="w is of type BFLOAT16 in initializer 'w'"):
            from_onnx(proto)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ("bfloat16[2] x", "values of type BFLOAT16 in input 'x'"),
            ("string[2] x", "values of type STRING in input 'x'"),
            ("seq(float[2]) x", "values of kind sequence in input 'x'"),
            ("optional(float[2]) x", "values of kind optional in input 'x'"),
        ],
    )
    def test_inputs_that_no_tensor_can_hold(self, given, says):
        with pytest.raises(ConfigError, match=says):
            from_onnx(model(f"g ({given}) => (float[2] y) {{ y = Identity(x) }}"))

    def test_a_newer_opset(self):
        with pytest.raises(ConfigError, match="is of opset 99, the newest that is known is 28"):
            from_onnx(model("g (float[2] x) => (float[2] y) { y = Relu(x) }", 99))

    def test_an_operator_before_its_time(self):
        with pytest.raises(ConfigError, match=r"LayerNormalization \(domain 'ai.onnx', opset 3\)"):
            from_onnx(one("LayerNormalization", [floats(2, 3), floats(3)], 3))

    @pytest.mark.parametrize(
        "content", [b"", b"no model", b"\x08\x08", b"\x89PNG\r\n" + bytes(100)]
    )
    def test_what_is_no_model(self, content, tmp_path):
        path = tmp_path / "net.onnx"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"net\.onnx is no ONNX model"):
            from_onnx(path)
        with pytest.raises(DataError, match="bytes is no ONNX model"):
            from_onnx(content)

    def test_no_such_file(self, tmp_path):
        with pytest.raises(DataError, match=r"from_onnx: .*absent\.onnx is missing"):
            from_onnx(tmp_path / "absent.onnx")

    def test_no_such_source(self):
        with pytest.raises(
            ConfigError, match=r"takes a path, bytes or an onnx\.ModelProto, not a int"
        ):
            from_onnx(3)

    def test_missing_external_data(self, tmp_path):
        path = tmp_path / "net.onnx"
        onnx.save(small_net(), path, save_as_external_data=True, location="w.bin", size_threshold=0)
        content = path.read_bytes()
        with pytest.raises(
            DataError, match=r"'w\.bin' with 'conv\.weight' and 9 more; give the path"
        ):
            from_onnx(content)
        (tmp_path / "w.bin").write_bytes(b"short")
        with pytest.raises(DataError, match=r"weights of .* cannot be read"):
            from_onnx(path)
        (tmp_path / "w.bin").unlink()
        with pytest.raises(
            DataError, match=r"'w\.bin' with 'conv\.weight' and 9 more; put them into"
        ):
            from_onnx(path)

    def test_a_graph_with_a_hole(self):
        proto = model("g (float[2] x) => (float[2] y) { y = Add(x, nowhere) }")
        with pytest.raises(DataError, match=r"needs \['nowhere'\], which nothing before it makes"):
            from_onnx(proto)
        proto = model("g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) }")
        with pytest.raises(DataError, match=r"nothing in graph 'g' makes its outputs \['z'\]"):
            from_onnx(proto)

    def test_wrong_inputs(self):
        net = from_onnx(
            model("g (float[N, 3] a, float[N, 2] b) => (float[N, 5] y)"
                  "{ y = Concat<axis = 1>(a, b) }")
        )  # fmt: skip
        a, b = floats(4, 3), floats(4, 2)
        takes = r"takes a: float32 \(N, 3\), b: float32 \(N, 2\); got "
        for given, named, got in (
            ((a,), {}, "1 in order"),
            ((a, b, b), {}, "3 in order"),
            ((a, b), {"a": a}, r"2 in order and \['a'\] by name"),
            ((a,), {"c": b}, r"1 in order and \['c'\] by name"),
        ):
            with pytest.raises(ConfigError, match=takes + got):
                net(*given, **named)
        with pytest.raises(
            DTypeError, match=r"input 'a' is float64.*must be float32; use \.astype"
        ):
            net(a.astype("float64"), b)
        with pytest.raises(ShapeError, match=r"'b' has shape \(4, 3\), it must be \(N, 2\)"):
            net(a, a)
        with pytest.raises(ShapeError, match=r"'b' has shape \(3, 2\), .* \(N, 2\) with {'N': 4}"):
            net(a, b[:3])
        with pytest.raises(ShapeError, match=r"'a' has shape \(3,\)"):
            net(a[0], b)

    def test_what_goes_wrong_on_the_way_names_the_node(self):
        proto = model("g (float[N] x) => (float[N] y) { [add] y = Add(x, w) }", w=floats(3))
        with pytest.raises(ShapeError, match=r"node 'add' \(Add, opset 17\): add: shapes \(2,\)"):
            from_onnx(proto)(floats(2))

    def test_without_the_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(ConfigError, match=r"pip install 'minicnn\[onnx\]'"):
            from_onnx("net.onnx")


def test_the_package_is_loaded_when_it_is_needed():
    code = "import sys, minicnn.interop; print('onnx' in sys.modules, 'numba' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]


def test_buffers_are_what_nobody_trains():
    net = from_onnx(
        model("g (float[4] x) => (float[2, 2] y) { t = Mul(x, half) y = Reshape(t, shape) }",
              half=np.float32(0.5), shape=np.array([2, 2]))
    )  # fmt: skip
    assert not list(net.parameters())
    assert all(isinstance(b, Buffer) for _, b in net.named_buffers())
