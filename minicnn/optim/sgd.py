"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from typing import Any

from minicnn.backend import Array, kernels_for
from minicnn.errors import ConfigError
from minicnn.optim.optimizer import Optimizer, Slots, check_range, slot_like
from minicnn.optim.schedules import Schedule


class SGD(Optimizer):
    """Gradient descent with momentum, as the course uses it.

    With the gradient g of a weight w, its velocity v and the momentum m::

        g = g + weight_decay * w
        v = m * v + g
        w = w - learning_rate * v                 (plain)
        w = w - learning_rate * (g + m * v)       (Nesterov)

    Parameters
    ----------
    params : Module, or iterable of Parameter, (str, Parameter) or dict
        What to change; dicts are groups with settings of their own.
    learning_rate : float or callable
        The rate, or a schedule: a function from the number of steps done to a rate.
    momentum : float, default 0.9
        How much of the velocity is kept, from 0 to below 1.
    nesterov : bool, default False
        Whether the gradient counts as if it were taken one step ahead.
    weight_decay : float, default 0.0
        The pull of every weight towards 0; `decay_groups` spares biases and normalisation.
    clip_norm : float, optional
        If given, gradients are scaled down to this norm, taken over all parameters together.

    Raises
    ------
    ConfigError
        If a parameter or a setting makes no sense.

    References
    ----------
    Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, equation 9.
    Sutskever, Martens, Dahl and Hinton, "On the importance of initialization and momentum in deep
    learning", ICML 2013, equations 1 to 4. They put the learning rate into the velocity; outside
    of it, as here, a change of the rate takes effect at once.

    Examples
    --------
    >>> from minicnn.autograd import Tensor
    >>> w = Tensor([4.0], requires_grad=True)
    >>> optimizer = SGD([w], learning_rate=0.25, momentum=0.5)
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.item()  # 4, then 4 - 8/4 = 2, then 2 - (4 + 8/2)/4 = 0
    0.0
    """

    _multiplies = True

    def __init__(
        self,
        params: Any,
        learning_rate: Schedule | float,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            params,
            learning_rate,
            clip_norm=clip_norm,
            momentum=momentum,
            nesterov=nesterov,
            weight_decay=weight_decay,
        )

    def _check(self, options: dict[str, Any]) -> None:
        check_range("SGD", "momentum", options["momentum"], below=1)
        check_range("SGD", "weight_decay", options["weight_decay"])
        if options["nesterov"] and not options["momentum"]:
            raise ConfigError("SGD: nesterov=True needs a momentum above 0")

    def _new_slots(self, weight: Array, group: dict[str, Any]) -> Slots:
        return {"velocity": slot_like(weight)} if group["momentum"] else {}

    def _update(
        self,
        weights: list[Array],
        grads: list[Array],
        slots: list[Slots],
        learning_rate: float,
        group: dict[str, Any],
    ) -> None:
        kernels_for(weights[0]).sgd_update(
            weights,
            grads,
            [s["velocity"] for s in slots] if group["momentum"] else None,
            learning_rate=learning_rate,
            momentum=group["momentum"],
            nesterov=group["nesterov"],
            weight_decay=group["weight_decay"],
            factor=self._factor,
        )
