"""Results of many kinds: which are the same, and in which words they are not."""

from fractions import Fraction

import numpy as np
import pytest

from minicnn import Tensor
from minicnn.exercises import exercise, predict


def gives(value, tolerance=1e-6):
    return exercise(cases=lambda rng: [(1,)], mistakes={}, tolerance=tolerance)(
        _documented(lambda _: value)
    )


def _documented(function):
    function.__doc__ = "Return it."
    function.__name__ = "given"
    return function


@pytest.mark.parametrize(
    ("expected", "right", "wrong", "hint"),
    [
        ({"a": 1.0, "b": [2.0]}, {"b": (2,), "a": 1}, {"a": 1.0, "b": [3.0]}, "in 'b'"),
        ({"a": 1.0}, {"a": np.float32(1)}, {"c": 1.0}, "['c'], where ['a'] is asked for"),
        ({"a": 1.0}, {"a": 1.0}, [1.0], "it returns list, where dict is asked for"),
        ([1.0, "x"], (1, "x"), [1.0], "it returns 1 things, where 2 are asked for"),
        ([1.0, "x"], (1, "X"), [2.0, "x"], "in place 0 of what it returns"),
        ([np.ones(2), np.ones(3)], [[1, 1], [1, 1, 1]], [np.ones(3), np.ones(2)], "in place 0"),
        (True, np.True_, False, "it says False, where True is right"),
        ("valid", " Valid", "same", "it is another than asked for"),
        ((3, 5), [3, 5], (5, 3), "axis 0 runs the wrong way round"),
        (27, 27.0, 28, "another number"),
        (123_642_856, 123_642_856.0, 123_642_857, "another number"),
        (27 / 49, Fraction(27, 49), Fraction(26, 49), "another number"),
        (np.array([1, 2, 3]), [1, 2, 3], [1, 2, 4], "not those"),
        (np.nan, np.nan, 0.0, "another number"),
        (np.array([np.inf, 1.0]), [np.inf, 1.0], [1.0, 1.0], "not those"),
        (np.array([1.0, 0.0]), [1.0, 1e-8], [1.0, 1e-5], "not those"),
        (1e-9, 1e-9 + 1e-16, 1.1e-9, "another number"),
        (0.0, 1e-16, 1e-12, "another number"),
        (np.zeros(3), [0, 1e-17, 0], [0, 1e-9, 0], "not those"),
        ((1e9, True, 3), (1e9 + 1, 1, 3.0), (1e9, False, 3), "in place 1 of what it returns"),
        ((1e9, True, 3), [1e9, True, 3], (1e9, True, 4), "in place 2 of what it returns"),
        ([1e9 * np.ones(2), np.ones(2)], np.full((2, 2), [[1e9], [1]]), [[1e9] * 2, [2] * 2], "1"),
        ([[1.0, 2.0], [3.0, 4.0]], np.array([[1, 2], [3, 4]]), [[1.0, 2.0]], "the shape is"),
        ([np.ones(2), 3.0], (np.ones(2), 3), np.ones(2), "ndarray, where 2 things are asked for"),
        ([], (), [1], "the shape is (1,) and should be (0,)"),
        (["a", None], ("a", None), ["a", 0], "in place 1"),
        (np.array(["a", "b"]), np.array(["a", "b"]), np.array(["a", "c"]), "another than"),
        (np.ones(2), [1, 1], np.array([Tensor(1.0), None]), "where numbers are asked for"),
        ([1.0, "x"], [1.0, "x"], [np.array([None, 1]), "x"], "in place 0"),
        (["x", 3], ["x", 3], [np.array([None, 1]), 3], "in place 0"),
    ],
)
def test_kinds_of_results(expected, right, wrong, hint):
    one = gives(expected)
    assert one.examine(lambda _: right).right
    verdict = one.examine(lambda _: wrong)
    assert not verdict.right
    assert hint in verdict.hint


def test_tolerance_is_a_share_and_float32_has_its_own():
    one = gives(np.array([1000.0, 1.0]), tolerance=1e-6)
    assert one.examine(lambda _: [1000.0005, 1.0]).right
    assert not one.examine(lambda _: [1000.01, 1.0]).right
    single = np.array([1000.01, 1.0], np.float32)
    assert one.examine(lambda _: single).right
    assert not one.examine(lambda _: single + 1).right
    lenient = gives(27, tolerance=0.1)
    assert lenient.examine(lambda _: 28).right


def test_a_predicted_number_is_never_told():
    one = predict("sees", "How far do three 3x3 see?", 7, mistakes={"two see 5": 5})
    assert one.examine(7).right
    assert one.examine(7.0).right
    assert one.examine(np.int64(7)).right
    wrong = one.examine(9)
    assert (wrong.hint, wrong.detail) == ("it is another number than that", "")
    assert one.examine(5).hint == "two see 5"
    assert one.examine(None).hint == one.examine(...).hint == "not answered yet"
    assert one.examine(lambda: 7).hint == "give the number itself, not a function"
    assert "str" in one.examine("7").hint
    shape = predict("shape", "Of what shape?", (2, 3), mistakes={})
    assert shape.examine([2, 3]).right
    assert "axis 0" in shape.examine((3, 2)).hint
    near = predict("share", "What share?", 0.3487, mistakes={}, tolerance=0.02)
    assert near.examine(0.35).right
    assert not near.examine(0.36).right


THINGS = [
    *(None, True, 3, 2.5, np.nan, 1j, "word", b"bytes", Fraction(1, 3), 10**30, {1, 2}, range(3)),
    *([], (), [[]], [1, [2, 3]], [None], ["a", 1.0], {"a": [1.0]}, {}, {1: None}, print, Tensor),
    *(np.zeros((0, 3)), np.array(None), np.array([None, 1]), np.array(["a"]), np.bool_(False)),
    *(np.ones(3, np.float16), np.ones((2, 3), np.uint8), np.array([1 + 2j]), np.float32(np.inf)),
    *(Tensor(np.ones((2, 2))), [Tensor(1.0), None], np.array(0, "M8[s]"), np.ones(2, "i4,f4")),
]


@pytest.mark.parametrize("expected", range(len(THINGS)))
def test_whatever_is_returned_is_compared_and_talked_of(expected):
    one = gives(THINGS[expected])
    for i, thing in enumerate(THINGS):
        verdict = one.examine(lambda _, thing=thing: thing)
        assert verdict.right or verdict.hint
        assert verdict.right or i != expected
