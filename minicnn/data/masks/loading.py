"""Sets of images and masks in the layouts people have them in.

A mask is a PNG whose numbers are the classes: its greys, or the indices of its palette, whatever
colours those have. Which picture it belongs to, three layouts tell:

- ``"camvid"``: ``train/0001.png`` and ``trainannot/0001.png``, ``val`` and ``valannot``, ``test``
  and ``testannot``, as CamVid is laid out for SegNet. The classes are its 11, unless others are
  named, and the label after the last one is void.
- ``"folders"``: ``images/0001.jpg`` and ``masks/0001.png``, with folders of parts below or above
  (``images/train/``, ``train/images/``) or with neither. The folders may also be named as
  `_IMAGE_FOLDERS` and `_MASK_FOLDERS` say.
- ``"pairs"``: ``0001.jpg`` beside ``0001_mask.png``, or ``0001.jpg`` beside ``0001.png``.

A file ``classes.txt`` at the top names the classes, one a line; where there is none they are
numbered as far as labels occur. Label 255 is ignored in layouts other than CamVid's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minicnn._reading import shown
from minicnn.data.archives import open_tree
from minicnn.data.gtsrb_layouts import Faults
from minicnn.data.image_files import Files, part_of, whole_path
from minicnn.data.masks.mask_set import MaskSet
from minicnn.data.masks.sources import MOST_CLASSES, FileMasks
from minicnn.data.picture_sources import FilePictures
from minicnn.data.pictures import decode_labels, picture_size
from minicnn.data.reading_all import read_all
from minicnn.errors import ConfigError, DataError

__all__ = ["CAMVID_CLASSES", "MASK_LAYOUTS", "load_masks", "mask_layout_of"]

CAMVID_CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian",
    "bicyclist",
)  # fmt: skip
MOST_NAMES = 2**20  # bytes of classes.txt
_VOID = 255
_IMAGE_FOLDERS = frozenset({"image", "images", "img", "jpegimages"})
_MASK_FOLDERS = frozenset({"mask", "masks", "label", "labels", "annotations", "segmentationclass"})
_ANNOTATED = re.compile("(train|val|test)annot")
_MASK = "_mask"

Key = tuple[str, ...]  # what a picture and its mask have in common: folders and stem


class _Told(NamedTuple):
    """What a file is, by its name."""

    key: Key
    is_mask: bool


class _Pair(NamedTuple):
    """A picture and its mask, by their names; both have that height and width."""

    image: str
    mask: str
    size: tuple[int, int]


def load_masks(
    path: str | Path,
    layout: str | None = None,
    names: Sequence[str] | None = None,
    ignore_label: int | None = None,
    skip_bad: bool = False,
) -> dict[str, MaskSet]:
    """Read what there is of a set; pixels and their classes are read when they are asked for.

    Parameters
    ----------
    path : str or Path
        A folder or a zip archive, which is read in place.
    layout : {"camvid", "folders", "pairs"}, optional
        How it is laid out; by default what it looks like. See this module.
    names : sequence of str, optional
        Of the classes, by their numbers; by default as the layout or ``classes.txt`` tells, or
        else the numbers themselves, for which all masks are read.
    ignore_label : int, optional
        The label of pixels that count for nothing; by default 255, and in CamVid's layout the
        number of classes.
    skip_bad : bool, default False
        Leave out what is broken and list it in `MaskSet.faults`, instead of ending the run: a
        picture without a mask, a mask without a picture, or of another size. What is inside the
        files is read, and judged, later; see `fit_masks`.

    Returns
    -------
    dict of str to MaskSet
        The parts of the set: "train", "val", "trainval" and "test", as far as there are such, or
        "all".

    Raises
    ------
    ConfigError
        If an argument makes no sense.
    DataError
        If nothing is there, or something is broken; the message names the file.
    """
    if layout is not None and layout not in _LAYOUTS:
        raise ConfigError(
            f"load_masks: layout {layout!r} is unknown; choose from {', '.join(MASK_LAYOUTS)}"
        )
    if names is not None and not 1 <= len(set(names)) == len(names) <= MOST_CLASSES:
        raise ConfigError(f"load_masks: names {list(names)[:20]}; name every class once")
    tree = open_tree(whole_path(path))
    try:
        files = Files(tree)
        kind = layout or _guessed(files)
        faults = Faults(skip_bad)
        told = names or _names_in(files) or (CAMVID_CLASSES if kind == "camvid" else ())
        pairs = list(_pairs(files, _LAYOUTS[kind](files.pictures()), faults))
        if not told:
            pairs, told = _numbered(
                files, pairs, _VOID if ignore_label is None else ignore_label, faults
            )
        if ignore_label is None:
            ignore_label = len(told) if kind == "camvid" else max(_VOID, len(told))
        return _sets(files, pairs, tuple(told), ignore_label, faults)
    except BaseException:
        tree.close()
        raise


def mask_layout_of(path: str | Path) -> str:
    """Tell how a set is laid out, as far as that can be seen.

    Parameters
    ----------
    path : str or Path
        A folder or a zip archive.

    Returns
    -------
    str
        One of `MASK_LAYOUTS`.

    Raises
    ------
    DataError
        If nothing is there, or nothing that is known.
    """
    tree = open_tree(whole_path(path))
    try:
        return _guessed(Files(tree))
    finally:
        tree.close()


def _guessed(files: Files) -> str:
    names = files.pictures()
    for kind, read in _LAYOUTS.items():
        told = read(names)
        images = {t.key for t in told.values() if not t.is_mask}
        if any(t.is_mask and t.key in images for t in told.values()):
            return kind
    seen = ", ".join(map(shown, files.names[:6])) or "nothing at all"
    raise DataError(
        f"{shown(files.tree.path)}: holds no pictures with masks in a layout that is known "
        f"({', '.join(MASK_LAYOUTS)}), but {seen}; give another folder"
    )


def _camvid(names: Iterable[str]) -> dict[str, _Told]:
    """Tell pictures from masks by the folder they lie in: ``train`` or ``trainannot``."""
    told = {}
    for name in names:
        *above, folder, last = ["", *name.split("/")]
        match = _ANNOTATED.fullmatch(folder.lower())
        part = match[1] if match else folder.lower()
        if part in ("train", "val", "test"):
            told[name] = _Told((*above, part, _before(last)), bool(match))
    return told


def _folders(names: Iterable[str]) -> dict[str, _Told]:
    """Tell pictures from masks by a folder above them: ``images`` or ``masks``."""
    told = {}
    for name in names:
        *above, last = name.split("/")
        words = [folder.lower() for folder in above]
        at = max(
            (i for i, w in enumerate(words) if w in _IMAGE_FOLDERS | _MASK_FOLDERS), default=-1
        )
        if at >= 0:
            key = (*above[:at], *above[at + 1 :], _before(last).removesuffix(_MASK))
            told[name] = _Told(key, words[at] in _MASK_FOLDERS)
    return told


def _side_by_side(names: Iterable[str]) -> dict[str, _Told]:
    """Tell pictures from masks by their own names: ``_mask``, or PNG beside another kind."""
    names = list(names)
    marked = any(_before(name).endswith(_MASK) for name in names)
    other = {_before(name) for name in names if not name.lower().endswith(".png")}
    told = {}
    for name in names:
        own = _before(name)
        is_mask = own.endswith(_MASK) if marked else own in other and name.lower().endswith(".png")
        told[name] = _Told(tuple(own.removesuffix(_MASK if marked else "").split("/")), is_mask)
    return told


_LAYOUTS: dict[str, Callable[[Iterable[str]], dict[str, _Told]]] = {
    "camvid": _camvid,
    "folders": _folders,
    "pairs": _side_by_side,
}
MASK_LAYOUTS = tuple(_LAYOUTS)


def _before(name: str) -> str:
    """Return a file's name without its ending."""
    return name.rpartition(".")[0]


def _pairs(files: Files, told: dict[str, _Told], faults: Faults) -> Iterator[_Pair]:
    """Yield pictures with their masks, in the order of their names; tell `faults` of the rest."""
    images: dict[Key, str] = {}
    masks: dict[Key, str] = {}
    for name in sorted(told):
        own = masks if told[name].is_mask else images
        first = own.setdefault(told[name].key, name)
        if first != name:
            faults.add(files.place(name), f"is one too many beside '{shown(first)}'")
    for key, name in sorted(masks.items(), key=lambda item: item[1]):
        if key not in images:
            faults.add(files.place(name), "is a mask whose picture is missing")
    for key, name in images.items():
        try:
            if key not in masks:
                raise DataError("its mask is missing")
            size, found = _size(files, name), _size(files, masks[key], "its mask ")
            if found != size:
                raise DataError(
                    f"is {size[0]} x {size[1]} pixels (H x W), but its mask "
                    f"'{shown(masks[key])}' {found[0]} x {found[1]}"
                )
        except DataError as error:
            faults.add(files.place(name), str(error))
        else:
            yield _Pair(name, masks[key], size)


def _size(files: Files, name: str, what: str = "") -> tuple[int, int]:
    try:
        return picture_size(files.tree.read(name))
    except DataError as error:
        raise DataError(f"{what}'{shown(name)}' {error}" if what else str(error)) from error


class _Unread(NamedTuple):
    """Masks that are to be read, as `read_all` knows a set."""

    files: tuple[str, ...]
    source: str


def _numbered(
    files: Files, pairs: list[_Pair], ignored: int, faults: Faults
) -> tuple[list[_Pair], tuple[str, ...]]:
    """Return numbers as names of the classes, up to the largest label; read all masks for that."""
    if not pairs:
        return pairs, ("0",)

    def largest(row: int) -> int:
        try:
            mask = decode_labels(files.tree.read(pairs[row].mask))
        except DataError as error:
            raise DataError(f"{files.place(pairs[row].mask)}: {error}") from error
        return int(mask[mask != ignored].max(initial=0))

    unread = _Unread(tuple(files.place(pair.mask) for pair in pairs), shown(files.tree.path))
    found = read_all(unread, largest, faults.skip, None)
    for place, reason in found.faults:
        faults.add(place, reason.removeprefix(f"{place}: "))
    names = tuple(map(str, range(max(found.results) + 1)))
    return [pairs[row] for row in found.rows.tolist()], names


def _names_in(files: Files) -> tuple[str, ...]:
    """Return the names of the classes as ``classes.txt`` tells them; none if there is no such."""
    name = next((n for n in files.names if n.rpartition("/")[2] == "classes.txt"), "")
    if not name:
        return ()
    try:
        found = [line.strip() for line in files.text(name, MOST_NAMES).splitlines()]
        while found and not found[-1]:
            found.pop()
        good = all(name and name.isprintable() for name in found)
        if not found or not good or len(set(found)) < len(found):
            raise DataError("is to name every class once, one a line")
        if len(found) > MOST_CLASSES:
            raise DataError(f"names {len(found):,} classes; more than {MOST_CLASSES:,} are refused")
    except DataError as error:
        raise DataError(f"{files.place(name)}: {error}") from error
    return tuple(found)


def _sets(
    files: Files, pairs: list[_Pair], names: tuple[str, ...], ignored: int, faults: Faults
) -> dict[str, MaskSet]:
    """Give each part its set; all share the tree."""
    source = shown(files.tree.path)
    if not pairs:
        first = "; ".join(f"{place}: {reason}" for place, reason in faults.found[:3])
        raise DataError(
            f"{source}: no usable image. {first or 'No file lies where this layout has it'}"
        )
    pictures = FilePictures(
        files.tree, [pair.image for pair in pairs], [pair.size for pair in pairs]
    )
    masks = FileMasks(pictures, [pair.mask for pair in pairs], len(names), ignored)
    parts: dict[str, list[int]] = {}
    for row, pair in enumerate(pairs):
        parts.setdefault(part_of(pair.image), []).append(row)
    return {
        part: MaskSet(
            pictures,
            masks,
            np.array(rows, np.int64),
            tuple(pairs[row].image for row in rows),
            names,
            ignored,
            source,
            tuple(faults.found),
        )
        for part, rows in parts.items()
    }
