"""Optimisers against float64 transcriptions of their papers' formulas."""

import numpy as np
import pytest

from minicnn.autograd import Tensor
from minicnn.backend.random import Stream
from minicnn.errors import CheckpointError, ConfigError, GradientError, ShapeError
from minicnn.optim import SGD, Adam, AdamW, Constant, Cosine, Step, decay_groups

SHAPES = {"kernel": (4, 3, 3, 3), "matrix": (5, 7), "bias": (5,), "scale": ()}


def sgd_reference(w, gradients, rate, momentum=0.9, nesterov=False, decay=0.0):
    v = np.zeros_like(w)
    for t, g in enumerate(gradients):
        g = g + decay * w
        v = momentum * v + g
        w = w - rate(t) * (g + momentum * v if nesterov else v)
    return w


def adam_reference(w, gradients, rate, betas=(0.9, 0.999), epsilon=1e-8, decay=0.0, apart=False):
    m, s = np.zeros_like(w), np.zeros_like(w)
    b1, b2 = betas
    for t, g in enumerate(gradients, start=1):
        lr = rate(t - 1)
        w_before = w
        if not apart:
            g = g + decay * w
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * g * g
        m_hat, s_hat = m / (1 - b1**t), s / (1 - b2**t)
        w = w - lr * m_hat / (np.sqrt(s_hat) + epsilon)
        if apart:
            w = w - lr * decay * w_before
    return w


CASES = [
    (SGD, {}, sgd_reference, {}),
    (SGD, {"momentum": 0.0}, sgd_reference, {"momentum": 0.0}),
    (SGD, {"nesterov": True}, sgd_reference, {"nesterov": True}),
    (SGD, {"weight_decay": 0.1}, sgd_reference, {"decay": 0.1}),
    (
        SGD,
        {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1},
        sgd_reference,
        {"momentum": 0.5, "nesterov": True, "decay": 0.1},
    ),
    (SGD, {"momentum": 0.0, "weight_decay": 0.1}, sgd_reference, {"momentum": 0.0, "decay": 0.1}),
    (Adam, {}, adam_reference, {}),
    (
        Adam,
        {"betas": (0.5, 0.8), "epsilon": 0.1},
        adam_reference,
        {"betas": (0.5, 0.8), "epsilon": 0.1},
    ),
    (Adam, {"weight_decay": 0.1}, adam_reference, {"decay": 0.1}),
    (AdamW, {}, adam_reference, {"decay": 0.01, "apart": True}),
    (AdamW, {"weight_decay": 0.3}, adam_reference, {"decay": 0.3, "apart": True}),
]
RATES = [0.05, Cosine(0.1, 15), Step(0.1, (3, 11), 0.5)]


def parameters(dtype=np.float64, seed=0):
    stream = Stream(seed, "weights")
    return {n: Tensor(np.asarray(stream.normal(s, dtype=dtype)), True) for n, s in SHAPES.items()}


def gradients(shape, name, steps=20):
    return Stream(0, "gradients", name).normal((steps, *shape))


def run(optimizer, params, first=0, last=20):
    for t in range(first, last):
        for name, p in params.items():
            p.grad = Tensor(np.asarray(gradients(p.shape, name)[t], p.dtype))
        optimizer.step()


@pytest.mark.parametrize("jit", ["0", "1"])
@pytest.mark.parametrize("rate", RATES, ids=["constant", "cosine", "step"])
@pytest.mark.parametrize(("kind", "options", "reference", "words"), CASES)
def test_twenty_steps_follow_the_formula(kind, options, reference, words, rate, jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    params = parameters()
    start = {n: p.data.copy() for n, p in params.items()}
    run(kind(params.items(), rate, **options), params)
    rate = rate if callable(rate) else Constant(rate)
    for name, p in params.items():
        expected = reference(start[name], gradients(p.shape, name), rate, **words)
        np.testing.assert_allclose(p.data, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_single_precision_follows_double_precision(kind):
    single, double = parameters(np.float32), parameters()
    for n in single:
        double[n].data[...] = single[n].data
    run(kind(single.items(), 0.01), single)
    run(kind(double.items(), 0.01), double)
    for n in single:
        assert single[n].dtype == np.float32
        np.testing.assert_allclose(single[n].data, double[n].data, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("jit", ["0", "1"])
def test_half_precision_weights_keep_single_precision_slots(jit, monkeypatch):
    monkeypatch.setenv("MINICNN_JIT", jit)
    p = Tensor(np.ones(3, np.float16), True)
    optimizer = SGD([("w", p)], 0.5, momentum=0.9)
    for _ in range(2):
        p.grad = Tensor(np.full(3, 2**-14, np.float16))
        optimizer.step()
    velocity = optimizer.state_dict()["w.velocity"]
    assert velocity.dtype == np.float32
    np.testing.assert_allclose(velocity, 1.9 * 2**-14, rtol=1e-6)
    assert p.dtype == np.float16


def test_groups_have_their_own_settings():
    a, b = Tensor(np.ones(3), True), Tensor(np.ones(3), True)
    groups = [
        {"params": [("a", a)], "weight_decay": 0.5},
        {"params": [("b", b)], "learning_rate": Constant(0.01)},
    ]
    optimizer = SGD(groups, 0.1, momentum=0.0)
    for p in (a, b):
        p.grad = Tensor(np.full(3, 2.0))
    optimizer.step()
    np.testing.assert_allclose(a.data, 1 - 0.1 * (2 + 0.5))
    np.testing.assert_allclose(b.data, 1 - 0.01 * 2)
    optimizer.learning_rate = 1.0  # of those without a rate of their own
    optimizer.step()
    np.testing.assert_allclose(b.data, 1 - 0.01 * 4)
    assert optimizer.learning_rate == 1.0


def test_decay_groups_spare_biases_and_norms():
    params = parameters()
    optimizer = AdamW(decay_groups(params.items(), 0.5), 0.1)
    decays = {n: g["weight_decay"] for g in optimizer.groups for n, _ in g["params"]}
    assert decays == {"kernel": 0.5, "matrix": 0.5, "bias": 0.0, "scale": 0.0}

    class Net:
        def named_parameters(self):
            return params.items()

    assert len(SGD(decay_groups(Net(), 0.1), 0.1).groups) == 2
    assert [n for n, _ in SGD(Net(), 0.1).named_params] == list(params)
    with pytest.raises(ConfigError, match="flat list"):
        decay_groups([{"params": []}], 0.1)


def test_a_parameter_without_gradient_is_skipped():
    params = parameters()
    rest = params["bias"].data.copy()
    optimizer = Adam(params.items(), 0.1, weight_decay=0.1)
    for p in params.values():
        p.grad = Tensor(np.ones(p.shape))
    params["bias"].grad = None
    optimizer.step()
    np.testing.assert_array_equal(params["bias"].data, rest)
    assert not [n for n in optimizer.state_dict() if n.startswith("bias")]
    # its first step is corrected as a first step, though the others' is their second
    params["bias"].grad = Tensor(np.ones(5))
    optimizer.step()
    expected = adam_reference(rest, np.ones((1, 5)), Constant(0.1), decay=0.1)
    np.testing.assert_allclose(params["bias"].data, expected)


@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_saved_in_the_middle_it_goes_on_bit_for_bit(kind):
    schedule = Cosine(0.1, 20)
    whole, part = parameters(np.float32), parameters(np.float32)
    run(kind(whole.items(), schedule), whole)
    first = kind(part.items(), schedule)
    run(first, part, 0, 7)
    state = first.state_dict()
    other = {n: Tensor(p.data.copy(), True) for n, p in part.items()}
    run(first, part, 7, 9)  # must not reach the saved state
    second = kind(other.items(), schedule)
    second.load_state_dict(state)
    assert second.step_count == 7
    run(second, other, 7, 20)
    for n in whole:
        np.testing.assert_array_equal(whole[n].data, other[n].data)


def test_a_state_is_a_copy():
    params = parameters()
    optimizer = SGD(params.items(), 0.1)
    run(optimizer, params, 0, 1)
    state = optimizer.state_dict()
    before = state["bias.velocity"].copy()
    run(optimizer, params, 1, 2)
    np.testing.assert_array_equal(state["bias.velocity"], before)
    optimizer.load_state_dict(state)
    run(optimizer, params, 1, 2)
    np.testing.assert_array_equal(state["bias.velocity"], before)


def test_a_foreign_state_changes_nothing():
    params = parameters()
    optimizer = SGD(params.items(), 0.1)
    run(optimizer, params, 0, 2)
    state = optimizer.state_dict()
    wrong = [
        ({n: v for n, v in state.items() if n != "step"}, "missing 'step'"),
        (state | {"x.velocity": np.zeros(1)}, "unexpected 'x.velocity'"),
        (state | {"bias.velocity": np.zeros(6)}, r"'bias.velocity' has shape \(6,\), not \(5,\)"),
    ]
    for given, message in wrong:
        given = {n: v + 1 for n, v in given.items()}
        with pytest.raises(CheckpointError, match=message):
            optimizer.load_state_dict(given)
    adam = Adam(params.items())
    with pytest.raises(CheckpointError, match=r"unexpected 'bias\.velocity'"):
        adam.load_state_dict(state)
    run(adam, params, 0, 1)
    half = {n: v for n, v in adam.state_dict().items() if n != "bias.square"}
    with pytest.raises(CheckpointError, match=r"missing 'bias\.square'"):
        adam.load_state_dict(half)
    after = optimizer.state_dict()
    assert after.keys() == state.keys()
    for n, v in state.items():
        np.testing.assert_array_equal(v, after[n])


def test_gradients_are_not_written_to():
    shared = Tensor(np.ones(4, np.float32))
    a, b = (Tensor(np.zeros(4, np.float32), True) for _ in range(2))
    optimizer = SGD([a, b], 0.1, weight_decay=0.1, clip_norm=1.0)
    a.grad = b.grad = shared
    optimizer.step()
    np.testing.assert_array_equal(shared.data, 1)
    np.testing.assert_array_equal(a.data, b.data)
    np.testing.assert_allclose(a.data, -0.1 / np.sqrt(8), rtol=1e-6)


def test_clip_norm_refuses_a_broken_gradient_before_any_change():
    a, b = (Tensor(np.zeros(4), True) for _ in range(2))
    optimizer = SGD([("a", a), ("b", b)], 0.1, clip_norm=1.0)
    a.grad, b.grad = Tensor(np.ones(4)), Tensor(np.array([1, np.nan, 1, 1]))
    with pytest.raises(GradientError, match="because of b;"):
        optimizer.step()
    assert not a.data.any()
    assert optimizer.step_count == 0


def test_a_wrong_gradient_shape_is_refused_before_any_change():
    a, b = (Tensor(np.zeros(4), True) for _ in range(2))
    optimizer = SGD([("a", a), ("b", b)], 0.1)
    a.grad, b.grad = Tensor(np.ones(4)), Tensor(np.ones(1))
    with pytest.raises(ShapeError, match=r"parameter 'b' has shape \(4,\), its gradient \(1,\)"):
        optimizer.step()
    assert not a.data.any()


def test_read_only_weights_are_replaced_by_a_copy():
    file = np.zeros(3, np.float32)
    view = file.view()
    view.flags.writeable = False
    p = Tensor(view, True)
    p.grad = Tensor(np.ones(3, np.float32))
    SGD([p], 0.5).step()
    np.testing.assert_array_equal(p.data, -0.5)
    assert not file.any()


def test_zero_grad():
    p = Tensor(np.ones(2), True)
    (p * p).sum().backward()
    SGD([p], 0.1).zero_grad()
    assert p.grad is None


@pytest.mark.parametrize(
    ("make", "steps"),
    [
        (lambda p: SGD(p, 0.01, momentum=0.9), 400),
        (lambda p: SGD(p, 0.01, momentum=0.9, nesterov=True), 400),
        (lambda p: Adam(p, Cosine(0.3, 400)), 400),
    ],
)
def test_reaches_the_minimum_of_a_narrow_valley(make, steps):
    """A quadratic whose curvatures are 100 to 1; plain descent of that rate does not get there."""
    scale = np.array([1.0, 100.0])
    target = np.array([3.0, -2.0])

    def distance(optimizer_of, count):
        w = Tensor(np.zeros(2), True)
        optimizer = optimizer_of([w])
        for _ in range(count):
            optimizer.zero_grad()
            d = w - target
            (Tensor(scale) * d * d * 0.5).sum().backward()
            optimizer.step()
        return np.abs(w.data - target).max()

    assert distance(make, steps) < 1e-5
    assert distance(lambda p: SGD(p, 0.01, momentum=0.0), steps) > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: SGD(p, -0.1), "learning rate -0.1 is not above 0"),
        (lambda p: SGD(p, True), "neither a number nor a schedule"),
        (lambda p: SGD(p, Cosine), "neither a number nor a schedule"),
        (lambda p: SGD(p, float("nan")), "neither a number nor a schedule"),
        (lambda p: SGD(p, 0.1, momentum=1.0), "momentum is 1.0; .* from 0 to below 1"),
        (lambda p: SGD(p, 0.1, momentum=0.0, nesterov=True), "nesterov=True needs a momentum"),
        (lambda p: SGD(p, 0.1, weight_decay=-1), "weight_decay is -1; .* from 0 up"),
        (lambda p: SGD(p, 0.1, clip_norm=0), "clip_norm is 0"),
        (lambda p: Adam(p, betas=(0.9, 1.0)), "a beta is 1.0"),
        (lambda p: Adam(p, betas=0.9), "betas is 0.9; give two"),
        (lambda p: AdamW(p, epsilon=0), "AdamW: epsilon must be above 0"),
        (lambda p: SGD([], 0.1), "no parameters"),
        (lambda p: SGD(p[0], 0.1), "a Tensor of shape"),
        (lambda p: SGD([1.0], 0.1), "1.0 is no parameter"),
        (lambda p: SGD([Tensor([1])], 0.1), r"shape \(1,\) is no parameter"),
        (lambda p: SGD([*p, p[0]], 0.1), "'0' and '1' are given twice"),
        (lambda p: SGD([("a", p[0]), ("b", p[0])], 0.1), "'a' and 'b' are given twice"),
        (lambda p: SGD([{"params": p, "momentun": 1}], 0.1), "did you mean 'momentum'"),
        (lambda p: SGD([{"weight_decay": 1}], 0.1), "give dict"),
        (lambda p: SGD([{"params": p}, p[0]], 0.1), "among groups"),
        (lambda p: SGD([{"params": p, "momentum": 2}], 0.1), "momentum is 2"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make([Tensor(np.ones(2), True)])


def test_a_schedule_that_goes_wrong_is_named():
    p = Tensor(np.ones(2), True)
    p.grad = Tensor(np.ones(2))
    optimizer = SGD([p], lambda step: float("nan"))
    with pytest.raises(ConfigError, match="learning rate nan at step 0"):
        optimizer.step()
    np.testing.assert_array_equal(p.data, 1)


def test_a_parameter_that_got_another_shape_is_refused():
    p = Tensor(np.zeros(4, np.float32), requires_grad=True)
    for make in (lambda: SGD([p], 0.1, momentum=0.9), lambda: Adam([p], 0.1)):
        p.data = np.zeros(4, np.float32)
        p.grad = Tensor(np.ones(4, np.float32))
        optimizer = make()
        optimizer.step()
        p.data = np.zeros(40000, np.float32)
        p.grad = Tensor(np.ones(40000, np.float32))
        with pytest.raises(ShapeError, match=r"shape \(40000,\).*\(4,\); make a new optimizer"):
            optimizer.step()
        assert (p.data == 0).all()


@pytest.mark.parametrize(
    "views",
    [
        lambda w: (w[::2], w[::2]),
        lambda w: (w[::-1], w[::-1]),
        lambda w: (w, w),
        lambda w: (w[:300000], w[100000:]),
        lambda w: (w.reshape(2, -1)[:, 1:], w),
    ],
)
def test_parameters_in_the_same_memory_are_changed_one_after_the_other(views, monkeypatch):
    found = []
    for jit in ("0", "1"):
        monkeypatch.setenv("MINICNN_JIT", jit)
        memory = np.zeros(400000, np.float32)
        both = [Tensor(view, requires_grad=True) for view in views(memory)]
        for i, p in enumerate(both):
            assert np.shares_memory(p.data, memory)
            p.grad = Tensor(np.full(p.shape, 1.0 + i, np.float32))
        SGD(both, 1.0, momentum=0.0).step()
        found.append(memory)
    np.testing.assert_array_equal(*found)
    assert found[0].min() == -3
