"""`python -m minicnn.doctor`: what this machine offers minicnn, and how to add what is missing."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Finding", "examine", "main"]


class Finding(NamedTuple):
    """One line of the report.

    Parameters
    ----------
    name : str
        What was looked for.
    found : bool
        Whether it is there and works.
    detail : str
        What was found, or what is wrong.
    remedy : str, default ""
        The command that adds it.
    """

    name: str
    found: bool
    detail: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything minicnn can use.

    Returns
    -------
    list of Finding
        One for each thing, in order of importance; none of them raises.
    """
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _numpy,
        _blas,
        _numba,
        _threading_layer,
        _threads,
        _forked_children,
        _vector_code,
        _cupy,
        _gpu,
        _mpi,
        _onnx,
        _real_data,
    )
    return [check() for check in checks]


def main() -> int:
    """Print the report.

    Returns
    -------
    int
        0 if all that is required is there, else 1.
    """
    findings = examine()
    for finding in findings:
        print(f"{'ok     ' if finding.found else 'missing'}  {finding.name:18} {finding.detail}")
        if not finding.found and finding.remedy:
            print(f"{'':27}to add it: {finding.remedy}")
    required = {"Python", "NumPy", "Numba"}
    return 0 if all(f.found for f in findings if f.name in required) else 1


def _python() -> Finding:
    version = platform.python_version()
    good = sys.version_info >= (3, 11)
    where = f"{version} on {platform.system()} {platform.machine()}"
    return Finding("Python", good, where, "install Python 3.11 or newer")


def _numpy() -> Finding:
    return _package("NumPy", "numpy", "pip install numpy")


def _blas() -> Finding:
    """Name the BLAS that NumPy computes matrix products with."""
    try:
        importlib.import_module("numpy")
        controller = importlib.import_module("threadpoolctl").ThreadpoolController()
    except ImportError as error:
        return Finding("BLAS", False, str(error), "pip install threadpoolctl")
    libraries = [lib for lib in controller.info() if lib["user_api"] == "blas"]
    if not libraries:
        return Finding("BLAS", False, "none that can be told threads", "pip install -U numpy")
    kinds = (f"{b['internal_api']} {b['version']} ({b.get('architecture')})" for b in libraries)
    return Finding("BLAS", True, ", ".join(kinds))


def _numba() -> Finding:
    jit = "" if os.environ.get("MINICNN_JIT", "1") != "0" else "; off, since MINICNN_JIT=0"
    finding = _package("Numba", "numba", "pip install numba")
    return finding._replace(detail=finding.detail + jit)


def _threading_layer() -> Finding:
    """Name the threading layers Numba could use; minicnn's kernels need none of them."""
    name, remedy = (
        "Numba threads",
        "apt install libgomp1 (or your system's OpenMP), pip install tbb",
    )
    layers = []
    for layer, module in (("omp", "omppool"), ("tbb", "tbbpool"), ("workqueue", "workqueue")):
        try:
            importlib.import_module(f"numba.np.ufunc.{module}")
        except ImportError:
            continue
        layers.append(layer)
    detail = ", ".join(layers) or "no layer"
    return Finding(name, bool(layers), f"{detail} (minicnn runs its own pool)", remedy)


def _threads() -> Finding:
    try:
        parallel = importlib.import_module("minicnn.kernels.cpu._parallel")
        return Finding("Kernel threads", True, f"{parallel.threads()}; MINICNN_THREADS sets it")
    except (ImportError, ValueError) as error:
        return Finding("Kernel threads", False, str(error), "unset MINICNN_THREADS")


def _forked_children() -> Finding:
    """Say what a forked child process may do: OpenMP does not survive a fork."""
    name = "Forked children"
    if not hasattr(os, "fork"):
        return Finding(name, True, "there are none on this system")
    try:
        controller = importlib.import_module("threadpoolctl").ThreadpoolController()
        advice = importlib.import_module("minicnn.backend.forking").ADVICE
    except ImportError as error:
        return Finding(name, False, str(error), "pip install threadpoolctl")
    layers = {library.get("threading_layer") for library in controller.info()}
    if layers & {"openmp", "gnu"}:
        detail = "NumPy's BLAS uses OpenMP: products of your own may hang in one; spawn instead"
        return Finding(name, False, detail, "pip install -U --force-reinstall numpy")
    return Finding(name, True, f"compute and train; only {advice}")


def _vector_code() -> Finding:
    """Say how wide the vectors are that convolutions are generated for, and where they are kept."""
    remedy = "a CPU with AVX2 and FMA or with NEON; without, convolutions go through the BLAS"
    try:
        objects = importlib.import_module("minicnn.kernels.cpu.vector.objects")
        machine = objects.machine()
    except (ImportError, ValueError) as error:
        return Finding("Vector code", False, str(error), "unset MINICNN_VECTOR_BITS")
    if machine is None:
        return Finding("Vector code", False, "not for this CPU, or switched off", remedy)
    bits = 32 * machine.lanes
    return Finding("Vector code", True, f"{bits} bits; compiled kernels in {objects.folder()}")


def _cupy() -> Finding:
    return _package("CuPy", "cupy", "pip install cupy-cuda12x", "cupy-cuda12x")


def _gpu() -> Finding:
    """Ask CuPy, if there is one, for the GPUs."""
    remedy = "pip install cupy-cuda12x (on a machine with an NVIDIA GPU and its driver)"
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
        names = [
            cupy.cuda.runtime.getDeviceProperties(i)["name"].decode(errors="replace")
            for i in range(count)
        ]
    except ImportError:
        return Finding("GPU", False, "cannot tell without CuPy", remedy)
    except Exception as error:  # CuPy's errors differ with driver and version; none may stop us
        return Finding("GPU", False, f"{type(error).__name__}: {error}", remedy)
    return Finding("GPU", bool(names), ", ".join(names) or "none", remedy)


def _mpi() -> Finding:
    remedy = "pip install mpi4py mpich"
    finding = _package("MPI", "mpi4py", remedy)
    if not finding.found:
        return finding
    try:
        library = importlib.import_module("mpi4py.MPI").Get_library_version()
    except (ImportError, RuntimeError) as error:
        return Finding("MPI", False, f"mpi4py finds no MPI library ({error})", remedy)
    return Finding("MPI", True, f"{finding.detail}, {library.splitlines()[0]}")


def _onnx() -> Finding:
    return _package("ONNX", "onnx", "pip install onnx")


def _real_data() -> Finding:
    """Say whether the tests that read real photographs will run."""
    path = os.environ.get("MINICNN_GTSRB", "")
    if path and os.path.isdir(path):
        return Finding("Real test data", True, f"MINICNN_GTSRB={path}")
    detail = f"MINICNN_GTSRB={path} is no folder" if path else "MINICNN_GTSRB is not set"
    return Finding("Real test data", False, detail, "export MINICNN_GTSRB=<a folder with GTSRB>")


def _package(name: str, module: str, remedy: str, distribution: str | None = None) -> Finding:
    """Import a package and name its version."""
    try:
        found = importlib.import_module(module)
    except ImportError as error:
        return Finding(name, False, f"not installed ({error})", remedy)
    version = getattr(found, "__version__", None)
    return Finding(name, True, version or importlib.metadata.version(distribution or module))


if __name__ == "__main__":
    sys.exit(main())
