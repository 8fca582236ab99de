"""Random streams: the same numbers for the same name, and numbers that look random."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.errors import ConfigError
from tests.ops.spec import ErrorCase

DRAWS = {
    "uniform": lambda s, n: s.uniform(n),
    "uniform float32": lambda s, n: s.uniform(n, dtype=np.float32),
    "normal": lambda s, n: s.normal(n),
    "normal float32": lambda s, n: s.normal(n, dtype=np.float32),
    "integers": lambda s, n: s.integers(-5, 1000, n),
    "bernoulli": lambda s, n: s.bernoulli(0.3, n),
    "permutation": lambda s, n: s.permutation(n),
}


@pytest.fixture(params=["1", "0"])
def jit(request, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", request.param)


@pytest.mark.usefixtures("jit")
def test_the_numbers_of_a_name_never_change():
    """Whoever has a seed has the run: these values are a promise across versions and machines."""
    assert Stream(0, "example").integers(0, 10, shape=3).tolist() == [9, 7, 7]
    stream = Stream(2024, "shuffle", 3)
    assert stream.permutation(8).tolist() == GOLDEN["permutation"]
    assert stream.integers(0, 100, 4).tolist() == GOLDEN["integers"]
    assert stream.uniform(2).tolist() == GOLDEN["uniform"]
    assert stream.uniform(2, dtype=np.float32).tolist() == GOLDEN["uniform float32"]
    np.testing.assert_allclose(stream.normal(3), GOLDEN["normal"], rtol=1e-15)
    assert stream.bernoulli(0.5, 6).tolist() == GOLDEN["bernoulli"]


GOLDEN = {
    "permutation": [4, 7, 3, 6, 5, 2, 0, 1],
    "integers": [27, 42, 47, 33],
    "uniform": [0.8250708186124597, 0.7439875836462817],
    "uniform float32": [0.2656503915786743, 0.918750524520874],
    "normal": [-0.42788604024664634, 0.7959896882331503, 0.16754523472747448],
    "bernoulli": [True, True, True, False, True, True],
}


@pytest.mark.parametrize("name", DRAWS)
def test_compiled_and_plain_draw_the_same_bits(name, monkeypatch):
    results = []
    for flag in ("1", "0"):
        monkeypatch.setenv("MINICNN_JIT", flag)
        results.append(DRAWS[name](Stream(7, "x"), 1001).tobytes())
    assert results[0] == results[1]


@pytest.mark.parametrize("name", DRAWS)
def test_a_name_draws_the_same_again_and_other_names_draw_others(name):
    draw = DRAWS[name]
    first = draw(Stream(1, "a", 2), 200)
    np.testing.assert_array_equal(first, draw(Stream(1, "a", 2), 200))
    for other in (
        Stream(2, "a", 2),
        Stream(1, "b", 2),
        Stream(1, "a", 3),
        Stream(1, "a"),
        Stream(1),
    ):
        assert (draw(other, 200) != first).any()
    assert (draw(Stream(1, "a", "2"), 200) != first).any(), "a number is not its text"
    assert (draw(Stream(1, "a2"), 200) != first).any(), "parts of a key are not run together"


@pytest.mark.parametrize("name", DRAWS)
def test_a_stream_goes_on_and_can_jump_back(name):
    draw, stream = DRAWS[name], Stream(0, "jump")
    first, at = draw(stream, 100), stream.position
    assert at > 0
    second = draw(stream, 100)
    assert (first != second).any()
    stream.position = at
    np.testing.assert_array_equal(draw(stream, 100), second)


def test_position_counts_blocks_of_four_words():
    """A float32 takes one word, other numbers two; begun blocks are used up."""
    for draw, blocks in (
        (lambda s: s.uniform(dtype=np.float32), 1),
        (lambda s: s.uniform(8, dtype=np.float32), 2),
        (lambda s: s.uniform(3), 2),
        (lambda s: s.normal(4), 2),
        (lambda s: s.integers(0, 9, 5), 3),
        (lambda s: s.uniform(0), 0),
    ):
        stream = Stream(0)
        draw(stream)
        assert stream.position == blocks


def test_far_positions_are_reached_at_once():
    stream = Stream(0, "far")
    stream.position = 2**40 + 1
    numbers = stream.uniform(4)
    stream.position = 2**40
    np.testing.assert_array_equal(stream.uniform(6)[2:], numbers[:4])


def test_children_are_streams_of_longer_names():
    parent = Stream(3, "epoch", 1)
    child = parent.child("example", 7)
    assert parent.position == 0, "naming a child does not advance"
    expected = Stream(3, "epoch", 1, "example", 7).uniform(5)
    np.testing.assert_array_equal(child.uniform(5), expected)
    parent.uniform(100)
    np.testing.assert_array_equal(parent.child("example", 7).uniform(5), expected)


def test_any_whole_number_is_a_seed():
    draws = {Stream(seed).uniform() for seed in (0, 1, -1, 2**63, 2**200, np.int64(5), np.uint8(6))}
    assert len(draws) == 7
    assert Stream(np.int64(5)).uniform() == Stream(5).uniform()


def test_repr_shows_name_and_position():
    stream = Stream(3, "shuffle", 1)
    stream.uniform(5)
    assert repr(stream) == "Stream(3, 'shuffle', 1) at 3"


@pytest.mark.parametrize("shape", [(), (0,), (1,), 5, (2, 3), (2, 0, 3), np.int64(4)])
def test_shapes(shape):
    stream = Stream(0)
    expected = (int(shape),) if isinstance(shape, int | np.integer) else shape
    for numbers in (
        stream.uniform(shape),
        stream.uniform(shape, dtype=np.float32),
        stream.normal(shape),
        stream.integers(0, 3, shape),
        stream.bernoulli(0.5, shape),
    ):
        assert np.shape(numbers) == expected
    assert stream.permutation(0).tolist() == []


def test_types():
    stream = Stream(0)
    assert stream.uniform(3).dtype == stream.normal(3).dtype == np.float64
    assert stream.uniform(3, dtype=np.float32).dtype == np.float32
    assert stream.normal(3, dtype=np.float32).dtype == np.float32
    assert stream.uniform(3, dtype=np.float16).dtype == np.float16
    assert stream.integers(0, 2, 3).dtype == stream.permutation(3).dtype == np.int64
    assert stream.bernoulli(0.5, 3).dtype == bool
    assert not isinstance(stream.uniform(), np.ndarray)
    assert isinstance(float(stream.normal()), float)
    assert range(5)[stream.integers(0, 5)] < 5, "a single number serves as an index"


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_uniform_is_even(dtype):
    n = 200_000
    x = Stream(0, "even").uniform(n, dtype=dtype)
    assert 0 <= x.min() < 1e-4
    assert 1 - 1e-4 < x.max() < 1
    assert x.mean() == pytest.approx(0.5, abs=5 * math.sqrt(1 / 12 / n))
    assert x.var() == pytest.approx(1 / 12, rel=0.01)
    counts = np.bincount((x * 64).astype(int), minlength=64)
    chi_squared = ((counts - n / 64) ** 2 / (n / 64)).sum()
    assert 25 < chi_squared < 120  # 63 degrees of freedom: 63 +- 5 * sqrt(126)
    neighbours = np.corrcoef(x[:-1].astype(float), x[1:].astype(float))[0, 1]
    assert abs(neighbours) < 5 / math.sqrt(n)


def test_uniform_has_all_its_bits():
    wide = Stream(0).uniform(1000) * 2.0**53
    assert (wide == np.floor(wide)).all()
    assert (np.bitwise_or.reduce(wide.astype(np.int64)) == 2**53 - 1).all()
    narrow = Stream(0).uniform(1000, dtype=np.float32).astype(float) * 2**24
    assert np.bitwise_or.reduce(narrow.astype(np.int64)) == 2**24 - 1


def test_uniform_between_bounds():
    x = Stream(0).uniform(10_000, -3.0, 5.0)
    assert x.min() >= -3
    assert x.max() < 5
    assert x.mean() == pytest.approx(1, abs=0.15)
    assert (Stream(0).uniform(3, 2.0, 2.0) == 2).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (1, 2), (-1, 3), (1000, 1001)])
def test_uniform_never_reaches_its_upper_bound(dtype, low, high, monkeypatch):
    """The largest random word, scaled and shifted, rounds up to `high`."""
    monkeypatch.setattr(Stream, "_words", lambda self, count: np.full(count, 2**32 - 1, np.uint32))
    x = Stream(0).uniform(4, low, high, dtype)
    assert (x < high).all()
    assert (x > low).all()


def test_normal_is_normal():
    n = 200_000
    x = Stream(0, "bell").normal(n)
    assert x.mean() == pytest.approx(0, abs=5 / math.sqrt(n))
    assert x.std() == pytest.approx(1, abs=5 / math.sqrt(2 * n))
    assert (x**3).mean() == pytest.approx(0, abs=0.05)
    assert (x**4).mean() == pytest.approx(3, abs=0.15)
    for sigmas, share in ((1, 0.682689), (2, 0.954500), (3, 0.997300)):
        assert (np.abs(x) < sigmas).mean() == pytest.approx(share, abs=0.005)
    pairs = np.corrcoef(x[::2], x[1::2])[0, 1]  # the two of one Box-Muller pair
    assert abs(pairs) < 5 / math.sqrt(n / 2)


def test_normal_is_finite_even_for_the_extreme_words(monkeypatch):
    for word in (0, 2**32 - 1):
        monkeypatch.setattr(
            Stream, "_words", lambda self, n, word=word: np.full(n, word, np.uint32)
        )
        assert np.isfinite(Stream(0).normal(4)).all()


def test_normal_of_mean_and_spread():
    x = Stream(0).normal((100, 100), mean=3.0, std=0.5)
    assert x.mean() == pytest.approx(3, abs=0.03)
    assert x.std() == pytest.approx(0.5, abs=0.02)
    assert Stream(0).normal(5).shape == (5,), "an odd number of them"


def test_integers_are_even_and_within_bounds():
    x = Stream(0, "dice").integers(1, 7, 60_000)
    assert set(x.tolist()) == {1, 2, 3, 4, 5, 6}
    assert np.abs(np.bincount(x)[1:] - 10_000).max() < 5 * math.sqrt(10_000 * 5 / 6)
    assert set(Stream(0).integers(-2, 0, 50).tolist()) == {-2, -1}
    assert Stream(0).integers(7, 8) == 7
    big = Stream(0).integers(0, 2**53, 100)
    assert big.min() >= 0
    assert big.max() < 2**53
    assert np.bitwise_or.reduce(big) == 2**53 - 1


def test_integers_never_reach_their_upper_bound(monkeypatch):
    monkeypatch.setattr(Stream, "_words", lambda self, n: np.full(n, 2**32 - 1, np.uint32))
    for high in (1, 2, 3, 10, 2**31 - 1, 2**52 + 1, 2**53 - 1, 2**53):
        assert Stream(0).integers(0, high) == high - 1


def test_bernoulli_keeps_its_share_and_its_extremes():
    draws = Stream(0, "coin").bernoulli(0.3, 100_000)
    assert draws.mean() == pytest.approx(0.3, abs=5 * math.sqrt(0.21 / 100_000))
    assert not Stream(0).bernoulli(0.0, 1000).any()
    assert Stream(0).bernoulli(1.0, 1000).all()


def test_permutations_are_even():
    orders: dict[tuple[int, ...], int] = {}
    for k in range(6000):
        order = tuple(Stream(0, "orders", k).permutation(3).tolist())
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 6
    assert max(abs(n - 1000) for n in orders.values()) < 5 * math.sqrt(1000 * 5 / 6)
    assert sorted(Stream(0).permutation(1000).tolist()) == list(range(1000))


def test_streams_with_neighbouring_seeds_are_unrelated():
    x = np.stack([Stream(seed, "init").normal(2000) for seed in range(20)])
    correlations = np.corrcoef(x) - np.eye(20)
    assert np.abs(correlations).max() < 5 / math.sqrt(2000)


def test_threads_draw_what_one_thread_draws(monkeypatch):
    expected = Stream(0, "many").uniform(300_000)
    for threads in ("1", "3"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        np.testing.assert_array_equal(Stream(0, "many").uniform(300_000), expected)
    results = {}
    workers = [
        threading.Thread(target=lambda k=k: results.update({k: Stream(0, "w", k).uniform(1000)}))
        for k in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for k in range(4):
        np.testing.assert_array_equal(results[k], Stream(0, "w", k).uniform(1000))


ERRORS = (
    ErrorCase(
        lambda: Stream(0.5), ConfigError, "Stream: seed and key are ints and strings, got 0.5"
    ),
    ErrorCase(lambda: Stream(0, None), ConfigError, "seed and key are ints and strings, got None"),
    ErrorCase(lambda: Stream(0).child(b"x"), ConfigError, "ints and strings, got b'x'"),
    ErrorCase(
        lambda: Stream(0).integers(3, 3),
        ConfigError,
        r"integers: needs low < high <= low \+ 2\*\*53, got 3 and 3",
    ),
    ErrorCase(lambda: Stream(0).integers(0, 2**53 + 1), ConfigError, "integers: needs low < high"),
)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: case.match[:40])
def test_errors(case):
    with pytest.raises(case.error, match=case.match):
        case.call()
