"""How the museum's exercises are played: their cases, and what is made of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.exercises import _exhibits as exhibits
from minicnn.exercises._comparing import plain
from minicnn.exercises._exercise import Symptom

Array = np.ndarray
Cases = Iterator[tuple[Any, ...]]
DIFFERS = "it shows the bug"


def says(word: str) -> Symptom:
    """Make a symptom of a word in what was said of an answer."""
    return lambda got, expected, *arguments: word in got


def lets_through(*names: str) -> Symptom:
    """Make a symptom of the broken ops that a check lets through."""
    return lambda got, expected, *arguments: all(name in got for name in names)


def names(*families: Any) -> tuple[str, ...]:
    """Return what the ops of families are called."""
    return tuple(op.__name__ for family in families for op in family)


def given(value: Any) -> Array | str:
    """Return an answer as an array of numbers, or what is wrong with it."""
    x = np.asarray(plain(value))
    if x.dtype.kind not in "iuf":
        return f"an array of {x.dtype}"
    return x.astype(np.float64) if np.isfinite(x).all() else "an array that is not finite"


def shapes(rng: np.random.Generator) -> Cases:
    """Yield shapes of images (N, C, H, W), wider than high."""
    for n, c in (1, 1), (2, 3), (3, 1), (1, 4), (2, 2):
        yield ((n, c, int(rng.integers(5, 9)), int(rng.integers(9, 13))),)


def pool_it(answer: Callable[..., Any], shape: tuple[int, ...]) -> str:
    """Say whether an image shows that a pooling is padded with 0, or why not."""
    x = given(answer(shape))
    if isinstance(x, str):
        return x
    if x.shape != shape:
        return f"an image of shape {x.shape}"
    if not np.array_equal(exhibits.padded_with_zero(x, 3, 2, 1), exhibits.right(x, 3, 2, 1)):
        return DIFFERS
    return "nothing is negative" if x.min() >= 0 else "at each edge something is positive"


def pools(rng: np.random.Generator) -> Cases:
    """Yield the poolings, of which some are broken."""
    yield (exhibits.pools,)


def of_ops(check: Callable[..., Any], family: Callable[[], Any]) -> str:
    """Say which broken ops a check lets through, and which sound ones it refuses."""
    sound, broken = family()
    return exhibits.judged(check, [(op, (op,)) for op in sound], [(op, (op,)) for op in broken])


def gradients(rng: np.random.Generator) -> Cases:
    """Yield the ops whose pull-backs are checked, and where."""
    for shape in (3, 4), (2, 5), (4, 3):
        yield exhibits.gradients, rng.normal(0, 1, shape)


def of_gradients(check: Callable[..., Any], family: Callable[[], Any], x: Array) -> str:
    """Say which broken pull-backs a check lets through at x, and which sound ones it refuses."""
    sound, broken = family()
    return exhibits.judged(
        check,
        [(back, (f, back, x.copy())) for f, back in sound],
        [(back, (f, back, x.copy())) for f, back in broken],
    )


def routes(rng: np.random.Generator) -> Cases:
    """Yield the ways in which a pooling's gradient is sent back."""
    yield (exhibits.routes,)


def classes(rng: np.random.Generator) -> Cases:
    """Yield numbers of classes."""
    for classes in 2, 3, 5, 10, 43:
        yield (classes,)


def soften(answer: Callable[..., Any], classes: int) -> str:
    """Say whether logits show all broken softmaxes, or which they do not show."""
    x = given(answer(classes))
    if isinstance(x, str):
        return x
    if x.ndim != 2 or x.shape[1] != classes:
        return f"logits of shape {x.shape}"
    with np.errstate(all="ignore"):  # exp overflows, and 0/0 is what is looked for
        fooled = [
            op.__name__
            for op in exhibits.SOFTMAXES_BROKEN
            if np.allclose(op(x), exhibits.softmax(x), rtol=1e-6)
        ]
    return f"{' and '.join(fooled)} is right there" if fooled else DIFFERS


def labelled(rng: np.random.Generator) -> Cases:
    """Yield (logarithms of probabilities, labels), some labels beyond the classes."""
    for n, k, bad in (3, 4, None), (5, 2, -1), (1, 6, None), (4, 3, 3), (6, 5, -5), (2, 7, 12):
        log_p = np.log(exhibits.softmax(rng.normal(0, 2, (n, k))))
        labels = rng.integers(0, k, n)
        if bad is not None:
            labels[rng.integers(0, n)] = bad
        yield log_p, labels


def lose(answer: Callable[..., Any], log_p: Array, labels: Array) -> Any:
    """Return the loss, or how labels beyond the classes were refused."""
    try:
        return answer(log_p, labels)
    except ValueError as error:
        bad = labels[(labels < 0) | (labels >= log_p.shape[1])]
        named = any(str(label) in str(error) for label in bad.tolist())
        return "refused, and says which" if named else f"refused: {error}"


def number_of_bad(got: Any, expected: Any, log_p: Array, labels: Array) -> bool:
    """Tell whether a number came out where labels are to be refused."""
    return isinstance(expected, str) and got is not None and not isinstance(got, str)


def batches(rng: np.random.Generator) -> Cases:
    """Yield batches of (predictions, labels), of different sizes."""
    for sizes in (30, 30, 30, 10), (8, 8, 1), (5,), (4, 9, 2), (1, 1, 7), (16, 16, 16, 3):
        labels = [rng.integers(0, 3, n) for n in sizes]
        yield ([(np.where(rng.random(len(t)) < 0.6, t, (t + 1) % 3), t) for t in labels],)


def writers(rng: np.random.Generator) -> Cases:
    """Yield what writes arrays into files."""
    yield (exhibits.writers,)


def of_writers(check: Callable[..., Any], family: Callable[[], Any]) -> str:
    """Say which broken writers a check lets through, and which sound ones it refuses."""
    sound, broken = family()
    return exhibits.judged(
        check,
        [(write, (write, exhibits.read)) for write in sound],
        [(write, (write, exhibits.read)) for write in broken],
    )
