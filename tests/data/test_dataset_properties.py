"""Any pipeline delivers what its model says, on any number of threads, and resumes anywhere."""

import json

import pytest
from dataset_model import Node, NothingToRepeatError, build, model, pipelines
from hypothesis import assume, given, settings

from minicnn.data import Dataset
from minicnn.data.dataset import UnknownLengthError
from minicnn.errors import ConfigError

MANY = settings(max_examples=150, deadline=None)
FEW = settings(max_examples=60, deadline=None)
LONG = 60  # elements; a longer pipeline is cut


def expected(node: Node, limit: int | None = LONG) -> list[int]:
    try:
        return model(node)[:limit]
    except NothingToRepeatError:
        assume(False)


def run(dataset: Dataset) -> list[int]:
    with iter(dataset.take(LONG)) as iterator:
        return [int(x) for x in iterator]


def saved(iterator) -> dict:
    return json.loads(json.dumps(iterator.state_dict()))


@MANY
@given(pipelines())
def test_delivers_what_the_model_says(node):
    try:
        wanted = model(node)
    except NothingToRepeatError:
        with pytest.raises(ConfigError, match=r"repeat: .*nothing to repeat"):
            list(build(node, 0))
        return
    assert [int(x) for x in build(node, 0)] == wanted


@FEW
@given(pipelines())
def test_threads_change_nothing(node):
    wanted = expected(node)
    for workers in (1, 2, 4):
        dataset = build(node, workers)
        assert run(dataset) == wanted
        assert run(dataset) == wanted  # again, from the beginning


@MANY
@given(pipelines())
def test_length_is_the_number_of_elements(node):
    wanted = expected(node, limit=None)
    try:
        length = len(build(node, 0))
    except UnknownLengthError:
        assume(False)
    assert length == len(wanted)


@FEW
@given(pipelines())
def test_resumes_at_every_position(node):
    wanted = expected(node)
    original = iter(build(node, 2).take(LONG))
    for at in range(len(wanted) + 1):
        resumed = iter(build(node, 0 if at % 2 else 4).take(LONG))
        resumed.load_state_dict(saved(original))
        assert [int(x) for x in resumed] == wanted[at:]
        assert [int(x) for x in [next(original, None)] if x is not None] == wanted[at : at + 1]


@FEW
@given(pipelines())
def test_a_resumed_iterator_can_be_saved(node):
    wanted = expected(node)
    dataset = build(node, 2).take(LONG)
    iterator = iter(dataset)
    for x in wanted:  # every element from another iterator
        state = saved(iterator)
        iterator.close()
        iterator = iter(dataset)
        iterator.load_state_dict(state)
        assert saved(iterator) == state
        assert int(next(iterator)) == x
    assert next(iterator, None) is None


@FEW
@given(pipelines(), pipelines())
def test_two_iterators_do_not_disturb_one_another(a, b):
    wanted_a, wanted_b = expected(a), expected(b)
    first, second = build(a, 2).take(LONG), build(b, 2).take(LONG)
    mixed = list(zip(iter(first), iter(second), iter(first), strict=False))
    rows = list(zip(wanted_a, wanted_b, wanted_a, strict=False))
    assert [tuple(int(x) for x in row) for row in mixed] == rows


@FEW
@given(pipelines(stages=4))
def test_endless_repeat_goes_on_where_epochs_end(node):
    wanted = expected(Node("repeat", (3,), (node,)))
    endless = build(node, 2).repeat()
    with iter(endless) as iterator:
        assert [int(next(iterator)) for _ in wanted] == wanted
