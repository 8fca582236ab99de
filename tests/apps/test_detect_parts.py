"""What the app of detection is made of: settings, input, the model function, judging."""

import dataclasses
import json

import numpy as np
import pytest
from voc_files import write_voc

from minicnn import Tensor, nn
from minicnn.apps import detect
from minicnn.apps._detect_reports import describe_outcome, errors_of
from minicnn.apps._detection import Outcome, find_in, judge
from minicnn.apps._settings import load_settings, save_settings
from minicnn.apps.detect import DETECTORS, Settings
from minicnn.data.objects import ObjectSet
from minicnn.detection import IGNORED, NOTHING, Detections, Detector, scaled
from minicnn.errors import CheckpointError, ConfigError, DataError
from minicnn.estimator import Mode

SOME = Settings(data="/a/b.zip", format="voc", labels="all", names=("a", "b"), size=(40, 60))


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = write_voc(tmp_path_factory.mktemp("voc") / "set", odd=False)
    return detect.load_parts(settings_for(folder))


def settings_for(folder, **changes):
    how = {"size": (48, 64), "labels": "all", "batch_size": 3, "channels": 2, "least": 8}
    return Settings(data=str(folder), format="voc", **how | changes)


class Copier(Detector):
    """Finds a box in the middle of every image, and has one weight and one loss."""

    def __init__(self, classes=2):
        super().__init__(classes)
        self.weight = nn.Parameter(np.ones((), np.float32))

    def losses(self, images, truths):
        return {"one": self.weight * images.mean(), "two": self.weight * 2.0}

    def find(self, images, score=0.05, overlap=0.5, limit=100):
        size = np.array(images.shape[1:3] * 2, np.float32)
        box = (np.array([0.25, 0.25, 0.75, 0.75]) * size).astype(np.float32)
        one = Detections(box[None], np.array([0.9], np.float32), np.array([1]))
        return [one] * len(images)


def test_settings_survive(tmp_path):
    save_settings(tmp_path, "detect", SOME)
    assert load_settings(tmp_path, "detect", Settings) == SOME


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": "ab"}, "names cannot be 'ab'"),
        ({"names": ["a", 1]}, "names cannot be"),
        ({"size": [40]}, "size must be a height and a width"),
        ({"size": [40, 60.5]}, "size cannot be"),
        ({"size": [31, 60]}, "size must be a height and a width from 32 to 4,096, got 31 60"),
        ({"detector": "eye"}, "detector must be one of sliding, rcnn"),
        ({"format": "scenes"}, "format scenes goes with data /a/b.zip"),
        ({"data": None}, "format voc goes with data None"),
        ({"labels": "groups"}, "only traffic signs have groups"),
        ({"flips": "some"}, "flips must be one of none"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"steps": 10**9}, "steps must be at most 100,000,000"),
    ],
)
def test_broken_settings_are_named(changes, message, tmp_path):
    content = {"app": "detect"} | dataclasses.asdict(SOME) | changes
    (tmp_path / "settings.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"settings\.json: is broken") as caught:
        load_settings(tmp_path, "detect", Settings)
    assert message in str(caught.value)


def test_a_part_is_what_the_data_call_so(parts, tmp_path):
    assert [len(part) for part in parts[:2]] == [6, 4]
    assert parts.train.images.shape == (6, 48, 64, 3)
    assert not set(parts.train.files) & set(parts.held_out.files)
    plain = write_voc(tmp_path / "set", odd=False)
    for name in ("train", "val"):
        (plain / f"ImageSets/Main/{name}.txt").unlink()
    first, again = (detect.load_parts(settings_for(plain)) for _ in range(2))
    assert [len(part) for part in first[:2]] == [8, 2]
    assert first.train.files == again.train.files
    assert len({*first.train.files, *first.held_out.files}) == 10
    other = detect.load_parts(settings_for(plain, seed=1))
    assert first.held_out.files != other.held_out.files
    with pytest.raises(DataError, match="has no test part; it has all"):
        detect.load_test(settings_for(plain), "test")


def test_streets_of_all_parts_differ():
    settings = Settings(size=(48, 64), scenes=6, labels="all")
    drawn = detect.load_parts(settings)
    assert (len(drawn.train), len(drawn.held_out)) == (6, 2)
    more = detect.load_parts(dataclasses.replace(settings, scenes=8))
    np.testing.assert_array_equal(more.train.images[6:], drawn.held_out.images)
    with pytest.raises(ConfigError, match="there is no end"):
        detect.load_test(settings, "all")


def batches_of(settings, train, workers=0, count=4, proposals=None):
    iterator = iter(detect.training_input(settings, train, proposals, workers))
    found = [next(iterator) for _ in range(count)]
    iterator.close()
    return found


def test_batches_are_of_the_images_and_their_objects(parts):
    settings = settings_for("x", augment=False, batch_size=6, least=12)
    images, truths = batches_of(settings, parts.train, count=1)[0]
    assert images.dtype == np.float32
    assert images.shape == (6, 3, 48, 64)
    rows = [int(np.abs(scaled(parts.train.images) - image).sum((1, 2, 3)).argmin())
            for image in images]  # fmt: skip
    assert sorted(rows) == list(range(6))
    for place, row in enumerate(rows):
        note = parts.train.annotations[row]
        small = (note.boxes[:, 2:] - note.boxes[:, :2]).min(axis=1) < 12
        wanted = np.column_stack([note.boxes, np.where(small, IGNORED, note.classes)])
        there = truths["classes"][place] != NOTHING
        given = np.column_stack([truths["boxes"][place], truths["classes"][place]])[there]
        np.testing.assert_allclose(sorted(given.tolist()), sorted(wanted.tolist()), atol=1e-4)
    assert any((truths["classes"] == IGNORED).ravel())


def test_crowds_are_neither_learned_from_nor_background():
    boxes, crowd = [[5, 5, 40, 40], [1, 1, 30, 30]], [True, False]
    images = np.zeros((1, 48, 64, 3), np.uint8)
    objects = ObjectSet.of(images, [boxes], [[1, 1]], ["a", "b"], crowd=[crowd])
    _, truths = batches_of(settings_for("x", augment=False, batch_size=1), objects, count=1)[0]
    assert truths["classes"].tolist() == [[1, IGNORED]]  # what is ignored comes last
    settings = settings_for("x", detector="yolo", names=objects.names)
    own = detect.build_detector(settings, objects).state_dict()
    alone = detect.build_detector(settings, ObjectSet.of(images, [boxes[1:]], [[1]], ["a", "b"]))
    for name, value in alone.state_dict().items():
        np.testing.assert_array_equal(own[name], value, name)  # anchors among them


@pytest.mark.parametrize("flips", ["none", "left-right", "all"])
def test_batches_are_the_same_at_any_number_of_threads(parts, flips):
    settings = settings_for("x", flips=flips)
    first = batches_of(settings, parts.train)
    for workers in (1, 3):
        for a, b in zip(first, batches_of(settings, parts.train, workers), strict=True):
            np.testing.assert_array_equal(a[0], b[0])
            np.testing.assert_array_equal(a[1]["boxes"], b[1]["boxes"])
    other = batches_of(dataclasses.replace(settings, seed=1), parts.train)
    assert not np.array_equal(first[0][0], other[0][0])


def test_only_what_is_asked_for_is_mirrored(parts):
    """A picture of which one quarter is white shows it elsewhere only where it was mirrored."""
    image = np.zeros((1, 48, 64, 3), np.uint8)
    image[:, :24, :32] = 255
    one = parts.train.select([0])
    quarter = dataclasses.replace(one, pictures=type(one.pictures)(image), rows=np.array([0]))
    for flips, corners in (("none", 1), ("left-right", 2), ("all", 4)):
        seen = np.zeros(4)
        for images, _ in batches_of(settings_for("x", flips=flips), quarter, count=30):
            means = [images[:, :, y : y + 24, x : x + 32].mean((1, 2, 3))
                     for y in (0, 24) for x in (0, 32)]  # fmt: skip
            seen += np.bincount(np.argmax(means, axis=0), minlength=4)
        assert (seen > 0.12 * seen.sum()).sum() == corners, (flips, seen)  # some are cropped away


def test_proposals_move_with_their_pictures(parts):
    settings = settings_for("x", flips="all")
    proposals = [note.boxes for note in parts.train.annotations]  # the objects themselves
    for _, truths in batches_of(settings, parts.train, proposals=proposals):
        for boxes, classes, own in zip(
            truths["boxes"], truths["classes"], truths["proposals"], strict=True
        ):
            for box in boxes[classes >= 0]:
                assert np.abs(own - box).max(axis=1).min() < 4, "turned: not quite the same box"


def test_only_those_that_learn_from_proposals_get_them(parts):
    few = parts.train.select([0])
    given = {
        name: detect.propose_all(settings_for("x", detector=name), few) is not None
        for name in DETECTORS
    }
    assert [name for name, there in given.items() if there] == ["rcnn", "fast"]


def test_one_model_function_trains_judges_and_predicts():
    net = Copier()
    model_fn = detect.detector_fn(net, optimizer=lambda params: None)
    images = np.full((2, 10, 20, 3), 255, np.uint8)
    spec = model_fn(Tensor(scaled(images)), {}, Mode.TRAIN, {})
    assert spec.loss.item() == pytest.approx(127.5 / 64 + 2)
    assert {name: part.item() for name, part in spec.metrics.items()} == pytest.approx(
        {"loss/one": 127.5 / 64, "loss/two": 2.0}
    )
    found = model_fn(Tensor(images), None, Mode.PREDICT, {}).predictions
    assert found["boxes"].shape == (2, detect.MOST_FOUND, 4)
    np.testing.assert_array_equal(found["boxes"][1, 0], [2.5, 5, 7.5, 15])
    assert found["classes"][:, :2].tolist() == [[1, NOTHING]] * 2
    assert found["scores"][0, :2].tolist() == pytest.approx([0.9, 0.0])


def test_a_picture_of_another_size_gets_its_own_boxes():
    # 100 x 100 is fitted into 50 x 80 as 50 x 50: the middle box, columns 20 to 60, is cut off
    found = find_in(Copier(), np.zeros((100, 100, 3), np.uint8), (50, 80), 0.1)
    np.testing.assert_allclose(found.boxes, [[25, 40, 75, 100]])
    none = find_in(Copier(), np.zeros((400, 20, 3), np.uint8), (40, 80), 0.1)
    assert len(none.boxes) == len(none.scores) == len(none.classes) == 0, "found in the margin"


@pytest.mark.filterwarnings("ignore:.*moving averages were never updated")
@pytest.mark.parametrize("name", ["sliding", "rcnn"])
def test_a_picture_is_shown_what_is_judged(name, parts):
    """These two suppress what overlaps by 0.3, not by 0.5 as the others do."""
    settings = settings_for("x", detector=name, names=parts.train.names)
    net = detect.build_detector(settings)
    image = parts.train.images[0]
    shown, judged = find_in(net, image, settings.size, 0.05), net.find(image[None], 0.05)[0]
    assert len(judged.boxes) > 0
    np.testing.assert_array_equal(shown.boxes, judged.boxes)


def test_steps_are_measured_on_the_device_that_trains(parts, monkeypatch):
    given = {}

    class AskedError(Exception):
        pass

    def make(*_, **how):
        given.update(how)
        raise AskedError

    monkeypatch.setattr(detect, "make_estimator", make)
    with pytest.raises(AskedError):
        detect.steps_in(1, settings_for("x"), parts.train, device="cuda", precision="tf32")
    assert given == {"device": "cuda", "precision": "tf32"}


def test_a_detector_is_judged_under_all_protocols(parts, capsys):
    objects = parts.held_out
    outcome = judge(Copier(), objects, least=8)
    assert len(outcome.detections) == len(objects)
    right = [Detections(t["boxes"], np.ones(len(t["boxes"]), np.float32), t["classes"])
             for t in outcome.truths]  # fmt: skip
    perfect = Outcome(objects, tuple(right), 8)
    assert perfect.precision == {"voc": 1.0, "voc2007": 1.0, "coco": 1.0}
    assert perfect.counted == 8
    describe_outcome(perfect, "validation")
    out = capsys.readouterr().out
    assert "mAP@0.5 100.00 % (VOC, all points)" in out
    assert "8 are found" in out
    assert errors_of(perfect)["right"] == 8
    without = Outcome(objects, (Detections.none(),) * len(objects), 8)
    assert without.precision["voc"] == 0
    assert errors_of(without)["missed"] == 8
    few = Outcome(objects, tuple(right), least=1000)
    assert few.counted == 0
    assert np.isnan(few.precision["voc"])
    describe_outcome(few, "validation")
    assert "(difficult, or under 1000 px) do not count" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*moving averages were never updated")
@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_is_built_from_its_settings_alone(name, parts):
    """Anchors measured on the objects come with the weights."""
    settings = settings_for("x", detector=name, names=parts.train.names)
    net = detect.build_detector(settings, parts.train)
    again = detect.build_detector(settings)
    again.load_state_dict(net.state_dict())
    image = parts.train.images[:1]
    for a, b in zip(net.find(image)[0], again.find(image)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_sets_without_images_are_refused(parts):
    from minicnn.apps._images import check_enough

    with pytest.raises(ConfigError, match="6 images to learn from and 0 held out are too few"):
        check_enough(parts._replace(held_out=parts.held_out.select([])))
    assert isinstance(parts.train, ObjectSet)
