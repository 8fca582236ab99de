"""minicnn's side on a GPU: training steps and convolutions, call by call and as CUDA graphs.

The step is a plain loop's, as PyTorch's: nobody reads the loss; beside it stands the Estimator's,
see `_cuda_estimator`. In "tf32" and "bfloat16" all
arrays are float32 ones, whose numbers are rounded where the matrix units take them; in "float16"
convolutions are given, and give, arrays of half precision.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import _resnet50
from benchmarks._clock import Clock, CupyClock, MakeCall, Timed, time_all
from benchmarks._cuda_request import CONVOLUTIONS, Request
from benchmarks._minicnn_side import build
from benchmarks._nets import LEARNING_RATE, MOMENTUM, example
from benchmarks._resnet50 import Shape
from minicnn import Tensor, config, nn, on_device, ops, optim
from minicnn.backend import kernels_for
from minicnn.backend.capture import capture
from minicnn.backend.device import check_device, to_device
from minicnn.errors import DeviceError
from minicnn.ops._windows import Window

_DISTINCT = (1 << 20) - 1  # random numbers, which large arrays repeat: to draw more takes long
LOSS_SCALE = 1024.0
WARM_UP = 3  # calls before a capture: kernels are compiled, the optimiser makes its slots


def about() -> dict[str, Any]:
    """Return the device's name and whether it is only played, or what is missing."""
    try:
        check_device("cuda")
    except DeviceError as error:
        return {"error": f"minicnn: {error}"}
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    stand_in = hasattr(cupy, "__stand_in__")
    return {"device": f"{name}, CuPy {cupy.__version__}", "stand_in": stand_in}


def measure(request: Request) -> tuple[Timed, int | None]:
    """Return the milliseconds of calls, and how many parameters the net has."""
    device = check_device(request.device)  # from here on there is a CuPy to import
    clock = (Clock if device == "cpu" else CupyClock)(**request.calls)
    if request.work == CONVOLUTIONS:
        return time_all(clock, convolutions(request), request.seconds / 4), None
    from benchmarks import _cuda_estimator

    count = sum(p.size for p in build(request.net).parameters())
    timed = time_all(clock, training(request), request.seconds)
    others = time_all(
        clock, _cuda_estimator.trainings(request), request.seconds, lambda c, train, s: train(c, s)
    )
    return Timed(timed.times | others.times, timed.failures | others.failures), count


def training(request: Request) -> Iterator[tuple[str, MakeCall]]:
    """Yield a net's training steps by their names, such as "tf32/graph"."""
    for precision in request.precisions:
        for mode in request.modes:

            def make(precision: str = precision, mode: str = mode) -> Callable[[], object]:
                if mode == "graph":
                    return Step(request, precision, adaptive=False).recorded()
                return Step(request, precision)

            yield f"{precision}/{mode}", make


class Step:
    """A training step, to be called.

    In float16 the loss is scaled. An `adaptive` scale asks whether a gradient is infinite, which
    a CUDA graph cannot: there the scale is constant.
    """

    def __init__(self, request: Request, precision: str, adaptive: bool = True) -> None:
        gc.collect()  # an optimiser that is gone keeps its memory until then, for it is in a cycle
        self._precision = precision
        with on_device(request.device):
            self.module = build(request.net)
        images, labels = example(request.net, "train")
        self._x = Tensor(to_device(np.moveaxis(images, -1, 1), request.device))
        self._y = to_device(labels, request.device)
        halves = precision == "float16"
        self._scaler = optim.LossScaler() if halves and adaptive else None
        self._scale = LOSS_SCALE if halves and not adaptive else 1.0
        rate = LEARNING_RATE / self._scale
        self._optimizer = optim.SGD(self.module, rate, momentum=MOMENTUM)

    def __call__(self) -> object:
        """Do it."""
        with self._numbered(), precisely(self._precision), halved(self._precision):
            self._optimizer.zero_grad()
            loss = ops.sparse_softmax_cross_entropy(self.module(self._x), self._y)
            if self._scaler is not None:
                self._scaler.scaled(loss).backward()
                if not self._scaler.unscale(self.module.parameters()):
                    return loss
            else:
                (loss if self._scale == 1.0 else loss * self._scale).backward()
            self._optimizer.step()
        return loss

    def recorded(self) -> Callable[[], object]:
        """Return its replay as a CUDA graph."""
        buffers = [buffer for _, buffer in self.module.named_buffers()]

        def step_in_place() -> object:
            before = [buffer.data for buffer in buffers]
            loss = self()
            # Moving averages are new arrays: the next replay looks for them where they were.
            for buffer, data in zip(buffers, before, strict=True):
                if buffer.data is not data:
                    data[...] = buffer.data
                    buffer.data = data
            return loss

        replay = recorded(step_in_place)

        def replay_numbered() -> object:
            with self._numbered():
                return replay()

        return replay_numbered

    def _numbered(self) -> contextlib.AbstractContextManager[None]:
        """Let dropout draw the numbers of this step, inside a ``with`` block."""
        return nn.random_key(0, self._optimizer.step_count)


@contextlib.contextmanager
def precisely(precision: str) -> Iterator[None]:
    """Let the matrix units round to a precision inside a ``with`` block."""
    before = config.matrix_precision
    config.matrix_precision = "float32" if precision == "float16" else precision
    try:
        yield
    finally:
        config.matrix_precision = before


def halved(precision: str) -> contextlib.AbstractContextManager[None]:
    """Let layers multiply in float16 inside a ``with`` block, if that is the precision."""
    return nn.mixed_precision(precision == "float16")


def convolutions(request: Request) -> Iterator[tuple[str, MakeCall]]:
    """Yield calls by names such as "tf32/graph/3x3 64->64 @56/forward"."""
    mode = "graph" if "graph" in request.modes else "eager"
    for precision in request.precisions:
        for shape in _resnet50.chosen(request.quick):
            for which in shape.passes:

                def make(
                    precision: str = precision, shape: Shape = shape, which: str = which
                ) -> Callable[[], object]:
                    with precisely(precision):
                        call = convolution(request, shape, which, precision)
                        return recorded(call) if mode == "graph" else call

                yield f"{precision}/{mode}/{shape.name}/{which}", make


def convolution(request: Request, shape: Shape, which: str, precision: str) -> Callable[[], object]:
    """Return one pass of a convolution, by the kernel alone."""
    batch = 2 if request.quick else _resnet50.BATCH
    c, o, k = shape.channels, shape.filters, shape.window
    numbers = Numbers(request.device, np.float16 if precision == "float16" else np.float32)
    x, weight = numbers(batch, c, shape.size, shape.size), numbers(o, c, k, k)
    grad_y = numbers(batch, o, shape.out, shape.out)
    out = shape.out, shape.out
    window = Window.of("convolution", x.shape[2:], (k, k), shape.stride, k // 2)
    kernels = kernels_for(x)
    calls: dict[str, Callable[[], object]] = {
        "forward": lambda: kernels.conv(x, weight, None, out, window, 1),
        "grad of input": lambda: kernels.conv_grad_x(grad_y, weight, x.shape, window, 1),
        "grad of weight": lambda: kernels.conv_grad_weight(grad_y, x, weight.shape, window, 1),
    }
    passed = calls[which]

    def call() -> object:
        with precisely(precision):
            return passed()

    return call


class Numbers:
    """Makes random arrays on a device, images channels-last in memory."""

    def __init__(self, device: str, dtype: Any) -> None:
        self._device, self._dtype = device, dtype
        self._rng = np.random.default_rng(0)
        self._normal = self._rng.standard_normal(_DISTINCT, np.float32).astype(dtype)

    def __call__(self, *shape: int) -> Any:
        """Return an array of a shape (N, C, ...)."""
        if len(shape) < 3:
            return self.plain(*shape)
        there = self.plain(shape[0], *shape[2:], shape[1])
        return there.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))

    def plain(self, *shape: int) -> Any:
        """Return an array with its axes in order in memory."""
        return self.moved(np.resize(self._normal, shape))

    def of(self, dtype: Any) -> Numbers:
        """Return what makes arrays of another type."""
        return Numbers(self._device, dtype)

    def positive(self, *shape: int) -> Any:
        """Return an array of numbers from 1/2 on."""
        return abs(self(*shape)) + self._dtype(0.5)

    def below(self, count: int, *shape: int, dtype: Any = np.int64) -> Any:
        """Return an array of whole numbers from 0 on."""
        return self.moved(self._rng.integers(0, count, shape).astype(dtype))

    def boxes(self, count: int) -> Any:
        """Return boxes (count, 4) in an image of 1000 pixels."""
        corners = self._rng.uniform(0, 900, (count, 2))
        sides = self._rng.uniform(1, 100, (count, 2))
        return self.moved(np.concatenate([corners, corners + sides], 1).astype(self._dtype))

    def moved(self, array: np.ndarray) -> Any:
        """Return an array on the device."""
        return to_device(array, self._device)

    @property
    def kernels(self) -> Any:
        """The kernels for such arrays."""
        return kernels_for(self.moved(np.zeros(1, np.float32)))


def recorded(call: Callable[[], object]) -> Callable[[], object]:
    """Return the replay of a call's CUDA graph."""
    for _ in range(WARM_UP):
        call()
    with capture() as work:
        result = call()

    def replay() -> object:
        work.replay()
        return result, call  # what the graph writes to stays, and what it reads

    return replay
