# %% [markdown]
# # 1. Why convolve
#
# A network of dense layers can learn to read traffic signs. Move each sign by four pixels and it is
# blind. In this lesson you will see it fail, pay for the naive cure, and find that two ideas, *look
# near* and *share the weights*, mend it with seventy times fewer numbers.
#
# You will be able to
# * say what a dense layer on an image costs, and what a convolution costs;
# * write a convolution as a dense layer, and derive the gradient of a shared weight;
# * tell *equivariant* from *invariant*, and measure both;
# * say which augmentation a convolutional network still needs.
#
# It builds on the [tour](00_tour.py): tensors, `backward`, a training loop. Allow 40 minutes. Where
# it says **Predict**, write your guess down before you run the next cell: being wrong is how you
# will remember.

# %%
import time
from dataclasses import replace

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, models, nn, no_grad, ops, optim
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import RandomView, standardize
from minicnn.data.classes import CLASS_NAMES
from minicnn.data.signs import make_signs
from minicnn.exercises import why_convolve as exercise
from minicnn.visualise import COLORS, new_figure

# %% [markdown]
# ## A picture is a block of numbers
# Eight kinds of signs, 24 x 24 pixels, three numbers a pixel. They are drawn, not photographed:
# worn, blurred and lit by a program. Each physical sign is seen several times; a quarter of the
# *physical* signs is held out, so that nothing is tested on a near-copy of what was learnt.

# %%
SIGN, MARGIN = 24, 8
KINDS = np.array([1, 7, 14, 17, 33, 34, 38, 39])
signs = make_signs(tracks_per_class=12, frames=4, size=SIGN)
signs = signs.select(np.isin(signs.labels, KINDS))
labels = np.searchsorted(KINDS, signs.labels)
held_out = signs.tracks % 4 == 3
print("pictures", signs.images.shape, signs.images.dtype, " held out:", held_out.sum())
print("one red, green and blue:", signs.images[0, 12, 12])

figure = new_figure(8, 1.7)
for kind, panel in enumerate(figure.subplots(1, len(KINDS))):
    of_kind = signs.images[labels == kind]
    panel.imshow(of_kind[of_kind.std(axis=(1, 2, 3)).argmax()])  # the one with most contrast
    panel.set_title(CLASS_NAMES[KINDS[kind]].replace(" (", "\n(").replace(" ahead", "\nahead"))
    panel.title.set_fontsize(7)
    panel.set_axis_off()
figure.suptitle(f"Eight kinds of signs, {SIGN} x {SIGN} pixels", fontsize=9)
figure

# %% [markdown]
# In a photograph a sign is never exactly in the middle. So we lay each sign on a grey canvas of 40
# x 40 pixels, with 8 free pixels on every side. `standardize` makes the mean of each picture 0 and
# its spread about 1, so grey is 0.


# %%
def on_canvas(pictures):
    """Standardise pictures (N, H, W, 3) and put them in the middle of a grey canvas."""
    around = (0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)
    return np.pad(standardize(pictures), around)


canvases = on_canvas(signs.images)
train_x, train_y = canvases[~held_out], labels[~held_out]
test_x, test_y = canvases[held_out], labels[held_out]
print("canvases (N, C, H, W):", canvases.shape)

# %% [markdown]
# **Exercise: how many places?** The sign may lie anywhere on the canvas, as long as all of it is
# inside. How many places are that?

# %%
positions = None  # your number
positions = exercise.positions.check(positions)

# %% [markdown]
# **Exercise: move the pictures.** We need this again and again. What comes in at the border is
# grey, which is 0; what leaves is gone. Positive is down and to the right.


# %%
def shifted(images, down, right):
    pass  # your code; images are (N, C, H, W)


shifted = exercise.shifted.check(shifted)

# %% [markdown]
# ## Two networks learn from centred signs
# The first is a multilayer perceptron (MLP): the canvas as one long vector, two dense layers of 256
# and 128 neurons, one of 8. The second is a small convolutional network (CNN). Both see signs in
# the middle of the canvas only, and nowhere else.


# %%
def small_cnn():
    """Five convolutions, two poolings, global pooling, one dense layer."""
    with nn.arg_scope(nn.Conv2d, size=3, normalizer=nn.BatchNorm2d, activation=ops.relu):
        fine = nn.Conv2d(3, 8), nn.MaxPool2d(2)
        middle = nn.Conv2d(8, 16), nn.Conv2d(16, 16), nn.MaxPool2d(2)
        coarse = nn.Conv2d(16, 32), nn.Conv2d(32, 32), nn.GlobalAvgPool2d()
    return nn.Sequential(*fine, *middle, *coarse, nn.Dense(32, len(KINDS)))


def train(net, images, labels, steps, learning_rate, look=lambda batch, step: batch, seed=1):
    """Train by momentum gradient descent on batches of 40, each seen through `look`."""
    batches = Dataset.from_slices((images, labels)).shuffle(seed=seed).repeat().batch(40)
    schedule = optim.Cosine(learning_rate, steps=steps)
    optimizer = optim.SGD(net.parameters(), schedule, momentum=0.9)
    start = time.perf_counter()
    net.train()
    for step, (batch, wanted) in enumerate(batches.take(steps)):
        with nn.random_key(0, step):
            loss = ops.sparse_softmax_cross_entropy(net(Tensor(look(batch, step))), wanted)
        net.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    return time.perf_counter() - start


def accuracy(net, images, labels):
    """Return the share of pictures whose highest score is the right one's."""
    with no_grad():
        return float((net(Tensor(images)).data.argmax(axis=1) == labels).mean())


with nn.seed(0):
    mlp = models.MLP(len(KINDS), size=canvases.shape[2])
    cnn = small_cnn()
train(mlp, train_x, train_y, steps=150, learning_rate=0.02)
train(cnn, train_x, train_y, steps=200, learning_rate=0.1)
for name, net in ("MLP", mlp), ("CNN", cnn):
    weights = sum(parameter.size for parameter in net.parameters())
    print(f"{name}: {weights:9,} weights, centred {accuracy(net, test_x, test_y):.0%} right")
    assert accuracy(net, test_x, test_y) > 0.75

# %% [markdown]
# Both can read held-out signs where they learnt to. Guessing would be right in 1 of 8, 12.5 %.
#
# **Predict:** move the test signs by 4 pixels, a sixth of their width. You would hardly see it.
# What do the two get right now? And by 12 pixels, when a sixth of the sign has left the canvas?


# %%
def at_distance(net, pixels):
    """Return the accuracy on test signs moved up, down, left and right by as much."""
    ways = (0, 1), (1, 0), (0, -1), (-1, 0)
    moved = [shifted(test_x, down * pixels, right * pixels) for down, right in ways]
    return float(np.mean([accuracy(net, images, test_y) for images in moved]))


distances = list(range(0, 17, 2))
figure = new_figure(6.5, 4)
panel = figure.subplots()
at_4 = {}
for name, net, marker in ("MLP", mlp, "o"), ("CNN", cnn, "s"):
    values = [at_distance(net, pixels) for pixels in distances]
    panel.plot(distances, values, marker=marker, label=f"{name}, trained on centred signs")
    at_4[name] = values[distances.index(4)]
panel.axhline(1 / len(KINDS), color="black", linestyle=":", label="guessing")
panel.axvspan(MARGIN, 16, color="0.9", label="part of the sign has left the canvas")
panel.set(xlabel="shift (pixels)", ylabel="share of held-out signs read", ylim=(0, 1))
panel.set_title("Moved by a few pixels, the MLP reads nothing")
panel.legend(fontsize=8)
print({name: f"{value:.0%} at 4 pixels" for name, value in at_4.items()})
assert at_4["MLP"] < 0.5 < 0.75 < at_4["CNN"]
figure

# %% [markdown]
# The MLP falls to a quarter within 4 pixels, and to guessing soon after. The CNN has never seen a
# shifted sign either, and reads on until the sign leaves the canvas (grey). Look closer at its
# line: it wavers a little, and not at every shift alike. We will find out why.
#
# ## What the MLP never knew
# **Predict:** shuffle the pixels of every picture, all in the same order, for training and for
# test. To you they are confetti. Who suffers more?

# %%
order = np.random.default_rng(5).permutation(canvases.shape[2] * canvases.shape[3])


def confetti(images):
    """Shuffle the pixels of every picture in the same order."""
    return images.reshape(*images.shape[:2], -1)[:, :, order].reshape(images.shape)


def show(images, titles, title):
    """Show standardised pictures side by side."""
    figure = new_figure(2 * len(images), 2.5)
    for panel, image, text in zip(figure.subplots(1, len(images)), images, titles, strict=True):
        panel.imshow(np.clip(image.transpose(1, 2, 0) / 4 + 0.5, 0, 1))
        panel.set_title(text, fontsize=9)
        panel.set_axis_off()
    figure.suptitle(title, fontsize=9)
    return figure


with nn.seed(0):
    mlp_confetti, cnn_confetti = models.MLP(len(KINDS), size=canvases.shape[2]), small_cnn()
train(mlp_confetti, confetti(train_x), train_y, steps=150, learning_rate=0.02)
train(cnn_confetti, confetti(train_x), train_y, steps=200, learning_rate=0.1)
for name, plain, mixed in ("MLP", mlp, mlp_confetti), ("CNN", cnn, cnn_confetti):
    before, after = accuracy(plain, test_x, test_y), accuracy(mixed, confetti(test_x), test_y)
    print(f"{name}: {before:.0%} of the pictures, {after:.0%} of the confetti")
shown = np.stack([test_x[15], *confetti(test_x)[[15, 40]]])
show(shown, ("a sign", "the same", "another"), "A sign, and two in the same order of pixels")

# %% [markdown]
# The MLP reads confetti as well as signs (what differs is the luck of its first weights). It must:
# a neuron adds up $\sum_p w_p x_p$, and a sum does not care for the order of its terms. Shuffle the
# pixels *and* the weights, and it is the same sum. The proof: take the MLP that learnt from signs,
# shuffle the weights of its first layer, and without any training it reads confetti.

# %%
state = mlp.state_dict()
first = next(iter(state))
print(first, state[first].shape)
state[first] = confetti(state[first].reshape(-1, *test_x.shape[1:])).reshape(state[first].shape)
mlp_confetti.load_state_dict(state)
with no_grad():
    gap = (mlp_confetti(Tensor(confetti(test_x))) - mlp(Tensor(test_x))).numpy()
print(f"largest difference of all scores: {np.abs(gap).max():.1e}")
assert np.abs(gap).max() < 1e-4

# %% [markdown]
# So an MLP does not know that two pixels are neighbours. It has to learn from examples what every
# pixel means, at every place anew.
#
# *Where* a sign is does not matter; how its parts lie *to one another* matters a lot. Cut a picture
# in pieces and shuffle those: each piece is what it was, the sign is gone. **Predict:** what does
# the CNN, trained on whole signs, make of signs in four pieces, and in sixteen?


# %%
def in_pieces(images, across, rng):
    """Cut the sign in across x across pieces and shuffle them, in each picture anew."""
    cut = images.copy()
    edge = SIGN // across
    for image in cut:
        sign = image[:, MARGIN:-MARGIN, MARGIN:-MARGIN]
        pieces = sign.reshape(3, across, edge, across, edge).transpose(1, 3, 0, 2, 4)
        pieces = rng.permutation(pieces.reshape(-1, 3, edge, edge)).reshape(pieces.shape)
        sign[:] = pieces.transpose(2, 0, 3, 1, 4).reshape(sign.shape)
    return cut


pieces = {n * n: in_pieces(test_x, n, np.random.default_rng(3)) for n in (1, 2, 4)}
shares = {count: accuracy(cnn, images, test_y) for count, images in pieces.items()}
assert shares[16] < 0.6
show(
    [images[15] for images in pieces.values()],
    [f"{count}: CNN {share:.0%}" for count, share in shares.items()],
    "A sign in 1, 4 and 16 pieces, and the share of such signs that the CNN reads",
)

# %% [markdown]
# It suffers, as it should: it looks for arrangements, not for colours alone. What we want is a
# layer that knows *what is next to what*, and that finds a thing *wherever it is*.
#
# ## The naive cure, and its price
# Show the MLP every sign at every place: augmentation. There are 289 of them, as you found, so
# chance must show 289 pictures in place of one. **Predict:** after how many steps will the MLP read
# shifted signs as well as the CNN, which took 200 steps and saw none?


# %%
def anywhere(batch, step):
    """Shift each picture of a batch to a place of its own."""
    places = np.random.default_rng((7, step)).integers(-MARGIN, MARGIN + 1, (len(batch), 2))
    return np.concatenate([shifted(batch[i : i + 1], *place) for i, place in enumerate(places)])


test_anywhere = anywhere(test_x, step=10**6)
with nn.seed(0):
    mlp_augmented = models.MLP(len(KINDS), size=canvases.shape[2])
ROUNDS, STEPS = 5, 240
curve, seconds = [accuracy(mlp_augmented, test_anywhere, test_y)], 0.0
for turn in range(ROUNDS):
    seconds += train(mlp_augmented, train_x, train_y, STEPS, 0.02, anywhere, seed=turn)
    curve.append(accuracy(mlp_augmented, test_anywhere, test_y))
cnn_anywhere, mlp_anywhere = (accuracy(net, test_anywhere, test_y) for net in (cnn, mlp))

figure = new_figure(6.5, 3.8)
panel = figure.subplots()
panel.plot(np.arange(ROUNDS + 1) * STEPS, curve, "o-", label="MLP, augmented with shifts")
panel.plot([200], [cnn_anywhere], "s", markersize=9, label="CNN, not augmented, 200 steps")
panel.plot([150], [mlp_anywhere], "^", markersize=9, label="MLP, not augmented, 150 steps")
panel.axhline(1 / len(KINDS), color="black", linestyle=":", label="guessing")
panel.set(xlabel="training steps", ylabel="share of signs read, anywhere", ylim=(0, 1))
panel.set_title("What augmentation costs who knows nothing of places")
panel.legend(fontsize=8, loc="lower right")
known = accuracy(mlp_augmented, anywhere(train_x, step=10**6), train_y)
print(f"{ROUNDS * STEPS} steps, {seconds:.1f} s: {curve[-1]:.0%}; CNN: {cnn_anywhere:.0%}")
print(f"the same MLP on the signs it learnt from, anywhere: {known:.0%}")
assert known > curve[-1] + 0.1
assert curve[-1] < cnn_anywhere - 0.03
figure

# %% [markdown]
# Six times the steps, and it levels off below the CNN. The signs it learnt from it reads almost
# anywhere, new ones much less: it has learnt by heart, place by place. More steps will not mend
# that, only more *data* would. So augmentation helps, and costs both time and data: it is a dear
# way to say that place does not matter.
#
# ## What a neuron costs
# **Exercise: count the weights** of a dense layer on an image, biases included. For 64 neurons on a
# photograph of 512 x 512 pixels with three colours, guess first: thousands, millions, billions?


# %%
def dense_weights(height, width, channels, neurons):
    pass  # your code


dense_weights = exercise.dense_weights.check(dense_weights)

# %% [markdown]
# **Exercise: and of a convolution** with as many filters as there were neurons. A filter looks
# through a small patch, `kernel` = (rows, columns), at all channels, and moves its patch over the
# image without changing its weights.


# %%
def conv_weights(height, width, channels, filters, kernel):
    pass  # your code


conv_weights = exercise.conv_weights.check(conv_weights)

# %%
photo = 512, 512, 3
dense, conv = dense_weights(*photo, 64), conv_weights(*photo, 64, (3, 3))
print(f"numbers in the photograph   {np.prod(photo):>13,}")
print(f"64 dense neurons            {dense:>13,} weights, {dense * 4 / 1e6:,.0f} MB as float32")
print(f"64 filters of 3 x 3         {conv:>13,} weights, {dense / conv:,.0f} times fewer")
assert (np.prod(photo), dense, conv) == (786_432, 50_331_712, 1_792)
assert conv == sum(weights.size for weights in nn.Conv2d(3, 64, size=3).parameters())

# %% [markdown]
# One photograph has 786,432 numbers, and a layer of 64 neurons on it 50 million weights: 201 MB,
# before anything is learnt. 64 filters of 3 x 3 have 1,792, on an image of any size. To be fair:
# the convolution's answer is not 64 numbers but 64 *maps*, one number a place. It saves weights,
# not work.
#
# ## From dense to convolution in two steps
# A convolution is no new kind of thing: it is a dense layer that obeys two rules.
#
# 1. **Look near**: an answer depends on a small patch only. All other weights are 0.
# 2. **Share**: at every place the same patch of weights.
#
# For one channel and a patch of $KH \times KW$ weights,
#
# $$y_{i,j} = \sum_{u,v} w_{u,v}\, x_{i+u,j+v}.$$
#
# **Exercise: write it as a dense layer.** Lay the image out as a vector, row after row. Return the
# matrix that makes the answers from it. (Loops are welcome.)


# %%
def as_matrix(kernel, height, width):
    pass  # your code


as_matrix = exercise.as_matrix.check(as_matrix)

# %%
rng = np.random.default_rng(1)
height, width = 6, 7
kernel = np.linspace(-2, 2, 9)[[3, 0, 6, 8, 1, 5, 2, 7, 4]].reshape(3, 3)
shared = as_matrix(kernel, height, width)
near = as_matrix(np.ones((3, 3)), height, width) * rng.normal(size=shared.shape)
full = rng.normal(size=shared.shape)
figure = new_figure(9, 2.6)
for panel, matrix, title in zip(
    figure.subplots(1, 3),
    (full, near, shared),
    (f"dense: {full.size} weights", f"near: {np.count_nonzero(near)}", f"shared: {kernel.size}"),
    strict=True,
):
    blank = np.where((near == 0) & (matrix == 0), np.nan, matrix)
    drawn = panel.imshow(blank, cmap="viridis", vmin=-2, vmax=2)
    panel.set(title=title, xlabel="pixel", ylabel="answer")
figure.colorbar(drawn, ax=figure.axes, label="weight", shrink=0.8)
image = rng.normal(size=(height, width))
by_matrix = (shared @ image.ravel()).reshape(height - 2, width - 2)
by_minicnn = ops.conv2d(Tensor(image[None, None]), Tensor(kernel[None, None])).data[0, 0]
assert np.allclose(by_matrix, by_minicnn)
figure

# %% [markdown]
# Three layers that map 42 pixels to 20 answers. White is no weight at all. Looking near leaves 180
# of 840 weights; sharing leaves 9: each of the nine colours runs down its own staircase. The steps
# in the staircase are where a row of the image ends. And the last matrix times the image is, to the
# last digit or two, what `ops.conv2d` computes.
#
# ## How a shared weight learns
# A weight of a dense layer touches one answer. A shared one touches all of them, so the loss $L$
# changes with it along every path. The formula above says how an answer changes with a weight: by
# the pixel that it meets, $x_{i+u,j+v}$. By the chain rule
#
# $$\frac{\partial L}{\partial w_{u,v}}
# = \sum_{i,j} \frac{\partial L}{\partial y_{i,j}} \; x_{i+u,j+v}.$$
#
# Read it: *every place votes, and the votes are added up*. That is why a CNN learns a sign
# everywhere at once: what it finds in one corner moves the weights that look into the others.
#
# **Exercise: compute it with loops.**


# %%
def shared_gradient(image, grad_answers):
    pass  # your code; the kernel has H - OH + 1 rows


shared_gradient = exercise.shared_gradient.check(shared_gradient)

# %% [markdown]
# The judge is `check_gradients`, which compares with finite differences along random directions. It
# would catch you if one vote were counted twice.


# %%
def looking(gradient):
    """Make an op that looks at the image above through a shared patch, with this gradient."""

    @differentiable
    def look(weights: Tensor):
        answers = (as_matrix(weights.data, height, width) @ image.ravel()).reshape(4, 5)
        return answers, (lambda grad: Tensor(gradient(image, grad.data)),)

    return look


check_gradients(looking(shared_gradient), kernel)
print("the sum of all votes: right")
try:  # and without the votes of the last row
    check_gradients(looking(lambda x, grad: shared_gradient(x[:-1], grad[:-1])), kernel)
except AssertionError:
    print("one row of votes lost: caught")
else:
    raise AssertionError("a wrong gradient was not caught")

# %% [markdown]
# ## Equivariant
# Shift the image, and the answers shift with it, for the same patch looks at every place:
#
# $$f(\text{shift}(x)) = \text{shift}(f(x)).$$
#
# That is **equivariance**. It does *not* say that the answers stay the same; that would be
# **invariance**, $f(\text{shift}(x)) = f(x)$.

# %%
to_the_right = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
to_the_right = np.repeat(to_the_right[None, None], 3, axis=1) / 3


def edges(images):
    """Answer where a picture gets brighter to the right."""
    return ops.conv2d(Tensor(images), Tensor(to_the_right), padding=1).numpy()


sign = test_x[27:28]
figure = new_figure(5.6, 4.8)
for row, (panels, images) in enumerate(
    zip(figure.subplots(2, 2), (sign, shifted(sign, 5, 7)), strict=True)
):
    panels[0].imshow(images[0].mean(axis=0), cmap="gray")
    drawn = panels[1].imshow(edges(images)[0, 0], cmap="cividis", vmin=-6, vmax=6)
    panels[0].set_title(("the sign", "shifted by (5, 7)")[row], fontsize=9)
    panels[1].set_title(("its edges", "its edges: they moved along")[row], fontsize=9)
for panel in figure.axes:
    panel.set(xlabel="x (pixels)", ylabel="y (pixels)")
figure.colorbar(drawn, ax=figure.axes, label="brighter to the right")
figure

# %% [markdown]
# **Exercise: find the bugs.** This function should say how far a layer is from equivariance: 0 if
# it is. It says that a convolution is far from it. Two things are wrong with it. Mend them.


# %%
def equivariance_gap(layer, images, down, right, margin):
    """Return the largest difference between shifting first and shifting after.

    `margin` pixels are left out at each side of the picture: there something else comes in.
    """
    shift_first = layer(np.roll(images, (down, right), (2, 3)))
    shift_after = layer(images)
    difference = np.abs(shift_first - shift_after)
    return float(difference[margin:-margin, margin:-margin].max(initial=0))


equivariance_gap = exercise.equivariance_gap.check(equivariance_gap)

# %%
noise = rng.normal(size=(2, 3, 40, 40)).astype(np.float32)
gap, gap_at_border = (equivariance_gap(edges, noise, 5, 7, margin) for margin in (8, 1))
print(f"a convolution's gap: {gap:.2g}; with the border {gap_at_border:.2g}")
assert gap < 1e-5 < 0.1 < gap_at_border

# %% [markdown]
# A convolution's gap is 0, to the last bit or nearly. At the border it is not: what is shifted in
# there is not what was shifted out. Equivariance ends where the picture does.
#
# ## Pooling: small shifts matter less
# To say *which* sign it is, and not *where*, equivariance must become invariance at last. Pooling
# does it by and by. In the visual cortex, Hubel and Wiesel found two kinds of cells in 1962:
# *simple* ones answer to an edge at one place, *complex* ones to the edge anywhere nearby. A
# convolution is a sheet of simple cells; pooling makes complex ones. Fukushima's neocognitron
# (1980) stacked both, edges below, parts above them, objects on top; that is the plan of every CNN.
#
# **Predict:** shift the image by one pixel. By how much do the numbers change, relative to their
# size: of the image, after each layer, after the global pooling? In which order?


# %%
def change(one, other):
    """Return the difference of two, as a share of the first."""
    return float(np.linalg.norm(one.data - other.data) / np.linalg.norm(one.data))


here, there = Tensor(test_x), Tensor(shifted(test_x, 0, 1))
changes = {"image": change(here, there)}
with no_grad():
    for number, layer in enumerate(cnn):
        here, there = layer(here), layer(there)
        changes[f"{number} {type(layer).__name__}"] = change(here, there)
figure = new_figure(7, 3.6)
panel = figure.subplots()
colors = [COLORS[1] if "Pool" in name else COLORS[0] for name in changes]
panel.barh(list(changes), list(changes.values()), color=colors)
panel.invert_yaxis()
panel.set_xlabel("change by a shift of 1 pixel, as a share of the size")
panel.set_title("Pooling (vermilion) makes a small shift matter less")
print({name: f"{changes[name]:.2f}" for name in ("image", "1 MaxPool2d", "7 GlobalAvgPool2d")})
assert changes["7 GlobalAvgPool2d"] < changes["image"] / 3
figure

# %% [markdown]
# A shift of one pixel changes the image by half its size. Each pooling makes it matter less, and
# global pooling, which forgets all places, leaves an eighth. Yet not nothing. It is often said that
# *a network with pooling is invariant to translation*. It is not: **convolutions are equivariant,
# and pooling makes small shifts matter less.**
#
# Where does the rest come from? Convolutions and global pooling are innocent. But a 2 x 2 pooling
# with stride 2 pairs pixels 0 and 1, 2 and 3. After a shift by one, other pixels are pairs.
#
# **Exercise: predict the period.** Our CNN has two such poolings. What is the smallest shift, in
# pixels, after which it answers *exactly* as before?

# %%
period = None  # your number
period = exercise.period.check(period)

# %%
far = (0, 0), (0, 0), (36, 36), (36, 36)  # no border near; this CNN takes images of any size
wide = np.pad(test_x[::6], far)
with no_grad():
    scores = [cnn(Tensor(shifted(wide, 0, right))).numpy() for right in range(13)]
moved_by = [float(np.abs(s - scores[0]).max(axis=1).mean()) for s in scores]
figure = new_figure(6.5, 3.4)
panel = figure.subplots()
panel.bar(range(13), moved_by)
panel.set(xlabel="shift to the right (pixels)", ylabel="change of the scores", xticks=range(13))
panel.set_title(f"Exactly the same answer each {period} pixels, and only then")
print("change at 0, 4, 8, 12 pixels:", [f"{moved_by[i]:.1e}" for i in (0, 4, 8, 12)])
assert max(moved_by[::period]) < 1e-4 < 0.05 < min(moved_by[i] for i in range(13) if i % period)
figure

# %% [markdown]
# There is the waver of the first plot: bars everywhere but at 4, 8 and 12. Two poolings with stride
# 2 make a grid of 4 pixels, and the network is invariant to shifts *along that grid* only. Zhang
# (2019) blurs before each pooling to flatten the bars; ordinary networks live with them, or augment
# with small shifts.
#
# ## What augmentation is still needed for
# "With convolutions, no augmentation is needed": true for **translation only, and only up to
# strides and borders**. Nothing above says a word about a sign that is turned, nearer, or mirrored.
#
# **Predict:** what is hardest for our CNN: signs turned by up to 57 degrees, up to 60 % larger or
# smaller, or in light changed by up to 90 %? And after it was trained on with *turned* signs: what
# of this will it do better?


# %%
def looked_at(pictures, key, **view):
    """Look at pictures at random, within one measure of RandomView and no other."""
    still = RandomView(0, 0, 0, 0, 0, 0, 0)
    return on_canvas(replace(still, **view)(pictures, Stream(0, "view", key)))


def endurance(net, measure, sizes):
    """Return the accuracy for each size of one measure, over two looks at each test sign."""
    pictures = signs.images[held_out]
    looks = [[looked_at(pictures, key, **{measure: size}) for key in (1, 2)] for size in sizes]
    return [float(np.mean([accuracy(net, look, test_y) for look in pair])) for pair in looks]


cnn_turned = small_cnn()
cnn_turned.load_state_dict(cnn.state_dict())
pictures = signs.images[~held_out]
turned = lambda batch, step: looked_at(batch, 10 + step, rotation=0.8)  # noqa: E731
train(cnn_turned, pictures, train_y, steps=400, learning_rate=0.05, look=turned)
measures = {
    "rotation": (np.linspace(0, 1.0, 6), 180 / np.pi, "turned by up to (degrees)"),
    "scale": (np.linspace(0, 0.6, 6), 100, "larger or smaller by up to (%)"),
    "gain": (np.linspace(0, 0.9, 6), 100, "light changed by up to (%)"),
}
figure = new_figure(9.5, 3.4)
ends = {}
for panel, (measure, (sizes, unit, label)) in zip(
    figure.subplots(1, 3, sharey=True), measures.items(), strict=True
):
    for name, net, marker in ("CNN", cnn, "o"), ("CNN, then trained turned", cnn_turned, "s"):
        values = endurance(net, measure, sizes)
        panel.plot(sizes * unit, values, marker=marker, label=name)
        ends[name, measure] = values[-1]
    panel.set(xlabel=label, ylim=(0, 1), title=measure)
figure.axes[0].set_ylabel("share of held-out signs read")
figure.axes[0].legend(fontsize=8, loc="lower left")
assert ends["CNN, then trained turned", "rotation"] > ends["CNN", "rotation"] + 0.1
assert ends["CNN", "gain"] > ends["CNN", "rotation"] + 0.1
figure

# %% [markdown]
# Turned or scaled, a third of the signs is lost. Training on with turned signs mends the turned
# ones, *and nothing else*: scaled signs are lost as before, and upright ones are read a little
# worse than before (left end: so small a net has to divide its weights). Augmentation buys exactly
# what it shows.
#
# The third plot is the surprise: light hardly matters to either, untrained. Convolutions did not do
# that: `standardize` did, for it divides each picture by its own spread. Where an invariance can be
# *built in*, nobody has to learn it: shared weights for place, standardising for light. For the
# rest there is augmentation. But never augment with what changes the meaning:

# %%
mirrored = np.ascontiguousarray(test_x[..., ::-1])
with no_grad():
    guesses = cnn(Tensor(mirrored)).data.argmax(axis=1)
for kind in (4, 5, 6, 7):
    most = np.bincount(guesses[test_y == kind]).argmax()
    print(f"{CLASS_NAMES[KINDS[kind]]:17} mirrored is read as  {CLASS_NAMES[KINDS[most]]}")
    assert most != kind

# %% [markdown]
# A network that was taught that mirror images are the same would send you to the wrong side of the
# road.
#
# ## What you know now
# * A dense layer on an image has a weight for each pixel and neuron, and knows nothing of
#   neighbours: shuffled pixels are all the same to it. Moved by 4 of its 24 pixels, a sign is
#   unreadable.
# * Augmentation with shifts costs data and time, and did not catch up here.
# * A convolution is a dense layer that looks near and shares: 1,792 weights in place of 50 million.
#   A shared weight's gradient is the sum over all places.
# * Convolutions are **equivariant**. Pooling makes small shifts matter less; exactly invariant is
#   the network only to shifts of its whole stride, 4 pixels here, and away from borders.
# * Rotation, scale and whatever else is not built in still need augmentation.
#
# In minicnn: [the MLP](../minicnn/models/mlp.py), [convolution](../minicnn/ops/convolution.py) with
# its gradients derived, [pooling](../minicnn/ops/pooling.py), [random
# views](../minicnn/data/augment/random_view.py), [the drawn signs](../minicnn/data/signs/scene.py).
# Lesson 3 takes convolution apart.
#
# Read on: D. Hubel, T. Wiesel, "Receptive fields, binocular interaction and functional architecture
# in the cat's visual cortex", J. Physiol. 160 (1962). K. Fukushima, "Neocognitron", Biol.
# Cybernetics 36 (1980). Y. LeCun et al., "Gradient-based learning applied to document recognition",
# Proc. IEEE 86 (1998). R. Zhang, "Making convolutional networks shift-invariant again", ICML 2019,
# arXiv:1904.11486.
