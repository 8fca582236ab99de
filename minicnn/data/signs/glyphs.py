"""Digits and the letters of STOP as strokes, after the German road alphabet (DIN 1451).

A glyph is a few paths in a box one unit high, for a pen about `PEN` wide. Own strokes rather
than a font: fonts differ between machines, and the data must not.
"""

from __future__ import annotations

from minicnn.data.signs.shapes import Path, Shapes, arc, stroke

__all__ = ["text"]

PEN = 0.17
_L, _R, _M = PEN / 2, 0.58 - PEN / 2, 0.29  # left, right and middle of a glyph's strokes
_T, _B = PEN / 2, 1 - PEN / 2  # top and bottom
_RX = (_R - _L) / 2

_GLYPHS: dict[str, tuple[float, tuple[Path, ...]]] = {
    "0": (
        0.58,
        (
            [
                *arc(_M, 0.30, _RX, 0.30 - _T, 180, 360),
                *arc(_M, 0.70, _RX, _B - 0.70, 0, 180),
                (_L, 0.30),
            ],
        ),
    ),
    "1": (0.36, ([(0.05, 0.26), (0.27, _T), (0.27, 1.0)],)),
    "2": (
        0.58,
        ([*arc(_M, 0.30, _RX, 0.30 - _T, 190, 375), (_L, _B), (_R, _B)],),
    ),
    "3": (
        0.58,
        (
            [
                *arc(_M, 0.285, _RX * 0.95, 0.285 - _T, 195, 420),
                (_M - 0.06, 0.485),
            ],
            [
                (_M - 0.06, 0.485),
                *arc(_M, 0.70, _RX, _B - 0.70, -70, 165),
            ],
        ),
    ),
    "5": (
        0.58,
        (
            [
                (_R - 0.02, _T),
                (_L + 0.03, _T),
                (_L + 0.01, 0.48),
                *arc(_M, 0.66, _RX, _B - 0.66, -130, 160),
            ],
        ),
    ),
    "6": (
        0.58,
        (
            arc(_M, 0.675, _RX, _B - 0.675, 0, 360),
            [(_L, 0.675), *arc(_R + 0.06, 0.675, _R + 0.06 - _L, 0.675 - _T, 180, 262)],
        ),
    ),
    "7": (0.56, ([(0.02, _T), (_R, _T), (0.18, 0.98)],)),
    "8": (
        0.58,
        (
            arc(_M, 0.275, _RX * 0.9, 0.275 - _T, 0, 360),
            arc(_M, 0.70, _RX, _B - 0.70, 0, 360),
        ),
    ),
    "S": (
        0.55,
        (
            [
                *arc(_M - 0.02, 0.29, _RX, 0.29 - _T, -15, -190),
                (_M - 0.1, 0.45),
                (_M + 0.08, 0.54),
                *arc(_M - 0.02, 0.71, _RX, _B - 0.71, -10, 165),
            ],
        ),
    ),
    "T": (0.54, ([(0.03, _T), (0.51, _T)], [(0.27, _T), (0.27, 1.0)])),
    "O": (
        0.58,
        (
            [
                *arc(_M, 0.32, _RX, 0.32 - _T, 180, 360),
                *arc(_M, 0.68, _RX, _B - 0.68, 0, 180),
                (_L, 0.32),
            ],
        ),
    ),
    "P": (
        0.54,
        (
            [
                (_L, _B),
                (_L, _T),
                (0.26, _T),
                *arc(0.26, 0.32, 0.20, 0.32 - _T, -90, 90),
                (_L, 0.555),
            ],
        ),
    ),
}
_GAP = 0.11


def text(
    word: str, height: float, squeeze: float = 1.0, colour: str = "black", pen: float = PEN
) -> Shapes:
    """Write a word around the point (0, 0).

    Parameters
    ----------
    word : str
        Digits that occur on speed limits, or the letters of STOP.
    height : float
        Height of the glyphs.
    squeeze : float, default 1
        Width relative to the normal one; below 1 the glyphs are narrower.
    colour : str
        A name from the palette.
    pen : float, default 0.17
        Width of the strokes, as a share of the height.

    Returns
    -------
    tuple of Polygon
        The strokes.
    """
    shapes: Shapes = ()
    total = sum(_GLYPHS[c][0] for c in word) + _GAP * (len(word) - 1)
    left = -total / 2
    for character in word:
        width, paths = _GLYPHS[character]
        for path in paths:
            moved = [((left + x) * squeeze * height, (y - 0.5) * height) for x, y in path]
            ends = "flat" if character in "17TP" else "round"
            shapes += stroke(moved, pen * height, colour, ends)
        left += width + _GAP
    return shapes
