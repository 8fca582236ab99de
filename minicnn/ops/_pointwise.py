"""What the non-linearities share: a check at the door, and the gradient in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicnn.autograd import Lifted, PullBack, Tensor, differentiable
from minicnn.backend import kernels_for
from minicnn.errors import DTypeError

Bend = Callable[[Tensor], Tensor]  # the second derivative, written with ops


def floats(op: str, x: Any) -> Tensor:
    """Return arrays as Tensors; refuse what is not of floats."""
    x = x if isinstance(x, Tensor) else Tensor(x)
    if x.dtype.kind != "f":
        raise DTypeError(f"{op}: needs floats, got {x.dtype} {x.shape}; use .astype('float32')")
    return x


def slope_at(x: Tensor, kernel: str, bend: Bend | None, *options: float) -> PullBack:
    """Return the pull-back ``dL/dx = dL/dy * f'(x)``, which the kernel computes in one pass.

    It can be differentiated again: `bend` is f'', or None where that is 0.
    """
    return lambda grad_y: _times_slope(grad_y, x, kernel, bend, options)


@differentiable
def _times_slope(
    grad_y: Tensor, x: Tensor, kernel: str, bend: Bend | None, options: tuple[float, ...]
) -> Lifted:
    # z = dL/dy * f'(x), so dM/d(dL/dy) = dM/dz * f'(x) and dM/dx = dM/dz * dL/dy * f''(x)
    z = getattr(kernels_for(x.data), kernel)(grad_y.data, x.data, *options)
    return z, (
        slope_at(x, kernel, bend, *options),
        None if bend is None else lambda grad_z: grad_z * grad_y * bend(x),
    )
