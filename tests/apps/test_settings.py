"""The settings of a run survive, and a file that is broken is named."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from minicnn.apps._settings import load_settings, save_settings
from minicnn.apps.gtsrb import Settings
from minicnn.errors import CheckpointError, ConfigError

SOME = Settings(data=os.fsdecode(b"/a\xff/signs"), seed=-3, augment=False, epochs=7)


def test_round_trip(tmp_path):
    save_settings(tmp_path / "new", "gtsrb", SOME)
    assert load_settings(tmp_path / "new", "gtsrb", Settings) == SOME
    save_settings(tmp_path / "new", "gtsrb", Settings())
    assert load_settings(tmp_path / "new", "gtsrb", Settings) == Settings()
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["settings.json"]


def text(**changes):
    return json.dumps({"app": "gtsrb"} | dataclasses.asdict(SOME) | changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is broken"),
        ("{", "is broken"),
        ("[]", "it is not of a gtsrb run"),
        ("null", "it is not of a gtsrb run"),
        ('{"app": "other"}', "it is not of a gtsrb run"),
        ("[" * 200_000, "recursion"),
        ('{"a":' * 100_000, "recursion"),
        (text(seed=0).replace('"seed": 0', '"seed": ' + "9" * 5000), "is broken"),
        (text(batch_size="x"), "batch_size cannot be 'x'"),
        (text(batch_size=True), "batch_size cannot be True"),
        (text(batch_size=1e999), "batch_size cannot be inf"),
        (text(batch_size=32.0), "batch_size cannot be 32.0"),
        (text(batch_size=None), "batch_size cannot be None"),
        (text(batch_size=10**9), "batch_size must be at most 65,536, got 1,000,000,000"),
        (text(epochs=0), "epochs must be at least 1, got 0"),
        (text(size=[16]), r"size cannot be \[16\]"),
        (text(augment=1), "augment cannot be 1"),
        (text(data=5), "data cannot be 5"),
        (text(split="half"), "split must be 'track' or 'random'"),
        (text(model="\x1b[2J"), r"model must be one of .*\\x1b"),
        (text(more=1), "there is no setting 'more'"),
        (b"\xff\xfe\x00", "is broken"),
        (b" " * 2**21, "claims 2,097,152 bytes; more than 1,048,576 are refused"),
    ],
)
def test_broken_settings_are_named(tmp_path, content, message):
    path = tmp_path / "settings.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=message) as caught:
        load_settings(tmp_path, "gtsrb", Settings)
    assert str(caught.value).startswith(f"{path}: is broken (")
    assert str(caught.value).endswith("; restore it or train anew")
    assert len(str(caught.value)) < 2000


def test_no_run_and_no_file(tmp_path):
    with pytest.raises(ConfigError, match="no gtsrb run is here; train one with: python -m"):
        load_settings(tmp_path, "gtsrb", Settings)
    (tmp_path / "settings.json").mkdir()
    with pytest.raises(CheckpointError, match=r"settings\.json: is broken"):
        load_settings(tmp_path, "gtsrb", Settings)


def test_a_name_that_is_too_long():
    with pytest.raises(ConfigError, match="aaa: cannot be opened: File name too long"):
        load_settings(Path("a" * 5000), "gtsrb", Settings)


def test_a_full_disk_leaves_the_old_ones(tmp_path, monkeypatch):
    save_settings(tmp_path, "gtsrb", SOME)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save_settings(tmp_path, "gtsrb", Settings())
    assert load_settings(tmp_path, "gtsrb", Settings) == SOME
    assert [p.name for p in tmp_path.iterdir()] == ["settings.json"]
