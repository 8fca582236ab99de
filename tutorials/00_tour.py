# %% [markdown]
# # A tour of minicnn
#
# Ten minutes: a tensor that remembers, a gradient that is proven, a convolution by hand, and a
# network that learns. Step through it in an editor that knows `# %%` cells, or run it whole with
# `python tutorials/00_tour.py`.

# %%
import numpy as np

from minicnn import Tensor, check_gradients, differentiable, models, nn, no_grad, ops, optim
from minicnn.data import Dataset
from minicnn.data.augmentation import standardize
from minicnn.data.signs import make_signs

# %% [markdown]
# ## A tensor remembers how it was computed
# `backward` walks that history and leaves in `x.grad` how the result changes with each number.
# For the sum of squares that is `2 x`.

# %%
x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
y = (x * x).sum()
y.backward()
print("y =", y.item(), "  dy/dx =", x.grad)
assert np.array_equal(x.grad.data, [2, 4, 6])

# %% [markdown]
# ## An op is a function with its gradient beside it
# `differentiable` turns it into a function on tensors; `check_gradients` compares the gradient with
# finite differences along random directions. Here is an op whose gradient forgets a factor.


# %%
@differentiable
def cube(t: Tensor):
    """Compute t**3; d/dt = 3 t**2."""
    return t.data**3, (lambda grad_y: grad_y * 3.0 * t * t,)


@differentiable
def wrong_cube(t: Tensor):
    """Compute t**3, with a gradient that is wrong."""
    return t.data**3, (lambda grad_y: grad_y * t * t,)


check_gradients(cube, np.array([0.5, -1.0, 2.0]), order=2)
try:
    check_gradients(wrong_cube, np.array([0.5, -1.0, 2.0]))
except AssertionError as error:
    print("caught:", next(line for line in str(error).splitlines() if "argument" in line))
else:
    raise AssertionError("the wrong gradient was not caught")

# %% [markdown]
# ## A convolution is a weighted sum over a patch
# The same nine weights at every place. This filter answers where brightness grows to the right.

# %%
image = np.zeros((1, 1, 6, 6), np.float32)
image[..., 3:] = 1.0
edge = np.array([[-1, 0, 1]] * 3, np.float32).reshape(1, 1, 3, 3)
answer = ops.conv2d(Tensor(image), Tensor(edge), padding="same")
by_hand = sum(
    edge[0, 0, u, v] * np.pad(image[0, 0], 1)[u : u + 6, v : v + 6]
    for u in range(3)
    for v in range(3)
)
print(answer.data[0, 0].astype(int))
assert np.allclose(answer.data[0, 0], by_hand)

# %% [markdown]
# ## The course's network, layer by layer
# Each column of the table is computed, not typed in: what comes out, how many weights and
# multiplications, and how much of the image one number sees.

# %%
with nn.seed(0):
    net = models.SeedNet(classes=3)
print(net.summary((3, 32, 32)))

# %% [markdown]
# ## It learns
# Three drawn signs (stop, no entry, roundabout), a plain loop, and 100 steps.

# %%
signs = make_signs(tracks_per_class=12, frames=4, cache=False)
chosen = [14, 17, 40]
rows = np.flatnonzero(np.isin(signs.labels, chosen))
features = standardize(signs.images[rows])
labels = np.searchsorted(chosen, signs.labels[rows])
held_out = signs.tracks[rows] % 4 == 3  # a quarter of the physical signs is never trained on

batches = Dataset.from_slices((features[~held_out], labels[~held_out])).shuffle().repeat().batch(18)
optimizer = optim.SGD(net.parameters(), optim.Cosine(0.05, steps=100), momentum=0.9)
net.train()
for step, (batch, wanted) in enumerate(batches.take(100)):
    with nn.random_key(0, step):
        loss = ops.sparse_softmax_cross_entropy(net(Tensor(batch)), wanted)
    net.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 20 == 0:
        print(f"step {step:2}  loss {loss.item():.3f}")

net.eval()
with no_grad():
    right = (net(Tensor(features[held_out])).data.argmax(axis=1) == labels[held_out]).mean()
print(f"accuracy on signs it never saw: {100 * right:.0f} %")
assert right > 0.8
