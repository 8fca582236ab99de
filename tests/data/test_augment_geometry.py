"""Motions of pictures: where pixels, boxes and masks go, against what was painted."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn.backend.random import Stream
from minicnn.data.augment import (
    IGNORED,
    NOTHING,
    Affine,
    Compose,
    Crop,
    Elastic,
    Flip,
    Letterbox,
    Perspective,
    Picture,
    RandomView,
    Resize,
    Rules,
    Sometimes,
    View,
    Window,
    any_side_up,
    street_view,
)
from minicnn.data.augment import view as view_module
from minicnn.data.augment.motion import Motion, back, forth
from minicnn.data.objects import fit
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels import cpu, plain

WILD = Affine(rotation=0.8, scale=(0.5, 2.0), stretch=0.3, shear=0.3, shift=0.3)
MOTIONS = {
    "affine": WILD,
    "perspective": Perspective(0.2),
    "elastic": Elastic(0.2, 0.3),
    "view": RandomView(0.6, 0.4, 0.2, 0.2, 0.2, gain=0.0, offset=0.0),
    "flip": Flip(0.5, 0.5, 0.5),
    "crop": Crop(),
    "window": Window((50, 70)),
    "resize": Resize((31, 83)),
    "letterbox": Letterbox((50, 50)),
    "all": Compose([Flip(0.5, 0.5, 0.5), Perspective(), WILD, Elastic(), Crop(), Resize((60, 60))]),
}
SEEDS = st.integers(0, 2**32 - 1)


def painted(shape, boxes, round_ones=False):
    """White rectangles or ellipses on black."""
    image = np.zeros((*shape, 3), np.uint8)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    for y0, x0, y1, x1 in boxes:
        if round_ones:
            away = ((2 * y - y0 - y1) / (y1 - y0)) ** 2 + ((2 * x - x0 - x1) / (x1 - x0)) ** 2
            image[away <= 1] = 255
        else:
            image[y0:y1, x0:x1] = 255
    return Picture(image, np.array(boxes, np.float32).reshape(-1, 4), np.zeros(len(boxes), int))


def found(image):
    """The box around what is white."""
    rows, columns = np.nonzero(image[..., 0] > 127)
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1] if len(rows) else None


def one_pixel(image, y, x, fill):
    """The definition of `remap`, for one place."""
    height, width, channels = image.shape
    if not (0 <= y < height and 0 <= x < width):
        return np.array(fill, float)
    y, x = min(max(y - 0.5, 0), height - 1), min(max(x - 0.5, 0), width - 1)
    value = np.zeros(channels)
    for h in (math.floor(y), math.floor(y) + 1):
        for w in (math.floor(x), math.floor(x) + 1):
            share = max(0, 1 - abs(y - h)) * max(0, 1 - abs(x - w))
            value += share * image[min(h, height - 1), min(w, width - 1)]
    return value


@pytest.mark.parametrize("kernels", [cpu, plain])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (6, 4), (9, 8)])
def test_pixels_are_looked_up_as_defined(kernels, shape):
    stream = Stream(0, *shape)
    image = stream.integers(0, 256, (*shape, 3)).astype(np.uint8)
    places = stream.uniform((2, 11, 7), -0.3, 1.3) * np.array(shape)[:, None, None]
    places[:, 0, :3] = [[0, np.nan, np.inf], [0, 0.5, 0.5]]
    places[:, 1, 0] = shape  # just outside: boxes are half-open
    places = places.astype(np.float32)
    got = kernels.remap(image, places, (1, 2, 3))
    nearest = kernels.remap_nearest(np.ascontiguousarray(image[..., 1]), places, 200)
    assert got.dtype == nearest.dtype == np.uint8
    for i in range(11):
        for j in range(7):
            y, x = places[:, i, j].astype(float)
            right = one_pixel(image, y, x, (1, 2, 3))
            np.testing.assert_allclose(got[i, j], right, atol=0.51)
            inside = 0 <= y < shape[0] and 0 <= x < shape[1]
            assert nearest[i, j] == (image[int(y), int(x), 1] if inside else 200)


class Drawn:
    """Stands for a stream: gives the numbers it was given."""

    def __init__(self, numbers):
        self.numbers = np.array(numbers, float)

    def uniform(self, shape, low=0.0, high=1.0):
        assert self.numbers.shape == ((shape,) if isinstance(shape, int) else shape)
        return self.numbers


def test_an_affine_motion_is_what_its_measures_say():
    """Point by point: stretched and sheared, turned, scaled about the middle, then shifted."""
    measures = Affine(rotation=0.5, scale=(0.5, 2.0), stretch=0.4, shear=0.3, shift=0.25)
    view = View(Picture(np.zeros((40, 60, 3), np.uint8)))
    (motion,) = measures.apply(view, Drawn([0.5, -0.8, 0.6, 1.0, 0.4, -1.0])).motions
    larger, turn, wider, shear = 2**0.5, 0.5 * -0.8, 1 + 0.4 * 0.6, 0.3
    for y, x in [(0, 0), (20, 30), (7, 55), (40, 0)]:
        down, across = y - 20, shear * (y - 20) + wider * (x - 30)
        right = (
            20 + 0.25 * 40 * 0.4 + larger * (math.cos(turn) * down - math.sin(turn) * across),
            30 - 0.25 * 60 + larger * (math.sin(turn) * down + math.cos(turn) * across),
        )
        np.testing.assert_allclose(forth([motion], np.array([[y, x]]))[0], right)
        np.testing.assert_allclose(back([motion], np.array([right]))[0], [y, x], atol=1e-9)


def test_a_perspective_pushes_the_corners():
    pushes = Stream(1).uniform((4, 2), -1, 1)
    view = View(Picture(np.zeros((40, 60, 3), np.uint8)))
    (motion,) = Perspective(0.2).apply(view, Drawn(pushes)).motions
    corners = np.array([[0, 0], [0, 60], [40, 60], [40, 0.0]])
    pushed = corners + 0.2 * pushes * [40, 60]
    np.testing.assert_allclose(back([motion], corners), pushed, atol=1e-9)
    np.testing.assert_allclose(forth([motion], pushed), corners, atol=1e-9)
    line = np.linspace(corners[0], corners[2], 5)
    moved = back([motion], line) - pushed[0]
    across = moved[:, 0] * moved[-1, 1] - moved[:, 1] * moved[-1, 0]
    np.testing.assert_allclose(across, 0, atol=1e-9)  # lines stay lines


def test_an_elastic_motion_is_a_spline_and_can_be_undone():
    view = View(Picture(np.zeros((40, 60, 3), np.uint8)))
    (motion,) = Elastic(0.2, 0.25).apply(view, Stream(2)).motions  # knots 15 pixels apart
    knots = 0.2 * 15 * Stream(2).uniform((6, 7, 2), -1, 1)

    def weight(t):  # of a cubic B-spline, t knots away
        t = abs(t)
        return 2 / 3 - t**2 + t**3 / 2 if t < 1 else max(0, 2 - t) ** 3 / 6

    assert motion.cell == 5
    for y in range(0, 41, 10):
        for x in range(0, 61, 5):
            push = sum(
                weight(y / 15 - (i - 1)) * weight(x / 15 - (j - 1)) * knots[i, j]
                for i in range(6)
                for j in range(7)
            )
            np.testing.assert_allclose(back([motion], np.array([y, x])) - [y, x], push)
    places = Stream(3).uniform((50, 2)) * [40, 60]
    np.testing.assert_allclose(forth([motion], back([motion], places)), places, atol=1e-5)


@pytest.mark.parametrize("name", MOTIONS)
@settings(max_examples=12)
@given(seed=SEEDS)
def test_a_mask_goes_where_its_image_goes(name, seed):
    """A mask painted as an image: wherever one colour alone is seen, the mask says the same."""
    mask = np.kron(Stream(1).integers(0, 2, (5, 6)), np.ones((13, 12), int)).astype(np.uint8)
    picture = Picture(np.repeat(100 * mask[..., None], 3, axis=2), mask=mask)
    seen = Compose([MOTIONS[name]], Rules(fill=(255, 0, 0), void=9))(picture, Stream(seed))
    colour = seen.image.astype(int)
    assert seen.mask.shape == seen.image.shape[:2]
    assert set(np.unique(seen.mask)) <= {0, 1, 9}
    np.testing.assert_array_equal(seen.mask == 9, (colour == [255, 0, 0]).all(axis=-1))
    for label in (0, 1):
        pure = (colour == 100 * label).all(axis=-1)
        assert (seen.mask[pure] == label).all()
    mixed = (colour[..., 1] > 0) & (colour[..., 1] < 100)
    assert mixed.mean() < 0.5


@pytest.mark.parametrize("name", MOTIONS)
@settings(max_examples=12)
@given(seed=SEEDS)
def test_the_box_of_a_painted_rectangle_follows(name, seed):
    picture = painted((70, 90), [(20, 24, 44, 60)])
    seen = Compose([MOTIONS[name]], Rules(visible=0, fill=(0, 0, 0)))(picture, Stream(seed))
    right = found(seen.image)
    if right is None:  # nothing, or the faintest corner, is left
        assert (seen.boxes[:, 2:] - seen.boxes[:, :2]).min(initial=2.0, axis=None) < 3
        return
    (box,) = seen.boxes
    assert (box[:2] <= np.array(right[:2]) + 1).all()
    assert (box[2:] >= np.array(right[2:]) - 1).all()
    if box.min() > 1 and (box[2:] < np.array(seen.size) - 1).all():  # not cut off by the border
        np.testing.assert_allclose(box, right, atol=2.5)


@settings(max_examples=25)
@given(seed=SEEDS)
def test_the_box_of_a_painted_ellipse_follows_closely(seed):
    picture = painted((70, 90), [(20, 24, 44, 60)], round_ones=True)
    rules = Rules(visible=0, outline="ellipse", fill=(0, 0, 0))
    turned = Affine(rotation=0.8, scale=(0.7, 1.0), shift=0.02)
    seen = Compose([turned], rules)(picture, Stream(seed))
    np.testing.assert_allclose(seen.boxes[0], found(seen.image), atol=1.2)
    whole = Compose([turned], Rules(visible=0))(picture, Stream(seed)).boxes[0]
    assert (whole[:2] <= seen.boxes[0, :2] + 0.1).all()
    assert (whole[2:] >= seen.boxes[0, 2:] - 0.1).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (40, 3), (33, 47)])
@pytest.mark.parametrize("name", MOTIONS)
def test_any_size_of_picture_can_be_moved(name, size):
    picture = Picture(
        np.full((*size, 3), 80, np.uint8),
        np.array([[0, 0, *size]], np.float32),
        np.zeros(1, np.int64),
        np.ones(size, np.uint8),
    )
    for seed in range(3):
        seen = MOTIONS[name](picture, Stream(seed))
        assert (seen.image == 80).all()  # the mean fills what is outside
        assert seen.boxes.dtype == np.float32
        assert len(seen.boxes) == len(seen.classes)
        assert (seen.boxes >= 0).all()
        assert (seen.boxes <= (*seen.size, *seen.size)).all()


def test_proposals_move_like_boxes_and_none_is_left_out():
    boxes = np.array([(20, 24, 44, 60), (0, 0, 70, 90), (60, 80, 70, 90)], np.float32)
    proposals = np.concatenate([boxes, np.zeros((2, 4), np.float32), [[5, 5, np.nan, 9]]])
    picture = Picture(
        np.zeros((70, 90, 3), np.uint8), boxes, np.zeros(3, np.int64), None, proposals
    )
    for seed in range(20):
        recipe = Compose([MOTIONS["all"]], Rules(visible=0))
        seen = recipe(picture, Stream(seed))
        assert seen.proposals.shape == (6, 4)
        assert not seen.proposals[3:].any()
        kept = seen.proposals[:3]
        kept = kept[(kept[:, 2:] > kept[:, :2]).all(axis=1)]
        np.testing.assert_allclose(seen.boxes, kept)
        assert np.isfinite(seen.proposals).all()


def shifted(by, **rules):
    """A window onto the right part of a picture with five objects."""
    boxes = np.array(
        [(0, 0, 8, 8), (0, 4, 8, 12), (0, 6, 4, 16), (0, 7, 8, 11), (0, 0, 8, 8)], np.float32
    )
    classes = np.array([0, 1, 2, IGNORED, NOTHING])
    picture = Picture(np.zeros((8, 20, 3), np.uint8), boxes, classes)
    matrix = np.eye(3)
    matrix[1, 2] = by
    view = View(picture, Rules(**rules)).moved(Motion((8, 20), matrix))
    return view.seen()


def test_what_becomes_of_objects_that_are_cut_off():
    assert shifted(8, visible=0.5).classes.tolist() == [1, 2, IGNORED]
    np.testing.assert_array_equal(
        shifted(8, visible=0.5).boxes, [(0, 0, 8, 4), (0, 0, 4, 8), (0, 0, 8, 3)]
    )
    assert shifted(8, visible=0.51).classes.tolist() == [2, IGNORED]
    assert shifted(8, visible=0.51, cut="ignore").classes.tolist() == [IGNORED, 2, IGNORED]
    assert shifted(8, visible=0, smallest=4.5).classes.tolist() == [IGNORED]
    assert shifted(11, visible=0).classes.tolist() == [1, 2]  # nothing left to ignore
    assert shifted(0, visible=1).classes.tolist() == [0, 1, 2, IGNORED]
    assert shifted(20, visible=0, cut="ignore").boxes.shape == (0, 4)


@pytest.mark.filterwarnings("error")
def test_boxes_that_are_none_are_left_out():
    nonsense = [(5, 5, 5, 9), (9, 9, 5, 5), (np.nan, 0, 5, 5), (-np.inf, 0, 5, 5), (50, 50, 60, 60)]
    boxes = np.array([*nonsense, (5, 5, 9, 9)], np.float32)
    picture = Picture(np.zeros((20, 20, 3), np.uint8), boxes, np.arange(6))
    for name in ("affine", "elastic", "crop", "perspective"):
        gentle = Affine(shift=0.0) if name == "affine" else MOTIONS[name]
        seen = Compose([gentle], Rules(visible=0))(picture, Stream(3))
        assert set(seen.classes) <= {5}


def test_motions_in_a_row_are_one(monkeypatch):
    calls = []
    real = view_module.looked_up

    def counting(*given):
        calls.append(given)
        return real(*given)

    monkeypatch.setattr(view_module, "looked_up", counting)
    smooth = Stream(0).uniform((8, 9, 3), 0, 255).astype(np.uint8)
    picture = Resize((64, 72))(Picture(smooth, np.array([[8, 8, 40, 40]], np.float32)), Stream(0))
    parts = [Flip(1.0), Affine(0.1, shift=0.02), Sometimes(Perspective(0.05), 1.0), Elastic(0.1)]
    calls.clear()
    at_once = Compose(parts)(picture, Stream(5))
    assert len(calls) == 1
    stream, one_by_one = Stream(5), picture
    for part in parts:
        one_by_one = part(one_by_one, stream)
    assert len(calls) == 5
    inner = np.s_[16:-16, 16:-16]
    difference = at_once.image[inner].astype(int) - one_by_one.image[inner]
    assert abs(difference).mean() < 4
    assert (at_once.boxes[:, 2:] <= one_by_one.boxes[:, 2:] + 0.5).all()  # boxes of boxes grow


def test_flips_move_pixels_and_lose_nothing():
    image = Stream(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)
    picture = Picture(image, np.array([[1, 2, 3, 7]], np.float32), mask=image[..., 0].copy())
    across = Flip(1.0)(picture, Stream(0))
    np.testing.assert_array_equal(across.image, image[:, ::-1])
    np.testing.assert_array_equal(across.mask, image[:, ::-1, 0])
    np.testing.assert_array_equal(across.boxes, [[1, 2, 3, 7]])
    down = Flip(0.0, 1.0)(picture, Stream(0))
    np.testing.assert_array_equal(down.image, image[::-1])
    np.testing.assert_array_equal(down.boxes, [[3, 2, 5, 7]])
    swapped = Flip(0.0, 0.0, 1.0)(picture, Stream(0))
    np.testing.assert_array_equal(swapped.image, image.swapaxes(0, 1))
    np.testing.assert_array_equal(swapped.boxes, [[2, 1, 7, 3]])
    assert Flip(0.0)(picture, Stream(0)) is picture
    ways = {Flip(0.5, 0.5, 0.5)(picture, Stream(i)).image.tobytes() for i in range(100)}
    assert len(ways) == 8


def test_windows_letterboxes_and_sizes():
    image = Stream(0).integers(0, 256, (8, 12, 3)).astype(np.uint8)
    picture = Picture(image, np.array([[2, 2, 6, 10]], np.float32))
    seen = set()
    for seed in range(30):
        part = Window((5, 20))(picture, Stream(seed))
        x = int(part.boxes[0, 1]) - 2
        tops = [y for y in range(4) if (part.image[:, x : x + 12] == image[y : y + 5]).all()]
        assert len(tops) == 1
        np.testing.assert_array_equal(part.boxes[0, ::2], np.clip([2 - tops[0], 6 - tops[0]], 0, 5))
        seen.add((tops[0], x))
    assert {y for y, _ in seen} == {0, 1, 2, 3}
    assert {x for _, x in seen} == set(range(9))
    boxed = Letterbox((40, 40))(picture, Stream(0))
    scale = np.array([27 / 8, 40 / 12] * 2)  # 26.7 rows are rounded to whole ones, as by fit
    np.testing.assert_allclose(boxed.boxes, np.array([[2, 2, 6, 10]]) * scale, rtol=1e-6)
    assert (boxed.image[27:] == boxed.image[-1, 0]).all()
    fitted, boxes, _ = fit(image, picture.boxes, (40, 40))
    np.testing.assert_allclose(boxed.boxes, boxes, rtol=1e-6)
    assert abs(boxed.image[:27].astype(int) - fitted[:27]).mean() < 1
    small = Resize((4, 6))(picture, Stream(0)).image
    pairs = image.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert abs(small - pairs).max() <= 0.5  # averaged: no pixel is skipped
    assert Resize((8, 12))(picture, Stream(0)) is picture


def test_large_pictures_are_averaged_when_they_shrink():
    checks = (np.indices((90, 120)).sum(axis=0) % 2 * 255).astype(np.uint8)
    picture = Picture(np.repeat(checks[..., None], 3, axis=2))
    turned = Affine(rotation=0.2, scale=(0.33, 0.33), shift=0.0)(picture, Stream(1)).image
    assert abs(turned[35:55, 50:70].astype(int) - 127).max() < 30


@pytest.mark.parametrize("measure", ["share", "iou"])
def test_a_crop_shows_enough_of_an_object(measure):
    picture = painted((60, 80), [(10, 10, 40, 40), (50, 70, 58, 78)])
    for seed in range(40):
        wanted = (0.3, 0.9)[seed % 2]
        crop = Crop((0.2, 0.6), overlaps=(wanted,), measure=measure)
        view = crop.apply(View(picture), Stream(seed))
        if not view.motions:
            continue  # none was found
        m = view.motions[0].matrix
        y0, x0, y1, x1 = m[0, 2], m[1, 2], m[0, 2] + 60 * m[0, 0], m[1, 2] + 80 * m[1, 1]
        assert -1e-9 <= y0 < y1 <= 60 + 1e-9
        assert -1e-9 <= x0 < x1 <= 80 + 1e-9
        assert 0.15 <= (y1 - y0) * (x1 - x0) / 4800 <= 0.6 + 1e-9
        best = 0
        for b in picture.boxes:
            shared = max(0, min(y1, b[2]) - max(y0, b[0])) * max(0, min(x1, b[3]) - max(x0, b[1]))
            own = (b[2] - b[0]) * (b[3] - b[1])
            union = own + (y1 - y0) * (x1 - x0) - shared
            best = max(best, shared / (own if measure == "share" else union))
        assert best >= wanted - 1e-6


def test_a_crop_shows_one_object_and_not_all():
    picture = painted((60, 80), [(12, 12, 16, 16), (46, 66, 50, 70)])
    crops = [Crop((0.1, 0.3), overlaps=(1.0,)).apply(View(picture), Stream(i)) for i in range(20)]
    assert sum(bool(view.motions) for view in crops) > 15


def test_a_crop_that_cannot_be_leaves_the_picture_whole():
    picture = painted((60, 80), [(0, 0, 60, 80)])
    assert Crop((0.1, 0.2), overlaps=(0.9,))(picture, Stream(0)) is picture
    ignored = picture._replace(classes=np.array([IGNORED]))  # nobody asks for it
    assert Crop((0.1, 0.2), overlaps=(0.9,))(ignored, Stream(0)) is not ignored


def test_streets_are_never_mirrored_and_cells_are():
    ramp = np.broadcast_to(np.linspace(20, 200, 64)[None, :, None], (48, 64, 3)).astype(np.uint8)
    signs = []
    for recipe in (street_view(), any_side_up()):
        seen = [
            recipe(Picture(ramp), Stream(i)).image[14:34, 16:48].mean(axis=(0, 2))
            for i in range(40)
        ]
        signs.append({float(np.sign(line[-1] - line[0])) for line in seen})
    assert signs == [{1.0}, {1.0, -1.0}]


def test_nothing_is_seen_beyond_the_horizon():
    matrix = np.array([[0.1, -0.4, 0], [0, -0.3, 0], [0, -0.1, 1]])  # the depth is 0 at x = 10
    motion = Motion((10, 40), matrix)
    boxes = np.array([[2, 2, 8, 8]], np.float32)
    picture = Picture(np.full((20, 20, 3), 9, np.uint8), boxes, proposals=boxes)
    seen = View(picture, Rules(fill=(1, 1, 1), visible=0)).moved(motion).seen()
    assert (seen.image[:, 10:] == 1).all()  # where the plain fraction is inside the picture
    assert np.isnan(back([motion], np.array([5.0, 30.0]))).all()
    assert len(seen.boxes) == 0
    assert seen.proposals.tolist() == [[0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Affine(rotation=-1), "rotation must be 0 or more, got -1"),
        (lambda: Affine(scale=(0, 1)), r"scale \(0, 1\) is no range"),
        (lambda: Affine(shear=1.0), "must be below 1"),
        (lambda: Perspective(0.3), "strength of 0.3"),
        (lambda: Elastic(0.3), "strength 0.3, spacing 0.2; give"),
        (lambda: Flip(1.5), "horizontal is 1.5; give a probability"),
        (lambda: Crop(area=(0.5, 1.5)), r"area \(0.5, 1.5\) is no range; .* up to 1"),
        (lambda: Crop(overlaps=()), r"overlaps \(\); give some"),
        (lambda: Crop(measure="area"), "measure 'area'"),
        (lambda: Window((0, 5)), r"Window: \(0, 5\) is no size"),
        (lambda: Resize((5.0, 5)), r"Resize: \(5.0, 5\) is no size"),
        (lambda: Letterbox((5,)), r"Letterbox: \(5,\) is no size"),
        (lambda: Rules(visible=2), "visible 2 is no share"),
        (lambda: Rules(cut="keep"), "cut 'keep'"),
        (lambda: Rules(fill=(1, 2)), r"fill \(1, 2\) and void 255; give a colour"),
        (lambda: Compose([abs]), "Compose: <built-in function abs> is no Transform"),
        (lambda: Sometimes(Flip(), 2), "2 is no probability"),
    ],
)
def test_what_makes_no_sense_is_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (Picture(np.zeros((4, 4))), r"Flip: needs a uint8 image \(H, W, 3\), got float64 \(4, 4\)"),
        (Picture(np.zeros((4, 0, 3), np.uint8)), r"got uint8 \(4, 0, 3\)"),
        (Picture(np.zeros((4, 4, 3), np.uint8), np.zeros(4)), r"boxes must be \(N, 4\) .* \(4,\)"),
        (
            Picture(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 4)), np.zeros(3, int)),
            r"classes \(3,\) for boxes \(2, 4\)",
        ),
        (
            Picture(np.zeros((4, 4, 3), np.uint8), classes=np.zeros(3, int)),
            r"classes \(3,\) for no boxes",
        ),
        (
            Picture(np.zeros((4, 4, 3), np.uint8), mask=np.zeros((4, 5), np.uint8)),
            r"uint8 mask \(4, 4\), the size of its image, got uint8 \(4, 5\)",
        ),
        (Picture(np.zeros((4, 4, 3), np.uint8), label=np.zeros((1, 3))), r"label must be shares"),
    ],
)
def test_what_is_no_picture_is_refused(picture, says):
    for transform in (Flip(), Compose([Flip()])):
        with pytest.raises(ShapeError, match=says if transform == Flip() else says[5:]):
            transform(picture, Stream(0))
