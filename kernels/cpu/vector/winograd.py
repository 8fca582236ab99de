"""Winograd's convolution: 3x3 kernels with a quarter of the multiplications.

**One axis, two outputs.**  A kernel g of 3 taps over 4 inputs d makes the 2 outputs::

    y0 = d0*g0 + d1*g1 + d2*g2        y1 = d1*g0 + d2*g1 + d3*g2

which is 6 multiplications.  Four are enough (Winograd, 1980)::

    m1 = (d0 - d2) * g0               m2 = (d1 + d2) * (g0 + g1 + g2) / 2
    m4 = (d3 - d1) * g2               m3 = (d2 - d1) * (g0 - g1 + g2) / 2
    y0 = m1 + m2 + m3                 y1 = m2 - m3 + m4

Check y0: m2 + m3 is d1*g1 + d2*(g0 + g2), and m1 puts d0*g0 in place of d2*g0.  What stands in
brackets with g is computed once, what stands in brackets with d are additions.

**Where that comes from.**  The coefficients of a product of two polynomials are a convolution.
A product of degree n is known from its values at n points and its leading coefficient, the
"value at infinity", and the value of a product is *one* multiplication of two values.  So:
evaluate both at some points, multiply point by point, interpolate.  With 2 outputs and 3 taps the
product has degree 3, so 4 multiplications; above, the points are 0, 1, -1 and infinity.
Correlation, which is what a layer computes, is the transpose of that product: the same three
matrices, with evaluation and interpolation exchanged (`winograd_matrices.py`)::

    y = A^T ((G g) * (B^T d))         m outputs, 3 taps, m + 2 inputs and multiplications

**Two axes** are that, nested: ``Y = A^T [(G g G^T) * (B^T d B)] A``.  A tile of m x m outputs
needs (m+2)^2 multiplications instead of 9*m^2: 16 for 36 with m = 2, and 36 for 144 with m = 4,
four times fewer.  And with channels the multiplications become matrix products: B^T d B is done
once for each input channel, A^T [] A once for each output channel, and between them, at each of
the 36 places, (tiles x C) meets (C x O).  The more channels, the less the transforms weigh:
per tile they cost some 600*C + 400*O multiply-adds of time, the products 36*C*O, the direct way
144*C*O.  `side` is that formula; F(2x2) wins on tiny maps, where a tile of 4 would stick out.

**Gradients.**  The input's gradient is a convolution with the kernel turned around.  The layer is
linear in g, so the weight gradient is the transpose of the above: with dY for a tile's output
gradient, ``dg = G^T [sum over tiles of (A dY A^T) * (B^T d B)] G``.  The sum over tiles is again
a matrix product at each place, (C x tiles) times (tiles x O).

**Accuracy.**  In exact arithmetic the results are exact, but they are made of numbers larger than
themselves: |A^T| |G| |B^T| comes to 8 where the sum itself is 1, and on two axes to that squared,
63 (m = 4; with m = 2 it is 7).  So an error is at most ``(C + 40) * 63 * 2^-24`` times the sum over
c of max|x_c| * sum|w_c|, the largest x of the tile, for what one pixel loses its whole tile
loses.  Rounding being random, errors are far smaller.  Measured with normal numbers and 32
channels, relative to sum|x||w|, in 2^-24, root mean square and largest of 100,000:

======  ===========  ===========  ===========
..      directly     m = 2        m = 4
======  ===========  ===========  ===========
y       0.5 / 5.5    0.3 / 2      0.9 / 11
weight  0.24 / 1.3   0.1 / 0.4    0.23 / 1.1
======  ===========  ===========  ===========

Points of similar size keep the matrices tame: with 0, +-5/8, +-3/2 errors are less than half of
those with the usual 0, +-1, +-2.  Larger tiles would save more, but lose far more.  Results depend
neither on the rest of the batch nor on the threads.

**Not a number.**  A NaN or an infinity makes the outputs that see it non-finite, as ever, and
possibly others of the same tile.  Zero padding adds zeros, never NaNs.  Inputs above about 1e36
may overflow in a transform.

`minicnn.config.winograd = False`, or MINICNN_WINOGRAD=0, computes directly instead.

References
----------
Winograd, "Arithmetic complexity of computations", SIAM 1980; Lavin and Gray, "Fast algorithms for
convolutional neural networks", CVPR 2016; Barabasz et al., "Error analysis and improving the
accuracy of Winograd convolution for deep neural networks", ACM TOMS 46 (2020).
"""

import functools

import numpy as np

from ... import settings
from .. import _buffers, _parallel
from . import objects, winograd_code
from .program import (
    COUNT,
    Argument,
    Step,
    fixed,
    images_of,
    of_thread,
    once,
    pieces_of,
    run,
    sums_of_piece,
)
from .winograd_matrices import TAPS

# What transforms cost, in multiply-adds that could have been done meanwhile (measured).
_INPUT, _OUTPUT, _WEIGHT = 600, 400, 80  # of a tile and channel; of a product's weight
_WORTH = 0.9  # of the time of the direct way, which is the more accurate one
_SIDES = (4, 2)  # of a tile of outputs
_BLOCK = 16  # tiles that are done together, so that their transforms stay near
_SUMMED = 32  # and those that are summed in registers for the weights' gradient
_ONES = (1, 1, 1)


def side(out_shape, kernel_shape, steps, groups):
    """Return how wide a tile of the outputs (N, OD, OH, OW, O) should be, 0 for no tiles at all.

    That is 0 wherever Winograd's way does not apply, does not pay, or is switched off.
    """
    outputs, channels, *kernel = kernel_shape
    flat = out_shape[1] == 1 and steps.before[0] == 0 and steps.stride == steps.dilation == _ONES
    if not settings.winograd or groups != 1 or kernel != [1, TAPS, TAPS] or not flat:
        return 0
    if 0 in out_shape or channels == 0:
        return 0
    images, _, height, width, _ = out_shape
    lanes = _lanes(objects.machine(), outputs)
    idle = objects.machine().lanes / lanes  # the direct way makes up for half of that
    filled = channels * -(-outputs // lanes) * lanes
    costs = {0: _WORTH * images * height * width * TAPS**2 * filled * idle**0.5}
    for m in _SIDES:
        tiles = images * -(-height // m) * -(-width // m)
        each = _INPUT * channels + _OUTPUT * outputs + 36 * filled * idle
        weights = 36 * _WEIGHT * channels * outputs
        costs[m] = (m + TAPS - 1) ** 2 / 36 * (tiles * each + weights)
    return min(costs, key=lambda m: costs[m])


def images_at_once(out_shape, kernel_shape, steps, groups):
    """Return for how many images together it works well: enough for a block of tiles."""
    m = side(out_shape, kernel_shape, steps, groups)
    return -(-_SUMMED // (-(-out_shape[2] // m) * -(-out_shape[3] // m))) if m else 1


def conv_steps(images, weight, bias, y, steps, m, of=images_of, packed=None):
    """Return the step of `direct.conv_steps`, by tiles of m x m outputs."""
    shape = _shape(objects.machine(), m, images.shape[4], y.shape[4])
    arguments = (
        of(images), of_thread(_memory(shape)),
        once(packed, shape, lambda: _transformed(weight, shape)), fixed(_bias(bias, shape)),
        images_of(y), fixed(_geometry(images, y, steps, m)), COUNT,
    )  # fmt: skip
    return [Step(objects.function("winograd", shape, winograd_code.forward), arguments)]


def grad_weight_steps(grads, images, kernel_shape, steps, m, of=images_of):
    """Return the step and the finish of `direct.grad_weight_steps`, by tiles of m x m outputs."""
    outputs, channels = kernel_shape[:2]
    shape = _shape(objects.machine(), m, channels, outputs, _SUMMED)
    shape = winograd_code.Weights(shape, channels % shape.rows)
    sums = channels, TAPS, TAPS, shape.forward.padded_out
    partial = np.zeros((pieces_of(len(images)), *sums), np.float32)
    arguments = (
        images_of(images), of_thread(_memory(shape)), of(grads), sums_of_piece(partial),
        fixed(_geometry(images, grads, steps, m)), COUNT,
    )  # fmt: skip
    function = objects.function("winograd_weight", shape, winograd_code.grad_weight)

    def finish():
        found = np.moveaxis(partial.sum(axis=0)[..., :outputs], -1, 0)
        return np.ascontiguousarray(found).reshape(kernel_shape)

    return [Step(function, arguments)], finish


@functools.lru_cache(maxsize=1024)
def _shape(machine, m, channels, outputs, block=_BLOCK):
    """Return what is written into the code.

    With two vectors of channels, eight rows are 16 sums: enough to hide the latency, and short
    enough to leave little over.  Where there is one vector, there are twice as many rows.
    """
    lanes = _lanes(machine, outputs)
    vectors = 2 if outputs > lanes else 1
    rows = min(16, machine.registers - vectors - 1) // vectors
    unroll = next(u for u in (4, 3, 2, 1) if channels % u == 0)
    block = -(-block // rows) * rows
    return winograd_code.Shape(
        m, channels, outputs, block, rows, lanes, _lanes(machine, channels), unroll
    )


def _lanes(machine, channels):
    """Return how wide vectors of so many channels should be."""
    lanes = machine.lanes
    while lanes > 4 and lanes // 2 >= channels:
        lanes //= 2
    return lanes


def _transformed(weight, shape):
    """weight (O, C, 1, 3, 3) -> G g G^T, block by block of outputs, (places, C, channels)."""
    outputs, channels = weight.shape[:2]
    taps = _buffers.empty((channels, TAPS**2, shape.padded_out), np.float32)
    taps[..., outputs:] = 0
    taps[..., :outputs] = np.moveaxis(weight.reshape(outputs, channels, TAPS**2), 0, -1)
    found = _buffers.empty((shape.padded_out * shape.places * channels,), np.float32)
    function = objects.function("winograd_kernels", shape, winograd_code.kernels)
    number = Argument(0, image=1)  # of the channel
    run([Step(function, (images_of(taps), fixed(found), number, COUNT))], channels, channels)
    return found


def _bias(bias, shape):
    """Return the bias, padded to whole vectors."""
    found = np.zeros(shape.padded_out, np.float32)
    if bias is not None:
        found[: shape.channels_out] = bias
    return found


def _memory(shape):
    """Return a thread's memory, for each thread."""
    return _buffers.empty((_parallel.threads(), sum(shape.parts)), np.float32)


def _geometry(images, y, steps, m):
    return _geometry_of(
        images.shape[2:4], images.strides[:3], y.shape[2:4], y.strides[:3], steps.before, m
    )


@functools.lru_cache(maxsize=1024)
def _geometry_of(image, x_strides, out, y_strides, before, m):
    """Return the integers of `winograd_code.GEOMETRY`; strides are in bytes."""
    across = -(-out[1] // m)
    found = {
        "x_image": x_strides[0] // 4, "x_row": x_strides[2] // 4,
        "height": image[0], "width": image[1], "top": before[1], "left": before[2],
        "y_image": y_strides[0] // 4, "y_row": y_strides[2] // 4,
        "out_height": out[0], "out_width": out[1],
        "tiles_across": across, "tiles": across * -(-out[0] // m),
    }  # fmt: skip
    return np.array([found[name] for name in winograd_code.GEOMETRY], np.int64)
