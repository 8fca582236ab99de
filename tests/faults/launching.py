"""Starts victims, waits for them with a limit, and tells how they ended.

Most are forked from this process, which has imported minicnn once and never starts a thread; a
share are fresh interpreters.
"""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import victim
from tests.faults.victim import Orders

_PAUSE = 0.002  # seconds between two looks at a process
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Outcome:
    """How a process ended.

    Attributes
    ----------
    status : int
        Its exit status, or minus the signal that ended it.
    hung : bool
        Whether it had to be ended, for it took too long.
    seconds : float
        How long it took.
    output : str
        What it printed, of both kinds.
    diary : list of dict
        What a victim told.
    """

    status: int
    hung: bool
    seconds: float
    output: str
    diary: list[dict[str, Any]] = field(default_factory=list)

    def told(self, what: str) -> list[dict[str, Any]]:
        """Return the entries of a kind."""
        return [entry for entry in self.diary if entry["what"] == what]

    @property
    def killed(self) -> bool:
        """Whether it was killed without a chance to say anything."""
        return self.status == -signal.SIGKILL and not self.hung


class Running:
    """A process that has been started.

    Parameters
    ----------
    pid : int
        Its number.
    output : Path
        Where its output goes.
    diary : Path or None
        Its diary.
    """

    def __init__(self, pid: int, output: Path, diary: Path | None) -> None:
        self.pid, self._output, self._diary = pid, output, diary
        self._start = time.monotonic()
        self._raw: int | None = None  # how it ended

    def send(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def _look(self, options: int = 0) -> int | None:
        """Return the status that `waitpid` tells, None as long as there is none."""
        if self._raw is None:
            pid, raw = os.waitpid(self.pid, os.WNOHANG | options)
            if pid and os.WIFSTOPPED(raw):
                return raw
            self._raw = raw if pid else None
        return self._raw

    def wait_until_stopped(self, limit: float) -> bool:
        """Wait until it stopped itself (SIGSTOP); False if it ended instead."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            raw = self._look(os.WUNTRACED)
            if raw is not None:
                return os.WIFSTOPPED(raw)
            time.sleep(_PAUSE)
        return False

    def wait(self, limit: float, signals: Sequence[tuple[float, int]] = ()) -> Outcome:
        """Wait for its end; send signals at some times, in seconds from its start."""
        hung, due = False, sorted(signals)
        while (raw := self._look()) is None:
            now = time.monotonic() - self._start
            if due and now >= due[0][0]:
                self.send(due.pop(0)[1])
                continue
            if now > limit and not hung:
                hung = True
                self.send(signal.SIGABRT)  # its faulthandler prints what all threads are doing
            elif now > limit + 2:
                self.send(signal.SIGKILL)
            time.sleep(max(0.0, min(_PAUSE, due[0][0] - now)) if due else _PAUSE)
        return Outcome(
            os.waitstatus_to_exitcode(raw),
            hung,
            time.monotonic() - self._start,
            self._output.read_text("utf-8", "replace")[-20_000:],
            read_diary(self._diary),
        )


def read_diary(path: Path | None) -> list[dict[str, Any]]:
    """Return the entries of a diary."""
    if path is None or not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]  # a kill may tear one


def start(orders: Orders, output: Path, fresh: bool, jit: bool) -> Running:
    """Start a victim, as a fork of this process or as a fresh interpreter."""
    diary = Path(orders.diary)
    diary.unlink(missing_ok=True)
    if not fresh and sys.platform != "darwin":  # whose libraries do not bear a fork
        return fork(lambda: victim.main(orders), output, diary, jit)
    command = [sys.executable, "-X", "faulthandler", "-m", "tests.faults.victim", orders.to_json()]
    return spawn(command, output, diary, jit)


def spawn(command: list[str], output: Path, diary: Path | None, jit: bool) -> Running:
    """Start a program."""
    environment = os.environ | {"MINICNN_JIT": "1" if jit else "0"}
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, env=environment, cwd=ROOT
        )
    process.returncode = 0  # it is waited for here, not there
    return Running(process.pid, output, diary)


def fork(
    function: Callable[[], int], output: Path, diary: Path | None = None, jit: bool = False
) -> Running:
    """Call a function in a fork of this process, which must have no threads."""
    if threading.active_count() > 1:
        raise RuntimeError(f"this process has threads: {threading.enumerate()}")
    sys.stdout.flush()
    sys.stderr.flush()
    output.write_bytes(b"")  # the child may be killed before it opens it
    pid = os.fork()
    if pid == 0:
        _become(function, output, jit)
    return Running(pid, output, diary)


def _become(function: Callable[[], int], output: Path, jit: bool) -> None:
    status = 1
    try:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        for descriptor in (1, 2):
            os.dup2(file, descriptor)
        faulthandler.enable()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.environ["MINICNN_JIT"] = "1" if jit else "0"
        status = function()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
