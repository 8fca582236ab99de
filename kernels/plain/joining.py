"""Joining arrays, in array expressions."""

from ._windows import array_module


def concatenate(arrays, axis):
    """Join arrays of one shape, but for an axis, along it."""
    return array_module(arrays[0]).concatenate(arrays, axis=axis)
