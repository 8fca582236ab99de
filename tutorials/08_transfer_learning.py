# %% [markdown]
# # 8. Transfer learning
#
# A network learned to read some traffic signs. Now there are others, and of each you have two
# pictures, or five. From scratch that is hopeless. But the first network knows already what edges,
# rings and arrows look like: it need only learn their new names.
#
# You will be able to
# * look at what a layer of a trained net knows, and say which layer serves a new task;
# * replace a net's head, freeze what is below, and say what *frozen* must mean;
# * derive the head's gradient, and see why the rest needs no backward pass at all;
# * choose between the head only, all layers gently, and layer by layer;
# * find the two bugs by which a frozen layer moves all the same.
#
# It builds on lessons [5](05_classification_head.py) (softmax and its loss) and
# [7](07_going_deeper.py) (batch normalisation). Allow 35 minutes. Where it says **Predict**, write
# your guess down first.

# %%
import copy
import os
import time
from pathlib import Path

import numpy as np

from minicnn import Tensor, check_gradients, models, nn, no_grad, ops, optim
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import RandomView, standardize
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.signs import make_signs
from minicnn.data.splits import few_of_each
from minicnn.estimator import Estimator, GradualUnfreezing
from minicnn.exercises import transfer_learning as exercise
from minicnn.visualise import new_figure

# %% [markdown]
# ## Two tasks
# Of the 43 kinds of signs, 33 are the *old* task: of them there are many pictures. The other 10 are
# the *new* one. All are drawn, and a quarter of the physical signs (whole tracks) is held out.

# %%
NEW = np.array([2, 9, 11, 12, 14, 18, 25, 33, 38, 40])
OLD = np.setdiff1d(np.arange(43), NEW)
signs = make_signs(tracks_per_class=12, frames=4, size=24)
is_new, held_out = np.isin(signs.labels, NEW), signs.tracks % 4 == 3
labels = np.where(is_new, np.searchsorted(NEW, signs.labels), np.searchsorted(OLD, signs.labels))


def part(rows):
    """Return the pictures and the labels of some rows."""
    return signs.images[rows], labels[rows]


old_train, old_test = part(~is_new & ~held_out), part(~is_new & held_out)
new_train, new_test = part(is_new & ~held_out), part(is_new & held_out)
print("old: learn from", len(old_train[1]), "of", len(OLD), "kinds, test on", len(old_test[1]))
print("new:", len(NEW), "kinds, test on", len(new_test[1]))

figure = new_figure(8, 1.7)
for kind, panel in enumerate(figure.subplots(1, len(NEW))):
    of_kind = new_train[0][new_train[1] == kind]
    panel.imshow(of_kind[of_kind.std(axis=(1, 2, 3)).argmax()])
    panel.set_title(CLASS_NAMES[NEW[kind]][:16], fontsize=6)
    panel.set_axis_off()
figure.suptitle("The new task: ten kinds of signs that the first net never sees", fontsize=9)
figure

# %% [markdown]
# ## The first net
# The course's network, the momentum gradient descent and the augmentation of lesson 6, in one plain
# loop that we will need again. The optimiser is made by the caller: what moves, and how fast, is
# what this lesson is about.


# %%
def train(net, pictures, wanted, steps, optimizer, batch=20, seed=0):
    """Train on augmented batches; return the seconds that it took."""
    view, start = RandomView(), time.perf_counter()
    batches = Dataset.from_slices((pictures, wanted)).shuffle(seed=seed).repeat().batch(batch)
    net.train()
    for step, (images, right) in enumerate(batches.take(steps)):
        seen = standardize(view(images, Stream(seed, "view", step)))
        with nn.random_key(seed, step):
            loss = ops.sparse_softmax_cross_entropy(net(Tensor(seen)), right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    return time.perf_counter() - start


def sgd(params, rate, steps=100):
    """Momentum, one cycle of the rate, weight decay."""
    return optim.SGD(params, optim.OneCycle(rate, steps), momentum=0.9, weight_decay=5e-4)


def accuracy(net, pictures, wanted):
    """Return the share of pictures whose highest score is the right one's."""
    with no_grad(), nn.evaluating():
        return float((net(Tensor(standardize(pictures))).data.argmax(axis=1) == wanted).mean())


with nn.seed(0):
    first = models.SeedNet(len(OLD))
train(first, *old_train, 300, sgd(first, 0.15, 300), batch=64)
old_accuracy = accuracy(first, *old_test)
print(f"{first.count_parameters():,} numbers; old task: {old_accuracy:.0%} of the held-out signs")
assert old_accuracy > 0.75

# %% [markdown]
# ## What does it see in signs it never met?
# `nn.features(net, "block2")` is the net up to that layer, as a module; `extract` makes arrays of
# arrays. Show the first net five pictures of each *new* kind, and average their features: a point
# for each kind. A picture that was held out belongs to the point it is nearest to. Nothing is
# trained.
#
# **Exercise: nearest mean.** Labels are any whole numbers.


# %%
def nearest_mean(features, labels, queries):
    pass  # your code; (N, D), (N,), (M, D) -> (M,)


nearest_mean = exercise.nearest_mean.check(nearest_mean)

# %% [markdown]
# **Predict:** from which layer on do the features tell the new kinds apart: the pixels themselves,
# block 1, 2, 3, or the hidden layer that was trained to tell *other* kinds apart?

# %%
five = few_of_each(signs.select(is_new & ~held_out), 5, seed=0)
few_x, few_y = new_train[0][five], new_train[1][five]


def features_of(layer, pictures):
    """Return a vector for each picture: each channel's mean, so what is there, and not where."""
    x = standardize(pictures)
    y = x if layer == "pixels" else nn.features(first, layer).extract(x)
    return y.reshape(*y.shape[:2], -1).mean(axis=2)


layers = ["pixels", "block1", "block2", "block3", "hidden"]
known = {}
for layer in layers:
    guess = nearest_mean(features_of(layer, few_x), few_y, features_of(layer, new_test[0]))
    known[layer] = float((guess == new_test[1]).mean())

figure = new_figure(6.5, 3.5)
panel = figure.subplots()
bars = panel.bar(layers, [100 * known[layer] for layer in layers])
panel.bar_label(bars, fmt="%.0f %%")
panel.axhline(100 / len(NEW), color="black", linestyle=":", label="guessing")
panel.set(xlabel="layer of the first net", ylabel="new signs recognised (%)", ylim=(0, 125))
panel.set_title("Five pictures a kind, no training: nearest mean of features")
panel.legend()
print({layer: f"{share:.0%}" for layer, share in known.items()})
assert known["block3"] > known["block1"]
assert known["hidden"] > 0.8
figure

# %% [markdown]
# The mean colour says little. The first block knows edges: more than half. Each block knows more
# than the one before, and from the third on features that were learned from *other* signs tell nine
# of ten of these apart. That is transfer: the knowledge is in the layers, and the last only names
# it.
#
# ## A new head
# `nn.replace_head` puts a new dense layer in the place of the last, for other classes.
#
# **Exercise: how many numbers learn?** The old head saw 100 neurons and told 33 kinds apart. The
# new one is for 10; all other layers are frozen.

# %%
head_numbers = None  # your number
head_numbers = exercise.head_numbers.check(head_numbers)

# %%
net = copy.deepcopy(first)
with nn.seed(1):
    (head,) = nn.replace_head(net, len(NEW))
frozen = nn.freeze(net, f"!{head}")  # all but the head; patterns as "block*" do, too
learn = sum(p.size for p in net.parameters() if p.requires_grad)
print(f"new head {head!r}: {learn:,} of {net.count_parameters():,} numbers learn")
assert learn == head_numbers

# %% [markdown]
# ## The head's gradient
# With features $f_n$ the scores are $s_n = W f_n + b$, and the probabilities $p_n =
# \mathrm{softmax}(s_n)$. With the right classes $y_n$ the loss is $L = -\frac1N \sum_n \log p_{n,
# y_n}$. From lesson 5:
#
# $$\frac{\partial L}{\partial s_{nk}} = \frac{1}{N} \big(p_{nk} - [k = y_n]\big), \qquad
# \frac{\partial L}{\partial W_{kd}} = \sum_n \frac{\partial L}{\partial s_{nk}} f_{nd}, \qquad
# \frac{\partial L}{\partial b_k} = \sum_n \frac{\partial L}{\partial s_{nk}}.$$
#
# Nowhere in it is anything about the layers below. Who trains a head alone need not go back through
# them: no backward pass, nothing to remember for it.
#
# **Exercise: write it.** With loops first, if you like; then without.


# %%
def head_gradients(features, weight, bias, labels):
    pass  # your code; returns two arrays


head_gradients = exercise.head_gradients.check(head_gradients)

# %% [markdown]
# Three witnesses: your formula, minicnn's tape, and finite differences.

# %%
layer = net.logits
f = features_of("hidden", few_x)
loss = ops.sparse_softmax_cross_entropy(layer(Tensor(f)), few_y)
loss.backward()
mine = head_gradients(f, layer.weight.numpy(), layer.bias.numpy(), few_y)
for ours, tape in zip(mine, (layer.weight.grad, layer.bias.grad), strict=True):
    print(ours.shape, "largest difference from the tape:", np.abs(ours - tape.numpy()).max())
    assert np.allclose(ours, tape.numpy(), atol=1e-5)
check_gradients(
    lambda weight, bias: ops.sparse_softmax_cross_entropy(
        ops.dense(Tensor(f.astype(np.float64)), weight, bias), few_y
    ),
    layer.weight.numpy().astype(np.float64),
    layer.bias.numpy().astype(np.float64),
)

# %% [markdown]
# **Predict:** a step with all layers takes a certain time. With the first block frozen? The first
# two? All but the head?

# %%
images, right = Tensor(standardize(old_train[0][:128])), old_train[1][:128] % len(NEW)


def milliseconds(patterns, rounds=6):
    """Return the least time of a training step with those layers frozen."""
    trial = copy.deepcopy(net)
    nn.unfreeze(trial)
    if patterns:
        nn.freeze(trial, *patterns)
    trial.train()
    optimizer, times = sgd(trial, 0.01), []
    for _ in range(rounds):
        start = time.perf_counter()
        loss = ops.sparse_softmax_cross_entropy(trial(images), right)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(1000 * (time.perf_counter() - start))
    return min(times)


cost = {
    "nothing": milliseconds([]),
    "block1": milliseconds(["block1"]),
    "block1, block2": milliseconds(["block1", "block2"]),
    "all but the head": milliseconds(["!logits"]),
}
figure = new_figure(6.5, 3)
panel = figure.subplots()
bars = panel.barh(list(cost), list(cost.values()))
panel.bar_label(bars, fmt="%.1f ms", padding=3)
panel.invert_yaxis()
panel.set(xlabel="time of a step of 128 pictures (ms)", ylabel="frozen")
panel.set_xlim(0, 1.2 * max(cost.values()))
panel.set_title("Frozen from the first layer on: no backward pass", fontsize=11)
assert cost["all but the head"] < 0.7 * cost["nothing"]
figure

# %% [markdown]
# The first block is the dearest, for its maps are the largest. And one can do better: what passes
# through a frozen body comes out the same every time. So keep it.
#
# **Exercise: keep the features.** 50 pictures, 40 epochs, 4 views of each picture, made once and
# kept. How many pictures pass through the body, in all epochs together?

# %%
kept_views = None  # your number
kept_views = exercise.kept_views.check(kept_views)

# %% [markdown]
# ## What must *frozen* mean?
# Here is a training step of a head, as it is often written. The body is to stay as it is, to the
# last bit. It does not: run it, and the old task is forgotten. **There are two bugs in it.**


# %%
def careless_step(body, head, optimizer, images, labels):
    """Do one training step of the head, or so it says."""
    loss = ops.sparse_softmax_cross_entropy(head(body(images)), labels)
    optimizer.zero_grad()
    loss.backward()
    for parameter in body.parameters():  # they are frozen: their gradient is 0
        parameter.grad = parameter.grad * 0
    optimizer.step()
    return loss.item()


# %% [markdown]
# **Exercise: repair it.** The optimiser has the parameters of both, with momentum and weight decay,
# and has trained them before; body and head come in training mode. What moves, without a gradient?


# %%
def head_step(body, head, optimizer, images, labels):
    pass  # your code: careless_step, repaired


head_step = exercise.head_step.check(head_step)

# %% [markdown]
# `nn.freeze` sees to both: frozen parameters have *no* gradient (`None`), which optimisers leave
# alone, and a layer of which all is frozen is in evaluation mode, whatever `net.train()` says. How
# bad is the second bug alone? Say the new pictures come from a camera that sees no colour. We
# freeze all weights but the head's, leave batch normalisation in training mode, and train on the
# few grey pictures. Then we put the *old* head back, and show the net its old signs, in colour.
#
# **Predict:** not one weight of the body has changed. What is left of the old task?


# %%
def with_old_head(body):
    """Return a net of this body, and the first net's head."""
    weights = {n: v for n, v in body.state_dict().items() if not n.startswith("logits")}
    old_head = {n: v for n, v in first.state_dict().items() if n.startswith("logits")}
    whole = copy.deepcopy(first)
    whole.load_state_dict(weights | old_head)
    return whole


grey = np.repeat(few_x.mean(axis=3, keepdims=True), 3, axis=3).astype(np.uint8)
careful, careless = copy.deepcopy(net), copy.deepcopy(net)
nn.unfreeze(careless)
for name, parameter in careless.named_parameters():
    parameter.requires_grad = name.startswith("logits")  # the mode of the layers is forgotten
for kind in careful, careless:
    train(kind, grey, few_y, 100, sgd(kind, 0.1))
kept = {"nn.freeze": accuracy(with_old_head(careful), *old_test)}
kept["requires_grad only"] = accuracy(with_old_head(careless), *old_test)
print(f"old task before: {old_accuracy:.1%};", {k: f"{v:.1%}" for k, v in kept.items()})
assert kept["nn.freeze"] == old_accuracy
assert kept["requires_grad only"] < old_accuracy - 0.15

# %% [markdown]
# The moving averages went over to grey pictures, and colours are normalised by them. No loss shows
# it, and no weight has changed: you find it by comparing bits, or never. (To let the averages go
# over *on purpose* can help in a new light. Then it is a choice, and the old net is kept.)
#
# ## How much should move?
# Four ways to learn the new task from 2, 5 or 20 pictures of each kind, all in 100 steps of 20:
# from scratch; the head only; all layers at a low rate; all layers at the rate of scratch.
#
# **Predict** their order, for 2 pictures and for 20.

# %%
WAYS = {"scratch": 0.15, "head only": 0.1, "all, gently": 0.03, "all, rate of scratch": 0.15}


def moved(way, pictures, wanted, seed):
    """Return a net that has learned the new task in one of the ways."""
    net = copy.deepcopy(first)
    with nn.seed(seed):
        if way == "scratch":
            net = models.SeedNet(len(NEW))
        else:
            nn.replace_head(net, len(NEW))
    if way == "head only":
        nn.freeze(net, "!logits")
    train(net, pictures, wanted, 100, sgd(net, WAYS[way]), seed=seed)
    return net


COUNTS = [2, 5, 20]
results = {way: [] for way in WAYS}
for count in COUNTS:
    for way in WAYS:
        found = []
        for seed in (0, 1):
            chosen = few_of_each(signs.select(is_new & ~held_out), count, seed)
            trained = moved(way, new_train[0][chosen], new_train[1][chosen], seed)
            found.append(accuracy(trained, *new_test))
        results[way].append(float(np.mean(found)))
for way, shares in results.items():
    print(f"{way:22}", "  ".join(f"{share:4.0%}" for share in shares))


def plot_results(results, counts, title):
    """Draw accuracy over the number of pictures, a line for each way."""
    figure = new_figure(6.5, 4)
    panel = figure.subplots()
    for (way, shares), marker in zip(results.items(), "os^D", strict=False):
        panel.plot(counts, [100 * share for share in shares], marker=marker, label=way)
    panel.set_xscale("log")
    panel.set_xticks(counts, [str(count) for count in counts])
    panel.minorticks_off()
    panel.set(xlabel="pictures of each new kind", ylabel="new signs recognised (%)", ylim=(0, 102))
    panel.set_title(title)
    panel.legend()
    return figure


assert results["head only"][0] > results["scratch"][2]
assert results["head only"][1] > results["scratch"][1] + 0.05
assert results["all, gently"][1] > results["scratch"][1] + 0.1
plot_results(results, COUNTS, "Ten new kinds of signs: mean of two seeds")

# %% [markdown]
# With the old body two pictures of a kind do more than twenty from scratch. With two, the head
# alone does as well as anything; with more, moving all layers *gently* is a little better. At the
# full rate the first steps, in which the new head is random, wash away what was known. And the
# old task, with the old head?

# %%
forgets = {"head only": moved("head only", few_x, few_y, 0)}
forgets |= {way: moved(way, few_x, few_y, 0) for way in ("all, gently", "all, rate of scratch")}
old_left = {way: accuracy(with_old_head(net), *old_test) for way, net in forgets.items()}
print(f"old task: {old_accuracy:.0%} before;", {k: f"{v:.0%}" for k, v in old_left.items()})
assert old_left["head only"] == old_accuracy > old_left["all, rate of scratch"]

# %% [markdown]
# That is *catastrophic forgetting*: who fine-tunes keeps a copy.
#
# ## Between head only and all
# **Rates that fall towards the image.** The first layers are the most general: let them move least
# (Howard and Ruder, 2018). **Exercise:** the last layer has the whole rate, each below it a fixed
# share of the one above.


# %%
def layer_rates(layers, rate, factor):
    pass  # your code; returns {name: rate}


layer_rates = exercise.layer_rates.check(layer_rates)

# %% [markdown]
# **One layer after the other.** First the head alone, until it is no longer random; then the layer
# below it as well; and so on (the same paper). **Exercise:** training is cut into as many equal
# parts as there are layers. At which steps is what unfrozen?


# %%
def unfreezing_plan(layers, steps):
    pass  # your code; returns {step: name}


unfreezing_plan = exercise.unfreezing_plan.check(unfreezing_plan)

# %% [markdown]
# `optim.rate_groups` takes factors by pattern, and the hook `GradualUnfreezing` such a plan. Which
# layers learn follows from the step alone, so a run that was stopped and resumed ends with the same
# bits.

# %%
STEPS, LAYERS = 150, ["block1", "block2", "block3", "hidden", "logits"]
factors, plan = layer_rates(LAYERS, 1.0, 0.6), unfreezing_plan(LAYERS, STEPS)
print({name: round(factor, 3) for name, factor in factors.items()}, plan)
gradual = copy.deepcopy(first)
with nn.seed(0):
    nn.replace_head(gradual, len(NEW))
nn.freeze(gradual, "!logits")
view = RandomView()
data = Dataset.from_slices((few_x, few_y)).shuffle(seed=0).repeat().batch(20)
data = data.map(
    lambda x, y, stream: (standardize(view(x, stream)), y), random=True, seed=0
)  # fmt: skip
estimator = Estimator.from_module(
    gradual,
    loss=ops.sparse_softmax_cross_entropy,
    optimizer=lambda params: sgd(optim.rate_groups(params, factors), 0.05, STEPS),
)
learned = []
for step in range(0, STEPS, 30):
    estimator.train(lambda: data, steps=30, hooks=[GradualUnfreezing(plan)])
    learned.append([n for n in LAYERS if getattr(gradual, n).training])
    print(f"step {step + 30:3}  learning {', '.join(learned[-1]):40}", end="")
    print(f"new signs {accuracy(gradual, *new_test):.0%}")
assert learned[0] == ["logits"]
assert learned[-1] == LAYERS
assert accuracy(gradual, *new_test) > 0.85

# %% [markdown]
# ## Use it: from drawn signs to photographs
# Here old and new were drawn by one program, so the body fitted and the head was nearly enough.
# The further away the new task, the more layers must move, if there are pictures enough. If the
# variable `MINICNN_GTSRB` says where photographs are (see the [README](../README.md)), the next
# cell moves the net to *photographs* of the ten kinds, judged on whole tracks that were held out.

# %%
figure = None
if os.environ.get("MINICNN_GTSRB"):
    from minicnn.data.gtsrb import load_gtsrb
    from minicnn.data.splits import split_by_track

    folder = Path(os.environ["MINICNN_GTSRB"])
    archive = folder / "gtsrb-train-cap64.zip"
    real = load_gtsrb(archive if archive.exists() else folder, size=24)
    real = real.select(np.isin(real.labels, NEW))
    rows, test_rows = split_by_track(real)
    of_real, real_test = real.select(rows), real.select(test_rows)
    on_photographs = {way: [] for way in list(WAYS)[:3]}
    for count in (5, 20):
        chosen = of_real.select(few_of_each(of_real, count))
        for way, shares in on_photographs.items():
            trained = moved(way, chosen.images, np.searchsorted(NEW, chosen.labels), 0)
            shares.append(
                accuracy(trained, real_test.images, np.searchsorted(NEW, real_test.labels))
            )
            print(f"{count:3} photographs of each kind, {way}: {shares[-1]:.0%}")
    figure = plot_results(on_photographs, [5, 20], "Photographs, by a net that saw drawings")
else:
    print("MINICNN_GTSRB is not set: no photographs here")
figure

# %% [markdown]
# The same with the whole course's network, all 43 kinds, and photographs from 10 to 200 a class is
# measured by `python -m benchmarks.transfer --data PATH`. On the command line it is
#
#     python -m minicnn.train gtsrb --model-dir runs/drawn
#     python -m minicnn.train gtsrb --model-dir runs/moved --data PATH --init-from runs/drawn \
#         --per-class 10 --epochs 100 --freeze 'block*' --unfreeze block3@20,block2@40,block1@60
#
# ## What you know now
# * The knowledge is in the layers: features of other classes told new ones apart, untrained.
# * A new head is a small problem; a frozen body needs no backward pass, and its features can be
#   kept.
# * *Frozen* means no gradient at all, and evaluation mode: momentum and weight decay move what has
#   a gradient of 0, and every forward pass in training mode moves the averages.
# * Near tasks: the head, or all layers gently. Far ones: more layers. The rate of scratch forgets.
# * The old task is gone after fine-tuning; keep a copy.
#
# Where minicnn does the same: [freezing and heads](../minicnn/nn/transfer.py),
# [features](../minicnn/nn/features.py), [rates by name](../minicnn/optim/groups.py),
# [the hook](../minicnn/estimator/unfreezing.py), [the recipe](../minicnn/apps/_gtsrb_transfer.py).
#
# To read: J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep
# neural networks?", NeurIPS 2014; J. Howard, S. Ruder, "Universal Language Model Fine-tuning for
# Text Classification", ACL 2018.
