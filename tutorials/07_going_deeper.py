# %% [markdown]
# # 7. Going deeper
#
# After this lesson you can say what a stack of small windows saves and what it costs, find where
# the parameters of a network are before you train it, derive batch normalisation and its gradient,
# and explain, with a number you computed yourself, why a plain network of 56 layers does not train
# and one with shortcuts does.
#
# It builds on lessons 3 (convolution, receptive fields), 4 (how signals keep their size) and 5
# (global pooling, the head). About 40 minutes.

# %%
import itertools
import math
import time

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, models, nn, no_grad, ops, optim
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.signs import make_signs
from minicnn.exercises import going_deeper as exercise
from minicnn.nn import init
from minicnn.visualise import new_figure

# %% [markdown]
# Eight of the drawn signs, 16 x 16 pixels small, so that even a deep net trains in seconds. A
# quarter of the physical signs is held out.

# %%
signs = make_signs(tracks_per_class=12, frames=4, size=16)
chosen = [1, 12, 13, 14, 17, 25, 38, 40]
rows = np.flatnonzero(np.isin(signs.labels, chosen))
features = standardize(signs.images[rows])
labels = np.searchsorted(chosen, signs.labels[rows])
held_out = signs.tracks[rows] % 4 == 3
seen = features[~held_out], labels[~held_out]
unseen = features[held_out], labels[held_out]
print(f"{len(seen[0])} pictures to learn from, {len(unseen[0])} held out, {len(chosen)} classes")


def train(net, steps, learning_rate, pictures=seen, batch=32):
    """Train, and return the loss at each step."""
    batches = Dataset.from_slices(pictures).shuffle().repeat().batch(batch)
    schedule = optim.Cosine(learning_rate, steps=steps)
    optimizer = optim.SGD(net.parameters(), schedule, momentum=0.9)
    net.train()
    losses = []
    for x, wanted in batches.take(steps):
        loss = ops.sparse_softmax_cross_entropy(net(Tensor(x)), wanted)
        net.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    net.eval()
    return losses


def accuracy(net, pictures):
    """Return which part of some pictures is told right."""
    with no_grad():
        return float((net(Tensor(pictures[0])).data.argmax(axis=1) == pictures[1]).mean())


# %% [markdown]
# ## One large window, or several small ones
# A 7x7 window has 49 weights for each pair of an input and an output channel.
#
# **Predict.** Which stack of 3x3 convolutions, one upon the other, sees the same 7x7 pixels? How
# many weights for each pair of channels has the whole stack?

# %%
stacked = None  # your number
stacked = exercise.stacked.check(stacked)

# %% [markdown]
# minicnn follows receptive fields through any net, exactly. You often read that *two* 3x3 replace a
# 7x7. Look at the column `sees`.

# %%
print("layers  sees  weights a pair  fewer than one such window")
for depth in (1, 2, 3):
    stack = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(depth)))
    side = nn.receptive_field(stack, (1, 15, 15)).size[0]
    print(f"{depth:6}  {side}x{side}{9 * depth:10}{100 * (1 - 9 * depth / side**2):15.0f} %")
    assert side == 2 * depth + 1
assert stacked == 9 * 3
print(f"a single 3x3 has {100 * (1 - 9 / 49):.0f} % fewer than a 7x7, but sees 3x3 only")

# %% [markdown]
# Three layers, 45 % fewer weights. Nothing is free, though. With 27 numbers the stack cannot make
# each of the windows that 49 numbers can make, and it does not look at all pixels alike: there is
# one path from a corner pixel to the output, and many from the centre. Count them: kernels of ones,
# and the gradient of one output with respect to the image.

# %%
with nn.arg_scope(nn.Conv2d, initializer=init.ones, bias=False):
    stack = nn.Sequential(*(nn.Conv2d(1, 1, 3) for _ in range(3)))
image = Tensor(np.zeros((1, 1, 7, 7), np.float32), requires_grad=True)
stack(image)[0, 0, 3, 3].backward()
paths = image.grad.data[0, 0].astype(int)

figure = new_figure(7.5, 3.4)
for panel, values, title in zip(
    figure.subplots(1, 2), (np.ones((7, 7), int), paths), ("one 7x7", "three 3x3"), strict=True
):
    panel.imshow(values, cmap="viridis", vmin=0, vmax=49)
    for i, j in np.ndindex(7, 7):
        light = values[i, j] < 30
        panel.text(
            j, i, values[i, j], ha="center", va="center", color="white" if light else "black"
        )
    panel.set(
        title=f"paths to the output: {title}", xlabel="column / pixels", ylabel="row / pixels"
    )
assert paths.max() == paths[3, 3] == 49
assert paths[0, 0] == 1
figure

# %% [markdown]
# **Notice** 1 in the corners and 49 in the centre, $7 = 1 + 3 + 3$ along each axis, squared. A
# stack looks at the middle first. For pictures that is no bad prejudice; and it has a ReLU after
# each layer, which a single window has not.
#
# ### Measure
# **Predict** before you run it: of the three nets, which learns best? Will the step of the stack
# take 45 % less time?

# %%


def conv(before, after, size):
    """Return a convolution, batch normalisation (more of it soon) and ReLU."""
    return nn.Conv2d(before, after, size, normalizer=nn.BatchNorm2d, activation=ops.relu)


def windows(sizes):
    """Return a small net, in which two places are filled by windows of these sizes."""
    with nn.seed(0):
        return nn.Sequential(
            conv(3, 16, 3),
            *(conv(16, 16, size) for size in sizes),
            nn.MaxPool2d(2),
            *(conv(16, 16, size) for size in sizes),
            nn.GlobalAvgPool2d(),
            nn.Dense(16, len(chosen)),
        )


print(
    f"{'windows':10}{'parameters':>12}{'MACs':>12}{'ms a step':>11}{'kept':>10}{'seen':>7}", end=""
)
print(f"{'held out':>10}")
learned = {}
for name, sizes in {"7x7": [7], "three 3x3": [3, 3, 3], "one 3x3": [3]}.items():
    net = windows(sizes)
    train(net, 3, 1e-9)  # kernels are compiled for their shape when they are first met
    net = windows(sizes)
    start = time.perf_counter()
    losses = train(net, 60, 0.05)
    took = (time.perf_counter() - start) / 60
    about = net.summary((3, 16, 16))
    learned[name] = accuracy(net, seen)
    print(f"{name:10}{about.parameters:12,}{about.macs:12,}{1e3 * took:11.1f}", end="")
    print(f"{about.kept_bytes >> 10:6} KiB{100 * learned[name]:6.0f}%", end="")
    print(f"{100 * accuracy(net, unseen):9.0f}%")
assert learned["three 3x3"] > 0.85
assert learned["three 3x3"] > learned["one 3x3"]

# %% [markdown]
# The stack learns as well as the large window with about half of the parameters and of the
# multiply-accumulates (MACs). The single 3x3 is cheapest and worst: it sees too little. Two things
# are worth a second look. `kept`: a training step remembers each layer's output for the way back,
# so three layers remember more than one. And `ms a step`: time is not MACs. Each layer is one more
# pass over memory, and the 3x3 has a faster algorithm; lesson 9 finds out where time goes.

# %% [markdown]
# ## Where the parameters are
# VGG-19 is sixteen 3x3 convolutions, five poolings, and three dense layers on the 7x7 pixels that
# are left. **Predict:** what part of its 144 million parameters is in the three dense layers?
# Then write the count.

# %%


def dense_head(channels, grid, hidden, classes):
    """Count the parameters, biases too, of three dense layers on grid x grid x channels numbers."""
    ...  # your code


dense_head = exercise.dense_head.check(dense_head)

# %% [markdown]
# Now the real networks, of full size. All weights are zeros here: to count them nobody needs random
# numbers. (It still takes a second or two, and 0.6 GB for a moment.)

# %%
rows_of = {}
with nn.arg_scope([nn.Conv2d, nn.Dense], initializer=init.zeros):
    for name, make in {"VGG-19": lambda: models.VGG(19), "GoogLeNet": models.GoogLeNet}.items():
        rows_of[name] = make().summary((3, 224, 224)).rows
    original = models.GoogLeNet(original=True).count_parameters()
shares = {}
for name, about in rows_of.items():
    dense = [row for row in about if row.kind.startswith("Dense")]
    counts = [sum(row.parameters for row in part) for part in (dense, about)]
    works = [sum(row.macs for row in part) for part in (dense, about)]
    shares[name] = [100 * a / b for a, b in (counts, works)]
    print(f"{name} has in its {len(dense)} dense layer(s)", end=" ")
    print(f"{counts[0] / 1e6:.1f} of {counts[1] / 1e6:.1f} million parameters,", end=" ")
    print(f"{works[0] / 1e6:,.0f} of {works[1] / 1e6:,.0f} million MACs")
    if name == "VGG-19":
        assert counts == [dense_head(512, 7, 4096, 1000), 143_667_240]
    else:
        assert counts == [1_025_000, 6_624_904]
print(f"GoogLeNet as its paper has it: {original / 1e6:.1f} million")

# %% [markdown]
# The course says that VGG's dense layers hold 23 million parameters, and that GoogLeNet has one
# million in all. The counts above say 123.6 million of 143.7; and one million is GoogLeNet's single
# dense layer, the network has 6.6 (7.0 as in the paper, with biases and its 5x5 windows).

# %%
figure = new_figure(7, 3.2)
panel = figure.subplots()
for k, (name, share) in enumerate(shares.items()):
    bars = panel.barh(np.arange(2) + (0.2 if k else -0.2), share, height=0.36, label=name)
    panel.bar_label(bars, fmt="%.1f %%", padding=3)
panel.set(title="What the dense layers have, and what they do", xlabel="share of the whole net / %")
panel.set(yticks=[0, 1], yticklabels=["parameters", "MACs"], xlim=(0, 100))
panel.invert_yaxis()
panel.legend(loc="lower right")
assert shares["VGG-19"][0] > 80
assert shares["VGG-19"][1] < 1
figure

# %% [markdown]
# **Notice** VGG-19's two bars: 86 % of the parameters do 0.6 % of the work. A dense weight is used
# once for an image, a convolution's at every place. So parameters tell you about memory and
# overfitting, MACs about time, and neither tells you about the other.
#
# Global average pooling asks each channel once, "how much of you is there?", and leaves no places
# to have weights for (and no image of a wrong size).

# %% [markdown]
# ## Batch normalisation: on the way there
# Deep nets are hard to train, for each layer's input changes its size whenever the layers below
# learn. Batch normalisation sets the size: for each channel, over all $M = NHW$ values that the
# batch has in it,
#
# $$\mu = \frac1M \sum_m x_m, \qquad \sigma^2 = \frac1M \sum_m (x_m - \mu)^2, \qquad
# \hat x_m = \frac{x_m - \mu}{\sqrt{\sigma^2 + \varepsilon}}, \quad y_m = \gamma \hat x_m + \beta.$$
#
# $\gamma$ and $\beta$ are learned, one number a channel. It divides by the *root* of the variance
# plus epsilon. The course says "by the variance"; here is what that would do to channels that
# spread by 0.1, 1 and 10:

# %%
rng = np.random.default_rng(0)
wide = rng.normal(size=(32, 3, 8, 8)) * np.array([0.1, 1, 10])[:, None, None]
spread = wide.std(axis=(0, 2, 3))
print("spread before            ", spread.round(2))
print("divided by the root      ", (wide / spread[:, None, None]).std(axis=(0, 2, 3)).round(2))
print("divided by the variance  ", (wide / spread[:, None, None] ** 2).std(axis=(0, 2, 3)).round(2))

# %% [markdown]
# Write it for a batch of images. Which axes have to go?

# %%


def batch_norm(x, gamma, beta, epsilon):
    """Normalise each channel of x (N, C, H, W), then scale it by gamma (C,) and shift by beta."""
    ...  # your code


batch_norm = exercise.batch_norm.check(batch_norm)

# %% [markdown]
# ## And on the way back
# $x_m$ reaches the loss in three ways: straight through its own $\hat x_m$, and, as it moves them a
# little, through $\mu$ and $\sigma^2$, of *all* values. Write $g_m$ for $\partial L / \partial
# \hat x_m = \gamma \, \partial L / \partial y_m$ and $s = \sqrt{\sigma^2 + \varepsilon}$.
#
# * Straight: $g_m / s$.
# * Through the mean: $\partial \mu / \partial x_m = 1/M$ and $\partial \hat x_k / \partial \mu =
#   -1/s$, for each $k$. What does the sum over $k$ come to?
# * Through the variance: $\partial \sigma^2 / \partial x_m = 2 (x_m - \mu) / M$ and $\partial \hat
#   x_k / \partial \sigma^2 = -\hat x_k / (2 s^2)$. Again sum over $k$; $(x_m - \mu) / s$ is an old
#   friend.
#
# (The mean also moves the variance, but not to first order: $\sum_k (x_k - \mu) = 0$.) Three terms,
# two of them means over the batch. Write them.

# %%


def batch_norm_grad(grad_y, x, gamma, epsilon):
    """Compute dL/dx from dL/dy, both (N, C, H, W)."""
    ...  # your code


batch_norm_grad = exercise.batch_norm_grad.check(batch_norm_grad)

# %% [markdown]
# Trust nobody, nor this lesson: finite differences decide. `differentiable` makes an op of the two
# functions, and `check_gradients` compares it with differences in random directions.

# %%
scale, shift = rng.normal(size=(2, 3))


@differentiable
def my_batch_norm(x: Tensor):
    """Our own, for a fixed scale and shift."""
    y = batch_norm(x.data, scale, shift, 1e-3)
    return y, (lambda grad_y: Tensor(batch_norm_grad(grad_y.data, x.data, scale, 1e-3)),)


batch = rng.normal(2, 3, (4, 3, 5, 2))
check_gradients(my_batch_norm, batch)
theirs, *_ = ops.batch_norm(Tensor(batch), Tensor(scale), Tensor(shift), 1e-3)
assert np.allclose(my_batch_norm(Tensor(batch)).data, theirs.data)

# %% [markdown]
# Look at what your gradient has become: whatever comes from above, its mean over the batch is gone,
# and so is its part along $\hat x$. It must be so: to move or stretch the whole batch changes
# nothing any more, so nothing may ask for it. And it is divided by $s$: ten times larger weights
# get a ten times smaller gradient. The step to take no longer depends on the size of the weights.

# %%
above = rng.normal(size=batch.shape)
ones = np.ones(3)
below = batch_norm_grad(above, batch, ones, 0.0)
standard = batch_norm(batch, ones, 0 * ones, 0.0)
assert np.allclose(below.mean(axis=(0, 2, 3)), 0)
assert np.allclose((below * standard).mean(axis=(0, 2, 3)), 0)
assert np.allclose(batch_norm_grad(above, 10 * batch, ones, 0.0), below / 10)

# %% [markdown]
# ## On and off
# VGG-11, an eighth as wide, with and without it. **Predict:** which curves improve with larger
# steps?

# %%
larger = seen[0].repeat(2, axis=2).repeat(2, axis=3), seen[1]  # VGG halves its images five times
figure = new_figure(9, 3.4)
final = {}
for panel, rate in zip(figure.subplots(1, 3, sharey=True), (0.003, 0.01, 0.05), strict=True):
    for normalized in (False, True):
        options = {"channels": 8, "hidden": 64, "dropout": 0.0, "batch_norm": normalized}
        with nn.seed(0):
            net = models.VGG(11, classes=8, small=True, **options)
        losses = train(net, 40, rate, larger)
        final[normalized, rate] = np.mean(losses[-10:])
        panel.plot(losses, label="batch norm" if normalized else "without")
    panel.axhline(math.log(8), color="gray", linestyle=":", label="a guess, log 8")
    panel.set(title=f"learning rate {rate}", xlabel="step", ylim=(0, 4))
panel.legend()
figure.axes[0].set_ylabel("loss / nats")
for rate in (0.003, 0.01, 0.05):
    print(f"rate {rate}: loss {final[False, rate]:.2f} without, {final[True, rate]:.2f} with it")
assert final[True, 0.05] < 0.5 < 1.2 < final[False, 0.05]
figure

# %% [markdown]
# **Notice** that without it the loss gets *worse* with a larger rate and stays near the guess,
# $\log 8 = 2.08$; with it, 0.05 is the best of the three, and the last losses are next to nothing.
# To be allowed larger steps is what batch normalisation is mostly for.
#
# ## Who else is in the batch
# In training a picture's answer depends on the others in its batch. How much? The same picture in
# batches of different sizes, with other companions each time, and that for six pictures:

# %%
net = windows([3, 3, 3])
train(net, 60, 0.05)
net.train()  # the batch's own statistics
sizes = [4, 8, 16, 32, 64]
spreads = []
for size in sizes:
    found = []
    for picture in unseen[0][::16]:
        answers = []
        for _ in range(25):
            others = seen[0][rng.choice(len(seen[0]), size - 1, replace=False)]
            with no_grad():
                answers.append(net(Tensor(np.concatenate([picture[None], others]))).data[0])
        found.append(np.std(answers, axis=0).mean())
    spreads.append(np.mean(found))

figure = new_figure(5, 3.4)
panel = figure.subplots()
panel.loglog(sizes, spreads, "o-", label="measured")
panel.loglog(sizes, spreads[1] * np.sqrt(8 / np.array(sizes)), ":", label="1 / sqrt(batch)")
panel.set(title="The same picture, other companions", xlabel="pictures in the batch")
panel.set(ylabel="spread of its scores", xticks=sizes, xticklabels=sizes)
panel.set(yticks=[0.25, 0.5, 1, 2], yticklabels=["0.25", "0.5", "1", "2"])
panel.minorticks_off()
panel.legend()
assert spreads[0] > 2 * spreads[-1] > 0
figure

# %% [markdown]
# The answer is noisy, by about $1 / \sqrt{N}$. A net that must answer well in spite of the noise
# cannot rely on single numbers: batch normalisation is a regulariser, like dropout, the weaker the
# larger the batch. In use, though, nobody wants an answer that depends on the other customers,
# and with a batch of one there is no spread at all:

# %%
lonely = nn.BatchNorm1d(5)
try:
    lonely(Tensor(np.ones((1, 5), np.float32)))
except ValueError as error:
    print(error)
else:
    raise AssertionError("a batch of one was normalised")

# %% [markdown]
# So in training it also keeps *moving averages* $a \leftarrow d a + (1 - d) b$ of the batches'
# statistics $b$, with a decay $d$ like 0.9, and evaluation uses these instead.
#
# **Repair.** Two lines of this layer are wrong. Each is a mistake that was shipped more than once.
# First find them by thought, or by giving it a batch of one.

# %%


class MovingNorm:
    """Batch normalisation of vectors (N, C), without gamma and beta."""

    def __init__(self, channels, decay=0.9, epsilon=1e-5):
        self.decay, self.epsilon = decay, epsilon
        self.mean, self.variance = np.zeros(channels), np.ones(channels)

    def train(self, x):
        """Normalise by the batch, and move the averages."""
        mean, variance = x.mean(axis=0), x.var(axis=0)
        self.mean, self.variance = (
            (1 - self.decay) * old + self.decay * new
            for old, new in ((self.mean, mean), (self.variance, variance))
        )
        return (x - mean) / np.sqrt(variance + self.epsilon)

    def evaluate(self, x):
        """Normalise by the averages."""
        return (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + self.epsilon)


MovingNorm = exercise.MovingNorm.check(MovingNorm)

# %% [markdown]
# minicnn's `nn.BatchNorm2d` does the same, with one refinement: the average takes the batch's
# variance divided by $M - 1$, which is right on average for the variance of *all* pictures. And it
# warns if you evaluate before the averages ever moved.
#
# ## Deeper is worse
# With batch normalisation each layer's signal has the right size. So stack as many layers as you
# like? `models.PlainNet` is a stem, then 3x3 convolutions with batch normalisation and ReLU, and
# global pooling. `models.CifarResNet` is the same net with shortcuts, to which we come.
#
# **Predict:** plain nets of 8, 20 and 56 layers, 60 steps each. Which tells most of the pictures
# right that it was *trained* on? A deeper net could always copy the shallower one, and let its
# other layers pass everything on.

# %%
curves, right, trained = {}, {}, {}
for kind, depth in itertools.product((models.PlainNet, models.CifarResNet), (8, 20, 56)):
    with nn.seed(0):
        net = kind(depth, classes=len(chosen), channels=8)
    curves[kind, depth] = train(net, 60, 0.05)
    trained[kind, depth] = net
    right[kind, depth] = 100 * accuracy(net, seen), 100 * accuracy(net, unseen)

figure = new_figure(5, 3.4)
panel = figure.subplots()
for depth in (8, 20, 56):
    panel.plot(curves[models.PlainNet, depth], label=f"plain, {depth} layers")
panel.axhline(math.log(8), color="gray", linestyle=":", label="a guess")
panel.set(title="Deeper is worse", xlabel="step", ylabel="loss on what it learns from / nats")
panel.set(ylim=(0, 3))
panel.legend(ncols=2, loc="upper right", fontsize="small")
for depth in (8, 20, 56):
    print(f"plain, {depth} layers: {right[models.PlainNet, depth][0]:.0f} % of what it learns from")
assert right[models.PlainNet, 56][0] < 50 < 80 < right[models.PlainNet, 8][0]
figure

# %% [markdown]
# 56 layers cannot even learn the pictures by heart, so it is not overfitting. **Predict:** look at
# the gradient of each layer's weights before the first step. Does it vanish on its way down, or
# explode? By what factor?

# %%


def gradients(net):
    """Return the size of each convolution's weights and of their gradient, from the first on."""
    net.train()
    loss = ops.sparse_softmax_cross_entropy(net(Tensor(seen[0][::4])), seen[1][::4])
    loss.backward()
    weights = [p for p in net.parameters() if p.ndim == 4]
    return np.array([[np.linalg.norm(p.data), np.linalg.norm(p.grad.data)] for p in weights]).T


at_start = {}
for kind, depth in itertools.product((models.PlainNet, models.CifarResNet), (20, 56, 110)):
    with nn.seed(0):
        net = kind(depth, classes=len(chosen), channels=8)
    at_start[kind, depth] = gradients(net)


def draw_gradients(kinds):
    """Draw the size of the gradients, layer by layer."""
    figure = new_figure(4.2 * len(kinds), 3.4)
    for panel, kind in zip(figure.subplots(1, len(kinds), squeeze=False)[0], kinds, strict=True):
        for depth in (20, 56, 110):
            panel.semilogy(at_start[kind, depth][1], label=f"{depth} layers")
        panel.set(title=f"{kind.__name__}, before the first step", xlabel="layer, 0 is the image's")
        panel.set(ylabel="norm of the weights' gradient", ylim=(1e-2, 1e8))
        panel.legend()
    return figure


ratios = {key: norms[0] / norms[-1] for key, (_, norms) in at_start.items()}
for depth in (20, 56, 110):
    ratio = ratios[models.PlainNet, depth]
    print(f"plain, {depth} layers: the first gradient is {ratio:,.0f} times the last")
assert ratios[models.PlainNet, 110] > 1e5
draw_gradients([models.PlainNet])

# %% [markdown]
# It *explodes*: straight lines on a logarithmic axis, so each layer multiplies by the same number.
# Most people predict the opposite. At a depth of 110 it is millions of times. What would a step do?

# %%
(sizes, norms), rate = at_start[models.PlainNet, 56], 0.05
print(f"a step of {rate}: {rate * norms[0] / sizes[0]:.0f} times the first layer's weights,")
print(f"and {rate * norms[-1] / sizes[-1]:.4f} times the last one's")
after = [np.linalg.norm(p.data) for p in trained[models.PlainNet, 56].parameters() if p.ndim == 4]
print(f"60 steps later the first layer's weights are {after[0] / sizes[0]:.0f} times as large,")
print(f"the last one's {after[-1] / sizes[-1]:.2f} times")
assert after[0] > 5 * sizes[0]

# %% [markdown]
# The first steps throw the lower layers far away. Their weights are huge then, so (you derived it:
# the gradient is divided by $s$) they hardly turn any more. There they stay, a random net below,
# while the upper layers have hardly begun to move.
#
# ## Where the factor comes from
# Lesson 4 chose He's weights so that neither signals nor gradients grow. What has changed? Take one
# layer: $z$ from batch normalisation, mean 0 and variance 1; then ReLU; then weights; then batch
# normalisation again, which *subtracts the mean*, and divides by the spread of the rest.
#
# **Predict:** what variance is left of relu(z)? Compute it (the mean of relu(z) is
# $1/\sqrt{2\pi}$), or draw a million numbers.

# %%
relu_variance = None  # your number, to a hundredth of it
relu_variance = exercise.relu_variance.check(relu_variance)

# %% [markdown]
# Now both directions, for weights that multiply variances by $w$:
#
# * forward: $z$ has variance 1, relu(z) varies by $v = 0.34$, after the weights by $w v$; batch
#   normalisation divides by $\sqrt{w v}$;
# * backward: batch normalisation divides the gradient by $\sqrt{w v}$, the weights multiply it by
#   $\sqrt w$, and ReLU lets half of its square through.
#
# So each layer multiplies the gradient's norm by
#
# $$\frac{\sqrt w \cdot \sqrt{1/2}}{\sqrt{w v}} = \sqrt{\frac{1/2}{v}} = \sqrt{\frac{\pi}{\pi - 1}}
# = 1.21,$$
#
# whatever the weights. ReLU's outputs are all positive; a third of their mean square is the square
# of their mean, carries no news, and is thrown away; what is left is blown up to size again, and
# the gradient with it. Batch normalisation, which made 20 layers trainable, makes 100 explode.
# Does it come true? Forty dense layers of 256 neurons, a batch of 256:

# %%
factor = math.sqrt(0.5 / relu_variance)
with nn.seed(1), nn.arg_scope(nn.Dense, normalizer=nn.BatchNorm1d, activation=ops.relu):
    tower = nn.Sequential(*(nn.Dense(256, 256) for _ in range(40)))
top = tower(Tensor(rng.normal(size=(256, 256)).astype(np.float32)))
top.backward(Tensor(rng.normal(size=top.shape).astype(np.float32)))
norms = [np.linalg.norm(layer.weight.grad.data) for layer in tower]
measured = (norms[4] / norms[-5]) ** (1 / (len(norms) - 9))
print(f"each layer multiplies the gradient by {measured:.3f}; predicted {factor:.3f}")
print(f"that is {factor**108:.0e} over 108 layers; the narrow net above had", end=" ")
print(
    f"{ratios[models.PlainNet, 110]:.0e}, {ratios[models.PlainNet, 110] ** (1 / 108):.2f} a layer"
)
assert abs(measured - factor) < 0.02

# %% [markdown]
# ## Shortcuts
# He, Zhang, Ren and Sun (2015) gave the layers an easier question: not "what is the signal now?"
# but "what should be *added* to it?",
#
# $$y = \text{relu}\bigl(x + f(x)\bigr).$$
#
# If nothing is to be done, $f = 0$ does it: the deviation from the identity is modelled. On the
# way back the derivative is $1 + f'$: whatever $f$ does, the gradient also gets by unchanged. Write
# it for $f(x) = \text{relu}(x W_1) W_2$. Two ways from $x$ to $y$; where does each end?

# %%


def residual_grad(grad_y, x, weight1, weight2):
    """Compute dL/dx of y = relu(x + relu(x @ weight1) @ weight2)."""
    ...  # your code


residual_grad = exercise.residual_grad.check(residual_grad)

# %%
weight1, weight2 = rng.normal(size=(4, 3)), rng.normal(size=(3, 4))


@differentiable
def block(x: Tensor):
    """A residual block whose gradient is ours."""
    y = np.maximum(x.data + np.maximum(x.data @ weight1, 0) @ weight2, 0)
    return y, (lambda grad_y: Tensor(residual_grad(grad_y.data, x.data, weight1, weight2)),)


check_gradients(block, rng.normal(size=(5, 4)))

# %% [markdown]
# The same depths, with the same number of weights, before the first step:

# %%
for depth in (20, 56, 110):
    plain, residual = (ratios[kind, depth] for kind in (models.PlainNet, models.CifarResNet))
    print(
        f"{depth:3} layers: first gradient over last: plain {plain:10,.0f}, residual {residual:.1f}"
    )
assert ratios[models.CifarResNet, 110] < 100
draw_gradients([models.PlainNet, models.CifarResNet])

# %% [markdown]
# **Notice** that the residual nets' ratio grows about as the depth does, not exponentially.
# After $k$ blocks the signal is a sum of $k$ branches and varies by about $k$; a further branch
# changes it by one part in $k$, and the gradient too. $\prod (1 + 1/k)$ grows like $k$; the product
# of factors of 1.2 grows like $1.2^k$.

# %%
for (kind, depth), (a, b) in right.items():
    print(
        f"{kind.__name__:12}{depth:3} layers: {a:4.0f} % of what it learns from,{b:4.0f} % held out"
    )
assert right[models.CifarResNet, 56][0] > 90

# %% [markdown]
# ## A hundred layers
# One more trick: let the last scale $\gamma$ of each branch begin at 0. Then each block *is* the
# identity (but for ReLU) at the start, and the net of 110 layers begins as a shallow one, whose
# layers come in as they are needed. 80 steps of 16 pictures:

# %%
with nn.seed(0):
    deep = models.CifarResNet(110, classes=len(chosen), channels=8, zero_gamma=True)
losses = train(deep, 80, 0.05, batch=16)
reached = accuracy(deep, seen)
convolutions = sum(p.ndim == 4 for p in deep.parameters())
print(f"{convolutions} convolutions and a dense layer, {deep.count_parameters():,} parameters:")
print(
    f"loss {losses[0]:.2f} -> {np.mean(losses[-5:]):.2f}, {100 * reached:.0f} % of what it learns",
    end="",
)
print(f" from, {100 * accuracy(deep, unseen):.0f} % held out")
assert reached > 0.7

# %% [markdown]
# ## What you know now
# * Three 3x3 see what one 7x7 sees, with 27 weights a pair of channels instead of 49, and two ReLUs
#   more; two see 5x5. A stack looks at the middle first, and keeps more for the way back.
# * Parameters and work are different things: VGG-19's dense layers have 86 % of the one and 0.6 %
#   of the other. Global pooling does without them.
# * Batch normalisation divides by the root of variance plus epsilon; its gradient has no mean and
#   nothing along $\hat x$; it allows larger steps, adds noise, and needs moving averages in use.
# * It also makes gradients explode, by $\sqrt{\pi / (\pi - 1)}$ a layer. Shortcuts make that a
#   product of $1 + 1/k$.
#
# In minicnn: [batch normalisation and its gradient](../minicnn/ops/normalization.py),
# [the layer with its averages](../minicnn/nn/normalization.py),
# [VGG](../minicnn/models/vgg.py), [GoogLeNet](../minicnn/models/googlenet.py),
# [residual blocks](../minicnn/models/residual.py),
# [the residual nets](../minicnn/models/cifar_resnet.py) and
# [their plain twins](../minicnn/models/plainnet.py),
# [receptive fields](../minicnn/nn/receptive_field.py).
#
# To read on: Simonyan and Zisserman (2015) for stacks; Lin, Chen and Yan, "Network in Network"
# (2014) for global pooling; Ioffe and Szegedy (2015) and Yang et al., "A Mean Field Theory of Batch
# Normalization" (2019); He et al., "Deep Residual Learning" (2016).
