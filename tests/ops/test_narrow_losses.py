"""What float16 sums and broken rows must not do to a loss."""

import numpy as np
import pytest

from minicnn import Tensor, ops


@pytest.mark.parametrize("examples", [20_000, 70_000])
def test_a_float16_mean_does_not_overflow(examples):
    logits = Tensor(np.zeros((examples, 43), np.float16), requires_grad=True)
    loss = ops.sparse_softmax_cross_entropy(logits, np.zeros(examples, int))
    assert loss.dtype == np.float16
    assert loss.item() == pytest.approx(np.log(43), rel=2e-3)


def test_ignored_rows_may_be_nan_and_get_no_gradient():
    logits = Tensor(np.array([[np.nan, 2.0], [3.0, 4.0], [np.inf, 0.0]]), requires_grad=True)
    loss = ops.sparse_softmax_cross_entropy(logits, np.array([-1, 0, -1]), ignore_label=-1)
    loss.backward()
    assert loss.item() == pytest.approx(np.log1p(np.e))
    np.testing.assert_array_equal(logits.grad.data[[0, 2]], 0)
    assert np.isfinite(logits.grad.data).all()


def test_inference_gamma_gradient_survives_a_large_mean():
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(64, 2, 4, 4)) + 1e5).astype(np.float32)
    mean, var = x.mean(axis=(0, 2, 3), dtype=np.float64), np.ones(2)
    gamma, beta = (Tensor(np.ones(2, np.float32), requires_grad=True) for _ in range(2))
    g = rng.normal(size=x.shape)
    ops.batch_norm_inference(Tensor(x), gamma, beta, mean, var).backward(g)
    wide = (g * (x.astype(np.float64) - mean.reshape(1, 2, 1, 1))).sum(axis=(0, 2, 3))
    np.testing.assert_allclose(gamma.grad.data, wide / np.sqrt(1 + 1e-5), rtol=1e-4, atol=1e-2)
