"""Small made-up sets of images and masks in the layouts of the real ones, for the tests here."""

import io

import numpy as np
from object_files import picture
from PIL import Image

from minicnn.data.masks import MaskSet


def mask(size=(40, 60), labels=3, kind="PNG", palette=False, **options):
    """The bytes of a file: bands of labels from left to right."""
    numbers = np.broadcast_to(np.arange(size[1]) * labels // size[1], size).astype(np.uint8)
    return mask_file(numbers, kind, palette, **options)


def mask_file(numbers, kind="PNG", palette=False, **options):
    image = Image.fromarray(numbers)
    if palette:  # whose colours have nothing to do with the indices
        colours = np.random.default_rng(1).integers(0, 256, 3 * 256)
        image.putpalette(colours.astype(np.uint8).tobytes())
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def camvid():
    """Two images to train with, one to validate."""
    files = {}
    for part, names in (("train", ("a", "b")), ("val", ("a",))):
        for name in names:
            files[f"{part}/{name}.jpg"] = picture(kind="JPEG")
            files[f"{part}annot/{name}.png"] = mask(labels=12)
    return files


def folders():
    """Two images in two parts, masks with palettes, and names of the classes."""
    return {
        "classes.txt": "road\ncar\nsky\n\n",
        "images/train/1.jpg": picture(kind="JPEG"),
        "images/val/2.png": picture(30, 50),
        "masks/train/1.png": mask(palette=True),
        "masks/val/2.png": mask((30, 50), palette=True),
    }


def pairs():
    """Two images with their masks beside them."""
    return {
        "1.jpg": picture(kind="JPEG"),
        "1_mask.png": mask(),
        "within/2.png": picture(),
        "within/2_mask.png": mask(labels=2),
    }


def some(count=4, size=(32, 48), ignore_label=None):
    """Bands of three classes, shifted from image to image."""
    generator = np.random.default_rng(0)
    columns = np.arange(size[1]) + np.arange(count)[:, None]
    masks = np.broadcast_to((columns // 8 % 3)[:, None], (count, *size)).astype(np.uint8)
    images = generator.integers(0, 256, (count, *size, 3), np.uint8)
    return MaskSet.of(images, masks, ["road", "car", "sky"], ignore_label)
