"""Procedural traffic signs: the 43 classes of GTSRB, drawn, worn, lit and photographed."""

from minicnn.data.signs.drawing import draw_sign
from minicnn.data.signs.tracks import make_signs

__all__ = ["draw_sign", "make_signs"]
