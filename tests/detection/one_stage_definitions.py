"""What the tests of one-stage detectors share: definitions in loops, tiny scenes, training."""

from __future__ import annotations

import numpy as np

from minicnn import nn, optim
from minicnn.autograd import Tensor
from minicnn.backend.device import to_device
from minicnn.detection import IGNORED, NOTHING, scaled
from minicnn.metrics import MeanAveragePrecision

SIZE = (64, 96)


def iou(a, b):
    """Intersection over union of two boxes."""
    height = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    width = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    whole = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - height * width
    return height * width / whole if whole > 0 else 0.0


def answer_of(anchors, boxes, positive, negative):
    """For each anchor the number of its object, -1 for background, -2 for neither."""
    table = [[iou(a, b) for b in boxes] for a in anchors]
    said = []
    for row in table:
        most = max(row, default=0.0)
        if most >= positive:
            said.append(row.index(most))
        else:
            said.append(-1 if most < negative else -2)
    for a, row in enumerate(table):
        best_of = [
            b
            for b in range(len(boxes))
            if row[b] > 0 and row[b] == max(other[b] for other in table)
        ]
        if best_of:
            said[a] = max(best_of, key=lambda b: row[b])
    return said


def steps_between(anchor, box):
    """The steps from an anchor to a box, by the scale (0.1, 0.1, 0.2, 0.2)."""
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return [
        ((box[0] + box[2]) / 2 - (anchor[0] + anchor[2]) / 2) / height / 0.1,
        ((box[1] + box[3]) / 2 - (anchor[1] + anchor[3]) / 2) / width / 0.1,
        np.log((box[2] - box[0]) / height) / 0.2,
        np.log((box[3] - box[1]) / width) / 0.2,
    ]


def smooth_l1(x):
    """Quadratic up to 1, then linear."""
    return 0.5 * x * x if abs(x) < 1 else abs(x) - 0.5


def tiny_scenes(count=4):
    """Pictures 64 x 96 with two squares: class 0 is bright, class 1 is dark."""
    rng = np.random.default_rng(3)
    images = rng.integers(110, 140, (count, *SIZE, 3)).astype(np.uint8)
    boxes = np.zeros((count, 3, 4), np.float32)
    classes = np.full((count, 3), NOTHING)
    for image in range(count):
        for row, left in enumerate((4, 52)):
            side = int(rng.integers(10, 36))
            y0, x0 = int(rng.integers(2, 62 - side)), left + int(rng.integers(0, 40 - side + 1))
            images[image, y0 : y0 + side, x0 : x0 + side] = 230 if row == image % 2 else 20
            boxes[image, row] = y0, x0, y0 + side, x0 + side
            classes[image, row] = 0 if row == image % 2 else 1
    return images, {"boxes": boxes, "classes": classes}


def overfit(net, steps, peak=5e-3):
    """Train on tiny scenes; return the mean average precision on them."""
    images, truths = tiny_scenes()
    view = scaled(images)
    optimizer = optim.AdamW(list(net.parameters()), optim.OneCycle(peak, steps, rise=0.2))
    net.train()
    for step in range(steps):
        with nn.random_key(0, step):
            parts = net.losses(Tensor(view), truths)
        net.zero_grad()
        sum(parts.values(), start=Tensor(np.float32(0))).backward()
        optimizer.step()
    metric = MeanAveragePrecision(2, "voc")
    for i, found in enumerate(net.find(images)):
        there = truths["classes"][i] >= 0
        metric.update(
            [found._asdict()],
            [{"boxes": truths["boxes"][i][there], "classes": truths["classes"][i][there]}],
        )
    return metric.result()["map"]


def awkward_truths():
    """Truths of two images 64 x 96: boxes without area, outside, reversed, not finite, ignored."""
    boxes = [
        [[2, 3, 20, 25], [5, 5, 5, 30], [70, 100, 90, 120], [np.nan, 0, 9, 9], [30, 30, 20, 20]],
        [[0, 0, 12, 12], [30, 40, 60, 90], [-10, -10, 8, 9], [0, 0, 0, 0], [1, 1, 2, 2]],
    ]
    classes = [[0, 1, 1, 0, 1], [IGNORED, 1, 0, NOTHING, IGNORED]]
    return {"boxes": np.array(boxes, np.float32), "classes": np.array(classes)}


def check_finite(net, sizes=((64, 96), (33, 47))):
    """Losses and their gradients are finite, whatever there is in the images."""
    truths = awkward_truths()
    no_row = {"boxes": np.zeros((2, 0, 4), np.float32), "classes": np.zeros((2, 0), int)}
    cases = [truths, no_row]
    cases += [{**truths, "classes": np.full((2, 5), c)} for c in (NOTHING, IGNORED)]
    for size in sizes:
        images = np.random.default_rng(1).integers(0, 255, (2, *size, 3)).astype(np.uint8)
        for case in cases:
            net.zero_grad()
            parts = net.losses(Tensor(scaled(images)), case)
            assert all(np.isfinite(float(part.numpy())) for part in parts.values()), parts
            sum(parts.values(), start=Tensor(np.float32(0))).backward()
            for name, parameter in net.named_parameters():
                assert parameter.grad is not None, name
                assert np.isfinite(parameter.grad.numpy()).all(), name
        for found in net.find(images, score=0.0, limit=7):
            assert len(found.boxes) == 7
            assert (found.boxes >= 0).all()
            assert (found.boxes <= np.array([*size, *size])).all()


def check_repeatable(make):
    """The same seed gives the same bits, and a saved state goes on as the original would."""
    images, truths = tiny_scenes()
    nets = []
    for _ in range(2):
        with nn.seed(5):
            nets.append(make())
        parts = nets[-1].losses(Tensor(scaled(images)), truths)
        sum(parts.values(), start=Tensor(np.float32(0))).backward()
    for (name, a), (_, b) in zip(*(n.named_parameters() for n in nets), strict=True):
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy(), err_msg=name)
    with nn.seed(6):
        other = make()
    other.load_state_dict(nets[0].state_dict())
    for ours, theirs in zip(nets[0].find(images), other.find(images), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def check_device(make, device):
    """The losses and what is found are the same on a GPU, or what plays one."""
    images, truths = tiny_scenes(2)
    nets = []
    for place in ("cpu", device):
        with nn.seed(0):
            net = make().to(place)
        parts = net.losses(Tensor(to_device(scaled(images), place)), truths)
        total = list(parts.values())
        for part in total[1:]:
            total[0] = total[0] + part
        total[0].backward()
        nets.append(([float(part.numpy()) for part in parts.values()], net.find(images, 0.001)))
    np.testing.assert_allclose(nets[0][0], nets[1][0], rtol=1e-4)
    for ours, theirs in zip(nets[0][1], nets[1][1], strict=True):
        assert len(ours.boxes) == len(theirs.boxes) > 0
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
