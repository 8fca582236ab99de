"""Sparing biases and normalisation from weight decay."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError


def decay_groups(params: Any, weight_decay: float) -> list[dict[str, Any]]:
    """Split parameters into those with weight decay and those without.

    Kernels and weight matrices have it. Whatever has one number for each channel or none has
    not: biases, the scale and shift of a normalisation, the slopes of a parametric ReLU. To pull
    them towards 0 does not make a network simpler.

    Parameters
    ----------
    params : Module, or iterable of Parameter or (str, Parameter)
        All parameters.
    weight_decay : float
        The decay of those that have it, from 0 up.

    Returns
    -------
    list of dict
        One or two groups, for an optimiser's `params`.

    Raises
    ------
    ConfigError
        If the parameters are groups already.

    References
    ----------
    He et al., "Bag of Tricks for Image Classification with Convolutional Neural Networks", CVPR
    2019, section 3.1, "no bias decay".
    """
    entries: Iterable[Any] = params
    if hasattr(params, "named_parameters"):
        entries = params.named_parameters()
    with_decay: list[Any] = []
    without: list[Any] = []
    for entry in entries:
        p = entry[1] if isinstance(entry, tuple) else entry
        if not isinstance(p, Tensor):
            raise ConfigError(f"decay_groups: {p!r} is no parameter; give a flat list of them")
        (with_decay if p.ndim > 1 else without).append(entry)
    groups = [
        {"params": with_decay, "weight_decay": weight_decay},
        {"params": without, "weight_decay": 0.0},
    ]
    return [g for g in groups if g["params"]]
