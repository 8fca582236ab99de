"""The files of a set of images, wherever they lie in its folder or archive."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from minicnn._reading import shown
from minicnn.data.archives import Tree
from minicnn.data.pictures import picture_size
from minicnn.errors import ConfigError, DataError

__all__ = ["Files", "part_of", "stem", "whole_path"]

PICTURES = frozenset({"jpg", "jpeg", "png", "bmp", "ppm", "gif", "webp"})
MOST_FILES, MOST_FOLDERS, DEEPEST = 250_000, 10_000, 8
MOST_TEXT = 1024**3  # bytes in all tables of a set together
_PARTS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "trainval": "trainval",
}


@dataclass
class Files:
    """All files of a tree, by folder and by name.

    Parameters
    ----------
    tree : Tree
        A folder or an archive.

    Raises
    ------
    DataError
        If there are absurdly many.
    """

    tree: Tree
    names: list[str] = field(default_factory=list)
    _folders: int = 0
    _left: int = MOST_TEXT

    def __post_init__(self) -> None:
        self._enter("", 0)
        self._pictures: dict[str, list[str]] = defaultdict(list)
        for name in self.pictures():
            self._pictures[stem(name)].append(name)

    def _enter(self, folder: str, depth: int) -> None:
        listing = self.tree.entries(folder)
        self.names.extend(f"{folder}{name}" for name in listing.files if name[0] != ".")
        self._folders += 1
        if len(self.names) > MOST_FILES or self._folders > MOST_FOLDERS:
            raise DataError(
                f"{shown(self.tree.path)}: holds more than {MOST_FILES:,} files or "
                f"{MOST_FOLDERS:,} folders; give the folder of the data set itself"
            )
        for name in listing.folders:
            if depth < DEEPEST and name[0] != "." and name != "__MACOSX":
                self._enter(f"{folder}{name}/", depth + 1)

    def ending(self, *endings: str) -> list[str]:
        """Return the files with these endings, in any case, such as ``"xml"``."""
        return [n for n in self.names if n.rpartition(".")[2].lower() in endings and "." in n]

    def pictures(self) -> list[str]:
        """Return the files that are pictures by their endings."""
        return self.ending(*PICTURES)

    def has_picture(self, name: str) -> bool:
        """Tell whether there is a picture of a name or stem, wherever."""
        return stem(name) in self._pictures

    def picture(self, name: str, near: str, part: str = "all") -> str:
        """Find the picture of a name or stem: in a part, nearest to another file; or refuse."""
        found = self._pictures.get(stem(name), [])
        tail = [n for n in found if f"/{n}".endswith(f"/{name}")]
        found = tail or found
        if not found:
            raise DataError(f"its picture '{shown(name)}' is missing")
        shared = [(part_of(other) == part, *_shared(near, other)) for other in found]
        best = [n for n, count in zip(found, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise DataError(
                f"its picture may be '{shown(best[0])}' or '{shown(best[1])}'; keep one of them"
            )
        return best[0]

    def text(self, name: str, most: int) -> str:
        """Read a file of at most so many bytes as text in UTF-8, as long as there is room."""
        data = self.tree.read(name, min(most, self._left))
        self._left -= len(data)
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DataError(f"is not a text file in UTF-8 ({error.reason})") from error

    def place(self, name: str) -> str:
        """Return where a file is, for a person to read."""
        return shown(self.tree.path / name)

    def size(self, name: str) -> tuple[int, int]:
        """Read a picture's height and width; the error names it."""
        try:
            return picture_size(self.tree.read(name))
        except DataError as error:
            raise DataError(f"its picture '{shown(name)}' {error}") from error


def stem(name: str) -> str:
    """Return a file's name without its folders and its ending as a picture, if it has one."""
    last = name.rpartition("/")[2]
    before, dot, ending = last.rpartition(".")
    return before if dot and ending.lower() in PICTURES else last


def _shared(one: str, other: str) -> tuple[int, int]:
    """Tell how near two files are: folders that they share from the top, and in any place."""
    mine, theirs = one.split("/")[:-1], other.split("/")[:-1]
    top = next(
        (i for i, (a, b) in enumerate(zip(mine, theirs, strict=False)) if a != b),
        min(len(mine), len(theirs)),
    )
    return len(set(mine) & set(theirs)), top


def part_of(name: str, file_too: bool = False) -> str:
    """Tell which part of a set a file belongs to, by the words of its folders' names.

    Parameters
    ----------
    name : str
        A file's name with its folders.
    file_too : bool, default False
        Whether its own name says it, too.

    Returns
    -------
    str
        "train", "val", "test", "trainval", or "all" if no folder tells.

    Examples
    --------
    >>> part_of("images/valid/0001.jpg"), part_of("instances_train2017.json", file_too=True)
    ('val', 'train')
    """
    folders = name.lower().split("/")
    for folder in reversed(folders if file_too else folders[:-1]):
        for word in re.findall("[a-z]+", folder):
            if word in _PARTS:
                return _PARTS[word]
    return "all"


def whole_path(path: str | Path) -> Path:
    """Return where a set is, ``~`` spelled out, if something is there.

    Parameters
    ----------
    path : str or Path
        A folder or an archive, as a person gave it.

    Returns
    -------
    Path
        The same.

    Raises
    ------
    ConfigError
        If it begins with somebody who has no home here.
    DataError
        If there is nothing.
    """
    try:
        whole = Path(path).expanduser()
        there = whole.exists()
    except RuntimeError as error:  # ~somebody who has no home here
        raise ConfigError(f"{shown(path)}: {error}; give the whole path") from error
    except (OSError, ValueError) as error:  # a name that is too long, a folder that is private
        raise DataError(f"{shown(path)}: cannot be opened: {error}") from error
    if not there:
        raise DataError(f"{shown(path)}: there is nothing here; give a folder or a zip archive")
    return whole
