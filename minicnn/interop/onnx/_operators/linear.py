"""Products of matrices and tensors."""

from __future__ import annotations

from typing import Any, Literal

from minicnn import ops
from minicnn.autograd import Lifted, Tensor, differentiable, once_differentiable
from minicnn.backend import array_module
from minicnn.interop.onnx._operator import Table


def matmul(a: Tensor, b: Tensor) -> Any:
    """Multiply matrices."""
    return ops.matmul(a, b)


def gemm(
    a: Tensor,
    b: Tensor,
    c: Tensor | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: Literal[0, 1] = 0,
    transB: Literal[0, 1] = 0,
    broadcast: int = 1,  # opsets 1 to 6
) -> Any:
    """Compute ``alpha * a @ b + beta * c``."""
    y = ops.matmul(a.T if transA else a, b.T if transB else b)
    if alpha != 1:
        y = scaled(y, alpha)
    if c is None or beta == 0:
        return y
    return y + (c if beta == 1 else scaled(c, beta))


def scaled(x: Tensor, factor: float) -> Tensor:
    """Multiply by a number, in the type of x."""
    return x * (factor if x.dtype.kind == "f" else int(factor))


def einsum(*operands: Tensor, equation: str) -> Any:
    """Sum products over named axes."""
    return ops.einsum(equation.replace(" ", ""), *operands)


@differentiable
def det(x: Tensor) -> Lifted:
    """Compute the determinants of square matrices; ``d det(x) = det(x) * inv(x).T``."""
    xp = array_module(x.data)
    y = xp.asarray(xp.linalg.det(x.data))

    @once_differentiable
    def grad_x(grad_y: Tensor) -> Tensor:
        slope = xp.swapaxes(xp.linalg.inv(x.data), -1, -2) * y[..., None, None]
        return Tensor(grad_y.data[..., None, None] * slope)

    return y.astype(x.dtype), (grad_x,)


def determinant(x: Tensor) -> Any:
    """Compute the determinants of square matrices."""
    return det(x)


OPERATORS: Table = {
    "Det": determinant,
    "Einsum": einsum,
    "Gemm": gemm,
    "MatMul": matmul,
}
