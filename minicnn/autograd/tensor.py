"""The engine: a Tensor, the decorator that makes an op, and the walk backward.

An op computes its value and, for each differentiable argument, the function
that pulls a gradient back through it; `differentiable` turns that into a
function on Tensors and records who came from whom.  Pull-backs take and return
Tensors and are written with ops, so a gradient can be differentiated again.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import heapq
import inspect
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from minicnn.autograd._complaints import RAW, complain
from minicnn.autograd.watching import watcher
from minicnn.backend import Array, array_module, kernels_for
from minicnn.backend.device import device_of
from minicnn.errors import DTypeError, GradientError, MinicnnError, ShapeError

PullBack = Callable[..., "Tensor"]  # dL/dy -> dL/d(one argument)
Lifted = tuple[Array, tuple[PullBack | None, ...]]  # what an op returns to `differentiable`
Parents = tuple[tuple["Tensor", PullBack], ...]

if TYPE_CHECKING:
    from minicnn.autograd._methods import _Methods
else:
    _Methods = object  # `operators` binds the real ones

_recording: contextvars.ContextVar[bool] = contextvars.ContextVar("recording", default=True)
_births = itertools.count()  # a tensor is younger than all it was computed from


class Tensor(_Methods):
    """An array that remembers how it was computed.

    Parameters
    ----------
    data : array_like
        The value: a NumPy array (CPU) or a CuPy array (GPU) is used as it is, without a copy;
        of lists and numbers, floats become float32 and ints int64.
    requires_grad : bool, default False
        Whether `backward` should store dL/d(this tensor) in `grad`.

    Attributes
    ----------
    data : ndarray
        The value.
    grad : Tensor or None
        What `backward` left here.
    requires_grad : bool
        Whether gradients flow to this tensor.

    Raises
    ------
    DTypeError
        If `data` is not numeric, or `requires_grad` is asked of whole numbers.
    """

    __slots__ = ("__weakref__", "_born", "_keeps_grad", "_parents", "data", "grad", "requires_grad")

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self.data: Array = data if isinstance(data, np.ndarray) else _as_array(data)
        if self.data.dtype.kind not in "biuf":
            raise DTypeError(f"Tensor: data must be real numbers or bool, got {self.data.dtype}")
        if requires_grad and self.data.dtype.kind != "f":
            raise DTypeError(f"Tensor: only floats have gradients, not {self.data.dtype}")
        self.grad: Tensor | None = None
        self.requires_grad = requires_grad
        self._parents: Parents = ()
        self._keeps_grad = False
        self._born = next(_births)

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """The device that holds the value, ``"cpu"`` or ``"cuda:<index>"``."""
        return device_of(self.data)

    def __len__(self) -> int:
        if not self.data.ndim:
            raise ShapeError("len: a tensor of shape () has no length; use .size")
        return len(self.data)

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), separator=", ", prefix="Tensor(", threshold=100)
        more = ", requires_grad=True" if self.requires_grad else ""
        return f"Tensor({text}, dtype={self.dtype}{more})"

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ShapeError(
                f"bool: a tensor of shape {self.shape} is neither true nor false; use .data.any() "
                "or .data.all() (`in` compares the numbers too: look for a tensor with `is`)"
            )
        return bool(self.data.item())

    def __setitem__(self, index: Any, value: Any) -> None:
        raise GradientError(
            "tensors are not assigned to, for their history would be wrong; build a new one with "
            "minicnn.where or minicnn.concatenate, or write to .data of a tensor without history"
        )

    def numpy(self) -> np.ndarray:
        """Return the value as a NumPy array: the data themselves on the CPU, a copy of a GPU's."""
        return self.data if isinstance(self.data, np.ndarray) else self.data.get()

    def item(self) -> Any:
        """Return the value of a one-element tensor as a Python number.

        Raises
        ------
        ShapeError
            If there is not exactly one element.
        """
        if self.size != 1:
            raise ShapeError(f"item: needs a tensor of one element, got shape {self.shape}")
        return self.data.item()

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    def detach(self) -> Tensor:
        """Return the same value without its history (the memory is shared)."""
        return Tensor(self.data)

    def retain_grad(self) -> Tensor:
        """Ask `backward` to store a gradient here though this is no leaf; return the tensor."""
        self._keeps_grad = True
        return self

    def backward(
        self, grad: Any = None, retain_graph: bool = False, create_graph: bool = False
    ) -> None:
        """Add dL/dt to the `grad` of every leaf t that this tensor depends on.

        Parameters
        ----------
        grad : Tensor or ndarray, optional
            dL/d(this tensor), of its shape; by default 1, so that L is this
            tensor itself, which must then be a scalar.
        retain_graph : bool, default False
            Whether to keep the saved values, so that the graph can be walked again.
        create_graph : bool, default False
            Whether to record the walk, so that gradients can be differentiated.

        Raises
        ------
        GradientError
            If nothing here requires a gradient, or the graph was freed.
        ShapeError
            If `grad` has another shape, or is omitted and this is not a scalar.
        """
        with recording(create_graph):
            for t, g in _walk_back(self, grad, free=not (retain_graph or create_graph)):
                if t._keeps_grad or not t._parents:  # a leaf: this is where gradients end up
                    # A copy: g may be shared with another leaf, or be a view, or the caller's.
                    kept = g if create_graph else Tensor(_copied(g.data))
                    t.grad = kept if t.grad is None else t.grad + g

    def __hash__(self) -> int:
        return id(self)  # == compares elements, so identity is the only hash that makes sense

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))


def _copied(a: Array) -> Array:
    """Return a copy; of large arrays into memory that was used before."""
    return kernels_for(a).copied(a) if a.size >= 1 << 16 else a.copy(order="K")


def _takes_tensor(annotation: Any) -> bool:
    """Tell whether it is ``Tensor``, or ``Tensor | ...``, as text or not."""
    if isinstance(annotation, str):
        return annotation.startswith("Tensor")
    return annotation is Tensor or get_args(annotation)[:1] == (Tensor,)


def differentiable(op: Callable[..., Lifted]) -> Callable[..., Tensor]:
    """Turn an op into a function that records its history.

    `op` returns ``(y, (grad_a, grad_b, ...))``: its value as an array and, for each of its
    leading parameters ``a, b, ...``, the function taking dL/dy to dL/da, or None where there is
    no gradient. A list of tensors as first argument counts as that many parameters. Arrays given
    where a parameter is annotated ``Tensor`` are wrapped.

    Parameters
    ----------
    op : callable
        The op, a function on Tensors.

    Returns
    -------
    callable
        The same function, returning a Tensor.
    """
    parameters = inspect.signature(op).parameters
    names = tuple(parameters)
    wrapped = {n for n, p in parameters.items() if _takes_tensor(p.annotation)}
    needed = {n for n in wrapped if parameters[n].annotation in ("Tensor", Tensor)}
    wraps_at = tuple((i, n in needed) for i, n in enumerate(names) if n in wrapped)

    @functools.wraps(op)
    def on_tensors(*args: Any, **kwargs: Any) -> Tensor:
        try:
            for i, is_needed in wraps_at:
                if i >= len(args):
                    break
                if not isinstance(args[i], Tensor) and (is_needed or args[i] is not None):
                    args = (*args[:i], _argument(op, names[i], args[i], needed), *args[i + 1 :])
            if kwargs:
                for name in wrapped.intersection(kwargs):
                    kwargs[name] = _argument(op, name, kwargs[name], needed)
            data, pull_backs = op(*args, **kwargs)
            y = Tensor(data)
        except (MinicnnError, *RAW) as error:
            complain(op, args, kwargs, error)
            raise
        if _recording.get():
            first = args[0] if args else kwargs.get(names[0])
            inputs: Sequence[Any] = args
            if isinstance(first, list | tuple) and any(isinstance(t, Tensor) for t in first):
                inputs = first
            elif kwargs:
                inputs = (*args, *(kwargs.get(n) for n in names[len(args) :]))
            parents = []  # a loop, for a generator takes as long as the rest of the door
            for a, pull_back in zip(inputs, pull_backs, strict=False):
                if pull_back is not None and isinstance(a, Tensor) and a.requires_grad:
                    parents.append((a, pull_back))
            if parents:
                y._parents, y.requires_grad = tuple(parents), True
        if (watch := watcher.get()) is not None:
            watch(on_tensors, args, kwargs, y)
        return y

    return on_tensors


def of_output(pull_back: Callable[[Tensor, Tensor], Tensor]) -> PullBack:
    """Mark a pull-back that wants the op's output as well: it is called as ``f(grad_y, y)``.

    Some derivatives are simplest in terms of the result (d exp = exp). The engine
    hands it in, so that the graph holds no cycle.

    Parameters
    ----------
    pull_back : callable
        Takes dL/dy and y, returns dL/d(argument).

    Returns
    -------
    callable
        The same function, marked.
    """
    pull_back.of_output = True  # type: ignore[attr-defined]
    return pull_back


def once_differentiable(pull_back: Callable[..., Tensor]) -> PullBack:
    """Mark a pull-back that calls a kernel and so has no gradient itself.

    Its result is right; to differentiate it again is refused, instead of being
    taken for a constant.

    Parameters
    ----------
    pull_back : callable
        Takes dL/dy (and y, with `of_output`), returns dL/d(argument); records nothing.

    Returns
    -------
    callable
        The same, with a history that refuses to be walked.
    """

    @functools.wraps(pull_back)
    def once(*gradients: Tensor) -> Tensor:
        with no_grad():
            g = pull_back(*gradients)
        if _recording.get():
            op = pull_back.__qualname__.partition(".")[0]

            def refuse(*_: Any) -> Tensor:
                raise GradientError(
                    f"{op}: its gradient is computed by one kernel and cannot be differentiated "
                    "again; write the op out with simpler ones to get second derivatives"
                )

            g = Tensor(g.data, requires_grad=True)
            g._parents = ((Tensor(np.zeros(()), requires_grad=True), refuse),)
        return g

    return once


class recording(contextlib.ContextDecorator):  # noqa: N801  (used as a function, like suppress)
    """Switch the recording of history on or off inside a ``with`` block, or in a function.

    Parameters
    ----------
    on : bool
        Whether ops record what their results were computed from.
    """

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[contextvars.Token[bool]] = []

    def __enter__(self) -> None:
        self._before.append(_recording.set(self._on))

    def __exit__(self, *_: object) -> None:
        _recording.reset(self._before.pop())

    def _recreate_cm(self) -> recording:
        return recording(self._on)  # a decorated function may run in several threads at once


def is_recording() -> bool:
    """Tell whether ops record what their results are computed from.

    In a pull-back it tells whether the walk itself is recorded, to be differentiated again.

    Returns
    -------
    bool
        False inside `no_grad`, and in a walk without ``create_graph``.
    """
    return _recording.get()


def no_grad() -> recording:
    """Compute without recording history, in a ``with`` block or as a decorator.

    Returns
    -------
    context manager
        For one block, or for every call of the function it decorates; of this thread alone.
    """
    return recording(False)


def grad(
    y: Tensor,
    xs: Tensor | Sequence[Tensor],
    grad_y: Any = None,
    *,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> Any:
    """Return dL/dx without storing anything in ``x.grad``.

    Parameters
    ----------
    y : Tensor
        What to differentiate.
    xs : Tensor or sequence of Tensor
        With respect to what; leaves or not.
    grad_y : Tensor or ndarray, optional
        dL/dy, of y's shape; by default 1, for a scalar y.
    create_graph : bool, default False
        Whether to record the walk, so that the result can be differentiated again.
    retain_graph : bool, default False
        Whether to keep the saved values, so that the graph can be walked again.

    Returns
    -------
    Tensor or tuple of Tensor
        One gradient for each of `xs`, of its shape; zeros where y does not depend on it.

    Raises
    ------
    GradientError
        If one of `xs` does not require a gradient.
    """
    targets = (xs,) if isinstance(xs, Tensor) else tuple(xs)
    for i, x in enumerate(targets):
        if not x.requires_grad:
            raise GradientError(
                f"grad: tensor {i} of shape {x.shape} does not require a gradient; create it with "
                "requires_grad=True, and outside no_grad()"
            )
    found: dict[Tensor, Tensor] = {}
    wanted = set(map(id, targets))
    with recording(create_graph):
        for t, g in _walk_back(y, grad_y, not (retain_graph or create_graph), wanted):
            if id(t) in wanted:
                found[t] = g
    gradients = tuple(
        found[x] if x in found else Tensor(array_module(x.data).zeros_like(x.data)) for x in targets
    )
    return gradients[0] if isinstance(xs, Tensor) else gradients


_walk_numbers = itertools.count(1)
_walk = threading.local()


def walk_number() -> int:
    """Return which walk back calls the pull-back that asks, so that it can tell two apart.

    Returns
    -------
    int
        Another one for each walk; 0 outside of any.
    """
    return getattr(_walk, "number", 0)


def _walk_back(
    y: Tensor, grad_y: Any, free: bool, targets: set[int] | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each tensor that `y` depends on with its whole gradient, the youngest first.

    A tensor is younger than its parents, so when it is the youngest one waiting,
    all its users were visited and its gradient is complete. With `targets`, ids of tensors,
    only what lies between `y` and them is visited; the whole graph is freed all the same.
    """
    if not y.requires_grad:
        raise GradientError(
            f"backward: nothing that this tensor of shape {y.shape} was computed from requires a "
            "gradient; use requires_grad=True, and compute outside no_grad()"
        )
    gradients = {id(y): _initial_gradient(y, grad_y)}  # of all that wait, which are alive so
    waiting = [(-y._born, y)]
    needed = None if targets is None else _between(y, targets, free)
    number = next(_walk_numbers)
    while waiting:
        _, t = heapq.heappop(waiting)
        g = gradients.pop(id(t))
        yield t, g
        _walk.number = number  # said anew for each: a pull-back may walk, too
        for parent, pull_back in t._parents:
            key = id(parent)
            if needed is not None and key not in needed:
                continue
            of_y = getattr(pull_back, "of_output", False)
            g_parent = pull_back(g, t) if of_y else pull_back(g)
            if g_parent.data.dtype != parent.data.dtype:
                g_parent = g_parent.astype(parent.dtype)
            if key in gradients:
                gradients[key] = gradients[key] + g_parent
            else:
                gradients[key] = g_parent
                heapq.heappush(waiting, (-parent._born, parent))
        if free and t._parents:
            t._parents = _SPENT  # lets the saved arrays go


def _between(y: Tensor, targets: set[int], free: bool) -> set[int]:
    """Return the ids of `y` and of all on the way from it to a target; free the others or not.

    A history that was freed or refuses to be walked may have led to a target, so it counts as
    one. Its stand-in for a parent is known by `_SPENT`, or by being younger than its child.
    """
    found, waiting, needed = {id(y): y}, [y], {id(y), *targets}
    spent = _SPENT[0][0]
    while waiting:
        t = waiting.pop()
        for parent, _ in t._parents:
            if parent is spent or parent._born > t._born:
                needed.add(id(parent))
            elif id(parent) not in found:
                found[id(parent)] = parent
                waiting.append(parent)
    for t in sorted(found.values(), key=lambda t: t._born):  # parents before their children
        if any(id(parent) in needed for parent, _ in t._parents):
            needed.add(id(t))
        elif free and t._parents and id(t) not in needed:
            t._parents = _SPENT
    return needed


def _used_up(*_: Any) -> Tensor:
    """Stand where a freed pull-back stood."""
    raise GradientError(
        "backward: this graph was already walked and its saved values are freed; run the forward "
        "pass again, or walk it the first time with retain_graph=True"
    )


_SPENT: Parents = ((Tensor(np.zeros(()), requires_grad=True), _used_up),)


def _initial_gradient(y: Tensor, grad_y: Any) -> Tensor:
    if grad_y is None:
        if y.size != 1:
            raise ShapeError(
                f"backward: a tensor of shape {y.shape} needs an explicit grad "
                "of that shape; only a scalar may omit it (did you forget .sum()?)"
            )
        return Tensor(array_module(y.data).ones_like(y.data))
    given = _wrap(grad_y)
    if given.shape != y.shape:
        raise ShapeError(f"backward: grad has shape {given.shape}, the tensor {y.shape}")
    return given if given.dtype == y.dtype else given.astype(y.dtype)


def _argument(op: Callable[..., Any], name: str, value: Any, needed: set[str]) -> Any:
    """Return an argument of an op as a Tensor; None only where it may be left out."""
    if value is None and name in needed:
        raise DTypeError(
            f"{op.__name__}: {name} must be a Tensor, an array or numbers, got None; this argument "
            "cannot be left out"
        )
    return _wrap(value)


def _wrap(value: Any) -> Any:
    """Return arrays and numbers as Tensors, None and Tensors as they are."""
    return value if value is None or isinstance(value, Tensor) else Tensor(value)


def _as_array(data: Any) -> Array:
    """Turn what is not yet an array into one: floats become float32."""
    if hasattr(data, "__cuda_array_interface__"):
        return data
    if isinstance(data, Tensor):
        return data.data
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"Tensor: the data are not one array ({error})") from error
    typed = isinstance(data, np.generic) or hasattr(data, "__array__")
    return array if typed or array.dtype != np.float64 else array.astype(np.float32)
