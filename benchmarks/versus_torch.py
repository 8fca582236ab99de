"""minicnn beside PyTorch: training steps, inference, memory.

    python -m benchmarks.versus_torch [--threads 1 2] [--nets seednet wide] [--json FILE]
    python -m benchmarks.versus_torch --memory
    python -m benchmarks.versus_torch --quick
    python -m benchmarks.versus_torch --device cuda [--precisions tf32 bfloat16] [--modes graph]

Each round runs every side once, in a process of its own, in turns, so that a disturbed machine
disturbs all. minicnn's training step is the Estimator's, PyTorch's (``pip install torch==2.13.0``
has a CPU build) runs eagerly with images in both memory formats, and under torch.compile, which
takes a C++ compiler. The ratio is minicnn's median to the median of the fastest of those. Data
are ready in memory. A default run takes about half an hour; give the machine nothing else to do.

On a GPU see `benchmarks._cuda_versus`; --quick means tiny sizes there, to see that all runs.
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _cuda_versus
from benchmarks._cuda_request import MODES, PRECISIONS, WORKS
from benchmarks._measure import (
    Times,
    alternate,
    in_own_process,
    least_of,
    median_of,
    table,
    three_digits,
)
from benchmarks._nets import BATCHES, NETS, USUAL

VARIANTS = ("eager NCHW", "eager channels_last", "compile NCHW", "compile channels_last")
QUICK_VARIANTS = VARIANTS[:2]
ONLY_SEEDNET = ("inference", "inference1")  # measured for the others if asked for
QUICK_LIMITS = {"torch": 2.0, "sgemm": 5.0}  # times slower than that is an alarm, not noise
HEADER = ("", "minicnn", *VARIANTS, "ratio")


def main() -> None:
    """Measure what the command line asks for."""
    arguments = parse(sys.argv[1:])
    if arguments.device == "cuda":
        _cuda_versus.main(arguments)
        return
    if arguments.quick:
        sys.exit(quick(arguments))
    results: dict[str, Any] = {}
    for threads in arguments.threads:
        if arguments.memory:
            results |= measure_memory(arguments, threads)
        else:
            results |= measure_times(arguments, threads)
    if arguments.markdown and not arguments.memory:
        print(markdown(results))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", action="extend", help="default: 1 2")
    parser.add_argument(
        "--nets",
        nargs="+",
        metavar="NET",
        help=f"of {', '.join(NETS)}; on a GPU of {', '.join(WORKS)}",
    )
    parser.add_argument("--works", nargs="+", choices=BATCHES, help="for all those nets")
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--rounds", type=int, default=3, help="processes of each side")
    parser.add_argument(
        "--seconds", type=float, help="of each of them: 3; of each call on a GPU: 0.3"
    )
    parser.add_argument("--json", metavar="FILE", help="where to write the results")
    parser.add_argument("--markdown", action="store_true", help="print a short table for README")
    parser.add_argument("--memory", action="store_true", help="of training steps, not times")
    parser.add_argument("--quick", action="store_true", help="seednet's step, one thread, < 1 min")
    parser.add_argument("--torch-python", default=sys.executable, help="a Python that has torch")
    gpu = parser.add_argument_group("on a GPU")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    gpu.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    gpu.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    arguments = parser.parse_args(words)
    works, usual, seconds = (
        (WORKS, WORKS, 0.3) if arguments.device == "cuda" else (NETS, USUAL, 3.0)
    )
    arguments.nets = arguments.nets or list(usual)
    unknown = [net for net in arguments.nets if net not in works]
    if unknown:
        parser.error(f"--nets: {unknown[0]} is none of {', '.join(works)}")
    arguments.seconds = seconds if arguments.seconds is None else arguments.seconds
    arguments.threads = arguments.threads or [1, 2]
    arguments.torch_python = os.path.abspath(arguments.torch_python)  # sides run elsewhere
    return arguments


def works_of(nets: Sequence[str], works: Sequence[str] | None) -> list[tuple[str, str]]:
    """Return the pairs (net, work) to measure."""
    return [
        (net, work)
        for work in BATCHES
        for net in nets
        if (work in works if works else net == "seednet" or work not in ONLY_SEEDNET)
    ]


def measure_times(arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Measure all works with so many threads; print a table; return what goes into the file."""
    variants = arguments.variants if has_torch(arguments.torch_python) else []
    found, rows, failures = {}, [HEADER], {}
    for net, work in works_of(arguments.nets, arguments.works):
        sides = {
            side: functools.partial(run_side, arguments, side, net, work, threads)
            for side in ("minicnn", *variants)
        }
        results, failed = alternate(sides, arguments.rounds)
        key = f"{net}/{work}/{threads}"
        failures |= {f"{key} {side}": reason for side, reason in failed.items()}
        check_same_net(key, results)
        times = {side: [run["times"] for run in runs] for side, runs in results.items()}
        if "minicnn" in times:
            found[key] = entry(times)
            rows += rows_of(key, times)
        print(f"measured {key}", file=sys.stderr, flush=True)
    print(f"{threads} thread{'s' * (threads > 1)}: median ms (least), ratio of medians")
    print(table(rows))
    for place, reason in failures.items():
        print(f"left out: {place} {reason}")
    if not variants:
        print("PyTorch is not installed: pip install torch==2.13.0")
    print(flush=True)
    return found


def run_side(
    arguments: argparse.Namespace, side: str, net: str, work: str, threads: int
) -> dict[str, Any]:
    """Return what one process of a side measured."""
    own = side in ("minicnn", "sgemm")
    python = sys.executable if own else arguments.torch_python
    words = [side, net, work, str(arguments.seconds)]
    return in_own_process("benchmarks._side", words, threads, python)


def check_same_net(key: str, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Refuse to compare nets of different numbers of parameters."""
    counts = {side: runs[0]["parameters"] for side, runs in results.items() if runs}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"{key}: the sides' nets differ in their number of parameters: {counts}")


def entry(times: Mapping[str, Sequence[Times]]) -> dict[str, Any]:
    """Return the medians of a work and the ratio; it is None without any PyTorch."""
    medians = {side: median_of(runs) for side, runs in times.items()}
    ratio = ratio_of(medians)
    return {"minicnn_ms": medians.pop("minicnn"), "torch_ms": medians, "ratio": ratio}


def ratio_of(milliseconds: Mapping[str, float]) -> float | None:
    """Return minicnn's time as a part of the best other side's, None if there is no other."""
    others = [ms for side, ms in milliseconds.items() if side != "minicnn"]
    return milliseconds["minicnn"] / min(others) if others else None


def rows_of(key: str, times: Mapping[str, Sequence[Times]]) -> list[list[object]]:
    """Return the table's line of a work: medians, the least times in brackets."""
    shown = {
        side: f"{three_digits(median_of(runs))} ({three_digits(least_of(runs))})"
        for side, runs in times.items()
    }
    ratio = entry(times)["ratio"]
    columns = [shown.get(side, "-") for side in ("minicnn", *VARIANTS)]
    return [[key, *columns, None if ratio is None else f"{ratio:.2f}"]]


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the times as the table that README has."""
    lines = ["| work / threads | minicnn | best PyTorch | ratio |", "|---|---|---|---|"]
    for key, found in sorted(results.items(), key=lambda item: list(NETS).index(net_of(item[0]))):
        best = min(found["torch_ms"].values(), default=None)
        cells = [three_digits(found["minicnn_ms"]) + " ms", "-", "-"]
        if best is not None:
            cells[1:] = [three_digits(best) + " ms", f"{found['ratio']:.2f}"]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def net_of(key: str) -> str:
    """Return the net of a key such as "seednet/train/2"."""
    return key.partition("/")[0]


def measure_memory(arguments: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Compare the peak memory of training steps; print a table; return what goes into the file."""
    variants = arguments.variants if has_torch(arguments.torch_python) else []
    found, rows = {}, [("", "side", "peak", "imported", "steps take")]
    for net in arguments.nets:
        sides: dict[str, Callable[[], Any]] = {
            side: functools.partial(run_side, arguments, side, net, "memory", threads)
            for side in ("minicnn", *variants)
        }
        results, failed = alternate(sides, arguments.rounds)
        key = f"{net}/memory/{threads}"
        takes = {}
        for side, runs in results.items():
            peak, imported = (
                statistics.median(run[name] for run in runs) for name in ("peak", "imported")
            )
            takes[side] = {"peak": peak, "step": peak - imported}
            rows.append((key, side, peak, imported, peak - imported))
        rows += [(key, side, reason) for side, reason in failed.items()]
        if "minicnn" in takes:
            found[key] = {"minicnn_mib": takes.pop("minicnn"), "torch_mib": takes}
    print(f"{threads} thread{'s' * (threads > 1)}: MiB of a process that trains for some steps")
    print(table(rows, left=2), end="\n\n", flush=True)
    return found


def quick(arguments: argparse.Namespace) -> int:
    """Measure seednet's step on one thread; return 1 if it is far too slow, else 0."""
    arguments.seconds = min(arguments.seconds, 1.5)
    torch = has_torch(arguments.torch_python)
    others = list(QUICK_VARIANTS) if torch else ["sgemm"]
    sides = {
        side: functools.partial(run_side, arguments, side, "seednet", "train", 1)
        for side in ("minicnn", *others)
    }
    results, failures = alternate(sides, arguments.rounds)
    for side, reason in failures.items():
        print(f"{side}: {reason}")
    times = {side: [run["times"] for run in runs] for side, runs in results.items()}
    if failures:
        return 1
    print("seednet's training step, batch 128, one thread, ms")
    rows = [(side, median_of(runs), least_of(runs)) for side, runs in times.items()]
    print(table([("", "median", "least"), *rows]))
    return verdict(times, QUICK_LIMITS["torch" if torch else "sgemm"])


def verdict(times: Mapping[str, Sequence[Times]], limit: float) -> int:
    """Print minicnn's ratio to the best of the others; return 1 if it is beyond the limit.

    The ratio of the least times counts: what else a machine does makes times longer, never shorter.
    """
    medians = ratio_of({side: median_of(runs) for side, runs in times.items()})
    least = ratio_of({side: least_of(runs) for side, runs in times.items()})
    assert medians is not None
    assert least is not None
    others = " or ".join(side for side in times if side != "minicnn")
    print(f"ratio to {others}: {medians:.2f} of medians, {least:.2f} of least times")
    if least > limit:
        print(f"the latter is more than {limit}: something is wrong")
    return int(least > limit)


def has_torch(python: str) -> bool:
    """Tell whether a Python has PyTorch."""
    if python == os.path.abspath(sys.executable):
        return importlib.util.find_spec("torch") is not None
    done = subprocess.run([python, "-c", "import torch"], capture_output=True)
    return done.returncode == 0


if __name__ == "__main__":
    main()
