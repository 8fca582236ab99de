"""Traffic-sign classification: the course's network on the course's data.

The 43 classes of the German Traffic Sign Recognition Benchmark, from real
photographs in any layout people have them, or, where there are none, drawn.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minicnn import nn, ops
from minicnn.apps import _gtsrb_transfer as transfer
from minicnn.apps._gtsrb_settings import MODELS, Settings
from minicnn.apps._runs import Run, load_trained
from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import RandomView, standardize
from minicnn.data.classes import NUM_CLASSES
from minicnn.data.sign_table import SignTable
from minicnn.errors import ConfigError, DataError
from minicnn.optim import SGD, OneCycle, Optimizer, decay_groups, rate_groups

if TYPE_CHECKING:
    from minicnn.estimator import Estimator

__all__ = [
    "MODELS",
    "Run",
    "Settings",
    "build_network",
    "load_run",
    "load_signs",
    "load_test",
    "make_estimator",
    "split_signs",
    "starting_network",
    "training_input",
]

# Settings that runs of before had not
NEWER = ("per_class", "init_from", "new_head", "freeze", "unfreeze", "rates", "init_sha256")
LABEL_SMOOTHING = 0.1
WEIGHT_DECAY = 5e-4
PROCEDURAL_TRACKS, PROCEDURAL_FRAMES = 20, 10  # drawn signs of each class, pictures of each
BATCH = 256  # images at once where nothing is learned


def load_signs(settings: Settings, part: str = "train") -> SignTable:
    """Read the real photographs, or draw signs where no data are given.

    Parameters
    ----------
    settings : Settings
        Where the data are, and the size.
    part : {"train", "test"}
        Which part of the benchmark; of drawn signs the test part shows other signs.

    Returns
    -------
    SignTable
        All images of that part.

    Raises
    ------
    DataError
        If something is missing or broken.
    """
    if settings.data is None:
        from minicnn.data.signs import make_signs

        tracks = PROCEDURAL_TRACKS if part == "train" else max(PROCEDURAL_TRACKS // 5, 1)
        return make_signs(tracks, PROCEDURAL_FRAMES, settings.size, part=part)
    from minicnn.data.gtsrb import load_gtsrb

    return load_gtsrb(settings.data, settings.size, part, skip_bad=settings.skip_bad)


def load_test(settings: Settings, part: str | None) -> tuple[SignTable, str]:
    """Read a part; without a name the test part, or the training part where there is no other.

    Parameters
    ----------
    settings : Settings
        Where the data are, and the size.
    part : {"train", "test"}, optional
        Which.

    Returns
    -------
    table : SignTable
        The images.
    part : str
        What they are.

    Raises
    ------
    DataError
        If something is missing or broken.
    """
    if part is not None:
        return load_signs(settings, part), part
    try:
        return load_signs(settings, "test"), "test"
    except DataError as error:
        if "but not the test part" not in str(error):
            raise
        return load_signs(settings, "train"), "train"


def split_signs(settings: Settings, table: SignTable) -> tuple[SignTable, SignTable]:
    """Cut a table into a training and a validation part, as the settings say.

    Parameters
    ----------
    settings : Settings
        The kind of split, its seed, and how many images of each class to learn from.
    table : SignTable
        All images.

    Returns
    -------
    train, validation : SignTable
        The parts.
    """
    from minicnn.data.splits import few_of_each, split_by_track, split_random

    split = split_by_track if settings.split == "track" else split_random
    rows, held_out = split(table, seed=settings.seed)
    train = table.select(rows)
    if settings.per_class is not None:
        train = train.select(few_of_each(train, settings.per_class, settings.seed))
    return train, table.select(held_out)


def build_network(settings: Settings) -> nn.Module:
    """Build the network with its first weights; the same settings give the same bits.

    Parameters
    ----------
    settings : Settings
        The model, its channels and the seed.

    Returns
    -------
    Module
        Takes images (N, 3, H, W) from `standardize`, gives scores (N, 43).
    """
    with nn.seed(settings.seed):
        build = MODELS[settings.model].build
        return build(NUM_CLASSES, settings.channels, settings.size)


def starting_network(settings: Settings, resumed: bool = False) -> nn.Module:
    """Build the network as training begins with it: its weights, and which of them learn.

    Parameters
    ----------
    settings : Settings
        What to train, from what, and what to freeze.
    resumed : bool, default False
        Whether a checkpoint has its weights, so that those to begin with need not be there.

    Returns
    -------
    Module
        The network.

    Raises
    ------
    ConfigError
        If there is no such run to begin with, its network or its weights are others, or a pattern
        makes no sense.
    """
    net = build_network(settings)
    if settings.init_from is not None and not resumed:
        run = load_run(Path(settings.init_from))
        if settings.init_sha256 not in (None, run.sha256):
            raise ConfigError(
                f"init_from: {settings.init_from} has other weights than this run was begun with; "
                "begin another one"
            )
        transfer.take_over(net, settings.init_from, run.net.state_dict(), not settings.new_head)
    transfer.freeze(net, settings)
    return net


def training_input(settings: Settings, table: SignTable, workers: int = 2) -> Dataset:
    """Describe the endless stream of training batches.

    Parameters
    ----------
    settings : Settings
        The batch size, the seed, and whether to augment.
    table : SignTable
        The training part.
    workers : int, default 2
        Threads that prepare batches ahead; the batches are the same with any number.

    Returns
    -------
    Dataset
        Of (images (N, 3, H, W) float32, labels (N,) int64).
    """
    view = RandomView()

    def prepare(images: np.ndarray, labels: np.ndarray, stream: Stream) -> Any:
        seen = view(images, stream) if settings.augment else images
        return standardize(seen), labels

    return (
        Dataset.from_slices((table.images, table.labels))
        .shuffle(seed=settings.seed)
        .repeat()
        .batch(settings.batch_size, drop_remainder=True)
        .map(prepare, workers=workers, random=True, seed=settings.seed)
        .prefetch(2)
    )


def plain_input(table: SignTable) -> Dataset:
    """Describe one pass over a table, as it is.

    Parameters
    ----------
    table : SignTable
        The images.

    Returns
    -------
    Dataset
        Of (images (N, 3, H, W) float32, labels (N,) int64).
    """
    return (
        Dataset.from_slices((table.images, table.labels))
        .batch(BATCH)
        .map(lambda images, labels: (standardize(images), labels))
    )


def make_estimator(
    settings: Settings,
    train: SignTable,
    model_dir: Path,
    *,
    device: str = "cpu",
    resume: bool | str = False,
    save_every: int = 200,
    precision: str | None = None,
    cuda_graph: bool = False,
) -> Estimator:
    """Build the Estimator that trains the network, or picks up a run that was stopped.

    Parameters
    ----------
    settings : Settings
        What to train, and how.
    train : SignTable
        The training part; the length of the learning-rate schedule follows from it.
    model_dir : Path
        Where checkpoints go.
    device : str, default "cpu"
        ``"cpu"`` or ``"cuda"``.
    resume : bool or "auto", default False
        Whether to go on from the newest checkpoint there; "auto": if there is one.
    save_every : int, default 200
        Steps from one checkpoint to the next.
    precision : str, optional
        How matrices are multiplied; see `RunConfig`.
    cuda_graph : bool, default False
        Whether to replay the captured step, on a GPU; see `RunConfig`.

    Returns
    -------
    Estimator
        Ready to train.

    Raises
    ------
    ConfigError
        If `model_dir` holds a run and `resume` is False, or a run of other settings.
    """
    from minicnn.estimator import Estimator, RunConfig, newest_checkpoint
    from minicnn.metrics import Accuracy

    total = settings.steps(len(train))
    peak = min(MODELS[settings.model].peak * settings.batch_size / 128, 0.5)
    schedule = OneCycle(peak, total, rise=0.2)

    def optimizer(params: Any) -> Optimizer:
        groups = decay_groups(params, WEIGHT_DECAY)
        if settings.rates is not None:
            groups = rate_groups(groups, transfer.parse_rates(settings.rates))
        return SGD(groups, schedule, momentum=0.9, nesterov=True)

    there = resume is not False and newest_checkpoint(model_dir / "checkpoints") is not None
    return Estimator.from_module(
        starting_network(settings, resumed=there),
        loss=cross_entropy,
        optimizer=optimizer,
        metrics={"accuracy": Accuracy},
        params=_identity(settings) | {"data": train.digest()},
        config=RunConfig(
            model_dir=model_dir,
            save_every=save_every,
            seed=settings.seed,
            device=device,
            resume=resume,
            precision=precision,
            cuda_graph=cuda_graph,
        ),
    )


def _identity(settings: Settings) -> dict[str, Any]:
    """Return what a run that is resumed must share, whatever the folders are called by then."""
    found = dataclasses.asdict(settings)
    plain = dataclasses.asdict(Settings())
    for name in NEWER:  # a run of before they were there can be resumed
        if found[name] == plain[name] or name == "init_from":
            del found[name]
    return found


def cross_entropy(logits: Tensor, labels: Any) -> Tensor:
    """Compute the training loss: smoothed cross-entropy.

    Parameters
    ----------
    logits : Tensor, shape (N, K)
        Scores.
    labels : ndarray of int, shape (N,)
        The right classes.

    Returns
    -------
    Tensor
        A scalar.
    """
    return ops.sparse_softmax_cross_entropy(logits, labels, label_smoothing=LABEL_SMOOTHING)


def load_run(model_dir: Path, device: str = "cpu") -> Run[Settings, nn.Module]:
    """Load the newest intact checkpoint of a run.

    Parameters
    ----------
    model_dir : Path
        Where it was trained.
    device : str, default "cpu"
        Where to put the network.

    Returns
    -------
    Run
        The network and what is known of it.

    Raises
    ------
    ConfigError
        If there is no run, or it has no checkpoint yet.
    CheckpointError
        If no checkpoint is intact. Of damaged ones a CheckpointWarning tells.
    """
    return load_trained(model_dir, "gtsrb", Settings, build_network, device)
