"""What broken data were left out, by choice: a file that lists all, and a few on the screen."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minicnn._command_line import say
from minicnn._files import write_file
from minicnn.errors import CheckpointError

__all__ = ["announce_skipped", "describe_skipped", "in_evaluation", "note_skipped", "write_skipped"]

LISTED = 20  # on the screen


def in_evaluation(options: argparse.Namespace, settings: Any) -> bool:
    """Whether an evaluation leaves out what is broken: on its own data a run does as it did."""
    own = options.data is None and not getattr(options, "download", False)
    return bool(options.skip_bad) or (own and settings.skip_bad)


def write_skipped(skipped: Sequence[tuple[str, str]], path: Path) -> None:
    """Write the whole list of (name, fault) as a table."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("file", "fault"), *skipped])
    write_file(path, text.getvalue().encode("utf-8", "backslashreplace"))


def announce_skipped(skipped: Sequence[tuple[str, str]]) -> None:
    """Print how many broken ones are left out, if any are, while there is more to come."""
    count = len(skipped)
    if count:
        say(f"         {count:,} broken {'one is' if count == 1 else 'ones are'} left out; the "
            "list is at the end")  # fmt: skip


def describe_skipped(skipped: Sequence[tuple[str, str]], path: Path) -> None:
    """Print how many broken ones were left out, and the first of them."""
    count = len(skipped)
    say(f"skipped  {count:,} broken {'one' if count == 1 else 'ones'}{':' if count else ''}")
    for name, reason in skipped[:LISTED]:
        say(f"           {name}: {reason}")
    if count > LISTED:
        say(f"           and {count - LISTED:,} more")
    if count:
        say(f"         the whole list is in {path}")


def note_skipped(skipped: Sequence[tuple[str, str]], model_dir: Path) -> None:
    """Write and print what an evaluation left out; the folder may be only for reading."""
    path = model_dir / "skipped-in-evaluation.csv"
    try:
        write_skipped(skipped, path)
    except CheckpointError as error:
        say(f"note     {error}")
    describe_skipped(skipped, path)
