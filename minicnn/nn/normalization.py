"""Layers that normalise."""

from __future__ import annotations

import warnings

import numpy as np

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend import Array, kernels_for
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ShapeError
from minicnn.nn._building import creating
from minicnn.nn._calls import label, observer
from minicnn.nn._parameter import Buffer, Parameter
from minicnn.nn._parts import (
    beside,
    check_initializers,
    check_input,
    count,
    make_parameter,
    number,
    positive,
)
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, ones, zeros
from minicnn.nn.module import Module
from minicnn.nn.randomness import init_stream

__all__ = ["BatchNorm1d", "BatchNorm2d", "BatchNorm3d"]


class _BatchNorm(Module):
    """What batch normalisation of vectors, images and volumes have in common."""

    gamma: Parameter
    beta: Parameter
    moving_mean: Buffer
    moving_variance: Buffer
    updates: Buffer
    _axes: str
    _ranks: tuple[int, ...]
    _warned = False
    _counted: Array | None = None  # what `updates` was when it was found not to be 0

    def _prepare(
        self,
        channels: int | None,
        decay: float,
        epsilon: float,
        gamma_initializer: Initializer,
        beta_initializer: Initializer,
    ) -> None:
        op = type(self).__name__
        self.decay = number(op, "decay", decay, "from 0 to below 1", lambda v: 0 <= v < 1)
        self.epsilon = positive(op, "epsilon", epsilon)
        check_initializers(op, gamma_initializer, beta_initializer)
        self._initializers = (gamma_initializer, beta_initializer)
        self._stream = init_stream()
        self.channels: int | None = None
        self._waits_for = "channels"
        if channels is not None:
            self._set_channels(count(op, "channels", channels), get_device())

    def _set_channels(self, channels: int, device: str) -> None:
        op, shape = type(self).__name__, (channels,)
        gamma, beta = (
            make_parameter(op, initializer, shape, self._stream.child(name), device)
            for name, initializer in zip(("gamma", "beta"), self._initializers, strict=True)
        )
        self.gamma, self.beta = gamma, beta
        self.moving_mean = Buffer(to_device(np.zeros(shape, np.float32), device))
        self.moving_variance = Buffer(to_device(np.ones(shape, np.float32), device))
        self.updates = Buffer(to_device(np.zeros((), np.int64), device))
        self.channels, self._waits_for = channels, ""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel.

        Parameters
        ----------
        x : Tensor, shape (N, C) or (N, C, ...)
            A batch.

        Returns
        -------
        Tensor, shape (N, C) or (N, C, ...)
            ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``, with the batch's own mean and
            variance in training and the moving ones in evaluation.

        Raises
        ------
        ShapeError
            If there is only one value for each channel in training.

        Warns
        -----
        UserWarning
            Once, if evaluated before the moving averages were ever updated.
        """
        check_input(self, x, self._axes, self._ranks, self.channels)
        if self.channels is None:
            with creating():
                if self.channels is None:
                    self._set_channels(x.shape[1], x.device)
        gamma, beta = beside(x, self.gamma, self.beta)
        if not self.training:
            self.warn_if_untouched()
            mean, variance = self.moving_mean.data, self.moving_variance.data
            return ops.batch_norm_inference(x, gamma, beta, mean, variance, self.epsilon)
        values = x.size // x.shape[1]
        if values < 2:
            raise ShapeError(
                f"{label(self)}: x of shape {x.shape} has {values} value(s) for each channel, and "
                "one value has no spread to normalise by; train on batches of 2 or more "
                "(batch(..., drop_remainder=True) leaves out a last one of 1), or call eval()"
            )
        y, mean, variance = ops.batch_norm(x, gamma, beta, self.epsilon)
        self.note(mean, variance, values)
        return y

    def affine(self) -> tuple[Array, Array, Array]:
        """Return the affine map that this layer is in evaluation.

        Returns
        -------
        mean, scale, beta : ndarray of float64, shape (1, C)
            The layer is ``(x - mean) * scale + beta``.
        """
        mean, variance = self.moving_mean.data[None], self.moving_variance.data[None]
        mean, _, scale, beta = kernels_for(mean).normalize_coefficients(
            mean, variance, self.gamma.data, self.beta.data, self.epsilon
        )
        return mean, scale, beta

    def note(self, mean: Array, variance: Array, values: int) -> None:
        """Move the averages towards the statistics of a batch.

        Parameters
        ----------
        mean, variance : ndarray, shape (C,)
            The batch's; the variance is the biased one.
        values : int
            How many values of each channel they were taken of, at least 2.
        """
        buffers = self.moving_mean, self.moving_variance, self.updates
        old = (buffer.data for buffer in buffers)
        moved = kernels_for(mean).move_averages(*old, mean, variance, self.decay, values)
        for buffer, new in zip(buffers, moved, strict=True):
            buffer.data = new

    def warn_if_untouched(self) -> None:
        """Warn, once, if the moving averages were never updated."""
        counted = self.updates.data
        if self._warned or counted is self._counted or observer.get() is not None:
            return
        if counted.item():
            self._counted = counted  # reading it makes the host wait for a GPU: not at every call
            return
        self._warned = True
        warnings.warn(
            f"{label(self)} is evaluated, but its moving averages were never updated and still "
            "are 0 and 1; train it, or load a trained state, first",
            stacklevel=3,
        )


class BatchNorm2d(_BatchNorm):
    """Normalise each channel of images by its mean and variance, then scale and shift it.

    In training by the statistics of the batch, which also move the averages, ``moving = decay *
    moving + (1 - decay) * batch``; in evaluation by those averages. `training` alone decides, also
    inside `no_grad`. The batch is normalised by its biased variance (divided by the number M of
    values); the average takes the unbiased one (M - 1), as in the paper and in PyTorch.

    Parameters
    ----------
    channels : int or None, default None
        Channels C of the input; None: found out at the first call.
    decay : float, default 0.9
        How much of the moving averages stays at each step (PyTorch's momentum is 1 minus this).
    epsilon : float, default 1e-5
        Added to the variance.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Attributes
    ----------
    gamma, beta : Parameter, shape (C,)
        Scale and shift.
    moving_mean, moving_variance : Buffer, shape (C,)
        The averages, 0 and 1 at first.
    updates : Buffer, shape ()
        How many batches moved them.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Ioffe and Szegedy, "Batch Normalization", ICML 2015, algorithms 1 and 2.
    """

    _axes, _ranks = "(N, C, H, W)", (4,)

    @configurable
    def __init__(
        self,
        channels: int | None = None,
        decay: float = 0.9,
        epsilon: float = 1e-5,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self._prepare(channels, decay, epsilon, gamma_initializer, beta_initializer)


class BatchNorm1d(_BatchNorm):
    """Normalise each feature of vectors or signals by its mean and variance, then rescale it.

    As `BatchNorm2d`, for the output of a dense layer, or of a 1-D convolution.

    Parameters
    ----------
    channels : int or None, default None
        Features C of the input; None: found out at the first call.
    decay : float, default 0.9
        How much of the moving averages stays at each step.
    epsilon : float, default 1e-5
        Added to the variance.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _axes, _ranks = "(N, C) or (N, C, L)", (2, 3)

    @configurable
    def __init__(
        self,
        channels: int | None = None,
        decay: float = 0.9,
        epsilon: float = 1e-5,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self._prepare(channels, decay, epsilon, gamma_initializer, beta_initializer)


class BatchNorm3d(_BatchNorm):
    """Normalise each channel of volumes by its mean and variance, then scale and shift it.

    As `BatchNorm2d`, for volumes or for videos.

    Parameters
    ----------
    channels : int or None, default None
        Channels C of the input; None: found out at the first call.
    decay : float, default 0.9
        How much of the moving averages stays at each step.
    epsilon : float, default 1e-5
        Added to the variance.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Raises
    ------
    ConfigError
        If an argument is not of its form.
    """

    _axes, _ranks = "(N, C, D, H, W)", (5,)

    @configurable
    def __init__(
        self,
        channels: int | None = None,
        decay: float = 0.9,
        epsilon: float = 1e-5,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self._prepare(channels, decay, epsilon, gamma_initializer, beta_initializer)
