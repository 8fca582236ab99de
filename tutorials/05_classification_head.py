# %% [markdown]
# # 5. The classification head
#
# Convolutions turn an image into maps. This lesson turns the maps into a verdict, and trains on it:
# pooling, a dense layer, dropout, softmax, cross-entropy. Each of them hides a trap that real
# libraries have fallen into; you will build all five and step into the traps on purpose.
#
# **You will be able to** write max pooling and its gradient, say what it does to a shifted image,
# count what a head learns, write dropout that needs nothing at test time, and say why softmax and
# its loss must be one function.
#
# **Builds on** lesson 2 (gradients) and lesson 3 (convolution). About 40 minutes. Predict before
# you run: a wrong prediction is what you remember.

# %%
from itertools import pairwise
from timeit import timeit

import numpy as np

from minicnn import Tensor, check_gradients, models, nn, no_grad, ops, optim, visualise
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.signs import make_signs
from minicnn.estimator import Estimator
from minicnn.exercises import classification_head as exercise
from minicnn.metrics import Accuracy

# %% [markdown]
# ## Pooling: four numbers become one
# A pooling layer with a 2 x 2 window and stride 2 halves height and width. Average pooling keeps
# the mean of the four pixels, max pooling the largest.
#
# **Predict.** Draw two vertical lines, one pixel wide: one bright (1) on black, one dark (0) on
# white. Pool three times, 32 x 32 to 4 x 4. What is left of each line with the average? With the
# maximum?

# %%
lines = np.zeros((1, 1, 32, 32), np.float32)
lines[..., 16:] = 1.0  # the right half is white
lines[..., 5] = 1.0  # a bright line in the black half
lines[..., 26] = 0.0  # a dark line in the white half

stages = {"average": [lines], "largest": [lines]}
for _ in range(3):
    stages["average"].append(ops.avg_pool2d(Tensor(stages["average"][-1]), 2).numpy())
    stages["largest"].append(ops.max_pool2d(Tensor(stages["largest"][-1]), 2).numpy())

figure = visualise.new_figure(9, 4.6)
for name, panels in zip(stages, figure.subplots(2, 4), strict=True):
    for image, panel in zip(stages[name], panels, strict=True):
        panel.imshow(image[0, 0], cmap="gray", vmin=0, vmax=1)
        panel.set_title(f"{name}, {image.shape[2]} x {image.shape[3]}", fontsize=9)
figure.suptitle("A bright and a dark line, pooled three times")
figure.supxlabel("column [pixels]", fontsize=9)
figure.supylabel("row [pixels]", fontsize=9)
figure

# %% [markdown]
# The average blurs: each pooling halves a thin line's contrast, so after three of them an eighth is
# left, of both lines alike. The maximum keeps the bright line at full strength, and **wipes out the
# dark one in the first step**. "Max pooling keeps edges" is half the truth: it keeps what is
# *large*. That suits a network, where a large number means "the feature is here" and zero means "it
# is not".

# %%
bright, dark = np.s_[0, 0, 0, 5 // 8], np.s_[0, 0, 0, 26 // 8]  # the lines, three poolings later
print("average:", stages["average"][3][bright], "on 0 and", stages["average"][3][dark], "on 1")
print("largest:", stages["largest"][3][bright], "on 0 and", stages["largest"][3][dark], "on 1")
assert (stages["average"][3][bright], stages["average"][3][dark]) == (1 / 8, 7 / 8)
assert (stages["largest"][3][bright], stages["largest"][1][..., 13].min()) == (1, 1)

# %% [markdown]
# ### Exercise: max pooling with loops
# `size` is (KH, KW); `stride` and `padding` hold for both axes. A window may hang over the border:
# what number must stand there, so that it never wins?


# %%
def max_pool(x, size, stride, padding):
    pass  # your code


max_pool = exercise.max_pool.check(max_pool)

# %% [markdown]
# **Trap 1.** Convolutions are padded with zeros, so a library that has a padding routine pads its
# pooling with zeros as well. Behind a ReLU nobody notices, for nothing there is below zero. Behind
# batch normalisation, the pooling invents a bright border. What is smaller than everything is
# $-\infty$.

# %%
cold = np.full((1, 1, 4, 4), -5.0)
zero_padded = max_pool(np.pad(cold, ((0, 0), (0, 0), (1, 1), (1, 1))), (2, 2), 2, 0)
print("padded with 0:   ", zero_padded[0, 0].tolist())
print("padded with -inf:", max_pool(cold, (2, 2), 2, 1)[0, 0].tolist())
assert (ops.max_pool2d(Tensor(cold), 2, 2, padding=1).numpy() == -5).all()

rng = np.random.default_rng(0)
x = rng.normal(size=(2, 3, 9, 7))
assert np.array_equal(max_pool(x, (3, 2), 2, 1), ops.max_pool2d(Tensor(x), (3, 2), 2, 1).numpy())

# %% [markdown]
# ## Its gradient
# Each output copies one pixel, $y_o = x_{w(o)}$, where $w(o)$ is the winner of window $o$. So
# $$\frac{\partial L}{\partial x_i} = \sum_{o\,:\,w(o)=i} \frac{\partial L}{\partial y_o}.$$
# A *sum*: with stride < size windows overlap, and one bright pixel can win several. All others get
# nothing: had they been a little larger, the output would not have moved.
#
# **Predict.** A window holds 3 and 3, twice the same. What is the slope for each of the two?

# %%
tie = np.array([[[[3.0, 3.0]]]])


def pooled(pixels):
    return max_pool(pixels, (1, 2), 1, 0).item()


step = 1e-3
first, second = np.array([[[[step, 0.0]]]]), np.array([[[[0.0, step]]]])
one = (pooled(tie + first) - pooled(tie - first)) / (2 * step)
other = (pooled(tie + second) - pooled(tie - second)) / (2 * step)
both = (pooled(tie + first + second) - pooled(tie - first - second)) / (2 * step)
print(f"finite differences: first pixel {one:.2f}, second {other:.2f}, both together {both:.2f}")
assert np.allclose([one, other, both], [0.5, 0.5, 1.0])

# %% [markdown]
# At a tie the function has a kink: up, it follows either pixel; down, it stays. A finite difference
# sees half a slope of each. Rules that hand out 1 in sum are all fair (the first takes all, or they
# share); to give **each of them the whole** is not: moved together, the output would be said to
# move twice as far as it does. Ties are no rarity: behind a ReLU whole windows are zero.

# %%
signs = make_signs(tracks_per_class=10, frames=8)
features = standardize(signs.images)
with nn.seed(1):
    first_layer = nn.Conv2d(3, 16, size=3, padding="same", activation=ops.relu)
with no_grad():
    maps = first_layer(Tensor(features[::40])).numpy()  # (86, 16, 32, 32)
every_window = np.lib.stride_tricks.sliding_window_view(maps, (2, 2), axis=(2, 3))
windows = every_window[:, :, ::2, ::2].reshape(-1, 4)
tied = (windows == windows.max(axis=1, keepdims=True)).sum(axis=1) > 1
print(f"{tied.mean():.0%} of the windows behind a ReLU are tied")
assert tied.mean() > 0.1

# %% [markdown]
# ### Exercise: the gradient of max pooling
# In a tie the first pixel, row by row, takes it, as in minicnn.


# %%
def max_pool_grad(x, grad_y, size, stride):
    pass  # your code


max_pool_grad = exercise.max_pool_grad.check(max_pool_grad)

# %% [markdown]
# Checked twice: against minicnn's backward pass on numbers full of ties, and against finite
# differences where there are none. `check_gradients` moves the input along a random direction and
# weighs the outputs at random; a plain sum of outputs would let many wrong gradients pass.

# %%
x = np.maximum(rng.integers(-2, 3, (2, 3, 6, 7)), 0).astype(np.float64)
grad_y = rng.normal(size=(2, 3, 4, 5))
t = Tensor(x, requires_grad=True)
ops.max_pool2d(t, 3, stride=1).backward(Tensor(grad_y))
assert np.allclose(max_pool_grad(x, grad_y, (3, 3), 1), t.grad.numpy())

distinct = rng.permutation(84.0 + np.arange(84)).reshape(2, 3, 2, 7)
check_gradients(lambda t: ops.max_pool2d(t, 2, stride=1), distinct)
print("gradient of one window of", x[0, 0, :3, :3].astype(int).tolist(), "goes to", end=" ")
print(max_pool_grad(x[:1, :1, :3, :3], np.ones((1, 1, 1, 1)), (3, 3), 1)[0, 0].astype(int).tolist())

# %% [markdown]
# ## Without loops: find the bug
# 2 x 2 with stride 2 needs no loop: cut the array into windows by one `reshape`, and take the
# maximum of each. Here is how it is usually written first. The shape that comes out is right, and a
# network still trains with it, a little worse. Print `np.arange(16.0).reshape(1, 1, 4, 4)` pooled,
# see what is wrong, and mend it.


# %%
def pool_by_reshape(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, w // 2, 2, 2).max(axis=(4, 5))


pool_by_reshape = exercise.pool_by_reshape.check(pool_by_reshape)

# %%
batch = Tensor(maps)
assert np.array_equal(pool_by_reshape(maps), ops.max_pool2d(batch, 2).numpy())
print(f"loops    {100 * timeit(lambda: max_pool(maps, (2, 2), 2, 0), number=10):5.1f} ms")
print(f"reshape  {100 * timeit(lambda: pool_by_reshape(maps), number=10):5.1f} ms")
print(f"minicnn  {100 * timeit(lambda: ops.max_pool2d(batch, 2), number=10):5.1f} ms")

# %% [markdown]
# ## What pooling does to a shifted image
# It is often said that a pooled network is *translation invariant*. Measure it. A convolution is
# **equivariant**: shift the image, and the map is shifted as well, number for number. Pooling is
# said to make that *invariant*: no change at all.
#
# **Predict.** Shift a sign by one pixel. By how much do the numbers change, as a share: of the map?
# Of the map pooled twice? Of its global average? And by four pixels?

# %%
canvas = np.zeros((8, 3, 64, 64), np.float32)
canvas[:, :, 16:48, 16:48] = features[::430][:8]


def pool_twice(y):
    return ops.max_pool2d(ops.max_pool2d(y, 2), 2)


summaries = {
    "map": lambda y: y,
    "2 x max pooling": pool_twice,
    "global average": ops.global_avg_pool2d,
    "2 x max pooling, global average": lambda y: ops.global_avg_pool2d(pool_twice(y)),
}
changes = {name: [] for name in summaries}
with no_grad():
    for by in range(9):
        before, after = (first_layer(Tensor(np.roll(canvas, d, axis=3))) for d in (0, by))
        assert np.allclose(np.roll(before.numpy(), by, axis=3), after.numpy(), atol=1e-5)
        for name, summary in summaries.items():
            was, now = summary(before).numpy(), summary(after).numpy()
            changes[name].append(float(np.linalg.norm(now - was) / np.linalg.norm(was)))


def draw_lines(title, across, up, x, lines):
    """Draw a line for each name; return the figure and its axes."""
    figure = visualise.new_figure(6.5, 3.8)
    panel = figure.subplots()
    for (name, values), marker in zip(lines.items(), "osv^", strict=False):
        panel.plot(x, values, marker=marker, label=name)
    panel.set(title=title, xlabel=across, ylabel=up)
    panel.grid(alpha=0.3)
    panel.legend()
    return figure, panel


figure, panel = draw_lines(
    "How much a shift changes what the next layer sees",
    "shift of the sign [pixels]",
    "change [% of the norm]",
    range(9),
    {name: np.multiply(values, 100) for name, values in changes.items()},
)
figure

# %%
for name, values in changes.items():
    print(f"{name:32}", "  ".join(f"{100 * v:5.1f} %" for v in values[1:5]))
assert changes["map"][1] > changes["2 x max pooling"][1] > 0.1  # less, but not invariant
assert changes["global average"][1] < 1e-4  # invariant away from the border
assert changes["2 x max pooling, global average"][1] > 1e-3  # not any more ...
assert changes["2 x max pooling, global average"][4] < 1e-4  # ... but to the stride of four

# %% [markdown]
# So the sentence needs mending: **convolutions are equivariant; pooling makes small shifts matter
# less**. The global average alone is invariant, as long as nothing leaves the image; behind two
# poolings with stride 2 it is so for shifts of 4 pixels only, for in between other pixels share a
# window (Zhang, "Making convolutional networks shift-invariant again", ICML 2019).
#
# ## After each pooling the channels double
# The course's network, block by block. Why double? Look at the last column.

# %%
print("block  channels  map      numbers  multiplications of a 3 x 3 layer in it")
work = []
for block, (channels, side) in enumerate(((8, 32), (16, 16), (32, 8)), start=1):
    work.append(side * side * channels * channels * 9)
    print(f"{block:5}  {channels:8}  {side:2} x {side:<2}  {channels * side**2:7,}  {work[-1]:10,}")
assert len(set(work)) == 1

# %% [markdown]
# Pooling leaves a quarter of the places, doubling makes a layer cost four times as much at each:
# the work stays the same, and so no block is a bottleneck. The number of values halves: what is
# *where* is given up bit by bit for *what* it is.
#
# ## A dense layer, or a global average before it?
# VGG flattens its last map, 7 x 7 places with 512 channels, and connects it to 4096 neurons.
#
# **Exercise: predict.** How many numbers does that one layer learn, biases included?

# %%
vgg_first_dense = ...  # your number
vgg_first_dense = exercise.vgg_first_dense.check(vgg_first_dense)

# %%
vgg_dense = vgg_first_dense + (4096 + 1) * 4096 + (4096 + 1) * 1000
widths = [3, 64, 64, 128, 128] + 4 * [256] + 8 * [512]  # the colours, then sixteen convolutions
vgg_convolutions = sum((9 * i + 1) * o for i, o in pairwise(widths))
print(f"first dense layer {vgg_first_dense / 1e6:.1f} million, all three {vgg_dense / 1e6:.1f}")
print(f"all of VGG-19 {(vgg_dense + vgg_convolutions) / 1e6:.1f} million")
print(f"one dense layer behind a global average: {(512 + 1) * 1000 / 1e6:.1f} million")
assert (round(vgg_dense / 1e5), round((vgg_dense + vgg_convolutions) / 1e5)) == (1236, 1437)

# %% [markdown]
# (The course says 23 million for VGG's dense layers; counted, they are 123.6 of 143.7 million.) A
# global average leaves one number for each channel: "how much of this feature is there?", and
# throws away where (Lin, Chen and Yan, "Network in network", 2014). Does that cost accuracy?
#
# **Predict.** Two nets, the same convolutions, two heads. Which is better on signs it never saw?
# And which when those are shifted by three pixels?

# %%
held_out = signs.tracks % 10 >= 8  # two of ten physical signs of each class
train_x, train_y = features[~held_out], signs.labels[~held_out]
test_x, test_y = features[held_out], signs.labels[held_out]


def build(head):
    with nn.seed(0):
        net = models.SeedNet(channels=8)
        body = net.block1, net.pool1, net.block2, net.pool2, net.block3  # nine convolutions
        return nn.Sequential(
            *body, head, nn.Dense(None, 100, activation=ops.relu), nn.Dense(100, 43)
        )


def fit(net, images, labels, rate, steps=300):
    """Train a net; lesson 6 takes the Estimator apart."""
    data = Dataset.from_slices((images, labels)).shuffle().repeat().batch(64)
    loss, schedule = ops.sparse_softmax_cross_entropy, optim.Cosine(rate, steps=steps)
    estimator = Estimator.from_module(
        net, loss, lambda params: optim.SGD(params, schedule), {"accuracy": Accuracy}
    )
    return estimator.train(lambda: data, steps=steps)


def shifted(images, by):
    """Move images to the right; the left column fills what becomes free."""
    return np.pad(images, ((0, 0), (0, 0), (0, 0), (by, 0)), mode="edge")[..., : images.shape[3]]


curves = {}
for name, head in {"flatten": nn.Flatten(), "global average": nn.GlobalAvgPool2d()}.items():
    trained = fit(build(head), train_x, train_y, rate=0.1)
    learned = sum(p.size for layer in list(trained.module)[5:] for p in layer.parameters())
    tests = [Dataset.from_slices((shifted(test_x, by), test_y)).batch(256) for by in range(7)]
    curves[name] = [trained.evaluate(lambda test=test: test)["accuracy"] for test in tests]
    print(f"{name:14}  {learned:7,} numbers in the head; right {curves[name][0]:.1%}, "
          f"shifted by three pixels {curves[name][3]:.1%}")  # fmt: skip

figure, panel = draw_lines(
    "Signs never seen, shifted to the right",
    "shift [pixels]",
    "right [%]",
    range(7),
    {f"{name}, then dense": np.multiply(values, 100) for name, values in curves.items()},
)
panel.set_ylim(0, 100)
figure

# %%
assert min(curves["flatten"][0], curves["global average"][0]) > 0.7
assert curves["global average"][3] > curves["flatten"][3] + 0.15
print(f"the one head has {209_243 / 7_643:.0f} times as many numbers as the other")

# %% [markdown]
# In place both heads are about as good; the one with 27 times fewer numbers holds out against a
# shift, and the other one falls apart: its weights have learned *at which place* a feature counts,
# and the training signs were all in the middle. No shifted image was needed for that, no
# augmentation. (With translation only: a sign turned or half in shade still needs it.)
#
# The price: after the average only the maps know what goes together, so they must see enough of the
# image. Here nine convolutions do. (Try it: take some of them away, and train again.)

# %% [markdown]
# ## Dropout
# In training, each neuron is set to zero with probability $1-q$ ($q$: the probability to *keep*
# it), another random set for each example and step. None can rely on a particular other one
# (Srivastava et al., "Dropout", JMLR 2014). At test time all are there. But then the next layer
# gets $1/q$ times as much as it was trained on. Two ways to mend it:
#
# | | in training | at test time |
# |---|---|---|
# | classic | $m\,h$ | $q\,h$ |
# | today | $m\,h/q$ | $h$ |
#
# with a mask $m$ of zeros and ones, whose mean is $q$. The course teaches the classic one; every
# library of today, minicnn too, does the other, so that at test time nothing is left to do.
#
# ### Exercise: dropout as it is done today


# %%
def dropout(x, draws, keep):
    pass  # your code: keep a number where its draw is below `keep`


dropout = exercise.dropout.check(dropout)

# %% [markdown]
# ### Do the two agree?
# One layer behind the dropout, $z = W(m\,h)$ in the classic net and $z = W'(m\,h/q)$ in the other,
# are the same function if $W' = q\,W$; and so they are at test time, $W(q\,h) = W'h$. But do they
# stay the same *in training*?
#
# **Predict.** Begin with $W'=q\,W$, give both the same images, masks and learning rate. After 100
# steps, are the test outputs equal?

# %%
small = ops.avg_pool2d(Tensor(features), 4).numpy().reshape(len(features), -1).astype(np.float64)
keep, hidden = 0.6, 100


def train_two_layers(classic, rate_behind, steps=100):
    """Return the outputs for the held-out signs after training with one of the two dropouts."""
    rng = np.random.default_rng(0)  # the same images and masks for both
    inner = Tensor(rng.normal(0, 0.1, (small.shape[1], hidden)), requires_grad=True)
    behind = Tensor(rng.normal(0, 0.2, (hidden, 43)) * (1 if classic else keep), requires_grad=True)
    rows = np.flatnonzero(~held_out)
    for _ in range(steps):
        chosen = rng.choice(rows, 64)
        mask = (rng.random((64, hidden)) < keep) / (1 if classic else keep)
        h = ops.relu(Tensor(small[chosen]) @ inner) * Tensor(mask)
        loss = ops.sparse_softmax_cross_entropy(h @ behind, signs.labels[chosen])
        loss.backward()
        inner = Tensor(inner.numpy() - 0.05 * inner.grad.numpy(), requires_grad=True)
        behind = Tensor(behind.numpy() - rate_behind * behind.grad.numpy(), requires_grad=True)
    h = np.maximum(small[held_out] @ inner.numpy(), 0)
    return h @ behind.numpy() * (keep if classic else 1)


classic_outputs = train_two_layers(True, rate_behind=0.05)
same_rate = np.abs(train_two_layers(False, 0.05) - classic_outputs).max()
scaled_rate = np.abs(train_two_layers(False, 0.05 * keep**2) - classic_outputs).max()
print(f"largest difference of the outputs, same learning rate: {same_rate:.2g}")
print(f"                       rate of W' times q squared:     {scaled_rate:.2g}")
assert scaled_rate < 1e-9 < 0.1 < same_rate

# %% [markdown]
# Not with the same rate; but with $q^2$ times the rate for $W'$ they agree to the last digits, all
# through training. Why $q^2$: the gradient for $W'$ is $1/q$ times as large, and since $W'=qW$, a
# step of $W$ must be $q$ times as large in $W'$; so $\eta' = q\cdot q\,\eta$. The two *are* one
# method, with another learning rate.
#
# ### Many sub-networks, or one
# A net with dropout is a crowd of thinner nets that share weights. At test time one could let the
# crowd vote: leave dropout on, run many times, take the mean ("Monte Carlo dropout", Gal and
# Ghahramani, ICML 2016).
#
# **Predict.** Does the mean of very many runs become what the net says with dropout off? Exactly?

# %%
with nn.seed(0):
    voter = nn.Sequential(
        nn.Dense(small.shape[1], 100, activation=ops.relu), nn.Dropout(0.5), nn.Dense(100, 43)
    )
tiny = small.astype(np.float32)
voter = fit(voter, tiny[~held_out], train_y, rate=0.1, steps=400).module

unseen = Tensor(tiny[held_out][::4])
with no_grad(), nn.evaluating():
    off = voter(unseen)
voter.train()
with no_grad():
    on = Tensor(np.stack([voter(unseen).numpy() for _ in range(1000)]))  # (runs, signs, classes)
pairs = {
    "mean of the scores": (on.numpy(), off.numpy()),
    "mean of the probabilities": (ops.softmax(on, axis=2).numpy(), ops.softmax(off).numpy()),
}
counts = [1, 3, 10, 30, 100, 300, 1000]
gaps = {
    name: [np.abs(many[:n].mean(axis=0) - one).mean() / one.std() for n in counts]
    for name, (many, one) in pairs.items()
}
figure, panel = draw_lines(
    "Dropout on, many runs, against dropout off",
    "runs",
    "mean difference [standard deviations]",
    counts,
    gaps,
)
root = gaps["mean of the scores"][0] / np.sqrt(counts)
panel.loglog(counts, root, "--", color="gray", label="1 / sqrt(runs)")
panel.legend()
figure

# %% [markdown]
# The mean of the *scores* closes in with one over the square root of the runs, for ever: behind the
# dropout all is linear, and scaling was chosen so that the mean fits. The mean of the
# *probabilities* stops closing in: softmax is curved, and the mean of a curve is not the curve of
# the mean. With dropout off the net is a cheap and good stand-in for the crowd, not the crowd
# itself. Below: the crowd is hardly more often right, but less sure.

# %%
many, one = pairs["mean of the probabilities"]
for name, shares in ("off", one), ("mean of 1000 runs", many.mean(axis=0)):
    right = (shares.argmax(axis=1) == signs.labels[held_out][::4]).mean()
    print(f"{name}: right {right:.0%}, on average {shares.max(axis=1).mean():.0%} sure of it")
of_scores, of_shares = gaps.values()
assert of_scores[-1] < of_scores[0] / 15
assert of_shares[-1] > 2 * of_scores[-1]

# %% [markdown]
# ### Spatial dropout
# In a map, neighbours say nearly the same. Zero half of the *pixels*, and a 3 x 3 filter reads what
# is missing from the rest: nothing was hidden. Spatial dropout zeros whole *channels* (Tompson et
# al., CVPR 2015). Below: what the next layer can still make out, with a 3 x 3 mean.

# %%
one_map = Tensor(first_layer(Tensor(features[14 * 80 + 7 :][:1])).numpy()[:, :4])
kept = {
    "all": one_map,
    "dropout": ops.dropout(one_map, 0.5, Stream(3, "pixels")),
    "spatial dropout": ops.spatial_dropout(one_map, 0.5, Stream(5, "channels")),
}
seen = {name: ops.avg_pool2d(t, 3, stride=1, padding=1).numpy()[0] for name, t in kept.items()}
figure = visualise.new_figure(7, 5.4)
for name, panels in zip(kept, figure.subplots(3, 4), strict=True):
    for c, panel in enumerate(panels):
        top = seen["all"][c].max() * (1 if name == "all" else 2)  # what is kept was doubled
        panel.imshow(seen[name][c], cmap="viridis", vmin=0, vmax=top)
        panel.set_title(f"{name}, channel {c}", fontsize=8)
figure.suptitle("Four maps of a stop sign, as a 3 x 3 mean sees them")
figure.supxlabel("column [pixels]", fontsize=9)
figure.supylabel("row [pixels]", fontsize=9)
figure

# %%
alike = [np.corrcoef(seen["all"][c].ravel(), seen["dropout"][c].ravel())[0, 1] for c in range(4)]
print("correlation with the whole map, half of the pixels dropped:", np.round(alike, 2))
dropped = [c for c in range(4) if not seen["spatial dropout"][c].any()]
print("channels that spatial dropout hid:", dropped)
assert min(alike) > 0.5
assert dropped

# %% [markdown]
# ## Softmax: scores become shares
# $$p_k = \frac{e^{x_k}}{\sum_j e^{x_j}}$$
# All positive, in sum 1, the order unchanged: the **argmax** of the scores is that of the
# probabilities, so to predict you need no softmax at all. You need it to *learn*: argmax is flat,
# its gradient is zero almost everywhere; softmax is its smooth stand-in. And only differences
# count: add 100 to all scores, and $e^{100}$ cancels.
#
# The **cross-entropy** asks what share the right class $c$ got: $L = -\log p_c$. Sure and right, 0;
# a share of 1/43, 3.76; sure and wrong, as large as you like.
#
# **Predict.** A net is badly wrong: it gives the right class a score of 0, another 1000. What does
# the loss say, computed as it is written here? What is right?


# %%
def as_written(scores, label):
    """Compute softmax, then the logarithm; in the type of the scores."""
    with np.errstate(all="ignore"):
        exps = np.exp(scores)
        return -np.log(exps[label] / exps.sum())


for scores in np.array([[3.0, 0.0], [100.0, 0.0], [1000.0, 0.0]]):
    single = scores.astype(np.float32)
    fused = ops.sparse_softmax_cross_entropy(Tensor(single[None]), np.array([1])).item()
    print(f"scores {scores}:  in float32 {as_written(single, 1):.2f}, in float64 "
          f"{as_written(scores, 1):.2f}, fused in float32 {fused:.2f}")  # fmt: skip
print("and if the class of 1000 is the right one, in float64:", as_written(scores, 0))
assert np.isnan(as_written(scores, 0))
assert fused == 1000

# %% [markdown]
# **Trap 2.** $e^{89}$ is more than float32 can hold, $e^{710}$ more than float64. Then
# $\infty/\infty$ is NaN, even where the net is *right*, and one NaN in the loss is in all weights a
# step later. Twice the bits move the cliff from 89 to 710; they do not take it away. Fused, there
# is none:
# $$L = -\log\frac{e^{x_c}}{\sum_j e^{x_j}} = \log\sum_j e^{x_j} - x_c
#     = \log\sum_j e^{x_j - m} - (x_c - m),\qquad m = \max_j x_j.$$
# The largest exponent is now 0: nothing overflows. What is tiny is rounded to 0 *inside a sum that
# is at least 1*: no logarithm of 0.

# %%
margins = np.linspace(0, 1000, 401)
pairs = np.stack([margins, np.zeros_like(margins)], axis=1)
narrow, rights = pairs.astype(np.float32), np.ones(len(pairs), int)
lines = {
    "fused, float32": ops.sparse_softmax_cross_entropy(Tensor(narrow), rights, reduction="none"),
    "as written, float64": [as_written(pair, 1) for pair in pairs],
    "as written, float32": [as_written(pair, 1) for pair in narrow],
}
figure = visualise.new_figure(6.5, 3.8)
panel = figure.subplots()
for (name, values), width in zip(lines.items(), (1.5, 3.5, 7), strict=True):
    there = np.isfinite(np.asarray(values))
    panel.plot(margins[there], np.asarray(values)[there], linewidth=width, label=name)
    if not there.all():
        end = margins[there][-1]
        panel.annotate(f"x infinite beyond {end:.0f}", (end - 8, end - 12))
panel.set(title="The loss of a net that is wrong by so much", ylabel="cross-entropy [nats]")
panel.set_xlabel("score of the wrong class minus that of the right one")
panel.grid(alpha=0.3)
panel.legend()
figure

# %% [markdown]
# ### Exercise: cross-entropy that cannot overflow
# For a batch: scores (N, K), labels (N,), the mean over the examples. Refuse labels that are no
# class with a ValueError; you will see why.


# %%
def cross_entropy(logits, labels):
    pass  # your code


cross_entropy = exercise.cross_entropy.check(cross_entropy)

# %% [markdown]
# **Trap 3.** Somewhere in the data a label is -1, for "unknown". NumPy counts -1 from the end: the
# last class is trained, without a word. minicnn says what is wrong and where; who means to leave
# such examples out says `ignore_label=-1`.

# %%
scores, labels = rng.normal(size=(4, 5)), np.array([2, 0, -1, 4])
assert scores[np.arange(4), labels][2] == scores[2, 4]  # NumPy takes the last class's
try:
    ops.sparse_softmax_cross_entropy(Tensor(scores), labels)
except ValueError as error:
    print("minicnn:", error)
else:
    raise AssertionError("a label of -1 was taken for a class")
without = ops.sparse_softmax_cross_entropy(Tensor(scores), labels, ignore_label=-1).item()
assert np.isclose(without, cross_entropy(scores[[0, 1, 3]], labels[[0, 1, 3]]))

# %% [markdown]
# ## The gradient, for which all this was worth it
# Derive $L = \log\sum_j e^{x_j} - x_c$ by $x_k$. The first term gives $e^{x_k}/\sum_j e^{x_j}$, the
# second $-1$ if $k=c$:
# $$\frac{\partial L}{\partial x_k} = p_k - y_k,\qquad y_k = 1 \text{ if } k=c\text{, else } 0.$$
# What it says minus what is right, nothing more. It is never larger than 1, and it does not vanish
# when the net is badly wrong. Taken apart, the same number is the product of $-1/p_c$, huge, and
# softmax's slope, tiny: $\infty\cdot 0$ where it matters most.
#
# ### Exercise: the gradient
# Of the *mean* over the batch.


# %%
def cross_entropy_grad(logits, labels):
    pass  # your code


cross_entropy_grad = exercise.cross_entropy_grad.check(cross_entropy_grad)

# %%
scores, labels = 3 * rng.normal(size=(6, 5)), rng.integers(0, 5, 6)
t = Tensor(scores, requires_grad=True)
loss = ops.sparse_softmax_cross_entropy(t, labels)
loss.backward()
assert np.isclose(cross_entropy(scores, labels), loss.item())
assert np.allclose(cross_entropy_grad(scores, labels), t.grad.numpy())
check_gradients(lambda t: ops.sparse_softmax_cross_entropy(t, labels), scores)
print("sums of its rows:", np.abs(cross_entropy_grad(scores, labels).sum(axis=1)).round(12))

# The same in single precision: how far is it from double, fused and as written?
wrong = np.array([[90.0, 0.0]])
for kind, values in (("float64", wrong), ("float32", wrong.astype(np.float32))):
    fused = Tensor(values, requires_grad=True)
    ops.sparse_softmax_cross_entropy(fused, np.array([1])).backward()
    apart = Tensor(values, requires_grad=True)
    with np.errstate(all="ignore"):
        exps = apart.exp()
        (-(exps[0, 1] / exps.sum()).log()).backward()
    print(f"{kind}: fused {fused.grad.numpy()[0]},  taken apart {apart.grad.numpy()[0]}")
    assert np.allclose(fused.grad.numpy(), [[1.0, -1.0]])
assert not np.isfinite(apart.grad.numpy()).all()  # the last one: float32

# %% [markdown]
# Each row sums to zero: what one class gains the others lose. And the last line is why no library
# lets you train on `log(softmax(x))`: at a margin of 90 in float32 the gradient is gone, while the
# fused one says "down by 1, up by 1".
#
# ## Use: the whole head
# The loss takes *scores*: there is no softmax layer in a net that trains. This is the head of
# `models.SeedNet`, the course's network.

# %%
with nn.seed(0):
    hidden, scores = nn.Dense(32, 100, activation=ops.relu), nn.Dense(100, 43)
    head = nn.Sequential(nn.GlobalAvgPool2d(), hidden, nn.Dropout(0.25), scores)
print(head.summary((32, 8, 8)))
assert sum(p.size for p in head.parameters()) == (32 + 1) * 100 + (100 + 1) * 43

# %% [markdown]
# ## What you know now
# - Max pooling keeps what is large, averages blur; padding is $-\infty$; the gradient goes to the
#   winner, summed where windows overlap. In minicnn: [pooling](../minicnn/ops/pooling.py), its
#   [kernels](../kernels/cpu/pooling.py), [averages](../minicnn/ops/average_pooling.py).
# - Convolutions are equivariant, pooling makes small shifts matter less; a [global
#   average](../minicnn/ops/global_pooling.py) makes a head small and steady.
# - Dropout scales by 1/keep in training and does nothing at test time
#   ([dropout](../minicnn/ops/dropout.py)); the classic way is the same with another learning rate.
# - Softmax and cross-entropy are [one function](../minicnn/ops/loss.py) whose gradient is $p - y$;
#   a label outside the classes is an error.
#
# Next: lesson 6 trains the whole network on 43 kinds of traffic signs, with everything around it
# that a long run needs.
