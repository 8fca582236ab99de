"""Regions of interest."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Array, Ints, Number, Table
from minicnn.interop.onnx._room import check_room

ROW_FIRST = [1, 0, 3, 2]  # ONNX's boxes are (x0, y0, x1, y1)


def max_roi_pool(x: Tensor, rois: Array, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Any:
    """Pool windows; a region is (image, x0, y0, x1, y1) and includes its last pixel."""
    xp, (rows, columns) = array_module(rois), pooled_shape
    check_room("MaxRoiPool", (len(rois), x.shape[1], rows, columns))
    ends = rois[:, 1:] * rois.dtype.type(spatial_scale)
    corners = xp.where(ends < 0, xp.ceil(ends - 0.5), xp.floor(ends + 0.5))  # as C's round
    windows = corners.astype(np.int64)[:, ROW_FIRST] + xp.asarray([0, 0, 1, 1])
    return ops.max_pool_windows(x, windows, rois[:, 0].astype(np.int64), (rows, columns))


def roi_align_10(
    x: Tensor,
    rois: Array,
    images: Array,
    *,
    mode: Literal["avg", "max"] = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Average or maximise points of regions, in opsets 10 to 15."""
    return roi_align(
        x, rois, images, coordinate_transformation_mode="output_half_pixel", mode=mode,
        output_height=output_height, output_width=output_width, sampling_ratio=sampling_ratio,
        spatial_scale=spatial_scale,
    )  # fmt: skip


def roi_align(
    x: Tensor,
    rois: Array,
    images: Array,
    *,
    coordinate_transformation_mode: Literal["half_pixel", "output_half_pixel"] = "half_pixel",
    mode: Literal["avg", "max"] = "avg",
    output_height: int = 1,
    output_width: int = 1,
    sampling_ratio: int = 0,
    spatial_scale: float = 1.0,
) -> Any:
    """Average or maximise points of regions.

    The maximum is that of each point's four neighbours times their weights, not of what they add up
    to: so ONNX's reference and all runtimes have it.
    """
    check_room("RoiAlign", (len(rois), x.shape[1], output_height, output_width))
    return ops.roi_align(
        x,
        rois[:, ROW_FIRST],
        images,
        (output_height, output_width),
        spatial_scale,
        sampling_ratio,
        coordinate_transformation_mode == "half_pixel",
        "max_taps" if mode == "max" else "avg",
    )


def non_max_suppression(
    boxes: Array,
    scores: Array,
    limit: Number = 0,
    overlap: Number = 0.0,
    least: Number = None,
    *,
    center_point_box: Literal[0, 1] = 0,
) -> Any:
    """Choose boxes for each image and class; returns rows of (image, class, box)."""
    xp, chosen = array_module(boxes), []
    wide = boxes.astype(np.float64)
    if center_point_box:  # (x, y, width, height)
        centres, halves = wide[..., 1::-1], wide[..., 3:1:-1] / 2
        wide = xp.concatenate([centres - halves, centres + halves], axis=-1)
    else:  # any two opposite corners
        first, second = wide[..., :2], wide[..., 2:]
        wide = xp.concatenate([xp.minimum(first, second), xp.maximum(first, second)], axis=-1)
    for image, of_classes in enumerate(scores):
        for kind, own in enumerate(of_classes):
            # A score that equals the threshold stays, as the text of the operator says.
            good = xp.arange(len(own)) if least is None else xp.nonzero(own >= least)[0]
            kept = ops.nms(wide[image][good], own[good], overlap or 0.0, limit=int(limit or 0))
            chosen += [(image, kind, int(good[i])) for i in kept.numpy()]
    return xp.asarray(chosen, dtype=np.int64).reshape(-1, 3)


OPERATORS: Table = {
    "MaxRoiPool": max_roi_pool,
    "NonMaxSuppression": non_max_suppression,
    "RoiAlign": {10: roi_align_10, 16: roi_align},
}
