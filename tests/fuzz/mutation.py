"""Changing bytes without knowing what they mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

LONGEST = 1 << 16  # bytes; what mutations may grow an input to, unless a seed is longer
_SPAN = 16  # bytes; most edits touch few
_WIDTHS = (1, 2, 4, 8)
_EDGES = (  # numbers at which readers go wrong
    0, 1, -1, 2, 7, 15, 16, 127, 128, 129, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**30,
    2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**60, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -128,
    -(2**31), -(2**63),
)  # fmt: skip
_WORDS = (
    b"", b"-1", b"0", b"00", b"4294967296", b"1152921504606846976", b"9" * 400, b"1e999", b"-0.0",
    b"nan", b"inf", b"null", b"\r\n", b"\0", b"\xff\xfe", b"\xc3\x28", b"../", b"/", b"\"", b"{",
    b"[", b"%s", b"\xed\xa0\x80",
)  # fmt: skip


class Edit(NamedTuple):
    """One change; its numbers are reduced to what the input at hand has room for."""

    kind: int
    at: int
    size: int
    pick: int


class Words(NamedTuple):
    """What edits can draw on besides the input."""

    seeds: Sequence[bytes]
    dictionary: Sequence[bytes]


def apply(data: bytes, edits: Sequence[Edit], words: Words) -> bytes:
    """Return the input after these changes, one after the other."""
    longest = max(LONGEST, len(data))
    changed = bytearray(data)
    for edit in edits:
        kind = _KINDS[edit.kind % len(_KINDS)]
        kind(changed, edit.at % (len(changed) + 1), edit, words)
        del changed[longest:]
    return bytes(changed)


def draw(generator: random.Random, data: bytes, words: Words) -> bytes:
    """Return a randomly changed input: few edits mostly, many now and then."""
    bits = generator.getrandbits
    edits = []
    while True:
        edits.append(Edit(bits(16), bits(32), bits(16), bits(32)))
        if bits(2) == 0 or len(edits) == 32:
            return apply(data, edits, words)


def _flip(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    if at < len(data):
        data[at] ^= 1 << (edit.pick & 7)


def _byte(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    data[at : at + 1] = bytes([edit.pick & 255])


def _insert(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    data[at:at] = bytes([edit.pick & 255]) * (1 + edit.size % _SPAN)


def _delete(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    del data[at : at + 1 + edit.size % _SPAN]


def _delete_much(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    del data[at : at + edit.size]


def _truncate(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    del data[at:]


def _repeat(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    piece = data[at : at + 1 + edit.size % 64]
    data[at:at] = piece * (1 + (edit.pick & 7))


def _move(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    piece = data[at : at + 1 + edit.size % 64]
    start = edit.pick % (len(data) + 1)
    data[start : start + len(piece)] = piece


def _integer(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Put a number at an edge, as binary files hold them."""
    width = _WIDTHS[edit.size & 3]
    number = _EDGES[edit.pick % len(_EDGES)] % (1 << 8 * width)
    data[at : at + width] = number.to_bytes(width, "big" if edit.size & 4 else "little")


def _add(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Make a number there a little larger or smaller."""
    width = _WIDTHS[edit.size & 3]
    order = "big" if edit.size & 4 else "little"
    number = int.from_bytes(data[at : at + width], order) + edit.pick % 71 - 35
    data[at : at + width] = (number % (1 << 8 * width)).to_bytes(width, order)


def _digits(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Replace the next number in digits by one at an edge, or by no number."""
    start = next((i for i in range(at, len(data)) if 48 <= data[i] <= 57), at)
    end = start
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    edge = str(_EDGES[edit.pick % len(_EDGES)]).encode()
    data[start:end] = _WORDS[edit.pick % len(_WORDS)] if edit.size & 1 else edge


def _word(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Put a word in, or over what is there."""
    known = words.dictionary or _WORDS
    word = _WORDS[edit.pick % len(_WORDS)] if edit.size & 3 == 3 else known[edit.pick % len(known)]
    data[at : at if edit.size & 4 else at + len(word)] = word


def _splice(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Go on as another seed does."""
    other = words.seeds[edit.pick % len(words.seeds)] if words.seeds else b""
    data[at:] = other[at if edit.size & 1 else edit.size % (len(other) + 1) :]


def _paste(data: bytearray, at: int, edit: Edit, words: Words) -> None:
    """Put a piece of another seed in."""
    other = words.seeds[edit.pick % len(words.seeds)] if words.seeds else b""
    start = (edit.pick >> 8) % (len(other) + 1)
    data[at:at] = other[start : start + 1 + edit.size % 64]


_KINDS: tuple[Callable[[bytearray, int, Edit, Words], None], ...] = (
    _flip, _byte, _insert, _delete, _delete_much, _truncate, _repeat, _move, _integer, _integer,
    _add, _digits, _word, _word, _splice, _paste,
)  # fmt: skip
