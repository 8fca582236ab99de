"""A reader of TensorBoard's event files that shares nothing with their writer."""

import struct


def slow_crc32c(data):
    """Polynomial division, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


_OF_A_BYTE = [slow_crc32c(bytes([n])) ^ slow_crc32c(b"\0") for n in range(256)]


def quick_crc32c(data):
    """The same, byte by byte: a division is linear, so each byte's share can be kept."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _OF_A_BYTE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def records(path):
    """Yield the contents of a file's records, with both checksums checked."""
    data = path.read_bytes()

    def check(content, masked):
        rotated = (masked - 0xA282EAD8) % 2**32
        assert ((rotated << 15) | (rotated >> 17)) % 2**32 == quick_crc32c(content)

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
