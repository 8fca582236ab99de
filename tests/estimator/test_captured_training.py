"""Training by captured steps gives the bits of training, whatever happens on the way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from minicnn import ops
from minicnn.backend.capture import CapturedWork
from minicnn.backend.random import Stream
from minicnn.data import Dataset
from minicnn.errors import CaptureError, ConfigError, GradientError
from minicnn.estimator import (
    Estimator,
    EstimatorSpec,
    GradualUnfreezing,
    Hook,
    NaNGuard,
    RunConfig,
)
from minicnn.kernels import capturing
from minicnn.metrics import Accuracy
from minicnn.nn import BatchNorm2d, Conv2d, Dense, Flatten, Sequential, freeze, layers, seed
from minicnn.optim import SGD, AdamW, Cosine, WarmUp

CLASSES = 3
STREAM = Stream(4)
IMAGES = STREAM.normal((14, 2, 5, 5), dtype=np.float32)
LABELS = STREAM.integers(0, CLASSES, 14)


def model_fn(features, labels, mode, params):
    x = layers.conv2d(features, 3, normalizer=BatchNorm2d, activation=ops.relu)
    x = layers.spatial_dropout(x, 0.2)
    x = layers.dropout(layers.flatten(x), 0.3)
    if params.get("reads"):
        x = x * float(x.sum())
    logits = layers.dense(x, CLASSES)

    def optimizer(weights):
        rate = WarmUp(Cosine(0.05, 40), 5)
        clip = params.get("clip")
        if params.get("sgd"):
            return SGD(weights, rate, nesterov=True, clip_norm=clip)
        return AdamW(weights, rate, weight_decay=1e-3, clip_norm=clip)

    return EstimatorSpec(
        mode,
        loss=ops.sparse_softmax_cross_entropy(logits, labels),
        optimizer=optimizer,
        metrics={"accuracy": Accuracy().update(logits, labels), "mean": logits.mean()},
    )


class Log(Hook):
    """What the run shows at the end of each step, or of each second one."""

    def __init__(self, every=1):
        self.rows, self.every = [], every

    def after_step(self, context):
        if context.step % self.every == 0:
            metrics = context.metrics["accuracy"], context.metrics["mean"]
            self.rows.append((context.step, context.loss, *metrics, context.learning_rate))


class Gradients(Hook):
    """Looks at the gradients, and every third time replaces one."""

    def __init__(self):
        self.seen = []

    def before_update(self, context):
        named = context.optimizer.named_params
        self.seen.append([p.grad.numpy().tobytes() for _, p in named])
        if context.step % 3 == 0:
            named[0][1].grad = named[0][1].grad * 2.0


def data(whole=True, labels=LABELS):
    batches = Dataset.from_slices((IMAGES, labels)).shuffle(seed=3)
    return batches.repeat().batch(4) if whole else batches.batch(4).repeat()


def trained(device, captured, steps=6, hooks=(), model_dir=None, batches=None, **params):
    config = RunConfig(model_dir, device=device, cuda_graph=captured, seed=1)
    estimator = Estimator(model_fn, params, config)
    log = Log()
    with capturing.alike(), estimator:  # cuBLAS, which cannot be captured, has other bits
        estimator.train(lambda: batches or data(), max_steps=steps, hooks=[log, *hooks])
    return log.rows, bits(estimator)


def bits(estimator):
    state = {**estimator.model.weights(), **estimator.optimizer.state_dict()}
    return {name: array.tobytes() for name, array in state.items()}


@pytest.fixture
def replays(monkeypatch):
    """How many replays there were."""
    done, replay = [], CapturedWork.replay
    monkeypatch.setattr(CapturedWork, "replay", lambda work: done.append(work) or replay(work))
    return done


@pytest.mark.parametrize("params", [{}, {"clip": 0.05}, {"sgd": True}], ids=str)
def test_captured_training_has_the_bits_of_training(cuda, device, replays, params):
    eager = trained(device, False, steps=9, **params)
    assert not replays
    captured = trained(device, True, steps=9, **params)
    assert len(replays) == 9 - 3, "the first three are done one kernel at a time"
    assert eager == captured


def test_a_rate_that_is_captured_with_the_step_is_noticed(cuda, device, replays, monkeypatch):
    """The fault that `Later` is there to prevent, planted: the test above would see it."""
    eager = trained(device, False)
    monkeypatch.setattr(capturing, "later", lambda renew, what: renew())
    captured = trained(device, True)
    assert replays
    assert eager != captured


def test_batches_of_another_shape_are_done_one_kernel_at_a_time(cuda, device, replays):
    """14 images: each fourth batch has two, and the moving averages go from way to way."""
    eager = trained(device, False, steps=13, batches=data(whole=False))
    captured = trained(device, True, steps=13, batches=data(whole=False))
    assert len(replays) == 7
    assert eager == captured


def test_who_looks_at_gradients_divides_the_step(cuda, device, replays):
    seen = Gradients(), Gradients()
    eager = trained(device, False, steps=8, hooks=[seen[0], NaNGuard()])
    captured = trained(device, True, steps=8, hooks=[seen[1], NaNGuard()])
    assert eager == captured
    assert seen[0].seen == seen[1].seen
    assert len(replays) == 2 * 5 - 2  # in two of the steps the gradient is another one


def test_a_resumed_run_ends_with_the_same_bits(cuda, device, tmp_path):
    whole = trained(device, True, steps=10)
    trained(device, True, steps=5, model_dir=tmp_path)
    rest = trained(device, True, steps=10, model_dir=tmp_path)
    assert rest[1] == whole[1]
    assert rest[0] == whole[0][5:]


def test_results_are_of_the_step_that_is_asked_about(cuda, device):
    often, seldom = Log(), Log(every=4)
    trained(device, True, steps=8, hooks=[often])
    trained(device, True, steps=8, hooks=[seldom])
    assert seldom.rows == often.rows[3::4]


class Changing(Hook):
    """Changes what a captured step took for granted."""

    def after_step(self, context):
        if context.step == 5:
            context.optimizer.groups[0]["weight_decay"] = 0.5
        if context.step == 7:
            weights = context.estimator.module.state_dict()
            context.estimator.module.load_state_dict({k: v * 0 + 1 for k, v in weights.items()})
        if context.step == 9:
            context.optimizer.load_state_dict(context.optimizer.state_dict())
        if context.step == 10:
            next(p for _, p in context.estimator.module.named_parameters()).requires_grad = False


def test_what_changes_on_the_way_is_captured_anew(cuda, device, replays):
    eager = trained(device, False, steps=12, hooks=[Changing()])
    captured = trained(device, True, steps=12, hooks=[Changing()])
    assert eager == captured
    assert len(replays) == 9
    assert len(set(map(id, replays))) == 4


def test_what_is_unfrozen_is_captured_anew(cuda, device, replays):
    """It has no momentum before its first step, which cannot be a captured one."""

    def run(captured):
        with seed(1):
            net = Sequential(Conv2d(2, 3, activation=ops.relu), Flatten(), Dense(75, CLASSES))
        freeze(net, "0")
        estimator = Estimator.from_module(
            net,
            ops.sparse_softmax_cross_entropy,
            lambda weights: SGD(weights, 0.05),
            config=RunConfig(device=device, cuda_graph=captured),
        )
        with capturing.alike(), estimator:
            estimator.train(data, steps=12, hooks=[GradualUnfreezing({5: "0"})])
        return bits(estimator)

    assert run(False) == run(True)
    assert len(replays) == 2 + 4, "three steps are done one kernel at a time, twice"


class Failing(Hook):
    """Fails between gradients and update."""

    def __init__(self, step):
        self.step = step

    def before_update(self, context):
        if context.step == self.step:
            raise ValueError("enough")


def test_a_step_that_fails_in_the_middle_is_undone(cuda, device):
    results = []
    for captured in (False, True):
        estimator = Estimator(model_fn, {}, RunConfig(device=device, cuda_graph=captured))
        with capturing.alike(), estimator, pytest.raises(ValueError, match="enough"):
            estimator.train(data, hooks=[Failing(5)])
        assert estimator.step == 5
        results.append(bits(estimator))
    assert results[0] == results[1]


class Recomputing(Hook):
    """Computes a batch again, as NaNGuard does; that moves the averages once more."""

    def before_update(self, context):
        context.forward()


def test_a_batch_that_was_computed_again_is_undone_too(cuda, device):
    results = []
    for fails in (False, True):  # in a tenth step
        hooks = [Recomputing(), Failing(9)]
        estimator = Estimator(model_fn, {}, RunConfig(device=device, cuda_graph=True))
        with estimator:
            if not fails:
                estimator.train(data, steps=9, hooks=hooks)
            else:
                with pytest.raises(ValueError, match="enough"):
                    estimator.train(data, steps=10, hooks=hooks)
            assert estimator.step == 9
            results.append(bits(estimator))
    assert results[0] == results[1]


def test_a_step_that_cannot_be_captured_is_done_all_the_same(cuda, device, replays):
    eager = trained(device, False, reads=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        captured = trained(device, True, reads=True)
    assert eager == captured
    assert not replays
    (warning,) = caught
    assert "cannot be captured" in str(warning.message)
    assert "reads a number from the device" in str(warning.message)


def test_a_wrong_label_is_told_when_the_loss_is_read(cuda, device):
    labels = LABELS.copy()
    labels[5] = 7
    with pytest.raises(ConfigError, match=r"label 7 at .* is outside 0 ... 2"):
        trained(device, True, steps=12, batches=data(labels=labels))
    # The first batches may be all right: the captured step must tell, too.
    images = np.concatenate([IMAGES[:4]] * 5)
    labels = np.concatenate([LABELS[:4]] * 5)
    labels[-1] = 7
    batches = Dataset.from_slices((images, labels)).batch(4)
    with pytest.raises(ConfigError, match="label 7"):
        trained(device, True, steps=5, batches=batches)


def test_a_wrong_label_is_told_before_it_is_saved_if_nobody_reads(cuda, device, tmp_path):
    """A captured step has it count as another label; no checkpoint may have learned that."""
    images = np.concatenate([IMAGES[:4]] * 7)
    labels = np.concatenate([LABELS[:4]] * 7)
    labels[20] = 7  # in the sixth batch
    batches = Dataset.from_slices((images, labels)).batch(4)
    config = RunConfig(tmp_path, device=device, cuda_graph=True, save_every=4)
    estimator = Estimator(model_fn, {}, config)
    with estimator, pytest.raises(CaptureError, match="such as a label that is no class"):
        estimator.train(lambda: batches)
    assert Estimator(model_fn, {}, config).step == 4


class Reading(Hook):
    """Asks for the loss, and keeps what it is told."""

    def __init__(self):
        self.told = []

    def after_step(self, context):
        try:
            self.told.append(context.loss)
        except ConfigError as error:
            self.told.append(str(error))


def test_all_who_ask_for_a_loss_that_cannot_be_read_are_told_why(cuda, device):
    labels = np.concatenate([LABELS[:4]] * 5)
    labels[-1] = 7
    batches = Dataset.from_slices((np.concatenate([IMAGES[:4]] * 5), labels)).batch(4)
    hooks = Reading(), Reading()
    with pytest.raises(ConfigError, match="label 7"):
        trained(device, True, steps=5, batches=batches, hooks=hooks)
    assert "label 7" in hooks[0].told[-1]
    assert "label 7" in hooks[1].told[-1]


@pytest.mark.parametrize("captured", [False, True])
def test_a_gradient_that_is_not_finite_stops_all_and_is_told(cuda, device, captured):
    """With clip_norm, for which the host does not wait: nothing is written from then on."""
    images = np.concatenate([IMAGES[:4]] * 7)
    images[20:24] = np.nan  # the sixth batch
    batches = Dataset.from_slices((images, np.concatenate([LABELS[:4]] * 7))).batch(4)
    config = RunConfig(device=device, cuda_graph=captured, check_numbers=None)
    results = []
    for steps in (5, 7):
        estimator = Estimator(model_fn, {"clip": 1.0}, config)
        with estimator:
            estimator.train(lambda: batches, steps=steps)
        names = [name for name, _ in estimator.module.named_parameters()]
        results.append({name: estimator.model.weights()[name].tobytes() for name in names})
    assert results[0] == results[1]
    with pytest.raises(GradientError, match="clip_norm: the gradient's norm was not finite"):
        estimator.optimizer.state_dict()


def test_on_the_cpu_the_setting_changes_nothing():
    assert trained("cpu", True) == trained("cpu", False)


def test_the_setting_is_checked():
    with pytest.raises(ConfigError, match="cuda_graph is 1; give True or False"):
        RunConfig(cuda_graph=1)


def test_evaluation_between_captured_steps_changes_nothing(cuda, device):
    class Evaluating(Hook):
        def after_step(self, context):
            context.estimator.evaluate(lambda: data().take(1))

    assert trained(device, True, steps=8, hooks=[Evaluating()]) == trained(device, True, steps=8)
