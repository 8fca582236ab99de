"""The folder of a run: who may write there, and which checkpoint a run goes on from."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from minicnn import _files
from minicnn.errors import CheckpointError, CheckpointWarning, ConfigError
from minicnn.estimator._lock import FolderLock
from minicnn.estimator.checkpoint import (
    Checkpoint,
    check_checkpoint,
    newest_checkpoint,
    newest_sound_checkpoint,
    order_of,
    save_checkpoint,
    set_aside,
)


class RunFolder:
    """A `model_dir` as one Estimator sees it.

    Parameters
    ----------
    path : Path
        The folder; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self._lock = FolderLock(path)
        self._newest: Path | None = None  # that this Estimator knows of
        self._damaged: list[Path] = []  # newer ones, to be set aside before one is written

    def open(self, resume: bool | str) -> Checkpoint | None:
        """Return the newest sound checkpoint to go on from, if there is one and it is wanted.

        Raises
        ------
        ConfigError
            If there is one and `resume` is False, or none and it is True.
        CheckpointError
            If there are some, but none is intact.
        """
        newest = newest_checkpoint(self.checkpoints)
        if newest is None:
            if resume is True:
                raise ConfigError(f"Estimator: no checkpoint to resume from in {self.checkpoints}")
            return None
        if resume is False:
            raise ConfigError(
                f"Estimator: {self.path} holds a run already, saved in {newest.name}; resume "
                "it, or give another model_dir, or delete it"
            )
        saved, damaged = newest_sound_checkpoint(self.checkpoints)
        if saved is None and not damaged:  # another run has deleted them meanwhile, as too old
            return self.open(resume)
        self._damaged = [path for path, _ in damaged]
        faults = "; ".join(fault for _, fault in damaged)
        if saved is None:
            raise CheckpointError(
                f"Estimator: no checkpoint in {self.checkpoints} is intact: {faults}. Restore one "
                "from a copy, or begin anew in another model_dir; nothing was changed"
            )
        self._newest = saved.path
        if damaged:
            warnings.warn(
                f"going on from {saved.path}, for what is newer is damaged: {faults}",
                CheckpointWarning,
                stacklevel=4,
            )
        return saved

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Have the folder for this Estimator alone inside a ``with`` block.

        Raises
        ------
        CheckpointError
            If another run has it, or has gone on with it meanwhile, or nothing can be written.
        """
        nested = self._lock.held
        with self._lock:
            if not nested:
                self._prepare()
            yield

    def save(
        self,
        step: int,
        weights: Mapping[str, Any],
        optimizer: Mapping[str, Any],
        state: Mapping[str, Any],
        keep: int | None,
        protect: Collection[int],
    ) -> Path:
        """Save a checkpoint; see `save_checkpoint`."""
        with self.locked():
            try:
                return save_checkpoint(
                    self.checkpoints, step, weights, optimizer, state, keep, protect
                )
            finally:  # also where something failed when it was there already
                self._newest = newest_checkpoint(self.checkpoints)

    def _prepare(self) -> None:
        """Clear away what killed runs have left, now that nobody else works here."""
        newest = newest_checkpoint(self.checkpoints)
        if newest in self._damaged and check_checkpoint(newest) is not None:  # still
            for path in self._damaged:
                if path.exists():
                    set_aside(path)
        elif newest is not None and (
            self._newest is None or order_of(newest) > order_of(self._newest)
        ):
            raise CheckpointError(
                f"{self.path}: another run has gone on with it, to {newest.name}, since this "
                "Estimator was made; make a new one, which goes on from there"
            )
        self._damaged = []
        _files.delete_unfinished(self.path)
        _files.delete_unfinished(self.checkpoints)
