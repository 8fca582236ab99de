"""Colour, grain, blur and patches; pictures of several; batches; the same bits on all threads."""

import colorsys
import math

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.augment import (
    IGNORED,
    NOTHING,
    Affine,
    Blur,
    Colour,
    Compose,
    CutOut,
    Elastic,
    Flip,
    MixUp,
    Mosaic,
    Noise,
    Perspective,
    Picture,
    Rules,
    Sometimes,
    Transform,
    any_side_up,
    batched,
    mixing,
    padded,
    street_view,
)
from minicnn.errors import ConfigError, ShapeError


def noise_picture(size=(24, 32), seed=0, **known):
    return Picture(Stream(seed).integers(0, 256, (*size, 3)).astype(np.uint8), **known)


def luma(colours):
    return np.asarray(colours, float) @ [0.299, 0.587, 0.114]


class Drawn:
    """Stands for a stream: gives the numbers it was given."""

    def __init__(self, *numbers):
        self.numbers = np.array(numbers)

    def uniform(self, shape=(), low=0.0, high=1.0):
        return self.numbers if shape else float(self.numbers[0])


def test_colour_of_nothing_changes_nothing():
    picture = noise_picture()
    np.testing.assert_array_equal(Colour(0, 0, 0, 0)(picture, Stream(0)).image, picture.image)


def test_colour_matches_its_definition():
    """Step by step in float64, pixel by pixel, not as one matrix."""
    picture = noise_picture(seed=3)
    draws = 0.5, -0.6, 0.3, 0.8
    measures = Colour(brightness=0.2, contrast=0.5, saturation=0.6, hue=0.5)
    got = measures(picture, Drawn(*draws)).image
    grey = luma(picture.image[::4, ::4].mean(axis=(0, 1)).round())
    gain, vivid, turn = 1 + 0.5 * -0.6, 1 + 0.6 * 0.3, 0.5 * 0.8
    for y in range(0, 24, 5):
        for x in range(0, 32, 5):
            red, green, blue = picture.image[y, x] / 1.0
            bright = 0.299 * red + 0.587 * green + 0.114 * blue
            i = 0.5959 * red - 0.2746 * green - 0.3213 * blue
            q = 0.2115 * red - 0.5227 * green + 0.3112 * blue
            length, angle = vivid * math.hypot(i, q), math.atan2(q, i) + turn
            i, q = length * math.cos(angle), length * math.sin(angle)
            mixed = np.array(
                [
                    bright + 0.956 * i + 0.619 * q,
                    bright - 0.272 * i - 0.647 * q,
                    bright - 1.106 * i + 1.703 * q,
                ]
            )
            right = np.clip((mixed - grey) * gain + grey + 255 * 0.2 * 0.5, 0, 255)
            np.testing.assert_allclose(got[y, x], right, atol=1.2)


def test_hue_turns_and_grey_stays_grey():
    picture = Picture(np.full((8, 8, 3), (160, 100, 90), np.uint8))
    turned = Colour(0, 0, 0, 1.0)(picture, Drawn(0.0, 0.0, 0.0, 1.0)).image[0, 0]
    assert abs(luma(turned) - luma((160, 100, 90))) < 1.5
    before, after = (colorsys.rgb_to_hsv(*(c / 255.0))[0] for c in (picture.image[0, 0], turned))
    assert abs(after - before) > 0.1
    grey = Picture(np.full((8, 8, 3), 90, np.uint8))
    np.testing.assert_allclose(Colour(0, 0, 1, 3)(grey, Stream(0)).image, 90, atol=1)
    pale = Colour(0, 0, 1, 0)(picture, Drawn(0.0, 0.0, -1.0, 0.0)).image[0, 0]
    assert np.ptp(pale.astype(int)) <= 1


def test_noise_is_as_strong_as_it_says():
    picture = Picture(np.full((200, 200, 3), 128, np.uint8))
    added = Noise(20.0)(picture, Stream(1)).image.astype(float) - 128
    drawn = 20 * float(Stream(1).uniform())
    assert abs(added.mean()) < 0.2
    assert abs(added.std() - drawn) < 0.03 * drawn
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(added[:, 1:, 0].ravel(), added[:, :-1, 0].ravel())[0, 1]) < 0.02
    white = Noise(80.0)(Picture(np.full((9, 9, 3), 255, np.uint8)), Stream(4)).image
    assert white.max() == 255
    assert white.min() > 60  # cut off, not wrapped


def test_bytes_of_a_stream_are_even_and_advance():
    stream = Stream(5, "bytes")
    first, second = stream.bytes((100, 101)), stream.bytes((100, 101))
    assert first.dtype == np.uint8
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, Stream(5, "bytes").bytes(10100).reshape(100, 101))
    counts = np.bincount(np.concatenate([first, second]).ravel(), minlength=256)
    assert ((counts - 79) ** 2 / 79).sum() < 350  # chi squared of 255 degrees: 1 in 30,000
    assert stream.bytes(()).shape == ()


def test_blur_spreads_light_and_keeps_it():
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[8:13, 8:13] = 250
    seen = Blur(2.0)(Picture(dot), Drawn(1.5)).image.astype(float)
    assert abs(seen.sum() / dot.sum() - 1) < 0.02
    assert seen.max() < 250
    assert seen[10, 15, 0] > 0


def test_cut_out_hides_pixels_boxes_and_labels():
    boxes = np.array([(0, 0, 10, 10), (12, 12, 20, 20), (5, 5, 8, 8)], np.float32)
    known = {"boxes": boxes, "classes": np.arange(3), "mask": np.ones((20, 20), np.uint8)}
    picture = noise_picture((20, 20), **known)
    hide = Compose([CutOut(1, (0.5, 0.5))], Rules(fill=(1, 2, 3), void=77, visible=0.3))
    for seed in range(30):
        seen = hide(picture, Stream(seed))
        hidden = seen.mask == 77
        assert 25 <= hidden.sum() <= 121
        np.testing.assert_array_equal((seen.image == [1, 2, 3]).all(axis=-1), hidden)
        np.testing.assert_array_equal(seen.image[~hidden], picture.image[~hidden])
        shares = [1 - hidden[y0:y1, x0:x1].mean() for y0, x0, y1, x1 in boxes.astype(int)]
        assert seen.classes.tolist() == [i for i in range(3) if shares[i] >= 0.3]
    assert (picture.mask == 1).all()


def test_what_several_patches_hide_adds_up():
    picture = noise_picture((20, 20), boxes=np.array([(0, 0, 10, 10)], np.float32))
    draws = Drawn([0.25, 1.0, 2 / 20, 5 / 20], [0.25, 1.0, 8 / 20, 5 / 20])  # of 4 x 10 pixels
    for visible, left in ((0.19, 1), (0.21, 0)):
        hide = Compose([CutOut(2, (0.1, 0.5))], Rules(visible=visible))
        assert len(hide(picture, draws).boxes) == left


def test_nothing_given_is_written_to():
    whole = noise_picture(
        (40, 50),
        boxes=np.array([(4, 4, 30, 30)], np.float32),
        classes=np.zeros(1, np.int64),
        proposals=np.ones((3, 4), np.float32),
    )
    for array in whole:
        if array is not None:
            array.flags.writeable = False
    before = whole.image.copy()
    changes = [
        Colour(),
        Noise(),
        Blur(),
        CutOut(),
        Affine(),
        Elastic(),
        MixUp([whole]),
        Mosaic([whole]),
    ]
    seen = Compose([*changes, Flip()])(whole, Stream(0))
    assert seen.image.shape == (40, 50, 3)
    assert len(seen.proposals) == 3 + 3 + 3 * 3  # its own, those mixed in, those of the mosaic
    np.testing.assert_array_equal(whole.image, before)


def test_mix_up_mixes_pixels_labels_and_objects():
    red = Picture(
        np.full((10, 12, 3), (200, 0, 0), np.uint8),
        np.array([[1, 1, 5, 5]], np.float32),
        np.array([0]),
        label=np.array([1, 0], np.float32),
    )
    blue = Picture(
        np.full((20, 24, 3), (0, 0, 100), np.uint8),
        np.array([[2, 2, 12, 12], [0, 0, 20, 24]], np.float32),
        np.array([1, IGNORED]),
        label=np.array([0, 1], np.float32),
    )
    shares = []
    for seed in range(40):
        seen = MixUp([blue], 1.0)(red, Stream(seed))
        share = float(seen.label[0])
        shares.append(share)
        np.testing.assert_allclose(seen.image[0, 0], (200 * share, 0, 100 - 100 * share), atol=1)
        np.testing.assert_allclose(seen.label.sum(), 1, rtol=1e-6)
        right = [0] * (share >= 0.3) + [1] * (share <= 0.7) + [IGNORED]
        assert seen.classes.tolist() == right
        if share <= 0.7:
            np.testing.assert_allclose(seen.boxes[-2:], [(1, 1, 6, 6), (0, 0, 10, 12)], rtol=1e-6)
    assert np.ptp(shares) > 0.7


def test_masks_that_disagree_are_void_unless_one_is_faint():
    ours, theirs = (np.array([[0, 0, 1, 1], row], np.uint8) for row in ([2, 2, 2, 2], [3, 3, 3, 2]))
    one, other = (
        noise_picture((2, 4), mask=mask, label=np.eye(2)[i])
        for i, mask in enumerate((ours, theirs))
    )
    seen_shares = set()
    for seed in range(60):
        seen = Compose([MixUp([other], 1.0)], Rules(visible=0.3))(one, Stream(seed))
        share = seen.label[0]
        both = np.where(ours == theirs, ours, 255)
        right = ours if share > 0.7 else theirs if share < 0.3 else both
        np.testing.assert_array_equal(seen.mask, right)
        seen_shares.add(int(share > 0.7) - int(share < 0.3))
    assert len(seen_shares) == 3
    assert MixUp([other])(one._replace(mask=None), Stream(0)).mask is None
    assert MixUp([one._replace(mask=None)])(other, Stream(0)).mask is None


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_of_mix_up_have_the_moments_of_beta(alpha):
    stream = Stream(1, "beta")
    pairs = np.array([[mixing._gamma(stream, alpha) for _ in range(2)] for _ in range(1500)])
    shares = pairs[:, 0] / pairs.sum(axis=1)
    assert abs(pairs.mean() - alpha) < 0.1 * alpha + 0.02
    assert abs(shares.mean() - 0.5) < 0.04
    assert abs(shares.var() - 1 / (4 * (2 * alpha + 1))) < 0.012


def tile(colour, boxes, size=(40, 60), label=0):
    """A grey picture with boxes of one colour, and a mask."""
    image, mask = np.full((*size, 3), 128, np.uint8), np.zeros(size, np.uint8)
    for y0, x0, y1, x1 in boxes:
        image[y0:y1, x0:x1] = colour
        mask[y0:y1, x0:x1] = 1 + label
    return Picture(image, np.array(boxes, np.float32), np.full(len(boxes), label), mask)


def test_a_mosaic_shows_what_its_boxes_say():
    colours = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)])
    own = tile(colours[0], [(2, 2, 18, 28), (20, 30, 38, 58)], label=0)
    others = [
        tile(colours[1], [(5, 5, 35, 40)], label=1),
        tile(colours[2], [(10, 10, 60, 90), (0, 50, 20, 100)], (80, 120), label=2),
        tile(colours[3], [(1, 1, 9, 14)], (10, 15), label=3),
    ]
    kinds = set()
    for seed in range(25):
        seen = Compose([Mosaic(others)], Rules(visible=0.3))(own, Stream(seed))
        assert seen.image.shape == (40, 60, 3)
        kinds |= set(seen.classes.tolist())
        for (y0, x0, y1, x1), label in zip(seen.boxes, seen.classes, strict=True):
            inner = np.s_[math.ceil(y0 + 1) : int(y1 - 1), math.ceil(x0 + 1) : int(x1 - 1)]
            pixels = seen.image[inner].reshape(-1, 3).astype(int)
            if len(pixels):
                assert abs(np.median(pixels, axis=0) - colours[label]).max() < 40
                assert np.median(seen.mask[inner]) == 1 + label
        assert 255 not in seen.mask  # all four quarters are filled
    assert kinds == {0, 1, 2, 3}


def test_a_mosaic_of_pixels_without_a_middle():
    small = Picture(np.full((2, 2, 3), 7, np.uint8), np.array([[0, 0, 2, 2]], np.float32))
    assert (Mosaic([small])(small, Stream(0)).image == 7).all()


@pytest.mark.parametrize("seed", range(20))
def test_masks_lie_where_pixels_do_whatever_follows_whatever(seed):
    """Masks painted as images: wherever one colour alone is seen, the mask says the same."""
    painted = []
    for i in range(4):
        mask = np.kron(Stream(i).integers(0, 3, (5, 6)), np.ones((9 + i, 8), int)).astype(np.uint8)
        painted.append(Picture(np.repeat(100 * mask[..., None], 3, axis=2), mask=mask))
    recipe = Compose(
        [CutOut(), Mosaic(painted[1:]), Perspective(), Elastic(), CutOut(2), Affine(0.5), Flip()],
        Rules(fill=(255, 0, 0), void=9),
    )
    seen = recipe(painted[0], Stream(seed))
    colour = seen.image.astype(int)
    assert set(np.unique(seen.mask)) <= {0, 1, 2, 9}
    hidden = (colour == [255, 0, 0]).all(axis=-1)
    assert (seen.mask[hidden] == 9).all()
    for label in (0, 2):  # 100 is also what a mixture of the others may be
        pure = (colour == 100 * label).all(axis=-1)
        assert (seen.mask[pure] == label).all()
    assert hidden.any()


def test_sometimes_is_as_often_as_it_says():
    picture = noise_picture()
    same = [Sometimes(Flip(1.0), 0.25)(picture, Stream(i)) is picture for i in range(400)]
    assert 0.68 < np.mean(same) < 0.82


def test_batches_fill_up_and_keep_what_is_to_be_found():
    one = noise_picture(
        (6, 8), boxes=np.ones((3, 4), np.float32), classes=np.array([2, IGNORED, 1])
    )
    none = noise_picture((6, 8), 1, boxes=np.zeros((0, 4), np.float32), classes=np.zeros(0, int))
    images, truths = batched([one, none])
    assert images.shape == (2, 6, 8, 3)
    assert truths["boxes"].shape == (2, 3, 4)
    assert truths["boxes"].dtype == np.float32
    assert truths["classes"].dtype == np.int64
    assert truths["classes"].tolist() == [[2, 1, IGNORED], [NOTHING] * 3]
    _, truths = batched([one, none], 2)
    assert truths["classes"].tolist() == [[2, 1], [NOTHING] * 2]
    image, truth = padded(one, 5)
    assert image is one.image
    assert truth["classes"].tolist() == [2, 1, IGNORED, NOTHING, NOTHING]
    few, many = (
        p._replace(proposals=np.ones((n, 4), np.float32)) for p, n in ((one, 2), (none, 4))
    )
    _, truths = batched([few, many])
    assert truths["proposals"].sum(axis=(1, 2)).tolist() == [8, 16]
    _, nothing = batched([Picture(one.image, mask=one.image[..., 0])])
    assert set(nothing) == {"mask"}


def test_batches_of_different_pictures_are_refused():
    with pytest.raises(ShapeError, match=r"sizes \[\(4, 4\), \(5, 5\)\]"):
        batched([noise_picture((4, 4)), noise_picture((5, 5))])
    with pytest.raises(ShapeError, match=r"know \[\(\), \('boxes', 'classes'\)\]"):
        batched([noise_picture(), noise_picture(boxes=np.ones((1, 4)))])
    with pytest.raises(ConfigError, match="no pictures"):
        batched([])
    with pytest.raises(ConfigError, match="a table of 0 rows"):
        padded(noise_picture(), 0)


def test_the_same_bits_on_any_number_of_threads():
    scenes = [
        noise_picture(
            (30, 40), i, boxes=np.array([[4, 5, 20, 30]], np.float32), classes=np.array([i]),
            mask=noise_picture((30, 40), 100 + i).image[..., 0],
        )
        for i in range(12)
    ]  # fmt: skip
    recipes = [
        street_view((24, 32), scenes),
        any_side_up((24, 32)),
        Compose([Elastic(), Noise()]),
        Compose([MixUp(scenes, 1.0), Perspective(), CutOut()]),
    ]
    for recipe in recipes:
        runs = []
        for workers in (0, 1, 4):
            data = Dataset.from_slices(np.arange(12)).map(
                lambda i, stream, recipe=recipe: padded(recipe(scenes[i], stream), 6),
                workers=workers, random=True, seed=7,
            )  # fmt: skip
            runs.append([(image, truth["boxes"], truth["mask"]) for image, truth in data])
        for run in runs[1:]:
            for found, right in zip(run, runs[0], strict=True):
                for one, other in zip(found, right, strict=True):
                    np.testing.assert_array_equal(one, other)
        assert len({image.tobytes() for image, _, _ in runs[0]}) == 12


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Colour(hue=-1), "hue must be 0 or more, got -1"),
        (lambda: Colour(contrast=1.0), "contrast 1.0 must be below 1"),
        (lambda: Noise(math.nan), "strength must be from 0 to 255, got nan"),
        (lambda: Blur(math.inf), "strength must be 0 or more, got inf"),
        (lambda: CutOut(0), r"CutOut: 0 of size"),
        (lambda: MixUp([]), "MixUp: there are no others"),
        (lambda: MixUp([noise_picture()], 0), "alpha must be above 0"),
        (lambda: Mosaic([]), "Mosaic: there are no others"),
        (lambda: Mosaic([noise_picture()], off=0.5), "off 0.5; give"),
    ],
)
def test_what_makes_no_sense_is_refused(make, says):
    with pytest.raises(ConfigError, match=says):
        make()


def test_a_transform_without_a_way_says_so():
    with pytest.raises(NotImplementedError, match="Transform does nothing"):
        Transform()(noise_picture(), Stream(0))
