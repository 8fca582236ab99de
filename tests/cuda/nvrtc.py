"""NVRTC, the compiler that CuPy calls on users' machines; it needs no GPU."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from pathlib import Path


def library() -> ctypes.CDLL | None:
    """Return libnvrtc, of the package nvidia-cuda-nvrtc or of a CUDA toolkit; None if missing."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [str(file) for f in folders for file in Path(f).glob("*/lib/libnvrtc.so.*")]
    name = found[0] if found else ctypes.util.find_library("nvrtc")
    return ctypes.CDLL(name) if name else None


def compile_source(nvrtc: ctypes.CDLL, text: str, names: list[str], options: list[str]) -> str:
    """Compile CUDA C++ as the kernels are; return what the compiler said, "" if nothing."""
    program = ctypes.c_void_p()
    _check(
        nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"kernel.cu", 0, None, None)
    )
    for name in names:
        _check(nvrtc.nvrtcAddNameExpression(program, name.encode()))
    given = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    failed = nvrtc.nvrtcCompileProgram(program, len(options), given)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    said = log.value.decode()
    return said or f"NVRTC error {failed}" if failed or said else ""


def _check(status: int) -> None:
    assert status == 0, f"NVRTC error {status}"
