"""The door of every op: what goes wrong inside names the op, the whole shapes and a remedy.

Both decorators of ops, `differentiable` and `composed`, pass here what was raised. Ops call other
ops, so an error may pass several doors; each tells it anew, and the outermost has the last word:
that is the op that the person called.
"""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from minicnn.errors import ConfigError, DTypeError, GradientError, MinicnnError

# What Python and NumPy raise where an argument makes no sense
RAW = (
    TypeError,
    AttributeError,
    ValueError,
    IndexError,
    KeyError,
    ZeroDivisionError,
    OverflowError,
)
_UNCALLABLE = ": cannot be called with "
_FEW = 8  # as many members of a list are told
_LONG = 60  # as many characters of another argument


def complain(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], error: Exception
) -> None:
    """Let an error of an op say which op, which shapes and what to do.

    A MinicnnError is changed in place, for the caller to raise on; of another one, what is raised
    here is made.

    Parameters
    ----------
    op : callable
        The op that it leaves.
    args, kwargs : tuple, mapping
        What the op was called with.
    error : Exception
        A MinicnnError or one of `RAW`.

    Raises
    ------
    DTypeError
        In the place of a TypeError or an AttributeError.
    ConfigError
        In the place of the others of `RAW`.
    """
    if isinstance(error, MinicnnError):
        raw = error.__cause__
        if isinstance(raw, RAW) and _UNCALLABLE in str(error):  # an op inside this one made it
            error.args = (_retold(op, args, kwargs, raw),)
        elif not op.__name__.startswith("_"):  # else the public op around it knows better
            if error._first_text is None:
                error._first_text = str(error)
            error.args = (_told(op, args, kwargs, error, error._first_text),)
        return
    text = _retold(op, args, kwargs, error)
    if isinstance(error, TypeError | AttributeError):
        raise DTypeError(text) from error
    raise ConfigError(text) from error


def _told(
    op: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    error: MinicnnError,
    text: str,
) -> str:
    """Return an error's text with what it lacks of the op's name, the shapes and a remedy."""
    if not text.startswith(f"{op.__name__}: ") and not isinstance(error, GradientError):
        text = f"{op.__name__}: {text}"
    shapes = dict(_shapes(op, args, kwargs))
    if any(str(shape) not in text for shape in shapes.values()):
        given = [f"{name} {shape}" for name, shape in shapes.items()]
        more = f" and {len(given) - _FEW} more" if len(given) > _FEW else ""
        text += f" (given {', '.join(given[:_FEW])}{more})"
    return text if "; " in text else f"{text}; {_help(op)}"


def _retold(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], raw: BaseException
) -> str:
    """Return what is said in the place of an error of Python's or NumPy's."""
    told = [f"{name}={_short(value)}" for name, value in _arguments(op, args, kwargs)]
    what = f"{type(raw).__name__}: {raw}" if isinstance(raw, KeyError) else str(raw)
    given = ", ".join(told) or "no arguments"
    return f"{op.__name__}{_UNCALLABLE}{given} ({what}); {_help(op)}"


def _help(op: Callable[..., Any]) -> str:
    """Return where the op is documented, under the name that people import it by."""
    for package in ("minicnn.ops", "minicnn.autograd"):
        public = getattr(sys.modules.get(package), op.__name__, None)
        if callable(public) and public.__module__ == op.__module__:
            return f"see help({package}.{op.__name__})"
    nested = op.__module__ == "__main__" or "<locals>" in op.__qualname__
    return f"see help({op.__name__ if nested else f'{op.__module__}.{op.__name__}'})"


def _arguments(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> list[tuple[str, Any]]:
    """Return the arguments of a call under their names, as far as they fit."""
    with contextlib.suppress(TypeError, ValueError):
        return list(inspect.signature(op).bind_partial(*args, **kwargs).arguments.items())
    return [*((f"argument {i}", value) for i, value in enumerate(args)), *kwargs.items()]


def _shapes(
    op: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield name and shape of each tensor and array, those in lists too."""
    for name, value in _arguments(op, args, kwargs):
        if _is_array(value):
            yield name, value.shape
        elif isinstance(value, list | tuple):
            yield from ((f"{name}[{i}]", v.shape) for i, v in enumerate(value) if _is_array(v))


def _is_array(value: Any) -> bool:
    return isinstance(getattr(value, "shape", None), tuple) and not isinstance(value, type)


def _short(value: Any) -> str:
    """Return an argument in a few words: tensors and arrays as type and shape."""
    if _is_array(value):
        return f"{value.dtype} {value.shape}" if hasattr(value, "dtype") else f"{value.shape}"
    if type(value) in (list, tuple) and any(map(_is_array, value)):
        more = [f"... {len(value) - _FEW} more"] if len(value) > _FEW else []
        return f"[{', '.join([*map(_short, value[:_FEW]), *more])}]"
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONG else f"{text[: _LONG - 3]}..."
