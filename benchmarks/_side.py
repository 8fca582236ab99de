"""One side in one process: ``python -m benchmarks._side SIDE NET WORK SECONDS``; prints JSON.

SIDE is minicnn, sgemm, or a variant of PyTorch's; WORK a key of `BATCHES`, or memory.
"""

from __future__ import annotations

import json
import sys

import numpy as np

from benchmarks._measure import Times, peak_memory, time_calls

STEPS = 20  # whose memory is measured
FLOP = {"seednet": 3.28e9}  # of a training step, products of its convolutions alone


def main(side: str, net: str, work: str, seconds: float) -> None:
    """Measure, and print a line of JSON."""
    if work == "memory":
        print(json.dumps(memory(side, net)))
    elif side == "sgemm":
        print(json.dumps({"times": sgemm(net, seconds), "parameters": None}))
    else:
        if side == "minicnn":
            from benchmarks import _minicnn_side

            times, parameters = _minicnn_side.measure(net, work, seconds)
        else:
            from benchmarks import _torch_side

            times, parameters = _torch_side.measure(net, work, side, seconds)
        print(json.dumps({"times": times, "parameters": parameters}))


def memory(side: str, net: str) -> dict[str, float]:
    """Return the MiB of this process after its imports, and at most, in STEPS training steps."""
    if side == "minicnn":
        import minicnn.kernels.cpu  # noqa: F401  what the first op would import
        from benchmarks import _minicnn_side

        imported = peak_memory()
        _minicnn_side.run_steps(net, STEPS)
    else:
        from benchmarks import _torch_side

        imported = peak_memory()
        _torch_side.run_steps(net, side, STEPS)
    return {"imported": imported, "peak": peak_memory()}


def sgemm(net: str, seconds: float) -> Times:
    """Time as many operations as a net's training step has, as products of square matrices.

    What a machine does on one thread in NumPy: a yardstick where there is no PyTorch.
    """
    n = 384
    a = np.random.default_rng(0).standard_normal((n, n), dtype=np.float32)
    out = np.empty_like(a)
    products = round(FLOP[net] / (2 * n**3))

    def call() -> None:
        for _ in range(products):
            np.matmul(a, a, out=out)

    return time_calls(call, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:4], float(sys.argv[4]))
