"""The real program: ``python -m minicnn.train gtsrb`` is killed and gone on with."""

import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from tests.faults import launching
from tests.faults.auditor import (
    BITS,
    HALF,
    LOST,
    RESTART,
    checkpoints,
    fault_of,
    newest_sound,
    step_of,
)
from tests.faults.night import LIMIT, Night

KIND = "kill of minicnn.train"
_OPTIONS = ("--size", "16", "--channels", "4", "--epochs", "1", "--save-every", "4", "--json")
_TABLES = ("training.csv", "validation.csv")


def _run(folder: Path, name: str, more: tuple[str, ...] = (), kill_at: float = 0.0) -> Any:
    model_dir = str(folder / name)
    command = [sys.executable, "-m", "minicnn.train", "gtsrb", "--model-dir", model_dir]
    signals = [(kill_at, signal.SIGKILL)] if kill_at else []
    running = launching.spawn([*command, *_OPTIONS, *more], folder / f"{name}.out", None, True)
    return running.wait(5 * LIMIT, signals)


def _learned(output: str) -> str:
    return json.loads(output.splitlines()[-1])["checkpoint_sha256"]


def _undisturbed(folder: Path) -> dict[str, Any]:
    """Return what a run that is not killed comes to; it is kept for later cases."""
    path = folder / "product.json"
    if not path.exists():
        name = f"product-{os.getpid()}"  # another worker may be at it, too
        outcome = _run(folder, name)
        if outcome.status:
            raise RuntimeError(f"an undisturbed run ended with {outcome.status}:\n{outcome.output}")
        tables = {table: (folder / name / table).read_text() for table in _TABLES}
        found = {"sha256": _learned(outcome.output), "seconds": outcome.seconds, "tables": tables}
        part = path.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(found))
        part.replace(path)
        shutil.rmtree(folder / name)
    return json.loads(path.read_text())


def play(night: Night) -> None:
    """Kill a run of the program several times, then let it end."""
    whole = _undisturbed(night.world.folder)
    model_dir = night.folder / "run"
    for _ in range(night.random.randint(1, 3)):
        moment = whole["seconds"] * night.random.uniform(0.25, 1.0)
        newest = newest_sound(model_dir)
        outcome = _run(night.folder, "run", _resume(model_dir), moment)
        _audit_begin(night, newest, outcome.output, may_be_silent=outcome.killed)
        night.story.append(f"after {moment:.2f} s: {outcome.status}\n{outcome.output[-500:]}")
        (night.struck if outcome.killed else night.missed)[KIND] += 1
        if not outcome.killed and outcome.status:
            night.say(LOST, f"it ended with {outcome.status}:\n{outcome.output}")
        _audit(night, model_dir)
    newest = newest_sound(model_dir)
    outcome = _run(night.folder, "run", _resume(model_dir))
    _audit_begin(night, newest, outcome.output)
    if outcome.hung or outcome.status:
        night.say("hang" if outcome.hung else LOST, f"ended {outcome.status}:\n{outcome.output}")
        return
    _audit(night, model_dir)
    if _learned(outcome.output) != whole["sha256"]:
        night.say(BITS, "the weights are not those of the undisturbed run")
    for name, text in whole["tables"].items():
        if (model_dir / name).read_text() != text:
            night.say(BITS, f"{name} is not that of the undisturbed run")


def _resume(model_dir: Path) -> tuple[str, ...]:
    return ("--resume",) if (model_dir / "settings.json").exists() else ()


def _audit_begin(
    night: Night, newest: Path | None, output: str, may_be_silent: bool = False
) -> None:
    """A run must say that it goes on from the newest sound checkpoint."""
    told = re.search(
        r"^training [\d,]+ steps.*?(?:resumed at step ([\d,]+))?$", output, re.MULTILINE
    )
    if told is None and may_be_silent:  # it was killed before
        return
    began = int((told[1] or "0").replace(",", "")) if told else None
    step = 0 if newest is None else step_of(newest)
    if began != step:
        night.say(RESTART, f"it began at step {began}, the newest checkpoint is {step}:\n{output}")


def _audit(night: Night, model_dir: Path) -> None:
    for path in checkpoints(model_dir):
        if fault := fault_of(path):
            night.say(HALF, fault)
    for path in model_dir.glob("*.png"):
        if not path.read_bytes().endswith(b"IEND\xaeB`\x82"):
            night.say(HALF, f"{path.name} is no whole picture")
    if (model_dir / "settings.json").exists():
        try:
            json.loads((model_dir / "settings.json").read_text())
        except ValueError as error:
            night.say(HALF, f"settings.json: {error}")
