"""The command in its surroundings: terminals, pipes, Ctrl-C, wrong use."""

import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from minicnn._command_line import byte_size
from minicnn.checkpoint import main
from minicnn.estimator import (
    _inspection as inspection,
)
from tests.checkpoint_command.folders import (
    ROOT,
    WEIGHTS,
    save,
)

POSIX = pytest.mark.skipif(os.name != "posix", reason="POSIX's files")


@POSIX
def test_output_in_an_encoding_without_its_characters(run):
    save(run, 800, weights=WEIGHTS | {"größe": np.zeros(2)})
    result = call("show", "--arrays", str(run), env={"PYTHONIOENCODING": "ascii"})
    assert result.returncode == 0, result.stderr
    assert b"gr\\xf6\\xdfe" in result.stdout


def call(*words, env=None, **more):
    return subprocess.run(
        [sys.executable, "-m", "minicnn.checkpoint", *words],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
        **({"stdout": subprocess.PIPE} | more),
    )


@POSIX
def test_a_reader_that_goes_away_is_no_error(run):
    ours, theirs = os.pipe()
    os.close(ours)
    result = call("show", str(run), stdout=theirs)
    os.close(theirs)
    assert (result.returncode, result.stderr) == (141, b"")


@POSIX
def test_output_that_the_shell_has_closed(run):
    words = f"{sys.executable} -m minicnn.checkpoint verify {run}"
    result = subprocess.run(
        ["sh", "-c", f"{words} >&-"], cwd=ROOT, stderr=subprocess.PIPE, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_output_that_cannot_be_written_is_one_line(run):
    with open("/dev/full", "wb") as full:
        result = call("verify", str(run), stdout=full)
    assert result.returncode == 2
    assert result.stderr.decode().splitlines() == [
        "python -m minicnn.checkpoint verify: error: [Errno 28] No space left on device"
    ]


def test_ctrl_c_ends_it_quietly(run, command, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(inspection, "examine", stop)
    status, _, err = command("verify", run)
    assert (status, err) == (130, "\nstopped\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "the following arguments are required: command"),
        (["list", "x"], "invalid choice: 'list'"),
        (["prune", "x"], "the following arguments are required: --keep"),
        (["show", "x", "\x1b[31m"], "unrecognized arguments: \\x1b[31m"),
    ],
)
def test_wrong_use_is_one_line(words, says, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert says in err
    assert len(err.splitlines()) == 1


def test_a_terminal_gets_tables_by_rich(run, command, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    out = command("show", run)[1]
    assert "──────" in out
    assert "step-00000600" in out
    assert max(map(len, out.splitlines()[1:])) <= 80
    monkeypatch.setenv("COLUMNS", "50")  # no room: a name gets a line of its own
    out = command("show", "--arrays", run)[1]
    assert re.search(r"^step-00000600$", out, re.M)
    assert re.search(r"^conv.weight$", out, re.M)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB"),
     (1_234_567_890, "1.2 GB"), (10**16, "10000.0 TB")],
)  # fmt: skip
def test_byte_size(count, text):
    assert byte_size(count) == text


def test_the_command_is_light():
    code = (
        "import sys, minicnn.checkpoint\n"
        "heavy = {'rich', 'numba', 'matplotlib', 'safetensors', 'PIL', 'onnx'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, timeout=60)


def test_no_warning_reaches_anybody(run, command):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        odd = {"conv.weight": np.array([np.inf, -np.inf, np.nan, 1e308, -1e308])}
        save(run, 800, weights=odd)
        save(run, 900, weights={"conv.weight": -odd["conv.weight"]})
        assert command("diff", run)[0] == 1
        assert command("show", "--arrays", run)[0] == 0
