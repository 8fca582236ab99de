"""The wheel ships every package of the checkout, under its installed name, and its data files."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "setuptools"
]
SOURCES = ("minicnn", "kernels")
CODE = {".py"}
NOT_SHIPPED = {".pyc", ".nbi", ".nbc"}  # caches


def installed_name(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(("minicnn", *parts) if parts[0] == "kernels" else parts)


def folders() -> dict[str, Path]:
    """Every folder with code in it, by the name it is installed under."""
    found = {p.parent for top in SOURCES for p in (ROOT / top).rglob("*.py")}
    return {installed_name(folder): folder for folder in found}


def test_pyproject_lists_every_package_and_no_other():
    declared = SETUPTOOLS["packages"]
    assert len(declared) == len(set(declared))
    assert sorted(declared) == sorted(folders())


@pytest.mark.parametrize("name", sorted(folders()))
def test_every_folder_with_code_is_a_package(name):
    assert (folders()[name] / "__init__.py").is_file()


def test_kernels_are_mapped_into_the_package():
    assert SETUPTOOLS["package-dir"] == {"minicnn.kernels": "kernels"}


def test_the_package_is_typed():
    assert (ROOT / "minicnn" / "py.typed").is_file()
    assert "py.typed" in SETUPTOOLS["package-data"]["minicnn"]


def shipped(name: str, path: Path) -> bool:
    return any(fnmatch.fnmatch(path.name, g) for g in SETUPTOOLS["package-data"].get(name, ()))


@pytest.mark.parametrize("name", sorted(folders()))
def test_every_data_file_is_shipped(name):
    """A .cu that is not listed is there in a checkout and missing in a wheel."""
    others = [
        path
        for path in folders()[name].iterdir()
        if path.is_file() and path.suffix not in CODE | NOT_SHIPPED
    ]
    assert [path.name for path in others if not shipped(name, path)] == []


def test_cuda_sources_would_be_shipped():
    for name in ("pooling.cu", "common.cuh"):
        assert shipped("minicnn.kernels.cuda", Path(name))
    assert not shipped("minicnn.kernels.cpu", Path("pooling.cu"))


def test_data_files_belong_to_packages_that_exist():
    assert set(SETUPTOOLS["package-data"]) <= set(folders())
