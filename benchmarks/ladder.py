"""The ladder of object detection: all rungs on the same images, in one table.

    python -m benchmarks.ladder [--detectors rcnn,fast] [--minutes M] [--json FILE]

Each detector is trained on the same drawn streets by the recipe of ``python -m minicnn.train
detect --detector NAME``, through the same functions, and judged on the same other streets. Then all
are shown the same pictures one at a time, in turns, and the median is the time of an image: from
pixels to boxes, the search for proposals included. On two cores it takes less than an hour.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._contest import time_in_turns, write_results
from minicnn import Tensor, nn, no_grad
from minicnn._command_line import Parser, carry_out, say, say_table
from minicnn.apps import detect
from minicnn.apps._detection import judge
from minicnn.apps._settings import save_settings
from minicnn.apps.detect import DETECTORS, Parts, Settings
from minicnn.data.objects import ObjectSet
from minicnn.detection import propose, scaled
from minicnn.errors import ConfigError

TEST = 100  # images that are judged
MINUTES = 6.0  # that a detector is trained at most
QUICK = {"scenes": 24, "size": (96, 128), "steps": 8, "test": 6, "times": 2}
TIMES, LONGEST = 40, 90.0  # pictures that are timed, and seconds for all detectors together
PROTOCOLS = {"map50": "voc", "map_voc2007": "voc2007", "map_coco": "coco"}
ONE_STAGE = ("dense", "ssd", "yolo", "retina")


@dataclass
class Result:
    """How one detector did.

    Parameters
    ----------
    detector : str
        Which of `DETECTORS`.
    failure : str
        Why there are no numbers, if there are none.
    map50, map_voc2007, map_coco : float
        Mean average precision under each protocol.
    ms : float
        Milliseconds for an image, the median.
    proposals : float
        Places that are judged in an image, the mean.
    parameters : int
        Numbers that are learned.
    steps : int
        Of training.
    seconds : float
        Of training: the search for proposals, all steps, and what is fitted after them.
    judged_seconds : float
        For all test images.
    """

    detector: str
    failure: str = ""
    map50: float = float("nan")
    map_voc2007: float = float("nan")
    map_coco: float = float("nan")
    ms: float = float("nan")
    proposals: float = float("nan")
    parameters: int = 0
    steps: int = 0
    seconds: float = float("nan")
    judged_seconds: float = float("nan")


def climb(name: str, base: Settings, parts: Parts, minutes: float, folder: Path) -> Any:
    """Train one detector as the command line does; return the net, its steps and the seconds."""
    recipe = DETECTORS[name]
    settings = replace(
        base, detector=name, steps=min(base.steps, recipe.steps), batch_size=recipe.batch,
    )  # fmt: skip
    start = time.perf_counter()
    proposals = detect.propose_all(settings, parts.train)
    searched = time.perf_counter() - start
    # The first steps also compile what was not compiled before: that is not counted
    most = detect.steps_in(max(60 * minutes - searched, 1), settings, parts.train, proposals)
    settings = replace(settings, steps=min(settings.steps, most))
    start = time.perf_counter()
    estimator = detect.make_estimator(settings, parts.train, folder, save_every=10**9)
    save_settings(folder, "detect", settings)
    batches = detect.training_input(settings, parts.train, proposals)
    with estimator:
        estimator.train(lambda: batches, max_steps=settings.steps)
    detect.finish(estimator, settings, parts.train, proposals)
    seconds = searched + time.perf_counter() - start
    return detect.load_run(folder).net, settings.steps, seconds


def measure(
    name: str, base: Settings, parts: Parts, test: ObjectSet, minutes: float, folder: Path
) -> tuple[Result, Any]:
    """Train and judge one detector; return how it did, and the net, or None if it failed."""
    try:
        net, steps, seconds = climb(name, base, parts, minutes, folder)
        start = time.perf_counter()
        precision = judge(net, test, base.least).precision
        judged = time.perf_counter() - start
    except Exception as error:  # the other rungs are worth seeing all the same
        return Result(name, failure=f"{type(error).__name__}: {error}"), None
    found = Result(
        name, parameters=net.count_parameters(), steps=steps, seconds=seconds,
        judged_seconds=judged, proposals=places(name, net, test),
    )  # fmt: skip
    for key, protocol in PROTOCOLS.items():
        setattr(found, key, precision[protocol])
    return found, net


def places(name: str, net: Any, test: ObjectSet) -> float:
    """Return how many boxes of an image a detector says yes or no to, on the average."""
    some = [test[i].image for i in range(min(len(test), 8))]
    if name == "sliding":
        return statistics.fmean(sum(len(at) for _, at in net.levels(i.shape[:2])) for i in some)
    if name in ("rcnn", "fast"):
        return statistics.fmean(len(propose(image, net.proposals)) for image in some)
    if name == "faster":
        return net.proposals
    with no_grad(), nn.evaluating():
        scores = net(Tensor(scaled(some[0][None])))[0]  # of all places, of each class
    return float(np.prod(scores.shape[1:-1]))


def looker(net: Any, test: ObjectSet) -> Callable[[int], object]:
    """Return what shows a net one picture, by the number of the turn."""
    return lambda turn: net.find(test[turn % len(test)].image[None])


def rows(results: Sequence[Result]) -> list[list[str]]:
    """Return the lines of the table."""
    lines = []
    for r in results:
        title = DETECTORS[r.detector].title
        if r.failure:
            lines.append([f"{title} (failed)", *["-"] * 7])
            continue
        lines.append(
            [
                title,
                *(f"{100 * getattr(r, key):.1f}" for key in PROTOCOLS),
                f"{r.ms:,.1f}",
                f"{r.proposals:,.0f}",
                f"{r.parameters:,}",
                f"{r.seconds:,.0f}",
            ]
        )
    return lines


HEAD = ["detector", "mAP@.5", "VOC 2007", "COCO", "ms/image", "boxes", "parameters", "train s"]


def story(results: Sequence[Result]) -> list[str]:
    """Say how much faster each rung is than the one before, and how the accuracies compare."""
    sound = {r.detector: r for r in results if not r.failure}
    chain = [name for name in ("sliding", "rcnn", "fast", "faster") if name in sound]
    told = []
    for slow, quick in itertools.pairwise(chain):
        a, b = sound[slow], sound[quick]
        told.append(
            f"{DETECTORS[quick].title} is {a.ms / b.ms:,.1f} times as fast as "
            f"{DETECTORS[slow].title}, mAP@0.5 {100 * (b.map50 - a.map50):+.1f} points"
        )
    one_stage = [sound[name] for name in ONE_STAGE if name in sound]
    if one_stage:
        quick = min(one_stage, key=lambda r: r.ms)
        text = f"the fastest one-stage detector is {DETECTORS[quick.detector].title}"
        if "faster" in sound:
            text += f", {sound['faster'].ms / quick.ms:,.1f} times as fast as Faster R-CNN"
        told.append(text)
    if sound:
        best = max(sound.values(), key=lambda r: r.map50)
        least = min(sound.values(), key=lambda r: r.map50)
        told.append(
            f"mAP@0.5 from {100 * least.map50:.1f} % ({DETECTORS[least.detector].title}) to "
            f"{100 * best.map50:.1f} % ({DETECTORS[best.detector].title})"
        )
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all, and print one table."""
    parser = Parser(prog="python -m benchmarks.ladder", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--detectors", metavar="NAME,...", help=f"some of {', '.join(DETECTORS)} (all)"
    )
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, metavar="M",
        help="train each detector for no longer; a recipe that takes longer gets fewer steps "
        f"({MINUTES:g})",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", type=int, default=Settings().scenes, metavar="N",
        help=f"streets to learn from ({Settings().scenes:,})",
    )  # fmt: skip
    parser.add_argument("--test", type=int, default=TEST, metavar="N", help=f"to judge on ({TEST})")
    parser.add_argument("--seed", type=int, default=0, help="of streets and training (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a line for each detector")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the trained runs there")
    parser.add_argument(
        "--quick", action="store_true", help="a few steps on tiny images: to see whether it works"
    )
    options = parser.parse_args(arguments)
    return carry_out(parser.prog, lambda: _measured(options))


def _measured(options: argparse.Namespace) -> int:
    names = list(DETECTORS) if options.detectors is None else options.detectors.split(",")
    for name in names:
        if name not in DETECTORS:
            raise ConfigError(f"--detectors: {name!r} is none of {', '.join(DETECTORS)}")
    if options.minutes <= 0 or options.test < 1:
        raise ConfigError("--minutes and --test must be above 0")
    start = time.perf_counter()
    quick: dict[str, Any] = QUICK if options.quick else {}
    base = Settings(
        scenes=quick.get("scenes", options.scenes), size=quick.get("size", Settings().size),
        steps=quick.get("steps", max(recipe.steps for recipe in DETECTORS.values())),
        seed=options.seed,
    )  # fmt: skip
    parts = detect.load_parts(base)
    base = replace(base, names=parts.train.names)
    test, _ = detect.load_test(base, "test")
    judged = quick.get("test", options.test)
    if judged > len(test):
        raise ConfigError(f"--test {judged}: there are {len(test)} streets to judge on; give fewer")
    test = test.select(range(judged))
    say(f"data     {len(parts.train):,} drawn streets to learn from, {len(test):,} others to judge "
        f"on, {base.size[0]}x{base.size[1]}, {', '.join(base.names)}; in "
        f"{time.perf_counter() - start:.0f} s")  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.runs or Path(temporary)
        results, nets = _climbed(names, base, parts, test, options, folder)
    say(f"timing   {', '.join(nets)}: one picture at a time, in turns")
    looks = {name: looker(net, test) for name, net in nets.items()}
    for name, ms in time_in_turns(looks, quick.get("times", TIMES), LONGEST).items():
        next(r for r in results if r.detector == name).ms = ms
    write_results(results, options.json)
    say()
    say("mAP in %: @.5 as VOC 2010 has it (all points), as VOC 2007 (11 points), as COCO")
    say_table(HEAD, rows(results))
    for r in results:
        if r.failure:
            say(f"failed   {DETECTORS[r.detector].title}: {r.failure}")
    for line in story(results):
        say(f"story    {line}")
    say(f"in {(time.perf_counter() - start) / 60:.1f} minutes")
    return 1 if any(r.failure for r in results) else 0


def _climbed(
    names: Sequence[str],
    base: Settings,
    parts: Parts,
    test: ObjectSet,
    options: argparse.Namespace,
    folder: Path,
) -> tuple[list[Result], dict[str, Any]]:
    """Train and judge all, telling of each."""
    results: list[Result] = []
    nets = {}
    for name in names:
        result, net = measure(name, base, parts, test, options.minutes, folder / name)
        results.append(result)
        if net is not None:
            nets[name] = net
            say(f"{name:8} mAP@0.5 {100 * result.map50:.1f} %, {result.steps:,} steps in "
                f"{result.seconds:.0f} s, judged in {result.judged_seconds:.0f} s")  # fmt: skip
        else:
            say(f"{name:8} failed: {result.failure}")
        write_results(results, options.json)
        gc.collect()
    return results, nets


if __name__ == "__main__":
    sys.exit(main())
