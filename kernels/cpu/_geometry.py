"""A convolution's geometry in the forms that the kernels want, and which of them take it."""

from ._layout import three
from .vector import direct


def steps_of(window):
    """Return stride, padding before, and dilation of a window, as those of one in a volume."""
    before = tuple(before for before, _ in window.padding)
    return three(window.stride), (0,) * (3 - len(before)) + before, three(window.dilation)


def is_generated(y, kernel_shape, groups):
    """Tell whether code is generated for the convolution that makes y (N, OD, OH, OW, O)."""
    return not is_depthwise(kernel_shape, groups) and direct.pays(y.dtype, y.shape, kernel_shape)


def volume(weight):
    """weight (O, C/groups, *K) -> view (O, C/groups, KD, KH, KW)."""
    return weight.reshape(*weight.shape[:2], *three(weight.shape[2:]))


def vector_steps(window):
    """Return the geometry in the form of the generated code."""
    stride, before, dilation = steps_of(window)
    return direct.Steps(three(window.size), stride, before, dilation)


def is_depthwise(kernel_shape, groups):
    """Tell whether every filter sees one channel."""
    return groups > 1 and kernel_shape[1] == 1
