"""What every run looks at without being asked: weights, averages, slots, and the batch."""

import re

import numpy as np
import pytest
from planted import batches, broken, data, estimator, line, looking, spoiling

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.data import Dataset
from minicnn.errors import ConfigError, GradientError
from minicnn.estimator import (
    BestCheckpoint,
    EarlyStopping,
    Estimator,
    EstimatorSpec,
    Hook,
    NaNGuard,
    RunConfig,
    ValidationHook,
    _numbers,
    best_checkpoint,
    list_checkpoints,
    load_checkpoint,
)
from minicnn.optim import SGD, Adam, AdamW, Optimizer

numpy_complains = pytest.mark.filterwarnings("ignore::RuntimeWarning")


class At(Hook):
    """Does something when so many steps are done."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def after_step(self, context):
        if context.step == self.step:
            self.action(context)


@numpy_complains
def test_weight_decay_that_overflows():
    run = line(lambda p: SGD(p, 1.0, momentum=0, weight_decay=3e38), start=2.0)
    message = broken(run, batches([0, 0], [1, 1]), 1)
    assert re.search(
        r"step 1 made the parameter\(s\) 'p' NaN or infinite: 'p' \(Module\) has 2 of 2 elements "
        r"not finite, the first -inf at \(0,\); the loss was 0.0, the largest gradient 0 \(of 'p'"
        r"\), the learning rate 1 \(SGD\), so it was the update that overflowed: lower the "
        r"learning rate or the weight decay, or set clip_norm; the weights in memory are spoilt",
        message,
    )


@numpy_complains
def test_an_absurd_state_of_adam(tmp_path):
    def absurd(context):
        state = context.optimizer.state_dict()
        state["p.mean"][:], state["p.square"][:] = 1e38, 0.0
        context.optimizer.load_state_dict(state)

    run = line(lambda p: Adam(p, 1e3), folder=tmp_path, save_every=1)
    message = broken(run, batches([1, 2], [1, 2], [0, 0], [1, 2]), 3, [At(2, absurd)])
    assert "step 3 made the parameter(s) 'p' NaN or infinite" in message
    assert f"a new Estimator goes on from {tmp_path / 'checkpoints' / 'step-00000002'};" in message
    assert load_checkpoint(tmp_path / "checkpoints").step == 2


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_a_gradient_whose_square_overflows_freezes_a_weight_and_is_told(kind, tmp_path):
    """Adam divides by the root of infinity from then on: all weights are finite, and stay so."""
    run = line(lambda p: kind(p, 1e-3), folder=tmp_path)
    message = broken(run, batches([1, 2], [3, 1], [1, 1e25], [1, 2]), 3)
    assert "step 3 made the optimizer's 'p.square' NaN or infinite: 'p.square' (Module) " in message
    assert "1 of 2 elements not finite, the first inf at (1,)" in message
    assert "the largest gradient 1e+25 (of 'p'), the learning rate 0.001" in message
    assert not list_checkpoints(tmp_path / "checkpoints")


class Forgetful(Optimizer):
    """An optimiser of a person's own, whose slot breaks by itself."""

    def _new_slots(self, weight, group):
        return {"memory": np.zeros(weight.shape, np.float32)}

    def _check(self, options):
        pass

    def _update(self, weights, grads, slots, learning_rate, group):
        if self.step_count == 1:
            slots[0]["memory"][1] = np.inf


def test_slots_of_any_optimizer():
    run = line(lambda p: Forgetful(p, 1.0))
    message = broken(run, batches([1, 2], [1, 2], [1, 2]), 2)
    assert "step 2 made the optimizer's 'p.memory' NaN or infinite" in message


def test_the_rate_is_that_of_the_group():
    def optimizer(params):
        return SGD([{"params": params, "learning_rate": lambda step: 1e30}], 0.1, momentum=0)

    message = broken(line(optimizer), batches([1, 2e9]), 1)
    assert "the largest gradient 2e+09 (of 'p'), the learning rate 1e+30 (SGD)" in message


def test_averages_that_overflow_while_the_loss_is_finite(tmp_path):
    """x / inf is 0, a good number."""
    images = np.ones((4, 3), np.float32)
    images[0, 1], images[1, 1] = 1e38, -1e38
    good = np.arange(12, dtype=np.float32).reshape(4, 3)
    rows = Dataset.from_slices(np.concatenate([good, images])).batch(4)
    with nn.seed(1):
        net = nn.Sequential(nn.BatchNorm1d(3), nn.Dense(3, 1))
    run = Estimator.from_module(
        net, lambda y, _: y.mean(), lambda p: SGD(p, 0.1), config=RunConfig(tmp_path, **looking({}))
    )
    before = net[0].state_dict()
    with pytest.raises(GradientError) as caught, np.errstate(all="ignore"):
        run.train(lambda: rows)
    assert run.step == 1, "the step is not done"
    message = str(caught.value)
    assert re.search(r"in step 2 the loss is [-\d.]+, but the moving averages '0.moving_", message)
    assert "(BatchNorm1d) has 1 of 3 elements not finite, the first inf at (1,)" in message
    assert all(np.isfinite(value).all() for value in net.state_dict().values())
    assert any((before[k] != v).any() for k, v in net[0].state_dict().items()), "of the first step"
    assert load_checkpoint(tmp_path / "checkpoints").step == 1


def test_a_mask_of_infinities_is_no_fault(tmp_path):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.mask = nn.Buffer(np.array([0, -np.inf, 0], np.float32))
            self.dense = nn.Dense(5, 3)

        def forward(self, x):
            return self.dense(x) + self.mask

    x = np.ones((8, 5), np.float32)
    rows = Dataset.from_slices((x, np.zeros(8, np.int64))).batch(4)
    loss = ops.sparse_softmax_cross_entropy
    run = Estimator.from_module(Masked(), loss, lambda p: SGD(p, 0.1), config=RunConfig(tmp_path))
    assert run.train(lambda: rows).step == 2


def test_a_state_that_is_broken_from_the_beginning():
    run = line(lambda p: SGD(p, 0.1), loss=lambda p, x: x.sum() + p[0] * 0.0)
    run.module.p.data[1] = np.nan
    message = broken(run, batches([1, 2]), 0)
    assert (
        "the parameter 'p' is not finite before step 1, the first of this call: 1 of 2" in message
    )
    run = line(lambda p: SGD(p, 0.1)).train(batches([1, 2]))
    state = run.optimizer.state_dict()
    run.optimizer.load_state_dict(state | {"p.velocity": np.array([0, np.inf], np.float32)})
    assert "the optimizer's 'p.velocity' is not finite" in broken(run, batches([1, 2]), 1)


@numpy_complains
@pytest.mark.parametrize(
    ("every", "found"),
    [
        (1, "step 5 made the p"),
        (2, "step 5 made the p"),
        (3, "this arose in steps 4 to 5"),
    ],
)
def test_a_look_that_comes_late_says_when_it_was(every, found, tmp_path):
    """After step 5 nothing is finite; the look before the next update finds it."""
    run = line(spoiling(5), folder=tmp_path, check_numbers=every)
    message = broken(run, batches(*[[1, 2]] * 12), 5)
    assert found in message
    assert not list_checkpoints(tmp_path / "checkpoints")
    assert (tmp_path / "faults").exists() == (every == 1)


def test_before_a_save_all_is_looked_at(tmp_path):
    rows = [[1, 2]] * 5 + [[1, 1e25]] + [[1, 2]] * 3
    run = line(lambda p: Adam(p, 1e-3), folder=tmp_path, check_numbers=100, save_every=4)
    message = broken(run, batches(*rows), 8)
    assert "after step 8, the optimizer's 'p.square' are NaN or infinite" in message
    assert "last looked at, after step 4, so this arose in steps 5 to 8" in message
    assert load_checkpoint(tmp_path / "checkpoints").step == 4


@numpy_complains
def test_without_a_look_no_broken_weights_are_saved_either(tmp_path):
    run = line(spoiling(5), folder=tmp_path, check_numbers=None, save_every=3)
    message = broken(run, batches(*[[1, 2]] * 12), 6)
    assert "checkpoint: 'p' is not finite after step 6, so this is not saved" in message
    assert load_checkpoint(tmp_path / "checkpoints").step == 3


@numpy_complains
def test_none_looks_at_nothing():
    run = line(lambda p: SGD(p, 0.1), check_numbers=None)
    assert run.train(batches([1, np.nan], [1, 1])).step == 2


@numpy_complains
def test_the_batch_is_looked_at_part_by_part():
    def said(
        features, labels=None, loss=lambda p, x: sum((x[k] * p[0]).mean() for k in ("a", "b"))
    ):
        module = nn.Module()
        module.p = nn.Parameter(np.ones(2, np.float32))

        def model_fn(x, y, mode, _):
            total = loss(module.p, x) if y is None else ((loss(module.p, x) - y) ** 2).mean()
            return EstimatorSpec(mode, loss=total, optimizer=lambda p: SGD(p, 0.1))

        rows = features if labels is None else (features, labels)
        run = Estimator(model_fn, module=module)
        return broken(run, lambda: Dataset.from_slices(rows).batch(8), 0)

    good = np.ones((8, 3), np.float32)
    bad = good.copy()
    bad[2, 1] = bad[7, 0] = np.nan
    names = np.array([f"{i}.ppm" for i in range(8)])
    message = said({"a": good, "b": bad, "file": names})
    assert (
        "the batch came with NaN in features['b'], example(s) 2, 7 of 8, counted from 0, where "
        "features['file'] is '2.ppm';" in message
    )
    message = said({"a": good, "b": good}, bad[:, 0])
    assert "the batch came with NaN in labels, example(s) 7 of 8, counted from 0;" in message
    infinite = np.full((8, 3), np.inf, np.float32)
    message = said({"a": infinite, "b": good})
    assert "infinity in features['a'], example(s) 0, 1, 2, 3, 4, ... of 8" in message
    assert "; all layers' outputs are finite" in message, "an infinity may be meant, as a mask"


def test_a_label_that_is_no_class_is_told_with_its_place_and_step(tmp_path):
    labels = np.array([0, 1, 2, 0, 1, 2, 9, 0])
    rows = Dataset.from_slices((np.ones((8, 5), np.float32), labels)).batch(4)
    loss = ops.sparse_softmax_cross_entropy
    net = nn.Dense(5, 3)
    run = Estimator.from_module(net, loss, lambda p: SGD(p, 0.1), config=RunConfig(tmp_path))
    with pytest.raises(ConfigError, match=r"label 9 at \(2,\) is outside 0 ... 2") as caught:
        run.train(lambda: rows)
    assert "minicnn: this was in step 2" in caught.value.__notes__
    assert run.step == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_validation_that_is_not_finite_is_no_fault_and_never_the_best(value, tmp_path):
    """The weights are good: one example of the validation data is not."""
    images = np.ones((4, 2, 6, 6), np.float32)
    seen = []

    def validation():
        seen.append(None)
        bad = images.copy()
        if len(seen) == 2:
            bad[0, 0, 0, 0] = np.nan
        return Dataset.from_slices((bad, np.array([0, 1, 2, 0]))).batch(4)

    class Replace(Hook):
        def after_evaluate(self, context, name, results):
            if len(seen) == 2:
                results["loss"] = value

    stop, best = EarlyStopping(patience=5, mode="min"), BestCheckpoint(mode="min")
    hooks = [ValidationHook(validation, 2, at_end=False), Replace(), stop, best]
    run = estimator(tmp_path)
    with np.errstate(all="ignore"):
        run.train(data, steps=8, hooks=hooks)
    assert len(seen) == 4
    for hook in (stop, best):
        assert np.isfinite(hook.best)
        assert hook.best_step != 4
    assert load_checkpoint(best_checkpoint(tmp_path / "checkpoints")).step != 4


def test_the_hook_takes_the_place_of_the_setting(monkeypatch):
    looks = []
    look = _numbers.total_square
    monkeypatch.setattr(_numbers, "total_square", lambda x: looks.append(len(x)) or look(x))
    rows = batches(*[[1, 2]] * 6)
    line(lambda p: SGD(p, 0.1)).train(rows)
    assert len(looks) == 12
    looks.clear()
    line(lambda p: SGD(p, 0.1)).train(rows, hooks=[NaNGuard(3)])
    assert len(looks) == 5, "the first step, and every third"
    looks.clear()
    line(lambda p: SGD(p, 0.1), check_numbers=2).train(rows)
    assert len(looks) == 7
    looks.clear()
    line(lambda p: SGD(p, 0.1), check_numbers=None).train(rows)
    assert not looks


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "always", "1"])
def test_the_setting_is_checked(value):
    with pytest.raises(ConfigError, match="check_numbers is"):
        RunConfig(check_numbers=value)


@numpy_complains
def test_a_first_step_that_breaks_leaves_a_model_as_it_was():
    """Layers of the model function's own, whose averages the broken batch has moved."""

    def model_fn(features, labels, mode, params):
        x = nn.layers.dense(features, 3, normalizer=nn.BatchNorm1d)
        return EstimatorSpec(mode, loss=x.mean(), optimizer=lambda p: SGD(p, 0.1))

    bad = Dataset.from_slices(np.full((4, 2), np.nan, np.float32)).batch(4)
    good = Dataset.from_slices(np.arange(8, dtype=np.float32).reshape(4, 2)).batch(4)
    run = Estimator(model_fn)
    with pytest.raises(GradientError, match="NaN in features"):
        run.train(lambda: bad)
    run.restart_input()
    run.train(lambda: good)
    other = Estimator(model_fn).train(lambda: good)
    for name, value in other.module.state_dict().items():
        assert run.module.state_dict()[name].tobytes() == value.tobytes(), name


def test_large_and_small_and_half_arrays():
    total = _numbers.total_square
    stream = np.random.default_rng(0)
    arrays = [stream.normal(size=n).astype(np.float32) for n in (3, 40_000, 5, 20_000)]
    exact = sum(float((x.astype(float) ** 2).sum()) for x in arrays)
    assert total(arrays) == pytest.approx(exact, rel=1e-5)
    assert total([np.float16([300, 400])]) == 250_000
    assert total([]) == 0
    for bad in (np.nan, np.inf, -np.inf):
        for i in range(4):
            copies = [x.copy() for x in arrays]
            copies[i][1] = bad
            assert not np.isfinite(total(copies))
    assert _numbers.not_finite([Tensor(np.float64([1e300])), np.float32([np.inf])]) == [1]
