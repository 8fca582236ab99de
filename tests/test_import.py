"""``import minicnn`` is light: whatever is heavy waits until it is used."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = (
    "PIL", "cupy", "llvmlite", "matplotlib", "numba", "onnx", "onnxruntime", "rich", "safetensors",
    "scipy", "torch",
)  # fmt: skip


def loaded_by(code: str) -> set[str]:
    """Run code in a fresh interpreter; return the heavy packages it has loaded."""
    listing = f"\nimport sys; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", code + listing],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if not k.startswith("MINICNN_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(result.stdout.splitlines()[-1].split()) if result.stdout.strip() else set()


def test_the_front_door_is_light():
    assert loaded_by("import minicnn") == set()


def test_looking_at_the_front_door_is_light():
    assert loaded_by("import minicnn; dir(minicnn); repr(minicnn); minicnn.__version__") == set()


@pytest.mark.parametrize(
    "name",
    [
        "autograd",
        "data",
        "estimator",
        "explanation",
        "interop",
        "metrics",
        "models",
        "nn",
        "ops",
        "optim",
        "visualise",
    ],
)
def test_packages_are_light(name):
    assert loaded_by(f"import minicnn.{name}") == set()


def test_a_tensor_is_light_until_a_kernel_is_needed():
    assert loaded_by("import minicnn; (minicnn.Tensor([1.0]) * 2).sum()") == set()
    assert "numba" in loaded_by("import minicnn; minicnn.ops.relu(minicnn.Tensor([1.0]))")


def test_the_command_line_helps_quickly():
    code = (
        "import sys, runpy\nsys.argv = ['train', '--help']\n"
        "try:\n    runpy.run_module('minicnn.train', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code\n"
    )
    assert loaded_by(code) <= {"rich"}


def test_every_name_at_the_front_door_is_there():
    code = (
        "import minicnn\n"
        "for name in minicnn.__all__:\n    assert getattr(minicnn, name) is not None, name\n"
        "assert set(minicnn.__all__) <= set(dir(minicnn))\n"
    )
    loaded_by(code)


def test_a_wrong_name_at_the_front_door():
    import minicnn

    with pytest.raises(AttributeError, match="module 'minicnn' has no attribute 'Tesnor'"):
        _ = minicnn.Tesnor
