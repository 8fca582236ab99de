"""Streams and graphs of the stand-in for CuPy: what is recorded, replayed and refused."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
import pytest

from minicnn import Tensor, ops


@contextlib.contextmanager
def captured(cupy, pool=None):
    """Record what happens inside; the graph is what the list that is given gets."""
    stream, pool, graph = cupy.cuda.Stream(non_blocking=True), pool or cupy.cuda.MemoryPool(), []
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        try:
            yield graph
        except BaseException:
            with contextlib.suppress(cupy.cuda.runtime.CUDARuntimeError):
                stream.end_capture()
            raise
        graph += [stream.end_capture(), pool]


def test_work_is_recorded_and_done_again_on_what_is_there(cupy):
    x = cupy.asarray([1.0, 2.0, 3.0])
    with captured(cupy) as graph:
        y = x * 2
        z = (y.reshape(3, 1) + y).sum(axis=0)
        total = z.max()
        assert y.shape == z.shape == (3,)
        assert total.shape == ()
    assert np.isnan(y.get()).all()
    graph[0].launch()
    assert z.tolist() == [18, 24, 30]
    assert float(total) == 30
    x[...] = 5
    assert z.tolist() == [18, 24, 30], "not yet"
    graph[0].upload()
    graph[0].launch(cupy.cuda.Stream())
    assert z.tolist() == [60, 60, 60]


RECORDED = {
    "arithmetic": lambda c, x: (x + 1) * x,
    "a comparison": lambda c, x: c.where(x > 2, x, 0),
    "indices": lambda c, x: x[c.arange(2) % 3],
    "a sum": lambda c, x: x.sum(axis=1, keepdims=True),
    "views": lambda c, x: c.moveaxis(x[:, ::-1].reshape(2, 3, 1), 0, 1),
    "a copy of a view": lambda c, x: x.T.reshape(-1),
    "out": lambda c, x: c.add(x, 1, out=c.empty((2, 3))),
    "the sum's out": lambda c, x: x.sum(axis=0, out=c.empty(3)),
    "two results": lambda c, x: c.divmod(x, 2)[1],
    "zeros": lambda c, x: c.zeros((2, 3)) + x,
    "assignment": lambda c, x: _changed(c, x, lambda y: y.__setitem__((slice(None), 1), x[:, 0])),
    "an assigned number": lambda c, x: _changed(c, x, lambda y: y.__setitem__(0, 7)),
    "in place": lambda c, x: _changed(c, x, lambda y: y.__imul__(3)),
    "scattered": lambda c, x: _changed(c, x, lambda y: c.add.at(y, c.zeros(1, int), x[:1])),
    "sorted": lambda c, x: c.sort(-x, axis=1),
    "joined": lambda c, x: c.concatenate([x, x * 2]),
    "copyto": lambda c, x: _changed(c, x, lambda y: c.copyto(y, x[0], where=x > 2)),
    "bytes": lambda c, x: _changed(c, x, lambda y: y.data.copy_from_device_async(x.data + 8, 16)),
}


def _changed(cupy, x, change):
    y = x.copy()
    change(y)
    return y


@pytest.mark.parametrize("what", RECORDED)
def test_a_replay_is_what_would_be_computed(cupy, what):
    first, second = np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3)[::-1] ** 2
    x = cupy.asarray(first)
    with captured(cupy) as graph:
        y = RECORDED[what](cupy, x)
    for values in (first, second):
        x.set(np.ascontiguousarray(values))
        graph[0].launch()
        wanted = RECORDED[what](cupy, cupy.asarray(values))
        np.testing.assert_array_equal(y.get(), wanted.get())


UNSUPPORTED = "cudaErrorStreamCaptureUnsupported"
REFUSED = {
    "get": lambda c, x: x.get(),
    "item": lambda c, x: x[0, 0].item(),
    "float": lambda c, x: float(x.sum()),
    "bool": lambda c, x: bool(x[0, 0] > 0),
    "print": lambda c, x: str(x),
    "asnumpy": lambda c, x: c.asnumpy(x),
    "upload": lambda c, x: c.asarray(np.ones(3)),
    "set": lambda c, x: x.set(np.ones((2, 3))),
    "an index from the host": lambda c, x: x[[0, 1]],
    "a mask": lambda c, x: x[x > 0],
    "an assigned mask": lambda c, x: x.__setitem__(x > 0, 1),
    "nonzero": lambda c, x: c.nonzero(x),
    "where alone": lambda c, x: c.where(x > 0),
    "unique": lambda c, x: c.unique(x),
    "waiting for the stream": lambda c, x: c.cuda.get_current_stream().synchronize(),
    "waiting for the device": lambda c, x: c.cuda.Device().synchronize(),
    "asking the stream": lambda c, x: c.cuda.get_current_stream().done,
}


@pytest.mark.parametrize("what", REFUSED)
def test_the_host_cannot_wait_in_a_capture(cupy, what):
    x = cupy.ones((2, 3))
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=UNSUPPORTED):
            REFUSED[what](cupy, x)
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated"):
            stream.end_capture()
        REFUSED[what](cupy, x)


def test_pinned_memory_is_copied_by_the_graph(cupy):
    x, cupyx = cupy.empty(4), sys.modules["cupyx"]
    source, target = cupyx.zeros_pinned(4), cupyx.empty_pinned(4)
    with captured(cupy) as graph:
        x.set(source)
        (x * 2).get(out=target, blocking=False)
    for value in (3, 4):
        source[:] = value
        graph[0].launch()
        assert target.tolist() == [2 * value] * 4


def test_memory_of_the_common_pool_must_be_kept(cupy):
    x = cupy.ones(3)
    with captured(cupy, cupy.get_default_memory_pool()) as graph:
        y = (x + 1) * 2
    with pytest.raises(RuntimeError, match="given back to the pool"):
        graph[0].launch()
    with captured(cupy) as graph:
        y = (x + 1) * 2
    graph[0].launch()
    assert y.tolist() == [4] * 3
    del x
    with pytest.raises(RuntimeError, match="given back to the pool"):
        graph[0].launch()


def test_events_carry_a_capture_to_other_streams(cupy):
    x, pool = cupy.ones(3), cupy.cuda.MemoryPool()
    main, side = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    for joined in (True, False):
        with cupy.cuda.using_allocator(pool.malloc):
            with main:
                main.begin_capture()
                y = x + 1
                side.wait_event(main.record())
            with side:
                z = y * 2
            if joined:
                main.wait_event(side.record())
                graph = main.end_capture()
            else:
                with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Unjoined"):
                    main.end_capture()
    graph.launch()
    assert not side.is_capturing()
    assert np.isnan(z.get()).all()


def test_the_null_stream(cupy):
    error = cupy.cuda.runtime.CUDARuntimeError
    with pytest.raises(RuntimeError, match="cannot capture on the default"):
        cupy.cuda.Stream.null.begin_capture()
    for non_blocking in (True, False):
        stream = cupy.cuda.Stream(non_blocking=non_blocking)
        stream.begin_capture()
        if non_blocking:
            assert float(cupy.ones(3).sum()) == 3, "another stream goes on meanwhile"
            stream.end_capture()
        else:
            with pytest.raises(error, match="CaptureImplicit"):
                cupy.ones(3)
            with pytest.raises(error, match="Invalidated"):
                stream.end_capture()


def test_streams_and_events(cupy):
    cuda = cupy.cuda
    assert cuda.get_current_stream() == cuda.Stream.null
    stream = cuda.Stream()
    with stream:
        assert cuda.get_current_stream() is stream
        start, end = cuda.Event(), cuda.Event()
        start.record()
        end.record()
        end.synchronize()
        assert end.done
        assert cuda.get_elapsed_time(start, end) >= 0
    assert cuda.get_current_stream() == cuda.Stream.null
    with pytest.raises(cuda.runtime.CUDARuntimeError, match="not recorded"):
        cuda.get_elapsed_time(start, cuda.Event())
    with cuda.Device(0) as device:
        assert device.compute_capability == "90"
        assert device.attributes["WarpSize"] == 32
    assert cuda.runtime.getDeviceCount() == 1
    assert cuda.runtime.getDeviceProperties(0)["name"].startswith(b"CPU, as a stand-in")


def test_cublas_cannot_be_captured(cupy):
    x = cupy.ones((3, 3), "f")
    with captured(cupy), pytest.raises(NotImplementedError, match="calling cuBLAS API during str"):
        x @ x
    assert (x @ x).get()[0, 0] == 3


def test_a_step_of_ours_is_captured(cupy):
    weight = Tensor(cupy.ones(3, "f"), requires_grad=True)
    x = Tensor(cupy.ones((2, 3), "f"))
    with captured(cupy) as graph:
        loss = (ops.relu(x * weight) * x).sum()
        loss.backward()
    graph[0].launch()
    assert float(loss.data) == 6
    x.data[...] = 2
    graph[0].launch()
    assert float(loss.data) == 24
