"""Wrong answers to the exercises on pooling, dropout, softmax and cross-entropy."""

import numpy as np

from minicnn.exercises import classification_head as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()

# ---- max pooling


def _windows(x, size, stride, padding):
    """Yield i, j and the windows of images that are padded already."""
    kh, kw = size
    for i in range((x.shape[2] - kh) // stride + 1):
        for j in range((x.shape[3] - kw) // stride + 1):
            yield i, j, x[:, :, i * stride : i * stride + kh, j * stride : j * stride + kw]


def _collect(x, size, stride, reduce):
    found = {(i, j): reduce(w) for i, j, w in _windows(x, size, stride, 0)}
    rows, columns = max(found)
    y = np.zeros((*x.shape[:2], rows + 1, columns + 1))
    for (i, j), value in found.items():
        y[:, :, i, j] = value
    return y


def _largest(window):
    return window.max(axis=(2, 3))


@wrong(exercise.max_pool, hint="never win")
def padded_with_zeros(x, size, stride, padding):
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return _collect(x, size, stride, _largest)


@wrong(exercise.max_pool, hint="stride")
def took_the_stride_for_the_size(x, size, stride, padding):
    p = padding
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf)
    n, c, height, width = x.shape
    rows, columns = (height - size[0]) // size[0] + 1, (width - size[1]) // size[0] + 1
    y = np.zeros((n, c, rows, columns))
    for i in range(rows):
        for j in range(columns):
            top, left = i * size[0], j * size[0]
            window = x[:, :, top : top + size[0], left : left + size[1]]
            y[:, :, i, j] = window.reshape(n, c, -1).max(axis=2)
    return y


@wrong(exercise.max_pool, hint="(KH, KW)")
def height_and_width_exchanged(x, size, stride, padding):
    p = padding
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf)
    return _collect(x, (size[1], size[0]), stride, _largest)


@wrong(exercise.max_pool, hint="ignore the padding")
def forgot_to_pad(x, size, stride, padding):
    return _collect(x, size, stride, _largest)


@wrong(exercise.max_pool, hint="mixed")
def largest_of_all_channels(x, size, stride, padding):
    p = padding
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.inf)
    return _collect(x, size, stride, lambda window: window.max())


# ---- its gradient


@wrong(exercise.max_pool_grad, hint="both")
def overwrites_where_windows_overlap(x, grad_y, size, stride):
    grad_x = np.zeros_like(x)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(grad_y.shape[2]):
                for j in range(grad_y.shape[3]):
                    top, left = i * stride, j * stride
                    window = x[n, c, top : top + size[0], left : left + size[1]]
                    u, v = np.unravel_index(window.argmax(), window.shape)
                    grad_x[n, c, top + u, left + v] = grad_y[n, c, i, j]
    return grad_x


@wrong(exercise.max_pool_grad, hint="counted double")
def compares_with_the_largest(x, grad_y, size, stride):
    grad_x = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride, 0):
        largest = window.max(axis=(2, 3), keepdims=True)
        there = np.s_[:, :, i * stride : i * stride + size[0], j * stride : j * stride + size[1]]
        grad_x[there] += (window == largest) * grad_y[:, :, i, j][:, :, None, None]
    return grad_x


@wrong(exercise.max_pool_grad, hint="average")
def spreads_it_evenly(x, grad_y, size, stride):
    grad_x = np.zeros_like(x)
    for i, j, window in _windows(x, size, stride, 0):
        there = np.s_[:, :, i * stride : i * stride + size[0], j * stride : j * stride + size[1]]
        grad_x[there] += grad_y[:, :, i, j][:, :, None, None] * np.ones_like(window) / np.prod(size)
    return grad_x


@wrong(exercise.max_pool_grad, hint="chain rule")
def counts_the_wins(x, grad_y, size, stride):
    grad_x = np.zeros_like(x)
    for n, c, i, j in np.ndindex(grad_y.shape):
        top, left = i * stride, j * stride
        u, v = divmod(x[n, c, top : top + size[0], left : left + size[1]].argmax(), size[1])
        grad_x[n, c, top + u, left + v] += 1
    return grad_x


@wrong(exercise.max_pool_grad, hint="shape of x")
def returns_one_number_for_each_window(x, grad_y, size, stride):
    return np.array(grad_y) * 1.0


@wrong(exercise.max_pool_grad, hint="last")
def later_ones_replace_earlier_ones(x, grad_y, size, stride):
    grad_x = np.zeros_like(x)
    for n, c, i, j in np.ndindex(grad_y.shape):
        best, at = -np.inf, (0, 0)
        for u in range(size[0]):
            for v in range(size[1]):
                if x[n, c, i * stride + u, j * stride + v] >= best:
                    best, at = x[n, c, i * stride + u, j * stride + v], (u, v)
        grad_x[n, c, i * stride + at[0], j * stride + at[1]] += grad_y[n, c, i, j]
    return grad_x


# ---- without loops


@wrong(exercise.pool_by_reshape, hint="memory")
def cuts_the_memory(x):
    parts = x.reshape(*x.shape[:2], x.shape[2] // 2, x.shape[3] // 2, 4)
    return parts.max(axis=-1)


@wrong(exercise.pool_by_reshape, hint="length 2")
def maximum_over_the_long_axes(x):
    n, c, h, w = x.shape
    return np.max(np.max(x.reshape(n, c, h // 2, 2, w // 2, 2), axis=4), axis=2)


@wrong(exercise.pool_by_reshape, hint="every second")
def every_other_pixel(x):
    return x[..., 0::2, 0::2].copy()


@wrong(exercise.pool_by_reshape, hint="two rows")
def along_the_rows_alone(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h, w // 2, 2).max(axis=4)[:, :, ::2]


@wrong(exercise.pool_by_reshape, hint="average")
def takes_the_mean(x):
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


# ---- a dense layer

wrong(exercise.vgg_first_dense, hint="without the bias")(102_760_448)
wrong(exercise.vgg_first_dense, hint="global pooling")(2_101_248)
wrong(exercise.vgg_first_dense, hint="every one of them")(25_088)
wrong(exercise.vgg_first_dense, hint="49")(14_684_160)

# ---- dropout


@wrong(exercise.dropout, hint="not scaled")
def only_drops(x, draws, keep):
    y = x.copy()
    y[draws >= keep] = 0
    return y


@wrong(exercise.dropout, hint="should be kept")
def drops_the_others(x, draws, keep):
    y = x / keep
    y[draws < keep] = 0
    return y


@wrong(exercise.dropout, hint="probability to drop")
def takes_keep_for_the_rate(x, draws, keep):
    rate = keep
    with np.errstate(all="ignore"):
        return np.where(draws < rate, 0.0, x / max(1 - rate, 1e-300))


@wrong(exercise.dropout, hint="happened to stay")
def keeps_the_mean_of_this_draw(x, draws, keep):
    mask = draws < keep
    return x * mask / mask.mean()


@wrong(exercise.dropout, hint="upside down")
def scales_by_keep(x, draws, keep):
    return (draws < keep).astype(x.dtype) * x * keep


# ---- cross-entropy


@wrong(exercise.cross_entropy, hint="overflows")
def softmax_then_log(logits, labels):
    if (labels < 0).any() or (labels >= logits.shape[1]).any():
        raise ValueError("labels")
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return -np.log(p[np.arange(len(labels)), labels]).mean()


@wrong(exercise.cross_entropy, hint="rounded to 0")
def log_of_a_safe_softmax(logits, labels):
    if (labels < 0).any() or (labels >= logits.shape[1]).any():
        raise ValueError("labels")
    e = np.exp(logits - logits.max(axis=1)[:, None])
    p = e / e.sum(axis=1)[:, None]
    return np.mean([-np.log(p[i, k]) for i, k in enumerate(labels)])


@wrong(exercise.cross_entropy, hint="row's own")
def one_maximum_for_all(logits, labels):
    if (labels < 0).any():
        raise ValueError("labels")
    x = logits - np.max(logits)
    picked = np.take_along_axis(x, labels[:, None], axis=1)[:, 0]
    return np.mean(np.log(np.sum(np.exp(x), axis=1)) - picked)


@wrong(exercise.cross_entropy, hint="clipping hides")
def adds_a_small_number(logits, labels):
    if (labels < 0).any():
        raise ValueError("labels")
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return -np.log(p[range(len(labels)), labels] + 1e-7).mean()


@wrong(exercise.cross_entropy, hint="-1")
def trusts_the_labels(logits, labels):
    x = logits - logits.max(axis=1, keepdims=True)
    return (np.log(np.exp(x).sum(axis=1)) - x[np.arange(len(x)), labels]).mean()


@wrong(exercise.cross_entropy, hint="every example with every label")
def picks_whole_columns(logits, labels):
    if labels.min() < 0:
        raise ValueError("labels")
    x = logits - logits.max(axis=1, keepdims=True)
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    return -log_p[:, labels].mean()


# ---- its gradient


def _p(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@wrong(exercise.cross_entropy_grad, hint="mean over N")
def forgot_the_mean(logits, labels):
    return _p(logits) - np.eye(logits.shape[1])[labels]


@wrong(exercise.cross_entropy_grad, hint="uphill")
def target_minus_probability(logits, labels):
    return (np.eye(logits.shape[1])[labels] - _p(logits)) / len(logits)


@wrong(exercise.cross_entropy_grad, hint="number of examples")
def mean_over_all_scores(logits, labels):
    g = _p(logits)
    g[np.arange(len(labels)), labels] -= 1
    return g / g.size


@wrong(exercise.cross_entropy_grad, hint="whole columns")
def takes_from_whole_columns(logits, labels):
    g = _p(logits)
    g[:, labels] -= 1
    return g / len(labels)


@wrong(exercise.cross_entropy_grad, hint="overflows")
def without_the_maximum(logits, labels):
    e = np.exp(logits)
    g = e / e.sum(axis=1, keepdims=True)
    g[np.arange(len(labels)), labels] -= 1
    return g / len(labels)
