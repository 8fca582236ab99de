"""PyTorch's files: zip archives with a pickle, and the older pickles in a row."""

from __future__ import annotations

import pickle
import struct

from minicnn.interop import read_pytorch
from tests.fuzz.answers import naming
from tests.interop.torch_files import archive, called, name, old, plain, program, tensor, today

NAME = "pytorch"
DICTIONARY = [
    b"PK\3\4", b"PK\1\2", b"PK\5\6", b"PK\6\6", b"PK\6\7", b"archive/data.pkl", b"archive/data/0",
    b"archive/byteorder", b"little", b"constants.pkl", b"\x80\2", b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"cos\nsystem\n",
    b"X\7\0\0\0storage", b"K\0", b"M\0\1", b"J\xff\xff\xff\x7f", b"\x8a\x08", b"(", b"t", b"\x85",
    b"\x86", b"\x87", b"}", b"]", b")", b"q\0", b"h\0", b"r\0\0\0\0", b"Q", b"R", b"b", b"s", b"u",
    b"e", b"a", b".", b"0", b"\x94", b"\x93", b"\x8f", b"\x90",
]  # fmt: skip
ALLOWANCE = 16 * 2**20  # bytes that the tensors of a file may have beyond four times its own


def nested(depth: int, one: bytes = pickle.TUPLE1) -> bytes:
    """Return a program of a value that is so deep."""
    return pickle.PROTO + b"\2" + pickle.EMPTY_TUPLE + one * depth + pickle.STOP


def row(*programs: bytes, numbers: bytes = b"") -> bytes:
    """Return a file from before PyTorch 1.6."""
    heads = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*heads, *programs, numbers])


def doubled(times: int) -> bytes:
    """Return the instructions of a tuple that holds one thing 2**times times."""
    return pickle.EMPTY_TUPLE + (pickle.MEMOIZE + b"h\0" + pickle.TUPLE2) * times


def seeds() -> list[bytes]:
    numbers = {"0": bytes(24)}
    pair = {"w": tensor((2, 3), (3, 1)), "b": tensor((3,), (1,), 2)}
    wide = {f"w{i}": tensor((2**20,), (0,)) for i in range(40)}
    deep = b"".join([pickle.EMPTY_LIST, pickle.EMPTY_LIST * 1500, pickle.APPEND * 1500])
    parameter = called(name("torch._utils", "_rebuild_parameter"), tensor((2,), (1,)), True, {})
    return [
        today(),
        old(),
        archive(program(pair), numbers, byteorder=b"little", version=b"3\n"),
        archive(program({"state_dict": pair, "epoch": 3}), numbers),
        archive(program({"p": parameter}), numbers, byteorder=b"big"),
        archive(program(wide), numbers),
        archive(program({"w": tensor((2**60,), (0,))}), numbers),
        archive(program({"w": tensor((2,), (1,), count=2**60)}), numbers),
        archive(program({"w": tensor((2**40, 0), (1, 1))}), numbers),
        archive(program({"w": tensor((1,) * 100, (1,) * 100)}), numbers),
        archive(program({"w": tensor((0, 2**62, 2**62), (1, 1, 1))}), numbers),
        archive(program({"x": called(name("os", "system"), "true"), **pair}), numbers),
        archive(nested(2_000)),
        archive(program({"x": name("torch", "Float\\lStorage")})),
        archive(program({"x": deep})),
        archive(program({"x": doubled(40), **pair}), numbers),
        archive(program({plain((1,) * 3): 1})),
        archive(b"\x80\2" + pickle.LONG_BINPUT + struct.pack("<I", 2**31)),
        archive(b"\x80\2" + b"(" * 2_000 + b"t" * 2_000 + b"."),
        archive(program({"w": pickle.BINUNICODE + struct.pack("<I", 3) + b"\xed\xa0\x80"})),
        row(program(pair), program(plain(())), numbers=bytes(32)),
        row(program(pair), b"\x80\2](X\1\0\0\0000e.", numbers=struct.pack("<q", 6) + bytes(24)),
        row(nested(2_000)),
        b"",
        b"PK\3\4",
    ]


def run(data: bytes, folder) -> None:
    path = folder / "model.pth"
    path.write_bytes(data)
    with naming(path):
        found = read_pytorch(path, None if len(data) & 1 else "state_dict")
    assert all(isinstance(name, str) for name in found)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in found.values())
    assert sum(array.nbytes for array in found.values()) <= 4 * len(data) + ALLOWANCE
