"""PyTorch's side on a GPU: cuDNN's choice of algorithms, both memory formats, CUDA graphs.

Imports nothing of minicnn, so it may run in another environment.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator

from benchmarks import _resnet50
from benchmarks._clock import Clock, MakeCall, Timed, TorchClock, time_all
from benchmarks._cuda_request import CONVOLUTIONS, Request
from benchmarks._nets import LEARNING_RATE, MOMENTUM, example
from benchmarks._resnet50 import Shape
from benchmarks._torch_side import build

try:
    import torch
    from torch.nn import functional
except ImportError:
    torch = functional = None

FORMATS = ("NCHW", "channels_last")
WARM_UP = 3  # calls before a capture: cuDNN tries its algorithms, the optimiser makes its slots


def about() -> dict[str, str]:
    """Return the device's name, or what is missing."""
    if torch is None:
        return {"error": "PyTorch is not installed: pip install torch==2.13.0"}
    if torch.version.cuda is None:
        return {
            "error": f"PyTorch {torch.__version__} was built without CUDA; on Linux, "
            "pip install --force-reinstall torch==2.13.0 brings one with it (no +cpu in its name)"
        }
    if not torch.cuda.is_available():
        return {"error": f"PyTorch {torch.__version__} finds no GPU, or no driver fit for it"}
    name = torch.cuda.get_device_name()
    return {"device": f"{name}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}"}


def measure(request: Request) -> tuple[Timed, int | None]:
    """Return the milliseconds of calls, and how many parameters the net has."""
    torch.backends.cudnn.benchmark = True
    clock = (TorchClock if request.device == "cuda" else Clock)(**request.calls)
    if request.work == CONVOLUTIONS:
        return time_all(clock, convolutions(request), request.seconds / 4), None
    count = sum(p.numel() for p in build(request.net).parameters())
    return time_all(clock, training(request), request.seconds), count


def training(request: Request) -> Iterator[tuple[str, MakeCall]]:
    """Yield a net's training steps by their names, such as "tf32/graph NCHW"."""
    for precision in request.precisions:
        for mode in request.modes:
            for form in FORMATS:

                def make(ways: tuple[str, str, str] = (precision, mode, form)) -> Callable:
                    precision, mode, form = ways
                    with precisely(precision):
                        step = prepare(request, precision, form)
                        return recorded(step) if mode == "graph" else step

                yield f"{precision}/{mode} {form}", make


def prepare(request: Request, precision: str, form: str) -> Callable[[], object]:
    """Return a training step."""
    gc.collect()  # the last one's memory, if it is in a cycle
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
    module = build(request.net).to(request.device, memory_format=layout)
    images, labels = example(request.net, "train")
    x = torch.from_numpy(images).permute(0, 3, 1, 2).to(request.device)
    x = x.contiguous(memory_format=layout)
    y = torch.from_numpy(labels).to(request.device)
    optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, momentum=MOMENTUM, fused=True)
    # Gradients of half precision vanish without a scale; the others do without.
    scaler = torch.amp.GradScaler(request.device, enabled=precision == "float16")

    def step() -> object:
        with precisely(precision):
            optimizer.zero_grad(set_to_none=True)
            with lowered(request.device, precision):
                loss = functional.cross_entropy(module(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return loss

    return step


@contextlib.contextmanager
def precisely(precision: str) -> Iterator[None]:
    """Allow or forbid TF32 inside a ``with`` block."""
    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    try:
        for flag in flags:
            flag.allow_tf32 = precision == "tf32"
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def lowered(device: str, precision: str) -> contextlib.AbstractContextManager[object]:
    """Compute in 16 bits, where that is safe, inside a ``with`` block, if it is asked for."""
    if precision not in ("bfloat16", "float16"):
        return contextlib.nullcontext()
    return torch.autocast(device, getattr(torch, precision))


def convolutions(request: Request) -> Iterator[tuple[str, MakeCall]]:
    """Yield calls by names such as "tf32/graph NCHW/3x3 64->64 @56/forward"."""
    mode = "graph" if "graph" in request.modes else "eager"
    for precision in request.precisions:
        for form in FORMATS:
            for shape in _resnet50.chosen(request.quick):
                for which in shape.passes:

                    def make(
                        ways: tuple[str, str] = (precision, form),
                        shape: Shape = shape,
                        which: str = which,
                    ) -> Callable:
                        with precisely(ways[0]):
                            call = convolution(request, shape, which, *ways)
                            return recorded(call) if mode == "graph" else call

                    yield f"{precision}/{mode} {form}/{shape.name}/{which}", make


def convolution(
    request: Request, shape: Shape, which: str, precision: str, form: str
) -> Callable[[], object]:
    """Return one pass of a convolution."""
    batch = 2 if request.quick else _resnet50.BATCH
    narrow = precision in ("bfloat16", "float16")
    dtype = getattr(torch, precision) if narrow else torch.float32
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format

    def numbers(*sizes: int) -> torch.Tensor:
        made = torch.randn(*sizes, dtype=torch.float32, device=request.device)
        return made.to(dtype).contiguous(memory_format=layout)

    c, o, k = shape.channels, shape.filters, shape.window
    x, weight = numbers(batch, c, shape.size, shape.size), numbers(o, c, k, k)
    grad_y = numbers(batch, o, shape.out, shape.out)
    stride, padding = [shape.stride] * 2, [k // 2] * 2
    wanted = [which == "grad of input", which == "grad of weight", False]
    backward = torch.ops.aten.convolution_backward

    def call() -> object:
        with precisely(precision):
            if which == "forward":
                return functional.conv2d(x, weight, None, stride, padding)
            return backward(
                grad_y, x, weight, None, stride, padding, [1, 1], False, [0, 0], 1, wanted
            )

    return call


def recorded(call: Callable[[], object]) -> Callable[[], object]:
    """Return the replay of a call's CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    def replay() -> object:
        graph.replay()
        return result  # what the graph writes to stays

    return replay
