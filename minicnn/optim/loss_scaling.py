"""Loss scaling: gradients in float16 are lifted out of where they would be 0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from minicnn.autograd import Tensor
from minicnn.backend import kernels_for
from minicnn.errors import CheckpointError, ConfigError, GradientError
from minicnn.kernels import capturing

__all__ = ["LossScaler"]


_LEAST = 2.0**-24  # no overflow needs a smaller factor


class LossScaler:
    """Scales a loss up before backward and its gradients down after, and looks for the factor.

    The smallest float16 is 6e-8, and most gradients of a net are smaller. By the chain rule all
    gradients grow with the loss, so it is multiplied by a large factor, the largest with which
    none of them overflows. That one is found by trying: where a gradient is infinite, the step is
    left out and the factor halved; after many good steps in a row it is doubled.

    Parameters
    ----------
    scale : float, default 65536
        The factor to begin with.
    growth : float, default 2
        By what the factor grows after `interval` good steps.
    backoff : float, default 0.5
        By what it shrinks after a bad one.
    interval : int, default 2000
        How many good steps in a row make it grow.

    Attributes
    ----------
    scale : float
        The factor now.

    Raises
    ------
    ConfigError
        If a number makes no sense.

    References
    ----------
    Micikevicius et al., "Mixed Precision Training", ICLR 2018, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, nn, ops, optim
    >>> layer, scaler = nn.Dense(3, 1), optim.LossScaler(1024)
    >>> optimizer = optim.SGD(layer.parameters(), 0.1)
    >>> with nn.mixed_precision():
    ...     loss = ops.l2_loss(layer(Tensor(np.ones((2, 3), np.float32))), np.ones((2, 1)))
    >>> scaler.scaled(loss).backward()
    >>> if scaler.unscale(layer.parameters()):
    ...     optimizer.step()
    """

    def __init__(
        self,
        scale: float = 65536.0,
        growth: float = 2.0,
        backoff: float = 0.5,
        interval: int = 2000,
    ) -> None:
        fits = 0 < scale < math.inf and 1 <= growth < math.inf and 0 < backoff <= 1
        if not fits or type(interval) is not int or interval < 1:
            raise ConfigError(
                f"LossScaler: scale {scale!r} must be above 0, growth {growth!r} at least 1, "
                f"backoff {backoff!r} in (0, 1] and interval {interval!r} a whole number above 0"
            )
        self.scale = float(scale)
        self._growth, self._backoff, self._interval = float(growth), float(backoff), interval
        self._good = 0  # steps in a row

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss times the factor, to call `backward` on.

        Parameters
        ----------
        loss : Tensor
            One number, in float32.

        Returns
        -------
        Tensor
            One number.
        """
        (scale,), place = capturing.varying(lambda: (self.scale,))
        if place is None:
            return loss * scale
        return loss * Tensor(place.reshape(()).astype(loss.dtype))  # each replay has its own

    def unscale(self, params: Iterable[Tensor]) -> bool:
        """Divide all gradients by the factor, and adapt it.

        Parameters
        ----------
        params : iterable of Parameter
            Those without a gradient stay as they are.

        Returns
        -------
        bool
            Whether to make the step. If not, a gradient was infinite, and all are forgotten.

        Raises
        ------
        GradientError
            If a gradient is infinite or NaN however small the factor is.
        """
        learning = [(p, p.grad.data) for p in params if p.grad is not None]
        if not _all_finite([gradient for _, gradient in learning]):
            for p, _ in learning:
                p.grad = None
            self.scale, self._good = self.scale * self._backoff, 0
            if self.scale < _LEAST:
                raise GradientError(
                    f"LossScaler: a gradient is not finite even with the loss scaled by "
                    f"{self.scale / self._backoff:.2g}, so it is no overflow of float16; lower the "
                    "learning rate, or use the NaNGuard hook to find the layer"
                )
            return False
        for p, gradient in learning:  # new arrays: one gradient may belong to several tensors
            p.grad = Tensor(gradient * gradient.dtype.type(1.0 / self.scale))
        self._good += 1
        if self._good == self._interval:
            self.scale, self._good = min(self.scale * self._growth, 2.0**40), 0
        return True

    def state_dict(self) -> dict[str, float]:
        """Return what must be kept to go on later.

        Returns
        -------
        dict of str to float
            ``scale``, and how many ``good_steps`` there were in a row.
        """
        return {"scale": self.scale, "good_steps": self._good}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned.

        Parameters
        ----------
        state : dict
            What `state_dict` returned.

        Raises
        ------
        CheckpointError
            If it is something else.
        """
        try:
            scale, good = float(state["scale"]), int(state["good_steps"])
        except (KeyError, TypeError, ValueError):
            raise CheckpointError(f"LossScaler: {state!r} is no state of it") from None
        self.scale, self._good = scale, good


def _all_finite(gradients: list[Any]) -> bool:
    """Tell whether all numbers are finite; a sum of their squares in float64 says it at once."""
    kernels = [kernels_for(g) for g in gradients]
    for k in dict.fromkeys(kernels):
        here = [g for g, other in zip(gradients, kernels, strict=True) if other is k]
        found = k.sums_of_squares(here)
        found = found if isinstance(found, list) else found.tolist()  # the host waits
        if not all(map(math.isfinite, found)):
            return False
    return True
