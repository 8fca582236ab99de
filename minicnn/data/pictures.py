"""Opened picture files, of whatever kind, as 8-bit RGB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["to_rgb"]


def to_rgb(image: Image) -> Image:
    """Return a picture as 8-bit RGB.

    Parameters
    ----------
    image : PIL.Image.Image
        Opened by Pillow. Of 16-bit greys the upper eight bits are kept; Pillow's own conversion
        would cut them off at 255 and give a white picture.

    Returns
    -------
    PIL.Image.Image
        Of mode RGB.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        from PIL.Image import fromarray

        grey = np.asarray(image).astype(np.int64)
        image = fromarray((grey >> 8 if grey.max(initial=0) > 255 else grey).astype(np.uint8))
    return image.convert("RGB")
