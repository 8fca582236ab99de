"""Ways to run the command line in tests."""

import json
import os
import subprocess
import sys

QUICK = ["--epochs", "3", "--batch-size", "32", "--channels", "2", "--size", "16"]


def start(*words, **environment):
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "minicnn.train", "gtsrb", *map(str, words)],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(output):
    """Return the JSON object on the last line."""
    return json.loads(output.strip().splitlines()[-1])
