"""A lesson's exercises: stub and wrong answers fail with their hint, solutions pass.

Two lessons here; `.ci/run` proves all of them by ``python -m tests.exercises``.
"""

from pathlib import Path

import pytest

from tests.exercises.__main__ import in_a_process, main
from tests.exercises.proving import titles


def test_there_is_a_lesson_for_each_tutorial():
    numbered = (Path(__file__).parents[2] / "tutorials").glob("[0-9][0-9]_*.py")
    assert titles() == [path.stem[3:] for path in sorted(numbered) if path.stem != "00_tour"]


@pytest.mark.parametrize("title", ["convolution", "every_pixel_a_class"])
def test_exercises_are_proven(title):
    proof = in_a_process(title)
    assert proof.faults == []
    assert proof.exercises == proof.stubs == proof.solutions >= 4
    assert proof.wrong >= 3 * proof.exercises


def test_an_unknown_lesson_is_a_fault(capsys):
    assert main(["no_such_lesson"]) == 1
    assert "no_such_lesson" in capsys.readouterr().out
