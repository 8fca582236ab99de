"""The reference: a page for each package, on it what its ``__all__`` lists, file by file."""

from __future__ import annotations

import importlib
import inspect
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

from tutorials.site.running import ROOT

MODULES = (
    "minicnn.apps.gtsrb", "minicnn.autograd.graph", "minicnn.config", "minicnn.data.augmentation",
    "minicnn.data.download", "minicnn.data.gtsrb", "minicnn.data.pictures", "minicnn.data.splits",
    "minicnn.errors", "minicnn.nn.init", "minicnn.nn.layers",
)  # fmt: skip
"""Public modules that no package sums up."""


def public_modules() -> list[str]:
    """List what gets a page: each package that has an ``__all__``, and `MODULES`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    packages = [
        name
        for name in project["tool"]["setuptools"]["packages"]
        if "kernels" not in name and not any(part.startswith("_") for part in name.split("."))
    ]
    names = sorted({*packages, *MODULES})
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


def homes(modules: list[str]) -> dict[str, str]:
    """Find where each public thing is described: in the package whose file defines it.

    Parameters
    ----------
    modules : list of str
        The pages.

    Returns
    -------
    dict of str to str
        By full name, say ``minicnn.Tensor``, that of its description, ``minicnn.autograd.Tensor``.
    """
    places: dict[int, list[str]] = {}
    for name in modules:
        module = importlib.import_module(name)
        for each in module.__all__:
            places.setdefault(id(getattr(module, each)), []).append(f"{name}.{each}")
    found = {}
    for names in places.values():
        best = max(names, key=lambda full: (_is_home(full), full.count(".")))
        found |= dict.fromkeys(names, best)
    return found


def _is_home(full: str) -> bool:
    package, name = full.rsplit(".", 1)
    thing = getattr(importlib.import_module(package), name)
    defined = getattr(thing, "__module__", "") or ""
    return defined == package or defined.startswith(package + ".")


def write_reference(folder: Path) -> dict[str, str]:
    """Write the pages.

    Parameters
    ----------
    folder : Path
        Where to.

    Returns
    -------
    dict of str to str
        `homes` of everything.
    """
    folder.mkdir(parents=True)
    modules = public_modules()
    found = homes(modules)
    for name in modules:
        (folder / f"{name}.rst").write_text(_page(name, found), "utf-8")
    lines = [
        *_titled("Reference", "="),
        "What each package offers, file by file. Shapes are in the types: N images of C channels,",
        "H rows and W columns, and so on.",
        "",
        ".. toctree::",
        "   :maxdepth: 1",
        "",
        *(f"   {name} <{name}>" for name in modules),
        "",
        ".. list-table::",
        "   :class: packages",
        "",
    ]
    for name in modules:
        said = _first_line(importlib.import_module(name))
        lines += [f"   * - :doc:`{name} <{name}>`", f"     - {said}"]
    (folder / "index.rst").write_text("\n".join(lines) + "\n", "utf-8")
    return found


def _titled(text: str, mark: str) -> list[str]:
    return [text, mark * len(text), ""]


def _first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n", 1)[0].replace("\n", " ")


def _page(name: str, found: dict[str, str]) -> str:
    module = importlib.import_module(name)
    own: dict[str, list[str]] = {}
    lent = []
    for each in sorted(module.__all__, key=str.lower):
        if isinstance(getattr(module, each), ModuleType):
            continue  # has a page
        if found[f"{name}.{each}"] != f"{name}.{each}":
            lent.append(each)
            continue
        defined = getattr(getattr(module, each), "__module__", None)
        own.setdefault(defined if _is_home(f"{name}.{each}") else name, []).append(each)
    lines = [
        *_titled(name, "="),
        f".. automodule:: {name}",
        "   :no-members:",
        "",
    ]
    for defined, names in sorted(own.items()):
        if len(own) > 1:
            lines += _family(defined, name)
        for each in names:
            lines += _entry(module, name, each)
    if lent:
        lines += _titled("Also here", "-")
        lines += [f"- :py:obj:`{each} <{found[f'{name}.{each}']}>`" for each in lent]
    return "\n".join(lines) + "\n"


def _family(defined: str, package: str) -> list[str]:
    """Return the heading of what one file defines, and what the file says of itself."""
    short = defined.removeprefix(f"{package}.").strip("_").replace("_", " ").replace(".", ": ")
    title = short.capitalize() if defined != package else "The package itself"
    said = _first_line(importlib.import_module(defined))
    return [*_titled(title, "-"), said, ""]


def _entry(module: ModuleType, package: str, name: str) -> list[str]:
    thing = getattr(module, name)
    if inspect.isclass(thing):
        kind = "autoexception" if issubclass(thing, BaseException) else "autoclass"
    else:
        kind = "autofunction" if inspect.isroutine(thing) else "autodata"
    options = ["   :members:"] if kind == "autoclass" else []
    if kind == "autodata":
        return [f".. py:data:: {package}.{name}", "", f"   {_said_of(module, name)}", ""]
    return [f".. {kind}:: {package}.{name}", *options, ""]


def _said_of(module: ModuleType, name: str) -> str:
    """Return the string below an assignment, in the file that makes it."""
    for line in Path(module.__file__ or "").read_text("utf-8").split(f"\n{name}")[1:]:
        after = line.split('"""')
        if len(after) > 2:
            return after[1].split("\n\n")[0].replace("\n", " ")
    return f"See the source of ``{module.__name__}``."
