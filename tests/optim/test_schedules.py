import dataclasses
import math

import numpy as np
import pytest

from minicnn.errors import ConfigError
from minicnn.optim import Constant, Cosine, OneCycle, Step, WarmUp


def test_constant():
    assert [Constant(0.1)(s) for s in (0, 7, 10**9)] == [0.1] * 3


def test_step_drops_at_its_boundaries():
    rates = [Step(1.0, [2, 4], 0.5)(s) for s in range(6)]
    assert rates == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


def test_cosine_falls_from_first_to_last_and_stays():
    schedule = Cosine(1.0, 10, final=0.2)
    rates = np.array([schedule(s) for s in range(13)])
    assert rates[0] == 1.0
    assert rates[5] == pytest.approx(0.6)
    assert rates[10:] == pytest.approx([0.2] * 3)
    assert (np.diff(rates[:11]) < 0).all()
    assert rates[3] == pytest.approx(0.2 + 0.8 * (1 + math.cos(math.pi * 0.3)) / 2)


def test_one_cycle_rises_then_falls_below_its_start():
    schedule = OneCycle(1.0, 101, rise=0.3, start_factor=0.1, final_factor=0.01)
    rates = np.array([schedule(s) for s in range(101)])
    assert rates[0] == pytest.approx(0.1)
    assert rates.argmax() == 30
    assert rates[30] == 1.0
    assert rates[15] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.001)
    assert schedule(500) == rates[100]
    assert (np.diff(rates[:31]) > 0).all()
    assert (np.diff(rates[30:]) < 0).all()


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_one_cycle_of_few_steps_is_finite(steps):
    rates = [OneCycle(1.0, steps)(s) for s in range(steps + 1)]
    assert all(0 < r <= 1 for r in rates)


def test_warm_up_reaches_the_inner_schedule():
    schedule = WarmUp(Cosine(1.0, 10), 4)
    inner = Cosine(1.0, 10)
    expected = [inner(s) * min(1, (s + 1) / 4) for s in range(8)]
    assert [schedule(s) for s in range(8)] == expected
    assert schedule(0) == 0.25
    assert WarmUp(0.1, 2)(5) == 0.1


def test_schedules_are_values():
    assert Cosine(0.1, 5) == Cosine(0.1, 5)
    assert hash(Step(0.1, [1, 2])) == hash(Step(0.1, (1, 2)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        Constant(0.1).value = 0.2
    assert Constant(np.float32(0.5))(0) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(0), "Constant: value is 0; give a number above 0"),
        (lambda: Constant(float("inf")), "value is inf"),
        (lambda: Constant("0.1"), "value is '0.1'"),
        (lambda: Step(1.0, [3, 3]), "not increasing"),
        (lambda: Step(1.0, [0, 3]), "not increasing steps above 0"),
        (lambda: Step(1.0, [1.5]), "not increasing"),
        (lambda: Step(1.0, 3), "boundaries are 3; give a list"),
        (lambda: Step(1.0, [3], 0), "factor is 0"),
        (lambda: Cosine(0.1, 0), "Cosine: steps is 0; give a whole number above 0"),
        (lambda: Cosine(0.1, 10.0), "steps is 10.0"),
        (lambda: Cosine(0.1, 10, -1), "final is -1; give a number 0 or more"),
        (lambda: OneCycle(1.0, 10, rise=1), "rise is 1; give a part"),
        (lambda: OneCycle(1.0, True), "steps is True"),
        (lambda: WarmUp(0.0, 3), "WarmUp: learning rate 0.0 is not above 0"),
        (lambda: WarmUp(0.1, 0), "steps is 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
