"""The dense detector against its definition, written as loops over places and objects."""

from __future__ import annotations

import math

import numpy as np
import pytest

from minicnn import nn, optim
from minicnn.autograd import Tensor
from minicnn.data.scenes import make_scenes
from minicnn.detection import (
    IGNORED,
    NOTHING,
    DenseDetector,
    Objects,
    dense_targets,
    scaled,
)
from minicnn.errors import ConfigError
from minicnn.metrics import MeanAveragePrecision
from tests.ops.box_loops import iou

NONE = np.zeros((0, 4), np.float32)


def small(classes=3, seed=0):
    with nn.seed(seed):
        return DenseDetector(classes, channels=4, stages=2, width=8)


def grid(rows, columns):
    return np.array(
        [[(4 * i + 2, 4 * j + 2) for j in range(columns)] for i in range(rows)], np.float32
    )


def images(count=2, height=40, width=56, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), np.uint8)
    return Tensor(scaled(pixels))


def truths(*rows):
    """Tables of (box, class), one for each image."""
    most = max(map(len, rows), default=0)
    boxes = np.zeros((len(rows), most, 4), np.float32)
    classes = np.full((len(rows), most), NOTHING, np.int64)
    for i, row in enumerate(rows):
        for t, (box, label) in enumerate(row):
            boxes[i, t], classes[i, t] = box, label
    return {"boxes": boxes, "classes": classes}


def answers(rows, columns, objects, core):
    """What each place is to answer, by the definition: (class, box or None)."""
    found = {}
    middles = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in objects.boxes.tolist()]
    for i in range(rows):
        for j in range(columns):
            y, x = 4 * i + 2, 4 * j + 2
            owners = []
            for t, (y0, x0, y1, x1) in enumerate(objects.boxes.tolist()):
                (cy, cx), h, w = middles[t], (y1 - y0) * core / 2, (x1 - x0) * core / 2
                row = min(range(rows), key=lambda r: abs(4 * r + 2 - cy))
                column = min(range(columns), key=lambda c: abs(4 * c + 2 - cx))
                inside = cy - h <= y < cy + h and cx - w <= x < cx + w
                if inside or (i, j) == (row, column):
                    owners.append(((y1 - y0) * (x1 - x0), t))
            covered = any(b[0] <= y < b[2] and b[1] <= x < b[3] for b in objects.ignored.tolist())
            if owners:
                t = min(owners)[1]
                found[i, j] = int(objects.classes[t]), objects.boxes[t].tolist()
            else:
                found[i, j] = (-2 if covered else -1), [0.0] * 4
    return found


def weight(found, at):
    """How much a place counts, by the definition; no two objects of a test have the same box."""
    label, box = found[at]
    if label < 0:
        return float(label == -1)
    return 1 / math.sqrt(sum(other == box for label, other in found.values() if label >= 0))


@pytest.mark.parametrize("core", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_targets_are_those_of_the_definition(seed, core):
    rng = np.random.default_rng(seed)
    corners = np.sort(rng.uniform(0, [[36], [60]], (7, 2, 2)), axis=2)
    boxes = np.moveaxis(corners, 1, 2).reshape(7, 4).astype(np.float32)
    objects = Objects(boxes[:5], rng.integers(0, 3, 5), boxes[5:])
    got = dense_targets(grid(9, 15), objects, core)
    wanted = answers(9, 15, objects, core)
    for at, (label, box) in wanted.items():
        assert got.classes[at] == label, at
        assert got.boxes[at].tolist() == box, at
        assert got.weights[at] == pytest.approx(weight(wanted, at)), at


def test_every_object_has_a_place_and_the_smaller_one_wins():
    large, tiny = [0, 0, 32, 32], [15, 15, 16, 16]
    objects = Objects(np.array([large, tiny], np.float32), np.array([0, 1]), NONE)
    got = dense_targets(grid(8, 8), objects, 0.5).classes
    assert np.argwhere(got == 1).tolist() == [[3, 3]]
    assert (got == 0).sum() == 4 * 4 - 1
    assert (got == -1).sum() == 64 - 16, "the rim of the large one is background"


def test_nothing_at_all_is_background():
    got = dense_targets(grid(3, 4), Objects(NONE, np.zeros(0, int), NONE), 0.5)
    assert (got.classes == -1).all()
    assert not got.boxes.any()


def test_the_loss_is_that_of_the_definition():
    """Focal losses of all places and 1 - IoU, weighted, by the weight of the places that speak."""
    net = small()
    x = images(2, 32, 40)
    rng = np.random.default_rng(0)
    for layer in (net.mask, net.sides):  # whose weights begin as zeros
        layer.weight.data[...] = rng.normal(0, 0.1, layer.weight.shape)
    net(x)  # its moving averages begin
    net.eval()
    there = truths(
        [((4, 4, 20, 20), 1), ((16, 24, 30, 40), IGNORED)], [((8, 2, 14, 12), 2), ((9, 9, 9, 9), 0)]
    )
    scores, steps = (t.numpy().astype(np.float64) for t in net(x))
    mask = apart = total = 0.0
    for n, objects in enumerate(
        [
            Objects(there["boxes"][0, :1], there["classes"][0, :1], there["boxes"][0, 1:]),
            Objects(there["boxes"][1, :1], there["classes"][1, :1], NONE),
        ]
    ):
        wanted = answers(8, 10, objects, 0.5)
        for (i, j), (label, box) in wanted.items():
            w = weight(wanted, (i, j))
            for k in range(3):
                p = 1 / (1 + math.exp(-scores[n, i, j, k]))
                right, alpha = (p, 0.25) if k == label else (1 - p, 0.75)
                mask -= w * alpha * (1 - right) ** 2 * math.log(right)
            if label >= 0:
                total += w
                up, left, down, across = 16 * np.exp(steps[n, i, j])
                y, x_ = 4 * i + 2, 4 * j + 2
                apart += w * (1 - iou([y - up, x_ - left, y + down, x_ + across], box))
    got = {name: float(part.numpy()) for name, part in net.losses(x, there).items()}
    assert got == pytest.approx({"mask": mask / total, "boxes": apart / total}, rel=1e-5)


def test_what_is_told_is_found():
    """Maps that answer as the targets have it give back the objects."""
    net = small(classes=3)
    boxes = np.array([[3, 5, 17, 21], [20, 30, 39, 55]], np.float32)
    points = grid(10, 14)
    told = dense_targets(points, Objects(boxes, np.array([2, 0]), NONE), net.core)
    logits = np.where(told.classes[..., None] == np.arange(3), 3.0, -9.0).astype(np.float32)
    corners = np.concatenate([points - told.boxes[..., :2], told.boxes[..., 2:] - points], axis=-1)
    steps = np.log(np.where(told.classes[..., None] >= 0, corners, 16) / 16)
    net.forward = lambda images: (Tensor(logits[None]), Tensor(steps[None].astype(np.float32)))
    (found,) = net.detect(images(1))
    order = np.argsort(found.classes)
    assert found.classes[order].tolist() == [0, 2]
    np.testing.assert_allclose(found.boxes[order], boxes[::-1], atol=1e-4)
    np.testing.assert_allclose(found.scores, 1 / (1 + math.exp(-3)), rtol=1e-6)


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [((5, 5, 5, 9), 0)],
        [((-20, -20, -5, -5), 0)],
        [((90, 90, 99, 99), 1)],
        [((0, 0, 40, 56), IGNORED)],
        [((math.nan, 0, 9, 9), 1)],
        [((9, 9, 3, 3), 1)],
    ],
    ids=["none", "flat", "outside", "beyond", "ignored", "NaN", "inside out"],
)
def test_losses_are_finite_where_there_is_nothing(rows):
    net = small()
    parts = net.losses(images(), truths(rows, []))
    (parts["mask"] + parts["boxes"]).backward()
    assert float(parts["boxes"].numpy()) == 0
    assert all(np.isfinite(float(p.numpy())) for p in parts.values())
    assert all(p.grad is None or np.isfinite(p.grad.numpy()).all() for p in net.parameters())


@pytest.mark.parametrize("size", [(32, 32), (33, 50), (47, 35), (64, 41)])
def test_images_of_any_size(size):
    net = DenseDetector(2, channels=4, stages=4, width=8)
    x = images(2, *size)
    scores, steps = net(x)
    rows, columns = (math.ceil(n / 4) for n in size)
    assert scores.shape == (2, rows, columns, 2)
    assert steps.shape == (2, rows, columns, 4)
    net.losses(x, truths([((2, 2, 20, 30), 1)], []))["boxes"].backward()
    found = net.eval().detect(x, score=0.0, limit=5)
    assert [len(f.boxes) for f in found] == [5, 5]
    limits = np.array([*size, *size])
    assert all(((f.boxes >= 0) & (f.boxes <= limits)).all() for f in found)


def trained(steps=90):
    scenes = make_scenes(4, (64, 96), signs=(1, 3)).scenes
    there = truths(*([(b, k % 3) for b, k in zip(s.boxes, s.labels, strict=True)] for s in scenes))
    pixels = np.stack([s.image for s in scenes])
    with nn.seed(0):
        net = DenseDetector(3, channels=8, stages=3, width=16)
    rate = optim.OneCycle(1e-2, steps, rise=0.2)
    optimizer = optim.AdamW(list(net.parameters()), rate)
    for _ in range(steps):
        net.zero_grad()
        parts = net.losses(Tensor(scaled(pixels)), there)
        (parts["mask"] + parts["boxes"]).backward()
        optimizer.step()
    return net, pixels, there


def test_four_scenes_are_learned_by_heart_with_the_same_bits_each_time():
    net, pixels, there = trained()
    metric = MeanAveragePrecision(3)
    for found, boxes, classes in zip(
        net.find(pixels), there["boxes"], there["classes"], strict=True
    ):
        known = classes >= 0
        metric.update([found._asdict()], [{"boxes": boxes[known], "classes": classes[known]}])
    assert metric.result()["map"] > 0.9
    first, again = trained(3)[0].state_dict(), trained(3)[0].state_dict()
    assert all(np.array_equal(first[name], again[name]) for name in first)
    other = DenseDetector(3, channels=8, stages=3, width=16)
    other.load_state_dict(net.state_dict())
    for a, b in zip(net.find(pixels), other.find(pixels), strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)


@pytest.mark.parametrize("core", [0, -1, 1.5, math.nan])
def test_a_core_is_a_share(core):
    with pytest.raises(ConfigError, match=r"DenseDetector: core .* is no share; give one above 0"):
        DenseDetector(2, core=core)


def test_an_unknown_loss_is_refused():
    with pytest.raises(ConfigError, match=r"mask_loss 'hinge' is unknown; choose from focal, cro"):
        DenseDetector(2, mask_loss="hinge")


@pytest.mark.parametrize("kind", ["cross_entropy", "sampled"])
def test_the_other_losses_of_the_mask(kind):
    """At first p = 0.01 everywhere: each no costs -log(0.99), each yes -log(0.01)."""
    with nn.seed(0):
        net = DenseDetector(3, channels=4, stages=2, width=8, mask_loss=kind)
    x, there = images(2, 40, 56), truths([((8, 8, 24, 24), 1)], [((0, 0, 9, 9), IGNORED)])
    labels = net.targets(x, there).classes
    speak, background = (labels >= 0).sum(), (labels == -1).sum()
    others = background if kind == "cross_entropy" else 3 * speak
    no, yes = -math.log(0.99), -math.log(0.01)
    total = speak**0.5  # of one object
    wanted = (total * (yes + 2 * no) + others * 3 * no) / total
    assert float(net.losses(x, there)["mask"].numpy()) == pytest.approx(wanted, rel=1e-5)


def test_the_sample_is_drawn_from_the_key_of_the_step():
    labels = np.full((2, 9, 9), -1)
    labels[0, 4, 4], labels[1, :3] = 0, -2
    net = DenseDetector(1, channels=4, stages=1, width=4, mask_loss="sampled")
    drawn = []
    for step in (1, 2, 1):
        with nn.random_key(0, step):
            drawn.append(net._sampled(labels))
    assert all(d.sum() == 4 and d[0, 4, 4] and not d[1, :3].any() for d in drawn)
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert (drawn[0] != drawn[1]).any()
