"""A few seconds of the campaign; its auditor and its damage are tested, too."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

if not hasattr(os, "fork"):
    pytest.skip("the campaign forks its victims", allow_module_level=True)

from minicnn.estimator import save_checkpoint
from tests.faults import auditor, injection
from tests.faults.campaign import LONG, Campaign, Plan
from tests.faults.cases import KINDS
from tests.faults.damage import damage
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
    command = [sys.executable, "-m", "tests.faults", "--kills", "18", "--corruptions", "9"]
    command += ["--others", "0", "--product", "0", "--seconds", "12", "--plain"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing lost" in done.stdout
    assert " kills, " in done.stdout


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
