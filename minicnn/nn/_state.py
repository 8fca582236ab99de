"""A module's state as plain arrays: taking it, and setting all of it or nothing."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.errors import CheckpointError


class Differences(NamedTuple):
    """The names in which a loaded state and a module differed."""

    missing: tuple[str, ...]  # the module has them, the state has not: left as they were
    unexpected: tuple[str, ...]  # the state has them, the module has not: ignored


def state_of(members: Iterable[tuple[str, Any]]) -> dict[str, np.ndarray]:
    """Copy the arrays of all tensors among `members`, in C order, to the CPU."""
    # np.array(..., order="C"), for safetensors corrupts what is not contiguous
    return {
        name: np.array(member.numpy(), order="C")
        for name, member in members
        if isinstance(member, Tensor)
    }


def load(
    owner: str, members: Iterable[tuple[str, Any]], state: Mapping[str, Any], strict: bool
) -> Differences:
    """Write `state` into the tensors among `members`, after checking all of it."""
    own = {name: member for name, member in members if isinstance(member, Tensor)}
    given = {name: _array(value) for name, value in state.items()}
    missing = tuple(name for name in own if name not in given)
    unexpected = tuple(name for name in given if name not in own)
    misfits = [
        f"{name}: the net has {_kind(own[name])}, the state {_kind(array)}"
        for name, array in given.items()
        if name in own and not _fits(own[name], array)
    ]
    if misfits or (strict and (missing or unexpected)):
        groups = {"misshapen": misfits}
        if strict:
            groups["missing"] = [f"{name} {own[name].shape}" for name in missing]
            groups["unexpected"] = [
                f"{name} {given[name].shape}{_hint(name, missing)}" for name in unexpected
            ]
        listing = "".join(
            f"\n  {kind} ({len(lines)}):" + "".join(f"\n    {line}" for line in lines)
            for kind, lines in groups.items()
            if lines
        )
        raise CheckpointError(
            f"load_state_dict: the state does not fit {owner}, nothing was changed; build the net "
            f"with the settings it was saved with{_loosely(groups)}{listing}"
        )
    for name, array in given.items():
        if name in own:
            member = own[name]
            fresh = np.empty_like(member.numpy())  # the same layout in memory, so the same bits
            fresh[...] = array
            member.data = to_device(fresh, member.device)
    return Differences(missing, unexpected)


def _array(value: Any) -> np.ndarray:
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _fits(member: Tensor, array: np.ndarray) -> bool:
    floats = {member.dtype.kind, array.dtype.kind} == {"f"}
    return member.shape == array.shape and (floats or member.dtype == array.dtype)


def _kind(tensor: Any) -> str:
    return f"{tensor.dtype} {tensor.shape}"


def _hint(name: str, missing: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, missing, n=1)
    return f" (like {near[0]}, which is missing)" if near else ""


def _loosely(groups: dict[str, list[str]]) -> str:
    return "" if groups["misshapen"] else ", or pass strict=False to load what both have"
