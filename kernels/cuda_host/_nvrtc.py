"""A look-alike of ``cupy.cuda.nvrtc``: CUDA C++ compiled by g++, to a library for the CPU.

The source is compiled as C++ after host.cuh.  One thing must be rewritten, for
C++ has no word for it: ``__shared__ float tile[16][17];`` becomes a piece of the
block's shared memory, ``HOST_SHARED(float, tile, [16][17])``.

What NVRTC calls a CUBIN is here the bytes of a shared library, and the lowered name of a kernel
the function by which _module.py launches it.  Who compiles keeps it; here only host.cuh is
kept, in the form that g++ reads fastest.
"""

# ruff: noqa: N802, N816 -- NVRTC's names

import functools
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

ABOUT = "_about"  # of a kernel: the function of this name tells its name and parameters

_HERE = Path(__file__).parent
_INCLUDE = re.compile(r'^[ \t]*#include[ \t]+"([^"]+)"[^\n]*$', re.MULTILINE)
_SHARED = re.compile(
    r"(?<!extern )__shared__\s+(?:__align__\(\d+\)\s+)?([\w:<>]+(?:\s+\w+)*?)\s+(\w+)\s*"
    r"((?:\[[^\]]+\]\s*)*);"
)
_ENGINES = {
    "fibers": ["-O1"],
    "address": ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-O1", "-g", "-fsanitize=thread", "-DHOST_THREADS"],
}
_programs: dict = {}
_numbers = itertools.count(1)


class CompileError(Exception):
    """There is no compiler, or a source that is no CUDA C++ that it understands."""


class NVRTCError(RuntimeError):
    """A call failed; of a compilation the program's log says why."""


class _Program:
    def __init__(self, source, headers):
        self.source, self.headers = source, headers
        self.names, self.log, self.library, self.lowered = [], "", None, {}


def getVersion():
    """Return two numbers; the second stands for all that makes one build unlike another."""
    parts = [_compiler_says(_compiler()), *_flags(), _headers()]
    return 12, int.from_bytes(hashlib.sha256("\n".join(parts).encode()).digest()[:6], "big")


def getSupportedArchs():
    """Return the architectures that CUDA 12.8 knows."""
    return (50, 52, 53, 60, 61, 62, 70, 72, 75, 80, 86, 87, 89, 90, 100, 101, 120)


def createProgram(src, name, headers, include_names):
    """Return a number, which the other functions take."""
    if not all(isinstance(part, bytes) for part in (*headers, *include_names)):
        raise TypeError("expected bytes, str found")
    texts = [part.decode() for part in headers]
    named = dict(zip([part.decode() for part in include_names], texts, strict=True))
    number = next(_numbers)
    _programs[number] = _Program(src, named)
    return number


def destroyProgram(prog):
    """Forget a program."""
    del _programs[prog]


def addNameExpression(prog, name):
    """Ask for an instance of a template."""
    _programs[prog].names.append(name)


def compileProgram(prog, options):
    """Compile it, of the options using the definitions (-D) alone."""
    program = _programs[prog]
    try:
        program.library, program.lowered = compiled(
            program.source, program.headers.get, options, program.names
        )
    except CompileError as error:
        program.log = str(error)
        raise NVRTCError("NVRTC_ERROR_COMPILATION (6)") from error


def getProgramLog(prog):
    """Return what the compiler complained of."""
    return _programs[prog].log


def getLoweredName(prog, name):
    """Return the name of a kernel in the library."""
    if name not in _programs[prog].lowered:
        raise NVRTCError("NVRTC_ERROR_NAME_EXPRESSION_NOT_VALID (10)")
    return _programs[prog].lowered[name]


def getCUBIN(prog):
    """Return the library."""
    if _programs[prog].library is None:
        raise NVRTCError("NVRTC_ERROR_INVALID_PROGRAM (4)")
    return _programs[prog].library


getPTX = getCUBIN


def compiled(code, header, options, names):
    """Return the bytes of a library with these kernels, and their lowered names.

    `header` gives the text of a name, None if there is none.
    """
    text = _host_source(code, header)
    text += "".join(_entry(i, name) for i, name in enumerate(names))
    defines = [o for o in options if o.startswith("-D")]
    with tempfile.TemporaryDirectory(prefix="minicnn-") as folder:
        made = Path(folder) / "kernels.so"
        done = subprocess.run(
            [_compiler(), *_prepared(), *_flags(), *defines, "-x", "c++", "-", "-o", str(made)],
            input=text,
            text=True,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise CompileError(done.stderr[:4000])
        return made.read_bytes(), {name: f"host_launch_{i}" for i, name in enumerate(names)}


def _host_source(code, header):
    seen = set()

    def included(match):
        name = match[1]
        if name in seen:
            return ""
        seen.add(name)
        text = header(name)
        if text is None:
            raise CompileError(f"there is no {name}")
        line = code[: match.start()].count("\n") + 2
        return f'#line 1 "{name}"\n{expanded(text)}\n#line {line} "kernel.cu"'

    def expanded(text):
        return _INCLUDE.sub(included, text)

    text = expanded(code).replace("#pragma once", "")
    return f'#include "host.cuh"\n#line 1 "kernel.cu"\n{_SHARED.sub(_shared, text)}\n'


def _shared(match):
    kind, name, shape = match.groups()
    return f"HOST_SHARED({kind}, {name}, {' '.join(shape.split())})"


def _entry(number, name):
    """Return the functions by which Python finds a kernel."""
    error = 'extern "C" const char* host_error() { return host::error; }\n' if not number else ""
    quoted, symbol = name.replace('"', ""), f"host_launch_{number}"
    return (
        f'{error}extern "C" const char* {symbol}{ABOUT}() {{ static const std::string about = '
        f'std::string("{quoted}\\n") + host::signature({name}); return about.c_str(); }}\n'
        f'extern "C" int {symbol}(const unsigned* grid, const unsigned* block, size_t '
        f"shared, int order, void** arguments) {{ return "
        f'host::launch("{quoted}", {name}, grid, block, shared, order, arguments); }}\n'
    )


def _compiler():
    found = shutil.which(os.environ.get("CXX", "g++"))
    if found is None:
        raise CompileError("MINICNN_CUDA=host needs a C++ compiler: install g++, or set CXX")
    return found


def _flags():
    engine = os.environ.get("MINICNN_HOST_ENGINE", "fibers")
    if engine not in _ENGINES:
        raise ValueError(f"MINICNN_HOST_ENGINE must be one of {list(_ENGINES)}, got {engine!r}")
    return ["-std=c++17", "-shared", "-fPIC", "-w", *_ENGINES[engine], f"-I{_HERE}"]


def _prepared():
    """Return the option that lets g++ find host.cuh parsed already, in two thirds of the time."""
    if os.environ.get("MINICNN_HOST_ENGINE", "fibers") != "fibers":
        return []  # a sanitizer that is loaded into g++ is in the way
    given = os.environ.get("MINICNN_CACHE")
    base = Path(given or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "minicnn")
    try:
        folder = base.expanduser() / "cuda_host" / f"{getVersion()[1]:x}"
        return [f"-I{_parsed(folder).parent}"]
    except (OSError, RuntimeError, subprocess.CalledProcessError):
        return []  # no folder to write to: each time anew


@functools.cache
def _parsed(folder):
    path = folder / "host.cuh.gch"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(dir=folder) as temporary:
            made = Path(temporary) / path.name
            flags = [flag for flag in _flags() if flag != "-shared"]
            command = [_compiler(), *flags, "-x", "c++-header", str(_HERE / "host.cuh"), "-o"]
            subprocess.run([*command, str(made)], check=True, capture_output=True)
            made.replace(path)  # two processes may do so at once
    return path


@functools.cache
def _compiler_says(compiler):
    found = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True)
    return found.stdout


@functools.cache
def _headers():
    files = [*sorted([*_HERE.glob("*.cuh"), *_HERE.glob("*.hpp")]), Path(__file__)]
    return "".join(file.read_text(encoding="utf-8") for file in files)
