"""Object detection: every rung of the ladder, on drawn streets or on real photographs.

All detectors are trained by one model function, on one input, each by its own recipe.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import nn
from minicnn.apps._detect_data import load_parts, load_test
from minicnn.apps._detect_input import propose_all, training_input, whole_batches
from minicnn.apps._detect_settings import Settings
from minicnn.apps._detectors import DETECTORS, Recipe
from minicnn.apps._images import Parts
from minicnn.apps._runs import Run, load_trained
from minicnn.backend.device import as_numpy
from minicnn.data.objects import ObjectSet
from minicnn.detection import RCNN, Detections, Detector
from minicnn.optim import AdamW, OneCycle, Optimizer, decay_groups

if TYPE_CHECKING:
    from minicnn.estimator import Estimator, EstimatorSpec, Mode

__all__ = [
    "DETECTORS",
    "Parts",
    "Recipe",
    "Run",
    "Settings",
    "build_detector",
    "detector_fn",
    "finish",
    "load_parts",
    "load_run",
    "load_test",
    "make_estimator",
    "propose_all",
    "steps_in",
    "training_input",
    "whole_batches",
]

MOST_FOUND = 100  # in an image, by `Estimator.predict`
WARM_UP, MEASURED = 3, 8  # steps
MOST_FITTED, PROPOSALS_FITTED = 600, 120  # images, and proposals of each, to fit machines to


def build_detector(settings: Settings, train: ObjectSet | None = None) -> Detector:
    """Build the detector with its first weights; the same settings give the same bits.

    Parameters
    ----------
    settings : Settings
        Which, for how many classes, its channels and the seed.
    train : ObjectSet, optional
        Fitted images with objects whose shapes the anchors of some detectors take; without, they
        come with the weights, from a checkpoint.

    Returns
    -------
    Detector
        Untrained.
    """
    boxes = None
    if train is not None:
        truths = [train.expected(i, settings.least) for i in range(len(train))]
        boxes = np.concatenate([t["boxes"][~(t["difficult"] | t["crowd"])] for t in truths])
        boxes = boxes if len(boxes) else None
    with nn.seed(settings.seed):
        recipe = DETECTORS[settings.detector]
        return recipe.build(len(settings.names), settings.channels, boxes)


def detector_fn(
    net: Detector, optimizer: Callable[[Any], Optimizer] | None = None
) -> Callable[..., EstimatorSpec]:
    """Return the model function of a detector, whichever it is.

    Parameters
    ----------
    net : Detector
        Whose losses are added up.
    optimizer : callable, optional
        Takes the list of (name, parameter) and returns the `Optimizer`; needed to train.

    Returns
    -------
    callable
        ``(features, labels, mode, params) -> EstimatorSpec``. Features are images (N, 3, H, W) from
        `minicnn.detection.scaled` and labels truths; to predict, features are pixels, uint8
        (N, H, W, 3), and each example gets `MOST_FOUND` rows of "boxes", "scores" and "classes",
        those after the last detection with the class `NOTHING`.
    """

    def model_fn(features: Any, labels: Any, mode: Mode, _: dict[str, Any]) -> EstimatorSpec:
        from minicnn.estimator import EstimatorSpec, Mode

        if mode is Mode.PREDICT:
            found = net.find(as_numpy(features), limit=MOST_FOUND)
            return EstimatorSpec(mode, predictions=_as_table(found))
        parts = net.losses(features, labels)
        loss = functools.reduce(operator.add, parts.values())
        metrics = {f"loss/{name}": part for name, part in parts.items()}
        return EstimatorSpec(mode, loss=loss, optimizer=optimizer, metrics=metrics)

    return model_fn


def _as_table(found: list[Detections]) -> dict[str, np.ndarray]:
    """Return detections as arrays of one row for each image."""
    table: dict[str, np.ndarray] = {
        "boxes": np.zeros((len(found), MOST_FOUND, 4), np.float32),
        "scores": np.zeros((len(found), MOST_FOUND), np.float32),
        "classes": np.full((len(found), MOST_FOUND), -1, np.int64),
    }
    for row, own in enumerate(found):
        for name, column in own._asdict().items():
            table[name][row, : len(column)] = column[:MOST_FOUND]
    return table


def make_estimator(
    settings: Settings,
    train: ObjectSet,
    model_dir: Path | None,
    *,
    device: str = "cpu",
    resume: bool | str = False,
    save_every: int = 200,
    precision: str | None = None,
) -> Estimator:
    """Build the Estimator that trains the detector, or picks up a run that was stopped.

    Parameters
    ----------
    settings : Settings
        What to train, and how.
    train : ObjectSet
        The images to learn from.
    model_dir : Path or None
        Where checkpoints go; None for nowhere.
    device : str, default "cpu"
        ``"cpu"`` or ``"cuda"``.
    resume : bool or "auto", default False
        Whether to go on from the newest checkpoint there; "auto": if there is one.
    save_every : int, default 200
        Steps from one checkpoint to the next.
    precision : str, optional
        How matrices are multiplied; see `RunConfig`.

    Returns
    -------
    Estimator
        Ready to train.

    Raises
    ------
    ConfigError
        If `model_dir` holds a run and `resume` is False, or a run of other settings.
    """
    from minicnn.estimator import Estimator, RunConfig

    recipe = DETECTORS[settings.detector]

    def optimizer(params: Any) -> Optimizer:
        schedule = OneCycle(recipe.peak * settings.batch_size / recipe.batch, settings.steps, 0.2)
        return AdamW(decay_groups(params, recipe.decay), schedule)

    net = build_detector(settings, train)
    return Estimator(
        detector_fn(net, optimizer),
        params=dataclasses.asdict(settings) | {"data": train.digest()},
        config=RunConfig(
            model_dir=model_dir,
            save_every=save_every,
            seed=settings.seed,
            device=device,
            resume=resume,
            precision=precision,
        ),
        module=net,
    )


def steps_in(
    seconds: float,
    settings: Settings,
    train: ObjectSet,
    proposals: list[np.ndarray] | None = None,
    workers: int = 2,
    *,
    device: str = "cpu",
    precision: str | None = None,
) -> int:
    """Return how many steps take about so long, measured on a detector that is then forgotten.

    Parameters
    ----------
    seconds : float
        For all steps together.
    settings : Settings
        What to train.
    train : ObjectSet
        The images to learn from.
    proposals : list of ndarray, optional
        Boxes of each image, from `propose_all`.
    workers : int, default 2
        Threads that prepare batches.
    device, precision
        As for `make_estimator`: what is measured is what is trained.

    Returns
    -------
    int
        1 or more.
    """
    short = dataclasses.replace(settings, steps=WARM_UP + MEASURED)
    trial = make_estimator(short, train, None, device=device, precision=precision)
    batches = training_input(settings, train, proposals, workers)
    with trial:
        trial.train(lambda: batches, steps=WARM_UP)
        start = time.perf_counter()
        trial.train(lambda: batches, steps=MEASURED)
        each = (time.perf_counter() - start) / MEASURED
    return max(round(seconds / each), 1)


def finish(
    estimator: Estimator,
    settings: Settings,
    train: ObjectSet,
    proposals: list[np.ndarray] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> None:
    """Fit what of a detector is not trained by gradients, and save it; do nothing for others.

    Parameters
    ----------
    estimator : Estimator
        Trained to the end.
    settings : Settings
        Of the run.
    train : ObjectSet
        The images it learned from.
    proposals : list of ndarray, optional
        Boxes of each image, from `propose_all`.
    progress : callable, optional
        Told how many images are done.
    """
    net = estimator.module
    if not isinstance(net, RCNN) or int(as_numpy(net.finished.data)):
        return
    some = train.select(range(min(len(train), MOST_FITTED)))
    batches = whole_batches(settings, some, proposals)
    net.finish(batches, limit=PROPOSALS_FITTED, seed=settings.seed, progress=progress)
    estimator.unsaved = True
    if estimator.model_dir is not None:
        estimator.save()  # in place of the checkpoint that knows nothing of it


def load_run(model_dir: Path, device: str = "cpu") -> Run[Settings, Detector]:
    """Load the newest intact checkpoint of a run.

    Parameters
    ----------
    model_dir : Path
        Where it was trained.
    device : str, default "cpu"
        Where to put the detector.

    Returns
    -------
    Run
        The detector and what is known of it.

    Raises
    ------
    ConfigError
        If there is no run, or it has no checkpoint yet.
    CheckpointError
        If no checkpoint is intact. Of damaged ones a CheckpointWarning tells.
    """
    return load_trained(model_dir, "detect", Settings, build_detector, device)
