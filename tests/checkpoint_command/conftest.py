"""A run's folder, and the command."""

import pytest

from minicnn.checkpoint import main
from tests.checkpoint_command.folders import save


@pytest.fixture
def run(tmp_path):
    """A run with checkpoints of three steps, the second of which was the best."""
    folder = tmp_path / "run"
    best = {"step": 400, "name": "validation", "metric": "accuracy", "value": 0.97}
    for step in (200, 400, 600):
        save(folder, step, step, **({"best": best} if step > 200 else {}))
    return folder


@pytest.fixture
def command(capsys):
    """Call the command; return its status, output and errors."""

    def call(*words):
        status = main([str(word) for word in words])
        written = capsys.readouterr()
        assert "\x1b" not in written.out + written.err
        return status, written.out, written.err

    return call
