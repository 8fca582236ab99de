"""Faults that strike inside the victim: at the n-th time that it comes to some place.

Places are of the training (``before_step``, ``before_update``, ``after_step``, ``evaluate``), of
the pipeline (``worker``: in a function of a map on a thread; ``prefetch``: on the thread that reads
ahead) and of the file system, for files of the model_dir only: ``open``, ``write``, ``fsync``,
``rename`` and ``renamed``, ``unlink``, ``rmdir``, ``mkdir``. Those are counted at the system's door
(`os.rename`, `io.open` ...), whoever knocks: nothing here knows how minicnn writes its files.
"""

import builtins
import collections
import io
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from minicnn.errors import DataError
from minicnn.estimator import Hook
from tests.faults import disks, power

SIGNALS = {
    name: getattr(signal, f"SIG{name.upper()}")
    for name in ("kill", "int", "term", "hup", "stop")
    if hasattr(signal, f"SIG{name.upper()}")
}
ERRORS: dict[str, Callable[[str], Exception]] = {
    "RuntimeError": RuntimeError,
    "MemoryError": MemoryError,
    "DataError": DataError,
    "StopIteration": StopIteration,
    "OSError": lambda text: OSError(5, "Input/output error", text),
}


@dataclass(frozen=True)
class Fault:
    """What happens, and when.

    Attributes
    ----------
    place, at : str, int
        Where; the n-th time that the victim is there, counted from 1.
    do : str
        A signal's name, "raise", "read-only", "power", "vanish", "shrink".
    part : float
        At "write": which part of the content is written before.
    times : int
        How often a signal is sent.
    what : str
        The error to raise, or the file to take away.
    """

    place: str
    at: int
    do: str
    part: float = 0.0
    times: int = 1
    what: str = ""


class Injector:
    """Counts the places that the victim comes to, and lets faults strike.

    Parameters
    ----------
    faults : list of Fault
        Each strikes once.
    model_dir : Path
        Whose files count.
    tell : callable
        Is told of each fault before it strikes.
    seed : int
        For what a power cut leaves.
    """

    def __init__(
        self, faults: list[Fault], model_dir: Path, tell: Callable[..., None], seed: int
    ) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self._due = {(fault.place, fault.at): fault for fault in faults}
        self._folder, self.tell = str(model_dir.absolute()), tell
        self._lock = threading.Lock()
        self._descriptors: set[int] = set()  # of files of the model_dir, to be made file objects
        self._journal = None
        if any(fault.do == "power" for fault in faults):
            self._journal = power.Journal(self._folder, Random(seed))
        # Where power is cut no other thread is in the middle of a change, nor makes one after it
        self.gate: Any = nullcontext() if self._journal is None else threading.RLock()

    def come(self, place: str) -> Fault | None:
        """Count one more visit to a place; return the fault that is due, if one is."""
        with self._lock:
            self.counts[place] += 1
            return self._due.get((place, self.counts[place]))

    def visit(self, place: str) -> None:
        """Count one more visit to a place, and strike if it is time."""
        fault = self.come(place)
        if fault is not None:
            self.strike(fault)

    def strike(self, fault: Fault) -> None:
        """Do it."""
        self.tell("struck", do=fault.do, place=fault.place, at=fault.at)
        if fault.do in SIGNALS:
            for _ in range(fault.times):
                os.kill(os.getpid(), SIGNALS[fault.do])
        elif fault.do == "raise":
            raise ERRORS[fault.what](f"planted: {fault.what}")
        elif fault.do == "power":
            assert self._journal is not None
            self.gate.acquire()
            power.cut_and_kill(self._journal)
        elif fault.do == "read-only":
            disks.make_read_only(Path(fault.what))
        elif fault.do == "vanish":
            os.rename(fault.what, f"{fault.what}.away")
        elif fault.do == "shrink":
            os.truncate(fault.what, os.path.getsize(fault.what) // 3)

    def hook(self) -> Hook:
        """Return the hook that is at the places of the training."""
        return _Places(self)

    def watch_files(self) -> None:
        """Count what is done to files of the model_dir from now on."""
        for module, name, place in (
            (os, "mkdir", "mkdir"),
            (os, "rename", "rename"),
            (os, "replace", "rename"),
            (os, "unlink", "unlink"),
            (os, "remove", "unlink"),
            (os, "rmdir", "rmdir"),
        ):
            setattr(module, name, self._counted(getattr(module, name), place))
        os.fsync = self._fsync(os.fsync)  # type: ignore[assignment]
        io.open = builtins.open = self._opened(io.open)
        os.open = self._descriptor(os.open)

    def _mine(self, path: Any, options: dict[str, Any]) -> bool:
        if options.get("dir_fd") is not None:  # of shutil.rmtree, in a folder that was opened
            return True
        if not isinstance(path, str | os.PathLike):
            return False
        return str(os.path.abspath(os.fspath(path))).startswith(self._folder)

    def _counted(self, function: Callable[..., Any], place: str) -> Callable[..., Any]:
        def call(path: Any, *arguments: Any, **options: Any) -> Any:
            if not self._mine(path, options):
                return function(path, *arguments, **options)
            self.visit(place)
            with self.gate:
                if self._journal is not None:
                    self._journal.before(place, path, *arguments, **options)
                result = function(path, *arguments, **options)
            if place == "rename":
                self.visit("renamed")
            return result

        return call

    def _fsync(self, function: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(descriptor: Any) -> None:
            self.visit("fsync")
            with self.gate:
                function(descriptor)
                if self._journal is not None:
                    self._journal.synced(descriptor)

        return fsync

    def _descriptor(self, function: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            mine = flags & (os.O_WRONLY | os.O_RDWR) and self._mine(path, options)
            if not mine:
                return function(path, flags, *arguments, **options)
            self.visit("open")
            with self.gate:
                if self._journal is not None:
                    self._journal.before("open", path)
                descriptor = function(path, flags, *arguments, **options)
            self._descriptors.add(descriptor)
            return descriptor

        return opened

    def _opened(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
            if isinstance(file, int) and file in self._descriptors:
                self._descriptors.discard(file)
                return _Written(function(file, mode, *arguments, **options), self)
            if not set(mode) & set("wxa+") or not self._mine(file, {}):
                return function(file, mode, *arguments, **options)
            if "opener" in options:  # which calls os.open
                return _Written(function(file, mode, *arguments, **options), self)
            self.visit("open")
            with self.gate:
                if self._journal is not None:
                    self._journal.before("open", file)
                return _Written(function(file, mode, *arguments, **options), self)

        return opened


class _Written:
    """A file that is written to; a fault may strike in the middle of a write."""

    def __init__(self, file: Any, injector: Injector) -> None:
        self._file, self._injector = file, injector

    def write(self, content: Any) -> int:
        fault = self._injector.come("write")
        if fault is not None:
            done = self._file.write(content[: int(len(content) * fault.part)])
            self._file.flush()
            self._injector.strike(fault)
            return done + self._file.write(content[done:])
        with self._injector.gate:
            return self._file.write(content)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "_Written":
        self._file.__enter__()
        return self

    def __exit__(self, *about: Any) -> Any:
        return self._file.__exit__(*about)

    def __iter__(self) -> Any:
        return iter(self._file)


class _Places(Hook):
    def __init__(self, injector: Injector) -> None:
        self._visit, self._tell = injector.visit, injector.tell

    def begin(self, context: Any) -> None:
        self._tell("training")

    def end(self, context: Any) -> None:
        self._tell("trained")

    def before_step(self, context: Any) -> None:
        self._visit("before_step")

    def before_update(self, context: Any) -> None:
        self._visit("before_update")

    def after_step(self, context: Any) -> None:
        self._visit("after_step")

    def after_evaluate(self, context: Any, name: str, results: dict[str, Any]) -> None:
        self._visit("evaluate")


def turn_back_the_clock(seed: int) -> None:
    """Let the time of day jump, mostly back, by up to days at every look at it."""
    random, now = Random(seed), time.time

    def jumping() -> float:
        return now() - random.choice([0, 1, 3600, 86_400, 10 * 86_400, -60]) * random.random()

    time.time = jumping
    time.time_ns = lambda: int(jumping() * 1e9)
    localtime, strftime = time.localtime, time.strftime
    time.localtime = lambda t=None: localtime(jumping() if t is None else t)
    time.strftime = lambda f, t=None: strftime(f, time.localtime() if t is None else t)
