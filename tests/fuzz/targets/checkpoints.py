"""What a run resumes from: a sound checkpoint, and a newer one of which a file is anything at all.

The first byte says which file, and whether its checksum is made to fit; the rest is its content.
"""

from __future__ import annotations

import functools
import hashlib
import json
from pathlib import Path

import numpy as np

from minicnn.estimator.checkpoint import (
    load_checkpoint,
    newest_sound_checkpoint,
    save_checkpoint,
)
from tests.fuzz.answers import naming

NAME = "checkpoints"
DICTIONARY = [
    b'"dtype":"F32"', b'"shape":[', b'"data_offsets":[', b"weights.safetensors", b"SHA256SUMS",
    b'{"__array__":"/a"}', b'"format":"minicnn checkpoint"', b'"version":1', b'"version":2',
    b'"step":200', b'"state":', b'"sha256":{', b"[[[[[[[[", b"NaN", b"Infinity", b"\\ud800",
]  # fmt: skip
FILES = ("weights.safetensors", "optimizer.safetensors", "arrays.safetensors", "state.json",
         "SHA256SUMS")  # fmt: skip
FITS, OLD = 0x80, 0x40  # set in the first byte: the checksum is right; there is no SHA256SUMS
WEIGHTS = {"w": np.arange(3, dtype=np.float32), "n": np.ones((), np.int64)}


@functools.cache
def sound() -> dict[str, bytes]:
    """Return the files of a checkpoint."""
    import tempfile

    state = {"a": np.zeros(2), "best": {"step": 200}, "seed": [1, 2]}
    with tempfile.TemporaryDirectory() as folder:
        path = save_checkpoint(folder, 200, WEIGHTS, {"w/m": WEIGHTS["w"]}, state)
        return {name: (path / name).read_bytes() for name in FILES}


def prepare() -> None:
    """Make the checkpoint before anybody watches what is written."""
    sound()


def version1() -> bytes:
    """Return a state.json of the first version, which held the checksums itself."""
    head = json.loads(sound()["state.json"])
    names = [name for name in FILES if name.endswith(".safetensors")]
    digests = {name: hashlib.sha256(sound()[name]).hexdigest() for name in names}
    return json.dumps({**head, "version": 1, "sha256": digests}).encode()


def seeds() -> list[bytes]:
    files = sound()
    made = [bytes([kind | i]) + files[n] for i, n in enumerate(FILES) for kind in (0, FITS)]
    head = json.loads(files["state.json"])
    for state in (None, {"a": {"__array__": "/no"}}, {"__array__": []}, [[]] * 3, {"best": 7}):
        made.append(bytes([FITS | 3]) + json.dumps({**head, "state": state}).encode())
    made.append(bytes([FITS | 3]) + b'{"state":' + b"[" * 3000)
    made.append(bytes([OLD | 3]) + version1())
    made.append(bytes([OLD | 3]) + version1().replace(b"weights", b"../../x"))
    made += [b"", b"\0", bytes([FITS | 3]), bytes([FITS]) + (2**62).to_bytes(8, "little") + b"{"]
    return made


def run(data: bytes, folder: Path) -> None:
    kind, content = (data[0] if data else 0), data[1:]
    name = FILES[(kind & 7) % len(FILES)]
    path = made(folder)
    files = {name: content}
    if kind & FITS and name != "SHA256SUMS":
        old, new = (hashlib.sha256(each).hexdigest().encode() for each in (sound()[name], content))
        files["SHA256SUMS"] = sound()["SHA256SUMS"].replace(old, new)
    for each, written in files.items():
        (path / each).write_bytes(written)
    if kind & OLD:
        (path / "SHA256SUMS").unlink()
        files["SHA256SUMS"] = b""
    try:
        look(folder, path)
    finally:
        for each in files:
            (path / each).write_bytes(sound()[each])


def look(folder: Path, path: Path) -> None:
    """Ask for the newest sound checkpoint, and load the newer one."""
    newest, damaged = newest_sound_checkpoint(folder)
    assert newest is not None
    assert newest.step == (100 if damaged else 200)
    assert [each for each, _ in damaged] in ([], [path])
    with naming(path):
        loaded = load_checkpoint(path)
    assert loaded.step == 200
    assert not damaged
    assert all(isinstance(w, np.ndarray) for w in loaded.weights.values())


def made(folder: Path) -> Path:
    """Return the folder of the newer checkpoint, beside which a sound one lies."""
    older = folder / "step-00000100"
    if not older.exists():
        older.mkdir()
        files = dict(sound())
        files["state.json"] = files["state.json"].replace(b'"step": 200', b'"step": 100', 1)
        old, new = (hashlib.sha256(f["state.json"]).hexdigest().encode() for f in (sound(), files))
        files["SHA256SUMS"] = files["SHA256SUMS"].replace(old, new)
        for name, content in files.items():
            (older / name).write_bytes(content)
        (folder / "step-00000200").mkdir()
        for name, content in sound().items():
            (folder / "step-00000200" / name).write_bytes(content)
    return folder / "step-00000200"
