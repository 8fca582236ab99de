"""An exercise: a task, a solution, and a check that names the mistake."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicnn.autograd import Tensor
from minicnn.errors import ConfigError
from minicnn.exercises._comparing import difference, in_all, own_copy, plain, same, shown
from minicnn.exercises._looking import is_stub, names_used

__all__ = ["Exercise", "Verdict", "exercise", "predict"]

Cases = Callable[[np.random.Generator], Iterable[tuple[Any, ...]]]
Play = Callable[..., Any]
Symptom = Callable[..., bool]


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Parameters
    ----------
    right : bool
        Whether the answer is right.
    hint : str, default ""
        What is wrong with it.
    detail : str, default ""
        The first case in which it is wrong, and how.
    cases : int, default 0
        How many cases were tried.
    """

    right: bool
    hint: str = ""
    detail: str = ""
    cases: int = 0


@dataclass(frozen=True)
class Exercise:
    """A task with its solution and the mistakes that are often made.

    Parameters
    ----------
    name : str
        What the answer is called in the lesson.
    task : str
        What is to be done.
    solution : object
        A right answer: a function, a class or a number.
    cases : callable, optional
        ``cases(rng)`` yields the arguments of each call, a tuple each, drawn from a NumPy
        generator. None for a number.
    mistakes : dict of str to object
        By hint, a wrong answer. An answer whose results are all those of a mistake gets its hint.
    symptoms : dict of str to callable
        By hint, ``symptom(got, expected, *arguments) -> bool``; the hint is given if it is true in
        every case in which the answer is wrong. Tried after the mistakes.
    play : callable, optional
        ``play(answer, *arguments)`` returns what is compared; by default the answer is called.
    without : tuple of str
        Names that the answer may not use, since they are what it should do itself.
    tolerance : float
        Largest difference, as a share of the largest number of the right result.
    """

    name: str
    task: str
    solution: Any
    cases: Cases | None = None
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    symptoms: Mapping[str, Symptom] = field(default_factory=dict)
    play: Play | None = None
    without: tuple[str, ...] = ()
    tolerance: float = 1e-6

    def check(self, answer: Any) -> Any:
        """Say whether an answer is right, and return what the lesson goes on with.

        Parameters
        ----------
        answer : object
            Yours: a function, a class or a number.

        Returns
        -------
        object
            The answer if it is right, else the solution.
        """
        verdict = self.examine(answer)
        if verdict.right:
            of = f" in {verdict.cases} cases" if self.cases else ""
            print(f"✓ {self.name}: right{of}.")
            return answer
        print(f"✗ {self.name}: {verdict.hint}")
        if verdict.detail:
            print(textwrap.indent(verdict.detail, "    "))
        print(f"    (The lesson goes on with the solution; exercise.{self.name}.show() shows it.)")
        return self.solution

    def show(self) -> None:
        """Print the task and the solution."""
        print(self.task)
        print(self.source)

    @property
    def source(self) -> str:
        """The solution as text."""
        if not callable(self.solution):
            return f"{self.name} = {self.solution!r}"
        lines = textwrap.dedent(inspect.getsource(self.solution)).splitlines()
        start = next(i for i, line in enumerate(lines) if line.startswith(("def ", "class ")))
        return "\n".join(lines[start:])

    def examine(self, answer: Any, seed: int = 0) -> Verdict:
        """Find out whether an answer is right, and if not, why.

        Parameters
        ----------
        answer : object
            What to examine.
        seed : int, default 0
            Of the cases that are drawn.

        Returns
        -------
        Verdict
            The result, with a hint if it is wrong.
        """
        refused = self._refuse(answer)
        if refused:
            return Verdict(False, refused)
        trials = [self._try(answer, case) for case in self._draw(seed)]
        wrong = [trial for trial in trials if not trial.right]
        if not wrong:
            return self._examine_conduct(answer, trials, seed)
        if all(isinstance(trial.error, NotImplementedError) for trial in trials):
            return Verdict(False, "not written yet")
        general = in_all([trial.in_general(self.tolerance) for trial in wrong])
        hint = self._named(trials, wrong) or general
        return Verdict(False, hint, wrong[0].described(self.name), len(trials))

    def _draw(self, seed: int) -> Iterator[tuple[Any, ...]]:
        if self.cases is None:
            return iter([()])
        return iter(self.cases(np.random.default_rng(seed)))

    def _play(self, answer: Any, arguments: tuple[Any, ...]) -> Any:
        """Return the plain result of what an exercise does with an answer."""
        if self.play is not None:
            return plain(self.play(answer, *arguments))
        return plain(answer(*arguments) if self.cases is not None else answer)

    def _try(self, answer: Any, arguments: tuple[Any, ...]) -> _Trial:
        """Call an answer in one case, and compare it with the solution."""
        given = own_copy(arguments)
        with np.errstate(all="ignore"):
            expected = self._play(self.solution, own_copy(arguments))
        got, error = self._outcome(answer, given)
        right = error is None and same(got, expected, self.tolerance)
        changed = not same(plain(list(given)), plain(list(arguments)), 0.0)
        return _Trial(arguments, expected, got, error, right, changed)

    def _outcome(self, answer: Any, arguments: tuple[Any, ...]) -> tuple[Any, Exception | None]:
        """Return what an answer gives, or what it raises."""
        try:
            with np.errstate(all="ignore"):
                return self._play(answer, arguments), None
        except Exception as error:  # whatever a learner's code raises is a wrong answer
            return None, error

    def _refuse(self, answer: Any) -> str:
        """Say what can be seen without running the answer; empty if nothing."""
        if answer is None or answer is ...:
            return "not answered yet"
        if not callable(self.solution):
            return "" if not callable(answer) else "give the number itself, not a function"
        if not callable(answer):
            kind = "class" if isinstance(self.solution, type) else "function"
            return f"give the {kind} itself, not {shown(answer)}"
        if isinstance(self.solution, type) and not isinstance(answer, type):
            return "give the class itself, not an object or a function"
        if is_stub(answer):
            return "not written yet"
        names = names_used(answer) if self.without else set()
        used = next((name for name in self.without if name in names), "")
        return f"write it yourself: it uses {used}" if used else ""

    def _named(self, trials: list[_Trial], wrong: list[_Trial]) -> str:
        """Return the hint of the known mistake that the answer makes; empty if it makes none."""
        for hint, mistake in self.mistakes.items():
            if all(self._is_made(mistake, trial) for trial in trials):
                return hint
        for hint, symptom in self.symptoms.items():
            if all(_shows(symptom, trial) for trial in wrong):
                return hint
        return ""

    def _is_made(self, mistake: Any, trial: _Trial) -> bool:
        """Tell whether an answer gave what the mistake gives, errors by their kind."""
        got, error = self._outcome(mistake, own_copy(trial.arguments))
        if error is not None or trial.error is not None:
            return type(error) is type(trial.error)
        return same(trial.got, got, self.tolerance)

    def _examine_conduct(self, answer: Any, trials: list[_Trial], seed: int) -> Verdict:
        """Find faults in an answer whose results are right."""
        changed = next((trial for trial in trials if trial.changed), None)
        if changed is not None:
            hint = "it changes what it was given; work on a copy"
            return Verdict(False, hint, changed.called(self.name), len(trials))
        for case in self._draw(seed):
            again = self._try(answer, case)
            if not again.right:
                hint = "called again with the same arguments it gives something else"
                return Verdict(False, hint, again.described(self.name), len(trials))
        return Verdict(True, cases=len(trials))


@dataclass(frozen=True)
class _Trial:
    """One call of an answer."""

    arguments: tuple[Any, ...]
    expected: Any
    got: Any
    error: Exception | None
    right: bool
    changed: bool

    def in_general(self, tolerance: float) -> str:
        """Say what is wrong in words that fit other cases, too."""
        if self.error is not None:
            return f"it raises {type(self.error).__name__}: {self.error}"
        if any(_is_the_same_array(self.got, argument) for argument in self.arguments):
            return "it returns what it was given"
        return difference(self.got, self.expected, tolerance)

    def called(self, name: str) -> str:
        """Return the call as it is typed; empty if nothing was called."""
        if not self.arguments:
            return ""
        return f"{name}({', '.join(shown(argument) for argument in self.arguments)})"

    def described(self, name: str) -> str:
        """Say what the call gave and what it should give."""
        call = self.called(name)
        if not call:
            return ""  # a number: to show the right one would be to give it away
        if self.error is not None:
            return f"{call} raised {type(self.error).__name__}: {self.error}"
        return f"{call} gave {shown(self.got)}, should give {shown(self.expected)}"


def exercise(
    cases: Cases,
    mistakes: Mapping[str, Any],
    symptoms: Mapping[str, Symptom] | None = None,
    play: Play | None = None,
    without: tuple[str, ...] = (),
    tolerance: float = 1e-6,
) -> Callable[[Any], Exercise]:
    """Make an exercise of a solution; its docstring is the task.

    Parameters
    ----------
    cases : callable
        ``cases(rng)`` yields the arguments of each call, a tuple each.
    mistakes : dict of str to object
        By hint, a wrong answer: a function or class, as the solution is.
    symptoms : dict of str to callable, optional
        By hint, ``symptom(got, expected, *arguments) -> bool``.
    play : callable, optional
        ``play(answer, *arguments)`` returns what is compared; by default the answer is called.
    without : tuple of str, optional
        Names that the answer may not use.
    tolerance : float, default 1e-6
        Largest difference, as a share of the largest number of the right result.

    Returns
    -------
    callable
        A decorator of the solution, a function or a class, that returns an Exercise.

    Raises
    ------
    ConfigError
        If the solution has no docstring.
    """

    def make(solution: Any) -> Exercise:
        if not solution.__doc__:
            raise ConfigError(f"exercise {solution.__name__}: say the task in its docstring")
        return Exercise(
            name=solution.__name__,
            task=inspect.cleandoc(solution.__doc__),
            solution=solution,
            cases=cases,
            mistakes=mistakes,
            symptoms=symptoms or {},
            play=play,
            without=without,
            tolerance=tolerance,
        )

    return make


def predict(
    name: str, task: str, solution: Any, mistakes: Mapping[str, Any], tolerance: float = 1e-6
) -> Exercise:
    """Make an exercise whose answer is a value: a number, a shape, a word.

    Parameters
    ----------
    name : str
        What the answer is called in the lesson.
    task : str
        The question.
    solution : number, tuple or str
        The right answer.
    mistakes : dict of str to object
        By hint, a wrong answer.
    tolerance : float, default 1e-6
        How far from the right number the answer may be, as a share of it.

    Returns
    -------
    Exercise
        The exercise.
    """
    return Exercise(name, task, solution, mistakes=mistakes, tolerance=tolerance)


def _is_the_same_array(got: Any, argument: Any) -> bool:
    """Tell whether what was returned is an argument, of more than one number."""
    is_array = isinstance(argument, np.ndarray | Tensor) and np.size(plain(argument)) > 1
    return is_array and same(got, plain(argument), 0.0)


def _shows(symptom: Symptom, trial: _Trial) -> bool:
    try:
        return bool(symptom(trial.got, trial.expected, *own_copy(trial.arguments)))
    except Exception:  # a symptom that cannot be looked for in such a result is not there
        return False
