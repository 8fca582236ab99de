"""The command: ``python -m tests.fuzz``."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import campaign, engines
from tests.fuzz.execution import TARGETS, Runner, load, names, scratch


def main(arguments: list[str] | None = None) -> int:
    """Fuzz, print a table, and return 1 if anything was found."""
    given = _parser().parse_args(arguments)
    if given.replay:
        return replay(*given.replay, given.package, given.limit)
    known, here = names(given.package), engines.available()
    targets = given.targets.split(",") if given.targets else known
    if unknown := set(targets) - set(known):
        print(f"--targets: {sorted(unknown)} are unknown; there are {', '.join(known)}")
        return 2
    wanted = here if given.engine == "both" else [given.engine]
    if "atheris" not in here:
        print("atheris is not installed (pip install 'minicnn[fuzz]'; Linux only)", end="")
        if given.engine == "atheris":
            print("; --engine plain runs everywhere")
            return 2
        print(": with the plain engine alone")
    runs = given.runs if given.runs or given.seconds else 100_000
    plan = campaign.Plan(
        targets, wanted, given.findings, runs, given.seconds, given.jobs, given.seed,
        given.limit, given.memory, given.package, verbose=True,
    )  # fmt: skip
    began = time.monotonic()
    results = campaign.run(plan)
    print(campaign.table(plan, results))
    found = campaign.findings(plan.findings)
    print(f"\n{time.monotonic() - began:.0f} s, {given.jobs} jobs, seed {given.seed}")
    return 1 if found else 0


def replay(name: str, path: str, package: str, limit: float) -> int:
    """Run one input again, and say all that is known about what it does."""
    target = load(name, package)
    getattr(target, "prepare", lambda: None)()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        runner = Runner(target, Path(folder), limit)
        with runner.watched():
            outcome = runner.execute(Path(path).read_bytes())
    print(outcome.details or outcome.fault or f"no finding: {outcome.path[0]}")
    return 1 if outcome.fault else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--runs", type=int, help="executions of all targets together (100000)")
    amount.add_argument("--seconds", type=float, help="of all targets together, on one core")
    parser.add_argument(
        "--engine", choices=["both", *engines.ENGINES], default="both",
        help="atheris follows coverage, plain repeats exactly; by default all that are installed",
    )  # fmt: skip
    parser.add_argument("--targets", help="names with commas between; by default all")
    parser.add_argument("--jobs", type=int, default=2, help="processes at a time (2)")
    parser.add_argument("--seed", type=int, default=0, help="of the random changes (0)")
    parser.add_argument("--limit", type=float, default=5.0, help="seconds for an execution (5)")
    parser.add_argument("--memory", type=int, default=1024, help="MiB for a process (1024)")
    parser.add_argument(
        "--findings", type=Path, default=Path("fuzz-findings"), help="folder for what is found"
    )
    parser.add_argument("--replay", nargs=2, metavar=("TARGET", "FILE"), help="run one input")
    parser.add_argument("--package", default=TARGETS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
