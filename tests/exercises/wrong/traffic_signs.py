"""Wrong answers to the exercises on the traffic-sign classifier and the Estimator."""

import csv
from collections import Counter

import numpy as np

from minicnn.data import Dataset
from minicnn.estimator import Hook
from minicnn.exercises import traffic_signs as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

# ---- the first loss

wrong(exercise.first_loss, hint="base 2")(5.43)
wrong(exercise.first_loss, hint="base 10")(1.63)
wrong(exercise.first_loss, hint="probability of the right class")(0.0233)
wrong(exercise.first_loss, hint="below 0")(-3.76)

# ---- the input pipeline


@wrong(exercise.training_input, hint="whole batches")
def batches_first(files, labels, load, batch_size):
    data = Dataset.from_slices((files, labels)).map(load, workers=2)
    return data.batch(batch_size, drop_remainder=True).shuffle().repeat()


@wrong(exercise.training_input, hint="two passes are mixed")
def repeats_first(files, labels, load, batch_size):
    data = Dataset.from_slices((files, labels)).repeat().shuffle(buffer=20)
    return data.map(load, workers=4).batch(batch_size)


@wrong(exercise.training_input, hint="same order")
def shuffled_once_and_kept(files, labels, load, batch_size):
    data = Dataset.from_slices((files, labels)).shuffle(seed=7).map(load, workers=2)
    return data.cache().repeat().batch(batch_size)


@wrong(exercise.training_input, hint="the thread that should train")
def reads_in_the_loop(files, labels, load, batch_size):
    return Dataset.from_slices((files, labels)).shuffle().map(load).repeat().batch(batch_size)


@wrong(exercise.training_input, hint="no longer belong together")
def shuffles_the_files_alone(files, labels, load, batch_size):
    files = [files[i] for i in np.random.default_rng(0).permutation(len(files))]
    data = Dataset.from_slices((files, labels)).map(load, workers=2)
    return data.shuffle().repeat().batch(batch_size)


@wrong(exercise.training_input, hint="the input ends")
def one_pass(files, labels, load, batch_size):
    return Dataset.from_slices((files, labels)).shuffle().map(load, workers=2).batch(batch_size)


@wrong(exercise.training_input, hint="nothing is shuffled")
def in_the_order_of_the_folders(files, labels, load, batch_size):
    return Dataset.from_slices((files, labels)).map(load, workers=2).repeat().batch(batch_size)


# ---- OutputHook


@wrong(exercise.OutputHook, hint="wipes out")
class OpensAnew(Hook):
    def __init__(self, path):
        self.path = path

    def begin(self, context):
        self.file = open(self.path, "w")  # noqa: SIM115
        self.file.write("step,loss,accuracy\n")

    def after_step(self, context):
        row = context.step, context.loss, context.metrics["accuracy"]
        self.file.write(",".join(map(str, row)) + "\n")

    def end(self, context):
        self.file.close()


@wrong(exercise.OutputHook, hint="not on the disk")
class KeepsRowsInMemory(Hook):
    def __init__(self, path):
        self.path, self.rows = path, []
        self.path.write_text("step,loss,accuracy\n")

    def after_step(self, context):
        self.rows.append(f"{context.step},{context.loss},{context.metrics['accuracy']}")


@wrong(exercise.OutputHook, hint="too early")
class BeforeTheStep(Hook):
    def __init__(self, path):
        self.path = path

    def begin(self, context):
        if not self.path.exists():
            self.path.write_text("step,loss,accuracy\n")

    def before_step(self, context):
        accuracy = context.metrics.get("accuracy", 0.0)
        with open(self.path, "a") as file:
            print(context.step, context.loss, accuracy, sep=",", file=file)


@wrong(exercise.OutputHook, hint="header comes again")
class WritesTheHeaderEachTime(Hook):
    def __init__(self, path):
        self.path = path

    def begin(self, context):
        with open(self.path, "a") as file:
            file.write("step,loss,accuracy\n")

    def after_step(self, context):
        with open(self.path, "a", newline="") as file:
            row = context.step, context.loss, context.metrics["accuracy"]
            csv.writer(file, lineterminator="\n").writerow(row)


@wrong(exercise.OutputHook, hint="digits")
class Rounds(Hook):
    def __init__(self, path):
        self.path = path

    def after_step(self, context):
        if not self.path.exists():
            self.path.write_text("step,loss,accuracy\n")
        with open(self.path, "a") as file:
            file.write(f"{context.step},{context.loss:.2f},{context.metrics['accuracy']:.2f}\n")


@wrong(exercise.OutputHook, hint="context.step")
class CountsItself(Hook):
    def __init__(self, path):
        self.path, self.count = path, 0

    def after_step(self, context):
        if not self.path.exists():
            self.path.write_text("step,loss,accuracy\n")
        self.count += 1
        with open(self.path, "a") as file:
            file.write(f"{self.count},{context.loss},{context.metrics['accuracy']}\n")


# ---- ValidationHook


@wrong(exercise.ValidationHook, hint="one batch")
class TakesTheFirstBatch(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history = input_fn, every, []

    def after_step(self, context):
        if context.step % self.every == 0:
            found = context.estimator.evaluate(lambda: self.input_fn().take(1))
            self.history.append((context.step, found["loss"], found["accuracy"]))


@wrong(exercise.ValidationHook, hint="training batch")
class RemembersTheTrainingBatch(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history = input_fn, every, []

    def after_step(self, context):
        if context.step % self.every == 0:
            self.history.append((context.step, context.loss, context.metrics["accuracy"]))


@wrong(exercise.ValidationHook, hint="smaller")
class AveragesTheBatches(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history = input_fn, every, []

    def after_step(self, context):
        if context.step % self.every:
            return
        total = np.zeros(2)
        batches = list(self.input_fn())
        for batch in batches:
            found = context.estimator.evaluate(lambda batch=batch: [batch])
            total += found["loss"], found["accuracy"]
        self.history.append((context.step, *(total / len(batches))))


@wrong(exercise.ValidationHook, hint="counter of your own")
class CountsCalls(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history, self.calls = input_fn, every, [], 0

    def after_step(self, context):
        self.calls += 1
        if self.calls % self.every == 0:
            found = context.evaluate(self.input_fn, "validation")
            self.history.append((context.step, found["loss"], found["accuracy"]))


@wrong(exercise.ValidationHook, hint="too early")
class BeforeEveryNth(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history = input_fn, every, []

    def before_step(self, context):
        if context.step % self.every == 0:
            found = context.estimator.evaluate(self.input_fn)
            self.history.append((context.step, found["loss"], found["accuracy"]))


@wrong(exercise.ValidationHook, hint="every step")
class EvaluatesAlways(Hook):
    def __init__(self, input_fn, every):
        self.input_fn, self.every, self.history = input_fn, every, []

    def after_step(self, context):
        found = context.evaluate(self.input_fn, "validation")
        self.history.append((context.step, found["loss"], found["accuracy"]))


# ---- the confusion matrix


@wrong(exercise.confusion, hint="exchanged")
def predicted_in_the_rows(right, predicted, classes):
    counts = np.zeros((classes, classes), int)
    for i, j in zip(predicted, right, strict=True):
        counts[i, j] += 1
    return counts


@wrong(exercise.confusion, hint="once at most")
def adds_with_arrays(right, predicted, classes):
    counts = np.zeros((classes, classes), int)
    counts[right, predicted] += 1
    return counts


@wrong(exercise.confusion, hint="does not occur")
def only_classes_that_occur(right, predicted, classes):
    there = sorted(set(right.tolist()) | set(predicted.tolist()))
    there = [c for c in there if c in set(right.tolist())]
    pairs = Counter(zip(right.tolist(), predicted.tolist(), strict=True))
    return np.array([[pairs[i, j] for j in there] for i in there])


@wrong(exercise.confusion, hint="diagonal")
def mistakes_alone(right, predicted, classes):
    counts = np.zeros((classes, classes), int)
    for i, j in zip(right, predicted, strict=True):
        if i != j:
            counts[i, j] += 1
    return counts


# ---- the split


@wrong(exercise.held_out, hint="track by track")
def every_nth_file(files, every):
    order = {file: i for i, file in enumerate(sorted(files))}
    return [order[file] % every == 0 for file in files]


@wrong(exercise.held_out, hint="track by track")
def at_random(files, every):
    return (np.random.default_rng(0).random(len(files)) < 1 / every).tolist()


@wrong(exercise.held_out, hint="gaps")
def number_of_the_track(files, every):
    return [int(file.split("/")[1].split("_")[0]) % every == 0 for file in files]


@wrong(exercise.held_out, hint="class by class")
def tracks_without_their_class(files, every):
    tracks = sorted({file.split("/")[1].split("_")[0] for file in files})
    out = set(tracks[::every])
    return [file.split("/")[1].split("_")[0] in out for file in files]


@wrong(exercise.held_out, hint="all classes")
def tracks_counted_through(files, every):
    signs = sorted({file.split("_")[0] for file in files})
    out = set(signs[::every])
    return [file.split("_")[0] in out for file in files]


@wrong(exercise.held_out, hint="whole classes")
def every_nth_class(files, every):
    classes = sorted({file.split("/")[0] for file in files})[::every]
    return [file.split("/")[0] in classes for file in files]
