"""Semantic segmentation: what lies between a network's scores and a mask."""

from minicnn.segmentation.losses import LOSSES, median_frequency_weights, pixel_loss
from minicnn.segmentation.test_time import averaged_views
from minicnn.segmentation.tiling import Strip, segment_in_tiles, strips

__all__ = [
    "LOSSES",
    "Strip",
    "averaged_views",
    "median_frequency_weights",
    "pixel_loss",
    "segment_in_tiles",
    "strips",
]
