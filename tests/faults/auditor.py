"""What must hold of a model_dir at any moment, whatever has happened to it.

The auditor reads the files himself: he would be no use if he trusted the code that he audits.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKPOINT = re.compile(r"step-(\d{8,})(?:\.(\d+))?")
PARTS = ("weights.safetensors", "optimizer.safetensors", "state.json")
_KNOWN = {
    ".lock", "checkpoints", "export", "training.csv", "validation.csv", "settings.json",
    "curves.png", "best.json",
}  # fmt: skip
# Where hooks note what a stop, or a disk that was full, has kept them from
_OWED = [("ValidationHook", "owed"), ("OutputHook", "owed"), ("OutputHook", "owed_results")]
_PNG = (b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82")

# What can be wrong
LOST, HANG, RESTART = "lost", "hang", "silent restart"
HALF, BITS, TRACEBACK, LET_IN = "half-written", "wrong bits", "traceback", "let in"
VERDICTS = (LOST, HANG, RESTART, HALF, BITS, TRACEBACK, LET_IN)


@dataclass
class Reference:
    """What a run is like that nothing happens to.

    Attributes
    ----------
    states : dict
        Of each step, digests of each part of its checkpoint: several where it is saved twice.
    tables : dict of str to bytes
        The CSV files at the end.
    settings : bytes
        The settings.
    counts : dict of str to int
        How often the victim comes to each place, in the saves that victims have.
    seconds : float
        How long it takes.
    """

    states: dict[int, dict[str, list[str]]]
    tables: dict[str, bytes]
    settings: bytes
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add_states(self, folder: Path) -> None:
        """Take over the checkpoints of an undisturbed run."""
        for path in checkpoints(folder):
            parts = self.states.setdefault(step_of(path), {part: [] for part in PARTS})
            for part in PARTS:
                digest = _sha256((path / part).read_bytes())
                if digest not in parts[part]:
                    parts[part].append(digest)

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        tables = {name: text.decode() for name, text in self.tables.items()}
        content = vars(self) | {"tables": tables, "settings": self.settings.decode()}
        return json.dumps(content)

    @staticmethod
    def from_json(text: str) -> "Reference":
        """Return the reference of `to_json`."""
        content = json.loads(text)
        content["states"] = {int(step): parts for step, parts in content["states"].items()}
        content["tables"] = {name: t.encode() for name, t in content["tables"].items()}
        return Reference(**content | {"settings": content["settings"].encode()})


def checkpoints(model_dir: Path) -> list[Path]:
    """Return the folders under the final name of a checkpoint, the newest last."""
    folder = model_dir / "checkpoints"
    found = [p for p in folder.iterdir() if CHECKPOINT.fullmatch(p.name)] if folder.exists() else []
    return sorted(found, key=lambda p: (step_of(p), p.name))


def step_of(path: Path) -> int:
    """Return the step that a checkpoint's name tells."""
    match = CHECKPOINT.fullmatch(path.name)
    assert match is not None
    return int(match[1])


def fault_of(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint as a set of files, None if it is whole."""
    try:
        lines = (checkpoint / "SHA256SUMS").read_bytes().decode("ascii").splitlines()
        sums = {line[66:]: line[:64] for line in lines if line[64:66] == "  "}
        there = {p.name for p in checkpoint.iterdir()} - {"SHA256SUMS"}
        if len(sums) != len(lines) or set(sums) != there or not set(PARTS) <= there:
            return f"{checkpoint.name}: has {sorted(there)}, its list says {sorted(sums)}"
        for name, digest in sums.items():
            if _sha256((checkpoint / name).read_bytes()) != digest:
                return f"{checkpoint.name}: {name} is not as it was written"
        head = json.loads((checkpoint / "state.json").read_text())
        if head["step"] != step_of(checkpoint):
            return f"{checkpoint.name}: is of step {head['step']}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{checkpoint.name}: {error!r}"
    return None


def newest_sound(model_dir: Path) -> Path | None:
    """Return the checkpoint that a run has to go on from."""
    return next((p for p in reversed(checkpoints(model_dir)) if fault_of(p) is None), None)


class Audit:
    """One look at a model_dir.

    Parameters
    ----------
    model_dir : Path
        The folder.
    reference : Reference
        Of a run like this one.
    damaged : set of str
        Fingerprints of checkpoints that were damaged on purpose.
    torn : bool
        Whether power was cut: then the tables may miss their last rows.

    Attributes
    ----------
    wrong : list of (str, str)
        Verdicts, and what was seen.
    newest : int
        The step of the newest sound checkpoint; 0 if there is none.
    """

    def __init__(
        self, model_dir: Path, reference: Reference, damaged: set[str], torn: bool = False
    ) -> None:
        self.wrong: list[tuple[str, str]] = []
        self._reference, self._damaged, self._torn = reference, damaged, torn
        found = newest_sound(model_dir)
        self.newest = 0 if found is None else step_of(found)
        for path in checkpoints(model_dir):
            if fingerprint(path) not in damaged:
                self._checkpoint(path)
        for name, whole in reference.tables.items():
            if (model_dir / name).exists():
                self._table(model_dir / name, whole)
            elif name == "training.csv" and self.newest and not torn:
                self._say(LOST, f"there is no {name} at step {self.newest}")
        self._settings(model_dir / "settings.json")
        self._picture(model_dir / "curves.png")
        self._export(model_dir / "export")
        self._names(model_dir)

    def _say(self, verdict: str, text: str) -> None:
        self.wrong.append((verdict, text))

    def _checkpoint(self, path: Path) -> None:
        fault = fault_of(path)
        if fault is not None:
            self._say(HALF, fault)
            return
        right = self._reference.states.get(step_of(path))
        if right is None:
            self._say(BITS, f"{path.name}: the undisturbed run has no such step")
            return
        hooks = json.loads((path / "state.json").read_text())["state"]["hooks"]
        owed = any(hooks[name].get(kind) for name, kind in _OWED)
        for part in PARTS[:-1] if owed else PARTS:
            if _sha256((path / part).read_bytes()) not in right[part]:
                self._say(BITS, f"{path.name}: {part} is not that of the undisturbed run")

    def _table(self, path: Path, whole: bytes) -> None:
        """Rows must be those of the undisturbed run; a kill may tear the last one."""
        content = path.read_bytes()
        common = 0
        while common < min(len(content), len(whole)) and content[common] == whole[common]:
            common += 1
        if common < len(content):
            line = content[:common].count(b"\n") + 1
            rest = content[common:].strip(b"\0")
            if rest and not self._torn:
                self._say(BITS, f"{path.name}: line {line} is not that of the undisturbed run")
        rows = content[:common].splitlines(keepends=True)
        last = max((_step(row) for row in rows if row.endswith(b"\n")), default=0)
        # The row of the newest step may be owed: the next run writes it
        limit = self.newest - 1
        wanted = max((s for s in map(_step, whole.splitlines()) if s <= limit), default=0)
        if last < wanted and not self._torn:
            self._say(LOST, f"{path.name}: ends at {last}, the newest checkpoint is {self.newest}")

    def _settings(self, path: Path) -> None:
        if path.exists() and path.read_bytes() != self._reference.settings:
            self._say(HALF, "settings.json is not as it was written")

    def _picture(self, path: Path) -> None:
        if path.exists():
            content = path.read_bytes()
            if not (content.startswith(_PNG[0]) and content.endswith(_PNG[1])):
                self._say(HALF, f"curves.png: {len(content)} bytes are no whole picture")

    def _export(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            json.loads((path / "model.json").read_text())
            content = (path / "weights.safetensors").read_bytes()
            size = int.from_bytes(content[:8], "little")
            head: dict[str, Any] = json.loads(content[8 : 8 + size])
            ends = [about["data_offsets"][1] for k, about in head.items() if k != "__metadata__"]
            if len(content) != 8 + size + max(ends):
                self._say(HALF, "export: weights.safetensors is not whole")
        except (OSError, ValueError, KeyError) as error:
            self._say(HALF, f"export: {error!r}")

    def _names(self, model_dir: Path) -> None:
        for path in model_dir.iterdir() if model_dir.exists() else []:
            if path.name not in _KNOWN and not path.name.startswith(".unfinished-"):
                self._say(HALF, f"{path.name}: nobody writes a file of this name")
        folder = model_dir / "checkpoints"
        for path in folder.iterdir() if folder.exists() else []:
            if path.name.startswith("damaged-"):
                if fingerprint(path) not in self._damaged:
                    self._say(LOST, f"{path.name} was set aside, but nothing has damaged it")
            elif not CHECKPOINT.fullmatch(path.name) and not path.name.startswith(".unfinished-"):
                self._say(HALF, f"checkpoints/{path.name}: nobody writes a file of this name")


def fingerprint(checkpoint: Path) -> str:
    """Return a digest of all files of a checkpoint, under whatever name."""
    digest = hashlib.sha256()
    for path in sorted(checkpoint.iterdir()):
        digest.update(f"{path.name} {_sha256(path.read_bytes())}\n".encode())
    return digest.hexdigest()


def compare_end(model_dir: Path, reference: Reference) -> list[tuple[str, str]]:
    """Compare what a run has left at its end with what the undisturbed one has left."""
    wrong = []
    last = max(reference.states)
    newest = newest_sound(model_dir)
    if newest is None or step_of(newest) != last:
        wrong.append((LOST, f"the newest checkpoint is {newest and newest.name}, not step {last}"))
    for name, whole in reference.tables.items():
        path = model_dir / name
        if not path.exists() or path.read_bytes() != whole:
            wrong.append((BITS, f"{name} at the end is not that of the undisturbed run"))
    for path in [*model_dir.iterdir(), *(model_dir / "checkpoints").iterdir()]:
        if path.name.startswith(".unfinished-"):
            wrong.append((HALF, f"{path.name} is left over at the end"))
    return wrong


def contents(model_dir: Path) -> dict[str, bytes]:
    """Return all files, to see whether one was changed; the lock's is only for people."""
    found = (p for p in model_dir.rglob("*") if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(model_dir)): p.read_bytes() for p in found}


def _step(row: bytes) -> int:
    first = row.split(b",")[0]
    return int(first) if first.isdigit() else 0


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
