"""What the writer of TensorBoard's files is given: tags, numbers and steps of any kind."""

from __future__ import annotations

import contextlib
import fractions
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.estimator._events import EventWriter
from tests.estimator.event_files import fields, records

NAME = "events"
DICTIONARY = [
    *(struct.pack("<d", x) for x in (math.inf, math.nan, 1e39, 3.4028235677973366e38, -1e-46)),
    *(struct.pack("<q", x) for x in (2**63 - 1, -(2**63))),
    b"loss/training", b"\xed\xa0\x80", b"\xff", b"\x80\x96\x98\0", b"\xff\xe3\x0b\x54\2",
]  # fmt: skip


class Source:
    """Takes arguments for the writer from bytes, zeros when they are at their end."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        piece = self._data[self._at : self._at + count]
        self._at += count
        return piece.ljust(count, b"\0")

    def byte(self) -> int:
        """Return a number below 256."""
        return self.take(1)[0]

    def integer(self, most: int = 12) -> int:
        """Return a number of so many bytes at most."""
        return int.from_bytes(self.take(1 + self.byte() % most), "little", signed=True)

    def float(self) -> float:
        """Return any number of 64 bits."""
        return struct.unpack("<d", self.take(8))[0]

    def text(self) -> str:
        """Return a string, of lone surrogates too."""
        way = "utf-16-le" if self.byte() % 2 else "utf-8"
        content = self.take(self.byte() % 90)
        return content.decode(way, "replace" if way != "utf-8" else "surrogateescape") + "".join(
            chr(0xD800 + self.byte()) for _ in range(self.byte() % 3)
        )


def _array(source: Source) -> np.ndarray:
    shape = [(), (1,), (2,), (0,), (1, 1)][source.byte() % 5]
    return np.full(shape, source.float())


_NUMBERS: list[Callable[[Source], Any]] = [
    Source.float,
    Source.float,
    Source.integer,
    lambda source: source.integer(250) ** (1 + source.byte() % 9),
    lambda source: bool(source.byte() % 2),
    lambda source: np.float32(source.byte()),
    lambda source: np.float16(source.byte()),
    lambda source: np.int8(source.byte() % 100),
    lambda source: np.uint64(int.from_bytes(source.take(8), "big")),
    lambda source: np.longdouble(source.float()),
    lambda source: fractions.Fraction(source.integer(), 1 + source.byte()),
]
_OTHERS: list[Callable[[Source], Any]] = [
    lambda _: None,
    Source.text,
    lambda source: source.take(4),
    lambda source: complex(source.float(), 0),
    lambda source: [source.float()],
    lambda source: {"a": source.float()},
    lambda source: np.datetime64(source.byte(), "D"),
]


def seeds() -> list[bytes]:
    made = [bytes((kind + i) % 256 for i in range(60)) for kind in range(0, 256, 9)]
    numbers = [1e39, -1e300, math.inf, math.nan, 5e-324, 3.4028235677973366e38, 1.0]
    made += [b"\1\1\1\0\4loss" + b"\0" + b"\0" + struct.pack("<d", number) for number in numbers]
    return [b"", bytes(100), b"\xff" * 300, *made]


def run(data: bytes, folder) -> None:
    source = Source(data)
    first, step = source.integer(), source.integer()
    tags = [source.text() for _ in range(source.byte() % 5)]
    values = {}
    for tag in tags:
        kind = source.byte()
        kinds = _OTHERS if kind > 240 else [*_NUMBERS, _array]
        values[tag] = kinds[kind % len(kinds)](source)
    stamp = source.integer(5) % 10**10
    (folder / f"events.out.tfevents.{stamp:010}.before").touch()
    try:
        write(folder, first, step, values)
    finally:
        for path in folder.iterdir():
            path.unlink()


def write(folder, first: int, step: int, values: dict[str, Any]) -> None:
    """Write the values, and compare with what is read back."""
    bad = [tag for tag, value in values.items() if expected(value) is None]
    with refusing(fits(first), "a step is"):
        writer = EventWriter(folder, first)
    before = writer.path.read_bytes()
    try:
        with refusing(fits(step) and not bad, f"{bad[0]!r} is" if bad else "a step is"):
            writer.scalars(step, values)
    except ConfigError:
        assert writer.path.read_bytes() == before
        raise
    finally:
        writer.close()
    names = sorted(path.name for path in folder.iterdir())
    assert names[-1] == writer.path.name or names[-1].startswith("events.out.tfevents.9999999999.")
    compare(writer.path, first, step, values)


def fits(step: int) -> bool:
    """Tell whether 64 bits can hold a step."""
    return -(2**63) <= step < 2**63


@contextlib.contextmanager
def refusing(sound: bool, what: str) -> Iterator[None]:
    """Check that what is not sound, and nothing else, is refused by its name."""
    refused = ""
    try:
        yield
    except ConfigError as error:
        refused = str(error)
        raise
    finally:
        assert sound == (not refused), refused or f"not refused: {what}"
        assert not refused or what in refused, refused


def compare(path, first: int, step: int, values: dict[str, Any]) -> None:
    """Read the file with the tests' own reader."""
    version, start, event = map(fields, records(path))
    assert version[3] == [b"brain.Event:2"]
    assert (start[2], event[2]) == ([first % 2**64], [step % 2**64])
    assert version[1] <= start[1] <= event[1]
    found = [fields(value) for value in fields(event[5][0]).get(1, [])]
    assert len(found) == len(values)
    for (tag, value), read in zip(values.items(), found, strict=True):
        assert read[1][0].decode() == tag.encode("utf-8", "backslashreplace").decode()
        np.testing.assert_equal(np.float32(read[2][0]), expected(value))


def expected(value: Any) -> np.float32 | None:
    """Return the number as it should come back, None of what is none."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if not isinstance(value, int | float | np.number | np.bool_ | fractions.Fraction):
        return None
    if isinstance(value, int | fractions.Fraction) and abs(value) > 2**130:
        return np.float32(math.copysign(math.inf, 1 if value > 0 else -1))
    with np.errstate(over="ignore"):
        return np.float32(float(value))
