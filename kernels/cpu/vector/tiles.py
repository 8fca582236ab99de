"""How large a tile is: see the top of this package for the three numbers that decide."""

from typing import NamedTuple

_LATENCY = 4  # cycles until the result of an FMA can be used, on all of these machines
_UNITS = 2  # FMAs that are started each cycle
_UNROLL = 8  # taps written one after the other before the loop turns around


class Machine(NamedTuple):
    """What of a CPU decides about tiles."""

    lanes: int  # floats in a vector
    registers: int  # vectors that can be held at once


class Tile(NamedTuple):
    """T pixels (or taps) side by side, times V vectors of L channels."""

    rows: int  # T
    vectors: int  # V
    lanes: int  # L
    unroll: int


def choose(machine, channels, length, taps, tallest=24):
    """Return the tile for so many output channels, where `length` rows are side by side.

    The vector is no wider than the channels need.  Of the heights that fit in the registers
    and hide the latency, that one is taken which leaves the smallest part of the last tile of
    a line idle, the larger one if several do.

    With one vector of channels, an FMA takes its pixel straight from memory.  With more, each
    pixel is used several times, and the compiler holds all T of them in registers at once: what
    does not fit is stored and loaded again for every tap, which halves the speed.
    """
    lanes = machine.lanes
    while lanes > 4 and lanes // 2 >= channels:
        lanes //= 2
    vectors = 2 if channels > lanes else 1
    room = machine.registers - vectors
    most = min(room - 1, tallest) if vectors == 1 else room // (vectors + 1)
    least = min(most, -(-_LATENCY * _UNITS // vectors))
    heights = range(min(least, length), min(most, length) + 1)
    rows = max(heights, key=lambda t: (length / (-(-length // t) * t), t))
    unroll = next(u for u in range(_UNROLL, 0, -1) if taps % u == 0)
    return Tile(rows, vectors, lanes, unroll)
