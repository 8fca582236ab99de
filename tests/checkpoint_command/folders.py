"""Folders of runs, and what is done to them."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from minicnn.estimator import save_checkpoint

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = {
    "conv.weight": np.linspace(-1, 1, 36, dtype=np.float32).reshape(4, 1, 3, 3),
    "conv.bias": np.zeros(4, np.float32),
    "norm.updates": np.array(7),
}


def state(step, **more):
    return {
        "params": {"rate": 0.1, "channels": 4, "data": None},
        "seed": 5,
        "examples": 32 * step,
        "input": {"passes": 0, "at": step, "position": {"epoch": 1, "upstream": {"at": 3}}},
        "hooks": {"ValidationHook": {"last": step}, "Curves": {"loss": np.arange(step / 100)}},
        **more,
    }


def save(run, step, value=0.0, weights=None, **more):
    weights = weights or {name: w + w.dtype.type(value) for name, w in WEIGHTS.items()}
    slots = {"conv.weight.velocity": weights["conv.weight"] / 2, "step": np.array(step)}
    return save_checkpoint(run / "checkpoints", step, weights, slots, state(step, **more))


def as_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def everything_in(folder):
    return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in folder.rglob("*")}


def flip(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def rewrite_state(checkpoint, change):
    """Change what state.json says, and its checksum with it, as somebody hostile would."""
    head = json.loads((checkpoint / "state.json").read_bytes())
    replace(checkpoint, "state.json", json.dumps(change(head)).encode())


def replace(checkpoint, name, content):
    (checkpoint / name).write_bytes(content)
    sums = (checkpoint / "SHA256SUMS").read_text("ascii")
    digest = hashlib.sha256(content).hexdigest()
    sums = re.sub(rf"^\w+  {re.escape(name)}$", f"{digest}  {name}", sums, flags=re.M)
    (checkpoint / "SHA256SUMS").write_text(sums, "ascii")
