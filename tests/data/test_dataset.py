"""What each stage delivers, and what it says when it is used wrongly."""

import itertools
import json
import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.data.dataset import UnknownLengthError
from minicnn.errors import CheckpointError, ConfigError, MinicnnError, ShapeError


class Pair(NamedTuple):
    image: np.ndarray
    label: int


def numbers(dataset, count=None):
    with iter(dataset) as iterator:
        return [int(x) for x in itertools.islice(iterator, count)]


def count_to(n):
    return Dataset.from_slices(np.arange(n))


def generated(n):
    return Dataset.from_generator(lambda: iter(range(n)))


def assert_same(a, b):
    """Equal values, types, structures."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        a, b = tuple(a.values()), tuple(b.values())
    if isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_resumes_everywhere(dataset, fresh, wanted):
    """Every state of an iterator over `dataset` lets one over ``fresh()`` go on from there."""
    iterator = iter(dataset)
    for at in range(len(wanted)):
        resumed = iter(fresh())
        resumed.load_state_dict(json.loads(json.dumps(iterator.state_dict())))
        assert [int(x) for x in resumed] == wanted[at:]
        assert int(next(iterator)) == wanted[at]


# Elements and batches.


def test_slices_keep_the_structure():
    images, labels = np.arange(12.0).reshape(3, 2, 2), [7, 8, 9]
    rows = list(Dataset.from_slices({"pair": (images, labels), "name": ["a", "b", "c"]}))
    assert len(rows) == 3
    assert rows[2]["pair"][1] == 9
    assert rows[2]["name"] == "c"
    np.testing.assert_array_equal(rows[1]["pair"][0], images[1])


def test_named_tuples_stay_named():
    dataset = Dataset.from_slices(Pair(np.zeros((4, 2)), [1, 2, 3, 4]))
    assert isinstance(next(iter(dataset)), Pair)
    (batch,) = dataset.batch(4)
    assert isinstance(batch, Pair)
    assert batch.image.shape == (4, 2)


def test_slices_cannot_be_written_to():
    images = np.zeros((3, 2))
    dataset = Dataset.from_slices(images)
    with pytest.raises(ValueError, match="read-only"):
        next(iter(dataset))[0] = 1
    for batch in dataset.batch(2):
        batch[:] = 1  # batches are copies
    assert images.sum() == 0
    images[0] = 5  # and the user's own array is not locked
    assert next(iter(dataset))[0] == 5


dtypes = st.sampled_from(
    ["uint8", "int64", ">i4", "float16", "float32", "bool", "<U3", "M8[s]", "O"]
)
columns = st.tuples(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, max_side=3))


@settings(max_examples=100, deadline=None)
@given(
    columns=st.lists(columns, min_size=1, max_size=3),
    rows=st.integers(1, 12),
    size=st.integers(1, 5),
    epochs=st.integers(1, 3),
    drop=st.booleans(),
    zipped=st.booleans(),
)
def test_gathered_batches_equal_stacked_ones(columns, rows, size, epochs, drop, zipped):
    stream = Stream(1, "columns")
    arrays = []
    for dtype, shape in columns:
        values = stream.integers(0, 1000, (rows, *shape))
        arrays.append(values.astype("int64" if dtype == "M8[s]" else dtype).astype(dtype))
    if zipped:
        source = Dataset.zip(*(Dataset.from_slices(array) for array in arrays))
    else:
        source = Dataset.from_slices(tuple(arrays))

    def finish(dataset):
        return dataset.skip(1).shuffle(seed=2).repeat(epochs).take(20).batch(size, drop)

    if rows > 1:
        fast = list(finish(source))
        slow = list(finish(source.map(lambda *row: row)))  # a map is called element by element
        assert len(fast) == len(slow)
        for a, b in zip(fast, slow, strict=True):
            assert_same(a, b)


def test_batches_end_where_take_does():
    batches = [b.tolist() for b in count_to(4).repeat().take(8).batch(3)]
    assert batches == [[0, 1, 2], [3, 0, 1], [2, 3]]


def test_feeds_an_estimator_fast_enough():
    images = np.zeros((5000, 32, 32, 3), np.uint8)
    dataset = Dataset.from_slices((images, np.arange(5000))).shuffle().repeat().batch(128)
    iterator = iter(dataset)
    next(iterator)
    start = time.perf_counter()
    for _ in range(200):
        next(iterator)
    assert 200 * 128 / (time.perf_counter() - start) > 20_000  # about 1,800,000 on a quiet core


def test_ragged_batch_names_shapes_and_element():
    images = [{"image": np.zeros((n, 4))} for n in (3, 3, 5)]
    dataset = Dataset.from_generator(lambda: images).batch(3)
    message = r"element 0 of the batch has shape \{'image': \(3, 4\)\}, element 2 has .*\(5, 4\)"
    with pytest.raises(ShapeError, match=message):
        list(dataset)


@pytest.mark.parametrize("other", [{"b": 1}, (1, 2), 1, {"a": (1, 2)}])
def test_batch_of_different_structures_is_refused(other):
    with pytest.raises(ShapeError, match=r"element 1 has"):
        list(Dataset.from_generator(lambda: [{"a": 1}, other]).batch(2))


# Order and randomness.


def test_shuffle_is_the_documented_permutation_of_each_epoch():
    dataset = count_to(10).shuffle(seed=3).repeat(2)
    epochs = [Stream(3, "shuffle", 1, epoch).permutation(10).tolist() for epoch in range(2)]
    assert numbers(dataset) == epochs[0] + epochs[1]
    assert epochs[0] != epochs[1]


def test_random_map_has_the_documented_stream():
    dataset = count_to(4).shuffle(seed=3)
    dataset = dataset.map(lambda x, s: s.uniform(), random=True, seed=7).repeat(2)
    wanted = [Stream(7, "map", 2, e, i).uniform() for e in range(2) for i in range(4)]
    assert [float(x) for x in dataset] == wanted


@pytest.mark.parametrize("workers", [0, 2])
def test_random_map_knows_the_position_before_a_shuffle(workers):
    drawn = count_to(9).map(lambda x, s: s.uniform(), random=True, seed=7, workers=workers)
    wanted = [
        Stream(7, "map", 1, 0, i).uniform() for i in Stream(3, "shuffle", 2, 0).permutation(9)
    ]
    assert [float(x) for x in drawn.shuffle(seed=3)] == wanted


def test_two_stages_with_one_seed_draw_differently():
    def draw(x, stream):
        return x, stream.uniform()

    twice = count_to(5).map(draw, random=True).map(lambda x, a, s: (a, s.uniform()), random=True)
    assert all(a != b for a, b in twice)
    assert numbers(count_to(50).shuffle().shuffle()) != numbers(count_to(50).shuffle())


def test_prefetch_and_plain_maps_do_not_change_the_draws():
    plain = count_to(20).shuffle(seed=1).map(lambda x, s: s.integers(0, 99), random=True)
    dressed = count_to(20).map(lambda x: x).prefetch(2).shuffle(seed=1).prefetch(3)
    dressed = dressed.map(lambda x, s: s.integers(0, 99), random=True, workers=2)
    assert numbers(plain) == numbers(dressed)


def test_the_same_sign_looks_different_in_each_child_and_epoch():
    def child(x):
        return count_to(3).map(lambda i, s: s.integers(0, 10**9), random=True)

    drawn = numbers(count_to(4).interleave(child, cycle=2).repeat(3))
    assert len(set(drawn)) == len(drawn) == 36


def test_nested_repeats_never_shuffle_alike():
    for inner in (count_to(20).shuffle().repeat(2), count_to(20).shuffle().repeat().take(40)):
        drawn = numbers(inner.repeat(2))
        epochs = {tuple(drawn[i : i + 20]) for i in range(0, 80, 20)}
        assert len(epochs) == 4


def test_shuffle_after_a_map_still_reaches_everything():
    dataset = count_to(5000).map(lambda x: x, workers=2).shuffle()
    first = numbers(dataset, 100)
    assert max(first) > 4000  # a buffer of 1024 could not have seen these


def test_long_buffered_shuffle_resumes():
    dataset = Dataset.from_generator(lambda: range(5000)).shuffle(seed=1, buffer=100)
    iterator = iter(dataset)
    wanted = numbers(dataset)
    assert sorted(wanted) == list(range(5000))
    for at in (0, 99, 100, 101, 2500, 4899, 4900, 4999, 5000):
        iterator = iter(dataset)
        for _ in range(at):
            next(iterator)
        state = iterator.state_dict()
        assert len(json.dumps(state)) < 3000
        iterator.load_state_dict(state)
        assert [int(x) for x in iterator] == wanted[at:]


def test_buffered_shuffle_resumes_without_reading_all_again():
    read = []
    dataset = count_to(100_000).repeat().map(lambda x: read.append(x) or x).shuffle(buffer=10)
    iterator = iter(dataset)
    for _ in range(2000):
        next(iterator)
    resumed = iter(dataset)
    resumed.load_state_dict(iterator.state_dict())
    wanted = [int(next(iterator)) for _ in range(20)]
    read.clear()
    assert [int(next(resumed)) for _ in range(20)] == wanted
    assert len(read) < 300


def test_interleave_takes_turns():
    sixes = Dataset.from_slices([1, 2, 3, 4, 5]).interleave(
        lambda x: Dataset.from_slices([x] * 6), cycle=2, block=4
    )
    turns = [int(c) for c in "111122221122333344443344555555"]
    assert numbers(sixes) == turns
    assert_resumes_everywhere(sixes, lambda: sixes, turns)


def test_cache_calls_the_map_once_per_element():
    for source in (count_to(10), generated(10)):
        calls = []
        dataset = source.map(lambda x, calls=calls: calls.append(x) or x).cache().repeat(3)
        assert numbers(dataset) == numbers(dataset) == 3 * list(range(10))
        assert len(calls) == 10


def test_cache_computes_only_what_it_lacks():
    calls = []
    dataset = count_to(10).map(lambda x: calls.append(int(x)) or x).cache()
    numbers(dataset, 4)
    assert numbers(dataset.shuffle()) == numbers(count_to(10).shuffle())
    assert sorted(calls) == list(range(10))


@pytest.mark.parametrize("source", [count_to, generated])
def test_what_is_random_before_a_cache_is_drawn_once(source):
    def build():
        return source(5).map(lambda x, s: s.integers(0, 10**6), random=True).cache().repeat(3)

    wanted = numbers(source(5).map(lambda x, s: s.integers(0, 10**6), random=True)) * 3
    assert numbers(build()) == wanted
    assert_resumes_everywhere(build(), build, wanted)  # also in epoch 2, with an empty memory


def test_cached_arrays_cannot_be_written_to():
    dataset = count_to(2).map(lambda x: np.zeros(2)).cache()
    for _ in range(2):
        with pytest.raises(ValueError, match="read-only"):
            next(iter(dataset))[0] = 1


def test_length():
    assert len(count_to(10).skip(3).batch(2).repeat(2).prefetch(1)) == 8
    assert len(Dataset.zip(count_to(3), count_to(5).repeat())) == 3
    for dataset, why in ((count_to(3).repeat(), "endless"), (generated(3), "no known length")):
        with pytest.raises(UnknownLengthError, match=why):
            len(dataset)
        assert dataset
    assert list(generated(2)) == [0, 1]  # list() asks for the length first


# Wrong use.


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda d: d.batch(0), "batch: size is 0; give a whole number of at least 1"),
        (lambda d: d.batch(2.5), r"batch: size is 2\.5"),
        (lambda d: d.map(abs, workers=-1), "map: workers is -1"),
        (lambda d: d.map(abs, workers=True), "map: workers is True"),
        (lambda d: d.map(abs, random=True, seed="x"), "map: seed is 'x'; give a whole number$"),
        (lambda d: d.map(None), "map: None is not a function"),
        (lambda d: d.shuffle(seed=None), "shuffle: seed is None"),
        (lambda d: d.shuffle(buffer=0), "shuffle: buffer is 0"),
        (lambda d: d.repeat(0), "repeat: count is 0"),
        (lambda d: d.take(-1), "take: count is -1"),
        (lambda d: d.skip(-2), "skip: count is -2"),
        (lambda d: d.prefetch(-1), "prefetch: count is -1"),
        (lambda d: d.interleave(abs, cycle=0), "interleave: cycle is 0"),
        (lambda d: d.interleave(abs, block=0), "interleave: block is 0"),
        (lambda d: d.interleave(3), "interleave: 3 is not a function"),
        (lambda d: d.repeat().cache(), r"cache: .*endless; put cache\(\) before repeat"),
        (lambda d: d.take(0).repeat(), "repeat: there is nothing to repeat"),
        (lambda d: list(d.interleave(lambda x: x)), "function returned .*must return a Dataset"),
        (lambda d: Dataset.zip(d, [1, 2]), r"zip: \[1, 2\] is not a Dataset"),
        (lambda d: Dataset.zip(), "zip: nothing to join"),
        (lambda d: Dataset.from_generator(iter([1])), "give the function that makes it"),
        (lambda d: list(Dataset.from_generator(lambda: 3)), "returned 3; it must return an iter"),
        (lambda d: Dataset.from_slices(()), "holds no array"),
        (lambda d: Dataset.from_slices(5), "5 has no rows"),
        (lambda d: Dataset.from_slices([[1], [1, 2]]), "rows have different shapes"),
        (lambda d: Dataset.from_slices({"a": [1], "b": [1, 2]}), r"lengths \{'a': 1, 'b': 2\}"),
    ],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(MinicnnError, match=message):
        wrong(count_to(3))


@pytest.mark.parametrize("count", [None, 2, 10**9])
def test_repeating_nothing_ends(count):
    with pytest.raises(ConfigError, match="epoch 0 delivered no element"):
        list(Dataset.from_generator(lambda: iter(())).repeat(count))


# States.


def test_state_of_another_pipeline_is_refused():
    state = iter(count_to(5).shuffle(seed=1).batch(2)).state_dict()
    cases = [
        (count_to(5).shuffle(seed=1).batch(3), r"stage 2 was batch\(2\), here it is batch\(3\)"),
        (count_to(5).shuffle(seed=2).batch(2), r"stage 1 was shuffle\(seed=1\), here"),
        (count_to(6).shuffle(seed=1).batch(2), r"stage 0 was from_slices\(5\), here"),
        (count_to(5).batch(2), r"it was from_slices\(5\) -> shuffle"),
    ]
    for dataset, message in cases:
        with pytest.raises(CheckpointError, match=message):
            iter(dataset).load_state_dict(state)


def broken_states():
    good = iter(count_to(5).repeat().map(abs)).state_dict()
    for wrong in (None, 5, [], {}, {"at": 1}, {"at": -1, "upstream": {}}, {"at": 0, "upstream": 3}):
        yield {**good, "state": wrong} if wrong is not None else None
    yield {**good, "version": 99}
    inner = {**good["state"]["upstream"], "upstream": {"at": 6}}
    yield {**good, "state": {"at": 0, "upstream": inner}}


@pytest.mark.parametrize("state", list(broken_states()))
def test_broken_state_is_refused_and_changes_nothing(state):
    iterator = iter(count_to(5).repeat().map(abs))
    next(iterator)
    with pytest.raises(CheckpointError, match="load_state_dict"):
        iterator.load_state_dict(state)
    assert next(iterator) == 1


def test_generator_that_delivers_less_than_before_is_refused():
    left = [5]
    dataset = Dataset.from_generator(lambda: iter(range(left[0])))
    for pipeline in (dataset, dataset.cache(), dataset.shuffle(buffer=2)):
        left[0] = 5
        iterator = iter(pipeline)
        for _ in range(4):
            next(iterator)
        state = iterator.state_dict()
        left[0] = 2
        resumed = iter(pipeline)
        resumed.load_state_dict(state)
        with pytest.raises(CheckpointError, match="same each time"):
            next(resumed)


def test_interleave_that_makes_other_datasets_is_refused():
    rows = [3]
    dataset = count_to(4).interleave(lambda x: count_to(rows[0]), cycle=2)
    iterator = iter(dataset)
    next(iterator)
    rows[0] = 2
    resumed = iter(dataset)
    resumed.load_state_dict(iterator.state_dict())
    with pytest.raises(CheckpointError, match=r"dataset 0 was \['from_slices\(3\)'\]"):
        next(resumed)


def test_state_of_a_closed_iterator_is_where_it_stood():
    with iter(count_to(6).map(lambda x: x, workers=2).prefetch(3)) as iterator:
        assert [int(next(iterator)) for _ in range(2)] == [0, 1]
    assert next(iterator, None) is None
    state = iterator.state_dict()
    iterator.load_state_dict(state)  # and it can be woken up again
    assert [int(x) for x in iterator] == [2, 3, 4, 5]
    iterator.load_state_dict(iterator.state_dict())
    assert list(iterator) == []


def test_states_are_the_callers_own():
    iterator = iter(count_to(6).shuffle(buffer=2))
    state = iterator.state_dict()
    state["state"]["anchor"]["draws"] = 77
    assert iterator.state_dict()["state"]["anchor"]["draws"] == 0


def test_datasets_describe_themselves():
    dataset = Dataset.zip(count_to(3).shuffle(seed=4), generated(3).cache()).map(max).take(2)
    wanted = "Dataset: zip(from_slices(3) -> shuffle(seed=4), from_generator -> cache())"
    assert repr(dataset.prefetch(2)) == wanted + " -> map() -> take(2)"


def test_a_lone_number_given_to_shuffle_is_refused():
    """Elsewhere it is the buffer; here it would have been the seed."""
    with pytest.raises(TypeError):
        Dataset.from_slices(np.arange(4)).shuffle(1000)
