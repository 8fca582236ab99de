"""Faulty solutions: they are made, they are found, and a weak exercise lets them live."""

import numpy as np

from minicnn.exercises import exercise, predict
from tests.exercises import __main__ as command
from tests.exercises import mutating
from tests.exercises.mutating import mutants, survivors


def weighed(a, b, add):
    """Weigh the rows, and add."""
    total = np.zeros(len(a))
    for i in range(len(a)):
        total[i] += (a[i, :] * b).sum() + add
    return total


def drawn(rng):
    for rows, columns in (2, 3), (4, 5), (3, 1):
        yield rng.normal(size=(rows, columns)), rng.normal(size=columns), 0.5


def alike(rng):
    yield np.ones((2, 2)), np.ones(2), 0.0


def test_each_mutant_has_one_fault():
    said = [what.partition(": ")[2] for what, _ in mutants(weighed)]
    assert "(a[i, :] * b).sum() + add -> Sub" in said
    assert "a[i, :] axes exchanged" in said
    assert "(a[i, :] * b).sum -> mean" in said
    assert any(what.endswith("-> -=") for what in said)
    assert len(said) == len(set(said)) >= 8
    assert weighed(np.ones((2, 3)), np.ones(3), 1).tolist() == [4, 4]  # itself it stays


def test_strong_cases_find_all_and_weak_ones_do_not():
    tried, alive = survivors(exercise(cases=drawn, mistakes={})(weighed))
    assert tried >= 8
    assert alive == []
    tried_again, alive = survivors(exercise(cases=alike, mistakes={})(weighed))
    assert tried_again == tried
    assert any("-> Div" in what for what in alive)  # 1 * 1 is 1 / 1
    assert any("-> Sub" in what for what in alive)  # to add 0 is to subtract it


def test_a_mutant_without_end_is_no_survivor(monkeypatch):
    def counted(n):
        """Count up to n."""
        i = 0
        while i < n:
            i += 1
        return i

    monkeypatch.setattr(mutating, "SECONDS", 0.05)
    one = exercise(cases=lambda rng: [(3,), (5,)], mistakes={})(counted)
    names = {"counted": counted}
    exec("def counted(n):\n    i = 0\n    while i < n:\n        i -= 1\n    return i", names)
    assert not mutating._is_right(one, names["counted"])
    assert mutating._is_right(one, counted)


def test_the_command_counts(monkeypatch, capsys):
    monkeypatch.setattr(command, "exercises_of", lambda title: {"weighed": strong, "n": number})
    strong = exercise(cases=drawn, mistakes={})(weighed)
    number = predict("n", "How many?", 3, mistakes={})
    assert command.main(["--mutate", "planted"]) == 0
    assert capsys.readouterr().out.split() == ["planted.weighed", "8", "mutants,", "0", "alive"]
