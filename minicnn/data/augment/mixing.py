"""Pictures made of several: mixed, as in a double exposure, or side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment.framing import Resize
from minicnn.data.augment.motion import Motion
from minicnn.data.augment.picture import Picture, Rules, check_picture
from minicnn.data.augment.view import Transform, View, kept
from minicnn.errors import ConfigError

__all__ = ["MixUp", "Mosaic", "Pictures"]


class Pictures(Protocol):
    """What other pictures are drawn from: a list of them, or whatever reads them when asked."""

    def __len__(self) -> int:
        """Return how many there are."""

    def __getitem__(self, index: int, /) -> Picture:
        """Return one of them; several threads may ask at once."""


@dataclass(frozen=True, eq=False)
class MixUp(Transform):
    """Mix the picture with another one, drawn at random and brought to its size.

    ``image = share * image + (1 - share) * other``, the share drawn from Beta(alpha, alpha). The
    labels are mixed alike. Of objects there are those of both; the share is what can be seen of
    them, and if that is less than the rules want, they are cut off. A picture that is fainter than
    that does not count in the mask either; otherwise pixels that are of two classes are void.

    Parameters
    ----------
    others : Pictures
        Where the other comes from: the whole training set, as a rule. It must know what the
        picture knows.
    alpha : float, default 0.2
        Small: nearly always one of the two shines through faintly. 1: every share is as likely.

    Raises
    ------
    ConfigError
        If there are no others, or alpha is not from 0 to 1000.

    References
    ----------
    Zhang, Cisse, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018;
    with boxes: Zhang et al., "Bag of Freebies for Training Object Detection Neural Networks", 2019.
    """

    others: Pictures
    alpha: float = 0.2

    def __post_init__(self) -> None:
        _check_others("MixUp", self.others)
        if not 0 < self.alpha <= 1000:
            raise ConfigError(f"MixUp: alpha must be above 0 and at most 1000, got {self.alpha}")

    def apply(self, view: View, stream: Stream) -> View:
        """Draw another and the share, and mix."""
        other = self.others[int(stream.integers(0, len(self.others)))]
        check_picture("MixUp", other)
        one, two = (_gamma(stream, self.alpha) for _ in range(2))
        share = one / (one + two) if one + two > 0 else 1.0
        resized = Resize(view.size).apply(View(other, view.rules), stream).seen()

        def change(picture: Picture) -> Picture:
            kind = np.float32
            mixed = picture.image.astype(kind)
            mixed *= kind(share)
            mixed += resized.image * kind(1 - share)
            label = picture.label
            if label is not None and resized.label is not None:
                label = (share * label + (1 - share) * resized.label).astype(label.dtype)
            image = (mixed + kind(0.5)).astype(np.uint8)
            both = _faded(picture, share, view.rules), _faded(resized, 1 - share, view.rules)
            mask = _mixed_mask(picture.mask, resized.mask, share, view.rules)
            return _joined(image, both)._replace(label=label, mask=mask)

        return view.repainted(change)


@dataclass(frozen=True, eq=False)
class Mosaic(Transform):
    """Put four pictures together at a point near the middle: four times the objects, and smaller.

    Each fills its quarter with a part of itself, at a scale of its own.

    Parameters
    ----------
    others : Pictures
        Where the three others come from; they must know what the picture knows.
    scale : (float, float), default (0.5, 1.0)
        Of each, so that 1 is the size at which the picture has the height and width of the mosaic.
    off : float, default 0.2
        How far at most the point is from the middle, as a share of the height and width; below 0.5.

    Raises
    ------
    ConfigError
        If there are no others, or a measure is out of range.

    References
    ----------
    Bochkovskiy, Wang and Liao, "YOLOv4: Optimal Speed and Accuracy of Object Detection", 2020,
    section 3.3.
    """

    others: Pictures
    scale: tuple[float, float] = (0.5, 1.0)
    off: float = 0.2

    def __post_init__(self) -> None:
        _check_others("Mosaic", self.others)
        if not 0 < self.scale[0] <= self.scale[1] < np.inf or not 0 <= self.off < 0.5:
            raise ConfigError(
                f"Mosaic: scale {self.scale}, off {self.off}; give (least, greatest) above 0, and "
                "0 to below 0.5"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw three others and where they go."""
        rows = stream.integers(0, len(self.others), 3).tolist()
        draws = stream.uniform(2, -1.0, 1.0)
        size = view.size
        y, x = (round(n * (0.5 + self.off * d)) for n, d in zip(size, draws.tolist(), strict=True))
        y, x = min(max(y, 1), size[0] - 1), min(max(x, 1), size[1] - 1)
        four = [view, *(View(self.others[row], view.rules) for row in rows)]
        for other in four[1:]:
            check_picture("Mosaic", other.picture)
        quarters = [(0, 0, y, x), (0, x, y, size[1]), (y, 0, size[0], x), (y, x, *size)]
        parts = [
            self._part(each, quarter, size, stream)
            for each, quarter in zip(four, quarters, strict=True)
        ]
        image = np.empty((*size, 3), np.uint8)
        masks = [part.mask for part in parts]
        mask = None if any(m is None for m in masks) else np.empty(size, np.uint8)
        for part, own, (y0, x0, y1, x1) in zip(parts, masks, quarters, strict=True):
            image[y0:y1, x0:x1] = part.image
            if mask is not None and own is not None:
                mask[y0:y1, x0:x1] = own
        shifted = [
            _shifted(part, corner) for part, (*corner, _, _) in zip(parts, quarters, strict=True)
        ]
        whole = _joined(image, shifted)._replace(mask=mask)
        return View(whole, view.rules)

    def _part(
        self, view: View, quarter: tuple[int, ...], size: tuple[int, int], stream: Stream
    ) -> Picture:
        """Return what a quarter of the mosaic shows of a picture."""
        y0, x0, y1, x1 = quarter
        shown = y1 - y0, x1 - x0
        low, high = np.log(self.scale)
        draws = stream.uniform(3)
        scale = math.exp(low + (high - low) * draws[0])
        # As large as the mosaic, or at least as large as what it has to fill
        fits = min(size[0] / view.size[0], size[1] / view.size[1])
        fills = max(shown[0] / view.size[0], shown[1] / view.size[1])
        finer = 1 / max(scale * fits, fills)
        matrix = np.diag([finer, finer, 1.0])
        for axis in range(2):
            spare = max(0.0, view.size[axis] - finer * shown[axis])
            matrix[axis, 2] = draws[1 + axis] * spare
        return view.moved(Motion(shown, matrix)).seen()


def _faded(picture: Picture, share: float, rules: Rules) -> Picture:
    """Return a picture with the objects that still count if only a share of it can be seen."""
    if picture.boxes is None:
        return picture
    boxes, classes = kept(picture.boxes, picture.classes, np.full(len(picture.boxes), share), rules)
    return picture._replace(boxes=boxes, classes=classes)


def _mixed_mask(
    one: np.ndarray | None, other: np.ndarray | None, share: float, rules: Rules
) -> np.ndarray | None:
    """Return the mask of a picture of which the first is a share."""
    if one is None or other is None or 1 - share < rules.visible:
        return None if other is None else one
    return other if share < rules.visible else np.where(one == other, one, np.uint8(rules.void))


def _joined(image: np.ndarray, pictures: Sequence[Picture]) -> Picture:
    """Return a picture with the objects and proposals of several, as far as all know theirs."""

    def together(name: str) -> np.ndarray | None:
        tables = [getattr(picture, name) for picture in pictures]
        return None if any(t is None for t in tables) else np.concatenate(tables)

    return Picture(image, together("boxes"), together("classes"), None, together("proposals"))


def _shifted(picture: Picture, corner: list[int]) -> Picture:
    """Return a picture whose boxes are counted from elsewhere."""
    by = np.array([*corner, *corner], np.float32)
    boxes = None if picture.boxes is None else picture.boxes + by
    proposals = None if picture.proposals is None else picture.proposals + by
    return picture._replace(boxes=boxes, proposals=proposals)


def _gamma(stream: Stream, alpha: float) -> float:
    """Draw from the gamma distribution (Marsaglia and Tsang, 2000); two of them make a Beta."""
    if alpha < 1:
        boost = (1 - float(stream.uniform())) ** (1 / alpha)
        return _gamma(stream, alpha + 1) * boost
    d = alpha - 1 / 3
    while True:
        z = float(stream.normal())
        v = (1 + z / math.sqrt(9 * d)) ** 3
        if v > 0 and math.log(1 - float(stream.uniform())) < z * z / 2 + d * (1 - v + math.log(v)):
            return d * v


def _check_others(who: str, others: Pictures) -> None:
    if not len(others):
        raise ConfigError(f"{who}: there are no others to draw from; give the training set")
