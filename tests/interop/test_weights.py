"""Weights in files, and PyTorch's names for them."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.errors import CheckpointError, ConfigError
from minicnn.interop import load_weights, pytorch_names, read_weights, write_weights
from minicnn.nn import BatchNorm2d, Conv2d, Dense, Sequential
from tests.interop.torch_files import archive, program, tensor

TYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?"]


def net() -> Sequential:
    return Sequential(Conv2d(1, 2), BatchNorm2d(2), Dense(2, 3))


@pytest.mark.parametrize("kind", TYPES)
def test_safetensors_come_back_as_they_were(tmp_path, kind):
    path = tmp_path / "w.safetensors"
    rng = np.random.default_rng(0)
    arrays = {
        "turned": (rng.random((2, 3)) * 9).astype(kind).T,
        "strided": (rng.random((4, 5)) * 9).astype(kind)[::2, ::-2],
        "none": np.zeros((0, 3), kind),
        "number": np.ones((), kind),
    }
    write_weights(path, arrays, {"from": "a test"})
    found = read_weights(path)
    assert sorted(found) == sorted(arrays)
    for name, right in arrays.items():
        np.testing.assert_array_equal(found[name], right)
        assert found[name].dtype == right.dtype
        assert found[name].flags.writeable
    assert b"a test" in path.read_bytes()


def raw_safetensors(path, kind: str, shape: list[int], data: bytes):
    head = json.dumps({"a": {"dtype": kind, "shape": shape, "data_offsets": [0, len(data)]}})
    path.write_bytes(struct.pack("<Q", len(head)) + head.encode() + data)
    return path


def test_bfloat16_becomes_float32_and_other_types_are_refused(tmp_path):
    halves = np.array([0x3FC0, 0xC000], "<u2").tobytes()
    found = read_weights(raw_safetensors(tmp_path / "w", "BF16", [1, 2], halves))["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[1.5, -2]])
    with pytest.raises(CheckpointError, match="a is of type F8_E4M3, which NumPy has not"):
        read_weights(raw_safetensors(tmp_path / "w", "F8_E4M3", [4], halves))


def test_files_that_are_nothing_of_the_kind(tmp_path):
    path = raw_safetensors(tmp_path / "w", "F32", [3], bytes(8))
    with pytest.raises(
        CheckpointError, match=r"w: a has 8 bytes, and its shape \(3,\) of F32 needs 12"
    ):
        read_weights(path)
    with pytest.raises(CheckpointError, match="No such file"):
        read_weights(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello, I am a text")
    with pytest.raises(CheckpointError, match="neither a zip archive nor a pickle"):
        read_weights(tmp_path / "text")
    write_weights(tmp_path / "w", {"a": np.ones(1)})
    with pytest.raises(ConfigError, match="safetensors files have no keys to choose from, got 'm'"):
        read_weights(tmp_path / "w", "m")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "w.safetensors"
    write_weights(path, {"a": np.ones(2)})
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_weights(path, {"a": np.ones(2, complex)})
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_weights(tmp_path / "no" / "folder", {"a": np.ones(2)})
    np.testing.assert_array_equal(read_weights(path)["a"], np.ones(2))
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_pytorch_calls_the_members_of_norms_otherwise():
    assert list(pytorch_names(net()).items()) == [
        ("0.weight", "0.weight"),
        ("0.bias", "0.bias"),
        ("1.gamma", "1.weight"),
        ("1.beta", "1.bias"),
        ("1.moving_mean", "1.running_mean"),
        ("1.moving_variance", "1.running_var"),
        ("1.updates", "1.num_batches_tracked"),
        ("2.weight", "2.weight"),
        ("2.bias", "2.bias"),
    ]
    assert "gamma" in pytorch_names(BatchNorm2d(3))


def trained() -> Sequential:
    """A net none of whose members is as at the start."""
    made = net()
    rng = np.random.default_rng(1)
    state = {k: (rng.random(v.shape) * 5 + 1).astype(v.dtype) for k, v in made.state_dict().items()}
    made.load_state_dict(state)
    return made


@pytest.mark.parametrize("theirs", [False, True])
def test_a_net_loads_its_own_names_and_pytorchs(tmp_path, theirs):
    source = trained()
    state = source.state_dict()
    names = pytorch_names(source)
    path = tmp_path / "w.safetensors"
    write_weights(path, {names[k] if theirs else k: v for k, v in state.items()})
    target = net()
    assert load_weights(target, path) == ((), ())
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, state[name])


def test_names_are_changed_by_prefix_or_by_a_function(tmp_path):
    state = {f"module.net.{k}": v for k, v in trained().state_dict().items()}
    first = net()
    load_weights(first, state, rename={"module.": "x.", "module.net.": ""})
    state["extra"] = np.ones(1)
    second = net()
    load_weights(second, state, rename=lambda n: n[11:] if n.startswith("module") else None)
    for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ConfigError, match=r"'1.gamma' and '1.weight' would both become '1.gamma'"):
        load_weights(net(), {"1.gamma": np.ones(2), "1.weight": np.ones(2)})


def test_what_does_not_fit_is_listed_and_nothing_is_changed():
    target = trained()
    before = target.state_dict()
    state = dict(before)
    state["2.weight"] = np.ones((7, 2), np.float32)
    state["3.weight"] = state.pop("0.bias")
    with pytest.raises(CheckpointError, match=r"2\.weight: the net has .*\(3, 2\)") as caught:
        load_weights(target, state)
    assert "0.bias" in str(caught.value)
    assert "3.weight" in str(caught.value)
    for name, value in target.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    found = load_weights(target, {"0.bias": np.zeros(2), "4": np.ones(1)}, strict=False)
    assert found.unexpected == ("4",)
    assert "0.bias" not in found.missing
    np.testing.assert_array_equal(target.state_dict()["0.bias"], np.zeros(2))


def test_averages_without_a_count_are_taken_for_trained(tmp_path):
    """As PyTorch before 0.4.1 wrote them; evaluating would warn of untouched averages."""
    names = {"weight": 2.0, "bias": 1.0, "running_mean": 3.0, "running_var": 4.0}
    raw = {str(i): np.full(2, v, "<f4").tobytes() for i, v in enumerate(names.values())}
    tensors = {n: tensor((2,), (1,), count=2, key=str(i)) for i, n in enumerate(names)}
    path = tmp_path / "bn.pth"
    path.write_bytes(archive(program(tensors), raw))
    norm = BatchNorm2d(2).eval()
    load_weights(norm, path)
    y = norm(Tensor(np.full((1, 2, 1, 1), 7, np.float32)))
    np.testing.assert_allclose(y.data, 2 * (7 - 3) / np.sqrt(4 + 1e-5) + 1, rtol=1e-3)
