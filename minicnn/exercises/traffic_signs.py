"""Exercises of the lesson on the traffic-sign classifier and the Estimator."""

from __future__ import annotations

import contextlib
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minicnn.data import Dataset
from minicnn.exercises._exercise import exercise, predict
from minicnn.exercises._sign_hooks import OutputHook, ValidationHook

__all__ = [
    "OutputHook",
    "ValidationHook",
    "confusion",
    "first_loss",
    "held_out",
    "training_input",
]

# ---- what an untrained classifier says

first_loss = predict(
    "first_loss",
    "A network that knows nothing gives each of 43 classes the same probability. What is its "
    "cross-entropy, to two digits behind the point?",
    math.log(43),
    mistakes={
        "that is the probability of the right class; the loss is minus its logarithm": 1 / 43,
        "that is the logarithm to base 2; cross-entropy takes the natural one": math.log2(43),
        "that is the logarithm to base 10; cross-entropy takes the natural one": math.log10(43),
        "a loss of 0 is that of a net that is sure, and right": 0.0,
        "the probability of the right class is below 1, and so its logarithm below 0; the loss is "
        "minus that": -math.log(43),
        "that is the number of classes; take the logarithm": 43.0,
        "that is the share of wrong answers, not the cross-entropy": 42 / 43,
    },
    tolerance=0.005,
)


# ---- the input pipeline: a bug to be found


def _input_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for examples, classes, batch_size in (
        (40, 5, 8),
        (37, 4, 8),
        (48, 6, 6),
        (31, 3, 7),
        (45, 9, 5),
    ):
        labels = np.sort(rng.integers(0, classes, examples))
        files = [f"{label:05d}/{number:05d}.png" for number, label in enumerate(labels)]
        yield files, labels, batch_size


def _play_input(answer: Any, files: list[str], labels: Any, batch_size: int) -> Any:
    """Read three passes and say what can be said of them without knowing the order."""
    threads = set()

    def load(file: str, label: Any) -> Any:
        threads.add(threading.current_thread())
        return np.array(files.index(str(file))), label

    dataset = answer(files, labels, load, batch_size)
    wanted = -(-3 * len(files) // batch_size) + 1
    with contextlib.closing(iter(dataset)) as batches:
        read = list(itertools.islice(batches, wanted))
    order = np.concatenate([np.atleast_1d(images) for images, _ in read])
    given = np.concatenate([np.atleast_1d(label) for _, label in read])
    passes = [order[i * len(files) : (i + 1) * len(files)].tolist() for i in range(3)]
    together = [frozenset(np.atleast_1d(images).tolist()) for images, _ in read]
    per_pass = len(files) // batch_size
    return {
        "labels fit": bool((np.asarray(labels)[order] == given).all()),
        "endless": len(read) == wanted,
        "shuffled": passes[0] != sorted(passes[0]),
        "batches differ": not set(together[:per_pass]) & set(together[per_pass + 1 : wanted]),
        "orders differ": passes[0] != passes[1],
        "each pass whole": all(sorted(one) == list(range(len(files))) for one in passes),
        "sizes": sorted({len(images) for images, _ in read}),
        "threads": any(thread is not threading.current_thread() for thread in threads),
    }


def _lacks(fact: str) -> Callable[..., bool]:
    """Return a symptom: a fact is another."""
    return lambda got, expected, *_: got[fact] != expected[fact]


@exercise(
    cases=_input_cases,
    play=_play_input,
    mistakes={},
    symptoms={
        "image and label no longer belong together: shuffle pairs, not one of the two": _lacks(
            "labels fit"
        ),
        "the input ends, but training reads on and on: repeat": _lacks("endless"),
        "nothing is shuffled: the first batches hold one class only": _lacks("shuffled"),
        "whole batches are shuffled, not examples: the same ones are together in every pass. What "
        "must come first, shuffle or batch?": lambda got, expected, *_: (
            not got["batches differ"] and got["orders differ"]
        ),
        "every pass has the same order: shuffle where it can be done anew for each pass, without "
        "a cache behind it": lambda got, expected, *_: not got["orders differ"],
        "examples of two passes are mixed, or some are left out: one comes twice before another "
        "has come once. Shuffle within a pass, and repeat then": _lacks("each pass whole"),
        "the last batch of each pass is smaller than the others: repeat first, then batch": _lacks(
            "sizes"
        ),
        "files are read by the thread that should train: give map workers": _lacks("threads"),
    },
)
def training_input(files: Any, labels: Any, load: Any, batch_size: int) -> Any:
    """Describe the endless stream of training batches.

    load(file, label) returns an image and its label; let threads call it ahead of time. Every
    pass over the files has another order; each file comes once in it; all batches have
    batch_size examples. Return a Dataset.
    """
    return (
        Dataset.from_slices((files, labels))
        .shuffle(seed=0)
        .map(load, workers=2)
        .repeat()
        .batch(batch_size)
    )


# ---- what went wrong, and where


def _confusion_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for examples, classes in ((30, 4), (12, 7), (50, 5), (9, 3), (25, 6)):
        right = rng.integers(0, classes - 1, examples)  # none of the last class
        predicted = np.where(rng.random(examples) < 0.5, right, rng.integers(0, classes, examples))
        yield right, predicted, classes


def _counted(right: Any, predicted: Any, classes: int) -> np.ndarray:
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (right, predicted), 1)
    return counts


def _once(right: Any, predicted: Any, classes: int) -> np.ndarray:
    """Count what comes twice once."""
    return np.minimum(_counted(right, predicted, classes), 1)


def _without_missing(right: Any, predicted: Any, classes: int) -> np.ndarray:
    """Count only as far as classes occur."""
    top = max(right.max(), predicted.max()) + 1
    return _counted(right, predicted, classes)[:top, :top]


@exercise(
    cases=_confusion_cases,
    without=("ConfusionMatrix", "confusion_matrix"),
    mistakes={
        "rows and columns are exchanged: the row is the right class": lambda right, predicted, k: (
            _counted(right, predicted, k).T
        ),
        "each pair is counted once at most: counts[right, predicted] += 1 with arrays does not add "
        "up what comes twice": _once,
        "those are shares; counts are wanted": lambda right, predicted, k: (
            _counted(right, predicted, k)
            / np.maximum(_counted(right, predicted, k).sum(axis=1, keepdims=True), 1)
        ),
        "only the mistakes are counted; what is right belongs on the diagonal": (
            lambda right, predicted, k: (
                _counted(right, predicted, k) * (1 - np.eye(k, dtype=np.int64))
            )
        ),
    },
    symptoms={
        "a class that does not occur has a row and a column, too: (classes, classes) numbers": (
            lambda got, expected, right, predicted, classes: (
                np.shape(got) != (classes, classes)
                and (
                    np.shape(got) == np.shape(_without_missing(right, predicted, classes))
                    or np.shape(got)[0] < classes
                )
            )
        ),
    },
)
def confusion(right: Any, predicted: Any, classes: int) -> Any:
    """Count how often each class was taken for each.

    right and predicted are arrays (N,) of class numbers. Return an array (classes, classes) whose
    row is the right class and whose column is the predicted one.
    """
    counts = np.zeros((classes, classes), np.int64)
    for i, j in zip(right, predicted, strict=True):
        counts[i, j] += 1
    return counts


# ---- a split that does not leak


def _split_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for classes, every in ((4, 5), (3, 3), (5, 4), (2, 2), (6, 5)):
        files = []
        for label in range(classes):
            tracks = np.sort(rng.choice(30, rng.integers(every + 1, 14), replace=False))
            frames = rng.integers(2, 7, len(tracks))
            for track, count in zip(tracks, frames, strict=True):
                files += [f"{label:05d}/{track:05d}_{frame:05d}.png" for frame in range(count)]
        yield [files[i] for i in rng.permutation(len(files))], every


def _sign_of(file: str) -> str:
    """Return class and track of a file: one physical sign."""
    return file.rsplit("_", 1)[0]


def _whole_signs(held: Any, files: list[str]) -> bool:
    """Tell whether no sign is on both sides."""
    there = {_sign_of(file) for file, out in zip(files, held, strict=True) if out}
    return not there & {_sign_of(f) for f, out in zip(files, held, strict=True) if not out}


def _by_number_in_the_name(files: list[str], every: int) -> list[bool]:
    return [int(_sign_of(file)[-5:]) % every == 0 for file in files]


def _by_track_of_all_classes(files: list[str], every: int) -> list[bool]:
    signs = sorted({_sign_of(file) for file in files})
    return [signs.index(_sign_of(file)) % every == 0 for file in files]


def _same_number_in_all_classes(files: list[str], every: int) -> list[bool]:
    numbers = sorted({_sign_of(file)[-5:] for file in files})
    return [numbers.index(_sign_of(file)[-5:]) % every == 0 for file in files]


def _kept_in_training(files: list[str], every: int) -> list[bool]:
    return [not held for held in held_out.solution(files, every)]


@exercise(
    cases=_split_cases,
    mistakes={
        "that goes by the number in the name; there are gaps in the numbers, so count the tracks "
        "there are": _by_number_in_the_name,
        "the tracks of all classes are counted through, so that a class may lose all or none of "
        "its own; begin anew with each class": _by_track_of_all_classes,
        "track 7 of one class has nothing to do with track 7 of another: go class by class": (
            _same_number_in_all_classes
        ),
        "True is for what is held out; that is the other part": _kept_in_training,
    },
    symptoms={
        "give one bool for each file, in their order": lambda got, expected, files, every: (
            len(got) != len(files)
        ),
        "frames of one sign are in both parts: that is the leak. Decide track by track, not file "
        "by file": lambda got, expected, files, every: not _whole_signs(got, files),
        "whole classes are held out: nothing was learned of them": lambda got, expected, files,
        every: len({f[:5] for f, out in zip(files, got, strict=True) if not out})
        < len({f[:5] for f in files}),
        "the tracks are whole, but other ones than asked for: sort those of a class, and take the "
        "first of every `every`": lambda got, expected, files, every: _whole_signs(got, files),
    },
)  # fmt: skip
def held_out(files: Any, every: int) -> Any:
    """Say of each file whether to hold it out, such that no sign is in both parts.

    A file is "CLASS/TRACK_FRAME.png"; a track shows one physical sign, and numbers of tracks
    begin anew in each class. Of each class's tracks, sorted, hold out number 0, every,
    2 * every, ..., with all their frames. Files come in any order. Return a list of bool.
    """
    tracks: dict[str, set[str]] = {}
    for file in files:
        label, name = file.split("/")
        tracks.setdefault(label, set()).add(name.split("_")[0])
    out = {(label, track) for label, found in tracks.items() for track in sorted(found)[::every]}
    return [(file.split("/")[0], file.split("/")[1].split("_")[0]) in out for file in files]
