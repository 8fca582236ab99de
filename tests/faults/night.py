"""One case: a run in a folder of its own, the faults that it meets, and what they left."""

import collections
import os
import re
import shutil
import signal
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.faults import auditor, launching, victim
from tests.faults.auditor import (
    BITS,
    HANG,
    LOST,
    RESTART,
    TRACEBACK,
    Audit,
    Reference,
    checkpoints,
    fault_of,
    newest_sound,
    step_of,
)
from tests.faults.injection import Fault
from tests.faults.launching import Outcome
from tests.faults.victim import Orders

LIMIT = 180.0  # seconds for a run that takes a fraction of one, on a machine that has much to do
SHARE_OF_FRESH, SHARE_OF_COMPILED, SHARE_OF_PICTURES = 0.1, 0.2, 0.05
DEAD = (-signal.SIGKILL,)
# What Python says of a second Ctrl-C that comes when it tidies up: it counts as the first does
_IGNORED = re.compile(r"Exception ignored in: .*?KeyboardInterrupt: *\n", re.DOTALL)


@dataclass(frozen=True)
class Variant:
    """What changes the bits of a run.

    Attributes
    ----------
    jit : bool
        Compiled kernels or plain ones.
    shuffle : str
        How the examples are mixed.
    pictures : bool
        Whether curves are drawn, for they are part of the state.
    """

    jit: bool
    shuffle: str
    pictures: bool

    @property
    def name(self) -> str:
        """A name for files."""
        return f"{'compiled' if self.jit else 'plain'}-{self.shuffle}-{self.pictures}"


class World:
    """What all cases share: data, and undisturbed runs.

    Parameters
    ----------
    folder : Path
        Where it is kept.
    plain : bool
        Whether all cases do without compiled kernels.
    """

    def __init__(self, folder: Path, plain: bool = False) -> None:
        self.folder, self.plain = folder, plain
        self._references: dict[Variant, Reference] = {}
        self.data = folder / "data"

    def reference(self, variant: Variant) -> Reference:
        """Return the undisturbed run of a variant."""
        if variant not in self._references:
            path = self.folder / f"{variant.name}.json"
            if not path.exists():
                part = self.folder / f".{variant.name}.{os.getpid()}"
                part.write_text(self._undisturbed(variant).to_json())
                part.replace(path)
            self._references[variant] = Reference.from_json(path.read_text())
        return self._references[variant]

    def _undisturbed(self, variant: Variant) -> Reference:
        """Train without any fault: once with every step saved, once as victims do."""
        folder = self.folder / f"{variant.name}.{os.getpid()}"
        folder.mkdir()
        every, usual = folder / "every", folder / "usual"
        options = {"shuffle": variant.shuffle, "pictures": variant.pictures}
        every_step = {"save_every": 1, "keep": None}
        self._train(every, variant, **options, **every_step)
        self._train(usual, variant, **options)
        outcome = self._train(folder / "counted", variant, **options, count=True)
        tables = {name: (usual / name).read_bytes() for name in ("training.csv", "validation.csv")}
        reference = Reference({}, tables, (usual / "settings.json").read_bytes())
        reference.counts = outcome.told("finished")[0]["counts"]
        reference.seconds = outcome.seconds
        reference.add_states(every)
        found = [name for name in tables if (every / name).read_bytes() != tables[name]]
        if found or compare(folder, reference, "usual", "counted"):
            raise RuntimeError(f"undisturbed runs differ: {found}, in {folder}")
        shutil.rmtree(folder)
        return reference

    def _train(self, folder: Path, variant: Variant, **options: Any) -> Outcome:
        orders = Orders(str(folder), f"{folder}.diary", **options)
        outcome = launching.start(orders, Path(f"{folder}.out"), False, variant.jit).wait(5 * LIMIT)
        if outcome.status:
            raise RuntimeError(f"an undisturbed run ended with {outcome.status}:\n{outcome.output}")
        return outcome


def compare(folder: Path, reference: Reference, *names: str) -> list[tuple[str, str]]:
    """Return what is wrong with finished runs."""
    wrong = []
    for name in names:
        wrong += Audit(folder / name, reference, set()).wrong
        wrong += auditor.compare_end(folder / name, reference)
    return wrong


class Night:
    """One case.

    Parameters
    ----------
    world : World
        What it shares with others.
    folder : Path
        Its own folder.
    random : Random
        Of this case alone.

    Attributes
    ----------
    wrong : list of (str, str)
        Verdicts, each with what was seen.
    struck, missed : Counter
        Faults by kind: those that struck, and those that came too late.
    story : list of str
        What happened, for people.
    """

    def __init__(self, world: World, folder: Path, random: Random) -> None:
        self.world, self.folder, self.random = world, folder, random
        folder.mkdir(parents=True)
        compiled, shuffle = random.random() < SHARE_OF_COMPILED, random.choice(["whole", "buffer"])
        self.variant = Variant(compiled and not world.plain, shuffle, pictures=False)
        if random.random() < SHARE_OF_PICTURES:
            self.variant = Variant(False, "whole", pictures=True)
        self.reference = world.reference(self.variant)
        self.fresh = random.random() < SHARE_OF_FRESH
        self.model_dir, self.data = folder / "run", ""
        self.damaged: set[str] = set()
        self.torn = False
        self.wrong: list[tuple[str, str]] = []
        self.struck: collections.Counter[str] = collections.Counter()
        self.missed: collections.Counter[str] = collections.Counter()
        self.story: list[str] = []
        self._newest = 0
        self._runs = 0
        self._undo: list[Callable[[], Any]] = []

    def say(self, verdict: str, text: str) -> None:
        """Note that something is wrong."""
        self.wrong.append((verdict, text))
        self.story.append(f"WRONG  {verdict}: {text}")

    def at_the_end(self, function: Callable[[], Any]) -> None:
        """Have something done when the case is over."""
        self._undo.append(function)

    def close(self) -> None:
        """Give back what the case has used."""
        for function in reversed(self._undo):
            function()

    @property
    def left(self) -> float:
        """Which part of the run is still to do."""
        return 1 - self._newest / victim.STEPS

    def start(self, *faults: Fault, calm: bool = False, **options: Any) -> launching.Running:
        """Start the training, as a user would."""
        self._runs += 1
        orders = Orders(
            str(self.model_dir),
            str(self.folder / f"diary-{self._runs}"),
            self.data,
            self.variant.shuffle,
            self.random.choice([0, 1, 2, 4]),
            faults=faults,
            seed=self.random.randrange(1 << 30),
            pictures=self.variant.pictures,
        )
        self.story.append(f"run {self._runs}: {', '.join(map(str, faults)) or 'no fault inside'}")
        fresh = self.fresh and not calm
        output = self.folder / f"output-{self._runs}"
        return launching.start(replace(orders, **options), output, fresh, self.variant.jit)

    def run(
        self,
        *faults: Fault,
        kind: str = "",
        expect: Collection[int] = (0,),
        signals: Sequence[tuple[float, int]] = (),
        **options: Any,
    ) -> Outcome:
        """Train until the end, or until a fault; judge what is left.

        Parameters
        ----------
        *faults : Fault
            Those that strike inside.
        kind : str
            As what to count them.
        expect : collection of int
            The exit statuses that are right.
        signals : sequence of (float, int)
            To send: seconds after the start, and the signal.
        **options
            More orders.
        """
        expected = newest_sound(self.model_dir)
        newer = [p.name for p in checkpoints(self.model_dir) if fault_of(p) is not None]
        newer = [name for name in newer if expected is None or name > expected.name]
        outcome = self.start(*faults, **options).wait(LIMIT, signals)
        if kind:
            hurt = bool(outcome.told("struck")) or (signals and outcome.status != 0)
            (self.struck if hurt else self.missed)[kind] += 1
        self.judge(outcome, expect, expected, newer)
        return outcome

    def judge(
        self,
        outcome: Outcome,
        expect: Collection[int],
        expected: Path | None,
        damaged: Collection[str] = (),
    ) -> None:
        """Look at how a run ended and what it left."""
        status, text = outcome.status, _IGNORED.sub("", outcome.output)
        self.story.append(f"  ended with {status} after {outcome.seconds:.2f} s: {text[-300:]!r}")
        self.story += [f"  {entry}" for entry in outcome.diary]
        if outcome.hung:
            self.say(HANG, f"a run was not over after {LIMIT:.0f} s:\n{text}")
        elif status not in expect:
            refused = status in (2, victim.PLANTED) and "Traceback" not in text
            self.say(LOST if refused else TRACEBACK, f"a run ended with {status}:\n{text[-3000:]}")
        elif "Traceback" in text:
            self.say(TRACEBACK, f"a run said:\n{text[-3000:]}")
        for began in outcome.told("began"):
            self._judge_begin(began, outcome, expected, damaged)
        self.audit()
        ended, errors = outcome.told("ended"), outcome.told("error")
        saved = errors and (errors[0]["interrupted"] or status == victim.PLANTED)
        if ended and saved and ended[0]["step"] != self._newest:
            self.say(LOST, f"it ended at step {ended[0]['step']}, saved is {self._newest}")

    def _judge_begin(
        self,
        began: dict[str, Any],
        outcome: Outcome,
        expected: Path | None,
        damaged: Collection[str],
    ) -> None:
        """It must go on from the newest sound checkpoint, and name those that are not."""
        step = 0 if expected is None else step_of(expected)
        if began["step"] != step:
            self.say(RESTART, f"it began at step {began['step']}, the newest checkpoint is {step}")
        warned = " ".join(entry["text"] for entry in outcome.told("warned"))
        for name in damaged:
            if name not in warned:
                self.say(RESTART, f"it went on from step {step} and did not say: {name} is damaged")

    def audit(self) -> None:
        """Look at all files."""
        audit = Audit(self.model_dir, self.reference, self.damaged, self.torn)
        for verdict, text in audit.wrong:
            self.say(verdict, text)
        if audit.newest < self._newest:
            self.say(LOST, f"step {self._newest} was saved, the newest is {audit.newest} now")
        self._newest = audit.newest

    def damage_done(self, *names: str) -> None:
        """Take note of checkpoints that were damaged on purpose."""
        folder = self.model_dir / "checkpoints"
        self.damaged |= {auditor.fingerprint(folder / name) for name in names}
        found = newest_sound(self.model_dir)
        self._newest = 0 if found is None else step_of(found)

    def finish(self) -> None:
        """Go on until the end, without a fault; all must be as if nothing had happened."""
        self.run(calm=True)
        for verdict, text in auditor.compare_end(self.model_dir, self.reference):
            if self.torn and text.startswith(("training.csv", "validation.csv")):
                continue
            self.say(verdict, text)


__all__ = ["BITS", "DEAD", "LIMIT", "TRACEBACK", "Night", "Variant", "World"]
