"""Transfer learning: what stays as another task has taught it, and what learns anew."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicnn.errors import ConfigError
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn._patterns import selected
from minicnn.nn._probing import nearest
from minicnn.nn.dense import Dense
from minicnn.nn.evaluating import follow
from minicnn.nn.module import Module

__all__ = ["freeze", "replace_head", "unfreeze"]


def freeze(net: Module, *patterns: str) -> list[str]:
    """Let parts of a net stay as they are in training.

    Their parameters get no gradient, so that optimisers leave them alone: no weight decay, no
    momentum. A module of which all parameters are frozen is in evaluation mode from then on,
    whatever `Module.train` says: the moving averages of batch normalisation stay, and are what it
    normalises by; dropout inside of it drops nothing. What comes before the first parameter that
    learns needs no backward pass.

    Parameters
    ----------
    net : Module
        The net; its layers know the sizes of their inputs.
    *patterns : str
        Names of modules or parameters; ``"block1"`` stands for all in it, ``"*"`` for any
        characters. Of several patterns the last that meets a name decides, and one that begins
        with "!" excepts: ``"!logits"`` freezes all but the head.

    Returns
    -------
    list of str
        The names of the parameters that these patterns freeze.

    Raises
    ------
    ConfigError
        If a pattern matches nothing, or a layer is not built yet.

    Notes
    -----
    An optimiser that has moved a parameter keeps its momentum while it is frozen, and goes on with
    it if it is unfrozen.

    Examples
    --------
    >>> from minicnn import models, nn
    >>> net = models.SeedNet()
    >>> names = nn.freeze(net, "!logits")
    >>> [name for name, p in net.named_parameters() if p.requires_grad]
    ['logits.weight', 'logits.bias']
    """
    return _set("freeze", net, patterns, learns=False)


def unfreeze(net: Module, *patterns: str) -> list[str]:
    """Let parts of a net learn again.

    Parameters
    ----------
    net : Module
        The net.
    *patterns : str
        As for `freeze`; by default all.

    Returns
    -------
    list of str
        The names of the parameters that these patterns unfreeze.

    Raises
    ------
    ConfigError
        If a pattern matches nothing, or a layer is not built yet.
    """
    return _set("unfreeze", net, patterns or ("*",), learns=True)


def replace_head(net: Module, classes: int, *names: str) -> list[str]:
    """Put a new dense layer, for other classes, in the place of a net's last one.

    It has the old one's inputs, settings and device; its weights are drawn like any new layer's,
    see `minicnn.nn.seed`. Do this before an optimiser or an Estimator is made: they hold on to
    the parameters that they were given.

    Parameters
    ----------
    net : Module
        The net; its layers know the sizes of their inputs.
    classes : int
        How many outputs the new head has.
    *names : str
        Which dense layers to replace; by default the last layer. A net with auxiliary heads has
        several.

    Returns
    -------
    list of str
        The names of the new layers.

    Raises
    ------
    ConfigError
        If there is no such layer, or it is not dense.

    Examples
    --------
    >>> from minicnn import models, nn
    >>> net = models.SeedNet(classes=43)
    >>> nn.replace_head(net, 5)
    ['logits']
    >>> net.logits.weight.shape
    (5, 100)
    """
    modules = dict(net.named_modules())
    chosen = list(names) or [head_of(net)]
    for name in chosen:
        old = modules.get(name)
        if old is None:
            known = [n for n, m in modules.items() if isinstance(m, Dense)]
            raise ConfigError(f"replace_head: there is no layer {name!r}{nearest(name, known)}")
        if not name or not isinstance(old, Dense):
            what = f"{name!r} ({type(old).__name__})" if name else f"this {type(old).__name__}"
            raise ConfigError(
                f"replace_head: {what} is no dense layer inside of a net; name one, or assign the "
                "new head yourself: net.head = ..."
            )
        _put(net, name, _like(old, classes))
    _settle(net)  # what holds the new head is not frozen as a whole
    return chosen


def head_of(net: Module) -> str:
    """Return the name of the last layer that has parameters or buffers, "" for the net itself."""
    last, inside = "", None
    for name, module in net.named_modules():
        if inside is not None and name.startswith(f"{inside}."):
            continue  # the normaliser of a dense layer, say
        inside = name if isinstance(module, Dense) else None
        own = (member for _, member in module._members())
        if inside is not None or any(isinstance(m, Parameter | Buffer) for m in own):
            last = name
    return last


def frozen_parameters(net: Module) -> list[str]:
    """Return the names of all parameters that do not learn."""
    return [name for name, p in net.named_parameters() if not p.requires_grad]


def _set(what: str, net: Module, patterns: tuple[str, ...], learns: bool) -> list[str]:
    named = dict(net.named_parameters())
    names = selected(what, named, patterns)
    for name in names:
        named[name].requires_grad = learns
        named[name].grad = None
    _settle(net)
    return names


def _settle(net: Module) -> None:
    """Mark the modules of which all parameters are frozen, and what is inside them."""
    frozen: set[int] = set()
    for module in _modules(net):
        params = [m for _, m in module._walk() if isinstance(m, Parameter)]
        if params and not any(p.requires_grad for p in params):
            frozen.update(map(id, _modules(module)))
    for module in _modules(net):
        if module._frozen != (id(module) in frozen):
            module._frozen = id(module) in frozen


def _modules(net: Module) -> Iterator[Module]:
    return (module for _, module in net.named_modules())


def _like(old: Dense, classes: int) -> Dense:
    """Return a new dense layer with another number of outputs."""
    settings = {name: a.value for name, a in (old._arguments or {}).items()}
    if old.in_features is None:
        raise ConfigError(
            "replace_head: the old head does not know its in_features before the first call; call "
            "the net once, or net.build((C, H, W))"
        )
    new = type(old)(**settings | {"in_features": old.in_features, "out_features": classes})
    new.to(old.weight.device).astype(old.weight.dtype)
    for module in _modules(new):
        follow(module, old)
    return new


def _put(net: Module, name: str, layer: Module) -> None:
    """Assign a layer to the place of the one that has this name, also in a list or a dict."""
    place: Any = net
    *path, last = name.split(".")
    for part in path:
        place = _inside(place, part)
    if isinstance(place, list):
        place[int(last)] = layer
    elif isinstance(place, dict):
        place[next(key for key in place if str(key) == last)] = layer
    elif isinstance(place, Module):
        setattr(place, last, layer)
    else:
        raise ConfigError(
            f"replace_head: {name!r} is in a {type(place).__name__}, which cannot be changed; use "
            "a list"
        )


def _inside(place: Any, part: str) -> Any:
    if isinstance(place, list | tuple):
        return place[int(part)]
    if isinstance(place, dict):
        return next(value for key, value in place.items() if str(key) == part)
    return getattr(place, part)
