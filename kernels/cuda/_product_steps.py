"""The steps of a lesson, from the definition of a matrix product to a fast one: see linear.cu."""

import cupy

from . import _launch

STEPS = {  # the threads of a block, and the rows and columns that it makes
    "threads": ((256,), None),
    "tiles": ((16, 16), 16),
    "registers": ((16, 16), 64),
}


def product(a, b, step):
    """Multiply a (I, K) by b (K, J) by a step: "threads", "tiles" or "registers"."""
    (rows, depth), columns = a.shape, b.shape[1]
    y = cupy.empty((rows, columns), a.dtype)
    block, side = STEPS[step]
    name = f"product_of_{step}<{_launch.NAMES[a.dtype]}>"
    args = cupy.ascontiguousarray(a), cupy.ascontiguousarray(b), y, rows, columns, depth
    if side is None:
        _launch.flat("linear", name, y.size, *args)
    elif y.size:
        blocks = -(-rows // side) * -(-columns // side)
        _launch.launch("linear", name, (blocks,), block, *args)
    return y
