"""Where the time of a training step goes, and how near each op is to what the machine can do.

    python -m benchmarks.roofline [--net seednet] [--threads 2] [--batch 128]
    python -m benchmarks.roofline --device cuda [--precisions tf32] [--families pooling] [--quick]

First the machine's peaks are measured: multiply-adds in registers, and copies, whose speed
depends on whether the data fit into a cache. Then every layer with weights, and every other op, is
run by itself: forward, backward to its input alone, backward to its weights alone. The sum of the
two is more than backward to both, which shares work. None can take less than its
multiply-adds take at the one peak, nor less than its operands and results, each moved once, take
at the other; the larger is its bound, and `share` is the bound as a part of the measured time.
What the same takes on a batch of two, beyond its bound there, is overhead that every call pays.
`held by` names the largest of the three. A convolution counts the multiply-adds of its definition;
an algorithm that needs fewer (Winograd's) may have a share above 100 %.

On a GPU every kernel is run by itself: see `benchmarks._cuda_roofline`.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks import _cuda_roofline, _minicnn_side
from benchmarks._cuda_request import PRECISIONS
from benchmarks._measure import median_of, table
from benchmarks._nets import NETS, example
from minicnn import Tensor, nn, ops
from minicnn.autograd.graph import Node, Value, trace
from minicnn.backend.machine import Peaks, measure_peaks
from minicnn.nn._costs import macs_of
from minicnn.nn._parts import Weighted

FEW = 2  # images, on which an op costs little more than its overhead; batch norm needs two
HEADER = ("layer", "op", "output", "pass", "ms", "GFLOP/s", "GB/s", "bound ms", "share", "held by")


class Part(NamedTuple):
    """What is run by itself: an op, or a layer of several, which may compute them as one."""

    path: str
    op: str
    inputs: tuple[Value, ...]
    output: Value
    flop: int
    call: Callable[[Collection[Value]], Tensor]  # with gradients for some of the inputs


class Work(NamedTuple):
    """One pass of a part: its seconds, and what it has to do."""

    part: Part
    name: str
    seconds: float
    flop: int
    size: int  # bytes of the operands and results


def main() -> None:
    """Measure, and print the report."""
    arguments = parse()
    if arguments.device == "cuda":
        _cuda_roofline.main(arguments)
        return
    os.environ["MINICNN_THREADS"] = str(arguments.threads)
    peaks = measure_peaks(arguments.threads)
    print(
        f"{arguments.threads} threads: {peaks.flops / 1e9:.0f} GFLOP/s; copies, read and written:"
    )
    copies = [(shown(size), f"{rate / 1e9:.0f} GB/s") for size, rate in peaks.copies.items()]
    print(table(zip(*copies, strict=True), left=0))
    many, few = (list(works(arguments.net, n, arguments.seconds)) for n in (arguments.batch, FEW))
    print(f"\n{arguments.net}, batch {arguments.batch}, each part by itself")
    print(table([HEADER, *rows(many, few, peaks)], left=4))
    times = _minicnn_side.measure(arguments.net, "train", 3.0)[0]
    print(f"The whole step, through the Estimator at batch 128: {median_of([times]):.1f} ms")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--net", choices=NETS, default="seednet")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--seconds", type=float, default=0.15, help="for each pass of an op")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    gpu = parser.add_argument_group("on a GPU")
    gpu.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    gpu.add_argument("--families", nargs="+", help="of kernels; all if none is named")
    gpu.add_argument("--quick", action="store_true", help="tiny sizes, to see that all runs")
    return parser.parse_args()


def shown(size: int) -> str:
    """Return a number of bytes for people."""
    return f"{size >> 20} MiB" if size >> 20 else f"{size >> 10} KiB"


def works(name: str, batch: int, seconds: float) -> Iterator[Work]:
    """Run each part of a net's training step, in the order of the forward pass."""
    net = _minicnn_side.build(NETS[name])
    images, labels = (np.resize(a, (batch, *a.shape[1:])) for a in example(NETS[name], "train"))

    def loss(x: Tensor) -> Tensor:
        return ops.sparse_softmax_cross_entropy(net(x), labels)

    with nn.random_key(0, 0):
        graph = trace(loss, Tensor(np.moveaxis(images, -1, 1)))
    for part in parts_of(graph):
        yield from passes(part, seconds)


def parts_of(graph: Iterable[Node]) -> Iterator[Part]:
    """Return layers with weights as one part each, and all other ops."""

    def layer_of(node: Node) -> Any:
        return next((call.module for call in node.calls if isinstance(call.module, Weighted)), None)

    for layer, group in itertools.groupby(graph, layer_of):
        nodes = list(group)
        if layer is None:
            yield from map(single, nodes)
        else:
            yield together(layer, nodes)


def single(node: Node) -> Part:
    """Return an op as a part."""
    flop = 2 * macs_of(node)
    return Part(node.path, node.op, node.inputs, node.output, flop, again(node))


def together(layer: Any, nodes: Sequence[Node]) -> Part:
    """Return a layer as a part; called when nobody looks on, it may be one op."""
    made = {id(v) for node in nodes for v in node.outputs}
    inputs = dict.fromkeys(v for node in nodes for v in node.inputs if id(v) not in made)
    given = [v for v in inputs if v.kind != "parameter"]
    learned = [v for v in inputs if v.kind == "parameter"]

    def call(wanted: Collection[Value]) -> Tensor:
        for v in learned:
            v.tensor.requires_grad, v.tensor.grad = v in wanted, None
        return layer(*(Tensor(v.data, requires_grad=v in wanted) for v in given))

    flop = 2 * sum(map(macs_of, nodes))
    op = " + ".join(node.op for node in nodes)
    return Part(nodes[0].path, op, tuple(inputs), nodes[-1].output, flop, call)


def again(node: Node) -> Callable[[Collection[Value]], Tensor]:
    """Return a function that calls an op once more."""
    signature = inspect.signature(node.function)

    def call(wanted: Collection[Value]) -> Tensor:
        def filled(argument: Any) -> Any:
            if isinstance(argument, Value):
                if not isinstance(argument.tensor, Tensor):
                    return argument.data
                return Tensor(argument.data, requires_grad=argument in wanted)
            if isinstance(argument, tuple) and any(isinstance(a, Value) for a in argument):
                return tuple(map(filled, argument))
            return argument

        arguments: Any = {name: filled(value) for name, value in node.arguments.items()}
        bound = inspect.BoundArguments(signature, arguments)
        result = node.function(*bound.args, **bound.kwargs)
        return result[0] if isinstance(result, tuple) else result

    return call


def passes(part: Part, seconds: float) -> Iterator[Work]:
    """Measure a part: forward, then backward to what was computed and to parameters."""
    inputs, out = sum(v.nbytes for v in part.inputs), part.output.nbytes
    learned = [v for v in part.inputs if v.kind == "parameter"]
    computed = [v for v in part.inputs if v.kind == "computed"]
    took = least_time(lambda: learned + computed, part.call, seconds)
    yield Work(part, "forward", took, part.flop, inputs + out)
    shape, dtype = part.output.shape, part.output.dtype
    grad = Tensor(np.random.default_rng(0).standard_normal(shape).astype(dtype))
    for name, wanted in (("grad of input", computed), ("grad of weights", learned)):
        if not wanted:
            continue
        took = least_time(lambda w=wanted: part.call(w), lambda y: y.backward(grad), seconds)
        results = sum(v.nbytes for v in wanted)
        # A product needs the other factor only; other ops need their input, or what is as large.
        size = out + (inputs if part.flop else inputs + results)
        yield Work(part, name, took, part.flop, size)


def least_time(make: Callable[[], Any], use: Callable[[Any], object], seconds: float) -> float:
    """Return the least seconds that `use` takes with what `make` returns; peaks are such, too."""
    for _ in range(3):
        use(make())
    times: list[float] = []
    while len(times) < 5 or sum(times) < seconds:
        made = make()
        start = time.perf_counter()
        use(made)
        times.append(time.perf_counter() - start)
        if len(times) == 500:
            break
    return min(times)


def bounds(work: Work, peaks: Peaks) -> dict[str, float]:
    """Return the seconds that arithmetic and memory take at least."""
    return {
        "compute": work.flop / peaks.flops,
        "memory": work.size / peaks.bandwidth(work.size),
    }


def rows(many: Sequence[Work], few: Sequence[Work], peaks: Peaks) -> Iterator[list[object]]:
    """Return the table's lines, and a last one with the sums."""
    total = least = 0.0
    for work, small in zip(many, few, strict=True):
        bound = bounds(work, peaks)
        most = max(bound.values())
        bound["overhead"] = small.seconds - max(bounds(small, peaks).values())
        total, least = total + work.seconds, least + most
        yield [
            work.part.path,
            work.part.op,
            "x".join(map(str, work.part.output.shape)),
            work.name,
            work.seconds * 1e3,
            work.flop / work.seconds / 1e9 if work.flop else None,
            work.size / work.seconds / 1e9,
            most * 1e3,
            f"{most / work.seconds:.0%}",
            max(bound, key=bound.__getitem__),
        ]
    yield ["all of it", "", "", "", total * 1e3, None, None, least * 1e3, f"{least / total:.0%}"]


if __name__ == "__main__":
    main()
