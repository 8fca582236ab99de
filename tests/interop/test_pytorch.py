"""PyTorch's files: what is read, and that nothing in them is ever run."""

from __future__ import annotations

import pickle
import struct
import zipfile

import numpy as np
import pytest

from minicnn.errors import CheckpointError, ConfigError
from minicnn.interop import read_pytorch, read_weights
from tests.interop.torch_files import archive, called, name, old, plain, program, tensor, today

RIGHT = {
    "w": np.array([[0, 3], [1, 4], [2, 5]], np.float32),
    "b": np.array([1.5, -2], np.float32),
    "n": np.array(3),
    "part": np.array([2, 3], np.float32),
}
NUMBERS = {"0": np.arange(6, dtype="<f4").tobytes()}


def written(tmp_path, content: bytes):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    return path


def same(a: dict, b: dict) -> bool:
    return list(a) == list(b) and all(
        np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a
    )


@pytest.mark.parametrize("make", [today, old])
def test_reads_what_pytorch_wrote(tmp_path, make):
    found = read_pytorch(written(tmp_path, make()))
    assert same(found, RIGHT)
    assert all(a.flags.c_contiguous and a.flags.writeable for a in found.values())
    assert same(read_weights(written(tmp_path, make())), RIGHT)


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        ("DoubleStorage", np.array([1.5, -2])),
        ("FloatStorage", np.array([1.5, -2], "f4")),
        ("HalfStorage", np.array([1.5, -2], "f2")),
        ("LongStorage", np.array([1, -(2**60)])),
        ("IntStorage", np.array([1, -2], "i4")),
        ("ShortStorage", np.array([1, -2], "i2")),
        ("CharStorage", np.array([1, -2], "i1")),
        ("ByteStorage", np.array([1, 254], "u1")),
        ("BoolStorage", np.array([True, False])),
    ],
)
@pytest.mark.parametrize("order", ["little", "big"])
def test_reads_every_type_in_both_byte_orders(tmp_path, kind, numbers, order):
    raw = numbers.astype(numbers.dtype.newbyteorder("<" if order == "little" else ">")).tobytes()
    content = program({"a": tensor((2,), (1,), count=2, kind=kind)})
    path = written(tmp_path, archive(content, {"0": raw}, byteorder=order.encode()))
    assert same(read_pytorch(path), {"a": numbers})


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    raw = np.array([0x3F80, 0xC000, 0x7F80, 0x7FC0], "<u2").tobytes()
    content = program({"a": tensor((4,), (1,), count=4, kind="BFloat16Storage")})
    found = read_pytorch(written(tmp_path, archive(content, {"0": raw})))["a"]
    np.testing.assert_array_equal(found, np.array([1, -2, np.inf, np.nan], np.float32))


def test_parameters_and_empty_and_shared_tensors(tmp_path):
    parameter = called(name("torch._utils", "_rebuild_parameter"), tensor((2,), (1,)), True, {})
    tree = {"p": parameter, "none": tensor((0, 3), (3, 1)), "row": tensor((3,), (2,), 1)}
    found = read_pytorch(written(tmp_path, archive(program(tree), NUMBERS)))
    right = {"p": [0, 1], "none": np.zeros((0, 3)), "row": [1, 3, 5]}
    assert same(found, {k: np.array(v, np.float32) for k, v in right.items()})


def test_finds_the_state_dict_in_a_checkpoint(tmp_path):
    inner = {"w": tensor((2,), (1,))}
    size = called(name("torch", "Size"), (1, 2))
    tree = {"epoch": 3, "size": size, "type": name("torch", "float32"), "model": inner}
    path = written(tmp_path, archive(program(tree), NUMBERS))
    assert list(read_pytorch(path)) == list(read_pytorch(path, "model")) == ["w"]
    deeper = written(tmp_path, archive(program({"a": tree, "b": inner}), NUMBERS))
    assert list(read_pytorch(deeper, "a.model")) == ["w"]
    with pytest.raises(ConfigError, match=r"no key 'ema'; it has 'a': _Dict, 'b'|'a': dict, 'b'"):
        read_pytorch(deeper, "ema")
    with pytest.raises(ConfigError, match="int is no state dict; name its key"):
        read_pytorch(deeper, "a.epoch")
    two = written(tmp_path, archive(program({"model": inner, "ema": inner}), NUMBERS))
    with pytest.raises(ConfigError, match=r"2 of its keys hold tensors; pass one as key="):
        read_pytorch(two)


marks = []  # what a pickle that is run would leave here


def leave_a_mark(*_):
    marks.append("run")


HERE = (__name__, "leave_a_mark")
HOSTILE = {
    "calls a function": called(name(*HERE), "x"),
    "calls os.system": called(name("os", "system"), "true"),
    "calls eval": called(name("builtins", "eval"), "1"),
    "by a name on the stack": plain(HERE[0])
    + plain(HERE[1])
    + pickle.STACK_GLOBAL
    + plain(())
    + b"R",
    "hidden in a tensor": tensor(called(name(*HERE), "x"), (1,)),
    "hidden behind a dotted name": called(name("torch._utils", "_rebuild_tensor_v2.__globals__")),
    "a whole module": called(name("torch.nn.modules.linear", "Linear"), 1, 2),
    "as an instance": pickle.MARK + b"i" + f"{HERE[0]}\n{HERE[1]}\n".encode(),
    "as an object": pickle.MARK + name("collections", "OrderedDict") + b"o",
    "by __new__": name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.NEWOBJ,
    "by an extension's number": pickle.EXT1 + b"\1",
    "by another reducer": called(name("copyreg", "_reconstructor"), 1),
    "changes a stand-in": name("torch", "Size") + plain({"__call__": 1}) + pickle.BUILD,
    "changes a type's name": name("torch", "FloatStorage") + plain({"a": 1}) + pickle.BUILD,
    "calls a type's name": called(name("torch", "FloatStorage"), 3),
    "a dict with arguments": called(name("collections", "OrderedDict"), 1),
    "a size of a number": called(name("torch", "Size"), 3),
    "a parameter of nothing": called(name("torch._utils", "_rebuild_parameter"), 1, True, {}),
    "refers to something else": plain(("module", "x")) + pickle.BINPERSID,
    "a view of a storage": plain(("storage", name("torch", "FloatStorage"), "0", "cpu", 6, 1))
    + b"Q",
    "a slot far away": pickle.NONE + pickle.LONG_BINPUT + struct.pack("<I", 2**31),
    "more text than there is": pickle.BINUNICODE + struct.pack("<I", 2**31) + b"x",
    "a tensor without storage": called(
        name("torch._utils", "_rebuild_tensor_v2"), 1, 0, (1,), (1,)
    ),
    "negative strides": tensor((2,), (-1,), 3),
    "a negative offset": tensor((2,), (1,), -3),
    "a fractional shape": tensor((1.5,), (1,)),
    "a negative count": tensor((2,), (1,), count=-1),
    "too few strides": tensor((2, 3), (1,)),
}


@pytest.mark.parametrize("how", HOSTILE)
def test_a_hostile_pickle_is_refused_and_not_run(tmp_path, how):
    path = written(
        tmp_path, archive(program({"w": tensor((2,), (1,)), "x": HOSTILE[how]}), NUMBERS)
    )
    with pytest.raises(CheckpointError, match=r"weights\.pth: its pickle"):
        read_pytorch(path)
    assert marks == []


def test_the_hostile_pickles_are_what_they_claim_to_be():
    """Python's own unpickler runs one of them: so what is tested is the refusal."""
    pickle.loads(program({"x": HOSTILE["calls a function"]}))
    assert marks.pop() == "run"


def test_a_refusal_names_what_was_asked_for_and_what_to_do(tmp_path):
    path = written(tmp_path, archive(program(HOSTILE["a whole module"])))
    with pytest.raises(
        CheckpointError, match=r"names 'torch.nn.modules.linear.Linear'.*state_dict"
    ):
        read_pytorch(path)


@pytest.mark.parametrize(
    "out_of_reach",
    [
        tensor((7,), (1,)),
        tensor((2,), (6,)),
        tensor((1,), (1,), 6),
        tensor((2, 3), (2, 2)),
        tensor((2**40,), (0,)),
        tensor((2**62, 4), (2**62, 1)),
    ],
)
def test_a_tensor_that_reaches_outside_of_its_numbers_is_refused(tmp_path, out_of_reach):
    path = written(tmp_path, archive(program({"w": out_of_reach}), NUMBERS))
    with pytest.raises(CheckpointError, match=r"w: shape .* reaches outside of its 6 numbers"):
        read_pytorch(path)


def test_damaged_archives_are_refused(tmp_path):
    good = program({"w": tensor((2,), (1,))})
    for content, message in {
        archive(good): "archive/data/0 is missing",
        archive(good, {"0": b"1234"}): "has 4 bytes, not those of 6 elements of f4",
        archive(good, NUMBERS, byteorder=b"middle"): "byte order 'middle' is unknown",
        archive(good, NUMBERS, **{"constants.pkl": b""}): "TorchScript",
        archive(good, NUMBERS)[:-30]: "damaged zip archive",
        b"hello": "neither a zip archive nor a pickle",
        b"": "is empty",
        pickle.dumps({"a": 1}, 2): "a pickle, but not from torch.save",
        pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps(7, 2): "version 7 of the format",
    }.items():
        with pytest.raises(CheckpointError, match=message):
            read_pytorch(written(tmp_path, content))
    with pytest.raises(CheckpointError, match=r"nothing\.pth: cannot be read \(No such file"):
        read_pytorch(tmp_path / "nothing.pth")
    with pytest.raises(CheckpointError, match="is a folder, not a file"):
        read_pytorch(tmp_path)


def test_an_archive_that_would_unfold_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data.pkl", program({"w": tensor((2,), (1,))}))
        file.writestr("archive/data/0", bytes(1 << 20))
    with pytest.raises(CheckpointError, match=r"is compressed or claims 10\d* bytes"):
        read_pytorch(path)


@pytest.mark.parametrize("make", [today, old])
def test_a_file_cut_anywhere_is_refused(tmp_path, make):
    content = make()
    for length in range(0, len(content), 7):
        with pytest.raises(CheckpointError):
            read_pytorch(written(tmp_path, content[:length]))


@pytest.mark.parametrize("make", [today, old])
def test_any_changed_byte_gives_tensors_or_a_clear_error(tmp_path, make):
    content = make()
    refused = 0
    rng = np.random.default_rng(0)
    for at in range(len(content)):
        changed = bytearray(content)
        changed[at] ^= int(rng.integers(1, 256))
        try:
            found = read_pytorch(written(tmp_path, bytes(changed)))
        except (CheckpointError, ConfigError):
            refused += 1
        else:
            assert all(isinstance(a, np.ndarray) for a in found.values())
    assert refused > len(content) // 8
