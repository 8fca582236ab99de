"""The batch at which a run's numbers broke: saved when it happens, computed again by `replay`.

    faults/step-00000124/weights.safetensors     as they were before that step
                         optimizer.safetensors
                         arrays.safetensors      the batch
                         state.json              what was found, the seed

It has the form of a checkpoint, so `load_checkpoint` and `Estimator.load_weights` read it too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import _files
from minicnn._command_line import byte_size
from minicnn.autograd import Tensor
from minicnn.backend.device import on_device
from minicnn.errors import CheckpointError, ConfigError
from minicnn.estimator import _numbers
from minicnn.estimator._checkpoint_files import to_files
from minicnn.estimator._input import as_tensors
from minicnn.estimator._model import Model
from minicnn.estimator._precision import computing_in
from minicnn.estimator.checkpoint import list_checkpoints, load_checkpoint
from minicnn.estimator.spec import Mode
from minicnn.kernels import capturing

if TYPE_CHECKING:
    from minicnn.estimator.estimator import Estimator

KEPT = 3  # of one run: a run that is started again and again does not fill the disk
_LOST = "__lost__"  # what was in the batch and cannot be saved


def save_fault(
    estimator: Estimator, step: int, batch: tuple[Any, Any], message: str, undone: bool
) -> str:
    """Save what is needed to compute a step again, and say where; never raise.

    The weights belong to it if the step was `undone`; else they are not those before it.
    """
    folder = estimator.model_dir
    if folder is None:
        return "with a model_dir in the RunConfig the batch would be saved for replay"
    try:
        return _save(estimator, folder / "faults", step, batch, message, undone)
    except Exception as error:  # nothing may hide the fault itself
        return f"the batch is not saved, for that failed too: {error}"


def _save(
    estimator: Estimator,
    folder: Path,
    step: int,
    batch: tuple[Any, Any],
    message: str,
    undone: bool,
) -> str:
    weights, slots = {}, {}
    if undone:
        weights = dict(estimator.model.weights())
        slots = estimator.optimizer.state_dict() if estimator.optimizer is not None else {}
    state = {
        "fault": {"message": message, "undone": undone, "seed": estimator.config.seed},
        "precision": estimator.config.precision,
        "features": _as_saved(batch[0]),
        "labels": _as_saved(batch[1]),
    }
    files = to_files(step, weights, slots, state)
    _files.delete_unfinished(folder)
    earlier = list_checkpoints(folder)
    target = next((path for path in earlier if _is_the_same(path, files)), None)
    if target is None:
        if len(earlier) >= KEPT:
            return f"the batch is not saved: {folder} holds {len(earlier)} already; delete them"
        target = _free_name(folder, step)
        _files.write_folder(target, files)
    size = sum(map(len, files.values()))
    text = f"the batch is saved in {target} ({byte_size(size)}"
    if not undone:
        return f"{text}, without weights)"
    return (
        f"{text}, with the weights before the step); minicnn.estimator.replay(estimator, "
        f"{str(target)!r}) computes it again"
    )


def replay(estimator: Estimator, folder: str | Path) -> float:
    """Compute again the batch at which a run broke, with the weights that it had.

    Parameters
    ----------
    estimator : Estimator
        Made by the code of the run, or by code that was mended since; made for this. Its own
        weights are the same afterwards.
    folder : str or Path
        The folder in ``faults`` in the run's `model_dir`, which the run's error named.

    Returns
    -------
    float
        The loss, if now loss, gradients and moving averages are finite.

    Raises
    ------
    GradientError
        If one of them is not: the same layer and op are named as in the run.
    CheckpointError
        If the folder is damaged or something else, or its weights do not fit the model.
    ConfigError
        If the step cannot be computed again from what is there; it says how else to go on.

    Examples
    --------
    After a run with ``RunConfig("runs/signs")`` stopped in step 124::

        estimator = Estimator(model_fn, params)
        replay(estimator, "runs/signs/faults/step-00000124")
    """
    saved = load_checkpoint(folder)
    state = saved.state if isinstance(saved.state, dict) else {}
    fault = state.get("fault")
    if not {"features", "labels"} <= set(state) or not isinstance(fault, dict):
        raise CheckpointError(f"{folder} holds no batch to replay; it is an ordinary checkpoint")
    if not fault.get("undone"):
        raise ConfigError(
            f"replay: {folder} has a batch without weights, for the update had spoilt them; train "
            f"again from the last checkpoint: step {saved.step} will break again"
        )
    for name in ("features", "labels"):
        if lost := _lost(state[name]):
            raise ConfigError(f"replay: {lost} of the {name} in {folder} could not be saved")
    config, device = estimator.config, estimator.device
    alike = capturing.alike(config.cuda_graph)
    model = estimator.model.apart(fault.get("seed", estimator.config.seed))
    with on_device(device), computing_in(config.precision), alike, _as_it_was(model):
        features, labels = as_tensors((state["features"], state["labels"]), device)
        if saved.weights:
            model.load(saved.weights)
        with np.errstate(all="ignore"):
            return _compute(model, features, labels, saved.step)


def _compute(model: Model, features: Any, labels: Any, number: int) -> float:
    """Compute a step up to its update, and look at it as a run does."""
    step = number - 1  # so many were done
    model.prepare(features, labels, Mode.TRAIN, step)
    if not model.module.training:
        model.module.train()
    spec = model.call(features, labels, Mode.TRAIN, step)
    assert spec.loss is not None
    assert spec.optimizer is not None
    loss = float(spec.loss.item())
    optimizer = spec.optimizer(list(model.module.named_parameters()))
    seen = _numbers.Computed(
        number=number,
        module=model.module,
        features=features,
        labels=labels,
        loss=loss,
        forward=lambda: model.call(features, labels, Mode.TRAIN, step),
        params=optimizer.named_params,
        who="replay",
    )
    _numbers.check_loss(seen)
    optimizer.zero_grad()
    spec.loss.backward()
    _numbers.check_gradients(seen)
    _numbers.check_buffers(seen, model.buffers())
    return loss


@contextlib.contextmanager
def _as_it_was(model: Model) -> Iterator[None]:
    """Put a module that others have, too, back to where it was."""
    try:
        before = model.module.state_dict()
    except ConfigError:  # a layer that is not built yet
        before = {}
    modes = [(module, module.training) for _, module in model.module.named_modules()]
    try:
        yield
    finally:
        for _, p in model.parameters():
            p.grad = None
        if before:
            model.module.load_state_dict(before)
        for module, training in modes:
            module.training = training


def _as_saved(tree: Any) -> Any:
    """Return a part of a batch as a checkpoint's state can hold it."""
    if isinstance(tree, dict) and all(isinstance(key, str) for key in tree):
        return {key: _as_saved(leaf) for key, leaf in tree.items()}
    if isinstance(tree, tuple | list):
        return [_as_saved(leaf) for leaf in tree]
    if isinstance(tree, Tensor):
        return tree.numpy()
    if isinstance(tree, np.ndarray) and tree.dtype.kind == "U":
        return tree.tolist()
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    return {_LOST: repr(tree)[:200]}


def _lost(tree: Any) -> str:
    """Return what of a batch was not saved, "" if all was."""
    if isinstance(tree, dict):
        return tree.get(_LOST, "") or "".join(map(_lost, tree.values()))
    return "".join(map(_lost, tree)) if isinstance(tree, list) else ""


def _is_the_same(path: Path, files: dict[str, bytes]) -> bool:
    """Tell whether a fault was saved before, by a run that was started again."""
    with contextlib.suppress(OSError):
        return all((path / name).read_bytes() == content for name, content in files.items())
    return False


def _free_name(folder: Path, step: int) -> Path:
    names = [f"step-{step:08}", *(f"step-{step:08}.{i}" for i in range(1, KEPT + 1))]
    return next(folder / name for name in names if not (folder / name).exists())
