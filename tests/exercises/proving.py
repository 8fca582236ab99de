"""One lesson's exercises, proven: stub and wrong answers fail, the solution passes."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minicnn.exercises as package
from minicnn.exercises import Exercise
from tests.exercises.collecting import WrongAnswer

__all__ = ["Proof", "exercises_of", "lesson_of", "prove", "titles"]

TUTORIALS = Path(__file__).resolve().parents[2] / "tutorials"
SEEDS = 10  # drawings of cases with which a solution must pass
FEWEST, MOST = 3, 8  # wrong answers of an exercise


class Proof(NamedTuple):
    """What was counted in a lesson, and what was not as it must be.

    `stubs` fail, `wrong` answers fail with their hint, `solutions` pass.
    """

    title: str
    exercises: int
    stubs: int
    wrong: int
    solutions: int
    faults: list[str]


def titles() -> list[str]:
    """Return the lessons that have exercises, in their order."""
    there = {p.stem for p in Path(package.__file__).parent.glob("[a-z]*.py")}
    lessons = [p.stem.split("_", 1)[1] for p in sorted(TUTORIALS.glob("[0-9]*.py"))]
    return [title for title in lessons if title in there] + sorted(there - set(lessons))


def lesson_of(title: str) -> Path:
    """Return the lesson of that title."""
    found = list(TUTORIALS.glob(f"[0-9]*_{title}.py"))
    if len(found) != 1:
        raise FileNotFoundError(f"exercises {title}: no lesson is called [0-9]*_{title}.py")
    return found[0]


def exercises_of(title: str) -> dict[str, Exercise]:
    """Return the exercises of a lesson by their names."""
    module = importlib.import_module(f"minicnn.exercises.{title}")
    return {name: one for name, one in vars(module).items() if isinstance(one, Exercise)}


def prove(title: str) -> Proof:
    """Try everything that a lesson's exercises promise."""
    exercises = exercises_of(title)
    answers = importlib.import_module(f"tests.exercises.wrong.{title}").wrong
    tree = ast.parse(lesson_of(title).read_text(encoding="utf-8"))
    stubs = dict(_stubs(tree))
    faults = [f"{name}: the lesson does not check it" for name in exercises.keys() - stubs.keys()]
    faults += [f"{name}: the lesson checks what is not there" for name in stubs.keys() - exercises]
    strays = [a for a in answers if not any(a.exercise is one for one in exercises.values())]
    faults += [f"{a.exercise.name}: a wrong answer of another lesson's" for a in strays]
    idle, caught, right = 0, 0, 0
    for name, one in exercises.items():
        if one.name != name:
            faults.append(f"{name}: it calls itself {one.name}")
        own = [answer for answer in answers if answer.exercise is one]
        if not FEWEST <= len(own) <= MOST:
            faults.append(f"{name}: {len(own)} wrong answers, should be {FEWEST} to {MOST}")
        missed = [fault for answer in own if (fault := _fault_of(name, one, answer))]
        caught += len(own) - len(missed)
        faults += missed
        if name in stubs:
            fails = not _passes(one, stubs[name].value)
            idle += fails
            faults += [] if fails else [f"{name}: its stub passes"]
        faults += [f"{name}: {lazy} passes" for lazy, answer in _lazy(one) if _passes(one, answer)]
        passes = [one.examine(one.solution, seed).right for seed in range(SEEDS)]
        right += all(passes)
        if not all(passes):
            faults.append(f"{name}: the solution fails with seed {passes.index(False)}")
    return Proof(title, len(exercises), idle, caught, right, faults)


def _fault_of(name: str, one: Exercise, answer: WrongAnswer) -> str:
    """Say how a wrong answer is not treated as it should be; empty if it is."""
    what = getattr(answer.answer, "__name__", repr(answer.answer))
    verdict = one.examine(answer.answer)
    if verdict.right:
        return f"{name}: {what} passes"
    if answer.hint.lower() not in verdict.hint.lower():
        return f"{name}: {what} is told {verdict.hint!r}, which lacks {answer.hint!r}"
    return ""


def _lazy(one: Exercise) -> Iterator[tuple[str, Any]]:
    """Yield answers to a function's exercise that cost no thought."""
    if one.cases is None or isinstance(one.solution, type):
        return
    yield "what it was given", lambda *arguments: arguments[0]
    for constant in (True, False, 0, ""):
        yield f"always {constant!r}", lambda *_, constant=constant: constant
    if one.play is None:
        first = one.solution(*next(iter(one.cases(np.random.default_rng(0)))))
        yield "what is right in the first case", lambda *_: first


def _passes(one: Exercise, answer: Any) -> bool:
    return one.examine(answer).right


class _Stub(NamedTuple):
    value: Any


def _stubs(tree: ast.Module) -> Iterator[tuple[str, _Stub]]:
    """Yield by name what a lesson gives each check, as it stands there before anyone answers."""
    names: dict[str, Any] = {}
    defined: dict[str, ast.stmt] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            _run(statement, names)
        checked = _checked(statement)
        if checked is not None:
            name, given = checked
            if isinstance(given, ast.Name) and given.id in defined:
                _run(defined[given.id], names)
                yield name, _Stub(names[given.id])
            else:
                yield name, _Stub(eval(ast.unparse(given), names))
        for target in _names_made(statement):
            defined[target] = statement


def _run(statement: ast.stmt, names: dict[str, Any]) -> None:
    exec(compile(ast.Module([statement], []), "lesson", "exec"), names)


def _checked(statement: ast.stmt) -> tuple[str, ast.expr] | None:
    """Return (exercise, answer) of a statement ``x = exercise.NAME.check(answer)``."""
    call = getattr(statement, "value", None)
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
        owner = call.func.value
        if call.func.attr == "check" and isinstance(owner, ast.Attribute):
            return owner.attr, call.args[0]
    return None


def _names_made(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        return [t.id for t in statement.targets if isinstance(t, ast.Name)]
    return []
