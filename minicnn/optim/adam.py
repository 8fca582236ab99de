"""Adam, and Adam with decoupled weight decay."""

from __future__ import annotations

from typing import Any

import numpy as np

from minicnn.backend import Array, kernels_for
from minicnn.errors import ConfigError
from minicnn.kernels import capturing
from minicnn.optim.optimizer import Optimizer, Slots, check_range, slot_like
from minicnn.optim.schedules import Schedule


class Adam(Optimizer):
    """Gradient descent with a step size for every weight, from running moments of its gradient.

    With the gradient g of a weight w at its t-th step::

        g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        s = beta2 * s + (1 - beta2) * g**2
        w = w - learning_rate * m / (1 - beta1**t) / (sqrt(s / (1 - beta2**t)) + epsilon)

    Parameters
    ----------
    params : Module, or iterable of Parameter, (str, Parameter) or dict
        What to change; dicts are groups with settings of their own.
    learning_rate : float or callable, default 0.001
        The rate, or a schedule: a function from the number of steps done to a rate.
    betas : (float, float), default (0.9, 0.999)
        How much is kept of the running mean of the gradient and of its square.
    epsilon : float, default 1e-8
        Keeps the division finite.
    weight_decay : float, default 0.0
        The pull of every weight towards 0, as a part of the gradient.
    clip_norm : float, optional
        If given, gradients are scaled down to this norm, taken over all parameters together.

    Raises
    ------
    ConfigError
        If a parameter or a setting makes no sense.

    References
    ----------
    Kingma and Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, algorithm 1.
    """

    _decoupled = False
    _multiplies = True

    def __init__(
        self,
        params: Any,
        learning_rate: Schedule | float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(
            params,
            learning_rate,
            clip_norm=clip_norm,
            betas=betas,
            epsilon=epsilon,
            weight_decay=weight_decay,
        )

    def _check(self, options: dict[str, Any]) -> None:
        betas = options["betas"]
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise ConfigError(f"{self._kind}: betas is {betas!r}; give two numbers")
        for beta in betas:
            check_range(self._kind, "a beta", beta, below=1)
        check_range(self._kind, "weight_decay", options["weight_decay"])
        check_range(self._kind, "epsilon", options["epsilon"])
        if not options["epsilon"]:
            raise ConfigError(f"{self._kind}: epsilon must be above 0, as 0 / 0 is no number")

    def _new_slots(self, weight: Array, group: dict[str, Any]) -> Slots:
        return {
            "mean": slot_like(weight),
            "square": slot_like(weight),
            "updates": np.zeros((), np.int64),  # t: a parameter may miss a gradient
        }

    def _update(
        self,
        weights: list[Array],
        grads: list[Array],
        slots: list[Slots],
        learning_rate: float,
        group: dict[str, Any],
    ) -> None:
        def count() -> None:
            for s in slots:
                s["updates"] += 1

        def step_of(s: Slots) -> int:
            step: int = capturing.later(lambda: int(s["updates"]) + 1, "the number of the step")
            return step

        kernels_for(weights[0]).adam_update(
            weights,
            grads,
            [s["mean"] for s in slots],
            [s["square"] for s in slots],
            [step_of(s) for s in slots],
            learning_rate=learning_rate,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            epsilon=group["epsilon"],
            weight_decay=group["weight_decay"],
            decoupled=self._decoupled,
            factor=self._factor,
        )
        capturing.afterwards(count)


class AdamW(Adam):
    """Adam whose weight decay is not part of the gradient.

    Every step takes ``learning_rate * weight_decay * w`` off each weight, so that the pull towards
    0 is the same for weights with large and with small gradients.

    Parameters
    ----------
    params : Module, or iterable of Parameter, (str, Parameter) or dict
        What to change; dicts are groups with settings of their own.
    learning_rate : float or callable, default 0.001
        The rate, or a schedule: a function from the number of steps done to a rate.
    betas : (float, float), default (0.9, 0.999)
        How much is kept of the running mean of the gradient and of its square.
    epsilon : float, default 1e-8
        Keeps the division finite.
    weight_decay : float, default 0.01
        The pull of every weight towards 0, times the learning rate.
    clip_norm : float, optional
        If given, gradients are scaled down to this norm, taken over all parameters together.

    Raises
    ------
    ConfigError
        If a parameter or a setting makes no sense.

    References
    ----------
    Loshchilov and Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, algorithm 2. Their
    schedule multiplies both terms; here the learning rate does, as elsewhere today.
    """

    _decoupled = True

    def __init__(
        self,
        params: Any,
        learning_rate: Schedule | float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        clip_norm: float | None = None,
    ) -> None:
        super().__init__(params, learning_rate, betas, epsilon, weight_decay, clip_norm=clip_norm)
