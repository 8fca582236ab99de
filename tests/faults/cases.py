"""The kinds of cases: which faults a run meets, and what must come of it."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.faults import auditor, disks, launching, product, victim
from tests.faults.auditor import HANG, LET_IN, LOST, TRACEBACK, checkpoints, newest_sound
from tests.faults.damage import damage
from tests.faults.injection import Fault
from tests.faults.night import DEAD, LIMIT, Night

_STEP = ("before_step", "before_update", "after_step", "evaluate")
_STOPPED = tuple(128 + s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
_UNHEARD = (-signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT)  # before training has begun

# Where a kill strikes, by kind; by "time": from outside, at any moment.
KILLS: dict[str, Sequence[str]] = {
    "kill at any time": (),
    "kill in the step": _STEP,
    "kill in a write": ("open", "write"),
    "kill at an fsync": ("fsync",),
    "kill before a rename": ("mkdir", "rename"),
    "kill after a rename": ("renamed",),
    "kill while pruning": ("unlink", "rmdir"),
    "kill in a worker": ("worker",),
    "kill in prefetch": ("prefetch",),
}
POWER = "power cut"


def draw(night: Night, places: Sequence[str], do: str, times: int = 1, what: str = "") -> Fault:
    """Choose one of the places, and when."""
    place = night.random.choice(list(places))
    often = max(1, round(night.reference.counts[place] * night.left))
    return Fault(
        place, night.random.randint(1, often), do, night.random.random(), times=times, what=what
    )


def hurt(night: Night, kind: str) -> None:
    """Let the run be killed once."""
    if KILLS[kind]:
        night.run(draw(night, KILLS[kind], "kill"), kind=kind, expect=(0, *DEAD))
        return
    seconds = night.reference.seconds * (0.3 + night.left) + (0.6 if night.fresh else 0)
    moment = night.random.uniform(0, seconds)
    night.run(kind=kind, expect=(0, *DEAD), signals=[(moment, signal.SIGKILL)])


def kills(kind: str) -> Callable[[Night], None]:
    """Return a case that begins with a kill of that kind; other kinds may follow."""

    def play(night: Night) -> None:
        hurt(night, kind)
        for _ in range(night.random.choice([0, 1, 1, 2, 3])):
            hurt(night, night.random.choice(list(KILLS)))
        night.finish()

    return play


def power_cut(night: Night) -> None:
    """Power fails: what was not forced to the disk may be gone."""
    if sys.platform != "linux":  # what is undone is found in /proc
        night.missed[POWER] += 1
        return
    night.torn = True
    places = [place for places in KILLS.values() for place in places]
    for _ in range(night.random.randint(1, 3)):
        night.run(draw(night, places, "power"), kind=POWER, expect=(0, *DEAD))
    night.finish()


def corruption(night: Night) -> None:
    """Checkpoints are damaged, after a kill at some step."""
    step = night.random.randint(4, victim.STEPS)
    night.run(Fault("after_step", step, "kill"), expect=DEAD)
    for _ in range(night.random.randint(1, 3)):
        names = [path.name for path in checkpoints(night.model_dir)]
        count = night.random.choice([1, 1, 2, len(names)])
        chosen = night.random.choice(
            [names[-count:], night.random.sample(names, min(count, len(names), 2))]
        )
        backup = night.folder / "backup"
        shutil.rmtree(backup, ignore_errors=True)
        shutil.copytree(night.model_dir, backup)
        for name in chosen:
            how = damage(night.model_dir / "checkpoints" / name, night.random)
            night.story.append(f"damaged {name}: {how}")
            night.struck[f"damage: {how.split(':')[0]}"] += 1
            night.damage_done(name)
        if newest_sound(night.model_dir) is None:
            _refuses(night, names)
            shutil.rmtree(night.model_dir)
            shutil.copytree(backup, night.model_dir)
            night.damage_done()
        if night.left and night.random.random() < 0.5:
            hurt(night, night.random.choice(list(KILLS)))
        else:
            night.run(draw(night, ["after_step"], "int"), expect=(0, *_STOPPED))
    night.finish()


def _refuses(night: Night, names: Sequence[str]) -> None:
    """Where no checkpoint is sound, a run says so, names all, and touches nothing."""
    before = auditor.contents(night.model_dir)
    outcome = night.run(expect=(2,), calm=True)
    night.struck["all destroyed"] += 1
    text = " ".join(error["text"] for error in outcome.told("error"))
    for name in names:
        if name not in text:
            night.say(TRACEBACK, f"it refused and did not name {name}: {text}")
    if auditor.contents(night.model_dir) != before:
        night.say(LOST, "it refused, and changed files")


def stops(kind: str, do: str, times: int) -> Callable[[Night], None]:
    """Return a case in which signals ask the run to end."""
    expect = (0, *_STOPPED, *_UNHEARD)

    def play(night: Night) -> None:
        places = [place for places in KILLS.values() for place in places]
        for _ in range(night.random.randint(1, 3)):
            if night.random.random() < 0.3:
                number = getattr(signal, f"SIG{do.upper()}")
                moments = [night.random.uniform(0, 1.2 * night.reference.seconds)] * times
                outcome = night.run(
                    kind=kind, expect=expect, signals=[(m, number) for m in moments]
                )
            elif times == 2 and night.random.random() < 0.5:
                both = [draw(night, places, do) for _ in range(times)]
                outcome = night.run(*both, kind=kind, expect=expect)
            else:
                outcome = night.run(draw(night, places, do, times), kind=kind, expect=expect)
            in_training = outcome.told("training") and not outcome.told("trained")
            if outcome.status < 0 and in_training:
                night.say(LOST, "a signal ended the training before it was saved")
        night.finish()

    return play


def worker_raises(night: Night) -> None:
    """A function of the pipeline, or a hook, raises an error."""
    for _ in range(night.random.randint(1, 3)):
        in_hook = night.random.random() < 0.3
        errors = ["RuntimeError", "MemoryError", "DataError", "OSError"]
        what = night.random.choice(errors if in_hook else [*errors, "StopIteration"])
        places = _STEP if in_hook else ("worker", "prefetch")
        status = 2 if what in ("DataError", "OSError") else victim.PLANTED
        night.run(draw(night, places, "raise", what=what), kind="an error", expect=(0, status))
    night.finish()


def disk_error(night: Night) -> None:
    """The disk answers a call with an error."""
    for _ in range(night.random.randint(1, 3)):
        places = ("open", "write", "fsync", "rename", "mkdir", "unlink", "rmdir")
        fault = draw(night, places, "raise", what="OSError")
        outcome = night.run(fault, kind="disk error", expect=(0, 2))
        _names_the_place(night, outcome)
    night.finish()


def _names_the_place(night: Night, outcome: launching.Outcome) -> None:
    for error in outcome.told("error"):
        if str(night.model_dir) not in error["text"]:
            night.say(TRACEBACK, f"the message does not say which file: {error['text']}")


def disk_full(night: Night) -> None:
    """The disk is full at some point; later there is room."""
    limit = night.random.randrange(0, 4_000) if not disks.can_mount() else 0
    disk = None
    if disks.can_mount():
        small = night.random.choice(
            [(night.random.randrange(8, 160, 4), 10_000), (10_000, night.random.randint(4, 40))]
        )
        disk = disks.Disk(night.folder / "disk", *small)
        night.at_the_end(disk.close)
        night.model_dir = disk.folder / "run"
        night.story.append(f"a disk of {small[0]} KiB and {small[1]} files")
    for _ in range(night.random.randint(1, 2)):
        if night.random.random() < 0.3:
            fault = draw(night, KILLS["kill in the step"], "kill")
            outcome = night.run(fault, expect=(0, 2, *DEAD), limit=limit)
        else:
            outcome = night.run(expect=(0, 2), limit=limit)
        full = outcome.status == 2
        (night.struck if full else night.missed)["disk full"] += 1
        _names_the_place(night, outcome)
    if disk is not None:
        disk.resize(10_000, 10_000)
    night.finish()


def read_only(night: Night) -> None:
    """The folder of the run, or of its checkpoints, cannot be written to for a while."""
    disk = None
    if disks.can_mount():
        disk = disks.Disk(night.folder / "disk", 10_000, 10_000)
        night.at_the_end(disk.close)
        night.model_dir = disk.folder / "run"
    elif not disks.permissions_count():
        night.missed["read-only folder"] += 1
        return
    hurt(night, "kill in the step")
    if night.random.random() < 0.5 and (night.model_dir / "checkpoints").exists():
        places = [*_STEP, "worker", "fsync"]
        fault = draw(night, places, "read-only", what=str(night.model_dir / "checkpoints"))
        outcome = night.run(fault, kind="read-only folder", expect=(0, 2))
        if outcome.told("struck"):
            disks.make_writable(night.model_dir / "checkpoints")
            night.audit()
    else:
        _whole_folder_read_only(night, disk)
    night.finish()


def _whole_folder_read_only(night: Night, disk: disks.Disk | None) -> None:
    if disk is not None:
        disk.set_read_only(True)
    elif night.model_dir.exists():
        night.model_dir.chmod(0o555)
    before = auditor.contents(night.model_dir)
    outcome = night.run(expect=(2,), calm=True)
    night.struck["read-only folder"] += 1
    _names_the_place(night, outcome)
    if auditor.contents(night.model_dir) != before:
        night.say(LOST, "it refused, and changed files")
    if disk is not None:
        disk.set_read_only(False)
    elif night.model_dir.exists():
        night.model_dir.chmod(0o755)


def second_run(night: Night) -> None:
    """While one run is in its model_dir, others want to be there."""
    expected = newest_sound(night.model_dir)
    places = [*_STEP, "write", "fsync", "rename", "unlink", "worker", "prefetch"]
    first = night.start(draw(night, places, "stop"))
    if not first.wait_until_stopped(LIMIT):
        night.missed["second run"] += 1
        night.judge(first.wait(LIMIT), (0,), expected)
        night.finish()
        return
    for _ in range(night.random.randint(1, 2)):
        before = auditor.contents(night.model_dir)
        outcome = night.start().wait(LIMIT)
        night.struck["second run"] += 1
        text = " ".join(error["text"] for error in outcome.told("error"))
        if outcome.hung:
            night.say(HANG, f"a second run was not over after {LIMIT:.0f} s: {outcome.output}")
        elif outcome.status == 0 or auditor.contents(night.model_dir) != before:
            night.say(LET_IN, f"a second run ended with {outcome.status}, or changed files")
        elif outcome.status != 2 or f"in use by process {first.pid}" not in text:
            night.say(TRACEBACK, f"a second run ended with {outcome.status}: {outcome.output}")
    if night.random.random() < 0.5:
        first.send(signal.SIGKILL)
        night.judge(first.wait(LIMIT), DEAD, expected)
    else:
        first.send(signal.SIGCONT)
        night.judge(first.wait(LIMIT), (0,), expected)
    night.finish()


def together(night: Night) -> None:
    """Two runs begin at the same moment."""
    both = [night.start()]
    time.sleep(night.random.choice([0, 0, night.random.uniform(0, 0.05)]))
    both.append(night.start())
    ends = [run.wait(LIMIT) for run in both]
    night.struck["started together"] += 1
    for outcome in ends:
        text = " ".join(error["text"] for error in outcome.told("error"))
        clear = "is in use by process" in text or "another run has gone on with it" in text
        if outcome.hung:
            night.say(HANG, f"one of two runs was not over after {LIMIT:.0f} s: {outcome.output}")
        elif outcome.status != 0 and not (outcome.status == 2 and clear):
            night.say(TRACEBACK, f"one of two runs ended with {outcome.status}: {outcome.output}")
    if all(outcome.status for outcome in ends):
        night.say(LOST, "of two runs that began together, neither did its work")
    night.audit()
    night.finish()


def clock(night: Night) -> None:
    """The time of day goes backwards; files have times of any age."""
    for _ in range(night.random.randint(1, 3)):
        kind = night.random.choice([k for k in KILLS if KILLS[k]])
        fault = draw(night, KILLS[kind], "kill")
        night.run(fault, kind="clock goes back", expect=(0, *DEAD), clock=True)
        for path in night.model_dir.rglob("*"):
            age = night.random.uniform(-1e7, 1e8)
            os.utime(path, (time.time() - age, time.time() - age))
    night.finish()


def data_fails(night: Night) -> None:
    """A file of the data vanishes, or shrinks, while it is read; later it is back."""
    source = night.random.choice(["files", "zip.zip", "mapped"])
    folder = night.folder / "data"
    shutil.copytree(night.world.data, folder)
    night.data = str(folder / source)
    victims = {
        "files": f"{night.data}/{night.random.randrange(victim.EXAMPLES)}.raw",
        "zip.zip": night.data,
        "mapped": f"{night.data}/images.npy",
    }
    expect = (0, 2, -signal.SIGBUS) if source == "mapped" else (0, 2)
    for _ in range(night.random.randint(1, 2)):
        do = night.random.choice(["vanish", "shrink"])
        fault = draw(night, ["worker"], do, what=victims[source])
        outcome = night.run(
            fault, kind={"vanish": "data vanishes", "shrink": "data shrinks"}[do], expect=expect
        )
        for error in outcome.told("error"):
            if Path(victims[source]).name not in error["text"]:
                night.say(TRACEBACK, f"the message does not say which file: {error['text']}")
        shutil.rmtree(folder)
        shutil.copytree(night.world.data, folder)
    night.finish()


@dataclass(frozen=True)
class Kind:
    """A kind of cases.

    Attributes
    ----------
    play : callable
        Plays a case.
    group : str
        "kill", "corruption", "product" or "other".
    """

    play: Callable[[Night], None]
    group: str = "other"


KINDS: dict[str, Kind] = {
    **{kind: Kind(kills(kind), "kill") for kind in KILLS},
    "corruption": Kind(corruption, "corruption"),
    POWER: Kind(power_cut),
    "Ctrl-C": Kind(stops("Ctrl-C", "int", 1)),
    "Ctrl-C twice": Kind(stops("Ctrl-C twice", "int", 2)),
    "SIGTERM": Kind(stops("SIGTERM", "term", 1)),
    "SIGTERM twice": Kind(stops("SIGTERM twice", "term", 2)),
    "SIGHUP": Kind(stops("SIGHUP", "hup", 1)),
    "an error": Kind(worker_raises),
    "disk error": Kind(disk_error),
    "disk full": Kind(disk_full),
    "read-only folder": Kind(read_only),
    "second run": Kind(second_run),
    "started together": Kind(together),
    "clock goes back": Kind(clock),
    "data fails": Kind(data_fails),
    product.KIND: Kind(product.play, "product"),
}


def random_of(seed: int, kind: str, number: int) -> Random:
    """Return the luck of one case, which is its own."""
    return Random(f"{seed}/{kind}/{number}")
