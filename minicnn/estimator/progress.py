"""A hook that shows people how a run goes."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import numpy as np

from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext

_REDRAW = 0.1  # seconds


class ProgressHook(Hook):
    """Shows a bar with loss, metrics, images a second and the time left.

    Where the output is not a terminal it prints plain lines instead.

    Parameters
    ----------
    every : int, optional
        How many steps lie between two plain lines; by default ``RunConfig.log_every``, or 100.
    file : file, optional
        Where to; by default the standard error stream.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0.
    """

    def __init__(self, every: int | None = None, file: TextIO | None = None) -> None:
        self.every = None if every is None else check_every("ProgressHook", every)
        self._file = file
        self._bar: Any = None

    def begin(self, context: RunContext) -> None:
        """Say where the run stands, and show the bar."""
        self._out = self._file or sys.stderr
        self._every = self.every or context.estimator.config.log_every or 100
        self._started = self._drawn = time.perf_counter()
        self._speed = 0.0
        self._restart_clock(context)
        if self._out.isatty():
            self._bar = _Bar(self._out, context.first_step, context.last_step)
        if context.first_step:
            saved = context.estimator.resumed_from
            self._say(
                f"going on at step {context.first_step}" + (f", from {saved}" if saved else "")
            )

    def after_step(self, context: RunContext) -> None:
        """Move the bar, or print a line if it is time."""
        now = time.perf_counter()
        if self._bar is not None:
            if now - self._drawn >= _REDRAW:
                self._drawn = now
                self._bar.move(context.step, self._describe(context, now))
        elif context.step % self._every == 0:
            self._say(f"step {_of(context)}  {self._describe(context, now)}")
            self._restart_clock(context)

    def after_evaluate(self, context: RunContext, name: str, results: dict[str, Any]) -> None:
        """Print the results of an evaluation."""
        numbers = {k: v for k, v in results.items() if k not in ("examples", "step")}
        self._say(f"{name} at step {context.step}: {_numbers(numbers)}")
        self._restart_clock(context)  # an evaluation is not part of the speed

    def end(self, context: RunContext) -> None:
        """Take the bar away and say how it ended."""
        seconds = time.perf_counter() - self._started
        done = context.step - context.first_step
        text = f"{done} steps in {_duration(seconds)}"
        if done:
            text += f", now at step {context.step}: {_numbers({'loss': context.loss})}"
        if context.stop_reason:
            text += f"; stopped: {context.stop_reason}"
        self._say(text)
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _restart_clock(self, context: RunContext) -> None:
        self._since = time.perf_counter()
        self._examples = context.examples

    def _describe(self, context: RunContext, now: float) -> str:
        numbers = {"loss": context.loss, **context.metrics}
        done = context.examples - self._examples
        if done:  # nothing yet, if an evaluation has just restarted the clock
            self._speed = done / max(now - self._since, 1e-9)
        text = _numbers(numbers)
        if self._speed:
            text += f"  {self._speed:,.0f} images/s"
        if context.last_step is not None:
            each = (now - self._started) / max(context.step - context.first_step, 1)
            text += f"  {_duration(each * (context.last_step - context.step))} left"
        return text

    def _say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.say(line)
        else:
            print(line, file=self._out, flush=True)


class _Bar:
    """A rich progress bar."""

    def __init__(self, file: TextIO, first: int, last: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console = Console(file=file)
        columns = (BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task("", total=last, completed=first)
        self._progress.start()

    def move(self, step: int, text: str) -> None:
        """Show a step and what there is to say of it."""
        self._progress.update(self._task, completed=step, description=text)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take it away."""
        self._progress.stop()


def _of(context: RunContext) -> str:
    return f"{context.step}/{context.last_step}" if context.last_step else f"{context.step}"


def _numbers(values: dict[str, Any]) -> str:
    """Return names and values, without those that are not single numbers."""
    shown = {k: v for k, v in values.items() if not isinstance(v, dict) and not np.ndim(v)}
    return "  ".join(f"{name} {value:.4g}" for name, value in shown.items())


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02.0f} s"
