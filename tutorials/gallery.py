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
from minicnn.data.augmentation import standardize
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.signs import make_signs
from minicnn.metrics import ConfusionMatrix

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
# ## What it is
# **The graph**: one box a layer, with the shape it returns and the parameters it has.

# %%
visualise.draw_graph(net, (3, 32, 32))
