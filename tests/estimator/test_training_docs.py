"""The docstrings of what trains: their examples run, and every argument is described."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

import minicnn.estimator
import minicnn.metrics
import minicnn.optim
import minicnn.visualise
from minicnn.backend.device import on_device
from minicnn.estimator import Hook, Mode
from minicnn.metrics import Metric

PACKAGES = (minicnn.estimator, minicnn.metrics, minicnn.optim, minicnn.visualise)
MODULES = [
    f"{package.__name__}.{module.name}"
    for package in PACKAGES
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    with on_device("cpu"):
        assert doctest.testmod(importlib.import_module(name)).failed == 0


def public():
    """Yield every public function, class and method with its name."""
    for package in PACKAGES:
        for name in package.__all__:
            value = getattr(package, name)
            if not getattr(value, "__module__", "").startswith("minicnn") or value is Mode:
                continue
            if not (inspect.isclass(value) and issubclass(value, str)):  # made by functions
                yield pytest.param(value, id=name)
            for key, method in vars(value).items() if inspect.isclass(value) else ():
                inherited = any(hasattr(base, key) for base in (Hook, Metric) if value is not base)
                if inspect.isfunction(method) and not key.startswith("_") and not inherited:
                    yield pytest.param(method, id=f"{name}.{key}")


@pytest.mark.parametrize("value", list(public()))
def test_every_argument_is_described(value):
    text = inspect.getdoc(value)
    assert text
    names = [n for n in inspect.signature(value).parameters if n != "self"]
    sections = text.partition("----------")[2]  # Parameters, or Attributes of a plain record
    assert not [n for n in names if n not in sections]
