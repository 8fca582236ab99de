"""CUDA C++ compiled by NVRTC for a card, once, and kept on disk.

CuPy could do both, but its own cache does not look into the headers that we include, and before
CuPy 14.1 it forgets templates.  Here an entry is named after all it depends on: the texts of the
source and its headers, the compiler, the card's architecture, the kernels that are asked for; so
nothing is ever out of date, it is only not found.  It consists of two files,

    <key>.json        the checksum of the rest; what the compiler called each kernel, and
    <sum>.cubin       the machine code, named after its own checksum,

each of which is written to a temporary file and renamed, so processes may build the same entry at
once.  What does not fit its checksum is built anew.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from pathlib import Path

import cupy
from cupy.cuda import nvrtc

FOLDER = Path(__file__).parent  # of the sources
_OPTIONS = ("-std=c++17",)
_INCLUDE = re.compile(r'^[ \t]*#include[ \t]+"([^"]+)"', re.MULTILINE)

_lock = threading.Lock()  # what one thread builds, the others find
if hasattr(os, "register_at_fork"):  # a child would wait for ever for a thread that it has not
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def module(file, names, capability):
    """Return a file's kernels for the current card, and what the compiler calls each of them."""
    options = (*_OPTIONS, _target(capability))
    with _lock:
        path, lowered = _found(file, names, options) or _built(file, names, options)
    return cupy.RawModule(path=str(path)), lowered


@functools.cache
def sources(file):
    """Return pairs of names and texts: a .cu file, and the headers that it includes."""
    texts, waiting = {}, [f"{file}.cu"]
    while waiting:
        name = waiting.pop()
        if name not in texts:
            texts[name] = (FOLDER / name).read_text(encoding="utf-8")
            waiting += _INCLUDE.findall(texts[name])
    return tuple(texts.items())


@functools.cache
def _version():
    try:
        return ".".join(map(str, nvrtc.getVersion()))
    except (ImportError, OSError, RuntimeError) as error:
        raise RuntimeError(
            "the CUDA kernels need NVRTC, NVIDIA's compiler, which was not found: install it with "
            "CuPy, pip install 'cupy-cuda12x[ctk]' (cupy-cuda13x[ctk] if you have cupy-cuda13x), "
            f"or install the CUDA toolkit ({error})"
        ) from error


@functools.cache
def _target(capability):
    """Return for which architecture to compile.

    For a card that is newer than the compiler, PTX is written, from which the driver makes the
    card's machine code when it loads it.
    """
    version = _version()
    known = nvrtc.getSupportedArchs()
    if capability in known:
        return f"--gpu-architecture=sm_{capability}"
    older = [each for each in known if each < capability]
    if not older:
        raise RuntimeError(
            f"NVRTC {version} compiles for compute capability {min(known) / 10} and later, but "
            f"this GPU has {capability / 10}: install an older CUDA (and the CuPy for it)"
        )
    return f"--gpu-architecture=compute_{max(older)}"


def _found(file, names, options):
    """Return the path of an entry's machine code and the kernels' names in it, None if missing."""
    with contextlib.suppress(OSError):
        head, _, entry = _entry_path(file, names, options).read_bytes().partition(b"\n")
        if head.decode(errors="replace") == _checksum(entry):
            entry = json.loads(entry)
            path = _folder() / entry["code"]
            if path.stem == _checksum(path.read_bytes()):
                return path, entry["names"]
    return None


def _built(file, names, options):
    """Compile, keep the result, and return what `_found` finds."""
    code, lowered = _compiled(file, names, options)
    entry = {"code": f"{_checksum(code)}.cubin", "names": lowered}
    text = json.dumps(entry).encode()
    try:
        path = _write(_folder() / entry["code"], code)
        _write(_entry_path(file, names, options), _checksum(text).encode() + b"\n" + text)
    except OSError:  # nothing can be kept there: each process builds its own
        path = _write(_temporary_folder() / entry["code"], code)
    return path, lowered


def _compiled(file, names, options):
    """Return machine code (or PTX), and the kernels' names in it."""
    (_, source), *headers = sources(file)
    included, texts = ([part[i].encode() for part in headers] for i in (0, 1))
    program = nvrtc.createProgram(source, f"{file}.cu", tuple(texts), tuple(included))
    try:
        for name in names:
            nvrtc.addNameExpression(program, name)
        try:
            nvrtc.compileProgram(program, options)
        except nvrtc.NVRTCError as error:
            raise RuntimeError(
                f"{file}.cu: NVRTC {_version()} cannot compile {', '.join(names)} with "
                f"{' '.join(options)}:\n{nvrtc.getProgramLog(program)[:4000]}"
            ) from error
        ready = options[-1].startswith("--gpu-architecture=sm_")
        code = nvrtc.getCUBIN(program) if ready else nvrtc.getPTX(program)
        return code, {name: nvrtc.getLoweredName(program, name) for name in names}
    finally:
        nvrtc.destroyProgram(program)


def _entry_path(file, names, options):
    parts = (sources(file), names, options, _version())
    return _folder() / f"{_checksum(repr(parts).encode())[:32]}.json"


def _checksum(content):
    return hashlib.sha256(content).hexdigest()


def _write(path, content):
    """Write a file, all of it or nothing."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
        temporary.replace(path)
    except OSError:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise
    return path


@functools.cache
def _folder():
    """Return where machine code is kept: below MINICNN_CACHE, or the user's cache."""
    given = os.environ.get("MINICNN_CACHE")
    base = (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "minicnn"
    )
    try:
        return base.expanduser() / "cuda"
    except RuntimeError:  # a user without a home
        return _temporary_folder()


@functools.cache
def _temporary_folder():
    folder = tempfile.mkdtemp(prefix="minicnn-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
