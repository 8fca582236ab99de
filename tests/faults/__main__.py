"""The command line: ``python -m tests.faults``."""

import argparse
import dataclasses
import sys

from tests.faults import campaign
from tests.faults.cases import KINDS


def _case(text: str) -> tuple[str, int]:
    kind, _, number = text.rpartition(":")
    if kind not in KINDS or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no KIND:NUMBER; kinds: {', '.join(KINDS)}")
    return kind, int(number)


def main() -> int:
    """Return the exit status: 1 if anything was wrong, 2 if not all was played."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description="Hurt trainings in every way; nothing is lost."
    )
    add = parser.add_argument
    add("--long", action="store_true", help="2,000 kills, 600 corruptions, 30 cases of the others")
    add("--kills", type=int, metavar="N", help="how many kills must strike")
    add("--corruptions", type=int, metavar="N", help="how many checkpoints to damage")
    add("--others", type=int, metavar="N", help="cases of each other kind")
    add("--product", type=int, metavar="N", help="cases of python -m minicnn.train gtsrb")
    add("--seconds", type=float, metavar="N", help="begin no more cases after so long")
    add("--seed", type=int, metavar="N", help="of all luck (0)")
    add("--jobs", type=int, metavar="N", help="processes (2)")
    add("--plain", action="store_const", const=True, help="without compiled kernels")
    add("--only", type=_case, action="append", metavar="KIND:NUMBER", help="play a case again")
    given = {k: v for k, v in vars(parser.parse_args()).items() if v is not None}
    plan = campaign.LONG if given.pop("long") else campaign.Plan()
    return campaign.run(dataclasses.replace(plan, **given))


if __name__ == "__main__":
    sys.exit(main())
