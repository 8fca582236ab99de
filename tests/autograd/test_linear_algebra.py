"""Products of matrices, sums of products and diagonals, against loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import strategies as st

from minicnn.autograd import Tensor, diagonal, einsum, matmul, trace, tril, triu
from minicnn.errors import ConfigError, DeviceError, ShapeError
from tests.autograd.moving import MOVED, call, whole, x_of
from tests.ops.driver import proof_of
from tests.ops.spec import Case, ErrorCase, OpSpec, Special
from tests.ops.stand_in import on_gpu
from tests.ops.values import broadcastable, normal, seeds, shapes

NAN = math.nan


@st.composite
def products(draw: st.DrawFn) -> Case:
    i, k, j = (draw(st.integers(1, 4)) for _ in range(3))
    lead_a, lead_b = broadcastable(draw, 2, most_axes=2)
    kind = draw(st.sampled_from(["matrices", "matrices", "vector a", "vector b", "vectors"]))
    a = (k,) if kind in ("vector a", "vectors") else (*lead_a, i, k)
    b = (k,) if kind in ("vector b", "vectors") else (*lead_b, k, j)
    seed = draw(seeds)
    return Case((normal(seed, *a), normal(seed + 1, *b)))


def matmul_definition(a, b):
    """y[..., i, j] = sum_k a[..., i, k] * b[..., k, j]; a vector's own axis is dropped."""
    wide_a = a.reshape(1, -1) if a.ndim == 1 else a
    wide_b = b.reshape(-1, 1) if b.ndim == 1 else b
    lead = np.broadcast_shapes(wide_a.shape[:-2], wide_b.shape[:-2])
    wide_a = np.broadcast_to(wide_a, (*lead, *wide_a.shape[-2:]))
    wide_b = np.broadcast_to(wide_b, (*lead, *wide_b.shape[-2:]))
    y = np.empty((*lead, wide_a.shape[-2], wide_b.shape[-1]))
    for *at, i, j in np.ndindex(y.shape):
        y[(*at, i, j)] = math.fsum(
            wide_a[(*at, i, k)] * wide_b[(*at, k, j)] for k in range(wide_a.shape[-1])
        )
    y = y[..., 0, :] if a.ndim == 1 else y
    return y[..., 0] if b.ndim == 1 else y


def product(*two: tuple[int, ...]) -> Case:
    return Case(tuple(normal(k, *shape) for k, shape in enumerate(two)))


def not_transposed(pull, g, a, b):
    right = pull(g, a, b)
    if b.ndim > 1 and b.shape[-1] == b.shape[-2]:
        right[0] = pull(g, a, b.swapaxes(-1, -2))[0]
    return right


def first_of_the_stack(pull, g, a, b):
    """`=` for `+=` over broadcast stacks."""
    right = pull(g, a, b)
    lead = g.ndim - (a.ndim > 1) - (b.ndim > 1)
    if not lead:
        return right
    last = np.zeros_like(g)
    last[-1] = g[-1]
    return [pull(last, a, b)[0] if a.ndim < g.ndim else right[0], right[1]]


def gradients_exchanged(pull, g, a, b):
    first, second = pull(g, a, b)
    return [second, first] if first.shape == second.shape else [-first, second]


MATMUL = OpSpec(
    name="matmul",
    op=matmul,
    cases=products(),
    oracle=matmul_definition,
    integers=Case((whole(2, 3), whole(3, 2))),
    edges={
        "empty": product((0, 3), (3, 2)),
        "an empty stack": product((0, 2, 3), (3, 2)),
        "nothing to sum": product((2, 0), (0, 3)),
        "vectors": product((3,), (3,)),
        "vector and matrix": product((3,), (3, 2)),
        "matrix and vector": product((2, 3), (3,)),
        "stack and vector": product((4, 2, 3), (3,)),
        "vector and stack": product((3,), (4, 3, 2)),
        "stacks that broadcast": product((3, 1, 2, 3), (4, 3, 2)),
        "square": product((3, 3), (3, 3)),
        "more than one piece of work": product((90, 150), (150, 170)),
    },
    special={
        "NaN stays in its row": Special(
            Case((np.array([[NAN, 1], [1, 1]]), np.ones((2, 1)))), [[NAN], [2]]
        ),
    },
    errors=(
        ErrorCase(
            lambda: matmul(x_of(2, 3), x_of(4, 5)),
            ShapeError,
            r"matmul: shapes \(2, 3\) and \(4, 5\) do not fit; the last axis of a must equal the "
            "last but one of b",
        ),
        ErrorCase(
            lambda: matmul(x_of(), x_of(2)), ShapeError, r"shapes \(\) and \(2,\) do not fit"
        ),
        ErrorCase(lambda: matmul(x_of(2, 2, 2), x_of(3, 2, 2)), ShapeError, "do not fit"),
    ),
    forward_mutants={
        "the other way round": lambda y, a, b: b @ a if a.shape == b.shape else y + 1,
        "last summand forgotten": lambda y, a, b: (
            y - matmul_definition(a[..., -1:], b[..., -1:] if b.ndim == 1 else b[..., -1:, :])
        ),
    },
    backward_mutants={
        "not transposed": not_transposed,
        "= for += over the stack": first_of_the_stack,
        "exchanged": gradients_exchanged,
    },
    summands=lambda case: case.arrays[0].size + case.arrays[1].size,
)


@st.composite
def equations(draw: st.DrawFn) -> Case:
    """One to three operands of letters a, b, c and axes behind ``...``, in any order."""
    sizes = {letter: draw(st.integers(1, 3)) for letter in "abc"}
    hidden = draw(st.lists(st.integers(1, 2), max_size=2)) if draw(st.booleans()) else None
    terms, arrays, seed = [], [], draw(seeds)
    for k in range(draw(st.integers(1, 3))):
        letters = draw(st.lists(st.sampled_from("abc"), max_size=3))
        shape = [1 if letters.count(c) == 1 and draw(st.integers(0, 4)) == 0 else sizes[c]
                 for c in letters]  # fmt: skip
        if hidden is not None and draw(st.booleans()):
            at = draw(st.integers(0, len(letters)))
            tail = hidden[draw(st.integers(0, len(hidden))) :]
            shape[at:at] = [1 if draw(st.integers(0, 4)) == 0 else n for n in tail]
            letters.insert(at, "...")
        terms.append("".join(letters))
        arrays.append(normal(seed + k, *shape))
    equation = ",".join(terms)
    if draw(st.booleans()):
        used = sorted(set("".join(terms)) - {"."})
        output = draw(st.permutations(used))[: draw(st.integers(0, len(used)))]
        if "..." in equation:
            output.insert(draw(st.integers(0, len(output))), "...")
        equation += "->" + "".join(output)
    return Case(tuple(arrays), {"equation": equation})


def einsum_definition(*arrays, equation):
    """Walk over every value of every letter; add each product to its place."""
    left, arrow, output = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    deep = max(a.ndim - len(t.replace("...", "")) for a, t in zip(arrays, terms, strict=True))
    spelled = [
        t.replace("...", "987654321"[9 - (a.ndim - len(t.replace("...", ""))) :])
        for a, t in zip(arrays, terms, strict=True)
    ]
    if not arrow:
        once = sorted(c for c in set(left) - set(",.") if left.count(c) == 1)
        output = "..." + "".join(once)
    output = output.replace("...", "987654321"[9 - deep :])
    sizes: dict[str, int] = {}
    for a, letters in zip(arrays, spelled, strict=True):
        for c, n in zip(letters, a.shape, strict=True):
            sizes[c] = n if sizes.get(c, 1) == 1 else sizes[c]
    y = np.zeros([sizes[c] for c in output])
    for values in itertools.product(*map(range, sizes.values())):
        at = dict(zip(sizes, values, strict=True))
        y[tuple(at[c] for c in output)] += math.prod(
            a[tuple(at[c] if n > 1 else 0 for c, n in zip(s, a.shape, strict=True))]
            for a, s in zip(arrays, spelled, strict=True)
        )
    return y


def summed_up(equation: str, *shapes_of: tuple[int, ...]) -> Case:
    return Case(
        tuple(normal(k, *shape) for k, shape in enumerate(shapes_of)), {"equation": equation}
    )


def einsum_error(error: type, match: str, equation: Any, *shapes_of: tuple[int, ...]) -> ErrorCase:
    return ErrorCase(lambda: einsum(equation, *(x_of(*s) for s in shapes_of)), error, match)


EINSUM = OpSpec(
    name="einsum",
    op=lambda *tensors, equation: einsum(equation, *tensors),
    cases=equations(),
    oracle=einsum_definition,
    integers=Case((whole(2, 3), whole(3, 2)), {"equation": "ij,jk"}),
    edges={
        "empty": summed_up("ni,oi->no", (0, 3), (2, 3)),
        "nothing to sum": summed_up("ni,oi->no", (2, 0), (3, 0)),
        "numbers": summed_up(",->", (), ()),
        "matrices": summed_up("ik,kj->ij", (2, 3), (3, 4)),
        "stacks": summed_up("...ik,...kj->...ij", (2, 1, 2, 3), (3, 3, 2)),
        "in alphabetical order": summed_up("ba", (2, 3)),
        "trace": summed_up("ii", (3, 3)),
        "diagonals of a stack": summed_up("iji->ji", (3, 2, 3)),
        "a letter three times": summed_up("iii->i", (2, 2, 2)),
        "bilinear": summed_up("ni,oij,nj->no", (2, 3), (4, 3, 2), (2, 2)),
        "an axis that broadcasts": summed_up("ij,ij->i", (2, 3), (1, 3)),
        "an empty axis that broadcasts": summed_up("ij,ij->ij", (2, 1), (2, 0)),
        "spaces": summed_up(" i j , j -> i ", (2, 3), (3,)),
        "a diagonal that broadcasts": summed_up("ii,i->i", (1, 1), (3,)),
        "attention": summed_up("bqhd,bkhd->bhqk", (1, 2, 2, 3), (1, 3, 2, 3)),
    },
    special={
        "NaN stays in its row": Special(
            Case((np.array([[NAN, 1], [1, 1]]), np.ones((2, 1))), {"equation": "ik,kj->ij"}),
            [[NAN], [2]],
        ),
    },
    errors=(
        einsum_error(
            ConfigError,
            r"einsum: equation 'ij,jk' must be letters \(and ...\) for each of the operands "
            r"\[\(2, 3\)\], with commas between, then '->' and letters, such as 'ij,jk->ik'",
            "ij,jk",
            (2, 3),
        ),
        einsum_error(ConfigError, "'i1->i' must be letters", "i1->i", (2, 3)),
        einsum_error(ConfigError, "'i->i->i' must be letters", "i->i->i", (2,)),
        einsum_error(ConfigError, "must be letters", "..i...->i", (2,)),
        einsum_error(ConfigError, "equation 3 must be letters", 3, (2,)),
        einsum_error(
            ShapeError,
            r"einsum: operand 0 has shape \(2, 3\), but 'i' of 'i->i' names 1 axes; give each axis",
            "i->i",
            (2, 3),
        ),
        einsum_error(ShapeError, "but 'ijk...' of .* names 3 axes", "ijk...->i", (2, 3)),
        einsum_error(
            ConfigError,
            r"einsum: the result of 'ij->ik' must name letters of the operands \[\(2, 3\)\], each "
            "once, and ... if they have it",
            "ij->ik",
            (2, 3),
        ),
        einsum_error(ConfigError, "each once", "ij->ii", (2, 3)),
        einsum_error(ConfigError, "and ... if they have it", "i...->i", (2, 3)),
        einsum_error(ConfigError, "the result of 'i->...j'", "i->...j", (2,)),
        einsum_error(
            ShapeError,
            r"einsum: one letter of 'ij,jk->ik' stands for axes of lengths 3 and 4 \(operands "
            r"\[\(2, 3\), \(4, 5\)\]\); they must be equal, or 1 in another operand",
            "ij,jk->ik",
            (2, 3),
            (4, 5),
        ),
        einsum_error(ShapeError, "axes of lengths 3 and 1", "ii->i", (3, 1)),
        einsum_error(ShapeError, "axes of lengths 1 and 3", "ii->i", (1, 3)),
        einsum_error(ShapeError, "of lengths 3 and 4", "...,...->...", (2, 3), (2, 4)),
        ErrorCase(
            lambda: einsum("i,i->i", x_of(2), on_gpu(2)),
            DeviceError,
            r"einsum: operand 0 \(2,\) is on cpu, operand 1 \(2,\) on cuda:0; move one with .to",
        ),
    ),
    forward_mutants={
        "of the absolute values": lambda y, *a, equation: einsum_definition(
            *map(abs, a), equation=equation
        ),
        "result turned": lambda y, *a, equation: y.T if y.T.shape == y.shape else y + 1,
        "mean for sum": lambda y, *a, equation: y / (1 + 1e-3 * y.ndim),
    },
    backward_mutants={
        "the other operand forgotten": lambda pull, g, *a, equation: pull(
            g, *map(np.ones_like, a), equation=equation
        ),
        "exchanged": lambda pull, g, *a, equation: [
            d if len(a) == 1 or d.shape != other.shape else other
            for d, other in zip(
                pull(g, *a, equation=equation),
                pull(g, *a, equation=equation)[::-1],
                strict=True,
            )
        ],
    },
    summands=lambda case: 4 * math.prod(a.size for a in case.arrays),
)


@st.composite
def diagonals(draw: st.DrawFn) -> Case:
    shape = draw(shapes(2, 4, longest=3))
    first, second = draw(st.permutations(range(len(shape))))[:2]
    options = {
        "offset": draw(st.integers(-3, 3)),
        "axis1": first - len(shape) if draw(st.booleans()) else first,
        "axis2": second,
    }
    return call(shape, draw(seeds), **options)


def diagonal_definition(x, offset=0, axis1=0, axis2=1):
    a, b = axis1 % x.ndim, axis2 % x.ndim
    found: dict[tuple[int, ...], list[float]] = {}
    rest = [n for i, n in enumerate(x.shape) if i not in (a, b)]
    for at in np.ndindex(x.shape):  # rows in order, and so along each diagonal
        if at[b] - at[a] == offset:
            key = tuple(k for i, k in enumerate(at) if i not in (a, b))
            found.setdefault(key, []).append((at[a], x[at]))
    length = max((len(v) for v in found.values()), default=0)
    if not found:
        i, j = max(0, -offset), max(0, offset)
        length = max(0, min(x.shape[a] - i, x.shape[b] - j))
    y = np.empty((*rest, length))
    for key, values in found.items():
        y[key] = [v for _, v in sorted(values)]
    return y


def trace_definition(x, **options):
    lines = diagonal_definition(x, **options)
    y = np.zeros(lines.shape[:-1])
    for at in np.ndindex(y.shape):
        y[at] = math.fsum(lines[at])
    return y


def main_diagonal(definition):
    def mutant(y, x, offset=0, **axes):
        other = definition(x, offset=0, **axes)
        return other if other.shape == y.shape else y + 1

    return mutant


def other_diagonal(pull, g, x, offset=0, axis1=0, axis2=1):
    """Below for above: the axes exchanged."""
    other = np.array(pull(g, x, offset=offset, axis1=axis1, axis2=axis2)[0])
    return [np.roll(other, 1, axis1)]


DIAGONALS = {
    "empty": call((0, 3, 3), axis1=1, axis2=2),
    "a row of nothing": call((0, 3)),
    "beyond the matrix": call((2, 3), offset=5),
    "below": call((3, 2), offset=-1),
    "above, the other way": call((2, 4), offset=-1, axis1=1, axis2=0),
    "images": call((2, 3, 3, 4), axis1=-2, axis2=-1),
}


def diagonal_errors(op: Any, inner: str) -> tuple[ErrorCase, ...]:
    return (
        ErrorCase(
            lambda: op(x_of(2, 3), 0, 1, -1),
            ShapeError,
            r"diagonal: axis1 1 and axis2 -1 of shape \(2, 3\) are the same axis; name two",
        ),
        ErrorCase(lambda: op(x_of(3)), ShapeError, r"diagonal: axis 1 does not fit shape \(3,\)"),
        ErrorCase(
            lambda: op(x_of(3, 3), 0.5), ConfigError, "diagonal: offset must be a whole number, got"
        ),
    )


DIAGONAL = OpSpec(
    name="diagonal",
    op=diagonal,
    cases=diagonals(),
    oracle=diagonal_definition,
    integers=Case((whole(2, 3),), {"offset": 1}),
    edges=DIAGONALS,
    errors=diagonal_errors(diagonal, "diagonal"),
    forward_mutants={"always the main one": main_diagonal(diagonal_definition)},
    backward_mutants={"one row below": other_diagonal, **MOVED},
)

TRACE = OpSpec(
    name="trace",
    op=trace,
    cases=diagonals(),
    oracle=trace_definition,
    integers=Case((whole(3, 3),)),
    edges=DIAGONALS,
    errors=diagonal_errors(trace, "trace"),
    forward_mutants={"always the main one": main_diagonal(trace_definition)},
    backward_mutants={"one row below": other_diagonal, **MOVED},
    summands=lambda case: 4,
)


@st.composite
def triangles(draw: st.DrawFn) -> Case:
    return call(draw(shapes(2, 4)), draw(seeds), k=draw(st.integers(-4, 4)))


def triangle(keep):
    def definition(x, k=0):
        y = np.zeros(x.shape)
        for at in np.ndindex(x.shape):
            if keep(at[-2], at[-1], k):
                y[at] = x[at]
        return y

    return definition


def triangle_spec(name: str, op: Any, keep: Any, sign: int) -> OpSpec:
    definition = triangle(keep)
    return OpSpec(
        name=name,
        op=op,
        cases=triangles(),
        oracle=definition,
        integers=Case((whole(3, 3),), {"k": 1}),
        edges={
            "empty": call((0, 2, 3), k=0),
            "no rows": call((2, 0, 3), k=0),
            "the whole matrix": call((2, 3), k=9 * sign),
            "nothing": call((2, 3), k=-9 * sign),
        },
        special={
            "what is left out does no harm": Special(
                Case((np.full((2, 2), NAN),), {"k": -9 * sign}), np.zeros((2, 2))
            )
        },
        errors=(
            ErrorCase(
                lambda: op(x_of(3)),
                ShapeError,
                rf"{name}: needs matrices \(..., I, J\), got shape \(3,\); add axes",
            ),
            ErrorCase(
                lambda: op(x_of(3, 3), 0.5), ConfigError, f"{name}: k must be a whole number, got"
            ),
        ),
        forward_mutants={
            "without the diagonal": lambda y, x, k: definition(x, k - sign),
            "with one diagonal more": lambda y, x, k: definition(x, k + sign),
            "the other triangle": lambda y, x, k: x - y,
        },
        backward_mutants={
            "everywhere": lambda pull, g, x, k: [g],
            "in the other triangle": lambda pull, g, x, k: [g - pull(g, x, k=k)[0]],
            "transposed": lambda pull, g, x, k: pull(g, x, k=-k),
        },
    )


TRIL = triangle_spec("tril", tril, lambda i, j, k: j - i <= k, 1)
TRIU = triangle_spec("triu", triu, lambda i, j, k: j - i >= k, -1)

SPECS = (MATMUL, EINSUM, DIAGONAL, TRACE, TRIL, TRIU)
TestLinearAlgebra = proof_of(*SPECS)


@pytest.mark.parametrize(
    ("equation", "other"),
    [
        ("ij,jk->ik", lambda a, b: a @ b),
        ("ij,jk->ki", lambda a, b: (a @ b).T),
        ("ij,jk", lambda a, b: a @ b),
        ("ij,jk->", lambda a, b: (a @ b).sum()),
    ],
)
def test_einsum_says_what_other_ops_do(equation, other):
    a, b = Tensor(normal(0, 3, 4)), Tensor(normal(1, 4, 2))
    np.testing.assert_allclose(einsum(equation, a, b).data, other(a, b).data, rtol=1e-13)


def test_einsum_takes_lists_and_arrays():
    assert einsum("i,i", [1.0, 2.0], np.array([3.0, 4.0], np.float32)).item() == 11
