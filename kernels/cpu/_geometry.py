"""A convolution's geometry in the forms that the kernels want, and which of them take it."""

from ._layout import three
from ._products import is_pointwise
from .vector import depthwise, direct

_ROWS = 16  # into which the pixels of a 1x1 convolution are cut, where they can be


def steps_of(window):
    """Return stride, padding before, and dilation of a window, as those of one in a volume."""
    before = tuple(before for before, _ in window.padding)
    return three(window.stride), (0,) * (3 - len(before)) + before, three(window.dilation)


def is_generated(y, kernel_shape, groups):
    """Tell whether code is generated for the convolution that makes y (N, OD, OH, OW, O)."""
    if is_depthwise(kernel_shape, groups) and not depthwise.fits(
        (*kernel_shape[:2], *three(kernel_shape[2:])), groups
    ):
        return False
    return direct.pays(y.dtype, y.shape, kernel_shape)


def in_rows(images, grads, window, groups, near=1 << 18):
    """Return images and outputs of a 1x1 convolution with all pixels in rows of about one length.

    Pixels do not see one another, so the rows of images need not be theirs.  These here fill the
    tiles, are `near` bytes long at most, and are as many as there are pieces of work, at least;
    if pixels can be cut so.
    """
    if not is_pointwise(images.shape[1:4], grads.shape[1:4], window, groups):
        return images, grads
    wide = max(images.shape[4], grads.shape[4])
    pixels = images.size // images.shape[4]
    least = max(_ROWS, pixels * wide * images.itemsize // near)
    rows = next((n for n in range(least, 4 * least) if pixels % n == 0), len(images))
    return tuple(a.reshape(rows, 1, 1, -1, a.shape[4]) for a in (images, grads))


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
