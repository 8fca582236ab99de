"""Groups of parameters: which have weight decay, and which learn faster than others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.nn._patterns import matching
from minicnn.optim.optimizer import check_range


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


def rate_groups(params: Any, factors: Mapping[str, float]) -> list[dict[str, Any]]:
    """Give parameters rates of their own, by their names: what is learned already moves less.

    Parameters
    ----------
    params : Module, iterable of (str, Parameter) or of dict
        All parameters, or groups of them, say from `decay_groups`, which are cut further.
    factors : dict of str to float
        What to multiply the learning rate by, for the parameters whose names match a pattern: as
        in `minicnn.nn.freeze`, ``"block1"`` stands for all in it and ``"*"`` for any characters.
        Of several patterns the last that meets a name counts; where none does the factor is 1.

    Returns
    -------
    list of dict
        Groups, for an optimiser's `params`.

    Raises
    ------
    ConfigError
        If a pattern matches nothing, a factor is no number from 0 up, or a parameter has no name.

    References
    ----------
    Howard and Ruder, "Universal Language Model Fine-tuning for Text Classification", ACL 2018,
    section 3.2, "discriminative fine-tuning".

    Examples
    --------
    >>> from minicnn import models, optim
    >>> groups = optim.rate_groups(models.SeedNet(), {"block*": 0.1, "block1": 0.01})
    >>> [(group["rate_factor"], len(group["params"])) for group in groups]
    [(0.01, 9), (0.1, 18), (1.0, 4)]
    >>> optimizer = optim.SGD(groups, optim.Cosine(0.05, steps=1000))
    """
    groups = [
        {**group, "params": [_named(entry) for entry in _entries(group["params"])]}
        for group in _as_groups(params)
    ]
    names = [name for group in groups for name, _ in group["params"]]
    factor_of = dict.fromkeys(names, 1.0)
    for pattern, factor in factors.items():
        check_range("rate_groups", f"the factor of {pattern!r}", factor)
        factor_of.update(dict.fromkeys(matching("rate_groups", names, pattern), factor))
    return [
        {**group, "params": members, "rate_factor": group.get("rate_factor", 1.0) * factor}
        for group in groups
        for factor in dict.fromkeys(factor_of[name] for name, _ in group["params"])
        if (members := [entry for entry in group["params"] if factor_of[entry[0]] == factor])
    ]


def _as_groups(params: Any) -> list[dict[str, Any]]:
    entries = _entries(params)
    if entries and all(isinstance(e, dict) and "params" in e for e in entries):
        return entries
    return [{"params": entries}]


def _entries(params: Any) -> list[Any]:
    return list(params.named_parameters() if hasattr(params, "named_parameters") else params)


def _named(entry: Any) -> tuple[str, Tensor]:
    pair = isinstance(entry, tuple) and len(entry) == 2
    name, p = entry if pair else (getattr(entry, "name", ""), entry)
    if not isinstance(p, Tensor) or not isinstance(name, str) or not name:
        raise ConfigError(
            f"rate_groups: {p!r} has no name to go by; give net.named_parameters(), or the net"
        )
    return name, p
