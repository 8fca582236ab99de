"""The graph that a trace returns is the computation that ran."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor, composed, no_grad
from minicnn.autograd.graph import trace

X = np.linspace(-1, 1, 2 * 3 * 8 * 8, dtype=np.float32).reshape(2, 3, 8, 8)


def run_again(graph, *inputs):
    """Compute the outputs of a graph from its nodes alone."""
    known = {id(v): Tensor(x) for v, x in zip(graph.inputs, inputs, strict=True)}

    def given(argument):
        if isinstance(argument, tuple | list):
            return type(argument)(given(a) for a in argument)
        if hasattr(argument, "users"):
            return known.get(id(argument), argument.tensor)
        return argument

    for node in graph:
        result = node.function(**{n: given(a) for n, a in node.arguments.items()})
        results = result if isinstance(result, tuple) else (result,)
        known.update((id(v), r) for v, r in zip(node.outputs, results, strict=True))
    return [known.get(id(v), v.tensor) for v in graph.outputs]


class Branches(nn.Module):
    def __init__(self):
        self.a = nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=ops.relu)
        self.b = nn.Sequential(nn.Conv2d(3, 4, size=1), nn.Dropout(0.5))
        self.head = nn.Dense(8, 2)

    def forward(self, x):
        y = ops.concatenate([self.a(x), self.b(x)], axis=1)
        return {"scores": self.head(ops.global_avg_pool2d(y)), "maps": [y, 2 - y]}


def test_the_graph_of_a_module_names_its_ops_values_and_modules():
    net = Branches().eval()
    with pytest.warns(UserWarning, match="never updated"):
        graph = trace(net, X)
    assert graph.name == "Branches"
    assert [v.name for v in graph.inputs] == ["x"]
    assert graph.nodes[0].op == "conv2d"
    assert {node.path for node in graph} == {"a", "a.normalizer", "b.0", "", "head"}
    assert [v.name for v in graph.parameters] == [n for n, _ in net.named_parameters()]
    conv = graph.nodes[0]
    assert [v.name for v in conv.inputs] == ["x", "a.weight"]
    assert conv.inputs[0] is graph.inputs[0] is conv.arguments["x"]
    assert conv.options == {
        "bias": None, "stride": (1, 1), "padding": "same", "dilation": (1, 1), "groups": 1,
    }  # fmt: skip
    assert conv.module is net.a
    assert [call.name for call in conv.calls] == ["", "a"]
    assert conv.output.shape == (2, 4, 8, 8)
    assert conv.output.node is conv
    joined = next(node for node in graph if node.op == "concatenate")
    assert [v.node.path for v in joined.inputs] == ["a", "b.0"]
    assert joined.arguments["tensors"] == joined.inputs
    assert joined.options == {"axis": 1}
    assert len(graph.outputs) == 3
    assert graph.outputs[1] is joined.output
    assert graph.result["maps"][0] is joined.output.tensor
    assert "conv2d" in str(graph)
    assert "a.weight" in str(graph)


@pytest.mark.filterwarnings("ignore:.*never updated")
def test_the_nodes_alone_compute_the_same():
    net = Branches().eval()
    graph = trace(net, X)
    for again, output in zip(run_again(graph, X), graph.outputs, strict=True):
        np.testing.assert_array_equal(again.data, output.data)
    other = X[::-1].copy()
    expected = trace(net, other).outputs
    for again, output in zip(run_again(graph, other), expected, strict=True):
        np.testing.assert_array_equal(again.data, output.data)


def test_numbers_are_options_and_arrays_where_data_is_meant_are_constants():
    row = np.arange(3.0)
    graph = trace(lambda x: ops.pad((x + row) * 2, np.array([(1, 0), (0, 0)])), np.ones((2, 3)))
    add, multiply, pad = graph
    assert [v.kind for v in add.inputs] == ["input", "constant"]
    np.testing.assert_array_equal(add.inputs[1].data, row)
    assert multiply.options == {"b": 2}
    assert trace(lambda x: x.sum(), row).nodes[0].options == {"axis": None, "keepdims": False}
    assert pad.inputs == (multiply.output,)
    assert [v.name for v in graph.values] == ["x", "constant", "add", "multiply", pad.op]


def test_what_was_detached_is_a_constant_and_what_is_trained_a_parameter():
    weight = Tensor(np.ones(3), requires_grad=True)

    def f(x):
        y = x * weight
        return y + y.detach(), y.data + 1

    graph = trace(f, np.ones(3))
    assert [v.kind for v in graph.values] == [
        "input", "parameter", "computed", "constant", "computed", "constant",
    ]  # fmt: skip
    assert graph.outputs[1].node is None
    computed_outside = Tensor(np.ones(3)) * weight
    assert trace(lambda: computed_outside * 2).nodes[0].inputs[0].kind == "constant"


def test_several_results_are_several_values():
    @composed
    def halves(x: Tensor) -> tuple[Tensor, np.ndarray]:
        return x * 0.5, x.data + 1

    def f(x):
        half, other = halves(x)
        return ops.where(other > 0, half, other)

    graph = trace(f, np.ones(3))
    node, chosen = graph
    assert [v.shape for v in node.outputs] == [(3,), (3,)]
    assert all(v.node is node for v in node.outputs)
    assert set(node.outputs) <= set(chosen.inputs)
    assert [v.name for v in node.outputs] == ["halves", "halves_1"]


def test_an_array_of_a_tensor_that_is_known_is_that_value():
    @composed
    def largest(x: Tensor) -> Tensor:
        return Tensor(x.data.argmax(axis=1))

    def f(x):
        index = largest(x)
        return x[np.arange(2), index.data], x[index]

    graph = trace(f, np.eye(2))
    for part in graph.nodes[1:]:
        assert graph.nodes[0].output in part.inputs
        assert "index" not in part.options


def test_an_op_that_returns_its_input_leaves_no_node():
    same = composed(lambda x: x)
    graph = trace(lambda x: same(ops.relu(same(x))), np.ones(3))
    assert [node.op for node in graph] == ["relu"]
    assert graph.outputs == (graph.nodes[0].output,)
    assert trace(lambda x: x, np.ones(2)).outputs[0].kind == "input"


def test_no_history_is_needed_and_none_is_kept():
    net = nn.Dense(3, 2)
    with no_grad():
        graph = trace(net, np.ones((1, 3), np.float32))
    assert [node.op for node in graph] == ["dense"]
    assert not graph.outputs[0].tensor.requires_grad


def test_inputs_have_the_names_of_the_arguments():
    def f(a, pair, *rest):
        return a + pair[0] + pair["one" if isinstance(pair, dict) else 1] + sum(rest)

    x = [Tensor(np.full(1, i)) for i in range(5)]
    graph = trace(f, x[0], (x[1], x[2]), x[3], x[4])
    assert [v.name for v in graph.inputs] == ["a", "pair", "pair_1", "input", "input_1"]
    assert [v.tensor for v in graph.inputs] == x or all(
        v.tensor is t for v, t in zip(graph.inputs, x, strict=True)
    )
    assert len(trace(lambda a, b: a + b, x[0], x[0]).inputs) == 1


def test_names_are_unique_though_modules_have_the_same_ones():
    first, second = nn.Dense(2, 2), nn.Dense(2, 2)
    graph = trace(lambda x: second(first(x)), np.ones((1, 2), np.float32))
    names = [v.name for v in graph.values]
    assert names == ["x", "weight", "bias", "dense", "weight_1", "bias_1", "dense_1"]
    assert graph.nodes[0].calls[0].module is first


def test_a_module_called_twice_has_two_calls():
    net = nn.Sequential(nn.Dense(2, 2))
    graph = trace(lambda x: net(net(x)), np.ones((1, 2), np.float32))
    a, b = graph
    assert a.inputs[1] is b.inputs[1]
    assert a.calls[-1] is not b.calls[-1]
    assert a.module is b.module is net[0]
    assert a.inputs[1].users == [a, b]


def test_a_value_used_twice_by_one_op_has_one_user():
    graph = trace(lambda x: x * x, np.ones(2))
    (node,) = graph
    assert node.inputs == (graph.inputs[0],) * 2
    assert graph.inputs[0].users == [node]
    assert repr(graph.inputs[0]) == "<input 'x' (2,) float64>"
    assert repr(node) == "<node 0: multiply -> [(2,)]>"
    assert repr(graph) == "<graph of <lambda>: 1 nodes>"


def test_the_graph_stays_right_when_buffers_are_replaced_while_it_is_traced():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2), nn.BatchNorm2d(2))
    graph = trace(net, X)  # in training: the moving averages get new arrays
    np.testing.assert_array_equal(graph.outputs[0].data, graph.result.data)
    assert [v.name for v in graph.parameters] == [n for n, _ in net.named_parameters()]
    assert net[0].updates.item() == 1
