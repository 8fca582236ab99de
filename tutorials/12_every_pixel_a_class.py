# %% [markdown]
# # 12. Every pixel a class
#
# A classifier says what a picture shows, a detector draws boxes. To *segment* is to say of every
# pixel what it belongs to: road, pavement, sky. The nets for it go down to a few places that know
# much, as a classifier does, and then up again to all the pixels. After this lesson you can
#
# * turn a classifier into a per-pixel classifier, and say what its coarse map costs,
# * write three ways up: transposed convolution, interpolation, unpooling; and see checkerboards,
# * say what skips and dilation are for, and measure it,
# * judge by mean IoU and by outlines, weigh rare classes, and know when augmentation pays.
#
# It builds on lessons 3 (convolution), 5 (the classification head) and 6 (traffic signs). About 40
# minutes.

# %%
import math

import numpy as np

from minicnn import Tensor, check_gradients, differentiable, models, nn, no_grad, ops, optim
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augment import Affine, Colour, Compose, Flip, Picture, batched
from minicnn.data.masks import load_street_scenes
from minicnn.detection import scaled
from minicnn.exercises import every_pixel_a_class as exercise
from minicnn.metrics import BoundaryF1, Segmentation
from minicnn.segmentation import median_frequency_weights, pixel_loss
from minicnn.visualise import (
    COLORS,
    augmentations,
    compute_segmentation_overlay,
    new_figure,
    segmentation_colors,
    segmentation_overlay,
)

# %% [markdown]
# Small streets, drawn, and with each a *mask*: the class of every pixel. (Drawing takes a few
# seconds; the next time they are read from the cache.)

# %%
streets = load_street_scenes(150, (48, 64))
fresh = load_street_scenes(40, (48, 64), part="test")
names = streets.names
print(f"{len(streets)} images {streets.images.shape[1:]}, masks {streets.masks.shape[1:]}")
shares = streets.counts() / streets.masks.size
print({name: f"{share:.1%}" for name, share in zip(names, shares, strict=True)})
segmentation_overlay(fresh.images[2], fresh.masks[2], names, title="a street and its mask")

# %% [markdown]
# **Notice** how uneven they are: a third of all pixels is road, cars are hardly any. And notice
# what this must have cost where nobody draws by program: a person outlines every pole.
#
# ## From classifier to per-pixel classifier
# A classifier (lesson 5) averages its last map over all places, and a dense layer makes scores of
# that. Both are linear, so their order does not matter: apply the same weights *at each place*,
# and average the scores. The first is a dense layer, the second a 1x1 convolution.

# %%
x = Tensor(scaled(fresh.images[2:3]))
with nn.seed(0), no_grad():
    backbone = models.Backbone(channels=8)
    features = backbone(x)[-1]
    dense = nn.Dense(features.shape[1], len(names))
    scores = dense(ops.global_avg_pool2d(features).reshape(1, -1)).numpy()
    at_each = nn.Conv2d(features.shape[1], len(names), 1)
    at_each.weight.data[...] = dense.weight.data.reshape(at_each.weight.shape)
    score_map = at_each(features).numpy()
print(f"the last map: {features.shape}; scores of the image {scores.shape}, map {score_map.shape}")
assert np.allclose(score_map.mean(axis=(2, 3)), scores, atol=1e-4)

# %% [markdown]
# So every classifier already is a segmentation net, without its averaging (Long et al., 2015). But
# a coarse one: 3 x 4 places for 48 x 64 pixels, each stands for 16 x 16. How bad is that?
#
# First, a measure. The share of pixels that are right says little: road and sky alone make half
# of them. Count a *confusion matrix*: row i, column j, the pixels of class i that were taken for j.
# For each class, divide those that are right by those that are of the class or taken for it,
# intersection over union; then average over the classes.

# %%


def mean_iou(matrix):
    """Compute the mean intersection over union from a confusion matrix (K, K)."""
    ...  # your code


mean_iou = exercise.mean_iou.check(mean_iou)

# %%
lazy = np.full_like(fresh.masks, names.index("road"))
lazy[:, :24] = names.index("sky")  # the upper half
metric = Segmentation(names).update(lazy.astype(int), fresh.masks.astype(int))
found, own = metric.result(), mean_iou(metric.matrix)
print(f"sky above, road below: {found['pixel_accuracy']:.0%} of pixels right, mean IoU {own:.2f}")
assert math.isclose(own, found["mean_iou"])
assert found["pixel_accuracy"] > 3 * found["mean_iou"]
assert shares[names.index("road")] + shares[names.index("sky")] > 0.5

# %% [markdown]
# Now the cost of a coarse map. Make the true masks smaller, and large again: no net with such a map
# could be better. How does one make a mask smaller? **Repair** this; it does with labels what one
# does with colours. (The label 255 says that a pixel counts for nothing: nobody knows what it is.)

# %%


def shrink(mask, factor):
    """Make a mask smaller: each block of factor x factor pixels becomes one."""
    rows, columns = mask.shape[0] // factor, mask.shape[1] // factor
    blocks = mask.reshape(rows, factor, columns, factor)
    return np.rint(blocks.mean(axis=(1, 3))).astype(mask.dtype)


shrink = exercise.shrink.check(shrink)

# %%
factors, best = (1, 2, 4, 8, 16), []
for factor in factors:
    metric = Segmentation(names)
    for mask in fresh.masks:
        coarse = shrink(mask, factor).repeat(factor, axis=0).repeat(factor, axis=1)
        metric.update(coarse[None].astype(int), mask[None].astype(int))
    best.append([mean_iou(metric.matrix), *metric.iou()])
best = np.array(best)
print("pixels a place  mean IoU   pole   road")
for factor, row in zip(factors, best, strict=True):
    pole, road = row[1 + names.index("pole")], row[1 + names.index("road")]
    print(f"{factor:8} x {factor:2}{row[0]:12.2f}{pole:7.2f}{road:7.2f}")
assert best[4, 0] < 0.4 < 0.7 < best[1, 0]
figure = new_figure(6, 3.2)
panel = figure.subplots()
panel.plot(factors, best[:, 0], "o-k", label="mean")
for name in ("road", "sign", "car", "pole"):
    panel.plot(factors, best[:, 1 + names.index(name)], "o-", label=name)
panel.set(title="The best that a coarse map can do", xlabel="pixels along one side of a place")
panel.set(ylabel="IoU", xscale="log", ylim=(0, 1.05))
panel.set_xticks(factors, [str(factor) for factor in factors])
panel.minorticks_off()
panel.legend(fontsize="small")
figure

# %% [markdown]
# **Notice** the trade. The classifier halved its maps again and again, in order to see far with
# few weights. Road bears it; a pole, a pixel or two wide, is gone at once. Everything from here on
# is about having both: seeing far, and knowing where.
#
# ## Up again: transposed convolution
# A convolution with stride 2 gathers: each coarse number is a weighted sum of fine ones. Turn it
# round, and each coarse number is *stamped* onto the fine line, a copy of the kernel, that many
# times as high. Do it in one dimension, with loops.

# %%


def transposed(x, w, stride):
    """Enlarge a line of numbers: each stamps a copy of the kernel; where copies meet, add."""
    ...  # your code


transposed = exercise.transposed.check(transposed)

# %%
rng = np.random.default_rng(0)
line, kernel = rng.normal(size=6), rng.normal(size=3)
theirs = ops.conv_transpose1d(Tensor(line[None, None]), Tensor(kernel[None, None]), stride=2)
assert np.allclose(theirs.data[0, 0], transposed(line, kernel, 2))
narrow, wide = (transposed(np.ones(6), np.ones(size), 2) for size in (3, 4))
print("a flat line, kernel of 3 ones, stride 2:", narrow.astype(int))
print("             kernel of 4 ones:          ", wide.astype(int))
assert set(narrow[2:-2]) == {1, 2}
assert set(wide[2:-2]) == {2}

# %% [markdown]
# **Notice** 2 1 2 1: with 3 and a stride of 2, copies meet at every second place, and a flat
# line comes out striped; in two dimensions that is a *checkerboard* (Odena et al., 2016). Where the
# stride divides the kernel's size, copies meet evenly. Does that help, with weights at random?
#
# ## Up again: interpolation
# The other way learns nothing: go linearly between neighbours. Pixels are areas: in a line of twice
# as many, the middle of the first one lies at -1/4 of the small line, before the middle of its
# first, and has its value; the next lies at 1/4, between the first two.

# %%


def bilinear(x, factor):
    """Enlarge a map (H, W) to (H * factor, W * factor) by linear interpolation."""
    ...  # your code


bilinear = exercise.bilinear.check(bilinear)

# %%
small = rng.normal(size=(4, 6))
theirs = ops.resize(Tensor(small[None, None]), scale=2, mode="bilinear").data[0, 0]
assert np.allclose(theirs, bilinear(small, 2))
stamped = transposed(line, np.array([0.25, 0.75, 0.75, 0.25]), 2)
between = bilinear(np.stack([line, line]), 2)[0]
print("stamped with 1/4 3/4 3/4 1/4:", stamped[3:-3].round(3))
assert np.allclose(stamped[3:-3], between[2:-2])

# %% [markdown]
# **Notice** that interpolation is a transposed convolution with this kernel. Learned ones *could*
# be smooth; but they begin at random. Give one a flat map: what varies in the result, it has made
# up. Average it by *phase*, even and odd rows and columns: how far are the four averages apart?

# %%


def uneven(y):
    """Return how much (N, C, H, W) varies with the phase alone, as a share of its size."""
    y = y[:, :, 4:-4, 4:-4]  # without the border
    means = np.array([y[:, :, i::2, j::2].mean(axis=(2, 3)) for i in (0, 1) for j in (0, 1)])
    return float(np.sqrt(means.var(axis=0).mean() / (y**2).mean()))


made_up = {}
for seed in range(3):
    with nn.seed(seed), no_grad():
        ways = {
            "transposed 2x2": nn.ConvTranspose2d(16, 16, 2, 2),
            "transposed 3x3": nn.ConvTranspose2d(16, 16, 3, 2),
            "transposed 4x4": nn.ConvTranspose2d(16, 16, 4, 2),
            "bilinear, then 3x3": nn.Sequential(nn.Upsample(2, "bilinear"), nn.Conv2d(16, 16)),
        }
        flat = np.ones((1, 16, 16, 20), np.float32) * rng.random((1, 16, 1, 1), np.float32)
        for name, way in ways.items():
            made_up.setdefault(name, []).append(uneven(way(Tensor(flat)).numpy()))
for name, values in made_up.items():
    print(f"{name:20}", "  ".join(f"{value:.6f}" for value in values))
assert min(made_up["transposed 2x2"] + made_up["transposed 4x4"]) > 0.2
assert max(made_up["bilinear, then 3x3"]) < 1e-5

# %% [markdown]
# **Notice** that even overlap is not enough: with random weights every phase has weights of its
# own, and the flat map comes out as a board. Behind interpolation nothing can be made up. Now whole
# nets, untrained, without skips: what do they make of a street, and how much of it is at the
# frequency of a board, half a period a pixel?

# %%
spectra, pictures = {}, {}
for up in ("transposed", "bilinear"):
    power = 0.0
    for seed in range(3):
        with nn.seed(seed), no_grad():
            net = models.UNet(8, (8, 16, 32), up=up, batch_norm=False, skips=False)
            y = net(x).numpy()[0]
        waves = np.abs(np.fft.rfft(y - y.mean(axis=2, keepdims=True), axis=2)) ** 2
        power = power + waves.mean(axis=(0, 1)) / waves.mean(axis=(0, 1)).sum() / 3
    spectra[up], pictures[up] = power, y[0]
boards = {up: power[-1] for up, power in spectra.items()}
print("power at half a period a pixel:", {up: f"{share:.1%}" for up, share in boards.items()})
assert boards["transposed"] > 10 * boards["bilinear"]
figure = new_figure(10, 3.2)
*panels, last = figure.subplots(1, 3)
for panel, (up, picture) in zip(panels, pictures.items(), strict=True):
    panel.imshow(picture, cmap="gray")
    panel.set_title(f"{up}: a score, untrained")
    panel.set_axis_off()
for up, power in spectra.items():
    last.semilogy(np.fft.rfftfreq(64)[1:], power[1:], label=up)
last.set(title="three nets each", xlabel="periods a pixel", ylabel="share of the power")
last.legend()
figure

# %% [markdown]
# **Notice** the two peaks: half a period a pixel is the board of the last doubling, a quarter that
# of the one before. Training has to unlearn them; bilinear nets never have them.
#
# ## Up again: where it was
# Max pooling knows which pixel won, and forgets it. SegNet (Badrinarayanan et al., 2017) notes the
# place, and on the way up puts the value back to it, zeros around. Convolutions fill the gaps.

# %%


def unpool(values, places, size):
    """Put pooled values (C, h, w) back to where they were, row * W + column: (C, H, W)."""
    ...  # your code


unpool = exercise.unpool.check(unpool)

# %%
maps = rng.normal(size=(2, 4, 6))
pooled, places = ops.max_pool2d(Tensor(maps[None]), 2, return_indices=True)
back = unpool(pooled.data[0], places.data[0], (4, 6))
theirs = ops.max_unpool2d(pooled, places, (1, 2, 4, 6)).data[0]
assert np.allclose(back, theirs)
print(maps[0].round(1), "pooled, and back:", back[0].round(1), sep="\n")
assert np.array_equal(back[back != 0], maps[back != 0])
print(f"{np.mean(back != 0):.0%} of the numbers are back, each in its place")

# %% [markdown]
# ## U-Net: the fine maps themselves
# Ronneberger et al. (2015) hand over not places but all of the map: beside the way down there is a
# *skip* to the way up, which so knows what (from below) and where (from across). **Count** what the
# course's net learns: RGB, two convolutions of 64, pool, two of 128, pool, two of 256, and the
# mirrored way up.

# %%


def unet_weights(widths, classes):
    """Count the weights and biases of a U-Net for RGB images, without batch normalisation."""
    ...  # your code


unet_weights = exercise.unet_weights.check(unet_weights)

# %%
course = models.UNet(classes=8, widths=(64, 128, 256), batch_norm=False)
print(nn.summarize(course, (3, 32, 32)))
assert unet_weights([64, 128, 256], 8) == course.count_parameters()

# %% [markdown]
# Now take the skips away, and train both on the same streets, small nets for few steps, three times
# each. The scores are per pixel, and so is the loss: cross-entropy as in lesson 5, averaged over
# all pixels. Besides mean IoU measure *boundary F1*: which share of the pixels on outlines lies
# within a pixel of a true outline of that class, and the other way round. **Predict:** what do
# skips change about the road, about a pole?

# %%


def train(net, count, steps, change=None, rate=0.02, seed=0):
    """Train on the first `count` streets, changed at random if so wished."""

    def prepare(rows, stream):
        pictures = [Picture(streets.images[i], mask=streets.masks[i]) for i in rows]
        if change is not None:
            pictures = [change(picture, stream.child(n)) for n, picture in enumerate(pictures)]
        images, truths = batched(pictures)
        return scaled(images), truths["mask"].astype(int)

    batches = Dataset.from_slices(np.arange(count)).shuffle(seed=seed).repeat().batch(8)
    batches = batches.map(prepare, random=True, seed=seed).prefetch(2)
    optimizer = optim.AdamW(net.parameters(), optim.OneCycle(rate, steps, rise=0.2))
    loss_of = pixel_loss(ignore_label=255)  # augmentation fills up with 255
    for images, masks in batches.take(steps):
        loss = loss_of(net(Tensor(images)), masks)
        net.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


def judge(net, data):
    """Return what a net finds, and mean IoU."""
    with no_grad():
        guess = net(Tensor(scaled(data.images))).numpy().argmax(axis=1)
    return guess, Segmentation(names).update(guess, data.masks.astype(int)).result()["mean_iou"]


guesses, judged = {}, {True: [], False: []}
print("seed  skips   mean IoU  boundary F1")
for seed in range(3):
    for skips in (True, False):
        with nn.seed(seed):
            net = models.UNet(8, (8, 16, 32), skips=skips)
        train(net, 150, 100, rate=0.03, seed=seed)
        guess, overlap = judge(net, fresh)
        outlines = BoundaryF1(len(names)).update(guess, fresh.masks).result()
        guesses.setdefault(skips, guess)  # the first's, for the picture
        judged[skips].append((overlap, outlines))
        print(f"{seed:4}  {'on ' if skips else 'off'}{overlap:12.2f}{outlines:13.2f}")
on, off = np.array(judged[True]), np.array(judged[False])
lost = 1 - off.mean(axis=0) / on.mean(axis=0)
print(f"without skips {lost[0]:.0%} of mean IoU is lost, {lost[1]:.0%} of boundary F1")
assert ((on - off)[:, 1] > 0.03).all()
assert lost[1] > 0.12

figure = new_figure(10, 2.6)
colors = segmentation_colors(8)
shown = {"truth": fresh.masks[2], "with skips": guesses[True][2], "without": guesses[False][2]}
for panel, (name, mask) in zip(figure.subplots(1, 3), shown.items(), strict=True):
    panel.imshow(compute_segmentation_overlay(fresh.images[2], mask, colors))
    panel.set_title(name)
    panel.set_axis_off()
figure

# %% [markdown]
# **Notice** the outlines without skips: round, and beside the true ones, for they come from a map
# of 12 x 16 places; the large areas are about right. With skips every seed does better by both
# measures. The poles of this street neither net has learned yet: they train for a few seconds each,
# and part of the difference is that with skips a net learns *sooner*. (`python -m minicnn.train
# segment` trains for minutes.)
#
# ## Dilation: see far, and stay fine
# Or do not go down so far. A convolution with dilation r looks at every r-th pixel: nine weights,
# 2r + 1 pixels wide. **Predict:** three 3x3 in a row, with dilations 1, 2 and 4; how wide is what a
# unit of the last sees?

# %%
seen_by_three = ...  # your number
seen_by_three = exercise.seen_by_three.check(seen_by_three)

# %%
seen = {}
figure = new_figure(9, 3.9)
for panel, dilations in zip(figure.subplots(1, 3), [(1, 1, 1), (2, 2, 2), (1, 2, 4)], strict=True):
    chain = nn.Sequential(*(nn.Conv2d(1, 1, dilation=r) for r in dilations))
    for layer in chain:
        layer.weight.data[...] = 1
    assert sum(layer.weight.size for layer in chain) == 27
    image = Tensor(np.zeros((1, 1, 21, 21), np.float32), requires_grad=True)
    chain(image)[0, 0, 10, 10].backward()
    field = nn.receptive_field(chain, (1, 21, 21)).size[0]
    seen[dilations] = field, int((image.grad.data != 0).sum())
    panel.imshow(image.grad.data[0, 0], cmap="viridis")
    panel.set(title=f"dilations {dilations}: {field} wide,\n{seen[dilations][1]} pixels seen")
    panel.set(xlabel="column / pixels", ylabel="row / pixels")
    print(f"{dilations}: of {field} x {field} = {field**2} pixels {seen[dilations][1]} are seen")
assert seen[1, 2, 4] == (seen_by_three, seen_by_three**2)
assert seen[2, 2, 2] == (13, 49)
figure

# %% [markdown]
# Each pixel is as bright as there are ways from it to the unit. **Notice** the holes in the middle
# picture: with the same dilation again and again only 49 of the 169 pixels are seen. Dilations that
# double leave no holes. All three have 27 weights.
#
# So a net may stop halving its map, and dilate instead (Yu and Koltun, 2016; DeepLab):

# %%
fields = {}
for stride in (16, 8, 4):
    with nn.seed(0):
        net = models.Backbone(channels=8, output_stride=stride)
    with no_grad():
        shape = net(x)[-1].shape[2:]
    fields[stride] = nn.receptive_field(net, (3, 192, 256), output=-1).size[0]
    costs = nn.summarize(net, (3, 48, 64)).macs / 1e6
    print(f"stops at 1/{stride:<2}: map {shape}, a unit sees {fields[stride]} pixels,", end=" ")
    print(f"{net.count_parameters():,} parameters, {costs:.1f} million multiplications")
    assert net.count_parameters() == backbone.count_parameters()
assert fields[4] == fields[8] == fields[16]

# %% [markdown]
# **Notice** that it sees exactly as far, and what that costs: no weights, but work, since maps stay
# large. That is the trade of the
# course's last pages: down-sampling is cheap and forgets, dilation remembers and is dear, and skips
# fetch back from fine maps what the coarse ones lost.
#
# ## Rare classes
# All pixels count alike, so the road speaks loudest. One cure is to weigh: the *frequency* of a
# class is the share of its pixels in the images that show it, and its weight the median of all
# frequencies, divided by its own (Eigen and Fergus, 2015).

# %%


def frequency_weights(masks, classes):
    """Compute the weight of each class, (K,), from masks (N, H, W)."""
    ...  # your code


frequency_weights = exercise.frequency_weights.check(frequency_weights)

# %%
weights = frequency_weights(streets.masks, 8)
assert np.allclose(weights, median_frequency_weights(streets.masks, 8), rtol=1e-5)
print({name: round(float(weight), 2) for name, weight in zip(names, weights, strict=True)})
assert weights.argmax() == shares.argmin()

# %% [markdown]
# Another cure is a loss that asks for overlap. *Dice* is twice the shared, divided by the sum of
# both; softened, with probabilities p and the mask t, the loss is
#
# $$L = 1 - \frac{2 \sum p\,t}{\sum p + \sum t}.$$
#
# **Derive** its slope: each p is in the dividend and in the divisor.

# %%


def dice_grad(p, t):
    """Compute the slope of the dice loss by the probabilities p (H, W), for a mask t."""
    ...  # your code


dice_grad = exercise.dice_grad.check(dice_grad)

# %%
t = (rng.random((4, 5)) < 0.3).astype(float)


@differentiable
def dice(p: Tensor):
    """The dice loss, with our slope."""
    slope = dice_grad(p.data, t)
    y = 1 - 2 * (p.data * t).sum() / (p.data.sum() + t.sum())
    return np.asarray(y), (lambda grad_y: grad_y * slope,)


p = rng.uniform(0.1, 0.9, (4, 5))
check_gradients(dice, p, order=1)
theirs = ops.dice_loss(Tensor(p[None, None]), t[None, None], epsilon=1e-12)
assert math.isclose(dice(Tensor(p)).item(), theirs.item(), rel_tol=1e-9)
for pixels in (1000, 100, 10):  # of 3072
    mask = np.zeros((48, 64))
    mask.reshape(-1)[:pixels] = 1
    entropy = -math.log(0.01) * mask.mean() - math.log(0.99) * (1 - mask.mean())
    overlap = ops.dice_loss(Tensor(np.full((1, 1, 48, 64), 0.01)), mask[None, None]).item()
    print(f"{pixels:4} pixels, found nowhere: cross-entropy {entropy:.2f}, dice loss {overlap:.2f}")
assert entropy < 0.05
assert overlap > 0.9

# %% [markdown]
# **Notice** that to say "nothing here" (p = 1 % everywhere) is nearly free by cross-entropy if the
# object is small; by dice it costs nearly all there is, whatever the size.
#
# ## Masks are dear: augmentation
# A photograph is taken in a moment; its mask took a person more than 1.5 hours, on average, for the
# streets of Cityscapes (Cordts et al., 2016). So make more of each: change the picture at random,
# and its mask **with it**. What moves pixels must move labels, by the nearest one and never by a
# mean (you have repaired that above); what changes colours must leave labels alone. Streets may be
# mirrored here, for a mirrored sign is still a sign; a classifier of signs must not do that.

# %%
light = Colour(brightness=0.1, contrast=0.3, saturation=0.3, hue=0.05)
change = Compose([Flip(), Affine(rotation=0.03, scale=(0.9, 1.2), shift=0.05), light])
marks = np.repeat(30 * fresh.masks[2][:, :, None], 3, axis=2)  # the mask, painted as a picture
moved = Compose(change.transforms[:2])(Picture(marks, mask=fresh.masks[2]), Stream(0, "a picture"))
agree = (np.rint(moved.image[:, :, 0] / 30) == moved.mask)[moved.mask != 255]
print(f"a mask moved as a picture and as a mask: {agree.mean():.0%} of the pixels agree;")
print("the others lie on borders, where the picture is mixed")
assert agree.mean() > 0.85
augmentations(Picture(fresh.images[2], mask=fresh.masks[2]), {"all three": change})

# %% [markdown]
# What is it worth? The same small U-Net, the same number of steps, with 10, 50 and all 150 images,
# as they are and changed anew each time. **Predict** the four ends of the two lines.

# %%
amounts, lines = (10, 50, 150), {}
print("images  changed   mean IoU: known streets, new streets")
for changing in (None, change):
    for count in amounts:
        with nn.seed(0):
            net = train(models.UNet(8, (8, 16, 32)), count, 180, changing)
        known = judge(net, streets.select(np.arange(count)))[1]
        new = judge(net, fresh)[1]
        lines.setdefault(changing is not None, []).append((known, new))
        print(f"{count:6}  {'yes' if changing else 'no ':7}{known:24.2f}{new:13.2f}")
plain, changed = np.array(lines[False]), np.array(lines[True])
gains = changed[:, 1] - plain[:, 1]
print("gained on new streets:", gains.round(3))

figure = new_figure(6.5, 3.4)
panel = figure.subplots()
for color, values, name in zip(COLORS, (plain, changed), ("as is", "changed"), strict=False):
    panel.plot(amounts, values[:, 0], "o:", color=color, label=f"{name}: known streets")
    panel.plot(amounts, values[:, 1], "s-", color=color, label=f"{name}: new streets")
panel.set(title="What augmentation is worth", xlabel="images with masks", ylabel="mean IoU")
panel.set(xscale="log")
panel.set_xticks(amounts, [str(count) for count in amounts])
panel.minorticks_off()
panel.legend(fontsize="small")
assert gains[0] > 0
assert gains[0] > max(gains[1:]) + 0.02
assert plain[0, 0] - plain[0, 1] > 2 * (changed[0, 0] - changed[0, 1])
figure

# %% [markdown]
# **Notice** the gap at 10 images between the dotted line and the solid one: as they are, they are
# learned by heart, and what is known of them does not hold in other streets. Changed at random they
# cannot be, the gap closes, and new streets gain. With more images there is little to close after
# so few steps, and the harder task costs more than it brings: augmentation stands in for masks
# that you do not have, and asks for more steps.
#
# ## What you know now
# * A classifier with a 1x1 convolution in place of its average is a per-pixel classifier, a coarse
#   one, and thin things pay for it first.
# * Transposed convolutions stamp, interpolation goes between, unpooling puts back. Random stamps
#   make checkerboards, interpolation never does.
# * Skips bring back where, dilation sees far without forgetting it, at the price of work.
# * Mean IoU counts classes alike, boundary F1 sees outlines. Labels are never averaged.
# * Rare classes need weights or a loss of overlap; few masks need augmentation.
#
# In minicnn: [U-Net](../minicnn/models/unet.py), [SegNet](../minicnn/models/segnet.py),
# [FCN](../minicnn/models/fcn.py), [PSPNet](../minicnn/models/pspnet.py) and
# [DeepLab](../minicnn/models/deeplab.py); the [losses](../minicnn/segmentation/losses.py) and
# [dice](../minicnn/ops/overlap_loss.py); [the measures](../minicnn/metrics/segmentation.py);
# [transposed convolution](../minicnn/ops/transposed_convolution.py),
# [interpolation](../minicnn/ops/resize.py), [unpooling](../minicnn/ops/pooling.py); and
# [augmentation](../minicnn/data/augment/recipes.py). `python -m minicnn.train segment` trains any
# of them on your masks.
#
# To read on: Long et al., "Fully Convolutional Networks for Semantic Segmentation" (2015);
# Ronneberger et al., "U-Net" (2015); Eigen and Fergus, "Predicting Depth, Surface Normals and
# Semantic Labels" (2015); Odena et al., "Deconvolution and Checkerboard Artifacts" (2016); Yu and
# Koltun, "Multi-Scale Context Aggregation by Dilated Convolutions" (2016); Cordts et al., "The
# Cityscapes Dataset" (2016); Badrinarayanan et al., "SegNet" (2017); Zhao et al., "Pyramid Scene
# Parsing Network" (2017); Chen et al., "Rethinking Atrous Convolution" (2017).
