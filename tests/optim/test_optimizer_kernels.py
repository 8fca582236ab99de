"""The compiled updates against the plain ones, in every memory order."""

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.kernels import cpu, plain
from minicnn.kernels.cpu import _parallel

SGD = {
    "learning_rate": 0.1,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 0.01,
    "factor": None,
}
ADAM = {
    "learning_rate": 0.1,
    "beta1": 0.9,
    "beta2": 0.99,
    "epsilon": 1e-8,
    "weight_decay": 0.01,
    "factor": None,
}


def sgd(k, weight, grad, a, b):
    k.sgd_update([weight], [grad], [a], **SGD)


def sgd_nesterov(k, weight, grad, a, b):
    k.sgd_update([weight], [grad], [a], **(SGD | {"nesterov": True}))


def sgd_plain(k, weight, grad, a, b):
    k.sgd_update([weight], [grad], None, **(SGD | {"momentum": 0.0}))


def adam(k, weight, grad, a, b):
    k.adam_update([weight], [grad], [a], [b], [3], **ADAM, decoupled=False)


def adamw(k, weight, grad, a, b):
    k.adam_update([weight], [grad], [a], [b], [3], **ADAM, decoupled=True)


UPDATES = [sgd, sgd_nesterov, sgd_plain, adam, adamw]
LAYOUTS = {
    "rows": lambda x: x.copy(),
    "channels last": lambda x: np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1),
    "columns": lambda x: np.asfortranarray(x),
    "gaps": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
}


def arrays(shape, dtype):
    draw = Stream(0, "arrays").normal((4, *shape))
    draw[3] **= 2  # a mean of squares
    return [np.asarray(a, dtype) for a in draw]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4, 2, 5)])
@pytest.mark.parametrize("update", UPDATES)
def test_compiled_and_plain_agree(update, shape, dtype):
    ours, theirs = arrays(shape, dtype), arrays(shape, dtype)
    update(cpu, *ours)
    update(plain, *theirs)
    tolerance = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-14}[dtype]
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert shape == (0,) or np.any(ours[0] != arrays(shape, dtype)[0])
    np.testing.assert_array_equal(ours[1], arrays(shape, dtype)[1])


@pytest.mark.parametrize("layout_of_slots", LAYOUTS)
@pytest.mark.parametrize("layout_of_grad", LAYOUTS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("update", [sgd, adam])
def test_memory_order_changes_no_bit(update, layout, layout_of_grad, layout_of_slots):
    expected = arrays((3, 4, 2, 5), np.float32)
    update(cpu, *expected)
    orders = [LAYOUTS[name] for name in (layout, layout_of_grad, layout_of_slots, "rows")]
    given = [order(a) for order, a in zip(orders, arrays((3, 4, 2, 5), np.float32), strict=True)]
    update(cpu, *given)
    for a, b in zip(given, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("update", UPDATES)
def test_threads_change_no_bit(update, monkeypatch):
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        given = arrays((5, 70_001), np.float32)
        update(cpu, *given)
        results.append(given)
        # elements in a vector's rest are computed as those in the vector
        alone = [a[:, -1:].copy() for a in arrays((5, 70_001), np.float32)]
        update(cpu, *alone)
        for a, b in zip(given, alone, strict=True):
            np.testing.assert_array_equal(a[:, -1:], b)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


SHAPES = [(7,), (), (3, 4, 2, 5), (0, 2), (1, 70_001), (16,), (2, 3, 1, 1), (5, 20_000)]


def columns(dtypes):
    """Weights, gradients and two slots of many parameters, in several memory orders."""
    rows = [arrays(shape, dtypes[i % len(dtypes)]) for i, shape in enumerate(SHAPES)]
    rows[2] = [LAYOUTS["channels last"](a) for a in rows[2]]
    rows[6] = [LAYOUTS["gaps"](rows[6][0]), *rows[6][1:]]
    return [list(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("dtypes", [[np.float32], [np.float64, np.float32, np.float16]])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [False, True])
def test_sgd_of_many_parameters_has_the_bits_of_one_at_a_time(
    momentum, nesterov, dtypes, threads, monkeypatch
):
    monkeypatch.setenv("MINICNN_THREADS", threads)
    settings = SGD | {"nesterov": nesterov}
    weights, grads, velocities, _ = columns(dtypes)
    cpu.sgd_update(weights, grads, velocities if momentum else None, **settings)
    one_weights, _, one_velocities, _ = columns(dtypes)
    for w, g, v in zip(one_weights, grads, one_velocities, strict=True):
        cpu.sgd_update([w], [g], [v] if momentum else None, **settings)
    for found, expected in zip(weights + velocities, one_weights + one_velocities, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert all(
        (w != old).any() for w, old in zip(weights, columns(dtypes)[0], strict=True) if w.size
    )


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("dtypes", [[np.float32], [np.float64, np.float32, np.float16]])
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_of_many_parameters_has_the_bits_of_one_at_a_time(
    decoupled, dtypes, threads, monkeypatch
):
    monkeypatch.setenv("MINICNN_THREADS", threads)
    many, alone = columns(dtypes), columns(dtypes)
    steps = list(range(1, len(SHAPES) + 1))  # some missed a gradient
    cpu.adam_update(*many, steps, **ADAM, decoupled=decoupled)
    for *row, step in zip(*alone, steps, strict=True):
        cpu.adam_update(*([a] for a in row), [step], **ADAM, decoupled=decoupled)
    for found, expected in zip(many, alone, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


def test_parameters_on_one_array_are_updated_one_after_the_other(monkeypatch):
    def last_piece_first(work, pieces):
        for p, (start, stop) in reversed(list(enumerate(pieces))):
            work(p, start, stop)

    monkeypatch.setattr(_parallel, "run", last_piece_first)  # as threads might
    weight, *grads, _ = arrays((3, 70_001), np.float32)
    expected = weight.copy()
    for grad in grads:
        cpu.sgd_update([expected], [grad], None, **(SGD | {"momentum": 0.0}))
    cpu.sgd_update([weight, weight], grads, None, **(SGD | {"momentum": 0.0}))
    np.testing.assert_array_equal(weight, expected)


def test_sums_of_squares_of_many_have_the_bits_of_one_at_a_time():
    for column in columns([np.float64, np.float32, np.float16]):
        assert cpu.sums_of_squares(column) == [cpu.sums_of_squares([x])[0] for x in column]
    assert cpu.sums_of_squares([]) == []


@pytest.mark.parametrize("k", [cpu, plain])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_sum_of_squares(k, dtype, monkeypatch):
    x = Stream(0, "x").normal((3, 7, 5)).astype(dtype)
    exact = sum(float(v) ** 2 for v in x.ravel())
    for layout in LAYOUTS.values():
        assert k.sums_of_squares([layout(x)])[0] == pytest.approx(exact, rel=1e-14)
    assert k.sums_of_squares([np.zeros((0, 3), dtype)])[0] == 0
    assert k.sums_of_squares([np.full(1000, 200, dtype)])[0] == 4e7  # float16 would overflow
    assert np.isnan(k.sums_of_squares([np.array([1, np.nan, 1], dtype)])[0])
    big = Stream(0, "big").normal(300_001).astype(dtype)
    sums = []
    for threads in ("1", "3"):
        monkeypatch.setenv("MINICNN_THREADS", threads)
        sums.append(k.sums_of_squares([big])[0])
    assert sums[0] == sums[1] == pytest.approx(np.square(big.astype(np.float64)).sum(), rel=1e-13)
