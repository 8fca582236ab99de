"""Whether this run can tell anything about a GPU."""

from __future__ import annotations

import pytest

from tests.cuda.engine import no_gpu


@pytest.mark.gpu
def test_there_is_a_gpu(pytestconfig: pytest.Config) -> None:
    """The tests that take `engine`, `cuda` or `device` are about it if this one passes."""
    if pytestconfig.option.markexpr.strip() != "gpu":
        pytest.skip("a GPU is tested in a process of its own: pytest -m gpu")
    if missing := no_gpu():
        pytest.skip(missing)
