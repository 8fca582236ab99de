"""The funnel that all device work goes through, and streams, events, graphs on top of it."""

from __future__ import annotations

import itertools
import threading
import time
import weakref

import numpy as np

from . import _memory


class CUDARuntimeError(RuntimeError):
    """What CuPy raises when the CUDA runtime reports an error."""

    def __init__(self, name, why=""):
        super().__init__(f"{name}: {why}" if why else name)
        self.status = 1 if name == "cudaErrorInvalidValue" else 900


_capturing: set[_Capture] = set()  # the captures under way, in any thread


def run(work, outputs=(), inputs=(), stream=None):
    """Do device work now; or, while its stream is captured, put it in the graph to come.

    `work` is a function without arguments that works on host arrays (``array._host``) or
    addresses; `outputs` and `inputs` are the stand-in arrays (or pointers) that these belong to.
    Whatever reads or writes "device" memory comes through here.
    """
    stream = get_current_stream() if stream is None else stream
    if stream._capture is not None:
        stream._capture.add(stream, work, (*outputs, *inputs))
        return
    if stream.ptr == 0:
        _refuse_what_waits_for_all()
    with np.errstate(all="ignore"):  # a GPU does not warn
        work()


def refuse_in_capture(what, stream=None):
    """Raise what CUDA raises if the host waits for a stream that is being captured."""
    stream = get_current_stream() if stream is None else stream
    if stream._capture is not None:
        stream._capture.valid = False
        _fail("cudaErrorStreamCaptureUnsupported", f"{what} is not permitted in a capture")


def _refuse_what_waits_for_all():
    """The null stream waits for all streams but those made with non_blocking=True."""
    for capture in tuple(_capturing):
        if not capture.origin.is_non_blocking:
            capture.valid = False
            _fail("cudaErrorStreamCaptureImplicit", "work on the null stream during a capture")


def capturing(stream=None):
    """Whether work is recorded now, and not done."""
    stream = get_current_stream() if stream is None else stream
    return stream._capture is not None


def _fail(name, why=""):
    raise CUDARuntimeError(name, why)


class _Capture:
    """The work recorded so far, and the streams that take part."""

    def __init__(self, origin):
        self.origin, self.valid = origin, True
        self.steps = []
        self.memories = {}  # address -> (weak reference, one to its pool if that is private)
        self.blocks = []  # so that a replay never writes to memory that Python gave away
        self.streams = {origin}
        self.ahead = set()  # streams with work that the origin does not wait for yet

    def add(self, stream, work, arrays):
        for array in arrays:
            pointer = getattr(array, "data", array)
            memory = getattr(pointer, "mem", None)
            if isinstance(memory, _memory.Memory):
                private = memory.pool is not _memory.default_pool
                pool = weakref.ref(memory.pool) if private else None
                self.memories[memory.ptr] = (weakref.ref(memory), pool)
                self.blocks.append(memory.block)
        self.steps.append(work)
        if stream is not self.origin:
            self.ahead.add(stream)


class Graph:
    """Recorded work, to be done again on the same memory."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Graph is made by Stream.end_capture")

    @classmethod
    def _of(cls, capture):
        self = object.__new__(cls)
        self._steps, self._memories = capture.steps, list(capture.memories.values())
        self._blocks = capture.blocks
        return self

    def launch(self, stream=None):
        for memory, pool in self._memories:
            if memory() is None and (pool is None or pool() is None):
                raise RuntimeError(
                    "graph: memory that the recorded work uses was given back to the pool, and "
                    "CuPy would give it to others; keep the arrays, or capture under "
                    "using_allocator(pool.malloc) with a pool of the graph's own, and keep that"
                )
        for step in self._steps:
            run(step, stream=stream)

    def upload(self, stream=None):
        pass


class Stream:
    """A stream; its work is done at once, in the order in which it is given."""

    null: Stream
    ptds: Stream
    _count = itertools.count(0x1000, 16)

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr = 0 if null else 2 if ptds else next(Stream._count)
        self.device_id = -1 if null or ptds else 0
        self.is_non_blocking, self.priority = non_blocking, priority or 0
        self._capture = None

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def __repr__(self):
        return f"<Stream {self.ptr} (device {self.device_id})>"

    def __enter__(self):
        _streams().append(self)
        return self

    def __exit__(self, *_):
        _streams().pop()

    def use(self):
        _streams()[-1] = self
        return self

    @property
    def done(self):
        refuse_in_capture("asking whether a stream is done", self)
        return True

    def synchronize(self):
        refuse_in_capture("waiting for a stream", self)

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        capture = event._capture
        if capture is None or capture not in _capturing:
            return
        if self._capture is None:  # the capture spreads to this stream
            self._capture = capture
            capture.streams.add(self)
        elif self is capture.origin:
            capture.ahead.discard(event._stream)

    def launch_host_func(self, callback, arg):
        run(lambda: callback(arg), stream=self)

    def is_capturing(self):
        return self._capture is not None

    def begin_capture(self, mode=None):
        if self.ptr in (0, 1, 2):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._capture is not None:
            _fail("cudaErrorIllegalState", "the stream is captured already")
        self._capture = _Capture(self)
        _capturing.add(self._capture)

    def end_capture(self):
        capture = self._capture
        if capture is None or capture.origin is not self:
            _fail("cudaErrorIllegalState", "no capture began on this stream")
        for stream in capture.streams:
            stream._capture = None
        _capturing.discard(capture)
        if not capture.valid:
            _fail("cudaErrorStreamCaptureInvalidated", "something forbidden was tried in it")
        if capture.ahead:
            _fail("cudaErrorStreamCaptureUnjoined", "wait_event for the streams that joined in")
        return Graph._of(capture)


Stream.null = Stream(null=True)
Stream.ptds = Stream(ptds=True)
_local = threading.local()


def _streams():
    if not hasattr(_local, "streams"):
        _local.streams = [Stream.null]
    return _local.streams


def get_current_stream(device_id=-1):
    """The stream that this thread's work goes to."""
    return _streams()[-1]


class Event:
    """A moment in a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._timed, self._time, self._stream, self._capture = not disable_timing, None, None, None

    @property
    def done(self):
        self.synchronize()
        return True

    def record(self, stream=None):
        stream = get_current_stream() if stream is None else stream
        self._stream, self._capture, self._time = stream, stream._capture, time.perf_counter()

    def synchronize(self):
        if self._capture is not None:
            self._capture.valid = False
            _fail("cudaErrorCapturedEvent", "the event was recorded in a capture")


def get_elapsed_time(start_event, end_event):
    """Milliseconds between two events."""
    if start_event._time is None or end_event._time is None:
        _fail("cudaErrorInvalidResourceHandle", "an event was not recorded")
    if not (start_event._timed and end_event._timed):
        _fail("cudaErrorInvalidResourceHandle", "an event was made with disable_timing")
    return (end_event._time - start_event._time) * 1e3


class Device:
    """The one device."""

    compute_capability = "90"

    def __init__(self, device=None):
        self.id = 0 if device is None else int(device)
        self._valid = self.id == 0

    def _check(self):
        if not self._valid:
            _fail("cudaErrorInvalidDevice", "invalid device ordinal")

    def __enter__(self):
        self._check()
        return self

    def __exit__(self, *_):
        pass

    def __int__(self):
        return self.id

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def use(self):
        self._check()

    def synchronize(self):
        self._check()
        for capture in tuple(_capturing):
            capture.valid = False
            _fail("cudaErrorStreamCaptureUnsupported", "waiting for the device during a capture")

    @property
    def mem_info(self):
        total = _memory.TOTAL_BYTES
        return total - _memory.default_pool.total_bytes(), total

    @property
    def attributes(self):
        return dict(_ATTRIBUTES)


_ATTRIBUTES = {  # an H100's, where a launcher may ask
    "ComputeCapabilityMajor": 9,
    "ComputeCapabilityMinor": 0,
    "MultiProcessorCount": 4,  # few, so that a grid chosen by it stays small
    "WarpSize": 32,
    "MaxThreadsPerBlock": 1024,
    "MaxThreadsPerMultiProcessor": 2048,
    "MaxSharedMemoryPerBlock": 49152,
    "MaxSharedMemoryPerBlockOptin": 232448,
    "MaxSharedMemoryPerMultiprocessor": 233472,
    "MaxRegistersPerBlock": 65536,
    "MaxGridDimX": 2**31 - 1,
    "MaxGridDimY": 65535,
    "MaxGridDimZ": 65535,
    "L2CacheSize": 1 << 25,
    "ClockRate": 1_000_000,
}


def device_properties(device):
    """What cupy.cuda.runtime.getDeviceProperties says."""
    if device != 0:
        _fail("cudaErrorInvalidDevice", "invalid device ordinal")
    return {
        "name": b"CPU, as a stand-in for a GPU",
        "major": 9,
        "minor": 0,
        "totalGlobalMem": _memory.TOTAL_BYTES,
        "multiProcessorCount": _ATTRIBUTES["MultiProcessorCount"],
        "warpSize": 32,
        "maxThreadsPerBlock": 1024,
        "sharedMemPerBlock": 49152,
        "sharedMemPerBlockOptin": 232448,
        "l2CacheSize": 1 << 25,
    }
