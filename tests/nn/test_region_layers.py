import numpy as np
import pytest

from minicnn import nn, ops
from minicnn.autograd import Tensor, grad
from minicnn.backend.random import Stream
from minicnn.errors import ConfigError, ShapeError

X = Tensor(Stream(0, "x").normal((2, 3, 8, 9), dtype=np.float32), requires_grad=True)
BOXES = np.array([[3, 2, 90, 100], [-4, 10, 64, 70.5], [20, 20, 50, 30]])
IMAGES = np.array([0, 1, 0])


def test_layers_pass_their_options_to_the_op():
    y = nn.RoIPool((3, 2), 1 / 16)(X, BOXES, IMAGES)
    np.testing.assert_array_equal(y.data, ops.roi_pool(X, BOXES, IMAGES, (3, 2), 1 / 16).data)
    layer = nn.RoIAlign((3, 2), 1 / 16, sampling=2, aligned=False, mode="max")
    expected = ops.roi_align(X, BOXES, IMAGES, (3, 2), 1 / 16, 2, False, "max")
    np.testing.assert_array_equal(layer(X, BOXES, IMAGES).data, expected.data)


@pytest.mark.parametrize("kind", [nn.RoIPool, nn.RoIAlign])
def test_regions_of_any_size_become_one_size_and_gradients_flow(kind):
    y = kind(scale=1 / 16)(X, BOXES, IMAGES)
    assert y.shape == (3, 3, 7, 7)
    assert grad(y.sum(), X).data.any()
    assert kind(2)(X, np.zeros((0, 4)), np.zeros(0, int)).shape == (0, 3, 2, 2)


def test_options_are_set_by_arg_scope():
    with nn.arg_scope([nn.RoIPool, nn.RoIAlign], size=2, scale=0.25):
        assert nn.RoIPool().size == (2, 2)
        assert nn.RoIAlign().scale == 0.25


def test_errors():
    for kind in (nn.RoIPool, nn.RoIAlign):
        name = kind.__name__
        with pytest.raises(ConfigError, match=f"{name}: size must be"):
            kind(0)
        for scale in (0, -1, "half", True, float("nan")):
            with pytest.raises(ConfigError, match=f"{name}: scale must be a number greater than"):
                kind(7, scale)
        with pytest.raises(ConfigError, match=f"{name}: scale must be finite"):
            kind(7, float("inf"))
        with pytest.raises(ShapeError, match=rf"{name}: needs x \(N, C, H, W\), got shape \(2, 3"):
            kind()(X.sum(axis=3), BOXES, IMAGES)
    with pytest.raises(ConfigError, match="RoIAlign: sampling must be"):
        nn.RoIAlign(sampling=-1)
    with pytest.raises(ConfigError, match="RoIAlign: mode must be 'avg', 'max' or 'max_taps'"):
        nn.RoIAlign(mode="sum")
