"""The German Traffic Sign Recognition Benchmark, in every layout people have it in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from minicnn._reading import shown
from minicnn.data.archives import FolderTree, Tree, ZipTree, open_tree
from minicnn.data.classes import CLASS_NAMES, NUM_CLASSES
from minicnn.data.gtsrb_layouts import (
    TRUTH_FILE,
    Faults,
    Layout,
    Record,
    find_layouts,
    read_records,
)
from minicnn.data.image_cache import CacheSetting, cached
from minicnn.data.pictures import decode
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError, DataError

__all__ = ["CLASS_NAMES", "NUM_CLASSES", "SignTable", "load_gtsrb"]

_CHUNK = 256  # images per task: large enough that threads hardly wait for one another
_LAYOUTS = (
    "accepted are the official archives (GTSRB_Final_Training_Images.zip, ...) or the folder "
    "they unpack to (GTSRB/Final_Training/Images/00000/GT-00000.csv), and the Kaggle layout "
    "(Train.csv beside Train/), as a folder or a zip"
)


def load_gtsrb(
    path: str | Path,
    size: int = 32,
    part: str = "train",
    roi: bool = True,
    cache: CacheSetting = True,
    skip_bad: bool = False,
    workers: int | None = None,
) -> SignTable:
    """Read the images of GTSRB from wherever they are.

    Parameters
    ----------
    path : str or Path
        The official zip, the folder it unpacks to at any level, the Kaggle folder or zip,
        or a folder that holds exactly one of those. Archives are read in place.
    size : int, default 32
        Width and height of every image of the result, in pixels.
    part : {"train", "test"}, default "train"
        Which part. The test part has no tracks: every image is one of its own.
    roi : bool, default True
        Cut out the sign (the region of interest) before resizing; else the whole picture.
        The boxes are taken to include both ends, pixel columns X1 to X2. Measured on the
        training set, the signs' left edges peak 1 to 2 pixels right of X1, their right edges
        between X2 - 1 and X2 + 1: a half-open box would cut into the right and lower rims.
    cache : bool, str, Path or None, default True
        Keep the result on disk: True in `minicnn.data.image_cache.cache_folder`, a path
        there, False or None not at all.
    skip_bad : bool, default False
        Leave broken records out and list them in `skipped`, instead of ending the run.
    workers : int, optional
        Threads that decode; by default one per CPU. The result is the same with any number.

    Returns
    -------
    SignTable
        Images in the order of the tables, `size` x `size`, RGB.

    Raises
    ------
    ConfigError
        If an argument makes no sense or several data sets lie at `path`.
    DataError
        If nothing is there, or something is broken; the message names the file and the line.

    References
    ----------
    Stallkamp et al., "Man vs. computer: Benchmarking machine learning algorithms for
    traffic sign recognition", Neural Networks 32, 2012.
    """
    path = _expanded(path)
    _check_arguments(path, size, part, workers)
    with _opened(path, part) as layout:
        faults = Faults(skip_bad)
        records = read_records(layout, faults)
        files = layout.tree.fingerprint(r.file for r in records)
        import PIL

        rows = [(r.label, r.track, r.box) for r in records]
        key = ("gtsrb", rows, files, faults, size, roi, PIL.__version__)
        table = cached(
            cache,
            f"gtsrb-{part}-{size}",
            key,
            lambda: _decoded(layout, records, size, roi, faults, workers),
        )
        return replace(table, source=layout.place)


def _expanded(path: str | Path) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~somebody who has no home here
        raise ConfigError(f"{shown(path)}: {error}; give the whole path") from error


def _check_arguments(path: Path, size: int, part: str, workers: int | None) -> None:
    if part not in ("train", "test"):
        raise ConfigError(f"load_gtsrb: part {part!r} does not exist; say 'train' or 'test'")
    if not 1 <= size <= 4096:
        raise ConfigError(f"load_gtsrb: size {size} is not between 1 and 4096 pixels")
    if workers is not None and workers < 1:
        raise ConfigError(f"load_gtsrb: {workers} workers cannot decode; say 1 or more")
    try:
        there = path.exists()
    except OSError as error:  # a name that is too long, a folder that is private
        raise DataError(f"{shown(path)}: cannot be opened: {error.strerror}") from error
    if not there:
        raise DataError(f"{shown(path)}: there is nothing here; {_LAYOUTS}")


@contextlib.contextmanager
def _opened(path: Path, part: str) -> Iterator[Layout]:
    """Find the one layout at a path, and close its archive afterwards."""
    tree = open_tree(path)
    trees: list[Tree] = [tree]
    try:
        found = find_layouts(tree, part)
        if not found and isinstance(tree, FolderTree):
            for archive in (f for f in tree.entries("").files if f.lower().endswith(".zip")):
                trees.append(ZipTree(tree.path / archive))
                found.extend(find_layouts(trees[-1], part))
        if not found:
            raise DataError(_nothing_found(path, part, trees))
        if len(found) > 1:
            places = ", ".join(
                shown(a.tree.path) if isinstance(a.tree, ZipTree) else a.place for a in found
            )
            raise ConfigError(f"{shown(path)}: holds several data sets; give one of {places}")
        yield found[0]
    finally:
        for opened in trees:
            opened.close()


def _nothing_found(path: Path, part: str, trees: Sequence[Tree]) -> str:
    other = "test" if part == "train" else "train"
    if any(find_layouts(tree, other) for tree in trees):
        return f"{shown(path)}: holds the {other} part of GTSRB, but not the {part} part"
    listing = trees[0].entries("")
    if TRUTH_FILE in listing.files:
        return f"{shown(path)}: holds the labels of the test images, but no images; {_LAYOUTS}"
    names = [f"{f}/" for f in listing.folders] + list(listing.files)
    seen = ", ".join(map(shown, names[:6])) or "nothing at all"
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return f"{shown(path)}: holds no GTSRB {part} images, but {seen}{more}; {_LAYOUTS}"


def _decoded(
    layout: Layout,
    records: Sequence[Record],
    size: int,
    roi: bool,
    faults: Faults,
    workers: int | None,
) -> SignTable:
    """Decode every record on several threads; faults come out in the records' order."""
    images = _empty(len(records), size)

    def decode(start: int) -> list[tuple[int, str]]:
        broken = []
        for i in range(start, min(start + _CHUNK, len(records))):
            try:
                images[i] = _picture(layout.tree, records[i], size, roi)
            except DataError as error:
                broken.append((i, str(error)))
        return broken

    good = np.ones(len(records), bool)
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            for broken in pool.map(decode, range(0, len(records), _CHUNK)):
                for i, reason in broken:
                    good[i] = False
                    faults.add(f"{layout.tree.path / records[i].file} ({records[i].line})", reason)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    kept = [r for r, is_good in zip(records, good, strict=True) if is_good]
    if not kept:
        raise DataError(f"{layout.place}: no usable image; {_first_faults(faults)}")
    return _table(kept, images if good.all() else images[good], layout.place, faults)


def _table(records: Sequence[Record], images: np.ndarray, source: str, faults: Faults) -> SignTable:
    table = SignTable(
        images,
        np.array([r.label for r in records], np.int64),
        np.array([r.track for r in records], np.int64),
        tuple(r.name for r in records),
        source,
        tuple(faults.found),
    )
    missing = np.flatnonzero(table.per_class_counts() == 0)
    return replace(table, notes=tuple(f"class {c} has no images" for c in missing))


def _empty(count: int, size: int) -> np.ndarray:
    """Return room for the images, if there is."""
    try:
        return np.empty((count, size, size, 3), np.uint8)
    except MemoryError:
        needed = count * size * size * 3 / 2**30
        raise ConfigError(
            f"load_gtsrb: {count:,} images of {size} x {size} pixels need {needed:,.0f} GiB of "
            "memory; make size smaller"
        ) from None


def _picture(tree: Tree, record: Record, size: int, roi: bool) -> np.ndarray:
    """Read, check, crop and resize one image, as uint8 (size, size, 3)."""
    from PIL.Image import Resampling

    image = decode(tree.read(record.file))
    if image.size != (record.width, record.height):
        raise DataError(
            f"is {image.width} x {image.height} pixels, but its table says {record.width} x "
            f"{record.height}: its region of interest cannot be right"
        )
    if roi:
        x1, y1, x2, y2 = record.box
        image = image.crop((x1, y1, x2 + 1, y2 + 1))
    return np.asarray(image.resize((size, size), Resampling.BILINEAR))


def _first_faults(faults: Faults) -> str:
    if not faults.found:
        return "its tables name none"
    shown = "; ".join(f"{name}: {reason}" for name, reason in faults.found[:3])
    more = len(faults.found) - 3
    return shown + (f"; and {more} more" if more > 0 else "")
