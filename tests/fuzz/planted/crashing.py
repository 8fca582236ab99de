"""A reader that takes the process down with it."""

import os

NAME = "crashing"


def seeds():
    return [b"\x00" * 8]


def run(data, folder):
    if len(data) > 4 and data[4] == 0x80:
        os.abort()
