"""Convolution, pooling, normalisation, resizing."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.autograd.graph import Value
from minicnn.errors import ConfigError
from minicnn.interop.onnx._export import Write, Writer, WriteTable
from minicnn.ops._sampling import MODES
from minicnn.ops._windows import Window, per_axis


def _pads(window: Window) -> list[int]:
    """Return all paddings before, then all after, as ONNX wants them."""
    return [before for before, _ in window.padding] + [after for _, after in window.padding]


def _conv(
    w: Writer, x: Value, weight: Value, bias: Any, stride: Any, padding: Any, dilation: Any,
    groups: int,
) -> str:  # fmt: skip
    window = Window.of("conv", x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return w(
        "Conv", x, weight, bias, kernel_shape=window.size, strides=window.stride,
        dilations=window.dilation, pads=_pads(window), group=int(groups),
    )  # fmt: skip


def _conv_transpose(
    w: Writer, x: Value, weight: Value, bias: Any, stride: Any, padding: Any, output_padding: Any,
    dilation: Any, groups: int,
) -> str:  # fmt: skip
    rank = len(x.shape) - 2
    (made,) = w.made_shapes()
    strides = per_axis("conv_transpose", "stride", stride, rank, 1)
    dilations = per_axis("conv_transpose", "dilation", dilation, rank, 1)
    extra = per_axis("conv_transpose", "output_padding", output_padding, rank, 0)
    size = weight.shape[2:]
    # What the output has less than the whole is the padding; "same" puts the odd pixel after.
    if isinstance(padding, str) or not isinstance(padding, tuple | list):
        total = [
            (n - 1) * s + d * (k - 1) + 1 + e - m
            for n, s, d, k, e, m in zip(
                x.shape[2:], strides, dilations, size, extra, made[2:], strict=True
            )
        ]
        pads = [t // 2 for t in total] + [t - t // 2 for t in total]
    else:
        pads = _pads(Window.of("conv_transpose", x.shape[2:], size, stride, padding, dilation))
    return w(
        "ConvTranspose", x, weight, bias, kernel_shape=size, strides=strides, dilations=dilations,
        pads=pads, output_padding=extra, group=int(groups),
    )  # fmt: skip


def _pool(
    w: Writer, kind: str, x: Value, size: Any, stride: Any, padding: Any, dilation: Any,
    **more: Any,
) -> str:  # fmt: skip
    stride = size if stride is None else stride
    window = Window.of("pool", x.shape[2:], size, stride, padding, dilation)
    (made,) = w.made_shapes()
    before, after, rounds_up = [], [], False
    # No more padding than the last window reaches: ONNX would count windows that see nothing else.
    # What reaches beyond the padding is there by ceil_mode, which counts it in no divisor.
    for n, out, s, e, (b, a) in zip(
        x.shape[2:], made[2:], window.stride, window.extent, window.padding, strict=True
    ):
        reach = (out - 1) * s + e - n - b
        before.append(b)
        after.append(min(a, max(reach, 0)))
        rounds_up |= reach > a
    return w(
        kind, x, kernel_shape=window.size, strides=window.stride, pads=before + after,
        dilations=window.dilation, ceil_mode=int(rounds_up), **more,
    )  # fmt: skip


def _max_pool(
    w: Writer, x: Value, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    return_indices: bool,
) -> Any:  # fmt: skip
    if return_indices:
        raise ConfigError("to_onnx: the indices of max pooling count otherwise in ONNX")
    return _pool(w, "MaxPool", x, size, stride, padding, dilation)


def _avg_pool(
    w: Writer, x: Value, size: Any, stride: Any, padding: Any, dilation: Any, ceil_mode: bool,
    count_include_pad: bool,
) -> str:  # fmt: skip
    counts = int(count_include_pad)
    return _pool(w, "AveragePool", x, size, stride, padding, dilation, count_include_pad=counts)


def _lp_pool(
    w: Writer, x: Value, size: Any, p: float, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> str:  # fmt: skip
    if p != int(p):
        raise ConfigError(f"to_onnx: ONNX knows Lp pooling for whole p only, got p={p}")
    return _pool(w, "LpPool", x, size, stride, padding, dilation, p=int(p))


def _adaptive_pool(kind: str) -> Write:
    """Return the writer of a pooling into so many bins: windows, if all bins are as large."""

    def write(w: Writer, x: Value, output_size: Any, return_indices: bool = False) -> str:
        made = w.made_shapes()[0]
        bins = list(zip(x.shape[2:], made[2:], strict=True))
        if return_indices or any(n % o for n, o in bins):
            raise ConfigError(
                f"to_onnx: adaptive pooling of {x.shape} into {made} has no counterpart in ONNX; "
                "bins of one size, without indices, have"
            )
        size = [n // o for n, o in bins]
        return w(kind, x, kernel_shape=size, strides=size)

    return write


def _global_lp_pool(w: Writer, x: Value, p: float) -> str:
    if p != int(p):
        raise ConfigError(f"to_onnx: ONNX knows Lp pooling for whole p only, got p={p}")
    return w("Flatten", w("GlobalLpPool", x, p=int(p)), axis=1)


def _global(kind: str) -> Write:
    """Return the writer of a pooling over all of the image: a reduction, which drops its axes."""
    return lambda w, x: w(kind, x, np.arange(2, len(x.shape)), keepdims=0)


def _batch_norm_inference(
    w: Writer, x: Value, gamma: Value, beta: Value, mean: Any, var: Any, epsilon: float
) -> str:
    return w("BatchNormalization", x, gamma, beta, mean, var, epsilon=float(epsilon))


def _instance_norm(w: Writer, x: Value, gamma: Any, beta: Any, epsilon: float) -> str:
    scale, shift = _affine(x, gamma, beta, x.shape[1:2])
    return w("InstanceNormalization", x, scale, shift, epsilon=float(epsilon))


def _layer_norm(w: Writer, x: Value, gamma: Any, beta: Any, axes: Any, epsilon: float) -> str:
    ndim = len(x.shape)
    found = sorted(a % ndim for a in ((axes,) if isinstance(axes, int) else axes))
    if found != list(range(found[0], ndim)):
        raise ConfigError(f"to_onnx: ONNX normalises the last axes only, got axes={axes}")
    scale, shift = _affine(x, gamma, beta, x.shape[found[0] :])
    return w("LayerNormalization", x, scale, shift, axis=found[0], epsilon=float(epsilon))


def _rms_norm(w: Writer, x: Value, gamma: Any, axes: Any, epsilon: float) -> str:
    chosen = np.atleast_1d(np.asarray(axes, np.int64))
    mean = w("ReduceMean", w("Mul", x, x), chosen, keepdims=1)
    y = w("Div", x, w("Sqrt", w("Add", mean, np.asarray(epsilon, x.dtype))))
    if gamma is None:
        return y
    kept = sorted(a % len(x.shape) for a in chosen)
    shape = [x.shape[a] if a in kept else 1 for a in range(len(x.shape))]
    return w("Mul", y, w("Reshape", gamma, np.array(shape)))


def _roi_align(
    w: Writer, x: Value, boxes: Value, images: Value, size: Any, scale: float, sampling: int,
    aligned: bool, mode: str,
) -> str:  # fmt: skip
    if mode == "max":
        raise ConfigError("to_onnx: roi_align of mode 'max' is not exported; 'max_taps' is")
    height, width = per_axis("roi_align", "size", size, 2, 1)
    columns = np.array([1, 0, 3, 2])  # (x0, y0, x1, y1) there
    return w(
        "RoiAlign", x, w("Gather", boxes, columns, axis=1), images, output_height=height,
        output_width=width, sampling_ratio=int(sampling), spatial_scale=float(scale),
        mode="avg" if mode == "avg" else "max",
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
    )  # fmt: skip


def _group_norm(w: Writer, x: Value, groups: int, gamma: Any, beta: Any, epsilon: float) -> str:
    scale, shift = _affine(x, gamma, beta, x.shape[1:2])
    return w("GroupNormalization", x, scale, shift, num_groups=int(groups), epsilon=float(epsilon))


def _affine(x: Value, gamma: Any, beta: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """Return scale and shift, 1 and 0 where the op has none."""
    scale = np.ones(shape, x.dtype) if gamma is None else gamma
    return scale, np.zeros(shape, x.dtype) if beta is None else beta


def _local_response_norm(
    w: Writer, x: Value, size: int, alpha: float, beta: float, k: float
) -> str:
    return w("LRN", x, size=int(size), alpha=float(alpha), beta=float(beta), bias=float(k))


def _resize(
    w: Writer, x: Value, size: Any, scale: Any, mode: str, coordinates: str, nearest: str,
    cubic_a: float, exclude_outside: bool, antialias: bool, roi: Any, extrapolation_value: float,
    axes: Any,
) -> str:  # fmt: skip
    if coordinates == "tf_crop_and_resize":
        raise ConfigError("to_onnx: resize with coordinates='tf_crop_and_resize' is not exported")
    (made,) = w.made_shapes()
    ndim = len(made)
    chosen = tuple(range(2, ndim)) if axes is None else tuple(a % ndim for a in axes)
    scales = sizes = None
    if scale is None:
        sizes = np.array([made[a] for a in chosen])
    else:
        scales = np.broadcast_to(np.asarray(scale, np.float32), len(chosen)).copy()
    return w(
        "Resize", x, None, scales, sizes, axes=chosen, mode=MODES[mode],
        coordinate_transformation_mode=coordinates, nearest_mode=nearest,
        cubic_coeff_a=float(cubic_a), exclude_outside=int(exclude_outside),
        antialias=int(antialias),
    )  # fmt: skip


TABLE: WriteTable = {
    **{f"conv{n}d": _conv for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": _conv_transpose for n in (1, 2, 3)},
    **{f"max_pool{n}d": _max_pool for n in (1, 2, 3)},
    **{f"avg_pool{n}d": _avg_pool for n in (1, 2, 3)},
    **{f"lp_pool{n}d": _lp_pool for n in (1, 2, 3)},
    **{f"global_avg_pool{n}d": _global("ReduceMean") for n in (1, 2, 3)},
    **{f"global_max_pool{n}d": _global("ReduceMax") for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": _adaptive_pool("AveragePool") for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": _adaptive_pool("MaxPool") for n in (1, 2, 3)},
    **{f"global_lp_pool{n}d": _global_lp_pool for n in (1, 2, 3)},
    "batch_norm_inference": _batch_norm_inference,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "local_response_norm": _local_response_norm,
    "resize": _resize,
    "rms_norm": _rms_norm,
    "roi_align": _roi_align,
}
