"""Every layout is read as its format defines it, from a folder and from an archive."""

import json

import numpy as np
import pytest
from object_files import coco, gtsdb, packed, picture, voc, voc_file, voc_object, write, yolo

from minicnn.data.classes import CLASS_NAMES
from minicnn.data.objects import LAYOUTS, layout_of, load_objects
from minicnn.errors import ConfigError, DataError

MADE = {"voc": voc, "coco": coco, "yolo": yolo, "gtsdb": gtsdb}


def loaded(tmp_path, files, **options):
    return load_objects(write(tmp_path / "set", files), **options)


def told(objects):
    """What is known of each image, by name."""
    return {
        note.file: [
            (objects.names[c], box.tolist())
            for c, box in zip(note.classes, note.boxes, strict=True)
        ]
        for note in objects.annotations
    }


@pytest.mark.parametrize("layout", LAYOUTS)
def test_archive_and_folder_guessed_or_named_are_the_same(tmp_path, layout):
    files = MADE[layout]()
    inside = {f"within/{name}": data for name, data in files.items()}
    sets = [
        loaded(tmp_path, files),
        load_objects(packed(tmp_path / "a.zip", files), layout),
        load_objects(packed(tmp_path / "b.zip", inside), layout),
    ]
    assert layout_of(tmp_path / "b.zip") == layout
    for parts in sets[1:]:
        assert parts.keys() == sets[0].keys()
        for part, objects in parts.items():
            assert objects.digest() == sets[0][part].digest()
            assert objects.names == sets[0][part].names
            for example, other in zip(objects, sets[0][part], strict=True):
                np.testing.assert_array_equal(example.image, other.image)
    assert not sets[0][next(iter(sets[0]))].faults


def test_voc_counts_from_one_and_includes_both_ends(tmp_path):
    parts = loaded(tmp_path, voc())
    assert parts.keys() == {"train", "val"}
    train = parts["train"]
    assert train.names == parts["val"].names == ("cat", "dog")
    assert told(train) == {
        "JPEGImages/3.png": [("dog", [2, 1.5, 10, 9])],
        "JPEGImages/1.png": [("cat", [0, 0, 40, 60]), ("dog", [11, 10, 40, 30])],
    }
    assert [note.difficult.tolist() for note in train.annotations] == [[False], [False, True]]
    assert told(parts["val"]) == {"JPEGImages/2.png": []}
    assert parts["val"][0].boxes.shape == (0, 4)
    assert train[0].image.shape == (40, 60, 3)


def test_voc_in_folders_of_parts(tmp_path):
    files = {
        "train/a.xml": voc_file(voc_object("cat", 1, 1, 9, 9), name="odd.png"),
        "train/a.png": picture(),
        "valid/a.xml": voc_file(voc_object("cat", 2, 2, 9, 9)),
        "valid/a.png": picture(),
        "test/images/b.png": picture(),
        "test/annotations/c.xml": voc_file(name="C:\\where\\b.png"),
    }
    parts = loaded(tmp_path, files)
    assert {part: told(objects) for part, objects in parts.items()} == {
        "train": {"train/a.png": [("cat", [0, 0, 9, 9])]},
        "val": {"valid/a.png": [("cat", [1, 1, 9, 9])]},
        "test": {"test/images/b.png": []},
    }


@pytest.mark.parametrize("size", ["", "<size><width>0</width><height>0</height></size>"])
def test_voc_without_a_size_asks_the_picture(tmp_path, size):
    text = f"<annotation>{size}{voc_object('cat', 1, 1, 60, 40)}</annotation>"
    parts = loaded(tmp_path, {"1.xml": text, "1.png": picture()})
    assert parts["all"].sizes.tolist() == [[40, 60]]


def test_parts_without_images_are_none(tmp_path):
    parts = loaded(tmp_path, voc() | {"ImageSets/Main/test.txt": "\n"})
    assert parts.keys() == {"train", "val"}


def test_voc_names_in_a_given_order(tmp_path):
    parts = loaded(tmp_path, voc(), names=["horse", "dog", "cat"])
    assert parts["train"].names == ("horse", "dog", "cat")
    assert parts["train"].annotations[1].classes.tolist() == [2, 1]


def test_coco_boxes_have_corner_and_size(tmp_path):
    parts = loaded(tmp_path, coco())
    assert parts.keys() == {"train"}
    assert parts["train"].names == ("cat", "dog")
    assert told(parts["train"]) == {
        "train2017/a.png": [],
        "train2017/b.png": [("dog", [4, 10.5, 12.25, 30.5]), ("cat", [0, 0, 40, 60])],
    }
    assert parts["train"].annotations[1].crowd.tolist() == [False, True]


def test_coco_parts_each_with_its_pictures(tmp_path):
    files = coco() | coco("annotations/instances_val2017.json", "val2017")
    parts = loaded(tmp_path, files)
    assert parts["train"].files == ("train2017/a.png", "train2017/b.png")
    assert parts["val"].files == ("val2017/a.png", "val2017/b.png")
    beside = coco("train/_annotations.coco.json", "train") | coco("valid/_a.coco.json", "valid")
    parts = load_objects(write(tmp_path / "beside", beside))
    assert parts["val"].files == ("valid/a.png", "valid/b.png")


def test_yolo_boxes_are_shares_around_a_middle(tmp_path):
    parts = loaded(tmp_path, yolo())
    assert parts.keys() == {"train", "val"}
    found = told(parts["train"])
    assert found == {
        "images/train/1.png": [("dog", [15, 15, 25, 45]), ("cat", [0, 0, 20, 12])],
        "images/train/2.png": [],
    }
    assert told(parts["val"]) == {"images/val/3.png": []}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"data.yaml": "path: .\nnames:\n  0: a cat # 1\n  1: 'dog'\nnc: 2\n"}, ("a cat", "dog")),
        ({"data.yaml": "names:\n- cat\n- dog\ntrain: x\n"}, ("cat", "dog")),
        ({"data.yml": "names: [cat,\n  dog]"}, ("cat", "dog")),
        ({"labels/classes.txt": "cat\ndog\n\n"}, ("cat", "dog")),
        ({"obj.names": "cat\r\ndog\r\nbird"}, ("cat", "dog", "bird")),
        ({}, ("0", "1")),
    ],
)
def test_yolo_names(tmp_path, names, expected):
    files = {name: data for name, data in yolo().items() if name != "data.yaml"}
    assert loaded(tmp_path, files | names)["train"].names == expected


def test_yolo_beside_the_pictures(tmp_path):
    parts = loaded(tmp_path, {"1.jpg": picture(kind="JPEG"), "1.txt": "0 .5 .5 1 1"})
    assert told(parts["all"]) == {"1.jpg": [("0", [0, 0, 40, 60])]}


def test_gtsdb_includes_both_ends(tmp_path):
    parts = loaded(tmp_path, gtsdb())
    assert parts["train"].names == CLASS_NAMES
    assert told(parts["train"]) == {
        "00000.png": [
            (CLASS_NAMES[1], [12, 10, 32, 30]),
            (CLASS_NAMES[38], [0, 0, 21, 21]),
        ],
        "00001.png": [],
    }
    assert told(parts["test"]) == {"00600.png": [(CLASS_NAMES[14], [5, 5, 26, 26])]}


def test_gtsdb_the_last_pixel_of_a_copy_at_half_size_is_half_as_wide(tmp_path):
    files = gtsdb("00000.png;10;12;29;31;1", size=(400, 680))
    assert told(loaded(tmp_path, files)["train"])["00000.png"][0][1] == [12, 10, 31.5, 29.5]


# ---- what is broken


OBJECTS = {  # a line of a layout, the fault, and what is left of the object
    "voc": [
        (voc_object("cat", 5, 5, 5, 9), r"\(5, 5\) to \(5, 9\) has no area", None),
        (voc_object("cat", 9, 5, 5, 9), r"is reversed", None),
        (voc_object("cat", "nan", 5, 5, 9), r"is not finite", None),
        (voc_object("cat", "4_0", 5, 5, 9), r"xmin is '4_0', not a number", None),
        (voc_object("cat", 70, 5, 80, 9), r"no area inside its picture of 40 x 60", None),
        (voc_object("cat", 5, 5, 80, 9), r"reaches 20 pixels out of its picture", [4, 4, 9, 60]),
        (voc_object("", 5, 5, 8, 9), r"has no name", None),
        ("<object><name>cat</name></object>", r"xmin is '', not a number", None),
    ],
    "yolo": [
        ("1 .5 .5 0 .5", "has no area", None),
        ("1 .5 .5 -.5 .5", "is reversed", None),
        ("1 inf .5 .5 .5", "give shares of 0 to 1", None),
        ("1 nan .5 .5 .5", "is not finite", None),
        ("1 240 100 20 20", "give shares of 0 to 1", None),
        ("1 1.5 .5 .5 .5", "no area inside its picture", None),
        ("1 1.0 .5 .5 .5", "reaches 15 pixels out", [10, 45, 30, 60]),
        ("1 .5 .5 .5", "has 4 numbers; five are expected", None),
        ("2 .5 .5 .5 .5", "class 'number 2' is unknown; there are cat, dog", None),
        ("-1 .5 .5 .5 .5", "class is '-1'", None),
        ("0x1 .5 .5 .5 .5", "class is '0x1'", None),
    ],
    "gtsdb": [
        ("00000.png;5;5;5;9;1", "has no area", None),
        ("00000.png;9;5;5;9;1", "is reversed", None),
        ("00000.png;5;5;9;inf;1", "is not finite", None),
        ("00000.png;5;5;90;9;1", "reaches 31 pixels out", [5, 5, 10, 60]),
        ("00000.png;5;5;9;9;43", "class 'number 43' is unknown", None),
        ("00000.png;5;5;9;9;x", "class is 'x', not a whole number", None),
        ("00000.png;5;5;9;9", "has 5 cells; a line is file;left;top;right;bottom;class", None),
        ("00009.png;5;5;9;9;1", "its picture '00009.png' is missing", None),
        ("../0.png;5;5;9;9;1", "climbs out", None),
    ],
    "coco": [
        ({"bbox": [5, 5, 0, 9]}, "has no area", None),
        ({"bbox": [5, 5, -3, 9]}, "is reversed", None),
        ({"bbox": [5, 5, float("nan"), 9]}, "bbox is .*nan.*; give four numbers", None),
        ({"bbox": [5, 5, 9]}, r"bbox is \[5, 5, 9\]; give four numbers", None),
        ({"bbox": {}}, "bbox is a dict", None),
        ({"bbox": [50, 5, 1e-7, 9]}, "has no area inside its picture", None),  # none in float32
        ({"bbox": [90, 5, 9, 9]}, "no area inside its picture", None),
        ({"bbox": [50, 5, 90, 9]}, "reaches 80 pixels out", [5, 50, 14, 60]),
        ({"category_id": 4}, "category 4 is unknown", None),
        ({"category_id": "9"}, "category_id is '9', not a whole number", None),
        ({"image_id": 8}, "its image 8 is missing", None),
        ({"image_id": [[]]}, "its image a list is missing", None),
    ],
}


def broken(layout, thing):
    """A set whose second object is broken, behind a good one."""
    if layout == "voc":
        return {"1.xml": voc_file(voc_object("cat", 1, 1, 9, 9), thing), "1.png": picture()}
    if layout == "yolo":
        return yolo() | {"labels/train/1.txt": f"0 .5 .5 .5 .5\n{thing}\n"}
    if layout == "gtsdb":
        return gtsdb("00000.png;5;5;9;9;1", thing)
    good = {"image_id": 7, "category_id": 9, "bbox": [10, 4, 20, 8], "iscrowd": 0}
    return coco(annotations=[good, good | thing])


@pytest.mark.parametrize(
    ("layout", "thing", "fault", "left"),
    [(layout, *case) for layout, cases in OBJECTS.items() for case in cases],
)
def test_a_broken_object_is_named_or_skipped(tmp_path, layout, thing, fault, left):
    files = broken(layout, thing)
    with pytest.raises(DataError, match=rf"{fault}.*; mend it, or skip what is broken") as caught:
        loaded(tmp_path, files)
    assert str(caught.value).count("mend it") == 1
    parts = loaded(tmp_path, files, skip_bad=True)
    objects = next(iter(parts.values()))
    ((place, _),) = objects.faults
    assert str(tmp_path) in place
    boxes = next(note.boxes for note in objects.annotations if len(note.boxes))
    assert len(boxes) == (1 if left is None else 2)
    if left:
        np.testing.assert_allclose(boxes[1], left, atol=1e-4)


@pytest.mark.parametrize("beyond", [0.4, 1.0])
def test_rounding_at_the_border_is_no_fault(tmp_path, beyond):
    files = coco(
        annotations=[{"image_id": 7, "category_id": 9, "bbox": [-beyond, 5, 60 + 2 * beyond, 9]}]
    )
    assert told(loaded(tmp_path, files)["train"])["train2017/b.png"] == [("dog", [5, 0, 14, 60])]


IMAGES = [
    ({"a.xml": "<annotation>", "1.xml": voc_file()}, r"a\.xml: is broken XML"),
    ({"a.xml": "\xff\xfe".encode("latin-1")}, r"a\.xml: is not a text file in UTF-8"),
    ({"a.xml": "<!DOCTYPE a [<!ENTITY b 'c'>]><annotation/>"}, r"a\.xml: declares entities"),
    ({"a.xml": voc_file(name="")}, r"a\.xml: its picture 'a' is missing"),
    ({"a.xml": voc_file(name="b/9.png")}, r"a\.xml: its picture 'b/9\.png' is missing"),
    ({"x/2.png": picture(), "y/2.png": picture(), "2.xml": voc_file()}, "may be 'x/2.png' or 'y/2"),
    ({"2.xml": "<annotation/>", "2.png": b"GIF8"}, "2.png' is a broken GIF"),
    ({"ImageSets/Main/val.txt": "1\n9\n"}, r"val\.txt line 2: '9' has no annotation"),
    ({"ImageSets/Main/val.txt": "1\n1\n"}, r"1\.png: is in the same part again"),
    ({"b/1.xml": voc_file()}, r"1\.png: is in the same part again"),
]


@pytest.mark.parametrize(("files", "fault"), IMAGES)
def test_a_broken_image_is_named_or_skipped(tmp_path, files, fault):
    files = {"1.xml": voc_file(voc_object("cat", 1, 1, 9, 9)), "1.png": picture()} | files
    with pytest.raises(DataError, match=fault):
        loaded(tmp_path, files)
    parts = loaded(tmp_path, files, skip_bad=True)
    (objects,) = parts.values()
    assert len(objects.faults) == 1
    assert objects.files == ("1.png",)


def test_tables_that_make_no_sense(tmp_path):
    cases = [
        ("coco", {"a.json": '{"images": 1, "annotations": [], "categories": []}'}, "is no table"),
        ("coco", {"a.json": '{"images" "annotations" "categories"'}, "is broken JSON"),
        ("coco", {"a.json": '"images" "annotations" "categories"' + "[" * 10**5}, "is broken JSON"),
        ("coco", coco(categories=[{"id": 3, "name": "a"}] * 2), "two categories one id"),
        ("coco", coco(categories=[{"id": 3}]), "name is None, not a name"),
        ("coco", coco(images=[{"id": 7, "file_name": "../a"}]), "climbs out"),
        ("coco", coco(images=[{"id": 7, "file_name": "a.png"}]), "height is None, not a whole"),
        (
            "coco",
            coco(images=[{"id": 7, "file_name": "a.png", "height": 1, "width": 0}]),
            r"has the size \(1, 0\)",
        ),
        ("yolo", yolo() | {"data.yaml": "names:\n 0: a\n 2: b\n"}, r"numbers its names \[0, 2\]"),
        ("yolo", yolo() | {"data.yaml": "names: [a, , b]"}, "leaves the name of a class empty"),
        ("yolo", yolo() | {"data.yaml": "names: [a, b, a]"}, "class 'a' is named twice"),
        ("gtsdb", {"a/gt.txt": "", "b/gt.txt": ""}, "holds 2 tables gt.txt a/gt.txt, b/gt.txt"),
        ("voc", {"a.txt": ""}, "no usable image in the layout voc"),
    ]
    for number, (layout, files, fault) in enumerate(cases):
        with pytest.raises(DataError, match=fault):
            load_objects(write(tmp_path / str(number), files), layout)


def test_two_images_of_one_id(tmp_path):
    image = {"id": 7, "file_name": "b.png", "height": 40, "width": 60}
    files = coco(images=[image, image | {"file_name": "a.png"}])
    with pytest.raises(DataError, match="image 1: id 7 is that of an image before it"):
        loaded(tmp_path, files)
    parts = loaded(tmp_path, files, skip_bad=True)
    assert list(told(parts["train"])) == ["train2017/b.png"]


def test_other_classes_in_the_other_part(tmp_path):
    other = coco("instances_val.json", "val", categories=[{"id": 9, "name": "dog"}], annotations=[])
    with pytest.raises(DataError, match=r"has other classes than .*; give their names"):
        loaded(tmp_path, coco() | other)
    parts = loaded(tmp_path, coco() | other, names=["cat", "dog"])
    assert parts["val"].names == ("cat", "dog")


def test_a_picture_that_is_not_as_its_annotation_says(tmp_path):
    objects = loaded(tmp_path, voc() | {"JPEGImages/3.png": picture(40, 61)})["train"]
    with pytest.raises(DataError, match=r"3\.png: is 61 x 40 pixels, but its annotation says 60 x"):
        objects[0]
    assert objects[1].image.shape == (40, 60, 3)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="there is nothing here; give a folder or a zip"):
        load_objects(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no annotations .* but a\.csv; give another folder"):
        loaded(tmp_path, {"a.csv": ""})
    with pytest.raises(ConfigError, match="layout 'xml' is unknown; choose from coco, gtsdb"):
        loaded(tmp_path, voc(), layout="xml")


def test_json_that_lists_no_objects_is_not_read(tmp_path):
    parts = loaded(tmp_path, voc() | {"package.json": json.dumps({"images": 1})})
    assert parts.keys() == {"train", "val"}
