"""Captured work does again what was captured, and what cannot be done again is refused."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.capture import capture, is_capturing
from minicnn.backend.device import on_device, to_device
from minicnn.backend.random import Stream
from minicnn.errors import CaptureError, ConfigError, DeviceError
from minicnn.kernels import capturing, cuda_host
from minicnn.metrics import Accuracy
from minicnn.optim import SGD, Cosine, LossScaler
from tests.ops.spec import ErrorCase

SETTINGS = {"momentum": 0.9, "nesterov": False, "weight_decay": 0.0, "factor": None}


def work_on(cuda, weight, velocity, grad, rate, stream):
    """A step with a rate and random numbers."""
    y = cuda.drop(grad, stream.take(grad.size), 0.5, 2.0, 1)
    cuda.sgd_update([weight], [y], [velocity], learning_rate=rate, **SETTINGS)
    return y


@pytest.fixture
def arrays(cuda):
    """Three arrays on the device; a step was done with such as they are."""
    import cupy

    made = [cupy.asarray(x) for x in (np.ones(50), np.zeros(50), np.arange(50) - 20.0)]
    work_on(cuda, *(x.copy() for x in made), 0.1, Stream(0))
    return made


def test_a_capture_does_nothing_and_a_replay_all(cuda, device, arrays):
    weight, velocity, grad = arrays
    fresh = weight.copy(), velocity.copy()
    step = [0]
    before = weight.get()
    with capture(device) as work:
        assert is_capturing()
        rate = capturing.later(lambda: 0.1 / (step[0] + 1), "the rate")
        stream = Stream(0, 0).renewed_by(lambda: Stream(0, step[0]))
        y = work_on(cuda, weight, velocity, grad, rate, stream)
        capturing.afterwards(lambda: step.__setitem__(0, step[0] + 1))
    assert not is_capturing()
    np.testing.assert_array_equal(weight.get(), before)
    for i in range(12):  # more than the memory for numbers that are under way
        grad[...] += 1
        work.replay()
        grad_of_step = grad.copy()
        assert step == [i + 1]
        expected = work_on(cuda, *fresh, grad_of_step, 0.1 / (i + 1), Stream(0, i))
        assert y.get().tobytes() == expected.get().tobytes()
        assert weight.get().tobytes() == fresh[0].get().tobytes()


def test_all_of_a_place_in_a_stream_is_renewed(cuda, device):
    import cupy

    x = cupy.ones((2, 5, 3, 3))
    place = [(1, 2, 3)]
    with capture(device) as work:
        y = cuda.drop(x, capturing.later(lambda: place[0], "the place"), 0.5, 2.0, 1)
    for place[0] in ((2**64 - 1, 2, 3), (1, 2**63, 3), (1, 2, 2**33)):
        work.replay()
        assert y.get().tobytes() == cuda.drop(x, place[0], 0.5, 2.0, 1).get().tobytes()


def refusals():
    def upload(x):
        import cupy

        cupy.asarray(np.ones(3))

    yield "a number is read", "captured|reads a number", lambda x: float(x[0])
    yield "an array is read", "reads a number", lambda x: Tensor(x).numpy()
    yield "a copy from the host", "copies from the host", upload
    a_rate = "the rate changes from step to step"
    yield (
        "a number is computed with",
        a_rate,
        lambda x: 2 * capturing.later(lambda: 1.0, "the rate"),
    )
    yield "an array times it", a_rate, lambda x: x * capturing.later(lambda: 1.0, "the rate")
    yield "a stream", "same numbers in every replay", lambda x: ops.dropout(x, 0.5, Stream(3))
    yield "numbers of the host", "drawn from on the host", lambda x: Stream(3).uniform(5)
    yield "any failure", "ZeroDivisionError", lambda x: 1 / 0
    yield "a metric's result", "Accuracy.result is asked for", lambda x: Accuracy().result()
    yield "a capture inside", "capturing already", lambda x: capture().__enter__()


@pytest.mark.parametrize(
    ("message", "work"), [r[1:] for r in refusals()], ids=[r[0] for r in refusals()]
)
def test_what_cannot_be_captured_says_so(cuda, device, arrays, message, work):
    with pytest.raises(CaptureError, match=f"^capture: .*({message})"), capture(device):
        work(arrays[0])
    assert not is_capturing()
    with capture(device) as after:  # nothing is left of it
        arrays[0] += 1
    before = arrays[0].get()
    after.replay()
    np.testing.assert_array_equal(arrays[0].get(), before + 1)


def _on_stand_in(call):
    """Return the call of a function of CuPy, for which its stand-in will do."""

    def called():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MINICNN_CUDA", "host")
            call(cuda_host.install())

    return called


def _fails(cupy):
    with capture():
        cupy.ones(3).get()


def _fails_and_goes_on(cupy):
    with capture(), contextlib.suppress(RuntimeError):
        cupy.ones(3).get()


def _captures_twice(cupy):
    with capture(), capture():
        pass


def _replays_too_early(cupy):
    with capture() as work:
        pass
    work._graph = None
    work.replay()


def _changes_much(cupy):
    with capture():
        capturing.varying(lambda: range(4097))


def _looks_late(cupy):
    given = cupy.array([7.0, 1.0])

    def explain():
        return ConfigError("it is above 5")

    with capture() as work:
        capturing.raise_if(given > 5, explain)
    work.replay()
    with pytest.raises(ConfigError, match="above 5"):
        work.look()
    given[...] = 0
    work.replay()
    work.look()


ERRORS = (
    ErrorCase(lambda: capture("cpu").__enter__(), DeviceError, "nothing to capture on the CPU"),
    ErrorCase(_on_stand_in(_fails), CaptureError, "^capture: .*reads a number from the device"),
    ErrorCase(_on_stand_in(_fails_and_goes_on), CaptureError, "^capture: .*Invalidated"),
    ErrorCase(_on_stand_in(_captures_twice), CaptureError, "capture: .*capturing already"),
    ErrorCase(_on_stand_in(_replays_too_early), CaptureError, "did not come to its end"),
    ErrorCase(_on_stand_in(_changes_much), CaptureError, "more than 4096 numbers change"),
    ErrorCase(_on_stand_in(_looks_late), CaptureError, "an earlier one was given numbers"),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors_say_what_is_wrong(case, engine):
    if engine != "host":
        pytest.skip("the stand-in cannot be beside the real CuPy")
    with pytest.raises(case.error, match=case.match):
        case.call()


def trained_by_hand(device, captured):
    """Train as the docstring of `capture` has it; return losses and weights."""
    images = Stream(1).normal((4, 2, 5, 5), dtype=np.float32)
    with nn.seed(0), on_device(device):
        net = nn.Sequential(
            nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.5), nn.GlobalAvgPool2d()
        )
    x = Tensor(to_device(images, device))
    labels = Tensor(to_device(np.array([0, 2, 1, 1]), device))
    optimizer = SGD(net, Cosine(0.1, 10))

    def step():
        optimizer.zero_grad()
        loss = ops.sparse_softmax_cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for i in range(3):
        with nn.random_key(0, i):
            losses.append(step().item())
    if captured:
        averages = [buffer for _, buffer in net.named_buffers()]
        with nn.random_key(0, 3), capture(device, state=averages) as work:
            loss = step()
    for i in range(3, 8):
        x.data[...] += 0.1
        with nn.random_key(0, i):
            if captured:
                work.replay()
            else:
                loss = step()
        losses.append(loss.item())
    assert len(set(losses)) == 8
    return losses, [a.tobytes() for a in net.state_dict().values()]


def test_a_step_of_a_module_by_hand(cuda, device):
    assert trained_by_hand(device, True) == trained_by_hand(device, False)


def test_a_loss_is_scaled_by_the_scale_of_the_moment(cuda, device):
    loss, scaler = Tensor(to_device(np.float32([3]), device)), LossScaler(4.0)
    before = scaler.scaled(loss).numpy()
    with capture(device) as work:
        scaled = scaler.scaled(loss)
    for scaler.scale in (8.0, 0.5):
        work.replay()
        np.testing.assert_array_equal(scaled.numpy(), before / 4 * scaler.scale)
