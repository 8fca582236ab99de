# %% [markdown]
# # 11. The detection ladder
#
# To classify is to say what a picture shows. To *detect* is to say what is in it and where: a class
# and a box for each object, however many there are. Within three years detectors went from 50
# seconds an image to a fraction of one, rung by rung. After this lesson you can
#
# * say what each rung computes, and measure what it saves,
# * write what all of them stand on: overlap, suppression, box steps, regions, anchors,
# * explain what thousands of places without an object do to a loss, and what to do about it,
# * judge a detector by average precision, and say by which protocol.
#
# It builds on lessons 3 (convolution) and 5 (the classification head). About 40 minutes.

# %%
import math
import time
from functools import partial

import numpy as np

from minicnn import Tensor, check_gradients, detection, differentiable, nn, no_grad, ops, optim
from minicnn.data import Dataset
from minicnn.data.augment import Picture, batched, street_view
from minicnn.data.objects import load_scenes
from minicnn.exercises import the_detection_ladder as exercise
from minicnn.metrics import MeanAveragePrecision, average_precision
from minicnn.visualise import (
    background_share,
    compute_background_share,
    detections,
    new_figure,
    precision_recall,
    proposal_recall,
    region_hierarchy,
)

# %% [markdown]
# Streets, drawn, with signs in four groups. (Drawing takes a few seconds; the next time they are
# read from the cache.) A box is (y0, x0, y1, x1) in pixels, half-open.

# %%
streets = load_scenes(12, (192, 256), part="test")
image = streets.images[4]
objects = streets.annotations[4]
for box, label in zip(objects.boxes, objects.classes, strict=True):
    print(f"{streets.names[label]:12}", box.astype(int))
detections(image, objects.boxes, objects.classes, names=streets.names)

# %% [markdown]
# ## The sliding window
# You have a classifier. So let it look at every place, in every size. **Predict** how often it has
# to look at this small picture, if windows move by a quarter of their side. Then count.

# %%


def windows(height, width, sides):
    """Count square windows of all sides; each moves by side // 4 and stays inside."""
    ...  # your code


windows = exercise.windows.check(windows)

# %%
sides = [round(10 * 1.25**k) for k in range(21)]
looks, small = windows(192, 256, sides), windows(192, 256, sides[:3])
print(f"sides {sides[:4]} ...: {looks:,} windows, {small / looks:.0%} of the three smallest sides")
print(f"in a photograph of 1080 x 1920: {windows(1080, 1920, sides):,}")
assert looks > 15_000

# %% [markdown]
# That is what the course calls intractable, and these windows are all square: allow three shapes,
# and it is three times as many. **Notice** that most of them are small: the number grows with
# $1 / \text{side}^2$.
#
# ### Has it found the sign?
# A window hardly ever fits exactly. How well do two boxes agree? Divide what they share by what
# they cover together: intersection over union, IoU. Mind boxes that are apart, and boxes without
# area.

# %%


def iou(a, b):
    """Divide the area that two boxes (y0, x0, y1, x1) share by that of their union."""
    ...  # your code


iou = exercise.iou.check(iou)

# %%
sign = np.array([40.0, 60, 72, 92])  # 32 x 32
right = np.array([0.0, 1, 0, 1])
print("moved by   IoU")
for moved in (0, 4, 8, 12, 16):
    print(f"{moved:5} px{iou(sign, sign + moved * right):8.2f}")
assert math.isclose(iou(sign, sign + 32 / 3 * right), 0.5)
theirs = ops.iou_matrix(objects.boxes, objects.boxes + 5).numpy()
assert np.allclose(theirs[0, 0], iou(objects.boxes[0], objects.boxes[0] + 5))

# %% [markdown]
# **Notice** how strict 0.5 is, the usual demand: a third of the sign's width beside it is the limit
# ($2/3$ shared, $4/3$ covered). For a sign of 9 pixels that is 3 pixels.
#
# ## Proposals
# Nearly all windows show road, sky, a bit of a house. Selective search (Uijlings et al., 2013) asks
# where an object *could* be, of whatever kind: it cuts the picture into small regions of alike
# pixels, and merges the most alike neighbours (colour, texture, size, fill) again and again. An
# object is likely to be a region at some step. No learning is involved.

# %%
search = detection.SelectiveSearch()
trees = list(search.hierarchies(image))
fits = [ops.iou_matrix(objects.boxes, tree.boxes).numpy().max(axis=1) for tree in trees]
print(f"{len(trees)} hierarchies: {len(search.spaces)} colour spaces, {len(search.scales)} scales,")
print(f"{len(search.similarities)} ways to be alike; the first has {len(trees[0].boxes)} regions")
print("how well a region of the first fits each sign:", fits[0].round(2))
print("of all hierarchies:                           ", np.max(fits, axis=0).round(2))
region_hierarchy(image, trees[0], boxes=objects.boxes)

# %% [markdown]
# **Notice** the dashed boxes, the signs, and beside each the IoU of the region that fits best. No
# single hierarchy is best for all signs; that is why there are several.
#
# How many proposals are enough? Their *recall* is the share of the objects that one of them fits
# (IoU at least 0.5). What is not proposed is not found, whatever network comes after.

# %%
counts = [10, 30, 100, 300, 1000, 2000]
there, proposals = [], []
for i, street in enumerate(streets.images):
    wanted = streets.expected(i)
    there.append(wanted["boxes"][~wanted["difficult"]])
    proposals.append(detection.propose(street))
rng = np.random.default_rng(0)
anywhere = []
for _ in streets.images:
    corner, size = rng.uniform(0, [180, 240], (2000, 2)), 10 * 16 ** rng.random((2000, 1))
    anywhere.append(np.concatenate([corner, corner + size], axis=1))
recalls = {
    "selective search": detection.recall(proposals, there, counts),
    "random squares": detection.recall(anywhere, there, counts),
}
for name, line in recalls.items():
    print(f"{name:18}", "  ".join(f"{n}: {r:.0%}" for n, r in zip(counts, line, strict=True)))
proposed, signs = np.mean([len(own) for own in proposals]), sum(map(len, there))
print(f"{signs} signs; {proposed:,.0f} proposals an image, not {looks:,} windows")
assert recalls["selective search"][-1] > 0.85
proposal_recall(recalls, counts)

# %% [markdown]
# ## R-CNN: crop, warp, classify
# Girshick et al. (2014) cut out each proposal, warped it to one size, whatever its shape, and sent
# it through a network: features for linear support vector machines, and for a linear regression
# that moves the box to where the object is. To the network it is 2,000 pictures.
#
# The regression needs a way to tell a box as four numbers that do not depend on how large the
# object is. From an *anchor* (here: the proposal), with centres $c$, heights $h$ and widths $w$,
#
# $$t_y = \frac{c_y - c_y^a}{h^a}, \quad t_x = \frac{c_x - c_x^a}{w^a}, \quad
# t_h = \log \frac{h}{h^a}, \quad t_w = \log \frac{w}{w^a}.$$

# %%


def encode(box, anchor):
    """Tell a box (y0, x0, y1, x1) as (ty, tx, th, tw) from an anchor."""
    ...  # your code


encode = exercise.encode.check(encode)

# %%
overlap = ops.iou_matrix(there[4], proposals[4]).numpy()
print("IoU of a proposal  steps from there to the sign")
for box, row in zip(there[4], overlap, strict=True):
    near = np.argsort(-row)[12]
    told = encode(box, proposals[4][near])
    print(f"{row[near]:13.2f}      ", told.round(2))
    assert np.allclose(ops.decode_boxes(told, proposals[4][near]).numpy(), box, atol=1e-3)
theirs = ops.encode_boxes(there[4][:1], proposals[4][:1]).numpy()[0]
assert np.allclose(encode(there[4][0], proposals[4][0]), theirs, atol=1e-5)

# %% [markdown]
# All steps are small numbers around 0, for large signs and small ones: that is what a network likes
# to predict. (A wild one must not ruin the training, so later rungs measure errors $d$ by the
# *smooth L1* loss: $d^2 / 2$ up to 1, then $|d| - 1/2$, with a slope that stays 1.)

# %%
errors = Tensor(np.array([0.1, 0.5, 1.0, 3.0, 30.0]), requires_grad=True)
ops.smooth_l1_loss(errors, np.zeros(5), reduction="sum").backward()
print("slope of d**2 / 2", errors.data)
print("slope, smooth L1 ", errors.grad.data)
assert errors.grad.data.max() == 1

# %% [markdown]
# ## Fast R-CNN: the image once
# Proposals overlap, so R-CNN computes the same convolutions again and again. How often?

# %%
side = detection.RCNN(4).window
pixels = proposed * side**2
print(
    f"{proposed:,.0f} crops of {side} x {side}: the pixels of "
    f"{pixels / image[:, :, 0].size:,.0f} images"
)
assert pixels > 50 * 192 * 256

# %% [markdown]
# Girshick (2015) turned it round: convolve the whole image once, and cut the proposals out of the
# *feature map*. A dense layer needs a fixed number of inputs, so each region is divided into a grid
# of cells, and the largest value of each cell is taken: RoI pooling (region of interest). Do it by
# hand. Divide by the stride, round, and let no pixel of the region be without a cell.

# %%


def roi_pool(features, box, stride, grid):
    """Pool a box (in pixels of the image) out of a map (C, H, W): (C, rows, columns)."""
    ...  # your code


roi_pool = exercise.roi_pool.check(roi_pool)

# %%
with nn.seed(0), no_grad():
    maps = detection.Backbone(channels=8)(Tensor(detection.scaled(streets.images[4:5])))
boxes = there[4] + 0.25  # so that nothing lies halfway between two pixels of a map
for features, stride in zip(maps, (4, 8, 16), strict=True):
    enough = (np.rint(boxes[:, 2:] / stride) > np.rint(boxes[:, :2] / stride)).all(axis=1)
    own = boxes[enough]  # the others have less than a pixel
    ours = [roi_pool(features.data[0], box, stride, (2, 2)) for box in own]
    theirs = ops.roi_pool(features, own, np.zeros(len(own), int), (2, 2), 1 / stride)
    assert np.allclose(np.array(ours), theirs.data)
    rounded = np.rint(np.concatenate(there) / stride) * stride
    kept = [iou(a, b) for a, b in zip(rounded, np.concatenate(there), strict=True)]
    print(f"stride {stride:2}: a rounded box overlaps the sign by {np.mean(kept):.2f}")
assert np.mean(kept) < 0.6

# %% [markdown]
# **Notice** what rounding costs: at a stride of 16 the region and the sign hardly agree any more.
# RoI align (He et al., 2017) reads between the cells instead of rounding.
#
# Two more things came with Fast R-CNN: one network with a softmax over the classes *and
# background*, and box steps, trained together; and balance. Of the proposals of an image 64, say,
# are drawn, at most a quarter of them with an object, or background would be all the network sees.
#
# ## Faster R-CNN: proposals from the map
# Now selective search takes most of the time. Ren et al. (2015) let the network propose: at each
# cell of the map lie *anchors* of several sizes, and a convolution tells of each whether there is
# an object, and the four steps to it. Lay them.

# %%


def anchors(map_size, stride, sizes):
    """Lay square anchors around the middle of each cell: (rows, columns, sizes, 4)."""
    ...  # your code


anchors = exercise.anchors.check(anchors)

# %%
sizes = [11, 16, 24, 36, 52, 80]
laid = anchors((48, 64), 4, sizes).reshape(-1, 4)
assert np.allclose(laid, ops.anchor_boxes((48, 64), 4, sizes).numpy().reshape(-1, 4))
matched = ops.match_boxes(laid, there[4], 0.6, 0.3).numpy()
positive = laid[matched >= 0]
print(f"{len(laid):,} anchors; {len(positive)} answer for one of {len(there[4])} signs,", end=" ")
print(f"{(matched == -1).sum():,} are background, {(matched == -2).sum()} neither")
assert len(positive) < 0.01 * len(laid)
in_cell = laid.reshape(48, 64, -1, 4)[24, 10]
detections(
    image,
    np.concatenate([positive, in_cell]),
    [1] * len(positive) + [2] * len(in_cell),
    names=[" "] * 3,
    truths={"boxes": there[4]},
    title=f"anchors of one cell (left), and the {len(positive)} that answer for a sign",
)

# %% [markdown]
# **Notice** the imbalance: fewer than one anchor in a hundred answers for a sign, and this street
# has six of them. The region proposal network draws a balanced sample of its anchors, as Fast R-CNN
# does of its proposals; then it keeps the best hundred boxes, and only these are classified.
#
# ## One stage
# And if the convolution told the class at once? No proposals, no second look: YOLO (Redmon et al.,
# 2016), SSD (Liu et al., 2016). But now every place is judged, and nothing is drawn. The course
# says about 100,000 candidates, against 2,000. **Predict:** an image of 600 x 800 pixels, nine
# anchors at each place of five maps with strides of 8, 16, 32, 64 and 128, their heights and widths
# rounded up (RetinaNet):

# %%
candidates = ...  # your number
candidates = exercise.candidates.check(candidates)

# %%
counted = 0
for stride in (8, 16, 32, 64, 128):
    grid = math.ceil(600 / stride), math.ceil(800 / stride)
    sizes = [4 * stride * 2 ** (k / 3) for k in range(3)]
    counted += ops.anchor_boxes(grid, stride, sizes, [0.5, 1, 2]).size // 4
ssd = sum(n * n * k for n, k in zip((38, 19, 10, 5, 3, 1), (4, 6, 6, 6, 4, 4), strict=True))
print(f"RetinaNet at 600 x 800: {counted:,}; SSD at 300 x 300: {ssd:,}; YOLO: {7 * 7 * 2}")
assert counted == candidates

# %% [markdown]
# So it is 100,000 for some, and only 98 for the first YOLO, which was weak on small objects for
# that very reason.
#
# Train one yourself: the dense detector, the course's figure. An encoder, a decoder back up to 1/4
# of the resolution; there, at each place, a mask (a score for each class) and four distances, to
# the upper, left, lower and right side of the box. Small streets, moved, scaled and relit at
# random, 400 steps.

# %%
scenes = load_scenes(200, (96, 128), signs=(1, 4))
fresh = load_scenes(50, (96, 128), part="test", signs=(1, 4))
truths, change = scenes.truths(), street_view()


def prepare(rows, stream):
    """Return a batch of changed pictures with their boxes."""
    pictures = [
        change(Picture(scenes.images[i], truths["boxes"][i], truths["classes"][i]), stream.child(n))
        for n, i in enumerate(rows)
    ]
    images, boxes = batched(pictures)
    return detection.scaled(images), boxes


steps = 400
batches = Dataset.from_slices(np.arange(len(scenes))).shuffle(seed=0).repeat().batch(8)
batches = batches.map(prepare, random=True, seed=0).prefetch(2)
with nn.seed(0):
    net = detection.DenseDetector(classes=4, channels=8)
optimizer = optim.AdamW(net.parameters(), optim.OneCycle(4e-3, steps, rise=0.2))
history = []
for images, wanted in batches.take(steps):
    losses = net.losses(Tensor(images), wanted)
    loss = losses["mask"] + losses["boxes"]
    net.zero_grad()
    loss.backward()
    optimizer.step()
    history.append([part.item() for part in losses.values()])
print(f"{net.count_parameters():,} parameters; the loss:")
for name, values in zip(losses, np.transpose(history), strict=True):
    print(f"{name:6} {values[:20].mean():.2f} -> {values[-20:].mean():.2f}")
net.eval()
found = net.find(fresh.images)
n = int(np.argmax([(own.scores > 0.5).sum() for own in found]))
detections(
    fresh.images[n],
    *(found[n].boxes, found[n].classes, found[n].scores),
    names=fresh.names,
    truths=fresh.expected(n),
    score=0.3,
    title="of fifty streets it has not seen, the one where it is surest; dashed: the signs",
)

# %% [markdown]
# Half a minute of training on 200 small pictures, and it finds signs. What it says before anything
# is thrown away:

# %%
with no_grad():
    raw = net.detect(Tensor(detection.scaled(fresh.images[n : n + 1])), score=0.3, overlap=1.0)[0]
signs = len(fresh.annotations[n].boxes)
print(f"{len(raw.boxes)} boxes of 30 % or more for {signs} signs")
assert len(raw.boxes) > 1.5 * (found[n].scores > 0.3).sum()
detections(fresh.images[n], raw.boxes, raw.classes, names=[" "] * 4)

# %% [markdown]
# Each place in a sign speaks up for it. *Non-maximum suppression*: the surest box stays, those that
# overlap it too much go; of the rest the surest stays, and so on.

# %%


def nms(boxes, scores, threshold):
    """Return the indices of the boxes (R, 4) that stay, the surest first."""
    ...  # your code


nms = exercise.nms.check(nms)

# %%
kept = []
for label in range(4):
    rows = np.flatnonzero(raw.classes == label)
    kept += rows[nms(raw.boxes[rows], raw.scores[rows], 0.5)].tolist() if len(rows) else []
theirs = ops.batched_nms(raw.boxes, raw.scores, raw.classes, 0.5).numpy()
assert sorted(kept) == sorted(theirs.tolist())
print(f"{len(raw.boxes)} boxes -> {len(kept)}")
print("threshold  boxes that stay")
for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
    stay = ops.batched_nms(raw.boxes, raw.scores, raw.classes, threshold)
    print(f"{threshold:9}{len(stay):17}")

# %% [markdown]
# **Notice** that the threshold cuts both ways: too low, and one of two signs that hang close
# together is dropped; too high, and a sign is found several times.
#
# ## What the background does
# All places are judged, and nearly all show nothing. Each is soon told with a small loss; but they
# are many. Lin et al. (2017) turned the easy ones down: with $q$, the probability of what is right,
#
# $$\text{FL}(q) = -(1 - q)^\gamma \log q.$$
#
# With $\gamma = 2$, background at which the net says "an object, 1 %", has $1 - q = 0.01$, and its
# loss is divided by 10,000. Derive the slope: $q = \sigma(x)$ for an object, $\sigma(-x)$ for none,
# $dq/dx = \pm q (1 - q)$, and the product rule.

# %%


def focal_grad(x, t, gamma):
    """Return dL/dx of L = -(1 - q)**gamma * log(q), q = p where t is 1, else 1 - p."""
    ...  # your code


focal_grad = exercise.focal_grad.check(focal_grad)

# %%
marks = (rng.random((3, 5)) < 0.5).astype(float)


@differentiable
def focal(x: Tensor):
    """The focal loss, with our slope."""
    q = 1 / (1 + np.exp(np.where(marks == 1, -x.data, x.data)))
    slope = focal_grad(x.data, marks, 2.0)
    return -((1 - q) ** 2) * np.log(q), (lambda grad_y: grad_y * slope,)


logits = rng.normal(0, 2, (3, 5))
check_gradients(focal, logits, order=1)
theirs = ops.sigmoid_focal_loss(Tensor(logits), marks, 2.0, alpha=None, reduction="none")
assert np.allclose(focal(Tensor(logits)).data, theirs.data)
print("p of an object   cross-entropy of 'none'   focal loss     ratio")
for p in (0.01, 0.1, 0.5, 0.9):
    plain = -math.log(1 - p)
    print(f"{p:14}{plain:26.4f}{p**2 * plain:13.2g}{1 / p**2:10.0f}")

# %% [markdown]
# Now all places of the fifty unseen streets, judged by the net that you trained. **Predict:** which
# share of the cross-entropy would the easy background have, those places where no class has a
# probability of 10 %?

# %%
with no_grad():
    pixels = Tensor(detection.scaled(fresh.images))
    scores = net(pixels)[0].numpy()
labels = net.targets(pixels, fresh.truths()).classes
shares = compute_background_share(scores, labels)
for way, by in shares.items():
    objects_, hard, easy = by["loss"]
    print(f"{way:20} objects {objects_:4.0%}  hard background {hard:4.0%}  easy {easy:4.0%}")
empty = (labels == -1).sum() / (labels >= -1).sum()
print(f"{empty:.1%} of the places show nothing")
assert shares["focal loss"]["loss"].easy < 0.1 < 0.5 < shares["cross-entropy"]["loss"].easy
background_share(scores, labels)

# %% [markdown]
# **Notice** the blue parts. Most of the cross-entropy is easy background, from which hardly
# anything can be learned any more; of the focal loss it is next to nothing. The two bars in between
# are what two-stage detectors and SSD do: draw three of the background for each object, or take the
# three hardest. Four answers to one question: who counts?
#
# ## How good is it?
# A detection is right if it overlaps an object of its class enough, and if no surer one has found
# that object before: to say the same thing twice is one mistake. **Repair** the judge; two things
# are wrong with it.

# %%


def judged(boxes, scores, truths, threshold):
    """Say which boxes (D, 4) find an object, the surest first."""
    share = ops.iou_matrix(boxes, truths).numpy()
    right = []
    for i in range(len(boxes)):
        best = int(share[i].argmax())
        right.append(bool(share[i, best] >= threshold))
    return right


judged = exercise.judged.check(judged)

# %% [markdown]
# Believe only the surest box, then the two surest, ... : *precision* is the share of the right ones
# among those believed, *recall* the share of the objects that they find. Their curve is a saw;
# average precision (AP) takes at each recall the best precision there or further right, so that it
# only falls, and is the area under it. mAP is the mean over the classes.
#
# **By hand:** five boxes, the surest first, are right, wrong, right, right, wrong. There are four
# objects. Write down recall and precision after each; then the area; and then what VOC 2007 said,
# the mean of the heights at the eleven recalls 0, 0.1, ..., 1.

# %%
all_points = ...  # your number, the area
all_points = exercise.all_points.check(all_points)
eleven_points = ...  # your number, by eleven heights
eleven_points = exercise.eleven_points.check(eleven_points)

# %%
right = np.cumsum([1, 0, 1, 1, 0])
recall, precision = right / 4, right / np.arange(1, 6)
print("recall   ", recall)
print("precision", precision.round(2))
assert math.isclose(average_precision(recall, precision), all_points, rel_tol=2e-3)
assert math.isclose(average_precision(recall, precision, "11 points"), eleven_points, rel_tol=2e-3)

figure = new_figure(6, 3.4)
panel = figure.subplots()
best = np.maximum.accumulate(precision[::-1])[::-1]
panel.plot(recall, precision, "o:", label="precision after each box")
x, y = [0, *recall, 0.75, 1], [best[0], *best, 0, 0]
panel.step(x, y, where="pre", label=f"the best from there on: area {all_points:.3f}")
at = np.linspace(0, 1, 11)
heights = [max(precision[recall >= r], default=0) for r in at]
panel.plot(at, heights, "s", markersize=4, label=f"eleven heights: mean {eleven_points:.3f}")
panel.set(title="One list of boxes, two average precisions", xlabel="recall", ylabel="precision")
panel.set(ylim=(0, 1.05))
panel.legend(loc="lower left", fontsize="small")
figure

# %% [markdown]
# The net of before, under the protocols that papers use. COCO's takes the mean over ten demands,
# IoU 0.5, 0.55, ... 0.95.

# %%
metrics = {name: MeanAveragePrecision(fresh.names, name) for name in ("voc2007", "voc", "coco")}
for metric in metrics.values():
    metric.update([own._asdict() for own in found], [fresh.expected(i) for i in range(len(fresh))])
results = {name: metric.result() for name, metric in metrics.items()}
for result in results.values():
    print(f"{result['map']:.3f}  {result['protocol']}")
print({name: round(value, 2) for name, value in results["voc"]["per_class"].items()})
assert results["voc"]["map"] > 0.45
assert results["coco"]["map"] < results["voc"]["map"]
precision_recall(metrics["voc"])

# %% [markdown]
# **Notice** two things. A number of mAP means nothing without its protocol: the same boxes, very
# different numbers. And "other", signs of all shapes, is hardly found; for the rest half a minute
# of training goes a long way. (`python -m benchmarks.ladder` trains all detectors for minutes each,
# on more and larger streets.)
#
# ## The story of speed
# From pixels to boxes, on one picture of 192 x 256, the search for proposals included. Speed does
# not depend on what a net has learned, so these have learned nothing (but one look at the picture,
# which batch normalisation needs). **Predict** the ratios.

# %%
with nn.seed(0):
    ladder = {
        "sliding window": detection.SlidingWindow(4),
        "R-CNN": detection.RCNN(4),
        "Fast R-CNN": detection.FastRCNN(4),
        "Faster R-CNN": detection.FasterRCNN(4),
        "one stage, dense": detection.DenseDetector(4),
    }
picture = streets.images[4:5]
look = streets.truths([4]) | {"proposals": proposals[4][None]}
for detector in ladder.values():
    with no_grad():
        detector.train().losses(Tensor(detection.scaled(picture)), look)
    detector.eval()


def milliseconds(call, times):
    """Return how long a call takes, the best of some."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


took = {"selective search": milliseconds(partial(detection.propose, picture[0]), 5)}
for name, detector in ladder.items():
    times = {"sliding window": 1, "R-CNN": 2}.get(name, 12)
    took[name] = milliseconds(partial(detector.find, picture, score=0.5), times)
names, looks = list(ladder), sum(len(at) for _, at in ladder["sliding window"].levels((192, 256)))
for name, after in zip(names, [*names[1:], ""], strict=True):
    faster = f", the next is {took[name] / took[after]:.1f} times as fast" if after else ""
    print(f"{name:17}{took[name]:9.1f} ms{faster}")
print(f"selective search takes {took['selective search']:.0f} ms of Fast R-CNN's")
windowed = looks * ladder["sliding window"].window ** 2 / 1e6
cropped = len(proposals[4]) * ladder["R-CNN"].window ** 2 / 1e6
print(f"the network sees {windowed:.0f} million pixels of {looks:,} windows, {cropped:.0f} million")
print(f"of {len(proposals[4]):,} crops, and {192 * 256 / 1e6:.2f} million of one image")

figure = new_figure(7, 2.8)
panel = figure.subplots()
bars = panel.barh(names, [took[name] for name in names])
panel.bar_label(bars, fmt="%.0f ms", padding=3)
panel.set(title="From pixels to boxes", xlabel="time for an image / ms", xscale="log")
panel.set(xlim=(1, 6 * took["sliding window"]))
panel.invert_yaxis()
assert min(took["sliding window"], took["R-CNN"]) > 3 * took["Fast R-CNN"]
assert took["Fast R-CNN"] > 1.5 * took["Faster R-CNN"] > 1.5 * took["one stage, dense"]
figure

# %% [markdown]
# **Notice** what each rung saved. R-CNN looks at a few per cent of the windows, but has to search
# for them, and shows them to its network in more detail. Fast R-CNN convolves the image once. What
# is left is mostly the search, and Faster R-CNN does without. One stage saves the second look, and
# pays with the imbalance. (The course tells of 50 seconds for R-CNN and a fraction of a second for
# Faster R-CNN; compare the ratios, for here all nets are small.)
#
# ## What you know now
# * A detector is a classifier and a way to decide where it looks: everywhere, at proposals, at
#   anchors. Convolving once for all of them is what made it fast.
# * IoU says whether a box is right, and non-maximum suppression which of many stays; boxes are told
#   as steps from anchors; regions of any size are pooled to one grid, and rounding costs.
# * Nearly all candidates are background. Two-stage detectors sample; SSD takes the hardest; the
#   focal loss turns the easy ones down.
# * mAP comes with a protocol, or it says nothing.
#
# In minicnn, one file a rung: [sliding window](../minicnn/detection/sliding.py),
# [selective search](../minicnn/detection/selective_search.py),
# [R-CNN](../minicnn/detection/rcnn.py), [Fast R-CNN](../minicnn/detection/fast_rcnn.py),
# [Faster R-CNN](../minicnn/detection/faster_rcnn.py), [dense](../minicnn/detection/dense.py),
# [SSD](../minicnn/detection/ssd.py), [YOLO](../minicnn/detection/yolo.py) and
# [RetinaNet](../minicnn/detection/retina.py); under them [boxes](../minicnn/ops/boxes.py),
# [steps](../minicnn/ops/box_coding.py), [anchors](../minicnn/ops/anchors.py),
# [suppression](../minicnn/ops/suppression.py), [regions](../minicnn/ops/regions.py) and
# [average precision](../minicnn/metrics/detection.py). `python -m minicnn.train detect` trains one
# on your data; `python -m benchmarks.ladder` trains all.
#
# To read on: Uijlings et al., "Selective Search for Object Recognition" (2013); Girshick et al.,
# "Rich feature hierarchies" (2014); Girshick, "Fast R-CNN" (2015); Ren et al., "Faster R-CNN"
# (2015); Redmon et al., "You Only Look Once" (2016); Liu et al., "SSD" (2016); He et al., "Mask
# R-CNN" (2017); Lin et al., "Focal Loss for Dense Object Detection" (2017).
