"""Detectors on real photographs, as far as they are here: they are read, learned from, judged."""

import os
from pathlib import Path

import numpy as np
import pytest
from command_line import result

from minicnn.apps import detect as app

SETS = {
    "bccd": ("MINICNN_BCCD", "bccd-train-val.zip", [], ("Platelets", "RBC", "WBC"), 87),
    "gtsdb": ("MINICNN_GTSDB", "gtsdb-train-half.zip", ["--one-class"], ("sign",), 120),
}


@pytest.mark.parametrize("name", SETS)
def test_a_few_steps_on_real_photographs(name, tmp_path, detect):
    variable, file, words, classes, held_out = SETS[name]
    path = Path(os.environ.get(variable, f"no {variable}"))
    path = path / file if path.is_dir() else path
    if not path.exists():
        pytest.skip(f"real images needed: set {variable} to the folder with {file}, or to the file")
    status, out, err = detect(
        "--data", path, "--skip-bad", "--detector", "yolo", "--size", 64, 96, "--channels", 4,
        "--least", 2, "--steps", 2, "--model-dir", tmp_path, "--json", *words,
    )  # fmt: skip
    assert status == 0, err
    assert result(out)["examples"] == held_out
    run = app.load_run(tmp_path)
    assert run.settings.names == classes
    assert run.settings.flips == {"bccd": "left-right", "gtsdb": "none"}[name]
    assert all(np.isfinite(array).all() for array in run.net.state_dict().values())
