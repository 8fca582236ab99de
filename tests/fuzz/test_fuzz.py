"""The short form of ``python -m tests.fuzz``, and the proof that it would see a bug."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.errors import DataError
from tests.fuzz import campaign, engines
from tests.fuzz.execution import ROOT, Runner, load, names
from tests.fuzz.mutation import Edit, apply

NUMBERS = st.integers(0, 2**32 - 1)
EDITS = st.lists(st.builds(Edit, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6)
EXAMPLES = 100  # of each target
PLANTED = {
    "wrong_error": "KeyError",
    "endless": "more than",
    "greedy": "memory ran out",
    "leaving": "Escape: open",
    "crashing": "the process ended with",
}


@pytest.mark.parametrize("name", names())
def test_readers_return_or_refuse(name, tmp_path):
    """All seeds, and changes of them that hypothesis draws."""
    target = load(name)
    assert name == target.NAME
    getattr(target, "prepare", lambda: None)()
    known = engines.words(target)
    runner = Runner(target, tmp_path, limit=5.0)

    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None)
    @given(st.sampled_from(known.seeds), EDITS)
    def change(data, edits):
        fault = runner.execute(apply(data, edits, known)).details
        assert not fault, fault

    with runner.watched():
        for data in known.seeds:
            fault = runner.execute(data).details
            assert not fault, fault
        change()
    assert runner.outside() == []


@pytest.mark.parametrize("kind", engines.ENGINES)
def test_every_planted_bug_is_found(kind, tmp_path):
    if kind not in engines.available():
        pytest.skip("atheris is not made for this platform")
    plan = campaign.Plan(
        sorted(PLANTED), [kind], tmp_path, runs=30_000, limit=0.3, memory=192,
        package="tests.fuzz.planted",
    )  # fmt: skip
    results = campaign.run(plan)
    text = campaign.table(plan, results)
    found = campaign.findings(tmp_path)
    for name, fault in PLANTED.items():
        assert any(name in path and fault in line for path, line in found), text
    done = {result.target: result.executions[kind] for result in results}
    assert done["wrong_error"] > 500, text


def test_the_same_seed_makes_the_same_inputs():
    target = load("wrong_error", "tests.fuzz.planted")

    def inputs(seed):
        seen = []

        def execute(data):
            seen.append(data)
            return engines.Outcome((len(data) % 7,))

        engines.plain(target, execute, seed, 300, 1e9)
        return seen

    assert len(inputs(1)) == 300
    assert inputs(1) == inputs(1) != inputs(2)


def fail_here(which):
    if which:
        raise KeyError
    raise KeyError


def refuse(data, folder):
    """Two reasons, one line in which the refusal is raised."""
    try:
        fail_here(data)
    except KeyError as error:
        raise DataError("input: refused") from error


def test_inputs_that_are_refused_for_other_causes_are_new(tmp_path):
    runner = Runner(SimpleNamespace(run=refuse), tmp_path, limit=5.0)
    with runner.watched():
        paths = [runner.execute(data).path for data in (b"", b"a", b"b")]
    assert paths[0] != paths[1] == paths[2]


def test_what_threads_count_together_is_whole():
    result = campaign.Result("some")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: result.add("plain", 1, 1.0, 5), range(4000)))
    assert (result.total, result.seconds, result.peak) == (4000, 4000.0, 5)


def test_runs_are_shared_out_by_speed_above_a_floor():
    plan = campaign.Plan(["slow", "fast"], ["plain"], ROOT, runs=1_000_000)
    results = {
        "slow": campaign.Result("slow", {"plain": 1500}, seconds=15.0),
        "fast": campaign.Result("fast", {"plain": 1500}, seconds=0.15),
    }
    shares = campaign.shares(plan, results)
    total = {n: sum(c for name, _, c in shares if name == n) for n in results}
    assert total["slow"] >= 18_500
    assert sum(total.values()) >= 997_000
    assert total["fast"] > 30 * total["slow"]


def test_replay_says_what_an_input_does(tmp_path):
    (tmp_path / "bad.bin").write_bytes(b"size=99;")
    command = [sys.executable, "-m", "tests.fuzz", "--package", "tests.fuzz.planted"]
    done = subprocess.run(
        [*command, "--replay", "wrong_error", tmp_path / "bad.bin"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "KeyError: b'99'" in done.stdout
