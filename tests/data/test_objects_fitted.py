"""Pictures and whole sets brought to one size, their boxes with them, and kept on disk."""

import gc
import logging
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from object_files import several, some, voc, write

from minicnn.data.objects import ObjectSet, fit, fit_all, load_objects, unfit
from minicnn.errors import ConfigError, DataError, ShapeError


@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
)
def test_boxes_go_with_the_picture_and_come_back(before, after):
    image = np.full((*before, 3), 7, np.uint8)
    boxes = np.array([[0, 0, *before], [0.25 * before[0], 0, before[0], 0.5 * before[1]]])
    fitted, moved, scale = fit(image, boxes, after)
    assert fitted.shape == (*after, 3)
    bottom, right = moved[0, 2:].tolist()
    assert bottom == int(bottom) <= after[0]
    assert right == int(right) <= after[1]
    assert bottom == after[0] or right == after[1]
    assert (fitted[: int(bottom), : int(right)] == 7).all()
    assert (fitted[int(bottom) :] == 128).all()
    assert (fitted[:, int(right) :] == 128).all()
    np.testing.assert_allclose(unfit(moved, scale, before), boxes, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("size", [(50, 50), (200, 180), (61, 97)])
def test_a_painted_box_lies_where_its_box_went(size):
    image = np.zeros((80, 120, 3), np.uint8)
    image[10:60, 30:105] = 255
    fitted, boxes, _ = fit(image, [[10, 30, 60, 105]], size)
    rows, columns = np.nonzero(fitted[: round(80 * boxes[0, 2] / 60), :, 0] > 127)
    columns, rows = columns[fitted[rows, columns, 0] != 128], rows[fitted[rows, columns, 0] != 128]
    found = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(found, boxes[0], atol=0.51)


def test_a_picture_of_the_size_is_itself():
    image = np.zeros((32, 48, 3), np.uint8)
    fitted, boxes, scale = fit(image, [], (32, 48))
    assert fitted is image
    assert boxes.shape == (0, 4)
    assert scale == (1, 1)


def test_what_is_found_in_the_margin_has_no_area():
    _, _, scale = fit(np.zeros((10, 40, 3), np.uint8), [], (40, 40))
    assert unfit([[20, 0, 30, 9], [5, 5, 99, 99]], scale, (10, 40)).tolist() == [
        [10, 0, 10, 9],
        [5, 5, 10, 40],
    ]


def test_wrong_fits():
    image = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"needs a uint8 picture \(H, W, 3\), got float64"):
        fit(image / 2, [], (8, 8))
    with pytest.raises(ShapeError, match=r"boxes have shape \(4,\); give \(T, 4\)"):
        fit(image, [0, 0, 8, 8], (8, 8))
    with pytest.raises(ShapeError, match=r"unfit: boxes have shape \(1, 3\)"):
        unfit([[0, 0, 8]], (1, 1), (8, 8))
    with pytest.raises(ConfigError, match=r"size \(0, 8\) is empty"):
        fit(image, [], (0, 8))


# ---- a whole set fitted, and kept


def test_a_set_of_several_sizes_is_fitted(tmp_path):
    objects = several(tmp_path)
    with pytest.raises(ShapeError, match="of several sizes; bring them to one with fit_all"):
        _ = objects.images
    fitted = fit_all(objects, (40, 40), cache=None)
    assert fitted.images.shape == (3, 40, 40, 3)
    assert fitted.annotations[2].boxes.tolist() == [[0, 0, 20, 40]]
    for example, other in zip(objects, fitted, strict=True):
        image, boxes, _ = fit(example.image, example.boxes, (40, 40))
        np.testing.assert_array_equal(image, other.image)
        np.testing.assert_array_equal(boxes, other.boxes)
        for i in (2, 3, 4):
            np.testing.assert_array_equal(example[i], other[i])
    assert fit_all(objects, (40, 40), None, workers=1).digest() == fitted.digest()


def test_fitted_sets_are_kept(tmp_path, monkeypatch, caplog):
    objects, cache = several(tmp_path), tmp_path / "c"
    first = fit_all(objects, (32, 40), cache)
    monkeypatch.setattr(ObjectSet, "__getitem__", None)  # nothing is read again
    second = fit_all(several(tmp_path), (32, 40), cache)
    assert second.digest() == first.digest()
    assert (second.files, second.source) == (first.files, first.source)
    assert len(list(cache.iterdir())) == 1
    monkeypatch.undo()
    fit_all(objects, (40, 32), cache)
    fit_all(objects.select([0, 2]), (32, 40), cache)
    fit_all(objects.regrouped([0, 0], ["beast"]), (32, 40), cache)
    assert len(list(cache.iterdir())) == 4
    for file in cache.iterdir():
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        assert fit_all(objects, (32, 40), cache).digest() == first.digest()
    assert "is broken" in caplog.text


def test_a_broken_picture_is_named_or_skipped(tmp_path):
    files = voc(parts=False)
    files["JPEGImages/2.png"] = files["JPEGImages/2.png"][:60]
    objects = load_objects(write(tmp_path, files))["all"]
    with pytest.raises(DataError, match=r"2\.png: is a broken PNG"):
        fit_all(objects, (32, 32), cache=None)
    for cache in (None, tmp_path / "c", tmp_path / "c"):
        fitted = fit_all(objects, (32, 32), cache, skip_bad=True)
        assert fitted.files == ("JPEGImages/1.png", "JPEGImages/3.png")
        ((place, fault),) = fitted.faults
        assert place == "JPEGImages/2.png"
        assert "is a broken PNG" in fault
    with pytest.raises(DataError, match="no usable image"):
        fit_all(objects.select([1]), (32, 32), None, skip_bad=True)


def test_wrong_sizes_and_workers(tmp_path):
    with pytest.raises(ConfigError, match=r"size \(0, 32\); give a height and width"):
        fit_all(some(), (0, 32))
    with pytest.raises(ConfigError, match="0 workers cannot decode"):
        fit_all(some(), (32, 32), workers=0)


def test_files_are_closed_when_nobody_needs_them(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objects = several(tmp_path)
        pictures = weakref.ref(objects.pictures)
        tree = objects.pictures._tree
        part = objects.select([0])
        del objects
        gc.collect()
        assert part[0].image.shape == (40, 60, 3)
        del part
        gc.collect()
        assert pictures() is None
        assert tree._file.closed


def test_many_threads_read_one_archive(tmp_path):
    objects = several(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda i: objects[i % 3].image.tobytes(), range(60)))
    assert read == [objects[i % 3].image.tobytes() for i in range(60)]
