# %% [markdown]
# # Gallery: looking inside a network
#
# Every picture that `minicnn.visualise` draws, of a small network trained here and now on drawn
# traffic signs, each with a sentence on how to read it. The numbers behind a picture come from the
# function of the same name with `compute_` before it.

# %%
import numpy as np

from minicnn import Tensor, models, nn, no_grad, ops, optim, visualise
from minicnn.data import Dataset
from minicnn.data.augment import Picture
from minicnn.data.augmentation import standardize
from minicnn.data.classes import CLASS_NAMES, GROUP_NAMES, group_of
from minicnn.data.objects import padded_truths
from minicnn.data.scenes import make_scenes
from minicnn.data.signs import make_signs
from minicnn.detection import DenseDetector, scaled
from minicnn.metrics import ConfusionMatrix, DetectionErrors, MeanAveragePrecision

chosen = [1, 12, 13, 14, 17, 25, 38, 40]
names = [CLASS_NAMES[i] for i in chosen]
signs = make_signs(tracks_per_class=12, frames=4)
rows = np.flatnonzero(np.isin(signs.labels, chosen))
images = standardize(signs.images[rows])
labels = np.searchsorted(chosen, signs.labels[rows])
tracks = 100 * labels + signs.tracks[rows]  # one number for each physical sign
held_out = signs.tracks[rows] % 4 == 3
print(f"{(~held_out).sum()} pictures to learn from, {held_out.sum()} held out: {names}")

# %% [markdown]
# The course's network, 250 steps.

# %%
with nn.seed(0):
    net = models.SeedNet(classes=len(chosen))
batches = Dataset.from_slices((images[~held_out], labels[~held_out])).shuffle(seed=1).repeat()
optimizer = optim.SGD(net.parameters(), optim.Cosine(0.05, steps=250), momentum=0.9)
curves = {"training": {"loss": []}, "held out": {"loss": [], "accuracy": []}}
for step, (batch, wanted) in enumerate(batches.batch(32).take(250)):
    with nn.random_key(0, step):
        loss = ops.sparse_softmax_cross_entropy(net(Tensor(batch)), wanted)
    net.zero_grad()
    loss.backward()
    optimizer.step()
    curves["training"]["loss"].append((step + 1, loss.item()))
    if step % 25 == 24:
        with nn.evaluating(), no_grad():
            scores = net(Tensor(images[held_out]))
            missed = ops.sparse_softmax_cross_entropy(scores, labels[held_out])
        right = (scores.numpy().argmax(axis=1) == labels[held_out]).mean()
        curves["held out"]["loss"].append((step + 1, missed.item()))
        curves["held out"]["accuracy"].append((step + 1, right))
print(f"{right:.1%} of the signs it never saw are right")
assert right > 0.85

# %% [markdown]
# ## How it learned
# **Learning curves**, pale each step, dark their running mean: where the two lines part, the
# network learns by heart.

# %%
visualise.learning_curves(curves, "seednet on drawn signs")

# %% [markdown]
# **Confusion matrix**: rows are the right classes, columns what the network said; off the diagonal
# are its mistakes.

# %%
matrix = ConfusionMatrix(len(chosen)).update(scores.numpy(), labels[held_out]).result()
visualise.confusion_matrix(matrix, names, "held-out signs")

# %% [markdown]
# **Worst mistakes**, those it was surest of first: would you have known?

# %%
probabilities = ops.softmax(scores).numpy()
visualise.worst_mistakes(
    signs.images[rows][held_out].transpose(0, 3, 1, 2), labels[held_out], probabilities, names, 8
)

# %% [markdown]
# ## What it has learned
# **Filters**: the first layer compares colours and finds edges. On the left as images, grey is 0;
# on the right number by number, red positive, blue negative.

# %%
visualise.filters(net)

# %% [markdown]
# **Weights of each layer**: each histogram should be a hill; a spike at 0 is a layer that gave up.

# %%
visualise.weight_histograms(net)

# %% [markdown]
# **Gradients of each layer**, of one batch: if the spread shrinks a thousandfold from the last
# layer to the first, the first hardly learns.

# %%
visualise.gradient_histograms(net, images[held_out][:32], labels[held_out][:32])

# %% [markdown]
# ## What it makes of one image
# **Activations**, layer after layer: edges first, then parts; maps shrink and say less about where
# and more about what, until a bar for each class is left.

# %%
stop = images[held_out][labels[held_out] == names.index("Stop")][2]
visualise.activations(net, stop)

# %% [markdown]
# **Receptive field**: the box is what a unit can see at most, and the light in it what it looks at.
# The middle counts for more than the border.

# %%
visualise.receptive_field(net, stop)

# %% [markdown]
# ## Why it said so
# **Saliency**: how steeply the score depends on each pixel. It is noisy, and says where the score
# would change, not what the sign is made of.

# %%
visualise.saliency(net, stop, class_names=names)

# %% [markdown]
# **Guided backprop**: sharper, for every ReLU passes only what is positive on the way back. Beware:
# it shows much the same edges whatever class you ask for.

# %%
visualise.guided_backprop(net, stop, class_names=names)

# %% [markdown]
# **Grad-CAM**: which places of the last maps speak for the class. Coarse, as these maps are, but
# it does depend on the class.

# %%
visualise.grad_cam(net, stop, class_names=names)

# %% [markdown]
# **Occlusion**: cover a square, ask again. Where it is red, the network needs what it saw there,
# where it is blue, it does better without; no gradient is involved, so nothing can hide behind a
# flat slope. Here for the image, of those it got right, that it was least sure of.

# %%
sure = probabilities.max(axis=1)
doubtful = np.where(probabilities.argmax(axis=1) == labels[held_out], sure, 1).argmin()
visualise.occlusion(net, images[held_out][doubtful], class_names=names)

# %% [markdown]
# ## What each channel is for
# **Maximal patches**: for each channel the patches, of all images, that it answers to most; at most
# one from each physical sign. What do the patches of a row have in common?

# %%
visualise.maximal_patches(net, images, "block2.0", count=8, groups=tracks)

# %% [markdown]
# **Feature maximisation**: noise, changed until a channel is as large as it gets. Stripes in the
# middle of the network; for the classes, shreds of signs that no one would draw.

# %%
visualise.feature_maximisation(net, "block2.2", (3, 32, 32), channels=range(6))

# %%
visualise.feature_maximisation(net, "logits", (3, 32, 32), names=names, channels=[0, 2, 3, 4, 5, 7])

# %% [markdown]
# ## What it takes for alike
# **Embedding**: the hidden layer's 100 numbers for each image, seen from where they spread most.
# Clouds that touch are classes it mixes up; the axes say how much of the spread you see.

# %%
visualise.embedding(net, images[held_out], labels[held_out], class_names=names)

# %% [markdown]
# ## What else it could have learned from
# **Augmentations**: one street scene, moved, relit and mixed at random, its boxes following. For
# signs leave flips out: here they are to be seen for completeness. Before you train on such
# pictures look at them, with your own recipe as `transforms`.

# %%
streets = make_scenes(4, (96, 128), seed=3)
street, *other_streets = [Picture(s.image, s.boxes, s.labels) for s in streets]
visualise.augmentations(street, others=other_streets)

# %% [markdown]
# ## What a detector finds
# A dense one-stage detector: for each of 24 x 32 places a class and four distances. It sees a
# hundred streets for a quarter of a minute, which is enough for the large signs.

# %%
scenes = list(make_scenes(140, (96, 128), seed=4))
table = padded_truths(
    [(s.boxes, [group_of(label) for label in s.labels], s.difficult) for s in scenes]
)
shots = np.stack([s.image for s in scenes])
with nn.seed(0):
    finder = DenseDetector(len(GROUP_NAMES), channels=8, width=24)
optimizer = optim.AdamW(finder.parameters(), optim.OneCycle(0.006, steps=250))
for step in range(250):
    rows = np.random.default_rng(step).integers(0, 100, 8)
    parts = finder.losses(Tensor(scaled(shots[rows])), {k: v[rows] for k, v in table.items()})
    finder.zero_grad()
    sum(parts.values(), start=Tensor(0.0)).backward()
    optimizer.step()
found = finder.eval().find(shots[100:])

# %% [markdown]
# **Detections**: what it believes by at least 30 %, and dashed what there is. Look at what it
# misses, and whether its boxes are too large, too small, or of the wrong class.

# %%
best = max(range(40), key=lambda i: (found[i].scores > 0.3).sum())
there = [
    {"boxes": b[c != -1], "classes": np.maximum(c[c != -1], 0), "difficult": c[c != -1] == -2}
    for b, c in zip(table["boxes"][100:], table["classes"][100:], strict=True)
]
seen = found[best]
visualise.detections(
    shots[100 + best], seen.boxes, seen.classes, seen.scores, GROUP_NAMES, there[best], score=0.3
)

# %% [markdown]
# **Precision and recall**: going along a curve to the right the detector believes ever less sure
# boxes; it finds more (recall), and more of it is wrong (precision falls). The area is the average
# precision. A curve that ends early has objects that it never finds.

# %%
precision = MeanAveragePrecision(GROUP_NAMES).update([f._asdict() for f in found], there)
visualise.precision_recall(precision, title="streets it never saw")

# %% [markdown]
# **Errors**: where it loses. Many of localisation ask for another loss of the boxes, wrong classes
# for more examples or channels, missed objects for a finer map.

# %%
errors = DetectionErrors(len(GROUP_NAMES), score_threshold=0.3)
errors.update([f._asdict() for f in found], there)
visualise.detection_errors({"dense": errors.result()}, "believed from 30 % on")

# %% [markdown]
# **What the background does**: of the places nearly none shows a sign, and most of the others are
# easy. With the cross-entropy of all places they have the larger part of the gradient
# nevertheless; samples balance them, and the focal loss forgets those that are easy.

# %%
view = Tensor(scaled(shots[100:]))
with no_grad():
    logits, _ = finder(view)
answers = finder.targets(view, {k: v[100:] for k, v in table.items()})
visualise.background_share(logits, answers.classes, title="held-out streets")

# %% [markdown]
# ## What it is
# **The graph**: one box a layer, with the shape it returns and the parameters it has.

# %%
visualise.draw_graph(net, (3, 32, 32))
