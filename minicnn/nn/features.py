"""What a net makes of its input on the way: the output of one of its layers."""

from __future__ import annotations

import contextvars
from typing import Any

import numpy as np

from minicnn.autograd import Tensor, no_grad
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError
from minicnn.nn._calls import observed_by, observer
from minicnn.nn._parameter import Parameter
from minicnn.nn._probing import nearest
from minicnn.nn.evaluating import evaluating
from minicnn.nn.module import Module

__all__ = ["Features", "features"]


class _ReachedError(Exception):
    """The layer has returned: nothing that comes after it is needed."""

    def __init__(self, call: object, output: Any) -> None:
        self.call, self.output = call, output


_asked: contextvars.ContextVar[object] = contextvars.ContextVar("minicnn_asked", default=None)


class Features(Module):
    """A net up to one of its layers, as a module; see `features`.

    Parameters
    ----------
    net : Module
        The net.
    layer : str
        The layer's name.

    Attributes
    ----------
    net : Module
        The net, with all of its layers.
    layer : str
        The layer's name.

    Raises
    ------
    ConfigError
        If the net has no such layer.
    """

    def __init__(self, net: Module, layer: str) -> None:
        names = [name for name, _ in net.named_modules()]
        if layer not in names or not layer:
            raise ConfigError(f"features: there is no layer {layer!r}{nearest(layer, names[1:])}")
        self.net, self.layer = net, layer

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute what the layer returns; nothing after it is computed.

        Parameters
        ----------
        *inputs, **options
            What the net takes.

        Returns
        -------
        Tensor
            What the layer returns when it is called for the first time.

        Raises
        ------
        ConfigError
            If the net does not call the layer.
        """
        wanted = dict(self.net.named_modules())[self.layer]
        call = object()  # other threads may be in the same layer
        token = _asked.set(call)
        try:
            with _stopping_at(wanted):
                self.net(*inputs, **options)
        except _ReachedError as reached:
            if reached.call is not call:
                raise
            return reached.output
        finally:
            _asked.reset(token)
        raise ConfigError(
            f"features: the net did not call its layer {self.layer!r}; name another one"
        )

    def extract(self, x: Any, batch: int = 256) -> np.ndarray:
        """Compute the features of many examples, in evaluation mode and without history.

        Parameters
        ----------
        x : array_like, shape (N, ...)
            The examples.
        batch : int, default 256
            How many are computed at once.

        Returns
        -------
        ndarray, shape (N, ...)
            In CPU memory.
        """
        member = next((m for _, m in self._walk() if isinstance(m, Parameter)), None)
        device = get_device() if member is None else member.device
        parts = []
        with no_grad(), evaluating():
            for start in range(0, max(len(x), 1), batch):
                y = self(Tensor(to_device(np.asarray(x[start : start + batch]), device)))
                parts.append(y.numpy())
        return np.concatenate(parts)


def features(net: Module, layer: str) -> Features:
    """Return a net up to one of its layers: what it has learned to see, for another task.

    Parameters
    ----------
    net : Module
        The net; it stays what it is, and its weights are shared.
    layer : str
        The layer's name, as `Module.named_modules` lists it: "block2", say, or "block2.0".

    Returns
    -------
    Features
        A module that takes what the net takes and returns what the layer returns; gradients pass
        through it. Its `extract` makes arrays of arrays.

    Raises
    ------
    ConfigError
        If the net has no such layer.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models, nn
    >>> seen = nn.features(models.SeedNet(), "block2")
    >>> seen(Tensor(np.zeros((2, 3, 32, 32), np.float32))).shape
    (2, 16, 16, 16)
    """
    return Features(net, layer)


def _stopping_at(layer: Module) -> Any:
    """End the call in progress as soon as a layer has returned, inside a ``with`` block."""
    call = _asked.get()

    def stop(_: Module, __: Any, output: Any) -> None:
        if _asked.get() is call:
            raise _ReachedError(call, output)

    before = observer.get()
    if before is None:
        return layer.register_forward_hook(stop)

    def watch(module: Module, inputs: tuple[Any, ...]) -> Any:  # hooks are not called then
        done = before(module, inputs)

        def returned(output: Any) -> None:
            done(output)
            if module is layer:
                stop(module, inputs, output)

        return returned

    return observed_by(watch)
