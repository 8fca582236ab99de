"""Ctrl-C during training: once to end after the step, twice to end at once."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

_NOTICE = b"\nfinishing this step; press Ctrl-C again to stop at once\n"


class Interrupted(KeyboardInterrupt):
    """Ctrl-C ended the training; the message says how to go on.

    Attributes
    ----------
    step : int
        The last step that was done.
    checkpoint : Path or None
        Where it was saved.
    """

    def __init__(self, step: int, checkpoint: Path | None) -> None:
        super().__init__(step, checkpoint)
        self.step, self.checkpoint = step, checkpoint

    def __str__(self) -> str:
        if self.checkpoint is None:
            return f"stopped after step {self.step}; not saved, for the RunConfig has no model_dir"
        return (
            f"stopped after step {self.step}, saved in {self.checkpoint}; run the same again to "
            "go on from there"
        )


class Interrupts:
    """Counts Ctrl-C inside a ``with`` block, in the main thread.

    The first is only counted. The second raises KeyboardInterrupt, unless weights are
    being written at that moment.
    """

    def __init__(self) -> None:
        self.count = 0
        self._shielded = False
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if callable(before):  # not where it is ignored, as in a job in the background
                self._before = before
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    @contextlib.contextmanager
    def shield(self) -> Iterator[None]:
        """Let no Ctrl-C raise inside the ``with`` block."""
        before, self._shielded = self._shielded, True
        try:
            yield
        finally:
            self._shielded = before

    def _handle(self, _: int, __: FrameType | None) -> None:
        self.count += 1
        if self.count == 1:
            with contextlib.suppress(OSError):
                os.write(2, _NOTICE)  # print() is not safe here: it may be the one interrupted
        elif not self._shielded:
            raise KeyboardInterrupt
