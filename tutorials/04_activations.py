# %% [markdown]
# # 4. Activations and initialisation
#
# Two nets of 30 layers, the same in everything but one number: how large their weights are before
# the first step. One learns the signs, the other never does, however long you wait. This lesson
# finds that number, and the other ways in which a signal dies.
#
# **You will be able to** say how far a signal and its gradient come in a deep net, derive He's
# initialisation, kill a ReLU, revive it, and write one whose slope is learned.
#
# **It builds on** [gradients](02_a_tape.py) and [convolution](03_convolution.py). About 40 minutes.

# %%
import itertools

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, nn, no_grad, ops, optim, visualise
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.signs import make_signs
from minicnn.errors import ConfigError
from minicnn.exercises import activations as exercise
from minicnn.nn import init

# %% [markdown]
# ## Why bend at all
# Three layers without an activation are $W_3 (W_2 (W_1 x)) = (W_3 W_2 W_1) x$: one layer. What
# bends between them makes depth worth something. Each way of bending has its price, and the price
# is in the **slope**: that is what the gradient is multiplied by on its way back.

# %%
x = Tensor(np.linspace(-6, 6, 241), requires_grad=True)
bends = {"sigmoid": ops.sigmoid, "tanh": ops.tanh, "ReLU": ops.relu, "leaky ReLU": ops.leaky_relu}
figure = visualise.new_figure(9.5, 3.6)
left, right = figure.subplots(1, 2)
for (name, bend), line in zip(bends.items(), ("-", "--", "-.", ":"), strict=True):
    x.grad = None
    y = bend(x)
    y.sum().backward()  # each y depends on one x alone, so this leaves dy/dx, place by place
    left.plot(x.data, y.data, line, label=name)
    right.plot(x.data, x.grad.data, line, label=name)
left.set(title="What comes out", xlabel="x", ylabel="y", ylim=(-1.5, 3))
right.set(title="What the gradient is multiplied by", xlabel="x", ylabel="dy/dx")
left.legend()
figure

# %% [markdown]
# Beyond 4 in either direction the two squashing functions are flat: they **saturate**. The sigmoid
# is never steeper than 1/4. ReLU has slope 1 for all positive numbers and 0 for all negative ones;
# people say that it does not saturate, but that is true on the right side only. The leaky one keeps
# 0.01 on the left.
#
# The slope can be had from the *output*, so that the input need not be kept: $y = \sigma(x)$ has
# $dy/dx = y(1-y)$. *Your turn:* the three of them. (Differentiate
# $\tanh x = (e^x - e^{-x})/(e^x + e^{-x})$ if you don't know it.)


# %%
def slope_from_output(kind, y):
    pass  # your code; kind is "sigmoid", "tanh" or "relu"


slope_from_output = exercise.slope_from_output.check(slope_from_output)
for kind in ("sigmoid", "tanh", "relu"):
    x.grad = None
    y = getattr(ops, kind)(x)
    y.sum().backward()
    assert np.allclose(slope_from_output(kind, y.data), x.grad.data)

# %% [markdown]
# *Your turn, predict:* ten sigmoids stand one after the other, with weights of 1 between them.
# Which share of the gradient arrives at the first, **at most**?

# %%
sigmoid_share = None  # your number
sigmoid_share = exercise.sigmoid_share.check(sigmoid_share)

# %%
x = Tensor(np.zeros(1), requires_grad=True)
y = x
for _ in range(10):
    y = ops.sigmoid(y - float(y.item()))  # shifted to where the sigmoid is steepest
y.sum().backward()
print(f"through ten sigmoids, each where it is steepest: {x.grad.item():.2e}")
print(f"slope of one at 4: {slope_from_output('sigmoid', ops.sigmoid(Tensor(4.0)).data):.4f}")
assert np.isclose(x.grad.item(), sigmoid_share, rtol=0.01)

# %% [markdown]
# A millionth, at best. This is the vanishing gradient that kept nets shallow until about 2010
# (Hochreiter 1991; Glorot and Bengio 2010). Bending is half of it. The weights are the other half.
#
# ## How large is a sum?
# A neuron sums $z = \sum_{i=1}^N w_i x_i$. Draw the weights at random, independently, with mean 0.
# Then products of different terms cancel on average, and only squares remain:
#
# $$E[z^2] = \sum_i \sum_j E[w_i w_j]\,E[x_i x_j] = \sum_i E[w_i^2]\, E[x_i^2]
# = N \, \sigma_w^2 \, E[x^2].$$
#
# *Your turn, predict:* 100 inputs, weights of standard deviation 0.05. By which factor is the mean
# square multiplied, from $x$ to $z$?

# %%
variance_factor = None  # your number
variance_factor = exercise.variance_factor.check(variance_factor)

# %%
rng = np.random.default_rng(0)
inputs = rng.normal(0, 3, (2000, 100))
z = inputs @ rng.normal(0, 0.05, (500, 100)).T
print(f"simulated: {(z**2).mean() / (inputs**2).mean():.3f}")
assert np.isclose((z**2).mean() / (inputs**2).mean(), variance_factor, rtol=0.05)

# %% [markdown]
# ## The half that ReLU keeps
# $z$ is as often negative as positive. ReLU sets the negative half to 0, so what it hands on has
# half the mean square: $E[a^2] = \frac{1}{2} E[z^2]$. **Predict:** is the *variance* of $a$ one
# half, too?

# %%
z = rng.normal(size=1_000_000)
a = np.maximum(z, 0)
print(f"mean square of a: {(a**2).mean():.3f}, mean: {a.mean():.3f}, variance: {a.var():.3f}")
assert np.isclose((a**2).mean(), 0.5, atol=0.005)
assert np.isclose(a.var(), 0.5 - 1 / (2 * np.pi), atol=0.005)

# %% [markdown]
# It is not: $a$ has a mean of 0.40, and the variance is what is left, 0.34. The formula above has
# $E[x^2]$ in it, so the next layer asks for the mean square, mean and all. (Whoever derives it with
# variances gets another, wrong, initialisation.)
#
# Together, from layer to layer: $E[z^2] \mapsto \frac{1}{2} N \sigma_w^2\, E[z^2]$. It keeps its
# size if
#
# $$\sigma_w^2 = \frac{2}{N}, \qquad \sigma_w = \sqrt{2/N}.$$
#
# This is He's initialisation (He et al. 2015, equation 10). **A warning:** the course says that the
# *variance* is $\sqrt{2/N}$. That is the standard deviation; the variance is $2/N$. Does it matter?
# **Predict** the four curves: 30 layers of 256 neurons, each with ReLU.

# %%
N, layers = 256, 30
variances = {
    "0.01**2, a fixed habit of old": 0.01**2,
    "1/N, for layers without ReLU": 1 / N,
    "2/N, He": 2 / N,
    "sqrt(2/N), He's as misquoted": np.sqrt(2 / N),
}


def stack(variance):
    return [rng.normal(0, np.sqrt(variance), (N, N)) for _ in range(layers)]


def through(x, weights):
    sizes = []
    for weight in weights:
        z = x @ weight.T
        sizes.append((z**2).mean())
        x = np.maximum(z, 0)
    return np.array(sizes)


batch = rng.normal(size=(64, N))
figure = visualise.new_figure(7.5, 4.2)
panel = figure.subplots()
for (name, variance), marker in zip(variances.items(), "osD^", strict=True):
    sizes = through(batch, stack(variance))
    factor = N * variance / 2
    panel.semilogy(range(1, layers + 1), sizes, marker, markersize=4, label=f"variance {name}")
    predicted = 2 * factor ** np.arange(1.0, layers + 1)
    panel.semilogy(range(1, layers + 1), predicted, "k:", linewidth=0.8)
    print(f"variance {name:32} factor {factor:8.4f} a layer, at the end {sizes[-1]:.1e}")
    assert abs(np.log10(sizes[-1] / (2 * factor**layers))) < 1
panel.set_title("A signal through 30 layers of 256 ReLUs (dotted: predicted)")
panel.set(xlabel="layer", ylabel="mean square of z")
panel.legend(fontsize=8)
figure

# %% [markdown]
# Straight lines on a logarithmic axis: each layer multiplies by the same factor. $2/N$ stays near 2
# for all 30 layers. $1/N$, only a factor 1.4 less in the weights, loses half a layer,
# $2^{-30} \approx 10^{-9}$ in the end. And the misquoted one makes
# $\frac{1}{2} N \sqrt{2/N} = 11.3$ of 1 in every layer: $10^{32}$. The square root matters.

# %% [markdown]
# ## He's formula, in all its forms
# A neuron of a convolution sums over the window and the input channels: $N = C \cdot KH \cdot KW$,
# the **fan-in**. On the way back each input collects from $O \cdot KH \cdot KW$ outputs: the
# **fan-out**. Taking one of them keeps the signal, or the gradient; the average is a truce. And a
# leaky ReLU of slope $s$ keeps more than half: $\frac{1}{2}(1 + s^2)$.
#
# *Your turn:* the standard deviation of the weights, for any shape, either fan or their average,
# any slope.


# %%
def spread(shape, mode, slope):
    pass  # your code; shape is (O, I) or (O, C, KH, KW), mode "fan_in", "fan_out" or "fan_avg"


spread = exercise.spread.check(spread)

# %%
with nn.seed(0):
    layer = nn.Conv2d(64, 128, size=3)
print(f"minicnn's own, by default he_normal: {layer.weight.data.std():.5f}, ", end="")
print(f"yours: {spread((128, 64, 3, 3), 'fan_in', 0.0):.5f}")
assert np.isclose(layer.weight.data.std(), spread((128, 64, 3, 3), "fan_in", 0.0), rtol=0.01)
assert init.fans((128, 64, 3, 3)) == (576, 1152)

# %% [markdown]
# ## The way back
# $\partial L/\partial z$ of a layer is what arrives from above, where the ReLU was open, and goes
# on below through the same weights, transposed. *Your turn:* both ways through a stack of layers,
# with loops, measuring the mean square in each layer.


# %%
def signals(x, weights, grad_y):
    pass  # your code: return two lists, mean squares of z and of dL/dz, first layer to last


signals = exercise.signals.check(signals)

# %% [markdown]
# A net that becomes narrower: 1,024 numbers at first, 64 at the end, 30 layers; the mean of eight
# draws. **Predict:** with the fan-in, the signal keeps its size. What does the gradient do?

# %%
widths = np.geomspace(1024, 64, layers + 1).astype(int)
figure = visualise.new_figure(9.5, 3.8)
panels = figure.subplots(1, 2, sharey=True)
ratios = {}
for mode, marker in zip(("fan_in", "fan_out", "fan_avg"), "o^s", strict=True):
    draws = []
    for _ in range(8):
        weights = [
            rng.normal(0, spread((o, i), mode, 0.0), (o, i)) for i, o in itertools.pairwise(widths)
        ]
        draws.append(signals(rng.normal(size=(16, 1024)), weights, rng.normal(size=(16, 64))))
    both = np.mean(draws, axis=0)  # (2, layers)
    for panel, sizes in zip(panels, both, strict=True):
        panel.semilogy(range(1, layers + 1), sizes, marker + "-", markersize=3, label=mode)
    ratios[mode] = both[0, -1] / both[0, 0], both[1, 0] / both[1, -1]
    print(f"{mode:8} signal, last layer / first: {ratios[mode][0]:6.3f}", end="   ")
    print(f"gradient, first layer / last: {ratios[mode][1]:6.3f}")
panels[0].set(title="Forward: z", xlabel="layer", ylabel="mean square")
panels[1].set(title="Back: dL/dz", xlabel="layer")
panels[0].legend()
figure

# %%
assert 0.3 < ratios["fan_in"][0] < 3
assert ratios["fan_in"][1] < 0.25
assert 0.3 < ratios["fan_out"][1] < 3
assert ratios["fan_out"][0] > 4

# %% [markdown]
# What one way keeps, the other pays for: up to a factor 16, the ratio of the net's two ends, over
# the *whole* net, since the fans of neighbours cancel. That is harmless beside $10^{-9}$, and so
# fan-in or fan-out is a matter of taste (He et al. say the same); fan-in is minicnn's default.
#
# ## Too large, with tanh
# A signal that grows cannot explode in a tanh, which ends at 1. It saturates instead. Each row of
# the pictures is a layer, each column a value of tanh, bright where many neurons are.

# %%
figure = visualise.new_figure(10.0, 3.4)
slopes = {}
for panel, scale in zip(figure.subplots(1, 3, sharey=True), (0.25, 1.0, 9.0), strict=True):
    with nn.seed(0), nn.arg_scope(nn.Dense, initializer=init.variance_scaling(scale)):
        net = nn.Sequential(*(nn.Dense(N, N, activation=ops.tanh) for _ in range(layers)))
    counts, a = [], Tensor(batch.astype(np.float32))
    with no_grad():
        for layer in net:
            a = layer(a)
            counts.append(np.histogram(a.data, np.linspace(-1, 1, 42))[0] / a.size)
    passing = slope_from_output("tanh", a.data)
    slopes[scale] = passing.mean(), scale * (passing**2).mean()
    panel.imshow(np.sqrt(counts), aspect="auto", extent=(-1, 1, layers + 0.5, 0.5), cmap="viridis")
    panel.set(title=f"variance {scale:g} / N", xlabel="value of tanh")
    print(f"variance {scale:g} / N: mean slope in the last layer {slopes[scale][0]:.2f}; ", end="")
    print(f"the gradient's mean square changes there by a factor {slopes[scale][1]:.2f}")
figure.axes[0].set_ylabel("layer")
figure

# %% [markdown]
# Left: all neurons say 0, the signal is gone, and the gradient with it. In the middle, with $1/N$
# (LeCun 1998), values are spread, and draw together slowly. Right: nearly all say $-1$ or $1$, and
# the mean slope is only 0.3. Does the gradient vanish there, then? **Think** before you read on.
#
# It explodes. Going back, its mean square is multiplied by $N \sigma_w^2$ times the mean of the
# *squared* slope. That mean is small, but $N \sigma_w^2 = 9$, and the product is above 1: the few
# neurons that are not saturated carry it, through large weights. Such a net is chaotic: images that
# hardly differ end up far apart (Poole et al. 2016).

# %%
assert slopes[0.25][0] > 0.99
assert slopes[0.25][1] < 0.3
assert 0.9 < slopes[1.0][1] < 1.0
assert slopes[9.0][0] < 0.35
assert slopes[9.0][1] > 1.2

# %% [markdown]
# ## Does it learn?
# Enough of noise: eight drawn signs, 16 x 16 pixels, and 30 layers of 128 neurons, four times. Only
# activation and initialiser differ, and `arg_scope` says so in one line: it sets the defaults of a
# kind of layer for a block, and a layer that says something itself, as the last one does, has the
# last word.

# %%
signs = make_signs(tracks_per_class=12, frames=4)
chosen = np.array([1, 12, 13, 14, 17, 33, 38, 40])
rows = np.flatnonzero(np.isin(signs.labels, chosen))
small = signs.images[rows].reshape(-1, 16, 2, 16, 2, 3).mean(axis=(2, 4))  # 2 x 2 pixels to one
features = standardize(small.astype(np.uint8))
labels = np.searchsorted(chosen, signs.labels[rows])
held_out = signs.tracks[rows] % 4 == 3  # physical signs that are never trained on


def train(net, rate, steps, watch=lambda step: None):
    batches = Dataset.from_slices((features[~held_out], labels[~held_out])).shuffle(seed=0)
    optimizer = optim.SGD(net.parameters(), optim.Cosine(rate, steps=steps), momentum=0.9)
    losses = []
    for step, (x, y) in enumerate(batches.repeat().batch(64).take(steps)):
        watch(step)
        loss = ops.sparse_softmax_cross_entropy(net(Tensor(x)), y)
        net.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append((step, loss.item()))
    with no_grad():
        right = net(Tensor(features[held_out])).data.argmax(axis=1) == labels[held_out]
    return losses, right.mean()


def deep_net(activation, initializer):
    with nn.seed(0), nn.arg_scope(nn.Dense, activation=activation, initializer=initializer):
        hidden = [nn.Dense(128, 128) for _ in range(layers - 2)]
        last = nn.Dense(128, 8, activation=None)
        return nn.Sequential(nn.Flatten(), nn.Dense(768, 128), *hidden, last)


recipes = {
    "ReLU, He: 2/N": (ops.relu, init.he_normal),
    "ReLU, 1/N": (ops.relu, init.lecun_normal),
    "tanh, Glorot": (ops.tanh, init.glorot_normal),
    "sigmoid, Glorot": (ops.sigmoid, init.glorot_normal),
}
curves, accuracies = {}, {}
for name, recipe in recipes.items():
    losses, accuracies[name] = train(deep_net(*recipe), rate=0.003, steps=200)
    curves[name] = {"loss": losses}
    print(f"{name:16} {100 * accuracies[name]:5.1f} % of the held-out signs")
visualise.learning_curves(curves, "30 dense layers, eight signs")

# %%
assert accuracies["ReLU, He: 2/N"] > 0.85
assert accuracies["tanh, Glorot"] > 0.85
assert accuracies["ReLU, 1/N"] < 0.4
assert accuracies["sigmoid, Glorot"] < 0.2
stuck = curves["ReLU, 1/N"]["loss"][-1][1]
print(f"guessing among 8 costs ln 8 = {np.log(8):.3f}; stuck at {stuck:.3f}")

# %% [markdown]
# There it is. Two ReLU nets whose weights differ by a factor 1.4 and nothing else: one learns the
# signs, the other stays at $\ln 8 = 2.08$, which is guessing (its line lies under the sigmoid's).
# The sigmoids can't at all. Batch normalisation (lesson 7) was invented so that one need not be so
# careful; today's nets have both.
#
# `explain_args` tells who set what, and a misspelt name is an error at once:

# %%
with nn.arg_scope(nn.Dense, activation=ops.relu, initializer=init.he_uniform):
    layer = nn.Dense(4, 3, activation=None)
for name, argument in nn.explain_args(layer).items():
    print(f"{name:16} {getattr(argument.value, '__name__', argument.value)!s:12} ", end="")
    print(argument.source.split(" at ")[0])
assert nn.explain_args(layer)["initializer"].source.startswith("arg_scope")
try:
    nn.arg_scope(nn.Dense, initialiser=init.he_uniform)
except ConfigError as error:
    print("refused:", error)
else:
    raise AssertionError("a misspelt argument passed")

# %% [markdown]
# ## Dead
# A ReLU whose $z$ is negative for *every* image passes no gradient, so its weights never change, so
# it stays negative: it is dead. (Silent for *some* images is no illness. It is the point: sparse
# codes.) *Your turn:* find the dead channels of a convolution, without loops.


# %%
def dead_channels(y):
    pass  # your code: y has shape (N, C, H, W); return C times True or False


dead_channels = exercise.dead_channels.check(dead_channels)

# %% [markdown]
# Killing is easy: one step that is too long throws the biases far below 0. **Predict:** three
# learning rates, 0.03, 0.2 and 0.5. How many of the 80 channels are dead after 100 steps?


# %%
def small_net(activation, bias=0.0):
    start = init.constant(bias)
    with nn.seed(0), nn.arg_scope(nn.Conv2d, activation=activation, bias_initializer=start):
        first, second, third = nn.Conv2d(3, 16), nn.Conv2d(16, 32), nn.Conv2d(32, 32)
        layers = first, nn.MaxPool2d(2), second, nn.MaxPool2d(2), third
        return nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Dense(32, 8))


def count_dead(net):
    dead, y = 0, Tensor(features[~held_out])
    with no_grad():
        for layer in net[:5]:
            y = layer(y)
            if isinstance(layer, nn.Conv2d):
                dead += int(dead_channels(np.maximum(y.data, 0)).sum())
    return dead


figure = visualise.new_figure(7.0, 3.8)
panel = figure.subplots()
deaths = {}
for rate, line in ((0.03, "o-"), (0.2, "s--"), (0.5, "^:")):
    net, counts = small_net(ops.relu), []
    watch = lambda step: step % 5 or counts.append(count_dead(net))  # noqa: B023, E731
    _, accuracy = train(net, rate, 100, watch)
    deaths[rate] = counts[-1], accuracy
    label = f"learning rate {rate}: {100 * accuracy:.0f} % right"
    panel.plot(range(0, 100, 5), counts, line, markersize=4, label=label)
panel.set_title("Dead channels, of 80, on the 288 training images")
panel.set(xlabel="step", ylabel="dead channels", ylim=(0, 80))
panel.legend()
figure

# %%
assert deaths[0.03][0] < 20
assert deaths[0.03][1] > 0.85
assert deaths[0.5][0] > 40
assert deaths[0.5][1] < 0.2
assert not net[0].weight.grad.data.any()  # of the last one, at 0.5: exactly 0

# %% [markdown]
# In the first few steps it is decided. At 0.03 a few channels of the last layer die and nobody
# misses them. At 0.5 one whole layer dies, and with it the net: no step will ever change it again,
# and its loss is that of guessing. Note that there is no error, no NaN, no warning. Death is
# silent.
#
# ## Twins: revived, or not
# Now the same patient four times: all biases at $-2$, so that all 32 channels of the last
# convolution are dead before the first step. The weights are the same bits, only the slope on the
# left differs. **Predict:** who comes back to life within 150 steps? Is a slope of 0.01 enough?

# %%
treatments = {
    "ReLU": ops.relu,
    "leaky, slope 0.01": ops.leaky_relu,
    "leaky, slope 0.25": lambda x: ops.leaky_relu(x, 0.25),
    "PReLU, learned": nn.PReLU,
}
curves, accuracies, patients = {}, {}, {}
dead_at_birth = count_dead(small_net(ops.relu, bias=-2.0))
print("dead at birth:", dead_at_birth, "of 80 channels")
assert dead_at_birth == 50
for name, activation in treatments.items():
    patients[name] = small_net(activation, bias=-2.0)
    losses, accuracies[name] = train(patients[name], rate=0.03, steps=150)
    curves[name] = {"loss": losses}
    gradient = np.abs(patients[name][0].weight.grad.data).max()
    print(f"{name:18} {100 * accuracies[name]:5.1f} % right, gradient in the first layer ", end="")
    print(f"<= {gradient:.1e}")
    assert name != "ReLU" or gradient == 0
visualise.learning_curves(curves, "Twins, dead at birth")

# %%
assert accuracies["ReLU"] < 0.2
assert accuracies["leaky, slope 0.01"] < 0.3
assert accuracies["leaky, slope 0.25"] > 0.7
assert accuracies["PReLU, learned"] > 0.7

# %% [markdown]
# The ReLU's gradient in the first layer is not small: it is 0, exactly, and stays so. A slope of
# 0.01 lets some hundred-thousandths through, alive by the letter, but in 150 steps it gets nowhere
# (its line hides that of the ReLU). With 0.25 the net recovers. Prevention is cheaper: biases that
# begin at 0, He's weights, a modest learning rate, or batch normalisation, which centres $z$ anew
# in every step.
#
# ## A slope that is learned
# PReLU (He et al. 2015, equation 1) makes the slope a weight, one for each channel. Here is one
# that was shipped. It works in its author's only test, with square images of as many channels as
# pixels across. *Your turn, repair:* two things are wrong with it.


# %%
def prelu(x, slope):
    return np.maximum(x, slope * x)  # x (N, C, H, W), slope (C,)


prelu = exercise.prelu.check(prelu)

# %% [markdown]
# *Your turn:* its gradients. Into which outputs does the slope of a channel go, and with which
# factor?


# %%
def prelu_gradients(x, slope, grad_y):
    pass  # your code: return dL/dx, dL/d(slope)


prelu_gradients = exercise.prelu_gradients.check(prelu_gradients)


# %% [markdown]
# Forward and gradient make an op; the judge of lesson 2 looks at it, and minicnn's own must agree.


# %%
@differentiable
def my_prelu(x: Tensor, slope: Tensor):
    def grad_x(g):
        return Tensor(prelu_gradients(x.data, slope.data, g.data)[0])

    def grad_slope(g):
        return Tensor(prelu_gradients(x.data, slope.data, g.data)[1])

    return prelu(x.data, slope.data), (grad_x, grad_slope)


maps, slope = rng.normal(size=(3, 4, 2, 5)), np.array([-0.2, 0.1, 0.5, 1.7])
check_gradients(my_prelu, maps, slope)
pair = Tensor(maps), Tensor(slope)
assert np.allclose(my_prelu(*pair).data, ops.prelu(*pair).data)
print("right, both gradients")

# %% [markdown]
# And what did the fourth twin learn? Its slopes began at 0.25, one for each layer.

# %%
for name, parameter in patients["PReLU, learned"].named_parameters():
    if name.endswith("slope"):
        print(f"{name:20} 0.25 -> {parameter.item():.3f}")
        assert 0.5 < parameter.item() < 1.5

# %% [markdown]
# Near 1, all three: it cured itself by hardly bending at all, and the first one went beyond 1,
# where the shipped `maximum` takes the wrong side. A learned slope goes where the data push it.
#
# ## What you know now
# * Between weights, an activation's **slope** decides how much gradient returns: at most 1/4 for
#   the sigmoid, 1 for tanh, 1 or 0 for ReLU.
# * Each layer multiplies the mean square of the signal by $N \sigma_w^2$ times what the activation
#   keeps: one half for ReLU, $\frac{1}{2}(1+s^2)$ for a leaky one. To the power of 30, only 1 is
#   harmless.
# * He: **variance $2/N$, standard deviation $\sqrt{2/N}$**; for convolutions $N$ counts the window.
#   Fan-in keeps the signal, fan-out the gradient.
# * A ReLU dies silently, and dead means a gradient of exactly 0. Sparse is not dead.
# * A small slope on the left keeps the gradient alive, a learned one fits itself to the data;
#   neither replaces a sane learning rate.
# * `arg_scope` sets defaults for a block, `explain_args` tells who set what.
#
# In minicnn: [the ops](../minicnn/ops/activation.py), [their layers](../minicnn/nn/activation.py),
# [the initialisers](../minicnn/nn/init.py) with all the papers' equations,
# [arg_scope](../minicnn/nn/arg_scope.py); smoother bends such as ELU and SiLU are
# [here](../minicnn/ops/smooth_activation.py).
