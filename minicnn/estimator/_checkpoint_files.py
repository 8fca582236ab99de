"""What the files of a checkpoint hold: how they are made, and how they are read and checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import _files
from minicnn.errors import CheckpointError

NAME = re.compile(r"step-(\d{8,})(?:\.(\d+))?", re.ASCII)
WEIGHTS, OPTIMIZER, ARRAYS = (f"{n}.safetensors" for n in ("weights", "optimizer", "arrays"))
STATE = "state.json"
_FORMAT, _VERSION = "minicnn checkpoint", 2
ARRAY = "__array__"  # marks where an array was taken out of the state
_MOST_LEVELS = 200  # of lists and dicts in one another: what reads them calls itself


def to_files(
    step: int, weights: Mapping[str, Any], optimizer: Mapping[str, Any], state: Any
) -> dict[str, bytes]:
    """Return the files of a checkpoint."""
    arrays: dict[str, np.ndarray] = {}
    _check_levels(state, "checkpoint: the state cannot be saved")
    rest = _take_out(state, "", arrays)
    files = {
        WEIGHTS: _files.arrays_to_bytes(weights),
        OPTIMIZER: _files.arrays_to_bytes(optimizer),
    }
    if arrays:
        files[ARRAYS] = _files.arrays_to_bytes(arrays)
    head = {"format": _FORMAT, "version": _VERSION, "step": step, "state": rest}
    try:
        files[STATE] = _files.json_to_bytes(head)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint: the state cannot be saved as JSON: {error}") from error
    return files


def read_files(path: Path) -> dict[str, bytes]:
    """Return the files of a checkpoint, each as it was written."""
    if os.path.exists(path / _files.SUMS):  # False, too, where we may not look
        return _files.read_folder(path)
    content = _files.read_bytes(path / STATE)
    digests = head_of(path, content).get("sha256")
    if not isinstance(digests, dict):  # version 1 had them there
        raise CheckpointError(f"{path} is damaged: {path / _files.SUMS} is missing")
    files = {STATE: content}
    for name, digest in digests.items():
        if Path(name).name != name:
            raise CheckpointError(f"{path / STATE} lists {name!r}, which is no file of it")
        files[name] = _files.read_bytes(path / name)
        _files.check_sum(files[name], digest, path / name)
    return files


def head_of(path: Path, content: bytes) -> dict[str, Any]:
    """Return what state.json says."""
    head = _files.json_from_bytes(content, path / STATE)
    if not isinstance(head, dict) or head.get("format") != _FORMAT:
        raise CheckpointError(f"{path / STATE} is not of a minicnn checkpoint")
    if head.get("version") not in (1, _VERSION):
        raise CheckpointError(
            f"{path} has version {head.get('version')!r}; this minicnn reads {_VERSION}"
        )
    match, step = NAME.fullmatch(path.name), head.get("step")
    if "state" not in head or type(step) is not int or (match and int(match[1]) != step):
        raise CheckpointError(f"{path} is damaged: {STATE} says it is of step {step!r}")
    _check_levels(head["state"], f"{path / STATE} is damaged")
    return head


def _check_levels(tree: Any, what: str) -> None:
    left = [(tree, 0)]
    while left:
        at, level = left.pop()
        if level > _MOST_LEVELS:
            raise CheckpointError(f"{what}: it is more than {_MOST_LEVELS} levels deep")
        if isinstance(at, dict | list | tuple):
            inner = at.values() if isinstance(at, dict) else at
            left += [(each, level + 1) for each in inner]


def _take_out(tree: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a tree without its arrays, which go to `arrays` under names that tell the place."""
    if isinstance(tree, dict):
        return {k: _take_out(v, f"{name}/{k}", arrays) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        return [_take_out(v, f"{name}/{i}", arrays) for i, v in enumerate(tree)]
    if isinstance(tree, np.generic):
        return tree.item()
    if not isinstance(tree, np.ndarray):
        return tree
    arrays[name] = tree
    return {ARRAY: name}


def put_back(tree: Any, arrays: dict[str, np.ndarray], path: Path) -> Any:
    """Return the tree that `to_files` took the arrays out of."""
    if isinstance(tree, dict):
        if set(tree) == {ARRAY}:
            name = tree[ARRAY]
            if not isinstance(name, str) or name not in arrays:
                raise CheckpointError(f"{path} is damaged: it has no array {name!r:.100}")
            return arrays[name]
        return {k: put_back(v, arrays, path) for k, v in tree.items()}
    return [put_back(v, arrays, path) for v in tree] if isinstance(tree, list) else tree
