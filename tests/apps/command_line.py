"""Ways to run the command line in tests."""

import json
import os
import subprocess
import sys
import time

QUICK = ["--epochs", "3", "--batch-size", "32", "--channels", "2", "--size", "16"]


def start(*words, app="gtsrb", **environment):
    """Start the command line of an app in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minicnn.train", app, *map(str, words)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(output):
    """Return the JSON object on the last line."""
    return json.loads(output.strip().splitlines()[-1])


def wait_for_step(folder, step, process):
    """Wait until a run has written the row of a step."""
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        assert process.poll() is None, process.communicate()
        try:
            if (folder / "training.csv").read_text().count("\n") > step:
                return
        except FileNotFoundError:
            pass
        time.sleep(0.005)
    raise AssertionError(f"step {step} was not reached in time")
