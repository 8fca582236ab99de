"""Transforms in a row, the motions among them saved up and done in one go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment.motion import Motion, forth, looked_up, places_of
from minicnn.data.augment.picture import IGNORED, NOTHING, Picture, Rules, check_picture
from minicnn.errors import ConfigError

__all__ = ["Compose", "Sometimes", "Transform", "View"]

_TINY = 1e-9  # square pixels: no box is so small
_CORNERS = np.array([[-1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [1.0, -1.0]])
_TURNS = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_ELLIPSE = np.stack([np.sin(_TURNS), np.cos(_TURNS)], axis=-1)
_EDGES = np.concatenate(  # eight places on each edge: a bend makes them curves
    [
        start + np.linspace(0, 1, 8, endpoint=False)[:, None] * (end - start)
        for start, end in zip(_CORNERS, np.roll(_CORNERS, -1, axis=0), strict=True)
    ]
)


@dataclass(frozen=True, eq=False)
class View:
    """A picture and the motions that nobody has carried out yet.

    Parameters
    ----------
    picture : Picture
        As it was before.
    rules : Rules
        For what is cut off.
    motions : tuple of Motion
        The first one first.
    """

    picture: Picture
    rules: Rules = field(default_factory=Rules)
    motions: tuple[Motion, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, as seen."""
        return self.motions[-1].size if self.motions else self.picture.size

    def moved(self, motion: Motion) -> View:
        """Return the view after one more motion."""
        return View(self.picture, self.rules, (*self.motions, motion))

    def repainted(self, change: Callable[[Picture], Picture]) -> View:
        """Return the view of the picture as seen, changed."""
        return View(change(self.seen()), self.rules)

    def objects(self) -> np.ndarray:
        """Return the boxes (T, 4) of the objects to be found, as seen, cut off at the border."""
        boxes, classes = self.picture.boxes, self.picture.classes
        if boxes is None:
            return np.empty((0, 4))
        wanted = _sound(boxes)
        if classes is not None:
            wanted &= classes >= 0
        found = _clipped(self._moved_boxes(boxes[wanted]), self.size)
        return found[_sound(found)]

    def seen(self) -> Picture:
        """Return the picture as seen: the motions carried out, all at once."""
        if not self.motions:
            return self.picture
        image, _, _, mask, proposals, label = self.picture
        fill = self.rules.fill or mean_colour(image)
        boxes, classes = self._seen_objects()
        places = places_of(self.motions)
        if mask is not None:
            mask = looked_up(mask, self.motions, places, self.rules.void)
        if proposals is not None:
            sound = _sound(proposals)
            at = np.zeros((len(proposals), 4), np.float32)
            at[sound] = _clipped(self._moved_boxes(proposals[sound]), self.size)
            proposals = np.nan_to_num(at)
        image = looked_up(image, self.motions, places, fill)
        return Picture(image, boxes, classes, mask, proposals, label)

    def _seen_objects(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Return the boxes and classes of what can still be seen."""
        boxes, classes = self.picture.boxes, self.picture.classes
        if boxes is None:
            return None, None
        sound = _sound(boxes)
        if classes is not None:
            sound &= classes != NOTHING
            classes = classes[sound]
        whole = self._moved_boxes(boxes[sound])
        shown = _clipped(whole, self.size)
        return kept(shown, classes, areas(shown) / np.fmax(areas(whole), _TINY), self.rules)

    def _moved_boxes(self, boxes: np.ndarray) -> np.ndarray:
        """Return the boxes around where the motions take the outlines of boxes."""
        if not self.motions:
            return boxes.astype(np.float64)
        bent = any(motion.bend is not None for motion in self.motions)
        outline = _EDGES if bent else _CORNERS
        if self.rules.outline == "ellipse":
            outline = _ELLIPSE
        boxes = _clipped(boxes, self.picture.size).astype(np.float64)
        middle = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        half = (boxes[:, None, 2:] - boxes[:, None, :2]) / 2
        at = forth(self.motions, middle + half * outline)
        return np.concatenate([at.min(axis=1), at.max(axis=1)], axis=1)


class Transform:
    """A change of pictures at random: called with one and a stream, it returns another.

    A subclass has `apply`.
    """

    def __call__(self, picture: Picture, stream: Stream) -> Picture:
        """Return the picture, changed.

        Parameters
        ----------
        picture : Picture
            It stays as it is.
        stream : Stream
            Where the random numbers come from; it advances.

        Returns
        -------
        Picture
            With boxes, mask and proposals where the things are now.

        Raises
        ------
        ShapeError
            If it is no such picture.
        """
        check_picture(type(self).__name__, picture)
        return self.apply(View(picture), stream).seen()

    def apply(self, view: View, stream: Stream) -> View:
        """Return the view, changed; what only moves it says so and leaves the work for later.

        Parameters
        ----------
        view : View
            A picture, and the motions that are still to be done.
        stream : Stream
            Where the random numbers come from; it advances.

        Returns
        -------
        View
            Another one.
        """
        raise NotImplementedError(f"{type(self).__name__} does nothing")


@dataclass(frozen=True)
class Compose(Transform):
    """Transforms one after another; motions that follow one another become a single one.

    Parameters
    ----------
    transforms : sequence of Transform
        The first one first.
    rules : Rules, optional
        What becomes of objects that are cut off.

    Raises
    ------
    ConfigError
        If one of them is no transform.

    Examples
    --------
    >>> from minicnn.data.augment import Affine, Colour, Crop
    >>> recipe = Compose([Colour(), Affine(), Sometimes(Crop(), 0.5)])
    >>> picture = Picture(np.zeros((48, 64, 3), np.uint8))
    >>> recipe(picture, Stream(0, "example")).image.shape
    (48, 64, 3)
    """

    transforms: Sequence[Transform]
    rules: Rules = field(default_factory=Rules)

    def __post_init__(self) -> None:
        for transform in self.transforms:
            _check_transform("Compose", transform)

    def __call__(self, picture: Picture, stream: Stream) -> Picture:
        """Return the picture, changed by all of them.

        Parameters
        ----------
        picture : Picture
            It stays as it is.
        stream : Stream
            Where the random numbers come from; it advances.

        Returns
        -------
        Picture
            With boxes, mask and proposals where the things are now.
        """
        check_picture("Compose", picture)
        return self.apply(View(picture, self.rules), stream).seen()

    def apply(self, view: View, stream: Stream) -> View:
        """Apply each; inside another `Compose`, that one's rules hold."""
        for transform in self.transforms:
            view = transform.apply(view, stream)
        return view


@dataclass(frozen=True)
class Sometimes(Transform):
    """A transform that is applied to some pictures only.

    Parameters
    ----------
    transform : Transform
        Which.
    probability : float, default 0.5
        To how many of the pictures, as a share.

    Raises
    ------
    ConfigError
        If it is no transform, or the probability none.
    """

    transform: Transform
    probability: float = 0.5

    def __post_init__(self) -> None:
        _check_transform("Sometimes", self.transform)
        if not 0 <= self.probability <= 1:
            raise ConfigError(f"Sometimes: {self.probability} is no probability from 0 to 1")

    def apply(self, view: View, stream: Stream) -> View:
        """Draw whether, then apply it or not."""
        return self.transform.apply(view, stream) if stream.bernoulli(self.probability) else view


def kept(
    boxes: np.ndarray, classes: np.ndarray | None, share: np.ndarray, rules: Rules
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the boxes that show enough of their objects, of which a share (T,) can be seen.

    What is ignored stays so for as long as anything of it can be seen.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    there = (sides > 0).all(axis=1) & (share > 0)
    enough = there & (sides.min(axis=1, initial=np.inf) >= rules.smallest)
    enough &= share >= rules.visible
    if classes is None:
        return boxes[enough].astype(np.float32), None
    if rules.cut == "ignore":
        classes = np.where(enough, classes, IGNORED)
    else:
        there = np.where(classes == IGNORED, there, enough)
    return boxes[there].astype(np.float32), classes[there]


def areas(boxes: np.ndarray) -> np.ndarray:
    """Return the areas (N,) of boxes (N, 4), in square pixels."""
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(axis=1)


def mean_colour(image: np.ndarray) -> tuple[int, int, int]:
    """Return the mean colour of every fourth row and column: close enough, and ten times faster."""
    red, green, blue = image[::4, ::4].mean(axis=(0, 1)).round().astype(int).tolist()
    return red, green, blue


def check_width(who: str, name: str, value: float) -> None:
    """Refuse what is no half-width of a range."""
    if not 0 <= value < np.inf:
        raise ConfigError(f"{who}: {name} must be 0 or more, got {value}")


def _check_transform(who: str, transform: object) -> None:
    if not isinstance(transform, Transform):
        raise ConfigError(f"{who}: {transform!r} is no Transform; give Colour(), Affine(), ...")


def _sound(boxes: np.ndarray) -> np.ndarray:
    """Return which boxes (N, 4) have an area and are nowhere infinite."""
    return np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def _clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return np.clip(boxes, 0, (*size, *size))
