"""Many cases on several processes, and the table of what came of them."""

import collections
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from tests.faults import disks
from tests.faults.auditor import VERDICTS
from tests.faults.cases import KINDS
from tests.faults.launching import ROOT
from tests.faults.victim import write_data

_PAUSE = 30.0  # seconds between two lines in a log


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much to do.

    Attributes
    ----------
    kills, corruptions : int
        How many of each must have struck.
    others : int
        How many cases of every other kind.
    product : int
        How many cases of the real program.
    seed : int
        Of all luck.
    jobs : int
        How many processes.
    seconds : float or None
        After how long to begin no more cases.
    plain : bool
        Whether to leave compiled kernels out, which need to be compiled at first.
    only : sequence of (str, int)
        These cases alone.
    """

    kills: int = 80
    corruptions: int = 40
    others: int = 3
    product: int = 1
    seed: int = 0
    jobs: int = 2
    seconds: float | None = None
    plain: bool = False
    only: Sequence[tuple[str, int]] = ()


LONG = Plan(kills=2_000, corruptions=600, others=30, product=8)


class Table:
    """What came of the cases, by kind."""

    def __init__(self) -> None:
        self.cases: collections.Counter[str] = collections.Counter()
        self.seconds: collections.Counter[str] = collections.Counter()
        self.struck: collections.Counter[str] = collections.Counter()
        self.missed: collections.Counter[str] = collections.Counter()
        self.verdicts: dict[str, collections.Counter[str]] = {}
        self.failed: list[dict[str, Any]] = []

    def add(self, result: dict[str, Any]) -> None:
        """Count a case."""
        self.cases[result["kind"]] += 1
        self.seconds[result["kind"]] += result["seconds"]
        self.struck.update(result["struck"])
        self.missed.update(result["missed"])
        found = {verdict for verdict, _ in result["wrong"]}
        self.verdicts.setdefault(result["kind"], collections.Counter()).update(found)
        if found:
            self.failed.append(result)

    @property
    def kills(self) -> int:
        """How many kills struck."""
        return sum(n for kind, n in self.struck.items() if kind.startswith("kill"))

    @property
    def corruptions(self) -> int:
        """How many checkpoints were damaged."""
        return sum(n for kind, n in self.struck.items() if kind.startswith("damage"))

    def lines(self) -> Iterator[str]:
        """Yield the table's lines."""
        names = (*VERDICTS, "campaign")
        heads = "".join(f"{name:>{len(name) + 2}}" for name in names)
        yield f"{'kind':24}{'cases':>7}{'seconds':>9}{'struck':>8}{'too late':>10}{heads}"
        total: collections.Counter[str] = collections.Counter()
        for kind in sorted({*self.cases, *self.struck, *self.missed}, key=_order):
            found = self.verdicts.get(kind, collections.Counter())
            total.update(found)
            cases = self.cases[kind] or "-"
            counts = _row(names, found if self.cases[kind] else {})
            seconds = f"{self.seconds[kind]:.1f}" if self.cases[kind] else "-"
            told = f"{cases:>7}{seconds:>9}{self.struck[kind]:>8}{self.missed[kind]:>10}"
            yield f"{kind:24}{told}{counts}"
        yield (
            f"{'all':24}{self.cases.total():>7}{self.seconds.total():>9.1f}{self.struck.total():>8}{self.missed.total():>10}"
            + _row(names, total)
        )


def _row(names: Sequence[str], found: Mapping[str, int]) -> str:
    return "".join(f"{found.get(name, 0) or '-':>{len(name) + 2}}" for name in names)


def _order(kind: str) -> tuple[int, int, str]:
    names = list(KINDS)
    if kind in names:
        return 0, names.index(kind), ""
    return 1, 0, kind


class Campaign:
    """Hands out cases until the plan is fulfilled.

    Parameters
    ----------
    plan : Plan
        What to do.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.table = plan, Table()
        self._start = self._shown = time.monotonic()
        self._numbers: collections.Counter[str] = collections.Counter()
        fixed = [kind for kind in KINDS if KINDS[kind].group == "other"]
        self._todo = [(kind, n) for n in range(plan.others) for kind in fixed]
        product = [kind for kind in KINDS if KINDS[kind].group == "product"]
        self._todo = [(kind, n) for n in range(plan.product) for kind in product] + self._todo
        if plan.only:
            self._todo = list(plan.only)
        self._begun, self._fixed = 0, len(self._todo)

    def next(self) -> tuple[str, int] | None:
        """Return the next case, None if the plan is fulfilled."""
        plan, seconds = self.plan, time.monotonic() - self._start
        if plan.seconds is not None and seconds > plan.seconds:
            return None
        groups = [(self._begun / self._fixed, "other")] if self._todo else []
        if not plan.only:
            for group, done, wanted in (
                ("kill", self.table.kills, plan.kills),
                ("corruption", self.table.corruptions, plan.corruptions),
            ):
                groups += [(done / wanted, group)] if done < wanted else []
        if not groups:
            return None
        _, group = min(groups)  # the one that is furthest behind
        if group == "other":
            self._begun += 1
            return self._todo.pop(0)
        kinds = [kind for kind in KINDS if KINDS[kind].group == group]
        kind = min(kinds, key=lambda kind: self._numbers[kind])
        self._numbers[kind] += 1
        return kind, self._numbers[kind] - 1

    @property
    def cut_short(self) -> str:
        """What was played of what was planned; empty if that is all."""
        plan, table = self.plan, self.table
        counts = [
            ("kills", table.kills, plan.kills), ("corruptions", table.corruptions, plan.corruptions)
        ]  # fmt: skip
        others = [kind for kind in KINDS if KINDS[kind].group in ("other", "product")]
        done = sum(table.cases[kind] for kind in others)
        if plan.only:
            counts, done = [], table.cases.total()
        counts.append(("other cases", done, self._fixed))
        if all(done >= wanted for _, done, wanted in counts):
            return ""
        return ", ".join(f"{done} of {wanted} {what}" for what, done, wanted in counts)

    def run(self, folder: Path) -> None:
        """Play cases on several processes."""
        write_data(folder / "world" / "data")
        answers: SimpleQueue[tuple[int, str]] = SimpleQueue()
        workers = [_Worker(i, folder, self.plan, answers) for i in range(self.plan.jobs)]
        try:
            self._hand_out(workers, answers)
        finally:
            for worker in workers:
                worker.close()

    def _hand_out(self, workers: "list[_Worker]", answers: SimpleQueue[tuple[int, str]]) -> None:
        busy = 0
        for worker in workers:
            busy += worker.ask(self.next())
        while busy:
            number, line = answers.get()
            busy -= 1
            if not line:
                raise RuntimeError("a worker of the campaign died; see what it said above")
            self.table.add(json.loads(line))
            self._show()
            busy += workers[number].ask(self.next())

    def _show(self) -> None:
        """Say how far it is: always anew in a terminal, in a log now and then."""
        terminal, now = sys.stderr.isatty(), time.monotonic()
        if not terminal and now < self._shown + _PAUSE:
            return
        self._shown = now
        done = f"{self.table.cases.total()} cases, {self.table.kills} kills"
        wrong = f"{self.table.corruptions} corruptions, {len(self.table.failed)} failed"
        ends = ("\r", "  ") if terminal else ("", "\n")
        text = f"{ends[0]}{now - self._start:.0f} s: {done}, {wrong}"
        print(text, end=ends[1], file=sys.stderr, flush=True)


class _Worker:
    """A process that plays cases."""

    def __init__(
        self, number: int, folder: Path, plan: Plan, answers: SimpleQueue[tuple[int, str]]
    ) -> None:
        places = [folder / "world", folder / f"worker-{number}", folder / "kept"]
        command = [sys.executable, "-m", "tests.faults.worker", str(plan.seed)]
        command += [*map(str, places), *(["plain"] if plan.plain else [])]
        self._process = subprocess.Popen(
            [*disks.namespace_command(), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        self._number, self._answers = number, answers
        self._listener = Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put((self._number, line))
        self._answers.put((self._number, ""))

    def ask(self, case: tuple[str, int] | None) -> bool:
        """Have a case played, if there is one."""
        assert self._process.stdin is not None
        if case is None:
            return False
        self._process.stdin.write(json.dumps({"kind": case[0], "number": case[1]}) + "\n")
        self._process.stdin.flush()
        return True

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def run(plan: Plan) -> int:
    """Carry out a plan and print the table.

    Parameters
    ----------
    plan : Plan
        What to do.

    Returns
    -------
    int
        1 if anything was wrong, 2 if nothing was but not all was played, else 0.
    """
    memory = Path("/dev/shm")  # fsync costs nothing there
    folder = Path(
        tempfile.mkdtemp(prefix="minicnn-faults-", dir=memory if memory.is_dir() else None)
    )
    campaign = Campaign(plan)
    start = time.monotonic()
    try:
        campaign.run(folder)
    finally:
        kept = (folder / "kept").exists()
        for path in folder.iterdir():
            if path.name != "kept":
                shutil.rmtree(path, ignore_errors=True)
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
        _report(campaign, time.monotonic() - start)
    return 1 if campaign.table.failed else 2 if campaign.cut_short else 0


def _report(campaign: Campaign, seconds: float) -> None:
    table, plan = campaign.table, campaign.plan
    print("\n".join(table.lines()))
    if not disks.namespace_command():
        print("no small disk could be mounted here: the size of files was limited instead")
    print(f"{table.kills} kills, {table.corruptions} corruptions, seed {plan.seed}, "
          f"{plan.jobs} processes, {seconds:.0f} s")  # fmt: skip
    for failed in table.failed:
        case = f"{failed['kind']}:{failed['number']}"
        print(f"\nFAILED {case}, kept in {failed['kept']}")
        options = f"--seed {plan.seed}{' --plain' if plan.plain else ''}"
        print(f"  again: python -m tests.faults {options} --only '{case}'")
        for verdict, text in failed["wrong"][:4]:
            print(f"  {verdict}: {text if verdict == 'campaign' else text[:600]}")
    if campaign.cut_short:
        print(f"cut short: {campaign.cut_short} were played")
    elif not table.failed:
        print("nothing lost")
    if table.failed:
        print(f"\n{len(table.failed)} cases FAILED")
