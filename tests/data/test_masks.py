"""Sets of images with masks: what they hold, fitted to a size, kept on disk."""

import doctest
import logging
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_files import camvid, folders, mask_file, some
from object_files import packed, picture, write

from minicnn.data.masks import (
    MaskSet,
    fit_mask,
    fit_masks,
    fitting,
    load_masks,
    load_street_scenes,
    mask_set,
    scenes,
)
from minicnn.data.objects import fit, train_and_val
from minicnn.data.scenes import SCENE_CLASSES, make_scenes
from minicnn.errors import ConfigError, DataError, ShapeError


@pytest.mark.parametrize("module", [fitting, mask_set, scenes])
def test_examples(module):
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


# ---- the set


def test_what_a_set_holds():
    images = some()
    assert len(images) == 4
    assert images.names == ("road", "car", "sky")
    assert images.files == ("00000", "00001", "00002", "00003")
    assert images.sizes.tolist() == [[32, 48]] * 4
    assert images.masks.dtype == np.uint8
    for number, example in enumerate(images):
        np.testing.assert_array_equal(example.image, images.images[number])
        np.testing.assert_array_equal(example.mask, images.masks[number])
    for array in images[0]:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_pixels_are_counted_but_those_to_be_ignored():
    images = some()
    expected = [(images.masks == label).sum() for label in range(3)]
    assert images.counts().tolist() == expected
    assert some(ignore_label=1).counts().tolist() == [expected[0], 0, expected[2]]


@pytest.mark.parametrize(("labels", "ignored", "dtype"), [
    ([0, 255], 255, np.uint8), ([0, 299], None, np.int64), ([0, -1], -1, np.int64),
    ([0, 299], 999, np.int64), ([0, 1], None, np.uint8),
])  # fmt: skip
def test_masks_are_bytes_where_labels_fit(labels, ignored, dtype, tmp_path):
    masks = np.broadcast_to(np.array(labels), (2, 16, 2))
    names = list(map(str, range(300 if 299 in labels else 2)))
    images = MaskSet.of(np.zeros((2, 16, 2, 3), np.uint8), masks, names, ignored)
    assert images.masks.dtype == dtype
    np.testing.assert_array_equal(images.masks, masks)
    for _ in range(2):
        kept = fit_masks(images, (16, 2), cache=tmp_path)
        assert kept.masks.dtype == dtype
        np.testing.assert_array_equal(kept.masks, masks)


def test_selected_images_are_the_same_images():
    images = some()
    for rows in ([2, 0], [True, False, True, False], np.array([], int)):
        chosen = images.select(rows)
        index = np.flatnonzero(rows) if len(rows) and isinstance(rows[0], bool) else rows
        assert chosen.files == tuple(images.files[i] for i in index)
        for example, i in zip(chosen, index, strict=True):
            np.testing.assert_array_equal(example.image, images[i].image)
            np.testing.assert_array_equal(example.mask, images[i].mask)
    assert images.select([2, 0]).select([1]).files == ("00000",)
    np.testing.assert_array_equal(images.select([3, 1]).masks, images.masks[[3, 1]])
    with pytest.raises(ShapeError, match="arrays has no images to stack"):
        _ = images.select([]).masks
    train, val = train_and_val({"all": images}, 0.25)
    assert (len(train), len(val)) == (3, 1)


def test_digest_changes_with_everything():
    base = some()
    images, masks = base.images.copy(), base.masks.copy()
    images[1, 2, 3, 1] ^= 1
    masks[3, 31, 47] += 1
    sets = [
        base,
        MaskSet.of(images, base.masks, base.names),
        MaskSet.of(base.images, masks, base.names),
        MaskSet.of(base.images, base.masks, ("a", "b", "c")),
        MaskSet.of(base.images, base.masks, base.names, 255),
        base.select([0, 1]),
        base.select([1, 0]),
    ]
    assert len({images.digest() for images in sets}) == len(sets)
    assert len({images.fingerprint() for images in sets}) == len(sets)
    assert some().digest() == base.digest()


def test_wrong_sets():
    images, masks = np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), int)
    with pytest.raises(ShapeError, match=r"images \(1, 32, 32, 3\) with masks int64 \(1, 32, 31\)"):
        MaskSet.of(images, masks[..., 1:], ["a"])
    with pytest.raises(ShapeError, match="with masks float64"):
        MaskSet.of(images, masks / 2, ["a"])
    with pytest.raises(ConfigError, match="no class has a name"):
        MaskSet.of(images[:0], masks[:0], [])
    masks[0, 0, :2] = 7, 5
    with pytest.raises(ConfigError, match=r"mask 0 has the label 7 in 1 pixels, but .* 5 for what"):
        MaskSet.of(images, masks, ["a"], 5)
    with pytest.raises(ShapeError, match="needs uint8"):
        MaskSet.of(images / 255, masks * 0, ["a"])


# ---- fitted


@given(
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.integers(1, 24), st.integers(1, 24)),
)
def test_a_mask_is_fitted_as_its_picture(before, after):
    generator = np.random.default_rng(before)
    mask = generator.integers(0, 9, before).astype(np.uint8)
    image = np.full((*before, 3), 7, np.uint8)
    fitted, labels = fit_mask(image, mask, after)
    expected, box, _ = fit(image, [[0, 0, *before]], after)
    np.testing.assert_array_equal(fitted, expected)
    height, width = box[0, 2:].round().astype(int).tolist()
    for i in range(height):
        for j in range(width):  # where the middle of a pixel came from
            at = (i + Fraction(1, 2)) * before[0] / height, (j + Fraction(1, 2)) * before[1] / width
            assert labels[i, j] == mask[int(at[0]), int(at[1])]
    assert (labels[height:] == 255).all()
    assert (labels[:, width:] == 255).all()


def test_a_picture_of_the_size_is_itself_with_its_mask():
    example = some()[0]
    assert all(a is b for a, b in zip(fit_mask(*example, (32, 48)), example, strict=True))


def test_a_set_of_several_sizes_is_fitted(tmp_path):
    parts = load_masks(packed(tmp_path / "a.zip", {
        f"{kind}/{name}.png": make
        for name, size in (("1", (40, 60)), ("2", (30, 80)))
        for kind, make in (
            ("images", picture(*size)), ("masks", mask_file(np.full(size, 2, np.uint8)))
        )
    }))  # fmt: skip
    images = parts["all"]
    with pytest.raises(ShapeError, match="of several sizes; bring them to one with fit_masks"):
        _ = images.masks
    fitted = fit_masks(images, (40, 40), cache=None)
    assert fitted.images.shape == (2, 40, 40, 3)
    assert [np.unique(m, return_counts=True)[1].tolist() for m in fitted.masks] == [
        [27 * 40, 13 * 40],
        [15 * 40, 25 * 40],
    ]
    assert fit_masks(images, (40, 40), None, workers=1).digest() == fitted.digest()


def test_a_margin_is_ignored_even_if_nothing_was():
    fitted = fit_masks(some(), (40, 48), cache=None)
    assert fitted.ignore_label == 255
    assert (fitted.masks[:, 32:] == 255).all()
    assert fitted.counts().tolist() == some().counts().tolist()


def test_fitted_sets_are_kept(tmp_path, monkeypatch, caplog):
    path, cache = packed(tmp_path / "a.zip", camvid()), tmp_path / "c"
    images = load_masks(path)["train"]
    first = fit_masks(images, (20, 30), cache)
    monkeypatch.setattr(MaskSet, "__getitem__", None)  # nothing is read again
    second = fit_masks(load_masks(path)["train"], (20, 30), cache)
    assert second.digest() == first.digest()
    assert (second.files, second.source) == (first.files, first.source)
    monkeypatch.undo()
    fit_masks(images, (30, 20), cache)
    fit_masks(images.select([0]), (20, 30), cache)
    fit_masks(load_masks(path, names=list("abcdefghijkl"))["train"], (20, 30), cache)
    assert len(list(cache.iterdir())) == 4
    for file in cache.iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert fit_masks(images, (20, 30), cache).digest() == first.digest()
    assert "is broken" in caplog.text


@pytest.mark.parametrize(("data", "fault"), [
    (mask_file(np.full((40, 60), 3, np.uint8)), r"1\.png: has the label 3 in 2,400 pixels, but "
     r"there are the classes 0 to 2, and 255 for what is to be ignored"),
    (picture(), r"1\.png: is a picture of colours \(RGB\); the number of a pixel's class is to be"),
    (folders()["masks/train/1.png"][:-40], r"1\.png: is a broken PNG"),
])  # fmt: skip
def test_a_mask_that_makes_no_sense_is_named_or_skipped(tmp_path, data, fault):
    path = write(tmp_path / "set", folders() | {"masks/train/1.png": data})
    path = write(path, {"images/train/9.png": picture(), "masks/train/9.png": mask_file(
        np.zeros((40, 60), np.uint8))})  # fmt: skip
    images = load_masks(path)["train"]
    with pytest.raises(DataError, match=fault):
        fit_masks(images, (32, 32), cache=None)
    with pytest.raises(DataError, match=fault):
        images.counts()
    for cache in (None, tmp_path / "c", tmp_path / "c"):
        fitted = fit_masks(images, (32, 32), cache, skip_bad=True)
        assert fitted.files == ("images/train/9.png",)
        ((place, _),) = fitted.faults
        assert place == "images/train/1.jpg"
    with pytest.raises(DataError, match="no usable image"):
        fit_masks(images.select([0]), (32, 32), None, skip_bad=True)


def test_wrong_fits():
    with pytest.raises(ConfigError, match=r"fit_masks: size \(0, 32\); give a height and width"):
        fit_masks(some(), (0, 32))
    with pytest.raises(ConfigError, match="fit_masks: 0 workers cannot decode"):
        fit_masks(some(), (32, 32), workers=0)
    image, mask = some()[0]
    with pytest.raises(ShapeError, match=r"a mask of uint8 \(31, 48\) for a picture \(32, 48, 3\)"):
        fit_mask(image, mask[1:], (32, 48))


# ---- drawn streets


def test_streets_are_those_that_are_drawn(tmp_path):
    streets = load_street_scenes(3, (32, 40), cache=tmp_path)
    drawn = make_scenes(3, (32, 40))
    assert streets.names == SCENE_CLASSES
    assert streets.ignore_label is None
    np.testing.assert_array_equal(streets.images, drawn.images)
    np.testing.assert_array_equal(streets.masks, drawn.masks)
    again = load_street_scenes(3, (32, 40), cache=tmp_path)
    assert again.digest() == streets.digest()
    assert again.source == "procedural scenes (seed 0)"
    options = [{}, {"seed": 1}, {"part": "test"}, {"signs": (2, 2)}, {"count": 2}]
    made = [load_street_scenes(**{"count": 3, "size": (32, 40), "cache": tmp_path} | o)
            for o in options]  # fmt: skip
    assert len({images.digest() for images in made}) == len(list(tmp_path.iterdir())) == 5
    assert made[4].digest() == made[0].select([0, 1]).digest()
