# %% [markdown]
# # 3. Convolution
#
# One small sum, slid along pictures, sentences, sounds and films. You will write it with loops,
# derive its gradient, make it fast, and see what becomes of it with stride, with holes, backwards,
# one pixel small, and in one and three dimensions.
#
# You will be able to
# * say for every kind of convolution how large its answer is, and what its weight looks like;
# * derive the gradient by image and by weight, and prove it;
# * turn the loops into one matrix product, and say what that costs;
# * say how much of an image an answer deep in a network sees.
#
# It builds on lesson 1 (a convolution is a dense layer that looks near and shares) and lesson 2
# (what `backward` does). Allow 40 minutes. **Predict** before you run.

# %%
import time

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, nn, ops, optim
from minicnn.data.augmentation import standardize
from minicnn.data.signs import draw_sign, make_signs
from minicnn.exercises import convolution as exercise
from minicnn.visualise import new_figure, receptive_field

rng = np.random.default_rng(0)

# %% [markdown]
# ## A weighted sum, slid along
# Each answer is the sum of a patch of pixels, each times a weight; the same weights everywhere.
# What a convolution does is in its weights. **Predict** what each of these 3 x 3 kernels makes of
# the picture, the first one above all: a single 1, in the middle of the right column.

# %%
stop = np.asarray(draw_sign(14).convert("RGB").resize((48, 48)), np.float32) / 255
grey = stop.mean(axis=2)
kernels = {
    "one 1, on the right": [[0, 0, 0], [0, 0, 1], [0, 0, 0]],
    "all 1/9": np.full((3, 3), 1 / 9),
    "right minus left": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "middle minus around": [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]],
}
answers = {"the picture": grey}
for name, kernel in kernels.items():
    weight = np.asarray(kernel, np.float32)[None, None]  # (O, C, KH, KW)
    answers[name] = ops.conv2d(Tensor(grey[None, None]), Tensor(weight)).numpy()[0, 0]
figure = new_figure(10, 2.6)
for panel, (name, answer) in zip(figure.subplots(1, 5), answers.items(), strict=True):
    low = min(answer.min(), 0)
    panel.imshow(answer, cmap="gray", vmin=low, vmax=max(-low, answer.max()))
    panel.set_title(f"{name}\n{answer.shape[0]} x {answer.shape[1]}", fontsize=8)
    panel.set_axis_off()
assert np.array_equal(answers["one 1, on the right"], grey[1:-1, 2:])
figure

# %% [markdown]
# The single 1 copies each pixel's right neighbour, so the picture moves to the *left*. All 1/9
# blurs. Right minus left answers at upright edges, bright where it gets brighter to the right;
# middle minus around at edges of all directions, and in flat places with 0. And all answers are
# smaller than the picture: 46 x 46, for a 3 x 3 window has only 46 places in 48 pixels.
#
# ## How large is the answer?
# Along one axis with $n$ pixels: put $p$ zeros at each end, let the window move by $s$ (stride),
# and let its weights lie $d$ pixels apart (dilation). **Exercise: count the windows.**


# %%
def output_size(size, kernel, stride, padding, dilation):
    pass  # your code


output_size = exercise.output_size.check(output_size)

# %%
line, three = Tensor(np.zeros((1, 1, 32))), Tensor(np.zeros((1, 1, 3)))
print("32 pixels, 3 weights")
for stride, padding, dilation in (1, 0, 1), (1, 1, 1), (2, 0, 1), (1, 0, 2), (3, 2, 1):
    y = ops.conv1d(line, three, stride=stride, padding=padding, dilation=dilation)
    print(f"stride {stride}, padding {padding}, dilation {dilation}: {y.shape[2]} answers")
    assert y.shape[2] == output_size(32, 3, stride, padding, dilation)

# %% [markdown]
# Without padding (`"valid"`) each layer eats the border. `"same"` puts as many zeros around as it
# takes to have $\lceil n / s \rceil$ answers. With an odd kernel and stride 1 that is half the
# kernel on each side, and many programs do just that.
#
# **Exercise: find the bug.** This one is right for 3 x 3 and stride 1. It must be right always;
# when an odd number of zeros is needed, the odd one goes after.


# %%
def same_padding(size, kernel, stride, dilation):
    before = after = kernel // 2
    return before, after


same_padding = exercise.same_padding.check(same_padding)

# %% [markdown]
# Zeros are not nothing: they are black. **Predict:** blur a picture that is 1 everywhere, `"same"`.
# What is in the corner?

# %%
ones, blur = Tensor(np.ones((1, 1, 4, 6))), Tensor(np.full((1, 1, 3, 3), 1 / 9))
print(ops.conv2d(ones, blur, padding="same").data[0, 0].round(2))
assert np.isclose(ops.conv2d(ones, blur, padding="same").data[0, 0, 0, 0], 4 / 9)

# %% [markdown]
# Four of the nine pixels are real there: 4/9. A network can tell from such borders where in the
# picture it is, which equivariance alone would forbid.
#
# ## Channels: the weight has four axes
# A picture has three channels, a map inside a network dozens. A filter looks at **all** channels of
# its patch and adds everything up to one number; each output channel has a filter of its own.
#
# **Exercise: predict the shape** of the weight of a layer that takes RGB images and answers with 16
# maps, through windows of 5 rows and 3 columns. As a tuple.

# %%
weight_shape = None  # your tuple
weight_shape = exercise.weight_shape.check(weight_shape)

# %%
layer = nn.Conv2d(3, 16, size=(5, 3))
print("weight", layer.weight.shape, " bias", layer.bias.shape)
assert layer.weight.shape == weight_shape

# %% [markdown]
# One sometimes reads that the weight is a tensor of rank 3: height, width, input channels. That is
# *one filter*. With the output channels it has **four axes**. Now all of it:
#
# $$y_{n,o,i,j} = b_o + \sum_{c,u,v} w_{o,c,u,v}\; x_{n,c,\,iS+u,\,jS+v}$$
#
# **Exercise: write it with loops**, without bias and padding, with a stride.


# %%
def convolve(x, weight, stride):
    pass  # your code; x (N, C, H, W), weight (O, C, KH, KW)


convolve = exercise.convolve.check(convolve)

# %%
x, weight = rng.normal(size=(2, 3, 9, 8)), rng.normal(size=(4, 3, 3, 2))
for stride in (1, 2):
    theirs = ops.conv2d(Tensor(x), Tensor(weight), stride=stride).numpy()
    print("stride", stride, theirs.shape, np.abs(convolve(x, weight, stride) - theirs).max())
    assert np.allclose(convolve(x, weight, stride), theirs)

# %% [markdown]
# (In mathematics a convolution turns the kernel round first; this is cross-correlation. No library
# turns it: the weights are learnt, and would be learnt turned.)
#
# ## The gradient
# By the weight it is what you found in lesson 1, with channels: each place votes,
#
# $$\frac{\partial L}{\partial w_{o,c,u,v}}
#
# = \sum_{n,i,j} \frac{\partial L}{\partial y_{n,o,i,j}} \; x_{n,c,\,iS+u,\,jS+v}.$$
#
# By the image: pixel $x_{n,c,h,w}$ is in several windows. In window $(i,j)$ it met the weight with
# $iS+u = h$ and $jS+v = w$. What it gave through that weight comes back through it:
#
# $$\frac{\partial L}{\partial x_{n,c,h,w}}
#
# = \sum_o \sum_{iS+u=h, \; jS+v=w} w_{o,c,u,v} \; \frac{\partial L}{\partial y_{n,o,i,j}}.$$
#
# Do not search for the fitting $i, u$: go through all windows, as forward, and *add to the pixels*
# what comes back. **Exercise: write it.**


# %%
def grad_image(grad_y, weight, height, width, stride):
    pass  # your code


grad_image = exercise.grad_image.check(grad_image)


# %%
def grad_weight(grad_y, x, rows, across, stride):
    """Compute the gradient by the weight: each place votes."""
    grad = np.zeros((grad_y.shape[1], x.shape[1], rows, across))
    for i, j in np.ndindex(grad_y.shape[2:]):
        patch = x[:, :, i * stride : i * stride + rows, j * stride : j * stride + across]
        grad += np.einsum("no,ncuv->ocuv", grad_y[:, :, i, j], patch)
    return grad


def op_with(by_image, stride):
    """Make an op of the loops, with a gradient by the image to be tried."""

    @differentiable
    def convolved(x: Tensor, weight: Tensor):
        def grad_x(grad_y):
            return Tensor(by_image(grad_y.data, weight.data, *x.shape[2:], stride))

        def grad_w(grad_y):
            return Tensor(grad_weight(grad_y.data, x.data, *weight.shape[2:], stride))

        return convolve(x.data, weight.data, stride), (grad_x, grad_w)

    return convolved


for stride in (1, 2, 3):
    check_gradients(op_with(grad_image, stride), x, weight)
print("both gradients: right, for strides 1, 2 and 3")

# %% [markdown]
# ## Break it
# Three classics: the kernel turned round on the way back, an image that comes back one pixel off,
# and `=` for `+=` where windows overlap. **Predict** which of them `check_gradients` finds, with a
# random kernel, and with a symmetric one (a blur).


# %%
def turned(grad_y, weight, *rest):
    return grad_image(grad_y, weight[:, :, ::-1, ::-1], *rest)


def off_by_one(*arguments):
    return np.roll(grad_image(*arguments), 1, axis=3)


def overwriting(grad_y, weight, height, width, stride):
    grad = np.zeros((len(grad_y), weight.shape[1], height, width))
    for i, j in np.ndindex(grad_y.shape[2:]):
        h, w = i * stride, j * stride
        back = np.einsum("no,ocuv->ncuv", grad_y[:, :, i, j], weight)
        grad[:, :, h : h + weight.shape[2], w : w + weight.shape[3]] = back
    return grad


def finds(mistake, kernel):
    """Say whether the gradient check objects."""
    try:
        check_gradients(op_with(mistake, 1), rng.normal(size=(2, 1, 5, 6)), kernel)
    except AssertionError:
        return True
    return False


symmetric = np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None]
found = {}
for mistake in (turned, off_by_one, overwriting):
    found[mistake.__name__] = [
        finds(mistake, k) for k in (rng.normal(size=(2, 1, 3, 3)), symmetric)
    ]
    print(f"{mistake.__name__:12} random kernel, symmetric kernel: found {found[mistake.__name__]}")
assert found["turned"] == [True, False]
assert found["off_by_one"] == found["overwriting"] == [True, True]

# %% [markdown]
# A symmetric kernel hides the turned one: it *is* its own turned self. A good test has nothing
# square, nothing symmetric, and more than one of everything. That is how your answers here are
# checked.
#
# ## Vectorise: im2col
# Seven loops in Python take their time. The cure is to copy each window into a column. Then every
# answer is a row of weights times a column, and all answers together are **one matrix product**,
# $Y = W X$ with $W$ of shape $(O, C\,KH\,KW)$ and $X$ of shape $(C\,KH\,KW, OH\,OW)$.
#
# **Exercise: build the columns**, (N, C * KH * KW, OH * OW).
# `np.lib.stride_tricks.sliding_window_view` gives you all windows at once; so do two loops over $u$
# and $v$ that each copy one pixel of all windows.


# %%
def columns(x, kernel_height, kernel_width, stride):
    pass  # your code


columns = exercise.columns.check(columns)


# %%
def convolve_fast(x, weight, stride):
    """Convolve by one matrix product an image."""
    out = [
        output_size(n, k, stride, 0, 1) for n, k in zip(x.shape[2:], weight.shape[2:], strict=True)
    ]
    cols = columns(x, *weight.shape[2:], stride)  # (N, C*KH*KW, OH*OW)
    return (weight.reshape(len(weight), -1) @ cols).reshape(len(x), len(weight), *out)


def seconds(function, times):
    """Return the shortest of several times, after one to warm up."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return min(taken)


images = rng.normal(size=(4, 8, 32, 32)).astype(np.float32)
filters = rng.normal(size=(16, 8, 3, 3)).astype(np.float32)
x_tensor, w_tensor = Tensor(images), Tensor(filters)
assert np.allclose(
    convolve_fast(images, filters, 1), ops.conv2d(x_tensor, w_tensor).data, atol=1e-4
)
times = {
    "seven loops": seconds(lambda: convolve(images, filters, 1), 1),
    "im2col": seconds(lambda: convolve_fast(images, filters, 1), 20),
    "minicnn": seconds(lambda: ops.conv2d(x_tensor, w_tensor), 20),
}
figure = new_figure(6.5, 2.4)
panel = figure.subplots()
bars = panel.barh(list(times), [t * 1e6 for t in times.values()])
panel.bar_label(bars, [f"{times['seven loops'] / t:,.0f} x" for t in times.values()], padding=3)
panel.set(xscale="log", xlabel="microseconds", xlim=(None, 3e7), title="The same answers, sooner")
panel.invert_yaxis()
copies = columns(images, 3, 3, 1).size / images.size
print(f"the columns hold {copies:.1f} times the numbers of the images")
assert times["im2col"] < times["seven loops"] / 20
figure

# %% [markdown]
# Thousands of times faster, for the same sums. The price is memory: eight copies of each pixel
# here, nine in a large image. minicnn copies nothing: it generates machine code for the shape,
# which you will take apart in lesson 9. The gradients are products as well,
# $\partial L/\partial W = G X^\top$ and $\partial L/\partial X = W^\top G$, followed by `col2im`,
# which adds overlapping columns up.
#
# ## Stride, dilation, and the way back
# The same nine weights can step over pixels (**stride**: a smaller answer) or look past them
# (**dilation**: a larger view, no weight more). Seen from the weights' side:

# %%
figure = new_figure(9, 3)
for panel, (stride, dilation) in zip(figure.subplots(1, 3), ((1, 1), (2, 1), (1, 2)), strict=True):
    canvas = np.zeros((1, 1, 9, 9))
    probe = Tensor(canvas, requires_grad=True)
    y = ops.conv2d(probe, Tensor(np.ones((1, 1, 3, 3))), stride=stride, dilation=dilation)
    (y[0, 0, 0, 0] + 2 * y[0, 0, 0, 1]).backward()  # which pixels do two neighbours touch?
    panel.imshow(probe.grad.data[0, 0], cmap="viridis", vmin=0, vmax=3)
    panel.set_title(
        f"stride {stride}, dilation {dilation}: answer {y.shape[2]} x {y.shape[3]}", fontsize=9
    )
    panel.set(xlabel="x (pixels)", ylabel="y (pixels)")
assert y.shape == (1, 1, 5, 5)
figure

# %% [markdown]
# Blue: pixels of the first answer; green: of its neighbour; yellow: of both. With stride 2 they
# share a column; with dilation 2 each sees 5 x 5 pixels through nine weights, and the two see
# *different* pixels: stack such layers and a chequered grid of pixels never meets.
#
# **The way back.** Your `grad_image` takes each answer and paints a weighted window into a larger
# image. Used *forward*, that is the **transposed convolution**: it learns to enlarge. Its answer is
# as large as the image that a convolution would have taken.
#
# **Exercise: predict** how many samples 5 become with a kernel of 3 and stride 2, without padding.

# %%
enlarged = None  # your number
enlarged = exercise.enlarged.check(enlarged)

# %%
coarse, paint = rng.normal(size=(1, 2, 5, 4)), rng.normal(size=(2, 3, 3, 3))
large = ops.conv_transpose2d(Tensor(coarse), Tensor(paint), stride=2).numpy()
assert np.allclose(large, grad_image(coarse, paint, 11, 9, stride=2))

stuffed = np.zeros((1, 2, 5 * 2 - 1 + 4, 4 * 2 - 1 + 4))  # zeros between the pixels, and around
stuffed[:, :, 2:-2:2, 2:-2:2] = coarse
turned_paint = paint[:, :, ::-1, ::-1].swapaxes(0, 1)
assert np.allclose(large, convolve(stuffed, turned_paint, stride=1))
print("transposed convolution", coarse.shape, "->", large.shape, "by three ways")

# %% [markdown]
# Three ways, the same numbers: `conv_transpose2d`, your gradient, and an ordinary convolution with
# the turned kernel over an image with **zeros between the pixels** (hence "fractionally strided").
# It is not the inverse: it enlarges, and does not restore.
#
# **Predict:** an image that is 1 everywhere, enlarged with a kernel of ones of 3 x 3, and of 4 x 4,
# stride
# 2. Both flat?

# %%
figure = new_figure(6, 3)
for panel, size in zip(figure.subplots(1, 2), (3, 4), strict=True):
    flat = np.ones((1, 1, 6, 6))
    y = ops.conv_transpose2d(Tensor(flat), Tensor(np.ones((1, 1, size, size))), stride=2).data[0, 0]
    drawn = panel.imshow(y, cmap="viridis", vmin=0, vmax=4)
    panel.set(title=f"kernel {size} x {size}, stride 2", xlabel="x (pixels)", ylabel="y (pixels)")
    print(f"kernel {size}: inside there are the values", np.unique(y[3:-3, 3:-3]))
figure.colorbar(drawn, ax=figure.axes, label="how many windows paint here")
figure

# %% [markdown]
# With 3 x 3 the windows overlap unevenly: 1, 2 or 4 times. This chequerboard haunts the pictures of
# many networks that paint (Odena et al., 2016). A kernel that is a multiple of the stride is flat
# inside.
#
# ## One pixel small, and not square
# What is a **1 x 1** convolution good for, if it sees no neighbour? It sums over *channels*: at
# each pixel the same small dense layer. It mixes colours, or 256 maps into 64. And a **3 x 1**
# followed by a **1 x 3** sees 3 x 3 with 6 weights in place of 9, if the kernel is a column times a
# row.

# %%
rgb = Tensor(np.moveaxis(stop, 2, 0)[None])
red = ops.conv2d(rgb, Tensor(np.array([1, -0.5, -0.5], np.float32).reshape(1, 3, 1, 1)))
by_pixel = np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0])
assert np.allclose(ops.conv2d(Tensor(x), Tensor(weight[:, :, :1, :1])).data, by_pixel)

down, across = np.array([1.0, 2, 1]).reshape(1, 1, 3, 1), np.array([-1.0, 0, 1]).reshape(1, 1, 1, 3)
picture = Tensor(grey[None, None].astype(np.float64))
in_two = ops.conv2d(ops.conv2d(picture, Tensor(down)), Tensor(across)).numpy()[0, 0]
assert np.allclose(in_two, answers["right minus left"], atol=1e-5)
figure = new_figure(7.5, 2.7)
for panel, image, title in zip(
    figure.subplots(1, 3),
    (stop, red.numpy()[0, 0], in_two),
    ("the picture", "1 x 1: how red is it?", "3 x 1, then 1 x 3: right minus left"),
    strict=True,
):
    panel.imshow(image, cmap="gray")
    panel.set_title(title, fontsize=9)
    panel.set_axis_off()
figure

# %% [markdown]
# ## One dimension: text
# A sentence is a signal with one channel for each letter: 1 where the letter stands, 0 elsewhere
# (one-hot). A filter of $K$ places then counts how many letters agree with its own.
#
# **Exercise: write the filter** that finds a word.


# %%
def word_filter(word, alphabet):
    pass  # your code; (1, letters, places)


word_filter = exercise.word_filter.check(word_filter)

# %%
alphabet = "abcdefghijklmnopqrstuvwxyz "
text = "please stop at the stop sign or step on it"
coded = ops.one_hot(np.array([[alphabet.index(letter) for letter in text]]), len(alphabet))
coded = Tensor(np.ascontiguousarray(np.swapaxes(coded.numpy(), 1, 2)).astype(np.float64))
agree = ops.conv1d(coded, Tensor(word_filter("stop", alphabet))).numpy()[0, 0]
places = np.flatnonzero(agree == 4)
print("letters that agree:", agree.astype(int), " found at", places)
assert [text[p : p + 4] for p in places] == ["stop", "stop"]
figure = new_figure(9, 2.4)
panel = figure.subplots()
panel.bar(np.arange(len(agree)), agree)
panel.set_xticks(np.arange(len(text)), list(text))
panel.set(xlabel="where the window begins", ylabel="letters that agree", title='Looking for "stop"')
figure

# %% [markdown]
# Two bars of 4; and "step" scores 3: a filter does not say yes or no, but *how much*. Networks on
# text learn such filters.
#
# ## One dimension: sound
# A sound is one channel of samples. A filter that is itself a piece of a wave answers where the
# sound swings along; a sine and a cosine together answer whatever the phase. Eight pairs, eight
# pitches: a convolution that reads music.

# %%
RATE = 4000  # samples a second
pitches = 262 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)  # hertz, from c' to c''
melody = [0, 2, 4, 7, 4, 2, 0]
seconds_each = np.arange(int(0.2 * RATE)) / RATE
sound = np.concatenate([np.sin(2 * np.pi * pitches[note] * seconds_each) for note in melody])
sound += rng.normal(0, 0.3, sound.shape)
window = np.arange(400) / RATE
waves = [f(2 * np.pi * pitch * window) for f in (np.sin, np.cos) for pitch in pitches]
bank = np.stack(waves)[:, None] * np.hanning(400)  # 16 filters, one channel, 400 samples
heard = ops.conv1d(Tensor(sound[None, None]), Tensor(bank), stride=50, padding="same").data[0]
power = heard[:8] ** 2 + heard[8:] ** 2
figure = new_figure(9, 3.4)
above, below = figure.subplots(2, 1)
above.plot(np.arange(len(sound)) / RATE, sound, linewidth=0.4)
above.set(
    xlabel="time (s)", ylabel="pressure (no unit)", title="A melody with noise", xlim=(0, 1.4)
)
below.imshow(power, aspect="auto", origin="lower", cmap="viridis", extent=(0, 1.4, -0.5, 7.5))
below.set(
    xlabel="time (s)", ylabel="pitch (number)", title="Sixteen filters of 400 samples, stride 50"
)
notes = power[:, 8::16].argmax(axis=0)
print("played", melody, " heard", notes.tolist())
assert notes.tolist() == melody
figure

# %% [markdown]
# ## Three dimensions: film
# A film has time as a third axis. **Predict:** the filter below is 1 at [0, 0], [1, 1] and [2, 2]
# of (time, x), and 0 elsewhere. Two spots cross the picture. Which one does it see?

# %%
film = np.zeros((1, 1, 8, 12, 16))  # (N, C, time, y, x)
for frame in range(8):
    film[0, 0, frame, 3, 3 + frame] = 1  # a spot that moves to the right
    film[0, 0, frame, 8, 12 - frame] = 1  # and one that moves to the left
to_the_right = np.zeros((1, 1, 3, 1, 3))
for moment in range(3):
    to_the_right[0, 0, moment, 0, moment] = 1
to_the_left = to_the_right[..., ::-1].copy()
seen = {"the film": film[0, 0].max(axis=0)}
for name, kernel in ("moves right", to_the_right), ("moves left", to_the_left):
    seen[name] = ops.conv3d(Tensor(film), Tensor(kernel), padding="same").data[0, 0].max(axis=0)
figure = new_figure(10, 3)
for panel, (name, image) in zip(figure.subplots(1, 3), seen.items(), strict=True):
    drawn = panel.imshow(image, cmap="viridis", vmin=0, vmax=3)
    panel.set(title=name, xlabel="x (pixels)", ylabel="y (pixels)")
figure.colorbar(drawn, ax=figure.axes, label="strongest answer over time")
assert seen["moves right"][3].max() == 3 > seen["moves right"][8].max()
figure

# %% [markdown]
# No single frame shows which way a spot moves; the third axis does. The filter sums along a
# diagonal of time and place: 3 for the spot that moves along, 1 for the other.
#
# ## What a pixel sees
# Stack layers, and an answer depends on a patch of answers, each of which depends on a patch, ...
# **Predict:** you may read that two stacked 3 x 3 convolutions see as much as one 7 x 7. Do they?
#
# **Exercise: compute the receptive field** along one axis, layer by layer, each (kernel, stride,
# dilation).


# %%
def sees(layers):
    pass  # your code


sees = exercise.sees.check(sees)

# %%
three_by_three = 3, 1, 1
for many in (1, 2, 3):
    field = nn.receptive_field(nn.Sequential(*(nn.Conv2d(1, 1) for _ in range(many))), (1, 32, 32))
    print(f"{many} stacked 3 x 3 see {field.size[0]} x {field.size[1]}, with {9 * many} weights")
    assert field.size[0] == sees([three_by_three] * many)
assert sees([three_by_three] * 2) == 5
assert sees([three_by_three] * 3) == 7
dilated = [(3, 1, 1), (3, 1, 2), (3, 1, 4), (3, 1, 8)]
print(f"four 3 x 3 dilated by 1, 2, 4, 8: {sees(dilated)}; undilated: {sees([three_by_three] * 4)}")

# %% [markdown]
# Two see 5 x 5. It takes **three** to see 7 x 7, with 27 weights in place of 49 (lesson 7 uses
# that). Dilation doubles the view with each layer; strides and poolings do, too. Drawn on a sign,
# for a small network of three stages:

# %%
with nn.seed(0), nn.arg_scope(nn.Conv2d, activation=ops.relu):
    net = nn.Sequential(
        early=nn.Sequential(nn.Conv2d(3, 8), nn.Conv2d(8, 8)),
        middle=nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 8), nn.Conv2d(8, 8)),
        late=nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(8, 8)),
    )
signs = make_signs(tracks_per_class=1, frames=10, size=32)
sign = standardize(signs.images[signs.labels == 14][-1:])[0]
field = nn.receptive_field(net, sign.shape)
assert field.size[0] == sees(
    [(3, 1, 1)] * 2 + [(2, 2, 1)] + [(3, 1, 1)] * 2 + [(2, 2, 1), (3, 1, 1)]
)
receptive_field(net, sign, layers=["early", "middle", "late"])

# %% [markdown]
# Early answers see 5 pixels, an edge; late ones 24, most of the sign. To the right, how steeply an
# answer depends on each pixel in its box: most on the middle, hardly on the rim, for more paths
# lead to the middle (Luo et al., 2016). To have a large field is not yet to use it.
#
# ## Use it: weights that learn
# Nobody writes kernels. Here is a secret one; we see only pictures before and after. **Predict:**
# can gradient descent find it, and how many steps does it take?

# %%
secret = np.array([[1.0, 0, -1], [3, 0, -3], [0, 2, 0]])[None, None]
before = Tensor(rng.normal(size=(8, 1, 16, 16)))
after = ops.conv2d(before, Tensor(secret))
found = nn.Parameter(np.zeros((1, 1, 3, 3)))
optimizer = optim.SGD([found], learning_rate=0.2, momentum=0)
path = {0: found.numpy().copy()}
for step in range(1, 31):
    loss = ((ops.conv2d(before, found) - after) ** 2).mean()
    found.grad = None
    loss.backward()
    optimizer.step()
    path[step] = found.numpy().copy()
figure = new_figure(9, 2.6)
chosen = {f"step {s}": path[s] for s in (0, 1, 3, 30)} | {"the secret": secret}
for panel, (name, kernel) in zip(figure.subplots(1, 5), chosen.items(), strict=True):
    drawn = panel.imshow(kernel[0, 0], cmap="viridis", vmin=-3, vmax=3)
    panel.set_title(name, fontsize=9)
    panel.set_axis_off()
figure.colorbar(drawn, ax=figure.axes, label="weight")
print(f"largest error of a weight after 30 steps: {np.abs(found.numpy() - secret).max():.1e}")
assert np.allclose(found.numpy(), secret, atol=1e-3)
figure

# %% [markdown]
# ## What you know now
# * A convolution is a weighted sum over a window and all channels, at every place: seven loops. Its
#   weight has four axes, (O, C, KH, KW).
# * $\lfloor (n + 2p - d(k-1) - 1) / s \rfloor + 1$ windows fit; zeros around are not nothing.
# * By the weight, every place votes; by the image, what went through a weight comes back through
#   it. That way back, used forward, is the transposed convolution.
# * im2col makes it one matrix product, for about nine times the memory.
# * 1 x 1 mixes channels; text, sound and film are the same sum on one and three axes.
# * Two 3 x 3 see 5 x 5, three see 7 x 7; strides and dilation widen the view faster.
#
# In minicnn: [the ops with their derivation](../minicnn/ops/convolution.py),
# [im2col](../minicnn/ops/columns.py), [transposed](../minicnn/ops/transposed_convolution.py), [the
# geometry of windows](../minicnn/ops/_windows.py), [receptive
# fields](../minicnn/nn/receptive_field.py), [the definitions in array
# expressions](../kernels/plain/convolution.py). `minicnn.explain("conv2d")` shows them side by
# side.
#
# Read on: V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning",
# arXiv:1603.07285. K. Chellapilla et al., "High performance convolutional neural networks for
# document processing", 2006 (im2col). A. Odena et al., "Deconvolution and checkerboard artifacts",
# Distill 2016. W. Luo et al., "Understanding the effective receptive field", NIPS 2016,
# arXiv:1701.04128.
