"""A small set of pictures in the layout of Pascal VOC: bright squares and dark discs on noise."""

import numpy as np
from PIL import Image

NAMES = ("disc", "square")
HEIGHT, WIDTH = 60, 80


def write_voc(folder, count=10, seed=0, odd=True, held_out=4):
    """Write pictures 0 ... count - 1, of which the last few are held out; return the folder.

    With `odd`, the first four show nothing at all, a box of no area (from a pixel to itself), one
    outside, and one half outside.
    """
    rng = np.random.default_rng(seed)
    for sub in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / sub).mkdir(parents=True)
    for number in range(count):
        pixels = rng.integers(90, 160, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        boxes = [] if odd and number == 0 else [_painted(pixels, rng) for _ in range(2)]
        if odd and 0 < number < 4:
            beside = [(20, 20, 21, 21), (90, 10, 120, 30), (-9, 50, 12, 70)][number - 1]
            boxes.append(("square", beside))
        Image.fromarray(pixels).save(folder / f"JPEGImages/{number:03}.png")
        (folder / f"Annotations/{number:03}.xml").write_text(_xml(number, boxes))
    names = [f"{number:03}" for number in range(count)]
    for part, own in (("train", names[:-held_out]), ("val", names[-held_out:])):
        (folder / f"ImageSets/Main/{part}.txt").write_text("\n".join(own) + "\n")
    return folder


def _painted(pixels, rng):
    """Paint an object; return its name and its box, (y0, x0, y1, x1), half-open."""
    side = int(rng.integers(14, 28))
    y0, x0 = int(rng.integers(0, HEIGHT - side)), int(rng.integers(0, WIDTH - side))
    name = NAMES[int(rng.integers(2))]
    part = pixels[y0 : y0 + side, x0 : x0 + side]
    if name == "square":
        part[:] = (250, 240, 60)
    else:
        y, x = np.mgrid[:side, :side] - (side - 1) / 2
        part[y**2 + x**2 <= side**2 / 4] = (10, 20, 90)
    return name, (y0, x0, y0 + side, x0 + side)


def _xml(number, boxes):
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin>"
        f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, (y0, x0, y1, x1) in boxes
    )
    return (
        f"<annotation><filename>{number:03}.png</filename><size><width>{WIDTH}</width>"
        f"<height>{HEIGHT}</height><depth>3</depth></size>{objects}</annotation>"
    )
