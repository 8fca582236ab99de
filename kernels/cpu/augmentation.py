"""Geometry and light of photographs, compiled.

These run on the calling thread alone: the pipeline's own threads call them, side
by side with a training step.
"""

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
    flat = np.ascontiguousarray(images, np.float32).reshape(len(images), -1)
    _standardize(flat, out.reshape(flat.shape), softening)
    return out


@njit
def _warp_affine(images, matrices, gains, offsets, out):
    count, height, width, channels = images.shape
    centre_y, centre_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    for n in range(count):
        m = matrices[n]
        gain, offset = gains[n] / np.float32(255), offsets[n]
        for h in range(height):
            for w in range(width):
                y, x = np.float32(h) - centre_y, np.float32(w) - centre_x
                sy = _reflected(m[0, 0] * y + m[0, 1] * x + m[0, 2] + centre_y, height)
                sx = _reflected(m[1, 0] * y + m[1, 1] * x + m[1, 2] + centre_x, width)
                y0, x0 = int(sy), int(sx)
                y1, x1 = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                fy, fx = sy - np.float32(y0), sx - np.float32(x0)
                for c in range(channels):
                    a, b = np.float32(images[n, y0, x0, c]), np.float32(images[n, y0, x1, c])
                    top = a + fx * (b - a)
                    a, b = np.float32(images[n, y1, x0, c]), np.float32(images[n, y1, x1, c])
                    bottom = a + fx * (b - a)
                    out[n, h, w, c] = (top + fy * (bottom - top)) * gain + offset


@njit
def _reflected(at, length):
    last = np.float32(length - 1)
    return min(max(last - abs(last - abs(at)), np.float32(0)), last)


@njit
def _standardize(images, out, softening):
    for n in range(len(images)):
        image, result = images[n], out[n]
        total = 0.0
        for k in range(len(image)):
            total += image[k]
        mean = total / len(image)
        squares = 0.0
        for k in range(len(image)):
            squares += (image[k] - mean) ** 2
        scale = 1.0 / (np.sqrt(squares / len(image)) + softening)
        for k in range(len(image)):
            result[k] = (image[k] - mean) * scale
