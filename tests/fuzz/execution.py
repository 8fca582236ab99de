"""One execution of a reader, watched: what it raises, opens, starts, and how long it takes."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from minicnn.errors import MinicnnError

ROOT = Path(__file__).resolve().parents[2]
TARGETS = "tests.fuzz.targets"
# What no reader has any business with
_STARTS = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "os.system",
    "pty.spawn", "socket.connect", "socket.bind", "subprocess.Popen", "ctypes.dlopen",
    "pickle.find_class", "os.putenv", "os.chmod", "os.chown", "os.symlink", "os.link",
})  # fmt: skip


class Hang(BaseException):
    """An execution took too long; no reader may catch it."""


class Escape(BaseException):
    """A reader did what no reader needs to do; none may catch it."""


class Outcome(NamedTuple):
    """What came of one execution."""

    path: tuple[Any, ...]  # where it went: the same for inputs that were treated alike
    fault: str = ""  # one line if it is a finding
    details: str = ""  # the traceback then

    @property
    def hung(self) -> bool:
        """Whether it was stopped at the limit of time."""
        return self.path[:1] == (Hang.__name__,)


def names(package: str = TARGETS) -> list[str]:
    """Return the names of the targets that lie in a package's folder."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    return sorted(p.stem for p in folder.glob("*.py") if not p.stem.startswith("_"))


def load(name: str, package: str = TARGETS) -> ModuleType:
    """Return a target's module."""
    return importlib.import_module(f"{package}.{name}")


def scratch() -> Path:
    """Return where short-lived files go: memory if the system offers it as a folder."""
    memory = Path("/dev/shm")
    return memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())


class Runner:
    """Runs a target on inputs, one at a time, in the main thread.

    Parameters
    ----------
    target : module
        See `tests.fuzz`.
    folder : Path
        An empty folder of its own.
    limit : float
        Seconds that an execution may take.
    """

    def __init__(self, target: ModuleType, folder: Path, limit: float) -> None:
        self._target, self._limit = target, limit
        self._folder = folder / "input"
        self._folder.mkdir()
        self._around = folder
        self._watching = False
        self._places = _places(folder)
        self._unraisable: list[str] = []
        self._clock = hasattr(signal, "setitimer")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Watch this process from now on: warnings, what is opened and what is started."""
        before = sys.unraisablehook, signal.getsignal(signal.SIGALRM) if self._clock else None
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            sys.unraisablehook = lambda what: self._unraisable.append(repr(what.exc_value))
            if self._clock:
                signal.signal(signal.SIGALRM, self._ring)
            _watch(self)
            try:
                yield
            finally:
                _watchers.remove(self)
                sys.unraisablehook = before[0]
                if self._clock:
                    signal.signal(signal.SIGALRM, before[1])

    def execute(self, data: bytes) -> Outcome:
        """Run the target once."""
        if self._clock:
            # Again and again: the first ring may be swallowed in a __del__
            signal.setitimer(signal.ITIMER_REAL, self._limit, self._limit)
        self._watching = True
        try:
            self._target.run(data, self._folder)
            outcome = Outcome(("returned",))
        except MinicnnError as error:
            outcome = self._refused(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            outcome = self._found(error)
        finally:
            self._watching = False
            if self._clock:
                signal.setitimer(signal.ITIMER_REAL, 0)
        if self._unraisable:
            text = self._unraisable.pop()
            self._unraisable.clear()
            return Outcome(("left behind", *outcome.path[-1:]), f"left behind: {text}", text)
        return outcome

    def outside(self) -> list[str]:
        """Return what lies beside the folder that the target was given."""
        return sorted(p.name for p in self._around.iterdir() if p != self._folder)

    def _refused(self, error: MinicnnError) -> Outcome:
        cause: BaseException | None = error
        for _ in range(10):
            cause = cause and (cause.__cause__ or cause.__context__)
            if isinstance(cause, MemoryError):
                return self._found(error, "memory ran out: ")
        below = _lines(error.__cause__) if error.__cause__ else []
        return Outcome((type(error).__name__, *_lines(error), *below))

    def _found(self, error: BaseException, why: str = "") -> Outcome:
        text = " ".join(str(error).split())[:160]
        details = "".join(traceback.format_exception(error, limit=-30))
        if isinstance(error, Hang):  # it is anywhere in its loop when the clock rings
            return Outcome((Hang.__name__,), text, details[-20_000:])
        path = type(error).__name__, *_lines(error)[-1:]
        return Outcome(path, f"{why}{type(error).__name__}: {text}", details[-20_000:])

    def _ring(self, *_: object) -> None:
        if self._watching:
            raise Hang(f"more than {self._limit} s")

    def audit(self, event: str, given: tuple[Any, ...]) -> None:
        """Object to what is opened outside of the folder and to what is started."""
        if not self._watching:
            return
        if event in _STARTS:
            raise Escape(f"{event} {given!r:.200}")
        if event == "open" and isinstance(given[0], str | bytes):
            path = os.path.abspath(os.fsdecode(given[0]))
            writes = bool(given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            if not path.startswith(self._places[:1] if writes else self._places):
                raise Escape(f"open {path!r} to {'write' if writes else 'read'}")


_watchers: list[Runner] = []
_hooked: list[bool] = []


def _watch(runner: Runner) -> None:
    """Pass on what Python audits; a hook cannot be taken away again, so there is one."""
    _watchers.append(runner)
    if not _hooked:
        _hooked.append(True)
        sys.addaudithook(lambda event, given: [w.audit(event, given) for w in _watchers] and None)


def _places(folder: Path) -> tuple[str, ...]:
    """Return the beginnings of paths that may be read; only the first may be written."""
    code = {str(ROOT), sys.prefix, sys.base_prefix, os.path.dirname(os.__file__)}
    system = ("/proc/self/", "/sys/", "/dev/null", "/usr/share/zoneinfo")
    return (os.path.join(os.path.abspath(folder), ""), *sorted(code), *system)


def _lines(error: BaseException) -> list[tuple[str, int]]:
    """Return the lines of minicnn that an error came through."""
    found = []
    trace = error.__traceback__
    while trace is not None and len(found) < 20:
        found.append((trace.tb_frame.f_code.co_name, trace.tb_lineno))
        trace = trace.tb_next
    return found
