"""A reader that lets a KeyError out where a number is large."""

from minicnn.errors import DataError

NAME = "wrong_error"
DICTIONARY = [b"deep"]


def seeds():
    return [b"size=12;", b"size=7;depth=3;"]


def run(data, folder):
    for entry in data.split(b";"):
        name, _, value = entry.partition(b"=")
        if name == b"size" and value[:1] == b"9":
            raise KeyError(value)
        if not value.isdigit():
            raise DataError(f"{folder}: no number")
