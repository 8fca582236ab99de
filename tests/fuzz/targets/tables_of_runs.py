"""The table of a run, training.csv, as a crash, an editor or another program has left it."""

from __future__ import annotations

import csv
import re
import warnings
import zlib

from minicnn.errors import CheckpointWarning, ConfigError
from minicnn.estimator._table import Table, _left
from tests.fuzz.answers import naming

NAME = "tables_of_runs"
DICTIONARY = [
    b"step", b"step,", b"step,loss\n", b"\n", b"\r\n", b",", b'"', b'""', bytes(8), b"\xef\xbb\xbf",
    b"1,0.5\n", b"2,nan\n", b"3,-inf\r\n", b"4,1e-05\n", b";", b"learning_rate", b'"a,b"', b"\xff",
]  # fmt: skip
PLAIN = re.compile(rb"\d{1,18}(?:,-?\d+\.\d+(?:e-\d+)?)*\n")  # what this program writes, or less
HEAD = b"step,learning_rate,loss\n"
ROWS = b"1,0.1,2.5\n2,0.1,1e-05\n3,0.1,nan\n4,0.05,0.25\n5,0.05,-inf\n"


def seeds() -> list[bytes]:
    whole = HEAD + ROWS
    return [
        b"",
        HEAD,
        whole,
        whole[:-9],
        whole + bytes(600),
        bytes(600),
        HEAD + ROWS[:10] + bytes(40) + ROWS[10:],
        whole.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + whole,
        whole.replace(b",", b";"),
        b'"step","learning_rate","loss"\n' + ROWS,
        b'step,"a,b","c\nd"\n' + ROWS,
        b"loss,step,x\n1.5,1,1\n2.5,2,1\n",
        HEAD + b"3,0.1,1\n1,0.1,1\n1,0.1,1\n2,0.1,1\n",
        HEAD + b"1" * 5000 + b",0.1,2.5\n" + ROWS,
        HEAD + b"1,0.1,\xff\n\n\n,,\n1,2\n1,2,3,4\n" + ROWS,
        b"time,loss\n1,2\n",
        b"step\n1\n2\n",
        b"step,step\n1,1\n",
        "step,gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n\n1,1\n".encode("latin-1"),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
    ]


def run(data: bytes, folder) -> None:
    path, last_step = folder / "training.csv", zlib.crc32(data) % 7
    path.write_bytes(data)
    _left.clear()  # it would take what is written so soon, in as many bytes, for what it has left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CheckpointWarning)
        try:
            with naming(path):
                table = Table(path, last_step)
        except ConfigError:
            assert path.read_bytes() == data, "it was refused, and changed"
            raise
        columns = table._columns or ["step", "loss"]
        try:
            with naming(path):  # it refuses, if two columns have one name
                table.write({c: last_step + 1 if c == "step" else 0.5 for c in columns})
        finally:
            table.close()
    written = path.read_bytes()
    check(data, written, columns, last_step)
    for _ in range(2):  # first as this process has left it, then as any file
        Table(path, last_step + 1).close()
        _left.clear()
    assert path.read_bytes() == written, "what was written is not whole"


def check(data: bytes, written: bytes, columns: list[str], last_step: int) -> None:
    """Compare with what the module csv reads, and with the rows that were there."""
    head, *rows = csv.reader([*pieces(written)], strict=True)
    assert head == columns
    at = columns.index("step")
    steps = []
    for row in rows:
        assert len(row) == len(columns), row
        assert all(cell == cell.strip() for cell in row)
        [float(cell) for cell in row]
        steps.append(int(row[at]))
    assert all(step <= last_step for step in steps[:-1])
    assert steps[-1] == last_step + 1
    before, kept = data.split(b"\n"), iter(written.split(b"\n"))
    if len(rows) > 1 and at == 0:
        for line in before[1:-1]:  # each sound row of before is still there, in the same order
            cells = line.split(b",")
            if (
                PLAIN.fullmatch(line + b"\n")
                and len(cells) == len(columns)
                and int(cells[0]) <= last_step
            ):
                assert line in kept, f"{line!r} was lost"


def pieces(written: bytes) -> list[str]:
    """Return the header, which may have newlines in its names, and the rows."""
    text = written.decode()
    end = next(i + 1 for i, c in enumerate(text) if c == "\n" and text[:i].count('"') % 2 == 0)
    return [text[:end].removesuffix("\n"), *text[end:].split("\n")[:-1]]
