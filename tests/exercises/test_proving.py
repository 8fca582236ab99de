"""A weak exercise, and a weak engine, are noticed by the proof."""

import sys
import types

import pytest

from minicnn import exercises
from minicnn.exercises import Exercise, exercise
from minicnn.exercises import _exercise as engine
from tests.exercises import proving, wrong
from tests.exercises.collecting import WrongAnswers

LESSON = """
from minicnn.exercises import planted as exercise

def area(height, width): ...  # your code

area = exercise.area.check(area)
"""


def sizes(rng):
    for _ in range(5):
        yield tuple(int(n) for n in rng.integers(2, 99, 2))


def area_of(height, width):
    """Compute an area."""
    return height * width


def planted(monkeypatch, tmp_path, lesson=LESSON, solution=area_of, **changed):
    """Prove a lesson of one exercise, some of it changed."""
    options = {"cases": sizes, "mistakes": {"that is half of its border": lambda h, w: h + w}}
    one = exercise(**{**options, **changed})(solution)
    one = Exercise(**{**vars(one), "name": "area"})
    answers = WrongAnswers()
    answers(one, hint="half of its border")(lambda h, w: w + h)
    answers(one, hint="another number")(lambda h, w: h * h)
    answers(one, hint="TypeError")(lambda h: h)
    for package, content in (exercises, {"area": one}), (wrong, {"wrong": answers}):
        module = types.ModuleType(f"{package.__name__}.planted")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setattr(package, "planted", module, raising=False)
    (tmp_path / "03_planted.py").write_text(lesson)
    monkeypatch.setattr(proving, "TUTORIALS", tmp_path)
    return proving.prove("planted")


def test_a_sound_exercise_has_no_faults(monkeypatch, tmp_path):
    assert planted(monkeypatch, tmp_path) == ("planted", 1, 1, 3, 1, [])


def squares(rng):
    for n in rng.integers(2, 99, 5):
        yield int(n), int(n)


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"cases": squares}, "area: <lambda> passes"),
        ({"mistakes": {}}, "which lacks 'half of its border'"),
        ({"tolerance": 1e9}, "area: <lambda> passes"),
        ({"cases": lambda rng: [(7, 5)]}, "what is right in the first case passes"),
        ({"play": lambda answer, *sizes: bool(answer(*sizes))}, "always True passes"),
        ({"play": lambda answer, *sizes: bool(answer(*sizes))}, "what it was given passes"),
        ({"lesson": LESSON.replace("...", "return height * width")}, "area: its stub passes"),
        ({"lesson": LESSON.replace(".area.", ".other.")}, "area: the lesson does not check it"),
        ({"lesson": LESSON.replace(".area.", ".other.")}, "other: the lesson checks what is not"),
        ({"play": lambda answer, *sizes: 0}, "area: <lambda> passes"),
    ],
)
def test_a_weak_exercise_is_noticed(monkeypatch, tmp_path, changed, fault):
    faults = planted(monkeypatch, tmp_path, **changed).faults
    assert any(fault in said for said in faults), faults


def test_a_wrong_answer_of_another_lesson_is_noticed(monkeypatch, tmp_path):
    stray = exercise(cases=sizes, mistakes={})(area_of)
    collect = WrongAnswers.__call__

    def collect_both(answers, one, hint):
        collect(answers, stray, hint)(area_of)
        return collect(answers, one, hint)

    monkeypatch.setattr(WrongAnswers, "__call__", collect_both)
    faults = planted(monkeypatch, tmp_path).faults
    assert faults == ["area_of: a wrong answer of another lesson's"] * 3


def test_a_solution_that_fails_with_some_seed_is_noticed(monkeypatch, tmp_path):
    def moody(height, width):
        """Compute an area, most of the time."""
        moody.calls += 1
        return height * width + (moody.calls % 7 == 0)

    moody.calls = 0
    assert any(
        "the solution fails" in f for f in planted(monkeypatch, tmp_path, solution=moody).faults
    )


@pytest.mark.parametrize(
    ("name", "weak"),
    [
        ("same", lambda *_: True),
        ("is_stub", lambda answer: True),
        ("difference", lambda *_: "wrong"),
    ],
)
def test_a_weak_engine_is_noticed(monkeypatch, tmp_path, name, weak):
    monkeypatch.setattr(engine, name, weak)
    assert planted(monkeypatch, tmp_path).faults


def test_an_engine_that_names_no_mistakes_is_noticed(monkeypatch, tmp_path):
    monkeypatch.setattr(Exercise, "_named", lambda *_: "")
    assert any("half of its border" in fault for fault in planted(monkeypatch, tmp_path).faults)
