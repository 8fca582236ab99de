"""Splits: whole tracks or single images, complete, repeatable, and never empty."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicnn.data.sign_table import SignTable
from minicnn.data.splits import split_by_track, split_random
from minicnn.errors import ConfigError, ShapeError


def table(labels, tracks):
    n = len(labels)
    labels = np.array(labels, np.int64)
    tracks = labels * 100_000 + np.array(tracks, np.int64)
    names = tuple(map(str, range(n)))
    return SignTable(np.zeros((n, 2, 2, 3), np.uint8), labels, tracks, names, "made up")


TABLES = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), min_size=2, max_size=60).map(
    lambda rows: table(*zip(*rows, strict=True))
)
FRACTIONS = st.floats(0.01, 0.99)


def check_partition(signs, train, held):
    np.testing.assert_array_equal(np.sort(np.concatenate([train, held])), np.arange(len(signs)))
    for part in (train, held):
        assert len(part) > 0
        np.testing.assert_array_equal(part, np.sort(part))


@given(TABLES, FRACTIONS, st.integers(0, 5))
def test_by_track(signs, fraction, seed):
    counts = {c: len(set(signs.tracks[signs.labels == c])) for c in set(signs.labels.tolist())}
    if max(counts.values()) < 2:
        with pytest.raises(ConfigError, match="no class of made up has two tracks"):
            split_by_track(signs, fraction, seed)
        return
    train, held = split_by_track(signs, fraction, seed)
    check_partition(signs, train, held)
    assert not set(signs.tracks[train]) & set(signs.tracks[held])
    for label, count in counts.items():
        out = len(set(signs.tracks[held][signs.labels[held] == label]))
        assert out == (0 if count == 1 else min(max(round(fraction * count), 1), count - 1))


@given(TABLES, FRACTIONS, st.integers(0, 5))
def test_random(signs, fraction, seed):
    train, held = split_random(signs, fraction, seed)
    check_partition(signs, train, held)
    assert len(held) == min(max(round(fraction * len(signs)), 1), len(signs) - 1)


@pytest.mark.parametrize("split", [split_by_track, split_random])
def test_seed_decides(split):
    signs = table(np.repeat(np.arange(5), 100), np.tile(np.repeat(np.arange(20), 5), 5))
    first, again, other = split(signs, seed=1), split(signs, seed=1), split(signs, seed=2)
    np.testing.assert_array_equal(first[1], again[1])
    assert len(first[1]) == len(other[1]) == 100
    assert not np.array_equal(first[1], other[1])


def test_random_tears_tracks_apart():
    """The reason why the other split exists."""
    signs = table(np.zeros(100), np.repeat(np.arange(10), 10))
    train, held = split_random(signs)
    assert set(signs.tracks[train]) & set(signs.tracks[held])


def test_classes_are_split_independently():
    """A class's held-out tracks do not depend on which other classes there are."""
    both = table([0] * 10 + [1] * 10, list(range(10)) * 2)
    alone = both.select(both.labels == 1)
    _, held_both = split_by_track(both)
    _, held_alone = split_by_track(alone)
    wanted = set(both.tracks[held_both][both.labels[held_both] == 1])
    assert set(alone.tracks[held_alone]) == wanted


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_wrong_fraction(fraction):
    for split in (split_by_track, split_random):
        with pytest.raises(ConfigError, match=rf"fraction {fraction} is not between 0 and 1"):
            split(table([0, 0], [0, 1]), fraction)


def test_too_few_images():
    with pytest.raises(ConfigError, match="1 images cannot be split"):
        split_random(table([0], [0]))


def test_table_select_and_counts():
    signs = table([3, 1, 3, 2], [0, 0, 1, 0])
    assert len(signs) == 4
    assert signs.per_class_counts(5).tolist() == [0, 1, 1, 2, 0]
    assert len(signs.per_class_counts()) == 43
    some = signs.select([2, 0])
    assert some.names == ("2", "0")
    assert some.tracks.tolist() == [300_001, 300_000]
    assert signs.select(signs.labels == 3).names == ("0", "2")
    assert len(signs.select([])) == 0
    assert signs.select([]).images.shape == (0, 2, 2, 3)
    with pytest.raises(ConfigError, match="labels reach from 1 to 3; raise num_classes, now 3"):
        signs.per_class_counts(3)


def test_table_digest_follows_images_and_labels():
    signs = table([3, 1, 3], [0, 0, 1])
    assert signs.digest() == signs.select([0, 1, 2]).digest() != signs.select([0, 2, 1]).digest()
    other = signs.select([0, 1, 2])
    other.images[1, 0, 0, 0] = 1
    assert other.digest() != signs.digest()


def test_table_of_uneven_columns():
    with pytest.raises(ShapeError, match=r"\[2, 3, 2, 2\] rows"):
        SignTable(np.zeros((2, 4, 4, 3)), np.zeros(3), np.zeros(2), ("a", "b"), "x")
    with pytest.raises(ShapeError, match=r"\(N, H, W, 3\), got \(2, 3, 4, 4\)"):
        SignTable(np.zeros((2, 3, 4, 4)), np.zeros(2), np.zeros(2), ("a", "b"), "x")
