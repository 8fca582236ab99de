"""What tests of kernels share."""

from __future__ import annotations

import sys

import pytest

from minicnn.kernels import cuda_host


@pytest.fixture
def cupy():
    """The stand-in for CuPy, installed."""
    known = sys.modules.get("cupy")
    if known is not None and not hasattr(known, "__stand_in__"):
        pytest.skip("the real CuPy is in use")
    yield cuda_host.install()
    if known is None:
        cuda_host.uninstall()
