"""Semantic segmentation: the class of every pixel, of drawn streets or of real photographs.

All networks are trained by one model function, on one input, each by its own recipe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import nn, ops
from minicnn.apps._images import Parts, changed, training_batches
from minicnn.apps._runs import Run, load_trained
from minicnn.apps._segment_data import load_parts, load_test
from minicnn.apps._segment_networks import BATCH, SEGMENTERS, Segmenter
from minicnn.apps._segment_settings import Settings
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augment import Compose, Flip, Picture, batched, street_view
from minicnn.data.masks import MaskSet
from minicnn.detection import scaled
from minicnn.metrics import MeanIoU
from minicnn.optim import AdamW, OneCycle, Optimizer, decay_groups
from minicnn.segmentation import median_frequency_weights, pixel_loss

if TYPE_CHECKING:
    from minicnn.estimator import Estimator, EstimatorSpec, Mode

__all__ = [
    "SEGMENTERS",
    "Parts",
    "Run",
    "Segmenter",
    "Settings",
    "build_net",
    "load_parts",
    "load_run",
    "load_test",
    "make_estimator",
    "plain_input",
    "segment_fn",
    "training_input",
]

DECAY = 1e-4  # of weights
WARM_UP = 0.2  # the share of the steps in which the rate rises


def build_net(settings: Settings) -> nn.Module:
    """Build the network with its first weights; the same settings give the same bits.

    Parameters
    ----------
    settings : Settings
        Which, for how many classes, its channels and the seed.

    Returns
    -------
    Module
        Untrained; from images (N, 3, H, W) to scores (N, K, H, W).
    """
    with nn.seed(settings.seed):
        return SEGMENTERS[settings.model].build(len(settings.names), settings.channels)


def segment_fn(
    net: nn.Module,
    loss: Callable[[Any, Any], Any],
    optimizer: Callable[[Any], Optimizer] | None = None,
    measure: Callable[[], MeanIoU] | None = None,
) -> Callable[..., EstimatorSpec]:
    """Return the model function of a net that classifies pixels, whichever it is.

    Parameters
    ----------
    net : Module
        Gives scores, in training maybe `minicnn.models.PixelScores`.
    loss : callable
        From `minicnn.segmentation.pixel_loss`.
    optimizer : callable, optional
        Takes the list of (name, parameter) and returns the `Optimizer`; needed to train.
    measure : callable, optional
        Returns the metric of evaluation, "mean_iou"; by default there is the loss alone.

    Returns
    -------
    callable
        ``(features, labels, mode, params) -> EstimatorSpec``. Features are images (N, 3, H, W) from
        `minicnn.detection.scaled`, labels masks (N, H, W); predictions are "classes" and
        "probabilities".
    """

    def model_fn(features: Any, labels: Any, mode: Mode, _: dict[str, Any]) -> EstimatorSpec:
        from minicnn.estimator import EstimatorSpec, Mode

        scores = net(features)
        if mode is Mode.PREDICT:
            p = ops.softmax(scores, axis=1)
            found = {"probabilities": p, "classes": p.data.argmax(axis=1)}
            return EstimatorSpec(mode, predictions=found)
        metrics = {}
        if mode is Mode.EVAL and measure is not None:
            metrics["mean_iou"] = measure().update(scores, labels)
        return EstimatorSpec(mode, loss=loss(scores, labels), optimizer=optimizer, metrics=metrics)

    return model_fn


def make_estimator(
    settings: Settings,
    train: MaskSet,
    model_dir: Path | None,
    *,
    device: str = "cpu",
    resume: bool | str = False,
    save_every: int = 200,
    precision: str | None = None,
) -> Estimator:
    """Build the Estimator that trains the net, or picks up a run that was stopped.

    Parameters
    ----------
    settings : Settings
        What to train, and how.
    train : MaskSet
        The images to learn from, fitted.
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

    recipe, steps = SEGMENTERS[settings.model], settings.steps(len(train))

    def optimizer(params: Any) -> Optimizer:
        schedule = OneCycle(recipe.peak * settings.batch_size / BATCH, steps, WARM_UP)
        return AdamW(decay_groups(params, DECAY), schedule)

    ignored, weights = settings.ignore_label, None
    if settings.weights == "median":
        weights = median_frequency_weights(train.masks, len(settings.names), ignored)
    net = build_net(settings)

    def measure() -> MeanIoU:
        return MeanIoU(len(settings.names), ignored)

    return Estimator(
        segment_fn(net, pixel_loss(settings.loss, ignored, weights), optimizer, measure),
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


def training_input(settings: Settings, train: MaskSet, workers: int = 2) -> Dataset:
    """Describe the endless stream of training batches.

    Parameters
    ----------
    settings : Settings
        The batch size, the seed, and how images are changed at random.
    train : MaskSet
        What to learn from, fitted.
    workers : int, default 2
        Threads that prepare batches ahead; the batches are the same with any number.

    Returns
    -------
    Dataset
        Of (images (N, 3, H, W) float32, masks (N, H, W) int64).
    """
    change = _changes(settings)

    def prepare(rows: np.ndarray, stream: Stream) -> Any:
        pictures = [Picture(train[row].image, mask=train[row].mask) for row in rows.tolist()]
        images, truths = batched(changed(pictures, change, stream))
        return scaled(images), truths["mask"].astype(np.int64)

    return training_batches(settings, len(train), prepare, workers)


def plain_input(images: MaskSet) -> Dataset:
    """Describe one pass over images as they are, such as those to be judged on in training.

    Parameters
    ----------
    images : MaskSet
        Fitted to one size.

    Returns
    -------
    Dataset
        Of (images (N, 3, H, W) float32, masks (N, H, W) int64).
    """

    def prepare(rows: np.ndarray) -> Any:
        return scaled(images.images[rows]), images.masks[rows].astype(np.int64)

    return Dataset.from_slices(np.arange(len(images))).batch(BATCH).map(prepare)


def _changes(settings: Settings) -> Compose | None:
    """Return how images and masks are changed at random; None for not at all."""
    flips = {"none": [], "left-right": [Flip()], "all": [Flip(0.5, 0.5)]}[settings.flips]
    if not settings.augment and not flips:
        return None
    recipe = street_view()
    rules = dataclasses.replace(recipe.rules, void=settings.ignore_label)
    return Compose([*flips, *(recipe.transforms if settings.augment else [])], rules)


def load_run(model_dir: Path, device: str = "cpu") -> Run[Settings, nn.Module]:
    """Load the newest intact checkpoint of a run.

    Parameters
    ----------
    model_dir : Path
        Where it was trained.
    device : str, default "cpu"
        Where to put the net.

    Returns
    -------
    Run
        The net and what is known of it.

    Raises
    ------
    ConfigError
        If there is no run, or it has no checkpoint yet.
    CheckpointError
        If no checkpoint is intact. Of damaged ones a CheckpointWarning tells.
    """
    return load_trained(model_dir, "segment", Settings, build_net, device)
