"""Weights in the safetensors format."""

from __future__ import annotations

import json
import struct

from minicnn.interop import read_weights
from tests.fuzz.answers import naming

NAME = "safetensors"
DICTIONARY = [
    b'"dtype":"F32"', b'"BF16"', b'"F64"', b'"BOOL"', b'"F8_E4M3"', b'"shape":[', b"[1]", b"[]",
    b'"data_offsets":[0,4]', b'"data_offsets":[', b'"__metadata__":{', b'"a":{', b"},", b"]}",
    b"[1152921504606846976]", b"[4294967296,4294967296]", b"[0,0]", b"-1", b"\\u0000", b"1.5",
]  # fmt: skip


def file(header: object, data: bytes = b"") -> bytes:
    """Return a file with such a header, as JSON or as it is."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def seeds() -> list[bytes]:
    two = {"a": entry("F32", [2, 1], 0, 8), "b": entry("I64", [], 8, 16)}
    sound = file({"__metadata__": {"by": "me"}, **two}, bytes(16))
    kinds = ["F64", "F16", "BF16", "I32", "U16", "U8", "BOOL", "F8_E4M3", "F4"]
    return [
        sound,
        *(file({"x": entry(kind, [2], 0, n)}, bytes(n)) for kind in kinds for n in (2, 4)),
        b"",
        sound[:12],
        file({}),
        file({"a": entry("F32", [2**60], 0, 8)}, bytes(8)),
        file({"a": entry("F32", [2**32, 2**32], 0, 0)}),
        file({"a": entry("F32", [2**62, 4, 0], 0, 0)}),
        file({"a": entry("F32", [1] * 200, 0, 4)}, bytes(4)),
        file({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 4, 12)}, bytes(12)),
        file({"a": entry("F32", [2], 8, 0)}, bytes(8)),
        file(b'{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,-4]}}'),
        file(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},' * 2 + b"}", b"\1"),
        file(b'{"\xff\xfe":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', b"\1"),
        file(b"{" + b'"a":{' * 2000),
        file(b"{" + b'"a":' + b"[" * 5000),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 100 * 2**20) + b'{"a":',
        file({"n" * 5000: entry("F32", [3], 0, 8)}, bytes(8)),
    ]


def run(data: bytes, folder) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(data)
    with naming(path):
        found = read_weights(path)
    assert all(isinstance(name, str) for name in found)
    assert all(array.flags.c_contiguous and array.flags.writeable for array in found.values())
    # bfloat16 becomes twice as large
    assert sum(array.nbytes for array in found.values()) <= 2 * len(data)
