"""Every public name is documented, in numpydoc's form, and completely."""

from __future__ import annotations

import ast
import enum
import importlib
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "minicnn"
SECTIONS = "Parameters|Attributes|Returns|Yields|Raises|Warns|Notes|References|Examples|See Also"


def public_modules() -> list[str]:
    """Every package and the modules at the top that are for people to import."""
    packages = [
        ".".join(("minicnn", *init.parent.relative_to(PACKAGE).parts))
        for init in PACKAGE.rglob("__init__.py")
        if not any(part.startswith("_") for part in init.parent.relative_to(PACKAGE).parts)
    ]
    return sorted([*packages, "minicnn.errors", "minicnn.backend.device", "minicnn.backend.random"])


def names_of(module: ModuleType) -> list[str]:
    """What a module offers: its ``__all__``, or else what it defines itself."""
    if hasattr(module, "__all__"):
        return list(module.__all__)
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield (name, object) of every public class and function, once."""
    seen = set()
    for module_name in public_modules():
        module = importlib.import_module(module_name)
        for name in names_of(module):
            value = getattr(module, name)
            own = str(getattr(value, "__module__", "")).startswith("minicnn")
            if (
                own
                and (inspect.isclass(value) or inspect.isfunction(value))
                and id(value) not in seen
            ):
                seen.add(id(value))
                yield f"{module_name}.{name}", value


OBJECTS = dict(public_objects())
FUNCTIONS = {name: f for name, f in OBJECTS.items() if inspect.isfunction(f)}
CLASSES = {name: c for name, c in OBJECTS.items() if inspect.isclass(c)}


def section(doc: str, title: str) -> str | None:
    """Return the body of a numpydoc section, None if there is none."""
    found = re.search(
        rf"^{title}\n-{{{len(title)}}}\n(.*?)(?=^(?:{SECTIONS})\n-+\n|\Z)",
        doc,
        re.MULTILINE | re.DOTALL,
    )
    return found[1] if found else None


def documented(doc: str, title: str = "Parameters") -> list[str]:
    """Return the names that a section describes, stars removed."""
    lines = (section(doc, title) or "").splitlines()
    heads = [line.partition(" :")[0] for line in lines if line and not line.startswith(" ")]
    return [name.strip().lstrip("*") for head in heads for name in head.split(",")]


def parameters_of(f: Callable[..., Any]) -> list[str]:
    names = list(inspect.signature(f).parameters)
    return [n for n in names if n not in ("self", "cls") and not n.startswith("_")]


def raised_by(f: Callable[..., Any]) -> set[str]:
    """The errors that a function's own body raises (not those of functions inside it)."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(f))))
    waiting: list[ast.AST] = list(tree.body[0].body)  # type: ignore[attr-defined]
    found = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            continue
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            found.add(ast.unparse(node.exc.func))
        waiting.extend(ast.iter_child_nodes(node))
    return found


def _kind_and_name(name: str) -> tuple[int, str]:
    """Constants, classes, functions, each by name: the order that ruff (RUF022) keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", public_modules())
def test_all_is_sorted_unique_and_importable(name):
    module = importlib.import_module(name)
    assert module.__doc__, "say what it is for"
    if not hasattr(module, "__all__"):
        assert name.count(".") > 1 or name == "minicnn.apps", "a public package lists its names"
        return
    names = list(module.__all__)
    assert names == sorted(names, key=_kind_and_name)
    assert len(names) == len(set(names))
    for public in names:
        assert not public.startswith("_")
        assert hasattr(module, public), public


@pytest.mark.parametrize("name", OBJECTS)
def test_has_a_docstring_of_its_own(name):
    value = OBJECTS[name]
    doc = value.__doc__ or ""
    assert doc.strip(), "write one"
    for parent in getattr(value, "__mro__", ())[1:]:
        assert doc != parent.__doc__, f"it is that of {parent.__name__}"
    assert doc.strip().split("\n")[0].rstrip().endswith((".", "?", ":", "]")), "a sentence first"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_describe_all_their_parameters_in_order(name):
    f = FUNCTIONS[name]
    assert documented(inspect.getdoc(f) or "") == parameters_of(f)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_return(name):
    f = FUNCTIONS[name]
    doc = inspect.getdoc(f) or ""
    returns = inspect.signature(f).return_annotation
    if returns in (None, "None", "Iterator[None]", inspect.Signature.empty):
        assert section(doc, "Returns") is None, "it returns nothing"
    else:
        assert section(doc, "Returns") or section(doc, "Yields"), f"it returns {returns}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_say_what_they_raise(name):
    f = FUNCTIONS[name]
    missing = raised_by(f) - set(documented(inspect.getdoc(f) or "", "Raises"))
    assert not missing, "describe these under Raises"


# Classes that functions make for people, who never call them
HANDED_OUT = {"DatasetIterator", "Dataset", "HookHandle"}


@pytest.mark.parametrize("name", CLASSES)
def test_classes_describe_what_they_are_made_from(name):
    kind = CLASSES[name]
    makes_itself = "__init__" in vars(kind) or "__new__" in vars(kind)
    if not makes_itself or issubclass(kind, enum.Enum) or kind.__name__ in HANDED_OUT:
        return
    doc = inspect.getdoc(kind) or ""
    if given := documented(doc):
        assert given == parameters_of(kind)
    else:  # a record: what it is made from is what it has
        assert set(parameters_of(kind)) <= set(documented(doc, "Attributes"))


def public_methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, value in vars(kind).items():
        inner = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isfunction(inner) or isinstance(value, property)):
            yield name, inner


@pytest.mark.parametrize("name", CLASSES)
def test_methods_have_docstrings_and_describe_what_they_take(name):
    for method, f in public_methods(CLASSES[name]):
        if f.__module__.startswith("minicnn") and f.__name__ != "<lambda>":
            overrides = any(hasattr(base, method) for base in CLASSES[name].__mro__[1:])
            doc = inspect.getdoc(f) or ""
            assert doc or overrides, f"{method} needs a docstring"
            if section(doc, "Parameters"):
                assert documented(doc) == parameters_of(f), method
