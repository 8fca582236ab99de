"""What is wrong with each detection, and what became of one of them."""

import numpy as np
import pytest

from minicnn import Tensor
from minicnn.errors import ConfigError
from minicnn.metrics import DetectionErrors, explain_detection

TRUTH = {
    "boxes": [[0, 0, 10, 10], [0, 50, 10, 60], [50, 0, 60, 10], [80, 80, 90, 90]],
    "classes": [0, 1, 0, 0],
    "difficult": [False, False, False, True],
}
CASES = {
    "right": (0, [0, 0, 10, 9]),
    "duplicate": (0, [0, 1, 10, 10]),
    "localisation": (0, [50, 0, 60, 4]),
    "class": (0, [0, 50, 10, 59]),
    "both": (0, [0, 50, 10, 53]),
    "background": (1, [30, 30, 40, 40]),
    "ignored": (0, [80, 80, 90, 89]),
}
SCORES = np.linspace(0.9, 0.3, len(CASES))
PREDICTION = {
    "boxes": [box for _, box in CASES.values()],
    "classes": [label for label, _ in CASES.values()],
    "scores": SCORES,
}


def test_one_of_each_kind():
    errors = DetectionErrors(2).update([PREDICTION], [TRUTH])
    assert errors.result() == dict.fromkeys(CASES, 1) | {"missed": 2}
    twice = DetectionErrors(2).update([PREDICTION], [TRUTH]).merge(errors)
    assert twice.result() == dict.fromkeys(CASES, 2) | {"missed": 4}
    assert set(twice.reset().result().values()) == {0}


def test_unsure_detections_do_not_count():
    errors = DetectionErrors(2, score_threshold=0.85).update(PREDICTION, TRUTH).result()
    assert errors["right"] == 1
    assert errors["duplicate"] == 0
    assert errors["missed"] == 2


def test_an_image_without_objects():
    nothing = {"boxes": np.zeros((0, 4)), "classes": np.zeros(0, int)}
    errors = DetectionErrors(2).update([PREDICTION], [nothing]).result()
    assert errors["background"] == len(CASES)
    assert errors["missed"] == 0


@pytest.mark.parametrize(("place", "kind"), list(enumerate(CASES)))
def test_the_fate_of_each(place, kind):
    old, _, coco = explain_detection(PREDICTION, TRUTH, place)
    assert "2007" in old.protocol
    assert "COCO" in coco.protocol
    assert bool(old.right_at) == (kind == "right")
    assert bool(old.wrong_at) == (kind not in ("right", "ignored"))
    words = {"ignored": "does not count", "both": "another class, and only", "right": "none surer"}
    words |= {"background": "no object", "class": "another class by 0.90", "duplicate": "surer"}
    assert words.get(kind, "only by 0.40") in old.why
    if kind == "right":
        assert coco.right_at == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
        assert coco.wrong_at == (0.95,)
        assert coco.object == 0


def test_the_protocols_disagree():
    """Its best object is taken: wrong in VOC; COCO gives it the second one."""
    truth = {"boxes": [[0, 0, 10, 10], [0, 3, 10, 13]], "classes": [0, 0]}
    prediction = {
        "boxes": [[0, 1, 10, 11], [0, 0, 10, 10]],
        "classes": [0, 0],
        "scores": [0.8, 0.9],
    }
    old, _, coco = explain_detection(prediction, truth, 0)
    assert old.wrong_at == (0.5,)
    assert coco.right_at == (0.5, 0.55, 0.6, 0.65)
    assert coco.object == 1
    assert "a surer detection has found" in old.why
    assert coco.why == "it overlaps an object of its class by 0.67, and none surer finds that"


def test_coco_ignores_what_is_inside_a_crowd():
    truth = {"boxes": [[0, 0, 100, 100]], "classes": [0], "crowd": [True]}
    prediction = {"boxes": [[0, 0, 20, 20]], "classes": [0], "scores": Tensor(np.float32([0.9]))}
    old, _, coco = explain_detection(prediction, truth, 0)
    assert old.wrong_at == (0.5,)
    assert "no object by more than 0.04" in old.why
    assert coco.right_at == coco.wrong_at == ()
    assert "does not count" in coco.why


def test_wrong_calls():
    with pytest.raises(ConfigError, match="no detection 7 among 7"):
        explain_detection(PREDICTION, TRUTH, 7)
    with pytest.raises(ConfigError, match="above 0, got 0"):
        DetectionErrors(2, threshold=0)


def test_a_difficult_object_excuses_no_other_class():
    """VOC matches within a class: the detection is a wrong one."""
    prediction = {"boxes": [TRUTH["boxes"][3]], "classes": [1], "scores": [0.9]}
    errors = DetectionErrors(2).update(prediction, TRUTH).result()
    assert (errors["class"], errors["ignored"]) == (1, 0)
    assert explain_detection(prediction, TRUTH, 0)[0].wrong_at == (0.5,)


def test_coco_looks_at_a_hundred_of_a_class():
    boxes = [[0, 20, 10, 30]] * 100 + [[0, 0, 10, 10]]
    prediction = {"boxes": boxes, "classes": [0] * 101, "scores": np.linspace(1, 0.1, 101)}
    old, _, coco = explain_detection(prediction, TRUTH, 100)
    assert old.right_at == (0.5,)
    assert (coco.right_at, coco.wrong_at, coco.object) == ((), (), None)
    assert "100 are surer" in coco.why
