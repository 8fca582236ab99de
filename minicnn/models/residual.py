"""Residual blocks: what a layer adds to the signal, instead of the signal."""

from __future__ import annotations

from functools import partial

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.errors import ShapeError
from minicnn.nn import BatchNorm2d, Conv2d, Module, Sequential, arg_scope, init

__all__ = ["Residual", "basic_branch", "bottleneck_branch"]


class Residual(Module):
    """Add a branch to a shortcut around it, then apply ReLU: ``relu(branch(x) + shortcut(x))``.

    The branch learns by how much the block differs from the identity. The gradient of the sum
    reaches x by the shortcut whatever the branch does to it.

    Parameters
    ----------
    branch : Module
        What is added, such as two convolutions.
    shortcut : Module, optional
        What x passes where the branch changes its shape; by default nothing.

    References
    ----------
    He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, equations 1
    and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minicnn import Tensor, models, nn
    >>> block = models.Residual(nn.Conv2d(4, 4, normalizer=nn.BatchNorm2d))
    >>> block(Tensor(np.ones((2, 4, 5, 5), np.float32))).shape
    (2, 4, 5, 5)
    """

    def __init__(self, branch: Module, shortcut: Module | None = None) -> None:
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        """Add, then rectify.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
            A batch.

        Returns
        -------
        Tensor, shape (N, O, OH, OW)
            Of the branch's shape.

        Raises
        ------
        ShapeError
            If the branch and the shortcut differ in shape.
        """
        y = self.branch(x)
        kept = x if self.shortcut is None else self.shortcut(x)
        if y.shape != kept.shape:  # which might be broadcast, unseen
            raise ShapeError(
                f"Residual: of x {x.shape} the branch makes {y.shape} and the shortcut "
                f"{kept.shape}; give a shortcut that changes the shape as the branch does"
            )
        return ops.relu(y + kept)


def basic_branch(
    in_channels: int, channels: int, stride: int = 1, zero_gamma: bool = False, dilation: int = 1
) -> Sequential:
    """Return two 3x3 convolutions, each with batch normalisation, ReLU between."""
    with arg_scope(Conv2d, size=3, padding=dilation, dilation=dilation):
        return Sequential(
            Conv2d(
                in_channels, channels, stride=stride, normalizer=BatchNorm2d, activation=ops.relu
            ),
            Conv2d(channels, channels, normalizer=_last(zero_gamma)),
        )


def bottleneck_branch(
    in_channels: int, channels: int, stride: int = 1, zero_gamma: bool = False
) -> Sequential:
    """Return convolutions 1x1, 3x3 and 1x1, the last with four times the channels."""
    return Sequential(
        Conv2d(in_channels, channels, 1, normalizer=BatchNorm2d, activation=ops.relu),
        Conv2d(channels, channels, 3, stride, 1, normalizer=BatchNorm2d, activation=ops.relu),
        Conv2d(channels, 4 * channels, 1, normalizer=_last(zero_gamma)),
    )


def _last(zero_gamma: bool) -> partial[BatchNorm2d] | type[BatchNorm2d]:
    return partial(BatchNorm2d, gamma_initializer=init.zeros) if zero_gamma else BatchNorm2d
