"""Whatever goes wrong in an op says which op, which shapes and what to do, in minicnn's words."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn import ops
from minicnn.autograd import Tensor, astype, composed, differentiable
from minicnn.errors import ConfigError, DTypeError, GradientError, MinicnnError, ShapeError
from tests.ops.spec import ErrorCase

X, WEIGHT = Tensor(np.ones((8, 3))), Tensor(np.ones((4, 5)))


class Unspeakable:
    def __repr__(self):
        raise RuntimeError("no")


@differentiable
def refuse(x, weight=None, *more, error=None, **options):
    raise error


@composed
def around(x, error):
    return refuse(x, WEIGHT, error=error)


@composed
def far_around(x, error):
    return around(x, error)


def said(call) -> str:
    with pytest.raises(MinicnnError) as caught:
        call()
    return str(caught.value)


ERRORS = (
    ErrorCase(
        lambda: refuse(X, WEIGHT, error=TypeError("raw")),
        DTypeError,
        r"^refuse: cannot be called with x=float64 \(8, 3\), weight=float64 \(4, 5\), "
        r"error=TypeError\('raw'\) \(raw\); see help\(tests.autograd.test_complaints.refuse\)$",
    ),
    ErrorCase(lambda: refuse(X, error=AttributeError("raw")), DTypeError, r"\(raw\); see"),
    ErrorCase(lambda: refuse(X, error=ValueError("raw")), ConfigError, r"\(raw\); see"),
    ErrorCase(lambda: refuse(X, error=IndexError("raw")), ConfigError, r"\(raw\); see"),
    ErrorCase(lambda: refuse(X, error=KeyError("raw")), ConfigError, r"\(KeyError: 'raw'\); see"),
    ErrorCase(lambda: refuse(X, error=ZeroDivisionError("raw")), ConfigError, r"\(raw\); see"),
    ErrorCase(lambda: refuse(X, error=OverflowError("raw")), ConfigError, r"\(raw\); see"),
    ErrorCase(
        lambda: ops.relu(), DTypeError, r"relu: cannot be called with no arguments \(.*missing"
    ),
    ErrorCase(
        lambda: ops.relu(X, 1, slope=2),
        DTypeError,
        r"relu: cannot be called with argument 0=float64 \(8, 3\), argument 1=1, slope=2 \(.*\); "
        r"see help\(minicnn.ops.relu\)",
    ),
    ErrorCase(
        lambda: ops.conv2d(None, X),
        DTypeError,
        r"conv2d: x must be a Tensor, an array or numbers, got None; this argument cannot be left "
        r"out \(given weight \(8, 3\)\)",
    ),
    ErrorCase(lambda: ops.conv2d(X, weight=None), DTypeError, "conv2d: weight must be a Tensor"),
    ErrorCase(
        lambda: ops.sigmoid_cross_entropy(Tensor(0.3), 2.0),
        ConfigError,
        r"targets must be from 0 to 1, got 2.0 at \(\) \(shape \(\)\)",
    ),
    ErrorCase(
        lambda: ops.sparse_softmax_cross_entropy(Tensor(np.ones((2, 0))), np.array([0, 0])),
        ShapeError,
        r"cross_entropy: logits \(2, 0\) \(N, K, ...\) have no classes; K must be at least 1",
    ),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()


def test_what_is_lacking_is_added_and_nothing_else():
    help_ = "see help(tests.autograd.test_complaints.refuse)"
    given = "(given x (8, 3), weight (4, 5))"
    for text, told in (
        ("no", f"refuse: no {given}; {help_}"),
        ("refuse: no", f"refuse: no {given}; {help_}"),
        ("refuse: no; mend it", f"refuse: no; mend it {given}"),
        ("no (8, 3); mend it", f"refuse: no (8, 3); mend it {given}"),
        ("no (8, 3), (4, 5); mend it", "refuse: no (8, 3), (4, 5); mend it"),
    ):
        assert said(lambda text=text: refuse(X, WEIGHT, error=ShapeError(text))) == told


def test_the_outermost_op_tells_it():
    assert said(lambda: far_around(X, ShapeError("no"))) == (
        "far_around: no (given x (8, 3)); see help(tests.autograd.test_complaints.far_around)"
    )
    assert said(lambda: far_around(X, ShapeError("sum: no (8, 3); mend it"))) == (
        "far_around: sum: no (8, 3); mend it"
    )
    raw = ValueError("raw")
    with pytest.raises(ConfigError) as caught:
        far_around(X, raw)
    assert str(caught.value) == (
        "far_around: cannot be called with x=float64 (8, 3), error=ValueError('raw') (raw); "
        "see help(tests.autograd.test_complaints.far_around)"
    )
    assert caught.value.__cause__ is raw


def test_tensors_in_lists_are_told_but_not_all_of_many():
    lists = [X] * 2
    assert "(given x[0] (8, 3), x[1] (8, 3))" in said(lambda: refuse(lists, error=ShapeError("no")))
    assert "x[7] (8, 3) and 92 more)" in said(lambda: refuse([X] * 100, error=ShapeError("no")))
    assert "x=[float64 (8, 3), float64 (8, 3)], " in said(
        lambda: refuse(lists, error=ValueError("raw"))
    )
    assert "float64 (8, 3), ... 92 more], " in said(
        lambda: refuse([X] * 100, error=ValueError("raw"))
    )


def test_arguments_are_told_in_a_few_words():
    told = said(lambda: refuse(X, (i for i in range(3)), error=ValueError("raw")))
    assert "weight=<generator object" in told
    assert "weight=<Unspeakable>" in said(lambda: refuse(X, Unspeakable(), error=ValueError("raw")))
    assert len(said(lambda: refuse(X, "long" * 1000, error=ValueError("raw")))) < 300


def test_help_is_where_the_op_is_imported_from():
    assert said(lambda: ops.add(X)).endswith("see help(minicnn.ops.add)")
    assert said(lambda: astype(X)).endswith("see help(minicnn.autograd.astype)")

    @composed
    def local(x):
        raise ShapeError("no")

    assert said(lambda: local(X)) == "local: no (given x (8, 3)); see help(local)"


def test_an_error_of_gradients_is_not_called_after_the_op():
    assert said(lambda: refuse(X, error=GradientError("backward: no (8, 3); mend it"))) == (
        "backward: no (8, 3); mend it"
    )


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt, RuntimeWarning, OSError])
def test_other_exceptions_pass(error):
    with pytest.raises(error, match=r"^as it is$"):
        far_around(X, error("as it is"))
