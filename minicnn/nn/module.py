"""Modules: objects that hold parameters and other modules, and compute with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from minicnn.autograd import Tensor
from minicnn.autograd.watching import inside, watcher
from minicnn.backend.device import to_device
from minicnn.errors import DTypeError
from minicnn.nn import _state
from minicnn.nn._calls import noted_call, observer, outermost, outermost_call
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn._tree import Tree
from minicnn.nn.evaluating import Mode

if TYPE_CHECKING:
    from minicnn.nn.summary import Summary

__all__ = ["Buffer", "HookHandle", "Module", "Parameter"]

Hook = Callable[["Module", tuple[Any, ...], Any], object]
Shape = tuple[int, ...]

_hook_numbers = itertools.count()


class Module(Tree):
    """A part of a net: it holds parameters, buffers and other modules, and maps tensors to tensors.

    What is assigned to an attribute is found again by itself: a `Parameter`, a `Buffer`, a
    `Module`, and those in a list, tuple or dict. Names follow the attributes, as in
    ``"block1.0.weight"``, and the order is that of the first assignment. An object that is
    reachable twice counts once, under its first name. A subclass defines `forward`; it need not
    call ``super().__init__()`` unless it extends a layer.

    Attributes
    ----------
    training : bool
        Whether the module behaves as in training (dropout drops, batch normalisation uses the
        batch's statistics); True at first. Inside `minicnn.nn.evaluating`, and of what is frozen
        (`minicnn.nn.freeze`), it is False.

    Examples
    --------
    >>> from minicnn import nn
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         self.first, self.second = nn.Dense(2, 3), nn.Dense(3, 2)
    ...
    ...     def forward(self, x):
    ...         return self.second(self.first(x))
    >>> [name for name, _ in Twice().named_parameters()]
    ['first.weight', 'first.bias', 'second.weight', 'second.bias']
    """

    training = Mode()
    _at_first: bool = True  # what `training` is before anybody says something
    _frozen: bool = False  # by `minicnn.nn.freeze`: evaluates, whatever it was told
    _forward_hooks: Mapping[int, Hook] = MappingProxyType({})

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(mode := vars(cls).get("training"), bool):  # else `evaluating` would not reach
            del cls.training
            cls._at_first = mode

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output; every subclass defines it.

        Parameters
        ----------
        *inputs, **options
            What the module is called with.

        Returns
        -------
        Tensor
            Usually; whatever the subclass returns.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, x)")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Compute the output with `forward`, then show it to the hooks."""
        if outermost.get() is None:
            with outermost_call(self):
                return self(*inputs, **options)
        if watcher.get() is not None:
            with inside(noted_call(self)):
                return self._run(inputs, options)
        if self._forward_hooks or observer.get() is not None:
            return self._run(inputs, options)
        return self.forward(*inputs, **options)

    def _run(self, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        watch = observer.get()
        if watch is not None:
            done = watch(self, inputs)
            output = self.forward(*inputs, **options)
            done(output)
            return output
        output = self.forward(*inputs, **options)
        for hook in tuple(self._forward_hooks.values()):
            hook(self, inputs, output)
        return output

    def register_forward_hook(self, hook: Hook) -> HookHandle:
        """Call ``hook(module, inputs, output)`` after every call of this module.

        Parameters
        ----------
        hook : callable
            Gets this module, the tuple of positional inputs, and the output; what it returns is
            ignored, an exception it raises ends the call.

        Returns
        -------
        HookHandle
            Its ``remove()`` ends it; it is also a context manager.
        """
        hooks = self.__dict__.setdefault("_forward_hooks", {})
        number = next(_hook_numbers)
        hooks[number] = hook
        return HookHandle(hooks, number)

    def build(self, *input_shapes: Shape) -> Self:
        """Let every layer find out the size of its input, and so create its parameters.

        Runs one example of zeros through the net in evaluation mode; nothing else changes.

        Parameters
        ----------
        *input_shapes : tuple of int
            The shape of one example of each input, without the batch axis: (C, H, W).

        Returns
        -------
        Module
            Itself.

        Raises
        ------
        ShapeError
            If the net does not take such inputs.
        """
        from minicnn.nn._probing import probe

        probe("build", self, input_shapes)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return all parameters and buffers by name.

        Returns
        -------
        dict of str to ndarray
            Copies, in CPU memory and C order, in definition order; what is shared is there once.

        Raises
        ------
        ConfigError
            If a layer is not built yet.
        """
        return _state.state_of(self._built("state_dict"))

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> _state.Differences:
        """Set all parameters and buffers; if anything does not fit, change nothing at all.

        Parameters
        ----------
        state : mapping of str to array_like
            As `state_dict` returns it; values are copied, and floats converted to the type of the
            module's own.
        strict : bool, default True
            Whether names that are missing or unexpected are an error. Shapes must always agree.

        Returns
        -------
        Differences
            The names that were ``missing`` and ``unexpected``; empty if `strict`.

        Raises
        ------
        CheckpointError
            If the state does not fit; the message lists all names that are missing, unexpected
            or misshapen.
        ConfigError
            If a layer is not built yet.
        """
        members = self._built("load_state_dict")
        return _state.load(type(self).__name__, members, state, strict)

    def train(self, mode: bool = True) -> Self:
        """Behave as in training, here and in all modules below.

        Parameters
        ----------
        mode : bool, default True
            False for evaluation.

        Returns
        -------
        Module
            Itself.
        """
        for _, module in self.named_modules():
            module.training = bool(mode)
        return self

    def eval(self) -> Self:
        """Behave as in evaluation: ``train(False)``; return the module itself."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for _, member in self._walk():
            if isinstance(member, Parameter):
                member.grad = None

    def to(self, device: str) -> Self:
        """Move all parameters, their gradients and all buffers to a device.

        Parameters
        ----------
        device : str
            ``"cpu"``, ``"cuda"`` or ``"cuda:<index>"``.

        Returns
        -------
        Module
            Itself; its Parameter objects stay the same.

        Raises
        ------
        DeviceError
            If there is no such device.
        """
        for _, member in self._walk():
            if isinstance(member, Tensor):
                member.data = to_device(member.data, device)
                if member.grad is not None:
                    member.grad = Tensor(to_device(member.grad.data, device))
        return self

    def astype(self, dtype: npt.DTypeLike) -> Self:
        """Convert all parameters, and the buffers that hold floats, to another type of float.

        Gradients are dropped.

        Parameters
        ----------
        dtype : dtype
            Such as float64, for checking gradients.

        Returns
        -------
        Module
            Itself; its Parameter objects stay the same.

        Raises
        ------
        DTypeError
            If `dtype` is not a type of floats.
        ConfigError
            If a layer is not built yet.
        """
        if np.dtype(dtype).kind != "f":
            raise DTypeError(f"astype: parameters are floats, they cannot become {np.dtype(dtype)}")
        for _, member in self._built("astype"):
            if isinstance(member, Tensor) and member.dtype.kind == "f":
                member.data = member.data.astype(dtype)
                member.grad = None
        return self

    def summary(self, *input_shapes: Shape) -> Summary:
        """Return a table of the layers: shapes, parameters, work, memory, receptive fields.

        Parameters
        ----------
        *input_shapes : tuple of int
            The shape of one example of each input, without the batch axis: (C, H, W).

        Returns
        -------
        Summary
            Print it; `minicnn.nn.summary.summarize` says what the columns mean.

        Raises
        ------
        ShapeError
            If the net does not take such inputs.
        """
        from minicnn.nn.summary import summarize

        return summarize(self, *input_shapes)


class HookHandle:
    """Ends a hook: call ``remove()``, or use it as a context manager."""

    def __init__(self, hooks: dict[int, Hook], number: int) -> None:
        self._hooks, self._number = hooks, number

    def remove(self) -> None:
        """Stop calling the hook; doing so again is harmless."""
        self._hooks.pop(self._number, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()
