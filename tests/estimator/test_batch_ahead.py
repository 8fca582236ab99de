"""A batch that is read ahead for a GPU: whatever goes wrong with it, none is lost or doubled."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.backend.transfer import Upload, Uploader
from minicnn.data import Dataset
from minicnn.errors import ConfigError
from minicnn.estimator import Interrupted
from minicnn.estimator._input import TrainingInput
from tests.estimator.small_runs import bits, estimator, training_data

pytestmark = pytest.mark.usefixtures("cuda")


@pytest.fixture
def fails(monkeypatch):
    """Let the n-th call of a method fail, once."""

    def plant(kind, method, n, error):
        calls, real = [], getattr(kind, method)

        def failing(*args):
            calls.append(args)
            if len(calls) == n:
                raise error
            return real(*args)

        monkeypatch.setattr(kind, method, failing)

    return plant


def run(device, steps, *again):
    """Train to `steps`, on and on where it is stopped."""
    data = training_data()
    stopped = []
    with estimator(device=device) as trained:
        for error in again:
            with pytest.raises(error):
                trained.train(lambda: data, max_steps=steps)
            stopped.append(trained.step)
        trained.train(lambda: data, max_steps=steps)
        return bits(trained), stopped


@pytest.mark.parametrize("place", [(Uploader, "begin"), (Upload, "array")], ids=["begin", "array"])
@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt], ids=["memory", "ctrl-c"])
def test_a_copy_that_fails_costs_no_batch(device, fails, place, error):
    whole, _ = run(device, 6)
    fails(*place, 5, error())
    parts, (stopped,) = run(device, 6, Interrupted if error is KeyboardInterrupt else error)
    assert 0 < stopped < 6
    assert parts == whole


def test_an_error_in_reading_ahead_is_told_when_the_batch_is_due(device):
    broken = [2]  # the batch that cannot be read, once

    def batches():
        images = np.arange(5, dtype=np.float32)
        for i in range(5):
            if broken and i == broken[0]:
                broken.clear()
                raise ValueError("no such file")
            yield images[i : i + 1]

    reading = TrainingInput(device)
    data = Dataset.from_generator(batches)
    reading.open(lambda: data)
    assert [reading.next().item(), reading.next().item()] == [0, 1]
    with pytest.raises(ValueError, match="no such file"):
        reading.next()
    assert reading.state_dict()["at"] == 2
    assert [reading.next().item() for _ in range(3)] == [2, 3, 4]
    with pytest.raises(StopIteration):
        reading.next()
    with pytest.raises(StopIteration):
        reading.next()


def test_where_it_stands_is_before_the_batch_that_is_held(device):
    """In a pass, at its end, and after `close`, as on the CPU."""
    places = []
    for where in ("cpu", device):
        data = training_data(repeat=False)
        reading = TrainingInput(where)
        reading.open(lambda data=data: data)
        found = []
        for step in range(len(data)):
            reading.next()
            found.append(reading.state_dict())
            if step == 2:
                reading.close()
                found.append(reading.state_dict())
        with pytest.raises(StopIteration):
            reading.next()
        reading.begin_pass()
        found.append(reading.state_dict())
        reading.close()
        places.append(found)
    assert places[0] == places[1]


def test_an_input_without_a_batch_is_refused(device):
    empty = Dataset.from_slices(np.zeros((0, 2), np.float32)).batch(2)
    with estimator(device=device) as trained, pytest.raises(ConfigError, match="no batch in the"):
        trained.train(lambda: empty)


def test_a_list_of_two_stays_a_list(device):
    """It is no pair of features and labels, neither in the first batch nor in those held."""
    data = Dataset.from_generator(lambda: ([np.ones(2), np.zeros(2)] for _ in range(3)))
    reading = TrainingInput(device)
    reading.open(lambda: data)
    assert len({type(reading.next()) for _ in range(3)}) == 1
    reading.close()
