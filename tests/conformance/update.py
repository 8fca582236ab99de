"""Writes passed.txt anew: ``python -m tests.conformance.update``; ``-k NAME`` only looks."""

from __future__ import annotations

import argparse

from tests.conformance.cases import PASSED, all_cases, listed, outcome


def main() -> None:
    """Run the cases and write the names of those that pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", metavar="NAME", help="only look at cases with this name")
    wanted = parser.parse_args().k
    why = {name: outcome(case) for name, case in all_cases().items() if wanted in name}
    passed = sorted(name for name, reason in why.items() if not reason)
    if wanted:
        for name, reason in sorted(why.items()):
            print(name, "passed" if not reason else reason[:300])
        print(f"{len(passed)} of {len(why)} pass")
        return
    before = set(listed()) if PASSED.exists() else set()
    PASSED.write_text("".join(f"{name}\n" for name in passed), encoding="utf-8")
    for sign, names in (("-", before - set(passed)), ("+", set(passed) - before)):
        for name in sorted(names):
            print(sign, name, why.get(name, "is no case of this version")[:200])
    print(f"{len(passed)} of {len(why)} pass")


if __name__ == "__main__":
    main()
