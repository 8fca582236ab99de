# %% [markdown]
# # 6. The traffic-sign classifier
#
# A network that learns is twenty lines. A run you can trust is more: data read ahead by threads, a
# log, a validation that does not disturb, checkpoints, and above all a test that does not flatter
# you. The Estimator brings all of it, and you will write its two most important hooks yourself.
#
# **You will be able to** describe an input pipeline and see what is wrong in one, write a
# `model_fn` for three modes, hang your own code around every step, stop a run and go on, and say
# how good the classifier is on signs *nobody has seen*, which is not what the course's validation
# says.
#
# **Builds on** lesson 5. About 40 minutes. The signs are drawn by a program; with `REAL = True`
# they are photographs from the folder that the environment variable `MINICNN_GTSRB` names.

# %%
import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from minicnn import Tensor, layers, nn, no_grad, ops, optim, visualise
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.gtsrb import load_gtsrb
from minicnn.data.sign_table import TRACKS_PER_CLASS
from minicnn.data.signs import make_signs
from minicnn.estimator import Estimator, EstimatorSpec, Hook, Mode, RunConfig
from minicnn.exercises import traffic_signs as exercise
from minicnn.metrics import Accuracy

REAL = False  # True needs MINICNN_GTSRB

# %% [markdown]
# ## The data, as files
# 43 classes. A *track* is one physical sign, photographed again and again while a car drives up to
# it: the *frames*. The name of a file says it all: `CLASS/TRACK_FRAME.png`, as in the German
# Traffic Sign Recognition Benchmark (Stallkamp et al., Neural Networks 32, 2012). The label is the
# folder's name. Of each class we take up to 12 tracks and 8 frames.

# %%
if REAL:
    archives = Path(os.environ["MINICNN_GTSRB"]).rglob("*.zip")
    table = load_gtsrb(max(archives, key=lambda path: path.stat().st_size))
else:
    table = make_signs(tracks_per_class=12, frames=8)
frames = np.array([int(Path(name).stem.split("_")[-1]) for name in table.names])
rows = (table.tracks % TRACKS_PER_CLASS < 12) & (frames % (4 if REAL else 1) == 0)
signs, frames = table.select(rows), frames[rows]

home = tempfile.TemporaryDirectory()
folder = Path(home.name)
files = []
for image, label, track, frame in zip(
    signs.images, signs.labels, signs.tracks, frames, strict=True
):
    files.append(f"{label:05d}/{track % TRACKS_PER_CLASS:05d}_{frame:05d}.png")
    (folder / files[-1]).parent.mkdir(exist_ok=True)
    Image.fromarray(image).save(folder / files[-1])
print(f"{len(files):,} files, the first is {files[0]}")

figure = visualise.new_figure(9, 3.6)
for label, panel in enumerate(figure.subplots(4, 11).flat):
    panel.set_axis_off()
    if label < 43:
        panel.imshow(signs.images[signs.labels == label][7])
        panel.set_title(str(label), fontsize=7)
figure.suptitle("One sign of each class, by its label")
figure

# %% [markdown]
# Before anything else, put some signs away: tracks 10 and 11 of each class are **the road**.
# Neither training nor validation will see them; they stand for the signs the car will meet. The
# rest is split as the course does it: a fifth of the images, at random, for validation.

# %%
files = np.array(files)
labels = np.array([int(file.split("/")[0]) for file in files])
number_of_track = np.array([int(file[6:11]) for file in files])
road = np.flatnonzero(number_of_track >= 10)
known = np.flatnonzero(number_of_track < 10)
shuffled = np.random.default_rng(0).permutation(known)
fifth = len(known) // 5
random_split = {"training": shuffled[fifth:], "validation": shuffled[:fifth]}
print({part: len(rows) for part, rows in random_split.items()}, "and on the road", len(road))

# %% [markdown]
# ## The pipeline
# A `Dataset` describes what happens to each element; it runs when someone iterates. Training needs
# an endless stream of batches: each file once in every pass, in another order each time, images
# read by other threads than the one that trains.
#
# ### Exercise: find the bugs
# Here is a pipeline with all the right words in it. Train with it and the loss jumps about and
# never gets good. What is in its batches? (Files are sorted by class, as folders are.) It has two
# bugs; the check names one at a time.


# %%
def load(file, label):
    with Image.open(folder / str(file)) as picture:
        return np.asarray(picture), label


def training_input(files, labels, load, batch_size):
    return Dataset.from_slices((files, labels)).map(load).batch(batch_size).shuffle().repeat()


broken = training_input(np.sort(files[known]), np.sort(labels[known]), load, 64)
print("classes in three batches:", [sorted(set(batch[1].tolist())) for batch in broken.take(3)])
training_input = exercise.training_input.check(training_input)
mended = training_input(np.sort(files[known]), np.sort(labels[known]), load, 64)
print("mended, how many classes:", [len(set(batch[1].tolist())) for batch in mended.take(3)])

# %% [markdown]
# A batch of one class tells the net "it is always this one"; the next batch says something else.
# Batch normalisation then even subtracts what all of them have in common: the sign. Every gradient
# is honest, and their sequence is nonsense.
#
# ## `model_fn`: one function, three modes
# `model_fn(features, labels, mode, params)` builds the net, and returns what the mode needs. In
# `PREDICT` there are no labels, hence no loss. `params` holds all settings: they are saved with the
# run. This is the course's network: three blocks of three convolutions, 8, 16 and 32 channels, max
# pooling between, global average, dense 100, dropout, dense 43.


# %%
def model_fn(features, labels, mode, params):
    x = features
    with nn.arg_scope(layers.conv2d, size=3, normalizer=nn.BatchNorm2d, activation=ops.relu):
        for block in range(3):
            with layers.scope(f"block{block + 1}"):
                for _ in range(3):
                    x = layers.conv2d(x, params["channels"] * 2**block)
            x = layers.max_pool2d(x, 2) if block < 2 else layers.global_avg_pool2d(x)
    x = layers.dense(x, 100, activation=ops.relu, name="hidden")
    x = layers.dropout(x, params["dropout"])
    logits = layers.dense(x, 43, name="logits")
    if mode == Mode.PREDICT:
        return EstimatorSpec(mode, predictions={"probabilities": ops.softmax(logits)})
    loss = ops.sparse_softmax_cross_entropy(logits, labels)
    schedule = optim.OneCycle(params["rate"], params["steps"], rise=0.2)
    return EstimatorSpec(
        mode,
        loss=loss,
        optimizer=lambda parameters: optim.SGD(parameters, schedule, momentum=0.9),
        metrics={"accuracy": Accuracy().update(logits, labels)},
    )


params = {"channels": 8, "dropout": 0.25, "rate": 0.2, "steps": 400}

# %% [markdown]
# `arg_scope` sets defaults for a kind of layer: nine convolutions, one line. `explain_args` says
# where each setting came from. The learning rate rises for a fifth of the steps and falls for the
# rest, with momentum 0.9.


# %%
def input_of(split, part):
    """Describe the batches of a part: endless for training, one pass else."""
    rows = split[part]
    if part == "training":
        batches = training_input(files[rows], labels[rows], load, 64)
    else:
        batches = Dataset.from_slices((files[rows], labels[rows])).map(load, workers=2).batch(256)
    return batches.map(lambda images, wanted: (standardize(images), wanted)).prefetch(2)


estimator = Estimator(model_fn, params, RunConfig(model_dir=folder / "run", save_every=100))
data = input_of(random_split, "training")
estimator.train(lambda: data, steps=1)
for name, argument in nn.explain_args(estimator.module.block2.conv2d_1).items():
    if argument.source != "default":
        print(f"{name:12} = {getattr(argument.value, '__name__', argument.value)!s:12}",
              argument.source.split(" at ")[0])  # fmt: skip
print(f"{sum(p.size for p in estimator.module.parameters()):,} numbers to learn")

# %% [markdown]
# ## The first number to look at
# Before a long run: is the loss at its beginning what it must be? (The cheapest test there is: it
# finds labels that are off, a softmax too many, inputs of the wrong size.)
#
# ### Exercise: predict
# The network knows nothing yet and gives all 43 classes about the same probability. What is the
# cross-entropy?

# %%
first_loss = ...  # your number
first_loss = exercise.first_loss.check(first_loss)


# %%
class FirstLoss(Hook):
    """Remember the loss of the first step."""

    def after_step(self, context):
        if context.step == 1:
            self.loss = context.loss


first = FirstLoss()
Estimator(model_fn, params).train(lambda: data, steps=1, hooks=[first])
print(f"expected about {first_loss:.2f}, measured {first.loss:.2f}")
assert abs(first.loss - first_loss) < 0.6

# %% [markdown]
# That was a hook: an object whose methods are called around every step. `begin` and `end` once,
# `before_step` with the batch before the net sees it, `after_step` when the weights are changed.
# The `context` says where the run stands: `step`, `loss`, `metrics`, `estimator`. (TensorFlow calls
# the two `before_run` and `after_run`.)
#
# ### Exercise: OutputHook
# A log of loss and accuracy, a row for each step. Mind the second life of the run: when it goes on
# after a stop, with a new hook object, what was logged must still be there.


# %%
class OutputHook(Hook):
    def __init__(self, path):
        pass  # your code

    def begin(self, context): ...  # write "step,loss,accuracy", unless ...

    def after_step(self, context): ...  # write a row


OutputHook = exercise.OutputHook.check(OutputHook)

# %% [markdown]
# ### Exercise: ValidationHook
# After every N-th step of the run, a pass over the *whole* validation set. The training batch's
# accuracy says how well the net does on what it just learned from; this one, on what it did not.
# `context.evaluate(input_fn, "validation")` switches dropout off, takes the moving averages of
# batch normalisation, weighs the smaller last batch rightly, and gives all of it back as it was.


# %%
class ValidationHook(Hook):
    def __init__(self, input_fn, every):
        pass  # your code; self.history = []

    def after_step(self, context): ...  # append (step, loss, accuracy)


ValidationHook = exercise.ValidationHook.check(ValidationHook)

# %% [markdown]
# ## Train, stop, go on
# The run so far has one step and a `model_dir`. We go on to step 100 and let it "die". A *new*
# Estimator on the same folder finds the newest checkpoint: weights, momentum, moving averages, the
# place in the shuffled data, the counters of the random numbers.
#
# **Predict.** The run that was stopped and the one that was not: how far apart are their weights?

# %%
log = folder / "log.csv"
history = []


def run_until(estimator, step, split, log):
    """Train up to a step with both hooks; return what validation said."""
    validation = input_of(split, "validation")
    hook = ValidationHook(lambda: validation, every=50)
    estimator.train(lambda: data, max_steps=step, hooks=[OutputHook(log), hook])
    return hook.history


history += run_until(estimator, 100, random_split, log)
images, wanted = next(batch for batch in list(input_of(random_split, "validation")))
losses = {}  # of the same weights and images, by what batch normalisation goes by
for kind, training in {"moving averages": False, "the batch itself": True}.items():
    estimator.module.train(training)
    with no_grad(), estimator.module:
        losses[kind] = model_fn(Tensor(images), wanted, Mode.EVAL, params).loss.item()
del estimator  # the power is cut

estimator = Estimator(model_fn, params, RunConfig(model_dir=folder / "run", save_every=100))
print("a new Estimator stands at step", estimator.step, "from", estimator.resumed_from.name)
history += run_until(estimator, 400, random_split, log)

# %%
short = {**params, "channels": 4, "steps": 6}
weights = {}
for name, stops in {"straight": [6], "stopped": [3, 6]}.items():
    for stop in stops:
        again = Estimator(model_fn, short, RunConfig(model_dir=folder / name))
        again.train(lambda: data, max_steps=stop)
    weights[name] = again.module.state_dict()
apart = max(
    np.abs(weights["straight"][n] - weights["stopped"][n]).max() for n in weights["straight"]
)
print("largest difference between straight and stopped:", apart)
assert apart == 0

# %% [markdown]
# Zero: the same bits. That is not a nicety. A run that differs after a stop cannot be debugged, for
# whatever went wrong does not come again.
#
# ## Curves
# From the log that your hook wrote, both lives of the run in one file.

# %%
rows = np.genfromtxt(log, delimiter=",", names=True)
curves = {
    "training": {
        name: list(zip(rows["step"], rows[name], strict=True)) for name in ("loss", "accuracy")
    },
    "validation": {
        "loss": [(step, loss) for step, loss, _ in history],
        "accuracy": [(step, accuracy) for step, _, accuracy in history],
    },
}
figure = visualise.learning_curves(curves, "Random split: training batches and validation")
figure

# %% [markdown]
# Notice the noise of the pale line: a batch of 64 images is a small sample. Notice that validation
# levels out at the end, where the learning rate is small. And notice **step 100**: the validation
# loss is far above $\log 43$, worse than knowing nothing, while training goes on getting better. A
# bug? Overfitting? Evaluate the same weights on the same images, once as the course's net does at
# test time, with the moving averages of batch normalisation, and once with the batch's own mean and
# variance:

# %%
for kind, loss in losses.items():
    print(f"step 100, validation loss with {kind}: {loss:.2f}")
assert losses["moving averages"] > losses["the batch itself"]

# %% [markdown]
# The weights are fine. At the top of the learning rate they change so fast that the averages, a
# memory of about ten steps, describe a net that is no more. When the rate falls they catch up. Who
# looks at one validation early in a run, and stops there, has stopped a good run.

# %%
claimed = history[-1][2]
print(f"validation accuracy: {claimed:.1%}")
assert len(rows) == 399  # one row for each step after the first
assert claimed > 0.9

# %% [markdown]
# ## How good is it really?
# **Predict.** On the road it meets signs of the same 43 classes, drawn by the same program, which
# it has never seen. What accuracy do you expect there?

# %%
everything = {"road": road}
on_the_road = estimator.evaluate(lambda: input_of(everything, "road"))["accuracy"]
print(f"validation said {claimed:.1%}, the road says {on_the_road:.1%}: "
      f"{(1 - on_the_road) / (1 - claimed):.1f} times as many mistakes")  # fmt: skip
assert on_the_road < claimed

# %% [markdown]
# What happened? The eight frames of a track are nearly one picture. Split at random, a validation
# image has six or so of its brothers in the training set: the net need not know the *class*, it has
# seen the very *sign*. That is a **leak**, and no curve shows it. Count it:

# %%
sign = np.array([file.split("_")[0] for file in files])
seen_before = np.isin(sign[random_split["validation"]], sign[random_split["training"]]).mean()
print(f"{seen_before:.0%} of the validation images show a sign that is in the training set")
assert seen_before > 0.9

# %% [markdown]
# ### Exercise: a split that does not leak
# Hold out whole tracks: of each class's tracks, sorted, number 0, `every`, 2 `every`, ... Mind that
# numbers of tracks begin anew in each class.


# %%
def held_out(files, every):
    pass  # your code: a list of bool, one for each file


held_out = exercise.held_out.check(held_out)

# %%
out = np.array(held_out(files[known].tolist(), 5))
track_split = {"training": known[~out], "validation": known[out]}
assert not np.isin(sign[track_split["validation"]], sign[track_split["training"]]).any()

data = input_of(track_split, "training")
honest = Estimator(model_fn, params, RunConfig(model_dir=folder / "honest"))
honest_claim = run_until(honest, 400, track_split, folder / "honest.csv")[-1][2]
honest_road = honest.evaluate(lambda: input_of(everything, "road"))["accuracy"]

figure = visualise.new_figure(5.5, 3.6)
panel = figure.subplots()
for x, name, values in (-0.2, "validation says", [claimed, honest_claim]), (
    0.2, "the road says", [on_the_road, honest_road]):  # fmt: skip
    bars = panel.bar(np.arange(2) + x, 100 * (1 - np.array(values)), 0.38, label=name)
    panel.bar_label(bars, fmt="%.1f")
panel.set_xticks([0, 1], ["random split", "split by track"])
panel.set(title="What validation says, and what comes", ylabel="mistakes [%]")
panel.set_xlabel("how validation was split off")
panel.set_ylim(0, 130 * (1 - min(on_the_road, honest_road, honest_claim)))
panel.legend(loc="upper left")
figure

# %% [markdown]
# Both nets are about equally good on the road: they were trained alike. What differs is what you
# were *told*. Random: a number that flatters. By track: near the truth (up to chance; each class
# has only two tracks held out). The course's 99.5 % is of the first kind. The table in the
# [README](../README.md) has both splits for real photographs.

# %%
print(f"random split:   validation {claimed:.1%}, road {on_the_road:.1%}")
print(f"split by track: validation {honest_claim:.1%}, road {honest_road:.1%}")
assert min(on_the_road, honest_road) > 0.8
assert abs(honest_claim - honest_road) < 0.07

# %% [markdown]
# ## Which mistakes?
# `predict` goes over images one by one, in mode PREDICT: no labels asked for. A net that is wrong
# now and then is wrong somewhere in particular. Where?
#
# ### Exercise: the confusion matrix
# Row: the right class. Column: the predicted one.

# %%
found = list(honest.predict(lambda: input_of(everything, "road")))
probabilities = np.stack([row["probabilities"] for row in found])
predicted = probabilities.argmax(axis=1)


def confusion(right, predicted, classes):

    pass  # your code


confusion = exercise.confusion.check(confusion)

# %%
counts = confusion(labels[road], predicted, 43)
assert np.trace(counts) / counts.sum() == (predicted == labels[road]).mean()
figure = visualise.confusion_matrix(
    counts, CLASS_NAMES, "Signs on the road: what was taken for what"
)
figure

# %%
off = counts * (1 - np.eye(43, dtype=int))
for place in np.argsort(-off, axis=None)[:5]:
    i, j = divmod(int(place), 43)
    print(f"{off[i, j]:2} times {CLASS_NAMES[i]!r} was taken for {CLASS_NAMES[j]!r}")
share = off[:9, :9].sum() / off.sum()
print(f"{share:.0%} of the mistakes are among signs 0 to 8, most of which differ in a digit")
print(f"{(off > 0).sum()} of the {43 * 42:,} possible confusions occur")

# %% [markdown]
# A confusion matrix is read off the diagonal: each bright spot is a pair of signs that look alike,
# or one sign that was hard to see in all its frames. The rest of the picture is empty.
#
# ## The eight worst
# Not just wrong: wrong *and sure of it*. Nothing tells you more about a classifier, or about your
# labels, than to look at those.

# %%
pictures = np.moveaxis(signs.images[road], -1, 1)
figure = visualise.worst_mistakes(
    pictures, labels[road], probabilities, CLASS_NAMES, count=8, title="The road"
)
figure

# %%
worst = visualise.mistakes(labels[road], probabilities)
tracks = sign[road][worst]
print(f"{len(worst)} mistakes on {len(set(tracks))} of {len(set(sign[road]))} signs")
assert len(worst) == (predicted != labels[road]).sum()

# %% [markdown]
# Would you have known them all? Some are far away, dark or glaring; and mistakes come in families:
# a sign that is misread once is misread in most of its frames. So the images on the road are no
# independent samples either: count tracks, not frames, when you say how sure you are of a number.
#
# ## What you know now
# - A pipeline is shuffle, map with workers, repeat, batch, in this order
#   ([Dataset](../minicnn/data/dataset.py)); what is in the batches is worth a look before training.
# - `model_fn` serves TRAIN, EVAL and PREDICT ([EstimatorSpec and
#   RunConfig](../minicnn/estimator/spec.py), [arg_scope](../minicnn/nn/arg_scope.py)); the first
#   loss of K classes is about log K.
# - Hooks do what you like around each step; minicnn's own
#   [OutputHook](../minicnn/estimator/record_hooks.py) and
#   [ValidationHook](../minicnn/estimator/control_hooks.py) also survive a full disk or a torn line.
# - A run that was stopped goes on with the same bits
#   ([Estimator](../minicnn/estimator/estimator.py)).
# - Frames of one sign belong on one side of the [split](../minicnn/data/splits.py), else validation
#   tells you what you want to hear.
#
# All of this as one command, with augmentation and the rest: `python -m minicnn.train gtsrb` ([the
# app](../minicnn/apps/gtsrb.py)). Next: lesson 7 makes the network deeper, until it breaks.

# %%
home.cleanup()
