"""Motions of the whole picture: turned, nearer, seen from the side, on rubber, mirrored."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from minicnn.backend.random import Stream
from minicnn.data.augment.motion import Motion, about_middle
from minicnn.data.augment.view import Transform, View, check_width
from minicnn.errors import ConfigError

__all__ = ["Affine", "Elastic", "Flip", "Perspective"]


@dataclass(frozen=True)
class Affine(Transform):
    """Turn, scale, shear and shift about the middle: parallels stay parallel.

    Each measure but the scale is the half-width of the range it is drawn evenly from.

    Parameters
    ----------
    rotation : float, default 0.1
        In radians.
    scale : (float, float), default (0.8, 1.25)
        The least and the greatest; as likely to halve as to double.
    stretch : float, default 0.0
        Of the width alone, as a share.
    shear : float, default 0.0
        Columns shifted by rows.
    shift : float, default 0.1
        As a share of the height and width.

    Raises
    ------
    ConfigError
        If a measure is negative or not finite, or the scale no range.
    """

    rotation: float = 0.1
    scale: tuple[float, float] = (0.8, 1.25)
    stretch: float = 0.0
    shear: float = 0.0
    shift: float = 0.1

    def __post_init__(self) -> None:
        for name in ("rotation", "stretch", "shear", "shift"):
            check_width("Affine", name, getattr(self, name))
        check_range("Affine", "scale", self.scale)
        if self.stretch >= 1 or self.shear >= 1:
            raise ConfigError(
                f"Affine: stretch {self.stretch} and shear {self.shear} must be below 1, or the "
                "picture may vanish"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw how far, and say so."""
        draws = stream.uniform(6, -1.0, 1.0)
        low, high = np.log(self.scale)
        larger = math.exp((low + high) / 2 + (high - low) / 2 * draws[0])
        turn, wider = self.rotation * draws[1], 1 + self.stretch * draws[2]
        # From the old picture to the new one: stretched and sheared first, then turned
        forward = turned(turn) * larger @ np.array([[1.0, 0.0], [self.shear * draws[3], wider]])
        shift = self.shift * np.array(view.size) * draws[4:]
        return view.moved(about_middle(view.size, np.linalg.inv(forward), shift))


@dataclass(frozen=True)
class Perspective(Transform):
    """See the picture from another side: its corners move in or out, each by itself.

    Parameters
    ----------
    strength : float, default 0.1
        How far at most, as a share of the height and width; below 0.25.

    Raises
    ------
    ConfigError
        If the strength is not from 0 to 0.25.
    """

    strength: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 0.25:
            raise ConfigError(
                f"Perspective: a strength of {self.strength}; give 0 to below 0.25, or corners "
                "may fall together"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw where the corners go, and say so."""
        height, width = view.size
        corners = np.array([[0, 0], [0, 1], [1, 1], [1, 0]]) * [height, width]
        pushed = corners + self.strength * stream.uniform((4, 2), -1.0, 1.0) * [height, width]
        return view.moved(Motion((height, width), _homography(corners, pushed)))


@dataclass(frozen=True)
class Elastic(Transform):
    """Draw the picture on rubber and pull it here and there: how handwriting and cells vary.

    Places `spacing` apart are pushed at random; between them the push varies smoothly, by a cubic
    B-spline.

    Parameters
    ----------
    strength : float, default 0.2
        How far a place is pushed at most, as a share of the spacing; below 0.25, where the picture
        could begin to fold.
    spacing : float, default 0.2
        As a share of the longer side.

    Raises
    ------
    ConfigError
        If a measure is out of range.

    References
    ----------
    Simard, Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to
    Visual Document Analysis", ICDAR 2003; there Gaussian filters smooth the pushes.
    """

    strength: float = 0.2
    spacing: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.strength < 0.25 or not 0.02 <= self.spacing <= 1:
            raise ConfigError(
                f"Elastic: strength {self.strength}, spacing {self.spacing}; give a strength from "
                "0 to below 0.25 and a spacing from 0.02 to 1"
            )

    def apply(self, view: View, stream: Stream) -> View:
        """Draw the pushes, and say so."""
        height, width = view.size
        spacing = max(1.0, self.spacing * max(height, width))
        cell = min(max(int(spacing / 3), 1), 16)
        down, across = (_spline(length, cell, spacing) for length in (height, width))
        knots = stream.uniform((down.shape[1], across.shape[1], 2), -1.0, 1.0)
        bend = np.einsum("ij,kl,jlc->ikc", down, across, self.strength * spacing * knots)
        return view.moved(Motion((height, width), np.eye(3), bend, cell))


@dataclass(frozen=True)
class Flip(Transform):
    """Mirror: only where what is mirrored is still the same thing, never for signs or text.

    Parameters
    ----------
    horizontal : float, default 0.5
        How likely left and right are swapped.
    vertical : float, default 0.0
        How likely top and bottom are swapped.
    diagonal : float, default 0.0
        How likely rows and columns are swapped, and with them the height and the width; with all
        three at 0.5, the eight ways to lay down a photograph are equally likely.

    Raises
    ------
    ConfigError
        If one is no probability.
    """

    horizontal: float = 0.5
    vertical: float = 0.0
    diagonal: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not 0 <= value <= 1:
                raise ConfigError(f"Flip: {name} is {value}; give a probability from 0 to 1")

    def apply(self, view: View, stream: Stream) -> View:
        """Draw which, and say so."""
        draws = stream.uniform(3)
        height, width = view.size
        matrix = np.eye(3)
        if draws[0] < self.horizontal:
            matrix[1, 1:] = -1, width
        if draws[1] < self.vertical:
            matrix[0, 0], matrix[0, 2] = -1, height
        if draws[2] < self.diagonal:
            matrix = matrix @ np.eye(3)[[1, 0, 2]]
            height, width = width, height
        elif (matrix == np.eye(3)).all():
            return view
        return view.moved(Motion((height, width), matrix))


def turned(angle: np.ndarray | float) -> np.ndarray:
    """Return matrices (..., 2, 2) that turn by angles (...), in radians, from y towards x."""
    matrices = np.empty((*np.shape(angle), 2, 2))
    matrices[..., 0, 0] = matrices[..., 1, 1] = np.cos(angle)
    matrices[..., 1, 0] = np.sin(angle)
    matrices[..., 0, 1] = -matrices[..., 1, 0]
    return matrices


def _homography(places: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Return the matrix that takes four places (4, 2) to four others.

    With h of eight numbers, ``y' * (h6*y + h7*x + 1) = h0*y + h1*x + h2`` and likewise for x':
    two equations for each place.
    """
    rows, right = [], []
    for (y, x), (to_y, to_x) in zip(places.tolist(), shown.tolist(), strict=True):
        rows.append([y, x, 1, 0, 0, 0, -to_y * y, -to_y * x])
        rows.append([0, 0, 0, y, x, 1, -to_x * y, -to_x * x])
        right += [to_y, to_x]
    return np.append(np.linalg.solve(np.array(rows), np.array(right)), 1.0).reshape(3, 3)


def _spline(length: int, cell: int, spacing: float) -> np.ndarray:
    """Return the weights (G, K) of K knots at G places, `cell` apart: a cubic B-spline's."""
    places = np.arange(-(-length // cell) + 1) * cell / spacing
    knots = np.arange(-1, math.ceil(places[-1]) + 2)
    away = np.abs(places[:, None] - knots)
    near = 2 / 3 - away**2 + away**3 / 2
    far = np.clip(2 - away, 0, None) ** 3 / 6
    return np.where(away < 1, near, far)


def check_range(who: str, name: str, given: tuple[float, float], most: float = np.inf) -> None:
    """Refuse what is no (least, greatest) above 0."""
    if len(given) != 2 or not 0 < given[0] <= given[1] <= most or given[1] == np.inf:
        raise ConfigError(
            f"{who}: {name} {given} is no range; give (least, greatest), above 0"
            + ("" if most == np.inf else f", up to {most:g}")
        )
