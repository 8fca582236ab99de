"""Every lesson's exercises: stub and wrong answers fail with their hint, solutions pass."""

import pytest

from tests.exercises.__main__ import in_a_process, main
from tests.exercises.proving import titles


@pytest.mark.parametrize("title", titles())
def test_exercises_are_proven(title):
    proof = in_a_process(title)
    assert proof.faults == []
    assert proof.exercises == proof.stubs == proof.solutions >= 4
    assert proof.wrong >= 3 * proof.exercises


def test_an_unknown_lesson_is_a_fault(capsys):
    assert main(["no_such_lesson"]) == 1
    assert "no_such_lesson" in capsys.readouterr().out
