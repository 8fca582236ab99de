"""Settings of the whole program: assign to them, ``minicnn.config.winograd = False``.

Attributes
----------
matrix_precision : {"float32", "tf32", "bfloat16"}
    What a GPU's matrix units (tensor cores) may round the numbers of float32 arrays to before they
    multiply them, in convolutions and matrix products; sums are float32 in any case. ``"float32"``,
    the default: to nothing, so these units are not used. ``"tf32"``: to 10 bits of mantissa, a
    relative error of at most 2**-11 in each factor. ``"bfloat16"``: to 7 bits, an error of at most
    2**-8. Arrays stay float32, and nothing changes on the CPU or for arrays of other types: float16
    is what the units take as it is. The variable MINICNN_MATRIX_PRECISION sets the first value.
winograd : bool
    Whether 3x3 convolutions of float32 images may be computed by Winograd's algorithm on the CPU.
    It takes about half the time and rounds a little more: see `minicnn.kernels.cpu.vector.winograd`
    for the bound. By default True, or False if the variable MINICNN_WINOGRAD is 0.

Raises
------
ConfigError
    When something is assigned that is no setting, or no value that a setting can have.

Examples
--------
>>> import minicnn
>>> minicnn.config.winograd = False   # every convolution directly
>>> minicnn.config.winograd
False
>>> minicnn.config.winograd = True
>>> minicnn.config.matrix_precision = "tf32"   # faster on a GPU, and a little less exact
>>> minicnn.config.matrix_precision = "float32"
"""

import difflib
import sys
import types
from typing import NoReturn

from minicnn.errors import ConfigError
from minicnn.kernels import settings

__all__ = ["matrix_precision", "winograd"]

# What each setting may be.
_VALUES: dict[str, tuple[object, ...]] = {
    "matrix_precision": ("float32", "tf32", "bfloat16"),
    "winograd": (True, False),
}

matrix_precision: str = settings.matrix_precision
winograd: bool = settings.winograd


class _Config(types.ModuleType):
    """What `minicnn.config` is: a module that checks its settings, and tells the kernels."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_nearest(name)}")

    @property
    def matrix_precision(self) -> str:  # an Estimator's run may have one of its own
        return settings.precision()

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("__"):  # the import system's own
            super().__setattr__(name, value)
            return
        if name not in _VALUES:
            raise ConfigError(f"config: there is no setting {name!r}{_nearest(name)}")
        _check(name, value, f"config: {name}")
        self.__dict__[name] = value
        setattr(settings, name, value)

    def __delattr__(self, name: str) -> None:
        allowed = f"; assign {_either(name)}" if name in _VALUES else ""
        raise ConfigError(f"config: {name!r} cannot be deleted{allowed}")


def _check(name: str, value: object, what: str) -> None:
    """Refuse a value that a setting cannot have (True is not 1: what is printed must be clear)."""
    if not any(type(value) is type(v) and value == v for v in _VALUES[name]):
        raise ConfigError(f"{what} is {_either(name)}, got {value!r}")


def _either(name: str) -> str:
    """Say what a setting may be: "True or False"."""
    *others, last = map(repr, _VALUES[name])
    return f"{', '.join(others)} or {last}"


def _nearest(name: str) -> str:
    """Say which setting was probably meant."""
    near = difflib.get_close_matches(name, __all__, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(__all__)}"


_check("matrix_precision", matrix_precision, "config: the variable MINICNN_MATRIX_PRECISION")

sys.modules[__name__].__class__ = _Config
