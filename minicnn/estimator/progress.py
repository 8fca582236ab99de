"""A hook that shows people how a run goes."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

from minicnn.estimator._scalars import single_numbers
from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext

_REDRAW = 0.1  # seconds


class ProgressHook(Hook):
    """Shows a bar with loss, metrics, images a second and the time left.

    Where the output is not a terminal it prints plain lines instead. Where there is none (any more:
    the window was closed, the connection broke) it is silent, and training goes on.

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
        self._out: TextIO | None = None
        self._bar: _Bar | None = None

    def begin(self, context: RunContext) -> None:
        """Say where the run stands, and show the bar."""
        self._out = self._file or sys.stderr  # None in a Windows program without a console
        self._every = self.every or context.estimator.config.log_every or 100
        self._started = self._drawn = time.perf_counter()
        self._speed = 0.0
        self._restart_clock(context)
        with self._bearing():
            if self._out is not None and self._out.isatty():
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
                text = self._describe(context, now)  # where the model may have something to say
                with self._bearing():
                    self._bar.move(context.step, text)
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
        bar, self._bar = self._bar, None
        if bar is not None:
            with self._bearing():
                bar.close()

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
        with self._bearing():
            if self._bar is not None:
                self._bar.say(line)
            elif self._out is not None:
                print(_printable(line, self._out), file=self._out, flush=True)

    @contextlib.contextmanager
    def _bearing(self) -> Iterator[None]:
        """Bear an output that is gone: be silent from then on."""
        try:
            yield
        except (OSError, ValueError, AttributeError):  # gone, closed, or never a file
            bar, self._out, self._bar = self._bar, None, None
            if bar is not None:
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    bar.close()  # which gives back the standard streams


class _Bar:
    """A rich progress bar."""

    def __init__(self, file: TextIO, first: int, last: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
        from rich.table import Column

        self._file = file
        self._console = Console(file=file)
        self._console.width = self._console.width or 80  # COLUMNS may be 0
        self._console.on_broken_pipe = _raise  # type: ignore[method-assign]  # not SystemExit
        # No "…" where there is no room: a terminal may not have that character
        text = Column(no_wrap=True, overflow="crop")
        description = TextColumn("{task.description}", markup=False, table_column=text)
        columns = (BarColumn(24), MofNCompleteColumn(), description)
        # Drawn by this thread alone: in one of its own, nobody hears that the terminal is gone
        self._progress = Progress(
            *columns, console=self._console, transient=True, auto_refresh=False
        )
        self._task = self._progress.add_task("", total=last, completed=first)
        self._progress.start()

    def move(self, step: int, text: str) -> None:
        """Show a step and what there is to say of it."""
        text = _printable(text, self._file)
        self._progress.update(self._task, completed=step, description=text, refresh=True)

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        line = _printable(line, self._file)
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Take it away."""
        self._progress.stop()


def _raise() -> None:
    """Raise the error that is being handled."""
    raise


def _printable(line: str, file: TextIO) -> str:
    """Return a line as a terminal that has not all characters can show it."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    return line.encode(encoding, "backslashreplace").decode(encoding)


def _of(context: RunContext) -> str:
    return f"{context.step}/{context.last_step}" if context.last_step else f"{context.step}"


def _numbers(values: dict[str, Any]) -> str:
    """Return names and values, without those that are not single numbers."""
    return "  ".join(f"{name} {value:.4g}" for name, value in single_numbers(values).items())


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02.0f} s"
