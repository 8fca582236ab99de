"""A picture and all that is known of it, which every change of the picture must keep true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from minicnn.errors import ConfigError, ShapeError

__all__ = ["IGNORED", "NOTHING", "Picture", "Rules", "batched", "padded"]

NOTHING = -1  # the class of a row that only fills up a table of boxes
IGNORED = -2  # the class of what is neither to be found nor background


class Picture(NamedTuple):
    """One photograph or drawing, and what is known of it; what is not known is None.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    boxes : ndarray of float32, shape (T, 4), optional
        Around its objects, (y0, x0, y1, x1) in pixels, half-open.
    classes : ndarray of int64, shape (T,), optional
        What the objects are: 0 ... K-1; -2 is neither to be found nor background, and moves along;
        rows of class -1 only fill up.
    mask : ndarray of uint8, shape (H, W), optional
        The class of each pixel.
    proposals : ndarray of float32, shape (P, 4), optional
        Boxes in which something may be; they move along and none is ever left out.
    label : ndarray of float32, shape (K,), optional
        How much the whole picture belongs to each class, 1 in sum.
    """

    image: np.ndarray
    boxes: np.ndarray | None = None
    classes: np.ndarray | None = None
    mask: np.ndarray | None = None
    proposals: np.ndarray | None = None
    label: np.ndarray | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        return self.image.shape[0], self.image.shape[1]


@dataclass(frozen=True)
class Rules:
    """What becomes of objects that are cut off, and of places nothing is known of.

    Parameters
    ----------
    visible : float, default 0.3
        The share of an object's box that must stay in the picture.
    smallest : float, default 0.0
        The length, in pixels, that the shorter side of its box must keep.
    cut : {"drop", "ignore"}, default "drop"
        What to do with objects of which less stays: leave them out, or set their class to -2,
        neither to be found nor background, if anything is left of them at all.
    outline : {"rectangle", "ellipse"}, default "rectangle"
        What a box is taken for when it is turned. The box around a turned rectangle holds all that
        the rectangle may hold; around things that leave its corners empty, such as blood cells and
        most traffic signs, the box around the turned ellipse is closer.
    fill : (int, int, int), optional
        The colour outside the photograph; by default its mean.
    void : int, default 255
        The class, in the mask, of what is outside or hidden.

    Raises
    ------
    ConfigError
        If one of them is no such thing.
    """

    visible: float = 0.3
    smallest: float = 0.0
    cut: Literal["drop", "ignore"] = "drop"
    outline: Literal["rectangle", "ellipse"] = "rectangle"
    fill: tuple[int, int, int] | None = None
    void: int = 255

    def __post_init__(self) -> None:
        if not 0 <= self.visible <= 1 or not 0 <= self.smallest < np.inf:
            raise ConfigError(
                f"Rules: visible {self.visible} is no share from 0 to 1, or smallest "
                f"{self.smallest} no length in pixels"
            )
        if self.cut not in ("drop", "ignore") or self.outline not in ("rectangle", "ellipse"):
            raise ConfigError(
                f"Rules: cut {self.cut!r}, outline {self.outline!r}; say 'drop' or 'ignore', "
                "'rectangle' or 'ellipse'"
            )
        colours = (*(self.fill or ()), self.void)
        if len(colours) not in (1, 4) or any(not 0 <= c <= 255 for c in colours):
            raise ConfigError(
                f"Rules: fill {self.fill} and void {self.void}; give a colour of three numbers "
                "from 0 to 255, and a class from 0 to 255"
            )


def check_picture(who: str, picture: Picture) -> None:
    """Refuse what is no `Picture`, in the name of a transform."""
    image, boxes, classes, mask, proposals, label = picture
    height, width = image.shape[:2] if image.ndim == 3 else (0, 0)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ShapeError(
            f"{who}: needs a uint8 image (H, W, 3), got {image.dtype} {image.shape}; decode it "
            "as RGB"
        )
    for name, given in (("boxes", boxes), ("proposals", proposals)):
        if given is not None and (given.ndim != 2 or given.shape[1] != 4):
            raise ShapeError(
                f"{who}: {name} must be (N, 4) as (y0, x0, y1, x1), got {given.shape}; none are "
                "(0, 4)"
            )
    if classes is not None and (boxes is None or classes.shape != boxes.shape[:1]):
        there = "no boxes" if boxes is None else f"boxes {boxes.shape}"
        raise ShapeError(f"{who}: classes {classes.shape} for {there}; give one class a box")
    if mask is not None and (mask.dtype != np.uint8 or mask.shape != (height, width)):
        raise ShapeError(
            f"{who}: needs a uint8 mask {(height, width)}, the size of its image, got "
            f"{mask.dtype} {mask.shape}"
        )
    if label is not None and label.ndim != 1:
        raise ShapeError(f"{who}: the label must be shares of the classes (K,), got {label.shape}")


def padded(picture: Picture, most: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Part a picture into what a network sees and what it is to say, of a size that never varies.

    Parameters
    ----------
    picture : Picture
        With boxes and classes, or without.
    most : int
        How many rows T the table of objects has. Of more, the first are taken, those that are to
        be ignored last of all.

    Returns
    -------
    image : ndarray of uint8, shape (H, W, 3)
        The picture's.
    truths : dict of str to ndarray
        "boxes", float32 (T, 4), and "classes", int64 (T,), with 0 and -1 in rows without an
        object, if the picture has boxes; of classes it does not have, 0 is written. "mask",
        "proposals" and "label" as they are, if it has them.

    Raises
    ------
    ConfigError
        If `most` is below 1.
    """
    if most < 1:
        raise ConfigError(f"padded: a table of {most} rows holds nothing; give 1 or more")
    truths: dict[str, np.ndarray] = {}
    if picture.boxes is not None:
        count = len(picture.boxes)
        classes = np.zeros(count, np.int64) if picture.classes is None else picture.classes
        order = np.argsort(classes < 0, kind="stable")[:most]
        truths["boxes"] = np.zeros((most, 4), np.float32)
        truths["classes"] = np.full(most, NOTHING, np.int64)
        truths["boxes"][: len(order)] = picture.boxes[order]
        truths["classes"][: len(order)] = classes[order]
    for name in ("mask", "proposals", "label"):
        value = getattr(picture, name)
        if value is not None:
            truths[name] = value
    return picture.image, truths


def batched(
    pictures: Sequence[Picture], most: int | None = None
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Join pictures of one size into a batch.

    Parameters
    ----------
    pictures : sequence of Picture
        N of them, that know the same things.
    most : int, optional
        How many rows T the tables of objects have, as in `padded`; by default as many as the
        picture with the most objects needs.

    Returns
    -------
    images : ndarray of uint8, shape (N, H, W, 3)
        What the network sees.
    truths : dict of str to ndarray
        As from `padded`, with a first axis of N: "boxes" (N, T, 4), "classes" (N, T), ... Tables
        of proposals are filled up, with rows of zeros, to the longest.

    Raises
    ------
    ConfigError
        If there are none.
    ShapeError
        If their sizes differ, or one knows what another does not.

    Examples
    --------
    >>> one = Picture(np.zeros((4, 6, 3), np.uint8), np.ones((2, 4), np.float32))
    >>> images, truths = batched([one, one])
    >>> images.shape, truths["boxes"].shape, truths["classes"].shape
    ((2, 4, 6, 3), (2, 2, 4), (2, 2))
    """
    if not pictures:
        raise ConfigError("batched: no pictures; give at least one")
    if most is None:
        most = max(1, *(0 if p.boxes is None else len(p.boxes) for p in pictures))
    rows = [padded(picture, most) for picture in pictures]
    images, truths = [image for image, _ in rows], [truth for _, truth in rows]
    if len({image.shape for image in images}) > 1 or len({tuple(t) for t in truths}) > 1:
        raise ShapeError(
            f"batched: pictures of sizes {sorted({p.size for p in pictures})} that know "
            f"{sorted({tuple(t) for t in truths})}; make them alike, for example with Letterbox"
        )
    longest = max(len(t.get("proposals", ())) for t in truths)
    for truth in truths:
        if "proposals" in truth:
            given = truth["proposals"]
            truth["proposals"] = np.zeros((longest, 4), np.float32)
            truth["proposals"][: len(given)] = given
    return np.stack(images), {name: np.stack([t[name] for t in truths]) for name in truths[0]}
