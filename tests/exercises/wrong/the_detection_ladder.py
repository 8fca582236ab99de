"""Wrong answers to the exercises on the ladder of detectors."""

import numpy as np

from minicnn import ops
from minicnn.exercises import the_detection_ladder as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()


@wrong(exercise.windows, hint="one place more")
def steps_without_the_first(height, width, sides):
    return sum(
        (height - s) // (s // 4) * ((width - s) // (s // 4))
        for s in sides
        if s <= min(height, width)
    )


@wrong(exercise.windows, hint="every pixel")
def pixel_by_pixel(height, width, sides):
    return sum(max(height - s + 1, 0) * max(width - s + 1, 0) for s in sides)


@wrong(exercise.windows, hint="side by side")
def tiles(height, width, sides):
    total = 0
    for s in sides:
        total += (height // s) * (width // s)
    return total


@wrong(exercise.windows, hint="no place in it")
def forgot_that_some_do_not_fit(height, width, sides):
    total = 0
    for side in sides:
        step = side // 4
        down = (height - side) // step + 1
        across = (width - side) // step + 1
        total += down * across
    return total


@wrong(exercise.windows, hint="has to fit")
def over_the_border(height, width, sides):
    count = 0
    for side in sides:
        count += (height // (side // 4)) * (width // (side // 4))
    return count


@wrong(exercise.iou, hint="two negative sides")
def nothing_clipped(a, b):
    shared = (min(a[2], b[2]) - max(a[0], b[0])) * (min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0


@wrong(exercise.iou, hint="counted twice")
def over_the_sum(a, b):
    shared = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    total = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])
    return shared / total if total else 0.0


@wrong(exercise.iou, hint="half-open")
def with_the_last_pixel(a, b):
    def area(box):
        return max(box[2] - box[0] + 1, 0) * max(box[3] - box[1] + 1, 0)

    shared = area(np.concatenate([np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])]))
    return shared / (area(a) + area(b) - shared)


@wrong(exercise.iou, hint="not NaN")
def nothing_by_nothing(a, b):
    begin, end = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    shared = (end - begin).clip(0).prod()
    return shared / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared)


@wrong(exercise.iou, hint="not by the smaller")
def share_of_the_smaller(a, b):
    begin, end = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    least = min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod())
    return (end - begin).clip(0).prod() / least if least else 0.0


@wrong(exercise.nms, hint="drives out no other")
def all_that_overlap_a_surer_one(boxes, scores, threshold):
    share = ops.iou_matrix(boxes, boxes).numpy()
    surer = scores[None, :] > scores[:, None]
    kept = np.flatnonzero(~((share > threshold) & surer).any(axis=1))
    return kept[np.argsort(-scores[kept])].tolist()


@wrong(exercise.nms, hint="argsort sorts upwards")
def upwards(boxes, scores, threshold):
    order, kept = list(np.argsort(scores)), []
    while order:
        best = order.pop(0)
        kept.append(int(best))
        order = [
            i for i in order if ops.iou_matrix(boxes[[best]], boxes[[i]]).numpy()[0, 0] <= threshold
        ]
    return kept


@wrong(exercise.nms, hint="places in the sorted order")
def sorted_and_never_back(boxes, scores, threshold):
    boxes = boxes[np.argsort(-scores)]
    kept = []
    for i in range(len(boxes)):
        if not kept or ops.iou_matrix(boxes[[i]], boxes[kept]).numpy().max() <= threshold:
            kept.append(i)
    return kept


@wrong(exercise.nms, hint="in which they come")
def as_they_come(boxes, scores, threshold):
    share, kept = ops.iou_matrix(boxes, boxes).numpy(), []
    for i in range(len(boxes)):
        if not any(share[i, j] > threshold for j in kept):
            kept.append(i)
    return kept


@wrong(exercise.nms, hint="surest of all alone")
def a_single_round(boxes, scores, threshold):
    order = np.argsort(-scores)
    share = ops.iou_matrix(boxes[order[:1]], boxes[order]).numpy()[0]
    return [int(order[0]), *order[share <= threshold].tolist()]


@wrong(exercise.roi_pool, hint="divide by the stride")
def pixels_of_the_image(features, box, stride, grid):
    y0, x0, y1, x1 = np.rint(box).astype(int)
    window = features[:, y0:y1, x0:x1]
    y = np.empty((len(features), *grid))
    h, w = y1 - y0, x1 - x0
    for i in range(grid[0]):
        for j in range(grid[1]):
            rows = slice(i * h // grid[0], -(-(i + 1) * h // grid[0]))
            columns = slice(j * w // grid[1], -(-(j + 1) * w // grid[1]))
            y[:, i, j] = window[:, rows, columns].max(axis=(1, 2))
    return y


def _cells(window, grid, reduce=np.max):
    y, (h, w) = np.empty((len(window), *grid)), window.shape[1:]
    for i, j in np.ndindex(*grid):
        rows = slice(int(np.floor(i * h / grid[0])), int(np.ceil((i + 1) * h / grid[0])))
        columns = slice(int(np.floor(j * w / grid[1])), int(np.ceil((j + 1) * w / grid[1])))
        y[:, i, j] = reduce(window[:, rows, columns], axis=(1, 2))
    return y


@wrong(exercise.roi_pool, hint="not the mean")
def averages(features, box, stride, grid):
    y0, x0, y1, x1 = np.rint(box / stride).astype(int)
    return _cells(features[:, y0:y1, x0:x1], grid, np.mean)


@wrong(exercise.roi_pool, hint="do not cut off")
def integers_by_cutting(features, box, stride, grid):
    y0, x0, y1, x1 = (int(v / stride) for v in box)
    return _cells(features[:, y0:y1, x0:x1], grid)


@wrong(exercise.roi_pool, hint="rows come first")
def x_before_y(features, box, stride, grid):
    x0, y0, x1, y1 = (round(v / stride) for v in box)
    return _cells(features[:, y0:y1, x0:x1], grid)


@wrong(exercise.roi_pool, hint="leave some out")
def whole_cells_only(features, box, stride, grid):
    y0, x0, y1, x1 = np.rint(box / stride).astype(int)
    high, wide = (y1 - y0) // grid[0], (x1 - x0) // grid[1]
    window = features[:, y0 : y0 + high * grid[0], x0 : x0 + wide * grid[1]]
    return window.reshape(len(window), grid[0], high, grid[1], wide).max(axis=(2, 4))


def _sizes(box):
    return (box[:2] + box[2:]) / 2, box[2:] - box[:2]


@wrong(exercise.encode, hint="sizes of the anchor")
def in_sizes_of_the_box(box, anchor):
    (centre, size), (start, before) = _sizes(box), _sizes(anchor)
    return [*((centre - start) / size), *np.log(size / before)]


@wrong(exercise.encode, hint="growth is a logarithm: a")
def ratios(box, anchor):
    (centre, size), (start, before) = _sizes(box), _sizes(anchor)
    return np.array([*((centre - start) / before), *(size / before)])


@wrong(exercise.encode, hint="centre to centre")
def corner_to_corner(box, anchor):
    height, width = anchor[2] - anchor[0], anchor[3] - anchor[1]
    return np.array(
        [
            (box[0] - anchor[0]) / height,
            (box[1] - anchor[1]) / width,
            np.log((box[2] - box[0]) / height),
            np.log((box[3] - box[1]) / width),
        ]
    )


@wrong(exercise.encode, hint="larger box has positive")
def the_other_way_round(box, anchor):
    (centre, size), (start, before) = _sizes(box), _sizes(anchor)
    return np.concatenate([(centre - start) / before, np.log(before) - np.log(size)])


@wrong(exercise.encode, hint="is in pixels")
def pixels(box, anchor):
    (centre, size), (start, before) = _sizes(box), _sizes(anchor)
    return np.concatenate([centre - start, np.log(size) - np.log(before)])


@wrong(exercise.anchors, hint="half a stride")
def from_the_corner(map_size, stride, sizes):
    y = np.empty((*map_size, len(sizes), 4))
    for i, j in np.ndindex(*map_size):
        for a, s in enumerate(sizes):
            y[i, j, a] = (
                i * stride - s / 2,
                j * stride - s / 2,
                i * stride + s / 2,
                j * stride + s / 2,
            )
    return y


@wrong(exercise.anchors, hint="on each side")
def twice_as_large(map_size, stride, sizes):
    rows, columns = np.indices(map_size)
    middle = (np.stack([rows, columns], axis=-1) + 0.5)[:, :, None] * stride
    size = np.array(sizes)[None, None, :, None]
    return np.concatenate([middle - size, middle + size], axis=-1)


def _around(rows, columns, stride, sizes):
    return [
        [
            [[y - s / 2, x - s / 2, y + s / 2, x + s / 2] for s in sizes]
            for x in (np.arange(columns) + 0.5) * stride
        ]
        for y in (np.arange(rows) + 0.5) * stride
    ]


@wrong(exercise.anchors, hint="rows come first")
def x_first(map_size, stride, sizes):
    return np.array(_around(*map_size, stride, sizes))[..., [1, 0, 3, 2]]


@wrong(exercise.anchors, hint="cell is a stride wide")
def in_cells(map_size, stride, sizes):
    return np.array(_around(*map_size, 1, sizes))


wrong(exercise.candidates, hint="nine anchors")(75 * 100 + 38 * 50 + 19 * 25 + 10 * 13 + 5 * 7)
wrong(exercise.candidates, hint="four more")(9 * 75 * 100)
wrong(exercise.candidates, hint="round up")(9 * (75 * 100 + 37 * 50 + 18 * 25 + 9 * 12 + 4 * 6))
wrong(exercise.candidates, hint="8 x 8 pixels")(9 * 600 * 800)


@wrong(exercise.focal_grad, hint="product rule")
def factor_held_fast(x, t, gamma):
    p = 1 / (1 + np.exp(-x))
    q = t * p + (1 - t) * (1 - p)
    return (1 - q) ** gamma * (p - t)


@wrong(exercise.focal_grad, hint="without the factor")
def cross_entropy(x, t, gamma):
    return 1 / (1 + np.exp(-x)) - t


@wrong(exercise.focal_grad, hint="dq/dx")
def by_the_probability(x, t, gamma):
    p = 1 / (1 + np.exp(-x))
    q = np.where(t > 0, p, 1 - p)
    by_q = gamma * (1 - q) ** (gamma - 1) * np.log(q) - (1 - q) ** gamma / q
    return np.where(t > 0, by_q, -by_q)


@wrong(exercise.focal_grad, hint="other sign")
def no_is_as_yes(x, t, gamma):
    s = np.where(t == 1, x, -x)
    q = 1 / (1 + np.exp(-s))
    return (1 - q) ** gamma * (gamma * q * np.log(q) + q - 1)


@wrong(exercise.focal_grad, hint="1 - p where")
def p_for_both(x, t, gamma):
    p = 1 / (1 + np.exp(-x))
    return (2 * t - 1) * (1 - p) ** gamma * (gamma * p * np.log(p) - (1 - p))


@wrong(exercise.judged, hint="second box on it is a false one")
def sorted_only(boxes, scores, truths, threshold):
    share = ops.iou_matrix(boxes, truths).numpy().max(axis=1)
    return [bool(share[i] >= threshold) for i in np.argsort(-scores)]


@wrong(exercise.judged, hint="first in the list")
def taken_only(boxes, scores, truths, threshold):
    share, found, right = ops.iou_matrix(boxes, truths).numpy(), set(), []
    for row in share:
        hit = row.max() >= threshold and row.argmax() not in found
        found |= {row.argmax()} if hit else set()
        right.append(bool(hit))
    return right


@wrong(exercise.judged, hint="taken or not")
def the_next_best(boxes, scores, truths, threshold):
    left, right = list(range(len(truths))), []
    share = ops.iou_matrix(boxes, truths).numpy()
    for i in np.argsort(-scores):
        best = max(left, key=lambda j, i=i: share[i, j], default=None)
        right.append(best is not None and bool(share[i, best] >= threshold))
        if right[-1]:
            left.remove(best)
    return right


@wrong(exercise.judged, hint="takes nothing away")
def taken_by_a_miss(boxes, scores, truths, threshold):
    share, free, right = ops.iou_matrix(boxes, truths).numpy(), np.ones(len(truths), bool), []
    for i in np.argsort(-scores):
        best = share[i].argmax()
        right.append(bool(free[best] and share[i, best] >= threshold))
        free[best] = False
    return right


wrong(exercise.all_points, hint="may only fall")(1 / 4 + 1 / 4 * 2 / 3 + 1 / 4 * 3 / 4)
wrong(exercise.all_points, hint="is an area")(0.6)
wrong(exercise.all_points, hint="counts as 0")(29 / 36)
wrong(exercise.all_points, hint="recall ends at 3/4")(2.5 / 3)

wrong(exercise.eleven_points, hint="that is the area")(5 / 8)
wrong(exercise.eleven_points, hint="never reached")((3 * 1 + 5 * 0.75) / 8)
wrong(exercise.eleven_points, hint="0 is one of them")((2 + 5 * 0.75) / 10)
wrong(exercise.eleven_points, hint="lies beyond 0.25")((4 * 1 + 4 * 0.75) / 11)
