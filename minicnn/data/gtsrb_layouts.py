"""Where the images of a traffic-sign folder or archive are, and what its tables say of them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from minicnn.data.archives import Tree, ZipTree, open_tree, unsafe
from minicnn.data.classes import NUM_CLASSES
from minicnn.data.sign_table import TRACKS_PER_CLASS
from minicnn.errors import DataError

__all__ = ["Faults", "Layout", "Record", "find_layouts", "read_records"]

BOX_COLUMNS = ("Width", "Height", "Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
TRUTH_FILE = "GT-final_test.csv"
TRUTH_ARCHIVE = "GTSRB_Final_Test_GT.zip"
PART_FOLDERS = {"train": "Final_Training/Images", "test": "Final_Test/Images"}
KAGGLE_TABLES = {"train": "Train.csv", "test": "Test.csv"}


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
        return str(self.tree.path / self.folder)


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
        if not self.skip:
            raise DataError(f"{name}: {reason}; mend it, or skip what is broken (skip_bad=True)")
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
            if re.fullmatch(r"\d{5}", f)
        )
    return any(re.fullmatch(r"\d{5}\.ppm", f) for f in listing.files)


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
    if layout.kind == "Kaggle":
        name = _join(layout.folder, KAGGLE_TABLES[layout.part])
        table = _Table(layout.tree, name, "Path", layout.folder, layout.part == "test")
        return list(table.records(faults))
    if layout.part == "test":
        tree, name = _find_truth(layout)
        try:
            return list(_Table(tree, name, "Filename", layout.folder, True).records(faults))
        finally:
            if tree is not layout.tree:
                tree.close()
    records: list[Record] = []
    for label in (f for f in layout.tree.entries(layout.folder).folders if f.isdigit()):
        folder = _join(layout.folder, label)
        name = _join(folder, f"GT-{label}.csv")
        table = _Table(layout.tree, name, "Filename", folder, False, only_label=int(label))
        records.extend(table.records(faults))
    return records


@dataclass(frozen=True)
class _Table:
    """A CSV file of images: where it is, which column names them, where they lie."""

    tree: Tree
    name: str
    file_column: str
    folder: str
    is_test: bool
    only_label: int | None = None

    def records(self, faults: Faults) -> Iterator[Record]:
        """Yield the good lines; tell `faults` of the others."""
        place = str(self.tree.path / self.name)
        try:
            rows = self._rows()
        except DataError as error:
            faults.add(place, str(error))
            return
        for number, (line, row) in enumerate(rows):
            try:
                yield self._record(number, f"{place} line {line}", row)
            except DataError as error:
                faults.add(f"{place} line {line}", str(error))

    def _rows(self) -> list[tuple[int, dict[str, str]]]:
        """Line numbers and cells by column name."""
        try:
            text = self.tree.read(self.name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"is not a text file ({error.reason})") from error
        header, _, _ = text.partition("\n")
        reader = csv.reader(io.StringIO(text), delimiter=";" if ";" in header else ",")
        try:
            lines = [(reader.line_num, row) for row in reader if row]
        except csv.Error as error:
            raise DataError(f"is not a CSV file (line {reader.line_num}: {error})") from error
        if not lines:
            raise DataError("is empty")
        columns = [c.strip() for c in lines[0][1]]
        wanted = (self.file_column, "ClassId", *BOX_COLUMNS)
        if missing := [c for c in wanted if c not in columns]:
            raise DataError(
                f"lacks the column {', '.join(missing)}; its first line is {header.strip()[:80]!r}"
            )
        if len(lines) == 1:
            raise DataError("has a header but no images")
        return [(n, dict(zip(columns, map(str.strip, row), strict=False))) for n, row in lines[1:]]

    def _record(self, number: int, line: str, row: dict[str, str]) -> Record:
        try:
            label, width, height, *box = (int(row[c]) for c in ("ClassId", *BOX_COLUMNS))
            name = row[self.file_column]
        except KeyError as error:
            raise DataError(f"has no {error.args[0]}; the line ends early") from error
        except ValueError:
            odd = next(c for c in ("ClassId", *BOX_COLUMNS) if not _is_integer(row[c]))
            raise DataError(f"{odd} is {row[odd]!r}, not a whole number") from None
        if not 0 <= label < NUM_CLASSES:
            raise DataError(f"class {label} does not exist; classes are 0 to {NUM_CLASSES - 1}")
        if self.only_label not in (None, label):
            raise DataError(f"class {label} in the folder of class {self.only_label}")
        x1, y1, x2, y2 = box
        if not (0 <= x1 <= x2 < width and 0 <= y1 <= y2 < height):
            raise DataError(
                f"region of interest ({x1}, {y1}) to ({x2}, {y2}) is reversed or outside "
                f"the image of {width} x {height} pixels"
            )
        if fault := unsafe(name):
            raise DataError(f"file name {name!r} {fault}")
        track = number if self.is_test else label * TRACKS_PER_CLASS + _track_number(name)
        short = name if self.only_label is None else f"{self.only_label:05d}/{name}"
        return Record(
            short, _join(self.folder, name), label, track, width, height, (x1, y1, x2, y2), line
        )


def _is_integer(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _track_number(name: str) -> int:
    """``00000_00007_00029.png`` and ``00007_00029.ppm``, track and frame last: track 7."""
    match = re.search(r"(\d{1,5})_\d+\.\w+$", name)
    if match is None:
        raise DataError(f"file name {name!r} does not say its track (..._<track>_<frame>.<ending>)")
    return int(match[1])


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
        if (place / TRUTH_FILE).is_file():
            return open_tree(place), TRUTH_FILE
        if (place / TRUTH_ARCHIVE).is_file():
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
    raise DataError(f"{archive}: holds no {TRUTH_FILE}; fetch it again")


def _join(*parts: str) -> str:
    return "/".join(p for p in parts if p)
