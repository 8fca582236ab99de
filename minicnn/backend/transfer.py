"""Copies to the GPU beside its work: the next batch travels while this one is computed.

A copy runs beside kernels if three things hold: the host's memory is pinned (the
card reads it by itself, at any time), the copy is on a stream of its own, and each
stream waits for the other exactly where it must.  Here that is

- the copy, for whatever the device did before with the memory that it writes to;
- the computation, for the copy, at the moment the batch is used;
- the pinned memory, which may be used anew only when the copy is done.
"""

from __future__ import annotations

import importlib
from collections import deque
from typing import Any

import numpy as np

from minicnn.backend import Array
from minicnn.backend.device import check_device
from minicnn.errors import DeviceError

__all__ = ["Upload", "Uploader"]


class Uploader:
    """Begins copies of arrays to one GPU.

    Parameters
    ----------
    device : str
        ``"cuda"`` or ``"cuda:<index>"``.

    Raises
    ------
    DeviceError
        If it is the CPU, or there is no such device.
    """

    def __init__(self, device: str) -> None:
        device = check_device(device)
        if device == "cpu":
            raise DeviceError("Uploader: arrays are on the CPU already; name a GPU")
        self._cupy = importlib.import_module("cupy")
        self._cupyx = importlib.import_module("cupyx")
        self._device = self._cupy.cuda.Device(int(device.partition(":")[2]))
        with self._device:
            self._stream = self._cupy.cuda.Stream(non_blocking=True)
        self._under_way: deque[tuple[Any, Array]] = deque()  # events, and the memory they free

    def begin(self, array: np.ndarray) -> Upload:
        """Begin to copy an array; the array may be changed as soon as this returns.

        Parameters
        ----------
        array : ndarray
            Of NumPy, of numbers.

        Returns
        -------
        Upload
            The copy to come.
        """
        while self._under_way and self._under_way[0][0].done:
            self._under_way.popleft()
        with self._device:
            pinned = self._cupyx.empty_pinned(array.shape, array.dtype)
            pinned[...] = array
            work = self._cupy.cuda.get_current_stream()
            # The pool hands out memory in the order of the working stream: what that stream was
            # told so far may still use it.
            there = self._cupy.empty(array.shape, array.dtype)
            self._stream.wait_event(work.record())
            there.set(pinned, stream=self._stream)
            copied = self._stream.record()
        self._under_way.append((copied, pinned))
        return Upload(there, copied, work)

    def finish(self) -> None:
        """Wait for all copies."""
        self._stream.synchronize()
        self._under_way.clear()


class Upload:
    """A copy under way; `array` gives it, and lets the device wait for it, not the host.

    Parameters
    ----------
    there : ndarray
        Of CuPy: where it goes.
    copied : cupy.cuda.Event
        When it has arrived.
    stream : cupy.cuda.Stream
        In whose order the memory was handed out.
    """

    def __init__(self, there: Array, copied: Any, stream: Any) -> None:
        self._there, self._copied, self._stream = there, copied, stream
        self._taken = False

    def array(self) -> Array:
        """Return the array; what the current stream does from now on comes after the copy.

        Returns
        -------
        ndarray
            Of CuPy.
        """
        cupy = importlib.import_module("cupy")
        cupy.cuda.get_current_stream().wait_event(self._copied)
        self._taken = True
        return self._there

    def __del__(self) -> None:
        # One that nobody asked for gives its memory back while it is written to; what gets it next
        # on the stream it came from must come after.
        if not self._taken:
            self._stream.wait_event(self._copied)
