"""Two hundred steps on the CPU and on the device: ``python -m pytest tests/cuda/long_training.py``.

They take half a minute on the stand-in for a GPU, so they are no part of the tests that are run all
the time; .ci/run calls them.
"""

from __future__ import annotations

import numpy as np

from tests.cuda.test_training import curve


def test_curves_of_200_steps_in_single_precision(device):
    """Rounding flips a ReLU sooner or later, so single losses part; their means must not."""
    here, there = (curve(d, 200, "float32").reshape(10, 20).mean(1) for d in ("cpu", device))
    np.testing.assert_allclose(there, here, rtol=0.05)
    assert there[-1] < 0.7 * there[0], "it learns"
