"""NaNGuard names what broke first."""

import re

import numpy as np
import pytest
import small_runs
from small_runs import training_data

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.data import Dataset
from minicnn.errors import GradientError
from minicnn.estimator import (
    Estimator,
    EstimatorSpec,
    NaNGuard,
)
from minicnn.optim import SGD

numpy_complains = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def small_net():
    with nn.seed(0):
        return nn.Sequential(
            nn.Conv2d(2, 4, 3, normalizer=nn.BatchNorm2d),
            nn.Function(ops.relu),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Dense(4 * 36, 3),
        )


def guarded(net, loss=ops.sparse_softmax_cross_entropy, data=training_data, rate=0.1, steps=3):
    """Train, with the hook and with what every run has; return the message, which is the same."""
    said = []
    for hooks in ([NaNGuard()], []):
        run = Estimator.from_module(net, loss, lambda p: SGD(p, rate))
        before = net.state_dict()
        with pytest.raises(GradientError) as caught:
            run.train(data, steps=steps, hooks=hooks)
        said.append(str(caught.value))
    assert said[0] == said[1]
    if run.step == 0:
        for name, value in net.state_dict().items():
            np.testing.assert_array_equal(value, before[name])
    assert not any(m._forward_hooks for _, m in net.named_modules())
    return str(caught.value)


@numpy_complains
def test_nan_guard_names_the_first_layer():
    class Log(nn.Module):
        def forward(self, x):
            return (x * 0).log() * 0 + x

    def loss(outputs, labels):
        return outputs.sum() / Tensor(np.float32(0)).to(outputs.device)

    net = small_net()
    net[1] = Log()
    message = guarded(net)
    assert "loss is nan in step 1; NaN first in the output of 1 (Log); log in '1': " in message
    assert re.search(r"elements of its result \(\d+, 4, 6, 6\) are not finite: ", message)
    message = guarded(small_net(), loss)
    assert re.search("loss is (nan|-?inf) in step 1; all layers' outputs are finite", message)
    assert re.search("loss function itself; divide: its result is (NaN|-?inf)", message)


@numpy_complains
def test_nan_guard_in_a_model_function():
    def model_fn(features, labels, mode, params):
        x = nn.layers.conv2d(features, 3, name="first")
        with nn.layers.scope("block"):
            x = nn.layers.conv2d(x * np.float32(1e38), 3, name="second")
        loss = nn.layers.dense(nn.layers.flatten(x), 1).sum()
        return EstimatorSpec(mode, loss=loss, optimizer=lambda p: SGD(p, 0.1))

    with pytest.raises(GradientError, match=r"first in the output of block.second \(Conv2d\)"):
        Estimator(model_fn).train(training_data, steps=1, hooks=[NaNGuard()])


@numpy_complains
def test_nan_guard_looks_at_the_batch_and_the_weights_first():
    images, labels = small_runs.images_and_labels(8)
    images[3, 0, 1, 1] = np.nan
    data = Dataset.from_slices((images, labels)).batch(8)
    message = guarded(small_net(), data=lambda: data)
    assert "the batch came with NaN in features, example(s) 3 of 8, counted from 0;" in message
    net = small_net()
    net[4].weight.data[0, 0] = np.inf
    assert "the parameter '4.weight' (Dense) was not finite before this step" in guarded(net)


@numpy_complains
def test_nan_guard_looks_at_the_gradients():
    """sqrt(0) is fine, its slope is not."""

    def loss(outputs, labels):
        return ops.sqrt(outputs * outputs * 0.0).sum() + 1.0

    message = guarded(small_net(), loss)
    assert "in step 1 the loss is 1.0, but the gradients of 5 of 5 parameters" in message
    assert "the first is that of '4.bias' (Dense); gradient of sqrt: " in message
    assert "where its input is 0 and its result is 0" in message


def test_nan_guard_is_quiet_about_large_numbers():
    p = nn.Parameter(np.full(3, 1e30))  # their squares overflow
    module = nn.Module()
    module.p = p
    run = Estimator(
        lambda f, y, m, _: EstimatorSpec(m, loss=p.sum() * 1e200, optimizer=lambda p: SGD(p, 1e-9)),
        module=module,
    )
    assert run.train(training_data, steps=1, hooks=[NaNGuard()]).step == 1
