"""Damages checkpoints in the ways that disks, copies and people do."""

from pathlib import Path
from random import Random


def damage(checkpoint: Path, random: Random) -> str:
    """Damage one file of a checkpoint; return how, and which.

    Parameters
    ----------
    checkpoint : Path
        Its folder, with at least one file in it.
    random : Random
        Chooses how, where and which.

    Returns
    -------
    str
        "flipped: state.json, bit 17", say.
    """
    ways = [_truncate, _flip, _flip, _delete, _empty, _extend, _zero, _exchange]
    while True:
        path = random.choice(sorted(p for p in checkpoint.iterdir() if p.is_file()))
        before = path.read_bytes()
        how = random.choice(ways)(path, before, random)
        if not path.exists() or path.read_bytes() != before:
            return how


def _truncate(path: Path, content: bytes, random: Random) -> str:
    size = random.randrange(len(content)) if content else 0
    path.write_bytes(content[:size])
    return f"truncated: {path.name} to {size} of {len(content)} bytes"


def _flip(path: Path, content: bytes, random: Random) -> str:
    if not content:
        return "flipped: nothing"
    flipped = bytearray(content)
    at = random.randrange(8 * len(content))
    flipped[at // 8] ^= 1 << at % 8
    path.write_bytes(flipped)
    return f"flipped: {path.name}, bit {at}"


def _delete(path: Path, content: bytes, random: Random) -> str:
    path.unlink()
    return f"deleted: {path.name}"


def _empty(path: Path, content: bytes, random: Random) -> str:
    path.write_bytes(b"")
    return f"emptied: {path.name}"


def _extend(path: Path, content: bytes, random: Random) -> str:
    more = random.choice([b"\n", b"\0", b"x", random.randbytes(random.randint(1, 5_000))])
    path.write_bytes(content + more)
    return f"extended: {path.name} by {len(more)} bytes"


def _zero(path: Path, content: bytes, random: Random) -> str:
    """As a block that was never written to the disk."""
    begin = random.randrange(max(1, len(content)))
    end = min(len(content), begin + 512)
    path.write_bytes(content[:begin] + bytes(end - begin) + content[end:])
    return f"zeroed: {path.name} from {begin} to {end}"


def _exchange(path: Path, content: bytes, random: Random) -> str:
    """Put the file of another checkpoint there: it is intact, but not of this one."""
    others = [p / path.name for p in path.parent.parent.iterdir() if p != path.parent]
    others = [p for p in sorted(others) if p.is_file()]
    if others:
        path.write_bytes(random.choice(others).read_bytes())
    return f"exchanged: {path.name}"
