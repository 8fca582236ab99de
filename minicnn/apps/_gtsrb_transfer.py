"""How a run begins with what another one has learned: its weights, what stays, what moves less."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.errors import CheckpointError, ConfigError
from minicnn.nn._patterns import matching, selected
from minicnn.nn.transfer import head_of

__all__ = ["freeze", "parse_patterns", "parse_rates", "parse_stages", "take_over"]


def parse_patterns(text: str) -> list[str]:
    """Return the patterns of a list with commas: ``"block*,!block3"``."""
    found = [part.strip() for part in text.split(",")]
    if not all(part.removeprefix("!") for part in found):
        raise ConfigError(f"{text!r} has an empty pattern; give names with commas: block1,block2")
    return found


def parse_rates(text: str) -> dict[str, float]:
    """Return what to multiply rates by, by pattern: ``"block*=0.1,hidden=0.5"``."""
    pairs = (part.rpartition("=") for part in parse_patterns(text))
    return {name.strip(): _number("rates", text, value, "block*=0.1") for name, _, value in pairs}


def parse_stages(text: str) -> dict[float, list[str]]:
    """Return the patterns that are unfrozen after so many epochs: ``"block3@4,block2@6.5"``."""
    stages: dict[float, list[str]] = {}
    for part in parse_patterns(text):
        name, _, epoch = part.rpartition("@")
        stages.setdefault(_number("unfreeze", text, epoch, "block3@4"), []).append(name.strip())
    return stages


def take_over(net: nn.Module, source: str, weights: Mapping[str, np.ndarray], head: bool) -> None:
    """Set all weights to those of another run, or all but those of the head.

    Parameters
    ----------
    net : Module
        The new network.
    source : str
        The other run's folder, for messages.
    weights : mapping of str to ndarray
        All of its weights.
    head : bool
        Whether the head is taken over, too.

    Raises
    ------
    ConfigError
        If they do not fit.
    """
    taken = dict(weights)
    if not head:
        inside = f"{head_of(net)}."
        taken = {name: value for name, value in taken.items() if not name.startswith(inside)}
        taken |= {n: value for n, value in net.state_dict().items() if n.startswith(inside)}
    try:
        net.load_state_dict(taken)
    except CheckpointError as error:
        listing = str(error).partition("\n")[2]
        raise ConfigError(
            f"init_from: the weights of {source} do not fit this {type(net).__name__}; ask for the "
            f"same --model, --channels and --size:\n{listing}"
        ) from error


def freeze(net: nn.Module, settings: Any) -> None:
    """Freeze what the settings say, and find out whether all that they say can be done.

    Parameters
    ----------
    net : Module
        The network.
    settings : Settings
        With ``freeze``, ``new_head``, ``unfreeze`` and ``rates``.

    Raises
    ------
    ConfigError
        If a pattern matches nothing, nothing is left to learn, a new head would not learn, or
        something is to be unfrozen that is not frozen.
    """
    names = [name for name, _ in net.named_parameters()]
    for pattern in parse_rates(settings.rates) if settings.rates else ():
        matching("rates", names, pattern)
    if settings.freeze is None:
        return
    frozen = set(nn.freeze(net, *parse_patterns(settings.freeze)))
    _check_frozen(net, settings, frozen)
    for patterns in parse_stages(settings.unfreeze).values() if settings.unfreeze else ():
        for pattern in patterns:
            if not frozen & set(selected("unfreeze", names, [pattern])):
                raise ConfigError(
                    f"unfreeze: {pattern!r} is not frozen; leave it out, or freeze more than "
                    f"{settings.freeze!r}"
                )


def _check_frozen(net: nn.Module, settings: Any, frozen: set[str]) -> None:
    """Refuse what could not learn."""
    head = head_of(net)
    if len(frozen) == sum(1 for _ in net.parameters()):
        raise ConfigError(
            f"freeze: {settings.freeze!r} freezes all of {type(net).__name__}, so nothing would "
            f"learn; leave out its head, say: --freeze '!{head}'"
        )
    still = [name for name in frozen if name.startswith(f"{head}.")]
    if settings.new_head and still:
        raise ConfigError(
            f"freeze: {settings.freeze!r} freezes {min(still)!r} of the new head, which has "
            f"learned nothing yet; leave it out: '!{head}'"
        )


def _number(what: str, text: str, value: str, example: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ConfigError(f"{what}: {text!r} is not of the form {example}; got {value!r}")
    return number
