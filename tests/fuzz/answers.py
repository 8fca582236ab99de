"""What all targets ask of a refusal: that it names the file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from minicnn.errors import MinicnnError


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an error of minicnn's through if its text names the file, and has an end."""
    try:
        yield
    except MinicnnError as error:
        text = str(error)
        assert path.name in text, f"names no file: {text[:300]}"
        assert len(text) < 4000, f"{len(text)} characters: {text[:100]} ..."
        raise
