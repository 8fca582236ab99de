import doctest
import importlib
import inspect
import pkgutil

import pytest

import minicnn.models
import minicnn.nn

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (minicnn.nn, minicnn.models)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


def public():
    for module in (minicnn.nn, minicnn.nn.init, minicnn.nn.layers, minicnn.models):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield pytest.param(value, id=f"{module.__name__}.{name}")


@pytest.mark.parametrize("value", list(public()))
def test_every_argument_of_every_public_name_is_documented(value):
    text = inspect.getdoc(value)
    assert text
    if isinstance(value, type) and value.__init__ is object.__init__:
        return
    if hasattr(value, "__configures__"):  # its arguments are documented at the layer's class
        assert f"The arguments of `{value.__configures__.__name__}`" in text
        return
    names = inspect.signature(value).parameters
    private = value in (minicnn.nn.HookHandle, minicnn.nn.Summary)  # made by others only
    assert private or not [name for name in names if name not in text]
