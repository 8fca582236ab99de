"""What a network that has learned from drawn signs needs of real photographs.

    python -m benchmarks.transfer --data PATH [--plot FILE] [--json]

For each seed a network learns from drawn signs; then it is moved to 10, 50 and 200 real photographs
a class, in several ways, and beside it one learns from the same photographs from scratch, in as
many steps. All are judged on the same photographs of whole tracks that were held out: no physical
sign is in both parts. Every run is one of ``python -m minicnn.train gtsrb``, whose options are
shown. On two cores it takes about ten minutes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from minicnn._command_line import Parser, carry_out, say, say_table
from minicnn.apps import gtsrb
from minicnn.apps._classification import judge
from minicnn.apps._settings import save_settings
from minicnn.apps.gtsrb import Settings
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError
from minicnn.estimator import GradualUnfreezing

STEPS, DRAWN_EPOCHS = 400, 12  # of each run on photographs, and on drawn signs before them
PER_CLASS, SEEDS = (10, 50, 200), 3
WAYS: dict[str, dict[str, str]] = {  # how the network goes on; {1} is a fifth of the epochs
    "from scratch": {},
    "head only": {"freeze": "!logits"},
    "gradual": {"freeze": "block*", "unfreeze": "block3@{1:g},block2@{2:g},block1@{3:g}"},
    "all layers": {},
}
FIRST = "drawn signs only"


class Result(NamedTuple):
    """How one network did.

    Parameters
    ----------
    way : str
        Which of `WAYS`, or `FIRST`.
    per_class : int
        How many photographs of each class it learned from.
    seed : int
        Of the split, the choice of photographs, the order and the first weights.
    accuracy : float
        On the photographs that were held out.
    seconds : float
        How long it learned.
    """

    way: str
    per_class: int
    seed: int
    accuracy: float
    seconds: float


def settings_for(way: str, real: Settings, source: Path, examples: int, steps: int) -> Settings:
    """Return the settings of a run in which so many examples are seen in about so many steps."""
    epochs = max(round(steps * real.batch_size / examples), 1)
    given: dict[str, Any] = dict(WAYS[way])
    if "unfreeze" in given:
        given["unfreeze"] = given["unfreeze"].format(*(0.2 * i * epochs for i in range(5)))
    if way != "from scratch":
        given["init_from"] = str(source)
    return replace(real, epochs=epochs, **given)


def _options(way: str) -> str:
    """Return what a run is told on the command line, if it has 5 epochs."""
    settings = settings_for(way, Settings(batch_size=100), Path("RUN"), 100, 5)
    names = {"--init-from": Path(settings.init_from or "").name, "--freeze": settings.freeze}
    names |= {"--unfreeze": settings.unfreeze}
    given = " ".join(f"{name} '{value}'" for name, value in names.items() if value)
    return given + (" of 5 epochs" if settings.unfreeze else "") or "no options"


def train(settings: Settings, learn: SignTable, folder: Path) -> tuple[Any, float]:
    """Train a network as the command line does; return it, and how long that took."""
    estimator = gtsrb.make_estimator(settings, learn, folder, save_every=10**9)
    save_settings(folder, "gtsrb", settings)
    batches = gtsrb.training_input(settings, learn)
    stages = settings.stages(len(learn))
    start = time.perf_counter()
    with estimator:
        estimator.train(
            lambda: batches,
            max_steps=settings.steps(len(learn)),
            hooks=[GradualUnfreezing(stages)] if stages else [],
        )
    return estimator.module, time.perf_counter() - start


def measure(
    drawn: Settings, real: Settings, table: SignTable, counts: Sequence[int], steps: int
) -> list[Result]:
    """Let a network learn from drawn signs, then from photographs in all ways, with one seed."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "drawn"
        net, seconds = train(drawn, gtsrb.split_signs(drawn, gtsrb.load_signs(drawn))[0], source)
        for count in counts:
            few = replace(real, per_class=count)
            learn, held_out = gtsrb.split_signs(few, table)
            if set(learn.tracks.tolist()) & set(held_out.tracks.tolist()):
                raise ConfigError("a track is in both parts; hold out whole tracks")
            if count == counts[0]:
                accuracy = judge(net, held_out).accuracy
                found.append(_shown(Result(FIRST, 0, real.seed, accuracy, seconds)))
            for way in WAYS:
                settings = settings_for(way, few, source, len(learn), steps)
                moved, seconds = train(settings, learn, Path(folder) / f"{way} {count}")
                accuracy = judge(moved, held_out).accuracy
                found.append(_shown(Result(way, count, real.seed, accuracy, seconds)))
    return found


def _shown(result: Result) -> Result:
    many = f", {result.per_class} a class" if result.per_class else ""
    say(f"seed {result.seed}  {result.way}{many}: {100 * result.accuracy:.2f} % "
        f"({result.seconds:.0f} s)")  # fmt: skip
    return result


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the lines of the table: a way, and by number of photographs mean and extremes."""
    counts = sorted({r.per_class for r in results if r.per_class})
    lines = [[way, *(_cell(results, way, n) for n in counts)] for way in WAYS]
    return [*lines, [FIRST, _cell(results, FIRST, 0), *[""] * (len(counts) - 1)]]


def _cell(results: Sequence[Result], way: str, count: int) -> str:
    values = [100 * r.accuracy for r in results if (r.way, r.per_class) == (way, count)]
    if not values:
        return "-"
    return f"{statistics.mean(values):.1f} ({min(values):.1f}-{max(values):.1f})"


def draw(results: Sequence[Result], path: Path) -> None:
    """Draw accuracy over the number of photographs: a line of means, a point for each seed."""
    from minicnn.visualise import new_figure

    counts = sorted({r.per_class for r in results if r.per_class})
    figure = new_figure(7, 4.5)
    panel = figure.subplots()
    for way, marker in zip(WAYS, "osd^", strict=True):
        points = [(r.per_class, 100 * r.accuracy) for r in results if r.way == way]
        means = [statistics.mean(a for n, a in points if n == count) for count in counts]
        (line,) = panel.plot(counts, means, label=way)
        panel.plot(*zip(*points, strict=True), marker, color=line.get_color(), alpha=0.6)
    first = statistics.mean(100 * r.accuracy for r in results if r.way == FIRST)
    panel.axhline(first, color="black", linestyle=":", label=f"{FIRST} ({first:.0f} %)")
    panel.set_xscale("log")
    panel.set_xticks(counts, [str(n) for n in counts])
    panel.minorticks_off()
    panel.set_xlabel("real photographs learned from, of each class")
    panel.set_ylabel("accuracy on tracks held out, %")
    panel.set_title("From drawn signs to real ones")
    panel.legend()
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all, and print one table."""
    parser = Parser(prog="python -m benchmarks.transfer", description=__doc__.splitlines()[0])
    parser.add_argument("--data", metavar="PATH", help="real photographs: GTSRB, zip or folder")
    parser.add_argument("--plot", metavar="FILE", type=Path, help="draw the results, too")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many ({SEEDS})")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each run ({STEPS})")
    parser.add_argument(
        "--per-class", type=int, nargs="+", default=PER_CLASS, metavar="N",
        help=f"photographs of each class ({' '.join(map(str, PER_CLASS))})",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    return carry_out(parser.prog, lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    if options.data is None:
        raise ConfigError(
            "real photographs are needed: give --data PATH, where PATH is GTSRB's official archive "
            "(GTSRB_Final_Training_Images.zip), its folder, or the Kaggle layout; "
            "python -m minicnn.train gtsrb --download fetches the archive"
        )
    start = time.perf_counter()
    table = gtsrb.load_signs(Settings(data=options.data))
    say(f"data     {table.source}: {len(table):,} images; whole tracks are held out")
    for way in WAYS:
        say(f"         {way}: {_options(way)}")
    results = []
    for seed in range(options.seeds):
        drawn = Settings(seed=seed, epochs=DRAWN_EPOCHS)
        real = Settings(data=options.data, seed=seed)
        results += measure(drawn, real, table, sorted(options.per_class), options.steps)
    say()
    say(f"accuracy on held-out tracks, in %: mean of {options.seeds} seeds (least-most); about "
        f"{options.steps} steps of 128 images")  # fmt: skip
    say_table(["photographs a class", *map(str, sorted(options.per_class))], rows(results))
    say(f"in {time.perf_counter() - start:.0f} s")
    if options.plot is not None:
        draw(results, options.plot)
    if options.json:
        say(json.dumps([r._asdict() for r in results]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
