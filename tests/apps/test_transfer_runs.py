"""Beginning with what another run has learned, from the command line."""

import dataclasses
import json
import shutil
import signal

import numpy as np
import pytest
from command_line import QUICK, result, start
from test_gtsrb import wait_for_step

from minicnn.apps import gtsrb
from minicnn.apps._settings import load_settings, save_settings
from minicnn.apps.gtsrb import Settings
from minicnn.data.splits import few_of_each
from minicnn.errors import ConfigError
from minicnn.estimator import load_checkpoint
from minicnn.train import main

LESS = ["--epochs", "2", "--batch-size", "32"]


@pytest.fixture(scope="module")
def source(archive, tmp_path_factory):
    """A run to begin with: drawn signs in the Kaggle layout."""
    folder = tmp_path_factory.mktemp("source")
    assert main(["gtsrb", "--data", str(archive), "--model-dir", str(folder), *QUICK]) == 0
    return folder


def weights(folder):
    return load_checkpoint(folder / "checkpoints").weights


def same(a, b):
    return {name.split(".")[0] for name in a if a[name].tobytes() == b[name].tobytes()}


def test_what_is_frozen_is_that_of_the_other_run_to_the_bit(source, archive, tmp_path, command):
    status, out, err = command(
        "--data", archive, "--model-dir", tmp_path, "--json", "--init-from", source, *LESS,
        "--freeze", "block*,!block3", "--per-class", 2, "--rates", "block3=0.1",
    )  # fmt: skip
    assert status == 0, err
    assert same(weights(source), weights(tmp_path)) == {"block1", "block2"}
    assert "86 to learn from (2 a class)" in out
    assert f"start    from {source}" in out
    assert "in block1, block2\n" in out
    settings = load_settings(tmp_path, "gtsrb", Settings)
    assert (settings.channels, settings.size, settings.model) == (2, 16, "seed")
    again = command("evaluate", "--model-dir", tmp_path, "--json")[1]
    assert result(again)["accuracy"] == result(out)["accuracy"]
    assert result(again)["examples"] == result(out)["examples"] == 129
    picture = next(archive.glob("Train/14/*.png"))
    assert command("predict", "--model-dir", tmp_path, picture)[0] == 0


def test_without_freezing_all_layers_go_on_from_there(source, archive, tmp_path, command):
    settings = Settings(str(archive), init_from=str(source), channels=2, size=16)
    net = gtsrb.starting_network(settings)
    assert len(same(weights(source), net.state_dict())) == 5
    other = gtsrb.starting_network(dataclasses.replace(settings, new_head=True))
    assert "logits" not in same(weights(source), other.state_dict())
    fresh = gtsrb.build_network(settings).state_dict()
    head = other.state_dict()["logits.weight"]
    assert np.array_equal(head, fresh["logits.weight"])
    status, out, err = command(
        "--data", archive, "--model-dir", tmp_path, "--init-from", source, "--new-head", *LESS
    )
    assert status == 0, err
    assert "its head 'logits' begins anew" in out
    assert same(weights(source), weights(tmp_path)) == set()


def test_a_run_that_was_killed_ends_with_the_bits_of_one_that_was_not(
    source, archive, tmp_path, command
):
    """The layers are unfrozen at steps 4 and 7; the other run is gone when it is resumed."""
    moved = tmp_path / "source"
    shutil.copytree(source, moved)
    words = [
        "--data", archive, "--batch-size", 32, "--epochs", 2, "--init-from", moved, "--freeze",
        "!logits", "--unfreeze", "hidden@0.8,block3@0.8,block2@1.5", "--save-every", 2,
    ]  # fmt: skip
    status, out, err = command(*words, "--model-dir", tmp_path / "whole", "--json")
    assert status == 0, err
    assert "hidden, block3: learns from step 5 on" in out
    process = start(*words, "--model-dir", tmp_path / "cut")
    wait_for_step(tmp_path / "cut", 5, process)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    shutil.rmtree(moved)
    status, resumed, err = command("--resume", "--model-dir", tmp_path / "cut", "--json")
    assert status == 0, err
    assert result(resumed)["checkpoint_sha256"] == result(out)["checkpoint_sha256"]
    assert same(weights(source), weights(tmp_path / "cut")) == {"block1"}


def test_a_resumed_run_keeps_its_settings(source, archive, tmp_path, command):
    words = ["--data", archive, "--model-dir", tmp_path, "--init-from", source, *LESS]
    assert command(*words, "--freeze", "block1")[0] == 0
    assert command("--resume", "--init-from", source, "--model-dir", tmp_path)[0] == 0
    for option, value in [
        ("--freeze", "block2"), ("--init-from", archive), ("--per-class", "3"), ("--rates", "*=2"),
        ("--new-head", None), ("--unfreeze", "block1@1"),
    ]:  # fmt: skip
        given = [option] if value is None else [option, value]
        status, _, err = command("--resume", "--model-dir", tmp_path, *given)
        assert status == 2
        assert f"with other settings: {option} was" in err


def test_a_run_that_has_no_checkpoint_yet_wants_the_weights_it_was_begun_with(
    source, archive, tmp_path, command
):
    settings = Settings(str(archive), init_from=str(source), channels=2, size=16, init_sha256="0")
    save_settings(tmp_path, "gtsrb", settings)
    status, _, err = command("--resume", "--model-dir", tmp_path)
    assert status == 2
    assert "has other weights than this run was begun with" in err


def test_runs_of_before_can_be_resumed(source, command):
    """Their settings and checkpoints know nothing of transfer."""
    path = source / "settings.json"
    saved = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in saved.items() if k not in gtsrb.NEWER}))
    assert set(gtsrb.NEWER) & set(load_checkpoint(source / "checkpoints").state["params"]) == set()
    status, out, err = command("--resume", "--model-dir", source)
    assert status == 0, err
    assert "resumed at step" in out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--freeze", "block1"], "freeze: 'block1' needs --init-from as well"),
        (["--new-head"], "new_head: all of the network is new"),
        (["--init-from", "nowhere"], "nowhere: no gtsrb run is here; train one with"),
        (["--init-from", "SOURCE", "--freeze", "blok1"], "'blok1' matches no parameter; did you"),
        (["--init-from", "SOURCE", "--freeze", "block1,,"], "has an empty pattern"),
        (["--init-from", "SOURCE", "--freeze", "*"], "nothing would learn; leave out its head"),
        (["--init-from", "SOURCE", "--new-head", "--freeze", "*,!block1"], "of the new head"),
        (["--init-from", "SOURCE", "--channels", "4"], "its --channels is 2, and 4 is asked for"),
        (["--init-from", "SOURCE", "--model", "mlp"], "its --model is seed, and mlp is asked for"),
        (["--init-from", "SOURCE", "--rates", "block1"], "is not of the form block*=0.1"),
        (["--init-from", "SOURCE", "--rates", "hiden=0.1"], "'hiden' matches no parameter"),
        (["--init-from", "SOURCE", "--unfreeze", "hidden@1"], "needs --freeze as well"),
        (
            ["--init-from", "SOURCE", "--freeze", "block1", "--unfreeze", "block1@3"],
            "comes after the last of 3 epochs",
        ),
        (
            ["--init-from", "SOURCE", "--freeze", "block1", "--unfreeze", "block9@1"],
            "'block9' matches no parameter",
        ),
        (
            ["--init-from", "SOURCE", "--freeze", "block1", "--unfreeze", "block2@1"],
            "'block2' is not frozen",
        ),
        (["--rates", "hiden=0.1"], "'hiden' matches no parameter"),
        (["--per-class", "0"], "per_class must be at least 1"),
    ],
)
def test_what_makes_no_sense_is_told_before_any_data_are_read(
    words, says, source, tmp_path, command
):
    words = [source if word == "SOURCE" else word for word in words]
    status, out, err = command("--model-dir", tmp_path / "run", *words, "--epochs", 3)
    assert (status, out) == (2, "")
    assert says in err
    assert err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_checkpoint_cannot_be_begun_with(tmp_path, command):
    save_settings(tmp_path / "empty", "gtsrb", Settings())
    _, _, err = command("--model-dir", tmp_path / "run", "--init-from", tmp_path / "empty")
    assert "has no checkpoint yet" in err


def test_weights_of_other_shapes_are_listed(archive, tmp_path, command):
    words = ["--data", archive, "--model", "mlp", "--channels", 2, "--batch-size", 32]
    assert command(*words, "--size", 16, "--epochs", 1, "--model-dir", tmp_path / "mlp")[0] == 0
    _, _, err = command(
        "--init-from", tmp_path / "mlp", "--size", 20, "--model-dir", tmp_path / "x"
    )
    assert "do not fit this MLP" in err
    assert "the net has float32 (64, 1200), the state float32 (64, 768)" in err


def test_options_of_transfer_mean_nothing_to_evaluation(source, command):
    for words in (["--freeze", "block1"], ["--init-from", "x"], ["--per-class", "3"]):
        status, _, err = command(*words, "evaluate", "--model-dir", source)
        assert status == 2
        assert "means nothing to evaluate" in err


def test_so_many_of_each_class_are_learned_from_and_all_is_held_out_as_before(archive):
    table = gtsrb.load_signs(Settings(str(archive), size=16))
    settings = Settings(str(archive), per_class=2, size=16)
    learn, held_out = gtsrb.split_signs(settings, table)
    assert set(learn.per_class_counts().tolist()) == {2}
    assert not set(learn.tracks.tolist()) & set(held_out.tracks.tolist())
    all_learn, same_held_out = gtsrb.split_signs(
        dataclasses.replace(settings, per_class=None), table
    )
    assert held_out.names == same_held_out.names
    more = gtsrb.split_signs(dataclasses.replace(settings, per_class=3), table)[0]
    assert set(learn.names) < set(more.names) <= set(all_learn.names)
    with pytest.raises(ConfigError, match="give 1 or more"):
        few_of_each(table, 0)


def test_what_is_unfrozen_late_learns_for_a_step_at_least():
    settings = Settings(
        init_from="runs/a", freeze="block*", unfreeze="block3@4.99", epochs=5, batch_size=128
    )
    assert settings.steps(examples=100) == 4
    assert settings.stages(examples=100) == {3: ["block3"]}
