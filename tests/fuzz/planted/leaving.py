"""A reader that opens whatever path the input names."""

import contextlib

NAME = "leaving"
DICTIONARY = [b"../../"]


def seeds():
    return [b"weights.bin", b"/etc/hostname"]


def run(data, folder):
    with contextlib.suppress(OSError, ValueError), open(folder / data.decode("latin-1"), "rb"):
        pass
