"""Run every CUDA kernel on the CPU under a sanitizer: ``python -m tests.cuda.sanitize address``.

``address``: AddressSanitizer and UndefinedBehaviorSanitizer, which see reads and writes outside of
arrays (NumPy's memory included) and arithmetic that C++ does not define.  ``thread``:
ThreadSanitizer, with a thread of the CPU for each CUDA thread, which sees two of them touch one
number with no barrier between.  The exit status is not 0 if something was found.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import numpy as np

from tests.kernels.cuda_calls import CALLS, call

LIBRARIES = {"address": "libasan.so", "thread": "libtsan.so"}
OPTIONS = {
    # Python itself leaves memory to the end of the process.
    "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
    "TSAN_OPTIONS": "exitcode=66:halt_on_error=1:report_signal_unsafe=0",
    # One pass of Numba's compiled code is not what is looked at.
    "MINICNN_THREADS": "1",
}


def main(arguments: list[str] | None = None) -> int:
    """Start this file again with the sanitizer's library loaded before all others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sanitizer", choices=LIBRARIES)
    parser.add_argument("kernels", nargs="*", help="by default all")
    given = parser.parse_args(arguments)
    names, count = given.kernels or list(CALLS), min(os.cpu_count() or 1, 8)
    command = [sys.executable, "-c", "from tests.cuda.sanitize import run; run()"]
    runs = [
        subprocess.Popen([*command, *part], env=environment(given.sanitizer))
        for part in (names[i::count] for i in range(count))
        if part
    ]
    return max(abs(run.wait()) for run in runs)


def environment(sanitizer: str) -> dict[str, str]:
    """Return the variables of a process whose kernels run under a sanitizer."""
    library = subprocess.run(
        ["g++", f"-print-file-name={LIBRARIES[sanitizer]}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    own = {"LD_PRELOAD": library, "MINICNN_HOST_ENGINE": sanitizer, "MINICNN_CUDA": "host"}
    return {**os.environ, **OPTIONS, **own}


def run() -> None:
    """Call the kernels; a sanitizer ends the process where it finds something."""
    from minicnn.kernels import cuda_host

    cuda_host.install()
    import cupy

    from minicnn.kernels import cuda

    names = sys.argv[1:]
    for name in names:
        print(name, flush=True)
        call(cuda, name, np.float32, cupy.asarray)
    print(f"{len(names)} kernels ran under the {os.environ['MINICNN_HOST_ENGINE']} sanitizer")


if __name__ == "__main__":
    sys.exit(main())
