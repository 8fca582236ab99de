"""Layers that normalise vectors, each by itself, the same in evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from minicnn import ops
from minicnn.autograd import Tensor
from minicnn.backend.device import get_device
from minicnn.errors import ConfigError, ShapeError
from minicnn.nn._building import creating
from minicnn.nn._calls import label
from minicnn.nn._parts import beside, check_input, count
from minicnn.nn._rescaling import Rescaled
from minicnn.nn.arg_scope import configurable
from minicnn.nn.init import Initializer, ones, zeros

__all__ = ["LayerNorm", "RMSNorm"]

_ANY = tuple(range(33))


class _OfVectors(Rescaled):
    """One scale and one shift for each place in a vector, which extends over some axes."""

    _waits_for = "lengths"

    def _set_lengths(self, lengths: int | Sequence[int] | None, axes: int | Sequence[int]) -> None:
        op = type(self).__name__
        self.axes = tuple(axes) if isinstance(axes, Sequence) else (axes,)
        if not self.axes or any(
            isinstance(a, bool) or not hasattr(a, "__index__") for a in self.axes
        ):
            raise ConfigError(f"{op}: axes must be an int or ints, got {axes!r}")
        self.lengths: tuple[int, ...] | None = None
        if lengths is not None:
            given = tuple(lengths) if isinstance(lengths, Sequence) else (lengths,)
            self.lengths = tuple(count(op, "lengths", n) for n in given)
            if len(self.lengths) != len(self.axes):
                raise ConfigError(f"{op}: lengths {lengths} must be one for each of axes {axes}")
            self._create(self.lengths, get_device())

    def _check(self, x: Tensor) -> None:
        check_input(self, x, "with axes to normalise", _ANY[1:])
        if any(not -x.ndim <= a < x.ndim for a in self.axes):
            raise ShapeError(f"{label(self)}: x {x.shape} has no axes {self.axes}")
        lengths = tuple(x.shape[a] for a in sorted({a % x.ndim for a in self.axes}))
        if self.lengths is None:
            with creating():
                if self.lengths is None:
                    self._create(lengths, x.device)
                    self.lengths = lengths
        if self.lengths != lengths:
            raise ShapeError(
                f"{label(self)}: x {x.shape} has lengths {lengths} along axes {self.axes}, but the "
                f"layer was made for {self.lengths}"
            )


class LayerNorm(_OfVectors):
    """Normalise each vector by its own mean and variance, then rescale each of its places.

    Parameters
    ----------
    lengths : int, sequence of int or None, default None
        Lengths of the normalised axes, in the order of x's; None: found out at the first call.
    axes : int or sequence of int, default (-1,)
        Over which axes a vector extends: the features of a token (-1), the channels of a pixel
        (1), all of an image (1, 2, 3).
    epsilon : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether each place is scaled and shifted afterwards.
    gamma_initializer, beta_initializer : callable, default ones and zeros
        ``(shape, stream, dtype) -> ndarray`` for scale and shift.

    Attributes
    ----------
    gamma, beta : Parameter, of the normalised lengths, or None
        Scale and shift.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Ba, Kiros and Hinton, "Layer Normalization", 2016.
    """

    @configurable
    def __init__(
        self,
        lengths: int | Sequence[int] | None = None,
        axes: int | Sequence[int] = (-1,),
        epsilon: float = 1e-5,
        affine: bool = True,
        gamma_initializer: Initializer = ones,
        beta_initializer: Initializer = zeros,
    ) -> None:
        self._prepare(epsilon, affine, gamma_initializer, beta_initializer)
        self._set_lengths(lengths, axes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each vector.

        Parameters
        ----------
        x : Tensor
            Any shape that has the axes.

        Returns
        -------
        Tensor, of x's shape
            ``gamma * (x - mean) / sqrt(variance + epsilon) + beta``.

        Raises
        ------
        ShapeError
            If x has other lengths than the layer was made for.
        """
        self._check(x)
        gamma, beta = beside(x, self.gamma, self.beta)
        return ops.layer_norm(x, gamma, beta, self.axes, self.epsilon)


class RMSNorm(_OfVectors):
    """Divide each vector by its root mean square, then rescale each of its places.

    Parameters
    ----------
    lengths : int, sequence of int or None, default None
        Lengths of the normalised axes, in the order of x's; None: found out at the first call.
    axes : int or sequence of int, default (-1,)
        Over which axes a vector extends.
    epsilon : float, default 1e-5
        Added to the mean square.
    affine : bool, default True
        Whether each place is scaled afterwards.
    gamma_initializer : callable, default ones
        ``(shape, stream, dtype) -> ndarray`` for the scale.

    Attributes
    ----------
    gamma : Parameter, of the normalised lengths, or None
        Scale.

    Raises
    ------
    ConfigError
        If an argument is not of its form.

    References
    ----------
    Zhang and Sennrich, "Root Mean Square Layer Normalization", NeurIPS 2019.
    """

    @configurable
    def __init__(
        self,
        lengths: int | Sequence[int] | None = None,
        axes: int | Sequence[int] = (-1,),
        epsilon: float = 1e-5,
        affine: bool = True,
        gamma_initializer: Initializer = ones,
    ) -> None:
        self._prepare(epsilon, affine, gamma_initializer, None)
        self._set_lengths(lengths, axes)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each vector.

        Parameters
        ----------
        x : Tensor
            Any shape that has the axes.

        Returns
        -------
        Tensor, of x's shape
            ``gamma * x / sqrt(mean(x**2) + epsilon)``.

        Raises
        ------
        ShapeError
            If x has other lengths than the layer was made for.
        """
        self._check(x)
        (gamma,) = beside(x, self.gamma)
        return ops.rms_norm(x, gamma, self.axes, self.epsilon)
