"""The functional layers of normalisation and of resizing; see `minicnn.nn.layers`."""

from __future__ import annotations

from minicnn.nn._functional import functional
from minicnn.nn.group_normalization import (
    GroupNorm,
    InstanceNorm1d,
    InstanceNorm2d,
    InstanceNorm3d,
)
from minicnn.nn.layer_normalization import LayerNorm, RMSNorm
from minicnn.nn.local_response import LocalResponseNorm
from minicnn.nn.resize import Pad, PixelShuffle, PixelUnshuffle, Resize, Upsample

__all__ = [
    "group_norm",
    "instance_norm",
    "layer_norm",
    "local_response_norm",
    "pad",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize",
    "rms_norm",
    "upsample",
]

group_norm = functional(GroupNorm, "group_norm", "channels")
instance_norm = functional(
    InstanceNorm2d, "instance_norm", "channels", {3: InstanceNorm1d, 5: InstanceNorm3d}
)
layer_norm = functional(LayerNorm, "layer_norm", "lengths")
local_response_norm = functional(LocalResponseNorm, "local_response_norm")
pad = functional(Pad, "pad")
pixel_shuffle = functional(PixelShuffle, "pixel_shuffle")
pixel_unshuffle = functional(PixelUnshuffle, "pixel_unshuffle")
resize = functional(Resize, "resize")
rms_norm = functional(RMSNorm, "rms_norm", "lengths")
upsample = functional(Upsample, "upsample")
