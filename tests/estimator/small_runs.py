"""A small run with all that must survive a restart; also a program that is killed by its tests."""

import os
import signal
import sys

import numpy as np

from minicnn import ops
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.estimator import (
    Estimator,
    EstimatorSpec,
    Hook,
    Mode,
    OutputHook,
    RunConfig,
    ValidationHook,
)
from minicnn.metrics import Accuracy
from minicnn.nn import BatchNorm2d, layers
from minicnn.optim import SGD, Cosine, WarmUp

CLASSES = 3
PARAMS = {"channels": 4, "rate": 0.05}


def images_and_labels(count=44, seed=0):
    stream = Stream(seed, "images")
    labels = stream.integers(0, CLASSES, count)
    images = stream.normal((count, 2, 6, 6), dtype=np.float32)
    images[:, 0] += labels[:, None, None].astype(np.float32)
    return images, labels


def augment(image, label, stream):
    return image + np.float32(0.1) * stream.normal(image.shape, dtype=np.float32), label


def training_data(workers=0, repeat=True):
    data = Dataset.from_slices(images_and_labels()).shuffle(seed=3)
    data = data.map(augment, workers=workers, random=True, seed=5)
    return (data.repeat() if repeat else data).batch(8).prefetch(2 if workers else 0)


def validation_data():
    return Dataset.from_slices(images_and_labels(21, seed=1)).batch(8)


def model_fn(features, labels, mode, params):
    x = layers.conv2d(features, params["channels"], normalizer=BatchNorm2d, activation=ops.relu)
    x = layers.dropout(layers.flatten(x), 0.3)
    logits = layers.dense(x, CLASSES)
    if mode == Mode.PREDICT:
        predictions = {"class": logits.argmax(axis=1), "probabilities": ops.softmax(logits)}
        return EstimatorSpec(mode, predictions=predictions)
    return EstimatorSpec(
        mode,
        loss=ops.sparse_softmax_cross_entropy(logits, labels),
        optimizer=lambda p: SGD(p, WarmUp(Cosine(params["rate"], 40), 5), weight_decay=1e-3),
        metrics={"accuracy": Accuracy().update(logits, labels)},
    )


def estimator(model_dir=None, params=None, **config):
    return Estimator(model_fn, PARAMS | (params or {}), RunConfig(model_dir, **config))


def bits(of):
    """Everything that a run has learned, as bytes by name."""
    arrays = {f"weights/{k}": v for k, v in of.model.weights().items()}
    slots = of.optimizer.state_dict() if of.optimizer is not None else of.optimizer_state or {}
    arrays |= {f"optimizer/{k}": v for k, v in slots.items()}
    return {"step": of.step, "examples": of.examples} | {k: v.tobytes() for k, v in arrays.items()}


class KillHook(Hook):
    """Kills the process without any warning, at a place in a step."""

    def __init__(self, step, place):
        self.step, self.place = step, place

    def _kill(self, context, place):
        if (context.step, place) == (self.step, self.place):
            os.kill(os.getpid(), signal.SIGKILL)

    def before_step(self, context):
        self._kill(context, "before_step")

    def before_update(self, context):
        self._kill(context, "before_update")

    def after_step(self, context):
        self._kill(context, "after_step")


def main(model_dir, workers, max_steps, kill_at="-1", place=""):
    data = training_data(int(workers))
    hooks = [OutputHook(), ValidationHook(validation_data, 5), KillHook(int(kill_at), place)]
    run = estimator(model_dir, save_every=3)
    run.train(lambda: data, max_steps=int(max_steps), hooks=hooks)
    run.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
