"""What can be read about an op in its own source: formula, derivation, kernels."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

from minicnn.autograd import Tensor
from minicnn.explanation._cuda_sources import cuda_sources

Function = Callable[..., Any]

HOMES = ("minicnn.ops", "minicnn.autograd")  # where ops and their helpers are
ENGINE = ("minicnn.autograd.tensor", "minicnn.autograd.watching")  # what makes ops of functions
KINDS = ("plain", "cpu")  # the packages of kernels that can be imported anywhere
# Kernels that have vector code generated for the shape, and the functions that write it
_GENERATORS = {
    "conv": (("microkernel", "forward"), ("winograd_code", "forward")),
    "conv_grad_x": (("microkernel", "forward"), ("winograd_code", "forward")),
    "conv_grad_weight": (("microkernel", "grad_weight"), ("winograd_code", "grad_weight")),
}


@functools.cache
def catalogue() -> dict[str, Function]:
    """Return every public op by its name."""
    found: dict[str, Function] = {}
    for home in HOMES:
        module = importlib.import_module(home)
        for name in module.__all__:
            value = getattr(module, name)
            made = hasattr(value, "__wrapped__")  # as `differentiable` and `composed` do it
            if made and not inspect.isgeneratorfunction(inspect.unwrap(value)):
                found.setdefault(name, value)
    return found


def formulas_of(op: Function) -> tuple[str, ...]:
    """Return the formulas in an op's docstring: before its parameters, or of what it returns.

    If there are none, those of the op it refers to, or its first sentence.
    """
    doc = inspect.getdoc(op) or ""
    if found := _own_formulas(doc):
        return found
    for name in re.findall(r"(?<!`)`(\w+)`(?!`)", doc):
        other = catalogue().get(name)
        if other is not None and (found := _own_formulas(inspect.getdoc(other) or "")):
            return f"of {name}:", *found
    return (" ".join(doc.partition("\n\n")[0].split()),) if doc else ()


def _own_formulas(doc: str) -> tuple[str, ...]:
    head = doc.partition("\nParameters\n")[0]
    returns = re.search(r"\nReturns\n-+\n(.*?)(?=\n\w[\w ]*\n-+\n|\Z)", doc, re.DOTALL)
    found = _table(head) + _code(head)
    found = found or [c for c in _code(returns[1] if returns else "") if c.startswith("y")]
    return tuple(c for c in found if not c.startswith("dL"))


def _code(text: str) -> list[str]:
    """Return what stands in double backticks and says something, one line each."""
    spans = (" ".join(span.split()) for span in re.findall(r"``(.+?)``", text, re.DOTALL))
    return [span for span in spans if re.search(r"[=<>(/*]", span)]


def _table(text: str) -> list[str]:
    """Return the lines of tables, for they may be what says how options change a formula."""
    rows = re.search(r"^(=+ +=+)\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    return [line.replace("``", "") for line in rows[2].splitlines()] if rows else []


def derivation_of(op: Function) -> tuple[str, ...]:
    """Return the comments above the closures of an op and of the helpers it is written with.

    If there are none, those of what the closures call; and the gradients that the docstring gives.
    """
    head = (inspect.getdoc(op) or "").partition("\nParameters\n")[0]
    said = [code for code in _code(head) if code.startswith("dL")]
    for functions in (with_helpers(op), with_helpers(op, closures=True)):
        blocks = [block for f in functions for block in _comments(f)]
        blocks = [b for b in blocks if re.search(r"dL|d/d|slope|gradient|derivative", b)]
        if blocks:
            return tuple(dict.fromkeys([*said, *blocks]))
    return tuple(said)


def closures_of(op: Function) -> tuple[str, ...]:
    """Return the source of the pull-backs of an op, and of the helpers it is written with."""
    found = []
    for f in with_helpers(op):
        source = _source(f)
        tree = ast.parse(source).body[0]
        nested = [n for n in tree.body if isinstance(n, ast.FunctionDef)]  # type: ignore[attr-defined]
        lambdas = [
            ast.get_source_segment(source, n.value) or ""
            for n in ast.walk(tree)
            if isinstance(n, ast.Return) and isinstance(n.value, ast.Tuple)
            if any(isinstance(part, ast.Lambda) for part in ast.walk(n.value))
        ]
        found += [ast.get_source_segment(source, n, padded=True) or "" for n in nested]
        found += [f"return {text}" for text in lambdas]
    return tuple(textwrap.dedent(text) for text in found)


def with_helpers(op: Function, closures: bool = False) -> list[FunctionType]:
    """Return the function of an op and the private ones that it calls; those of closures too."""
    found: list[FunctionType] = []
    waiting = [inspect.unwrap(op)]
    while waiting:
        f = waiting.pop(0)
        if f in found or not isinstance(f, FunctionType):
            continue
        found.append(f)
        waiting += [other for name, other in _called(f, closures) if name not in catalogue()]
    return found


def written_with(op: Function) -> tuple[str, ...]:
    """Return the names of the public ops in the body of an op, also those called as methods."""
    names = [name for f in with_helpers(op) for name, _ in _called(f, False)]
    for f in with_helpers(op):
        names += [
            node.func.attr
            for node in ast.walk(ast.parse(_source(f)))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            if hasattr(Tensor, node.func.attr) and "data" not in ast.unparse(node.func.value)
        ]
    return tuple(dict.fromkeys(n for n in names if n in catalogue() and n != op.__name__))


def kernels_of(op: Function) -> tuple[str, ...]:
    """Return the names of the kernels that an op calls, forward ones first, then its gradients'."""
    functions = [*with_helpers(op), *with_helpers(op, closures=True)]
    names = dict.fromkeys(name for f in functions for name in _kernels_in(f))
    known = vars(importlib.import_module("minicnn.kernels.plain"))
    return tuple(name for name in names if name in known)


def kernel_sources(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, file, source) of each implementation of a kernel that is its own."""
    seen = []
    for kind in KINDS:
        kernel = getattr(_package(kind), name, None)
        f = getattr(kernel, "py_func", kernel)
        if f is None or f in seen:
            continue
        seen.append(f)
        parts = [f, *_kernel_helpers(f)]
        yield (
            kind,
            "kernels" + f.__module__.partition("kernels")[2].replace(".", "/") + ".py",
            ("\n\n".join(inspect.getsource(part).rstrip() for part in parts)),
        )
    yield from cuda_sources(name)


def generator_sources(name: str) -> Iterator[tuple[str, str, str]]:
    """Yield (kind, file, source) of what writes the vector code of a kernel, if something does."""
    for module_name, writer in _GENERATORS.get(name, ()):
        module = importlib.import_module(f"minicnn.kernels.cpu.vector.{module_name}")
        parts = _called_in(getattr(module, writer), module)
        text = "\n\n".join(inspect.getsource(part).rstrip() for part in parts)
        yield "generator of vector code", f"kernels/cpu/vector/{module_name}.py", text


def _called_in(function: FunctionType, module: ModuleType) -> list[FunctionType]:
    """Return a function and those of its module that it calls, directly or not."""
    found = [function]
    for f in found:
        names = (n.id for n in ast.walk(ast.parse(_source(f))) if isinstance(n, ast.Name))
        for name in dict.fromkeys(names):
            other = vars(module).get(name)
            if not isinstance(other, FunctionType) or other.__module__ != module.__name__:
                continue
            if other not in found:
                found.append(other)
    return found


def _package(kind: str) -> ModuleType | None:
    try:
        return importlib.import_module(f"minicnn.kernels.{kind}")
    except ImportError:  # no Numba
        return None


def _kernel_helpers(f: Any) -> list[Any]:
    """Return the compiled loops of the same file that a kernel calls."""
    names = [n.id for n in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(f))))
             if isinstance(n, ast.Name)]  # fmt: skip
    found = []
    for name in dict.fromkeys(names):
        loops = getattr(f.__globals__.get(name), "py_func", None)
        if loops is not None and loops.__module__ == f.__module__ and loops not in found:
            found.append(loops)
    return found


def text_of(op: Function) -> str:
    """Return the source of an op without docstrings, and of its helpers that compute something."""
    own, *helpers = with_helpers(op)
    telling = [f for f in helpers if _kernels_in(f) or "lambda" in _source(f) or _is_op(f)]
    return "\n\n".join(_without_docstring(f) for f in [own, *telling])


def _is_op(f: FunctionType) -> bool:
    return str(inspect.signature(f).return_annotation) == "Lifted"


def _without_docstring(f: FunctionType) -> str:
    source = _source(f)
    tree = ast.parse(source).body[0]
    first = tree.body[0] if isinstance(tree, ast.FunctionDef) else None
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        return source.rstrip()
    lines = source.splitlines()
    return "\n".join(lines[: first.lineno - 1] + lines[first.end_lineno :]).rstrip()


@functools.cache
def _source(f: FunctionType) -> str:
    return textwrap.dedent(inspect.getsource(f))


def _comments(f: FunctionType) -> list[str]:
    """Return the blocks of comment lines above and in a function."""
    blocks: list[list[str]] = [(inspect.getcomments(f) or "").splitlines(), []]
    for line in _source(f).splitlines():
        if line.lstrip().startswith("#"):
            blocks[-1].append(line)
        elif blocks[-1]:
            blocks.append([])
    return [_plain("\n".join(block)) for block in blocks if block]


def _plain(comment: str) -> str:
    """Return a comment without its signs."""
    lines = textwrap.dedent(comment).rstrip().splitlines()
    return "\n".join(line.lstrip().removeprefix("#").removeprefix(" ") for line in lines)


def _called(f: FunctionType, closures: bool) -> list[tuple[str, Any]]:
    """Return the ops and helpers that a function names, without or with those in its closures."""
    names: list[str] = []
    waiting: list[ast.AST] = list(ast.parse(_source(f)).body[0].body)  # type: ignore[attr-defined]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.FunctionDef | ast.Lambda) and not closures:
            continue
        if isinstance(node, ast.Name):
            names.append(node.id)
        waiting += ast.iter_child_nodes(node)
    found = []
    for name in dict.fromkeys(names):
        other = inspect.unwrap(f.__globals__[name]) if callable(f.__globals__.get(name)) else None
        home = getattr(other, "__module__", "") or ""
        if isinstance(other, FunctionType) and home.startswith(HOMES) and home not in ENGINE:
            found.append((getattr(f.__globals__[name], "__name__", name), other))
    return found


def _kernels_in(f: FunctionType) -> list[str]:
    """Return what is looked up in the kernels: ``kernels_for(x).conv``, or ``k.conv``."""
    tree = ast.parse(_source(f))

    def is_lookup(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "kernels_for"
        )

    short = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            targets, values = node.targets[0], node.value
            pairs = (
                zip(targets.elts, values.elts, strict=False)
                if isinstance(targets, ast.Tuple) and isinstance(values, ast.Tuple)
                else [(targets, values)]
            )
            short |= {t.id for t, v in pairs if isinstance(t, ast.Name) and is_lookup(v)}
    return [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (is_lookup(node.value) or (isinstance(node.value, ast.Name) and node.value.id in short))
    ]
