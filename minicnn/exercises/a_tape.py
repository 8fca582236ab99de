"""Exercises of the lesson that builds an autograd engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.exercises import _walks as walks
from minicnn.exercises._exercise import exercise, predict

__all__ = [
    "backward",
    "calls",
    "is_right",
    "matmul_gradients",
    "numeric_gradient",
    "slope",
    "softmax_gradient",
    "sum_to",
]

Array = np.ndarray
Case = tuple[Any, ...]
Function = Callable[[Array], Any]
PullBack = Callable[[Array, Array], Array]  # of x and dL/dy

slope = predict(
    "slope",
    "With a = x * x, b = a + x and y = a * b: what is dy/dx at x = 3?",
    135.0,
    mistakes={
        "that is the way through b alone; a goes into y directly, too": 63.0,
        "that is the way from a into y alone; b changes with x, too": 72.0,
        "b depends on x by two ways, and the direct one is missing": 126.0,
        "b depends on x by two ways, and the one by way of a is missing": 81.0,
        "a and b both change, and the slope of a product is a sum of two terms": 42.0,
        "that is y itself; asked for is how fast it grows": 108.0,
    },
)

calls = predict(
    "calls",
    "Ten times x = x + x, then push once: how often is push called, the first call included?",
    2047,
    mistakes={
        "x + x has two ways to x: below it, all is visited twice": 11,
        "each of the two arrows of x + x starts a walk of its own through all that lies below": 21,
        "those are the calls for the first x alone; the values on the way are visited, too": 1024,
        "those are the calls for the values on the way; the first x is visited, too": 1023,
        "the first call is for the last value alone: 1 + 2 + 4 + ... is one less": 2048,
        "the first call, for the last value, counts too": 2046,
    },
)


def _functions(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((4,), (2, 3), (3, 1, 2), (2,), (3, 5)):
        c, x = rng.uniform(0.5, 2, shape), rng.normal(size=shape)
        step = float(rng.uniform(0.05, 0.2))  # coarse: with another one the estimate is another
        yield (lambda t, c=c: float((c * t**3).sum() + t.prod()), x, step)


def _differences(f: Function, x: Array, up: float, down: float, width: float) -> Array:
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += up
        below[i] -= down
        gradient[i] = (f(above) - f(below)) / width
    return gradient


def _all_at_once(f: Function, x: Array, step: float) -> Array:
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * step))


def _not_put_back(f: Function, x: Array, step: float) -> Array:
    x, gradient = x.copy(), np.empty(x.shape)
    for i in np.ndindex(x.shape):
        x[i] += step
        above = f(x)
        x[i] -= 2 * step
        gradient[i] = (above - f(x)) / (2 * step)
    return gradient


@exercise(
    cases=_functions,
    mistakes={
        "the difference is taken to one side only; go a step up and a step down": (
            lambda f, x, step: _differences(f, x, step, 0.0, step)
        ),
        "from x - step to x + step it is two steps, not one": (
            lambda f, x, step: _differences(f, x, step, step, step)
        ),
        "a slope is rise over run: divide by the way between": (
            lambda f, x, step: _differences(f, x, step, step, 1.0)
        ),
        "all numbers are moved at once; move one, and leave the others where they are": (
            _all_at_once
        ),
        "a number that was moved is not put back when the next one's turn comes": _not_put_back,
    },
    symptoms={
        "x may have several axes, or one; np.ndindex(x.shape) yields every index": (
            lambda got, right, f, x, step: np.shape(got) != x.shape
        ),
    },
    without=("gradient",),
)
def numeric_gradient(f: Function, x: Array, step: float) -> Array:
    """Estimate df/dx for a function of an array that returns a number, by central differences.

    Move one number of x after the other a step up and a step down, and divide the difference of
    the two results by the way between. Return an array of x's shape; leave x as it is.
    """
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        above, below = x.copy(), x.copy()
        above[i] += step
        below[i] -= step
        gradient[i] = (f(above) - f(below)) / (2 * step)
    return gradient


@exercise(
    cases=walks.graphs,
    play=walks.walk_and_read,
    mistakes={
        "a value that is used twice gets two shares: add them, do not assign": walks.assigning,
        "the walk begins with the gradient that is given, not always with 1": walks.from_one,
        "a value is passed on before all its users have added their share: youngest first": (
            walks.in_breadth
        ),
        "it walks along every path, and there are far too many: visit each value once": (
            walks.along_paths
        ),
        "it walks along every path, and calls itself: visit each value once, in a loop": (
            walks.paths_by_recursion
        ),
        "in a deep graph Python's recursion comes to its end: collect the values in a loop": (
            walks.by_recursion
        ),
        "it begins at the oldest value, but the gradient comes from the youngest": (
            walks.oldest_first
        ),
    },
    symptoms={
        "y's own gradient is the one that is given: the walk begins with it": (
            lambda got, right, recipe, last, grad: got[last] != right[last]
        ),
        "a share is lost, or a value is passed on before it is complete: each once, youngest "
        "first": lambda got, right, recipe, last, grad: walks.unequal(got, right),
    },
)
def backward(y: Any, grad: float) -> None:
    """Set ``.grad`` of y, and of every value that it depends on, to dL/d(that value).

    ``grad`` is dL/dy. Each value has ``.parents``, pairs (parent, pull_back), where
    ``pull_back(dL/d(value))`` is the parent's share; ``.grad``, 0.0 at first; and ``.born``, a
    number that is larger than those of all values it was computed from. A graph may be deep
    (thousands of values), and a value may be used by several others.
    """
    found, waiting = {y}, [y]
    while waiting:
        for parent, _ in waiting.pop().parents:
            if parent not in found:
                found.add(parent)
                waiting.append(parent)
    y.grad = grad
    for value in sorted(found, key=lambda value: value.born, reverse=True):
        for parent, pull_back in value.parents:
            parent.grad = parent.grad + pull_back(value.grad)


def _broadcasts(rng: np.random.Generator) -> Iterator[Case]:
    for large, small in (
        ((4, 3), (3,)),
        ((4, 3), (4, 1)),
        ((2, 5, 3), (5, 1)),
        ((2, 3), (2, 3)),
        ((2, 3, 4), ()),
        ((2, 4, 3, 5), (1, 4, 1, 1)),
        ((3, 3), (3,)),
        ((5, 2), (1, 2)),
    ):
        yield rng.normal(size=large), small


def _leading_axes_only(grad: Array, shape: tuple[int, ...]) -> Array:
    return grad.sum(axis=tuple(range(grad.ndim - len(shape))))


def _with_ones_dropped(grad: Array, shape: tuple[int, ...]) -> Array:
    return sum_to.solution(grad, shape).reshape([n for n in shape if n != 1])


def _averaging(grad: Array, shape: tuple[int, ...]) -> Array:
    times = grad.size / max(np.prod(shape, dtype=int), 1)
    return sum_to.solution(grad, shape) / times


def _picking(grad: Array, shape: tuple[int, ...]) -> Array:
    grad = grad[(0,) * (grad.ndim - len(shape))]
    return grad[tuple(slice(n) for n in shape)]


def _from_the_left(grad: Array, shape: tuple[int, ...]) -> Array:
    filled = (*shape, *(1,) * (grad.ndim - len(shape)))
    axes = tuple(i for i, n in enumerate(filled) if n != grad.shape[i])
    return grad.sum(axis=axes).reshape(shape)


@exercise(
    cases=_broadcasts,
    mistakes={
        "new axes on the left are summed; those that had length 1 are missing": _leading_axes_only,
        "an axis of length 1 stays, with length 1: keepdims": _with_ones_dropped,
        "a number that was used n times gets the sum of n gradients, not their average": _averaging,
        "it keeps one of the copies' gradients and drops the others; add them": _picking,
        "broadcasting compares shapes from the right: new axes appear on the left": _from_the_left,
    },
    symptoms={
        "the result must have the shape that is asked for": (
            lambda got, right, grad, shape: np.shape(got) != shape
        ),
    },
)
def sum_to(grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum dL/dy, where y was broadcast from an array of ``shape``, to that shape.

    Axes that broadcasting put on the left disappear, axes that had length 1 have it again; every
    number that was used several times gets the sum of its gradients.
    """
    grad = grad.sum(axis=tuple(range(grad.ndim - len(shape))))
    return grad.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True)


def _products(rng: np.random.Generator) -> Iterator[Case]:
    for i, j, k in ((2, 3, 4), (4, 2, 3), (1, 5, 2), (3, 3, 3), (5, 1, 4)):
        yield rng.normal(size=(i, j)), rng.normal(size=(j, k)), rng.normal(size=(i, k))


@exercise(
    cases=_products,
    mistakes={
        "a and b are multiplied as they are; sum over the index that the two share": (
            lambda a, b, grad_y: (grad_y @ b, a @ grad_y)
        ),
        "the factors stand in the wrong order: write down the shapes": (
            lambda a, b, grad_y: (b.T @ grad_y, grad_y @ a.T)
        ),
        "each is transposed: a gradient has the shape of what it belongs to": (
            lambda a, b, grad_y: (b @ grad_y.T, grad_y.T @ a)
        ),
        "they are right, but exchanged: first that of a, then that of b": (
            lambda a, b, grad_y: (a.T @ grad_y, grad_y @ b.T)
        ),
        "dL/dy does not enter: that would be the gradient of the sum of y": (
            lambda a, b, grad_y: (np.ones_like(grad_y) @ b.T, a.T @ np.ones_like(grad_y))
        ),
    },
)
def matmul_gradients(a: Array, b: Array, grad_y: Array) -> tuple[Array, Array]:
    """Return dL/da and dL/db of y = a @ b, without loops.

    With a of shape (I, J) and b of (J, K), ``y[i, k] = sum_j a[i, j] * b[j, k]``.
    """
    return grad_y @ b.T, a.T @ grad_y


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _softmax_pull_back(x: Array, grad_y: Array) -> Array:
    return softmax_gradient.solution(_softmax(x), grad_y)


def _averaged_softmax(x: Array, grad_y: Array) -> Array:
    return _softmax(x) * (grad_y - grad_y.mean(axis=1, keepdims=True))


def _first_wrong(x: Array, grad_y: Array) -> Array:
    """Return the gradient of tanh, its last number off by a hundredth."""
    wrong = np.ones(x.shape)
    wrong.flat[-1] = 1.01
    return grad_y * (1 - np.tanh(x) ** 2) * wrong


def _claims(rng: np.random.Generator) -> Iterator[Case]:
    """Yield functions, their pull-backs, right and wrong, points and seeds."""
    table, factor = rng.normal(size=(5, 3)), rng.normal(size=(4, 2))
    rows, row = rng.normal(size=(3, 4)), rng.normal(size=3)
    for f, pull_back, x in (
        (np.tanh, lambda x, g: g * (1 - np.tanh(x) ** 2), rows),
        (np.tanh, lambda x, g: -g * (1 - np.tanh(x) ** 2), rows),
        (np.tanh, lambda x, g: g * (1 - np.tanh(x) ** 2) * 1.001, rows),
        (np.tanh, _first_wrong, rows),
        (_softmax, _softmax_pull_back, rows),
        (_softmax, lambda x, g: np.zeros_like(x), rows),
        (_softmax, _averaged_softmax, rows),
        (lambda x: x @ factor, lambda x, g: g @ factor.T, rows),
        (lambda b: table + b, lambda b, g: g.sum(axis=0), row),
        (lambda b: table + b, lambda b, g: g, row),  # of another shape, which NumPy does not mind
        (lambda x: 2 * x, lambda x, g: np.full_like(x, 2 * g.mean()), rows),
        (lambda x: (x**3).sum(), lambda x, g: 3 * x**2 * g, row),
    ):
        yield f, pull_back, x, int(rng.integers(1000))


def _checker(random_u: bool, random_v: bool, shapes: bool, rtol: float) -> Any:
    """Make a checker that looks at some things only."""

    def check(f: Function, pull_back: PullBack, x: Array, seed: int) -> bool:
        rng, step = np.random.default_rng(seed), 1e-6
        y = np.asarray(f(x))
        u = rng.normal(size=y.shape) if random_u else np.ones(y.shape)
        v = rng.normal(size=x.shape) if random_v else np.ones(x.shape)
        gradient = np.asarray(pull_back(x, u))
        if shapes and gradient.shape != x.shape:
            return False
        numeric = (u * (f(x + step * v) - f(x - step * v))).sum() / (2 * step)
        return bool(abs((gradient * v).sum() - numeric) <= rtol * abs(numeric) + 1e-8)

    return check


@exercise(
    cases=_claims,
    mistakes={
        "a cotangent of ones sees only the gradient of the sum, and a softmax's sum is constant; "
        "draw it": _checker(False, True, True, 1e-5),
        "both are ones: it compares one number of the gradient's many; draw u and v": _checker(
            False, False, True, 1e-5
        ),
        "a direction of ones sees only the sum of the gradient; draw it": _checker(
            True, False, True, 1e-5
        ),
        "a gradient of another shape than x passes, since NumPy broadcasts it: compare shapes": (
            _checker(True, True, False, 1e-5)
        ),
        "it lets errors of one percent or less pass: differences in float64 are far better": (
            _checker(True, True, True, 0.02)
        ),
    },
    symptoms={
        "answer True or False": lambda got, right, *_: not isinstance(got, bool | np.bool_),
        "it objects to a gradient that is right; are step and tolerance as in the task?": (
            lambda got, right, *_: right and not got
        ),
        "it lets a wrong gradient pass; is u drawn, is v, and are the shapes compared?": (
            lambda got, right, *_: got and not right
        ),
    },
)
def is_right(f: Function, pull_back: PullBack, x: Array, seed: int) -> bool:
    """Tell whether ``pull_back(x, dL/dy)`` is the gradient of y = f(x), judged by differences.

    Draw a cotangent u of y's shape and a direction v of x's from ``np.random.default_rng(seed)``.
    Compare ``<u, (f(x + h v) - f(x - h v)) / 2h>`` with ``<pull_back(x, u), v>``, where h is 1e-6
    and <a, b> is the sum of all a * b. They may differ by 1e-5 of their size, plus 1e-8.
    """
    rng, h = np.random.default_rng(seed), 1e-6
    u, v = rng.normal(size=np.shape(f(x))), rng.normal(size=x.shape)
    gradient = pull_back(x, u)
    if np.shape(gradient) != x.shape:
        return False
    numeric = (u * (f(x + h * v) - f(x - h * v))).sum() / (2 * h)
    return bool(abs(numeric - (gradient * v).sum()) <= 1e-5 * abs(numeric) + 1e-8)


def _probabilities(rng: np.random.Generator) -> Iterator[Case]:
    for shape in ((2, 3), (4, 2), (1, 5), (3, 3), (3, 4)):
        yield _softmax(rng.normal(size=shape)), rng.normal(size=shape)


@exercise(
    cases=_probabilities,
    mistakes={
        "in the average each class counts alike; but how far dL/dx[j] feels class k depends on "
        "y[k]": lambda y, g: y * (g - g.mean(axis=1, keepdims=True)),
        "y[k] depends on every x[j], not on its own x[k] alone": lambda y, g: g * y * (1 - y),
        "it sums dL/dy without weights; where do the probabilities come in?": lambda y, g: (
            y * (g - g.sum(axis=1, keepdims=True))
        ),
        "each row is a softmax of its own: sum along the classes, axis 1": lambda y, g: (
            y * (g - (g * y).sum(axis=0, keepdims=True))
        ),
        "the factor y[j] in front of the bracket is missing": lambda y, g: (
            g - (g * y).sum(axis=1, keepdims=True)
        ),
    },
)
def softmax_gradient(y: Array, grad_y: Array) -> Array:
    """Return dL/dx of y = softmax(x) along axis 1, given y and dL/dy, both of shape (N, K)."""
    return y * (grad_y - (grad_y * y).sum(axis=1, keepdims=True))
