"""Settings: each knows what it may be, says so, and tells the kernels."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import minicnn
from minicnn.errors import ConfigError
from minicnn.kernels import settings


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("winogard", False, "no setting 'winogard'; did you mean 'winograd'"),
        ("threads", 2, "no setting 'threads'; the settings are matrix_precision, winograd"),
        ("winograd", 0, "winograd is True or False, got 0"),
        ("winograd", "off", "winograd is True or False, got 'off'"),
        ("matrix_precision", "tf", "is 'float32', 'tf32' or 'bfloat16', got 'tf'"),
        ("matrix_precision", True, "is 'float32', 'tf32' or 'bfloat16', got True"),
        ("matrix_precision", ["tf32"], r"is 'float32', 'tf32' or 'bfloat16', got \['tf32'\]"),
    ],
)
def test_a_setting_that_is_none_is_an_error(name, value, says):
    before = minicnn.config.winograd, minicnn.config.matrix_precision
    with pytest.raises(ConfigError, match=says):
        setattr(minicnn.config, name, value)
    assert (minicnn.config.winograd, minicnn.config.matrix_precision) == before


def test_a_setting_cannot_be_misread_or_deleted():
    with pytest.raises(AttributeError, match="did you mean 'winograd'"):
        _ = minicnn.config.winogard
    with pytest.raises(ConfigError, match="'winograd' cannot be deleted; assign True or False"):
        del minicnn.config.winograd
    with pytest.raises(ConfigError, match="cannot be deleted; assign 'float32', 'tf32' or 'bf"):
        del minicnn.config.matrix_precision
    with pytest.raises(ConfigError, match=r"'colour' cannot be deleted$"):
        del minicnn.config.colour
    assert {"winograd", "matrix_precision"} <= set(dir(minicnn.config))


@pytest.mark.parametrize(
    ("name", "value"),
    [("winograd", False), ("winograd", True), ("matrix_precision", "tf32"),
     ("matrix_precision", "bfloat16"), ("matrix_precision", "float32")],
)  # fmt: skip
def test_the_kernels_are_told(name, value, monkeypatch):
    monkeypatch.setattr(minicnn.config, name, value)
    assert getattr(minicnn.config, name) == getattr(settings, name) == value


@pytest.mark.parametrize(
    ("name", "given", "says"),
    [
        ("winograd", "0", "False"),
        ("winograd", "1", "True"),
        ("winograd", None, "True"),
        ("matrix_precision", "tf32", "tf32"),
        ("matrix_precision", None, "float32"),
        ("matrix_precision", "TF32", "ConfigError: config: the variable MINICNN_MATRIX_PRECISION "
         "is 'float32', 'tf32' or 'bfloat16', got 'TF32'"),
        ("matrix_precision", "", "ConfigError: config: the variable MINICNN_MATRIX_PRECISION "
         "is 'float32', 'tf32' or 'bfloat16', got ''"),
    ],
)  # fmt: skip
def test_the_environment_gives_the_first_value(name, given, says):
    variable = f"MINICNN_{name.upper()}"
    environment = {k: v for k, v in os.environ.items() if k != variable}
    if given is not None:
        environment[variable] = given
    code = f"import minicnn; print(minicnn.config.{name})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == says.startswith("ConfigError")
    assert (done.stderr if done.returncode else done.stdout).strip().endswith(says)
