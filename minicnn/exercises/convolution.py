"""Exercises of lesson 3: convolution in all its forms, its gradient, and what it sees."""

from __future__ import annotations

import numpy as np

from minicnn.exercises._exercise import exercise, predict
from minicnn.exercises._sliding import (
    channels_apart,
    coded,
    last_product,
    painted,
    reach,
    same,
    slid,
    unfolded,
)
from minicnn.exercises._windows_to_try import (
    gradients,
    images,
    same_windows,
    stacks,
    to_unfold,
    windows,
    words,
)

__all__ = [
    "columns",
    "convolve",
    "enlarged",
    "grad_image",
    "output_size",
    "same_padding",
    "sees",
    "weight_shape",
    "word_filter",
]


@exercise(
    cases=windows,
    mistakes={
        "a window has to start somewhere: the first one counts, too": (
            lambda n, k, s, p, d: (n + 2 * p - d * (k - 1) - 1) // s
        ),
        "padding is put on both sides": lambda n, k, s, p, d: (n + p - d * (k - 1) - 1) // s + 1,
        "a dilated window reaches further: count the pixels from its first to its last": (
            lambda n, k, s, p, d: (n + 2 * p - k) // s + 1
        ),
        "k weights have k - 1 gaps between them; d * k counts one gap too many": (
            lambda n, k, s, p, d: (n + 2 * p - d * k) // s + 1
        ),
        "a last window that does not fit wholly does not count: round down": (
            lambda n, k, s, p, d: -(-(n + 2 * p - d * (k - 1) - 1) // s) + 1
        ),
        "that is with stride 1: only every stride-th window is there": (
            lambda n, k, s, p, d: n + 2 * p - d * (k - 1)
        ),
        "divide the steps that are left for the window by the stride, not the whole length": (
            lambda n, k, s, p, d: (n + 2 * p) // s - d * (k - 1)
        ),
    },
    symptoms={
        "a number of windows is whole; one that does not fit wholly does not count": (
            lambda got, expected, *window: got > expected and got != round(got)
        ),
    },
)
def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Count the windows that fit along one axis.

    The axis has `size` pixels and `padding` zeros more at each end; a window has `kernel` weights,
    `dilation` pixels from one to the next, and moves by `stride` pixels.
    """
    reach = dilation * (kernel - 1) + 1
    return (size + 2 * padding - reach) // stride + 1


@exercise(
    cases=same_windows,
    mistakes={
        "an even kernel needs an odd number of zeros: kernel // 2 on both sides is one too many": (
            lambda n, k, s, d: (k // 2, k // 2)
        ),
        "right with stride 1; a stride needs fewer zeros, for the last window starts earlier": (
            lambda n, k, s, d: (d * (k - 1) // 2, d * (k - 1) - d * (k - 1) // 2)
        ),
        "a dilated window reaches further and needs more zeros": (
            lambda n, k, s, d: same(n, k, s, 1)
        ),
        "where the number is odd, the odd zero goes after (TensorFlow's rule)": (
            lambda n, k, s, d: same(n, k, s, d, before=True)
        ),
        "there are ceil(size / stride) windows: round up, not down": (
            lambda n, k, s, d: same(n, k, s, d, up=False)
        ),
        "padding can't be negative: where stride jumps over pixels, none is needed": (
            lambda n, k, s, d: same(n, k, s, d, floor=False)
        ),
    },
    symptoms={
        "an even kernel needs an odd number of zeros in all": (
            lambda got, expected, n, k, s, d: k % 2 == 0
        ),
        "with a stride the last window starts earlier, so fewer zeros are needed": (
            lambda got, expected, n, k, s, d: s > 1
        ),
        "a dilated window reaches further": lambda got, expected, n, k, s, d: d > 1,
    },
)
def same_padding(size: int, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Say how many zeros "same" puts before and after an axis.

    As few as it takes to fit ceil(size / stride) windows, evenly on both sides; where their number
    is odd, the odd one goes after.
    """
    windows = -(-size // stride)  # rounded up
    reach = dilation * (kernel - 1) + 1
    total = max((windows - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


weight_shape = predict(
    "weight_shape",
    "A layer takes RGB images and answers with 16 maps, through windows of 5 rows and 3 columns. "
    "The shape of its weight?",
    (16, 3, 5, 3),
    mistakes={
        "that is one filter; there are 16 of them": (3, 5, 3),
        "that is one filter, its axes in another order; there are 16 of them": (5, 3, 3),
        "a filter looks at all three channels, with weights of its own for each": (16, 5, 3),
        "the outputs come first: (O, C, KH, KW)": (3, 16, 5, 3),
        "rows before columns: (O, C, KH, KW)": (16, 3, 3, 5),
        "that is TensorFlow's order; ours, as PyTorch's, is (O, C, KH, KW)": (5, 3, 3, 16),
    },
)


@exercise(
    cases=images,
    mistakes={
        "the kernel is turned round: weight [u, v] belongs on pixel [i*S + u, j*S + v] (that would "
        "be the mathematicians' convolution; libraries do not turn)": (
            lambda x, weight, stride: slid(x, weight[:, :, ::-1, ::-1], stride)
        ),
        "the sum runs over the channels, too: only the last one is left": channels_apart,
        "the sum runs over the channels, too: only the first one is there": (
            lambda x, weight, stride: slid(x[:, :1], weight[:, :1], stride)
        ),
        "the stride is missing: window [i, j] starts at pixel [i*S, j*S]": (
            lambda x, weight, stride: slid(x, weight, 1)
        ),
        "window [i, j] starts at pixel [i*S, j*S]; this moves by 1 and leaves the rest out": (
            lambda x, weight, stride: slid(x, weight, 1)[
                :,
                :,
                : (x.shape[2] - weight.shape[2]) // stride + 1,
                : (x.shape[3] - weight.shape[3]) // stride + 1,
            ]
        ),
    },
    symptoms={
        "the products are to be added up, not the last one kept": (
            lambda got, expected, *arguments: np.allclose(got, last_product(*arguments))
        ),
        "all is well with stride 1; window [i, j] starts at pixel [i*S, j*S]": (
            lambda got, expected, x, weight, stride: stride > 1
        ),
        "all is well for one image and one channel; the sum is over channels, for each image": (
            lambda got, expected, x, weight, stride: x.shape[1] > 1
        ),
    },
    without=("conv2d", "Conv2d", "correlate", "correlate2d", "convolve2d"),
)
def convolve(x: np.ndarray, weight: np.ndarray, stride: int) -> np.ndarray:
    """Convolve images (N, C, H, W) with filters (O, C, KH, KW), without padding.

    Answer [n, o, i, j] is the sum of ``weight[o, c, u, v] * x[n, c, i*S + u, j*S + v]`` over c, u
    and v.
    """
    (n_images, channels, height, width), (filters, _, rows, columns) = x.shape, weight.shape
    out_height, out_width = (height - rows) // stride + 1, (width - columns) // stride + 1
    y = np.zeros((n_images, filters, out_height, out_width))
    for n in range(n_images):
        for o in range(filters):
            for i in range(out_height):
                for j in range(out_width):
                    for c in range(channels):
                        for u in range(rows):
                            for v in range(columns):
                                pixel = x[n, c, i * stride + u, j * stride + v]
                                y[n, o, i, j] += weight[o, c, u, v] * pixel
    return y


@exercise(
    cases=gradients,
    mistakes={
        "the kernel is turned round: what pixel [i*S + u, j*S + v] gave through weight [u, v] "
        "comes back through weight [u, v]": (
            lambda grad_y, weight, *rest: painted(grad_y, weight[:, :, ::-1, ::-1], *rest)
        ),
        "windows overlap: a pixel gets the sum of what comes back from all of them (+=, not =)": (
            lambda *arguments: painted(*arguments, add=False)
        ),
        "the stride is missing: window [i, j] starts at pixel [i*S, j*S]": (
            lambda *arguments: painted(*arguments, jump=1)
        ),
        "only the first filter's answers come back; the sum runs over all filters": (
            lambda grad_y, weight, *rest: painted(grad_y[:, :1], weight[:1], *rest)
        ),
        "only the last filter's answers come back; the sum runs over all filters": (
            lambda grad_y, weight, *rest: painted(grad_y[:, -1:], weight[-1:], *rest)
        ),
    },
    symptoms={
        "it is as large as the image, (N, C, H, W), also where no window reached": (
            lambda got, expected, *arguments: got.shape != expected.shape
        ),
        "all is well with one filter; the sum runs over all of them": (
            lambda got, expected, grad_y, *rest: grad_y.shape[1] > 1
        ),
        "all is well with stride 1": lambda got, expected, *arguments: arguments[-1] > 1,
    },
    without=("conv2d", "conv_transpose2d", "backward", "grad"),
)
def grad_image(
    grad_y: np.ndarray, weight: np.ndarray, height: int, width: int, stride: int
) -> np.ndarray:
    """Compute how the loss changes with each pixel of the images.

    grad_y (N, O, OH, OW) says how it changes with each answer of ``convolve(x, weight, stride)``;
    the images x were (N, C, height, width).
    """
    n_images, filters, out_height, out_width = grad_y.shape
    _, channels, rows, columns = weight.shape
    grad_x = np.zeros((n_images, channels, height, width))
    for n in range(n_images):
        for o in range(filters):
            for i in range(out_height):
                for j in range(out_width):
                    for c in range(channels):
                        for u in range(rows):
                            for v in range(columns):
                                through = weight[o, c, u, v] * grad_y[n, o, i, j]
                                grad_x[n, c, i * stride + u, j * stride + v] += through
    return grad_x


@exercise(
    cases=to_unfold,
    mistakes={
        "one column for each window, its pixels running down: this is the transpose": (
            lambda *arguments: unfolded(*arguments).swapaxes(1, 2)
        ),
        "a column's pixels run channel by channel, then row by row: (C, KH, KW), as the filters "
        "do; here the channel runs fastest": (
            lambda *arguments: unfolded(*arguments, order="nuvcij")
        ),
        "a column's pixels run row by row: (C, KH, KW), as the filters do; here down comes "
        "before across": lambda *arguments: unfolded(*arguments, order="ncvuij"),
        "the windows run row by row, as the answers do: (OH, OW); here down comes before across": (
            lambda *arguments: unfolded(*arguments, order="ncuvji")
        ),
        "the stride is missing: window [i, j] starts at pixel [i*S, j*S]": (
            lambda x, rows, across, stride: unfolded(x, rows, across, 1)
        ),
    },
    symptoms={
        "all is well with stride 1; window [i, j] starts at pixel [i*S, j*S]": (
            lambda got, expected, x, rows, across, stride: stride > 1
        ),
    },
    without=("im2col",),
)
def columns(x: np.ndarray, kernel_height: int, kernel_width: int, stride: int) -> np.ndarray:
    """Copy every window of the images (N, C, H, W) into a column.

    Return (N, C*KH*KW, OH*OW): window by window across, and down in each the pixels of its first
    channel row by row, then those of the next.
    """
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel_height, kernel_width), (2, 3))
    windows = windows[:, :, ::stride, ::stride]  # (N, C, OH, OW, KH, KW)
    n, channels, out_height, out_width = windows.shape[:4]
    pixels = windows.transpose(0, 1, 4, 5, 2, 3)
    return pixels.reshape(n, channels * kernel_height * kernel_width, out_height * out_width)


enlarged = predict(
    "enlarged",
    "A transposed convolution with a kernel of 3 and stride 2, without padding, enlarges 5 "
    "samples. To how many?",
    11,
    mistakes={
        "each sample paints 3, and the windows stand 2 apart: the last one reaches further": 10,
        "windows of neighbours overlap, for 3 is more than the stride": 15,
        "that is the convolution, which shrinks; the transposed one goes the way back": 2,
        "between 5 windows there are 4 steps": 13,
        "that counts how far the windows stand apart; the last one is 3 wide": 9,
    },
)


@exercise(
    cases=words,
    mistakes={
        "letters are channels and places are places: (1, letters, places)": (
            lambda word, alphabet: coded(word, alphabet).swapaxes(1, 2)
        ),
        "the word is turned round: the filter's first place meets the first letter": (
            lambda word, alphabet: coded(word, alphabet)[:, :, ::-1]
        ),
        "the first axis counts filters: (1, letters, places)": (
            lambda word, alphabet: coded(word, alphabet)[0]
        ),
        "each letter weighs 1: with other weights, wrong words may score as much": (
            lambda word, alphabet: coded(word, alphabet) / len(word)
        ),
    },
    symptoms={
        "a letter has its place in the alphabet that is given, which need not begin with a": (
            lambda got, expected, word, alphabet: not alphabet.startswith("abc")
        ),
        "one 1 in each place of the word, and 0 elsewhere": (
            lambda got, expected, word, alphabet: np.shape(got) == np.shape(expected)
        ),
    },
)
def word_filter(word: str, alphabet: str) -> np.ndarray:
    """Return the weight (1, C, K) of a convolution that finds a word of K letters.

    Letter number c of the alphabet is channel c. The answer is to be the number of letters that
    agree, so K where the word is.
    """
    weight = np.zeros((1, len(alphabet), len(word)))
    for place, letter in enumerate(word):
        weight[0, alphabet.index(letter), place] = 1
    return weight


@exercise(
    cases=stacks,
    mistakes={
        "neighbouring windows overlap: a kernel of k adds k - 1 pixels, not k": (
            lambda layers: reach(layers, gain=lambda kernel, dilation: dilation * kernel) - 1
        ),
        "sizes do not add up: the windows of neighbours overlap": (
            lambda layers: sum(dilation * (k - 1) + 1 for k, _, dilation in layers)
        ),
        "sizes do not multiply": lambda layers: int(np.prod([k for k, _, _ in layers])),
        "strides are missing: after one, neighbours in the map lie further apart in the image": (
            lambda layers: reach(layers, strides=False)
        ),
        "a layer's own stride moves the layers after it, not its own window": (
            lambda layers: reach(layers, early=True)
        ),
        "dilation is missing: it stretches the window": (
            lambda layers: reach(layers, gain=lambda kernel, dilation: kernel - 1)
        ),
    },
    symptoms={
        "a stride counts for all layers after it: the steps multiply": (
            lambda got, expected, layers: any(stride > 1 for _, stride, _ in layers)
        ),
    },
)
def sees(layers: list[tuple[int, int, int]]) -> int:
    """Say how many pixels of the image, along one axis, an answer of the last layer depends on.

    Each layer is (kernel, stride, dilation), the first one nearest to the image.
    """
    size, step = 1, 1  # of what one answer sees; and from one answer's to the next one's
    for kernel, stride, dilation in layers:
        size += dilation * (kernel - 1) * step
        step *= stride
    return size
