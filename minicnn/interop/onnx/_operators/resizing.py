"""Resizing, in the ways of each opset."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.interop.onnx._operator import Array, Ints, Table
from minicnn.interop.onnx._room import check_room


def upsample_7(
    x: Tensor, *, mode: Literal["nearest", "linear"] = "nearest", scales: tuple[float, ...]
) -> Any:
    """Enlarge, in opsets 7 and 8."""
    return enlarge(x, scales, mode)


def upsample(x: Tensor, scales: Array, *, mode: Literal["nearest", "linear"] = "nearest") -> Any:
    """Resize as in opsets 9 and 10, where Upsample became Resize."""
    return enlarge(x, scales.tolist(), mode)


def enlarge(x: Tensor, scales: Any, mode: Any) -> Tensor:
    """Resize with pixels at ``i / scale``, rounded down, which is how it was before opset 11."""
    return resize(
        x, None, np.asarray(scales), coordinate_transformation_mode="asymmetric", mode=mode,
        nearest_mode="floor",
    )  # fmt: skip


def resize(
    x: Tensor,
    roi: Array = None,
    scales: Array = None,
    sizes: Ints | None = None,
    *,
    antialias: bool = False,
    axes: Ints | None = None,
    coordinate_transformation_mode: Literal[
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
        "tf_crop_and_resize",
    ] = "half_pixel",
    cubic_coeff_a: float = -0.75,
    exclude_outside: bool = False,
    extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: Literal["stretch", "not_larger", "not_smaller"] = "stretch",
    mode: Literal["nearest", "linear", "cubic"] = "nearest",
    nearest_mode: Literal[
        "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
    ] = "round_prefer_floor",
) -> Any:  # fmt: skip
    """Resize by scales or to sizes, of all axes or of those named."""
    axes = tuple(range(x.ndim)) if axes is None else tuple(a % x.ndim for a in axes)
    lengths = [x.shape[a] for a in axes]
    if scales is not None and scales.size:
        factors = [float(s) for s in scales]
        # In float32, as ONNX's own shape inference does: 10 pixels by 0.7 are 7, not 6.
        lengths_out = [
            int(np.float32(n) * np.float32(s)) for n, s in zip(lengths, scales, strict=True)
        ]
    elif sizes:
        factors = [m / n for n, m in zip(lengths, sizes, strict=True)]
        lengths_out = list(sizes)
        if keep_aspect_ratio_policy != "stretch":
            one = (min if keep_aspect_ratio_policy == "not_larger" else max)(factors)
            factors = [one] * len(axes)
            lengths_out = [math.floor(n * one + 0.5) for n in lengths]
    else:
        raise ConfigError("Resize: needs scales or sizes, the file gives neither")
    room = dict(enumerate(x.shape)) | dict(zip(axes, lengths_out, strict=True))
    check_room("Resize", list(room.values()))
    boxes = None
    if coordinate_transformation_mode == "tf_crop_and_resize":
        boxes = np.asarray(roi, np.float64).reshape(2, -1).T
    changed = [
        i
        for i, (n, m, f) in enumerate(zip(lengths, lengths_out, factors, strict=True))
        if (n, f) != (m, 1.0) or (boxes is not None and tuple(boxes[i]) != (0.0, 1.0))
    ]
    if not changed:
        return x
    return ops.resize(
        x,
        size=tuple(lengths_out[i] for i in changed),
        scale=tuple(factors[i] for i in changed),
        mode=mode,
        coordinates=coordinate_transformation_mode,
        nearest=nearest_mode,
        cubic_a=cubic_coeff_a,
        exclude_outside=exclude_outside,
        antialias=antialias,
        roi=None if boxes is None else [tuple(boxes[i]) for i in changed],
        extrapolation_value=extrapolation_value,
        axes=tuple(axes[i] for i in changed),
    )


OPERATORS: Table = {
    "Resize": {10: upsample, 11: resize},
    "Upsample": {7: upsample_7, 9: upsample},
}
