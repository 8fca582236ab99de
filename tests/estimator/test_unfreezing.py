"""Gradual unfreezing: what learns follows from the step, before and after a restart."""

import pytest
import small_runs
from small_runs import bits, training_data

from minicnn import Tensor, nn, no_grad, ops
from minicnn.backend.device import get_device, to_device
from minicnn.errors import ConfigError
from minicnn.estimator import Estimator, GradualUnfreezing, Hook, RunConfig
from minicnn.optim import SGD, Cosine, decay_groups, rate_groups

STAGES = {4: "1", 8: ["0"]}


class Watch(Hook):
    """Notes which layers have moved in each step."""

    def __init__(self):
        self.moved, self._before = [], {}

    def before_step(self, context):
        self._before = context.estimator.module.state_dict()

    def after_step(self, context):
        now = context.estimator.module.state_dict()
        moved = {n.split(".")[0] for n in now if now[n].tobytes() != self._before[n].tobytes()}
        self.moved.append("".join(sorted(moved)))


def net():
    with nn.seed(2):
        with nn.arg_scope(nn.Conv2d, normalizer=nn.BatchNorm2d, activation=ops.relu):
            layers = nn.Conv2d(2, 3), nn.Conv2d(3, 4)
        made = nn.Sequential(*layers, nn.GlobalAvgPool2d(), nn.Dropout(0.2), nn.Dense(4, 3))
    with no_grad():
        made(Tensor(to_device(small_runs.images_and_labels()[0], get_device())))  # moves averages
    return made


def estimator(model_dir=None, patterns=("0", "1"), **config):
    module = net()
    nn.freeze(module, *patterns)

    def optimizer(params):
        groups = rate_groups(decay_groups(params, 1e-3), {"0": 0.3, "1": 0.5})
        return SGD(groups, Cosine(0.05, 20))

    loss = ops.sparse_softmax_cross_entropy
    return Estimator.from_module(module, loss, optimizer, config=RunConfig(model_dir, **config))


@pytest.fixture(scope="module")
def unbroken():
    run, watch = estimator(), Watch()
    with run:
        run.train(training_data, steps=12, hooks=[GradualUnfreezing(STAGES), watch])
        return bits(run), watch.moved


def test_what_is_frozen_learns_from_its_step_on(unbroken):
    assert unbroken[1] == ["4"] * 4 + ["14"] * 4 + ["014"] * 4


@pytest.mark.parametrize("stop", [3, 4, 5, 8, 11])
def test_stopped_and_resumed_it_ends_with_the_same_bits(stop, tmp_path, unbroken):
    for end in (stop, 12):
        with estimator(tmp_path) as run:
            run.train(training_data, max_steps=end, hooks=[GradualUnfreezing(STAGES)])
            assert run.step == end
    assert bits(run) == unbroken[0]


def test_train_called_twice_is_one_run(unbroken):
    run, hook = estimator(), GradualUnfreezing(STAGES)
    data = training_data()
    for steps in (4, 1, 7):
        run.train(lambda: data, steps=steps, hooks=[hook])
    assert bits(run) == unbroken[0]


def test_a_resumed_run_cannot_have_unfrozen_something_else(tmp_path):
    with estimator(tmp_path) as run:
        run.train(training_data, max_steps=6, hooks=[GradualUnfreezing(STAGES)])
    says = r"has unfrozen 1 at 4, and was now to have unfrozen 1 at 5"
    with estimator(tmp_path) as run, pytest.raises(ConfigError, match=says):
        run.train(training_data, max_steps=7, hooks=[GradualUnfreezing({5: "1"})])
    with estimator(tmp_path) as run:  # what is to come may change
        run.train(training_data, max_steps=7, hooks=[GradualUnfreezing({4: "1", 9: "0"})])


def test_a_run_of_a_frozen_net_alone_resumes_with_the_same_bits(tmp_path):
    whole = estimator().train(training_data, steps=6)
    for end in (2, 6):
        with estimator(tmp_path) as run:
            run.train(training_data, max_steps=end)
    assert bits(run) == bits(whole)
    assert not any(name.startswith(("optimizer/0", "optimizer/1")) for name in bits(run))


def test_a_frozen_run_can_be_evaluated_and_handed_on(tmp_path):
    run = estimator().train(training_data, steps=3)
    results = run.evaluate(lambda: training_data().take(2))
    run.export(tmp_path / "export")
    other = estimator(patterns=("4.bias",)).load_weights(tmp_path / "export")
    assert other.evaluate(lambda: training_data().take(2))["loss"] == results["loss"]


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({-1: "0"}, "-1 is no step"),
        ({2.0: "0"}, "2.0 is no step"),
        ({900: "block9"}, "GradualUnfreezing: 'block9' matches no parameter"),
    ],
)
def test_stages_that_make_no_sense_are_refused_at_once(stages, says):
    with pytest.raises(ConfigError, match=says):
        estimator().train(training_data, steps=1, hooks=[GradualUnfreezing(stages)])


def test_a_model_without_layers_yet_is_refused():
    run = small_runs.estimator()
    with pytest.raises(ConfigError, match="no layers before its first batch"):
        run.train(training_data, steps=1, hooks=[GradualUnfreezing({1: "*"})])
