"""`explain`: an op's formula, derivation, implementations, speed and accuracy in one place."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from minicnn.errors import ConfigError
from minicnn.explanation import _measuring as measuring
from minicnn.explanation import _sources as sources

__all__ = ["Explanation", "Kernel", "Measurement", "explain"]


@dataclass(frozen=True)
class Kernel:
    """One implementation of a kernel.

    Attributes
    ----------
    name : str
        What ops call it.
    kind : str
        ``"plain"``: array expressions; ``"cpu"``: compiled loops; ``"cuda"``; ``"generator of
        vector code"``: what writes that for the shape at hand, called by the cpu kernel.
    file : str
        Where it is.
    source : str
        Its text, and that of the compiled loops it calls.
    """

    name: str
    kind: str
    file: str
    source: str


@dataclass(frozen=True)
class Measurement:
    """How the implementations of an op do on some arguments.

    Attributes
    ----------
    arguments : str
        The shapes and options.
    seconds : dict of str to float
        Of the best call, for each implementation; without history.
    largest : float
        The largest absolute value of the result.
    between_kinds : float or None
        The largest absolute difference of plain and compiled kernels; None if there is one kind.
    from_double : float or None
        The largest absolute difference of the result in float32 and in float64; None if the op
        takes no floats.
    """

    arguments: str
    seconds: dict[str, float]
    largest: float
    between_kinds: float | None
    from_double: float | None


@dataclass(frozen=True)
class Explanation:
    """What there is to know about an op; print it, or let a notebook show it.

    Attributes
    ----------
    name, signature, summary : str
        What it is called and does.
    formula : tuple of str
        From its docstring; where that has none, its first sentence.
    derivation : tuple of str
        Why its gradient is right: the comments above its pull-backs, or the gradient that the
        docstring gives. Where it is too simple for either, the pull-backs themselves; of an op
        that is written with others, which ones.
    gradients : tuple of str
        The source of its pull-backs.
    file, source : str
        Where it is, and its text without the docstring, with the helpers that do the work.
    kernels : tuple of Kernel
        The implementations of what it calls, for its value first, then for its gradients; none if
        it is written in array expressions or with other ops.
    measured : Measurement or None
        If there were arguments to try it on.
    """

    name: str
    signature: str
    summary: str
    formula: tuple[str, ...]
    derivation: tuple[str, ...]
    gradients: tuple[str, ...]
    file: str
    source: str
    kernels: tuple[Kernel, ...]
    measured: Measurement | None

    def _sections(self) -> Iterator[tuple[str, list[str]]]:
        """Yield titles and blocks of text."""
        yield "Formula", ["\n".join(self.formula)]
        yield "Derivation of the gradient", list(self.derivation)
        yield f"The op ({self.file})", [self.source]
        for k in self.kernels:
            yield f"Kernel {k.name}, {k.kind} ({k.file})", [k.source]
        if self.measured is not None:
            yield f"Measured on {self.measured.arguments}", [_table(self.measured)]

    def __str__(self) -> str:
        parts = [f"{self.name}{self.signature}", self.summary]
        for title, blocks in self._sections():
            parts.append(f"{title}\n{'-' * len(title)}")
            parts += [_indented(block) for block in blocks]
        return "\n\n".join(parts)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        style = (
            "white-space:pre-wrap;background:#f8fafc;border-left:3px solid #94a3b8;padding:6px 10px"
        )
        parts = [
            f"<h3><code>{escape(self.name)}</code></h3>",
            f"<p><code>{escape(self.name + self.signature)}</code></p>",
            f"<p>{escape(self.summary)}</p>",
        ]
        for title, blocks in self._sections():
            text = "".join(f'<pre style="{style}">{escape(block)}</pre>' for block in blocks)
            folded = title.startswith(("Kernel", "The op"))
            parts.append(
                f"<details><summary>{escape(title)}</summary>{text}</details>"
                if folded
                else f"<h4>{escape(title)}</h4>{text}"
            )
        return "\n".join(parts)


def explain(op: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Explanation:
    """Explain an op: its formula, why its gradient is right, how it is computed, how fast.

    With arguments to try it on, every implementation is timed on them, and it is said how far
    plain and compiled kernels differ, and float32 from float64.

    Parameters
    ----------
    op : str or callable
        A public op or its name, such as ``"conv2d"``.
    *args, **kwargs
        What to call it with. For a tensor a shape is enough: numbers between 0.1 and 0.9 are
        drawn, in float32.

    Returns
    -------
    Explanation
        Print it, or look at its attributes.

    Raises
    ------
    ConfigError
        If there is no such op; the message names the nearest.

    Examples
    --------
    >>> import minicnn
    >>> about = minicnn.explain("conv2d", (8, 3, 16, 16), (4, 3, 3, 3), padding="same")
    >>> about.formula[0]
    'y[n,o,i,j] = bias[o] + sum_{c,u,v} weight[o,c,u,v] * x[n, c, i*SH + u*DH, j*SW + v*DW]'
    >>> sorted(about.measured.seconds)
    ['cpu', 'plain']
    """
    function = _found(op)
    f = inspect.unwrap(function)
    names = sources.kernels_of(function)
    gradients = sources.closures_of(function)
    measured = _measured(function, args, kwargs, bool(names)) if args or kwargs else None
    return Explanation(
        name=function.__name__,
        signature=str(inspect.signature(function)).replace("Lifted", "Tensor"),
        summary=" ".join((inspect.getdoc(function) or "").partition("\n\n")[0].split()),
        formula=sources.formulas_of(function),
        derivation=sources.derivation_of(function) or _without_words(function, gradients),
        gradients=gradients,
        file=f.__module__.replace(".", "/") + ".py",
        source=sources.text_of(function),
        kernels=tuple(
            Kernel(name, *found)
            for name in names
            for found in (*sources.kernel_sources(name), *sources.generator_sources(name))
        ),
        measured=measured,
    )


def _found(op: str | Callable[..., Any]) -> Callable[..., Any]:
    known = sources.catalogue()
    if isinstance(op, str):
        if op in known:
            return known[op]
        near = difflib.get_close_matches(op, known, n=3, cutoff=0.5)
        hint = (
            f"did you mean {' or '.join(map(repr, near))}?" if near else "see minicnn.ops.__all__"
        )
        raise ConfigError(f"explain: there is no op {op!r}; {hint}")
    if not callable(op) or not hasattr(op, "__wrapped__"):
        raise ConfigError(
            f"explain: {op!r} is no op; give one of minicnn.ops, its name, or a function that "
            "@differentiable or @composed made an op"
        )
    return op


def _without_words(function: Callable[..., Any], gradients: tuple[str, ...]) -> tuple[str, ...]:
    """Say why the gradient is right where no comment does."""
    if gradients:
        return gradients
    parts = sources.written_with(function)
    if parts:
        return (f"Written with {', '.join(parts)}; the chain rule does the rest.",)
    return ("It is written with operators of Tensors, or has no gradient.",)


def _measured(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], has_kernels: bool
) -> Measurement:
    """Call an op with each implementation."""
    given = measuring.operands(op, args)
    seconds, results = {}, {}
    for kind in measuring.kinds_for(given, has_kernels):
        with measuring.computed_by(kind):
            results[kind] = measuring.run(op, given, kwargs)
            seconds[kind] = measuring.best_time(lambda: measuring.run(op, given, kwargs))
    first, *others = results.values()
    floats = measuring.has_floats([given, kwargs])
    single, double = (
        measuring.run(op, *measuring.as_type([given, kwargs], dtype)) if floats else []
        for dtype in ("float32", "float64")
    )
    shapes = [str(getattr(a, "shape", a)) for a in given]
    return Measurement(
        arguments=", ".join([*shapes, *(f"{n}={_short(a)}" for n, a in kwargs.items())]),
        seconds=seconds,
        largest=max((float(np.abs(y).max(initial=0)) for y in first), default=0.0),
        between_kinds=measuring.farthest(first, others[0]) if others else None,
        from_double=measuring.farthest(single, double) if floats else None,
    )


def _short(value: Any) -> str:
    return str(value.shape) if hasattr(value, "shape") else repr(value)


def _table(m: Measurement) -> str:
    width = max(map(len, m.seconds))
    lines = [f"{kind.ljust(width)}  {1000 * s:10.4f} ms" for kind, s in m.seconds.items()]
    lines.append(f"the largest value is {m.largest:.6g}")
    if m.between_kinds is not None:
        lines.append(f"plain and compiled kernels differ by at most {m.between_kinds:.2g}")
    if m.from_double is not None:
        lines.append(f"float32 differs from float64 by at most {m.from_double:.2g}")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.splitlines())
