"""What can be seen of an answer without running it: whether it is written, what it uses."""

from __future__ import annotations

import builtins
import dis
import functools
import types
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["is_stub", "names_used"]

_IDLE = {"RESUME", "NOP", "RETURN_VALUE", "POP_TOP", "COPY_FREE_VARS", "CACHE"}
_GIVES_CONSTANT = {"LOAD_CONST", "RETURN_CONST"}
_GLOBAL = {"LOAD_GLOBAL", "LOAD_NAME"}
_LIBRARIES = {"minicnn", "numpy", "scipy", "torch"}  # what is written there, no learner wrote


def is_stub(answer: Any) -> bool:
    """Tell whether nothing is written yet: no method of it does more than return None."""
    if isinstance(answer, type):
        return all(map(_does_nothing, _parts(answer)))
    return isinstance(answer, types.FunctionType) and _does_nothing(answer)


def names_used(answer: Any) -> set[str]:
    """Return what an answer calls by name: itself, under another name, or in a helper of its own.

    A helper is a function that was written where the answer was; its own name counts only if the
    answer uses it itself.
    """
    given = answer.func if isinstance(answer, functools.partial) else answer
    names = {str(getattr(given, "__name__", ""))} if _is_of_library(given) else set()
    names |= set(_module_of(given)) if names else set()
    seen: set[int] = set()
    waiting = [(part, True) for part in _parts(answer)]
    while waiting:
        function, is_answer = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        if is_answer:
            names |= {name for code in _codes(function.__code__) for name in code.co_names}
        for name, thing in _globals_of(function):
            if _is_helper(thing, function):
                waiting += [(part, False) for part in _parts(thing)]
            else:
                names |= {name, str(getattr(thing, "__name__", "")), *_module_of(thing)}
        names |= set(_attributes_of(function))
    return names


def _parts(thing: Any) -> Iterator[types.FunctionType]:
    """Yield the functions of an answer: of a class, all that it and its own bases define."""
    if isinstance(thing, type):
        own = [base for base in thing.__mro__ if base.__module__ == thing.__module__]
        functions = (_function_of(value) for base in own for value in vars(base).values())
        yield from (function for function in functions if function is not None)
    elif isinstance(thing, functools.partial):
        yield from _parts(thing.func)
    elif isinstance(thing, types.MethodType):
        yield from _parts(thing.__func__)
    elif isinstance(thing, types.FunctionType):
        yield thing


def _module_of(thing: Any) -> list[str]:
    """Return the names of the modules, from outside in, in which something was written."""
    return str(getattr(thing, "__module__", None) or "").split(".")


def _is_of_library(thing: Any) -> bool:
    """Tell whether a library's function or class was given as the answer."""
    module = _module_of(thing)
    own = module[:2] == ["minicnn", "exercises"]
    return isinstance(thing, np.ufunc) or (module[0] in _LIBRARIES and not own)


def _function_of(member: Any) -> types.FunctionType | None:
    """Return the function that a member of a class is made of."""
    if isinstance(member, staticmethod | classmethod):
        member = member.__func__
    elif isinstance(member, property):
        member = member.fget
    return member if isinstance(member, types.FunctionType) else None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yield a compiled function with those inside of it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _globals_of(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield by name what a function takes from around it."""
    for code in _codes(function.__code__):
        for step in dis.get_instructions(code):
            if step.opname in _GLOBAL:
                name = step.argval
                yield name, function.__globals__.get(name, getattr(builtins, name, None))
    for cell in function.__closure__ or ():
        try:
            thing = cell.cell_contents
        except ValueError:  # nothing in it yet
            continue
        if callable(thing):
            yield getattr(thing, "__name__", ""), thing


def _attributes_of(function: types.FunctionType) -> Iterator[str]:
    """Yield the names of the attributes that a function takes."""
    for code in _codes(function.__code__):
        for step in dis.get_instructions(code):
            if step.opname not in _GLOBAL and step.argval in code.co_names:
                yield step.argval


def _is_helper(thing: Any, function: types.FunctionType) -> bool:
    """Tell whether a thing was defined in the same place as the function."""
    if isinstance(thing, types.FunctionType):
        return thing.__globals__ is function.__globals__
    return isinstance(thing, type) and thing.__module__ == function.__module__


def _does_nothing(function: Any) -> bool:
    """Tell whether a function consists of a docstring, pass and return."""
    return all(
        step.opname in _IDLE or (step.opname in _GIVES_CONSTANT and step.argval is None)
        for step in dis.get_instructions(function)
    )
