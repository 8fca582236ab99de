"""Nothing grows in a long run: the short form of ``python -m benchmarks.bench_long_run``.

Counts, not times, for machines are busy; in a process of its own, for what other tests leave
behind comes and goes.
"""

import gc
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import _growth
from minicnn.backend.device import get_device
from minicnn.data import Dataset

pytestmark = [
    pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells"),
    pytest.mark.skipif(get_device() != "cpu", reason="about the memory of the CPU"),
]
OTHERS = ("short calls", "evaluations", "left inputs", "dropped", "failing calls", "interrupted")
PROGRAM = """
import json, sys
from benchmarks import _growth, bench_long_run
_growth.READINGS = bench_long_run.READINGS = 6
for name, steps in json.loads(sys.argv[1]).items():
    found = bench_long_run.watched(name, steps)
    print(json.dumps([name, found["turns"], _growth.faults(found, counts_only=True)]))
"""


def test_nothing_grows():
    steps = {"run": 180, **dict.fromkeys(OTHERS, 300)}
    output = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(steps)],
        cwd=Path(__file__).parents[2], check=True, capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    found = {name: (turns, faults) for name, turns, faults in map(json.loads, output.splitlines())}
    assert found.keys() == steps.keys()
    assert {name: faults for name, (_, faults) in found.items() if faults} == {}
    assert all(turns >= 6 for turns, _ in found.values())


@pytest.mark.parametrize("name", _growth.LIMITS)
def test_what_grows_is_told(name, tmp_path):
    """A watch of a thing that does: the readings are made, not taken."""
    watch = _growth.Watch(tmp_path, 20)
    level = dict.fromkeys(_growth.LIMITS, 10**6)
    for turn in range(20):
        level[name] += turn % 2 + 2 * _growth.LIMITS[name] / 10 + 1
        watch.readings.append(_growth.Reading(*level.values()))
    found = {"grown": _growth.growth(watch)}
    (fault,) = _growth.faults(found, counts_only=False)
    assert fault.startswith(f"{name} by ")
    assert _growth.faults(found, counts_only=True) == ([] if name == "memory" else [fault])


def test_longer_steps_are_told_but_not_what_disturbs_some(tmp_path):
    watch = _growth.Watch(tmp_path, 1000)
    watch.times = [0.001 + 0.01 * (turn % 100 < 40) for turn in range(1000)]
    assert _growth.ratios(watch)["slower"] == 1
    watch.times = [0.001 * (1 + turn / 2000) for turn in range(1000)]
    found = {"grown": {}, **_growth.ratios(watch)}
    assert _growth.faults(found, counts_only=False) == ["time of a step by 38%"]


def test_garbage_that_is_collected_by_a_thread_of_a_pipeline_holds_up_nobody():
    """It would wait for a thread that waits for it, and no other garbage is collected meanwhile."""
    go, seconds = threading.Event(), []

    def collect(number):
        if number == 15:
            go.wait(10)
            start = time.perf_counter()
            gc.collect()
            seconds.append(time.perf_counter() - start)
        return number

    class Cycle:
        def __init__(self):
            self.me = self
            data = Dataset.from_slices(np.arange(100)).map(collect, workers=2).batch(4).prefetch(2)
            self.iterator = iter(data)
            next(self.iterator)

    before = set(threading.enumerate())
    gc.collect()
    gc.disable()
    try:
        Cycle()
        go.set()
        end = time.monotonic() + 10
        while set(threading.enumerate()) - before and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        gc.enable()
    assert set(threading.enumerate()) <= before
    assert seconds[0] < 1  # two if it waits for others to lose patience
