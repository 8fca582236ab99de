"""Weights in files: safetensors, PyTorch's ``.pth``, and under whose names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minicnn._files import write_file
from minicnn._reading import shown
from minicnn.backend.device import as_numpy
from minicnn.errors import CheckpointError, ConfigError
from minicnn.interop import _safetensors
from minicnn.interop.pytorch import open_file, read_pytorch
from minicnn.nn import Module

# What PyTorch calls the members of a normalising layer
PYTORCH_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
    "updates": "num_batches_tracked",
}
Rename = Mapping[str, str] | Callable[[str], str | None]


def read_weights(path: str | Path, key: str | None = None) -> dict[str, np.ndarray]:
    """Read named arrays from a file: safetensors, or what ``torch.save`` wrote.

    The file's first bytes tell which it is, not its name. Nothing in it is executed.

    Parameters
    ----------
    path : str or Path
        The file.
    key : str, optional
        For PyTorch's files: where in it the state dict is, see `read_pytorch`.

    Returns
    -------
    dict of str to ndarray
        The arrays by name, C-contiguous; bfloat16 as float32.

    Raises
    ------
    CheckpointError
        If it is missing, damaged, hostile or of another kind.
    ConfigError
        If `key` is given for safetensors, or does not lead to a state dict.
    """
    with open_file(path) as file:
        if file.peek(9)[8:9] == b"{":  # 8 bytes of length, then JSON
            if key is not None:
                raise ConfigError(
                    f"{shown(path)}: safetensors files have no keys to choose from, got {key!r}"
                )
            return _safetensors.read(file, shown(path))
    return read_pytorch(path, key)


def write_weights(
    path: str | Path, weights: Mapping[str, Any], metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays as safetensors: all of the file, or nothing.

    Parameters
    ----------
    path : str or Path
        The file; one that exists is replaced.
    weights : mapping of str to array
        As `Module.state_dict` returns them, or under `pytorch_names`.
    metadata : mapping of str to str, optional
        What else the file should say.

    Raises
    ------
    CheckpointError
        If it cannot be written.
    """
    import safetensors.numpy

    path = Path(path)
    # safetensors takes an array's memory for its elements in order, whatever its strides
    ordered = {name: np.asarray(as_numpy(v), order="C") for name, v in weights.items()}
    if not path.parent.is_dir():
        raise CheckpointError(f"{path}: cannot be written (there is no folder {path.parent})")
    try:
        content = safetensors.numpy.save(ordered, dict(metadata) if metadata else None)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path}: cannot be written ({error})") from error
    write_file(path, content)


def pytorch_names(module: Module) -> dict[str, str]:
    """Return what PyTorch calls each member of a net's state.

    Convolutions and dense layers have the same names and shapes in both; normalising layers
    call their scale and shift gamma and beta here, weight and bias there.

    Parameters
    ----------
    module : Module
        The net, built.

    Returns
    -------
    dict of str to str
        Name here -> name there, in order.
    """
    names = {}
    state = module.state_dict()
    for name in state:
        prefix, dot, leaf = name.rpartition(".")
        normalises = f"{prefix}{dot}gamma" in state
        names[name] = f"{prefix}{dot}{PYTORCH_NAMES[leaf]}" if normalises else name
    return names


def load_weights(
    module: Module,
    source: str | Path | Mapping[str, Any],
    *,
    key: str | None = None,
    rename: Rename | None = None,
    strict: bool = True,
) -> Any:
    """Set a net's weights from a file or from named arrays, its own or PyTorch's.

    Names are taken as they are where the net has them, and else as PyTorch's for the same
    layer: ``bn.running_var`` is ``bn.moving_variance``.

    Parameters
    ----------
    module : Module
        The net, built.
    source : str, Path or mapping of str to array
        What `read_weights` reads, or its result.
    key : str, optional
        Where in a PyTorch file the state dict is.
    rename : mapping of str to str or callable, optional
        Other names for what is loaded: prefixes and what to put in their place
        (``{"module.": ""}``, the longest that fits is taken), or a function of a name; the
        function returns None for what is to be left out.
    strict : bool, default True
        Whether the names must be those of the net, all of them.

    Returns
    -------
    Differences
        ``missing`` and ``unexpected`` names; both empty if `strict`.

    Raises
    ------
    CheckpointError
        If the file cannot be read or does not fit; nothing is changed then.
    ConfigError
        If two names become one, or `key` leads nowhere.
    """
    arrays = source if isinstance(source, Mapping) else read_weights(source, key)
    own = module.state_dict()
    here = {there: name for name, there in pytorch_names(module).items()}
    renamed: dict[str, Any] = {}
    came_from: dict[str, str] = {}
    for name, value in arrays.items():
        wanted = _renamed(name, rename)
        if wanted is None:
            continue
        target = wanted if wanted in own else here.get(wanted, wanted)
        if target in renamed:
            raise ConfigError(
                f"load_weights: {came_from[target]!r} and {name!r} would both become {target!r}; "
                "rename one of them"
            )
        renamed[target], came_from[target] = value, name
    _count_updates(own, renamed)
    return module.load_state_dict(renamed, strict=strict)


def _renamed(name: str, rename: Rename | None) -> str | None:
    if rename is None:
        return name
    if callable(rename):
        return rename(name)
    prefix = max((p for p in rename if name.startswith(p)), key=len, default=None)
    return name if prefix is None else rename[prefix] + name[len(prefix) :]


def _count_updates(own: Mapping[str, Any], given: dict[str, Any]) -> None:
    """PyTorch before 0.4.1 did not count updates: averages that come with a file had some."""
    for name in own:
        prefix, _, leaf = name.rpartition(".")
        mean = f"{prefix}.moving_mean" if prefix else "moving_mean"
        if leaf == "updates" and name not in given and mean in given:
            given[name] = np.ones((), np.int64)
