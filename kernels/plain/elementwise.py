"""Arithmetic, element by element, in array expressions."""

from ._windows import array_module


def combine(name, a, b):
    """Apply a function of two numbers by its name in NumPy: add, subtract, multiply, divide."""
    return getattr(array_module(a), name)(a, b)


def copied(a):
    """Return a copy with the axes in the same order in memory."""
    return a.copy(order="K")
