"""Global pooling: one number for each channel of a whole image.

The p-norms are in lp_pooling.py.
"""

from __future__ import annotations

from minicnn.autograd import Tensor, composed
from minicnn.ops.pooling import images

__all__ = [
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
]


@composed
def global_avg_pool1d(x: Tensor) -> Tensor:
    """Average each channel over the whole signal: ``y[n,c] = sum_l x[n,c,l] / L``.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.

    Returns
    -------
    Tensor, shape (N, C)
        The means.

    Raises
    ------
    ShapeError
        If x has another number of axes or no samples.
    """
    return images("global_avg_pool1d", 1, x).mean(axis=2)


@composed
def global_avg_pool2d(x: Tensor) -> Tensor:
    """Average each channel over the whole image: ``y[n,c] = sum_{h,w} x[n,c,h,w] / (H*W)``.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.

    Returns
    -------
    Tensor, shape (N, C)
        The means.

    Raises
    ------
    ShapeError
        If x has another number of axes or no pixels.

    References
    ----------
    Lin, Chen and Yan, "Network In Network", ICLR 2014, section 3.2.
    """
    return images("global_avg_pool2d", 2, x).mean(axis=(2, 3))


@composed
def global_avg_pool3d(x: Tensor) -> Tensor:
    """Average each channel over the whole volume: ``y[n,c] = sum_{d,h,w} x[n,c,d,h,w] / (D*H*W)``.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.

    Returns
    -------
    Tensor, shape (N, C)
        The means.

    Raises
    ------
    ShapeError
        If x has another number of axes or no voxels.
    """
    return images("global_avg_pool3d", 3, x).mean(axis=(2, 3, 4))


@composed
def global_max_pool1d(x: Tensor) -> Tensor:
    """Take the largest value of each channel: ``y[n,c] = max_l x[n,c,l]``.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.

    Returns
    -------
    Tensor, shape (N, C)
        The maxima; samples that tie share the gradient.

    Raises
    ------
    ShapeError
        If x has another number of axes or no samples.
    """
    return images("global_max_pool1d", 1, x).max(axis=2)


@composed
def global_max_pool2d(x: Tensor) -> Tensor:
    """Take the largest value of each channel: ``y[n,c] = max_{h,w} x[n,c,h,w]``.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.

    Returns
    -------
    Tensor, shape (N, C)
        The maxima; pixels that tie share the gradient.

    Raises
    ------
    ShapeError
        If x has another number of axes or no pixels.
    """
    return images("global_max_pool2d", 2, x).max(axis=(2, 3))


@composed
def global_max_pool3d(x: Tensor) -> Tensor:
    """Take the largest value of each channel: ``y[n,c] = max_{d,h,w} x[n,c,d,h,w]``.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.

    Returns
    -------
    Tensor, shape (N, C)
        The maxima; voxels that tie share the gradient.

    Raises
    ------
    ShapeError
        If x has another number of axes or no voxels.
    """
    return images("global_max_pool3d", 3, x).max(axis=(2, 3, 4))
