"""How long a first training step takes: with nothing compiled yet, and in later processes.

python -m benchmarks.bench_start
"""

import os
import subprocess
import sys
import tempfile
import time

PROGRAM = """
from benchmarks._minicnn_side import run_steps
run_steps("seednet", 1)
"""


def main() -> None:
    """Time three processes that share the caches of compiled kernels, empty at first."""
    with tempfile.TemporaryDirectory() as cache:
        for name in ("first ever", "second", "third"):
            start = time.perf_counter()
            caches = {"NUMBA_CACHE_DIR": cache, "MINICNN_CACHE": cache}
            environment = {**os.environ, **caches}
            subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True)
            print(f"{name:10} {time.perf_counter() - start:6.2f} s, process start to step's end")


if __name__ == "__main__":
    main()
