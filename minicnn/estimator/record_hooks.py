"""Hooks that write down how a run goes: tables, TensorBoard's files, pictures."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from minicnn.errors import ConfigError
from minicnn import _files
from minicnn.estimator._events import EventWriter
from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext


class OutputHook(Hook):
    """Writes loss and metrics of every step to a CSV file, those of evaluations to another.

    The columns are ``step, learning_rate, loss`` and the metrics. Numbers are written such that
    they read back exactly. A resumed run first drops the rows after the step it goes on from, so
    that the file of a run that was stopped is the same as that of one that was not.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default ``training.csv`` in `model_dir`. Evaluations go to files beside it,
        named as they are: ``validation.csv``.

    Raises
    ------
    ConfigError
        In training: if there is neither a path nor a `model_dir`, or the file has other columns.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._given = path
        self._tables: dict[Path, _Table] = {}

    def begin(self, context: RunContext) -> None:
        """Drop what was written after the step the run goes on from."""
        self.path = context.file_in_model_dir(self._given, "training.csv", self)
        self._tables = {}
        self._table(self.path, context)

    def after_step(self, context: RunContext) -> None:
        """Write a row."""
        row = {"step": context.step, "learning_rate": context.learning_rate, "loss": context.loss}
        self._table(self.path, context).write(row | _scalars(context.metrics))

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Write a row to the file of these evaluations."""
        if not self._tables:
            return  # an evaluation outside of training
        path = self.path.with_name(f"{name}.csv")
        self._table(path, context).write({"step": context.step} | _scalars(results))

    def end(self, context: RunContext) -> None:
        """Close the files."""
        for table in self._tables.values():
            table.close()
        self._tables = {}

    def _table(self, path: Path, context: RunContext) -> _Table:
        if path not in self._tables:
            self._tables[path] = _Table(path, context.first_step)
        return self._tables[path]


class _Table:
    """A CSV file with a column "step", to which rows are appended."""

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._columns = self._cut(last_step)
        self._file: TextIO = path.open("a", newline="", encoding="utf-8")

    def write(self, row: dict[str, Any]) -> None:
        """Append a row and hand it to the system, so that a kill does not lose it."""
        columns = list(row)
        if not self._columns:
            self._file.write(",".join(columns) + "\n")
            self._columns = columns
        if columns != self._columns:
            raise ConfigError(
                f"OutputHook: {self.path} has the columns {self._columns}, the run now has "
                f"{columns}; move the file away, or give another path"
            )
        self._file.write(",".join(map(repr, row.values())) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _cut(self, last_step: int) -> list[str]:
        """Drop the rows after a step, and one that a crash has torn; return the columns."""
        text = self.path.read_text("utf-8", "replace") if self.path.exists() else ""
        head, *lines = text.splitlines(keepends=True) or [""]
        columns = head.rstrip("\n").split(",")
        kept = []
        if "step" in columns and head.endswith("\n"):
            at = columns.index("step")
            for line in lines:
                step = line.split(",")[at] if line.count(",") == len(columns) - 1 else ""
                if line.endswith("\n") and step.isdecimal() and int(step) <= last_step:
                    kept.append(line)
        whole = "".join([head, *kept]) if kept else ""
        if whole != text:
            _files.write_file(self.path, whole.encode())
        return columns if kept else []


class TensorBoardHook(Hook):
    """Writes loss, metrics and learning rate for TensorBoard to show; does not need it installed.

    Run ``tensorboard --logdir`` with the folder. Steps that a resumed run does again replace the
    earlier ones there.

    Parameters
    ----------
    folder : str or Path, optional
        Where to; by default ``tensorboard`` in `model_dir`.
    every : int, default 10
        Write every n-th step; evaluations are always written.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0; in training, if there is no folder.
    """

    def __init__(self, folder: str | Path | None = None, every: int = 10) -> None:
        self._given = folder
        self.every = check_every("TensorBoardHook", every)
        self._writer: EventWriter | None = None

    def begin(self, context: RunContext) -> None:
        """Begin a file."""
        folder = context.file_in_model_dir(self._given, "tensorboard", self)
        self._writer = EventWriter(folder, context.first_step + 1)

    def after_step(self, context: RunContext) -> None:
        """Write the step if it is its turn."""
        if context.step % self.every == 0:
            values = {"loss": context.loss, "learning_rate": context.learning_rate}
            self._write(context.step, values | _scalars(context.metrics), "training")

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Write the results."""
        values = {k: v for k, v in _scalars(results).items() if k not in ("step", "examples")}
        self._write(context.step, values, name)

    def end(self, context: RunContext) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _write(self, step: int, values: dict[str, float], group: str) -> None:
        if self._writer is not None:
            self._writer.scalars(step, {f"{name}/{group}": v for name, v in values.items()})
            self._writer.flush()


class PlotHook(Hook):
    """Draws loss and metrics against steps, with those of evaluations, to a PNG file.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default ``curves.png`` in `model_dir`. It is drawn when training ends, and
        after evaluations, though not more often than every few seconds.
    seconds : float, default 10.0
        The least time between two drawings, in seconds.

    Raises
    ------
    ConfigError
        In training, if there is neither a path nor a `model_dir`.
    """

    def __init__(self, path: str | Path | None = None, seconds: float = 10.0) -> None:
        self._given, self._seconds = path, seconds
        self._curves: dict[
            str, dict[str, list[tuple[int, float]]]
        ] = {}  # group -> metric -> points
        self._drawn = -1e9

    def begin(self, context: RunContext) -> None:
        """Find the file's place."""
        self.path = context.file_in_model_dir(self._given, "curves.png", self)

    def after_step(self, context: RunContext) -> None:
        """Remember the step."""
        self._add("training", context.step, {"loss": context.loss} | _scalars(context.metrics))

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Remember the results, and draw."""
        values = {k: v for k, v in _scalars(results).items() if k not in ("step", "examples")}
        self._add(name, context.step, values)
        if context.error is None and time.monotonic() - self._drawn >= self._seconds:
            self._draw()

    def end(self, context: RunContext) -> None:
        """Draw the whole run."""
        if self._curves:
            self._draw()

    def state_dict(self) -> dict[str, Any]:
        """Return all points."""
        return {
            "curves": {
                group: {name: np.array(points, np.float64) for name, points in curves.items()}
                for group, curves in self._curves.items()
            }
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these points."""
        self._curves = {
            group: {name: [(int(s), v) for s, v in a.tolist()] for name, a in curves.items()}
            for group, curves in state["curves"].items()
        }

    def _add(self, group: str, step: int, values: dict[str, float]) -> None:
        curves = self._curves.setdefault(group, {})
        for name, value in values.items():
            curves.setdefault(name, []).append((step, value))

    def _draw(self) -> None:
        from minicnn.visualise import learning_curves

        content = io.BytesIO()
        learning_curves(self._curves).savefig(content, format="png", dpi=120)
        _files.write_file(self.path, content.getvalue())
        self._drawn = time.monotonic()


def _scalars(values: dict[str, Any]) -> dict[str, Any]:
    """Return the single numbers among the values, as Python's own kinds."""
    found = {}
    for name, value in values.items():
        if not isinstance(value, dict) and np.ndim(value) == 0:
            found[name] = int(value) if isinstance(value, int | np.integer) else float(value)
    return found
