"""Multiplying squares of vectors with a small matrix from both sides, as straight-line code.

The rows of B^T and A for the points p and -p differ in the signs of the odd columns only, so both
are made of one sum over even and one over odd columns; likewise the columns of A^T and G^T.  That
takes 12 instructions for six numbers instead of 30.
"""

import numpy as np
from llvmlite import ir

from .emit import FLOAT
from .winograd_matrices import mirrored


def both_sides(f, matrix, rows):
    """Return ``matrix @ rows @ matrix.T``, of a square of vectors."""
    columns = [_transform(f, matrix, column) for column in zip(*rows, strict=True)]
    return [_transform(f, matrix, row) for row in zip(*columns, strict=True)]


def zero(lanes):
    """Return a vector of zeros."""
    return _constant(0.0, ir.VectorType(FLOAT, lanes))


def _transform(f, matrix, vectors):
    """Return ``matrix @ vectors``."""
    if pairs := mirrored(matrix):
        return _by_rows(f, matrix, vectors, pairs)
    return _by_columns(f, matrix, vectors, mirrored(matrix.T))


def _by_rows(f, matrix, vectors, pairs):
    """Row p is ``even + p * odd``, row -p is ``even - p * odd``."""
    found = []
    for i, row in enumerate(matrix):
        if i in pairs:
            p = row[1::2][np.flatnonzero(row[1::2])[-1]]
            even = _combine(f, row[::2], vectors[::2])
            odd = _combine(f, row[1::2] / p, vectors[1::2])
            found += [_combine(f, [1, p], [even, odd]), _combine(f, [1, -p], [even, odd])]
        elif i - 1 not in pairs:
            found.append(_combine(f, row, vectors))
    return found


def _by_columns(f, matrix, vectors, pairs):
    """Even rows see the sum of the vectors of p and -p, odd rows the difference."""
    lone = [i for i in range(len(vectors)) if i not in pairs and i - 1 not in pairs]
    parts = [
        [f.code.fadd(vectors[i], vectors[i + 1]) for i in pairs],
        [f.code.fsub(vectors[i], vectors[i + 1]) for i in pairs],
    ]
    return [
        _combine(f, [*row[lone], *row[pairs]], [*(vectors[i] for i in lone), *parts[power % 2]])
        for power, row in enumerate(matrix)
    ]


def _combine(f, factors, vectors):
    """Return the sum of factors times vectors, in as few instructions as it takes."""
    terms = [(float(a), v) for a, v in zip(factors, vectors, strict=True) if a]
    terms.sort(key=lambda term: term[0] != 1)  # one that needs no multiplication comes first
    a, total = terms[0]
    if a != 1:
        total = f.code.fmul(_constant(a, total.type), total)
    for a, v in terms[1:]:
        factor = _constant(a, v.type)
        if abs(a) == 1:
            total = f.code.fadd(total, v) if a > 0 else f.code.fsub(total, v)
        elif v.type.element == FLOAT:
            total = f.fma(factor, v, total)
        else:
            total = f.code.fadd(total, f.code.fmul(factor, v))
    return total


def _constant(number, kind):
    if kind.element == FLOAT:
        number = np.float32(number)
    return ir.Constant(kind, [float(number)] * kind.count)
