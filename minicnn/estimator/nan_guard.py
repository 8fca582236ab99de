"""A hook that finds where a NaN or an infinity came from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicnn import nn
from minicnn.autograd import Tensor, find_nan, no_grad, walk_back
from minicnn.backend import array_module, kernels_for
from minicnn.errors import GradientError
from minicnn.estimator.control_hooks import check_every
from minicnn.estimator.hook import Hook, RunContext


class NaNGuard(Hook):
    """Ends the run before a NaN or an infinity reaches the weights, and names its origin.

    The loss is looked at in every step. If it is not finite, the batch is computed once more
    and the first layer with such an output is named, and the first op, with what it was given;
    before it, the batch and the weights are looked at. The gradients are looked at too, and the
    op whose gradient breaks is named likewise. The step is not done, so the weights and the last
    checkpoint are those before it.

    Parameters
    ----------
    every : int, default 1
        Look at the gradients in every n-th step; it costs one pass over them.

    Raises
    ------
    ConfigError
        If `every` is not a whole number above 0.
    """

    def __init__(self, every: int = 1) -> None:
        self.every = check_every("NaNGuard", every)

    def before_update(self, context: RunContext) -> None:
        """Look at the loss and the gradients.

        Raises
        ------
        GradientError
            If one of them is not finite; it names the origin.
        """
        step = context.step + 1
        if not math.isfinite(context.loss):
            raise GradientError(
                f"NaNGuard: the loss is {context.loss} in step {step}; {_origin(context)}"
            )
        if step % self.every == 0:
            self._check_gradients(context, step)

    def _check_gradients(self, context: RunContext, step: int) -> None:
        assert context.optimizer is not None
        named = [(name, p.grad) for name, p in context.optimizer.named_params if p.grad is not None]
        broken = [name for name, g in named if not _is_finite(g)]
        if broken:
            raise GradientError(
                f"NaNGuard: in step {step} the loss is {context.loss}, but the gradients of "
                f"{len(broken)} of {len(named)} parameters are not finite; backward, the first "
                f"is that of {broken[-1]!r}{_first_op(context, backward=True)}; {_ADVICE}"
            )


_ADVICE = "the weights are those before this step; try a lower learning rate or clip_norm"


def _origin(context: RunContext) -> str:
    """Say what is the first thing that is not finite, in the order of the computation."""
    for index, leaf in enumerate(_leaves(context.features)):
        if not _is_finite(leaf):
            rows = [i for i in range(context.batch_size) if not _is_finite(leaf[i])]
            where = f"input {index} " if index else "input "
            return f"the {where}already is not finite, in example(s) {rows[:5]} of the batch"
    module = context.estimator.module
    for name, p in module.named_parameters():
        if not _is_finite(p):
            return f"the parameter {name!r} was not finite before this step"
    return _first_layer(context, module)


def _first_layer(context: RunContext, module: nn.Module) -> str:
    """Compute the batch again, and look at the output of each layer as it comes."""
    found: list[str] = []
    names = {id(m): name for name, m in module.named_modules()}

    def look(layer: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        if found:
            return
        for leaf in _leaves(output):
            if not _is_finite(leaf):
                kind = "NaN" if bool(np.isnan(leaf.numpy()).any()) else "infinity"
                name = names[id(layer)] or "the model"
                found.append(f"{kind} first in the output of {name} ({type(layer).__name__})")

    handles = [m.register_forward_hook(look) for _, m in module.named_modules()]
    try:
        assert context.forward is not None
        with no_grad(), np.errstate(all="ignore"):
            context.forward()
    finally:
        for handle in handles:
            handle.remove()
    where = found[0] if found else "all layers' outputs are finite: it is the loss function itself"
    return f"{where}{_first_op(context)}; {_ADVICE}"


def _first_op(context: RunContext, backward: bool = False) -> str:
    """Compute the batch again, looking at every op, and say which one it is."""
    assert context.forward is not None
    try:
        with find_nan():
            if not backward:
                with no_grad():
                    context.forward()
            else:
                loss = context.forward().loss
                assert loss is not None
                for _ in walk_back(loss):
                    pass
    except GradientError as error:
        return f"; {error}"
    return ""


def _is_finite(x: Any) -> bool:
    data = x.data if isinstance(x, Tensor) else x
    if data.dtype.kind != "f":
        return True
    if math.isfinite(kernels_for(data).sums_of_squares([data])[0]):
        return True
    return bool(array_module(data).isfinite(data).all())  # the squares alone may overflow


def _leaves(tree: Any) -> list[Tensor]:
    """Return the Tensors of a batch or of an output."""
    if isinstance(tree, dict):
        tree = tuple(tree.values())
    if isinstance(tree, tuple | list):
        return [leaf for branch in tree for leaf in _leaves(branch)]
    return [tree] if isinstance(tree, Tensor) else []
