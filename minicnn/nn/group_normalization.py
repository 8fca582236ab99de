"""Layers that normalise channels of each example by itself, the same in evaluation."""

from __future__ import annotations

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend.device import get_device
from minicnn.errors import ConfigError
from minicnn.nn._building import creating
from minicnn.nn._parts import beside, check_input, count
from minicnn.nn._rescaling import Rescaled
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, ones, zeros

__all__ = ["GroupNorm", "InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"]

_ANY = tuple(range(33))


class _OfChannels(Rescaled):
    """One scale and one shift for each channel."""

    def _set_channels(self, channels: int | None) -> None:
        op = type(self).__name__
        self.channels = None if channels is None else count(op, "channels", channels)
        if self.channels is not None:
            self._create((self.channels,), get_device())

    def _check(self, x: Tensor, axes: str, ranks: tuple[int, ...]) -> None:
        check_input(self, x, axes, ranks, self.channels)
        if self.channels is None:
            with creating():
                if self.channels is None:
                    self._create((x.shape[1],), x.device)
                    self.channels = x.shape[1]


class GroupNorm(_OfChannels):
    """Normalise groups of channels of each image by their own mean and variance, then rescale them.

    Unlike batch normalisation it works with a batch of one, and is the same in evaluation.

    Parameters
    ----------
    groups : int
        Into how many parts G the channels are cut; divides C.
    channels : int or None, default None
        Channels C of the input; None: found out at the first call.
    epsilon : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether each channel is scaled and shifted afterwards.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Attributes
    ----------
    gamma, beta : Parameter, shape (C,), or None
        Scale and shift.

    Raises
    ------
    ConfigError
        If an argument is not of its form, or `groups` does not divide the channels.

    References
    ----------
    Wu and He, "Group Normalization", ECCV 2018.

    Examples
    --------
    >>> from minicnn import nn
    >>> nn.Conv2d(3, 32, normalizer=lambda channels: nn.GroupNorm(8, channels)).normalizer.groups
    8
    """

    @configurable
    def __init__(
        self,
        groups: int,
        channels: int | None = None,
        epsilon: float = 1e-5,
        affine: bool = True,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self.groups = count("GroupNorm", "groups", groups)
        if channels is not None and count("GroupNorm", "channels", channels) % groups:
            raise ConfigError(f"GroupNorm: groups={groups} does not divide {channels} channels")
        self._prepare(epsilon, affine, gamma_initializer, beta_initializer)
        self._set_channels(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each group.

        Parameters
        ----------
        x : Tensor, shape (N, C) or (N, C, ...)
            A batch.

        Returns
        -------
        Tensor, of x's shape
            ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.
        """
        self._check(x, "(N, C, ...)", _ANY[2:])
        gamma, beta = beside(x, self.gamma, self.beta)
        return ops.group_norm(x, self.groups, gamma, beta, self.epsilon)


class _InstanceNorm(_OfChannels):
    _axes: str
    _ranks: tuple[int, ...]

    @configurable
    def __init__(
        self,
        channels: int | None = None,
        epsilon: float = 1e-5,
        affine: bool = True,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self._prepare(epsilon, affine, gamma_initializer, beta_initializer)
        self._set_channels(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each channel of each example.

        Parameters
        ----------
        x : Tensor, shape (N, C, ...)
            A batch.

        Returns
        -------
        Tensor, of x's shape
            ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.
        """
        self._check(x, self._axes, self._ranks)
        gamma, beta = beside(x, self.gamma, self.beta)
        return ops.instance_norm(x, gamma, beta, self.epsilon)


class InstanceNorm2d(_InstanceNorm):
    """Normalise each channel of each image by its own mean and variance, then rescale it.

    Parameters
    ----------
    channels : int or None, default None
        Channels C of the input; None: found out at the first call.
    epsilon : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether each channel is scaled and shifted afterwards.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Attributes
    ----------
    gamma, beta : Parameter, shape (C,), or None
        Scale and shift.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Ulyanov, Vedaldi and Lempitsky, "Instance Normalization", 2016.
    """

    _axes, _ranks = "(N, C, H, W)", (4,)


class InstanceNorm1d(_InstanceNorm):
    """Normalise each channel of each signal, as `InstanceNorm2d` does that of images.

    Parameters
    ----------
    channels, epsilon, affine, gamma_initializer, beta_initializer
        As of `InstanceNorm2d`.
    """

    _axes, _ranks = "(N, C, L)", (3,)


class InstanceNorm3d(_InstanceNorm):
    """Normalise each channel of each volume, as `InstanceNorm2d` does that of images.

    Parameters
    ----------
    channels, epsilon, affine, gamma_initializer, beta_initializer
        As of `InstanceNorm2d`.
    """

    _axes, _ranks = "(N, C, D, H, W)", (5,)
