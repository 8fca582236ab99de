"""What all tests share."""

import importlib
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import settings

from tests.cuda.engine import engines, start

# Examples take as long as they take: a slow machine is no failure.  "ci" draws the same ones
# each time; "nightly" draws many more: pytest --hypothesis-profile=nightly
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=5_000)
settings.load_profile("ci" if os.environ.get("CI") else "default")


def pytest_configure():
    """Hear signals: a job in the background ignores Ctrl-C, one under nohup a lost terminal."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def seeded():
    """The same weights whichever tests ran before: pytest-xdist shares them out differently."""
    from minicnn import nn

    with nn.seed(0):
        yield


@pytest.fixture(scope="session")
def real_signs():
    """The folder of real photographs that MINICNN_GTSRB names."""
    folder = os.environ.get("MINICNN_GTSRB", "")
    if not (Path(folder) / "gtsrb-train-cap64.zip").is_file():
        pytest.skip("set MINICNN_GTSRB to a folder with gtsrb-train-cap64.zip to run on real signs")
    return Path(folder)


def pytest_generate_tests(metafunc):
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", engines(metafunc.config), indirect=True, scope="session")


@pytest.fixture(scope="session")
def engine(request):
    """What plays the GPU, ready: "host", or in a run of its own (pytest -m gpu) "gpu"."""
    start(request.param)
    return request.param


@pytest.fixture(scope="session")
def cuda(engine):
    """The CUDA kernels."""
    return importlib.import_module("minicnn.kernels.cuda")


@pytest.fixture
def device(engine, monkeypatch):
    """The name of the GPU, or of what plays one."""
    monkeypatch.setenv("MINICNN_CUDA", "host" if engine == "host" else "")
    return "cuda:0"


# At the end of a run: how many wrong ops were planted, and how many were caught.  Where
# pytest-xdist shares the tests out, each worker says what it tried.
_mutants: dict[str, tuple[int, int]] = {}


def _count_mutants():
    if "tests.ops.mutants" in sys.modules:
        _mutants.update(sys.modules["tests.ops.mutants"].counted())
    return _mutants


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["mutants"] = _count_mutants()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    found = getattr(node, "workeroutput", {}).get("mutants", {})
    _mutants.update({op: tuple(counts) for op, counts in found.items()})


def pytest_terminal_summary(terminalreporter):
    if found := _count_mutants():
        planted, caught = map(sum, zip(*found.values(), strict=True))
        terminalreporter.write_line(
            f"mutants: {planted} planted in {len(found)} ops, {caught} caught"
        )
