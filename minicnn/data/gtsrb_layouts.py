"""Where the images of a traffic-sign folder or archive are, and what its tables say of them."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minicnn._reading import shown
from minicnn.data.archives import Tree, ZipTree, open_tree, unsafe
from minicnn.data.classes import NUM_CLASSES
from minicnn.data.sign_table import TRACKS_PER_CLASS
from minicnn.errors import DataError

__all__ = ["Faults", "Layout", "Record", "find_layouts", "read_records"]

BOX_COLUMNS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
TRUTH_FILE = "GT-final_test.csv"
TRUTH_ARCHIVE = "GTSRB_Final_Test_GT.zip"
PART_FOLDERS = {"train": "Final_Training/Images", "test": "Final_Test/Images"}
MOST_IMAGES = 200_000  # in a part, and as many faults; the real parts have 39,209 and 12,630
LONGEST_LINE = 10_000  # characters
MOST_LINES = 2 * MOST_IMAGES  # in a table, blank ones too
MOST_TABLE_BYTES = 64 * 2**20  # in all tables of a part; the largest real part has 4 MB
KAGGLE_TABLES = {"train": "Train.csv", "test": "Test.csv"}
_CLASS_FOLDER = re.compile("[0-9]{5}")
_KAGGLE_FOLDER = re.compile(r"(?:\./)?Train/([0-9]{1,5})/[^/]+", re.IGNORECASE)


@dataclass(frozen=True)
class Layout:
    """One of the ways the images lie: ``"official"`` or ``"Kaggle"``, in which folder of what."""

    kind: str
    part: str
    tree: Tree
    folder: str

    @property
    def place(self) -> str:
        """Where that is, for a person to read."""
        return shown(self.tree.path / self.folder)


@dataclass(frozen=True)
class Record:
    """One image as a table describes it; box and size in pixels, the box's ends included."""

    name: str
    file: str
    label: int
    track: int
    width: int
    height: int
    box: tuple[int, int, int, int]
    line: str


@dataclass
class Faults:
    """What is broken: the first fault ends the run, unless faults are to be skipped and counted.

    Parameters
    ----------
    skip : bool
        Whether to go on.
    """

    skip: bool
    found: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, reason: str) -> None:
        """Note that a file is broken, or raise a DataError that says so."""
        name = shown(name)
        if not self.skip:
            raise DataError(f"{name}: {reason}; mend it, or skip what is broken (skip_bad=True)")
        if len(self.found) >= MOST_IMAGES:
            raise DataError(f"{name}: {reason}; and {len(self.found):,} faults before it: give up")
        self.found.append((name, reason))


def find_layouts(tree: Tree, part: str) -> list[Layout]:
    """Look for the images of one part, at the top of a tree and one folder below.

    Parameters
    ----------
    tree : Tree
        A folder or an archive.
    part : {"train", "test"}
        Which part.

    Returns
    -------
    list of Layout
        Every place that holds some; usually one or none.
    """
    found: dict[str, Layout] = {}
    for top in ("", *tree.entries("").folders):
        official = PART_FOLDERS[part]
        if KAGGLE_TABLES[part] in tree.entries(top).files:
            found.setdefault(top, Layout("Kaggle", part, tree, top))
        for below in ("", "Images", official, f"GTSRB/{official}"):
            folder = "/".join(p for p in (top, below) if p)
            if _is_official(tree, folder, part):
                found.setdefault(folder, Layout("official", part, tree, folder))
    return list(found.values())


def _is_official(tree: Tree, folder: str, part: str) -> bool:
    listing = tree.entries(folder)
    if part == "train":
        return any(
            f"GT-{f}.csv" in tree.entries(f"{folder}/{f}" if folder else f).files
            for f in listing.folders
            if _CLASS_FOLDER.fullmatch(f)
        )
    return any(re.fullmatch(r"[0-9]{5}\.ppm", f) for f in listing.files)


def read_records(layout: Layout, faults: Faults) -> list[Record]:
    """Read the tables of a layout.

    Parameters
    ----------
    layout : Layout
        Where the images are.
    faults : Faults
        Is told of what is broken.

    Returns
    -------
    list of Record
        What the tables say, in their order.

    Raises
    ------
    DataError
        If a table is missing or broken, unless `faults` skips those.
    """
    return list(_without_doubles(_all_records(layout, faults), faults))


def _all_records(layout: Layout, faults: Faults) -> Iterator[Record]:
    if layout.kind == "Kaggle":
        name = _join(layout.folder, KAGGLE_TABLES[layout.part])
        table = _Table(layout.tree, name, "Path", layout.folder, layout.part == "test")
        yield from table.records(faults)
    elif layout.part == "test":
        tree, name = _find_truth(layout)
        try:
            yield from _Table(tree, name, "Filename", layout.folder, True).records(faults)
        finally:
            if tree is not layout.tree:
                tree.close()
    else:
        yield from _records_by_class(layout, faults)


def _records_by_class(layout: Layout, faults: Faults) -> Iterator[Record]:
    """Read the tables of the official training set: one for each class, in its folder."""
    room = _Room()
    for label in filter(_CLASS_FOLDER.fullmatch, layout.tree.entries(layout.folder).folders):
        folder = _join(layout.folder, label)
        if int(label) >= NUM_CLASSES:
            faults.add(str(layout.tree.path / folder), "is the folder of no class")
            continue
        name = _join(folder, f"GT-{label}.csv")
        table = _Table(layout.tree, name, "Filename", folder, False, int(label), room)
        yield from table.records(faults)


@dataclass
class _Room:
    """How many bytes the tables of a part may still have, together."""

    left: int = MOST_TABLE_BYTES

    def read(self, tree: Tree, name: str) -> bytes:
        """Read a table, if there is room for it."""
        data = tree.read(name) if self.left > 0 else b""
        self.left -= len(data)
        if self.left <= 0:
            raise DataError(f"the tables have more than {MOST_TABLE_BYTES:,} bytes together")
        return data


@dataclass(frozen=True)
class _Table:
    """A CSV file of images: where it is, which column names them, where they lie."""

    tree: Tree
    name: str
    file_column: str
    folder: str
    is_test: bool
    only_label: int | None = None
    room: _Room = field(default_factory=_Room)

    def records(self, faults: Faults) -> Iterator[Record]:
        """Yield the good lines; tell `faults` of the others."""
        place = str(self.tree.path / self.name)
        try:
            cells, lines = self._opened()
        except DataError as error:
            faults.add(place, str(error))
            return
        number = -1
        for number, (line, text) in enumerate(lines):
            try:
                yield self._record(number, f"{place} line {line}", cells(text))
            except DataError as error:
                faults.add(f"{place} line {line}", str(error))
        if number < 0:
            faults.add(place, "has a header but no images")

    def _opened(self) -> tuple[Callable[[str], list[str]], Iterator[tuple[int, str]]]:
        """Return what takes the wanted cells from a line, and the numbered lines after the header.

        A line is a row: names of pictures hold no line ends, so that a quote which is never
        closed spoils its own line only.
        """
        lines = _numbered_lines(self.room.read(self.tree, self.name))
        line, header = next(lines, (0, ""))
        if not line:
            raise DataError("is empty")
        delimiter = ";" if ";" in header else ","
        columns = [c.strip() for c in _split(header, delimiter)]
        wanted = (self.file_column, "ClassId", *BOX_COLUMNS)
        first = f"its first line is {header.strip()[:80]!r}"
        if missing := [c for c in wanted if c not in columns]:
            raise DataError(f"lacks the column {', '.join(missing)}; {first}")
        if twice := [c for c in wanted if columns.count(c) > 1]:
            raise DataError(f"has the column {', '.join(twice)} twice; {first}")
        index = [columns.index(c) for c in wanted]

        def cells(text: str) -> list[str]:
            row = _split(text, delimiter)
            if short := [c for c, i in zip(wanted, index, strict=True) if i >= len(row)]:
                raise DataError(f"has no {short[0]}; the line ends early")
            return [row[i].strip() for i in index]

        return cells, lines

    def _record(self, number: int, line: str, cells: list[str]) -> Record:
        name, *texts = cells
        try:
            label, width, height, *box = map(_whole, texts)
        except ValueError:
            columns = zip(("ClassId", *BOX_COLUMNS), texts, strict=True)
            odd, text = next((c, t) for c, t in columns if not _WHOLE.fullmatch(t))
            raise DataError(f"{odd} is {text[:40]!r}, not a whole number") from None
        if not 0 <= label < NUM_CLASSES:
            raise DataError(f"class {label} does not exist; classes are 0 to {NUM_CLASSES - 1}")
        x1, y1, x2, y2 = box
        if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
            raise DataError(
                f"region of interest ({x1}, {y1}) to ({x2}, {y2}) is reversed or outside "
                f"the image of {width} x {height} pixels"
            )
        if fault := unsafe(name):
            raise DataError(f"file name '{shown(name)}' {fault}")
        self._check_label(label, name)
        track = number if self.is_test else label * TRACKS_PER_CLASS + _track_number(name)
        short = name if self.only_label is None else f"{self.only_label:05d}/{name}"
        return Record(
            short, _join(self.folder, name), label, track, width, height, (x1, y1, x2, y2), line
        )

    def _check_label(self, label: int, name: str) -> None:
        """Compare the class with the folder's: both layouts have one folder per class."""
        if self.only_label not in (None, label):
            raise DataError(f"class {label} in the folder of class {self.only_label}")
        folder = None if self.is_test else _KAGGLE_FOLDER.fullmatch(name)
        if folder and label != int(folder[1]) < NUM_CLASSES:
            raise DataError(
                f"class {label}, but '{shown(name)}' is in the folder of class {folder[1]}"
            )


_WHOLE = re.compile("-?[0-9]{1,9}")


def _whole(text: str) -> int:
    """Read a number as the tables write it; int() would take ``1_000`` and digits of any script."""
    if not _WHOLE.fullmatch(text):
        raise ValueError
    return int(text)


def _numbered_lines(data: bytes) -> Iterator[tuple[int, str]]:
    """Yield what is not blank, with its number; lines end with LF, CRLF or CR."""
    lines = data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
    if lines > MOST_LINES:
        raise DataError(f"has {lines:,} lines; more than {MOST_LINES:,} are refused")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = len(re.findall(rb"\r\n|\r|\n", data[: error.start]))
        raise DataError(
            f"is not a text file in UTF-8 (line {before + 1}: {error.reason})"
        ) from error
    for number, line in enumerate(io.StringIO(text, newline=None), 1):
        if line.strip():
            yield number, line.rstrip("\n")


def _split(line: str, delimiter: str) -> list[str]:
    if len(line) > LONGEST_LINE:
        raise DataError(f"has {len(line):,} characters; more than {LONGEST_LINE:,} are refused")
    if '"' not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise DataError(f"is not a line of CSV ({error})") from error


def _track_number(name: str) -> int:
    """``00000_00007_00029.png`` and ``00007_00029.ppm``, track and frame last: track 7."""
    match = re.search(r"([0-9]{1,5})_[0-9]+\.\w+\Z", name)
    if match is None:
        raise DataError(
            f"file name '{shown(name)}' does not say its track (..._<track>_<frame>.<ending>)"
        )
    return int(match[1])


def _without_doubles(records: Iterable[Record], faults: Faults) -> Iterator[Record]:
    """Leave out what is listed again; of two that contradict each other, both."""
    first: dict[str, Record] = {}
    contradicted: dict[str, Record] = {}
    for record in records:
        path = "/".join(part for part in record.file.split("/") if part not in ("", "."))
        known = first.setdefault(path, record)
        if known is not record:
            faults.add(record.line, _double(record, known))
            if known.label != record.label:
                contradicted.setdefault(known.line, record)
        if len(first) > MOST_IMAGES:
            raise DataError(f"{shown(record.line)}: more than {MOST_IMAGES:,} images are refused")
    for record in first.values():
        if other := contradicted.get(record.line):
            faults.add(record.line, _double(record, other))
        else:
            yield record


def _double(record: Record, other: Record) -> str:
    place = other.line.rpartition(" line ")[2]
    if record.label == other.label:
        return f"lists '{shown(record.file)}' again; line {place} has it"
    return (
        f"says that '{shown(record.file)}' is of class {record.label}, but line {place} says "
        f"{other.label}"
    )


def _find_truth(layout: Layout) -> tuple[Tree, str]:
    """Find the test set's labels: beside the images, above them, or in their own archive."""
    folder = layout.folder
    while True:  # in the tree, from the images up
        if TRUTH_FILE in layout.tree.entries(folder).files:
            return layout.tree, _join(folder, TRUTH_FILE)
        if not folder:
            break
        folder = folder.rpartition("/")[0]
    above = layout.tree.path.resolve()
    for place in list(above.parents)[:3] if above.is_file() else [above, *above.parents][:4]:
        if os.path.isfile(place / TRUTH_FILE):
            return open_tree(place), TRUTH_FILE
        if os.path.isfile(place / TRUTH_ARCHIVE):
            return _truth_in(place / TRUTH_ARCHIVE)
    raise DataError(
        f"{layout.place}: the test images are here, but their labels are not: put {TRUTH_FILE} "
        f"or {TRUTH_ARCHIVE} beside them"
    )


def _truth_in(archive: Path) -> tuple[Tree, str]:
    tree = ZipTree(archive)
    for folder in ("", *tree.entries("").folders):
        if TRUTH_FILE in tree.entries(folder).files:
            return tree, _join(folder, TRUTH_FILE)
    tree.close()
    raise DataError(f"{shown(archive)}: holds no {TRUTH_FILE}; fetch it again")


def _join(*parts: str) -> str:
    return "/".join(p for p in parts if p)
