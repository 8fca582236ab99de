"""Kernels are compiled once and kept: what is found, what is built anew, and what is said."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

KERNEL = """
#include "twice.cuh"
template <typename T> __global__ void scale(T* y, const T* x, Index n) {
  for (Index i = first_index(); i < n; i += index_step()) y[i] = twice(x[i]);
}
"""
TWICE = '#include "common.cuh"\ntemplate <typename T> __device__ T twice(T x) { return 2 * x; }\n'
PROCESS = """
import sys
from pathlib import Path
from minicnn.kernels import cuda_host
cuda_host.install()
from minicnn.kernels.cuda import _compiler
compiled, count = _compiler._compiled, []
_compiler._compiled = lambda *given: count.append(1) or compiled(*given)
_compiler.FOLDER = Path(sys.argv[1])
_, lowered = _compiler.module("scale", ("scale<float>",), 90)
print(len(count), lowered["scale<float>"])
"""


class Compilations:
    """The compiler with sources and a cache of its own; counts what it compiles."""

    def __init__(self, compiler: ModuleType, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.compiler, self.sources, self.kept, self.count = compiler, folder / "src", folder, 0
        self.sources.mkdir()
        (self.sources / "scale.cu").write_text(KERNEL)
        (self.sources / "twice.cuh").write_text(TWICE)
        common = (compiler.FOLDER / "common.cuh").read_text()
        for name in compiler._INCLUDE.findall(common):
            (self.sources / name).write_text((compiler.FOLDER / name).read_text())
        (self.sources / "common.cuh").write_text(common)
        real = compiler._compiled

        def counted(*given: Any) -> Any:
            self.count += 1
            return real(*given)

        patch.setattr(compiler, "_compiled", counted)
        patch.setattr(compiler, "FOLDER", self.sources)
        self.keep_in(folder / "kept", patch)

    def keep_in(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.kept = folder / "cuda"
        patch.setenv("MINICNN_CACHE", str(folder))
        self.forget()

    def forget(self) -> None:
        """Know no more than a new process."""
        for cached in ("sources", "_folder", "_version", "_target"):
            getattr(self.compiler, cached).cache_clear()

    def scale(self, name: str = "scale<float>") -> Any:
        """Compile or find the kernel, and double 1, 2, 3."""
        import cupy

        self.forget()
        capability = int(cupy.cuda.Device().compute_capability)
        module, lowered = self.compiler.module("scale", (name,), capability)
        x = cupy.asarray(np.array([1, 2, 3], np.float32))
        y = cupy.empty_like(x)
        module.get_function(lowered[name])((1,), (32,), (y, x, 3))
        return y.get().tolist()


@pytest.fixture
def compilations(cuda: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    compiler = importlib.import_module("minicnn.kernels.cuda._compiler")
    made = Compilations(compiler, tmp_path, monkeypatch)
    yield made
    monkeypatch.undo()
    made.forget()


def test_is_compiled_once(compilations: Compilations) -> None:
    for _ in range(3):
        assert compilations.scale() == [2, 4, 6]
    assert compilations.count == 1
    assert sorted(p.suffix for p in compilations.kept.iterdir()) == [".cubin", ".json"]
    compilations.scale("scale<float >")
    assert compilations.count == 2


def test_whatever_it_depends_on_is_in_the_key(
    compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilations.scale()
    header = compilations.sources / "twice.cuh"
    header.write_text(TWICE.replace("2 * x", "3 * x"))
    assert compilations.scale() == [3, 6, 9]
    nested = compilations.sources / "common.cuh"
    nested.write_text(nested.read_text() + "// another\n")
    compilations.scale()
    (compilations.sources / "other.cuh").write_text("// not included\n")
    compilations.scale()
    assert compilations.count == 3
    version = compilations.compiler.nvrtc.getVersion()
    monkeypatch.setattr(compilations.compiler.nvrtc, "getVersion", lambda: (*version, "later"))
    compilations.scale()
    assert compilations.count == 4
    header.write_text(TWICE)
    nested.write_text(nested.read_text().removesuffix("// another\n"))
    monkeypatch.setattr(compilations.compiler.nvrtc, "getVersion", lambda: version)
    assert compilations.scale() == [2, 4, 6]
    assert compilations.count == 4


@pytest.mark.parametrize("suffix", [".cubin", ".json"])
@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_damaged_entries_are_built_anew(
    compilations: Compilations, suffix: str, damage: str
) -> None:
    compilations.scale()
    (path,) = compilations.kept.glob(f"*{suffix}")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()  # a library that is in use must not change under its user
    if damage != "missing":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    assert compilations.scale() == [2, 4, 6]
    assert compilations.count == 2
    compilations.scale()
    assert compilations.count == 2


def test_a_folder_that_cannot_be_written(
    compilations: Compilations, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    compilations.keep_in(tmp_path / "file", monkeypatch)
    assert compilations.scale() == [2, 4, 6]
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_folder_that_can_only_be_read(
    compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilations.scale()

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(compilations.compiler.tempfile, "NamedTemporaryFile", refuse)
    assert compilations.scale() == [2, 4, 6]
    assert compilations.count == 1


def test_another_process_compiles_nothing_and_two_may_at_once(compilations: Compilations) -> None:
    if "cuda_host" not in str(compilations.compiler.nvrtc.getVersion.__module__):
        pytest.skip("the processes play the GPU")
    command = [sys.executable, "-c", PROCESS, str(compilations.sources)]

    def run() -> subprocess.Popen[str]:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))

    both = [run(), run()]
    said = [process.communicate()[0].split() for process in both]
    assert all(len(words) == 2 for words in said), said
    assert said[0][1] == said[1][1]
    assert all(not path.name.startswith("tmp") for path in compilations.kept.iterdir())
    assert run().communicate()[0].split() == ["0", said[0][1]]
    assert compilations.scale() == [2, 4, 6]
    assert compilations.count == 0


def test_threads_share_what_one_builds(compilations: Compilations) -> None:
    found: list[Any] = []

    def build() -> None:
        found.append(compilations.compiler.module("scale", ("scale<float>",), 90)[1])

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compilations.count == 1
    assert len(found) == 4
    assert all(each == found[0] for each in found)


def test_what_the_compiler_says_is_said(compilations: Compilations) -> None:
    (compilations.sources / "scale.cu").write_text(KERNEL.replace("twice(", "thrice("))
    with pytest.raises(RuntimeError, match=r"scale\.cu: NVRTC .*scale<float>[\s\S]*thrice"):
        compilations.scale()
    assert not compilations.kept.exists()


def test_without_nvrtc(compilations: Compilations, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise RuntimeError("no libnvrtc.so")

    monkeypatch.setattr(compilations.compiler.nvrtc, "getVersion", missing)
    with pytest.raises(RuntimeError, match=r"pip install 'cupy-cuda12x\[ctk\]'.*no libnvrtc"):
        compilations.scale()


def test_cards_that_the_compiler_does_not_know(
    compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilations.compiler.nvrtc, "getSupportedArchs", lambda: (75, 80, 90))
    compilations.forget()
    target = compilations.compiler._target
    assert target(80) == "--gpu-architecture=sm_80"
    assert target(86) == "--gpu-architecture=compute_80"
    assert target(120) == "--gpu-architecture=compute_90"
    with pytest.raises(RuntimeError, match=r"7\.5 and later, but this GPU has 6\.1"):
        target(61)


def test_ptx_for_a_card_that_is_newer(
    compilations: Compilations, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    nvrtc = compilations.compiler.nvrtc
    monkeypatch.setattr(nvrtc, "getSupportedArchs", lambda: (75,))
    real = nvrtc.getPTX
    monkeypatch.setattr(nvrtc, "getPTX", lambda program: asked.append("PTX") or real(program))
    assert compilations.scale() == [2, 4, 6]
    (entry,) = compilations.kept.glob("*.json")
    assert asked == ["PTX"]
    assert set(json.loads(entry.read_bytes().partition(b"\n")[2])) == {"code", "names"}


def test_builds_of_other_flags_do_not_mix(
    cuda: ModuleType, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if engine != "host":
        pytest.skip("about the stand-in's compiler")
    import cupy

    version = cupy.cuda.nvrtc.getVersion()
    assert len(version) == 2
    assert version == cupy.cuda.nvrtc.getVersion()
    other = "thread" if os.environ.get("MINICNN_HOST_ENGINE") == "address" else "address"
    monkeypatch.setenv("MINICNN_HOST_ENGINE", other)
    assert cupy.cuda.nvrtc.getVersion() != version
