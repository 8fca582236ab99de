"""Adaptive pooling: the size of the output is given, and the bins follow from it.

Along each axis bin i of O goes from ``floor(i * n / O)`` to ``ceil((i + 1) * n / O)``, so bins
differ in length by at most 1 or 2 pixels, cover the image, and overlap where O does not divide n.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicnn.autograd import Tensor, composed
from minicnn.errors import ConfigError
from minicnn.ops._spans import Spans, bins
from minicnn.ops._windows import per_axis
from minicnn.ops.average_pooling import mean_of
from minicnn.ops.pooling import floats, images, largest_of

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
]

Lengths = int | tuple[int | None, ...] | None


@composed
def adaptive_avg_pool1d(x: Tensor, output_size: Lengths) -> Tensor:
    """Average a signal in as many bins as are asked for.

    ``y[n,c,i] = mean of x[n,c,l]`` over ``floor(i*L/OL) <= l < ceil((i+1)*L/OL)``.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    output_size : int or None
        OL; None: L.

    Returns
    -------
    Tensor, shape (N, C, OL)
        The means of the samples from ``floor(i*L/OL)`` to ``ceil((i+1)*L/OL)``.

    Raises
    ------
    ShapeError
        If x is not of signals with samples.
    ConfigError
        If `output_size` is not of its form.
    DTypeError
        If x is not of floats.
    """
    return _adaptive_avg_pool(1, x, output_size)


@composed
def adaptive_avg_pool2d(x: Tensor, output_size: Lengths) -> Tensor:
    """Average an image in as many bins as are asked for.

    ``y[n,c,i,j] = mean of x[n,c,h,w]`` over ``floor(i*H/OH) <= h < ceil((i+1)*H/OH)``, w likewise.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images; halves are added up in single precision.
    output_size : int, None or (int or None, int or None)
        OH and OW, one number for both; None: as long as the image is.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        The means of the pixels from row ``floor(i*H/OH)`` to ``ceil((i+1)*H/OH)``, and columns
        likewise.

    Raises
    ------
    ShapeError
        If x is not of images with pixels.
    ConfigError
        If `output_size` is not of its form.
    DTypeError
        If x is not of floats.
    """
    return _adaptive_avg_pool(2, x, output_size)


@composed
def adaptive_avg_pool3d(x: Tensor, output_size: Lengths) -> Tensor:
    """Average a volume in as many bins as are asked for.

    ``y[n,c,i,j,k] = mean of x[n,c,d,h,w]`` over ``floor(i*D/OD) <= d < ceil((i+1)*D/OD)``,
    and so on.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    output_size : int, None or three of them
        OD, OH and OW, one number for all; None: as long as the volume is.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        The means of the voxels from ``floor(i*D/OD)`` to ``ceil((i+1)*D/OD)``, and so on.

    Raises
    ------
    ShapeError
        If x is not of volumes with voxels.
    ConfigError
        If `output_size` is not of its form.
    DTypeError
        If x is not of floats.
    """
    return _adaptive_avg_pool(3, x, output_size)


@composed
def adaptive_max_pool1d(x: Tensor, output_size: Lengths, return_indices: bool = False) -> Any:
    """Take the largest values of a signal in as many bins as are asked for.

    ``y[n,c,i] = max of x[n,c,l]`` over ``floor(i*L/OL) <= l < ceil((i+1)*L/OL)``.

    Parameters
    ----------
    x : Tensor, shape (N, C, L)
        A batch of signals.
    output_size : int or None
        OL; None: L.
    return_indices : bool, default False
        Whether to return the places of the winners too.

    Returns
    -------
    Tensor, shape (N, C, OL)
        The largest of the samples from ``floor(i*L/OL)`` to ``ceil((i+1)*L/OL)``. With
        `return_indices` a pair: this, and the places ``l`` of the samples that won, int64.

    Raises
    ------
    ShapeError
        If x is not of signals with samples.
    ConfigError
        If `output_size` is not of its form.
    """
    return _adaptive_max_pool(1, x, output_size, return_indices)


@composed
def adaptive_max_pool2d(x: Tensor, output_size: Lengths, return_indices: bool = False) -> Any:
    """Take the largest values of an image in as many bins as are asked for.

    ``y[n,c,i,j] = max of x[n,c,h,w]`` over ``floor(i*H/OH) <= h < ceil((i+1)*H/OH)``, w likewise.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W)
        A batch of images.
    output_size : int, None or (int or None, int or None)
        OH and OW, one number for both; None: as long as the image is.
    return_indices : bool, default False
        Whether to return the places of the winners too.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
        The largest of the pixels from row ``floor(i*H/OH)`` to ``ceil((i+1)*H/OH)``, and columns
        likewise; NaN and equal values as in `max_pool2d`. With `return_indices` a pair: this,
        and the places ``h*W + w`` of the pixels that won, int64.

    Raises
    ------
    ShapeError
        If x is not of images with pixels.
    ConfigError
        If `output_size` is not of its form.
    """
    return _adaptive_max_pool(2, x, output_size, return_indices)


@composed
def adaptive_max_pool3d(x: Tensor, output_size: Lengths, return_indices: bool = False) -> Any:
    """Take the largest values of a volume in as many bins as are asked for.

    ``y[n,c,i,j,k] = max of x[n,c,d,h,w]`` over ``floor(i*D/OD) <= d < ceil((i+1)*D/OD)``,
    and so on.

    Parameters
    ----------
    x : Tensor, shape (N, C, D, H, W)
        A batch of volumes.
    output_size : int, None or three of them
        OD, OH and OW, one number for all; None: as long as the volume is.
    return_indices : bool, default False
        Whether to return the places of the winners too.

    Returns
    -------
    Tensor, shape (N, C, OD, OH, OW)
        The largest of the voxels from ``floor(i*D/OD)`` to ``ceil((i+1)*D/OD)``, and so on. With
        `return_indices` a pair: this, and the places ``d*H*W + h*W + w`` of the winners, int64.

    Raises
    ------
    ShapeError
        If x is not of volumes with voxels.
    ConfigError
        If `output_size` is not of its form.
    """
    return _adaptive_max_pool(3, x, output_size, return_indices)


def _adaptive_avg_pool(rank: int, x: Tensor, output_size: Lengths) -> Tensor:
    op = f"adaptive_avg_pool{rank}d"
    x = floats(op, images(op, rank, x))
    spans = _bins(op, x, output_size)
    return mean_of(x, spans, [span.counts for span in spans])


def _adaptive_max_pool(rank: int, x: Tensor, output_size: Lengths, return_indices: bool) -> Any:
    op = f"adaptive_max_pool{rank}d"
    x = images(op, rank, x)
    return largest_of(x, _bins(op, x, output_size), return_indices)


def _bins(op: str, x: Tensor, output_size: Lengths) -> Spans:
    out = lengths(op, x.shape[2:], output_size)
    return tuple(bins(n, o) for n, o in zip(x.shape[2:], out, strict=True))


def lengths(op: str, image: Sequence[int], output_size: Lengths) -> tuple[int, ...]:
    """Return how many bins are asked for along each axis; None keeps a length."""
    rank = len(image)
    each = output_size if isinstance(output_size, tuple | list) else (output_size,) * rank
    if len(each) != rank:
        raise ConfigError(
            f"{op}: output_size must be an int, None or {rank} of them, got {output_size!r}"
        )
    asked = tuple(n if o is None else o for n, o in zip(image, each, strict=True))
    return per_axis(op, "output_size", asked, rank, at_least=1)
