"""Mean average precision: worked out by hand for VOC, equal to pycocotools for COCO."""

import contextlib
import io

import numpy as np
import pytest

from minicnn.errors import ConfigError, DTypeError, ShapeError
from minicnn.metrics import MeanAveragePrecision, average_precision

COCO_NAMES = [
    *("map", "map50", "map75", "map_small", "map_medium", "map_large"),
    *("recall_1", "recall_10", "recall_100", "recall_small", "recall_medium", "recall_large"),
]


def found(*rows):
    """Each row: class, score, box."""
    return {
        "classes": np.array([row[0] for row in rows], int),
        "scores": np.array([row[1] for row in rows], float),
        "boxes": np.array([row[2] for row in rows], float).reshape(-1, 4),
    }


def there(*rows, **more):
    """Each row: class, box."""
    return {
        "classes": np.array([row[0] for row in rows], int),
        "boxes": np.array([row[1] for row in rows], float).reshape(-1, 4),
        **more,
    }


A, B, C = (0, 0, 10, 10), (0, 50, 10, 60), (50, 0, 60, 10)
FAR = (90, 90, 99, 99)


def mean(protocol, predictions, truths, classes=1):
    return MeanAveragePrecision(classes, protocol).update(predictions, truths).result()["map"]


# Right, wrong, right, of three objects: recalls 1/3, 1/3, 2/3, precisions 1, 1/2, 2/3.
BY_HAND = {
    "voc2007": (4 * 1 + 3 * 2 / 3) / 11,  # recalls 0 ... 0.3, then 0.4 ... 0.6
    "voc": (1 / 3) * 1 + (1 / 3) * (2 / 3),
    "coco": (34 * 1 + 33 * 2 / 3) / 101,  # recalls 0 ... 0.33, then 0.34 ... 0.66
}


@pytest.mark.parametrize("protocol", BY_HAND)
def test_three_detections_by_hand(protocol):
    predictions = [found((0, 0.9, A), (0, 0.8, FAR)), found((0, 0.7, B))]
    truths = [there((0, A), (0, C)), there((0, B))]
    assert mean(protocol, predictions, truths) == pytest.approx(BY_HAND[protocol], rel=1e-12)


def test_half_an_overlap_is_enough_for_voc():
    """IoU of exactly 0.5 counts, as the devkit has it."""
    assert mean("voc", [found((0, 0.9, (0, 0, 10, 5)))], [there((0, A))]) == 1.0
    assert mean("voc", [found((0, 0.9, (0, 0, 10, 4)))], [there((0, A))]) == 0.0


def test_a_duplicate_is_wrong_in_voc_even_where_a_second_object_is_near():
    """VOC looks at the best object alone; COCO gives the second detection the one still free."""
    objects = there((0, (0, 0, 10, 10)), (0, (0, 3, 10, 13)))
    detections = found((0, 0.9, (0, 0, 10, 10)), (0, 0.8, (0, 1, 10, 11)))
    assert mean("voc", [detections], [objects]) == 0.5
    result = MeanAveragePrecision(1, "coco").update([detections], [objects]).result()
    assert result["map50"] == pytest.approx(1.0)  # 0.67 with the second


def test_difficult_objects_count_for_nothing():
    objects = there((0, A), (0, B), difficult=np.array([False, True]))
    for rows in [((0, 0.9, A),), ((0, 0.9, B), (0, 0.8, A)), ((0, 0.9, A), (0, 0.8, B))]:
        assert mean("voc", [found(*rows)], [objects]) == 1.0
        assert mean("coco", [found(*rows)], [objects]) == pytest.approx(1.0)


def test_a_class_without_objects_does_not_enter_the_mean():
    metric = MeanAveragePrecision(["cat", "dog"], "voc")
    result = metric.update([found((0, 0.9, A), (1, 0.9, B))], [there((0, A))]).result()
    assert result["map"] == 1.0
    assert np.isnan(result["per_class"]["dog"])
    assert "VOC 2010" in result["protocol"]


@pytest.mark.parametrize("protocol", BY_HAND)
def test_nothing_at_all(protocol):
    metric = MeanAveragePrecision(2, protocol)
    assert np.isnan(metric.result()["map"])
    assert np.isnan(metric.update([found()], [there()]).result()["map"])
    assert metric.update([found()], [there((1, A))]).result()["map"] == 0.0
    # a box of no area finds nothing, and nobody finds it
    flat = (5, 5, 5, 9)
    assert mean(protocol, [found((0, 0.9, flat))], [there((0, flat))]) == 0.0


def test_the_area_under_a_curve_that_rises_again():
    recall, precision = [0.25, 0.25, 0.5, 0.75], [0.5, 1.0, 0.25, 0.75]
    assert average_precision(recall, precision) == 0.25 * 1.0 + 0.5 * 0.75
    assert average_precision(recall, precision, "11 points") == pytest.approx(
        (3 * 1.0 + 5 * 0.75) / 11
    )


def test_the_curve_of_a_class():
    metric = MeanAveragePrecision(2, "voc")
    metric.update([found((1, 0.5, A), (1, 0.9, FAR))], [there((1, A), (1, B))])
    recall, precision, scores = metric.curve(1)
    assert recall.tolist() == [0.0, 0.5]
    assert precision.tolist() == [0.0, 0.5]
    assert scores.tolist() == [0.9, 0.5]
    assert metric.curve(0).recall.size == 0
    with pytest.raises(ConfigError, match=r"class 2 .* 0 \.\.\. 1"):
        metric.curve(2)
    with pytest.raises(ConfigError, match=r"IoU 0\.7 .*\[0\.5\]"):
        metric.curve(1, 0.7)


def random_case(rng, most):
    """A few images: near misses, ties, crowds, objects of every size, areas of their own."""
    classes = int(rng.integers(1, 4))
    predictions, truths = [], []
    for _ in range(rng.integers(1, 5)):
        objects, detections = int(rng.integers(0, 7)), int(rng.integers(0, most))
        begin = rng.integers(0, 800, (objects + detections, 2)) / 4
        size = rng.integers(0, 480, begin.shape) / 4 * rng.choice([0.25, 1, 1], (len(begin), 1))
        boxes = np.concatenate([begin, begin + size], axis=1)
        boxes, guesses = boxes[:objects], boxes[objects:]
        labels, named = (rng.integers(0, classes, n) for n in (objects, detections))
        if objects:
            near, which = rng.random(detections) < 0.75, rng.integers(0, objects, detections)
            moved = boxes[which] + rng.integers(-12, 13, (detections, 4)) / 4
            guesses[near], named[near] = moved[near], labels[which][near]
            guesses[:, 2:] = np.maximum(guesses[:, 2:], guesses[:, :2])
        crowd = rng.random(objects) < 0.15
        area = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) * rng.choice([1, 0.5], objects)
        truths.append({"boxes": boxes, "classes": labels, "crowd": crowd, "area": area})
        scores = rng.integers(0, 20, detections) / 20
        predictions.append({"boxes": guesses, "classes": named, "scores": scores})
    return classes, predictions, truths


def by_pycocotools(classes, predictions, truths):
    """COCO's own twelve numbers; None without detections, which it refuses."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is COCO's own evaluation")
    from pycocotools.cocoeval import COCOeval

    def listed(entry, keys):
        for row in zip(*(entry[key] for key in keys), strict=True):
            (y0, x0, y1, x1), *rest = row
            yield [x0, y0, x1 - x0, y1 - y0], *rest

    annotations, results = [], []
    for image, (prediction, truth) in enumerate(zip(predictions, truths, strict=True)):
        for box, label, crowd, area in listed(truth, ["boxes", "classes", "crowd", "area"]):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image, "category_id": int(label),
                 "bbox": box, "iscrowd": int(crowd), "area": float(area)}
            )  # fmt: skip
        for box, label, score in listed(prediction, ["boxes", "classes", "scores"]):
            results.append(
                {"image_id": image, "category_id": int(label), "bbox": box, "score": float(score)}
            )
    if not results:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        gold = coco.COCO()
        gold.dataset = {
            "info": {},
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": k} for k in range(classes)],
            "annotations": annotations,
        }
        gold.createIndex()
        evaluation = COCOeval(gold, gold.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


@pytest.mark.parametrize(("part", "count", "most"), [(0, 500, 12), (1, 500, 12), (2, 8, 260)])
def test_equals_pycocotools(part, count, most):
    """All twelve numbers of 1,000 random cases, and of eight with more than 100 detections."""
    rng = np.random.default_rng(part)
    compared = 0
    for _ in range(count):
        case = random_case(rng, most)
        expected = by_pycocotools(*case)
        if expected is None:
            continue
        classes, predictions, truths = case
        result = MeanAveragePrecision(classes, "coco").update(predictions, truths).result()
        got = np.nan_to_num([result[name] for name in COCO_NAMES], nan=-1.0)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-9)
        compared += 1
    assert compared > 0.9 * count


@pytest.mark.parametrize("later", [0, 1])
def test_of_equal_overlaps_coco_takes_the_later_object(later):
    """The sure detection lies midway; the other one reaches the left object alone."""
    left, right = [0, 0, 10, 10], [0, 4, 10, 14]
    objects = there(*((0, box) for box in ([left, right] if later else [right, left])))
    objects |= {"crowd": np.zeros(2, bool), "area": np.full(2, 100.0)}
    detections = found((0, 0.9, (0, 2, 10, 12)), (0, 0.8, (0, -2, 10, 8)))
    result = MeanAveragePrecision(1, "coco").update(detections, objects).result()
    assert result["map50"] == pytest.approx(1.0 if later else 51 / 101)
    assert result["map50"] == pytest.approx(by_pycocotools(1, [detections], [objects])[1])


@pytest.mark.parametrize("protocol", BY_HAND)
def test_batches_add_up(protocol):
    classes, predictions, truths = random_case(np.random.default_rng(5), 30)
    whole = MeanAveragePrecision(classes, protocol).update(predictions, truths)
    merged = MeanAveragePrecision(classes, protocol)
    for prediction, truth in zip(predictions, truths, strict=True):
        merged.merge(MeanAveragePrecision(classes, protocol).update(prediction, truth))
    np.testing.assert_equal(merged.result(), whole.result())
    assert np.isnan(merged.reset().result()["map"])
    with pytest.raises(ConfigError, match="same settings"):
        merged.merge(MeanAveragePrecision(classes + 1, protocol))


@pytest.mark.parametrize(
    ("prediction", "truth", "error", "says"),
    [
        (found((0, 0.9, A)) | {"boxes": np.zeros((1, 5))}, there(), ShapeError, r"image 0.*\(1, 5"),
        (found((3, 0.9, A)), there(), ConfigError, r"class 3 is outside 0 \.\.\. 1"),
        (found((0, np.nan, A)), there(), ConfigError, "score 0 is NaN"),
        (found((0, 0.9, (0, 0, np.inf, 1))), there(), ConfigError, "box 0 is not finite"),
        (found((0, 0.9, A)) | {"scores": np.zeros(2)}, there(), ShapeError, "1 boxes need scores"),
        (found(), there((0, A)) | {"classes": np.array([0.5])}, DTypeError, "whole numbers"),
        ({"classes": []}, there(), ConfigError, 'no "boxes" among'),
        (found(), there((0, A), difficult=[True, False]), ShapeError, "need difficult"),
    ],
)
def test_what_a_wrong_call_says(prediction, truth, error, says):
    metric = MeanAveragePrecision(2)
    with pytest.raises(error, match=says):
        metric.update([prediction], [truth])
    assert np.isnan(metric.result()["map"])


def test_as_many_predictions_as_truths():
    with pytest.raises(ShapeError, match="2 images of predictions and 1 of truths"):
        MeanAveragePrecision(1).update([found(), found()], [there()])
    with pytest.raises(ShapeError, match="list of dicts"):
        MeanAveragePrecision(1).update(np.zeros((1, 4)), [there()])
    with pytest.raises(ConfigError, match="voc2007, voc, coco"):
        MeanAveragePrecision(1, "pascal")
    with pytest.raises(ConfigError, match="no classes"):
        MeanAveragePrecision(0)
