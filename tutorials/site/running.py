"""Running a lesson as a reader does: in a fresh kernel, from its first cell to its last."""

from __future__ import annotations

import os
import re
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import nbformat
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

from tutorials.notebooks import notebook_text

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
ROOT = Path(__file__).resolve().parents[2]


class Ran(NamedTuple):
    """A lesson that was run.

    Parameters
    ----------
    path : Path
        The lesson.
    notebook : NotebookNode
        Its cells with their outputs.
    seconds : float
        From the start of the kernel to its end, by the clock.
    cpu_seconds : float
        What the kernel computed in that time, on all cores together.
    """

    path: Path
    notebook: nbformat.NotebookNode
    seconds: float
    cpu_seconds: float


class LessonError(Exception):
    """A lesson raised, or took too long."""


def read(path: Path) -> nbformat.NotebookNode:
    """Return a lesson as a notebook that was not run."""
    return nbformat.reads(notebook_text(path.read_text("utf-8")), as_version=4)


def run(path: Path, limit: float) -> Ran:
    """Run a lesson in a process of its own.

    Parameters
    ----------
    path : Path
        The lesson, a file in the percent format.
    limit : float
        The most seconds it may take.

    Returns
    -------
    Ran
        Its outputs and its time.

    Raises
    ------
    LessonError
        If a cell raises, with the traceback, or the time is over.
    """
    notebook = read(path)
    began, computed = time.monotonic(), _cpu_of_children()
    client = _Client(
        notebook,
        timeout_func=lambda _: max(int(limit - (time.monotonic() - began)), 1),
        resources={"metadata": {"path": str(path.parent)}},
    )
    with tempfile.TemporaryDirectory() as client.folder:
        try:
            client.execute(env=_environment())
        except CellExecutionError as error:
            told = _COLOURS.sub("", str(error))
            raise LessonError(f"{path.name}: a cell raises\n{told}") from None
        except CellTimeoutError:
            raise LessonError(f"{path.name}: takes more than {limit:g} s") from None
        except DeadKernelError:
            raise LessonError(f"{path.name}: its process died") from None
    seconds = time.monotonic() - began
    if seconds > limit:
        raise LessonError(f"{path.name}: takes {seconds:.1f} s, more than {limit:g} s")
    return Ran(path, notebook, seconds, _cpu_of_children() - computed)


class _Client(NotebookClient):
    """Runs the cells in this Python, whatever kernels the user has installed."""

    folder: str

    def create_kernel_manager(self) -> AsyncKernelManager:
        write_kernel_spec(Path(self.folder) / "python3")
        self.km = AsyncKernelManager(
            kernel_name="python3",
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[self.folder]),
            connection_file=f"{self.folder}/kernel.json",
        )
        if os.name == "posix":  # no port is opened
            self.km.transport, self.km.ip = "ipc", f"{self.folder}/kernel"
        return self.km


def _environment() -> dict[str, str]:
    """Return the environment of a lesson: without a screen, and with this checkout first."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "MPLBACKEND": "agg",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
