"""Sets of images with boxes: what they hold, fitted to a size, padded, kept on disk."""

import doctest

import numpy as np
import pytest
from object_files import some

from minicnn.data import classes, image_files
from minicnn.data.classes import (
    CLASS_NAMES,
    GROUP_NAMES,
    NUM_CLASSES,
    SIGN_GROUPS,
    group_of,
)
from minicnn.data.objects import (
    ObjectSet,
    fitting,
    in_groups,
    load_scenes,
    object_set,
    padded_truths,
    scenes,
    split_images,
    train_and_val,
    truths,
)
from minicnn.data.scenes import make_scenes
from minicnn.detection import IGNORED, NOTHING
from minicnn.errors import ConfigError, ShapeError


@pytest.mark.parametrize("module", [classes, fitting, image_files, object_set, scenes, truths])
def test_examples(module):
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


# ---- the set


def test_what_a_set_holds():
    objects = some()
    assert len(objects) == 4
    assert objects.names == ("cat", "dog")
    assert objects.files == ("00000", "00001", "00002", "00003")
    assert objects.images.shape == (4, 32, 48, 3)
    assert objects.sizes.tolist() == [[32, 48]] * 4
    assert objects.counts().tolist() == [2, 1]
    for number, example in enumerate(objects):
        np.testing.assert_array_equal(example.image, objects.images[number])
        assert example.boxes.shape == (number, 4)
        assert example.boxes.dtype == np.float32
        assert example.classes.dtype == np.int64
        assert example.difficult.dtype == example.crowd.dtype == bool
    with pytest.raises(ValueError, match="read-only"):
        objects[0].image[0] = 0


def test_images_given_stay_writable():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    ObjectSet.of(images, [[]], [[]], ["a"])
    images[0] = 1


def test_selected_images_are_the_same_images():
    objects = some()
    for rows in ([2, 0], [True, False, True, False], np.array([], int)):
        chosen = objects.select(rows)
        index = np.flatnonzero(rows) if len(rows) and isinstance(rows[0], bool) else rows
        assert chosen.files == tuple(objects.files[i] for i in index)
        for example, i in zip(chosen, index, strict=True):
            np.testing.assert_array_equal(example.image, objects[i].image)
            np.testing.assert_array_equal(example.boxes, objects[i].boxes)
    assert objects.select([2, 0]).select([1]).files == ("00000",)
    np.testing.assert_array_equal(objects.select([3, 1]).images, objects.images[[3, 1]])
    with pytest.raises(ShapeError, match="arrays has no images to stack"):
        _ = objects.select([]).images


def test_other_classes():
    objects = some().regrouped([-1, 0], ["beast"])
    assert objects.names == ("beast",)
    assert [note.classes.tolist() for note in objects.annotations] == [[], [], [0], [0]]
    assert objects.annotations[2].boxes.tolist() == [[2, 3, 14, 20]]
    assert objects.annotations[2].difficult.tolist() == [True]
    for to, names in (([0], ["a"]), ([0, 1], ["a"]), ([0, -2], ["a"])):
        with pytest.raises(ConfigError, match="give each class a new one, from 0 on, or -1"):
            some().regrouped(to, names)


def test_digest_changes_with_everything():
    images = some().images.copy()
    images[1, 2, 3, 1] ^= 1
    base = some()
    notes = [(n.boxes, n.classes, n.difficult, n.crowd) for n in base.annotations]

    def made(images=images, change=None, names=("cat", "dog")):
        columns = [[np.array(c) for c in note] for note in notes]
        if change is not None:
            columns[3][change][0] = 1
        boxes, classes, difficult, crowd = zip(*columns, strict=True)
        return ObjectSet.of(images, boxes, classes, names, difficult, crowd)

    sets = [base, made(), *(made(base.images, i) for i in (0, 2, 3))]
    sets += [made(base.images, names=("cat", "cow")), base.select([0, 1]), base.select([1, 0])]
    sets += [base.regrouped([1, 0], ["cat", "dog"])]
    assert len({objects.digest() for objects in sets}) == len(sets)
    assert made(base.images).digest() == base.digest()


def test_wrong_sets():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"1 images, but .* lists of \[2, 1, 1, 1\]"):
        ObjectSet.of(images, [[], []], [[]], ["a"])
    with pytest.raises(ShapeError, match=r"image 0 has columns \[\(1, 4\), \(2,\)"):
        ObjectSet.of(images, [[[0, 0, 9, 9]]], [[0, 0]], ["a"])
    with pytest.raises(ConfigError, match=r"00000 has classes \[1\], but only 1 have names"):
        ObjectSet.of(images, [[[0, 0, 9, 9]]], [[1]], ["a"])
    with pytest.raises(ShapeError, match=r"needs uint8 \(N, H, W, 3\), got float64"):
        ObjectSet.of(images / 255, [[]], [[]], ["a"])


# ---- as detectors and metrics take it


def test_truths_as_detectors_take_them():
    table = some().truths()
    assert table["boxes"].shape == (4, 3, 4)
    assert table["boxes"].dtype == np.float32
    no, ig = NOTHING, IGNORED
    # the first box of each image is 6 high, below 8; the last one is difficult
    assert table["classes"].tolist() == [[no, no, no], [ig, no, no], [ig, ig, no], [ig, 1, ig]]
    assert some().truths([3], least=6.0)["classes"].tolist() == [[0, 1, ig]]
    assert some().truths([0])["boxes"].shape == (1, 1, 4)
    assert padded_truths([])["classes"].shape == (0, 1)


def test_crowds_are_ignored_in_training_and_told_to_the_metric():
    images = np.zeros((1, 32, 32, 3), np.uint8)
    objects = ObjectSet.of(images, [[[0, 0, 20, 20]] * 2], [[0, 0]], ["a"], crowd=[[True, False]])
    assert objects.truths()["classes"].tolist() == [[IGNORED, 0]]
    expected = objects.expected(0)
    assert expected["crowd"].tolist() == [True, False]
    assert expected["difficult"].tolist() == [False, False]
    assert some().expected(2)["difficult"].tolist() == [True, True]
    assert some().expected(0)["boxes"].shape == (0, 4)


def test_truths_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"image 1 has boxes \(1, 4\), classes \(2,\) and marks"):
        padded_truths([([], [], []), ([[0, 0, 9, 9]], [0, 1], [False])])


# ---- parts


def test_what_is_held_out():
    objects = some(20)
    train, held = split_images(objects, 0.25)
    assert len(held) == 5
    assert sorted([*train, *held]) == list(range(20))
    np.testing.assert_array_equal(split_images(objects, 0.25)[1], held)
    assert split_images(objects, 0.25, seed=1)[1].tolist() != held.tolist()
    assert [len(rows) for rows in split_images(some(2), 0.01)] == [1, 1]
    for arguments in ((some(1), 0.2), (some(3), 1.0)):
        with pytest.raises(ConfigError, match="split_images: "):
            split_images(*arguments)


def test_parts_to_train_and_to_validate_with():
    a, b, c = some(10), some(5), some(3)
    assert train_and_val({"train": a, "val": b, "test": c}) == (a, b)
    for part in ("train", "trainval", "all"):
        train, val = train_and_val({part: a, "test": c}, 0.3)
        assert (len(train), len(val)) == (7, 3)
    with pytest.raises(ConfigError, match="there are only the parts test"):
        train_and_val({"test": c})


# ---- drawn scenes


def test_scenes_are_those_that_are_drawn(tmp_path):
    scenes = load_scenes(4, (32, 40), groups=False, cache=tmp_path)
    drawn = make_scenes(4, (32, 40))
    assert scenes.names == CLASS_NAMES
    np.testing.assert_array_equal(scenes.images, drawn.images)
    for example, scene in zip(scenes, drawn.scenes, strict=True):
        np.testing.assert_array_equal(example.boxes, scene.boxes)
        np.testing.assert_array_equal(example.classes, scene.labels)
        np.testing.assert_array_equal(example.difficult, scene.difficult)
    again = load_scenes(4, (32, 40), groups=False, cache=tmp_path)
    assert again.digest() == scenes.digest()
    assert again.source == "procedural scenes (seed 0)"
    assert [path.name[:21] for path in tmp_path.iterdir()] == ["scenes-train-4-32x40-"]


def test_scenes_in_groups(tmp_path):
    scenes = load_scenes(4, (32, 40), cache=tmp_path)
    every = load_scenes(4, (32, 40), groups=False, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    assert scenes.names == GROUP_NAMES == ("prohibitory", "danger", "mandatory", "other")
    for note, other in zip(scenes.annotations, every.annotations, strict=True):
        assert note.classes.tolist() == [group_of(label) for label in other.classes.tolist()]
    with pytest.raises(ConfigError, match="regrouped: 4 classes"):
        in_groups(scenes)


def test_other_scenes(tmp_path):
    options = [{}, {"seed": 1}, {"part": "test"}, {"signs": (2, 2)}, {"count": 3}]
    made = [load_scenes(**{"count": 2, "size": (32, 40), "cache": tmp_path} | o) for o in options]
    assert len({scenes.digest() for scenes in made}) == len(list(tmp_path.iterdir())) == 5
    assert made[4].select([0, 1]).digest() == made[0].digest()


def test_groups_part_the_classes():
    assert sorted(sum(SIGN_GROUPS.values(), ())) == list(range(NUM_CLASSES))
    members = {name: [c for c in range(NUM_CLASSES) if GROUP_NAMES[group_of(c)] == name]
               for name in GROUP_NAMES}  # fmt: skip
    assert members == {name: list(labels) for name, labels in SIGN_GROUPS.items()}
    # one of each, by the name of its class
    for name, group in (
        ("No entry", "other"), ("No passing", "prohibitory"), ("Bumpy road", "danger"),
        ("Keep right", "mandatory"), ("Stop", "other"), ("No vehicles", "prohibitory"),
    ):  # fmt: skip
        assert GROUP_NAMES[group_of(CLASS_NAMES.index(name))] == group
    with pytest.raises(ConfigError, match="class 43; give one of 0 to 42"):
        group_of(43)
