"""Choosing parameters by patterns of their names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from minicnn.errors import ConfigError
from minicnn.nn._probing import nearest

__all__ = ["matching", "selected"]


def matching(what: str, names: Iterable[str], pattern: str) -> list[str]:
    """Return the names that a pattern meets, with all that is inside of what it meets.

    ``"block1"`` meets "block1.0.weight", for it is inside; ``"*"`` stands for any characters, dots
    too, ``"?"`` for one.

    Parameters
    ----------
    what : str
        Who asks, for messages.
    names : iterable of str
        Of parameters.
    pattern : str
        The pattern.

    Returns
    -------
    list of str
        At least one, in the order given.

    Raises
    ------
    ConfigError
        If it meets none.
    """
    if not isinstance(pattern, str):
        raise ConfigError(f"{what}: {pattern!r} is no pattern; give text such as 'block1'")
    names = list(names)
    found = [n for n in names if any(fnmatchcase(part, pattern) for part in _with_owners(n))]
    if not found:
        known = dict.fromkeys(itertools.chain.from_iterable(map(_with_owners, names)))
        raise ConfigError(f"{what}: {pattern!r} matches no parameter{nearest(pattern, known)}")
    return found


def selected(what: str, names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """Return the names that several patterns select together, in the order given.

    The last pattern that meets a name decides; one that begins with ``"!"`` takes names out. Where
    the first does, all others are in.

    Parameters
    ----------
    what : str
        Who asks, for messages.
    names : iterable of str
        Of parameters.
    patterns : sequence of str
        Such as ``["block*", "!block3"]``.

    Returns
    -------
    list of str
        Perhaps none.

    Raises
    ------
    ConfigError
        If there is no pattern, or one meets no name.
    """
    if not patterns:
        raise ConfigError(f"{what}: no pattern is given; '*' stands for all parameters")
    names = list(names)
    chosen = dict.fromkeys(names, str(patterns[0]).startswith("!"))
    for pattern in patterns:
        out = isinstance(pattern, str) and pattern.startswith("!")
        met = matching(what, names, pattern[1:] if out else pattern)
        chosen.update(dict.fromkeys(met, not out))
    return [name for name in names if chosen[name]]


def _with_owners(name: str) -> list[str]:
    """Return a parameter's name and those of the modules that it is in: a.b.c, a.b, a."""
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(len(parts), 0, -1)]
