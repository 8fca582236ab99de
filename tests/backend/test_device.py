"""Devices: what is refused and how, with CuPy missing and with one that is only played."""

from __future__ import annotations

import contextvars
import sys
import threading
import types

import numpy as np
import pytest

from minicnn import backend
from minicnn.backend import array_module, jit_enabled, kernels_for
from minicnn.backend import device as device_module
from minicnn.backend.device import (
    check_device,
    device_memory,
    device_of,
    get_device,
    on_device,
    release_device_memory,
    set_device,
    to_device,
)
from minicnn.backend.transfer import Uploader
from minicnn.errors import ConfigError, DeviceError
from tests.ops.spec import ErrorCase


@pytest.fixture
def no_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it fails


class GpuArray:
    """An array that says it is on a GPU."""

    def __init__(self, array: np.ndarray, index: int = 0) -> None:
        self.array, self.device = array, types.SimpleNamespace(id=index)


def played_cupy(gpus: int) -> types.ModuleType:
    """Return a module with what the device code uses of CuPy."""

    class CUDARuntimeError(RuntimeError):
        pass

    def count() -> int:
        if gpus < 0:
            raise CUDARuntimeError("cudaErrorInsufficientDriver")
        return gpus

    class Device:
        current = 0

        def __init__(self, index: int) -> None:
            self.index = index

        def use(self) -> None:
            Device.current = self.index

        def __enter__(self) -> None:
            self.before, Device.current = Device.current, self.index

        def __exit__(self, *_: object) -> None:
            Device.current = self.before

    cupy = types.ModuleType("cupy")
    runtime = types.SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=Device)
    cupy.asarray = lambda x: GpuArray(np.array(x), Device.current)
    cupy.asnumpy = lambda x: x.array
    return cupy


def with_gpus(monkeypatch, gpus: int) -> types.ModuleType:
    cupy = played_cupy(gpus)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


@pytest.fixture(autouse=True)
def back_to_the_cpu(monkeypatch):
    monkeypatch.delenv("MINICNN_CUDA", raising=False)
    monkeypatch.setattr(device_module, "_program", "cpu")


def test_the_cpu_is_the_default():
    assert contextvars.Context().run(get_device) == "cpu"
    assert check_device("cpu") == "cpu"
    assert device_of(np.ones(2)) == "cpu"
    assert device_of(np.ones(2).sum()) == "cpu", "a NumPy number"


@pytest.mark.usefixtures("no_cupy")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:1"])
@pytest.mark.parametrize("ask", [check_device, set_device, lambda d: to_device(np.ones(2), d)])
def test_without_cupy_the_message_says_how_to_install_it(device, ask):
    message = rf"device '{device}' needs CuPy, .*pip install cupy-cuda12x"
    with pytest.raises(DeviceError, match=message):
        ask(device)
    assert get_device() == "cpu"


@pytest.mark.parametrize(
    "device", ["gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:1.5", "", "tpu", None, 0]
)
def test_unknown_devices_are_refused(device):
    message = r"device .* is unknown; use 'cpu', 'cuda' or 'cuda:<index>'"
    with pytest.raises(DeviceError, match=message):
        check_device(device)


def test_gpus_are_counted(monkeypatch):
    with_gpus(monkeypatch, 2)
    assert check_device("cuda") == "cuda:0"
    assert check_device("cuda:1") == "cuda:1"
    with pytest.raises(DeviceError, match=r"device 'cuda:2': this machine has 2 GPU\(s\); count"):
        check_device("cuda:2")


def test_a_gpu_without_a_driver(monkeypatch):
    with_gpus(monkeypatch, -1)
    message = r"device 'cuda': no usable GPU or driver \(cudaErrorInsufficientDriver\)"
    with pytest.raises(DeviceError, match=message):
        check_device("cuda")


def test_set_device_holds_in_the_whole_program_until_it_is_set_again(monkeypatch):
    with_gpus(monkeypatch, 2)
    seen = []
    for device in ("cuda", "cuda:1", "cpu", "cuda:1"):
        set_device(device)
        thread = threading.Thread(target=lambda: seen.append(get_device()))
        thread.start()
        thread.join()
    with pytest.raises(DeviceError):
        set_device("cuda:7")
    assert [*seen, get_device()] == ["cuda:0", "cuda:1", "cpu", "cuda:1", "cuda:1"]


def test_the_environment_names_the_device_that_nobody_chose(monkeypatch):
    with_gpus(monkeypatch, 2)
    monkeypatch.setattr(device_module, "_program", None)
    for asked, found in ((None, "cpu"), ("", "cpu"), ("cuda:1", "cuda:1")):
        monkeypatch.delenv("MINICNN_DEVICE", raising=False)
        if asked is not None:
            monkeypatch.setenv("MINICNN_DEVICE", asked)
        device_module._by_environment.cache_clear()
        assert get_device() == found
    set_device("cpu")
    assert get_device() == "cpu"
    device_module._by_environment.cache_clear()


def test_a_with_block_has_a_device_of_its_own_in_this_thread(monkeypatch):
    with_gpus(monkeypatch, 2)
    elsewhere = []
    with on_device("cuda:1"):
        thread = threading.Thread(target=lambda: elsewhere.append(get_device()))
        thread.start()
        thread.join()
        with pytest.raises(ZeroDivisionError), on_device("cpu"):
            _ = 1 / len(get_device().removeprefix("cpu"))
        assert get_device() == "cuda:1"
    assert get_device() == "cpu"
    assert elsewhere == ["cpu"]


def test_arrays_are_copied_only_where_they_are_not_yet(monkeypatch):
    with_gpus(monkeypatch, 2)
    x = np.ones(3)
    assert to_device(x, "cpu") is x
    there = to_device(x, "cuda:1")
    assert device_of(there) == "cuda:1"
    assert to_device(there, "cuda:1") is there
    assert device_of(to_device(there, "cuda:0")) == "cuda:0"
    np.testing.assert_array_equal(to_device(there, "cpu"), x)


def test_the_array_chooses_its_library(monkeypatch):
    cupy = with_gpus(monkeypatch, 1)
    assert array_module(np.ones(2)) is np
    assert array_module(np.float64(2)) is np
    assert array_module(GpuArray(np.ones(2))) is cupy


def test_the_array_chooses_its_kernels(monkeypatch):
    monkeypatch.delenv("MINICNN_JIT", raising=False)
    assert jit_enabled()
    assert kernels_for(np.ones(2)).__name__ == "minicnn.kernels.cpu"
    asked = []
    monkeypatch.setattr(backend, "_kernels", asked.append)
    kernels_for(GpuArray(np.ones(2)))
    assert asked == ["cuda"]
    monkeypatch.undo()
    monkeypatch.setenv("MINICNN_JIT", "0")
    assert not jit_enabled()
    assert kernels_for(np.ones(2)).__name__ == "minicnn.kernels.plain"
    monkeypatch.setenv("MINICNN_JIT", "1")
    assert kernels_for(np.ones(2)).__name__ == "minicnn.kernels.cpu"


def test_only_the_gpu_has_memory_to_tell_of():
    for ask in (device_memory, release_device_memory):
        with pytest.raises(DeviceError, match=f"{ask.__name__}: the CPU has no pool to tell of"):
            ask("cpu")


def _with_cuda(engine: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_CUDA", engine)
        check_device("cuda")


def _with(gpus: int | None, device: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MINICNN_CUDA", raising=False)
        patch.setitem(sys.modules, "cupy", None if gpus is None else played_cupy(gpus))
        check_device(device)


def _with_threads(number: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICNN_THREADS", number)
        patch.delenv("MINICNN_JIT", raising=False)
        backend._kernels.cache_clear()  # as in a process that has not used them yet
        kernels_for(np.ones(2))


ERRORS = (
    ErrorCase(
        lambda: _with_threads("two"),
        ConfigError,
        "MINICNN_THREADS must be a whole number >= 1, got 'two'",
    ),
    ErrorCase(
        lambda: check_device("gpu"), DeviceError, "device 'gpu' is unknown; use 'cpu', 'cuda'"
    ),
    ErrorCase(
        lambda: _with_cuda("emulator"),
        ConfigError,
        "MINICNN_CUDA must be host or not be set, got 'emulator'",
    ),
    ErrorCase(
        lambda: device_memory("cpu"), DeviceError, "device_memory: the CPU has no pool to tell of"
    ),
    ErrorCase(lambda: Uploader("cpu"), DeviceError, "Uploader: arrays are on the CPU already"),
    ErrorCase(lambda: _with(None, "cuda"), DeviceError, "needs CuPy, which is not here; install"),
    ErrorCase(lambda: _with(-1, "cuda"), DeviceError, "no usable GPU or driver"),
    ErrorCase(
        lambda: _with(1, "cuda:1"), DeviceError, r"this machine has 1 GPU\(s\); count from 0"
    ),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
