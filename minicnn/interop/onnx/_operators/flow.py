"""Control flow: branches and loops over subgraphs."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.interop.onnx._graph import Graph
from minicnn.interop.onnx._operator import Call, Ints, Number, Table
from minicnn.interop.onnx._room import MOST_TURNS, check_room


def if_(condition: Number, *, then_branch: Graph, else_branch: Graph, call: Call) -> Any:
    """Run one of two graphs."""
    return call.run(then_branch if condition else else_branch)


def loop(
    count: Number = None,
    condition: Number = None,
    *carried: Tensor,
    body: Graph,
    call: Call,
) -> Any:
    """Run a graph again and again, while it says so and not more often than `count`."""
    state: tuple[Tensor, ...] = carried
    scans: list[list[Tensor]] = [[] for _ in range(len(body.outputs) - 1 - len(carried))]
    i, goes_on = 0, condition is None or bool(condition)
    while goes_on and (count is None or i < count):
        if i >= MOST_TURNS:
            raise ConfigError(f"Loop: does not end within {MOST_TURNS:,} turns")
        inputs = (Tensor(np.array(i, np.int64)), Tensor(np.array(goes_on)), *state)
        again, *results = call.run(body, *inputs)
        goes_on, i = bool(again.item()), i + 1
        state = tuple(results[: len(carried)])
        for scan, value in zip(scans, results[len(carried) :], strict=True):
            scan.append(value)
            check_room("Loop", (len(scan), *value.shape))
    return (*state, *(stacked(scan) for scan in scans))


def stacked(values: list[Tensor], axis: int = 0) -> Tensor:
    """Join what the turns of a loop left; of no turns, nothing."""
    return ops.stack(values, axis) if values else Tensor(np.zeros((0,), np.float32))


def scan_8(
    lengths: Ints | None = None,
    *given: Tensor,
    body: Graph,
    num_scan_inputs: int,
    directions: Ints | None = None,
    call: Call,
) -> Any:
    """Run a graph over the time steps of each sequence of a batch, in opset 8."""
    examples = [
        scan(
            *(t[n] for t in given), body=body, num_scan_inputs=num_scan_inputs,
            scan_input_directions=directions, call=call,
        )
        for n in range(given[0].shape[0])
    ]  # fmt: skip
    return tuple(ops.stack(list(results)) for results in zip(*examples, strict=True))


def scan(
    *given: Tensor,
    body: Graph,
    num_scan_inputs: int,
    scan_input_axes: Ints | None = None,
    scan_input_directions: Ints | None = None,
    scan_output_axes: Ints | None = None,
    scan_output_directions: Ints | None = None,
    call: Call,
) -> Any:
    """Run a graph over the slices of some inputs, carrying the others along."""
    count = len(given) - num_scan_inputs
    state, sequences = given[:count], given[count:]
    outputs = len(body.outputs) - count
    in_axes = scan_input_axes or (0,) * num_scan_inputs
    in_back = scan_input_directions or (0,) * num_scan_inputs
    out_axes = scan_output_axes or (0,) * outputs
    out_back = scan_output_directions or (0,) * outputs
    length = sequences[0].shape[in_axes[0]]
    scans: list[list[Tensor]] = [[] for _ in range(outputs)]
    for i in range(length):
        pieces = [
            t[(*(slice(None),) * (axis % t.ndim), length - 1 - i if back else i)]
            for t, axis, back in zip(sequences, in_axes, in_back, strict=True)
        ]
        results = call.run(body, *state, *pieces)
        state = results[:count]
        for kept, value in zip(scans, results[count:], strict=True):
            kept.append(value)
    joined = [
        stacked(kept[::-1] if back else kept, axis)
        for kept, axis, back in zip(scans, out_axes, out_back, strict=True)
    ]
    return (*state, *joined)


OPERATORS: Table = {
    "If": if_,
    "Loop": loop,
    "Scan": {8: scan_8, 9: scan},
}
