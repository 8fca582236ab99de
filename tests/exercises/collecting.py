"""Wrong answers, as learners write them, each with words that its hint must contain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from minicnn.exercises import Exercise

__all__ = ["WrongAnswer", "WrongAnswers"]


class WrongAnswer(NamedTuple):
    """A wrong answer to an exercise, and words of the hint that names its mistake."""

    exercise: Exercise
    hint: str
    answer: Any


class WrongAnswers(list[WrongAnswer]):
    """Collects: ``@wrong(exercise.loops, hint="stride")`` above a function or a class."""

    def __call__(self, exercise: Exercise, hint: str) -> Callable[[Any], Any]:
        """Return what takes the answer: a decorator, or a function of a number."""

        def collect(answer: Any) -> Any:
            self.append(WrongAnswer(exercise, hint, answer))
            return answer

        return collect
