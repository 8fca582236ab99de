"""The command line: ``python -m minicnn.checkpoint show|verify|diff|prune DIR``.

DIR is the folder of a run, its folder ``checkpoints``, or one checkpoint. ``show``, ``verify`` and
``diff`` write nothing, and may be called while a run goes on; ``prune`` is refused then. Files are
read piece by piece: what they hold need not fit in memory.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicnn._command_line import (
    Parser,
    byte_size,
    carry_out,
    say,
    say_fact,
    say_table,
)
from minicnn.errors import CheckpointError
from minicnn.estimator import _comparing as comparing
from minicnn.estimator import _inspection as inspection
from minicnn.estimator import _pruning as pruning
from minicnn.estimator import _reports as reports
from minicnn.estimator import _stored_arrays as stored
from minicnn.estimator._lock import FolderLock

__all__ = ["main"]

PROGRAM = "python -m minicnn.checkpoint"
DAMAGED = DIFFERENT = 1
FILES = ("weights.safetensors", "optimizer.safetensors", "arrays.safetensors")
SHOWN = ("params", "seed", "examples", "best", "input", "hooks")  # by lines of their own
MOST = 200  # lines for what else a state holds
WHERE = "a run's folder, its checkpoints folder, or one checkpoint"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after the program's name; by default those of this process.

    Returns
    -------
    int
        The exit status: 0 if all is well; 1 if a checkpoint is damaged or two differ; 2 for wrong
        use, or where there is nothing to look at; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    return carry_out(f"{PROGRAM} {options.action}", lambda: options.command(options))


def _parser() -> Parser:
    parser = Parser(prog=PROGRAM, description="Look at the checkpoints of a run, and tidy them up.")
    actions = parser.add_subparsers(
        dest="action", metavar="command", required=True, title="commands", parser_class=Parser
    )

    def action(name: str, purpose: str, command: Any, *folders: tuple[str, str, str | None]) -> Any:
        own = actions.add_parser(
            name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}."
        )
        for folder, text, count in folders:
            own.add_argument(folder, metavar=folder.upper(), type=Path, help=text, nargs=count)
        own.add_argument("--json", action="store_true", help="print one JSON document instead")
        own.set_defaults(command=command)
        return own

    own = action("show", "list what there is, and what it holds", show, ("dir", WHERE, None))
    own.add_argument("--arrays", action="store_true", help="list the newest one's arrays as well")
    own.add_argument("--verify", action="store_true", help="read everything, to know it is sound")
    action("verify", "check every file against its SHA-256", verify, ("dir", WHERE, None))
    own = action(
        "diff", "say how two checkpoints differ; of one run, its newest two", diff,
        ("one", WHERE, None), ("other", "what to compare it with", "?"),
    )  # fmt: skip
    own.add_argument("--weights", action="store_true", help="leave out optimiser and state")
    own = action(
        "prune", "delete all but the newest sound checkpoints and the best", prune,
        ("dir", "a run's folder or its checkpoints folder", None),
    )  # fmt: skip
    own.add_argument("--keep", metavar="N", type=int, required=True, help="how many stay")
    own.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    own.add_argument("--damaged", action="store_true", help="delete the damaged ones as well")
    return parser


def show(options: argparse.Namespace) -> int:
    """List the checkpoints, the run's settings, and on request all arrays."""
    place = inspection.find(options.dir)
    found = [inspection.examine(path, options.verify) for path in place.checkpoints]
    found = [one for one in found if not one.gone]
    newest = inspection.newest_sound(found)
    user = inspection.user_of(place)
    chosen = found[-1] if place.single and found else newest
    arrays = None
    if chosen is not None and (options.arrays or place.single):
        arrays = _array_facts(chosen.path)
    if options.json:
        document = reports.of_place(place, found, user) | reports.of_state(chosen)
        if arrays is not None:
            document["arrays"] = reports.of_arrays(arrays)
        _say_json(document)
        return 0
    _show_head(place, found, user)
    if found:
        _show_table(found, None if place.single else newest)
    for one in found:
        if one.fault is not None:
            say(f"{reports.word(one)} {one.path.name}: {one.fault}")
    for what, paths in (
        ("set aside as damaged", place.set_aside),
        ("unfinished", place.unfinished),
        ("batch at which numbers broke", place.faults),
    ):
        for path in paths:
            say(f"{what}: {path.name}, {byte_size(inspection.total_bytes(path))}")
    if chosen is not None:
        _show_state(chosen, found, all_of_it=arrays is not None)
    for name, facts in (arrays or {}).items():
        _show_arrays(name, facts)
    return 0


def _show_head(
    place: inspection.Place, found: Sequence[inspection.Examined], user: str | None
) -> None:
    total = byte_size(sum(one.nbytes for one in found))
    say(f"{found[0].path if place.single and found else place.folder}")
    if not place.single:
        say(f"{len(found)} checkpoint{'s' * (len(found) != 1)}, {total}")
    if user is not None:
        say(f"in use by {user}")
    say()


def _show_table(found: Sequence[inspection.Examined], newest: inspection.Examined | None) -> None:
    best = (inspection.best_of(found) or {}).get("step")
    rows = []
    for one in found:
        step = "?" if one.step is None else f"{one.step:,}"
        when = reports.when(one.written)
        written = "?" if when is None else f"{when:%Y-%m-%d %H:%M}"
        marks = ["newest"] * (one is newest) + ["best"] * (best is not None and one.step == best)
        rows.append(
            [one.path.name, step, byte_size(one.nbytes), written, reports.word(one),
             ", ".join(marks)]
        )  # fmt: skip
    say_table(("name", "step", "size", "written", "state", ""), rows, left=(0, 3, 4, 5))
    say()


def _show_state(
    one: inspection.Examined, found: Sequence[inspection.Examined], all_of_it: bool
) -> None:
    """Print the settings of the run, and how far it is."""
    state = one.state if isinstance(one.state, dict) else {}
    if "params" in state:
        say_fact("settings", _pairs(state["params"]))
    if "seed" in state:
        say_fact("seed", _short(state["seed"]))
    if "examples" in state:
        say_fact("examples", _short(state["examples"]))
    best = inspection.best_of(found)
    if best is not None:
        here = any(other.step == best["step"] for other in found)
        say_fact("best", f"{_short(best.get('name'))} {_short(best.get('metric'))} "
                         f"{_short(best.get('value'))}, at step {_short(best['step'])}"
                         f"{'' if here else ', of which there is no checkpoint here'}")  # fmt: skip
    if all_of_it:
        if "input" in state:
            say_fact("input", _pairs(state["input"], 400))
        hooks = state.get("hooks")
        more = (
            {f"hook {key}": value for key, value in hooks.items()}
            if isinstance(hooks, dict)
            else {}
        )
        more |= {key: value for key, value in state.items() if key not in SHOWN}
        for name, value in itertools.islice(more.items(), MOST):
            say_fact("", f"{name}: {_pairs(value, 200) or 'nothing to keep'}")


def _array_facts(path: Path) -> dict[str, Any]:
    """Return what is in each file of arrays, or what is wrong with it."""
    facts: dict[str, Any] = {}
    for name in FILES:
        try:
            with stored.open_file(path / name) as file:
                arrays = stored.stored_arrays(file, path / name)
                facts[name] = [(array, stored.statistics(file, array)) for array in arrays]
        except CheckpointError as error:
            if name != FILES[2] or (path / name).exists():
                facts[name] = str(error)
    return facts


def _show_arrays(name: str, facts: Any) -> None:
    say()
    if isinstance(facts, str):
        say(facts)
        return
    numbers, total = (sum(getattr(array, key) for array, _ in facts) for key in ("size", "nbytes"))
    say(f"{name}: {len(facts)} arrays, {numbers:,} numbers, {byte_size(total)}")
    rows = []
    for array, its in facts:
        shape = "x".join(map(str, array.shape)) or "scalar"
        row = [array.name, array.dtype.name, shape, f"{array.size:,}"]
        values = (its.smallest, its.largest, its.mean, its.std)
        row += ["" if v is None else f"{v:.3g}" for v in values]
        marks = [f"{n:,} {what}" for n, what in ((its.nan, "NaN"), (its.infinite, "inf")) if n]
        rows.append([*row, ", ".join(marks)])
    if rows:
        head = ("name", "type", "shape", "numbers", "least", "largest", "mean", "std", "")
        say_table(head, rows, left=(0, 1, 8))


def verify(options: argparse.Namespace) -> int:
    """Check every checkpoint, and say what a resumed run would do."""
    place = inspection.find(options.dir)
    found: dict[Path, inspection.Examined] = {}
    while new := [path for path in place.checkpoints if path not in found]:
        for path in new:
            found[path] = one = inspection.examine(path, thorough=True)
            if not options.json:
                _say_verdict(one)
        if place.single or not any(one.gone for one in found.values()):
            break
        place = inspection.find(options.dir)  # a run goes on there, and has saved others
    present = [one for one in found.values() if not one.gone]
    if options.json:
        _say_json(reports.of_place(place, present, inspection.user_of(place)))
    elif not place.single:
        for path in place.set_aside:
            say(f"set aside as damaged, not counted: {path.name}")
        say(_outlook(present))
    return 0 if all(one.sound for one in present) and present else DAMAGED


def _say_verdict(one: inspection.Examined) -> None:
    name = one.path.name
    if one.gone:
        say(f"gone {name}: it was deleted while it was read")
    elif one.sound:
        say(f"ok {name}  {len(one.files)} files, {byte_size(one.nbytes)}")
    else:
        say(f"{reports.word(one).upper()} {name}: {one.fault}")


def _outlook(found: Sequence[inspection.Examined]) -> str:
    newest = inspection.newest_sound(found)
    if newest is None:
        return "no checkpoint is sound: a resumed run would refuse to begin"
    text = f"a resumed run would go on from step {newest.step}"
    newer = found[found.index(newest) + 1 :]
    if not newer:
        return text
    verb = "checkpoint is" if len(newer) == 1 else "checkpoints are"
    how = "damaged" if all(one.readable for one in newer) else "damaged or cannot be read"
    return f"{text}; {len(newer)} newer {verb} {how}"


def diff(options: argparse.Namespace) -> int:
    """Say how two checkpoints differ."""
    one, other = comparing.find_two(options.one, options.other)
    names = FILES[:1] if options.weights else FILES
    compared = {name: comparing.compare(one, other, name) for name in names}
    decisive = [pair for name in names[:2] for pair in compared[name]]
    same = all(pair.same for pair in decisive)
    state = [] if options.weights else comparing.state_differences(one, other)
    if options.json:
        _say_json(reports.of_comparison(one, other, same, state, compared))
        return 0 if same else DIFFERENT
    say(f"{one.path}: step {one.step}")
    say(f"{other.path}: step {other.step}")
    for name, text in state:
        say_fact(name, text)
    for name, pairs in compared.items():
        if pairs:
            _show_compared(name, pairs)
    say()
    what = "weights" if options.weights else "weights and optimiser"
    say(f"{what}: {'the same bits' if same else 'different'}")
    return 0 if same else DIFFERENT


def _show_compared(name: str, pairs: Sequence[comparing.Compared]) -> None:
    say()
    same = sum(pair.same for pair in pairs)
    say(f"{name}: {len(pairs)} arrays, {same} with the same bits, {len(pairs) - same} different")
    rows = []
    for pair in pairs:
        its = pair.difference
        if its is None:
            say(f"  {pair.name}: {pair.mismatch}")
        elif not pair.same:
            note = f"{its.not_finite:,} NaN or inf in one only" if its.not_finite else ""
            rows.append([pair.name, f"{its.elements:,}", f"{pair.size:,}",
                         f"{its.absolute:.3g}", f"{its.relative:.3g}", note])  # fmt: skip
    if rows:
        head = ("name", "differ", "of", "largest", "relative", "")
        say_table(head, rows, left=(0, 5))


def prune(options: argparse.Namespace) -> int:
    """Delete what is too old, or damaged, and what killed runs left behind."""
    if options.keep < 1:
        raise CheckpointError(f"--keep must be 1 or more, got {options.keep}")
    place = inspection.find(options.dir)
    if place.single:
        raise CheckpointError(f"{options.dir} is one checkpoint; give the folder that it is in")
    dry, freed = options.dry_run, 0
    with contextlib.nullcontext() if dry else FolderLock(place.run):
        plan = pruning.plan_pruning(inspection.find(options.dir), options.keep, options.damaged)
        for path in plan.delete:
            size = inspection.total_bytes(path) if dry else pruning.delete(path)
            freed += size
            if not options.json:
                say(f"{'would delete' if dry else 'deleted'} {path.name}, {byte_size(size)}")
    if options.json:
        names = {"deleted": plan.delete, "kept": [one.path for one in plan.keep],
                 "damaged": plan.damaged}  # fmt: skip
        _say_json({key: [path.name for path in paths] for key, paths in names.items()}
                  | {"bytes": freed, "dry_run": dry})  # fmt: skip
        return 0
    if dry and (user := inspection.user_of(place)) is not None:
        say(f"in use by {user}: nothing can be deleted before that has ended")
    for path in plan.damaged:
        say(f"damaged {path.name}: stays; --damaged deletes it")
    stay = ", ".join(one.path.name for one in plan.keep)
    say(f"{'would free' if dry else 'freed'} {byte_size(freed)}; what stays: {stay}")
    return 0


def _say_json(document: dict[str, Any]) -> None:
    print(json.dumps(reports.as_json(document), indent=1, allow_nan=False))


def _pairs(tree: Any, most: int = 60) -> str:
    """Return a dict as one line of text, its values no longer than is good to read."""
    if not isinstance(tree, dict):
        return _short(tree, most)
    return _short(", ".join(f"{key}={_short(value, most)}" for key, value in tree.items()), 2000)


def _short(value: Any, most: int = 100) -> str:
    """Return a value of a state as text."""
    if isinstance(value, str):
        text = value
    elif type(value) is int:
        text = f"{value:,}"
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 4]} ..."


if __name__ == "__main__":
    sys.exit(main())
