"""Solutions with one small fault each: which of them would an exercise call right?

Not every survivor is a weakness (``max(a, 0)`` is ``max(0, a)``); whoever writes an exercise looks
through the list, and adds a case where one of them should have been found.
"""

from __future__ import annotations

import ast
import copy
import inspect
import signal
import sys
import textwrap
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from minicnn.exercises import Exercise

__all__ = ["mutants", "survivors"]

SECONDS = 5.0  # for one mutant: a fault may make a loop endless
SEEDS = 0, 3
OTHER_OPERATORS: dict[type[ast.AST], list[type[ast.AST]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Div, ast.Mult],
    ast.Mod: [ast.FloorDiv],
    ast.Pow: [ast.Mult],
    ast.Lt: [ast.LtE, ast.Gt],
    ast.LtE: [ast.Lt],
    ast.Gt: [ast.GtE, ast.Lt],
    ast.GtE: [ast.Gt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
}
OTHER_NAMES = {"max": "min", "mean": "sum", "sum": "mean", "maximum": "minimum", "sqrt": "square"}


class TooLong(BaseException):
    """Not an Exception: the check of an exercise would take that for a mistake of the answer's."""


def survivors(one: Exercise) -> tuple[int, list[str]]:
    """Return how many mutants of the solution were tried, and which were called right."""
    tried, alive = 0, []
    for what, answer in mutants(one.solution):
        tried += 1
        if _is_right(one, answer):
            alive.append(what)
    return tried, alive


def mutants(solution: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what was changed, solution with that change) for a function or a class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(solution)))
    tree.body[0].decorator_list = []  # type: ignore[attr-defined]
    for node in ast.walk(tree):  # what is said of types changes nothing
        if isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Name("object", ast.Load())
    names = vars(sys.modules[solution.__module__])
    for place, node in enumerate(ast.walk(tree)):
        for what, change in _changes(node):
            changed = copy.deepcopy(tree)
            change(list(ast.walk(changed))[place])
            own = dict(names)
            exec(compile(ast.fix_missing_locations(changed), "<mutant>", "exec"), own)
            where = f"line {getattr(node, 'lineno', 0)}: {ast.unparse(node)[:60]}"
            yield f"{where} {what}", own[solution.__name__]


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Yield what can be changed at a place of a program."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        for other in OTHER_OPERATORS.get(type(node.op), []):
            yield f"-> {other.__name__}", lambda n, other=other: setattr(n, "op", other())
    if isinstance(node, ast.Compare):
        for other in OTHER_OPERATORS.get(type(node.ops[0]), []):
            yield f"-> {other.__name__}", lambda n, other=other: n.ops.__setitem__(0, other())
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (node.value + 1, node.value - 1):
            yield f"-> {value}", lambda n, value=value: setattr(n, "value", value)
    if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):
        yield "-> -=", lambda n: setattr(n, "op", ast.Sub())
    if isinstance(node, ast.Attribute) and node.attr in OTHER_NAMES:
        yield f"-> {OTHER_NAMES[node.attr]}", lambda n: setattr(n, "attr", OTHER_NAMES[n.attr])
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        yield "axes exchanged", lambda n: n.slice.elts.reverse()
    if isinstance(node, ast.Call):
        if len(node.args) == 2:
            yield "arguments exchanged", lambda n: n.args.reverse()
        for i, keyword in enumerate(node.keywords):
            yield f"without {keyword.arg}", lambda n, i=i: n.keywords.pop(i)
    if isinstance(node, ast.FunctionDef | ast.For | ast.If) and len(node.body) > 1:
        for i, line in enumerate(node.body):
            if not isinstance(line, ast.Return | ast.Expr):
                yield f"without {ast.unparse(line)[:40]!r}", lambda n, i=i: n.body.pop(i)


def _is_right(one: Exercise, answer: Any) -> bool:
    def too_long(number: int, frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        return all(one.examine(answer, seed).right for seed in SEEDS)
    except TooLong:
        return False
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
