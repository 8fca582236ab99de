"""A reader that never ends where a count is negative."""

NAME = "endless"


def seeds():
    return [b"\x03abc", b"\x01z"]


def run(data, folder):
    left = data[0] if data else 0
    while left and left != 3:
        left -= left < 128
