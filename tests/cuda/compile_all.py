"""Compile every kernel for every card with nvcc: ``python -m pytest tests/cuda/compile_all.py``.

It takes minutes, so it is no part of the tests that are run all the time; .ci/run calls it.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cuda.test_compile import CUDA, SOURCES, instances

CARDS = ("75", "80", "90", "100")  # Turing, Ampere, Hopper, Blackwell


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_card(path: Path, tmp_path: Path) -> None:
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc, of NVIDIA's CUDA toolkit, to compile the kernels")
    text = path.read_text(encoding="utf-8")
    keep = ", ".join(f"(void*)&{name}" for name in instances(text))
    source = tmp_path / path.name
    source.write_text(f'#line 1 "{path}"\n{text}\nvoid* keep[] = {{{keep}}};\n', encoding="utf-8")
    cards = [f"-gencode=arch=compute_{card},code=sm_{card}" for card in CARDS]
    done = subprocess.run(
        [nvcc, "-std=c++17", "-fatbin", "-Werror", "all-warnings", *cards, f"-I{CUDA}",
         str(source), "-o", str(tmp_path / "kernels.fatbin")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
