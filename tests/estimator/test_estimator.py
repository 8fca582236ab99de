"""Training, evaluating, predicting and exporting within one process."""

import threading

import numpy as np
import pytest
import small_runs
from small_runs import bits, estimator, training_data, validation_data

from minicnn import nn, ops
from minicnn.autograd import Tensor
from minicnn.backend.device import get_device
from minicnn.data import Dataset
from minicnn.errors import CheckpointError, ConfigError, DeviceError, ShapeError
from minicnn.estimator import (
    Estimator,
    EstimatorSpec,
    Hook,
    Mode,
    RunConfig,
    load_export,
)
from minicnn.metrics import Accuracy, ConfusionMatrix, TopK
from minicnn.optim import SGD, Adam

untrained = pytest.mark.filterwarnings("ignore:.*moving averages")


def slope_fn(features, labels, mode, params):
    """y = w x; the loss of an example is its own number, so that means can be computed by hand."""
    w = params["w"]
    if mode == Mode.PREDICT:
        return EstimatorSpec(mode, predictions=features * w)
    loss = ((features * w - labels) ** 2).mean()
    error = float(np.abs(features.numpy() * w.numpy() - labels.numpy()).mean())
    return EstimatorSpec(
        mode, loss=loss, optimizer=lambda p: SGD(p, 0.1, momentum=0.0), metrics={"error": error}
    )


class Slope(nn.Module):
    def __init__(self):
        self.w = nn.Parameter(np.ones(1, np.float32))


def slope():
    module = Slope()
    return Estimator(slope_fn, {"w": module.w}, module=module)


def pairs(n):
    x = np.arange(1, n + 1, dtype=np.float32)
    return Dataset.from_slices((x, 3 * x))


def test_a_step_is_what_it_says():
    run = slope()
    run.train(lambda: pairs(2).batch(2))
    # d/dw mean((w x - 3 x)^2) at w = 1: mean(2 x^2 (1 - 3)) = -4 * (1 + 4) / 2 = -10
    assert run.module.w.item() == pytest.approx(1 + 0.1 * 10)
    assert (run.step, run.examples) == (1, 2)


def test_evaluation_averages_over_examples_not_batches():
    results = slope().evaluate(lambda: pairs(5).batch(4))
    x = np.arange(1, 6)
    assert results == {
        "loss": pytest.approx(np.mean((2 * x) ** 2)),
        "error": pytest.approx(np.mean(2 * x)),
        "examples": 5,
        "step": 0,
    }
    assert slope().evaluate(lambda: pairs(5).repeat().batch(2), steps=2)["examples"] == 4


def test_metrics_are_merged_over_batches():
    images, labels = small_runs.images_and_labels(21, seed=1)
    net = small_runs_module()
    run = Estimator.from_module(
        net,
        ops.sparse_softmax_cross_entropy,
        metrics={
            "accuracy": Accuracy,
            "top2": TopK(2),
            "matrix": ConfusionMatrix(3),
            "mine": lambda outputs, labels: float(len(labels)),
        },
    )
    results = run.evaluate(validation_data)
    net.eval()
    logits = net(Tensor(images).to(get_device()))
    assert results["accuracy"] == Accuracy().update(logits, labels).result()
    assert results["top2"] == TopK(2).update(logits, labels).result()
    np.testing.assert_array_equal(
        results["matrix"], ConfusionMatrix(3).update(logits, labels).result()
    )
    assert results["mine"] == pytest.approx((8 * 8 + 8 * 8 + 5 * 5) / 21)
    loss = ops.sparse_softmax_cross_entropy(logits, labels).item()
    assert results["loss"] == pytest.approx(loss, rel=1e-6)


def small_runs_module():
    with nn.seed(0):
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Dense(4 * 36, 3), nn.Dropout(0.9))


def test_predictions_come_one_by_one_in_order():
    images, _ = small_runs.images_and_labels(21, seed=1)
    net = small_runs_module()
    run = Estimator.from_module(net, ops.sparse_softmax_cross_entropy)
    rows = list(run.predict(validation_data))
    logits = net.eval()(Tensor(images).to(get_device())).numpy()
    assert len(rows) == 21
    np.testing.assert_allclose([r["outputs"] for r in rows], logits, rtol=1e-5, atol=1e-6)
    assert [r["class"] for r in rows] == logits.argmax(1).tolist()
    np.testing.assert_allclose([r["probabilities"].sum() for r in rows], 1, rtol=1e-5)
    only_images = [r["class"] for r in run.predict(lambda: [images[:5], images[5:]])]
    assert only_images == logits.argmax(1).tolist()
    assert [float(r["predictions"]) for r in slope().predict(lambda: pairs(3).batch(2))] == [
        1,
        2,
        3,
    ]


def test_a_prediction_that_waits_leaves_everything_as_it_was():
    run = estimator().train(training_data, steps=1)
    predictions = run.predict(validation_data)
    next(predictions)
    assert run.module.training
    weight = Tensor(np.ones(1), requires_grad=True)
    assert (weight * 2).requires_grad  # no_grad did not leak
    next(predictions)
    predictions.close()


def test_frozen_layers_stay_frozen():
    net = small_runs_module()
    run = Estimator.from_module(
        net, ops.sparse_softmax_cross_entropy, lambda p: Adam(p, 0.01), {"accuracy": Accuracy}
    )
    net[3].eval()
    run.train(training_data, steps=1)
    run.evaluate(validation_data)
    list(run.predict(validation_data))
    assert [m.training for _, m in net.named_modules()] == [True, True, True, True, False]
    net.eval()
    run.train(training_data, steps=1)
    assert net.training
    assert net[3].training


def test_the_optimizer_is_made_once_with_all_names():
    calls = []

    def model_fn(features, labels, mode, params):
        spec = small_runs.model_fn(features, labels, mode, params)

        def optimizer(named):
            calls.append([name for name, _ in named])
            return spec.optimizer(named)

        return EstimatorSpec(mode, loss=spec.loss, optimizer=optimizer)

    run = Estimator(model_fn, small_runs.PARAMS)
    for _ in range(3):
        run.train(training_data, steps=1)
    assert len(calls) == 1
    assert calls[0] == [name for name, _ in run.module.named_parameters()]
    assert run.optimizer.step_count == 3


def test_the_seed_decides_everything():
    a, b, c = (estimator(seed=s).train(training_data, steps=3) for s in (1, 1, 2))
    assert bits(a) == bits(b)
    assert bits(a)["weights/dense.weight"] != bits(c)["weights/dense.weight"]


def test_training_learns():
    run = estimator().train(training_data, steps=60)
    seen = Dataset.from_slices(small_runs.images_and_labels()).batch(8)
    assert run.evaluate(lambda: seen)["accuracy"] > 0.9
    assert run.evaluate(validation_data)["accuracy"] > 0.6  # by chance a third


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"loss": None}, ConfigError, "in mode train the EstimatorSpec needs loss="),
        ({"optimizer": None}, ConfigError, "in mode train the EstimatorSpec needs optimizer="),
        ({"mode": Mode.EVAL}, ConfigError, "asked for mode train, returned"),
        ({"loss": Tensor([1.0, 2.0])}, ShapeError, r"loss must be .* got \(2,\); take the mean"),
        ({"loss": 3.0}, ShapeError, "must be a Tensor of one number, got 3.0"),
        ({"metrics": {"loss": 1.0}}, ConfigError, "no metric can be called 'loss'"),
        ({"optimizer": lambda p: 3}, ConfigError, "optimizer function returned 3"),
        ({"optimizer": SGD([Tensor([1.0], True)], 0.1)}, ConfigError, "must be a function of"),
    ],
)
def test_a_wrong_spec_is_refused(change, error, message):
    def model_fn(features, labels, mode, params):
        spec = slope_fn(features, labels, mode, params)
        return EstimatorSpec(**(vars(spec) | change))

    module = Slope()
    run = Estimator(model_fn, {"w": module.w}, module=module)
    with pytest.raises(error, match=message):
        run.train(lambda: pairs(2).batch(2))
    assert run.module.w.item() == 1


def test_what_else_a_model_fn_may_get_wrong():
    data = pairs(4).batch(2)
    with pytest.raises(ConfigError, match="returned None; it must return an EstimatorSpec"):
        Estimator(lambda *_: None).train(lambda: data)
    with pytest.raises(
        ConfigError, match=r"no parameters; .* pass that as Estimator\(\.\.\., module"
    ):
        Estimator(slope_fn, {"w": Tensor([1.0], True)}, RunConfig(device="cpu")).train(lambda: data)
    module = Slope()
    run = Estimator.from_module(module, lambda *_: None)
    with pytest.raises(ConfigError, match="in mode predict the EstimatorSpec needs predictions"):
        next(Estimator(lambda f, y, m, p: EstimatorSpec(m)).predict(lambda: data))
    with pytest.raises(NotImplementedError):
        run.evaluate(lambda: data)
    total = Estimator(lambda f, y, m, p: EstimatorSpec(m, predictions={"y": f.sum()}))
    with pytest.raises(ShapeError, match=r"'y' of shape \(\) has not one row for each of 2"):
        next(total.predict(lambda: data))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: slope().train(lambda: [1, 2]),
            ConfigError,
            r"returned \[1, 2\]; return a Dataset",
        ),
        (lambda: slope().train(lambda: pairs(0).batch(1)), ConfigError, "no batch in the input"),
        (lambda: slope().train(lambda: pairs(2), 1), ShapeError, "no batch axis"),
        (lambda: slope().train(lambda: pairs(2).batch(1), -1), ConfigError, "steps is -1"),
        (lambda: slope().train(lambda: pairs(2).batch(1), 1.5), ConfigError, "steps is 1.5"),
        (lambda: slope().train(lambda: pairs(2).batch(1), hooks=[Hook]), ConfigError, "is no hook"),
        (lambda: slope().evaluate(lambda: pairs(0).batch(1)), ConfigError, "no examples"),
        (lambda: slope().evaluate(lambda: pairs(2).repeat().batch(1)), ConfigError, "endless"),
        (lambda: slope().evaluate(lambda: 3), ConfigError, "returned 3; give batches"),
        (lambda: next(slope().predict(lambda: pairs(2).repeat().batch(1))), ConfigError, "endless"),
        (lambda: slope().save(), ConfigError, "no model_dir to save to"),
        (lambda: Estimator(3), ConfigError, "model_fn is 3; give a function"),
        (lambda: Estimator(slope_fn, module=slope_fn), ConfigError, "give a Module"),
        (lambda: RunConfig(save_every=0), ConfigError, "save_every is 0; give a whole number"),
        (lambda: RunConfig(keep=True), ConfigError, "keep is True"),
        (lambda: RunConfig(log_every=1.0), ConfigError, "log_every is 1.0"),
        (lambda: RunConfig(seed="a"), ConfigError, "seed is 'a'"),
        (lambda: RunConfig(resume="yes"), ConfigError, "resume is 'yes'"),
        (lambda: RunConfig(resume=True), ConfigError, "needs the model_dir"),
        (lambda: RunConfig(device="tpu"), DeviceError, "'tpu' is unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_steps_and_max_steps_and_the_end_of_the_input():
    data = pairs(10).batch(2)
    run = slope()
    assert run.train(lambda: data, steps=0).step == 0
    assert run.train(lambda: data, steps=3).step == 3
    assert run.train(lambda: data, steps=9).step == 5  # the end of the input
    assert run.train(lambda: data, steps=9, max_steps=7).step == 7
    assert run.train(lambda: data, max_steps=7).step == 7
    assert run.train(lambda: data).step == 10


def test_unlabelled_and_structured_batches():
    seen = []

    def model_fn(features, labels, mode, params):
        seen.append((features, labels))
        y = nn.layers.dense(features["x"], 1)
        return EstimatorSpec(mode, loss=(y * y).mean(), optimizer=lambda p: SGD(p, 0.1))

    data = Dataset.from_slices({"x": np.ones((4, 2), np.float32), "name": ["a", "b", "c", "d"]})
    assert Estimator(model_fn).train(lambda: data.batch(4)).examples == 4
    features, labels = seen[0]
    assert labels is None
    assert isinstance(features["x"], Tensor)
    assert features["name"].tolist() == ["a", "b", "c", "d"]


def test_export_and_load(tmp_path):
    run = estimator().train(training_data, steps=2)
    path = run.export(tmp_path / "model")
    weights, config = load_export(path)
    assert config == {"params": small_runs.PARAMS, "seed": 0, "step": 2}
    assert {f"weights/{k}": v.tobytes() for k, v in weights.items()}.items() <= bits(run).items()
    with pytest.raises(ConfigError, match=r"exists; give another path \(pass overwrite=True"):
        run.export(path)
    with pytest.raises(ConfigError, match="it is no export"):
        run.export(tmp_path, overwrite=True)
    run.train(training_data, steps=1)
    run.export(path, overwrite=True)
    assert load_export(path).config["step"] == 3
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    (path / "model.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"model\.json is damaged"):
        load_export(path)
    (path / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="not of a minicnn export"):
        load_export(path)
    with pytest.raises(CheckpointError, match=r"cannot read .*nothing"):
        load_export(tmp_path / "nothing")


@pytest.mark.parametrize("kind", ["export", "model_dir", "checkpoint", "file", "dict"])
def test_weights_of_another_run(kind, tmp_path):
    other = estimator(tmp_path / "run", seed=5).train(training_data, steps=2)
    export = other.export(tmp_path / "export")
    source = {
        "export": export,
        "model_dir": tmp_path / "run",
        "checkpoint": tmp_path / "run" / "checkpoints" / "step-00000002",
        "file": export / "weights.safetensors",
        "dict": other.module.state_dict(),
    }[kind]
    expected = other.evaluate(validation_data)
    run = estimator(tmp_path / "new").load_weights(source)
    assert run.step == 0
    results = run.evaluate(validation_data)
    assert (results["loss"], results["accuracy"]) == (expected["loss"], expected["accuracy"])
    trained = estimator().train(training_data, steps=1).load_weights(source)  # layers exist
    assert trained.evaluate(validation_data)["loss"] == expected["loss"]
    run.train(training_data, steps=1)
    assert estimator(tmp_path / "new").step == 1


def test_loaded_weights_survive_a_first_step_that_fails():
    other = estimator(seed=5).train(training_data, steps=2)
    run = estimator().load_weights(other.module.state_dict())
    expected = estimator().load_weights(other.module.state_dict()).train(training_data, steps=2)

    class Fail(Hook):
        failed = False

        def before_update(self, context):
            if not self.failed:
                self.failed = True
                raise OSError("once")

    hook = Fail()
    with pytest.raises(OSError, match="once"):
        run.train(training_data, steps=2, hooks=[hook])
    assert bits(run.train(training_data, steps=2, hooks=[hook])) == bits(expected)


def test_wrong_weights_are_refused():
    for name, shape, message in (("dense.weight", (3, 3), "misshapen"), ("x", (), "missing")):
        run = estimator().load_weights({name: np.zeros(shape, np.float32)})
        with pytest.raises(CheckpointError, match=message):
            run.evaluate(validation_data)
    net = small_runs_module()
    before = net.state_dict()
    with pytest.raises(CheckpointError, match="unexpected"):
        Estimator.from_module(net, None).load_weights({**before, "more": np.zeros(1)})
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_evaluation_of_a_saved_run_needs_no_training(tmp_path):
    run = estimator(tmp_path).train(training_data, steps=4)
    expected = run.evaluate(validation_data)
    assert estimator(tmp_path).evaluate(validation_data) == expected
    rows = [r["class"] for r in estimator(tmp_path).predict(validation_data)]
    assert rows == [r["class"] for r in run.predict(validation_data)]
    assert not list(tmp_path.glob("checkpoints/.*"))
    exported = estimator(tmp_path).export(tmp_path / "export")  # before any layer exists
    assert load_export(exported).config["step"] == 4


@untrained
def test_the_device_of_the_caller_is_left_alone(monkeypatch):
    from minicnn.backend import device

    monkeypatch.setattr(device, "check_device", str)
    monkeypatch.setattr(device, "_program", "somewhere")
    seen = []
    run = Estimator(
        lambda *args: seen.append(get_device()) or small_runs.model_fn(*args),
        small_runs.PARAMS,
        RunConfig(device="cpu"),
    )
    run.train(training_data, steps=1)
    run.evaluate(validation_data)
    predictions = run.predict(validation_data)
    next(predictions)
    predictions.close()
    assert get_device() == "somewhere"
    assert set(seen) == {"cpu"}


def test_no_thread_is_left_behind():
    before = threading.active_count()
    with estimator() as run:
        run.train(lambda: training_data(workers=2), steps=2)
        assert threading.active_count() > before  # it would go on at once
        run.evaluate(lambda: validation_data().prefetch(2), steps=1)
        next(run.predict(lambda: validation_data().prefetch(2)))
    assert threading.active_count() <= before + 1  # the kernels' pool may have started


def test_train_in_a_thread():
    """Where no signal handler can be set."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(bits(estimator().train(training_data, steps=3)))
    )
    thread.start()
    thread.join()
    assert found == [bits(estimator().train(training_data, steps=3))]
