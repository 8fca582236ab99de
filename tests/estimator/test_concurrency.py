"""Several threads: one model, two Estimators, and who may do what meanwhile."""

import signal
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import small_runs
from small_runs import bits, estimator, images_and_labels, training_data, validation_data

import minicnn
from minicnn import Tensor, nn, ops
from minicnn.apps._classification import classify
from minicnn.autograd import grad, no_grad
from minicnn.backend.device import get_device
from minicnn.data import Dataset
from minicnn.errors import ConfigError
from minicnn.estimator import Estimator, Hook, RunConfig
from minicnn.estimator._precision import computing_in
from minicnn.estimator._turns import Turns
from minicnn.metrics import Accuracy
from minicnn.models import SeedNet
from minicnn.nn._calls import observed_by
from minicnn.optim import SGD, Adam

on_the_cpu = pytest.mark.skipif(get_device() != "cpu", reason="about the kernels of the CPU")

LIMIT = 30.0  # seconds, after which something hangs


@pytest.fixture
def often():
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def at_once(*functions):
    """Call functions, each in a thread of its own, all at the same time; return their results."""
    start, results, errors = threading.Barrier(len(functions)), {}, []

    def call(i, function):
        try:
            start.wait(LIMIT)
            results[i] = function()
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=call, args=pair, daemon=True) for pair in enumerate(functions)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads), "it hangs"
    if errors:
        raise errors[0]
    return [results[i] for i in range(len(functions))]


def rows(run, size=8):
    images, _ = images_and_labels(21, seed=1)
    batches = [images[i : i + size] for i in range(0, len(images), size)]
    return b"".join(row["probabilities"].tobytes() for row in run.predict(lambda: batches))


def test_predictions_of_several_threads_are_those_of_one(often):
    run = estimator().train(training_data, steps=2)
    before = bits(run)
    sizes = (1, 3, 8, 21)
    expected = [rows(run, size) for size in sizes]
    evaluation = run.evaluate(validation_data)

    def work(i):
        for k in range(4):
            assert rows(run, sizes[(i + k) % 4]) == expected[(i + k) % 4]
        return run.evaluate(validation_data)

    found = at_once(*[lambda i=i: work(i) for i in range(4)])
    assert found == [evaluation] * 4
    assert bits(run) == before
    assert all(module.training for _, module in run.module.named_modules())


@pytest.mark.parametrize("source", ["from the seed", "from a checkpoint"])
def test_the_first_predictions_of_several_threads_make_the_layers_once(source, tmp_path, often):
    folder = tmp_path if source == "from a checkpoint" else None
    if folder is not None:
        estimator(folder).train(training_data, steps=1)

    def make():
        return estimator(folder)

    with observed_by(lambda *_: lambda _: None):  # no warning of moving averages
        alone = make()
        expected = rows(alone)

        def first(run):
            with observed_by(lambda *_: lambda _: None):
                return rows(run)

        for _ in range(3):
            run = make()
            # All four have ended before `run` is another one
            assert at_once(*[lambda: first(run)] * 4) == [expected] * 4  # noqa: B023
            assert bits(run) == bits(alone)


def test_weights_are_loaded_without_touching_what_belongs_to_all_threads(tmp_path):
    """Filters of warnings are of the program: two threads would put back each other's."""
    estimator(tmp_path).train(training_data, steps=1)
    seen = []

    def model_fn(*arguments):
        seen.append(list(warnings.filters))
        return small_runs.model_fn(*arguments)

    before = list(warnings.filters)
    run = Estimator(model_fn, small_runs.PARAMS, RunConfig(tmp_path))
    run.train(training_data, steps=1)
    assert seen == [before] * 2


def nets():
    """Two nets in which much is different: kinds of layers, shapes, fused blocks."""
    with nn.seed(0):
        small = nn.Sequential(
            nn.Conv2d(3, 12, 5, padding=2, activation=ops.relu),
            nn.MaxPool2d(2),
            nn.Conv2d(12, 12, 3, groups=12),
            nn.LayerNorm(axes=1),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Dense(None, 5, activation=ops.tanh),
        )
        return SeedNet(7), small.build((3, 32, 32))


@on_the_cpu
def test_any_thread_computes_any_net_to_the_bits_that_it_has_alone(often):
    """The kernels' shared state: memory, prepared programs, packed weights, compiled functions."""
    generator = np.random.default_rng(0)
    images = [generator.normal(size=(n, 3, 32, 32)).astype(np.float32) for n in (1, 2, 5, 9)]
    both = nets()
    both[0](Tensor(images[2]))

    def apply(net, x):
        with no_grad(), nn.evaluating():
            return net(Tensor(x)).numpy().tobytes()

    def learn(net, x):
        with nn.random_key(3, len(x)):
            loss = ops.sparse_softmax_cross_entropy(net(Tensor(x)), np.arange(len(x)) % 5)
        return b"".join(g.numpy().tobytes() for g in grad(loss, list(net.parameters())))

    learning = nets()
    jobs = [lambda net=net, x=x: apply(net, x) for net in both for x in images]
    jobs += [lambda net=net, x=x: learn(net, x) for net in learning for x in images[2:]]
    expected = [job() for job in jobs]

    def work(seed):
        for j in np.random.default_rng(seed).permutation(np.arange(len(jobs)).repeat(4)):
            assert jobs[j]() == expected[j], j

    at_once(*[lambda seed=seed: work(seed) for seed in range(5)])


@on_the_cpu
def test_an_app_classifies_in_several_threads(often):
    net = SeedNet(7)
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    with no_grad():
        net(Tensor(np.ones((4, 3, 32, 32), np.float32)))
    expected = classify(net, images).tobytes()
    found = at_once(*[lambda: {classify(net, images).tobytes() for _ in range(6)}] * 4)
    assert found == [{expected}] * 4
    assert net.training


class Pair(nn.Module):
    """Two numbers that training keeps equal, but one after the other."""

    def __init__(self):
        self.a, self.b = (nn.Parameter(np.zeros(1, np.float32)) for _ in range(2))

    def forward(self, x):
        return ops.stack([self.a * x, self.b * x], 1)


class ChangeBoth(Hook):
    """Changes both, and waits in between."""

    def before_update(self, context):
        net = context.estimator.module
        net.a.data = net.a.data + 1
        time.sleep(0.003)
        net.b.data = net.b.data + 1


def pair():
    return Estimator.from_module(Pair(), lambda y, _: (y * 0).sum(), lambda p: SGD(p, 0.1))


ONES = Dataset.from_slices((np.ones(4, np.float32), np.zeros(4))).repeat().batch(2)


def test_predictions_during_training_are_of_whole_steps():
    run = pair().train(lambda: ONES, steps=1)
    stop, seen = threading.Event(), []

    def predict():
        while not stop.is_set():
            seen.extend(row["outputs"].tolist() for row in run.predict(lambda: ONES.take(2)))
        return True

    def train():
        try:
            run.train(lambda: ONES, steps=60, hooks=[ChangeBoth()])
        finally:
            stop.set()
        return True

    assert at_once(train, predict, predict) == [True] * 3
    assert all(a == b for a, b in seen)
    assert len({a for a, _ in seen}) > 10  # nobody kept the others out
    assert run.module.a.item() == 60


def test_who_waits_for_a_step_comes_before_the_next_one():
    turns, order = Turns(), []

    def read():
        with turns.reading():
            order.append("read")

    for _ in range(5):
        thread = threading.Thread(target=read)
        with turns.changing():
            thread.start()
            while not turns._waiting:
                time.sleep(0.001)
            order.append("step")
        with turns.changing():
            order.append("next")
        thread.join()
    assert order == ["step", "read", "next"] * 5


def test_evaluation_and_training_in_two_threads_change_nothing_of_each_other():
    with estimator() as alone:
        expected = bits(alone.train(training_data, steps=8))
    run = estimator().train(training_data, steps=1)
    at_once(
        lambda: run.train(training_data, steps=7),
        lambda: [run.evaluate(validation_data) for _ in range(3)],
    )
    assert bits(run) == expected


def test_a_hook_evaluates_in_the_middle_of_a_step():
    found = []

    class Look(Hook):
        def before_update(self, context):
            found.append(context.estimator.evaluate(validation_data)["examples"])
            found.append(len(rows(context.estimator)) > 0)

    assert estimator().train(training_data, steps=1, hooks=[Look()]).step == 1
    assert found == [21, True]


def test_who_does_not_train_may_not_touch_the_run_meanwhile(tmp_path):
    run = estimator(tmp_path)
    inside, leave = threading.Event(), threading.Event()

    class Wait(Hook):
        def after_step(self, context):
            inside.set()
            leave.wait(LIMIT)

    thread = threading.Thread(
        target=lambda: run.train(training_data, steps=1, hooks=[Wait()]), name="night"
    )
    thread.start()
    assert inside.wait(LIMIT)
    uses = {
        "train": lambda: run.train(training_data, steps=1),
        "save": run.save,
        "load_weights": lambda: run.load_weights(run.model.weights()),
        "restart_input": run.restart_input,
    }
    for name, use in uses.items():
        message = f"{name}: the thread 'night' is training this Estimator; do this in a hook"
        with pytest.raises(ConfigError, match=message):
            use()
    assert len(rows(run)) > 0
    run.export(tmp_path / "export")
    leave.set()
    thread.join()
    assert run.save() == run.saved_at
    assert run.train(training_data, steps=1).step == 2


def test_ctrl_c_while_waiting_for_a_turn_lets_the_others_go_on():
    turns, entered = Turns(), threading.Event()

    class Stop(BaseException):
        pass

    def interrupted(wait):
        turns._changed.release()  # as Condition.wait does
        try:
            raise Stop
        finally:
            turns._changed.acquire()

    with turns.changing():

        def wait():
            turns._changed.wait_for = interrupted
            with turns.reading():
                pass

        with pytest.raises(Stop):
            at_once(wait)
        del turns._changed.wait_for

    def change():
        with turns.changing():
            entered.set()

    at_once(change)
    assert entered.is_set()
    assert not turns._waiting
    assert not turns._readers


def test_only_training_in_the_main_thread_minds_ctrl_c():
    seen = []

    class Look(Hook):
        def after_step(self, context):
            seen.append(signal.getsignal(signal.SIGINT))

    at_once(lambda: estimator().train(training_data, steps=1, hooks=[Look()]))
    assert seen == [signal.getsignal(signal.SIGINT)]
    estimator().train(training_data, steps=1, hooks=[Look()])
    assert seen[0] is not seen[1]


def run_of(kind, seed, folder=None, **config):
    """Return an Estimator of its own kind, and its data."""
    if kind == "functions":
        return estimator(folder, seed=seed, **config), training_data(2)
    with nn.seed(seed):
        net = nn.Sequential(
            nn.Conv2d(2, 6, 3, normalizer=nn.BatchNorm2d, activation=ops.relu),
            nn.Dropout(0.4),
            nn.GlobalAvgPool2d(),
            nn.Dense(6, small_runs.CLASSES),
        )
    loss, config = ops.sparse_softmax_cross_entropy, RunConfig(folder, seed=seed, **config)
    run = Estimator.from_module(
        net, loss, lambda p: Adam(p, 0.01), {"accuracy": Accuracy}, config=config
    )
    return run, training_data()


RUNS = {
    "different nets": [("functions", 0, {}), ("module", 0, {})],
    "the same net twice": [("module", 4, {}), ("module", 4, {})],
    "different seeds": [("functions", 1, {}), ("functions", 2, {})],
    "different precisions": [
        ("module", 0, {"precision": "float16"}),
        ("module", 0, {"precision": "tf32"}),
        ("functions", 0, {}),
    ],
    "with and without a graph": [("module", 0, {"cuda_graph": True}), ("functions", 0, {})],
}


@pytest.mark.parametrize("name", RUNS)
def test_runs_side_by_side_end_with_the_bits_that_they_have_alone(name, tmp_path):
    def train(i, kind, seed, config, where):
        run, data = run_of(kind, seed, tmp_path / where / str(i), save_every=2, **config)
        with run:
            for steps in (3, 4):
                run.train(lambda: data, steps=steps)
                run.evaluate(validation_data)
            return bits(run)

    expected = [train(i, *settings, "alone") for i, settings in enumerate(RUNS[name])]
    both = [
        lambda i=i, settings=settings: train(i, *settings, "together")
        for i, settings in enumerate(RUNS[name])
    ]
    assert at_once(*both) == expected
    assert minicnn.config.matrix_precision == "float32"


def test_two_runs_step_by_step_by_turns():
    expected = []
    for kind in ("functions", "module"):
        with run_of(kind, 0)[0] as run:
            expected.append(bits(run.train(training_data, steps=6)))
    pairs = [run_of(kind, 0) for kind in ("functions", "module")]
    for _ in range(6):
        for run, data in pairs:
            run.train(lambda data=data: data, steps=1)
            run.evaluate(validation_data)
    for run, _ in pairs:
        run.close()
    assert [bits(run) for run, _ in pairs] == expected


def test_a_precision_is_of_one_thread():
    inside, out, seen = threading.Event(), threading.Event(), []

    def other():
        with computing_in("bfloat16"):
            inside.set()
            out.wait(LIMIT)
            seen.append(minicnn.config.matrix_precision)

    thread = threading.Thread(target=other)
    with computing_in("tf32"):
        thread.start()
        assert inside.wait(LIMIT)
        assert minicnn.config.matrix_precision == "tf32"
    assert minicnn.config.matrix_precision == "float32"
    out.set()
    thread.join()
    assert seen == ["bfloat16"]
    assert minicnn.config.matrix_precision == "float32"
