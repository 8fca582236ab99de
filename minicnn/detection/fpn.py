"""A feature pyramid: maps of every scale, each of which knows what the coarser ones saw.

Fine maps know where things are, coarse maps what they are. The pyramid carries the latter down:
each map is the sum of the backbone's own, by a 1x1 convolution, and of the coarser one, enlarged.
"""

from __future__ import annotations

from collections.abc import Sequence

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn import BatchNorm2d, Conv2d, Module, Sequential

__all__ = ["FeaturePyramid"]


class FeaturePyramid(Module):
    """Give all maps of a backbone the same channels, and the fine ones what the coarse ones know.

    From the coarsest map to the finest, ``P_i = conv3x3(M_i)`` with
    ``M_i = conv1x1(C_i) + enlarge(M_{i+1})``, where C_i is the backbone's map. Further, coarser
    maps come from the coarsest by convolutions with stride 2.

    Parameters
    ----------
    widths : sequence of int
        Channels of the backbone's maps, the finest first.
    channels : int, default 64
        Channels of all maps of the pyramid.
    more : int, default 1
        How many maps to add, each half as large as the one before.

    Raises
    ------
    ConfigError
        If there is no map, or a number is out of range.

    Notes
    -----
    Departures from the paper: batch normalisation after each convolution, for training from
    scratch; and where a side of the finer map is odd, the enlarged one loses a row or column.

    References
    ----------
    Lin, Dollar, Girshick, He, Hariharan and Belongie, "Feature Pyramid Networks for Object
    Detection", CVPR 2017, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor
    >>> maps = [Tensor(np.zeros((2, c, s, s), np.float32)) for c, s in ((8, 9), (16, 5))]
    >>> [p.shape for p in FeaturePyramid((8, 16), channels=12)(maps)]
    [(2, 12, 9, 9), (2, 12, 5, 5), (2, 12, 3, 3)]
    """

    def __init__(self, widths: Sequence[int], channels: int = 64, more: int = 1) -> None:
        if not widths or min(*widths, channels) < 1 or more < 0:
            raise ConfigError(
                f"FeaturePyramid: maps of {tuple(widths)} channels, {more} more, to {channels}; "
                "give one map or more, 1 channel or more, and no fewer than 0 further maps"
            )
        self.lateral = Sequential(
            *(Conv2d(width, channels, 1, normalizer=BatchNorm2d) for width in widths)
        )
        self.smooth = Sequential(*(_convolution(channels) for _ in widths))
        self.more = Sequential(*(_convolution(channels, stride=2) for _ in range(more)))

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Compute the pyramid.

        Parameters
        ----------
        maps : sequence of Tensor, shapes (N, C_i, H_i, W_i)
            Of the backbone, the finest first; each side is half that of the one before, rounded
            up.

        Returns
        -------
        list of Tensor, shapes (N, channels, H_i, W_i)
            The finest first, then the further ones.
        """
        merged = [lateral(m) for lateral, m in zip(self.lateral, maps, strict=True)]
        for i in range(len(merged) - 2, -1, -1):
            merged[i] = merged[i] + enlarged(merged[i + 1], merged[i].shape[2:])
        pyramid = [smooth(m) for smooth, m in zip(self.smooth, merged, strict=True)]
        for coarser in self.more:
            pyramid.append(coarser(pyramid[-1]))
        return pyramid


def enlarged(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Double a map's sides by repeating its pixels, and cut it off at this height and width."""
    height, width = size
    return ops.resize(x, scale=2, axes=(2, 3))[:, :, :height, :width]


def _convolution(channels: int, stride: int = 1) -> Conv2d:
    return Conv2d(channels, channels, 3, stride, 1, normalizer=BatchNorm2d, activation=ops.relu)
