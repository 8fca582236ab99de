"""Geometry and light of photographs, compiled.

These run on the calling thread alone: the pipeline's own threads call them, side
by side with a training step.
"""

import math

import numpy as np

from ._jit import njit


def warp_affine(images, matrices, gains, offsets):
    """images uint8 (N, H, W, 3) -> float32 (N, H, W, 3), moved by matrices (N, 2, 3), relit.

    Output pixel (y, x), counted from the centre, shows the image at ``matrix @ (y, x, 1)``,
    bilinearly, reflected at the borders; then times gain plus offset, as shares of white.
    """
    out = np.empty(images.shape, np.float32)
    single = (np.ascontiguousarray(a, np.float32) for a in (matrices, gains, offsets))
    _warp_affine(np.ascontiguousarray(images), *single, out)
    return out


def standardize(images, softening):
    """Subtract each image's mean and divide by its standard deviation plus `softening`.

    images float32 (N, H, W, 3), of any range; softening in the same units.
    """
    out = np.empty(images.shape, np.float32)
    rows = len(images), math.prod(images.shape[1:])
    flat = np.ascontiguousarray(images, np.float32).reshape(rows)
    _standardize(flat, out.reshape(rows), softening)
    return out


def remap(image, places, fill):
    """image uint8 (H, W, 3), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW, 3).

    Output pixel (i, j) shows the image at places[:, i, j], bilinearly; the middle of its first
    pixel is (0.5, 0.5). Beyond its borders is fill, three numbers.
    """
    out = np.empty((*places.shape[1:], 3), np.uint8)
    # Numba would compile anew for arrays that cannot be written to
    given = np.require(image, None, "CW"), np.require(places, np.float32, "CW")
    _remap(*given, np.array(fill, np.uint8), out)
    return out


def remap_nearest(mask, places, fill):
    """mask uint8 (H, W), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW).

    As remap, but the nearest pixel is taken; fill is a number.
    """
    out = np.empty(places.shape[1:], np.uint8)
    given = np.require(mask, None, "CW"), np.require(places, np.float32, "CW")
    _remap_nearest(*given, np.uint8(fill), out)
    return out


@njit
def _remap(image, places, fill, out):
    """Row by row: first, in vectors, where the pixels are and their shares, then the pixels."""
    height, width, _ = image.shape
    pixels, columns = image.reshape(-1), out.shape[1]
    at, shares = np.empty(columns, np.int32), np.empty((2, columns), np.float32)
    down, right = np.empty(columns, np.int32), np.empty(columns, np.int32)
    half = np.float32(0.5)
    for i in range(len(out)):
        _neighbours(height, width, places[0, i], places[1, i], at, down, right, shares)
        row = out[i].reshape(-1)
        for j in range(columns):
            if at[j] < 0:
                for c in range(3):
                    row[3 * j + c] = fill[c]
                continue
            p00, p01 = np.int64(at[j]), np.int64(at[j]) + right[j]
            p10, p11 = p00 + down[j], p01 + down[j]
            fy, fx = shares[0, j], shares[1, j]
            for c in range(3):
                a, b = np.float32(pixels[p00 + c]), np.float32(pixels[p01 + c])
                top = a + fx * (b - a)
                a, b = np.float32(pixels[p10 + c]), np.float32(pixels[p11 + c])
                bottom = a + fx * (b - a)
                row[3 * j + c] = np.uint8(np.int32(top + fy * (bottom - top) + half))


@njit
def _neighbours(height, width, ys, xs, at, down, right, shares):
    """Find the number of the first neighbour of each place, -1 outside, and how far the others are.

    At the border there is no other one: the distance is 0.
    """
    half, zero = np.float32(0.5), np.float32(0)
    last_y, last_x = np.float32(height - 1), np.float32(width - 1)
    pitch = np.int32(3 * width)
    for j in range(len(at)):
        y, x = ys[j], xs[j]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        sy, sx = min(max(y - half, zero), last_y), min(max(x - half, zero), last_x)
        y0, x0 = np.int32(sy), np.int32(sx)
        shares[0, j], shares[1, j] = sy - np.float32(y0), sx - np.float32(x0)
        down[j] = pitch if y0 < height - 1 else 0
        right[j] = 3 if x0 < width - 1 else 0
        at[j] = y0 * pitch + x0 * np.int32(3) if inside else -1


@njit
def _remap_nearest(mask, places, fill, out):
    height, width = mask.shape
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y, x = places[0, i, j], places[1, i, j]
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            out[i, j] = mask[np.int32(y), np.int32(x)] if inside else fill


@njit
def _warp_affine(images, matrices, gains, offsets, out):
    """Image by image: where each pixel comes from, for all of them, then the pixels themselves."""
    count, height, width, _ = images.shape
    size = height * width
    ys, xs = np.empty(size, np.float32), np.empty(size, np.float32)  # from the centre
    for p in range(size):
        ys[p] = np.float32(p // width) - np.float32((height - 1) / 2)
        xs[p] = np.float32(p % width) - np.float32((width - 1) / 2)
    places, shares = np.empty((4, size), np.int32), np.empty((2, size), np.float32)
    # A fourth colour that is nobody's: then the colours of a pixel are one vector.
    pixels, relit = np.zeros((size, 4), np.float32), np.empty((size, 4), np.float32)
    for n in range(count):
        _find(matrices[n], height, width, ys, xs, places, shares)
        colours, result = images[n].reshape(size, 3), out[n].reshape(size, 3)
        for p in range(size):
            for c in range(3):
                pixels[p, c] = np.float32(colours[p, c])
        _blend(pixels, places, shares, gains[n] / np.float32(255), offsets[n], relit)
        for p in range(size):
            for c in range(3):
                result[p, c] = relit[p, c]


@njit
def _find(m, height, width, ys, xs, places, shares):
    """Find the four neighbours of each place that is looked at, and the shares of the later two."""
    a, b, c, d, e, f = m[0, 0], m[0, 1], m[0, 2], m[1, 0], m[1, 1], m[1, 2]
    centre_y, centre_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    one, pitch = np.int32(1), np.int32(width)
    last_y, last_x = np.int32(height - 1), np.int32(width - 1)
    for p in range(len(ys)):
        y, x = ys[p], xs[p]
        sy = _reflected(a * y + b * x + c + centre_y, height)
        sx = _reflected(d * y + e * x + f + centre_x, width)
        y0, x0 = np.int32(sy), np.int32(sx)
        y1, x1 = min(y0 + one, last_y), min(x0 + one, last_x)
        places[0, p], places[1, p] = y0 * pitch + x0, y0 * pitch + x1
        places[2, p], places[3, p] = y1 * pitch + x0, y1 * pitch + x1
        shares[0, p], shares[1, p] = sy - np.float32(y0), sx - np.float32(x0)


@njit
def _blend(pixels, places, shares, gain, offset, relit):
    """Mix the four neighbours of each place bilinearly, and light them."""
    for p in range(len(relit)):
        p00, p01, p10, p11 = places[0, p], places[1, p], places[2, p], places[3, p]
        fy, fx = shares[0, p], shares[1, p]
        for c in range(4):
            a, b = pixels[p00, c], pixels[p01, c]
            top = a + fx * (b - a)
            a, b = pixels[p10, c], pixels[p11, c]
            bottom = a + fx * (b - a)
            relit[p, c] = (top + fy * (bottom - top)) * gain + offset


@njit
def _reflected(at, length):
    last = np.float32(length - 1)
    return min(max(last - abs(last - abs(at)), np.float32(0)), last)


@njit
def _standardize(images, out, softening):
    for n in range(len(images)):
        image, result = images[n], out[n]
        mean = _sum(image) / len(image)
        scale = 1.0 / (np.sqrt(_sum_of_squares(image, mean) / len(image)) + softening)
        for k in range(len(image)):
            result[k] = (image[k] - mean) * scale


# Eight sums side by side, in a fixed order: they fill a vector, and none waits for the last.


@njit
def _sum(x):
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = len(x) // 8 * 8
    for k in range(0, whole, 8):
        s0, s1, s2, s3 = s0 + x[k], s1 + x[k + 1], s2 + x[k + 2], s3 + x[k + 3]
        s4, s5, s6, s7 = s4 + x[k + 4], s5 + x[k + 5], s6 + x[k + 6], s7 + x[k + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(whole, len(x)):
        total += x[k]
    return total


@njit
def _sum_of_squares(x, mean):
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = len(x) // 8 * 8
    for k in range(0, whole, 8):
        s0, s1 = s0 + (x[k] - mean) ** 2, s1 + (x[k + 1] - mean) ** 2
        s2, s3 = s2 + (x[k + 2] - mean) ** 2, s3 + (x[k + 3] - mean) ** 2
        s4, s5 = s4 + (x[k + 4] - mean) ** 2, s5 + (x[k + 5] - mean) ** 2
        s6, s7 = s6 + (x[k + 6] - mean) ** 2, s7 + (x[k + 7] - mean) ** 2
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(whole, len(x)):
        total += (x[k] - mean) ** 2
    return total
