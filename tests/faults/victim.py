"""The training that is hurt: small, with all that must survive a restart.

Its orders are one JSON object: where its run lives, where its data come from, which faults strike.
It ends as ``python -m minicnn.train`` does: with status 0, with 2 and one line about what is wrong,
with 128 plus the number of a signal. What it does on the way it tells in a diary outside of its
model_dir, one JSON object a line.

    python -m tests.faults.victim ORDERS
"""

import json
import os
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minicnn import ops
from minicnn.apps._settings import load_settings, save_settings
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.archives import open_tree
from minicnn.errors import DataError, MinicnnError
from minicnn.estimator import (
    BestCheckpoint,
    Estimator,
    EstimatorSpec,
    Hook,
    Interrupted,
    Mode,
    NaNGuard,
    OutputHook,
    PlotHook,
    RunConfig,
    ValidationHook,
)
from minicnn.metrics import Accuracy
from minicnn.nn import BatchNorm2d, layers
from minicnn.optim import SGD, Cosine, WarmUp
from tests.faults.injection import Fault, Injector, turn_back_the_clock

STEPS, SAVE_EVERY, KEEP, EVALUATE_EVERY = 24, 3, 3, 5
EXAMPLES, CLASSES, BATCH = 44, 3, 8
PLANTED = 3  # the status after an error of the user's function


@dataclass(frozen=True)
class Orders:
    """What a victim is to do.

    Attributes
    ----------
    model_dir, diary : str
        Where it writes.
    data : str
        A folder or zip of examples, a folder with ``.npy`` files; empty for arrays in memory.
    shuffle : str
        "whole", or "buffer": two ways to shuffle, whose positions look quite different.
    workers : int
        Threads of the pipeline.
    steps, save_every, keep : int
        As in `Estimator` and `RunConfig`.
    faults : tuple of Fault
        What strikes.
    seed : int
        For faults that need luck.
    count : bool
        Whether to tell, at the end, how often it came to which place.
    clock : bool
        Whether the time of day goes backwards.
    pictures : bool
        Whether to draw curves, and to export at the end.
    limit : int
        How many bytes a file may have at most, as on a disk that is full; 0 for any number.
    """

    model_dir: str
    diary: str
    data: str = ""
    shuffle: str = "whole"
    workers: int = 2
    steps: int = STEPS
    save_every: int = SAVE_EVERY
    keep: int | None = KEEP
    faults: tuple[Fault, ...] = ()
    seed: int = 0
    count: bool = False
    clock: bool = False
    pictures: bool = False
    limit: int = 0

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Orders":
        """Return the orders of `to_json`."""
        content = json.loads(text)
        return Orders(**content | {"faults": tuple(Fault(**f) for f in content["faults"])})


@dataclass(frozen=True)
class Settings:
    """What is kept in settings.json."""

    channels: int = 4
    rate: float = 0.05
    note: str = field(default="x" * 300)


def images_and_labels(count: int = EXAMPLES, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return examples that can be learned."""
    stream = Stream(seed, "images")
    labels = stream.integers(0, CLASSES, count)
    images = stream.normal((count, 2, 6, 6), dtype=np.float32)
    images[:, 0] += labels[:, None, None].astype(np.float32)
    return images, labels


def write_data(folder: Path) -> None:
    """Write the examples into files of all kinds that a victim reads."""
    images, _ = images_and_labels()
    for name in ("files", "mapped"):
        (folder / name).mkdir(parents=True)
    for i, image in enumerate(images):
        (folder / "files" / f"{i}.raw").write_bytes(image.tobytes())
    with zipfile.ZipFile(folder / "zip.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for i, image in enumerate(images):
            archive.writestr(f"{i}.raw", image.tobytes())
    # Large rows, so that what is cut off are pages that nobody has looked at yet
    padded = np.zeros((EXAMPLES, 2, 6, 6 * 64), np.float32)
    padded[..., :6] = images
    np.save(folder / "mapped" / "images.npy", padded)


def reader(data: str) -> tuple[Any, Callable[[Any], np.ndarray]]:
    """Return what stands for the images in the pipeline, and the function that gets one."""
    if not data:
        return images_and_labels()[0], lambda image: image
    if data.endswith("mapped"):
        rows = np.load(Path(data) / "images.npy", mmap_mode="r")
        return np.arange(len(rows)), lambda i: np.array(rows[i, ..., :6])
    tree = open_tree(Path(data))

    def read(i: Any) -> np.ndarray:
        name = f"{i}.raw"
        try:
            return np.frombuffer(tree.read(name), np.float32).reshape(2, 6, 6)
        except (DataError, ValueError) as error:
            raise DataError(f"{data}: {name}: {error}") from error

    return np.arange(EXAMPLES), read


def training_data(orders: Orders, injector: Injector) -> Dataset:
    """Return batches through every kind of stage."""
    source, read = reader(orders.data)

    def augment(item: Any, label: Any, stream: Stream) -> tuple[Any, Any]:
        if threading.current_thread() is not threading.main_thread() or not orders.workers:
            injector.visit("worker")
        image = read(item)
        return image + np.float32(0.1) * stream.normal(image.shape, dtype=np.float32), label

    def relight(images: Any, labels: Any, stream: Stream) -> tuple[Any, Any]:
        injector.visit("prefetch")
        return images * np.float32(1 + 0.1 * stream.uniform()), labels

    data = Dataset.from_slices((source, images_and_labels()[1]))
    data = data.shuffle(seed=3, buffer=None if orders.shuffle == "whole" else 16)
    data = data.map(augment, workers=orders.workers, random=True, seed=5)
    data = data.repeat().batch(BATCH).map(relight, random=True, seed=6)
    return data.prefetch(2 if orders.workers else 0)


def validation_data() -> Dataset:
    """Return batches to evaluate on."""
    return Dataset.from_slices(images_and_labels(21, seed=1)).batch(BATCH)


def model_fn(features: Any, labels: Any, mode: Mode, params: dict[str, Any]) -> EstimatorSpec:
    """Return a small net with moving averages and dropout."""
    x = layers.conv2d(features, params["channels"], normalizer=BatchNorm2d, activation=ops.relu)
    x = layers.dropout(layers.flatten(x), 0.3)
    logits = layers.dense(x, CLASSES)
    return EstimatorSpec(
        mode,
        loss=ops.sparse_softmax_cross_entropy(logits, labels),
        optimizer=lambda p: SGD(p, WarmUp(Cosine(params["rate"], 40), 5), weight_decay=1e-3),
        metrics={"accuracy": Accuracy().update(logits, labels)},
    )


class Diary:
    """What a victim tells, line by line, whatever becomes of it.

    Parameters
    ----------
    path : str
        The file.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def tell(self, what: str, **about: Any) -> None:
        """Append a line."""
        os.write(self._file, json.dumps({"what": what} | about).encode() + b"\n")


def hooks_of(orders: Orders, injector: Injector, diary: Diary) -> list[Hook]:
    """Return the hooks of a careful user, and our own."""
    hooks: list[Hook] = [NaNGuard(), OutputHook()]
    hooks += [ValidationHook(validation_data, EVALUATE_EVERY), BestCheckpoint("loss")]
    if orders.pictures:
        hooks.append(PlotHook(seconds=0.0))
    return [*hooks, injector.hook()]


def train(orders: Orders, injector: Injector, diary: Diary) -> None:
    """Begin a run, or go on with it."""
    settings, folder = Settings(), Path(orders.model_dir)
    params = {"channels": settings.channels, "rate": settings.rate, "shuffle": orders.shuffle}
    config = RunConfig(folder, save_every=orders.save_every, keep=orders.keep)
    run = Estimator(model_fn, params, config)
    resumed = None if run.resumed_from is None else run.resumed_from.name
    diary.tell("began", step=run.step, checkpoint=resumed)
    try:
        with run.locked():
            if (folder / "settings.json").exists():
                load_settings(folder, "victim", Settings)
            save_settings(folder, "victim", settings)
            data = training_data(orders, injector)
            hooks = hooks_of(orders, injector, diary)
            run.train(lambda: data, max_steps=orders.steps, hooks=hooks)
            if orders.pictures:
                run.export(folder / "export", overwrite=True)
    finally:
        diary.tell("ended", step=run.step)
        run.close()


def main(orders: Orders) -> int:
    """Train as told; return the exit status."""
    diary = Diary(orders.diary)
    injector = Injector(list(orders.faults), Path(orders.model_dir), diary.tell, orders.seed)
    if orders.faults or orders.count:
        injector.watch_files()
    if orders.limit:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (orders.limit, resource.RLIM_INFINITY))
    if orders.clock:
        turn_back_the_clock(orders.seed)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = lambda message, kind, *_: diary.tell(
                "warned", kind=kind.__name__, text=str(message)
            )
            train(orders, injector, diary)
    except (MinicnnError, OSError) as error:
        return _say(diary, error, 2)
    except KeyboardInterrupt as error:
        return _say(diary, error, 128 + getattr(error, "signal", 2))
    except (RuntimeError, MemoryError) as error:
        if "planted" not in f"{error}{error.__cause__}":
            raise
        return _say(diary, error, PLANTED)
    diary.tell("finished", counts=dict(injector.counts))
    return 0


def _say(diary: Diary, error: BaseException, status: int) -> int:
    about: dict[str, Any] = {"interrupted": isinstance(error, Interrupted), "status": status}
    names = [kind.__name__ for kind in type(error).__mro__]
    diary.tell(
        "error", kinds=names, text=str(error), notes=getattr(error, "__notes__", []), **about
    )
    print(f"victim: error: {error}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main(Orders.from_json(sys.argv[1])))
