"""Products of matrices, sums of products in general, and what is on or beside a diagonal."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from minicnn.autograd._checks import Shape, axis_of, one_device, tensor_of, whole
from minicnn.autograd.arithmetic import multiply
from minicnn.autograd.reductions import sum as sum_over
from minicnn.autograd.shaping import reshape, sum_to, transpose
from minicnn.autograd.tensor import Lifted, Tensor, differentiable
from minicnn.autograd.watching import composed
from minicnn.backend import Array, array_module, kernels_for
from minicnn.errors import ConfigError, ShapeError


@differentiable
def matmul(a: Tensor, b: Tensor) -> Lifted:
    """Multiply matrices: ``y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]``.

    Parameters
    ----------
    a : Tensor, shape (..., I, K) or (K,)
        The left factor.
    b : Tensor, shape (..., K, J) or (K,)
        The right factor; leading axes broadcast.

    Returns
    -------
    Tensor, shape (..., I, J)
        The product; a vector's axis is dropped, as in NumPy.

    Raises
    ------
    ShapeError
        If the inner lengths differ, or an operand is a single number.
    """
    one_device("matmul", a=a, b=b)
    try:
        y = kernels_for(a.data).matmul(a.data, b.data)
    except ValueError:
        raise ShapeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit; the last axis of a must equal the "
            "last but one of b (a vector's only axis), and leading axes must broadcast"
        ) from None

    # A vector is a matrix with one row (left) or one column (right): give g that axis back.
    rows = a.shape if a.ndim > 1 else (1, *a.shape)
    columns = b.shape if b.ndim > 1 else (*b.shape, 1)
    lead = np.broadcast_shapes(rows[:-2], columns[:-2])
    full = (*lead, rows[-2], columns[-1])

    # dL/da = dL/dy b^T
    def grad_a(grad_y: Tensor) -> Tensor:
        g = matmul(reshape(grad_y, full), _swapped(reshape(b, columns)))
        return reshape(sum_to(g, rows), a.shape)

    # dL/db = a^T dL/dy
    def grad_b(grad_y: Tensor) -> Tensor:
        g = matmul(_swapped(reshape(a, rows)), reshape(grad_y, full))
        return reshape(sum_to(g, columns), b.shape)

    return y, (grad_a, grad_b)


def _swapped(x: Tensor) -> Any:
    """Return x with its last two axes exchanged."""
    return transpose(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


@composed
def einsum(equation: str, *xs: Tensor) -> Tensor:
    """Multiply, and sum over the letters that the result does not have.

    The axes of each operand and of the result have letters: ``einsum("ik,kj->ij", a, b)`` is
    ``y[i, j] = sum_k a[i, k] * b[k, j]``.

    Parameters
    ----------
    equation : str
        The letters of the operands, with commas between, then ``->`` and those of the result.
        ``...`` stands for any number of axes that broadcast. A letter twice in one operand takes
        the diagonal. Without ``->`` the result has the axes of ``...`` and the letters that occur
        once, in alphabetical order.
    *xs : Tensor
        The operands. An axis of length 1 broadcasts.

    Returns
    -------
    Tensor
        The sums of products, computed from left to right, two operands at a time, as products of
        matrices.

    Raises
    ------
    ConfigError
        If the equation is not of this form, or for another number of operands.
    ShapeError
        If a shape does not fit the equation.
    """
    operands = [tensor_of(x) for x in xs]
    shapes = [x.shape for x in operands]
    inputs, output = _parse(equation, shapes)
    one_device("einsum", **{f"operand {i}": x for i, x in enumerate(operands)})
    sizes = _sizes(equation, inputs, shapes)
    parts = [_distinct(x, letters, sizes) for x, letters in zip(operands, inputs, strict=True)]
    # The gradients of diagonals, sums and products of matrices make up this one. That of an operand
    # is an einsum of dL/dy and the others: dL/da[i, k] = sum_j dL/dy[i, j] * b[k, j].
    y, letters = parts[0]
    for k, (other, others) in enumerate(parts[1:], 2):
        later = {*output, *"".join(its for _, its in parts[k:])}
        y, letters = _product(y, letters, other, others, later, sizes)
    y, letters = _summed(y, letters, set(output))
    return transpose(y, [letters.index(letter) for letter in output])


def _parse(equation: str, shapes: list[Shape]) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result, ``...`` replaced by letters too."""
    given = "".join(str(equation).split())
    left, arrow, output = given.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes) or not all(
        re.fullmatch(r"[A-Za-z]*(\.\.\.)?[A-Za-z]*", term) for term in (*terms, output)
    ):
        raise ConfigError(
            f"einsum: equation {equation!r} must be letters (and ...) for each of the operands "
            f"{shapes}, with commas between, then '->' and letters, such as 'ij,jk->ik'"
        )
    inputs, most = [], 0
    for i, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        hidden = len(shape) - len(term.replace("...", ""))
        if hidden < 0 or (hidden and "..." not in term):
            raise ShapeError(
                f"einsum: operand {i} has shape {shape}, but {term!r} of {equation!r} names "
                f"{len(shape) - hidden} axes; give each axis a letter, or use ..."
            )
        most = max(most, hidden)
        inputs.append(term.replace("...", _hidden(hidden)))
    if not arrow:
        once = (letter for letter in sorted(set(left) - {",", "."}) if left.count(letter) == 1)
        output = "..." + "".join(once)
    elif "..." in left and "..." not in output:
        output = "?"
    output = output.replace("...", _hidden(most))
    if len(set(output)) < len(output) or not set(output) <= set("".join(inputs)):
        raise ConfigError(
            f"einsum: the result of {equation!r} must name letters of the operands {shapes}, each "
            "once, and ... if they have it"
        )
    return inputs, output


def _hidden(count: int) -> str:
    """Return the letters of the axes behind ``...``, the last axis always having the same one."""
    return "".join(chr(0xE000 + k) for k in reversed(range(count)))


def _sizes(equation: str, inputs: list[str], shapes: list[Shape]) -> dict[str, int]:
    """Return how long each letter's axes are."""
    sizes: dict[str, int] = {}
    for letters, shape in zip(inputs, shapes, strict=True):
        own: dict[str, int] = {}
        for letter, n in zip(letters, shape, strict=True):
            first, known = own.setdefault(letter, n), sizes.get(letter, 1)
            if n != first or (n != known and 1 not in (n, known)):
                raise ShapeError(
                    f"einsum: one letter of {equation!r} stands for axes of lengths "
                    f"{known if n == first else first} and {n} (operands {shapes}); they must be "
                    "equal, or 1 in another operand"
                )
        sizes |= {letter: n for letter, n in own.items() if n != 1 or letter not in sizes}
    return sizes


def _distinct(x: Tensor, letters: str, sizes: dict[str, int]) -> tuple[Tensor, str]:
    """Take diagonals where a letter is there twice; drop axes that broadcast."""
    for letter in sorted(set(letters)):
        while letters.count(letter) > 1:
            first, second = letters.index(letter), letters.rindex(letter)
            x = diagonal(x, 0, first, second)  # its axis is the last one
            letters = letters[:first] + letters[first + 1 : second] + letters[second + 1 :] + letter
    keep = [n == sizes[letter] for n, letter in zip(x.shape, letters, strict=True)]
    x = reshape(x, tuple(n for n, kept in zip(x.shape, keep, strict=True) if kept))
    return x, "".join(letter for letter, kept in zip(letters, keep, strict=True) if kept)


def _summed(x: Tensor, letters: str, needed: set[str]) -> tuple[Tensor, str]:
    """Sum over the letters that nothing needs."""
    gone = tuple(i for i, letter in enumerate(letters) if letter not in needed)
    x = sum_over(x, gone) if gone else x
    return x, "".join(letter for letter in letters if letter in needed)


def _product(
    a: Tensor, in_a: str, b: Tensor, in_b: str, later: set[str], sizes: dict[str, int]
) -> tuple[Tensor, str]:
    """Multiply two operands; sum over the letters they share and nothing needs later."""
    a, in_a = _summed(a, in_a, later | set(in_b))
    b, in_b = _summed(b, in_b, later | set(in_a))
    batch = [c for c in in_a if c in in_b and c in later]
    inner = [c for c in in_a if c in in_b and c not in later]
    rows, columns = [c for c in in_a if c not in in_b], [c for c in in_b if c not in in_a]

    def laid_out(x: Tensor, letters: str, order: list[str], shape: list[int]) -> Any:
        return reshape(transpose(x, [letters.index(c) for c in order]), shape)

    def length(group: list[str]) -> int:
        return math.prod(sizes[c] for c in group)

    lead, full = [sizes[c] for c in batch], [sizes[c] for c in (*batch, *rows, *columns)]
    left = laid_out(a, in_a, batch + rows + inner, [*lead, length(rows), length(inner)])
    right = laid_out(b, in_b, batch + inner + columns, [*lead, length(inner), length(columns)])
    y = matmul(left, right) if inner else multiply(left, right)  # a column times a row
    return reshape(y, full), "".join(batch + rows + columns)


@differentiable
def diagonal(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Lifted:
    """Take the diagonals of matrices: ``y[..., i] = x[i, i + offset]`` along two axes.

    Parameters
    ----------
    x : Tensor
        At least two axes.
    offset : int, default 0
        How far above the main diagonal; negative for below.
    axis1, axis2 : int, default 0, 1
        The axes of the matrices' rows and columns.

    Returns
    -------
    Tensor
        A view; the diagonal is the last axis, in place of the two.

    Raises
    ------
    ShapeError
        If the axes are one and the same.
    """
    k = whole("diagonal", "offset", offset)
    a, b = axis_of("diagonal", axis1, x.shape), axis_of("diagonal", axis2, x.shape)
    if a == b:
        raise ShapeError(
            f"diagonal: axis1 {axis1} and axis2 {axis2} of shape {x.shape} are the same axis; name "
            "two"
        )
    before = x.shape
    # y[i] = x[i, i + offset]: dL/dx[i, i + offset] = dL/dy[i], and 0 beside the diagonal
    return x.data.diagonal(k, a, b), (lambda g: _on_diagonal(g, before, k, a, b),)


@differentiable
def _on_diagonal(x: Tensor, shape: Shape, offset: int, axis1: int, axis2: int) -> Lifted:
    """Put diagonals into zeros: the transpose of `diagonal`."""
    xp = array_module(x.data)
    y = xp.zeros(shape, x.dtype)
    at = xp.arange(x.shape[-1])
    matrices = xp.moveaxis(y, (axis1, axis2), (-2, -1))
    matrices[..., at + max(-offset, 0), at + max(offset, 0)] = x.data
    return y, (lambda g: diagonal(g, offset, axis1, axis2),)


@composed
def trace(x: Tensor, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """Sum the diagonals of matrices: ``y = sum_i x[i, i + offset]``.

    Parameters
    ----------
    x : Tensor
        At least two axes.
    offset : int, default 0
        How far above the main diagonal; negative for below.
    axis1, axis2 : int, default 0, 1
        The axes of the matrices' rows and columns.

    Returns
    -------
    Tensor
        Without those two axes.
    """
    return sum_over(diagonal(x, offset, axis1, axis2), -1)


@differentiable
def tril(x: Tensor, k: int = 0) -> Lifted:
    """Keep the lower triangles of matrices: ``y[i, j] = x[i, j]`` where ``j <= i + k``, else 0.

    Parameters
    ----------
    x : Tensor, shape (..., I, J)
        Matrices.
    k : int, default 0
        The highest diagonal that is kept; 0 is the main one, above it is positive.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    kept = _lower("tril", x, whole("tril", "k", k))
    # y = x where j <= i + k, else 0: there dL/dx = dL/dy, elsewhere 0
    return _chosen(x, kept), (lambda g: tril(g, k),)


@differentiable
def triu(x: Tensor, k: int = 0) -> Lifted:
    """Keep the upper triangles of matrices: ``y[i, j] = x[i, j]`` where ``j >= i + k``, else 0.

    Parameters
    ----------
    x : Tensor, shape (..., I, J)
        Matrices.
    k : int, default 0
        The lowest diagonal that is kept; 0 is the main one, above it is positive.

    Returns
    -------
    Tensor
        Of x's shape.
    """
    kept = ~_lower("triu", x, whole("triu", "k", k) - 1)
    # y = x where j >= i + k, else 0: there dL/dx = dL/dy, elsewhere 0
    return _chosen(x, kept), (lambda g: triu(g, k),)


def _lower(op: str, x: Tensor, k: int) -> Array:
    """Return which elements (I, J) are on diagonal k or below."""
    if x.ndim < 2:
        raise ShapeError(f"{op}: needs matrices (..., I, J), got shape {x.shape}; add axes")
    return array_module(x.data).tri(*x.shape[-2:], k, bool)


def _chosen(x: Tensor, kept: Array) -> Array:
    return array_module(x.data).where(kept, x.data, x.dtype.type(0))  # not times: NaN * 0 is NaN
