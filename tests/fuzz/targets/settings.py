"""The settings of a run: settings.json of an app, a RunConfig's values, a run's params."""

from __future__ import annotations

import dataclasses
import json
import pathlib

from minicnn.apps import detect, gtsrb, segment
from minicnn.apps._settings import FILE, load_settings
from minicnn.errors import ConfigError, MinicnnError
from minicnn.estimator import RunConfig
from minicnn.estimator._settings import check_same, describe
from tests.fuzz.answers import naming

NAME = "settings"
APPS = {"gtsrb": gtsrb.Settings, "detect": detect.Settings, "segment": segment.Settings}
NAMES = [f.name for kind in (*APPS.values(), RunConfig) for f in dataclasses.fields(kind)]
DICTIONARY = [
    *(f'"{name}":'.encode() for name in NAMES),
    b'"app": "gtsrb"', b'"app": "detect"', b'"app": "segment"', b'"track"', b'"voc"', b"[96, 128]",
    b'"seed"', b'"dice+focal"', b'"camvid"',
    b"null", b"true", b"1e999", b"NaN", b"-Infinity",
    b"{}", b"[]", b'"\\ud800"', b'"\\u0000"', b'"auto"', b'"cuda:9"', b'"float16"', b"1" * 400,
    b"0.5", b"-1",
]  # fmt: skip
FIELDS = {field.name for field in dataclasses.fields(RunConfig)}
TEXT_OR_NOT = (str, type(None))
KINDS = {
    **dict.fromkeys(["split", "model", "format", "detector", "labels", "flips"], (str,)),
    **dict.fromkeys(["loss", "weights"], (str,)),
    **dict.fromkeys(["data", "init_from", "freeze", "unfreeze", "rates"], TEXT_OR_NOT),
    "init_sha256": TEXT_OR_NOT,
    **dict.fromkeys(["augment", "skip_bad", "new_head"], (bool,)),
    "per_class": (int, type(None)),
    **dict.fromkeys(["names", "size of detect", "size of segment"], (tuple,)),
}
PLAIN = {"device": None}  # no other is there


def seeds() -> list[bytes]:
    sound = {"app": "gtsrb"} | dataclasses.asdict(gtsrb.Settings())
    finding = {"app": "detect"} | dataclasses.asdict(detect.Settings(names=("a", "b")))
    colouring = {"app": "segment"} | dataclasses.asdict(segment.Settings(names=("a", "b")))
    config = {
        "model_dir": "runs/a",
        "save_every": 10,
        "keep": None,
        "log_every": 5,
        "resume": "auto",
    }
    trees = [
        sound,
        sound | {"size": 7},
        sound | {"size": True},
        sound | {"epochs": 2.5},
        sound | {"data": 5},
        sound | {"model": []},
        sound | {"init_from": "runs/a", "new_head": True, "init_sha256": "0" * 64, "per_class": 10},
        sound | {"freeze": "block*,!block3", "unfreeze": "block2@3", "rates": "block1=0.1"},
        sound | {"freeze": "", "unfreeze": "@", "rates": "a=1e999"},
        sound | {"rates": "=,=", "unfreeze": "a@-1,b@nan"},
        sound | {"more": 1},
        finding,
        finding | {"size": [96], "names": "ab"},
        finding | {"names": [1], "size": [True, 96]},
        finding | {"size": [0, 10**400], "steps": -1},
        finding | {"data": "a.zip", "format": "yolo", "labels": "all", "detector": "ssd"},
        finding | {"labels": "groups", "data": "a", "format": "coco"},
        colouring,
        colouring | {"loss": "dice+focal", "weights": "median", "data": "a", "format": "camvid"},
        colouring | {"loss": "+", "ignore_label": 256},
        colouring | {"size": [96, 128, 3], "model": "eye"},
        {"app": "other"},
        [sound],
        None,
        config,
        config | {"precision": "float16", "seed": 3, "cuda_graph": False},
        config | {"model_dir": ["runs"]},
        {"rate": 0.1, "layers": [1, 2, {"a": None}], "nan": float("nan")},
    ]
    odd = [
        b"",
        b"{",
        b"\xff",
        b"[" * 100_000,
        b"9" * 5000,
        b'{"app": "gtsrb", "size": 1' + b"0" * 5000 + b"}",
    ]
    return [*(json.dumps(tree).encode() for tree in trees), *odd]


def run(data: bytes, folder) -> None:
    for target in (of_an_app, of_a_run):
        refused: MinicnnError | None = None
        try:
            target(data, folder)
        except MinicnnError as error:
            refused = error
    if refused is not None:
        raise refused


def of_an_app(data: bytes, folder) -> None:
    """Read the file of an app."""
    path = folder / FILE
    path.write_bytes(data)
    app = next((name for name in ("detect", "segment") if name.encode() in data), "gtsrb")
    with naming(path):
        found = load_settings(folder, app, APPS[app])
    for field in dataclasses.fields(found):
        value = getattr(found, field.name)
        kinds = KINDS.get(f"{field.name} of {app}", KINDS.get(field.name, (int,)))
        assert type(value) in kinds, field.name


def of_a_run(data: bytes, folder) -> None:
    """Take the values for a RunConfig, and as params of a model."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return
    described = describe(tree)
    assert json.loads(json.dumps(described)) is not ...
    check_same(described, describe(tree), pathlib.Path("run"))
    if isinstance(tree, dict):
        values = {name: value for name, value in tree.items() if name in FIELDS} | PLAIN
        try:
            config = RunConfig(**values)
        except ConfigError as error:
            text = str(error)
        else:
            text = "RunConfig"
            assert config.save_every is None or config.save_every > 0
            assert config.model_dir is None or isinstance(config.model_dir, pathlib.Path)
        assert text.startswith("RunConfig"), text
