"""Evaluation for a while, in one thread: whether a module trains depends on who asks."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minicnn.nn.module import Module

__all__ = ["evaluating"]

# What modules were told inside of a block, by their ids; a module that is in it lives so long
_told: contextvars.ContextVar[dict[int, tuple[Module, bool]] | None] = contextvars.ContextVar(
    "minicnn_evaluating", default=None
)


@contextlib.contextmanager
def evaluating() -> Iterator[None]:
    """Let all modules behave as in evaluation inside a ``with`` block, in this thread.

    Nothing is changed in the modules themselves: ``module.training`` is False inside the block, and
    in another thread, or after the block, it is what it was. So several threads may apply one
    module at once, also while another one trains it (they then see weights that change; predictions
    of `minicnn.estimator.Estimator` wait for the end of a step). What is said inside the
    block by ``train()``, ``eval()`` or an assignment holds until the block ends.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn
    >>> net = nn.Dropout(0.9)
    >>> with nn.evaluating():
    ...     y = net(Tensor(np.ones(4, np.float32)))
    >>> y.numpy().tolist(), net.training
    ([1.0, 1.0, 1.0, 1.0], True)
    """
    before = _told.get()
    _told.set({})
    try:
        yield
    finally:  # by `set`, for a generator may be ended in another context than it was begun in
        _told.set(before)


class Mode:
    """The attribute `training` of modules."""

    def __get__(self, module: Module | None, _: type | None = None) -> bool:
        if module is None:
            return True
        told = _told.get()
        if module._frozen:
            return False
        if told is None:
            return module.__dict__.get("training", module._at_first)
        known = told.get(id(module))
        return known is not None and known[1]

    def __set__(self, module: Module, training: bool) -> None:
        told = _told.get()
        if told is None:
            module.__dict__["training"] = training
        else:
            told[id(module)] = module, training


def follow(made: Module, owner: Module) -> None:
    """Let a module that was just made be in the mode of the one that holds it."""
    made.__dict__["training"] = owner.__dict__.get("training", owner._at_first)
    told = _told.get()
    if told is not None and id(owner) in told:
        told[id(made)] = made, told[id(owner)][1]
