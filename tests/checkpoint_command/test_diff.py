"""What `diff` measures."""

import re
import shutil

import numpy as np

from minicnn.estimator import _comparing as comparing
from minicnn.estimator import (
    save_checkpoint,
)
from tests.checkpoint_command.folders import (
    WEIGHTS,
    as_json,
    flip,
    save,
)


def test_the_same_bits_are_no_difference(run, tmp_path, command):
    shutil.copytree(run, tmp_path / "copy")
    status, out, _ = command("diff", run, tmp_path / "copy/checkpoints/step-00000600")
    assert status == 0
    assert "weights.safetensors: 3 arrays, 3 with the same bits, 0 different" in out
    assert re.search(r"^settings +the same$", out, re.M)
    assert out.endswith("weights and optimiser: the same bits\n")
    report = as_json(command("diff", run, tmp_path / "copy", "--json")[1])
    assert report["same"] is True


def test_diff_of_a_run_compares_its_newest_two_sound_ones(run, command):
    save(run, 800)
    flip(run / "checkpoints/step-00000800/weights.safetensors")
    status, out, _ = command("diff", run)
    assert status == 1
    lines = out.splitlines()
    assert lines[0].endswith("step-00000400: step 400")
    assert lines[1].endswith("step-00000600: step 600")
    assert re.search(r"^examples +was 12800, is 19200$", out, re.M)
    assert re.search(r"^input +at was 400, is 600$", out, re.M)
    assert re.search(r"^best +the same$", out, re.M)
    assert re.search(r"^conv.bias +4 +4 +200 +0.333$", out, re.M)
    assert "/hooks/Curves/loss: of shape (4,) and (6,)" in out


def test_diff_measures_every_kind_of_difference(tmp_path, command):
    base = np.linspace(1, 2, 300_000, dtype=np.float32)
    other = base.copy()
    other[[5, 270_000]] += np.float32([0.5, -0.25])
    nan = np.array([np.nan, 1, np.inf, -np.inf, 0.0, 5], np.float64)
    changed = np.array([np.nan, np.nan, np.inf, np.inf, -0.0, 5], np.float64)
    common = {"conv.weight": WEIGHTS["conv.weight"]}
    one = common | {"a": base, "n": nan, "gone": base[:2], "shape": base[:4], "type": base[:2],
                    "i": np.array([2**62, 5])}  # fmt: skip
    two = common | {"a": other, "n": changed, "new": base[:2], "shape": base[:4].reshape(2, 2),
                    "type": base[:2].astype(np.float64), "i": np.array([2**62, 9])}  # fmt: skip
    paths = [save(tmp_path / name, 3, weights=w) for name, w in (("1", one), ("2", two))]
    status, out, _ = command("diff", *paths)
    assert status == 1
    assert "gone: only in the first" in out
    assert "new: only in the second" in out
    assert "shape: of shape (4,) and (2, 2)" in out
    assert "type: of type float32 and float64" in out
    pairs = as_json(command("diff", "--json", *paths)[1])["arrays"]["weights.safetensors"]
    found = {pair["name"]: pair for pair in pairs}
    assert found["conv.weight"]["same"]
    gap = np.abs(base.astype(np.float64) - other)
    assert found["a"]["differ"] == 2
    assert found["a"]["largest"] == gap.max()
    assert found["a"]["relative"] == (gap / np.maximum(base, other).astype(np.float64)).max()
    assert found["i"] | {"differ": 1, "largest": 4.0, "relative": 4 / 9} == found["i"]
    # 1 became NaN, -inf became inf; 0 and -0 are equal, but other bits
    assert found["n"] | {"differ": 3, "largest": 0.0, "not_finite": 2} == found["n"]


def test_diff_of_the_weights_alone(tmp_path, command):
    weights = save(tmp_path / "a", 3).parent
    save_checkpoint(tmp_path / "b", 3, WEIGHTS, {"step": np.array(4)}, None)
    assert command("diff", weights, tmp_path / "b")[0] == 1
    status, out, _ = command("diff", "--weights", weights, tmp_path / "b")
    assert status == 0
    assert out.endswith("weights: the same bits\n")
    assert "optimizer" not in out
    assert "examples" not in out


def test_diff_refuses_what_is_damaged(run, tmp_path, command):
    shutil.copytree(run, tmp_path / "copy")
    flip(run / "checkpoints/step-00000600/optimizer.safetensors")
    status, out, err = command("diff", tmp_path / "copy", run)
    assert (status, out) == (2, "")
    assert "step-00000600: optimizer.safetensors: its SHA-256 is not the one saved" in err
    assert command("diff", run / "checkpoints/step-00000400")[0] == 2
    shutil.rmtree(run / "checkpoints/step-00000400")
    assert "has not two sound checkpoints" in command("diff", run)[2]


def test_diff_of_what_is_deleted_meanwhile_is_no_agreement(run, command, monkeypatch):
    find = comparing.find_two

    def find_and_lose(*paths):
        pair = find(*paths)
        for each in pair:
            shutil.rmtree(each.path)
        return pair

    monkeypatch.setattr(comparing, "find_two", find_and_lose)
    status, out, err = command("diff", run)
    assert (status, out) == (2, "")
    assert "step-00000400 was deleted while it was read" in err
