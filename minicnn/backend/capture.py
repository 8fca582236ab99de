"""A training step captured once as a CUDA graph, and replayed: one launch instead of hundreds.

Inside ``with capture() as work:`` nothing is computed. Each kernel that would be launched is
written down with its arguments, and ``work.replay()`` launches them all at once, on the same
memory as ever. That is right only if the step is the same each time, so

- inputs are copied into the arrays that the captured step was written with;
- numbers that change from step to step (the learning rate, the place in a stream of random
  numbers) are computed anew by each replay and sent to the device in one copy, where kernels read
  them (`minicnn.kernels.capturing`, which also says what layers and optimisers must do);
- state that the step replaces by new arrays is copied back to where the step will look for it;
- what the host does in a step (it counts) is done by each replay; what the host would have to
  read from the device cannot be, and raises `CaptureError`: the step that it guides is not fixed.

Between begin and end of a capture memory comes from a pool of the work's own, so that nobody else
is given what the replays write to. Run a step a few times before it is captured: kernels are
compiled then, and what is made once is there.

On the CPU there is nothing to gain, and nothing to capture: `capture` raises DeviceError.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.backend.device import check_device
from minicnn.errors import CaptureError, DeviceError, MinicnnError
from minicnn.kernels import capturing

__all__ = ["CapturedWork", "capture", "is_capturing"]

_MOST_NUMBERS = 4096  # that one captured step may renew
_AHEAD = 8  # replays that the host may be ahead of the device
_captures = 0  # of all threads, now
_counting = threading.Lock()


def is_capturing() -> bool:
    """Tell whether this thread is inside ``with capture():``."""
    return capturing.recorder() is not None


class CapturedWork:
    """What was captured; `capture` makes it.

    Attributes
    ----------
    pool : cupy.cuda.MemoryPool
        Where its memory comes from. Another capture may share it, if its work is always replayed
        after this one's.
    """

    def __init__(self, cupy: Any, gpu: Any, pool: Any) -> None:
        self.pool = pool
        self._cupy, self._gpu = cupy, gpu
        self._graph: Any = None
        self.recorder = _Recorder(cupy)
        self._pinned: list[tuple[Any, Any]] = []  # numbers on their way, and when they arrived
        self._turn = 0

    def replay(self) -> None:
        """Do the work, once more. The host does not wait for it.

        Raises
        ------
        CaptureError
            If the capture did not come to its end.
        """
        if self._graph is None:
            raise CaptureError("replay: the capture did not come to its end")
        with self._gpu:
            stream = self._cupy.cuda.get_current_stream()
            self._renew(stream)
            self._graph.launch(stream)
        for work in self.recorder.afterwards:
            work()

    def look(self) -> None:
        """Do what waits until someone reads the results: checks, metrics. The host waits."""
        for work in self.recorder.on_reading:
            work()

    def __del__(self) -> None:
        # Numbers may be on their way: whoever gets their memory next must not write to it yet.
        for _, copied in self.__dict__.get("_pinned", ()):
            if copied:
                with contextlib.suppress(Exception):  # at the end of the program CUDA may be gone
                    copied.synchronize()

    def _renew(self, stream: Any) -> None:
        """Send the numbers of this step to where the kernels read them."""
        count = self.recorder.count
        if not count:
            return
        given = [renew() for renew, _, _ in self.recorder.renewals]  # may raise: nothing is done
        host = self._next_pinned(count)
        for numbers, (_, start, kind) in zip(given, self.recorder.renewals, strict=True):
            host[start : start + len(numbers)].view(kind)[...] = numbers
        self.recorder.words.data.copy_from_host_async(host.ctypes.data, host.nbytes, stream)
        self._pinned[self._turn] = host, stream.record()

    def _next_pinned(self, count: int) -> Any:
        """Return memory whose last copy to the device is done."""
        if len(self._pinned) < _AHEAD:
            self._turn = len(self._pinned)
            self._pinned.append((importlib.import_module("cupyx").empty_pinned(count, np.int64), 0))
            return self._pinned[-1][0]
        self._turn = (self._turn + 1) % _AHEAD
        host, copied = self._pinned[self._turn]
        copied.synchronize()
        return host


class _Recorder:
    """What launchers and layers leave behind for the replays; see `minicnn.kernels.capturing`."""

    def __init__(self, cupy: Any) -> None:
        self._cupy = cupy
        self._allocate = cupy.cuda.get_allocator()
        self._beside = cupy.cuda.Stream(non_blocking=True)
        self.words = cupy.zeros(_MOST_NUMBERS, np.int64)
        self.count = 0
        self.renewals: list[tuple[Callable[[], Any], int, Any]] = []
        self.afterwards: list[Callable[[], None]] = []
        self.on_reading: list[Callable[[], None]] = []
        self.kept: list[Any] = []

    def place(self, renew: Callable[[], Any], numbers: tuple[Any, ...]) -> Array:
        """Return where on the device the numbers of each replay will be."""
        kind = np.float64 if any(isinstance(n, float) for n in numbers) else np.int64
        start, self.count = self.count, self.count + len(numbers)
        if self.count > _MOST_NUMBERS:
            raise CaptureError(f"capture: more than {_MOST_NUMBERS} numbers change at each step")
        self.renewals.append((renew, start, kind))
        return self.words[start : self.count].view(kind)

    def check(self, wrong: Array, explain: Callable[[], Exception]) -> None:
        """Let `look` raise if an element of `wrong` was true in any replay."""
        with self.aside():
            ever = self._cupy.zeros((), bool)
        ever |= wrong.any()

        def look() -> None:
            if ever:
                capturing.raise_if(wrong, explain)
                raise CaptureError(
                    "replay: an earlier one was given numbers that an op refuses, such as a label "
                    "that is no class; without the capture (cuda_graph=False) the op names them"
                )

        self.on_reading.append(look)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Do work of the block now, in memory that is not the capture's."""
        with self._cupy.cuda.using_allocator(self._allocate), self._beside:
            yield
        self._beside.synchronize()


@contextlib.contextmanager
def capture(
    device: str = "cuda", pool: Any = None, state: Iterable[Any] = ()
) -> Iterator[CapturedWork]:
    """Write down what is done on a GPU inside a ``with`` block, in this thread, to be replayed.

    Parameters
    ----------
    device : str, default "cuda"
        ``"cuda"`` or ``"cuda:<index>"``.
    pool : cupy.cuda.MemoryPool, optional
        The pool of another captured work, after which this one is always replayed.
    state : iterable of Tensor, optional
        Those whose `data` the step replaces by new arrays, as batch normalisation does with its
        moving averages. They keep their arrays, into which each replay copies the new numbers.

    Yields
    ------
    CapturedWork
        Its `replay` does the work, after the block.

    Raises
    ------
    CaptureError
        If the block does what a replay cannot do again, or fails; the cause is attached.
    DeviceError
        If it is the CPU, or there is no such device.

    Notes
    -----
    A training step of a module, by hand (an `Estimator` with ``cuda_graph=True`` does all this)::

        def step():
            optimizer.zero_grad()
            loss = ops.sparse_softmax_cross_entropy(net(x), labels)
            loss.backward()
            optimizer.step()
            return loss

        for i in range(3):
            with nn.random_key(0, i):
                step()
        averages = [buffer for _, buffer in net.named_buffers()]
        with nn.random_key(0, 3), capture(state=averages) as work:
            loss = step()
        for i in range(3, 100):
            x.data[...], labels.data[...] = next_batch()
            with nn.random_key(0, i):
                work.replay()
    """
    device = check_device(device)
    if device == "cpu":
        raise DeviceError("capture: there is nothing to capture on the CPU; name a GPU")
    if is_capturing():
        raise CaptureError("capture: this thread is capturing already")
    cupy = importlib.import_module("cupy")
    gpu = cupy.cuda.Device(int(device.partition(":")[2]))
    before = [(tensor, tensor.data) for tensor in state]
    with gpu:
        work = CapturedWork(cupy, gpu, cupy.cuda.MemoryPool() if pool is None else pool)
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, cupy.cuda.using_allocator(work.pool.malloc), _uploads_refused(cupy):
            stream.begin_capture()
            try:
                with capturing.recorded_by(work.recorder):
                    yield work
                for tensor, array in before:
                    if tensor.data is not array:
                        array[...] = tensor.data
                        tensor.data = array
            except BaseException as error:
                for tensor, array in before:
                    tensor.data = array
                with contextlib.suppress(Exception):  # it tells of the first error once more
                    stream.end_capture()
                if isinstance(error, Exception) and not isinstance(error, CaptureError):
                    raise CaptureError(f"capture: {_why(error)}") from error
                raise
            try:
                work._graph = stream.end_capture()
            except Exception as error:
                raise CaptureError(f"capture: {_why(error)}") from error


@contextlib.contextmanager
def _uploads_refused(cupy: Any) -> Iterator[None]:
    """Let CuPy raise where this thread makes an array of the host's memory one of the device.

    It would capture a copy from pinned memory that it uses for other things in the next moment.
    The allocator of that memory is asked first, so it can refuse; in other threads it works.
    """
    global _captures
    install = cupy.cuda.set_pinned_memory_allocator
    allocate = cupy.get_default_pinned_memory_pool().malloc

    def allocate_outside(size: int) -> Any:
        capturing.refuse("the step copies from the host's memory, which no replay does again")
        return allocate(size)

    with _counting:
        _captures += 1  # other threads may capture at the same time
        install(allocate_outside)
    try:
        yield
    finally:
        with _counting:
            _captures -= 1
            if not _captures:
                install(allocate)


def _why(error: Exception) -> str:
    """Say what went wrong, in words that name the capture where CUDA's do not."""
    if isinstance(error, MinicnnError | capturing.CannotCaptureError):
        return str(error).removeprefix("capture: ").removeprefix("in a capture: ")
    text = f"{type(error).__name__}: {error}"
    if "Capture" in text:
        text += (
            " (the step reads a number from the device, waits for it, or copies from the host's "
            "memory, none of which can be replayed)"
        )
    return text
