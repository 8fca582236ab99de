"""Ctrl-C during training, and what a system says before it ends a program.

Once to end after the step, twice to end at once.  SIGTERM (a shutdown, a batch system, a container
that is stopped) and SIGHUP (a terminal that was closed) count as Ctrl-C does, unless the program
does something of its own about them or ignores them, as ``nohup`` has it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from minicnn.backend.forking import lost_openmp

_NOTICE = b"\nfinishing this step; press Ctrl-C again to stop at once\n"
_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP ended the training; the message says how to go on.

    Attributes
    ----------
    step : int
        The last step that was done.
    checkpoint : Path or None
        Where it was saved.
    number : int
        Of the signal: SIGINT for Ctrl-C, or SIGTERM, or SIGHUP.
    trouble : str
        Why it could not be saved, empty if it was.
    """

    def __init__(
        self, step: int, checkpoint: Path | None, number: int = signal.SIGINT, trouble: str = ""
    ) -> None:
        super().__init__(step, checkpoint, number, trouble)
        self.step, self.checkpoint, self.number, self.trouble = step, checkpoint, number, trouble

    def __str__(self) -> str:
        by = "" if self.number == signal.SIGINT else f" by {signal.Signals(self.number).name}"
        if self.trouble:
            return f"stopped{by} after step {self.step}, which could not be saved: {self.trouble}"
        if self.checkpoint is None:
            return (
                f"stopped{by} after step {self.step}; not saved, for the RunConfig has no model_dir"
            )
        return (
            f"stopped{by} after step {self.step}, saved in {self.checkpoint}; run the same again "
            "to go on from there"
        )


class Interrupts:
    """Counts the signals that ask for an end inside a ``with`` block, in the main thread.

    The first is only counted. The second raises KeyboardInterrupt, unless weights are
    being written at that moment.
    """

    def __init__(self) -> None:
        self.count = 0
        self.signal = int(signal.SIGINT)  # the first that came
        self._shielded = False
        self._before: dict[int, Any] = {}
        self._process = os.getpid()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                before = signal.getsignal(number)
                own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                # Whatever handles Ctrl-C comes back afterwards; not where it is ignored, as in a
                # job in the background. A program's own way with the others is left alone.
                if number == signal.SIGTERM and lost_openmp():
                    continue  # Numba ends this process by it, and goes on with nothing otherwise
                if before is own or (number == signal.SIGINT and callable(before)):
                    self._before[number] = before
                    signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Let no Ctrl-C raise inside the ``with`` block."""
        before, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = before

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._process != os.getpid():  # a child that was forked meanwhile ends as any other
            signal.signal(number, self._before[number])
            signal.raise_signal(number)
            return
        self.count += 1
        if self.count == 1:
            self.signal = number
            with contextlib.suppress(OSError):
                os.write(2, _NOTICE)  # print() is not safe here: it may be the one interrupted
        elif not self._shielded:
            raise KeyboardInterrupt
