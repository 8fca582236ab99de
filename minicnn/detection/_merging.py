"""One map of features out of a backbone's several: fine, and yet seen from afar."""

from __future__ import annotations

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.detection.fpn import enlarged
from minicnn.errors import ConfigError
from minicnn.models.backbone import Backbone

__all__ = ["MergedMaps"]


class MergedMaps(nn.Module):
    """A backbone's maps, the coarser ones enlarged and added to the finer ones, as one map.

    ``y = conv3x3(top_i)`` with ``top_i = conv1x1(map_i) + enlarged(top_(i+1))``, from the coarsest
    map to the one of the wanted stride: the top-down way of a feature pyramid, of which only the
    finest map is used.

    Parameters
    ----------
    backbone : Backbone
        Whose maps.
    channels : int
        Of the merged map.
    stride : int
        Of the merged map, one of the backbone's.

    Raises
    ------
    ConfigError
        If the backbone has no map of that stride.

    References
    ----------
    Lin et al., "Feature pyramid networks for object detection", CVPR 2017, section 3.
    """

    def __init__(self, backbone: Backbone, channels: int, stride: int) -> None:
        if stride not in backbone.strides:
            raise ConfigError(
                f"MergedMaps: the backbone has no map of stride {stride}; choose from "
                f"{backbone.strides}"
            )
        self._first = backbone.strides.index(stride)
        self.backbone = backbone
        self.laterals = [nn.Conv2d(width, channels, 1) for width in backbone.widths[self._first :]]
        self.smooth = nn.Conv2d(
            channels, channels, 3, normalizer=nn.BatchNorm2d, activation=ops.relu
        )

    def forward(self, images: Tensor) -> Tensor:
        """Compute the map.

        Parameters
        ----------
        images : Tensor, shape (N, 3, H, W)
            A batch.

        Returns
        -------
        Tensor, shape (N, C, H/stride, W/stride)
            Rounded up.
        """
        maps = self.backbone(images)[self._first :]
        top = self.laterals[-1](maps[-1])
        for lateral, finer in zip(self.laterals[-2::-1], maps[-2::-1], strict=True):
            top = lateral(finer) + enlarged(top, finer.shape[2:])
        return self.smooth(top)
