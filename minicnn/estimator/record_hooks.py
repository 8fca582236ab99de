"""Hooks that write down how a run goes: tables, TensorBoard's files, pictures."""

from __future__ import annotations

import contextlib
import io
import re
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import _files
from minicnn.estimator._events import EventWriter
from minicnn.estimator._scalars import single_numbers
from minicnn.estimator._table import Table
from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext


class OutputHook(Hook):
    """Writes loss and metrics of every step to a CSV file, those of evaluations to another.

    The columns are ``step, learning_rate, loss`` and the metrics. Numbers are written such that
    they read back exactly. A resumed run first drops the rows after the step it goes on from, so
    that the file of a run that was stopped is the same as that of one that was not. What a crash
    has torn is dropped as well, and, with a `CheckpointWarning`, lines in between that are no rows.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default ``training.csv`` in `model_dir`. Evaluations go to files beside it,
        named as they are: ``validation.csv``.

    Raises
    ------
    ConfigError
        In training: if there is neither a path nor a `model_dir`, or the file has other columns
        or is no table at all.
    OutputError
        In training: if the file cannot be written, say because the disk is full. The step is done
        and saved, as far as there is room.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self._given = path
        self._tables: dict[Path, Table] = {}
        self._owed: dict[str, int | float] = {}  # the row of a step that could not be written
        self._owed_results: dict[str, dict[str, int | float]] = {}  # likewise, by the file's name

    def begin(self, context: RunContext) -> None:
        """Drop what was written after the step the run goes on from; add what could not be."""
        self.path = context.file_in_model_dir(self._given, "training.csv", self)
        self._tables = {}
        table = self._table(self.path, context)
        if self._owed.get("step") == context.step:
            table.write(self._owed)
        self._owed = {}
        for name, row in list(self._owed_results.items()):
            if row.get("step") == context.step:
                self._table(self.path.with_name(name), context).write(row)
            del self._owed_results[name]

    def after_step(self, context: RunContext) -> None:
        """Write a row."""
        row = {"step": context.step, "learning_rate": context.learning_rate, "loss": context.loss}
        self._owed = single_numbers(row | context.metrics)
        self._table(self.path, context).write(self._owed)
        self._owed = {}

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Write a row to the file of these evaluations."""
        if not self._tables:
            return  # an evaluation outside of training
        path = self.path.with_name(re.sub(r"[/\\\0]", "-", name) + ".csv")
        row = single_numbers({"step": context.step} | results)
        self._owed_results[path.name] = row
        self._table(path, context).write(row)
        del self._owed_results[path.name]

    def end(self, context: RunContext) -> None:
        """Close the files."""
        tables, self._tables = self._tables, {}
        with contextlib.ExitStack() as stack:
            for table in tables.values():
                stack.callback(table.close)

    def state_dict(self) -> dict[str, Any]:
        """Return the row that could not be written, if the disk was full."""
        owed = {"owed": self._owed, "owed_results": self._owed_results}
        return {name: rows for name, rows in owed.items() if rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Write that row first."""
        self._owed = dict(state.get("owed", {}))
        self._owed_results = dict(state.get("owed_results", {}))

    def _table(self, path: Path, context: RunContext) -> Table:
        if path not in self._tables:
            self._tables[path] = Table(path, context.first_step)
        return self._tables[path]


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
    OutputError
        In training: if the file cannot be written, as with `OutputHook`.
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
            self._write(context.step, values | context.metrics, "training")

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Write the results."""
        values = {k: v for k, v in results.items() if k not in ("step", "examples")}
        self._write(context.step, values, name)

    def end(self, context: RunContext) -> None:
        """Finish the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write(self, step: int, values: dict[str, Any], group: str) -> None:
        if self._writer is None:
            return  # an evaluation outside of training
        if self._writer.replaced():  # a person has deleted it
            self._writer.close()
            self._writer = EventWriter(self._writer.path.parent, step, make_folder=False)
        numbers = single_numbers(values)
        self._writer.scalars(step, {f"{name}/{group}": v for name, v in numbers.items()})


class PlotHook(Hook):
    """Draws loss and metrics against steps, with those of evaluations, to a PNG file.

    Of a long run not every step is drawn: whenever a curve has too many points, every second one is
    left out from then on, so that neither memory nor checkpoints grow. A picture that cannot be
    drawn or written ends no run; a warning says so, once.

    Parameters
    ----------
    path : str or Path, optional
        The file; by default ``curves.png`` in `model_dir`. It is drawn when training ends, and
        after evaluations, though not more often than every few seconds.
    seconds : float, default 10.0
        The least time between two drawings, in seconds.
    points : int, default 2048
        The most points of a curve, besides the newest.

    Raises
    ------
    ConfigError
        If `points` is not a whole number above 0; in training, if there is neither a path nor a
        `model_dir`.
    """

    def __init__(
        self, path: str | Path | None = None, seconds: float = 10.0, points: int = 2048
    ) -> None:
        self._given, self._seconds = path, seconds
        self._points = check_every("PlotHook", points, "points")
        self._curves: dict[str, dict[str, _Curve]] = {}  # group -> metric -> points
        self._drawn = -1e9
        self._failed = False

    def begin(self, context: RunContext) -> None:
        """Find the file's place."""
        self.path = context.file_in_model_dir(self._given, "curves.png", self)

    def after_step(self, context: RunContext) -> None:
        """Remember the step."""
        self._add("training", context.step, {"loss": context.loss, **context.metrics})

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Remember the results, and draw."""
        values = {k: v for k, v in results.items() if k not in ("step", "examples")}
        self._add(name, context.step, values)
        if context.error is None and time.monotonic() - self._drawn >= self._seconds:
            self._draw()

    def end(self, context: RunContext) -> None:
        """Draw the whole run."""
        if self._curves:
            self._draw()

    def state_dict(self) -> dict[str, Any]:
        """Return the points that are kept, and which ones they are."""
        return {
            "curves": self._map(lambda curve: np.array(curve.points, np.float64)),
            "counts": self._map(lambda curve: [curve.count, curve.stride]),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on with these points."""
        counts = state.get("counts", {})  # not in what earlier versions saved: all points
        self._curves = {
            group: {
                name: _Curve.of(self._points, points.tolist(), counts.get(group, {}).get(name))
                for name, points in curves.items()
            }
            for group, curves in state["curves"].items()
        }

    def _map(self, function: Callable[[_Curve], Any]) -> dict[str, dict[str, Any]]:
        return {
            group: {name: function(curve) for name, curve in curves.items()}
            for group, curves in self._curves.items()
        }

    def _add(self, group: str, step: int, values: dict[str, Any]) -> None:
        curves = self._curves.setdefault(group, {})
        for name, value in single_numbers(values).items():
            curves.setdefault(name, _Curve(self._points)).add(step, float(value))

    def _draw(self) -> None:
        self._drawn = time.monotonic()
        try:
            from minicnn.visualise import learning_curves

            content = io.BytesIO()
            figure = learning_curves(self._map(lambda curve: curve.points))
            figure.savefig(content, format="png", dpi=120)
            _files.write_file(self.path, content.getvalue())
        except Exception as error:  # of whatever kind: an overnight run is worth more
            if not self._failed:
                self._failed = True
                warnings.warn(
                    f"PlotHook: {self.path} is not drawn: {type(error).__name__}: {error}; "
                    "training goes on without it",
                    stacklevel=2,
                )


class _Curve:
    """Points against steps: every first, second, fourth, ... of them, and the newest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.points: list[tuple[int, float]] = []
        self.count, self.stride = 0, 1  # of all points that were added; between those that stay

    @classmethod
    def of(cls, most: int, points: list[list[float]], which: list[int] | None) -> _Curve:
        """Return the curve that has kept these points, or has been given just these."""
        curve = cls(most)
        if which is None:
            for step, value in points:
                curve.add(int(step), value)
        else:
            curve.points = [(int(step), value) for step, value in points]
            curve.count, curve.stride = which
        return curve

    def add(self, step: int, value: float) -> None:
        """Add a point."""
        if (self.count - 1) % self.stride:
            self.points.pop()  # it was the newest, and it is not its turn
        self.points.append((step, value))
        while self.count // self.stride >= self.most:
            self.points = self.points[: self.count // self.stride + 1 : 2]
            self.stride *= 2
            if self.count % self.stride:
                self.points.append((step, value))
        self.count += 1
