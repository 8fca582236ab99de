"""minicnn beside PyTorch on a GPU: what ``python -m benchmarks.versus_torch --device cuda`` does.

Each round runs both sides once, in processes of their own, in turns, for a GPU's clock rate
depends on how warm it is. A process measures every way of a work: all precisions, call by call and
as a CUDA graph, PyTorch also with both memory formats. Ratios are those of the medians; eager is
compared with eager, graph with graph, and of PyTorch's formats the faster one counts. Both steps
are plain loops on a batch that lies on the GPU; the Estimator's, whose batches come from the host,
stands beside them. PyTorch's bfloat16 lies in memory as such, minicnn's numbers do as float32.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _resnet50
from benchmarks._cuda_request import CONVOLUTIONS, Request
from benchmarks._measure import (
    SideError,
    alternate,
    in_own_process,
    median_of,
    table,
    three_digits,
)

SIDES = ("minicnn", "torch")
LIMIT = 1800.0  # seconds for one process: cuDNN tries its algorithms on every convolution
Medians = dict[str, dict[str, float]]  # by side, then by the name of the call; milliseconds


def main(arguments: argparse.Namespace) -> None:
    """Measure what the command line asks for, print tables, write a file if it is asked for."""
    known = {side: about(arguments, side) for side in SIDES}
    if "error" in known["minicnn"]:
        raise SystemExit(known["minicnn"]["error"])
    print(f"minicnn on {known['minicnn']['device']}")
    print(f"PyTorch on {known['torch'].get('device') or 'nothing: ' + known['torch']['error']}")
    real = not (known["minicnn"]["stand_in"] or arguments.quick)
    if not real:
        print("A try on a stand-in, or with tiny sizes: the times mean nothing.")
    sides = [side for side in SIDES if "device" in known[side]]
    results: dict[str, Any] = {"devices": {side: known[side]["device"] for side in sides}}
    results["real"] = real
    for work in arguments.nets:
        medians = measure(arguments, work, sides)
        summary = convolution_results if work == CONVOLUTIONS else training_results
        results |= {f"{work}/{key}": found for key, found in summary(arguments, medians).items()}
        show = convolution_tables if work == CONVOLUTIONS else training_table
        print(show(arguments, work, results), end="\n\n", flush=True)
        if arguments.json:  # now, for what comes may fail
            text = json.dumps(results, indent=2) + "\n"
            Path(arguments.json).write_text(text, encoding="utf-8")
    if arguments.markdown and real:
        print(markdown(results))


def about(arguments: argparse.Namespace, side: str) -> dict[str, Any]:
    """Return what a side says of its device, or what is missing."""
    try:
        known: dict[str, Any] = run_side(arguments, side, "about")
    except (SideError, OSError) as error:
        return {"error": f"{side}: {error}"}
    return known


def run_side(arguments: argparse.Namespace, side: str, request: str) -> Any:
    """Return what one process of a side says."""
    python = sys.executable if side == "minicnn" else arguments.torch_python
    threads = os.cpu_count() or 1
    return in_own_process("benchmarks._cuda_side", [side, request], threads, python, LIMIT)


def measure(arguments: argparse.Namespace, work: str, sides: Sequence[str]) -> Medians:
    """Return the medians of all ways of a work, and say what failed."""
    request = Request(
        work,
        tuple(arguments.precisions),
        tuple(arguments.modes),
        arguments.seconds,
        arguments.quick,
    ).to_text()
    calls: dict[str, Callable[[], Any]] = {
        side: functools.partial(run_side, arguments, side, request) for side in sides
    }
    results, failed = alternate(calls, arguments.rounds)
    check_same_net(work, results)
    for side, reason in failed.items():
        print(f"left out: {work} {side} {reason}")
    medians: Medians = {}
    for side, runs in results.items():
        failures = {name: reason for run in runs for name, reason in run["failures"].items()}
        by_reason: dict[str, list[str]] = {}
        for name, reason in failures.items():
            by_reason.setdefault(reason, []).append(name)
        for reason, these in by_reason.items():
            others = f" and {len(these) - 1} others" if these[1:] else ""
            print(f"left out: {work}/{these[0]}{others} of {side}: {reason}")
        names = [name for name in runs[0]["times"] if name not in failures]
        medians[side] = {n: median_of([run["times"][n] for run in runs]) for n in names}
    return medians


def check_same_net(work: str, results: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Refuse to compare nets of different numbers of parameters."""
    counts = {side: runs[0]["parameters"] for side, runs in results.items() if runs}
    if len(set(counts.values())) > 1:
        raise SystemExit(f"{work}: the sides' nets differ in their number of parameters: {counts}")


def least(medians: Medians, side: str, start: str, end: str = "") -> float | None:
    """Return the least of a side's medians whose names begin and end so; None if there is none."""
    found = medians.get(side, {}).items()
    fitting = [ms for name, ms in found if name.startswith(start) and name.endswith(end)]
    return min(fitting, default=None)


def pair(mine: float | None, other: float | None) -> dict[str, float | None]:
    """Return both sides' milliseconds and the ratio, where there are both."""
    ratio = mine / other if mine is not None and other else None
    return {"minicnn_ms": mine, "torch_ms": other, "ratio": ratio}


def training_results(arguments: argparse.Namespace, medians: Medians) -> dict[str, Any]:
    """Return, by "precision/mode", the times of steps, with PyTorch's memory formats apart."""
    found = {}
    for key in (f"{p}/{m}" for p in arguments.precisions for m in arguments.modes):
        mine = medians.get("minicnn", {})
        both = pair(mine.get(key), least(medians, "torch", key))
        formats = {
            name.removeprefix(key).strip(): ms
            for name, ms in medians.get("torch", {}).items()
            if name.startswith(key)
        }
        own = {"estimator_ms": mine.get(f"{key} Estimator")}
        found[key] = {**both, **own, "torch_formats_ms": formats}
    return found


def training_table(arguments: argparse.Namespace, work: str, results: Mapping[str, Any]) -> str:
    """Return a work's table: a line for each precision, a ratio for each mode."""
    modes = arguments.modes
    names = "minicnn", "PyTorch", "ratio", "Estimator"
    head = [f"{name} {mode}" for mode in modes for name in names]
    rows: list[Sequence[object]] = [(f"{work}, ms a training step", *head)]
    for precision in arguments.precisions:
        row: list[object] = [precision]
        for mode in modes:
            found = results[f"{work}/{precision}/{mode}"]
            row += [*cells([found], results["real"]), found["estimator_ms"] or "-"]
        rows.append(row)
    return table(rows)


def cells(found: Iterable[Mapping[str, float | None]], real: bool) -> list[object]:
    """Return both times and, of real ones, the ratio, for each of some pairs."""
    texts: list[object] = []
    for both in found:
        ratio = both["ratio"] if real else None
        texts += [both["minicnn_ms"], both["torch_ms"], None if ratio is None else f"{ratio:.2f}"]
    return ["-" if text is None else text for text in texts]


def convolution_results(arguments: argparse.Namespace, medians: Medians) -> dict[str, Any]:
    """Return, by precision, the passes of each convolution, and sums over the whole net.

    A sum takes every convolution as often as the net has it, and only those that both sides
    measured.
    """
    shapes = _resnet50.chosen(arguments.quick)
    found: dict[str, Any] = {}
    for precision in arguments.precisions:
        each = {
            shape.name: {
                which: pair(
                    *(least(medians, side, precision, f"/{shape.name}/{which}") for side in SIDES)
                )
                for which in shape.passes
            }
            for shape in shapes
        }
        counts = {shape.name: count for shape, count in shapes.items()}
        sums = {which: summed(each, counts, [which]) for which in _resnet50.PASSES}
        found[precision] = {
            **summed(each, counts, _resnet50.PASSES),
            "passes": sums,
            "counts": counts,
            "each": each,
        }
    return found


def summed(
    each: Mapping[str, Mapping[str, Any]], counts: Mapping[str, int], passes: Sequence[str]
) -> dict[str, float | None]:
    """Return the sums of both sides over some passes of all convolutions."""
    pairs = [
        (counts[name], by_pass[which])
        for name, by_pass in each.items()
        for which in passes
        if which in by_pass
    ]
    sides = ("minicnn_ms", "torch_ms")
    there = [side for side in sides if any(both[side] is not None for _, both in pairs)]
    whole = [(n, both) for n, both in pairs if all(both[side] is not None for side in there)]
    sums = [sum(n * both[side] for n, both in whole) if side in there else None for side in sides]
    return pair(*sums)


def convolution_tables(arguments: argparse.Namespace, work: str, results: Mapping[str, Any]) -> str:
    """Return a table for each precision: the convolutions, their passes, the sums."""
    passes, tables = _resnet50.PASSES, []
    head = [word for which in passes for word in (which, "PyTorch", "ratio")]
    for precision in arguments.precisions:
        found = results[f"{work}/{precision}"]
        rows: list[Sequence[object]] = [(f"{work} {precision}, ms", "times", *head)]
        for name, by_pass in found["each"].items():
            pairs = [by_pass.get(which, pair(None, None)) for which in passes]
            rows.append((name, found["counts"][name], *cells(pairs, results["real"])))
        sums = [found["passes"][which] for which in passes]
        rows.append(("sum over the net", "", *cells(sums, results["real"])))
        rows.append(("all passes", "", *cells([found], results["real"])))
        tables.append(table(rows))
    return "\n\n".join(tables)


def markdown(results: Mapping[str, Any]) -> str:
    """Return what was found as a table for README."""
    lines = ["| work / precision / mode | minicnn | best PyTorch | ratio |", "|---|---|---|---|"]
    for key, found in results.items():
        if key in ("devices", "real"):
            continue
        ms = (found["minicnn_ms"], found["torch_ms"])
        texts = ["-" if value is None else f"{three_digits(value)} ms" for value in ms]
        texts.append(str(cells([found], results["real"])[2]))
        lines.append(f"| {key} | {' | '.join(texts)} |")
    return "\n".join(lines)
