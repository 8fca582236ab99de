"""Who compiles what: several threads, several processes, and one that is killed over it."""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
import warnings

import numpy as np
import pytest

from minicnn.kernels.cpu import conv
from minicnn.kernels.cpu.vector import objects
from minicnn.ops._windows import Window

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
LIMIT = 30.0  # seconds, after which something hangs


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A cache of its own, and no function known yet."""
    if objects.machine() is None:
        pytest.skip("no code is generated for this CPU")
    monkeypatch.setattr(objects, "folder", lambda: tmp_path / "kernels")
    monkeypatch.setattr(objects, "_functions", {})
    return tmp_path / "kernels"


def convolved():
    x = np.linspace(0, 1, 4 * 3 * 19 * 19, dtype=np.float32).reshape(4, 3, 19, 19)
    weight = np.linspace(-1, 1, 5 * 3 * 3 * 3, dtype=np.float32).reshape(5, 3, 3, 3)
    window = Window.of("conv2d", (19, 19), (3, 3), 1, 0)
    return conv(x, weight, None, (17, 17), window, 1).tobytes()


@pytest.fixture
def expected():
    return convolved()


def test_threads_that_ask_first_build_it_once(expected, empty_cache, monkeypatch):
    built, build = [], objects._object

    def count(name, *rest):
        built.append(name)
        return build(name, *rest)

    monkeypatch.setattr(objects, "_object", count)
    start, found = threading.Barrier(6), []

    def work():
        start.wait(LIMIT)
        found.append(convolved())

    threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert found == [expected] * 6
    assert built
    assert len(built) == len(set(built))


def child(work):
    """Begin to do something in a forked process, which ends with 0 if it is true."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there may be threads
        process = os.fork()
    if not process:
        signal.alarm(int(LIMIT))
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return process


def end(process):
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


@forks
def test_processes_that_share_a_fresh_cache(expected, empty_cache, monkeypatch):
    begin = time.time() + 0.1

    def work():
        time.sleep(max(0.0, begin - time.time()))
        return convolved() == expected

    assert [end(process) for process in [child(work) for _ in range(3)]] == [0, 0, 0]
    assert all(objects._read(entry) is not None for entry in empty_cache.iterdir())
    monkeypatch.setattr(objects, "_write", None)  # nothing is built any more
    assert convolved() == expected


class Killed:
    """A temporary file during whose writing the process is killed."""

    def __init__(self, share, **options):
        self._share, self._file = share, REAL(**options)
        self.name = self._file.name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, content):
        self._file.write(content[: int(self._share * len(content))])
        self._file.flush()
        if self._share < 1:
            os.kill(os.getpid(), signal.SIGKILL)


REAL = tempfile.NamedTemporaryFile


@forks
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_process_killed_while_it_writes_leaves_nothing_that_is_read(
    share, expected, empty_cache, monkeypatch
):
    def work():
        objects.tempfile.NamedTemporaryFile = lambda **options: Killed(share, **options)
        return convolved()

    assert end(child(work)) == -signal.SIGKILL
    (left,) = empty_cache.iterdir()
    assert not left.name.startswith("minicnn_")  # half an entry has not an entry's name
    assert convolved() == expected
    entries = [path for path in empty_cache.iterdir() if path != left]
    assert entries
    assert all(objects._read(path) is not None for path in entries)


def test_ctrl_c_leaves_nothing_behind(empty_cache, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(objects.Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convolved()
    assert list(empty_cache.iterdir()) == []
