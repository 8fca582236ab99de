"""What is known of the real data holds; skipped where they are not."""

import os
from pathlib import Path

import numpy as np
import pytest

from minicnn.data.gtsrb import NUM_CLASSES, load_gtsrb
from minicnn.data.splits import split_by_track
from minicnn.errors import ConfigError

FOLDER = os.environ.get("MINICNN_GTSRB")
SAMPLE = "GTSRB_Final_Training_Images.sample.zip"
WHOLE = "gtsrb-train-cap64.zip"

pytestmark = pytest.mark.skipif(
    not FOLDER, reason="real images needed: set MINICNN_GTSRB to the folder with the GTSRB zips"
)


def there(name):
    path = Path(FOLDER or "") / name
    if not path.exists():
        pytest.skip(f"MINICNN_GTSRB has no {name}")
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The whole training set, decoded once."""
    return load_gtsrb(there(WHOLE), cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def sample():
    return load_gtsrb(there(SAMPLE), cache=None)


def test_whole_training_set(whole):
    assert whole.images.shape == (39_209, 32, 32, 3)
    tracks, lengths = np.unique(whole.tracks, return_counts=True)
    assert len(tracks) == 1307
    assert sorted(set(lengths.tolist())) == [29, 30]
    counts = whole.per_class_counts()
    assert (counts > 0).all()
    assert counts[[0, 2, 12, 42]].tolist() == [210, 2250, 2100, 240]
    assert not whole.skipped
    assert not whole.notes


def test_sample_of_originals(sample):
    assert sample.images.shape == (645, 32, 32, 3)
    assert sample.per_class_counts().tolist() == [15] * NUM_CLASSES
    assert len(np.unique(sample.tracks)) == 129


def test_no_sign_is_in_both_parts(whole):
    train, held = split_by_track(whole)
    assert not set(whole.tracks[train]) & set(whole.tracks[held])
    assert len(train) + len(held) == len(whole)
    assert 0.17 < len(held) / len(whole) < 0.23
    for part in (train, held):
        assert (whole.select(part).per_class_counts() > 0).all()


def test_both_layouts_show_the_same_picture(whole, sample):
    """Original .ppm against scaled-down .jpg: the crop is the same, so the boxes are read alike.

    Measured: 2 grey levels in the middle; with a box one pixel off on one side, 9.
    """

    def frames(table):
        pairs = zip(table.tracks.tolist(), table.names, strict=True)
        return [(track, int(name[-9:-4])) for track, name in pairs]

    row = {key: i for i, key in enumerate(frames(whole))}
    found = [row[key] for key in frames(sample)]
    np.testing.assert_array_equal(whole.labels[found], sample.labels)
    apart = np.abs(whole.images[found].astype(float) - sample.images).mean((1, 2, 3))
    assert np.median(apart) < 3
    assert np.quantile(apart, 0.95) < 8


def test_two_archives_in_one_folder(tmp_path):
    there(SAMPLE), there(WHOLE)
    with pytest.raises(ConfigError, match=rf"several data sets; give one of .*{SAMPLE}, .*{WHOLE}"):
        load_gtsrb(FOLDER)
