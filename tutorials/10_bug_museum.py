# %% [markdown]
# # 10. The bug museum
#
# Every exhibit is a bug that a library, or a widely used repository, once shipped. None of them
# crashed. The nets trained, a little worse; the tests were green. You will
#
# * find inputs on which wrong code shows itself,
# * write checks that accept what is right and object to what is broken,
# * see why a gradient check can pass any gradient,
# * learn where the tests of minicnn look, and plant a bug for them to find.
#
# It builds on [a tape](02_a_tape.py), [convolution](03_convolution.py) and
# [the classification head](05_classification_head.py). The code of each exhibit is ours, written
# small and wrong for this purpose; the report it goes back to is named as `owner/project #number`,
# an issue or pull request on GitHub.

# %%
import inspect
import warnings

import numpy as np
from safetensors.numpy import load, save

from minicnn import Tensor, check_gradients, differentiable, nn, ops, optim, visualise
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.signs import make_signs
from minicnn.errors import MinicnnError
from minicnn.exercises import bug_museum as exercise

exhibits = exercise.exhibits


def show(*functions):
    print("\n".join(map(inspect.getsource, functions)))


# %% [markdown]
# ## 1. The zero that wins
#
# Max pooling with padding takes the largest number of each window, and some windows reach over the
# edge. What stands there? Convolution pads with 0, a function that cuts windows is already there,
# so why not take that one:

# %%
show(exhibits.padded_with_zero, exhibits.right)

# %% [markdown]
# DeZero did so (`pooling` in `dezero/functions_conv.py` cuts by the convolution's `im2col`), MXNet
# did until it changed to $-3.4 \cdot 10^{38}$ (apache/mxnet #6191), and a port of EfficientDet
# found its results to rise when it stopped (zylo117/Yet-Another-EfficientDet-Pytorch #352).
#
# After a ReLU nothing is below 0 and the two agree. **Predict** where they differ on pictures
# whose mean was subtracted: on every pixel, at the edges, nowhere?

# %%
signs = make_signs(tracks_per_class=1, frames=1)
pictures = standardize(signs.images).astype(np.float64)  # (43, 3, 32, 32): one of each class
honest = exhibits.right(pictures, 5, 2, 2)
zeroed = exhibits.padded_with_zero(pictures, 5, 2, 2)
wrong = honest != zeroed
most = int(wrong.mean(axis=(1, 2, 3)).argmax())

figure = visualise.new_figure(9, 3.6)
panels = figure.subplots(1, 3)
grey = {"cmap": "gray", "vmin": zeroed[most, 0].min() - 1, "vmax": zeroed[most, 0].max()}
panels[0].imshow(honest[most, 0], **grey)
panels[0].set_title("padded with $-\\infty$")
panels[1].imshow(zeroed[most, 0], **grey)
panels[1].set_title("padded with 0")
panels[2].imshow(wrong[most, 0], cmap="cividis")
panels[2].set_title(f"where they differ: {100 * wrong[most, 0].mean():.0f} %")
for panel in panels:
    panel.set(xlabel="column (pixel)", ylabel="row (pixel)")
figure

# %% [markdown]
# Only windows that reach over the edge can differ, and of those the ones that are dark all over:
# look for the frame of zeros in the middle. It never is more than the edge, 60 of 16 x 16 results
# or 23 %, so the net learns all the same.

# %%
print(f"{100 * wrong.mean():.1f} % of all results are wrong, {100 * 60 / 256:.1f} % could be")
assert wrong.any()
assert not wrong[:, :, 1:-1, 1:-1].any()

# %% [markdown]
# **Exercise.** Give an image, of any shape you are asked for, on which the broken one shows itself
# (window 3, stride 2, padding 1).


# %%
def exposing_image(shape):
    pass  # your code: return an array of that shape


exposing_image = exercise.exposing_image.check(exposing_image)

# %% [markdown]
# ## 2. A check is an experiment
#
# One input finds one bug. A check should find all that are likely: here are four more ways to be
# wrong. Each is right on a very natural test.

# %%
show(*exhibits.pools()[1][1:])

# %% [markdown]
# The most natural test image is square, and the story of NNPACK (Maratyszcza/NNPACK #15) is in one
# sentence of its report: *all* of its test cases for convolution had square images and kernels,
# and a gradient was wrong on others. The opposite exists, too: candle (huggingface/candle #3405)
# was wrong only where channels, height and width were all *equal*.
#
# **Exercise.** Write a check of `max_pool(x, size, stride, padding)`, where x is
# $(N, C, H, W)$. It returns True or False, or uses `assert`. It must accept two right
# implementations and object to all five broken ones. Choose inputs, and compute what you expect
# by the definition: the largest of each window.


# %%
def check_pooling(max_pool):
    pass  # your code: compare what it gives with what you expect


check_pooling = exercise.check_pooling.check(check_pooling)

# %% [markdown]
# A broken op that is planted on purpose is called a *mutant*, and a check is as good as the mutants
# it kills. A photograph lets `padded_with_zero` live, a square image `sides_exchanged`, a batch of
# one `first_of_the_batch`: one odd, negative pair of images kills all five.
# minicnn's own proof draws shapes, strides and paddings at random and plants the bug in the op:
# `"padded with 0"` is one of the mutants in [test_pooling.py](../tests/ops/test_pooling.py), and
# [test_proof.py](../tests/ops/test_proof.py) fails if one of them lives.
#
# ## 3. The gradient check that checks nothing
#
# A gradient check compares what backward computes with finite differences. With a vector
# $\bar y$ that comes from behind (the cotangent, `grad_y`) and a direction $v$, both numbers
# $$\langle \bar y, J v\rangle \approx
#   \frac{\langle \bar y,\, f(x + h v) - f(x - h v)\rangle}{2 h}
#   \qquad\text{and}\qquad \langle J^{\mathsf T} \bar y, v\rangle$$
# must be equal. Chainer's check was blind for a while (chainer/chainer #3541, mended in #3542): it
# counted a list of flags where it meant those that are set, concluded that there was nothing to
# compare, and returned. Most of Glow's passed with the gradient emptied (pytorch/glow #1559).
# DeZero's compares the gradient of a *sum*, `(y1 - y2).sum()`: $\bar y$ is all ones.
#
# What is wrong with ones? The rows of a softmax add up to 1, whatever x is:
# $\sum_k y_k = 1$, so $\partial \sum_k y_k / \partial x_i = 0$. Derive it from the Jacobian
# $\partial y_k / \partial x_i = y_k (\delta_{ki} - y_i)$:
# $\sum_k y_k (\delta_{ki} - y_i) = y_i - y_i = 0$. A backward that returns zeros passes.

# %%
rng = np.random.default_rng(0)
x = rng.normal(size=(4, 5))
ones, some = np.ones(x.shape), rng.normal(size=x.shape)
for name, grad_y in ("ones", ones), ("random", some):
    print(f"grad_y {name:6}: largest {abs(exhibits.softmax_back(x, grad_y)).max():.1e}")
assert abs(exhibits.softmax_back(x, ones)).max() < 1e-15
assert abs(exhibits.softmax_back(x, some)).max() > 0.1

# %% [markdown]
# **Exercise.** In [lesson 2](02_a_tape.py) you wrote a check to a recipe; now find step, direction
# and tolerance yourself. `f` takes and returns an array $(N, K)$ of float64, `pull_back(x, grad_y)`
# claims to bring the gradient back. Three pairs are right, one with values near a million;
# six are wrong, one by a thousandth, one in numbers near $10^{-5}$. (No `check_gradients` of
# minicnn's, please: it comes below.)


# %%
def check_gradient(f, pull_back, x):
    pass  # your code


check_gradient = exercise.check_gradient.check(check_gradient)

# %% [markdown]
# Which step $h$? Central differences err by $h^2 f'''/6$, and rounding adds about
# $10^{-16} |f| / h$. **Measure** it on $x^3$, where both can be seen:

# %%
steps = 10.0 ** np.arange(-13, 0)
point = 0.7
slope = 3 * point**2
central = [abs(((point + h) ** 3 - (point - h) ** 3) / (2 * h) / slope - 1) for h in steps]
forward = [abs(((point + h) ** 3 - point**3) / h / slope - 1) for h in steps]

figure = visualise.new_figure(6, 3.5)
panel = figure.subplots()
panel.loglog(steps, np.maximum(central, 1e-16), "o-", label="central")
panel.loglog(steps, np.maximum(forward, 1e-16), "s--", label="forward")
panel.axhline(1e-3, color="gray", label="a bug of one in a thousand")
panel.set_title("The error of a difference quotient of $x^3$")
panel.set(xlabel="step h", ylabel="relative error")
panel.legend()
figure

# %% [markdown]
# The valley of the central ones lies near $h = 10^{-6}$ to $10^{-5}$, far below the grey line: a
# bug of a thousandth stands out a million times. A step of 0.1 errs by more than the bug, and
# so may $10^{-13}$. In float32 rounding is nine orders of magnitude coarser: check in float64.

# %%
print(f"least error {min(central):.0e} at h = {steps[np.argmin(central)]:.0e}")
assert min(central) < 1e-9
assert central[-1] > 1e-3
assert central[0] > 1e-6

# %% [markdown]
# Now the **use**: `check_gradients` does what you wrote, for Tensors. Wrap each planted pair into
# an op, and see which survive.


# %%
def as_op(f, pull_back):
    def op(t):
        return f(t.data), (lambda grad_y: Tensor(pull_back(t.data, grad_y.data)),)

    return differentiable(op)


def of_a_sum(f, pull_back, x):
    ones = np.ones(x.shape)
    numeric = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        moved = np.zeros(x.shape)
        moved[place] = 1e-6
        numeric[place] = (f(x + moved) - f(x - moved)).sum() / 2e-6
    return np.allclose(pull_back(x, ones), numeric, rtol=1e-5, atol=1e-3)


checks = {
    "of a sum": of_a_sum,
    "yours": check_gradient,
    "minicnn's": lambda f, pull_back, x: check_gradients(as_op(f, pull_back), x, atol=0),
}
sound, broken = exhibits.gradients()
found = {}
for name, check in checks.items():
    assert all(exhibits.accepts(check, *pair, x) for pair in sound[:2])  # softmax and cube
    found[name] = [not exhibits.accepts(check, *pair, x) for pair in broken]
for k, (_, back) in enumerate(broken):
    verdicts = [f"{name} {'finds' if found[name][k] else 'MISSES'} it" for name in checks]
    print(f"{back.__name__:20}", ", ".join(verdicts))

# %% [markdown]
# The sum misses three of six: zeros behind a softmax, the backward that ignores `grad_y` (it is
# right for ones), and the faint one, which its allowance of 0.001 covers whole.
# minicnn sends a random `grad_y` back and moves in random directions; that it objects is tested
# with planted gradients, too: [test_gradcheck.py](../tests/autograd/test_gradcheck.py).

# %%
assert sum(found["of a sum"]) == 3
assert all(found["yours"] + found["minicnn's"])

# %% [markdown]
# ## 4. More than one answer is right
#
# Where two pixels of a window are equal and largest, max pooling has a kink, and no single
# gradient. Who gets `grad_y`? The first, the last, or each a part: all of these are used. But
# Theano and MXNet gave *each* of them the whole (Theano/Theano #5248, apache/mxnet #18563), so a
# flat region counted many times. And where windows overlap a pixel may win twice, and needs
# the sum: NNlib, which Flux pools with, wrote `=` for `+=` (FluxML/NNlib.jl #205).

# %%
show(exhibits.each_tie_gets_all, exhibits.last_window_overwrites)

# %% [markdown]
# A blank wall is all ties. **Predict** the sum of the gradient over this 6 x 6 image, when four
# windows of 4 x 4 send back 1 each, for each of the rules:

# %%
wall, grad_y = np.ones((1, 1, 6, 6)), np.ones((1, 1, 2, 2))
for rule in *exhibits.routes()[0], exhibits.each_tie_gets_all:
    print(f"{rule.__name__:20} {rule(wall, grad_y, 4, 2).sum():.0f}")
assert exhibits.first_wins(wall, grad_y, 4, 2).sum() == 4
assert exhibits.each_tie_gets_all(wall, grad_y, 4, 2).sum() == 4 * 16

# %% [markdown]
# So a check must not compare with *one* answer. It asks for properties that all right ones
# have: what every window passes on adds up to its `grad_y`, and only winners receive.
#
# **Exercise.** Write it, for `pull_back(x, grad_y, size, stride)` without padding; `grad_y` has the
# shape of the result, $((H - \text{size}) // \text{stride} + 1, \dots)$. Three are
# right, four are wrong.


# %%
def check_routing(pull_back):
    pass  # your code


check_routing = exercise.check_routing.check(check_routing)

# %% [markdown]
# minicnn gives all to the first: `test_the_first_of_equal_pixels_gets_the_whole_gradient`, and
# two mutants of [test_pooling.py](../tests/ops/test_pooling.py), "of rounded numbers" and "= for +=
# where windows overlap", are these two bugs.
#
# ## 5. Exponentials
#
# $e^{710}$ is more than float64 can hold, and $e^{89}$ more than float32. So a softmax subtracts
# something that changes nothing,
# $$\frac{e^{x_i}}{\sum_k e^{x_k}} = \frac{e^{x_i - m}}{\sum_k e^{x_k - m}},$$
# and $m$ should be the largest of the row. deeplearning4j left it out
# (deeplearning4j/deeplearning4j #6039); NNlib took the larger of that and 0 (FluxML/NNlib.jl
# #43), which looks as safe; and a maximum over the batch is shorter to write.

# %%
show(exhibits.naive, exhibits.less_the_larger_of_0_and_max, exhibits.less_the_max_of_all)

# %% [markdown]
# **Exercise.** Give finite logits, an array (rows, classes), on which all three are wrong.


# %%
def exposing_logits(classes):
    pass  # your code


exposing_logits = exercise.exposing_logits.check(exposing_logits)

# %%
logits = exposing_logits(3)
with np.errstate(all="ignore"):
    for broken in exhibits.SOFTMAXES_BROKEN:
        print(f"{broken.__name__:30}", broken(logits)[-1])
p = ops.softmax(Tensor(logits)).numpy()
print(f"{'minicnn':30}", p[-1])
assert np.allclose(p.sum(axis=1), 1)

# %% [markdown]
# ## 6. Silence
#
# The worst bugs are answers to questions that make no sense. Four of them:
#
# * a label of -1 means "none" to whoever wrote the file, and "the last class" to NumPy. Chainer
#   counted labels below 0 from the end (chainer/chainer #5238; before, they were class 0), and on
#   Theano's GPU their loss was 0 (Theano/Theano #2484);
# * weights of shape (1, 64, 1, 1) loaded into a layer of (32, 64, 1, 1) without a word, copied 32
#   times, since an assignment broadcasts (pytorch/pytorch #8282; mended in #8619);
# * a 2 x 2 window does not fit into an image one pixel wide, and a release of PyTorch gave a result
#   one pixel wide all the same (pytorch/pytorch #22337);
# * batch normalisation of a single value divides 0 by 0 in the unbiased variance: the last
#   batch of a pass, by chance of size one, filled the moving averages with NaN
#   (pytorch/pytorch #1381, torch/nn #1271).
#
# minicnn refuses all four and says what to do:

# %%
questions = {
    "label -1": lambda: ops.sparse_softmax_cross_entropy(
        Tensor(np.zeros((2, 3))), np.array([0, -1])
    ),
    "weights of another shape": lambda: nn.Conv2d(64, 32, 1).load_state_dict(
        nn.Conv2d(64, 1, 1).state_dict()
    ),
    "a window too large": lambda: ops.max_pool2d(Tensor(np.zeros((1, 1, 16, 1))), 2),
    "a batch of one": lambda: nn.BatchNorm1d(8)(Tensor(np.zeros((1, 8), np.float32))),
}
for question, ask in questions.items():
    try:
        answer = ask()
    except MinicnnError as error:
        print(f"{question}:\n    {error}")
    else:
        raise AssertionError(f"{question} was answered: {answer}")

# %% [markdown]
# **Exercise: find and repair.** This loss takes any label that NumPy takes. A label outside
# $0 \dots K - 1$ should be a `ValueError` that says which. (Bringing it into range, or leaving
# it out, would only hide the mistake of whoever made it.)


# %%
def cross_entropy(log_p, labels):  # log_p (N, K), labels (N,)
    rows = np.arange(len(labels))
    return -log_p[rows, labels].mean()  # repair it


cross_entropy = exercise.cross_entropy.check(cross_entropy)

# %% [markdown]
# ## 7. A mean of means
#
# The test set of 100 images is read in batches of 30, 30, 30 and 10, and the accuracy is the
# mean of the four batches' accuracies. What is wrong? It was in fb.resnet.torch
# (facebookarchive/fb.resnet.torch #75) and in a reference of the MLPerf benchmark, where it decided
# when the target had been reached (mlcommons/training #89).

# %%
right_ones = np.array([27, 27, 27, 1])
sizes = np.array([30, 30, 30, 10])
mean_of_means = np.mean(right_ones / sizes)
print(f"mean of means {mean_of_means:.2f}, of all images {right_ones.sum() / sizes.sum():.2f}")
assert abs(mean_of_means - 0.70) < 1e-9
assert right_ones.sum() == 82

# %% [markdown]
# 82 of 100 are right, and it says 70 %: an image of the last batch counts three times.
#
# **Exercise: find and repair.**


# %%
def accuracy(batches):  # a list of (predictions, labels), arrays of one length each
    shares = [(predictions == labels).mean() for predictions, labels in batches]
    return sum(shares) / len(shares)  # repair it


accuracy = exercise.accuracy.check(accuracy)

# %% [markdown]
# minicnn's `Accuracy` counts, and divides once (`test_batches_add_up_exactly` in
# [test_metrics.py](../tests/metrics/test_metrics.py)).
#
# ## 8. The order of memory
#
# A transposed array is the same memory, read in another order. Who writes memory to a file
# writes the wrong order. Not long ago? safetensors 0.8.0, which may be the one that is installed
# here, does so with arrays of NumPy's (safetensors/safetensors #825): 0.7 did not.

# %%
table = np.arange(6.0).reshape(2, 3)
for name, array in ("by rows", table), ("transposed", table.T):
    back = load(save({"w": array}))["w"]
    print(f"safetensors, {name:10}: {'the same' if np.array_equal(back, array) else 'DAMAGED'}")
print(table.T, "comes back as", exhibits.read(exhibits.writes_as_it_lies(table.T)), sep="\n")

# %% [markdown]
# No error, the right shape, the right numbers in wrong places. minicnn keeps images
# channels-last in memory, so nearly every array of it is of this kind; `write_weights` and the
# checkpoints lay them out first (with `np.asarray(a, order="C")`; its sister
# `np.ascontiguousarray` makes an array of one axis out of a single number), and
# `test_safetensors_come_back_as_they_were` in [test_weights.py](../tests/interop/test_weights.py)
# holds it to that.
#
# **Exercise.** Check `write(array) -> bytes` and `read(bytes) -> array`: what comes back must be
# what was given. Two writers are right, four are not.


# %%
def check_round_trip(write, read):
    pass  # your code


check_round_trip = exercise.check_round_trip.check(check_round_trip)

# %% [markdown]
# ## 9. Four workers, one die
#
# Four processes prepare images and shift each by a random number of pixels. They are
# forked, so each begins with a copy of everything, also of the random generator. Reported to
# PyTorch in 2017 (pytorch/pytorch #3880) for NumPy's generator, and found in many projects since;
# one of them is facebookresearch/fairseq #1383.
#
# **Predict**: the four draw three shifts each, out of a million possible ones. How many different
# shifts are among the twelve?

# %%
crops_seen = None  # your number
crops_seen = exercise.crops_seen.check(crops_seen)

# %%
shifts = np.array([np.random.default_rng(7).integers(0, 10**6, 3) for worker in range(4)])
print(shifts)
assert len(np.unique(shifts)) == crops_seen

# %% [markdown]
# minicnn's pipeline has no generator to copy: the random numbers of an element follow from the
# seed, the epoch and its position ([dataset.py](../minicnn/data/dataset.py)), so any number
# of workers draws the same, and each element something else.

# %%
twelve = Dataset.from_slices(np.arange(12))
drawn = {}
for workers in 0, 4:
    shifted = twelve.map(lambda i, s: s.integers(0, 10**6), workers, random=True, seed=7)
    drawn[workers] = [int(shift) for shift in shifted]
print(drawn[4])
assert drawn[0] == drawn[4]
assert len(set(drawn[4])) == 12

# %% [markdown]
# ## 10. Averages that never moved
#
# Batch normalisation in evaluation uses moving averages. In TensorFlow 1 the operation that moves
# them had to be run by whoever wrote the loop, and many did not know
# (tensorflow/tensorflow #11965: all means still 0, all variances still 1). A milder form: they do
# move, but evaluation comes before they have arrived.
#
# **Predict**: an average begins at 1 and keeps 0.9 of itself in each step. Which share of that 1 is
# left after ten steps?

# %%
still_initial = None  # your number
still_initial = exercise.still_initial.check(still_initial)

# %%
features = rng.normal(0, 5, (64, 1)).astype(np.float32)  # of variance 25 and not 1
figure = visualise.new_figure(6, 3.5)
panel = figure.subplots()
for decay, line in (0.9, "-"), (0.99, "--"), (0.999, ":"):
    layer = nn.BatchNorm1d(1, decay=decay)
    variance = []
    for _ in range(300):
        layer(Tensor(features))
        variance.append(float(layer.moving_variance.data[0]))
    panel.plot(range(1, 301), variance, line, label=f"decay {decay}")
    if decay == 0.9:
        assert abs((variance[9] - variance[-1]) / (1 - variance[-1]) - still_initial) < 0.01
panel.axhline(features.var(ddof=1), color="gray", linewidth=1, label="of the batch")
panel.set_title("The moving variance on its way")
panel.set(xlabel="training step", ylabel="moving variance")
panel.legend()
figure

# %% [markdown]
# With 0.9, 35 % of the beginning is left after 10 steps and nothing after 100. With 0.999,
# the default of TensorFlow's `slim` layers, 300 steps have brought the variance a quarter of the
# way: evaluated then, the layer's outputs are 1.9 times too large. Who evaluates a layer
# of minicnn's that was never trained is told so, once:

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    nn.BatchNorm1d(1).eval()(Tensor(features))
print(caught[0].message)
assert "never updated" in str(caught[0].message)
assert round(float(np.sqrt(features.var(ddof=1) / variance[-1])), 1) == 1.9

# %% [markdown]
# ## The depot
#
# Four more, in brief: each is a cell that would fail if minicnn had the bug.
#
# **Dropout whose mask is guessed.** Backward needs the mask of forward. Kaldi took
# output / input for it, and where the input is 0, even if dropped, the gradient passed
# (kaldi-asr/kaldi #3890); numpy-ml applied none (ddbourgin/numpy-ml #94).

# %%
zeros = np.zeros((40, 25))
t = Tensor(zeros, requires_grad=True)
ops.dropout(t, 0.5, Stream(0, "museum")).backward(np.ones(zeros.shape))
mask = ops.dropout(Tensor(zeros + 1), 0.5, Stream(0, "museum")).numpy()
assert np.array_equal(t.grad.data, mask)
assert set(np.unique(mask)) == {0, 2}

# %% [markdown]
# **Frozen, but decaying.** A frozen weight has no gradient, but weight decay and momentum move it
# all the same (ahrefs/ocannl #673 tells how).

# %%
layer = nn.Conv2d(3, 4, 3)
layer.weight.requires_grad = False
before = layer.weight.data.copy()
optimizer = optim.SGD(layer.parameters(), 0.1, momentum=0.9, weight_decay=0.1)
for _ in range(3):
    layer(Tensor(np.ones((2, 3, 5, 5), np.float32))).sum().backward()
    optimizer.step()
assert np.array_equal(layer.weight.data, before)
assert not np.array_equal(layer.bias.data, np.zeros(4))

# %% [markdown]
# **Boxes of no area.** Early in training a box may have no width, and 0 / 0 is NaN, which spreads
# over all weights in one step (open-mmlab/mmdetection #3394).

# %%
flat = Tensor(np.array([[30.0, 75.0, 30.0, 75.0]]), requires_grad=True)
overlap = ops.iou_matrix(flat, flat)
overlap.sum().backward()
assert np.isfinite(overlap.data).all()
assert np.isfinite(flat.grad.data).all()

# %% [markdown]
# **The first batches, for ever.** Train 100 steps, evaluate, train 100 steps: if each call makes
# the iterator anew, the same 100 batches come each time (tensorflow/tensorflow #14283). An
# iterator of minicnn's has a state that can be saved; the Estimator keeps its own
# (`test_training_twice_goes_on` in [test_resume.py](../tests/estimator/test_resume.py)).

# %%
batches = Dataset.from_slices(np.arange(8)).batch(2)
reader = iter(batches)
seen = [next(reader).tolist() for _ in range(2)]
place = reader.state_dict()
later = iter(batches)
later.load_state_dict(place)
assert seen + [batch.tolist() for batch in later] == [[0, 1], [2, 3], [4, 5], [6, 7]]

# %% [markdown]
# ## What you know now
#
# * A bug lives where tests do not look: positive numbers, squares, batches of one, ones for
#   gradients, contiguous arrays, no ties, windows that fit.
# * A check is tested by planting bugs. What it lets through is what you will ship.
# * Compare with the definition, or with properties that all right answers share; never with
#   the thing itself.
# * Allow a share and not an amount, of the size of rounding and not of a bug.
# * What makes no sense should be refused, with what was given and what to do.
#
# In minicnn: [gradcheck.py](../minicnn/autograd/gradcheck.py) is the check of section 3,
# [mutants.py](../tests/ops/mutants.py) plants wrong values and wrong gradients in every op,
# [test_proof.py](../tests/ops/test_proof.py) fails if one of them lives, and
# [tests/faults](../tests/faults) kills processes and damages files. Plant one yourself: flip a sign
# in [pooling.py](../minicnn/ops/pooling.py) and run `python -m pytest tests/ops/test_pooling.py`.
