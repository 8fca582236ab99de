"""The procedural set: reproducible to the byte, tracks that approach, like the real one."""

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.data.signs import make_signs
from minicnn.data.signs.backdrops import backdrop, smooth_noise
from minicnn.data.signs.scene import _progress, _viewpoint, picture, scene
from minicnn.data.splits import split_by_track
from minicnn.errors import ConfigError


@pytest.fixture(scope="module")
def signs():
    return make_signs(2, 3, cache=None)


def test_table(signs):
    assert signs.images.shape == (258, 32, 32, 3)
    assert signs.images.dtype == np.uint8
    assert signs.per_class_counts().tolist() == [6] * 43
    assert signs.tracks[:8].tolist() == [0, 0, 0, 1, 1, 1, 100_000, 100_000]
    assert signs.labels.dtype == signs.tracks.dtype == np.int64
    assert signs.names[7] == "00001/00000_00001"
    assert signs.source == "procedural signs (seed 0)"


def test_every_image_is_its_own(signs):
    assert len({image.tobytes() for image in signs.images}) == len(signs)


@pytest.mark.parametrize("workers", [1, 3])
def test_same_bytes_again_whatever_the_threads(signs, workers):
    again = make_signs(2, 3, cache=None, workers=workers)
    np.testing.assert_array_equal(again.images, signs.images)


def test_images_do_not_depend_on_how_many_are_asked_for(signs):
    fewer = make_signs(1, 2, cache=None)
    wanted = signs.images.reshape(43, 2, 3, 32, 32, 3)[:, :1, :2]
    np.testing.assert_array_equal(fewer.images, wanted.reshape(-1, 32, 32, 3))
    one = picture(scene(0, "train", 7, 1), 2, 32)
    np.testing.assert_array_equal(one, signs.images.reshape(43, 2, 3, 32, 32, 3)[7, 1, 2])


def test_seed_and_part_decide(signs):
    for other in (make_signs(2, 3, seed=1, cache=None), make_signs(2, 3, part="test", cache=None)):
        np.testing.assert_array_equal(other.labels, signs.labels)
        assert not (other.images == signs.images).all((1, 2, 3)).any()


def test_any_size():
    small, large = (make_signs(1, 1, size=size, cache=None) for size in (11, 88))
    assert large.images.shape == (43, 88, 88, 3)
    shrunk = large.images.reshape(43, 11, 8, 11, 8, 3).mean((2, 4))
    assert np.abs(shrunk - small.images).mean() < 12  # the same scenes


def test_sign_grows_as_the_car_comes_near():
    place = scene(0, "train", 1, 0)
    pixels = [_viewpoint(place, i / 10, Stream(0, "shake", i))[3] for i in range(11)]
    assert pixels[0] == pytest.approx(place.sizes[0])
    assert pixels[-1] == pytest.approx(place.sizes[1])
    assert sorted(pixels) == pixels


def test_later_frames_fall_between_the_first_ones():
    steps = [_progress(frame) for frame in range(10)]
    np.testing.assert_allclose(steps, np.arange(10) / 10)
    assert _progress(10) == pytest.approx(0.05)
    assert [round(_progress(f), 4) for f in (20, 30, 13)] == [0.025, 0.075, 0.35]
    assert len({_progress(f) for f in range(200)}) == 200


def test_frames_of_a_track_are_alike_and_tracks_are_not():
    images = make_signs(4, 3, cache=None).images.reshape(43, 4, 3, -1).astype(float)
    across_frames = np.abs(np.diff(images, axis=2)).mean()
    across_tracks = np.abs(np.diff(images, axis=1)).mean()
    assert across_tracks > 2.5 * across_frames


def test_as_bright_and_as_varied_as_the_real_set(signs):
    """The real training set's middle half: brightness 0.20 to 0.46, spread 0.08 to 0.22."""
    grey = signs.images.mean(3) / 255
    brightness, spread = grey.mean((1, 2)), grey.std((1, 2))
    assert 0.25 < np.median(brightness) < 0.42
    assert 0.10 < np.median(spread) < 0.18
    assert brightness.min() < 0.2
    assert brightness.max() > 0.6


def test_the_sign_is_in_the_middle():
    """Blue signs are bluer in the middle than at the corners."""
    images = make_signs(3, 3, cache=None)
    blue = images.select(np.isin(images.labels, [33, 34, 35, 38])).images.astype(float)
    blueness = (blue[..., 2] - blue[..., 0]).mean(0)
    corners = blueness[[0, 0, -1, -1], [0, -1, 0, -1]].mean()
    assert blueness[8:24, 8:24].mean() > corners + 15


def test_classes_can_be_told_apart():
    """The nearest class mean of other tracks, on smooth grey images, beats chance by far."""
    signs = make_signs(6, 3, cache=None)
    train, held = split_by_track(signs, 0.25)
    grey = signs.images.reshape(-1, 16, 2, 16, 2, 3).mean((2, 4, 5))
    grey = grey - grey.mean((1, 2), keepdims=True)
    flat = (grey / grey.std((1, 2), keepdims=True)).reshape(len(signs), -1)
    means = np.stack([flat[train][signs.labels[train] == c].mean(0) for c in range(43)])
    guess = (flat[held] @ means.T / np.linalg.norm(means, axis=1)).argmax(1)
    accuracy = (guess == signs.labels[held]).mean()
    assert accuracy > 0.15  # 1/43 is 0.023
    assert accuracy < 0.9  # or it would be too easy to be worth training a network on


def test_cached_like_the_real_ones(tmp_path):
    first = make_signs(1, 1, size=8, cache=tmp_path)
    assert len(list(tmp_path.glob("signs-train-8-*.npz"))) == 1
    second = make_signs(1, 1, size=8, cache=tmp_path)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.names == second.names
    make_signs(1, 1, size=8, seed=1, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_changed_drawing_code_never_meets_old_pictures(tmp_path, monkeypatch):
    from minicnn.data.signs import tracks

    make_signs(1, 1, size=8, cache=tmp_path)
    monkeypatch.setattr(tracks, "_own_source", lambda: (b"another way to draw",))
    make_signs(1, 1, size=8, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tracks_per_class": 0}, "tracks_per_class is 0; give 1 or more"),
        ({"frames": -1}, "frames is -1"),
        ({"size": 0}, "size is 0"),
        ({"part": "val"}, "part 'val' does not exist"),
        ({"workers": 0}, "0 workers cannot draw"),
        ({"tracks_per_class": 100_001}, "at most 100000 tracks"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ConfigError, match=message):
        make_signs(cache=None, **options)


def test_noise_and_backdrops_stay_in_range():
    noise = smooth_noise(Stream(0, "noise"), 40, (4, 13))
    assert noise.shape == (40, 40)
    assert noise.dtype == np.float32
    assert 0 <= noise.min() < 0.4 < 0.6 < noise.max() <= 1
    for key in range(20):
        behind = backdrop(Stream(key, "backdrop"))
        assert behind.shape == (128, 128, 3)
        assert behind.dtype == np.float32
        assert 0 <= behind.min() <= behind.max() < 1.3
