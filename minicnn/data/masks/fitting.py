"""Pictures and their masks brought to one size: one by one, or a whole set, kept on disk."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from minicnn.data.image_cache import CacheSetting
from minicnn.data.masks.mask_set import MaskSet
from minicnn.data.masks.sources import StoredMasks, mask_dtype
from minicnn.data.masks.storing import stored
from minicnn.data.objects.fitting import fit, size_within
from minicnn.data.picture_sources import StoredPictures
from minicnn.data.reading_all import check_request, read_all, room
from minicnn.errors import ShapeError

__all__ = ["fit_mask", "fit_masks"]

_VOID = 255  # the label of the margin where a set ignores none


def fit_mask(
    image: np.ndarray, mask: np.ndarray, size: tuple[int, int], ignore_label: int = _VOID
) -> tuple[np.ndarray, np.ndarray]:
    """Enlarge or shrink a picture and its mask until they just fit; fill up right and below.

    The picture as `minicnn.data.objects.fit` does it; of the mask, each pixel takes the label of
    the one that its middle falls on.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        RGB.
    mask : ndarray of int, shape (H, W)
        The class of each pixel.
    size : (int, int)
        Height and width to fit into, in pixels.
    ignore_label : int, default 255
        The label of what is filled up.

    Returns
    -------
    image : ndarray of uint8, shape (*size, 3)
        The picture in the upper left corner, grey around it; itself if it has that size.
    mask : ndarray of the mask's type, shape size
        Its mask.

    Raises
    ------
    ShapeError
        If the picture is not uint8 (H, W, 3), or the mask not of its size.
    ConfigError
        If the size is not positive.

    Examples
    --------
    >>> image, mask = np.zeros((4, 8, 3), np.uint8), np.ones((4, 8), np.uint8)
    >>> fit_mask(image, mask, (4, 4))[1].tolist()
    [[1, 1, 1, 1], [1, 1, 1, 1], [255, 255, 255, 255], [255, 255, 255, 255]]
    """
    if mask.shape != image.shape[:2] or mask.dtype.kind not in "iu":
        raise ShapeError(
            f"fit_mask: a mask of {mask.dtype} {mask.shape} for a picture {image.shape}; give "
            f"whole numbers {image.shape[:2]}"
        )
    fitted, _, _ = fit(image, [], size)
    after = size_within(image.shape[:2], size)
    if after == mask.shape == tuple(size):
        return fitted, mask
    whole = np.full(size, ignore_label, mask.dtype)
    rows, columns = (
        (2 * np.arange(new) + 1) * old // (2 * new)
        for new, old in zip(after, mask.shape, strict=True)
    )
    whole[: after[0], : after[1]] = mask[rows[:, None], columns]
    return fitted, whole


def fit_masks(
    images: MaskSet,
    size: tuple[int, int],
    cache: CacheSetting = True,
    skip_bad: bool = False,
    workers: int | None = None,
) -> MaskSet:
    """Read all images of a set and bring them to one size, their masks with them; see `fit_mask`.

    Parameters
    ----------
    images : MaskSet
        The set.
    size : (int, int)
        Height and width in pixels.
    cache : bool, str, Path or None, default True
        Keep the result on disk: True in `minicnn.data.image_cache.cache_folder`, a path there,
        False or None not at all.
    skip_bad : bool, default False
        Leave out images whose files are broken, or whose masks have labels that are no class, and
        list them in `faults`, instead of ending the run.
    workers : int, optional
        Threads that decode; by default one per CPU. The result is the same with any number.

    Returns
    -------
    MaskSet
        The set in memory; its `images` and `masks` are one array each. If the set ignores no
        label, 255 (or the number of classes, if that is more) is ignored now: the margin has it.

    Raises
    ------
    ConfigError
        If an argument makes no sense, or there is too little memory.
    DataError
        If an image or a mask is broken; the message names its file.
    """
    check_request("fit_masks", size, workers)
    import PIL

    height, width = size
    key = ("fitted", images.fingerprint(), images.files, images.faults, size, skip_bad)
    found = stored(
        cache,
        f"masks-{len(images)}-{height}x{width}",
        (*key, PIL.__version__),
        lambda: _read_all(images, size, skip_bad, workers),
    )
    return replace(found, source=images.source)


def _read_all(
    images: MaskSet, size: tuple[int, int], skip_bad: bool, workers: int | None
) -> MaskSet:
    """Decode every image and mask; faults come out in their order."""
    void = images.ignore_label
    void = max(len(images.names), _VOID) if void is None else void
    pixels = room("fit_masks", (len(images), *size, 3), np.uint8)
    labels = room("fit_masks", (len(images), *size), mask_dtype(len(images.names), void))

    def read(index: int) -> None:
        image, mask = images[index]
        pixels[index], labels[index] = fit_mask(image, mask.astype(labels.dtype), size, void)

    found = read_all(images, read, skip_bad, workers)
    every = len(found.rows) == len(images)
    return MaskSet(
        StoredPictures(pixels if every else pixels[found.rows]),
        StoredMasks(labels if every else labels[found.rows]),
        np.arange(len(found.rows)),
        tuple(images.files[row] for row in found.rows),
        images.names,
        void,
        images.source,
        (*images.faults, *found.faults),
    )
