"""Wrong answers to the exercises of lesson 3."""

import numpy as np

from minicnn.exercises import convolution as exercise
from tests.exercises.collecting import WrongAnswers

wrong = WrongAnswers()


@wrong(exercise.output_size, hint="first one counts")
def without_one(size, kernel, stride, padding, dilation):
    return (size - dilation * (kernel - 1) - 1 + 2 * padding) // stride


@wrong(exercise.output_size, hint="both sides")
def padding_once(size, kernel, stride, padding, dilation):
    return (size + padding - (dilation * (kernel - 1) + 1)) // stride + 1


@wrong(exercise.output_size, hint="reaches further")
def not_dilated(size, kernel, stride, padding, dilation):
    padded = size + padding + padding
    return (padded - kernel) // stride + 1


@wrong(exercise.output_size, hint="gap too many")
def dilated_too_far(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - kernel * dilation) // stride + 1


@wrong(exercise.output_size, hint="whole")
def not_rounded(size, kernel, stride, padding, dilation):
    return (size + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1


@wrong(exercise.same_padding, hint="even kernel")
def half_the_kernel(size, kernel, stride, dilation):
    half = kernel // 2
    return half, half


@wrong(exercise.same_padding, hint="stride needs fewer")
def for_stride_one(size, kernel, stride, dilation):
    total = (kernel - 1) * dilation
    return total // 2, total - total // 2


@wrong(exercise.same_padding, hint="goes after")
def odd_one_before(size, kernel, stride, dilation):
    windows = (size + stride - 1) // stride
    total = max(0, (windows - 1) * stride + dilation * (kernel - 1) + 1 - size)
    after = total // 2
    return total - after, after


@wrong(exercise.same_padding, hint="negative")
def less_than_nothing(size, kernel, stride, dilation):
    windows = int(np.ceil(size / stride))
    total = (windows - 1) * stride + dilation * (kernel - 1) + 1 - size
    return total // 2, total - total // 2


@wrong(exercise.same_padding, hint="reaches further")
def blind_to_dilation(size, kernel, stride, dilation):
    windows = int(np.ceil(size / stride))
    total = max((windows - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


wrong(exercise.weight_shape, hint="one filter")((5, 3, 3))
wrong(exercise.weight_shape, hint="all three channels")((16, 5, 3))
wrong(exercise.weight_shape, hint="outputs come first")((3, 16, 5, 3))
wrong(exercise.weight_shape, hint="rows before columns")((16, 3, 3, 5))
wrong(exercise.weight_shape, hint="TensorFlow")((5, 3, 3, 16))


def empty(x, weight, stride):
    height = (x.shape[2] - weight.shape[2]) // stride + 1
    width = (x.shape[3] - weight.shape[3]) // stride + 1
    return np.zeros((len(x), len(weight), height, width))


@wrong(exercise.convolve, hint="turned round")
def as_in_the_mathematics_book(x, weight, stride):
    y = empty(x, weight, stride)
    rows, columns = weight.shape[2:]
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            patch = x[:, :, i * stride : i * stride + rows, j * stride : j * stride + columns]
            for o in range(len(weight)):
                turned = np.rot90(weight[o], 2, axes=(1, 2))
                y[:, o, i, j] = (patch * turned).sum(axis=(1, 2, 3))
    return y


@wrong(exercise.convolve, hint="runs over the channels")
def last_channel_wins(x, weight, stride):
    y = empty(x, weight, stride)
    rows, columns = weight.shape[2:]
    for n, o, i, j in np.ndindex(*y.shape):
        for c in range(x.shape[1]):
            h, w = i * stride, j * stride
            y[n, o, i, j] = (x[n, c, h : h + rows, w : w + columns] * weight[o, c]).sum()
    return y


@wrong(exercise.convolve, hint="last one kept")
def last_product_wins(x, weight, stride):
    y = empty(x, weight, stride)
    for n, o, i, j in np.ndindex(*y.shape):
        for c, u, v in np.ndindex(*weight.shape[1:]):
            y[n, o, i, j] = weight[o, c, u, v] * x[n, c, i * stride + u, j * stride + v]
    return y


@wrong(exercise.convolve, hint="i*S")
def stride_forgotten_inside(x, weight, stride):
    y = empty(x, weight, stride)
    rows, columns = weight.shape[2:]
    for n, o, i, j in np.ndindex(*y.shape):
        y[n, o, i, j] = (x[n, :, i : i + rows, j : j + columns] * weight[o]).sum()
    return y


@wrong(exercise.convolve, hint="stride 1")
def stride_on_the_wrong_letter(x, weight, stride):
    y = empty(x, weight, stride)
    for n, o, i, j in np.ndindex(*y.shape):
        for c, u, v in np.ndindex(*weight.shape[1:]):
            h, w = i + u * stride, j + v * stride
            if h < x.shape[2] and w < x.shape[3]:
                y[n, o, i, j] += weight[o, c, u, v] * x[n, c, h, w]
    return y


@wrong(exercise.convolve, hint="for each image")
def images_and_channels_mixed(x, weight, stride):
    y = empty(x, weight, stride)
    rows, columns = weight.shape[2:]
    for o, i, j in np.ndindex(*y.shape[1:]):
        patch = x[:, :, i * stride : i * stride + rows, j * stride : j * stride + columns]
        y[:, o, i, j] = (patch.sum(axis=1) * weight[o].sum(axis=0)).sum(axis=(1, 2))
    return y


@wrong(exercise.grad_image, hint="turned round")
def flipped(grad_y, weight, height, width, stride):
    grad = np.zeros((len(grad_y), weight.shape[1], height, width))
    rows, columns = weight.shape[2:]
    for n, o, i, j in np.ndindex(*grad_y.shape):
        h, w = i * stride, j * stride
        here = grad[n, :, h : h + rows, w : w + columns]
        here += grad_y[n, o, i, j] * weight[o, :, ::-1, ::-1]
    return grad


@wrong(exercise.grad_image, hint="+=")
def overwritten(grad_y, weight, height, width, stride):
    grad = np.zeros((len(grad_y), weight.shape[1], height, width))
    rows, columns = weight.shape[2:]
    for n, i, j in np.ndindex(len(grad_y), *grad_y.shape[2:]):
        h, w = i * stride, j * stride
        back = np.tensordot(grad_y[n, :, i, j], weight, axes=1)
        grad[n, :, h : h + rows, w : w + columns] = back
    return grad


@wrong(exercise.grad_image, hint="stride is missing")
def packed(grad_y, weight, height, width, stride):
    grad = np.zeros((len(grad_y), weight.shape[1], height, width))
    rows, columns = weight.shape[2:]
    for n, o, i, j in np.ndindex(*grad_y.shape):
        grad[n, :, i : i + rows, j : j + columns] += grad_y[n, o, i, j] * weight[o]
    return grad


@wrong(exercise.grad_image, hint="as large as the image")
def no_more_than_was_reached(grad_y, weight, height, width, stride):
    rows, columns = weight.shape[2:]
    reached = (grad_y.shape[2] - 1) * stride + rows, (grad_y.shape[3] - 1) * stride + columns
    grad = np.zeros((len(grad_y), weight.shape[1], *reached))
    for n, o, i, j in np.ndindex(*grad_y.shape):
        h, w = i * stride, j * stride
        grad[n, :, h : h + rows, w : w + columns] += grad_y[n, o, i, j] * weight[o]
    return grad


@wrong(exercise.grad_image, hint="sum runs over all")
def one_filter(grad_y, weight, height, width, stride):
    grad = np.zeros((len(grad_y), weight.shape[1], height, width))
    for n, _, i, j in np.ndindex(len(grad_y), 1, *grad_y.shape[2:]):
        for c, u, v in np.ndindex(*weight.shape[1:]):
            through = weight[0, c, u, v] * grad_y[n, 0, i, j]
            grad[n, c, i * stride + u, j * stride + v] += through
    return grad


def gathered(x, rows, across, stride):
    out_height = (x.shape[2] - rows) // stride + 1
    out_width = (x.shape[3] - across) // stride + 1
    for i in range(out_height):
        for j in range(out_width):
            h, w = i * stride, j * stride
            yield x[:, :, h : h + rows, w : w + across]


@wrong(exercise.columns, hint="transpose")
def one_row_a_window(x, kernel_height, kernel_width, stride):
    windows = gathered(x, kernel_height, kernel_width, stride)
    return np.stack([window.reshape(len(x), -1) for window in windows], axis=1)


@wrong(exercise.columns, hint="channel runs fastest")
def channels_last(x, kernel_height, kernel_width, stride):
    windows = gathered(x, kernel_height, kernel_width, stride)
    return np.stack([w.transpose(0, 2, 3, 1).reshape(len(x), -1) for w in windows], axis=2)


@wrong(exercise.columns, hint="down comes before across")
def columns_before_rows(x, kernel_height, kernel_width, stride):
    rows = []
    height = (x.shape[2] - kernel_height) // stride * stride + 1
    width = (x.shape[3] - kernel_width) // stride * stride + 1
    for c in range(x.shape[1]):
        for v in range(kernel_width):
            for u in range(kernel_height):
                seen = x[:, c, u : u + height : stride, v : v + width : stride]
                rows.append(seen.reshape(len(x), -1))
    return np.stack(rows, axis=1)


@wrong(exercise.columns, hint="stride is missing")
def every_window(x, kernel_height, kernel_width, stride):
    windows = gathered(x, kernel_height, kernel_width, 1)
    return np.stack([window.reshape(len(x), -1) for window in windows], axis=2)


@wrong(exercise.columns, hint="write it yourself")
def asked_minicnn(x, kernel_height, kernel_width, stride):
    from minicnn import Tensor, ops

    return ops.im2col(Tensor(x), (kernel_height, kernel_width), stride).data


wrong(exercise.enlarged, hint="reaches further")(2 * 5)
wrong(exercise.enlarged, hint="overlap")(3 * 5)
wrong(exercise.enlarged, hint="shrinks")((5 - 3) // 2 + 1)
wrong(exercise.enlarged, hint="4 steps")(5 * 2 + 3)


@wrong(exercise.word_filter, hint="letters are channels")
def places_first(word, alphabet):
    return np.array([[[float(letter == known) for known in alphabet] for letter in word]])


@wrong(exercise.word_filter, hint="turned round")
def backwards(word, alphabet):
    weight = np.zeros((1, len(alphabet), len(word)))
    for i in range(len(word)):
        weight[0, alphabet.find(word[-1 - i]), i] = 1.0
    return weight


@wrong(exercise.word_filter, hint="alphabet that is given")
def the_alphabet_at_school(word, alphabet):
    weight = np.zeros((1, len(alphabet), len(word)))
    school = "abcdefghijklmnopqrstuvwxyz "
    for place, letter in enumerate(word):
        weight[0, school.index(letter) % len(alphabet), place] = 1
    return weight


@wrong(exercise.word_filter, hint="counts filters")
def without_its_first_axis(word, alphabet):
    return np.array([[1.0 if letter == known else 0.0 for letter in word] for known in alphabet])


@wrong(exercise.word_filter, hint="one 1 in each place")
def letters_anywhere(word, alphabet):
    weight = np.zeros((1, len(alphabet), len(word)))
    for letter in word:
        weight[0, alphabet.index(letter), :] = 1
    return weight


@wrong(exercise.sees, hint="do not add up")
def added(layers):
    total = 0
    for kernel, _, dilation in layers:
        total += dilation * (kernel - 1) + 1
    return total


@wrong(exercise.sees, hint="strides are missing")
def never_stepped(layers):
    return 1 + sum(dilation * (kernel - 1) for kernel, _, dilation in layers)


@wrong(exercise.sees, hint="own stride")
def stepped_too_early(layers):
    size = step = 1
    for kernel, stride, dilation in layers:
        step *= stride
        size += (kernel - 1) * dilation * step
    return size


@wrong(exercise.sees, hint="dilation is missing")
def undilated(layers):
    size = step = 1
    for kernel, stride, _ in layers:
        size, step = size + (kernel - 1) * step, step * stride
    return size


@wrong(exercise.sees, hint="steps multiply")
def steps_added(layers):
    size, step = 1, 1
    for kernel, stride, dilation in layers:
        size += dilation * (kernel - 1) * step
        step += stride - 1
    return size
