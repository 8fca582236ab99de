# %% [markdown]
# # 2. A tape in a hundred lines
#
# Training asks one question, millions of times: if this weight grew a little, how much would the
# loss grow? In this lesson you build the machine that answers it for all weights at once, train a
# net with it, and then read minicnn's own, which is the same machine with its corners finished.
#
# **You will be able to** derive a pull-back, walk a graph back in the right order, prove a
# gradient, and say what `loss.backward()` does and what it costs.
#
# **It builds on** derivatives of one variable, and NumPy. About 40 minutes. Cells marked *your
# turn* hold a stub and a check, which says what went wrong; leave a stub as it is, and the lesson
# goes on with the solution.

# %%
import inspect
import itertools
import timeit

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, models, no_grad, ops, visualise
from minicnn.autograd import grad, walk_back
from minicnn.autograd.graph import trace
from minicnn.errors import GradientError
from minicnn.exercises import a_tape as exercise

# %% [markdown]
# ## Predict
# A small program of three lines:
#
# $$a = x \cdot x, \qquad b = a + x, \qquad y = a \cdot b.$$
#
# At $x = 3$ it gives $a = 9$, $b = 12$, $y = 108$. *Your turn:* what is $dy/dx$ there? Do it on
# paper, by the chain rule, without multiplying the program out. Replace `None` by your number.

# %%
slope = None  # your number
slope = exercise.slope.check(slope)

# %% [markdown]
# Now ask the program itself: make $x$ a little larger, and see.


# %%
def program(x):
    a = x * x
    b = a + x
    return a * b


for h in (1.0, 0.1, 0.01, 0.001):
    growth = program(3 + h) - program(3)
    print(f"x grows by {h:<6} y grows by {growth:8.4f}, which is {growth / h:8.4f} for each 1")
assert abs((program(3.001) - program(2.999)) / 0.002 - slope) < 1e-4

# %% [markdown]
# Three ways lead from $x$ to $y$: $x \to a \to y$, $x \to a \to b \to y$ and $x \to b \to y$. Along
# a way slopes are multiplied, and the ways are **added**:
#
# $$\frac{dy}{dx} = \underbrace{12 \cdot 6}_{72} + \underbrace{9 \cdot 1 \cdot 6}_{54} +
# \underbrace{9 \cdot 1}_{9} = 135.$$
#
# The rest of the lesson is this line, for millions of numbers.

# %% [markdown]
# ## Differences: slow, and honest
# Moving each input up and down needs no derivation, so it will be our judge. *Your turn:* write it
# for a function of a whole array, with a loop over its numbers:
#
# $$\frac{\partial f}{\partial x_i} \approx \frac{f(x + h e_i) - f(x - h e_i)}{2h},$$
#
# where $e_i$ is 1 in place $i$ and 0 elsewhere.


# %%
def numeric_gradient(f, x, step):
    pass  # your code; np.ndindex(x.shape) yields every index


numeric_gradient = exercise.numeric_gradient.check(numeric_gradient)

# %% [markdown]
# How large should the step be? **Predict** before you run the next cell: the smaller the better?


# %%
def hill(t):
    return float(np.exp(np.sin(t)).sum())


point, truth = np.array([1.0]), np.cos(1.0) * np.exp(np.sin(1.0))
steps = 10.0 ** np.arange(-15, 0.1, 0.25)
central = np.array([abs(numeric_gradient(hill, point, h)[0] - truth) for h in steps])
one_sided = np.array([abs((hill(point + h) - hill(point)) / h - truth) for h in steps])
print(f"up and down: the best step is {steps[central.argmin()]:.0e}, error {central.min():.0e}")
print(f"up alone:    the best step is {steps[one_sided.argmin()]:.0e}, error {one_sided.min():.0e}")
assert 1e-7 < steps[central.argmin()] < 1e-3
assert central.min() < one_sided.min() / 10

figure = visualise.new_figure(6.5, 3.8)
panel = figure.subplots()
panel.loglog(steps, one_sided, "o-", markersize=3, label="one step up: (f(x+h) - f(x)) / h")
panel.loglog(steps, central, "s-", markersize=3, label="up and down: (f(x+h) - f(x-h)) / 2h")
panel.set_title("Error of a slope by differences, f(x) = exp(sin x) at x = 1")
panel.set(xlabel="step h", ylabel="error of df/dx")
panel.legend()
figure

# %% [markdown]
# Both curves are a V. On the right the function bends within the step, and the error falls as $h$
# for one side, as $h^2$ for two: in the picture, slopes of 1 and 2. On the left $f(x+h)$ and
# $f(x-h)$ agree in nearly all of their 16 digits, and what subtracting leaves is rounding, about
# $10^{-16}/h$. With two sides and $h$ near $10^{-6}$, ten digits are right: enough to judge by, in
# float64. In float32, with its 7 digits, nothing can be proven.
#
# And the price? Two runs of the whole program for every input:

# %%
net = models.SeedNet()
print(f"{net.count_parameters():,} weights in the traffic-sign net: ", end="")
print(f"{2 * net.count_parameters():,} runs for one step of training")

# %% [markdown]
# ## Values that remember
# Work from the other end. Let each value remember what it was computed from, its *parents*, and for
# each of them a **pull-back**: a function that takes $dL/d(\text{this value})$ and returns the
# parent's share of it. For $y = a \cdot b$ the slope towards $a$ is $b$, so its pull-back is
# $g \mapsto g \cdot b$. Nothing is computed yet, only written down. That is the tape.


# %%
class Number:
    """A number that remembers how it was computed."""

    births = itertools.count()

    def __init__(self, data, *parents):
        self.data, self.parents = data, parents
        self.grad, self.born = 0.0, next(Number.births)

    def __add__(self, other):
        return Number(self.data + other.data, (self, lambda g: g), (other, lambda g: g))

    def __mul__(self, other):
        a, b = self, other
        return Number(a.data * b.data, (a, lambda g: g * b.data), (b, lambda g: g * a.data))


x = Number(3.0)
y = program(x)  # the very same function as above
print("y =", y.data, "and its parents are", [parent.data for parent, _ in y.parents])

# %% [markdown]
# The shortest walk back calls itself: add the share, and push it on to every parent.

# %%
pushes = 0


def push(number, share):
    global pushes
    pushes += 1
    number.grad += share
    for parent, pull_back in number.parents:
        push(parent, pull_back(share))


push(y, 1.0)
print("dy/dx =", x.grad, "after", pushes, "calls")
assert x.grad == slope

# %% [markdown]
# Right, in three lines. So are we done? *Your turn, predict:* start from a number `x`, do
# `x = x + x` ten times, and push once from the result. How often is `push` called?

# %%
calls = None  # your number
calls = exercise.calls.check(calls)

# %%
for doublings in (1, 2, 3, 10, 15):
    x, pushes = Number(1.0), 0
    for _ in range(doublings):
        x = x + x
    push(x, 1.0)
    print(f"{doublings:2} doublings, {doublings + 1:2} values: {pushes:6,} calls")
    assert doublings != 10 or pushes == calls
print(f"60 doublings, at ten million calls a second: {2**61 / 1e7 / 31557600:,.0f} years")
assert pushes == 2**16 - 1

# %% [markdown]
# `push` goes along every *way*, and each addition doubles their number; 60 layers that use their
# input twice, as residual nets do, would take it thousands of years. It should go along every
# *arrow* once. So a value must wait until **all** that used it have given their share, and only
# then pass the sum on. What is near first is not good enough: in our program $y$ reaches $a$ in one
# step, but the share that comes by way of $b$ is not there yet.
#
# Who may go next, then? A value is younger than everything it was computed from. If the
# **youngest** that waits goes first, then all its users, being younger still, have been.
#
# *Your turn:* write the walk. `value.born` tells the age. Find the values that `y` depends on in a
# loop, not by recursion: Python gives up at a depth of about 1,000.


# %%
def backward(y, grad):
    pass  # your code: set .grad of y and of all that it depends on


backward = exercise.backward.check(backward)

# %%
x = Number(3.0)
backward(program(x), 1.0)
deep = start = Number(1.0)
for _ in range(2000):
    deep = deep + deep * Number(-0.001)
backward(deep, 1.0)
print(f"dy/dx = {x.grad}; through 2,000 layers that use their input twice: {start.grad:.6f}")
assert x.grad == slope
assert np.isclose(start.grad, 0.999**2000)

# %% [markdown]
# The second answer sums $2^{2000}$ ways in 8,000 arrows. That is all of "back-propagation": the
# chain rule, summed in the right order (Linnainmaa 1970; Rumelhart, Hinton and Williams 1986).
#
# ## From numbers to arrays: what broadcasting owes
# A bias of shape `(3,)` added to a batch of shape `(4, 3)` is used four times, and gets the **sum
# of four** gradients: $\partial L/\partial b_j = \sum_i \partial L/\partial y_{ij}$. Fan-out again,
# only hidden by NumPy. *Your turn:* write it for any shapes. Broadcasting lines them up from the
# right; an axis is then either new, or had length 1, or is as it was.


# %%
def sum_to(grad, shape):
    pass  # your code


sum_to = exercise.sum_to.check(sum_to)

# %% [markdown]
# ## The product of matrices, first with loops
# $y_{ik} = \sum_j a_{ij} b_{jk}$. The number $a_{ij}$ goes into the whole row
# $y_{i0}, y_{i1}, \dots$: into $y_{ik}$ with the factor $b_{jk}$. One slope for each way, and the
# ways are added:
#
# $$\frac{\partial L}{\partial a_{ij}} = \sum_k \frac{\partial L}{\partial y_{ik}}\, b_{jk}.$$


# %%
def grad_a_by_loops(a, b, grad_y):
    gradient = np.zeros_like(a)
    for i, j in np.ndindex(a.shape):
        for k in range(b.shape[1]):
            gradient[i, j] += grad_y[i, k] * b[j, k]
    return gradient


rng = np.random.default_rng(0)
a, b, u = rng.normal(size=(2, 3)), rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
judged = numeric_gradient(lambda a: ((a @ b) * u).sum(), a, 1e-6)
print("largest difference from the judge:", np.abs(grad_a_by_loops(a, b, u) - judged).max())
assert np.allclose(grad_a_by_loops(a, b, u), judged)

# %% [markdown]
# *Your turn:* the same without loops, and the gradient of `b`, too. Which product of matrices sums
# over $k$? If you are lost: the shapes leave only one way to put the pieces together.


# %%
def matmul_gradients(a, b, grad_y):
    pass  # your code: return dL/da, dL/db


matmul_gradients = exercise.matmul_gradients.check(matmul_gradients)
assert np.allclose(matmul_gradients(a, b, u)[0], grad_a_by_loops(a, b, u))

# %% [markdown]
# ## The tape
# Put together. Look at what each pull-back keeps alive: a product needs both factors, tanh its
# result, an addition only two shapes. **The tape is paid for in memory.**


# %%
class Var(Number):
    """An array that remembers how it was computed."""

    __array_ufunc__ = None  # so that NumPy leaves `array * var` to us

    def __init__(self, data, *parents):
        super().__init__(np.asarray(data, np.float64), *parents)

    def backward(self):
        backward(self, np.ones_like(self.data))

    def __add__(self, other):
        a, b = self, as_var(other)
        return Var(
            a.data + b.data,
            (a, lambda g: sum_to(g, a.data.shape)),
            (b, lambda g: sum_to(g, b.data.shape)),
        )

    def __mul__(self, other):
        a, b = self, as_var(other)
        return Var(
            a.data * b.data,
            (a, lambda g: sum_to(g * b.data, a.data.shape)),
            (b, lambda g: sum_to(g * a.data, b.data.shape)),
        )

    def __matmul__(self, other):
        a, b = self, as_var(other)
        return Var(
            a.data @ b.data,
            (a, lambda g: matmul_gradients(a.data, b.data, g)[0]),
            (b, lambda g: matmul_gradients(a.data, b.data, g)[1]),
        )

    def __sub__(self, other):
        return self + as_var(other) * -1.0

    def tanh(self):
        y = np.tanh(self.data)  # d tanh = 1 - tanh**2
        return Var(y, (self, lambda g: g * (1.0 - y * y)))

    def exp(self):
        y = np.exp(self.data)  # d exp = exp
        return Var(y, (self, lambda g: g * y))

    def log(self):
        return Var(np.log(self.data), (self, lambda g: g / self.data))

    def sum(self, axis=None):  # uses every number once: each gets the same gradient
        y = self.data.sum(axis=axis, keepdims=True)
        return Var(y, (self, lambda g: np.broadcast_to(g, self.data.shape)))

    __radd__, __rmul__ = __add__, __mul__


def as_var(value):
    return value if isinstance(value, Var) else Var(value)


methods = {
    method for kind in (Number, Var) for method in vars(kind).values() if inspect.isfunction(method)
}
parts = [inspect.getsource(function) for function in (*methods, as_var)]
parts += [exercise.backward.source, exercise.sum_to.source, exercise.matmul_gradients.source]
lines = sum(bool(line.strip()) for part in parts for line in part.splitlines())
print(f"a tape in {lines} lines, the solutions' docstrings included")
assert lines <= 100

# %% [markdown]
# ## Prove it, and prove the proof
# Judging a gradient number by number is slow. One random direction $v$ judges all its numbers at
# once; and where $f$ has many outputs, weigh them by numbers $u$, the *cotangent*. With $J$ the
# table of all slopes,
#
# $$\underbrace{\langle u, Jv \rangle}_{\text{by differences}} =
# \underbrace{\langle J^\top u, v \rangle}_{\text{by the pull-back}}.$$
#
# It is tempting to take $u = (1, \dots, 1)$, which is to check the gradient of `y.sum()`; many test
# suites do. Here are five pull-backs of softmax. **Predict:** which does a check by `y.sum()` let
# pass?


# %%
def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def shipped(y, grad_y):  # we come back to this one
    return y * (grad_y - grad_y.mean(axis=1, keepdims=True))


pull_backs = {
    "nothing but zeros": lambda y, g: np.zeros_like(y),
    "as if each output had its own input": lambda y, g: y * (1 - y) * g,
    "minus the mean": shipped,
    "the right one, its sign flipped": lambda y, g: -exercise.softmax_gradient.solution(y, g),
    "the right one": exercise.softmax_gradient.solution,
}
scores, v = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
change = (softmax(scores + 1e-6 * v) - softmax(scores - 1e-6 * v)) / 2e-6
ones, random = np.ones((3, 4)), rng.normal(size=(3, 4))
passed = []
for name, pull_back in pull_backs.items():
    gaps = [abs((u * change - pull_back(softmax(scores), u) * v).sum()) for u in (ones, random)]
    passed.append([gap < 1e-8 for gap in gaps])
    print(f"{name:36} gap with ones {gaps[0]:.0e}, with random u {gaps[1]:.0e}")
assert [by_ones for by_ones, _ in passed] == [True, False, True, True, True]
assert [by_random for _, by_random in passed] == [False, False, False, False, True]

# %% [markdown]
# Four pass with ones, and three of those are wrong. Probabilities sum to 1 whatever the scores are,
# so $J^\top u = 0$ for ones: nothing is compared with nothing. Batch normalisation has the same
# blind spot, since its outputs sum to 0. A random $u$ has none.
#
# One more trap is a gradient of the wrong *shape*. A bias whose gradient was not summed, `(4, 3)`
# instead of `(3,)`, gives exactly the right $\langle J^\top u, v \rangle$, because NumPy broadcasts
# $v$. *Your turn:* write the checker. It is tried on right gradients and on wrong ones.


# %%
def is_right(f, pull_back, x, seed):
    pass  # your code: True or False; pull_back(x, u) should be J^T u


print(exercise.is_right.task)
is_right = exercise.is_right.check(is_right)

# %% [markdown]
# *Your turn, repair:* `shipped` is wrong. Derive the right one from
# $\partial y_k / \partial x_j = y_k ([k = j] - y_j)$, which says that every output depends on every
# input of its row, and mend the line below.


# %%
def softmax_gradient(y, grad_y):
    return y * (grad_y - grad_y.mean(axis=1, keepdims=True))  # the bug is here


softmax_gradient = exercise.softmax_gradient.check(softmax_gradient)
assert is_right(softmax, lambda x, u: softmax_gradient(softmax(x), u), scores, seed=0)
assert not is_right(softmax, lambda x, u: shipped(softmax(x), u), scores, seed=0)

# %% [markdown]
# ## Use it: three arms of a spiral
# 300 points in the plane, three classes that no straight line parts. Two hidden layers of 32 tanh,
# softmax, cross-entropy ($-\log$ of the right class's probability), plain gradient descent;
# everything in it is your tape.

# %%
arms, count = 3, 100
labels = np.repeat(np.arange(arms), count)
radius = np.tile(np.linspace(0.1, 1, count), arms)
angle = 4.5 * radius + labels * 2 * np.pi / arms + rng.normal(0, 0.12, arms * count)
points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
one_hot = np.eye(arms)[labels]


def scores_of(x, weights):
    (w1, b1), (w2, b2), (w3, b3) = weights
    return ((x @ w1 + b1).tanh() @ w2 + b2).tanh() @ w3 + b3


def cross_entropy(scores):
    shifted = scores - scores.data.max(axis=1, keepdims=True)  # keeps exp finite
    log_probabilities = shifted - shifted.exp().sum(axis=1).log()
    return (log_probabilities * one_hot).sum() * (-1 / len(one_hot))


first = [
    (rng.normal(0, 1 / np.sqrt(i), (i, o)), np.zeros(o))
    for i, o in itertools.pairwise((2, 32, 32, arms))
]
weights = [[Var(data) for data in pair] for pair in first]
losses = []
for _ in range(800):
    loss = cross_entropy(scores_of(Var(points), weights))
    loss.backward()
    losses.append(loss.data.item())
    for variable in itertools.chain(*weights):
        variable.data = variable.data - 0.25 * variable.grad
        variable.grad = 0.0  # else the next walk would add to it

right = (scores_of(Var(points), weights).data.argmax(axis=1) == labels).mean()
print(f"loss {losses[0]:.2f} -> {losses[-1]:.3f}; {100 * right:.1f} % of the points are right")
assert right > 0.97

# %%
axis = np.linspace(-1.25, 1.25, 200)
plane = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
winners = scores_of(Var(plane), weights).data.argmax(axis=1).reshape(200, 200)

figure = visualise.new_figure(9.5, 4.2)
curve, picture = figure.subplots(1, 2)
curve.semilogy(losses)
curve.axhline(np.log(arms), color="black", linestyle=":", label="guessing: ln 3")
curve.set(title="Training with your own tape", xlabel="step", ylabel="cross-entropy")
curve.legend()
colors = visualise.COLORS[:arms]
picture.contourf(axis, axis, winners, [-0.5, 0.5, 1.5, 2.5], colors=colors, alpha=0.3)
for label, marker in enumerate("os^"):
    picture.plot(*points[labels == label].T, marker, markersize=4, label=f"class {label}")
picture.set(title="What it learned", xlabel="first coordinate", ylabel="second coordinate")
picture.set_aspect("equal")
picture.legend(loc="lower right")
figure

# %% [markdown]
# Notice that the loss begins near $\ln 3 = 1.10$, that of guessing: a good first test of any
# classifier. And it decides everywhere, beyond the arms' ends too, where it has never seen a point.
#
# ## What did it cost?
# Walking back takes two or three times the work of a run forward (each product forward makes two on
# the way back), *however many weights there are*; differences take two runs for each of them. That
# a gradient costs a small multiple of its function, whatever the function, is a theorem: Griewank
# and Walther, "Evaluating Derivatives", 2008, chapter 4.

# %%
once, both = (
    min(timeit.repeat(work, number=1, repeat=20))
    for work in (
        lambda: cross_entropy(scores_of(Var(points), weights)),
        lambda: cross_entropy(scores_of(Var(points), weights)).backward(),
    )
)
parameters = sum(variable.data.size for variable in itertools.chain(*weights))
print(f"forward and back: {both / once:.1f} runs; by differences: {2 * parameters:,} runs")
assert both < 0.1 * 2 * parameters * once

# %% [markdown]
# ## Now read minicnn's
# The same net with the same first weights in minicnn. `requires_grad` marks the leaves that want a
# gradient.

# %%
theirs = [[Tensor(data.copy(), requires_grad=True) for data in pair] for pair in first]
ours = [[Var(data) for data in pair] for pair in first]


def minicnn_loss(x):
    (w1, b1), (w2, b2), (w3, b3) = theirs
    scores = ops.tanh(ops.tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3
    return ops.sparse_softmax_cross_entropy(scores, labels)


minicnn_loss(Tensor(points)).backward()
cross_entropy(scores_of(Var(points), ours)).backward()
pairs = zip(itertools.chain(*ours), itertools.chain(*theirs), strict=True)
farthest = max(np.abs(our.grad - their.grad.data).max() for our, their in pairs)
print(f"largest difference between the two tapes' gradients: {farthest:.1e}")
assert farthest < 1e-12

# %% [markdown]
# Open [tensor.py](../minicnn/autograd/tensor.py) and find your own code in it:
#
# | yours | minicnn's |
# |---|---|
# | `Var.parents`, `born` | `Tensor._parents`, `_born` |
# | `Var(y, (a, pull_back), ...)` | `differentiable`, around an op that returns `y, (grad_a, ...)` |
# | `backward` | `_walk_back`: a heap of those that wait, youngest first |
# | `sum_to` | [sum_to](../minicnn/autograd/shaping.py), in most pull-backs of arithmetic |
# | `is_right` | [check_gradients](../minicnn/autograd/gradcheck.py) |
#
# An op is a function with its gradients beside it. Your softmax becomes one, and so does the
# shipped one:


# %%
def as_op(gradient):
    @differentiable
    def softmax_op(x: Tensor):
        y = softmax(x.data)
        return y, (lambda g: Tensor(gradient(y, g.data)),)

    return softmax_op


check_gradients(as_op(softmax_gradient), scores)
check_gradients(lambda x: as_op(shipped)(x).sum(), scores)  # the blind spot: it passes
try:
    check_gradients(as_op(shipped), scores)
except AssertionError as error:
    print("caught:", next(line for line in str(error).splitlines() if "argument" in line))
else:
    raise AssertionError("the wrong gradient was not caught")

# %% [markdown]
# ## The tape as something to look at
# `trace` writes down which ops ran on what; `walk_back` is `backward` in slow motion. Read its rows
# from top to bottom: the youngest first, each op handing shares to its parents by the closures on
# the right; the leaves, which are older than all else, last.

# %%
print(trace(minicnn_loss, Tensor(points)), "\n")
for step in walk_back(minicnn_loss(Tensor(points))):
    print(step)

# %% [markdown]
# `bytes held` is what the tape keeps alive for the steps that remain. Now the course's net, on 16
# images: three blocks of convolutions with 8, 16 and 32 channels, on 32x32, 16x16 and 8x8 pixels.
# The last block has by far the most weights. **Predict:** which block holds the most memory?

# %%
images = Tensor(rng.normal(size=(16, 3, 32, 32)).astype(np.float32))
walk = list(walk_back(net(images).sum()))
held = np.array([step.bytes_held for step in walk]) / 1e6
weights_held = sum(parameter.data.nbytes for parameter in net.parameters()) / 1e6

maps = [n for n, step in enumerate(walk) if len(step.parents) > 1 and step.tensor.ndim == 4]
let_go = -np.diff(held)[maps]  # by each convolution, from the last to the first
blocks = let_go.reshape(3, 3).sum(axis=1)
print("blocks, last to first:", ", ".join(f"{block:.2f} MB" for block in blocks))
print(f"the whole tape: {held[0]:.2f} MB; all weights: {weights_held:.2f} MB")
assert np.allclose(blocks[2], [4 * blocks[0], 2 * blocks[1]], rtol=0.1)
assert blocks[2] > 0.5 * held[0] > 15 * weights_held

figure = visualise.new_figure(7.0, 3.8)
panel = figure.subplots()
for block, side in enumerate((8, 16, 32)):
    at = np.arange(3 * block, 3 * block + 3)
    panel.bar(at, let_go[at], label=f"block {3 - block}: {side} x {side} pixels")
panel.axhline(weights_held, color="black", linestyle=":", label="all weights of the net together")
panel.set_xticks(range(9), range(9, 0, -1))
panel.set_title("What each step of the walk back lets go, 16 images")
panel.set(xlabel="convolution, from the last to the first", ylabel="memory let go, MB")
panel.legend()
figure

# %% [markdown]
# The first block, which has the fewest weights, holds more than half. Each block has twice the
# channels of the one before it and a quarter of its pixels, so it holds half as much. The weights
# are under 3 %. Who runs out of memory in training takes smaller batches, or pools earlier; fewer
# weights would not help.
#
# ## Freeing, and not recording
# That is why minicnn frees as it goes: a second walk finds nothing, and says so.
# `retain_graph=True` keeps it all, and inside `no_grad()` nothing is written down in the first
# place.

# %%
x = Tensor(np.array([1.0, 2.0]), requires_grad=True)
y = (x * x).sum()
y.backward()
try:
    y.backward()
except GradientError as error:
    print("refused:", error)
else:
    raise AssertionError("a freed graph was walked again")
with no_grad():
    assert not (x * x).requires_grad

# %% [markdown]
# ## Gradients of gradients
# Your pull-backs compute with arrays, so what they do leaves no trace. minicnn's take and return
# Tensors: with `create_graph=True` the walk is itself recorded, and can be walked. Differentiating
# becomes one more op:

# %%
x = Tensor(np.linspace(-4, 4, 401), requires_grad=True)
derivative, derivatives = ops.tanh(x), []
for _ in range(4):
    derivatives.append(derivative.data)
    derivative = grad(derivative.sum(), x, create_graph=True)
t = np.tanh(x.data)
assert np.allclose(derivatives[1:3], [1 - t**2, -2 * t * (1 - t**2)])
assert np.allclose(derivatives[3], (6 * t**2 - 2) * (1 - t**2))
print(f"slope of tanh at 0: {derivatives[1][200]:.4f}, at 4: {derivatives[1][-1]:.4f}")

figure = visualise.new_figure(7.0, 3.8)
panel = figure.subplots()
for order, (values, line) in enumerate(zip(derivatives, ("-", "--", "-.", ":"), strict=True)):
    panel.plot(x.data, values, line, label=f"derivative {order}" if order else "tanh")
panel.set_title("tanh and its derivatives, each the gradient of the one before")
panel.set(xlabel="x", ylabel="value")
panel.legend()
figure

# %% [markdown]
# They agree with the formulas. (A cotangent of ones is right here: each output depends on one input
# alone, so the gradient of the sum *is* the derivative, point by point.) Follow the dashed curve
# outwards: at 4 the slope of tanh is 0.0013. A gradient that passes there is as good as lost, and
# that is where the lesson on [activations](04_activations.py) begins.
#
# ## What you know now
# * Along a way slopes multiply; the ways **add**. Fan-out, broadcasting and products of matrices
#   are one rule.
# * Every value is visited **once, the youngest first**, in a loop.
# * A pull-back is read off the indices: into which outputs does this number go, with which factor?
# * A gradient is proven with a **random** direction and a **random** cotangent, in float64, shapes
#   compared. A sum as cotangent let three wrong softmaxes pass.
# * Walking back costs a few runs forward for any number of weights, and the memory of all that was
#   computed on the way.
#
# In minicnn: the engine is [tensor.py](../minicnn/autograd/tensor.py), its slow motion
# [walking.py](../minicnn/autograd/walking.py), the record of ops
# [graph.py](../minicnn/autograd/graph.py), the judge
# [gradcheck.py](../minicnn/autograd/gradcheck.py); and the judge is judged, with wrong gradients
# that must be caught, in [test_gradcheck.py](../tests/autograd/test_gradcheck.py). History and
# variants: Baydin et al., "Automatic Differentiation in Machine Learning: a Survey", JMLR 2018.
