"""The functional layers of pooling, which differ in their classes only; see `minicnn.nn.layers`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.nn._functional import functional
from minicnn.nn.adaptive_pooling import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from minicnn.nn.average_pooling import AvgPool1d, AvgPool2d, AvgPool3d
from minicnn.nn.global_pooling import (
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
)
from minicnn.nn.lp_pooling import (
    GlobalLpPool1d,
    GlobalLpPool2d,
    GlobalLpPool3d,
    LpPool1d,
    LpPool2d,
    LpPool3d,
)
from minicnn.nn.pooling import AXES, MaxPool1d, MaxPool2d, MaxPool3d

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_lp_pool1d",
    "global_lp_pool2d",
    "global_lp_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]


def _functional(kind: Any, function: str) -> Callable[..., Any]:
    """Return the functional layer of a pooling class."""
    return functional(kind, function, axes=AXES[kind._rank])


adaptive_avg_pool1d = _functional(AdaptiveAvgPool1d, "adaptive_avg_pool1d")
adaptive_avg_pool2d = _functional(AdaptiveAvgPool2d, "adaptive_avg_pool2d")
adaptive_avg_pool3d = _functional(AdaptiveAvgPool3d, "adaptive_avg_pool3d")
adaptive_max_pool1d = _functional(AdaptiveMaxPool1d, "adaptive_max_pool1d")
adaptive_max_pool2d = _functional(AdaptiveMaxPool2d, "adaptive_max_pool2d")
adaptive_max_pool3d = _functional(AdaptiveMaxPool3d, "adaptive_max_pool3d")
avg_pool1d = _functional(AvgPool1d, "avg_pool1d")
avg_pool2d = _functional(AvgPool2d, "avg_pool2d")
avg_pool3d = _functional(AvgPool3d, "avg_pool3d")
global_avg_pool1d = _functional(GlobalAvgPool1d, "global_avg_pool1d")
global_avg_pool2d = _functional(GlobalAvgPool2d, "global_avg_pool2d")
global_avg_pool3d = _functional(GlobalAvgPool3d, "global_avg_pool3d")
global_max_pool1d = _functional(GlobalMaxPool1d, "global_max_pool1d")
global_max_pool2d = _functional(GlobalMaxPool2d, "global_max_pool2d")
global_max_pool3d = _functional(GlobalMaxPool3d, "global_max_pool3d")
global_lp_pool1d = _functional(GlobalLpPool1d, "global_lp_pool1d")
global_lp_pool2d = _functional(GlobalLpPool2d, "global_lp_pool2d")
global_lp_pool3d = _functional(GlobalLpPool3d, "global_lp_pool3d")
lp_pool1d = _functional(LpPool1d, "lp_pool1d")
lp_pool2d = _functional(LpPool2d, "lp_pool2d")
lp_pool3d = _functional(LpPool3d, "lp_pool3d")
max_pool1d = _functional(MaxPool1d, "max_pool1d")
max_pool2d = _functional(MaxPool2d, "max_pool2d")
max_pool3d = _functional(MaxPool3d, "max_pool3d")
