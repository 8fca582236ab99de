"""Event files, read back by TensorBoard where it is installed and by a parser of our own."""

import struct

import numpy as np
import pytest

from minicnn.estimator._events import EventWriter, crc32c


def slow_crc32c(data):
    """Polynomial division, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def records(path):
    """Yield the contents of a file's records, with both checksums checked."""
    data = path.read_bytes()

    def check(content, masked):
        rotated = (masked - 0xA282EAD8) % 2**32
        assert ((rotated << 15) | (rotated >> 17)) % 2**32 == slow_crc32c(content)

    at = 0
    while at < len(data):
        length, crc = struct.unpack_from("<QI", data, at)
        check(data[at : at + 8], crc)
        content = data[at + 12 : at + 12 + length]
        check(content, struct.unpack_from("<I", data, at + 12 + length)[0])
        at += 16 + length
        yield content


def fields(content):
    """Return the fields of a protocol buffer message as {number: [value, ...]}."""
    found, at = {}, 0

    def varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = content[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(content):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        elif kind == 2:
            size = varint()
            value, at = content[at : at + size], at + size
        else:
            form, size = {1: ("<d", 8), 5: ("<f", 4)}[kind]
            value, at = struct.unpack_from(form, content, at)[0], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def scalars(path):
    """Return [(step, tag, value), ...]."""
    found = []
    for content in records(path):
        event = fields(content)
        for summary in event.get(5, []):
            for value in fields(summary)[1]:
                parts = fields(value)
                found.append((event[2][0], parts[1][0].decode(), parts[2][0]))
    return found


def test_crc32c_of_known_strings():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, appendix B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(b"") == 0
    assert crc32c(bytes(range(256))) == slow_crc32c(bytes(range(256)))


def test_scalars_come_back(tmp_path):
    writer = EventWriter(tmp_path / "new", 1)
    writer.scalars(1, {"loss": 2.5, "größe/a": float("nan")})
    writer.scalars(300, {"loss": 1e-7})
    writer.scalars(2**40, {"x" * 200: -1.0})
    writer.flush()
    found = scalars(writer.path)
    writer.close()
    expected = [
        (1, "loss", 2.5),
        (1, "größe/a", float("nan")),
        (300, "loss", float(np.float32(1e-7))),
        (2**40, "x" * 200, -1.0),
    ]
    np.testing.assert_equal(found, expected)
    first, second, *_ = (fields(r) for r in records(writer.path))
    assert first[3] == [b"brain.Event:2"]
    assert abs(first[1][0] - writer.path.stat().st_mtime) < 60
    assert (second[2], fields(second[7][0])) == ([1], {1: [1]})


def test_two_writers_at_once_have_two_files(tmp_path):
    a, b = EventWriter(tmp_path, 1), EventWriter(tmp_path, 1)
    assert a.path != b.path
    a.close()
    b.close()


@pytest.mark.filterwarnings("ignore")  # of a foreign package
def test_tensorboard_reads_it_and_forgets_what_is_done_again(tmp_path):
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="needs the package tensorboard",
    )
    writer = EventWriter(tmp_path, 1)
    for step in range(1, 6):
        writer.scalars(step, {"loss": 10.0 + step})
    writer.close()
    writer = EventWriter(tmp_path, 4)  # resumed after step 3
    for step in range(4, 8):
        writer.scalars(step, {"loss": 20.0 + step})
    writer.close()
    events = accumulator.EventAccumulator(str(tmp_path), {"scalars": 0})
    events.Reload()
    found = [(e.step, e.value) for e in events.Scalars("loss")]
    assert found == [(s, 10.0 + s) for s in (1, 2, 3)] + [(s, 20.0 + s) for s in (4, 5, 6, 7)]
