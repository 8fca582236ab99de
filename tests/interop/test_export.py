"""Exported nets compute what the nets compute, op by op, read by ONNX's own runtime and by us."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pytest

from minicnn import models, nn, ops
from minicnn.autograd import Tensor, differentiable
from minicnn.errors import ConfigError
from tests.ops.mutants import cases_of
from tests.ops.registry import all_specs
from tests.ops.spec import Case, OpSpec

onnx = pytest.importorskip("onnx", reason="needs the extra 'onnx'")
from minicnn.interop.onnx import from_onnx, to_onnx  # noqa: E402
from minicnn.interop.onnx._writers import TABLE  # noqa: E402

SPECS = {spec.name: spec for spec in all_specs()}
PROVEN = sorted(set(TABLE) & set(SPECS))
# What ONNX cannot say, and to_onnx refuses
REFUSED = "has no counterpart|counts? otherwise|for whole p only|last axes only|is not exported"


class Calls(nn.Module):
    """A net of one op."""

    def __init__(self, spec: OpSpec, case: Case):
        self.op = spec.op
        self.options = {
            k: v.astype(np.float32) if getattr(v, "dtype", None) == np.float64 else v
            for k, v in case.options.items()
        }

    def forward(self, *tensors):
        return self.op(*tensors, **self.options)


def runtime(model):
    onnxruntime = pytest.importorskip("onnxruntime", reason="nothing to compare with")
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


def run(model, *arrays):
    session = runtime(model)
    return session.run(None, dict(zip((i.name for i in session.get_inputs()), arrays, strict=True)))


def run_if_able(model, *arrays):
    """Return the output; None where the runtime lacks what ONNX has (our reader has compared)."""
    try:
        return run(model, *arrays)[0]
    except Exception as error:
        if not type(error).__module__.startswith("onnxruntime"):
            raise
        return None


def exported_unless_refused(net, *inputs):
    """Return the model; None where ONNX cannot say what the net computes."""
    try:
        return to_onnx(net, *inputs, dynamic_batch=False)
    except ConfigError as error:
        if not re.search(REFUSED, str(error)):
            raise
        return None


@pytest.mark.parametrize("name", PROVEN)
def test_every_op_means_the_same_to_onnxruntime(name):
    spec, tried = SPECS[name], 0
    for case in cases_of(spec)[::3]:
        arrays = [a.astype(np.float32) for a in case.arrays]
        if not all(a.size for a in arrays) or tried == 5:
            continue
        net = Calls(spec, case)
        if (model := exported_unless_refused(net, *map(Tensor, arrays))) is None:
            continue
        right = net(*map(Tensor, arrays)).numpy()
        if (found := run_if_able(model, *arrays)) is None:
            continue
        assert found.shape == right.shape, case
        scale = max(1.0, float(np.abs(right).max(initial=0)))
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-5 * scale, err_msg=str(case))
        tried += 1
    assert tried >= 3, "hardly any case could be exported"


def trained(net: nn.Module, *shape: int) -> nn.Module:
    """Build a net and move all its members, statistics too, away from where they start."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net.eval()(Tensor(np.zeros((2, *shape), np.float32)))
    rng = np.random.default_rng(0)
    state = {
        k: (rng.random(v.shape) * 0.5 + 0.1).astype(v.dtype) for k, v in net.state_dict().items()
    }
    state = {k: np.ones_like(v) if v.dtype.kind == "i" else v for k, v in state.items()}
    net.load_state_dict(state)
    return net


class Residual(nn.Module):
    """Branches, a sum, two outputs."""

    def __init__(self):
        self.stem = nn.Conv2d(3, 4, normalizer=nn.BatchNorm2d, activation=ops.relu, padding="same")
        self.a = nn.Conv2d(4, 4, padding="same")
        self.b = nn.Conv2d(4, 4, size=1, stride=2)
        self.head = nn.Dense(4, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.a(x) + x * 0.5
        y = ops.max_pool2d(y, 2) + self.b(x)
        parts = ops.concatenate([y[:, :2], y[:, 2:] - 1.0], axis=1)
        features = ops.global_avg_pool2d(parts)
        return {"logits": self.head(features), "map": parts.reshape(len(x), 4, -1)}


@pytest.mark.parametrize(
    ("net", "shape"),
    [(models.SeedNet(), (3, 32, 32)), (Residual(), (3, 8, 8))],
    ids=["seed", "dag"],
)
def test_nets_for_batches_of_any_length(tmp_path, net, shape):
    trained(net, *shape).train()
    path = tmp_path / "net.onnx"
    model = to_onnx(net, shape, path=path)
    assert net.training, "the net's mode is put back"
    net.eval()
    back = from_onnx(path)
    for batch in (1, 3):
        x = np.random.default_rng(batch).standard_normal((batch, *shape)).astype(np.float32)
        right = net(Tensor(x))
        right = list(right.values()) if isinstance(right, dict) else [right]
        ours = back(Tensor(x))
        ours = ours if isinstance(ours, tuple) else (ours,)
        for a, b, c in zip(right, run(model, x), ours, strict=True):
            np.testing.assert_allclose(b, a.numpy(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(c.numpy(), a.numpy(), rtol=1e-4, atol=1e-5)


def test_modes_of_resize_have_the_names_that_onnx_knows():
    x = np.random.default_rng(0).normal(size=(1, 2, 4, 5)).astype(np.float32)
    for name, mode in (("bilinear", b"linear"), ("trilinear", b"linear"), ("bicubic", b"cubic")):
        net = nn.Upsample(2, name)
        model = to_onnx(net, x)
        (node,) = (n for n in model.graph.node if n.op_type == "Resize")
        assert [a.s for a in node.attribute if a.name == "mode"] == [mode]
        np.testing.assert_allclose(run(model, x)[0], net(Tensor(x)).data, rtol=1e-5, atol=1e-6)


def test_weights_keep_their_names():
    net = trained(Residual(), 3, 8, 8)
    model = to_onnx(net, (3, 8, 8), output_names=["logits", "map"], input_names=["images"])
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in model.graph.initializer}
    for name, value in net.state_dict().items():
        if not name.endswith("updates"):
            np.testing.assert_array_equal(weights[name], value)
    assert [p.name for p in model.graph.input] == ["images"]
    assert [p.name for p in model.graph.output] == ["logits", "map"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


class Fixed(nn.Module):
    """Builds the length of its batch into a shape."""

    def forward(self, x):
        return x.reshape(3, len(x), 2).sum(axis=0)


def test_a_net_that_depends_on_the_batch_is_refused_unless_it_is_fixed():
    x = np.arange(12, dtype=np.float32).reshape(2, 6)
    with pytest.raises(ConfigError, match=r"another batch.*dynamic_batch=False"):
        to_onnx(Fixed(), x)
    model = to_onnx(Fixed(), x, dynamic_batch=False)
    np.testing.assert_array_equal(run(model, x)[0], Fixed()(Tensor(x)).numpy())


@differentiable
def strange(x: Tensor):
    return x.data * 2, (lambda g: g * 2,)


class Strange(nn.Module):
    def forward(self, x):
        return strange(x)


def test_ops_without_a_counterpart_are_all_named_with_their_places():
    with pytest.raises(ConfigError, match="no counterpart in ONNX: strange in '0'; strange in '2'"):
        to_onnx(nn.Sequential(Strange(), nn.Dropout(0.5), Strange()), (3,))


def test_names_must_fit():
    with pytest.raises(
        ConfigError, match=r"input_names must be 1 different names, got \['a', 'b'\]"
    ):
        to_onnx(Fixed(), (6,), input_names=["a", "b"])
    with pytest.raises(ConfigError, match=r"output_names must be 1 different names, got \[\]"):
        to_onnx(Fixed(), (6,), output_names=[])


def test_a_wrong_export_would_be_noticed(monkeypatch):
    """The exporter runs what it wrote: a writer that is wrong makes no file."""
    monkeypatch.setitem(TABLE, "relu", lambda w, x: w("Abs", x))
    with pytest.raises(ConfigError, match="it computes something else"):
        to_onnx(nn.Sequential(nn.ReLU()), (3,))


def test_a_net_that_returns_its_input_or_one_value_twice():
    class Both(nn.Module):
        def forward(self, x):
            y = ops.relu(x)
            return x, y, y

    x = np.array([[-1.0, 2.0]], np.float32)
    first, second, third = run(to_onnx(Both(), x), x)
    np.testing.assert_array_equal(first, x)
    np.testing.assert_array_equal(second, [[0, 2]])
    np.testing.assert_array_equal(third, second)
