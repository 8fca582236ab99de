"""Random views and standardisation against loops in float64."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.backend.random import Stream
from minicnn.data.augment import Affine, Colour, Compose, Picture, Rules
from minicnn.data.augmentation import RandomView, standardize
from minicnn.errors import ConfigError, ShapeError
from minicnn.kernels import cpu, plain


def warped(image, matrix, gain, offset):
    """The definition of `warp_affine`, pixel by pixel."""
    height, width, channels = image.shape
    out = np.empty(image.shape)

    def reflected(at, length):
        last = length - 1
        return min(max(last - abs(last - abs(at)), 0.0), last)

    for i in range(height):
        for j in range(width):
            y, x = i - (height - 1) / 2, j - (width - 1) / 2
            sy = matrix[0][0] * y + matrix[0][1] * x + matrix[0][2] + (height - 1) / 2
            sx = matrix[1][0] * y + matrix[1][1] * x + matrix[1][2] + (width - 1) / 2
            sy, sx = reflected(sy, height), reflected(sx, width)
            y0, x0 = math.floor(sy), math.floor(sx)
            for c in range(channels):
                value = 0.0
                for h, share_h in ((y0, 1 - (sy - y0)), (y0 + 1, sy - y0)):
                    for w, share_w in ((x0, 1 - (sx - x0)), (x0 + 1, sx - x0)):
                        pixel = image[min(h, height - 1), min(w, width - 1), c]
                        value += share_h * share_w * float(pixel)
                out[i, j, c] = value / 255 * gain + offset
    return out


@given(
    st.integers(0, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1)
)  # fmt: skip
@pytest.mark.parametrize("kernels", [cpu, plain])
def test_warp_matches_its_definition(kernels, count, height, width, seed):
    stream = Stream(seed)
    images = stream.integers(0, 256, (count, height, width, 3)).astype(np.uint8)
    matrices = stream.normal((count, 2, 3), std=1.5).astype(np.float32)
    gains, offsets = (stream.uniform(count, -2, 2).astype(np.float32) for _ in range(2))
    out = kernels.warp_affine(images, matrices, gains, offsets)
    assert out.dtype == np.float32
    for n in range(count):
        expected = warped(images[n], matrices[n].astype(float), gains[n], offsets[n])
        np.testing.assert_allclose(out[n], expected, atol=2e-4)


class Drawn:
    """Stands for a stream: gives the numbers it was given, a table at a time."""

    def __init__(self, *tables):
        self.tables = [np.array(table, float) for table in tables]

    def uniform(self, shape, low=0.0, high=1.0):
        table = self.tables.pop(0)
        assert table.shape == ((shape,) if isinstance(shape, int) else shape)
        return table


def looks(view, draws, height, width):
    """The definition of a view's matrix (2, 3), gain and offset, from eight numbers."""
    turn, down = view.rotation * draws[0], 1 + view.scale * draws[1]
    across = down * (1 + view.stretch * draws[2])
    sine, cosine = math.sin(turn), math.cos(turn)
    matrix = [
        [down * cosine, across * sine, view.shift * height * draws[4]],
        [-down * sine + view.shear * draws[3], across * cosine, view.shift * width * draws[5]],
    ]
    return np.array(matrix), 1 + view.gain * draws[6], view.offset * draws[7]


def as_affine_and_colour(matrix, gain, offset, picture, rules):
    """The same look by `Affine` and `Colour`, told what to draw: the picture that they make."""
    forward = np.linalg.inv(matrix[:, :2])  # = a rotation times [[larger, 0], [sheared, wider]]
    turn = math.atan2(-forward[0, 1], forward[1, 1])
    turned_back = [[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]]
    (larger, nothing), (sheared, wider) = turned_back @ forward
    assert abs(nothing) < 1e-9
    shift = -forward @ matrix[:, 2] / picture.size
    affine = Affine(rotation=1.0, scale=(0.5, 2.0), stretch=0.9, shear=0.9, shift=1.0)
    measures = [math.log2(larger), turn, (wider / larger - 1) / 0.9, sheared / larger / 0.9, *shift]
    seen = Compose([affine], rules)(picture, Drawn(measures))
    grey = seen.image[::4, ::4].mean(axis=(0, 1)).round() @ [0.299, 0.587, 0.114]
    colour = Colour(brightness=1.0, contrast=0.9, saturation=0.0, hue=0.0)
    light = [offset - (1 - gain) * grey / 255, (gain - 1) / 0.9, 0.0, 0.0]
    return colour(seen, Drawn(light))


MEASURES = st.tuples(*(st.floats(0, most) for most in (0.25, 0.12, 0.08, 0.1, 0.06, 0.4, 0.15)))


@given(MEASURES, st.integers(0, 2**32 - 1))
def test_a_view_matches_its_definition(measures, seed):
    stream, view = Stream(seed), RandomView(*measures)
    images = stream.integers(0, 256, (2, 6, 5, 3)).astype(np.uint8)
    draws = stream.uniform((8, 2), -1.0, 1.0)
    seen = view(images, Drawn(draws))
    for n in range(2):
        expected = warped(images[n], *looks(view, draws[:, n], 6, 5))
        np.testing.assert_allclose(seen[n], expected, atol=2e-4)


@given(MEASURES, st.integers(0, 2**32 - 1))
def test_a_batch_is_seen_like_single_pictures_and_by_other_transforms(measures, seed):
    """Something amid even grey, so that it does not matter what is shown beyond the border."""
    stream, view = Stream(seed), RandomView(*measures)
    images = np.full((3, 40, 44, 3), 128, np.uint8)
    images[:, 16:24, 18:26] = stream.integers(0, 256, (3, 8, 8, 3))
    draws = stream.uniform((8, 3), -1.0, 1.0)
    rules = Rules(fill=(128, 128, 128))
    together = np.clip(255 * view(images, Drawn(draws)), 0, 255)
    for n, seen in enumerate(together):
        alone = Compose([view], rules)(Picture(images[n]), Drawn(draws[:, n : n + 1]))
        look = looks(view, draws[:, n], 40, 44)
        others = as_affine_and_colour(*look, Picture(images[n]), rules)
        # Pictures are rounded twice: to half a step before a gain of up to 1.4, and after it
        np.testing.assert_allclose(alone.image, seen, atol=1.21)
        np.testing.assert_allclose(others.image, seen, atol=1.21)


def test_a_picture_keeps_what_is_known_of_it():
    image = Stream(0).integers(0, 256, (8, 9, 3)).astype(np.uint8)
    label = np.array([0, 1], np.float32)
    seen = RandomView()(Picture(image, label=label), Stream(1))
    again = Compose([RandomView()])(Picture(image, label=label), Stream(1))
    np.testing.assert_array_equal(seen.image, again.image)
    assert seen.label is label


def test_no_motion_and_even_light_change_nothing():
    images = Stream(0).integers(0, 256, (2, 5, 6, 3)).astype(np.uint8)
    still = RandomView(0, 0, 0, 0, 0, 0, 0)
    np.testing.assert_allclose(still(images, Stream(1)), images / 255, atol=1e-6)


def test_views_are_those_of_the_stream_whoever_draws():
    images = Stream(0).integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    first, again, other = (RandomView()(images, Stream(s, "view")) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[0] - first[1], images[0] / 255.0 - images[1] / 255.0)


def test_nothing_is_mirrored():
    """A picture that brightens to the right still does, in every view."""
    ramp = np.broadcast_to(np.linspace(20, 200, 32)[None, :, None], (200, 32, 32, 3))
    views = RandomView()(ramp.astype(np.uint8), Stream(3))
    inner = views[:, 8:24, 8:24].mean(axis=(1, 3))
    assert (np.diff(inner, axis=1) > 0).all()


def test_shift_moves_a_dot_as_far_as_it_says():
    image = np.zeros((1, 9, 9, 3), np.uint8)
    image[0, 4, 4] = 255
    matrix = np.array([[[1, 0, 2], [0, 1, -3]]], np.float32)
    out = cpu.warp_affine(image, matrix, np.ones(1, np.float32), np.zeros(1, np.float32))
    assert np.argwhere(out[0, :, :, 0] > 0.5).tolist() == [[2, 7]]


@pytest.mark.parametrize("kernels", [cpu, plain])
def test_standardize_matches_its_definition(kernels):
    images = Stream(0).uniform((3, 4, 5, 3), dtype=np.float32)
    out = kernels.standardize(images, 0.02)
    for image, result in zip(images.astype(float), out, strict=True):
        mean = sum(image.ravel()) / image.size
        spread = math.sqrt(sum((v - mean) ** 2 for v in image.ravel()) / image.size)
        np.testing.assert_allclose(result, (image - mean) / (spread + 0.02), rtol=1e-5, atol=1e-6)


def test_standardize_treats_bytes_and_shares_alike_and_gives_channels_first():
    images = Stream(0).integers(0, 256, (2, 6, 7, 3)).astype(np.uint8)
    of_bytes, of_shares = standardize(images), standardize(images.astype(np.float32) / 255)
    assert of_bytes.shape == (2, 3, 6, 7)
    assert np.moveaxis(of_bytes, 1, -1).flags.c_contiguous
    np.testing.assert_allclose(of_bytes, of_shares, atol=1e-5)


def test_sums_that_do_not_fill_a_vector_are_whole():
    for width in range(1, 9):  # 3, 6, 9, ... numbers an image
        images = Stream(width).uniform((2, 1, width, 3), dtype=np.float32)
        np.testing.assert_allclose(
            cpu.standardize(images, 0.02), plain.standardize(images, 0.02), rtol=1e-5, atol=1e-6
        )


def test_a_batch_of_nothing_stays_one():
    nothing = np.zeros((0, 4, 4, 3), np.uint8)
    assert RandomView()(nothing, Stream(0)).shape == (0, 4, 4, 3)
    assert standardize(nothing).shape == (0, 3, 4, 4)


def test_an_even_image_becomes_zero_and_not_nan():
    np.testing.assert_allclose(standardize(np.full((1, 4, 4, 3), 255, np.uint8)), 0, atol=1e-5)


@pytest.mark.parametrize("name", ["rotation", "shear", "offset"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_a_measure_that_is_no_width_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} must be 0 or more, got {value}"):
        RandomView(**{name: value})


@pytest.mark.parametrize("name", ["scale", "stretch", "gain"])
def test_a_scale_that_reaches_zero_is_refused(name):
    with pytest.raises(ConfigError, match="below 1"):
        RandomView(**{name: 1.0})


def test_images_of_another_form_are_refused():
    with pytest.raises(
        ShapeError, match=r"uint8 images \(N, H, W, 3\), got float64 \(1, 4, 4, 3\)"
    ):
        RandomView()(np.zeros((1, 4, 4, 3)), Stream(0))
    with pytest.raises(ShapeError, match=r"needs images \(N, H, W, 3\), got \(3, 4, 4\)"):
        standardize(np.zeros((3, 4, 4), np.uint8))
