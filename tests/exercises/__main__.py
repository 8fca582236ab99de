"""`python -m tests.exercises [title ...]`: each lesson in a process of its own, and counts."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import warnings

from tests.exercises.mutating import survivors
from tests.exercises.proving import Proof, exercises_of, prove, titles

COLUMNS = "exercises", "stubs fail", "wrong answers fail", "solutions pass", "seconds"


def in_a_process(title: str) -> Proof:
    """Prove a lesson's exercises in a clean process."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.exercises", "--here", title],
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        return Proof(title, 0, 0, 0, 0, [done.stderr.strip() or f"status {done.returncode}"])
    return Proof(*json.loads(done.stdout.splitlines()[-1]))


def mutate(titles: list[str]) -> int:
    """Print how many faulty solutions each exercise finds, and which it does not."""
    for title in titles:
        for name, one in exercises_of(title).items():
            if callable(one.solution):
                with warnings.catch_warnings(action="ignore"):  # of numbers that overflow
                    tried, alive = survivors(one)
                print(f"{title + '.' + name:40}{tried:5} mutants, {len(alive):3} alive")
                for what in alive:
                    print(f"    {what}")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Prove the lessons asked for, print a table, return 1 if anything is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m tests.exercises", description=__doc__)
    parser.add_argument("titles", nargs="*", help="lessons, without their number (all)")
    parser.add_argument("--here", metavar="TITLE", help="one lesson in this process, as JSON")
    parser.add_argument(
        "--mutate", action="store_true", help="try solutions with one small fault each instead"
    )
    options = parser.parse_args(arguments)
    if options.mutate:
        return mutate(options.titles or titles())
    if options.here:
        print(json.dumps(prove(options.here)))
        return 0
    print(f"{'lesson':30}" + "".join(f"{column:>20}" for column in COLUMNS))
    proofs = []
    for title in options.titles or titles():
        start = time.perf_counter()
        proof = in_a_process(title)
        proofs.append(proof)
        print(f"{title:30}" + "".join(f"{n:20}" for n in proof[1:5]), end="")
        print(f"{time.perf_counter() - start:20.1f}")
        for fault in proof.faults:
            print(f"    {fault}")
    totals = [sum(proof[i] for proof in proofs) for i in range(1, 5)]
    print(f"{'together':30}" + "".join(f"{n:20}" for n in totals))
    return 1 if any(proof.faults for proof in proofs) else 0


if __name__ == "__main__":
    sys.exit(main())
