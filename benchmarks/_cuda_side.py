"""One side on the GPU in one process: ``python -m benchmarks._cuda_side SIDE REQUEST``; JSON.

SIDE is minicnn or torch; REQUEST the text of a `Request`, or "about".
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any

from benchmarks._cuda_request import Request


def answer(side: str, request: str) -> dict[str, Any]:
    """Return what a side says of itself, or what it measured."""
    module = importlib.import_module(f"benchmarks._cuda_{side}")
    if request == "about":
        return module.about()
    timed, parameters = module.measure(Request.of(request))
    return {"times": timed.times, "failures": timed.failures, "parameters": parameters}


if __name__ == "__main__":
    print(json.dumps(answer(*sys.argv[1:3])))
