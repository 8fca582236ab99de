"""Philox4x32-10 against the answers that its authors publish (Random123, kat_vectors)."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.kernels import cpu, plain

# counter (four words), key (two words), the four words that come out
KNOWN = """
00000000 00000000 00000000 00000000  00000000 00000000  6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff  ffffffff ffffffff  408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344  a4093822 299f31d0  d16cfe09 94fdcceb 5001e420 24126ea1
"""


def joined(low: int, high: int) -> int:
    return low | high << 32


@pytest.mark.parametrize("kernels", [cpu, plain], ids=["cpu", "plain"])
@pytest.mark.parametrize("line", KNOWN.strip().splitlines())
def test_known_answers(kernels, line):
    c0, c1, c2, c3, k0, k1, *answer = (int(word, 16) for word in line.split())
    got = kernels.philox_words(joined(k0, k1), joined(c2, c3), joined(c0, c1), 1)
    assert got.dtype == np.uint32
    assert got.shape == (1, 4)
    assert got[0].tolist() == answer


@pytest.mark.parametrize("kernels", [cpu, plain], ids=["cpu", "plain"])
def test_any_part_of_the_sequence_can_be_made_alone(kernels):
    whole = kernels.philox_words(3, 5, 0, 100)
    for first, blocks in ((0, 1), (1, 1), (40, 60), (99, 1), (7, 0)):
        part = kernels.philox_words(3, 5, first, blocks)
        np.testing.assert_array_equal(part, whole[first : first + blocks])


def test_compiled_and_plain_agree_across_word_borders():
    """Where the counter's low word overflows into the next, and for keys of 64 bits."""
    for first in (0, 2**32 - 3, 2**40 - 1, 2**63):
        for key in (0, 2**32, 2**64 - 1):
            a = cpu.philox_words(key, 2**64 - 5, first, 7)
            b = plain.philox_words(key, 2**64 - 5, first, 7)
            np.testing.assert_array_equal(a, b)


def test_compiled_and_plain_agree_on_many_blocks(monkeypatch):
    expected = plain.philox_words(11, 22, 33, 50_000)
    for threads in ("1", "2", "5"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        np.testing.assert_array_equal(cpu.philox_words(11, 22, 33, 50_000), expected)
