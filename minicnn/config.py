"""Settings of the whole program: assign to them, ``minicnn.config.winograd = False``.

Attributes
----------
winograd : bool
    Whether 3x3 convolutions of float32 images may be computed by Winograd's algorithm on the CPU.
    It takes about half the time and rounds a little more: see `minicnn.kernels.cpu.vector.winograd`
    for the bound. By default True, or False if the variable MINICNN_WINOGRAD is 0.

Raises
------
ConfigError
    When something is assigned that is no setting, or not of a setting's kind.

Examples
--------
>>> import minicnn
>>> minicnn.config.winograd = False   # every convolution directly
>>> minicnn.config.winograd
False
>>> minicnn.config.winograd = True
"""

import difflib
import sys
import types
from typing import NoReturn

from minicnn.errors import ConfigError
from minicnn.kernels import settings

__all__ = ["winograd"]

winograd: bool = settings.winograd


class _Config(types.ModuleType):
    """What `minicnn.config` is: a module that checks its settings, and tells the kernels."""

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{_nearest(name)}")

    def __setattr__(self, name: str, value: object) -> None:
        if name.startswith("__"):  # the import system's own
            super().__setattr__(name, value)
            return
        if name not in __all__:
            raise ConfigError(f"config: there is no setting {name!r}{_nearest(name)}")
        if not isinstance(value, bool):
            raise ConfigError(f"config: {name} is True or False, got {value!r}")
        super().__setattr__(name, value)
        setattr(settings, name, value)

    def __delattr__(self, name: str) -> None:
        raise ConfigError(f"config: {name!r} cannot be deleted; assign True or False")


def _nearest(name: str) -> str:
    """Say which setting was probably meant."""
    near = difflib.get_close_matches(name, __all__, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(__all__)}"


sys.modules[__name__].__class__ = _Config
