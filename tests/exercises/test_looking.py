"""What is seen of an answer without running it: stubs, and what it may not use."""

import functools

import numpy as np
import pytest
from numpy.linalg import norm

from minicnn import ops
from minicnn.exercises import exercise


@exercise(
    cases=lambda rng: [(rng.normal(size=(2, 3)), rng.normal(size=3))],
    mistakes={},
    without=("matmul", "dot"),
)
def weighed(a, b):
    """Weigh the columns of a by b, and add them up."""
    return a @ b


def hint_of(answer, one=weighed):
    verdict = one.examine(answer)
    assert not verdict.right
    return verdict.hint


def stub_with_docstring(a, b):
    """Weigh the columns."""


def stub_with_dots(a, b): ...


def stub_that_passes(a, b):
    pass


def stub_of_none(a, b):
    return None


def stub_that_raises(a, b):
    raise NotImplementedError("your turn")


@pytest.mark.parametrize(
    "stub",
    [stub_with_docstring, stub_with_dots, stub_that_passes, stub_of_none, stub_that_raises],
)
def test_a_stub_is_not_written_yet(stub):
    assert hint_of(stub) == "not written yet"


def test_no_answer_and_things_of_another_kind():
    assert hint_of(None) == hint_of(...) == "not answered yet"
    assert hint_of(3.0) == "give the function itself, not 3"
    assert hint_of(np.ones(3)) == "give the function itself, not [1, 1, 1]"


def by_name(a, b):
    return np.dot(a, b)


def by_import(a, b):
    from numpy import dot as times

    return times(a, b)


def by_method(a, b):
    return a.dot(b)


multiply = np.dot


def by_alias(a, b):
    return multiply(a, b)


def helper(a, b):
    return np.matmul(a, b)


def by_helper(a, b):
    return helper(a, b)


def by_helper_inside(a, b):
    def inside(row):
        return row.dot(b)

    return [inside(row) for row in a]


def by_closure():
    times = np.dot
    return lambda a, b: times(a, b)


class ByMember:
    @staticmethod
    def weigh(a, b):
        return np.dot(a, b)

    def __new__(cls, a, b):
        return cls.weigh(a, b)


def by_class(a, b):
    return ByMember(a, b)


@pytest.mark.parametrize(
    "answer",
    [
        by_name,
        by_import,
        by_method,
        by_alias,
        by_helper,
        by_helper_inside,
        by_closure(),
        by_class,
        np.dot,
        np.matmul,
        functools.partial(np.dot),
        lambda a, b: [np.dot(row, b) for row in a],
    ],
)
def test_what_the_answer_may_not_use_is_found(answer):
    assert hint_of(answer) in {
        "write it yourself: it uses dot",
        "write it yourself: it uses matmul",
    }


def test_what_a_library_has_cannot_be_the_answer():
    @exercise(cases=lambda rng: [(rng.normal(size=(2, 3)),)], mistakes={}, without=("relu", "ReLU"))
    def rectified(x):
        """Let nothing be below 0."""
        return np.maximum(x, 0)

    assert hint_of(ops.relu, rectified) == "write it yourself: it uses relu"
    assert rectified.examine(lambda x: np.where(x > 0, x, 0)).right

    def relu(x):  # its own, though it is called so
        return np.maximum(x, 0)

    assert rectified.examine(relu).right


def dot(a, b):
    return (a * b).sum()


def by_own_helper(a, b):
    return [weigh_row(row, b) for row in a]


def weigh_row(row, b):
    return (row * b).sum()


def by_a_part_of_a_library(a, b):
    return norm(a * b, axis=1)


def test_a_part_of_a_library_may_be_forbidden():
    one = exercise(
        cases=lambda rng: [(rng.normal(size=(2, 3)), rng.normal(size=3))],
        mistakes={},
        without=("linalg",),
    )(weighed.solution)
    for answer in by_a_part_of_a_library, norm, lambda a, b: np.linalg.norm(a * b, axis=1):
        assert hint_of(answer, one) == "write it yourself: it uses linalg"


def test_helpers_of_ones_own_are_allowed():
    assert weighed.examine(by_own_helper).right


def test_a_class_may_not_hide_what_it_uses():
    class ByDot:
        @property
        def rule(self):
            return np.dot

        def __call__(self):
            return self.rule(1, 2)

        def __init__(self, start):
            self.start = start

    class Right:
        """Do it."""

        def __init__(self, start):
            self.start = start

    strict = exercise(
        cases=lambda rng: [(1,)], play=lambda c, n: c(n).start, mistakes={}, without=("dot",)
    )(Right)
    assert hint_of(ByDot, strict) == "write it yourself: it uses dot"


def test_what_a_class_inherits_from_ones_own_counts():
    class Right:
        """Do it."""

        def __init__(self, start):
            self.start = start

    class Early:
        def __init__(self, start):
            self.start = np.dot(start, 1)

    class Late(Early):
        """What it does, it has from another."""

    def given(without):
        return exercise(
            cases=lambda rng: [(1,)], play=lambda c, n: c(n).start, mistakes={}, without=without
        )(Right)

    assert given(()).examine(Late).right
    assert hint_of(Late, given(("dot",))) == "write it yourself: it uses dot"
