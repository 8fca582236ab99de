"""What `python -m minicnn.checkpoint` looks at: one file of a checkpoint is anything at all.

The first byte says which, whether its checksum is made to fit, and what is done with it; the rest
is its content.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import io
import json
from pathlib import Path

from minicnn import checkpoint
from minicnn.errors import CheckpointError
from minicnn.estimator import _inspection as inspection
from minicnn.estimator import check_checkpoint
from minicnn.estimator._checkpoint_files import to_files
from tests.checkpoint_command.folders import WEIGHTS, state

NAME = "inspection"
DICTIONARY = [
    b'"dtype":"F32"', b'"shape":[', b'"data_offsets":[', b'"__metadata__":{', b"BOOL", b"C64",
    b'"__array__":"', b'"state":{', b'"best":{"step":', b"SHA256SUMS", b"  weights.safetensors\n",
    b"NaN", b"Infinity", b"1e999", b"\\ud800", b"\x1b[31m", b"18446744073709551615", b"[[[[[[[[",
]  # fmt: skip
_FILES = ("weights.safetensors", "arrays.safetensors", "state.json", "SHA256SUMS")
_NAMES = (b"a" * 300, b"..", b".", b"/dev/zero", b"\0", b"a\x1b[31m", b"state.json ", b"SHA256SUMS")
_SHOWN, _JSON = 0x40, 0x20  # set in the first byte: shown as well, and as JSON
_FITS = 0x80  # set in the first byte: only the content is wrong, not the checksum


@functools.cache
def _sound() -> dict[str, bytes]:
    """The files of a checkpoint, small."""
    best = {"step": 200, "metric": "loss", "value": 0.5}
    files = to_files(200, WEIGHTS, {"step": WEIGHTS["norm.updates"]}, state(200, best=best))
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items())
    return files | {"SHA256SUMS": "".join(sums).encode()}


def _tensors(*entries: dict[str, object], tail: bytes = b"") -> bytes:
    content = json.dumps({f"w{i}": entry for i, entry in enumerate(entries)}).encode()
    return len(content).to_bytes(8, "little") + content + tail


def seeds() -> list[bytes]:
    files = _sound()
    made = [bytes([_FITS | i]) + files[name] for i, name in enumerate(_FILES)]
    head = json.loads(files["state.json"])
    states: list[object] = [
        None, [], 1e999, {"x": {"__array__": [1]}}, {"x": {"__array__": 1}}, {"best": {"step": []}},
        {"best": {"step": 9}}, {"hooks": 3, "params": [[]], "input": "x", "seed": {}},
        {"\x1b[31m": "\ud800"}, functools.reduce(lambda inner, _: [inner], range(199), []),
        functools.reduce(lambda inner, _: {"a": inner}, range(300), 1),
    ]  # fmt: skip
    made += [bytes([_FITS | 2]) + json.dumps(head | {"state": state}).encode() for state in states]
    version1 = {"version": 1, "sha256": {"../x": "0", "weights.safetensors": 5}}
    made += [b"\x02" + json.dumps(head | version1).encode(), b"\x82" + b"[" * 5000, b"\x82{}"]
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    tensors = [
        _tensors(), _tensors(tail=b"0"), _tensors(entry, tail=bytes(8)), _tensors(entry),
        _tensors(entry, entry, tail=bytes(8)), _tensors(entry | {"shape": [2**62, 8]}),
        _tensors(entry | {"shape": [2**62, 0, 8], "data_offsets": [0, 0]}),
        _tensors(entry | {"shape": [-2]}, tail=bytes(8)), _tensors(entry | {"dtype": "F4"}),
        _tensors(entry | {"shape": [1] * 70, "dtype": "I64"}, tail=bytes(8)),
        _tensors(entry, tail=b"\xff" * 8),
        _tensors(entry | {"dtype": "C64", "shape": [1]}, tail=bytes(8)),
        (2**63).to_bytes(8, "little") + b"{}", b"", b"\0" * 8, b"\x02" + bytes(7) + b"{}",
    ]  # fmt: skip
    signalling = b"\1\0\xa0\x7f" * 2  # NaN that a processor complains of when it is widened
    tensors.append(_tensors(entry, tail=signalling))
    made += [bytes([_FITS]) + content for content in tensors]
    made += [b"\3" + files["SHA256SUMS"].replace(b"state.json", name) for name in _NAMES]
    ways = (0, _SHOWN, _SHOWN | _JSON)
    return [b"", *(bytes([each[0] | way]) + each[1:] for way in ways for each in made)]


def run(data: bytes, folder: Path) -> None:
    kind, content = (data[0] if data else 0), data[1:]
    name = _FILES[kind & 3]
    files = {name: content}
    if kind & _FITS and name != "SHA256SUMS":
        old, new = (hashlib.sha256(each).hexdigest().encode() for each in (_sound()[name], content))
        files["SHA256SUMS"] = _sound()["SHA256SUMS"].replace(old, new)
    path = folder / "step-00000200"
    if not path.exists():
        path.mkdir()
        _write(path, _sound())
    _write(path, files)
    try:
        fault = _examine(path)
        if kind & _SHOWN:
            _show(path, as_json=bool(kind & _JSON))
    finally:
        _write(path, {name: _sound()[name] for name in files})
    if fault is not None:
        raise CheckpointError(f"{path}: {fault}")


def _write(path: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (path / name).write_bytes(content)


def _examine(path: Path) -> str | None:
    """Compare what is said of a checkpoint with what a run could load."""
    found = inspection.examine(path, thorough=True)
    reason = check_checkpoint(path)
    assert (found.fault is None) == (reason is None), f"{found.fault}, but {reason}"
    return found.fault


def _show(path: Path, as_json: bool) -> None:
    """Let the command show it."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        words = argparse.Namespace(dir=path, arrays=True, verify=False, json=as_json)
        assert checkpoint.show(words) == 0
    if as_json:
        json.loads(output.getvalue(), parse_constant=_refuse)
    else:
        assert all(line.isprintable() for line in output.getvalue().split("\n"))


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
