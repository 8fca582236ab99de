"""A few seconds of the campaign; its auditor and its damage are tested, too."""

import collections
import os
import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

if not hasattr(os, "fork"):
    pytest.skip("the campaign forks its victims", allow_module_level=True)

from minicnn.estimator import save_checkpoint
from tests.faults import auditor, cases, injection, product
from tests.faults.auditor import Reference
from tests.faults.campaign import LONG, Campaign, Plan, run
from tests.faults.cases import KINDS
from tests.faults.damage import damage
from tests.faults.launching import Outcome
from tests.faults.victim import Orders

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkpoint(tmp_path):
    weights = {"w": [1.0, 2.0]}
    for step in (3, 6):
        newest = save_checkpoint(tmp_path / "checkpoints", step, weights, {"v": [0.0]}, {"at": 1})
    return newest


def test_nothing_is_lost():
    """Kills of every kind, damaged checkpoints, and one case of everything else that is quick."""
    command = [sys.executable, "-m", "tests.faults", "--kills", "9", "--corruptions", "4"]
    command += ["--others", "0", "--product", "0", "--plain"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost" in done.stdout
    told = re.search(r"^(\d+) kills, (\d+) corruptions, ", done.stdout, re.MULTILINE)
    assert int(told[1]) >= 5, done.stdout
    assert int(told[2]) >= 2, done.stdout


def test_a_plan_that_was_cut_short_is_not_fulfilled(capsys, monkeypatch):
    monkeypatch.setattr(Campaign, "run", lambda self, folder: None)
    assert run(Plan(others=0, product=0)) == 2
    printed = capsys.readouterr().out
    assert "cut short: 0 of 80 kills, 0 of 40 corruptions, 0 of 0 other cases were" in printed
    assert "nothing lost" not in printed
    assert run(Plan(only=[("corruption", 3)])) == 2
    assert "cut short: 0 of 1 other cases were played" in capsys.readouterr().out
    assert run(Plan(0, 0, 0, 0)) == 0
    assert "nothing lost" in capsys.readouterr().out


class SmallNight:
    """What `product` tells a night."""

    def __init__(self):
        self.wrong = []

    def say(self, verdict, text):
        self.wrong.append(verdict)


@pytest.mark.parametrize(
    ("output", "newest", "silent", "wrong"),
    [
        ("training 1,200 steps of 8 images, 1 epochs; resumed at step 1,004\n", 1004, False, []),
        ("training 1,200 steps of 8 images, 1 epochs\n", None, False, []),
        ("training 1,200 steps of 8 images, 1 epochs\n", 8, False, [auditor.RESTART]),
        ("training 9 steps of 8 images, 1 epochs; resumed at step 4\n", 8, True, [auditor.RESTART]),
        ("reading\n", 8, True, []),
        ("reading\n", 8, False, [auditor.RESTART]),
    ],
)
def test_a_silent_restart_of_the_program_is_seen(output, newest, silent, wrong):
    night = SmallNight()
    path = newest and Path(f"step-{newest:08}")
    product._audit_begin(night, path, output, silent)
    assert night.wrong == wrong


def test_the_long_form_is_what_is_promised():
    assert LONG.kills >= 500
    assert LONG.corruptions >= 300
    assert LONG.others > 0 < LONG.product


def test_a_plan_has_every_kind():
    campaign, seen = Campaign(Plan(others=1, kills=20, corruptions=5)), set()
    while (case := campaign.next()) is not None:
        seen.add(case[0])
        struck = {case[0]: 1, "damage: flipped": case[0] == "corruption"}
        about = {"kind": case[0], "seconds": 1.0, "missed": {}, "wrong": []}
        campaign.table.add(about | {"struck": struck})
    assert seen == set(KINDS)
    assert campaign.table.kills >= 20
    assert campaign.table.corruptions == 5


@pytest.mark.parametrize("seed", range(40))
def test_the_auditor_sees_every_damage(seed, checkpoint):
    assert auditor.fault_of(checkpoint) is None
    how = damage(checkpoint, Random(seed))
    assert auditor.fault_of(checkpoint) is not None, how


def test_orders_survive_json():
    fault = injection.Fault("write", 3, "kill", 0.5)
    orders = Orders("run", "diary", faults=(fault,), seed=7)
    assert Orders.from_json(orders.to_json()) == orders


def test_a_fault_strikes_at_its_visit_and_once(tmp_path):
    told = []
    fault = injection.Fault("worker", 2, "raise", what="RuntimeError")
    injector = injection.Injector([fault], tmp_path, lambda what, **_: told.append(what), 0)
    injector.visit("worker")
    with pytest.raises(RuntimeError, match="planted"):
        injector.visit("worker")
    injector.visit("worker")
    assert told == ["struck"]
    assert injector.counts["worker"] == 3


class HungNight:
    """A night in which every run hangs."""

    def __init__(self, folder):
        self.wrong, self.struck, self.missed = [], collections.Counter(), collections.Counter()
        self.model_dir, self.random, self.left = folder / "run", Random(0), 1.0
        self.reference = Reference({}, {}, b"", collections.Counter())
        self.pid = 1

    def say(self, verdict, text):
        self.wrong.append(verdict)

    def start(self, *faults, **options):
        return self

    def wait(self, limit):
        return Outcome(-6, True, 1.0, "")

    def wait_until_stopped(self, limit):
        return True

    def send(self, number):
        pass

    def judge(self, *about):
        pass

    audit = finish = judge


@pytest.mark.parametrize("play", [cases.second_run, cases.together])
def test_a_run_that_hangs_is_booked_as_such(play, tmp_path):
    night = HungNight(tmp_path)
    play(night)
    assert night.wrong[0] == auditor.HANG
    assert auditor.TRACEBACK not in night.wrong
