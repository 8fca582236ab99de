"""Every layout of images and masks is read, from a folder and from an archive."""

import gc
import struct
import warnings
import weakref
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from mask_files import camvid, folders, mask, mask_file, pairs
from object_files import packed, picture, write

from minicnn.data.masks import CAMVID_CLASSES, MASK_LAYOUTS, load_masks, mask_layout_of
from minicnn.data.pictures import decode_labels
from minicnn.errors import ConfigError, DataError

MADE = {"camvid": camvid, "folders": folders, "pairs": pairs}


def loaded(tmp_path, files, **options):
    return load_masks(write(tmp_path / "set", files), **options)


@pytest.mark.parametrize("layout", MASK_LAYOUTS)
def test_archive_and_folder_guessed_or_named_are_the_same(tmp_path, layout):
    files = MADE[layout]()
    inside = {f"within/{name}": data for name, data in files.items()}
    sets = [
        loaded(tmp_path, files),
        load_masks(packed(tmp_path / "a.zip", files), layout),
        load_masks(packed(tmp_path / "b.zip", inside), layout),
    ]
    assert mask_layout_of(tmp_path / "b.zip") == layout
    for parts in sets[1:]:
        assert parts.keys() == sets[0].keys()
        for part, images in parts.items():
            assert images.digest() == sets[0][part].digest()
            assert images.names == sets[0][part].names
            for example, other in zip(images, sets[0][part], strict=True):
                np.testing.assert_array_equal(example.image, other.image)
                np.testing.assert_array_equal(example.mask, other.mask)
    assert not sets[0][next(iter(sets[0]))].faults


def bands(count, size=(40, 60)):
    return np.broadcast_to(np.arange(size[1]) * count // size[1], size)


def test_camvid(tmp_path):
    parts = loaded(tmp_path, camvid())
    assert {part: images.files for part, images in parts.items()} == {
        "train": ("train/a.jpg", "train/b.jpg"),
        "val": ("val/a.jpg",),
    }
    train = parts["train"]
    assert train.names == CAMVID_CLASSES
    assert len(CAMVID_CLASSES) == train.ignore_label == 11
    np.testing.assert_array_equal(train[0].mask, bands(12))
    assert train.counts().tolist() == [400] * 11
    other = load_masks(tmp_path / "set", names=[*CAMVID_CLASSES, "void"])["train"]
    assert other.ignore_label == 12
    assert other.counts().tolist() == [400] * 12


def test_indices_of_a_palette_are_the_classes(tmp_path):
    parts = loaded(tmp_path, folders())
    assert {part: images.files for part, images in parts.items()} == {
        "train": ("images/train/1.jpg",),
        "val": ("images/val/2.png",),
    }
    assert parts["train"].names == ("road", "car", "sky")
    assert parts["train"].ignore_label == 255
    np.testing.assert_array_equal(parts["train"][0].mask, bands(3))
    np.testing.assert_array_equal(parts["val"][0].mask, bands(3, (30, 50)))


@pytest.mark.parametrize("names", [
    ("train/images/a.jpg", "train/masks/a.png"),
    ("train/images/deep/a.jpg", "train/labels/deep/a_mask.png"),
    ("Images/train/a.jpg", "Annotations/train/a.png"),
    ("train/a.jpg", "train/a.png"),
    ("train/a.png", "train/a_mask.png"),
])  # fmt: skip
def test_where_masks_may_lie(tmp_path, names):
    ((part, images),) = loaded(tmp_path, dict(zip(names, (picture(), mask()), strict=True))).items()
    assert part == "train"
    assert images.files == (names[0],)
    np.testing.assert_array_equal(images[0].mask, bands(3))


def test_classes_without_names_are_numbered_as_far_as_labels_occur(tmp_path):
    numbers = np.zeros((40, 60), np.uint8)
    numbers[:9], numbers[9:12] = 255, 6
    files = pairs() | {"1_mask.png": mask_file(numbers)}
    assert loaded(tmp_path, files)["all"].names == tuple("0123456")
    assert load_masks(tmp_path / "set", ignore_label=6)["all"].ignore_label == 6
    images = load_masks(tmp_path / "set", ignore_label=6)["all"]
    assert len(images.names) == 256
    assert images.counts()[[0, 1, 6, 255]].tolist() == [1680 + 1200, 1200, 0, 540]


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("palette", [True, False])
def test_few_bits_a_pixel_are_the_numbers_that_were_written(bits, palette):
    numbers = np.arange(2**bits, dtype=np.uint8)[None].repeat(3, axis=0)
    data = mask_file(numbers, palette=True, bits=bits) if palette else grey(numbers, bits)
    assert data[24] == bits
    np.testing.assert_array_equal(decode_labels(data), numbers)


def grey(numbers, bits):
    """A PNG of greys of few bits, which Pillow does not write."""

    def chunk(name, inside):
        check = zlib.crc32(name + inside)
        return struct.pack(">I", len(inside)) + name + inside + struct.pack(">I", check)

    height, width = numbers.shape
    spread = numbers[:, :, None] >> np.arange(bits - 1, -1, -1) & 1
    rows = np.packbits(spread.reshape(height, -1), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def test_labels_of_two_bytes(tmp_path):
    numbers = np.arange(2400, dtype=np.uint16).reshape(40, 60)
    files = {"images/1.png": picture(), "masks/1.png": mask_file(numbers)}
    images = loaded(tmp_path, files)["all"]
    assert len(images.names) == 2400
    assert images[0].mask.dtype == np.int64
    np.testing.assert_array_equal(images[0].mask, np.where(numbers == 2400, -1, numbers))


IMAGES = [
    ({"images/train/3.png": picture()}, r"3\.png: its mask is missing"),
    ({"masks/train/3.png": mask()}, r"3\.png: is a mask whose picture is missing"),
    (
        {"images/train/3.png": picture(), "masks/train/3.png": mask((60, 40))},
        r"3\.png: is 40 x 60 pixels \(H x W\), but its mask 'masks/train/3\.png' 60 x 40",
    ),
    ({"images/train/1.png": picture()}, r"1\.png: is one too many beside 'images/train/1\.jpg'"),
    ({"masks/train/1.gif": mask(kind="GIF")}, r"1\.png: is one too many beside"),
    (
        {"images/train/3.png": picture(), "masks/train/3.png": b"?"},
        r"its mask '.*' is not an image",
    ),
    ({"images/train/3.png": b"", "masks/train/3.png": mask()}, r"3\.png: is an empty file"),
]


@pytest.mark.parametrize(("files", "fault"), IMAGES)
def test_a_broken_pair_is_named_or_skipped(tmp_path, files, fault):
    files = folders() | files
    with pytest.raises(DataError, match=rf"{fault}.*; mend it, or skip what is broken"):
        loaded(tmp_path, files)
    parts = loaded(tmp_path, files, skip_bad=True)
    ((place, _),) = parts["train"].faults
    assert str(tmp_path) in place
    assert parts["train"].files == ("images/train/1.jpg",)


def test_broken_masks_while_labels_are_counted(tmp_path):
    files = pairs() | {"1_mask.png": mask()[:60]}
    with pytest.raises(DataError, match=r"1_mask\.png: is a broken PNG"):
        loaded(tmp_path, files)
    images = load_masks(tmp_path / "set", skip_bad=True)["all"]
    assert images.files == ("within/2.png",)
    ((place, reason),) = images.faults
    assert place.endswith("1_mask.png")
    assert reason.startswith("is a broken PNG")
    with pytest.raises(DataError, match=r"a JPEG image, in which numbers may change; save it as"):
        load_masks(write(tmp_path / "b", {"1.png": picture(), "1_mask.jpg": picture(kind="JPEG")}))


def test_names_that_make_no_sense(tmp_path):
    for text in ("a\n\nb", "a\nb\na", "\n", "a\x1b[2J"):
        with pytest.raises(DataError, match=r"classes\.txt: is to name every class once"):
            loaded(tmp_path, folders() | {"classes.txt": text})
    for names in ([], ["a", "a"]):
        with pytest.raises(ConfigError, match="name every class once"):
            load_masks(tmp_path / "set", names=names)


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match="there is nothing here; give a folder or a zip"):
        load_masks(tmp_path / "missing")
    with pytest.raises(DataError, match=r"no pictures with masks .* but a\.png; give another"):
        loaded(tmp_path, {"a.png": picture()})
    with pytest.raises(DataError, match=r"no usable image\. No file lies where this layout has it"):
        load_masks(tmp_path / "set", layout="camvid")
    with pytest.raises(ConfigError, match="layout 'voc' is unknown; choose from camvid, folders"):
        loaded(tmp_path, folders(), layout="voc")
    with pytest.raises(DataError, match=r"no usable image\. .*a\.png: its mask is missing"):
        load_masks(tmp_path / "set", "pairs", skip_bad=True)


def test_a_picture_that_changed_since(tmp_path):
    images = loaded(tmp_path, folders())["train"]
    write(tmp_path / "set", {"masks/train/1.png": mask((40, 61))})
    with pytest.raises(DataError, match=r"1\.png: is 61 x 40 pixels, but its annotation says 60 x"):
        images[0]


def test_files_are_closed_when_nobody_needs_them(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = load_masks(packed(tmp_path / "a.zip", camvid()))["train"]
        tree, labels = images.pictures.tree, images.labels
        pictures = weakref.ref(images.pictures)
        del images
        gc.collect()
        assert labels.read(0).shape == (40, 60)  # masks keep the archive open by themselves
        del labels
        gc.collect()
        assert pictures() is None
        assert tree._file.closed


def test_many_threads_read_one_archive(tmp_path):
    images = load_masks(packed(tmp_path / "a.zip", camvid()))["train"]
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda i: images[i % 2].mask.tobytes(), range(40)))
    assert read == [images[i % 2].mask.tobytes() for i in range(40)]
