"""One step of an optimiser in one launch, against the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from minicnn.backend.random import Stream
from minicnn.kernels import plain

SGD = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
ADAM = {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-8, "weight_decay": 0.01}
SHAPES = [(7,), (), (3, 4, 2, 5), (0, 2), (1, 1025), (2, 3, 1, 1), (3, 700)]  # a piece has 1024
BOUNDS = {"f2": (2e-3, 2e-3), "f4": (1e-5, 1e-6), "f8": (1e-13, 1e-14)}


def channels_last(x):
    if x.ndim < 3:
        return x
    return (
        x.transpose(0, *range(2, x.ndim), 1).copy().transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
    )


def gaps(x):
    return x.repeat(2, axis=-1)[..., ::2] if x.ndim else x


LAYOUTS = {
    "rows": [lambda x: x],
    "channels last": [channels_last],
    "a weight by rows, its gradient not": [lambda x: x, channels_last],
    "all kinds": [channels_last, lambda x: x, gaps],
}


def columns(dtype):
    """Weights, gradients and two slots of several parameters, in host memory."""
    rows = []
    for i, shape in enumerate(SHAPES):
        stream = Stream(i, "optimizer")
        wide = "f4" if dtype == "f2" else dtype
        w, g, a, b = (np.asarray(stream.normal(shape)) for _ in range(4))
        rows.append(
            [w.astype(dtype), g.astype(dtype), a.astype(wide), np.asarray(np.abs(b)).astype(wide)]
        )
    return [list(column) for column in zip(*rows, strict=True)]


def on_device(given, layout):
    import cupy

    kinds = LAYOUTS[layout]
    return [
        [kinds[(i + j) % len(kinds)](cupy.asarray(x)) for i, x in enumerate(column)]
        for j, column in enumerate(given)
    ]


def assert_close(found, expected, dtype):
    rtol, atol = BOUNDS[dtype]
    for column, wanted in zip(found, expected, strict=True):
        for x, y in zip(column, wanted, strict=True):
            assert x.dtype == y.dtype
            x, y = x.get().astype(np.float64), np.asarray(y, np.float64)
            np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", ["momentum", "nesterov", "without"])
def test_sgd_equals_the_plain_one(cuda, dtype, layout, kind):
    expected = columns(dtype)
    found = on_device(expected, layout)
    settings = SGD | {"nesterov": kind == "nesterov", "factor": None}
    for k, (w, g, v, _) in ((plain, expected), (cuda, found)):
        k.sgd_update(w, g, None if kind == "without" else v, **settings)
    assert_close(found, expected, dtype)


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("decoupled", [False, True])
def test_adam_equals_the_plain_one(cuda, dtype, layout, decoupled):
    expected = columns(dtype)
    found = on_device(expected, layout)
    steps = [3] * len(SHAPES) if decoupled else [1 + i % 2 for i in range(len(SHAPES))]
    for k, given in ((plain, expected), (cuda, found)):
        k.adam_update(*given, steps, **ADAM, decoupled=decoupled, factor=None)
    assert_close(found, expected, dtype)


def test_types_may_be_mixed(cuda):
    lists = [columns(dtype) for dtype in BOUNDS]
    expected = [[x for part in parts for x in part] for parts in zip(*lists, strict=True)]
    odd = expected[0][2]
    expected[1][2] = expected[1][2].astype(np.float64 if odd.dtype != np.float64 else np.float32)
    found = on_device(expected, "all kinds")
    for k, (w, g, v, _) in ((plain, expected), (cuda, found)):
        k.sgd_update(w, g, v, **SGD, nesterov=False, factor=None)
    assert_close(found, expected, "f2")


@pytest.mark.parametrize("factor", [0.25, np.nan, np.inf])
def test_a_factor_multiplies_gradients_and_stops_what_is_not_finite(cuda, factor):
    import cupy

    for dtype in BOUNDS:
        expected, before = columns(dtype), columns(dtype)
        found = on_device(expected, "rows")
        for k, (w, g, a, b) in ((plain, expected), (cuda, found)):
            scale = factor if k is plain else cupy.asarray([factor])
            k.sgd_update(w, g, a, **SGD, nesterov=True, factor=scale)
            k.adam_update(w, g, a, b, [2] * len(w), **ADAM, decoupled=False, factor=scale)
        assert_close(found, before if factor != 0.25 else expected, dtype)


def test_weights_that_share_memory_are_changed_in_turn(cuda, monkeypatch):
    """By a launch each: blocks of one launch run in any order."""
    import cupy

    from minicnn.kernels.cuda import _launch

    launch, launched = _launch.launch, []
    monkeypatch.setattr(_launch, "launch", lambda *a: launched.append(a[1]) or launch(*a))

    expected, grads = np.ones(10), [np.full(10, 1.0), np.full(10, 2.0)]
    weight = cupy.asarray(expected)
    for g in grads:
        plain.sgd_update([expected], [g], None, **SGD, nesterov=False, factor=None)
    grads = [cupy.asarray(g) for g in grads]
    cuda.sgd_update([weight, weight], grads, None, **SGD, nesterov=False, factor=None)
    np.testing.assert_allclose(weight.get(), expected, rtol=1e-15)
    assert launched == ["sgd_update<double>"] * 2


def test_all_parameters_of_a_type_are_changed_by_one_launch(cuda, monkeypatch):
    from minicnn.kernels.cuda import _launch

    launch, launched = _launch.launch, []
    monkeypatch.setattr(_launch, "launch", lambda *a: launched.append(a[1]) or launch(*a))
    w, g, a, b = on_device(columns("f4"), "all kinds")
    cuda.adam_update(w, g, a, b, [5] * len(w), **ADAM, decoupled=True, factor=None)
    assert launched == ["adam_update<float>"]


def test_the_same_bits_again_and_alone(cuda):
    """What lies beside a parameter changes nothing."""
    results = []
    for alone in (False, False, True):
        w, g, v, _ = on_device(columns("f4"), "all kinds")
        for part in range(len(w)) if alone else [slice(None)]:
            entry = [[x[part]] if alone else x for x in (w, g, v)]
            cuda.sgd_update(*entry, **SGD, nesterov=True, factor=None)
        results.append([x.get().tobytes() for x in (*w, *v)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_of_squares(cuda, dtype, layout):
    import cupy

    given = [*columns(dtype)[1], np.full(40_000, 200, dtype)]  # float16 would overflow
    given[2].ravel()[3] = np.nan
    (found,) = on_device([given], layout)
    squares = cuda.sums_of_squares(found)
    assert isinstance(squares, cupy.ndarray)
    assert squares.dtype == np.float64
    expected = [(x.astype(np.float64) ** 2).sum() for x in given]
    np.testing.assert_allclose(squares.get(), expected, rtol=1e-13)
    assert squares.get().tobytes() == cuda.sums_of_squares(found).get().tobytes()


def test_nothing_to_do(cuda):
    import cupy

    assert cuda.sums_of_squares([]).shape == (0,)
    cuda.sgd_update([], [], None, **SGD, nesterov=False, factor=None)
    empty = [cupy.zeros((0, 3), np.float32)]
    cuda.adam_update(empty, empty, empty, empty, [1], **ADAM, decoupled=True, factor=None)
