"""Rectification in array expressions."""

from ._windows import array_module


def relu(x):
    """y = x where x > 0, else 0; NaN stays."""
    return array_module(x).maximum(x, x.dtype.type(0))


def relu_grad(grad_y, y):
    """grad_x = grad_y where y > 0, else 0."""
    return grad_y * (y > 0)
