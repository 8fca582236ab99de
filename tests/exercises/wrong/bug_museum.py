"""Wrong answers to the exercises of lesson 10: classic tests that are too weak."""

import numpy as np

from minicnn import Tensor, ops
from minicnn.exercises import bug_museum as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()


@wrong(exercise.exposing_image, hint="no pixel is negative")
def of_a_camera(shape):
    return np.random.default_rng(0).random(shape)


@wrong(exercise.exposing_image, hint="no pixel is negative")
def of_zeros(shape):
    return np.zeros(shape)


@wrong(exercise.exposing_image, hint="every window at the edge")
def negative_inside(shape):
    x = np.ones(shape)
    x[:, :, 2:-2, 2:-2] = -1
    return x


@wrong(exercise.exposing_image, hint="another shape")
def one_grey_image(shape):
    return -np.ones(shape[2:])


@wrong(exercise.exposing_image, hint="plain numbers")
def bottomless(shape):
    return np.full(shape, -np.inf)


def pool_one(x, size, stride, padding):
    """Pool by minicnn, for checks that do not spell it out."""
    return ops.max_pool2d(Tensor(x), size, stride, padding).data


def agrees(max_pool, x, size, stride, padding):
    return np.array_equal(max_pool(x, size, stride, padding), pool_one(x, size, stride, padding))


@wrong(exercise.check_pooling, hint="0 beside the image")
def of_photographs(max_pool):
    x = np.random.default_rng(1).random((2, 3, 6, 9))
    return agrees(max_pool, x, 3, 2, 1)


@wrong(exercise.check_pooling, hint="square")
def of_squares(max_pool):
    x = -np.random.default_rng(1).random((2, 3, 8, 8))
    return agrees(max_pool, x, 3, 2, 1)


@wrong(exercise.check_pooling, hint="batch is of one image")
def of_one_image(max_pool):
    x = -np.random.default_rng(1).random((1, 3, 6, 9))
    assert agrees(max_pool, x, 3, 2, 1)


@wrong(exercise.check_pooling, hint="size of the window")
def of_blocks(max_pool):
    x = -np.random.default_rng(1).random((2, 3, 6, 10))
    return agrees(max_pool, x, 3, 3, 1)


@wrong(exercise.check_pooling, hint="leave pixels over")
def of_what_divides(max_pool):
    x = -np.random.default_rng(1).random((2, 3, 7, 9))
    return agrees(max_pool, x, 3, 2, 1)


@wrong(exercise.check_pooling, hint="objects to nothing")
def of_its_shape(max_pool):
    y = max_pool(np.ones((1, 1, 4, 4)), 2, 2, 0)
    y.shape == (1, 1, 2, 2)  # noqa: B015 - a learner forgot the assert


@wrong(exercise.check_pooling, hint="pooling that is right")
def padded_by_hand(max_pool):
    x = -np.ones((2, 3, 6, 9))
    wide = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.array_equal(max_pool(x, 3, 2, 1), pool_one(wide, 3, 2, 0))


def slopes(f, x, u, step=1e-6):
    """Differentiate <u, f> by each number of x, one after the other."""
    grad = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        moved = np.zeros_like(x)
        moved[place] = step
        grad[place] = (u * (f(x + moved) - f(x - moved))).sum() / (2 * step)
    return grad


@wrong(exercise.check_gradient, hint="ones a softmax hides")
def sends_ones_back(f, pull_back, x):
    u = np.ones(x.shape)
    return np.allclose(pull_back(x, u), slopes(f, x, u), rtol=1e-5, atol=1e-8)


@wrong(exercise.check_gradient, hint="compared with itself")
def compares_with_itself(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    grad = pull_back(x, u)
    again = pull_back(x, u)
    return np.allclose(grad, again)


@wrong(exercise.check_gradient, hint="a share, not an amount")
def allows_a_millionth(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    return np.abs(pull_back(x, u) - slopes(f, x, u)).max() < 1e-6


@wrong(exercise.check_gradient, hint="an amount")
def allows_a_hundredth(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    return np.allclose(pull_back(x, u), slopes(f, x, u), rtol=1e-5, atol=1e-2)


@wrong(exercise.check_gradient, hint="thousandth")
def allows_one_in_a_hundred(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    grad, expected = pull_back(x, u), slopes(f, x, u)
    return np.abs(grad - expected).max() <= 0.01 * np.abs(expected).max()


@wrong(exercise.check_gradient, hint="only some of the numbers")
def looks_at_the_first_row(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    return np.allclose(pull_back(x, u)[0], slopes(f, x, u)[0], rtol=1e-5)


@wrong(exercise.check_gradient, hint="drown in rounding")
def steps_of_nothing(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    return np.allclose(pull_back(x, u), slopes(f, x, u, 1e-13), rtol=1e-5)


@wrong(exercise.check_gradient, hint="too coarse")
def steps_of_a_tenth(f, pull_back, x):
    u = np.random.default_rng(0).normal(size=x.shape)
    return np.allclose(pull_back(x, u), slopes(f, x, u, 0.1), rtol=1e-5)


def sample(low=0, high=3, stride=2):
    rng = np.random.default_rng(2)
    x = rng.integers(low, high, (2, 2, 7, 9)).astype(float)
    out = (7 - 3) // stride + 1, (9 - 3) // stride + 1
    return x, rng.normal(size=(2, 2, *out)), 3, stride


def winners(x, shape, size, stride):
    won = np.zeros(x.shape, bool)
    for n, c, i, j in np.ndindex(shape):
        at = np.s_[n, c, i * stride : i * stride + size, j * stride : j * stride + size]
        won[at] |= x[at] == x[at].max()
    return won


@wrong(exercise.check_routing, hint="equal and largest")
def without_ties(pull_back):
    x, grad_y, size, stride = sample()
    x = np.random.default_rng(0).permutation(x.size).reshape(x.shape).astype(float)
    grad_x = pull_back(x, grad_y, size, stride)
    assert np.isclose(grad_x.sum(), grad_y.sum())
    assert not grad_x[~winners(x, grad_y.shape, size, stride)].any()


@wrong(exercise.check_routing, hint="let them overlap")
def side_by_side(pull_back):
    x, grad_y, size, stride = sample(stride=3)
    grad_x = pull_back(x, grad_y, size, stride)
    won = winners(x, grad_y.shape, size, stride)
    return np.isclose(grad_x.sum(), grad_y.sum()) and not grad_x[~won].any()


@wrong(exercise.check_routing, hint="sums alone")
def adds_up(pull_back):
    x, grad_y, size, stride = sample()
    return np.isclose(pull_back(x, grad_y, size, stride).sum(), grad_y.sum())


@wrong(exercise.check_routing, hint="all ones")
def of_ones(pull_back):
    x, grad_y, size, stride = sample()
    grad_y[:] = 1
    grad_x = pull_back(x, grad_y, size, stride)
    won = winners(x, grad_y.shape, size, stride)
    return np.isclose(grad_x.sum(), grad_y.sum()) and not grad_x[~won].any()


@wrong(exercise.check_routing, hint="more than one answer is right")
def as_minicnn_does(pull_back):
    x, grad_y, size, stride = sample()
    t = Tensor(x, requires_grad=True)
    ops.max_pool2d(t, size, stride).backward(grad_y)
    return np.allclose(pull_back(x, grad_y, size, stride), t.grad.data)


@wrong(exercise.exposing_logits, hint="none above 0")
def large(classes):
    x = np.zeros((2, classes))
    x[0] = 2000
    return x


@wrong(exercise.exposing_logits, hint="its own largest")
def one_row_far_below(classes):
    return np.full((1, classes), -1000.0)


@wrong(exercise.exposing_logits, hint="plain formula")
def moderate(classes):
    return np.random.default_rng(0).normal(0, 3, (4, classes))


@wrong(exercise.exposing_logits, hint="rows of logits")
def a_single_row(classes):
    return [-1000.0] * classes


@wrong(exercise.exposing_logits, hint="infinite")
def endless(classes):
    return np.full((2, classes), -np.inf)


@wrong(exercise.cross_entropy, hint="-1 is taken for the last class")
def as_numpy_does(log_p, labels):
    total = 0.0
    for row, label in zip(log_p, labels, strict=True):
        total -= row[label]
    return total / len(labels)


@wrong(exercise.cross_entropy, hint="a label of K or more fails in NumPy's words")
def half_a_check(log_p, labels):
    if labels.min() < 0:
        raise ValueError(f"label {labels.min()} is negative")
    return -log_p[np.arange(len(labels)), labels].mean()


@wrong(exercise.cross_entropy, hint="below 0 still gets a loss")
def other_half(log_p, labels):
    if (labels >= log_p.shape[1]).any():
        raise ValueError(f"{labels.max()} is too large")
    return -log_p[np.arange(len(labels)), labels].mean()


@wrong(exercise.cross_entropy, hint="is no class")
def brought_into_range(log_p, labels):
    return -log_p[np.arange(len(labels)), labels.clip(0, log_p.shape[1] - 1)].mean()


@wrong(exercise.cross_entropy, hint="is no class")
def left_out(log_p, labels):
    known = (labels >= 0) & (labels < log_p.shape[1])
    return -log_p[known, labels[known]].mean()


@wrong(exercise.cross_entropy, hint="does not say which")
def in_a_word(log_p, labels):
    if ((labels < 0) | (labels >= log_p.shape[1])).any():
        raise ValueError("bad label")
    return -log_p[np.arange(len(labels)), labels].mean()


@wrong(exercise.accuracy, hint="means")
def mean_of_means(batches):
    total = 0.0
    for predictions, labels in batches:
        total += np.mean(predictions == labels)
    return total / len(batches)


@wrong(exercise.accuracy, hint="as large as the first")
def times_a_batch_size(batches):
    batch_size = len(batches[0][0])
    right = sum(np.count_nonzero(p == t) for p, t in batches)
    return right / batch_size / len(batches)


@wrong(exercise.accuracy, hint="last batch is left out")
def full_batches_only(batches):
    if len(batches) > 1:
        batches = batches[:-1]
    predictions, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return np.mean(predictions == labels)


@wrong(exercise.accuracy, hint="share of 1")
def in_percent(batches):
    predictions, labels = (np.concatenate(part) for part in zip(*batches, strict=True))
    return 100 * np.mean(predictions == labels)


def same_array(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and np.array_equal(a, b)


@wrong(exercise.check_round_trip, hint="row by row")
def of_fresh_arrays(write, read):
    rng = np.random.default_rng(0)
    shapes = (), (3,), (2, 5), (4, 0), (2, 3, 4)
    return all(
        same_array(read(write(x)), x) for x in (np.array(rng.normal(size=s)) for s in shapes)
    )


@wrong(exercise.check_round_trip, hint="type may change")
def of_whole_numbers(write, read):
    for x in np.arange(12.0).reshape(3, 4), np.arange(12.0).reshape(3, 4).T, np.array(2.0):
        back = read(write(x))
        assert back.shape == x.shape
        assert (back == x).all()


@wrong(exercise.check_round_trip, hint="shape may change")
def of_what_is_in_it(write, read):
    x = np.random.default_rng(0).normal(size=(3, 4)).T
    return all(
        read(write(a)).dtype == a.dtype and read(write(a)).tobytes() == a.tobytes()
        for a in (x, x[::2])
    )


@wrong(exercise.check_round_trip, hint="no axis")
def of_two_axes(write, read):
    x = np.random.default_rng(0).normal(size=(3, 4)).T
    return same_array(read(write(x)), x)


@wrong(exercise.check_round_trip, hint="objects to nothing")
def of_zeros_alone(write, read):
    return read(write(np.zeros((3, 3)))).sum() == 0


@wrong(exercise.check_round_trip, hint="files that are right")
def of_identity(write, read):
    x = np.zeros((2, 3))
    return read(write(x)) is x


wrong(exercise.crops_seen, hint="twelve are drawn")(12)
wrong(exercise.crops_seen, hint="more than one")(4)
wrong(exercise.crops_seen, hint="at each call")(1)
wrong(exercise.still_initial, hint="one step")(0.9)
wrong(exercise.still_initial, hint="what is left")(0)
wrong(exercise.still_initial, hint="new")(0.65)
wrong(exercise.still_initial, hint="percent")(35)
