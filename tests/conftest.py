"""What all tests share."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Examples take as long as they take: a slow machine is no failure.  "ci" draws the same ones
# each time; "nightly" draws many more: pytest --hypothesis-profile=nightly
settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("nightly", deadline=None, max_examples=5_000)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def real_signs():
    """The folder of real photographs that MINICNN_GTSRB names."""
    folder = os.environ.get("MINICNN_GTSRB", "")
    if not (Path(folder) / "gtsrb-train-cap64.zip").is_file():
        pytest.skip("set MINICNN_GTSRB to a folder with gtsrb-train-cap64.zip to run on real signs")
    return Path(folder)
