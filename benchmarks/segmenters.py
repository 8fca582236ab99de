"""Semantic segmentation: all networks on the same images, in one table.

    python -m benchmarks.segmenters [--models unet,fcn] [--minutes M] [--json FILE]
    python -m benchmarks.segmenters --data camvid.zip --size 180 240 --epochs 60 --augment

Each network is trained by the recipe of ``python -m minicnn.train segment --model NAME``, through
the same functions, and judged on the same other images. Then all are shown the same pictures one at
a time, in turns, and the median is the time of an image: from pixels to classes.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks._contest import time_in_turns, write_results
from minicnn._command_line import Parser, carry_out, say, say_table
from minicnn.apps import segment
from minicnn.apps._segmentation import judge, scorer_of
from minicnn.apps._settings import save_settings
from minicnn.apps.segment import SEGMENTERS, Parts, Settings
from minicnn.data.masks import MaskSet
from minicnn.errors import ConfigError

MINUTES = 4.5  # that a network is trained at most
QUICK = {"scenes": 16, "size": (32, 48), "epochs": 1}
TURNS, LONGEST = 40, 60.0  # pictures that are timed, and seconds for all networks together
WARM_UP, MEASURED = 5, 15  # steps, to see how long one takes


@dataclass
class Result:
    """How one network did.

    Parameters
    ----------
    model : str
        Which of `SEGMENTERS`.
    mean_iou, pixel_accuracy, boundary_f1 : float
        On the images that were held out.
    ms : float
        Milliseconds for an image, the median.
    parameters : int
        Numbers that are learned.
    epochs : int
        How often each image was seen.
    seconds : float
        Of training.
    """

    model: str
    mean_iou: float
    pixel_accuracy: float
    boundary_f1: float
    parameters: int
    epochs: int
    seconds: float
    ms: float = float("nan")


def epochs_in(minutes: float, settings: Settings, train: MaskSet) -> int:
    """Return how many epochs take about so long, measured on a network that is then forgotten."""
    trial = segment.make_estimator(settings, train, None)
    batches = segment.training_input(settings, train)
    with trial:
        trial.train(lambda: batches, steps=WARM_UP)  # compiles
        start = time.perf_counter()
        trial.train(lambda: batches, steps=MEASURED)
        each = (time.perf_counter() - start) / MEASURED
    return max(int(60 * minutes / (each * settings.steps(len(train)) / settings.epochs)), 1)


def measure(
    settings: Settings, parts: Parts, minutes: float, folder: Path, tta: bool
) -> tuple[Result, Any]:
    """Train and judge one network; return how it did, and the network."""
    most = epochs_in(minutes, settings, parts.train)
    settings = replace(settings, epochs=min(settings.epochs, most))
    start = time.perf_counter()
    estimator = segment.make_estimator(settings, parts.train, folder, save_every=10**9)
    save_settings(folder, "segment", settings)
    batches = segment.training_input(settings, parts.train)
    with estimator:
        estimator.train(lambda: batches, max_steps=settings.steps(len(parts.train)))
    seconds = time.perf_counter() - start
    net = segment.load_run(folder).net
    outcome = judge(scorer_of(net, tta, settings.flips != "none"), parts.held_out)
    found = Result(
        settings.model, outcome.results["mean_iou"], outcome.results["pixel_accuracy"],
        outcome.outlines.result(), net.count_parameters(), settings.epochs, seconds,
    )  # fmt: skip
    return found, net


def looker(net: Any, images: MaskSet) -> Callable[[int], object]:
    """Return what shows a network one picture, by the number of the turn."""
    scorer = scorer_of(net)
    return lambda turn: scorer(images[turn % len(images)].image[None]).argmax(axis=1)


HEAD = [
    "network", "mean IoU", "pixels right", "boundary F1", "ms/image", "parameters", "epochs",
    "train s",
]  # fmt: skip


def row(r: Result) -> list[str]:
    """Return a line of the table."""
    return [
        SEGMENTERS[r.model].title,
        *(f"{100 * value:.1f}" for value in (r.mean_iou, r.pixel_accuracy, r.boundary_f1)),
        f"{r.ms:.1f}",
        f"{r.parameters:,}",
        str(r.epochs),
        f"{r.seconds:,.0f}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all, and print one table."""
    usual = Settings()
    parser = Parser(prog="python -m benchmarks.segmenters", description=__doc__.splitlines()[0])
    parser.add_argument("--models", metavar="NAME,...", help=f"of {', '.join(SEGMENTERS)} (all)")
    parser.add_argument("--data", metavar="PATH", help="CamVid (drawn streets)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=usual.size, metavar=("H", "W"), help="of images"
    )
    parser.add_argument("--epochs", type=int, default=usual.epochs, help=f"({usual.epochs})")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, metavar="M",
        help=f"train each for no longer; what takes longer gets fewer epochs ({MINUTES:g})",
    )  # fmt: skip
    parser.add_argument("--augment", action="store_true", help="move, scale and relight at random")
    parser.add_argument("--weights", choices=("none", "median"), default=usual.weights)
    parser.add_argument("--tta", action="store_true", help="judge the average of several views")
    parser.add_argument("--seed", type=int, default=0, help="of streets and training (0)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write a line for each network")
    parser.add_argument("--runs", type=Path, metavar="FOLDER", help="keep the trained runs there")
    parser.add_argument(
        "--quick", action="store_true", help="a few steps on tiny images: to see whether it works"
    )
    options = parser.parse_args(arguments)
    return carry_out(parser.prog, lambda: _measured(options))


def _settings(options: argparse.Namespace) -> Settings:
    quick: dict[str, Any] = QUICK if options.quick else {}
    return Settings(
        data=options.data, format="scenes" if options.data is None else "camvid",
        scenes=quick.get("scenes", Settings().scenes), size=quick.get("size", tuple(options.size)),
        epochs=quick.get("epochs", options.epochs), augment=options.augment,
        weights=options.weights, seed=options.seed,
    )  # fmt: skip


def _measured(options: argparse.Namespace) -> int:
    names = list(SEGMENTERS) if options.models is None else options.models.split(",")
    for name in names:
        if name not in SEGMENTERS:
            raise ConfigError(f"--models: {name!r} is none of {', '.join(SEGMENTERS)}")
    if not options.minutes > 0:
        raise ConfigError(f"--minutes must be above 0, got {options.minutes:g}")
    start = time.perf_counter()
    base = _settings(options)
    parts = segment.load_parts(base)
    ignored = parts.train.ignore_label
    assert ignored is not None
    base = replace(base, names=parts.train.names, ignore_label=ignored)
    height, width = base.size
    say(f"data     {parts.train.source}: {len(parts.train):,} images to learn from, "
        f"{len(parts.held_out):,} others to judge on, {height}x{width}")  # fmt: skip
    results: list[Result] = []
    looks = {}
    with tempfile.TemporaryDirectory() as temporary:
        for name in names:
            folder = (options.runs or Path(temporary)) / name
            settings = replace(base, model=name, channels=SEGMENTERS[name].channels)
            result, net = measure(settings, parts, options.minutes, folder, options.tta)
            results.append(result)
            looks[name] = looker(net, parts.held_out)
            say(f"{name:8} mean IoU {100 * result.mean_iou:.1f} %, boundary F1 "
                f"{100 * result.boundary_f1:.1f} %, {result.epochs} epochs in "
                f"{result.seconds:.0f} s")  # fmt: skip
            write_results(results, options.json)
            gc.collect()
    for result, ms in zip(results, time_in_turns(looks, TURNS, LONGEST).values(), strict=True):
        result.ms = ms
    write_results(results, options.json)
    say()
    say_table(HEAD, [row(result) for result in results])
    say(f"in {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
