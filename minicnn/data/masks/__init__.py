"""Images with the class of each pixel: drawn streets, CamVid, and plain folders of masks."""

from minicnn.data.masks.fitting import fit_mask, fit_masks
from minicnn.data.masks.loading import CAMVID_CLASSES, MASK_LAYOUTS, load_masks, mask_layout_of
from minicnn.data.masks.mask_set import MaskExample, MaskSet
from minicnn.data.masks.scenes import load_street_scenes

__all__ = [
    "CAMVID_CLASSES",
    "MASK_LAYOUTS",
    "MaskExample",
    "MaskSet",
    "fit_mask",
    "fit_masks",
    "load_masks",
    "load_street_scenes",
    "mask_layout_of",
]
