"""Geometry and light of photographs, in array expressions; one image at a time."""

import numpy as np


def warp_affine(images, matrices, gains, offsets):
    """images uint8 (N, H, W, 3) -> float32 (N, H, W, 3), moved by matrices (N, 2, 3), relit.

    Output pixel (y, x), counted from the centre, shows the image at ``matrix @ (y, x, 1)``,
    bilinearly, reflected at the borders; then times gain plus offset, as shares of white.
    """
    n, height, width, _ = images.shape
    centre_y, centre_x = np.float32((height - 1) / 2), np.float32((width - 1) / 2)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y, x = y - centre_y, x - centre_x
    out = np.empty(images.shape, np.float32)
    for i in range(n):
        m = matrices[i]
        sy = _reflected(m[0, 0] * y + m[0, 1] * x + m[0, 2] + centre_y, height)
        sx = _reflected(m[1, 0] * y + m[1, 1] * x + m[1, 2] + centre_x, width)
        y0, x0 = sy.astype(np.int64), sx.astype(np.int64)
        y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
        fy, fx = (sy - y0)[..., None], (sx - x0)[..., None]
        image = images[i].astype(np.float32)
        top = image[y0, x0] + fx * (image[y0, x1] - image[y0, x0])
        bottom = image[y1, x0] + fx * (image[y1, x1] - image[y1, x0])
        out[i] = (top + fy * (bottom - top)) * (gains[i] / np.float32(255)) + offsets[i]
    return out


def standardize(images, softening):
    """Subtract each image's mean and divide by its standard deviation plus `softening`.

    images float32 (N, H, W, 3), of any range; softening in the same units.
    """
    axes = (1, 2, 3)
    mean = images.mean(axis=axes, keepdims=True, dtype=np.float64)
    spread = np.sqrt(((images - mean) ** 2).mean(axis=axes, keepdims=True))
    return ((images - mean) / (spread + softening)).astype(np.float32)


def remap(image, places, fill):
    """image uint8 (H, W, 3), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW, 3).

    Output pixel (i, j) shows the image at places[:, i, j], bilinearly; the middle of its first
    pixel is (0.5, 0.5). Beyond its borders is fill, three numbers.
    """
    height, width, _ = image.shape
    out = np.empty((*places.shape[1:], 3), np.uint8)
    out[:] = np.array(fill, np.uint8)
    inside = _inside(places, height, width)
    y, x = places[:, inside] - np.float32(0.5)
    y, x = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    y0, x0 = y.astype(np.int64), x.astype(np.int64)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = (y - y0)[:, None], (x - x0)[:, None]
    pixels = image.astype(np.float32)
    top = pixels[y0, x0] + fx * (pixels[y0, x1] - pixels[y0, x0])
    bottom = pixels[y1, x0] + fx * (pixels[y1, x1] - pixels[y1, x0])
    out[inside] = (top + fy * (bottom - top) + np.float32(0.5)).astype(np.uint8)
    return out


def remap_nearest(mask, places, fill):
    """mask uint8 (H, W), places float32 (2, OH, OW) of (y, x) -> uint8 (OH, OW).

    As remap, but the nearest pixel is taken; fill is a number.
    """
    out = np.full(places.shape[1:], fill, np.uint8)
    inside = _inside(places, *mask.shape)
    y, x = places[:, inside].astype(np.int64)
    out[inside] = mask[y, x]
    return out


def _inside(places, height, width):
    """Tell which places are in an image of this size; not those that are NaN."""
    y, x = places
    return (y >= 0) & (y < height) & (x >= 0) & (x < width)


def _reflected(at, length):
    """Fold coordinates back into 0 ... length - 1, as a mirror at each border would."""
    last = np.float32(length - 1)
    return np.clip(last - np.abs(last - np.abs(at)), 0, last)
