"""The engine of the exercises: what it says of answers, and that a weak one would be noticed."""

import numpy as np
import pytest

from minicnn import Tensor, nn
from minicnn.errors import ConfigError
from minicnn.exercises import exercise, predict


def pairs(rng):
    for rows, columns in (2, 3), (1, 4), (5, 2):
        yield rng.normal(size=(rows, columns)), rng.normal(size=columns)


@exercise(
    cases=pairs,
    mistakes={
        "the product is summed over rows": lambda a, b: a.T @ np.resize(b, len(a)),
        "b is added, not multiplied": lambda a, b: (a + b).sum(axis=1),
    },
    symptoms={"nothing may be negative here": lambda got, expected, a, b: (got == abs(got)).all()},
    without=("matmul", "dot"),
)
def weighed(a, b):
    """Weigh the columns of a by b, and add them up."""
    return a @ b


def hint_of(answer, one=weighed, **seed):
    verdict = one.examine(answer, **seed)
    assert not verdict.right
    return verdict.hint


# What is right


@pytest.mark.parametrize(
    "answer",
    [
        lambda a, b: a @ b,
        lambda a, b: (a * b).sum(axis=1),
        lambda a, b: [sum(x * y for x, y in zip(row, b, strict=True)) for row in a],
        lambda a, b: tuple(float((row * b).sum()) for row in a),
        lambda a, b: Tensor(a * b).sum(axis=1),
        lambda a, b: [Tensor(row * b).sum() for row in a],
        lambda a, b: a.astype(np.float32) @ b.astype(np.float32),
        np.inner,
        lambda *arguments: arguments[0] @ arguments[1],
    ],
    ids=["matrix", "sum", "lists", "tuple", "tensor", "tensors", "float32", "inner", "star"],
)
def test_right_in_any_style(answer):
    verdict = weighed.examine(answer)
    assert verdict.right, verdict
    assert verdict.cases == 3


def test_right_with_any_seed_and_every_case_is_drawn_anew():
    drawn = [next(iter(weighed.cases(np.random.default_rng(seed))))[0] for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert all(weighed.examine(weighed.solution, seed).right for seed in range(10))


def test_a_memory_of_the_first_cases_does_not_do():
    known = [(a @ b).copy() for a, b in weighed.cases(np.random.default_rng(0))]
    told = iter(known * 2)
    assert weighed.examine(lambda a, b: next(told)).right  # of seed 0 alone
    assert not weighed.examine(lambda a, b: known[0], seed=1).right


# What is not: the order is refused, mistake, symptom, general hint, conduct


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda a, b: (a + b).sum(axis=-1), "b is added, not multiplied"),
        (lambda a, b: abs(a @ b), "nothing may be negative here"),
        (lambda a, b: -(a @ b), "the sign is wrong"),
        (lambda a, b: (a * b).mean(axis=1), "0.3333 times what it should be, and by other factors"),
        (lambda a, b: a @ b + b[0], "its numbers are not those"),
        (lambda a, b: 3.0 * (a @ b), "every number is 3 times what it should be"),
        (lambda a, b: (a @ b)[::-1], "axis 0 runs the wrong way round"),
        (lambda a, b: (a @ b)[:, None], "the numbers are right, but the shape is (2, 1)"),
        (lambda a, b: a * b, "the shape is (2, 3) and should be (2,)"),
        (lambda a, b: a @ b * np.nan, "not a number (NaN)"),
        (lambda a, b: a @ b / 0, "it is infinite somewhere"),
        (lambda a, b: 0 * (a @ b), "nothing may be negative here"),
        (lambda a, b: a, "it returns what it was given"),
        (lambda a, b: b.tolist(), "it returns what it was given"),
        (lambda a, b: "three", "it returns str, where numbers are asked for"),
        (lambda a, b: [None, a @ b], "it returns list, where numbers are asked for"),
        (lambda a, b: print(end=""), "it returns None; is a return missing?"),
        (lambda a, b: a @ b.T.nothing, "it raises AttributeError"),
        (lambda a: a, "it raises TypeError"),
    ],
)
def test_hints(answer, hint):
    assert hint in hint_of(answer)


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (lambda x: x.T.copy(), "rows and columns are exchanged"),
        (lambda x: x.transpose(0, 2, 1)[:, ::-1], "its numbers are not those"),
        (lambda x: np.zeros_like(x), "it is zero everywhere"),
        (lambda x: x[:, ::-1], "axis 1 runs the wrong way round"),
    ],
)
def test_hints_of_squares(answer, hint):
    def squares(rng):
        yield (rng.normal(size=(1, 3, 3)),)

    @exercise(cases=squares, mistakes={})
    def same_again(x):
        """Return it."""
        return x.copy()

    if hint == "rows and columns are exchanged":
        answer = lambda x: x.swapaxes(1, 2)  # noqa: E731
    assert hint in hint_of(answer, same_again)


def test_axes_in_another_order():
    def images(rng):
        yield (rng.normal(size=(2, 3, 5)),)

    @exercise(cases=images, mistakes={})
    def channels_last(x):
        """Move the first axis to the end."""
        return np.moveaxis(x, 0, -1)

    assert "another order: the shape is (2, 3, 5), should be (3, 5, 2)" in hint_of(
        lambda x: -x, channels_last
    )


def test_a_mistake_is_named_only_if_it_is_made_in_every_case():
    calls = []

    def at_first_only(a, b):
        calls.append(a)
        return (a + b).sum(axis=1) if len(calls) == 1 else (a @ b) + 1

    assert "added" not in hint_of(at_first_only)


def test_the_detail_is_the_first_case_that_goes_wrong():
    verdict = weighed.examine(lambda a, b: a @ b + (len(a) == 1))
    assert verdict.detail.startswith("weighed([[")
    assert "gave [" in verdict.detail
    assert "should give [" in verdict.detail
    verdict = weighed.examine(lambda a, b: a @ b @ 1)
    assert "raised ValueError" in verdict.detail


# Conduct


def test_it_may_not_change_what_it_was_given():
    def in_place(a, b):
        a *= b
        return a.sum(axis=1)

    verdict = weighed.examine(in_place)
    assert verdict.hint == "it changes what it was given; work on a copy"

    def shortens(a, b):
        return [a.pop() for _ in range(len(a))][::-1]

    @exercise(cases=lambda rng: [([1, 2, 3], 0)], mistakes={})
    def listed(a, b):
        """Return a list."""
        return list(a)

    assert "work on a copy" in hint_of(shortens, listed)


def test_it_must_give_the_same_again():
    seen = []

    def counts(a, b):
        seen.append(a)
        return a @ b if len(seen) <= 3 else a @ b + 1

    assert "called again" in hint_of(counts)


def test_what_one_answer_spoils_another_does_not_see():
    def spoils(a, b):
        a[:] = 0
        return a @ b

    assert not weighed.examine(spoils).right
    assert weighed.examine(weighed.solution).right


# Classes, and what is more than a call


class Counter:
    """Count calls."""

    def __init__(self, start):
        self.calls = start

    def __call__(self):
        self.calls += 1
        return self.calls


def thrice(answer, start):
    counter = answer(start)
    return [counter() for _ in range(3)]


COUNTER = exercise(
    cases=lambda rng: [(int(n),) for n in rng.integers(2, 99, 5)],
    play=thrice,
    mistakes={"it begins at 0": lambda start: Counter(0)},
)(Counter)


def test_a_class_is_played():
    class Other:
        def __init__(self, start):
            self.steps = iter(range(start + 1, start + 9))

        def __call__(self):
            return next(self.steps)

    class Stub:
        """Count."""

        def __init__(self, start): ...

        def __call__(self): ...

    class Empty(nn.Module):
        """Count."""

    class Forgets(Counter):
        def __init__(self, start):
            super().__init__(0)

    assert COUNTER.examine(Other).right
    assert hint_of(Stub, COUNTER) == hint_of(Empty, COUNTER) == "not written yet"
    assert hint_of(Forgets, COUNTER) == "it begins at 0"
    assert hint_of(Counter(3), COUNTER) == "give the class itself, not an object or a function"
    assert hint_of(7, COUNTER) == "give the class itself, not 7"


# What is printed and returned


def test_check_returns_the_answer_if_it_is_right_else_the_solution(capsys):
    def right(a, b):
        return (a * b).sum(axis=1)

    assert weighed.check(right) is right
    assert capsys.readouterr().out == "✓ weighed: right in 3 cases.\n"
    assert weighed.check(None) is weighed.solution
    said = capsys.readouterr().out
    assert said.startswith("✗ weighed: not answered yet\n")
    assert "exercise.weighed.show()" in said
    weighed.show()
    shown = capsys.readouterr().out
    assert shown.startswith("Weigh the columns of a by b, and add them up.\ndef weighed(a, b):\n")
    assert "return a @ b" in shown
    assert COUNTER.source.startswith("class Counter:")
    assert predict("n", "How many?", 3, {}).source == "n = 3"


def test_an_exercise_needs_a_task():
    with pytest.raises(ConfigError, match="exercise silent: say the task in its docstring"):

        @exercise(cases=pairs, mistakes={})
        def silent(a, b):
            return a


def test_numbers_that_overflow_warn_nobody():
    @exercise(cases=lambda rng: [(np.array([0.0, 1.0]),)], mistakes={})
    def inverse(x):
        """Return 1 / x."""
        return 1 / x

    assert inverse.examine(lambda x: x**-1).right  # tests turn warnings into errors
