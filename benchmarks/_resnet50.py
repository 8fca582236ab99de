"""The convolutions of ResNet-50, each distinct one with how often it occurs.

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", CVPR 2016, table 1; as is
usual now, a stage halves the image in the 3x3 convolution of its first block, not in the 1x1.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

IMAGE = 224
BATCH = 64
BLOCKS = (3, 4, 6, 3)  # of each stage
PASSES = ("forward", "grad of input", "grad of weight")


class Shape(NamedTuple):
    """A convolution of square images, padded such that an odd window is centred on its pixel."""

    channels: int
    filters: int
    window: int
    stride: int
    size: int  # of its input, in pixels

    @property
    def name(self) -> str:
        """What it is called in tables."""
        w = self.window
        text = f"{w}x{w} {self.channels}->{self.filters} @{self.size}"
        return text + f" /{self.stride}" * (self.stride > 1)

    @property
    def out(self) -> int:
        """The pixels along a side of its output."""
        return (self.size - 1) // self.stride + 1

    @property
    def passes(self) -> tuple[str, ...]:
        """What training computes: nobody wants the gradient of the photographs."""
        return PASSES if self.channels > 3 else (PASSES[0], PASSES[2])

    def flop(self, batch: int) -> int:
        """Return the operations of each pass: a product and a sum for each weight and output."""
        return 2 * batch * self.out**2 * self.filters * self.channels * self.window**2

    def shrunk(self) -> Shape:
        """Return a tiny likeness, to see that it runs."""
        few = 3 if self.channels == 3 else max(self.channels // 32, 4)
        filters, size = max(self.filters // 32, 4), max(self.size // 16, 4)
        return self._replace(channels=few, filters=filters, size=size)


def convolutions() -> dict[Shape, int]:
    """Return how often each convolution occurs, from the image to the last block."""
    found = Counter([Shape(3, 64, 7, 2, IMAGE)])
    channels, size = 64, IMAGE // 4  # a convolution and a pooling halve the image
    for stage, blocks in enumerate(BLOCKS):
        width = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            if not block:
                found[Shape(channels, 4 * width, 1, stride, size)] += 1  # the shortcut
            found[Shape(channels, width, 1, 1, size)] += 1
            found[Shape(width, width, 3, stride, size)] += 1
            size //= stride
            found[Shape(width, 4 * width, 1, 1, size)] += 1
            channels = 4 * width
    return dict(found)


def chosen(quick: bool) -> dict[Shape, int]:
    """Return the convolutions to measure; if it shall be quick, one of each kind, tiny."""
    if not quick:
        return convolutions()
    kinds = {(shape.window, shape.stride): shape for shape in reversed(convolutions())}
    return {shape.shrunk(): 1 for shape in kinds.values()}
