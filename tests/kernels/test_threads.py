"""The same bits on any number of threads, of the kernels' and of the BLAS's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.kernels import bits

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {
    "1 thread": {"MINICNN_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
    "2 threads": {"MINICNN_THREADS": "2"},
    "4 threads, BLAS with 3": {"MINICNN_THREADS": "4", "OPENBLAS_NUM_THREADS": "3"},
}


def run(code: list[str], **environment: str) -> str:
    env = {k: v for k, v in os.environ.items() if not k.startswith("MINICNN_")}
    result = subprocess.run(
        [sys.executable, *code],
        cwd=ROOT,
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return json.loads(run(["-m", "tests.kernels.bits"], **SETTINGS["1 thread"]))


@pytest.mark.parametrize("setting", list(SETTINGS)[1:])
def test_the_number_of_threads_changes_no_bit(expected, setting):
    assert json.loads(run(["-m", "tests.kernels.bits"], **SETTINGS[setting])) == expected


def test_threads_that_come_and_go_change_no_bit(expected, monkeypatch):
    """In this process, whatever ran before; and from a thread that is not the main one."""
    for threads in ("3", "1", "8"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        assert bits.hashes() == expected
    found: list[dict[str, str]] = []
    others = [threading.Thread(target=lambda: found.append(bits.hashes())) for _ in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert found == [expected, expected]


PLAIN = """
import sys
from tests.kernels import bits
for call in bits.CALLS.values():
    y, given = call()
    y.sum().backward()
assert "numba" not in sys.modules, "MINICNN_JIT=0 is to run where Numba does not"
assert "minicnn.kernels.cpu" not in sys.modules
"""


def test_without_compilation_nothing_of_numba_is_imported():
    run(["-c", PLAIN], MINICNN_JIT="0")
