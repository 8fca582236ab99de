"""The networks that classify pixels by their names: how each is built, and how fast it learns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from minicnn.models import FCN, DeepLab, PSPNet, SegNet, UNet
from minicnn.nn import Module

__all__ = ["SEGMENTERS", "Segmenter"]


@dataclass(frozen=True)
class Segmenter:
    """How a network is built and trained.

    Parameters
    ----------
    title : str
        Its name among people.
    build : callable
        ``(classes, channels) -> Module``, with so many channels in its first layer.
    channels : int
        How many suit a run of minutes on two cores.
    peak : float
        The learning rate at the peak of the one-cycle schedule, for `BATCH` images a step.
    view : int, optional
        How many pixels to one side decide on the class of a pixel at most; None: all there are.
    """

    title: str
    build: Callable[[int, int], Module]
    channels: int
    peak: float
    view: int | None = None


BATCH = 8


def _unet(classes: int, channels: int) -> Module:
    return UNet(classes, tuple(channels * 2**i for i in range(4)))


def _course(classes: int, channels: int) -> Module:
    return UNet(classes, tuple(channels * 2**i for i in range(3)))


def _noskips(classes: int, channels: int) -> Module:
    return UNet(classes, tuple(channels * 2**i for i in range(4)), skips=False)


def _segnet(classes: int, channels: int) -> Module:
    return SegNet(classes, tuple(channels * 2**i for i in range(4)))


SEGMENTERS: dict[str, Segmenter] = {
    "unet": Segmenter("U-Net", _unet, 16, 6e-3, 52),
    "course": Segmenter("U-Net of the course", _course, 64, 3e-3, 24),
    "noskips": Segmenter("U-Net without skips", _noskips, 16, 6e-3, 52),
    "segnet": Segmenter("SegNet", _segnet, 16, 6e-3, 72),
    "fcn": Segmenter("FCN", lambda classes, c: FCN(classes, c, blocks=2), 24, 6e-3, 160),
    "pspnet": Segmenter(
        "PSPNet", lambda classes, c: PSPNet(classes, c, blocks=2, aux=True), 24, 6e-3
    ),
    "dilated": Segmenter("DeepLab", lambda classes, c: DeepLab(classes, c, blocks=2), 24, 6e-3),
}
