"""Compiled functions: built once, kept on disk, called by their address.

An entry of the cache is named after all it depends on: the text of this package, the shape, the
CPU and the compiler; so nothing is ever out of date, it is only not found.  It is written to
a temporary file and renamed, so two processes may build the same one at once.  Its first line is
the checksum of the rest: what does not fit is built anew.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import tempfile
import threading
from pathlib import Path

import llvmlite
from llvmlite import binding
from numba.core.compiler_lock import global_compiler_lock

from .. import _parallel
from .tiles import Machine

_lock = threading.Lock()  # LLVM's engine takes one at a time
# In the order in which threads take them: those of Numba, of ours, and of every call of LLVM.
_COMPILING = (
    global_compiler_lock,
    _lock,
    getattr(getattr(binding.ffi, "lib", None), "_lock", contextlib.nullcontext()),
)


def _pause():
    """Let no thread compile while the process is forked: the child would wait for it for ever."""
    for lock in _COMPILING:
        lock.__enter__()


def _go_on():
    for lock in reversed(_COMPILING):
        lock.__exit__(None, None, None)


_parallel.pause_at_fork(_pause, _go_on)
_functions: dict = {}  # (kind, shape) -> address
_callables: dict = {}  # (kind, shape) -> what Python can call
_LANES = {"512": 16, "256": 8, "128": 4}  # floats in a vector of so many bits


@functools.cache
def _llvm():
    """Return the target machine and the engine that holds the code."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple().create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=3,
        codemodel="jitdefault",
        jit=True,
    )
    return target, binding.create_mcjit_compiler(binding.parse_assembly(""), target)


@functools.cache
def machine():
    """Return what this CPU can do, None if too little.

    MINICNN_VECTOR_BITS (512, 256, 128) makes it pretend to have no wider vectors; 0 switches the
    generated code off.
    """
    features = binding.get_host_cpu_features()
    arm = binding.get_default_triple().startswith(("aarch64", "arm64"))
    if arm:
        found = Machine(4, 32)
    elif features.get("avx512f") and features.get("avx512vl"):
        found = Machine(16, 32)
    elif features.get("avx2") and features.get("fma"):
        found = Machine(8, 16)
    else:
        return None  # an FMA in software would be slower than anything else
    asked = os.environ.get("MINICNN_VECTOR_BITS", "512")
    if asked not in ("0", *_LANES):
        raise ValueError(f"MINICNN_VECTOR_BITS must be 512, 256, 128 or 0, got {asked!r}")
    return found._replace(lanes=min(found.lanes, _LANES[asked])) if asked != "0" else None


def callable_of(kind, shape, write, arguments):
    """Return what ``write(name, shape)`` writes, to be called from Python, whose lock it releases.

    It takes so many integers or addresses.
    """
    known = _callables.get((kind, shape))
    if known is None:
        prototype = ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * arguments)
        known = _callables[kind, shape] = prototype(function(kind, shape, write))
    return known


def function(kind, shape, write):
    """Return the address of the compiled function that ``write(name, shape)`` writes."""
    known = _functions.get((kind, shape))
    if known is not None:
        return known
    with _lock:
        if (kind, shape) not in _functions:
            name = f"minicnn_{kind}_{_key(kind, shape)}"
            _, engine = _llvm()
            engine.add_object_file(binding.ObjectFileRef.from_data(_object(name, shape, write)))
            engine.finalize_object()
            _functions[kind, shape] = engine.get_function_address(name)
        return _functions[kind, shape]


def _object(name, shape, write):
    """Return the object code, from the cache if it is there."""
    path = folder() / name if folder() is not None else None
    if path is not None and (found := _read(path)) is not None:
        return found
    target, _ = _llvm()
    module = binding.parse_assembly(str(write(name, shape)))
    module.verify()
    content = target.emit_object(module)
    if path is not None:
        _write(path, content)
    return content


def _read(path):
    try:
        head, _, content = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    return content if head == hashlib.sha256(content).hexdigest().encode() else None


def _write(path, content):
    """Keep an entry; where nothing can be written, it is built anew in each process."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            temporary = Path(file.name)
            file.write(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
        temporary.replace(path)
    except BaseException as error:  # Ctrl-C, too, leaves nothing behind
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise


@functools.cache
def folder():
    """Return where compiled functions are kept: below MINICNN_CACHE, or the user's cache."""
    given = os.environ.get("MINICNN_CACHE")
    base = (
        Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "minicnn"
    )
    try:
        return base.expanduser() / "kernels"
    except RuntimeError:
        return None


@functools.cache
def _source():
    return b"".join(file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py")))


def _key(kind, shape):
    features = binding.get_host_cpu_features().flatten()
    parts = (kind, repr(shape), binding.get_host_cpu_name(), features, llvmlite.__version__)
    return hashlib.sha256(_source() + "\n".join(parts).encode()).hexdigest()[:24]
