"""A checkpoint that is intact, but whose state no Estimator saved, is refused by name."""

import hashlib
import json
import re

import numpy as np
import pytest
from small_runs import estimator, training_data

from minicnn.errors import CheckpointError
from minicnn.estimator import newest_checkpoint, save_checkpoint


def rewrite(path, change):
    """Change the state, and its checksum with it."""
    head = json.loads((path / "state.json").read_bytes())
    content = json.dumps(head | {"state": change(head["state"])}).encode()
    (path / "state.json").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    sums = (path / "SHA256SUMS").read_text("ascii")
    sums = re.sub(r"\w+(?=  state\.json$)", digest, sums, flags=re.M)
    (path / "SHA256SUMS").write_text(sums, "ascii")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with estimator(folder) as run:
        data = training_data()
        run.train(lambda: data, steps=2)
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: None, "it is no dict"),
        (lambda s: [], "it is no dict"),
        (lambda s: {}, "it has no 'params'"),
        (lambda s: {k: v for k, v in s.items() if k != "input"}, "it has no 'input'"),
        (lambda s: s | {"examples": "many"}, "its 'examples' is 'many'"),
        (lambda s: s | {"examples": True}, "its 'examples' is True"),
        (lambda s: s | {"input": None}, "its 'input' is None"),
        (lambda s: s | {"input": {"passes": 0, "at": 1}}, "its 'input' is "),
        (lambda s: s | {"input": {"passes": "x", "at": 1, "position": None}}, "its 'input' is "),
        (lambda s: s | {"input": s["input"] | {"at": -1}}, "its 'input' is "),
        (lambda s: s | {"input": s["input"] | {"position": 3}}, "its 'input' is "),
        (lambda s: s | {"hooks": [1]}, r"its 'hooks' is \[1\]"),
        (lambda s: s | {"best": "x"}, "its 'best' is 'x'"),
        (lambda s: s | {"best": {"step": []}}, "its 'best' is "),
        (lambda s: s | {"loss_scaler": 3}, "its 'loss_scaler' is 3"),
    ],
)
def test_a_foreign_state_is_refused(run, change, says):
    path = newest_checkpoint(run / "checkpoints")
    kept = {name: (path / name).read_bytes() for name in ("state.json", "SHA256SUMS")}
    try:
        rewrite(path, change)
        with pytest.raises(CheckpointError, match=f"{path / 'state.json'}: .*{says}"):
            estimator(run)
    finally:
        for name, content in kept.items():
            (path / name).write_bytes(content)
    assert estimator(run).step == 2


def test_checkpoints_of_one_s_own_give_their_weights(tmp_path):
    weights = {"conv.weight": np.zeros((1, 1, 3, 3), np.float32)}
    path = save_checkpoint(tmp_path / "checkpoints", 2, weights, {})
    with pytest.raises(CheckpointError, match="load the weights alone with load_weights"):
        estimator(tmp_path)
    estimator().load_weights(path)
